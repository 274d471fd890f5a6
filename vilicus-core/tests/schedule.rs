//! Schedules as their users see them: hours of the week, cron lines, calendar expressions and downtimes that come
//! again, over the days when clocks are changed.
#![expect(clippy::unwrap_used, reason = "a test may")]

use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{ToSpan, civil::Date};
use proptest::prelude::*;
use vilicus_core::schedule::{
    CronSchedule, Expectation, MAX_LENGTH, OnCalendar, Recurrence, ScheduleError, WeeklySchedule, Window,
};
use vilicus_core::{Millis, Timestamp};

const MINUTE: i64 = 60_000;

/// Zones that change their clocks in all the ways there are, and some that do not.
const ZONES: [&str; 14] = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "America/St_Johns",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(start: &str, end: &str) -> Window {
    Window { start: at(start), end: at(end) }
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn local(moment: Timestamp, zone: &TimeZone) -> jiff::civil::DateTime {
    zone.to_datetime(jiff::Timestamp::from_millisecond(moment.as_millis()).unwrap())
}

/// The moments at which clocks are changed in a zone, 2024 to 2030.
fn changes(zone: &TimeZone) -> Vec<Timestamp> {
    let end: jiff::Timestamp = "2031-01-01T00:00:00Z".parse().unwrap();
    let first = zone.following("2024-01-01T00:00:00Z".parse().unwrap());
    let moments = first.map(|change| change.timestamp()).take_while(|change| *change < end);
    moments.map(|change| Timestamp::from_millis(change.as_millisecond())).collect()
}

/// All that comes after `from`, up to `to`.
fn between(
    next: impl Fn(Timestamp) -> Option<Timestamp>,
    from: Timestamp,
    to: Timestamp,
) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(next(from), move |last| next(*last)).take_while(move |moment| *moment <= to)
}

/// The first occurrences after a moment, as text.
fn occurrences(next: impl Fn(Timestamp) -> Option<Timestamp>, after: &str, count: usize) -> Vec<String> {
    let steps = std::iter::successors(next(at(after)), |last| next(*last));
    steps.take(count).map(|moment| moment.to_string().replace(":00.000Z", "Z")).collect()
}

#[test]
fn hours_of_the_week_open_and_close() {
    for (schedule, moment, open) in [
        ("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-23T06:59:59.999Z", false),
        ("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-23T07:00:00Z", true),
        ("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-23T16:59:59.999Z", true),
        ("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-23T17:00:00Z", false),
        ("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-22T12:00:00Z", false),
        ("mon-fri 08:00-18:00 europe/berlin", "2026-07-01T06:00:00Z", true),
        ("Monday-Friday 08:00-18:00", "2026-07-01T08:00:00Z", true),
        ("08:00-18:00", "2026-11-22T08:00:00Z", true),
        ("daily 8:00-18:00", "2026-11-22T08:00:00Z", true),
        ("Fri 22:00-06:00", "2026-11-21T05:59:00Z", true),
        ("Fri 22:00-06:00", "2026-11-20T05:59:00Z", false),
        ("Fri 22:00-00:00", "2026-11-20T23:59:59Z", true),
        ("Fri 22:00-00:00", "2026-11-21T00:00:00Z", false),
        ("Sun 22:00-06:00", "2026-11-23T03:00:00Z", true),
        ("Sat-Mon 10:00-24:00", "2026-11-23T23:59:59Z", true),
        ("Sat-Mon 10:00-24:00", "2026-11-24T00:00:00Z", false),
        ("Mon, Wed,Fri 08:00-12:00, 13:00-17:00 UTC", "2026-11-25T12:30:00Z", false),
        ("Mon, Wed,Fri 08:00-12:00, 13:00-17:00 UTC", "2026-11-25T13:00:00Z", true),
        ("Mon 08:00-12:00; Sun 10:00-11:00 Europe/Berlin", "2026-11-22T09:30:00Z", true),
        ("Mon 08:00-12:00; Sun 10:00-11:00 Europe/Berlin", "2026-11-23T07:30:00Z", true),
        ("Sun 10:00-11:00 Europe/Berlin; Mon 08:00-12:00;", "2026-11-23T07:30:00Z", true),
        ("Mon 08:00-12:00 UTC; Sun 10:00-11:00 Europe/Berlin", "2026-11-23T07:30:00Z", false),
        ("Mon 08:00-12:00 Asia/Kathmandu", "2026-11-23T02:14:59Z", false),
        ("Mon 08:00-12:00 Asia/Kathmandu", "2026-11-23T02:15:00Z", true),
        ("00:00-24:00", "2026-11-23T07:30:00Z", true),
    ] {
        let parsed: WeeklySchedule = schedule.parse().unwrap();
        assert_eq!(parsed.contains(at(moment)), open, "{schedule} at {moment}");
    }
}

/// On 2026-03-29 clocks in Berlin jump from 02:00 to 03:00, on 2026-10-25 they go back from 03:00 to 02:00.
#[test]
fn a_window_keeps_its_meaning_when_clocks_are_changed() {
    for (story, schedule, after, start, end) in [
        (
            "a start that is skipped is the jump",
            "Sun 02:30-04:00 Europe/Berlin",
            "2026-03-28T00:00:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-29T02:00:00Z",
        ),
        (
            "an end that is skipped is the jump",
            "Sun 01:00-02:30 Europe/Berlin",
            "2026-03-28T00:00:00Z",
            "2026-03-29T00:00:00Z",
            "2026-03-29T01:00:00Z",
        ),
        (
            "a window that is skipped waits a week",
            "Sun 02:00-03:00 Europe/Berlin",
            "2026-03-28T00:00:00Z",
            "2026-04-05T00:00:00Z",
            "2026-04-05T01:00:00Z",
        ),
        (
            "a start that comes twice is the first",
            "Sun 02:30-04:00 Europe/Berlin",
            "2026-10-24T00:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-25T03:00:00Z",
        ),
        (
            "an end that comes twice is the second",
            "Sun 01:00-02:30 Europe/Berlin",
            "2026-10-24T00:00:00Z",
            "2026-10-24T23:00:00Z",
            "2026-10-25T01:30:00Z",
        ),
        (
            "both come twice",
            "Sun 02:15-02:45 Europe/Berlin",
            "2026-10-24T00:00:00Z",
            "2026-10-25T00:15:00Z",
            "2026-10-25T01:45:00Z",
        ),
        (
            "the day of the jump has 23 hours",
            "Sun 00:00-24:00 Europe/Berlin",
            "2026-03-28T00:00:00Z",
            "2026-03-28T23:00:00Z",
            "2026-03-29T22:00:00Z",
        ),
        (
            "the day with the hour twice has 25",
            "Sun 00:00-24:00 Europe/Berlin",
            "2026-10-24T00:00:00Z",
            "2026-10-24T22:00:00Z",
            "2026-10-25T23:00:00Z",
        ),
        (
            "a night is shorter by the jump",
            "Sat 22:00-06:00 Europe/Berlin",
            "2026-03-28T00:00:00Z",
            "2026-03-28T21:00:00Z",
            "2026-03-29T04:00:00Z",
        ),
        (
            "a night is longer by the hour",
            "Sat 22:00-06:00 Europe/Berlin",
            "2026-10-24T00:00:00Z",
            "2026-10-24T20:00:00Z",
            "2026-10-25T05:00:00Z",
        ),
        (
            "parts that meet in the hour are one",
            "Sun 01:00-02:30,02:30-04:00 Europe/Berlin",
            "2026-10-24T00:00:00Z",
            "2026-10-24T23:00:00Z",
            "2026-10-25T03:00:00Z",
        ),
        (
            "parts that meet in the jump are one",
            "Sun 01:00-02:15,02:45-04:00 Europe/Berlin",
            "2026-03-28T00:00:00Z",
            "2026-03-29T00:00:00Z",
            "2026-03-29T02:00:00Z",
        ),
        (
            "half an hour is skipped",
            "Sun 02:15-03:00 Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            "2026-10-03T15:30:00Z",
            "2026-10-03T16:00:00Z",
        ),
        (
            "half an hour comes twice",
            "Sun 01:45-03:00 Australia/Lord_Howe",
            "2026-04-04T00:00:00Z",
            "2026-04-04T14:45:00Z",
            "2026-04-04T16:30:00Z",
        ),
        (
            "midnight is skipped",
            "Sun 00:00-02:00 America/Santiago",
            "2026-09-05T00:00:00Z",
            "2026-09-06T04:00:00Z",
            "2026-09-06T05:00:00Z",
        ),
        (
            "days that meet are one window",
            "Sat-Sun 00:00-24:00 Europe/Berlin",
            "2026-10-23T00:00:00Z",
            "2026-10-23T22:00:00Z",
            "2026-10-25T23:00:00Z",
        ),
        (
            "a window over midnight meets the morning",
            "Fri 22:00-06:00; Sat 06:00-12:00",
            "2026-11-20T00:00:00Z",
            "2026-11-20T22:00:00Z",
            "2026-11-21T12:00:00Z",
        ),
        (
            "zones of one schedule add up",
            "Mon 08:00-12:00 Europe/Berlin; Mon 08:00-12:00 America/New_York",
            "2026-11-22T00:00:00Z",
            "2026-11-23T07:00:00Z",
            "2026-11-23T11:00:00Z",
        ),
    ] {
        let parsed: WeeklySchedule = schedule.parse().unwrap();
        let expected = window(start, end);
        assert_eq!(parsed.next_window(at(after)), Some(expected), "{story}: {schedule}");
        assert_eq!(parsed.window_at(expected.start), Some(expected), "{story}: {schedule}");
        assert_eq!(
            parsed.window_at(expected.end.before(Millis::new(1))),
            Some(expected),
            "{story}: {schedule}"
        );
        assert_eq!(parsed.window_at(expected.end), None, "{story}: {schedule}");
        assert_eq!(parsed.next_open(at(after)), Some(expected.start), "{story}: {schedule}");
    }
}

#[test]
fn what_never_closes_has_no_next_window() {
    for schedule in [
        "00:00-24:00",
        "Mon-Sun 00:00-12:00,12:00-24:00 Europe/Berlin",
        "daily 12:00-11:59; daily 11:00-13:00",
    ] {
        let parsed: WeeklySchedule = schedule.parse().unwrap();
        let now = at("2026-10-25T00:30:00Z");
        assert_eq!(parsed.window_at(now), Some(Window::ALWAYS), "{schedule}");
        assert_eq!((parsed.next_open(now), parsed.next_window(now)), (Some(now), None), "{schedule}");
    }
}

#[test]
fn a_fixed_time_of_day_happens_once_each_local_day() {
    let times = ["0:00", "0:30", "1:15", "1:59", "2:00", "2:30", "2:45", "3:00", "3:59", "12:00", "23:30"];
    for name in ZONES {
        let zone = zone(name);
        for time in times {
            let (hour, minute) = time.split_once(':').unwrap();
            let cron: CronSchedule = format!("{minute} {hour} * * * {name}").parse().unwrap();
            let calendar: OnCalendar = format!("{time} {name}").parse().unwrap();
            for change in changes(&zone) {
                let (from, to) =
                    (change.before(Millis::from_hours(80)), change.after(Millis::from_hours(80)));
                let runs: Vec<_> = between(|after| cron.next_after(after), from, to).collect();
                let days: Vec<Date> = runs.iter().map(|run| local(*run, &zone).date()).collect();
                assert!(
                    days.len() >= 6 && days.windows(2).all(|pair| pair[0] + 1.day() == pair[1]),
                    "{time} {name}: {days:?}"
                );
                for run in runs.iter().filter(|run| **run != change) {
                    assert_eq!(
                        local(*run, &zone).time().strftime("%-H:%M").to_string(),
                        time,
                        "{name} {run}"
                    );
                }
                assert_eq!(
                    between(|after| calendar.next_after(after), from, to).collect::<Vec<_>>(),
                    runs,
                    "{time} {name}"
                );
            }
        }
    }
}

#[test]
fn seven_years_of_nights_have_a_run_each() {
    for name in ZONES {
        let cron = CronSchedule::new("30 2 * * *", name).unwrap();
        let (from, to) = (at("2024-01-01T12:00:00Z"), at("2031-01-01T12:00:00Z"));
        assert_eq!(between(|after| cron.next_after(after), from, to).count(), 2557, "{name}");
    }
}

#[test]
fn intervals_follow_real_time() {
    for name in ZONES {
        let cron = CronSchedule::new("*/15 * * * *", name).unwrap();
        let calendar: OnCalendar = format!("*:0/15 {name}").parse().unwrap();
        for change in changes(&zone(name)) {
            let (from, to) = (change.before(Millis::from_hours(4)), change.after(Millis::from_hours(4)));
            let expected: Vec<_> = (1..=32).map(|step| from.after(Millis::from_minutes(15 * step))).collect();
            assert_eq!(
                between(|after| cron.next_after(after), from, to).collect::<Vec<_>>(),
                expected,
                "{name}"
            );
            assert_eq!(
                between(|after| calendar.next_after(after), from, to).collect::<Vec<_>>(),
                expected,
                "{name}"
            );
        }
    }
}

#[test]
fn cron_lines_happen_when_they_say() {
    for (line, after, expected) in [
        ("0 0 29 2 *", "2026-11-22T00:00:00Z", vec!["2028-02-29T00:00Z", "2032-02-29T00:00Z"]),
        ("0 0 L * *", "2026-11-22T00:00:00Z", vec!["2026-11-30T00:00Z", "2026-12-31T00:00Z"]),
        ("0 9 * * 1#2", "2026-11-22T00:00:00Z", vec!["2026-12-14T09:00Z", "2027-01-11T09:00Z"]),
        ("0 9 15W * *", "2026-11-22T00:00:00Z", vec!["2026-12-15T09:00Z", "2027-01-15T09:00Z"]),
        ("0 9 1 * +MON", "2026-11-22T00:00:00Z", vec!["2027-02-01T09:00Z", "2027-03-01T09:00Z"]),
        ("0 0 13 * FRI", "2026-11-22T00:00:00Z", vec!["2026-11-27T00:00Z", "2026-12-04T00:00Z"]),
        ("5/20 8 * * *", "2026-11-22T08:25:00Z", vec!["2026-11-22T08:45Z", "2026-11-23T08:05Z"]),
        (
            "0 0 25/3,1 * *",
            "2026-11-22T00:00:00Z",
            vec!["2026-11-25T00:00Z", "2026-11-28T00:00Z", "2026-12-01T00:00Z"],
        ),
        ("30 0 12 * * *", "2026-11-22T00:00:00Z", vec!["2026-11-22T12:00:30.000Z"]),
        ("@weekly", "2026-11-22T00:00:00Z", vec!["2026-11-29T00:00Z", "2026-12-06T00:00Z"]),
        ("@Midnight Europe/Berlin", "2026-11-22T00:00:00Z", vec!["2026-11-22T23:00Z"]),
        ("0 2 * * sun Europe/Berlin", "2026-11-22T01:00:00Z", vec!["2026-11-29T01:00Z"]),
        ("0 12 * * *", "2026-11-22T11:59:59.999Z", vec!["2026-11-22T12:00Z"]),
        ("0 12 * * *", "2026-11-22T12:00:00.000Z", vec!["2026-11-23T12:00Z"]),
        (
            "0 12 * * * Pacific/Apia",
            "2011-12-29T00:00:00Z",
            vec!["2011-12-29T22:00Z", "2011-12-30T10:00Z", "2011-12-30T22:00Z"],
        ),
        ("0 0 * * *", "2199-12-30T12:00:00Z", vec!["2199-12-31T00:00Z"]),
    ] {
        let cron: CronSchedule = line.parse().unwrap();
        assert_eq!(occurrences(|after| cron.next_after(after), after, expected.len()), expected, "{line}");
    }
}

/// The answers of `systemd-analyze calendar` (systemd 252) from 2026-11-22 10:00 UTC on.
#[test]
fn calendar_expressions_happen_when_systemd_says() {
    for (expression, expected) in [
        (
            "Mon..Fri *-*-* 02:00:00 Europe/Berlin",
            vec!["2026-11-23T01:00Z", "2026-11-24T01:00Z", "2026-11-25T01:00Z"],
        ),
        ("Mon, 12:34", vec!["2026-11-23T12:34Z", "2026-11-30T12:34Z"]),
        ("Mon-Wed", vec!["2026-11-23T00:00Z", "2026-11-24T00:00Z", "2026-11-25T00:00Z", "2026-11-30T00:00Z"]),
        (
            "tue..thu,SUN",
            vec!["2026-11-24T00:00Z", "2026-11-25T00:00Z", "2026-11-26T00:00Z", "2026-11-29T00:00Z"],
        ),
        ("*:0/20", vec!["2026-11-22T10:20Z", "2026-11-22T10:40Z", "2026-11-22T11:00Z"]),
        ("10:00/20", vec!["2026-11-22T10:20Z", "2026-11-22T10:40Z", "2026-11-23T10:00Z"]),
        (
            "10:0..59/15",
            vec!["2026-11-22T10:15Z", "2026-11-22T10:30Z", "2026-11-22T10:45Z", "2026-11-23T10:00Z"],
        ),
        ("2..20/5:00", vec!["2026-11-22T12:00Z", "2026-11-22T17:00Z", "2026-11-23T02:00Z"]),
        ("5..10/20:00", vec!["2026-11-23T05:00Z", "2026-11-24T05:00Z"]),
        ("12:5", vec!["2026-11-22T12:05Z", "2026-11-23T12:05Z"]),
        ("*-*-* *:*:*", vec!["2026-11-22T10:00:01.000Z", "2026-11-22T10:00:02.000Z"]),
        ("1-5", vec!["2027-01-05T00:00Z", "2028-01-05T00:00Z"]),
        ("26-12-1", vec!["2026-12-01T00:00Z"]),
        ("2020-1-1", vec![]),
        ("2027/3-1-1", vec!["2027-01-01T00:00Z", "2030-01-01T00:00Z", "2033-01-01T00:00Z"]),
        ("2027..2029-1-1", vec!["2027-01-01T00:00Z", "2028-01-01T00:00Z", "2029-01-01T00:00Z"]),
        (
            "*-1..3-1",
            vec!["2027-01-01T00:00Z", "2027-02-01T00:00Z", "2027-03-01T00:00Z", "2028-01-01T00:00Z"],
        ),
        ("*-*-5/26", vec!["2026-12-05T00:00Z", "2026-12-31T00:00Z"]),
        ("*-02~03", vec!["2027-02-26T00:00Z", "2028-02-27T00:00Z", "2029-02-26T00:00Z"]),
        ("*-*~1,3", vec!["2026-11-28T00:00Z", "2026-11-30T00:00Z", "2026-12-29T00:00Z"]),
        (
            "*-*~1..3",
            vec!["2026-11-28T00:00Z", "2026-11-29T00:00Z", "2026-11-30T00:00Z", "2026-12-29T00:00Z"],
        ),
        (
            "*-*~3..7/2",
            vec!["2026-11-24T00:00Z", "2026-11-26T00:00Z", "2026-11-28T00:00Z", "2026-12-25T00:00Z"],
        ),
        ("*-*~7/2", vec!["2026-11-24T00:00Z", "2026-11-26T00:00Z", "2026-11-28T00:00Z", "2026-11-30T00:00Z"]),
        ("Mon *-05~07/1", vec!["2027-05-31T00:00Z", "2028-05-29T00:00Z", "2029-05-28T00:00Z"]),
        ("minutely", vec!["2026-11-22T10:01Z", "2026-11-22T10:02Z"]),
        ("hourly", vec!["2026-11-22T11:00Z", "2026-11-22T12:00Z"]),
        ("daily Europe/Berlin", vec!["2026-11-22T23:00Z", "2026-11-23T23:00Z"]),
        ("WEEKLY", vec!["2026-11-23T00:00Z", "2026-11-30T00:00Z"]),
        ("monthly", vec!["2026-12-01T00:00Z", "2027-01-01T00:00Z"]),
        ("quarterly", vec!["2027-01-01T00:00Z", "2027-04-01T00:00Z", "2027-07-01T00:00Z"]),
        ("semi-annually", vec!["2027-01-01T00:00Z", "2027-07-01T00:00Z", "2028-01-01T00:00Z"]),
        ("yearly", vec!["2027-01-01T00:00Z", "2028-01-01T00:00Z"]),
    ] {
        let calendar: OnCalendar = expression.parse().unwrap();
        let found =
            occurrences(|after| calendar.next_after(after), "2026-11-22T10:00:00Z", expected.len().max(1));
        assert_eq!(found, expected, "{expression}");
    }
}

#[test]
fn downtimes_come_again() {
    let hours = |hours| Some(Millis::from_hours(hours));
    for (story, text, duration, zone, after, start, end) in [
        (
            "weekly",
            "Sun 02:00-04:00 Europe/Berlin",
            None,
            None,
            "2026-11-22T04:00:00Z",
            "2026-11-29T01:00:00Z",
            "2026-11-29T03:00:00Z",
        ),
        (
            "weekly in the zone beside it",
            "Sun 02:00-04:00",
            None,
            Some("Europe/Berlin"),
            "2026-11-22T04:00:00Z",
            "2026-11-29T01:00:00Z",
            "2026-11-29T03:00:00Z",
        ),
        (
            "cron in the zone beside it",
            "0 2 * * Sun",
            hours(2),
            Some("Europe/Berlin"),
            "2026-11-22T04:00:00Z",
            "2026-11-29T01:00:00Z",
            "2026-11-29T03:00:00Z",
        ),
        (
            "the zone in the text wins",
            "0 2 * * Sun UTC",
            hours(2),
            Some("Europe/Berlin"),
            "2026-11-22T04:00:00Z",
            "2026-11-29T02:00:00Z",
            "2026-11-29T04:00:00Z",
        ),
        (
            "a duration is real time",
            "30 1 * * * Europe/Berlin",
            hours(2),
            None,
            "2026-03-28T12:00:00Z",
            "2026-03-29T00:30:00Z",
            "2026-03-29T02:30:00Z",
        ),
        (
            "what overlaps adds up",
            "0 1,2 * * *",
            hours(2),
            None,
            "2026-11-22T12:00:00Z",
            "2026-11-23T01:00:00Z",
            "2026-11-23T04:00:00Z",
        ),
        (
            "what touches adds up",
            "0 1,3 * * *",
            hours(2),
            None,
            "2026-11-22T12:00:00Z",
            "2026-11-23T01:00:00Z",
            "2026-11-23T05:00:00Z",
        ),
        (
            "what lies apart does not",
            "0 1,4 * * *",
            hours(2),
            None,
            "2026-11-22T12:00:00Z",
            "2026-11-23T01:00:00Z",
            "2026-11-23T03:00:00Z",
        ),
    ] {
        let recurrence = Recurrence::parse(text, duration, zone).unwrap();
        let expected = window(start, end);
        assert_eq!(recurrence.next_window(at(after)), Some(expected), "{story}");
        for inside in [expected.start, expected.end.before(Millis::new(1))] {
            assert_eq!(recurrence.window_at(inside), Some(expected), "{story}");
            assert!(recurrence.contains(inside), "{story}");
        }
        assert!(
            recurrence.window_at(expected.end).is_none() && !recurrence.contains(expected.end),
            "{story}"
        );
        let written = serde_json::to_string(&recurrence).unwrap();
        assert_eq!(serde_json::from_str::<Recurrence>(&written).unwrap(), recurrence, "{story}: {written}");
    }
    let always = Recurrence::parse("*/5 * * * *", Some(Millis::from_minutes(5)), None).unwrap();
    assert_eq!(always.window_at(at("2026-11-22T12:00:00Z")), Some(Window::ALWAYS));
    assert_eq!(always.next_window(at("2026-11-22T12:00:00Z")), None);
}

#[test]
fn a_downtime_needs_its_duration_and_no_other() {
    let hour = Some(Millis::from_hours(1));
    for (text, duration, error) in [
        ("0 2 * * Sun", None, ScheduleError::NoDuration),
        ("0 2 * * Sun", Some(Millis::ZERO), ScheduleError::NoDuration),
        ("Sun 02:00-04:00", hour, ScheduleError::NeedlessDuration),
        ("0 0 30 2 *", hour, ScheduleError::Never { text: "0 0 30 2 *".into() }),
    ] {
        assert_eq!(Recurrence::parse(text, duration, None), Err(error), "{text}");
    }
}

#[test]
fn signs_of_life_are_expected_after_the_last() {
    let last = at("2026-10-25T00:30:00Z");
    for (expectation, expected) in [
        (Expectation::Period(Millis::from_hours(24)), "2026-10-26T00:30:00Z"),
        (Expectation::Cron("30 2 * * * Europe/Berlin".parse().unwrap()), "2026-10-26T01:30:00Z"),
        (Expectation::Calendar("02:30 Europe/Berlin".parse().unwrap()), "2026-10-26T01:30:00Z"),
    ] {
        assert_eq!(expectation.next_after(last), Some(at(expected)), "{expectation:?}");
    }
}

fn refusal<T: FromStr<Err = ScheduleError> + std::fmt::Debug>(text: &str) -> String {
    text.parse::<T>().unwrap_err().to_string()
}

#[test]
fn a_refusal_says_what_is_wrong_and_where() {
    let end = "hours are missing behind the days (as 08:00-18:00, or 00:00-24:00)";
    for (text, error) in [
        ("", "the schedule is empty (expected one as 'Mon-Fri 08:00-18:00 Europe/Berlin')".to_owned()),
        ("Mon-Fri", format!("the end at character 8: {end}")),
        ("Mon-Fri UTC", "'UTC' at character 9".to_owned()),
        (
            "Mon 08:00-09:00; Fry 08:00-09:00",
            "'Fry' at character 18: not a day (expected Mon, Tue".to_owned(),
        ),
        ("Mon 08:00-25:00", "'08:00-25:00' at character 5: not a range of hours".to_owned()),
        ("Mon 08:00-08:00", "'08:00-08:00' at character 5: it ends where it starts".to_owned()),
        ("Mon 24:00-08:00", "'24:00-08:00' at character 5: a day does not start at 24:00".to_owned()),
        ("Mon,,Tue 08:00-09:00", "',' at character 5".to_owned()),
        ("Mon 08:00-09:00,", "',' at character 16".to_owned()),
        ("Mon 08:00-09:00 UTC UTC", "'UTC' at character 21".to_owned()),
        ("Mon 08:00-09:00;;", "the end at character 17: hours are missing".to_owned()),
        ("Mon–Fri 08:00-09:00", "'–' at character 4: only plain ASCII".to_owned()),
        (
            "08:00-09:00 Europe/Berln",
            "unknown time zone 'Europe/Berln' at character 13 (did you mean 'Europe/Berlin'?)".to_owned(),
        ),
        (
            "08:00-09:00 Kathmandu",
            "unknown time zone 'Kathmandu' at character 13 (did you mean 'Asia/Kathmandu'?)".to_owned(),
        ),
        ("08:00-09:00 ../../etc/passwd", "unknown time zone '../../etc/passwd' at character 13".to_owned()),
    ] {
        assert!(
            refusal::<WeeklySchedule>(text).starts_with(&error),
            "{text}: {}",
            refusal::<WeeklySchedule>(text)
        );
    }
    for (text, error) in [
        ("61 * * * *", "'61' at character 1: not right for the minute (expected 0-59"),
        ("0 0 25 * * *", "'25' at character 5: not right for the hour"),
        ("0 0 32 * *", "'32' at character 5: not right for the day of the month"),
        ("0 0 1 FOO *", "'FOO' at character 7: not right for the month"),
        ("0 0 * * MON#6", "'MON#6' at character 9: not right for the day of the week"),
        ("0 0 * *", "the end at character 8: there are 4 fields (expected 5"),
        ("0 0 0 * * * 2027", "the end at character 17: there are 7 fields"),
        ("@reboot", "'@reboot' at character 1: no such name"),
        ("0 0 30 2 *", "'0 0 30 2 *' never happens"),
        ("0 0 31 4,6,9,11 *", "'0 0 31 4,6,9,11 *' never happens"),
        ("0 2 * * * Berlin", "unknown time zone 'Berlin' at character 11 (did you mean 'Europe/Berlin'?)"),
    ] {
        assert!(
            refusal::<CronSchedule>(text).starts_with(error),
            "{text}: {}",
            refusal::<CronSchedule>(text)
        );
    }
    for (text, error) in [
        ("12", "'12' at character 1: not understood here"),
        ("Fri..Mon", "'Fri..Mon' at character 1: the last day comes before the first"),
        ("mon,,tue", "the end at character 5: not a day of the week"),
        ("*:*/5", "'*/5' at character 3: not right for the minute"),
        ("10:50/20", "'50/20' at character 4: not right for the minute"),
        ("10:00:60", "'60' at character 7: not right for the second"),
        ("24:00", "'24' at character 1: not right for the hour"),
        ("22..2:00", "'22..2' at character 1: not right for the hour"),
        ("*-*-5/27", "'5/27' at character 5: not right for the day"),
        ("*-*~3/5", "'3/5' at character 5: not right for the day"),
        ("*-*-31/0", "'31/0' at character 5: not right for the day"),
        ("*-*-0", "'0' at character 5: not right for the day"),
        ("*-*-*,1", "'*' at character 5: not right for the day"),
        ("*~*-1", "'*~*-1' at character 1: '~' stands between"),
        ("2200-1-1", "'2200' at character 1: not a year"),
        ("Mon Tue 10:00", "'Tue' at character 5: not understood here"),
        ("*-02-30", "'*-02-30' never happens"),
        ("Mon 2026-11-22", "'Mon 2026-11-22' never happens"),
        ("10:00 Europe/Nowhere", "unknown time zone 'Europe/Nowhere' at character 7"),
    ] {
        assert!(refusal::<OnCalendar>(text).starts_with(error), "{text}: {}", refusal::<OnCalendar>(text));
    }
    let long = format!("Mon {}", "08:00-09:00,".repeat(MAX_LENGTH / 12 + 1));
    assert_eq!(long.parse::<WeeklySchedule>(), Err(ScheduleError::TooLong { length: long.len() }));
}

#[test]
fn a_schedule_is_shown_as_it_was_written() {
    let weekly: WeeklySchedule = serde_json::from_str(r#""  Mon-Fri  08:00-18:00 Europe/Berlin ""#).unwrap();
    assert_eq!(serde_json::to_string(&weekly).unwrap(), r#""Mon-Fri 08:00-18:00 Europe/Berlin""#);
    assert_eq!(CronSchedule::new("0 2 * * *", "UTC").unwrap().to_string(), "0 2 * * * UTC");
    let error = serde_json::from_str::<OnCalendar>(r#""noon""#).unwrap_err().to_string();
    assert!(error.starts_with("'noon' at character 1: not a day of the week"), "{error}");
}

#[test]
fn the_schema_of_a_schedule_is_a_text() {
    for schema in [
        schemars::schema_for!(WeeklySchedule),
        schemars::schema_for!(CronSchedule),
        schemars::schema_for!(OnCalendar),
    ] {
        assert_eq!(schema.get("type"), Some(&"string".into()), "{schema:?}");
        assert!(schema.get("examples").is_some(), "{schema:?}");
    }
}

fn any_zone() -> impl Strategy<Value = &'static str> {
    prop::sample::select(ZONES.as_slice())
}

/// Moments from 2024 to 2030; every other one is near a change of clocks in that zone.
fn any_moment(zone_name: &'static str) -> impl Strategy<Value = Timestamp> {
    let anywhere = (1_704_067_200_000_i64..1_924_992_000_000).prop_map(Timestamp::from_millis);
    let changes = changes(&zone(zone_name));
    let nowhere = vec![at("2026-01-01T00:00:00Z")];
    let near = prop::sample::select(if changes.is_empty() { nowhere } else { changes });
    let near = (near, -180 * MINUTE..180 * MINUTE)
        .prop_map(|(change, offset)| Timestamp::from_millis(change.as_millis() + offset));
    prop_oneof![anywhere, near]
}

/// Hours to a quarter of an hour, more of them at night.
fn any_hours() -> impl Strategy<Value = String> {
    let quarter = || prop_oneof![0_u32..20, 0_u32..96];
    (quarter(), quarter()).prop_filter("not empty", |(start, end)| start != end).prop_map(|(start, end)| {
        format!("{:02}:{:02}-{:02}:{:02}", start / 4, start % 4 * 15, end / 4, end % 4 * 15)
    })
}

fn any_weekly() -> impl Strategy<Value = (String, Timestamp, Timestamp)> {
    let days =
        prop::sample::select(vec!["", "Mon ", "Sun ", "Sat-Mon ", "Mon-Fri ", "Tue,Thu,Sun ", "daily "]);
    let part = (days, prop::collection::vec(any_hours(), 1..4), any_zone());
    prop::collection::vec(part, 1..3).prop_flat_map(|parts| {
        let zone = parts[0].2;
        let texts = parts.iter().map(|(days, hours, zone)| format!("{days}{} {zone}", hours.join(",")));
        (Just(texts.collect::<Vec<_>>().join("; ")), any_moment(zone), any_moment(zone))
    })
}

/// Cron lines of all sorts, sparse ones too.
fn any_cron() -> impl Strategy<Value = String> {
    let field = |some: &'static [&'static str]| prop::sample::select(some);
    (
        field(&["", "0 ", "30 ", "*/20 "]),
        field(&["0", "30", "*/15", "59", "5,35", "10-20/5", "*"]),
        field(&["0", "1", "2", "3", "23", "*", "*/2", "1-3", "2,14"]),
        field(&["*", "1", "29", "L", "15W", "*/7", "1-7"]),
        field(&["*", "2", "3", "OCT", "*/3", "4,9-11"]),
        field(&["*", "SUN", "MON-FRI", "5L", "1#1", "+SUN", "7"]),
    )
        .prop_map(|(second, minute, hour, day, month, weekday)| {
            format!("{second}{minute} {hour} {day} {month} {weekday}")
        })
}

proptest! {
    #[test]
    fn open_is_what_a_window_holds((text, moment, _) in any_weekly()) {
        let schedule: WeeklySchedule = text.parse().unwrap();
        let window = schedule.window_at(moment);
        prop_assert_eq!(schedule.contains(moment), window.is_some());
        prop_assert!(window.is_none_or(|window| window.contains(moment)));
        prop_assert_eq!(schedule.next_open(moment) == Some(moment), window.is_some());
    }

    #[test]
    fn the_next_opening_never_goes_back((text, one, other) in any_weekly()) {
        let schedule: WeeklySchedule = text.parse().unwrap();
        let (first, second) = (one.min(other), one.max(other));
        let (opens, later) = (schedule.next_open(first).unwrap(), schedule.next_open(second).unwrap());
        prop_assert!(first <= opens && opens <= later);
        prop_assert!(schedule.contains(opens));
    }

    #[test]
    fn windows_are_apart_and_in_order((text, moment, _) in any_weekly()) {
        let schedule: WeeklySchedule = text.parse().unwrap();
        let mut last = Window { start: moment, end: moment };
        for _ in 0..6 {
            let Some(next) = schedule.next_window(last.start) else { break };
            prop_assert!(next.start > last.end);
            prop_assert!(next.start < next.end);
            prop_assert_eq!(schedule.window_at(next.start), Some(next));
            prop_assert_eq!(schedule.window_at(next.end.before(Millis::new(1))), Some(next));
            prop_assert!(!schedule.contains(next.start.before(Millis::new(1))) && !schedule.contains(next.end));
            last = next;
        }
    }

    /// Away from the changes of clocks it is no more than looking at the clock on the wall.
    #[test]
    fn hours_are_those_of_the_clock_on_the_wall(
        zone_name in any_zone(), start in 0_i64..24, length in 1_i64..23, moment in 1_704_067_200_000_i64..1_924_992_000_000,
    ) {
        let zone = zone(zone_name);
        let moment = Timestamp::from_millis(moment);
        prop_assume!(changes(&zone).iter().all(|change| (change.as_millis() - moment.as_millis()).abs() > 2 * 86_400_000));
        let text = format!("Tue {start:02}:00-{:02}:00 {zone_name}", (start + length) % 24);
        let schedule: WeeklySchedule = text.parse().unwrap();
        let clock = local(moment, &zone);
        let since_monday = i64::from(clock.weekday().to_monday_zero_offset()) * 24 + i64::from(clock.hour());
        prop_assert_eq!(schedule.contains(moment), (24 + start..24 + start + length).contains(&since_monday), "{}", text);
    }

    #[test]
    fn cron_lines_agree_with_croner(
        (line, zone_name, after) in (any_cron(), any_zone()).prop_flat_map(|(line, zone)| (Just(line), Just(zone), any_moment(zone)))
    ) {
        let Ok(schedule) = CronSchedule::new(&line, zone_name) else { return Ok(()) };
        let start = jiff::Timestamp::from_second(after.as_millis().div_euclid(1000)).unwrap().to_zoned(zone(zone_name));
        let seconds = if line.split(' ').count() == 5 { "0 " } else { "" };
        let cron = croner::Cron::from_str(&format!("{seconds}{line} 1970-2199")).unwrap();
        let expected = cron.find_next_occurrence(&start, false).ok();
        let expected = expected.map(|found| Timestamp::from_millis(found.timestamp().as_millisecond()));
        prop_assert_eq!(schedule.next_after(after), expected, "{} {} after {}", line, zone_name, after);
    }

    #[test]
    fn occurrences_that_add_up_hold_all_the_time(
        line in any_cron(), minutes in 1_u64..300, moment in any_moment("Europe/Berlin"),
    ) {
        let Ok(cron) = CronSchedule::new(&line, "Europe/Berlin") else { return Ok(()) };
        let duration = Millis::from_minutes(minutes);
        let recurrence = Recurrence::parse(&line, Some(duration), Some("Europe/Berlin")).unwrap();
        let begun = cron.next_after(moment.before(duration)).filter(|start| *start <= moment);
        prop_assert_eq!(recurrence.contains(moment), begun.is_some());
        let window = recurrence.window_at(moment);
        prop_assert_eq!(window.is_some_and(|window| window.contains(moment)), begun.is_some());
        if let Some(next) = recurrence.next_window(moment) {
            prop_assert!(next.start > window.map_or(moment, |window| window.end));
            prop_assert_eq!(recurrence.window_at(next.start), Some(next));
            prop_assert!(!recurrence.contains(next.start.before(Millis::new(1))) && !recurrence.contains(next.end));
        }
    }

    #[test]
    fn what_is_read_is_shown_so_that_it_is_read_the_same((text, ..) in any_weekly(), line in any_cron(), zone in any_zone()) {
        let weekly: WeeklySchedule = text.parse().unwrap();
        prop_assert_eq!(weekly.to_string().parse(), Ok(weekly));
        if let Ok(cron) = CronSchedule::new(&line, zone) {
            prop_assert_eq!(cron.to_string().parse(), Ok(cron));
        }
    }

    #[test]
    fn no_text_and_no_moment_does_harm(
        text in prop_oneof![
            any::<String>(),
            "[-0-9:,;*/#LW+?@~. ]{0,40}",
            "((Mon|Tue|Sun|daily|@daily|UTC|Europe/Berlin|[0-9]{1,2}:[0-9]{2}|[0-9]{1,4}|\\*|-|\\.\\.|,|;|/|~|#|L|W|\\+|\\?) ?){0,14}",
        ],
        moment: i64,
    ) {
        let moment = Timestamp::from_millis(moment);
        if let Ok(weekly) = text.parse::<WeeklySchedule>() {
            let _ = (weekly.window_at(moment), weekly.next_window(moment), weekly.next_open(moment));
            prop_assert_eq!(weekly.to_string().parse(), Ok(weekly));
        }
        if let Ok(cron) = text.parse::<CronSchedule>() {
            prop_assert!(cron.next_after(moment).is_none_or(|next| next > moment));
            prop_assert_eq!(cron.to_string().parse(), Ok(cron));
        }
        if let Ok(calendar) = text.parse::<OnCalendar>() {
            prop_assert!(calendar.next_after(moment).is_none_or(|next| next > moment));
            prop_assert_eq!(calendar.to_string().parse(), Ok(calendar));
        }
        if let Ok(recurrence) = Recurrence::parse(&text, Some(Millis::from_hours(1)), None) {
            let _ = (recurrence.contains(moment), recurrence.next_window(moment));
        }
    }
}
