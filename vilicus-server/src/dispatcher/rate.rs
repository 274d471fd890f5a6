//! A channel's rate limit: a token bucket, off unless set. What exceeds it waits in the outbox, and merges there.

use std::str::FromStr;
use std::time::Duration;

use vilicus_core::Millis;

/// At most so many messages in such a span, written `10/1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many messages.
    pub count: u32,
    /// In how long.
    pub span: Millis,
}

/// The text is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a rate: '{0}' (expected a positive number of messages and a span of time, as 10/1m)")]
pub struct ParseRateError(String);

impl FromStr for RateLimit {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseRateError(text.chars().take(40).collect());
        let (count, span) = text.split_once('/').ok_or_else(error)?;
        let count = count.trim().parse().map_err(|_| error())?;
        let span: Millis = span.trim().parse().map_err(|_| error())?;
        if count == 0 || span == Millis::ZERO { Err(error()) } else { Ok(Self { count, span }) }
    }
}

/// The tokens of one channel. Full at the start, so that a burst up to the limit passes at once.
#[derive(Debug)]
pub(crate) struct Bucket {
    limit: RateLimit,
    tokens: f64,
    filled_at: Duration,
}

impl Bucket {
    /// A full bucket at this moment of the monotonic clock.
    pub(crate) fn new(limit: RateLimit, now: Duration) -> Self {
        Self { limit, tokens: f64::from(limit.count), filled_at: now }
    }

    /// The limit that it keeps.
    pub(super) fn limit(&self) -> RateLimit {
        self.limit
    }

    /// How many messages may go now.
    pub(crate) fn available(&mut self, now: Duration) -> usize {
        let passed = now.saturating_sub(self.filled_at).as_secs_f64();
        let filled = self.tokens + passed / self.seconds_per_token();
        self.tokens = filled.min(f64::from(self.limit.count));
        self.filled_at = now;
        self.tokens as usize
    }

    /// One message goes.
    pub(crate) fn take(&mut self) {
        self.tokens = (self.tokens - 1.0).max(0.0);
    }

    /// How long until one more may go, when none may now.
    pub(crate) fn wait(&self) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        // A millisecond more: the sum of the parts may fall short of a whole token by rounding.
        Duration::from_secs_f64(missing * self.seconds_per_token()) + Duration::from_millis(1)
    }

    fn seconds_per_token(&self) -> f64 {
        self.limit.span.as_secs_f64() / f64::from(self.limit.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_number_and_a_span() {
        let limit: RateLimit = "10/1m".parse().unwrap();
        assert_eq!(limit, RateLimit { count: 10, span: Millis::from_minutes(1) });
        for text in ["", "10", "0/1m", "10/0", "-1/1m", "10/60", "a/1m", "10/1m/1m"] {
            assert!(text.parse::<RateLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_burst_passes_and_then_one_message_a_token() {
        let second = Duration::from_secs(1);
        let mut bucket = Bucket::new("2/20s".parse().unwrap(), Duration::ZERO);
        assert_eq!(bucket.available(Duration::ZERO), 2);
        bucket.take();
        bucket.take();
        assert_eq!(bucket.available(9 * second), 0);
        assert!(bucket.wait() <= 2 * second);
        assert_eq!(bucket.available(9 * second + bucket.wait()), 1);
        assert_eq!(bucket.available(1000 * second), 2);
    }
}
