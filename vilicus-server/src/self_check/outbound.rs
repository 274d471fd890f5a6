//! The sign of life that someone else waits for: a `GET` of an address, as that of a healthchecks.io check.
//!
//! It is sent only after a look through the whole way that a problem takes. The self-check `heartbeat` looks whether
//! deadlines are judged, the dispatcher is alive, no message is overdue, not every channel fails, and the server is not
//! blind; its result is committed durably and judged; and only when that result is found again in the store, fresh and
//! good, the address is called. What this does not prove: that a message reaches a phone. Each message that a service
//! takes proves that, and a service that takes none is a channel that fails.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use url::Url;
use vilicus_core::result::error_chain;
use vilicus_core::{CheckResult, Metric, Millis, Status};
use vilicus_store::StoreError;
use vilicus_store::inventory::SELF_KIND;
use vilicus_store::query::{CheckFilter, CheckView, Page};

use super::look::Queue;
use super::watch::Watch;
use super::{Instruments, set_up};
use crate::outbound::{ClientError, OutboundPolicy, unanswered};

/// A message that could have been tried for so long is one that is not sent.
const OVERDUE: Millis = Millis::from_secs(60);

/// No sign of life can be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeartbeatError {
    /// The address is none, or not one of HTTP.
    #[error("heartbeat_url must begin with http:// or https://")]
    Address,
    /// The policy refuses the address.
    #[error("heartbeat_url cannot be called: {0}")]
    Refused(String),
    /// No client can be made.
    #[error("heartbeat_url cannot be called")]
    Client(#[from] ClientError),
}

/// Why the last call failed; empty while it did not. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct LastCall(Arc<Mutex<Option<String>>>);

impl LastCall {
    fn set(&self, fault: Option<String>) {
        // Nothing panics while it is held.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn fault(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Calls the address while all is well.
pub struct Heartbeat {
    instruments: Instruments,
    client: reqwest::Client,
    /// Whoever knows it can keep up the appearance of life.
    url: Url,
    every: Duration,
}

impl std::fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heartbeat").field("every", &self.every).finish_non_exhaustive()
    }
}

impl Heartbeat {
    /// Calls this address so often.
    ///
    /// # Errors
    /// The address can't be called.
    pub fn new(
        instruments: Instruments,
        policy: &OutboundPolicy,
        url: &str,
        every: Millis,
    ) -> Result<Self, HeartbeatError> {
        let url: Url = url.parse().map_err(|_| HeartbeatError::Address)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HeartbeatError::Address);
        }
        policy.judge_url(&url).map_err(|refusal| HeartbeatError::Refused(refusal.to_string()))?;
        Ok(Self { instruments, client: policy.http_client()?, url, every: every.into() })
    }

    /// Works until `shutdown` ends.
    ///
    /// # Cancel safety
    /// A call under way is cut off.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(self.every) => {}
            }
            tokio::select! {
                () = &mut shutdown => return,
                () = self.beat() => {}
            }
        }
    }

    async fn beat(&self) {
        match self.is_well().await {
            Ok(true) => self.call().await,
            Ok(false) => tracing::warn!("not all is well: the heartbeat address is not called"),
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "the heartbeat address is not called");
            }
        }
    }

    /// Whether the newest result of the self-check is durable, fresh and good.
    async fn is_well(&self) -> Result<bool, StoreError> {
        let Some(own) = self.instruments.own else { return Ok(false) };
        let filter =
            CheckFilter { agents: vec![own], kinds: vec![SELF_KIND.to_owned()], ..CheckFilter::default() };
        let checks = self.instruments.store.checks(&filter, Page::ALL).await?.objects;
        let probe = checks.iter().find(|view| view.check.params.0["watch"] == Watch::Heartbeat.as_str());
        let writable = self.instruments.store.health().await.writable;
        Ok(writable && probe.is_some_and(|view| self.is_fresh_and_good(view)))
    }

    fn is_fresh_and_good(&self, view: &CheckView) -> bool {
        let longest = set_up::INTERVAL.max(view.policy.interval).times(3);
        let now = self.instruments.clock.now();
        let fresh = view.state.last_received_at.is_some_and(|at| now.since(at) <= longest);
        // A WARNING says that the address was not reached, which only another call can change.
        fresh && matches!(view.state.status, Some(Status::Ok | Status::Warning))
    }

    async fn call(&self) {
        let fault = match self.client.get(self.url.clone()).send().await {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered {}", words(answer.status()))),
            Err(error) => Some(unanswered("it", &error.without_url()).to_string()),
        };
        if let Some(fault) = &fault {
            tracing::warn!(fault, "the heartbeat address was called in vain");
        }
        self.instruments.last_call.set(fault);
    }
}

fn words(status: StatusCode) -> String {
    status
        .canonical_reason()
        .map_or_else(|| status.as_str().to_owned(), |words| format!("{} {words}", status.as_str()))
}

/// The look through the whole way, up to the result that says so.
pub(super) async fn probe(instruments: &Instruments) -> Result<CheckResult, StoreError> {
    let vitals = &instruments.vitals;
    let overdue = Queue::look(instruments).await?.overdue;
    let faults = [
        (!vitals.judge.is_alive(), "deadlines are not judged"),
        (!vitals.dispatcher.is_alive(), "the dispatcher is stuck"),
        (overdue >= OVERDUE, "messages are not sent"),
        (every_channel_fails(instruments).await?, "no channel delivers"),
        (vitals.outlook.blind().is_some(), "most agents are silent"),
    ];
    let faults: Vec<_> = faults.into_iter().filter_map(|(fails, fault)| fails.then_some(fault)).collect();
    let call = instruments.last_call.fault();
    let result = match (faults.as_slice(), &call) {
        ([], None) => CheckResult::ok("the heartbeat address is called"),
        ([], Some(fault)) => {
            CheckResult::warning(format!("the heartbeat address was called in vain: {fault}"))
        }
        (faults, _) => {
            CheckResult::critical(format!("the heartbeat address is not called: {}", faults.join(", ")))
        }
    };
    Ok(result.metric(Metric::seconds("overdue_seconds", overdue.as_secs_f64())))
}

async fn every_channel_fails(instruments: &Instruments) -> Result<bool, StoreError> {
    let channels = instruments.store.channels().await?;
    let mut on = channels.iter().filter(|channel| channel.enabled).peekable();
    let is_any = on.peek().is_some();
    Ok(is_any
        && on.all(|channel| channel.paused.is_some() || instruments.standing.failing(channel.id).is_some()))
}
