//! The text of a calendar expression: `[weekdays] [date] [time] [zone]`, or a short name such as `daily`.

use jiff::tz::TimeZone;

use super::pattern::{Days, Pattern, Set, YEARS, Years};
use crate::schedule::error::ScheduleError;
use crate::schedule::words::{Word, pieces, readable, weekday, weekdays, words};
use crate::schedule::zone;

const EXAMPLE: &str = "Mon..Fri *-*-* 02:00 Europe/Berlin";

/// Short names and what they stand for.
const NAMES: [(&str, &str); 14] = [
    ("minutely", "*-*-* *:*:00"),
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("semiannually", "*-01,07-01 00:00:00"),
    ("semi-annually", "*-01,07-01 00:00:00"),
    ("biannually", "*-01,07-01 00:00:00"),
    ("bi-annually", "*-01,07-01 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
    ("anually", "*-01-01 00:00:00"),
    ("midnight", "*-*-* 00:00:00"),
];

pub(super) fn expression(text: &str) -> Result<(Pattern, TimeZone), ScheduleError> {
    readable(text, EXAMPLE)?;
    let all: Vec<Word<'_>> = words(text, 1).collect();
    match all.split_last() {
        Some((last, rest)) if !rest.is_empty() && has_letters(*last) => {
            Ok((pattern(rest)?, zone::named(*last)?))
        }
        _ => Ok((pattern(&all)?, TimeZone::UTC)),
    }
}

/// Only weekdays and zones have letters, and weekdays come first.
fn has_letters(word: Word<'_>) -> bool {
    word.text.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn pattern(all: &[Word<'_>]) -> Result<Pattern, ScheduleError> {
    if let [name] = all
        && let Some((_, meaning)) = NAMES.iter().find(|(short, _)| short.eq_ignore_ascii_case(name.text))
    {
        return pattern(&words(meaning, 1).collect::<Vec<_>>());
    }
    let mut pattern = Pattern::daily();
    let mut rest = all;
    if let [first, after @ ..] = rest
        && has_letters(*first)
    {
        pattern.weekdays = weekday_list(*first)?;
        rest = after;
    }
    if let [date, after @ ..] = rest
        && date.text.contains(['-', '~'])
    {
        set_date(&mut pattern, *date)?;
        rest = after;
    }
    if let [time, after @ ..] = rest
        && time.text.contains(':')
    {
        set_time(&mut pattern, *time)?;
        rest = after;
    }
    match rest {
        [] => Ok(pattern),
        [stray, ..] => Err(stray.wrong(format!("not understood here (expected {EXAMPLE}, or daily)"))),
    }
}

/// `Mon,Wed..Fri`; a comma may end it, and `-` may stand for `..`.
fn weekday_list(list: Word<'_>) -> Result<u8, ScheduleError> {
    let text = list.text.strip_suffix(',').unwrap_or(list.text);
    let mut days = 0;
    for item in pieces(text, list.position, |c| c == ',') {
        let (first, last) = item
            .text
            .split_once("..")
            .or_else(|| item.text.split_once('-'))
            .unwrap_or((item.text, item.text));
        match (weekday(first), weekday(last)) {
            (Some(first), Some(last)) if first <= last => days |= weekdays(first, last),
            (Some(_), Some(_)) => {
                return Err(
                    item.wrong("the last day comes before the first (write two ranges, as Fri..Sun,Mon)")
                );
            }
            _ => return Err(item.wrong(
                "not a day of the week (expected Mon, Tue, Wed, Thu, Fri, Sat, Sun or a range as Mon..Fri)",
            )),
        }
    }
    Ok(days)
}

/// `[year-]month-day`, or with `~` before a day that is counted from the end of the month.
fn set_date(pattern: &mut Pattern, date: Word<'_>) -> Result<(), ScheduleError> {
    let parts: Vec<_> = pieces(date.text, date.position, |c| c == '-' || c == '~').collect();
    let (year, month, day) = match parts.as_slice() {
        [month, day] => (None, *month, *day),
        [year, month, day] => (Some(*year), *month, *day),
        _ => return Err(date.wrong("not a date (expected year-month-day, as *-*-01, or year-month~day)")),
    };
    if let Some(year) = year {
        pattern.years = years(year)?;
    }
    pattern.months = set(month, "month", 1, 12, Counted::Up)?;
    let before = day.position - date.position - 1;
    pattern.days = match (date.text.as_bytes().get(before), date.text.matches('~').count()) {
        (Some(b'~'), 1) => Days::FromLast(set(day, "day", 1, 31, Counted::Down)?),
        (_, 0) => Days::FromFirst(set(day, "day", 1, 31, Counted::Up)?),
        _ => {
            return Err(
                date.wrong("'~' stands between the month and the day only, as *-*~1 for the last day")
            );
        }
    };
    Ok(())
}

/// `hour:minute[:second]`.
fn set_time(pattern: &mut Pattern, time: Word<'_>) -> Result<(), ScheduleError> {
    let parts: Vec<_> = pieces(time.text, time.position, |c| c == ':').collect();
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] => (*hour, *minute, None),
        [hour, minute, second] => (*hour, *minute, Some(*second)),
        _ => return Err(time.wrong("not a time of day (expected hour:minute or hour:minute:second)")),
    };
    pattern.hours = set(hour, "hour", 0, 23, Counted::Up)?;
    pattern.minutes = set(minute, "minute", 0, 59, Counted::Up)?;
    pattern.seconds = second.map_or(Ok(Set::only(0)), |second| set(second, "second", 0, 59, Counted::Up))?;
    Ok(())
}

/// A list of years; two digits mean 1970 to 2069.
fn years(list: Word<'_>) -> Result<Vec<Years>, ScheduleError> {
    if list.text == "*" {
        return Ok(vec![Years::any()]);
    }
    let full = |year: u16| match year {
        0..=69 => year + 2000,
        70..=99 => year + 1900,
        _ => year,
    };
    let mut found = Vec::new();
    for item in pieces(list.text, list.position, |c| c == ',') {
        let wrong = || {
            item.wrong("not a year (expected *, a year from 1970 to 2199, a range as 2026..2028 or a step as 2026/2)")
        };
        let Item { first, last, step } = split(item.text).ok_or_else(wrong)?;
        let (first, last) = (full(first), last.map(full));
        let years = Years {
            first,
            last: last.unwrap_or(if step.is_some() { *YEARS.end() } else { first }),
            step: step.unwrap_or(1),
        };
        if years.first > years.last || !YEARS.contains(&years.first) || !YEARS.contains(&years.last) {
            return Err(wrong());
        }
        found.push(years);
    }
    Ok(found)
}

/// In which direction a step leads: days from the end of the month are counted down to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    Up,
    Down,
}

/// A list of numbers: `*`, or numbers, ranges `1..5` and steps `0/15`, between commas.
fn set(list: Word<'_>, name: &str, least: u16, most: u16, counted: Counted) -> Result<Set, ScheduleError> {
    if list.text == "*" {
        return Ok(Set(u64::MAX));
    }
    let mut bits = 0;
    for item in pieces(list.text, list.position, |c| c == ',') {
        bits |= split(item.text).and_then(|item| item.bits(least, most, counted)).ok_or_else(|| {
            let expected =
                format!("*, {least} to {most}, a range as {least}..{} or a step as {least}/5", least + 4);
            item.wrong(format!("not right for the {name} (expected {expected})"))
        })?;
    }
    Ok(Set(bits))
}

/// `first[..last][/step]`.
struct Item {
    first: u16,
    last: Option<u16>,
    step: Option<u16>,
}

impl Item {
    fn bits(&self, least: u16, most: u16, counted: Counted) -> Option<u64> {
        let (low, high) = match (self.last, self.step, counted) {
            (Some(last), ..) => (self.first, last),
            (None, None, _) => (self.first, self.first),
            (None, Some(_), Counted::Up) => (self.first, most),
            (None, Some(_), Counted::Down) => (least, self.first),
        };
        if low > high || low < least || high > most {
            return None;
        }
        let step = usize::from(self.step.unwrap_or(1));
        // A step that leads nowhere is a mistake in writing, unless the range itself is that short.
        if self.last.is_none() && self.step.is_some() && usize::from(high - low) < step {
            return None;
        }
        let bit = |number: u16| 1_u64 << number;
        Some(match counted {
            Counted::Up => (low..=high).step_by(step).map(bit).sum(),
            Counted::Down => (low..=high).rev().step_by(step).map(bit).sum(),
        })
    }
}

fn split(text: &str) -> Option<Item> {
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => (range, Some(number(step)?)),
        None => (text, None),
    };
    let (first, last) = match range.split_once("..") {
        Some((first, last)) => (number(first)?, Some(number(last)?)),
        None => (number(range)?, None),
    };
    (step != Some(0)).then_some(Item { first, last, step })
}

/// Up to four digits and nothing else.
fn number(text: &str) -> Option<u16> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}
