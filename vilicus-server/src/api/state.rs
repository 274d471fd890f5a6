//! What every handler works with: the store, the registries, the clock, the limits.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;
use vilicus_core::{ChannelId, KindRegistry, Millis, NotifierRegistry, TokenId};
use vilicus_store::Store;

use super::event_stream::Streams;
use crate::clock::Clock;
use crate::http::Limits;
use crate::http::bucket::Buckets;
use crate::metrics::Counters;

/// The parts that the API is made of; all of them the caller's choice.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Remembers.
    pub store: Arc<dyn Store>,
    /// The kinds of check whose parameters the server can judge.
    pub kinds: KindRegistry,
    /// The kinds of notifier.
    pub notifiers: NotifierRegistry,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes tokens that nobody can guess.
    pub random: Arc<dyn Random>,
    /// Tries channels.
    pub tester: Arc<dyn ChannelTester>,
    /// How much anyone may ask for.
    pub limits: Limits,
    /// The address that people and jobs use, when it is known.
    pub public_url: Option<String>,
}

/// [`Parts`] and what the API remembers between requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    failed_logins: Buckets<IpAddr>,
    agent_requests: Buckets<TokenId>,
    edits: Mutex<()>,
    streams: Streams,
    closing: CancellationToken,
    counters: Counters,
}

impl AppState {
    /// The state of an API of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let failed_logins = Buckets::new(parts.limits.failed_logins);
        let agent_requests = Buckets::new(parts.limits.agent_requests);
        Self(Arc::new(Inner {
            parts,
            failed_logins,
            agent_requests,
            edits: Mutex::default(),
            streams: Streams::default(),
            closing: CancellationToken::new(),
            counters: Counters::default(),
        }))
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.parts.store
    }

    /// The kinds of check.
    #[must_use]
    pub fn kinds(&self) -> &KindRegistry {
        &self.0.parts.kinds
    }

    /// The kinds of notifier.
    #[must_use]
    pub fn notifiers(&self) -> &NotifierRegistry {
        &self.0.parts.notifiers
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.0.parts.clock
    }

    /// The source of randomness.
    #[must_use]
    pub fn random(&self) -> &dyn Random {
        &*self.0.parts.random
    }

    /// What tries channels.
    #[must_use]
    pub fn tester(&self) -> &dyn ChannelTester {
        &*self.0.parts.tester
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.parts.limits
    }

    /// A path of this server as people and jobs reach it: with the public address before it, when that is known.
    #[must_use]
    pub fn link(&self, path: &str) -> String {
        let base = self.0.parts.public_url.as_deref().unwrap_or("");
        format!("{}{path}", base.trim_end_matches('/'))
    }

    /// The address that people and jobs use, when it is known.
    #[must_use]
    pub fn public_url(&self) -> Option<&str> {
        self.0.parts.public_url.as_deref()
    }

    /// Waits until nobody else changes an object of the configuration. Held from reading the object until its change is
    /// written, so that of two changes at the same time none undoes the other, and `If-Match` holds.
    pub async fn edit(&self) -> MutexGuard<'_, ()> {
        self.0.edits.lock().await
    }

    /// The streams of events that are open.
    pub(super) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// Ends with the server: answers that go on for ever end when it is cancelled.
    #[must_use]
    pub fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }

    /// What is counted along the way, for `/metrics`.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Tokens that were not valid, by address.
    #[must_use]
    pub fn failed_logins(&self) -> &Buckets<IpAddr> {
        &self.0.failed_logins
    }

    /// Requests of agents, by token.
    #[must_use]
    pub fn agent_requests(&self) -> &Buckets<TokenId> {
        &self.0.agent_requests
    }
}

/// Fills bytes that nobody can guess.
pub trait Random: fmt::Debug + Send + Sync + 'static {
    /// Fills all of `bytes`.
    ///
    /// # Errors
    /// The system gives no randomness now.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness>;
}

/// The system gives no randomness; without it no token can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness; try again")]
pub struct NoRandomness;

/// The randomness of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        getrandom::fill(bytes).map_err(|_| NoRandomness)
    }
}

/// Sends a test message over a channel, the way that every message goes.
#[async_trait]
pub trait ChannelTester: fmt::Debug + Send + Sync + 'static {
    /// Sends a test over this channel and waits for what comes of it.
    async fn test(&self, channel: ChannelId) -> TestOutcome;
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome {
    /// Whether the service took the message.
    pub delivered: bool,
    /// What it said, in our words; never the remote's body.
    pub detail: String,
    /// How long it took.
    pub took: Millis,
    /// The receipt, if the service gave one.
    pub receipt: Option<String>,
}
