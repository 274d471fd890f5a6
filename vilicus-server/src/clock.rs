//! The only place of this crate that reads a clock.
//!
//! Everything else is handed a [`Clock`], so that a test can say what time it is.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use vilicus_core::{Millis, Timestamp};

/// Tells the time, twice: by the wall clock, which people set, and by one that only runs forward.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// How long this clock has been running; never goes back and never jumps.
    fn monotonic(&self) -> Duration;
}

/// The clock of this machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock that runs from now on.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let millis = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
        };
        Timestamp::from_millis(millis)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until it is told to move: for tests and simulations.
#[derive(Debug)]
pub struct ManualClock {
    now_ms: AtomicI64,
    running_ms: AtomicU64,
}

impl ManualClock {
    /// A clock that shows this moment.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { now_ms: AtomicI64::new(now.as_millis()), running_ms: AtomicU64::new(0) }
    }

    /// Time passes.
    pub fn advance(&self, span: Millis) {
        let millis = i64::try_from(span.get()).unwrap_or(i64::MAX);
        self.now_ms.fetch_add(millis, Ordering::SeqCst);
        self.running_ms.fetch_add(span.get(), Ordering::SeqCst);
    }

    /// Someone sets the wall clock; no time passes.
    pub fn set(&self, now: Timestamp) {
        self.now_ms.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.running_ms.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_the_wall_clock_does_not_move_the_other() {
        let clock = ManualClock::new(Timestamp::EPOCH);
        clock.advance(Millis::from_secs(5));
        clock.set(Timestamp::EPOCH);
        assert_eq!((clock.now(), clock.monotonic()), (Timestamp::EPOCH, Duration::from_secs(5)));
    }

    #[test]
    fn the_system_clock_runs_forward() {
        let clock = SystemClock::new();
        let before = clock.monotonic();
        assert!(clock.monotonic() >= before && clock.now() > Timestamp::EPOCH);
    }
}
