//! Cron lines with a time zone: `30 2 * * Mon-Fri Europe/Berlin`.
//!
//! The grammar is croner's (five fields, or six with seconds first; names, `L`, `#`, `W`, `+`, `@daily`…); what
//! happens when clocks are changed is [`super::occurrence`]'s, which follows croner's documented rule.

use std::fmt;
use std::str::FromStr;

use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, JobType};
use jiff::civil::{DateTime, Time, date};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ScheduleError;
use super::occurrence::{self, LocalTimes};
use super::words::{Word, readable, tidy, weekday, words};
use super::zone;
use crate::time::Timestamp;

const EXAMPLE: &str = "30 2 * * Mon-Fri Europe/Berlin";

/// The fields of a line, the optional one first, and what they take.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0-59, with * , - /"),
    ("minute", "0-59, with * , - /"),
    ("hour", "0-23, with * , - /"),
    ("day of the month", "1-31, with * , - / ? L W"),
    ("month", "1-12 or JAN-DEC, with * , - /"),
    ("day of the week", "0-7 or SUN-SAT, with * , - / ? # L +"),
];

/// The last number of each field, but for the day of the week: where its steps would end, crons disagree.
const LAST: [u8; 5] = [59, 59, 23, 31, 12];

/// Short names and what they stand for.
const NAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// The years in which occurrences are looked for, as those of calendar expressions. Without a limit a line that
/// never happens would be held against every day until the year 5000.
const YEARS: &str = "1970-2199";

/// A cron line in a time zone; one that exists happens sooner or later.
///
/// As text it is the line and, behind it, the IANA name of the zone; without one it is UTC.
///
/// ```
/// use vilicus_core::Timestamp;
/// use vilicus_core::schedule::CronSchedule;
///
/// let backup: CronSchedule = "30 2 * * * Europe/Berlin".parse()?;
/// let saturday: Timestamp = "2026-03-28T12:00:00Z".parse()?;
/// // On this Sunday clocks jump from 02:00 to 03:00: it runs at the jump, and not a day later.
/// assert_eq!(backup.next_after(saturday), Some("2026-03-29T01:00:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(description = "A cron line of 5 fields, or 6 with seconds first, and an IANA zone (else UTC).")]
#[schemars(example = "30 2 * * Mon-Fri Europe/Berlin")]
pub struct CronSchedule {
    text: String,
    /// Boxed, as it is five times all the rest.
    cron: Box<Cron>,
    zone: TimeZone,
}

impl CronSchedule {
    /// The line in the zone of this IANA name.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`] when the line is not one, when it never happens, or when there is no such zone.
    pub fn new(line: &str, zone: &str) -> Result<Self, ScheduleError> {
        readable(line, EXAMPLE)?;
        let known = zone::named(Word { text: zone.trim(), position: 1 })?;
        let text = tidy(&format!("{line} {zone}"));
        readable(&text, EXAMPLE)?;
        Self::of(&words(line, 1).collect::<Vec<_>>(), known, text)
    }

    /// The line in the zone that it names, else in this one.
    pub(super) fn parse_in(text: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        readable(text, EXAMPLE)?;
        let fields: Vec<_> = words(text, 1).collect();
        match (fields.split_last(), zone) {
            (Some((last, line)), _) if is_zone(*last, line) => {
                Self::of(line, zone::named(*last)?, tidy(text))
            }
            (_, Some(zone)) => Self::new(text, zone),
            (_, None) => Self::of(&fields, TimeZone::UTC, tidy(text)),
        }
    }

    fn of(fields: &[Word<'_>], zone: TimeZone, text: String) -> Result<Self, ScheduleError> {
        let schedule = Self { cron: Box::new(line(fields)?), zone, text };
        if schedule.ever() { Ok(schedule) } else { Err(ScheduleError::Never { text: schedule.text }) }
    }

    /// The first occurrence after this moment; `None` when there is none before the year 2200.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        occurrence::next_after(self, &self.zone, after)
    }
}

impl LocalTimes for CronSchedule {
    fn is_fixed(&self) -> bool {
        self.cron.determine_job_type() == JobType::FixedTime
    }

    fn at_or_after(&self, local: DateTime) -> Option<DateTime> {
        let first = date(1, 1, 1).to_datetime(Time::midnight());
        self.cron.find_next_occurrence(&local.max(first), true).ok()
    }
}

/// Whether the last word is the name of a zone: it has letters, is no weekday, and a line is left without it.
fn is_zone(last: Word<'_>, line: &[Word<'_>]) -> bool {
    let whole = line.len() >= 5 || line.first().is_some_and(|first| first.text.starts_with('@'));
    let names_a_day = last.text.get(..3).is_some_and(|start| weekday(start).is_some());
    whole && last.text.starts_with(|c: char| c.is_ascii_alphabetic()) && !names_a_day
}

fn line(fields: &[Word<'_>]) -> Result<Cron, ScheduleError> {
    let texts: Vec<_> = fields.iter().map(|field| field.text).collect();
    let wanted = match fields {
        [name] if name.text.starts_with('@') => meaning(*name)?.to_owned(),
        _ => {
            check_fields(fields)?;
            texts.join(" ")
        }
    };
    parse(&wanted).ok_or_else(|| ScheduleError::wrong(&wanted, 1, "not a cron line"))
}

fn meaning(name: Word<'_>) -> Result<&'static str, ScheduleError> {
    let found = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.text));
    found
        .map(|(_, line)| *line)
        .ok_or_else(|| name.wrong("no such name (expected @hourly, @daily, @weekly, @monthly or @yearly)"))
}

/// Holds each field against the grammar by itself, so that the error can say which is wrong.
fn check_fields(fields: &[Word<'_>]) -> Result<(), ScheduleError> {
    let Some(absent @ 0..=1) = FIELDS.len().checked_sub(fields.len()) else {
        let end = fields.last().map_or(1, |last| last.position + last.text.len());
        let problem = format!("there are {} fields (expected 5, or 6 with seconds first)", fields.len());
        return Err(ScheduleError::wrong("", end, problem));
    };
    for (field, (at, (name, takes))) in fields.iter().zip(FIELDS.iter().enumerate().skip(absent)) {
        let mut probe = ["*"; 6];
        probe[at] = field.text;
        if parse(&probe.join(" ")).is_none() {
            return Err(field.wrong(format!("not right for the {name} (expected {takes})")));
        }
    }
    Ok(())
}

/// A line of five or six fields, in the years that we look at.
fn parse(line: &str) -> Option<Cron> {
    let seconds = if line.split(' ').count() == 5 { "0 " } else { "" };
    let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required).build();
    let ranged = with_ranges(&format!("{seconds}{line}"))?;
    parser.parse(&format!("{ranged} {YEARS}")).ok()
}

/// The same six fields with `5/15` written as `5-59/15`, which most crons read so and croner does not at all. A list
/// with nothing between two commas is a slip of the pen, and none.
fn with_ranges(line: &str) -> Option<String> {
    let mut ranged = Vec::new();
    for (at, field) in line.split(' ').enumerate() {
        let items = field.split(',').map(|item| match (item.split_once('/'), LAST.get(at)) {
            (Some((first, step)), Some(last)) if is_number(first) => format!("{first}-{last}/{step}"),
            _ => item.to_owned(),
        });
        let items: Vec<String> = items.collect();
        if items.iter().any(String::is_empty) {
            return None;
        }
        ranged.push(items.join(","));
    }
    Some(ranged.join(" "))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl FromStr for CronSchedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse_in(text, None)
    }
}

impl TryFrom<String> for CronSchedule {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CronSchedule> for String {
    fn from(schedule: CronSchedule) -> Self {
        schedule.text
    }
}

impl fmt::Display for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
