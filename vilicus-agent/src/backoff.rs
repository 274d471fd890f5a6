//! How long to wait before the server is asked again: full jitter, so that ten thousand agents do not come back
//! in one moment. Pure: the random number is an argument.
//!
//! *Source:* <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/> (full jitter).

use vilicus_core::Millis;

/// The longest wait: ten thousand agents that come back within it are some 300 a second.
const LONGEST: Millis = Millis::from_secs(30);
/// How long the server waits beyond two intervals before it calls an agent down.
const GRACE: Millis = Millis::from_secs(30);
/// How far from being called down the next try must be.
const MARGIN: Millis = Millis::from_secs(20);
/// Never less, so that an error without delay can't become a busy loop.
const SHORTEST: Millis = Millis::new(100);

/// The waits after failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait: anything up to 1 s, 2 s, 4 s … doubled with each failure, up to `longest`.
    pub(crate) fn next(&mut self, longest: Millis, random: u64) -> Millis {
        let ceiling = Millis::from_secs(1 << self.failures.min(6)).min(longest);
        self.failures = self.failures.saturating_add(1);
        share(ceiling, random).max(SHORTEST)
    }
}

/// The longest wait for an agent with this check interval: at most 30 s, and 20 s short of being called down.
pub(crate) fn longest(check_interval: Millis) -> Millis {
    let down_after = check_interval.times(2).plus(GRACE);
    Millis::new(down_after.get().saturating_sub(MARGIN.get())).min(LONGEST)
}

/// What the server asked for, and up to a tenth more: it asked many at once.
pub(crate) fn asked_for(retry_after: Millis, random: u64) -> Millis {
    retry_after.plus(share(Millis::new(retry_after.get() / 10), random)).max(SHORTEST)
}

/// For what someone has to mend: a slow look whether they have, half of it to all of it.
pub(crate) fn slow(longest: Millis, random: u64) -> Millis {
    let half = Millis::new(longest.get() / 2);
    half.plus(share(half, random))
}

/// A random share of a span, from nothing to all of it.
fn share(span: Millis, random: u64) -> Millis {
    let scaled = u128::from(span.get()) * u128::from(random) / u128::from(u64::MAX);
    Millis::new(u64::try_from(scaled).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_grow_to_half_a_minute() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> =
            (0..8).map(|_| backoff.next(longest(Millis::from_minutes(1)), u64::MAX).get() / 1000).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.next(LONGEST, 0), SHORTEST);
    }

    proptest! {
        #[test]
        fn no_wait_reaches_the_deadline(interval in 1000_u64..10_000_000, failures in 0_u32..100, random: u64) {
            let interval = Millis::new(interval);
            let wait = Backoff { failures }.next(longest(interval), random);
            prop_assert!(wait <= LONGEST);
            prop_assert!(wait.plus(MARGIN) <= interval.times(2).plus(GRACE));
            prop_assert!(slow(longest(interval), random) <= longest(interval));
        }

        #[test]
        fn a_server_is_left_alone_as_long_as_it_asked(span in 0_u64..3_600_000, random: u64) {
            let wait = asked_for(Millis::new(span), random).get();
            prop_assert!(wait >= span && wait <= span + span / 10 + SHORTEST.get());
        }
    }
}
