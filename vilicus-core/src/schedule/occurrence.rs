//! From local times to moments, over the days when clocks are changed.
//!
//! A cron line and a calendar expression both name local times; this is the one place that says what becomes of
//! them when a local time is skipped or comes twice. A *fixed* time of day (one hour, one minute, one second)
//! happens once each day that it is wanted: at the jump when it is skipped, the first time when it comes twice.
//! Anything else follows the clock on the wall: what is skipped is left out, what comes twice happens twice.
//!
//! *Source:* <https://docs.rs/croner/4/croner/#daylight-saving-time-dst-handling>.

use jiff::civil::{DateTime, Time, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp as Moment};

use super::zone::{self, Pass};
use crate::time::Timestamp;

/// Local times that are wanted, whatever the zone; in whole seconds.
pub(super) trait LocalTimes {
    /// Whether it is one fixed time of day.
    fn is_fixed(&self) -> bool;

    /// The first wanted local time that is not before this one.
    fn at_or_after(&self, local: DateTime) -> Option<DateTime>;

    /// Whether there is any at all.
    fn ever(&self) -> bool {
        self.at_or_after(date(1970, 1, 1).to_datetime(Time::midnight())).is_some()
    }
}

/// The first moment after `after` at which a wanted local time comes in this zone.
pub(super) fn next_after(times: &impl LocalTimes, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    if times.is_fixed() { next_fixed(times, zone, after) } else { next_on_the_wall(times, zone, after) }
}

fn next_fixed(times: &impl LocalTimes, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    // A skipped time happens up to some hours later than it says, so the day before may still be due.
    let today = zone::local(zone, after).date();
    let mut from = zone::days_later(today, -1).unwrap_or(today).to_datetime(Time::midnight());
    loop {
        let local = times.at_or_after(from)?;
        let moment = zone::moment(zone, local, Pass::First);
        if moment > after {
            return Some(moment);
        }
        from = local.checked_add(SignedDuration::from_secs(1)).ok()?;
    }
}

/// Between two changes of the clock local times and moments run side by side, so it looks at one such stretch
/// after the other.
fn next_on_the_wall(times: &impl LocalTimes, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let mut from = Moment::from_second(after.as_millis().div_euclid(1000) + 1).ok()?;
    loop {
        let offset = zone.to_offset(from);
        let found =
            times.at_or_after(offset.to_datetime(from)).and_then(|local| offset.to_timestamp(local).ok());
        let change = zone.following(from).next().map(|change| change.timestamp());
        // The clock may go back over the last wanted times there are.
        let horizon = found.or_else(|| from.checked_add(SignedDuration::from_hours(24)).ok())?;
        match change {
            Some(change) if change <= horizon => from = change,
            _ => return found.map(|found| Timestamp::from_millis(found.as_millisecond())),
        }
    }
}
