//! The text of a weekly schedule: parts between `;`, each `[days] hours [zone]`.

use jiff::tz::TimeZone;

use super::{Hours, Part};
use crate::schedule::error::ScheduleError;
use crate::schedule::words::{Word, pieces, readable, tidy, weekday, weekdays, words};
use crate::schedule::zone;

const EXAMPLE: &str = "Mon-Fri 08:00-18:00 Europe/Berlin";
const EVERY_DAY: u8 = 0b111_1111;

/// A word of a list, and whether a comma joins it to the one before.
#[derive(Clone, Copy)]
struct Item<'a> {
    word: Word<'a>,
    is_joined: bool,
}

/// A part as read, before zones are handed round.
struct Read {
    days: u8,
    hours: Vec<Hours>,
    zone: Option<TimeZone>,
}

/// The parts, and the text with the fallback behind it when it names no zone itself.
pub(super) fn parts(text: &str, zone: Option<&str>) -> Result<(Vec<Part>, String), ScheduleError> {
    readable(text, EXAMPLE)?;
    // One `;` at the end does no harm.
    let text = text.trim_end();
    let text = text.strip_suffix(';').unwrap_or(text);
    let read = pieces(text, 1, |c| c == ';').map(part).collect::<Result<Vec<_>, _>>()?;
    let (last, text) = match (read.iter().rev().find_map(|part| part.zone.clone()), zone) {
        (Some(last), _) => (last, tidy(text)),
        (None, Some(name)) => {
            (zone::named(Word { text: name.trim(), position: 1 })?, tidy(&format!("{text} {name}")))
        }
        (None, None) => (TimeZone::UTC, tidy(text)),
    };
    readable(&text, EXAMPLE)?;
    Ok((with_zones(read, last), text))
}

/// A part without a zone takes that of the next part that names one, else the last zone that is named.
fn with_zones(read: Vec<Read>, mut zone: TimeZone) -> Vec<Part> {
    let mut parts: Vec<_> = read
        .into_iter()
        .rev()
        .map(|part| {
            zone = part.zone.unwrap_or_else(|| zone.clone());
            Part { days: part.days, hours: part.hours, zone: zone.clone() }
        })
        .collect();
    parts.reverse();
    parts
}

fn part(part: Word<'_>) -> Result<Read, ScheduleError> {
    let items = items(part)?;
    let (days, rest) = match items.as_slice() {
        [] => {
            return Err(Word { text: "", position: part.position }
                .wrong(format!("hours are missing (expected {EXAMPLE})")));
        }
        [first, ..] if first.word.text.starts_with(|c: char| c.is_ascii_digit()) => {
            (EVERY_DAY, items.as_slice())
        }
        all => {
            let (days, rest) = list(all);
            (
                days.iter()
                    .try_fold(0, |days, item| Ok::<_, ScheduleError>(days | self::days(item.word)?))?,
                rest,
            )
        }
    };
    let (times, rest) = list(rest);
    if times.is_empty() {
        let end = part.position + part.text.trim_end().len();
        return Err(Word { text: "", position: end }
            .wrong("hours are missing behind the days (as 08:00-18:00, or 00:00-24:00)"));
    }
    let hours = times.iter().map(|item| hours(item.word)).collect::<Result<_, _>>()?;
    let zone = match rest {
        [] => None,
        [zone] => Some(zone::named(zone.word)?),
        [_, stray, ..] => {
            return Err(stray.word.wrong("nothing follows a time zone but ';' and the next part"));
        }
    };
    Ok(Read { days, hours, zone })
}

/// The items up to the first that no comma joins to the ones before, and the others.
fn list<'a, 'b>(items: &'b [Item<'a>]) -> (&'b [Item<'a>], &'b [Item<'a>]) {
    let end = items.iter().skip(1).position(|item| !item.is_joined).map_or(items.len(), |others| others + 1);
    items.split_at(end)
}

/// Words between white space and commas; white space beside a comma is allowed.
fn items(part: Word<'_>) -> Result<Vec<Item<'_>>, ScheduleError> {
    let stray =
        |position| ScheduleError::wrong(",", position, "a comma stands between two days or two hours");
    let mut items: Vec<Item<'_>> = Vec::new();
    let mut comma: Option<usize> = None;
    for word in words(part.text, part.position) {
        for (at, piece) in pieces(word.text, word.position, |c| c == ',').enumerate() {
            if at > 0 {
                let here = piece.position - 1;
                if comma.is_some() || items.is_empty() {
                    return Err(stray(here));
                }
                comma = Some(here);
            }
            if !piece.text.is_empty() {
                items.push(Item { word: piece, is_joined: comma.take().is_some() });
            }
        }
    }
    comma.map_or(Ok(items), |position| Err(stray(position)))
}

/// `Mon`, `Mon-Fri`, `Sat-Mon` or `daily`.
fn days(word: Word<'_>) -> Result<u8, ScheduleError> {
    if word.text.eq_ignore_ascii_case("daily") {
        return Ok(EVERY_DAY);
    }
    let (first, last) = word.text.split_once('-').unwrap_or((word.text, word.text));
    match (weekday(first), weekday(last)) {
        (Some(first), Some(last)) => Ok(weekdays(first, last)),
        _ => Err(word
            .wrong("not a day (expected Mon, Tue, Wed, Thu, Fri, Sat, Sun, a range as Mon-Fri, or daily)")),
    }
}

/// `08:00-18:00`, or `22:00-06:00` over midnight.
fn hours(word: Word<'_>) -> Result<Hours, ScheduleError> {
    let wrong = |problem| {
        word.wrong(format!("{problem} (expected hours as 08:00-18:00 without spaces, at most 24:00)"))
    };
    let (start, end) = word.text.split_once('-').ok_or_else(|| wrong("not a range of hours"))?;
    match (minute(start), minute(end)) {
        (Some(super::DAY), _) => Err(wrong("a day does not start at 24:00, write 00:00")),
        (Some(start), Some(end)) if start == end => {
            Err(wrong("it ends where it starts, a whole day is 00:00-24:00"))
        }
        (Some(start), Some(end)) => Ok(Hours { start, end }),
        _ => Err(wrong("not a range of hours")),
    }
}

/// The minute of the day of `8:00`, `08:00` or `24:00`.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !(1..=2).contains(&hour.len()) || minute.len() != 2 || !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (minute < 60 && hour * 60 + minute <= super::DAY).then_some(hour * 60 + minute)
}
