//! When a channel rests: shortly after a passing fault, and until it is mended after a fault of the channel itself.
//!
//! Held in memory only. That a channel is paused is in the store; when it is looked at next is not, so that a
//! restart probes at once: whoever mended the channel may have restarted the server for it.

use std::time::Duration;

use vilicus_core::Millis;

use super::retry;

/// While a channel is paused, its oldest message is tried so often, unless the fault says when it may be over.
pub const PROBE_EVERY: Duration = Duration::from_secs(300);

/// How a channel does, by the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Rest {
    until: Duration,
    failures: u32,
}

impl Rest {
    /// How much longer the channel rests; zero when it may be used.
    pub(super) fn left(&self, now: Duration) -> Duration {
        self.until.saturating_sub(now)
    }

    /// Whether the last try failed: then one message is tried alone before the others follow. Those behind it stay
    /// untried meanwhile, so that what is news merges into them.
    pub(super) fn is_doubtful(&self) -> bool {
        self.failures > 0
    }

    /// A message passed.
    pub(super) fn passed(&mut self) {
        *self = Self::default();
    }

    /// A passing fault: the channel rests as long as a message with so many failures would wait.
    pub(super) fn failed(&mut self, asked: Option<Millis>, random: u64, now: Duration) {
        // Tries that failed side by side are one failure of the channel.
        if self.left(now).is_zero() {
            self.failures = self.failures.saturating_add(1);
        }
        self.until = self.until.max(now + Duration::from(retry::wait(self.failures, asked, random)));
    }

    /// A fault of the channel: nothing but a probe now and then, or when the notifier asked for it.
    pub(super) fn broken(&mut self, asked: Option<Millis>, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.until = now + asked.map_or(PROBE_EVERY, Duration::from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn a_channel_rests_longer_with_each_failure_until_a_message_passes() {
        let mut rest = Rest::default();
        assert!(rest.left(NOW).is_zero() && !rest.is_doubtful());
        let (mut now, mut longest) = (NOW, Duration::ZERO);
        for _ in 0..12 {
            rest.failed(None, 299_999, now);
            longest = longest.max(rest.left(now));
            now += rest.left(now);
        }
        assert!(longest > Duration::from_secs(200) && longest <= PROBE_EVERY, "{longest:?}");
        rest.passed();
        assert!(rest.left(NOW).is_zero() && !rest.is_doubtful());
    }

    #[test]
    fn tries_that_fail_side_by_side_are_one_failure() {
        let mut rest = Rest::default();
        for _ in 0..4 {
            rest.failed(None, 1000, NOW);
        }
        assert_eq!(rest.left(NOW), Duration::from_secs(1));
    }

    #[test]
    fn a_broken_channel_is_probed_every_five_minutes_or_when_it_asked_for_it() {
        let mut rest = Rest::default();
        rest.broken(None, NOW);
        assert_eq!(rest.left(NOW), PROBE_EVERY);
        assert!(rest.left(NOW + PROBE_EVERY).is_zero());
        for asked in [1, 3600] {
            rest.broken(Some(Millis::from_secs(asked)), NOW);
            assert_eq!(rest.left(NOW), Duration::from_secs(asked));
        }
    }
}
