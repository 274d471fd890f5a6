//! Reads the time: everything that is measured here is measured by these two.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The moment, for differences.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock, and does it here")]
pub fn now() -> Instant {
    Instant::now()
}

/// The time of day, in milliseconds since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock, and does it here")]
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
