//! Weeks and months: history is kept in one partition a period, and forgotten by dropping it.
//!
//! Weeks are ISO weeks in UTC, numbered from the one that holds 1970-01-01; months are numbered from January 1970.

use vilicus_core::{Millis, Timestamp};

const DAY_MS: i64 = 86_400_000;
/// 1970-01-01 was a Thursday: three days after the Monday of its week.
const EPOCH_WEEKDAY: i64 = 3;

/// The number of the week that a moment falls in.
pub(crate) fn week(at: Timestamp) -> i64 {
    (at.as_millis().div_euclid(DAY_MS) + EPOCH_WEEKDAY).div_euclid(7)
}

/// The first moment of a week.
pub(crate) fn week_start(week: i64) -> Timestamp {
    Timestamp::from_millis((week.saturating_mul(7) - EPOCH_WEEKDAY).saturating_mul(DAY_MS))
}

/// The partition of a week, as `history-2026-w47`: the year and week of its Thursday, as ISO 8601 has it.
pub(crate) fn history_partition(number: i64) -> String {
    let thursday = number.saturating_mul(7);
    let (year, _, _) = civil(thursday);
    let first = days_of(year, 1, 1);
    format!("history-{year:04}-w{:02}", (thursday - first).div_euclid(7) + 1)
}

/// The partition of the month of a moment, as `event-2026-11`.
pub(crate) fn month_partition(prefix: &str, at: Timestamp) -> String {
    let (year, month, _) = civil(at.as_millis().div_euclid(DAY_MS));
    format!("{prefix}-{year:04}-{month:02}")
}

/// The first moment after the period of a partition; `None` for a name that is none of ours.
pub(crate) fn end_of(partition: &str) -> Option<Timestamp> {
    let (rest, last) = partition.rsplit_once('-')?;
    let (_, year) = rest.rsplit_once('-')?;
    let year: i64 = year.parse().ok()?;
    if let Some(number) = last.strip_prefix('w') {
        let number: i64 = number.parse().ok()?;
        // The Thursday of week 1 is the first of the year; `week` of any day of a week is that of its Thursday.
        let first = days_of(year, 1, 1);
        let first_thursday = first + (7 - first.rem_euclid(7)).rem_euclid(7);
        return Some(week_start(first_thursday.div_euclid(7) + number));
    }
    let month: i64 = last.parse().ok().filter(|month| (1..=12).contains(month))?;
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    Some(Timestamp::from_millis(days_of(next_year, next_month, 1).saturating_mul(DAY_MS)))
}

/// Whether all of a partition is older than `keep`.
pub(crate) fn is_over(partition: &str, now: Timestamp, keep: Millis) -> bool {
    end_of(partition).is_some_and(|end| end <= now.before(keep))
}

/// Year, month and day of a number of days since 1970-01-01, in the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted in eras of 400 years that begin on March 1st, so that the leap day comes last.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`].
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn periods_are_named_as_the_calendar_does() {
        for (moment, history, month) in [
            ("2026-11-22T11:00:00Z", "history-2026-w47", "event-2026-11"),
            ("2026-11-23T00:00:00Z", "history-2026-w48", "event-2026-11"),
            ("2027-01-03T23:59:59Z", "history-2026-w53", "event-2027-01"),
            ("2027-01-04T00:00:00Z", "history-2027-w01", "event-2027-01"),
            ("2024-12-30T00:00:00Z", "history-2025-w01", "event-2024-12"),
            ("1970-01-01T00:00:00Z", "history-1970-w01", "event-1970-01"),
            ("1969-12-31T23:00:00Z", "history-1970-w01", "event-1969-12"),
            ("2024-02-29T12:00:00Z", "history-2024-w09", "event-2024-02"),
        ] {
            assert_eq!(history_partition(week(at(moment))), history, "{moment}");
            assert_eq!(month_partition("event", at(moment)), month, "{moment}");
        }
    }

    #[test]
    fn a_partition_is_over_when_its_last_moment_is_old_enough() {
        let keep = Millis::from_hours(24);
        assert!(!is_over("history-2026-w47", at("2026-11-23T23:59:59Z"), keep));
        assert!(is_over("history-2026-w47", at("2026-11-24T00:00:00Z"), keep));
        assert!(is_over("event-2026-12", at("2027-01-02T00:00:00Z"), keep));
        assert!(!is_over("journal-00000000000000000001", Timestamp::MAX, keep), "not a period");
    }

    proptest! {
        #[test]
        fn every_moment_lies_in_its_periods(millis in -62_135_596_800_000_i64..253_402_207_199_999) {
            let moment = Timestamp::from_millis(millis);
            let number = week(moment);
            prop_assert!(week_start(number) <= moment && moment < week_start(number + 1) || number >= 417_000);
            if (0..9_000).contains(&civil(millis.div_euclid(DAY_MS)).0) {
                prop_assert_eq!(end_of(&history_partition(number)), Some(week_start(number + 1)));
                let end = end_of(&month_partition("event", moment)).unwrap();
                prop_assert!(end > moment && end.since(moment) <= Millis::from_hours(31 * 24));
            }
        }
    }
}
