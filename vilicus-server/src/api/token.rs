//! `/token/`: who may do what. A token's text is shown once, when it is made; only its hash is kept.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::{AgentId, Timestamp, TokenId, async_trait};
use vilicus_store::Change;
use vilicus_store::inventory::{Role, Token, TokenPurpose};

use super::AppState;
use super::commit::made;
use super::names::Mistakes;
use super::reference::{Reference, find_agent, uri};
use super::resource::{self, Edit, Resource};
use super::state::Random;
use crate::http::Problem;
use crate::http::auth::{Admin, Caller, hash_of};
use crate::http::json::{Answer, JsonBody, Sent, created};
use crate::http::page::List;
use crate::http::path::PathParts;
use crate::http::query::Query;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one, replace, modify, remove))
}

/// A token, without its text.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct TokenBody {
    id: u64,
    resource_uri: String,
    /// Unique in the server.
    name: String,
    /// `enroll`, `agent`, `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    role: Role,
    /// The path of the agent that it speaks for.
    agent: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// How many enrolments are left; `null` for any number.
    uses: Option<u32>,
    /// Whether agents that it enrols are ephemeral.
    ephemeral: bool,
    /// Whether it may enrol a name again.
    reenroll: bool,
    /// The tags that agents get which it enrols.
    tags: Vec<String>,
    /// The templates that agents get which it enrols.
    templates: Vec<String>,
    /// Whether agents that it enrols wait until an admin lets them in; of an agent's own token, whether it still waits.
    needs_approval: bool,
}

impl From<&Token> for TokenBody {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.get(),
            resource_uri: uri("token", token.id),
            name: token.name.clone(),
            role: token.role,
            agent: token.agent.map(|agent| uri("agent", agent)),
            created_at: token.created_at,
            expires_at: token.expires_at,
            uses: token.uses,
            ephemeral: token.ephemeral,
            reenroll: token.reenroll,
            tags: token.tags.clone(),
            templates: token.templates.clone(),
            needs_approval: token.needs_approval,
        }
    }
}

/// A new token, with the text that is shown this once.
#[derive(Debug, Serialize, ToSchema)]
struct NewTokenBody {
    #[serde(flatten)]
    body: TokenBody,
    /// The text. It cannot be read again.
    token: String,
}

/// A token as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct TokenInput {
    /// Unique in the server.
    name: String,
    /// `enroll`, `agent`, `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    role: Role,
    /// The agent that it speaks for: an id, a name or a path; for the role `agent`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    agent: Option<Reference>,
    /// When it ends; never by default.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    expires_at: Option<Timestamp>,
    /// How many agents it may enrol; any number by default.
    #[serde(default)]
    uses: Option<u32>,
    /// Whether agents that it enrols are ephemeral.
    #[serde(default)]
    ephemeral: bool,
    /// Whether it may enrol a name again.
    #[serde(default)]
    reenroll: bool,
    /// The tags that agents get which it enrols.
    #[serde(default)]
    tags: Vec<String>,
    /// The names of the templates that agents get which it enrols, whether their tags match or not.
    #[serde(default)]
    templates: Vec<String>,
    /// Whether agents that it enrols wait until an admin lets them in: by `false` here, at the agent's own token.
    #[serde(default)]
    needs_approval: bool,
}

impl Sent for TokenInput {
    const READ_ONLY: &'static [&'static str] = &["id", "resource_uri", "created_at"];
}

impl From<&Token> for TokenInput {
    fn from(token: &Token) -> Self {
        Self {
            name: token.name.clone(),
            role: token.role,
            agent: token.agent.map(|agent| Reference::id(agent.get())),
            expires_at: token.expires_at,
            uses: token.uses,
            ephemeral: token.ephemeral,
            reenroll: token.reenroll,
            tags: token.tags.clone(),
            templates: token.templates.clone(),
            needs_approval: token.needs_approval,
        }
    }
}

impl TokenInput {
    fn validate(&self, now: Timestamp) -> Result<(), Problem> {
        let mut mistakes = Mistakes::default();
        mistakes.name("/name", &self.name);
        mistakes.tags("/tags", &self.tags);
        let alive = self.expires_at.is_none_or(|end| now < end);
        mistakes.require(alive, "/expires_at", "lies in the past; to revoke a token, delete it");
        let enrols = self.role == Role::Enroll;
        mistakes.require(
            self.uses.is_none() || enrols,
            "/uses",
            "only tokens of the role enroll count their uses",
        );
        mistakes.require(self.uses != Some(0), "/uses", "is 0; expected at least 1, or null for any number");
        mistakes.require(!self.ephemeral || enrols, "/ephemeral", "is for tokens of the role enroll");
        mistakes.require(!self.reenroll || enrols, "/reenroll", "is for tokens of the role enroll");
        mistakes.require(
            self.templates.is_empty() || enrols,
            "/templates",
            "are for tokens of the role enroll",
        );
        let speaks = self.role == Role::Agent;
        mistakes.require(
            !self.needs_approval || enrols || speaks,
            "/needs_approval",
            "is for tokens of the roles enroll and agent",
        );
        mistakes.require(
            self.agent.is_some() == speaks,
            "/agent",
            "goes with the role agent, and only with it",
        );
        mistakes.into_result()
    }

    async fn agent(&self, state: &AppState, caller: &Caller) -> Result<Option<AgentId>, Problem> {
        let Some(reference) = &self.agent else { return Ok(None) };
        let found = find_agent(state, caller, reference).await?;
        let missing = || Problem::invalid("/agent", format!("there is no agent {reference}"));
        found.map(|view| Some(view.agent.id)).ok_or_else(missing)
    }

    fn into_token(self, agent: Option<AgentId>, base: Token) -> Token {
        Token {
            name: self.name,
            role: self.role,
            agent,
            expires_at: self.expires_at,
            uses: self.uses,
            ephemeral: self.ephemeral,
            reenroll: self.reenroll,
            tags: self.tags,
            templates: self.templates,
            needs_approval: self.needs_approval,
            ..base
        }
    }
}

#[async_trait]
impl Resource for Token {
    type Input = TokenInput;
    type Body = TokenBody;

    const NAME: &'static str = "token";

    fn id(&self) -> u64 {
        self.id.get()
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn managed_by(&self) -> Option<&str> {
        None
    }

    fn to_input(&self) -> TokenInput {
        self.into()
    }

    fn to_body(&self, _: &AppState) -> TokenBody {
        self.into()
    }

    /// Sessions of browsers and login links are not among them.
    async fn all(state: &AppState) -> Result<Vec<Arc<Self>>, Problem> {
        let mut tokens = state.store().tokens().await?;
        tokens.retain(|token| token.purpose == TokenPurpose::Api);
        Ok(tokens)
    }

    async fn build(
        state: &AppState,
        caller: &Caller,
        input: TokenInput,
        base: Self,
    ) -> Result<Self, Problem> {
        input.validate(state.clock().now())?;
        let agent = input.agent(state, caller).await?;
        Ok(input.into_token(agent, base))
    }

    fn creation(self) -> Change {
        Change::CreateToken(Box::new(self))
    }

    fn update(self) -> Change {
        Change::UpdateToken(Box::new(self))
    }

    fn deletion(&self) -> Change {
        Change::DeleteToken(self.id)
    }
}

/// The text of a new token: `vil_` and 256 random bits.
///
/// # Errors
/// The system gives no randomness.
pub fn new_secret(random: &dyn Random) -> Result<SecretString, Problem> {
    let mut bytes = [0; 32];
    random.fill(&mut bytes).map_err(|_| Problem::internal())?;
    Ok(format!("vil_{}", URL_SAFE_NO_PAD.encode(bytes)).into())
}

/// A token for the API that is about to be made: the store gives the id.
#[must_use]
pub fn new_token(name: String, role: Role, secret: &SecretString, now: Timestamp) -> Token {
    Token {
        id: TokenId::from(std::num::NonZeroU64::MIN),
        name,
        role,
        hash: hash_of(secret),
        agent: None,
        created_at: now,
        expires_at: None,
        uses: None,
        ephemeral: false,
        reenroll: false,
        tags: Vec::new(),
        templates: Vec::new(),
        needs_approval: false,
        purpose: TokenPurpose::Api,
    }
}

/// The tokens.
#[utoipa::path(get, path = "/api/v1/token/", tag = "token", params(
    ("name" = Option<String>, Query), ("role" = Option<String>, Query), ("agent" = Option<String>, Query),
    ("limit" = Option<usize>, Query), ("offset" = Option<usize>, Query)),
    responses((status = 200, body = List<TokenBody>)))]
async fn list(
    State(state): State<AppState>,
    Admin(caller): Admin,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = query.bounds()?.page(false);
    let (names, roles) = (query.any("name"), query.any("role"));
    let agents = match query.any("agent") {
        Some(texts) => Some(super::agent::ids_of(&state, &caller, &texts).await?),
        None => None,
    };
    query.finish()?;
    let mut tokens = Token::all(&state).await?;
    tokens.retain(|token| {
        names.as_ref().is_none_or(|names| names.contains(&token.name))
            && roles.as_ref().is_none_or(|roles| roles.contains(&token.role.to_string()))
            && agents.as_ref().is_none_or(|agents| token.agent.is_some_and(|agent| agents.contains(&agent)))
    });
    Ok(resource::list(&state, &query, page, &headers, &tokens))
}

/// Makes a token; its text is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/token/", tag = "token", request_body = TokenInput,
    responses((status = 201, body = NewTokenBody)))]
async fn create(
    State(state): State<AppState>,
    Admin(caller): Admin,
    body: JsonBody,
) -> Result<Response, Problem> {
    let input: TokenInput = body.read()?;
    let secret = new_secret(state.random())?;
    let base = new_token(String::new(), input.role, &secret, state.clock().now());
    let token = Token::build(&state, &caller, input, base).await?;
    let id = made(&state, token.clone().creation(), caller.name()).await?;
    let id = TokenId::new(id).ok_or_else(Problem::internal)?;
    let body = TokenBody::from(&Token { id, ..token });
    let location = body.resource_uri.clone();
    Ok(created(&location, Answer(NewTokenBody { body, token: secret.expose_secret().to_owned() })))
}

/// One token.
#[utoipa::path(get, path = "/api/v1/token/{id}/", tag = "token", params(("id" = String, Path)),
    responses((status = 200, body = TokenBody)))]
async fn one(
    State(state): State<AppState>,
    _caller: Admin,
    path: PathParts,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    resource::one::<Token>(&state, &path, &headers).await
}

/// Replaces what a token may do; its text stays.
#[utoipa::path(put, path = "/api/v1/token/{id}/", tag = "token", params(("id" = String, Path)),
    request_body = TokenInput, responses((status = 200, body = TokenBody)))]
async fn replace(
    State(state): State<AppState>,
    Admin(caller): Admin,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.replace::<Token>(&state, &caller).await
}

/// Changes some fields of a token.
#[utoipa::path(patch, path = "/api/v1/token/{id}/", tag = "token", params(("id" = String, Path)),
    request_body = Object, responses((status = 200, body = TokenBody)))]
async fn modify(
    State(state): State<AppState>,
    Admin(caller): Admin,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.modify::<Token>(&state, &caller).await
}

/// Revokes a token, at once.
#[utoipa::path(delete, path = "/api/v1/token/{id}/", tag = "token", params(("id" = String, Path)),
    responses((status = 204)))]
async fn remove(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    resource::remove::<Token>(&state, &caller, &path, &headers).await
}
