//! Which dates and times of day an expression wants, and the search for the next.

use jiff::civil::{Date, DateTime, Time};

/// The years that an expression can want. *Source:* systemd, which looks no further either.
pub(super) const YEARS: std::ops::RangeInclusive<u16> = 1970..=2199;

/// Numbers from 0 to 59 that are wanted, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Set(pub(super) u64);

impl Set {
    pub(super) fn only(number: u8) -> Self {
        Self(1 << number.min(63))
    }

    fn contains(self, number: i8) -> bool {
        self.from(number).next() == Some(number)
    }

    /// The wanted numbers from this one on, in order.
    fn from(self, first: i8) -> impl Iterator<Item = i8> {
        (first.max(0)..60).filter(move |number| self.0 >> number & 1 == 1)
    }
}

/// The years wanted: from the first to the last, each so many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Years {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) step: u16,
}

impl Years {
    pub(super) fn any() -> Self {
        Self { first: *YEARS.start(), last: *YEARS.end(), step: 1 }
    }

    fn contain(&self, year: u16) -> bool {
        (self.first..=self.last).contains(&year) && (year - self.first).is_multiple_of(self.step.max(1))
    }
}

/// From which end of the month days are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Days {
    /// 1 is the first day.
    FromFirst(Set),
    /// 1 is the last day.
    FromLast(Set),
}

/// The dates and times of day that an expression wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Monday is bit 0.
    pub(super) weekdays: u8,
    pub(super) years: Vec<Years>,
    pub(super) months: Set,
    pub(super) days: Days,
    pub(super) hours: Set,
    pub(super) minutes: Set,
    pub(super) seconds: Set,
}

impl Pattern {
    /// Every day, at midnight.
    pub(super) fn daily() -> Self {
        Self {
            weekdays: 0b111_1111,
            years: vec![Years::any()],
            months: Set(u64::MAX),
            days: Days::FromFirst(Set(u64::MAX)),
            hours: Set::only(0),
            minutes: Set::only(0),
            seconds: Set::only(0),
        }
    }

    /// Whether the time of day is one.
    pub(super) fn has_one_time(&self) -> bool {
        [self.hours, self.minutes, self.seconds].iter().all(|set| set.0.is_power_of_two())
    }

    /// The first wanted date and time that is not before this one.
    pub(super) fn at_or_after(&self, local: DateTime) -> Option<DateTime> {
        let today = self.wants(local.date()).then(|| self.time_from(local.time())).flatten();
        match today {
            Some(time) => Some(local.date().to_datetime(time)),
            None => {
                let date = self.date_from(local.date().tomorrow().ok()?)?;
                Some(date.to_datetime(self.time_from(Time::midnight())?))
            }
        }
    }

    fn date_from(&self, first: Date) -> Option<Date> {
        let earliest = i16::try_from(*YEARS.start()).ok()?;
        let latest = i16::try_from(*YEARS.end()).ok()?;
        (first.year().max(earliest)..=latest)
            .filter(|year| self.wants_year(*year))
            .flat_map(|year| self.months.from(1).filter_map(move |month| Date::new(year, month, 1).ok()))
            .filter(|month| month.last_of_month() >= first)
            .flat_map(|month| {
                (1..=month.days_in_month()).filter_map(move |day| month.with().day(day).build().ok())
            })
            .find(|date| *date >= first && self.wants(*date))
    }

    fn wants(&self, date: Date) -> bool {
        let day = match self.days {
            Days::FromFirst(days) => days.contains(date.day()),
            Days::FromLast(days) => days.contains(date.days_in_month() + 1 - date.day()),
        };
        let weekday = date.weekday().to_monday_zero_offset();
        day && self.weekdays >> weekday & 1 == 1
            && self.months.contains(date.month())
            && self.wants_year(date.year())
    }

    fn wants_year(&self, year: i16) -> bool {
        u16::try_from(year).is_ok_and(|year| self.years.iter().any(|years| years.contain(year)))
    }

    fn time_from(&self, first: Time) -> Option<Time> {
        self.hours
            .from(first.hour())
            .flat_map(|hour| self.minutes.from(0).map(move |minute| (hour, minute)))
            .filter(|wanted| *wanted >= (first.hour(), first.minute()))
            .flat_map(|(hour, minute)| {
                self.seconds.from(0).filter_map(move |second| Time::new(hour, minute, second, 0).ok())
            })
            .find(|time| *time >= first)
    }
}
