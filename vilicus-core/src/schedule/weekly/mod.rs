//! Hours of the week: `Mon-Fri 08:00-18:00 Europe/Berlin`.
//!
//! Routes ask it whether to tell now or later, downtimes and reports when a window begins and ends. The text is
//! read by [`parse`]; this file knows what the hours mean on the days when clocks are changed.

mod parse;

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ScheduleError;
use super::window::{EARLIEST, Window};
use super::zone::{self, Pass};
use crate::time::Timestamp;

/// Minutes in a day.
const DAY: u16 = 24 * 60;

/// Windows of single days that are added up to one; with more it counts as endless.
const CHAIN: usize = 500;

/// How many days ahead a next window is looked for: two weeks of four can fall into changes of the clock.
const DAYS_AHEAD: i32 = 28;

/// Hours of the week in one time zone or several, ends exclusive.
///
/// As text it is parts joined with `;`, each `[days] HH:MM-HH:MM[,HH:MM-HH:MM…] [zone]`: days are lists and ranges
/// of English names (`Mon,Wed`, `Sat-Mon`) or `daily`; a range that ends before it starts runs over midnight and
/// belongs to the day it starts on; `24:00` is the end of the day. A part without a zone has that of the next part
/// that names one, else of the last that did, else UTC.
///
/// When clocks jump forward over a start or an end, it is the moment of the jump. When they go back over it, the
/// start is its first occurrence and the end its second.
///
/// ```
/// use vilicus_core::Timestamp;
/// use vilicus_core::schedule::WeeklySchedule;
///
/// let office: WeeklySchedule = "Mon-Fri 08:00-18:00 Europe/Berlin".parse()?;
/// let saturday: Timestamp = "2026-11-21T12:00:00Z".parse()?;
/// assert!(!office.contains(saturday));
/// assert_eq!(office.next_open(saturday), Some("2026-11-23T07:00:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(
    description = "Hours of the week: [days] HH:MM-HH:MM [zone], several joined with ';'; ends exclusive."
)]
#[schemars(example = "Mon-Fri 08:00-18:00 Europe/Berlin")]
pub struct WeeklySchedule {
    text: String,
    parts: Vec<Part>,
    is_always_open: bool,
}

/// The same hours on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// Monday is bit 0.
    days: u8,
    hours: Vec<Hours>,
    zone: TimeZone,
}

/// From a minute of the day to another, which is on the next day when it comes before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hours {
    start: u16,
    end: u16,
}

impl WeeklySchedule {
    /// Reads a schedule; parts of it have `zone` when no zone is named at all.
    pub(super) fn parse_in(text: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let (parts, text) = parse::parts(text, zone)?;
        let is_new = |at: usize| parts[..at].iter().all(|before| before.zone != parts[at].zone);
        let is_always_open =
            (0..parts.len()).any(|at| is_new(at) && covers_the_week(&parts, &parts[at].zone));
        Ok(Self { text, parts, is_always_open })
    }

    /// Whether it is open at this moment.
    #[must_use]
    pub fn contains(&self, moment: Timestamp) -> bool {
        self.is_always_open || self.around(moment).any(|window| window.contains(moment))
    }

    /// The open window around this moment: all that touch or overlap are one. `None` when it is closed.
    #[must_use]
    pub fn window_at(&self, moment: Timestamp) -> Option<Window> {
        if self.is_always_open {
            return Some(Window::ALWAYS);
        }
        let window = self.around(moment).find(|window| window.contains(moment))?;
        Some(Window { start: self.start_of(window.start), end: self.end_of(window.end) })
    }

    /// The first moment at which it is open, from this moment on: this one itself if it is open now.
    #[must_use]
    pub fn next_open(&self, from: Timestamp) -> Option<Timestamp> {
        if self.contains(from) { Some(from) } else { self.first_after(from).map(|window| window.start) }
    }

    /// The first open window that starts after this moment; `None` when none does, as it never closes.
    #[must_use]
    pub fn next_window(&self, after: Timestamp) -> Option<Window> {
        let from = self.window_at(after).map_or(after, |window| window.end);
        let window = self.first_after(from)?;
        Some(Window { start: window.start, end: self.end_of(window.end) })
    }

    /// The window of a single day that starts first after this moment.
    fn first_after(&self, moment: Timestamp) -> Option<Window> {
        self.parts.iter().filter_map(|part| part.first_after(moment)).min()
    }

    /// The windows of the days next to this moment: all that can touch it.
    fn around(&self, moment: Timestamp) -> impl Iterator<Item = Window> {
        self.parts.iter().flat_map(move |part| part.days(moment, -1..=1).flat_map(|day| part.windows_on(day)))
    }

    fn start_of(&self, mut start: Timestamp) -> Timestamp {
        for _ in 0..CHAIN {
            let touching = self.around(start).filter(|window| window.start < start && start <= window.end);
            match touching.map(|window| window.start).min() {
                Some(earlier) => start = earlier,
                None => return start,
            }
        }
        EARLIEST
    }

    fn end_of(&self, mut end: Timestamp) -> Timestamp {
        for _ in 0..CHAIN {
            let touching = self.around(end).filter(|window| window.start <= end && end < window.end);
            match touching.map(|window| window.end).max() {
                Some(later) => end = later,
                None => return end,
            }
        }
        Timestamp::MAX
    }
}

impl Part {
    /// The days around the local day of a moment.
    fn days(&self, moment: Timestamp, days: std::ops::RangeInclusive<i32>) -> impl Iterator<Item = Date> {
        let today = zone::local(&self.zone, moment).date();
        days.filter_map(move |days| zone::days_later(today, days))
    }

    fn windows_on(&self, day: Date) -> impl Iterator<Item = Window> {
        let is_open = self.days >> day.weekday().to_monday_zero_offset() & 1 == 1;
        let hours = if is_open { self.hours.as_slice() } else { &[] };
        hours.iter().filter_map(move |hours| hours.on(day, &self.zone))
    }

    /// Hours of a later day never start earlier, so the first day that has any is enough.
    fn first_after(&self, moment: Timestamp) -> Option<Window> {
        let later = |day| self.windows_on(day).filter(|window| window.start > moment).min();
        self.days(moment, -1..=DAYS_AHEAD).find_map(later)
    }
}

impl Hours {
    /// The minute after the last, counted from the midnight before the start.
    fn end(self) -> u16 {
        if self.end > self.start { self.end } else { self.end + DAY }
    }

    /// The window of the hours that start on this day; `None` when clocks jump over all of it.
    fn on(self, day: Date, zone: &TimeZone) -> Option<Window> {
        let at = |minute: u16, pass| {
            let local = day.to_datetime(Time::midnight()).checked_add(i64::from(minute).minutes()).ok()?;
            Some(zone::moment(zone, local, pass))
        };
        let window = Window { start: at(self.start, Pass::First)?, end: at(self.end(), Pass::Second)? };
        (window.start < window.end).then_some(window)
    }
}

/// Whether the parts in this zone leave no minute of the week out: then no change of the clock closes them.
fn covers_the_week(parts: &[Part], zone: &TimeZone) -> bool {
    let day_length = usize::from(DAY);
    let mut open = vec![false; 7 * day_length];
    for part in parts.iter().filter(|part| part.zone == *zone) {
        for (day, hours) in (0..7).flat_map(|day| part.hours.iter().map(move |hours| (day, hours))) {
            if part.days >> day & 1 == 1 {
                let minutes = usize::from(hours.start)..usize::from(hours.end());
                minutes.for_each(|minute| open[(day * day_length + minute) % (7 * day_length)] = true);
            }
        }
    }
    open.into_iter().all(|open| open)
}

impl FromStr for WeeklySchedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse_in(text, None)
    }
}

impl TryFrom<String> for WeeklySchedule {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<WeeklySchedule> for String {
    fn from(schedule: WeeklySchedule) -> Self {
        schedule.text
    }
}

impl fmt::Display for WeeklySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
