//! The agent in the server's own process: watches this very host, over the same conversation as any other agent.
//!
//! It is known by its token, so that an agent which someone enrols under this host's name is another one. Checks
//! are made for it once, when it has none; afterwards they are the operators'.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::SecretString;
use serde_json::{Value, json};
use vilicus_agent::transport::{InProcessTransport, TokenError as HeaderError};
use vilicus_agent::{Agent, AgentError, OwnCheck};
use vilicus_core::{AgentId, Check, CheckContext, CheckResult, KindRegistry, Millis, Timestamp, async_trait};
use vilicus_store::inventory::{self, AGENT_KIND, CheckSettings, CheckSpec, Origin, Role};
use vilicus_store::query::{AgentFilter, CheckFilter, Page};
use vilicus_store::{Change, Input, Json, Outcome, Store, StoreError};

use crate::api::{self, SystemRandom};
use crate::health::Vitals;
use crate::templates;
use crate::tokens::{self, BY};

/// The name of the token that the embedded agent uses.
pub const AGENT_TOKEN: &str = "local-agent";
/// The name of the check that watches the server itself.
pub const OWN_CHECK: &str = "vilicus-server";
/// How often the host is looked at.
const INTERVAL: Millis = Millis::from_secs(30);
/// How often the server is. It is also how soon the agent hears of new checks: with the answer to its results.
const OWN_INTERVAL: Millis = Millis::from_secs(10);

/// The embedded agent can't be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalAgentError {
    /// The store failed.
    #[error("its records cannot be stored")]
    Store(#[from] StoreError),
    /// The token that was made can't be sent.
    #[error("its token cannot be sent")]
    Header(#[from] HeaderError),
    /// The agent can't be built.
    #[error("it cannot be built")]
    Agent(#[from] AgentError),
    /// A threshold of the starter set is wrong.
    #[error("a check for it cannot be made")]
    Starter(#[from] serde_json::Error),
    /// What templates make for it can't be made.
    #[error("the checks of templates cannot be made for it: {0}")]
    Templates(String),
    /// The store answered a new agent with something else.
    #[error("the store gave its record no id")]
    NoId,
}

/// Sees to it that the agent and its checks are there, and makes it.
///
/// # Errors
/// See [`LocalAgentError`].
pub async fn set_up(
    store: &dyn Store,
    router: Router,
    kinds: KindRegistry,
    vitals: Vitals,
    token: &SecretString,
    now: Timestamp,
) -> Result<Agent, LocalAgentError> {
    let id = find_or_create(store, now).await?;
    tokens::ensure(store, AGENT_TOKEN, Role::Agent, token, Some(id), now).await?;
    if !has_checks(store, id).await? {
        create_starters(store, id, now).await?;
    }
    let transport = InProcessTransport::new(move |request| ask(router.clone(), request), token)?;
    let own = OwnCheck::new(OWN_CHECK, SelfCheck { vitals }).every(OWN_INTERVAL);
    Ok(Agent::builder().transport(transport).kinds(kinds).own_check(own).build()?)
}

async fn find_or_create(store: &dyn Store, now: Timestamp) -> Result<AgentId, LocalAgentError> {
    let tokens = store.tokens().await?;
    let known = tokens.iter().find(|token| token.name == AGENT_TOKEN).and_then(|token| token.agent);
    if let Some(id) = known
        && store.agent(id).await?.is_some()
    {
        return Ok(id);
    }
    let hostname = hostname();
    let agent = inventory::Agent {
        id: AgentId::from(std::num::NonZeroU64::MIN),
        name: free_name(store, &hostname).await?,
        hostname,
        guid: None,
        version: None,
        check_interval: INTERVAL,
        tags: vec!["local".to_owned()],
        facts: Json(json!({})),
        ephemeral: false,
        expire_after: None,
        templates: Vec::new(),
        managed_by: None,
        created_at: now,
        last_checkin: None,
    };
    let changes = vec![Change::CreateAgent(Box::new(agent))];
    let changes = templates::following(store, &SystemRandom, changes).await;
    let changes = changes.map_err(|problem| LocalAgentError::Templates(problem.detail().to_owned()))?;
    let outcomes = store.commit(now, changes.into_iter().map(change).collect()).await?;
    match outcomes.first() {
        Some(Outcome::Id(id)) => AgentId::new(*id).ok_or(LocalAgentError::NoId),
        _ => Err(LocalAgentError::NoId),
    }
}

fn change(change: Change) -> Input {
    Input::Change { change, by: BY.to_owned() }
}

/// The host's name as far as it can name an agent.
fn hostname() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = read.trim().chars().filter(|c| !c.is_control() && *c != '/').take(200).collect();
    if name.is_empty() {
        return "localhost".to_owned();
    }
    // An agent's name must not be mistaken for an id.
    if name.chars().all(|c| c.is_ascii_digit()) { format!("host-{name}") } else { name }
}

/// This name, or when another agent has it, one that tells the two apart.
pub(crate) async fn free_name(store: &dyn Store, hostname: &str) -> Result<String, StoreError> {
    let mut name = hostname.to_owned();
    for number in 1_u64.. {
        let filter = AgentFilter { names: vec![name.clone()], ..AgentFilter::default() };
        if store.agents(&filter, Page { offset: 0, limit: 1 }).await?.total == 0 {
            break;
        }
        name = if number == 1 { format!("{hostname}-server") } else { format!("{hostname}-server-{number}") };
    }
    Ok(name)
}

/// Whether anyone made checks for the agent; those that it makes itself do not count.
async fn has_checks(store: &dyn Store, agent: AgentId) -> Result<bool, StoreError> {
    let filter = CheckFilter { agents: vec![agent], ..CheckFilter::default() };
    let checks = store.checks(&filter, Page::ALL).await?.objects;
    Ok(checks.iter().any(|view| view.check.origin == Origin::Server && view.check.kind != AGENT_KIND))
}

/// What a host is watched for at first. Their names begin with `local-`, which leaves the plain ones to
/// configurations that are applied later.
fn starters() -> [(&'static str, &'static str, Value, Value, &'static str); 6] {
    [
        (
            "local-cpu",
            "cpu",
            json!({}),
            json!({"usage": {"warning": "80", "critical": "95", "for": "5m"}}),
            "The processors were busy for five minutes",
        ),
        (
            "local-memory",
            "memory",
            json!({}),
            json!({"used_percent": {"warning": "90", "critical": "97"}}),
            "Memory that programs can still get",
        ),
        (
            "local-swap",
            "swap",
            json!({}),
            json!({"used_percent": {"warning": "80", "critical": "95"}}),
            "What was moved from memory to disk",
        ),
        (
            "local-disks",
            "disk",
            json!({}),
            json!({"used_percent:*": {"warning": "85", "critical": "95", "recover": "80"}}),
            "All real file systems",
        ),
        (
            "local-load",
            "load",
            json!({"per_core": true}),
            json!({"load15": {"warning": "5", "critical": "10"}}),
            "Programs that wait for a processor, for each of them",
        ),
        ("local-uptime", "uptime", json!({}), json!({}), "Since when the host runs"),
    ]
}

/// What any host is watched for at first, as a template's checks are written.
pub(crate) fn usual_checks() -> Vec<Value> {
    let check = |(name, kind, params, thresholds, description): (&str, &str, Value, Value, &str)| {
        let name = name.trim_start_matches("local-");
        json!({"name": name, "kind": kind, "params": params, "thresholds": thresholds, "description": description})
    };
    starters().into_iter().map(check).collect()
}

async fn create_starters(store: &dyn Store, agent: AgentId, now: Timestamp) -> Result<(), LocalAgentError> {
    let mut inputs = Vec::new();
    for (name, kind, params, thresholds, description) in starters() {
        let settings =
            CheckSettings { thresholds: serde_json::from_value(thresholds)?, ..CheckSettings::default() };
        let description = description.to_owned();
        let spec = CheckSpec { settings, description, ..CheckSpec::new(kind, params) };
        let check = inventory::Check::new(agent, name, spec);
        inputs.push(change(Change::CreateCheck(Box::new(check))));
    }
    store.commit(now, inputs).await?;
    Ok(())
}

/// Carries a request of the agent to the routes, as a connection would.
async fn ask(router: Router, request: Request<Bytes>) -> Response<Bytes> {
    let (parts, body) = api::call(&router, request.map(Body::from)).await.into_parts();
    match body.collect().await {
        Ok(body) => Response::from_parts(parts, body.to_bytes()),
        Err(error) => {
            tracing::error!(%error, "an answer to the embedded agent broke off");
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// Whether the server does its work, as a check. It can't tell that the whole server is gone; whoever needs to know
/// that looks from outside at `/readyz`.
#[derive(Debug)]
struct SelfCheck {
    vitals: Vitals,
}

#[async_trait]
impl Check for SelfCheck {
    async fn run(&self, _cx: &CheckContext) -> CheckResult {
        let readiness = self.vitals.examine().await;
        let parts = [
            (readiness.store, "the store cannot write"),
            (readiness.judge, "deadlines are not judged"),
            (readiness.dispatcher, "messages are not sent"),
        ];
        let faults: Vec<_> =
            parts.into_iter().filter_map(|(works, fault)| (!works).then_some(fault)).collect();
        if faults.is_empty() {
            CheckResult::ok("the store writes, deadlines are judged, messages are sent")
        } else {
            CheckResult::critical(faults.join(", "))
        }
    }
}

/// The embedded agent while it runs.
#[derive(Debug)]
pub(crate) struct Running {
    stop: Arc<tokio::sync::Notify>,
    task: tokio::task::JoinHandle<Result<(), AgentError>>,
}

impl Running {
    /// Starts the agent.
    pub(crate) fn start(agent: Agent) -> Self {
        let stop = Arc::new(tokio::sync::Notify::new());
        let stopped = stop.clone();
        Self { stop, task: tokio::spawn(agent.run(async move { stopped.notified().await })) }
    }

    /// Lets the agent deliver what it has, and ends it.
    pub(crate) async fn stop(self) {
        self.stop.notify_one();
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the embedded agent failed"),
            Err(error) => tracing::error!(%error, "the embedded agent ended early"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_agent::checks::{StockOptions, stock_kinds};
    use vilicus_core::Thresholds;

    #[test]
    fn every_starter_is_a_check_that_can_be_built() {
        let kinds = stock_kinds(StockOptions::default());
        for (name, kind, params, thresholds, _) in starters() {
            kinds.build(kind, &params).unwrap();
            let thresholds: Thresholds = serde_json::from_value(thresholds).unwrap();
            assert!(name.starts_with("local-"), "{name} {thresholds:?}");
        }
    }

    #[test]
    fn the_hosts_name_can_name_an_agent() {
        let name = hostname();
        assert!(
            !name.is_empty() && !name.contains('/') && !name.chars().all(|c| c.is_ascii_digit()),
            "{name}"
        );
    }
}
