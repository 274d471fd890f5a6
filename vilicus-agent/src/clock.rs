//! Reads the time, and corrects it by the server's.
//!
//! The only place of this crate that asks the machine what time it is; everything else is handed a [`Clock`].
//! Two hands: a wall clock, which may jump, and the time since start, which only grows. Between two answers of
//! the server the corrected time follows the second, so a jump of the machine's wall clock moves no result.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use vilicus_core::{Millis, Timestamp};

/// What time it is.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The wall clock. It may be wrong, and may jump.
    fn now(&self) -> Timestamp;

    /// The time since some fixed moment of this boot. It never goes back.
    fn elapsed(&self) -> Millis;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is handed")]
    fn now(&self) -> Timestamp {
        let millis = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        })
    }

    fn elapsed(&self) -> Millis {
        since_boot()
    }
}

/// Time since the machine started, sleep included: a laptop that slept an hour is an hour later.
#[cfg(target_os = "linux")]
fn since_boot() -> Millis {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let millis = time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000);
    Millis::new(u64::try_from(millis).unwrap_or(0))
}

/// Time since the first call.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is handed")]
fn since_boot() -> Millis {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().into()
}

/// The server's `Date` has whole seconds, and a request takes a while: a smaller difference says nothing.
const NOISE: Millis = Millis::from_secs(2);

/// How much later than now a check's last timestamp may be and still push the next one before it.
const REPAIRED: Millis = Millis::from_minutes(1);

/// The machine's clock, corrected by the server's.
#[derive(Debug, Clone)]
pub(crate) struct ServerClock {
    clock: Arc<dyn Clock>,
    anchor: Arc<Mutex<Option<Anchor>>>,
}

/// What the right time was at a moment that both know.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    right: Timestamp,
    elapsed: Millis,
    /// How much the machine's clock was ahead of the server's, in milliseconds; 0 within the noise.
    skew: i64,
}

impl ServerClock {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, anchor: Arc::default() }
    }

    /// The right time, as far as anyone knows.
    pub(crate) fn now(&self) -> Timestamp {
        match *self.lock() {
            None => self.clock.now(),
            Some(anchor) => anchor.right.after(self.span_since(anchor.elapsed)),
        }
    }

    /// The machine's wall clock, uncorrected.
    pub(crate) fn wall(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time that only grows.
    pub(crate) fn elapsed(&self) -> Millis {
        self.clock.elapsed()
    }

    /// So long ago was the given moment of [`elapsed`](Self::elapsed).
    pub(crate) fn span_since(&self, earlier: Millis) -> Millis {
        Millis::new(self.elapsed().get().saturating_sub(earlier.get()))
    }

    /// Learns the server's time from an answer to a request that was sent at `sent`, on the clock that only grows.
    pub(crate) fn observe(&self, server: Timestamp, sent: Millis) {
        let elapsed = self.elapsed();
        let halfway = Millis::new(self.span_since(sent).get() / 2);
        let (wall, server) = (self.clock.now(), server.after(halfway));
        let skew = wall.as_millis().saturating_sub(server.as_millis());
        let anchor = if skew.unsigned_abs() <= NOISE.get() {
            Anchor { right: wall, elapsed, skew: 0 }
        } else {
            Anchor { right: server, elapsed, skew }
        };
        *self.lock() = Some(anchor);
    }

    /// How far the machine's clock is ahead of the server's, in seconds; `None` before the first answer.
    pub(crate) fn skew_seconds(&self) -> Option<f64> {
        (*self.lock()).map(|anchor| anchor.skew as f64 / 1000.0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Anchor>> {
        // The value is plain, so a panic elsewhere cannot have left it half-written.
        self.anchor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The timestamp of a result: later than the one before it, unless the clock was repaired by more than a minute.
pub(crate) fn stamp(wanted: Timestamp, last: Option<Timestamp>) -> Timestamp {
    match last {
        Some(last) if wanted <= last && last.since(wanted) <= REPAIRED => last.after(Millis::new(1)),
        _ => wanted,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A clock that stands until it is moved.
    #[derive(Debug, Default)]
    pub(crate) struct HandClock(Mutex<(i64, u64)>);

    impl HandClock {
        pub(crate) fn at(wall: i64, elapsed: u64) -> Arc<Self> {
            Arc::new(Self(Mutex::new((wall, elapsed))))
        }

        pub(crate) fn set(&self, wall: i64, elapsed: u64) {
            *self.0.lock().unwrap() = (wall, elapsed);
        }
    }

    impl Clock for HandClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.lock().unwrap().0)
        }

        fn elapsed(&self) -> Millis {
            Millis::new(self.0.lock().unwrap().1)
        }
    }

    #[test]
    fn a_wrong_clock_is_corrected_and_reported() {
        let hand = HandClock::at(1_000_000, 0);
        let clock = ServerClock::new(hand.clone());
        assert_eq!((clock.now().as_millis(), clock.skew_seconds()), (1_000_000, None));
        clock.observe(Timestamp::from_millis(4_600_000), Millis::ZERO);
        assert_eq!((clock.now().as_millis(), clock.skew_seconds()), (4_600_000, Some(-3600.0)));
    }

    #[test]
    fn a_difference_within_the_noise_leaves_the_clock_alone() {
        let clock = ServerClock::new(HandClock::at(1_000_700, 0));
        clock.observe(Timestamp::from_millis(1_000_000), Millis::ZERO);
        assert_eq!((clock.now().as_millis(), clock.skew_seconds()), (1_000_700, Some(0.0)));
    }

    #[test]
    fn a_jump_of_the_wall_clock_moves_no_result() {
        let hand = HandClock::at(1_000_000, 0);
        let clock = ServerClock::new(hand.clone());
        clock.observe(Timestamp::from_millis(1_000_000), Millis::ZERO);
        hand.set(90_000_000, 5_000);
        assert_eq!(clock.now().as_millis(), 1_005_000);
    }

    #[test]
    fn timestamps_grow_unless_the_clock_was_repaired() {
        let at = Timestamp::from_millis;
        assert_eq!(stamp(at(10), None), at(10));
        assert_eq!(stamp(at(10), Some(at(9))), at(10));
        assert_eq!(stamp(at(10), Some(at(10))), at(11));
        assert_eq!(stamp(at(10), Some(at(500))), at(501));
        assert_eq!(stamp(at(10), Some(at(600_000))), at(10));
    }

    #[test]
    fn the_machines_clock_goes_forward() {
        let (first, second) = (SystemClock.elapsed(), SystemClock.elapsed());
        assert!(second >= first && SystemClock.now() > Timestamp::EPOCH);
    }
}
