//! `/agent/enroll/`: how an agent gets its own token for an enrolment token.
//!
//! A name or guid that is enrolled already is refused: an enrolment token never takes over a living agent, unless
//! it was made with `reenroll`, or `ephemeral` and the old agent is not UP.

use axum::extract::State;
use axum::response::Response;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::{AgentId, Millis, Timestamp};
use vilicus_store::Change;
use vilicus_store::inventory::{Agent, Role, Token};
use vilicus_store::query::{AgentFilter, AgentState, AgentView, Page};

use super::AppState;
use super::agent_body::{AgentBody, AgentInput, default_check_interval_ms, new_agent};
use super::announce::{announced_check, read};
use super::check_input::CheckInput;
use super::commit::changes;
use super::reference::uri;
use super::token::{new_secret, new_token};
use crate::http::Problem;
use crate::http::auth::{Caller, Enroller, hash_of};
use crate::http::json::{Answer, JsonBody, Sent, created};
use crate::templates::Provisional;

/// The route of enrolment.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(enroll))
}

/// An agent that wants in.
#[derive(Debug, Deserialize, ToSchema)]
struct EnrollInput {
    /// Unique in the server.
    name: String,
    /// The name of its host; its own name by default.
    #[serde(default)]
    hostname: Option<String>,
    /// What identifies its installation.
    #[serde(default)]
    guid: Option<String>,
    /// The version of its program.
    #[serde(default)]
    version: Option<String>,
    /// Words, or `key=value`; those of the enrolment token are added.
    #[serde(default)]
    tags: Vec<String>,
    /// What it knows of its host.
    #[serde(default)]
    #[schema(value_type = Object)]
    facts: Map<String, Value>,
    /// The longest that it stays silent, in milliseconds; 60,000.
    #[serde(default = "default_check_interval_ms")]
    check_interval_ms: u64,
    /// After so long without contact it is retired, without an alert.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    expire_after: Option<Millis>,
    /// The checks that it brings itself.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    checks: Vec<Value>,
}

impl Sent for EnrollInput {
    const READ_ONLY: &'static [&'static str] = &[];
}

impl EnrollInput {
    fn into_parts(self, by: &Token) -> (AgentInput, Vec<Value>) {
        let mut tags = self.tags;
        tags.extend(by.tags.iter().filter(|tag| !tags.contains(tag)).cloned().collect::<Vec<_>>());
        let agent = AgentInput {
            name: self.name,
            hostname: self.hostname,
            check_interval_ms: self.check_interval_ms,
            version: self.version,
            guid: self.guid,
            tags,
            templates: by.templates.clone(),
            facts: self.facts,
            ephemeral: by.ephemeral,
            expire_after: self.expire_after,
        };
        (agent, self.checks)
    }
}

/// An agent, and the token that is shown this once.
#[derive(Debug, Serialize, ToSchema)]
struct Enrolled {
    /// The agent.
    agent: AgentBody,
    /// Its token. It cannot be read again.
    token: String,
    /// Whether it works only when an admin has let the agent in.
    needs_approval: bool,
}

/// Enrols an agent: makes it and gives it a token of its own.
#[utoipa::path(post, path = "/api/v1/agent/enroll/", tag = "agent", request_body = EnrollInput,
    responses((status = 201, body = Enrolled), (status = 409)))]
async fn enroll(
    State(state): State<AppState>,
    Enroller(caller): Enroller,
    body: JsonBody,
) -> Result<Response, Problem> {
    let (input, checks) = body.read::<EnrollInput>()?.into_parts(caller.token());
    input.validate()?;
    // The checks are read before anything is made; whose they are is set when the agent has an id.
    let placeholder = new_agent(state.clock().now());
    let checks = read(Value::Array(checks), placeholder.id).map_err(|problem| problem.below("/checks"))?;
    let secret = new_secret(state.random())?;
    let _edit = state.edit().await;
    let agent = match already(&state, &input).await? {
        Some(old) => reenroll(&state, &caller, &old, input, &secret).await?,
        None => enrol(&state, &caller, input.into_agent(&placeholder), checks, &secret).await?,
    };
    let view = state.store().agent(agent).await?.ok_or_else(Problem::not_found)?;
    let enrolled = Enrolled {
        agent: AgentBody::from(&view),
        token: secret.expose_secret().to_owned(),
        needs_approval: caller.token().needs_approval,
    };
    Ok(created(&uri("agent", agent), Answer(enrolled)))
}

/// The agent that has this name or guid.
async fn already(state: &AppState, input: &AgentInput) -> Result<Option<AgentView>, Problem> {
    let by_name = AgentFilter { names: vec![input.name.clone()], ..AgentFilter::default() };
    let found = state.store().agents(&by_name, Page::ALL).await?.objects.into_iter().next();
    if found.is_some() || input.guid.is_none() {
        return Ok(found);
    }
    let by_guid = AgentFilter { guid: input.guid.clone(), ..AgentFilter::default() };
    Ok(state.store().agents(&by_guid, Page::ALL).await?.objects.into_iter().next())
}

/// Makes the agent, its token and its checks in one step with the use of the enrolment token.
async fn enrol(
    state: &AppState,
    caller: &Caller,
    agent: Agent,
    checks: Vec<CheckInput>,
    secret: &SecretString,
) -> Result<AgentId, Problem> {
    let agent = Agent { id: Provisional::new().next(), ..agent };
    let (id, name) = (agent.id, agent.name.clone());
    let mut steps = vec![Change::CreateAgent(Box::new(agent))];
    steps.extend(use_of(caller.token()));
    steps.push(token_for(id, &name, secret, caller.token().needs_approval, state.clock().now()));
    let checks = checks.into_iter().map(|input| Change::CreateCheck(Box::new(announced_check(input, id))));
    steps.extend(checks);
    let ids = changes(state, steps, caller.name()).await?;
    ids.into_iter().next().flatten().and_then(AgentId::new).ok_or_else(Problem::internal)
}

/// Gives the same agent a new token; the old ones are revoked in the same step.
async fn reenroll(
    state: &AppState,
    caller: &Caller,
    old: &AgentView,
    input: AgentInput,
    secret: &SecretString,
) -> Result<AgentId, Problem> {
    let by = caller.token();
    let forgotten = by.ephemeral && old.agent.ephemeral && old.state != AgentState::Up;
    let tokens = state.store().tokens().await?;
    // A configuration may declare an agent before its program is there: nobody is taken over then.
    let awaited =
        old.agent.managed_by.is_some() && tokens.iter().all(|token| token.agent != Some(old.agent.id));
    if !(by.reenroll || forgotten || awaited) || old.agent.name != input.name {
        return Err(Problem::conflict(
            "an agent of this name or guid is enrolled already; choose another, delete the old one, or use an \
             enrolment token made with reenroll",
        ));
    }
    let id = old.agent.id;
    let agent = Agent {
        hostname: input.hostname.unwrap_or_else(|| old.agent.hostname.clone()),
        guid: input.guid.or_else(|| old.agent.guid.clone()),
        version: input.version.or_else(|| old.agent.version.clone()),
        ..(*old.agent).clone()
    };
    let mut steps = use_of(by);
    let revoked = tokens.iter().filter(|token| token.agent == Some(id));
    steps.extend(revoked.map(|token| Change::DeleteToken(token.id)));
    if agent != *old.agent {
        steps.push(Change::UpdateAgent(Box::new(agent)));
    }
    steps.push(token_for(id, &old.agent.name, secret, by.needs_approval, state.clock().now()));
    changes(state, steps, caller.name()).await?;
    Ok(id)
}

/// The use of an enrolment token that counts its uses.
fn use_of(token: &Token) -> Vec<Change> {
    token.uses.map(|_| Change::UseToken(token.id)).into_iter().collect()
}

fn token_for(
    agent: AgentId,
    name: &str,
    secret: &SecretString,
    needs_approval: bool,
    now: Timestamp,
) -> Change {
    // The hash makes the name unique, whatever an operator called other tokens.
    let unique: String = hash_of(secret).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let name = format!("agent {} {unique}", name.chars().take(200).collect::<String>());
    let token = Token { agent: Some(agent), needs_approval, ..new_token(name, Role::Agent, secret, now) };
    Change::CreateToken(Box::new(token))
}
