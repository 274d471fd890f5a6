//! What is wanted of a check: how often, how sure, how patient.

use serde::{Deserialize, Serialize};

use crate::status::Status;
use crate::threshold::Thresholds;
use crate::time::Millis;

/// The most results that a window of `within` can hold.
pub const MAX_WITHIN: u32 = 64;

/// What is wanted of a check. Everything that the judge needs to know of its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Policy {
    /// How often it runs; at least 1 s.
    pub interval: Millis,
    /// How often it runs while its state is soft; `min(interval, 30 s)` by default.
    pub retry_interval: Millis,
    /// After this time a run is dropped; 10 s by default.
    pub timeout: Millis,
    /// How much later than expected a result may be before silence is news; 30 s by default.
    pub grace: Millis,
    /// A problem is hard when at least so many of the last `within` results were not OK; 1 to `within`, 3 by default.
    pub max_attempts: u32,
    /// See `max_attempts`; at most [`MAX_WITHIN`], the same as `max_attempts` by default.
    pub within: u32,
    /// So many good results in a row before OK is hard again; 1 by default.
    pub recover_attempts: u32,
    /// The status of a run that timed out; CRITICAL by default.
    pub timeout_status: Status,
    /// What is wanted of its metrics.
    pub thresholds: Thresholds,
    /// Whether every hard problem result is told, not only the first.
    pub volatile: bool,
    /// Whether people are told at all.
    pub notifications: bool,
    /// Whether it may be called flapping; `true` by default.
    pub flap_detection: bool,
    /// Flapping stops below this percentage of changes; 25 by default.
    pub flap_low: f64,
    /// Flapping starts above this percentage of changes; 30 by default.
    pub flap_high: f64,
}

impl Policy {
    /// The defaults for a check with this interval.
    #[must_use]
    pub fn new(interval: Millis) -> Self {
        let interval = interval.max(Millis::from_secs(1));
        Self {
            interval,
            retry_interval: interval.min(Millis::from_secs(30)),
            timeout: Millis::from_secs(10),
            grace: Millis::from_secs(30),
            max_attempts: 3,
            within: 3,
            recover_attempts: 1,
            timeout_status: Status::Critical,
            thresholds: Thresholds::new(),
            volatile: false,
            notifications: true,
            flap_detection: true,
            flap_low: 25.0,
            flap_high: 30.0,
        }
    }

    /// The same policy with this many attempts, within as many results.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        (self.max_attempts, self.within) = (attempts, attempts);
        self
    }

    /// The same policy with these thresholds.
    #[must_use]
    pub fn thresholds(mut self, thresholds: Thresholds) -> Self {
        self.thresholds = thresholds;
        self
    }
}

impl Default for Policy {
    /// The defaults for a check that runs every minute.
    fn default() -> Self {
        Self::new(Millis::from_minutes(1))
    }
}
