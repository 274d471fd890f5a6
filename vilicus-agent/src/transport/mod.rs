//! The way to the server: the open trait [`Transport`], and what is said over it.
//!
//! Two stand here: [`HttpTransport`] for a server elsewhere and [`InProcessTransport`] for one in the same
//! process. Both are one [`RestTransport`] over a different [`Carrier`], so there is one code path for requests
//! and answers. Absent on purpose: retries, buffering and backoff. They are the reporter's.

mod http;
mod in_process;
mod rest;
mod tls;
mod wire;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use vilicus_core::{AgentId, CheckId, CheckResult, Millis, Policy, Status, Timestamp};

pub use self::http::{HttpCarrier, HttpError, HttpOptions, HttpTransport};
pub use self::in_process::{InProcessCarrier, InProcessTransport};
pub use self::rest::{Carrier, CarrierError, RestTransport, TokenError, date_of};
pub use self::tls::TlsError;

pub(crate) use self::rest::failure_of;
pub(crate) use self::wire::announcement_body;

/// The way to a server. Each method is one request; all of them may be repeated without harm.
///
/// # Cancel safety
/// Futures may be dropped at any await; whether the server got the request is then unknown.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Who the server takes this agent for. Verifies access.
    ///
    /// # Errors
    /// See [`TransportError`]; the same holds for every method.
    async fn agent(&self) -> Result<Answer<AgentRecord>, TransportError>;

    /// The checks of this agent, or `None` when they are still those of `etag`.
    async fn checks(&self, etag: Option<&str>) -> Result<Answer<Option<CheckList>>, TransportError>;

    /// Delivers results; a 2xx means that the server has them for good.
    async fn report(&self, reports: &[Report]) -> Result<Answer<Outcome>, TransportError>;

    /// Tells the server that the agent lives, and what it is.
    async fn check_in(&self, agent: AgentId, check_in: &CheckIn)
    -> Result<Answer<CheckedIn>, TransportError>;

    /// Announces the checks that the agent brings itself: all of them, each time.
    async fn announce(&self, agent: AgentId, checks: &[Announcement]) -> Result<Answer<()>, TransportError>;

    /// Signs the agent off: it goes, and nobody needs to be told.
    async fn sign_off(&self, agent: AgentId) -> Result<Answer<()>, TransportError>;
}

#[async_trait]
impl<T: Transport + ?Sized> Transport for Arc<T> {
    async fn agent(&self) -> Result<Answer<AgentRecord>, TransportError> {
        (**self).agent().await
    }

    async fn checks(&self, etag: Option<&str>) -> Result<Answer<Option<CheckList>>, TransportError> {
        (**self).checks(etag).await
    }

    async fn report(&self, reports: &[Report]) -> Result<Answer<Outcome>, TransportError> {
        (**self).report(reports).await
    }

    async fn check_in(
        &self,
        agent: AgentId,
        check_in: &CheckIn,
    ) -> Result<Answer<CheckedIn>, TransportError> {
        (**self).check_in(agent, check_in).await
    }

    async fn announce(&self, agent: AgentId, checks: &[Announcement]) -> Result<Answer<()>, TransportError> {
        (**self).announce(agent, checks).await
    }

    async fn sign_off(&self, agent: AgentId) -> Result<Answer<()>, TransportError> {
        (**self).sign_off(agent).await
    }
}

/// An answer of the server, and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    /// What was answered.
    pub value: T,
    /// The server's clock, in whole seconds, if it said.
    pub date: Option<Timestamp>,
}

/// This agent as the server knows it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AgentRecord {
    /// Its id.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// The longest that it may stay silent.
    pub check_interval: Millis,
    /// The version of its configuration.
    pub config_etag: Option<String>,
}

/// The checks of an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckList {
    /// What to send as the `etag` of the next request, if the server gave one.
    pub etag: Option<String>,
    /// All checks of every kind.
    pub checks: Vec<CheckSpec>,
    /// The entries that could not be understood, each with the reason.
    pub misfits: Vec<String>,
}

/// One check as the server wants it run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CheckSpec {
    /// Its id.
    pub id: CheckId,
    /// Its name, unique within the agent.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The parameters of its kind.
    pub params: Value,
    /// How often it runs; `None` means as often as the agent reports.
    pub interval: Option<Millis>,
    /// After this time a run is dropped.
    pub timeout: Millis,
    /// The status of a run that was dropped.
    pub timeout_status: Status,
    /// Whether it runs at all.
    pub enabled: bool,
    /// Whether the agent brought it itself.
    pub own: bool,
}

/// One result on its way to the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The check that ran.
    pub check: CheckId,
    /// What it found.
    pub result: CheckResult,
}

/// What became of a batch of results.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Results that are new to the server.
    pub accepted: u64,
    /// Results that it had before.
    pub duplicates: u64,
    /// Results that it will never take.
    pub rejected: Vec<Rejected>,
    /// What it wants done.
    pub orders: Orders,
}

/// A result that the server will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Which one: its place in the batch.
    pub index: usize,
    /// The HTTP status that it would have had alone.
    pub status: u16,
    /// Why.
    pub detail: String,
}

/// What every answer to an agent may carry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Orders {
    /// The version of the agent's configuration: when it is another one, fetch the checks.
    pub config_etag: Option<String>,
    /// Checks to run sooner than planned, and how soon.
    pub run: Vec<(CheckId, Millis)>,
}

/// What the agent says of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckIn {
    /// The name of the machine.
    pub hostname: Option<String>,
    /// The version of the agent.
    pub version: String,
    /// The agent's own lasting name for itself, if it has one.
    pub guid: Option<String>,
    /// Facts about the machine and the agent.
    pub facts: Map<String, Value>,
}

/// What the server answers to that.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckedIn {
    /// The longest that the agent may stay silent, if the answer said so.
    pub check_interval: Option<Millis>,
    /// What the server wants done.
    pub orders: Orders,
}

/// A check that the agent brings itself, as the server is told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// Its name, unique within the agent.
    pub name: String,
    /// Its kind; any word.
    pub kind: String,
    /// What it checks, for people.
    pub description: String,
    /// What is wanted of it.
    pub policy: Policy,
}

/// A request that did not do what it should. Says what to do next; holds no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The server could not be asked: no route, no answer, a broken connection. Try again.
    #[error("cannot reach the server at {server}")]
    Unreachable {
        /// Where it should be.
        server: String,
        /// Why it could not be reached.
        #[source]
        source: CarrierError,
    },
    /// The token is not valid, or not for this. Trying again helps only after someone has mended it.
    #[error(
        "the server refuses this agent's token ({status}: {detail}); enrol again, or mend the token file"
    )]
    Unauthorized {
        /// 401 or 403.
        status: u16,
        /// The server's words.
        detail: String,
    },
    /// The agent is enrolled, and an admin has not let it in yet. Goes on by itself.
    #[error("the server does not let this agent in yet: {detail}")]
    NotYet {
        /// The server's words.
        detail: String,
        /// When it asked to be asked again.
        retry_after: Option<Millis>,
    },
    /// The token is somebody's who looks after many agents. Results would be another host's.
    #[error("the token is no agent's: it sees {agents} agents; enrol this host with 'vilicus-agent enroll'")]
    NotOfAnAgent {
        /// How many agents it sees, at least.
        agents: usize,
    },
    /// The request was too large. Send less at a time.
    #[error("the server says that the request is too large")]
    TooLarge,
    /// The server has no time now. Try again later.
    #[error("the server is busy ({status})")]
    Busy {
        /// 429 or 5xx.
        status: u16,
        /// When it asked to be asked again.
        retry_after: Option<Millis>,
    },
    /// The server does not take this request. The same one will never pass.
    #[error("the server refuses the request ({status}: {detail})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
    },
    /// What answered does not speak this protocol. Perhaps it is another server.
    #[error(
        "the answer of {server} cannot be understood: {detail}; is this the address of a vilicus server?"
    )]
    Protocol {
        /// What was asked.
        server: String,
        /// What is wrong with the answer.
        detail: String,
    },
}

impl TransportError {
    /// How long the server asked to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Millis> {
        match self {
            Self::Busy { retry_after, .. } | Self::NotYet { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether someone has to mend something before it can work: the token, or the address.
    #[must_use]
    pub fn needs_mending(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized { .. }
                | Self::NotOfAnAgent { .. }
                | Self::Protocol { .. }
                | Self::Refused { .. }
        )
    }

    /// Whether the *content* is at fault, so that a smaller part of it may pass.
    #[must_use]
    pub fn blames_content(&self) -> bool {
        matches!(self, Self::TooLarge | Self::Refused { status: 400 | 422, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trait_can_live_behind_a_pointer() {
        fn takes(_: Option<Arc<dyn Transport>>) {}
        takes(None);
    }

    #[test]
    fn errors_say_what_to_do_next() {
        let refused = |status| TransportError::Refused { status, detail: String::new() };
        assert!(refused(422).blames_content() && !refused(404).blames_content());
        assert!(TransportError::TooLarge.blames_content() && !TransportError::TooLarge.needs_mending());
        let busy = TransportError::Busy { status: 503, retry_after: Some(Millis::from_secs(7)) };
        assert_eq!(busy.retry_after(), Some(Millis::from_secs(7)));
    }
}
