//! Calendar expressions as systemd's timers have them: `Mon..Fri *-*-* 02:00:00 Europe/Berlin`.
//!
//! *Source:* <https://www.freedesktop.org/software/systemd/man/latest/systemd.time.html#Calendar%20Events>. Absent
//! on purpose: fractions of a second and `@` with seconds since 1970. On the days when clocks are changed
//! [`super::occurrence`] decides, as for cron lines, so that a nightly job has one run each night.

mod parse;
mod pattern;

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::pattern::Pattern;
use super::error::ScheduleError;
use super::occurrence::{self, LocalTimes};
use super::words::tidy;
use crate::time::Timestamp;

/// A calendar expression in a time zone; one that exists happens in some year from 1970 to 2199.
///
/// ```
/// use vilicus_core::Timestamp;
/// use vilicus_core::schedule::OnCalendar;
///
/// let last_monday: OnCalendar = "Mon *-*~07/1 18:00 Europe/Berlin".parse()?;
/// let november: Timestamp = "2026-11-01T00:00:00Z".parse()?;
/// assert_eq!(last_monday.next_after(november), Some("2026-11-30T17:00:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(description = "A calendar event expression of systemd.time(7), with an IANA zone (else UTC).")]
#[schemars(example = "Mon..Fri *-*-* 02:00 Europe/Berlin")]
pub struct OnCalendar {
    text: String,
    pattern: Pattern,
    zone: TimeZone,
}

impl OnCalendar {
    /// The first occurrence after this moment; `None` when none is left before the year 2200.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        occurrence::next_after(self, &self.zone, after)
    }
}

impl LocalTimes for OnCalendar {
    fn is_fixed(&self) -> bool {
        self.pattern.has_one_time()
    }

    fn at_or_after(&self, local: DateTime) -> Option<DateTime> {
        self.pattern.at_or_after(local)
    }
}

impl FromStr for OnCalendar {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (pattern, zone) = parse::expression(text)?;
        let calendar = Self { text: tidy(text), pattern, zone };
        if calendar.ever() { Ok(calendar) } else { Err(ScheduleError::Never { text: calendar.text }) }
    }
}

impl TryFrom<String> for OnCalendar {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<OnCalendar> for String {
    fn from(calendar: OnCalendar) -> Self {
        calendar.text
    }
}

impl fmt::Display for OnCalendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
