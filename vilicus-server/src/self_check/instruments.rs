//! What the self-checks look through: the server's own parts, and how long its store takes to write.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vilicus_core::AgentId;
use vilicus_store::Store;

use super::outbound::LastCall;
use crate::clock::Clock;
use crate::dispatcher::Standing;
use crate::freshness::Outlook;
use crate::health::{Pulse, Vitals};
use crate::http::Tls;

/// What there is to look at. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Instruments {
    /// Remembers everything.
    pub store: Arc<dyn Store>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The signs of life.
    pub vitals: Vitals,
    /// How the channels stand.
    pub standing: Standing,
    /// How long the store takes to write.
    pub commits: Commits,
    /// What came of the last call of the heartbeat address.
    pub last_call: LastCall,
    /// The server's own certificate.
    pub tls: Option<Arc<Tls>>,
    /// Where the store's files are.
    pub data_dir: Option<PathBuf>,
    /// The agent of the self-checks.
    pub own: Option<AgentId>,
}

impl Instruments {
    /// Those of a server that does not run yet, or that never will: all is well, and there is no agent.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let pulse = || Pulse::new(clock.clone());
        let (judge, dispatcher) = (pulse(), pulse());
        Self {
            vitals: Vitals { store: store.clone(), judge, dispatcher, outlook: Outlook::default() },
            store,
            clock,
            standing: Standing::default(),
            commits: Commits::default(),
            last_call: LastCall::default(),
            tls: None,
            data_dir: None,
            own: None,
        }
    }
}

/// How long durable commits take: those of the self-checks themselves. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Commits(Arc<Mutex<Spans>>);

#[derive(Debug, Default)]
struct Spans {
    last: Duration,
    under_way_since: Option<Duration>,
}

impl Commits {
    /// How long the last one took; zero before the first.
    #[must_use]
    pub fn last(&self) -> Duration {
        self.lock().last
    }

    /// For how long one has been under way; zero when none is.
    #[must_use]
    pub fn under_way(&self, clock: &dyn Clock) -> Duration {
        let began = self.lock().under_way_since;
        began.map_or(Duration::ZERO, |began| clock.monotonic().saturating_sub(began))
    }

    /// Measures one.
    pub(super) async fn measure<T>(&self, clock: &dyn Clock, commit: impl Future<Output = T>) -> T {
        let began = clock.monotonic();
        self.lock().under_way_since = Some(began);
        let outcome = commit.await;
        let took = clock.monotonic().saturating_sub(began);
        *self.lock() = Spans { last: took, under_way_since: None };
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, Spans> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use vilicus_core::{Millis, Timestamp};

    #[tokio::test]
    async fn a_commit_that_does_not_end_is_seen_while_it_is_under_way() {
        let (clock, commits) = (ManualClock::new(Timestamp::EPOCH), Commits::default());
        let during = commits.measure(&clock, async {
            clock.advance(Millis::from_secs(7));
            commits.under_way(&clock)
        });
        assert_eq!(during.await, Duration::from_secs(7));
        assert_eq!((commits.under_way(&clock), commits.last()), (Duration::ZERO, Duration::from_secs(7)));
    }
}
