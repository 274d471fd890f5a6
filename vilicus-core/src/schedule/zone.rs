//! Time zones: found by name, and from local time to moments on the days when clocks are changed.
//!
//! The zones come from the system's database, or from the one compiled in where the system has none. A schedule
//! keeps its zone from when it was read, so no later answer looks there again.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Span, ToSpan};

use super::error::{ScheduleError, shown};
use super::words::Word;
use crate::time::Timestamp;

/// Names less like the unknown one than this are no help.
const LIKE_ENOUGH: f64 = 0.8;

/// The zone of this IANA name, in any case.
pub(super) fn named(word: Word<'_>) -> Result<TimeZone, ScheduleError> {
    match TimeZone::get(word.text) {
        Ok(zone) if !zone.is_unknown() => Ok(zone),
        _ => Err(ScheduleError::UnknownZone {
            zone: shown(word.text),
            position: word.position,
            nearest: nearest(word.text),
        }),
    }
}

/// The known name most like this one, or with a city most like it: `Berlin` means `Europe/Berlin`.
fn nearest(name: &str) -> Option<String> {
    let wanted: String = name.chars().take(60).collect::<String>().to_ascii_lowercase();
    let likeness = |known: &str| {
        let known = known.to_ascii_lowercase();
        let city = known.rsplit('/').next().unwrap_or(&known);
        strsim::jaro_winkler(&wanted, &known).max(strsim::jaro_winkler(&wanted, city))
    };
    jiff::tz::db()
        .available()
        .map(|known| (likeness(known.as_str()), known))
        .filter(|(likeness, _)| *likeness >= LIKE_ENOUGH)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known.as_str().to_owned())
}

/// Which of the two moments is meant when clocks go back and a local time comes twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    First,
    Second,
}

/// The moment of a local time; one that clocks jump over is the moment of the jump.
pub(super) fn moment(zone: &TimeZone, local: DateTime, pass: Pass) -> Timestamp {
    let offset = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Fold { before, after } => match pass {
            Pass::First => before,
            Pass::Second => after,
        },
        AmbiguousOffset::Gap { before, after } => match jump(zone, local, after) {
            Some(jump) => return jump,
            None => before,
        },
    };
    let end = if local.year() > 0 { Timestamp::MAX } else { super::window::EARLIEST };
    offset.to_timestamp(local).map_or(end, from_jiff)
}

/// The moment at which clocks jump over a local time, to an offset that puts it before the jump.
fn jump(zone: &TimeZone, local: DateTime, after: Offset) -> Option<Timestamp> {
    let before = after.to_timestamp(local).ok()?;
    zone.following(before).next().map(|jump| from_jiff(jump.timestamp()))
}

/// The local time at a moment.
pub(super) fn local(zone: &TimeZone, moment: Timestamp) -> DateTime {
    zone.to_datetime(to_jiff(moment))
}

/// The day so many days later, as far as there are days.
pub(super) fn days_later(day: Date, days: i32) -> Option<Date> {
    day.checked_add(Span::new().try_days(days).unwrap_or_else(|_| 0.days())).ok()
}

fn from_jiff(moment: jiff::Timestamp) -> Timestamp {
    Timestamp::from_millis(moment.as_millisecond())
}

/// Every moment of ours lies within jiff's.
fn to_jiff(moment: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(moment.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}
