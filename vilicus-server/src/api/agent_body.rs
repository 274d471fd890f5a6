//! Agents as they go over the wire, both ways.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use vilicus_core::{AgentId, Millis, Timestamp};
use vilicus_store::inventory::Agent;
use vilicus_store::query::{AgentState, AgentView};

use super::names::Mistakes;
use super::reference::uri;
use super::run::Orders;
use crate::http::Problem;
use crate::http::etag::Etag;
use crate::http::json::Sent;

/// An agent.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct AgentBody {
    /// Its id.
    pub(super) id: u64,
    /// Its path.
    resource_uri: String,
    /// The name of its host.
    hostname: String,
    /// Its name, unique in the server.
    name: String,
    /// The longest that it stays silent, in milliseconds, and the default interval of its checks.
    check_interval_ms: u64,
    /// When it last finished its checks, by the server's clock.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_checkin: Option<Timestamp>,
    /// When it was last heard of, by the server's clock.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_contact: Option<Timestamp>,
    /// The version of its program.
    version: Option<String>,
    /// What identifies its installation.
    guid: Option<String>,
    /// Words, or `key=value`.
    tags: Vec<String>,
    /// The templates that it names, besides those whose conditions it meets.
    templates: Vec<String>,
    /// What it says of its host, as `os` and `cores`.
    #[schema(value_type = Object)]
    facts: Value,
    /// `PENDING`, `UP` or `DOWN`.
    #[schema(value_type = String)]
    state: AgentState,
    /// Changes whenever the agent has to fetch its checks anew.
    config_etag: String,
    /// Whether its name may be enrolled again while it is not UP.
    ephemeral: bool,
    /// After so long without contact it is retired, without an alert.
    #[schema(value_type = Option<String>)]
    expire_after: Option<Millis>,
    /// The file that manages it.
    managed_by: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<&AgentView> for AgentBody {
    fn from(view: &AgentView) -> Self {
        let agent = &view.agent;
        Self {
            id: agent.id.get(),
            resource_uri: uri("agent", agent.id),
            hostname: agent.hostname.clone(),
            name: agent.name.clone(),
            check_interval_ms: agent.check_interval.get(),
            last_checkin: agent.last_checkin,
            last_contact: view.contact.last,
            version: agent.version.clone(),
            guid: agent.guid.clone(),
            tags: agent.tags.clone(),
            templates: agent.templates.clone(),
            facts: match &agent.facts.0 {
                Value::Null => Value::Object(Map::new()),
                facts => facts.clone(),
            },
            state: view.state,
            config_etag: config_etag(view.agent.id, view.config_version).as_str().to_owned(),
            ephemeral: agent.ephemeral,
            expire_after: agent.expire_after,
            managed_by: agent.managed_by.clone(),
            created_at: agent.created_at,
        }
    }
}

impl AgentBody {
    /// The tag of its configuration: without what changes by itself.
    pub(super) fn etag(&self) -> Etag {
        Etag::of(&(
            (
                self.id,
                &self.hostname,
                &self.name,
                self.check_interval_ms,
                &self.version,
                &self.guid,
                &self.tags,
            ),
            (
                &self.templates,
                &self.facts,
                self.ephemeral,
                self.expire_after,
                &self.managed_by,
                &self.config_etag,
            ),
        ))
    }
}

/// The version of what an agent must know.
pub(super) fn config_etag(agent: AgentId, config_version: u64) -> Etag {
    Etag::new(format!("{agent}-{config_version}"))
}

/// An answer to an agent: itself, and what it shall do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckedInBody {
    /// The agent.
    #[serde(flatten)]
    pub(super) agent: AgentBody,
    /// The checks that shall run sooner than their interval says.
    pub(super) run: Vec<Orders>,
}

/// An agent as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct AgentInput {
    /// Unique in the server.
    pub(crate) name: String,
    /// The name of its host; its own name by default.
    #[serde(default)]
    pub(crate) hostname: Option<String>,
    /// The longest that it stays silent, in milliseconds, and the default interval of its checks; 60,000.
    #[serde(default = "default_check_interval_ms")]
    pub(crate) check_interval_ms: u64,
    /// The version of its program.
    #[serde(default)]
    pub(crate) version: Option<String>,
    /// What identifies its installation; unique in the server.
    #[serde(default)]
    pub(crate) guid: Option<String>,
    /// Words, or `key=value`.
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// The templates whose checks it gets, besides those whose conditions it meets.
    #[serde(default)]
    pub(crate) templates: Vec<String>,
    /// What is known of its host.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(crate) facts: Map<String, Value>,
    /// Whether its name may be enrolled again while it is not UP.
    #[serde(default)]
    pub(crate) ephemeral: bool,
    /// After so long without contact it is retired, without an alert.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(crate) expire_after: Option<Millis>,
}

/// The most templates that an agent may name.
const MAX_TEMPLATES: usize = 100;

/// A minute.
pub(super) fn default_check_interval_ms() -> u64 {
    60_000
}

impl Sent for AgentInput {
    const READ_ONLY: &'static [&'static str] = &[
        "id",
        "resource_uri",
        "last_checkin",
        "last_contact",
        "state",
        "config_etag",
        "managed_by",
        "created_at",
        "run",
    ];
}

impl From<&Agent> for AgentInput {
    fn from(agent: &Agent) -> Self {
        Self {
            name: agent.name.clone(),
            hostname: Some(agent.hostname.clone()),
            check_interval_ms: agent.check_interval.get(),
            version: agent.version.clone(),
            guid: agent.guid.clone(),
            tags: agent.tags.clone(),
            templates: agent.templates.clone(),
            facts: agent.facts.0.as_object().cloned().unwrap_or_default(),
            ephemeral: agent.ephemeral,
            expire_after: agent.expire_after,
        }
    }
}

impl AgentInput {
    /// Refuses what no agent can be.
    pub(crate) fn validate(&self) -> Result<(), Problem> {
        let mut mistakes = Mistakes::default();
        mistakes.name("/name", &self.name);
        mistakes.span("/check_interval_ms", Millis::new(self.check_interval_ms), Millis::from_secs(1));
        mistakes.tags("/tags", &self.tags);
        mistakes.require(
            self.templates.len() <= MAX_TEMPLATES,
            "/templates",
            "names more than 100 templates",
        );
        if let Some(span) = self.expire_after {
            mistakes.span("/expire_after", span, Millis::from_minutes(1));
        }
        validate_self(&mut mistakes, self.hostname.as_deref(), self.version.as_deref(), self.guid.as_deref());
        validate_facts(&mut mistakes, &self.facts);
        mistakes.into_result()
    }

    /// The agent that this makes of `id`, keeping what cannot be written.
    pub(crate) fn into_agent(self, base: &Agent) -> Agent {
        Agent {
            hostname: self.hostname.unwrap_or_else(|| self.name.clone()),
            name: self.name,
            guid: self.guid,
            version: self.version,
            check_interval: Millis::new(self.check_interval_ms),
            tags: self.tags,
            templates: self.templates,
            facts: Value::Object(self.facts).into(),
            ephemeral: self.ephemeral,
            expire_after: self.expire_after,
            ..base.clone()
        }
    }
}

/// An agent that is about to be made: the store gives the id.
pub(crate) fn new_agent(now: Timestamp) -> Agent {
    Agent {
        id: AgentId::from(std::num::NonZeroU64::MIN),
        name: String::new(),
        hostname: String::new(),
        guid: None,
        version: None,
        check_interval: Millis::new(default_check_interval_ms()),
        tags: Vec::new(),
        facts: Value::Object(Map::new()).into(),
        ephemeral: false,
        expire_after: None,
        templates: Vec::new(),
        managed_by: None,
        created_at: now,
        last_checkin: None,
    }
}

/// What an agent may say of itself. Everything else that it echoes back is ignored.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub(super) struct SelfInput {
    /// The name of its host.
    #[serde(default, deserialize_with = "crate::http::json::present")]
    hostname: Option<String>,
    /// The version of its program.
    #[serde(default)]
    version: Option<String>,
    /// What identifies its installation.
    #[serde(default)]
    guid: Option<String>,
    /// What it knows of its host, as `os` and `cores`.
    #[serde(default, deserialize_with = "crate::http::json::present")]
    #[schema(value_type = Object)]
    facts: Option<Map<String, Value>>,
}

impl SelfInput {
    /// The agent as it now is.
    pub(super) fn onto(self, agent: &Agent) -> Result<Agent, Problem> {
        let mut mistakes = Mistakes::default();
        validate_self(&mut mistakes, self.hostname.as_deref(), self.version.as_deref(), self.guid.as_deref());
        if let Some(facts) = &self.facts {
            validate_facts(&mut mistakes, facts);
        }
        mistakes.into_result()?;
        let mut agent = agent.clone();
        agent.hostname = self.hostname.unwrap_or(agent.hostname);
        agent.version = self.version.or(agent.version);
        agent.guid = self.guid.or(agent.guid);
        agent.facts = self.facts.map_or(agent.facts, |facts| Value::Object(facts).into());
        Ok(agent)
    }
}

fn validate_self(mistakes: &mut Mistakes, hostname: Option<&str>, version: Option<&str>, guid: Option<&str>) {
    for (pointer, text) in [("/hostname", hostname), ("/version", version), ("/guid", guid)] {
        if let Some(text) = text {
            mistakes.line(pointer, text);
        }
    }
    mistakes.require(guid != Some(""), "/guid", "is empty; leave it out");
}

/// The most bytes of an agent's facts.
const MAX_FACTS: usize = 16 * 1024;

fn validate_facts(mistakes: &mut Mistakes, facts: &Map<String, Value>) {
    let bytes = serde_json::to_vec(facts).map_or(usize::MAX, |text| text.len());
    mistakes.require(bytes <= MAX_FACTS, "/facts", "is larger than 16 KiB");
}
