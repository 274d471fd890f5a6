//! Who calls, and what they may do: typed extractors that a handler cannot do without.
//!
//! | extractor | lets in |
//! |---|---|
//! | [`Reader`] | viewers and above; agents, who then see only themselves |
//! | [`Viewer`] | viewers and above |
//! | [`Operator`] | operators and admins |
//! | [`Admin`] | admins |
//! | [`AgentOrAdmin`] | an agent for itself, and admins |
//! | [`Reporter`] | an agent for itself, operators and admins: those who may submit results |
//! | [`Enroller`] | enrolment tokens, and admins |
//!
//! 401 for no valid token, 403 for one that may not; what another's token may not know of is 404, decided by
//! [`Caller::sees`]. Any request with an agent's token is contact with that agent.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::Method;
use http::request::Parts;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use vilicus_core::{AgentId, Millis, Timestamp};
use vilicus_store::inventory::{Role, Token, TokenPurpose};
use vilicus_store::{Input, StoreError};

pub use super::cookie::{SESSION_COOKIE, begin_session, end_session, is_same_origin};
use super::credentials::Credentials;
use super::peer::Peer;
use super::problem::Problem;
use crate::api::AppState;
use crate::tokens::{LOCAL_TOKEN, who_logged_in};

/// Someone with a valid token.
#[derive(Debug, Clone)]
pub struct Caller {
    token: Arc<Token>,
}

impl Caller {
    /// What they may do.
    #[must_use]
    pub fn role(&self) -> Role {
        self.token.role
    }

    /// The token that they showed.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The name that the audit trail knows them by.
    #[must_use]
    pub fn name(&self) -> String {
        match self.token.purpose {
            TokenPurpose::Session => who_logged_in(&self.token.name).to_owned(),
            TokenPurpose::Api | TokenPurpose::Login | TokenPurpose::Password => self.token.name.clone(),
        }
    }

    /// The agent that they are; `None` for people and their tools.
    #[must_use]
    pub fn agent(&self) -> Option<AgentId> {
        self.token.agent.filter(|_| self.token.role == Role::Agent)
    }

    /// Whether they may know of this agent and what belongs to it.
    #[must_use]
    pub fn sees(&self, agent: AgentId) -> bool {
        match self.token.role {
            Role::Agent => self.token.agent == Some(agent),
            Role::Viewer | Role::Operator | Role::Admin => true,
            Role::Enroll => false,
        }
    }
}

/// The SHA-256 of a token's text: all that is kept of it.
#[must_use]
pub fn hash_of(token: &SecretString) -> [u8; 32] {
    Sha256::digest(token.expose_secret().as_bytes()).into()
}

/// An agent that waits to be let in asks again so often.
const APPROVAL_RETRY: Millis = Millis::from_secs(10);

/// Whom a session or a login link, too, lets in: the purposes that a token may have to be taken.
pub type Purposes<'a> = &'a [TokenPurpose];

/// Takes a token that was shown, however it came here: in a header, a cookie, or a form.
///
/// # Errors
/// 401 when it is not valid; 429 when this address showed too many such tokens. A valid one always passes.
pub async fn take_token(
    state: &AppState,
    peer: Peer,
    shown: &SecretString,
    purposes: Purposes<'_>,
) -> Result<Arc<Token>, Problem> {
    let hash = hash_of(shown);
    let found = state.store().token_by_hash(&hash).await?;
    let valid = found.filter(|token| {
        bool::from(token.hash.ct_eq(&hash))
            && purposes.contains(&token.purpose)
            && (token.name != LOCAL_TOKEN || peer.address.is_loopback())
            && is_alive(token, state.clock().now())
    });
    valid.ok_or_else(|| refuse(state, peer))
}

fn is_alive(token: &Token, now: Timestamp) -> bool {
    token.expires_at.is_none_or(|end| now < end) && token.uses != Some(0)
}

/// Whether a caller who was let in earlier would be let in now as the same: the token was neither taken away nor
/// changed, and is not over.
///
/// # Errors
/// The store can't read.
pub(crate) async fn is_still_valid(caller: &Caller, state: &AppState) -> Result<bool, StoreError> {
    let found = state.store().token_by_hash(&caller.token.hash).await?;
    let same = |token: &Arc<Token>| token.id == caller.token.id && token.role == caller.token.role;
    Ok(found.filter(same).is_some_and(|token| is_alive(&token, state.clock().now())))
}

/// 401, or 429 when this address was refused too often.
fn refuse(state: &AppState, peer: Peer) -> Problem {
    match state.failed_logins().take(peer.subscriber(), state.clock().monotonic()) {
        Ok(()) => Problem::unauthorized("the token is not valid; it may be mistyped, expired or revoked"),
        Err(span) => Problem::too_many("too many tokens from this address were not valid", span),
    }
}

/// Finds out who calls.
///
/// # Errors
/// 401 without a valid token, 403 for a browser's write from a foreign page, 429 for too many requests.
pub async fn authenticate(parts: &Parts, state: &AppState) -> Result<Caller, Problem> {
    let peer = parts.extensions.get::<Peer>().copied().unwrap_or(Peer::LOCAL);
    let credentials = match Credentials::from_headers(&parts.headers) {
        Ok(Some(credentials)) => credentials,
        Ok(None) => {
            return Err(Problem::unauthorized("a token is missing; send Authorization: Bearer TOKEN"));
        }
        Err(_) => return Err(refuse(state, peer)),
    };
    let purposes: Purposes<'_> =
        if credentials.by_cookie { &[TokenPurpose::Session] } else { &[TokenPurpose::Api] };
    let token = take_token(state, peer, &credentials.token, purposes).await?;
    if credentials.by_cookie && !is_read(&parts.method) && !is_same_origin(&parts.headers) {
        return Err(Problem::forbidden(
            "a write with a browser's session must come from the dashboard's own pages",
        ));
    }
    limit(&token, state)?;
    if token.role == Role::Agent && token.needs_approval {
        return Err(Problem::not_yet(
            "this agent waits for an admin to let it in: on its page, or by vilicusctl approve",
            APPROVAL_RETRY,
        ));
    }
    Ok(Caller { token })
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn limit(token: &Token, state: &AppState) -> Result<(), Problem> {
    if token.role != Role::Agent {
        return Ok(());
    }
    let taken = state.agent_requests().take(token.id, state.clock().monotonic());
    taken.map_err(|span| Problem::too_many("this token asks too often", span))
}

/// Notes that an agent was heard of. A store that can't write now must not keep the agent from reading.
pub(crate) async fn note_contact(caller: &Caller, state: &AppState) {
    let Some(agent) = caller.agent() else { return };
    if let Err(error) = state.store().commit(state.clock().now(), vec![Input::Contact { agent }]).await {
        let error = vilicus_core::result::error_chain(&error);
        tracing::warn!(%agent, %error, "cannot note that the agent was heard of");
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let caller = authenticate(parts, state).await?;
        note_contact(&caller, state).await;
        Ok(caller)
    }
}

macro_rules! extractors {
    ($($(#[$doc:meta])* $name:ident: $($role:ident)|+, $words:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(pub Caller);

        impl $name {
            fn admit(caller: Caller) -> Result<Self, Problem> {
                match caller.role() {
                    $(Role::$role)|+ => Ok(Self(caller)),
                    _ => Err(Problem::forbidden($words)),
                }
            }
        }
    )*};
}

extractors! {
    /// See the module.
    Reader: Agent | Viewer | Operator | Admin, "an enrolment token can only enrol agents";
    /// See the module.
    Viewer: Viewer | Operator | Admin, "this needs the role viewer, operator or admin";
    /// See the module.
    Operator: Operator | Admin, "this needs the role operator or admin";
    /// See the module.
    Admin: Admin, "this needs the role admin";
    /// See the module.
    AgentOrAdmin: Agent | Admin, "this needs the role admin, or the agent's own token";
    /// See the module. The agent's contact is not noted yet: it goes into the same commit as its results.
    Reporter: Agent | Operator | Admin, "this needs the role operator or admin, or the agent's own token";
    /// See the module.
    Enroller: Enroll | Admin, "this needs an enrolment token";
}

macro_rules! from_caller {
    ($($name:ident)*) => {$(
        impl FromRequestParts<AppState> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
                Self::admit(Caller::from_request_parts(parts, state).await?)
            }
        }
    )*};
}

from_caller! { Reader Viewer Operator Admin AgentOrAdmin Enroller }

impl FromRequestParts<AppState> for Reporter {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        Self::admit(authenticate(parts, state).await?)
    }
}
