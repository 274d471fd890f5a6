//! A stretch of time in which something holds.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A stretch of time with its start and without its end: `[start, end)`.
///
/// One that has no end, or that began before all time, has the last or the first [`Timestamp`] there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Window {
    /// The first moment inside.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

impl Window {
    /// All the time there is.
    pub const ALWAYS: Self = Self { start: EARLIEST, end: Timestamp::MAX };

    /// Whether the moment lies inside.
    #[must_use]
    pub fn contains(&self, moment: Timestamp) -> bool {
        self.start <= moment && moment < self.end
    }
}

/// The first moment that has a text form.
pub(super) const EARLIEST: Timestamp = Timestamp::from_millis(i64::MIN);
