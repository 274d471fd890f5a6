//! What is configured: agents, checks, channels, tokens.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vilicus_core::judge::telling::Watched;
use vilicus_core::policy::MAX_WITHIN;
use vilicus_core::{
    AgentId, ChannelId, CheckId, Matcher, Millis, Policy, Status, TemplateId, Thresholds, Timestamp, TokenId,
};

use crate::json::Json;

/// The kind, and the name, of the check that every agent has by itself: it is DOWN when the agent is silent.
pub const AGENT_KIND: &str = "agent";
/// The kind of a check that hears pings of a job.
pub const HEARTBEAT_KIND: &str = "heartbeat";
/// The kind of a check that counts how many others are well.
pub const AGGREGATE_KIND: &str = "aggregate";
/// The kind of a check that watches the server itself.
pub const SELF_KIND: &str = "self";
/// The kinds that are judged on the server and never sent to an agent.
pub const SERVER_KINDS: [&str; 4] = [AGENT_KIND, HEARTBEAT_KIND, AGGREGATE_KIND, SELF_KIND];

/// An agent: the program on a host, or in an app, that runs checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Its name, unique in the server.
    pub name: String,
    /// The name of its host.
    pub hostname: String,
    /// What identifies its installation, if it says so; unique in the server.
    pub guid: Option<String>,
    /// The version of its program.
    pub version: Option<String>,
    /// The longest that it stays silent, and the default interval of its checks.
    pub check_interval: Millis,
    /// Its tags: words, or `key=value`.
    pub tags: Vec<String>,
    /// What it says of its host, as `os` and `cores`.
    pub facts: Json,
    /// Whether its name may be enrolled again while it is not UP: for containers and autoscaled hosts.
    pub ephemeral: bool,
    /// After so long without contact it is retired, without an alert.
    pub expire_after: Option<Millis>,
    /// The templates that it names, besides those whose conditions it meets.
    pub templates: Vec<String>,
    /// The file that manages it.
    pub managed_by: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last finished its checks, by the server's clock.
    pub last_checkin: Option<Timestamp>,
}

/// Who made a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// An operator, on the server.
    Server,
    /// The agent announced it itself.
    Agent,
}

/// A check: what is watched, and how.
///
/// Its [spec](CheckSpec) is at hand as if it were its own: `check.kind`, `check.tags`. Checks that watch the same
/// share it, however many there are; to change it through one check leaves the others as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its id.
    pub id: CheckId,
    /// Whose it is.
    pub agent: AgentId,
    /// Its name, unique within the agent.
    pub name: String,
    /// All that other checks may have in common with it.
    pub spec: Arc<CheckSpec>,
    /// When it was first delivered to its agent.
    pub delivered_at: Option<Timestamp>,
    /// What the address of its pings ends with, when it is a heartbeat; unique in the server, and known to its job alone.
    pub ping_key: Option<String>,
}

/// What is watched, and how: all of a check but which one it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckSpec {
    /// Its kind.
    pub kind: String,
    /// What its kind needs to know.
    pub params: Json,
    /// What is wanted of it.
    pub settings: CheckSettings,
    /// Its tags: words, or `key=value`.
    pub tags: Vec<String>,
    /// Whether it runs at all.
    pub enabled: bool,
    /// What it is for.
    pub description: String,
    /// Where those who mend it read on.
    pub runbook_url: Option<String>,
    /// The checks that must be up for this one to be told.
    pub depends_on: Vec<CheckId>,
    /// Groups of checks of which one must be up.
    pub depends_on_any: Vec<Vec<CheckId>>,
    /// The confirmed statuses in which what it depends on counts as down: CRITICAL and UNKNOWN by default.
    pub depends_on_states: Vec<Status>,
    /// Who made it.
    pub origin: Origin,
    /// The file that manages it.
    pub managed_by: Option<String>,
}

impl Deref for Check {
    type Target = CheckSpec;

    fn deref(&self) -> &CheckSpec {
        &self.spec
    }
}

impl DerefMut for Check {
    fn deref_mut(&mut self) -> &mut CheckSpec {
        Arc::make_mut(&mut self.spec)
    }
}

/// What an operator wants of a check; what is `None` follows the agent or another setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckSettings {
    /// How often it runs; the agent's `check_interval` by default.
    pub interval: Option<Millis>,
    /// How often it runs while soft; `min(interval, 30 s)` by default.
    pub retry_interval: Option<Millis>,
    /// After this time a run is dropped.
    pub timeout: Millis,
    /// How much later than expected a result may be.
    pub grace: Millis,
    /// A problem is hard after so many results that were not OK …
    pub max_attempts: u32,
    /// … of so many; `max_attempts` by default.
    pub within: Option<u32>,
    /// So many good results in a row before OK is hard again.
    pub recover_attempts: u32,
    /// The status of a run that timed out.
    pub timeout_status: Status,
    /// What is wanted of its metrics.
    pub thresholds: Thresholds,
    /// Whether every hard problem result is told.
    pub volatile: bool,
    /// Whether people are told at all.
    pub notifications: bool,
    /// Whether it may be called flapping.
    pub flap_detection: bool,
    /// Below this percentage of changes flapping stops.
    pub flap_low: f64,
    /// Above this percentage of changes flapping starts.
    pub flap_high: f64,
}

impl Default for CheckSettings {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            interval: None,
            retry_interval: None,
            timeout: policy.timeout,
            grace: policy.grace,
            max_attempts: policy.max_attempts,
            within: None,
            recover_attempts: policy.recover_attempts,
            timeout_status: policy.timeout_status,
            thresholds: policy.thresholds,
            volatile: policy.volatile,
            notifications: policy.notifications,
            flap_detection: true,
            flap_low: 25.0,
            flap_high: 30.0,
        }
    }
}

impl CheckSpec {
    /// A check of this kind with these parameters, with the defaults for all else.
    #[must_use]
    pub fn new(kind: impl Into<String>, params: impl Into<Json>) -> Self {
        Self {
            kind: kind.into(),
            params: params.into(),
            settings: CheckSettings::default(),
            tags: Vec::new(),
            enabled: true,
            description: String::new(),
            runbook_url: None,
            depends_on: Vec::new(),
            depends_on_any: Vec::new(),
            depends_on_states: DOWN_STATES.to_vec(),
            origin: Origin::Server,
            managed_by: None,
        }
    }

    /// What the judge needs to know, for a check of an agent with this interval.
    #[must_use]
    pub fn policy(&self, check_interval: Millis) -> Policy {
        let settings = &self.settings;
        let mut policy = Policy::new(settings.interval.unwrap_or(check_interval));
        policy.retry_interval = settings.retry_interval.unwrap_or(policy.retry_interval);
        policy.timeout = settings.timeout;
        policy.grace = settings.grace;
        policy.max_attempts = settings.max_attempts.clamp(1, MAX_WITHIN);
        policy.within = settings.within.unwrap_or(policy.max_attempts).clamp(policy.max_attempts, MAX_WITHIN);
        policy.recover_attempts = settings.recover_attempts.max(1);
        policy.timeout_status = settings.timeout_status;
        policy.thresholds.clone_from(&settings.thresholds);
        policy.volatile = settings.volatile;
        policy.notifications = settings.notifications;
        policy.flap_detection = settings.flap_detection;
        policy.flap_low = settings.flap_low;
        policy.flap_high = settings.flap_high;
        policy
    }
}

impl Check {
    /// A check of an agent, to be created: the store gives it its id then.
    #[must_use]
    pub fn new(agent: AgentId, name: impl Into<String>, spec: CheckSpec) -> Self {
        Self {
            id: CheckId::from(NonZeroU64::MIN),
            agent,
            name: name.into(),
            spec: Arc::new(spec),
            delivered_at: None,
            ping_key: None,
        }
    }

    /// Whether it stands for a thing on a host or for the agent itself.
    #[must_use]
    pub fn watched(&self) -> Watched {
        if self.kind == AGENT_KIND { Watched::Agent } else { Watched::Check }
    }

    /// Whether its agent runs it; if not, the server judges it by itself.
    #[must_use]
    pub fn runs_on_agent(&self) -> bool {
        !SERVER_KINDS.contains(&self.kind.as_str())
    }
}

/// The confirmed statuses in which a check counts as down for those that depend on it.
pub const DOWN_STATES: [Status; 2] = [Status::Critical, Status::Unknown];

/// A template: checks that every agent gets whose labels match, also those that enrol later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// Its id.
    pub id: TemplateId,
    /// Its name, unique in the server.
    pub name: String,
    /// The conditions on the agent, all of which must hold; none for agents that name it only.
    pub matchers: Vec<Matcher>,
    /// The checks, each as it is written in a configuration.
    pub checks: Vec<Json>,
    /// The file that manages it.
    pub managed_by: Option<String>,
}

/// The words of a channel's messages, as templates; what is `None` is said in the stock words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChannelWords {
    /// The title.
    pub title: Option<String>,
    /// The text.
    pub text: Option<String>,
}

/// A channel: a configured notifier.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Its name, unique in the server.
    pub name: String,
    /// The kind of notifier.
    pub kind: String,
    /// What the notifier needs to know, secrets included.
    pub params: Json,
    /// Whether it is used; messages of a channel that is switched off wait.
    pub enabled: bool,
    /// At most so many messages in such a time, as `10/1m`.
    pub rate_limit: Option<String>,
    /// The channel that hears of it when this one fails.
    pub fallback: Option<ChannelId>,
    /// When more messages than this wait, they become one; `None` for channels that machines read.
    pub digest_above: Option<u32>,
    /// Templates of the words of its messages.
    pub words: ChannelWords,
    /// The file that manages it.
    pub managed_by: Option<String>,
    /// Why nothing passes, and since when; released by an edit or a test that passes.
    pub paused: Option<Pause>,
}

impl fmt::Debug for Channel {
    /// Leaves the parameters out: they hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("enabled", &self.enabled)
            .field("paused", &self.paused)
            .finish_non_exhaustive()
    }
}

/// Why a channel is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// The fault, in words that hold no secret.
    pub fault: String,
}

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Enrol agents.
    Enroll,
    /// Be one agent.
    Agent,
    /// Look at everything but secrets.
    Viewer,
    /// Look, acknowledge, set downtimes, run checks now.
    Operator,
    /// Everything.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Enroll => "enroll",
            Self::Agent => "agent",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

/// A token. Only the hash of its text is kept.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// Its name, unique in the server.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// The SHA-256 of its text; of a person what Argon2id makes of the password.
    pub hash: [u8; 32],
    /// The agent that it speaks for, when its role is `agent`.
    pub agent: Option<AgentId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// How often it can still be used; `None` for any number of times.
    pub uses: Option<u32>,
    /// Whether agents that it enrols are ephemeral.
    pub ephemeral: bool,
    /// Whether it may enrol a name again that is enrolled already.
    pub reenroll: bool,
    /// The tags that agents get which it enrols.
    pub tags: Vec<String>,
    /// The names of the templates that agents get which it enrols.
    pub templates: Vec<String>,
    /// Whether agents that it enrols wait until an admin lets them in; of an agent's own token, whether it still waits.
    pub needs_approval: bool,
    /// What it was made for.
    pub purpose: TokenPurpose,
}

/// What a token was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenPurpose {
    /// To be sent with requests of the API.
    Api,
    /// A session of a browser.
    Session,
    /// A one-time login link.
    Login,
    /// A person, who shows a name and a password: what is kept in the place of the text's hash is made slowly of both.
    Password,
}

impl fmt::Debug for Token {
    /// Leaves the hash out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("role", &self.role)
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}
