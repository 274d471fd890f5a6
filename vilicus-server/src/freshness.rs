//! Turns silence into input: sleeps until the store's next deadline, and has it judged.
//!
//! A wall clock that was set is not silence: when it moved against the monotonic clock by more than
//! [`LONGEST_DRIFT`], no deadline is judged for [`AFTER_JUMP`], as after a restart, so that agents are heard of by
//! the new time first.
//!
//! Most agents that fall silent at once are not news of N hosts but of the server: then deadlines wait too, and
//! [`Outlook`] says so to whom it concerns; see [`crate::self_check`]. What waits is told late, with its true times.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vilicus_core::result::error_chain;
use vilicus_core::{Millis, Timestamp};
use vilicus_store::query::{AgentFilter, Page};
use vilicus_store::{Input, Sequence, Store, StoreError};

use crate::clock::Clock;
use crate::health::{BEAT_EVERY, Pulse};
use crate::self_check::{Blind, Blindness};

/// The wall clock may move so far against the monotonic one between two looks before that counts as a jump.
pub const LONGEST_DRIFT: Millis = Millis::from_secs(30);
/// For so long no deadline is judged after a jump: the longest that a deadline is held at a start.
pub const AFTER_JUMP: Duration = Duration::from_secs(300);
/// A burst of commits makes one look at the deadlines.
const LOOK_GAP: Duration = Duration::from_millis(20);
/// When the store can't write, the deadlines wait so long.
const STORE_REST: Duration = Duration::from_secs(1);
/// All agents are looked at no more often.
const AGENTS_EVERY: Duration = Duration::from_secs(1);
/// The worst lag is remembered so long.
const LAG_KEPT: Duration = Duration::from_secs(60);

/// What the watch over silence has to say of itself. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Outlook(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    lag: Duration,
    lag_at: Duration,
    blind: Option<Blind>,
}

impl Outlook {
    /// How late deadlines were judged in the last minute, at worst.
    #[must_use]
    pub fn lag(&self) -> Duration {
        self.lock().lag
    }

    /// Whether most agents are silent, so that it is rather the server that sees nothing.
    #[must_use]
    pub fn blind(&self) -> Option<Blind> {
        self.lock().blind.clone()
    }

    fn note_lag(&self, lag: Duration, monotonic: Duration) {
        let mut seen = self.lock();
        if lag >= seen.lag || monotonic.saturating_sub(seen.lag_at) >= LAG_KEPT {
            (seen.lag, seen.lag_at) = (lag, monotonic);
        }
    }

    fn note_blind(&self, blind: Option<Blind>) {
        self.lock().blind = blind;
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Judges deadlines when they pass.
#[derive(Debug)]
pub struct Freshness {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    pulse: Pulse,
    watch: ClockWatch,
    outlook: Outlook,
    blindness: Option<Blindness>,
    /// When it was last looked at the deadlines, and at the agents, by the monotonic clock.
    looked_at: Duration,
    agents_at: Option<Duration>,
}

impl Freshness {
    /// Watches the deadlines of this store, and gives signs of life by this pulse.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, pulse: Pulse) -> Self {
        let watch = ClockWatch::new(clock.now(), clock.monotonic());
        let looked_at = clock.monotonic();
        let outlook = Outlook::default();
        Self { store, clock, pulse, watch, outlook, blindness: None, looked_at, agents_at: None }
    }

    /// The same, telling this outlook what it finds, and holding back deadlines while most agents are silent.
    #[must_use]
    pub(crate) fn watching(mut self, outlook: Outlook, blindness: Option<Blindness>) -> Self {
        (self.outlook, self.blindness) = (outlook, blindness);
        self
    }

    /// Works until `shutdown` ends.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped: deadlines that passed are judged after the next start.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut seen = Sequence::START;
        loop {
            let wait = match self.judge_due().await {
                Ok(wait) => {
                    self.pulse.beat();
                    wait
                }
                Err(error) => {
                    tracing::warn!(error = error_chain(&error), "cannot judge deadlines");
                    STORE_REST
                }
            };
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(wait) => {}
                now = self.store.changed(seen) => {
                    seen = now;
                    tokio::time::sleep(LOOK_GAP).await;
                }
            }
        }
    }

    /// Has what is due judged, and says how long to sleep.
    async fn judge_due(&mut self) -> Result<Duration, StoreError> {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        if let Some(jump) = self.watch.look(now, monotonic) {
            tracing::warn!(jump_ms = jump, hold = ?AFTER_JUMP, "the wall clock was set; deadlines wait as after a restart");
        }
        let hold = self.watch.hold(monotonic);
        if !hold.is_zero() {
            self.looked_at = monotonic;
            return Ok(hold.min(BEAT_EVERY));
        }
        let due = self.store.next_due().await?;
        let is_due = due.is_some_and(|due| due <= now);
        let held = self.look_at_agents(is_due, now, monotonic).await?;
        let wait = match due {
            Some(_) if is_due && !held.is_zero() => held.min(AGENTS_EVERY),
            Some(due) if is_due => {
                self.store.commit(now, vec![Input::Deadlines]).await?;
                self.note_lag(due);
                // What was due is judged; what is due by then is looked at when the commit wakes us.
                STORE_REST
            }
            Some(due) => Duration::from(due.since(now)).min(BEAT_EVERY),
            None => BEAT_EVERY,
        };
        self.looked_at = monotonic;
        Ok(wait)
    }

    /// Says for how long deadlines are held back because most agents are silent.
    async fn look_at_agents(
        &mut self,
        is_due: bool,
        now: Timestamp,
        monotonic: Duration,
    ) -> Result<Duration, StoreError> {
        let Some(blindness) = &mut self.blindness else {
            return Ok(Duration::ZERO);
        };
        let was = blindness.blind(monotonic);
        let recently = self.agents_at.is_some_and(|at| monotonic.saturating_sub(at) < AGENTS_EVERY);
        if recently || !(is_due || was.is_some()) {
            return Ok(blindness.hold(monotonic));
        }
        let agents = self.store.agents(&AgentFilter::default(), Page::ALL).await?.objects;
        let hold = blindness.look(&agents, now, monotonic);
        self.agents_at = Some(monotonic);
        let is = blindness.blind(monotonic);
        if was.is_some() != is.is_some() {
            tracing::warn!(blind = ?is, "most agents are silent at once, or are heard of again");
        }
        self.outlook.note_blind(is);
        Ok(hold)
    }

    /// A deadline was judged: it was late by no more than the time since nothing was due.
    fn note_lag(&self, due: Timestamp) {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let lag = Duration::from(now.since(due)).min(monotonic.saturating_sub(self.looked_at));
        self.outlook.note_lag(lag, monotonic);
    }
}

/// Compares the wall clock with the monotonic one.
#[derive(Debug)]
struct ClockWatch {
    wall: Timestamp,
    monotonic: Duration,
    hold_until: Duration,
}

impl ClockWatch {
    fn new(wall: Timestamp, monotonic: Duration) -> Self {
        Self { wall, monotonic, hold_until: Duration::ZERO }
    }

    /// How far the wall clock jumped since the last look, in milliseconds, if it did.
    fn look(&mut self, wall: Timestamp, monotonic: Duration) -> Option<i64> {
        let passed = Millis::from(monotonic.saturating_sub(self.monotonic));
        let drift = wall.as_millis().saturating_sub(self.wall.after(passed).as_millis());
        (self.wall, self.monotonic) = (wall, monotonic);
        if drift.unsigned_abs() <= LONGEST_DRIFT.get() {
            return None;
        }
        self.hold_until = monotonic + AFTER_JUMP;
        Some(drift)
    }

    /// How much longer deadlines wait.
    fn hold(&self, monotonic: Duration) -> Duration {
        self.hold_until.saturating_sub(monotonic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    const fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn time_that_passes_is_no_jump() {
        let mut watch = ClockWatch::new(at(1000), after(0));
        for (wall, monotonic) in [(1005, 5), (4600, 3600), (4629, 3600), (4600, 3601)] {
            assert_eq!(watch.look(at(wall), after(monotonic)), None, "{wall}");
            assert!(watch.hold(after(monotonic)).is_zero());
        }
    }

    #[test]
    fn a_jump_either_way_holds_the_deadlines() {
        for seconds in [3600, -3600, 31, -31] {
            let mut watch = ClockWatch::new(at(1000), after(0));
            assert_eq!(watch.look(at(1005 + seconds), after(5)), Some(seconds * 1000));
            assert_eq!(watch.hold(after(5)), AFTER_JUMP);
            assert_eq!(watch.look(at(1010 + seconds), after(10)), None, "it is the time now");
            assert!(watch.hold(after(305)).is_zero());
        }
    }
}
