//! When the next sign of life is due.
//!
//! It knows the moment only; how much later is still in time (the grace) is added to it by the judge of
//! heartbeats. That moment is in UTC, so a change of clocks makes no grace longer or shorter.

use super::calendar::OnCalendar;
use super::cron::CronSchedule;
use crate::time::{Millis, Timestamp};

/// How often a heartbeat is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// So long after the last one.
    Period(Millis),
    /// When the cron line says.
    Cron(CronSchedule),
    /// When the calendar expression says.
    Calendar(OnCalendar),
}

impl Expectation {
    /// When the next one is expected after one at this moment; `None` when never again.
    #[must_use]
    pub fn next_after(&self, last: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Period(period) => Some(last.after(*period)),
            Self::Cron(cron) => cron.next_after(last),
            Self::Calendar(calendar) => calendar.next_after(last),
        }
    }
}
