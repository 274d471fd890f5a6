//! Downtimes that come again: weekly, or by a cron line and a duration.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cron::CronSchedule;
use super::error::ScheduleError;
use super::weekly::WeeklySchedule;
use super::window::Window;
use crate::time::{Millis, Timestamp};

/// Occurrences of a cron line that are added up to one window, more than a day has minutes. With more the window
/// counts as endless, so that a line for every minute costs no more than that.
const CHAIN: usize = 1_500;

/// When a recurring downtime holds.
///
/// Serialized it is `{"schedule": "0 2 * * Sun Europe/Berlin", "duration": "2h"}`, without a duration for a weekly
/// schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
pub enum Recurrence {
    /// In the windows of a weekly schedule.
    Weekly(WeeklySchedule),
    /// From each occurrence of a cron line on, for a time; overlapping ones add up.
    #[non_exhaustive]
    Cron {
        /// When it begins.
        begins: CronSchedule,
        /// How long one lasts; at least a millisecond.
        duration: Millis,
    },
}

/// A recurrence as it is written.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Written {
    schedule: String,
    #[serde(default)]
    duration: Option<Millis>,
}

impl TryFrom<Written> for Recurrence {
    type Error = ScheduleError;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        Self::parse(&written.schedule, written.duration, None)
    }
}

impl From<Recurrence> for Written {
    fn from(recurrence: Recurrence) -> Self {
        match recurrence {
            Recurrence::Weekly(weekly) => Self { schedule: weekly.to_string(), duration: None },
            Recurrence::Cron { begins, duration } => {
                Self { schedule: begins.to_string(), duration: Some(duration) }
            }
        }
    }
}

impl Recurrence {
    /// Reads a weekly schedule (`Sun 02:00-04:00 Europe/Berlin`) or a cron line (`0 2 * * Sun Europe/Berlin`).
    ///
    /// The zone is that of the text, else `zone`, else UTC. A cron line needs the duration, a weekly schedule
    /// must not have one: how long a *flexible* downtime lasts inside its window is no matter of the window.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`] when the text is neither, when it never happens, or when the duration is missing,
    /// zero or needless.
    pub fn parse(text: &str, duration: Option<Millis>, zone: Option<&str>) -> Result<Self, ScheduleError> {
        // Times of day have a colon, and nothing in a cron line has.
        if text.contains(':') {
            let weekly = WeeklySchedule::parse_in(text, zone)?;
            return if duration.is_none() {
                Ok(Self::Weekly(weekly))
            } else {
                Err(ScheduleError::NeedlessDuration)
            };
        }
        let begins = CronSchedule::parse_in(text, zone)?;
        match duration {
            Some(duration) if duration > Millis::ZERO => Ok(Self::Cron { begins, duration }),
            _ => Err(ScheduleError::NoDuration),
        }
    }

    /// Whether it holds at this moment.
    #[must_use]
    pub fn contains(&self, moment: Timestamp) -> bool {
        match self {
            Self::Weekly(weekly) => weekly.contains(moment),
            Self::Cron { begins, duration } => {
                begins.next_after(moment.before(*duration)).is_some_and(|start| start <= moment)
            }
        }
    }

    /// The window that holds at this moment: all that touch are one.
    #[must_use]
    pub fn window_at(&self, moment: Timestamp) -> Option<Window> {
        match self {
            Self::Weekly(weekly) => weekly.window_at(moment),
            Self::Cron { begins, duration } => {
                let start = begins.next_after(moment.before(*duration)).filter(|start| *start <= moment)?;
                Some(Window { start: first(begins, *duration, start), end: end(begins, *duration, start) })
            }
        }
    }

    /// The first window that starts after this moment; `None` when none does.
    #[must_use]
    pub fn next_window(&self, after: Timestamp) -> Option<Window> {
        match self {
            Self::Weekly(weekly) => weekly.next_window(after),
            Self::Cron { begins, duration } => {
                let from = self.window_at(after).map_or(after, |window| window.end);
                let start = begins.next_after(from)?;
                Some(Window { start, end: end(begins, *duration, start) })
            }
        }
    }
}

/// The start of the first occurrence that runs into the one at `start`, directly or through others.
fn first(begins: &CronSchedule, duration: Millis, mut start: Timestamp) -> Timestamp {
    for _ in 0..CHAIN {
        // One that ends just where this one starts belongs to it: touching windows are one.
        let touching = start.before(duration).before(Millis::new(1));
        match begins.next_after(touching) {
            Some(earlier) if earlier < start => start = earlier,
            _ => return start,
        }
    }
    Window::ALWAYS.start
}

/// The end of the last occurrence that the one at `start` runs into, directly or through others.
fn end(begins: &CronSchedule, duration: Millis, mut start: Timestamp) -> Timestamp {
    for _ in 0..CHAIN {
        let end = start.after(duration);
        match begins.next_after(start) {
            Some(later) if later <= end => start = later,
            _ => return end,
        }
    }
    Window::ALWAYS.end
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weekly(weekly) => weekly.fmt(f),
            Self::Cron { begins, duration } => write!(f, "{begins} for {duration}"),
        }
    }
}
