//! Schedules as their users see them: hours of the week, cron lines, calendar expressions and downtimes that come
//! again, over the days when clocks are changed.
#![expect(clippy::unwrap_used, reason = "a test may")]

use vilicus_core::Timestamp;
use vilicus_core::schedule::{CronSchedule, OnCalendar, WeeklySchedule};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
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
        ("08:00-18:00", "2026-11-22T08:00:00Z", true),
        ("daily 8:00-18:00", "2026-11-22T08:00:00Z", true),
        ("Fri 22:00-06:00", "2026-11-21T05:59:00Z", true),
        ("Fri 22:00-06:00", "2026-11-20T05:59:00Z", false),
        ("Sat-Mon 10:00-24:00", "2026-11-23T23:59:59Z", true),
        ("Sat-Mon 10:00-24:00", "2026-11-24T00:00:00Z", false),
        ("Mon, Wed,Fri 08:00-12:00, 13:00-17:00 UTC", "2026-11-25T12:30:00Z", false),
        ("Mon, Wed,Fri 08:00-12:00, 13:00-17:00 UTC", "2026-11-25T13:00:00Z", true),
        ("Mon 08:00-12:00; Sun 10:00-11:00 Europe/Berlin", "2026-11-22T09:30:00Z", true),
        ("Mon 08:00-12:00; Sun 10:00-11:00 Europe/Berlin", "2026-11-23T07:30:00Z", true),
        ("Sun 10:00-11:00 Europe/Berlin; Mon 08:00-12:00;", "2026-11-23T07:30:00Z", true),
        ("Mon 08:00-12:00 UTC; Sun 10:00-11:00 Europe/Berlin", "2026-11-23T07:30:00Z", false),
        ("00:00-24:00", "2026-11-23T07:30:00Z", true),
    ] {
        let parsed: WeeklySchedule = schedule.parse().unwrap();
        assert_eq!(parsed.contains(at(moment)), open, "{schedule} at {moment}");
    }
}

#[test]
fn a_nightly_job_runs_once_when_clocks_are_changed() {
    let expected = ["2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z", "2026-03-31T00:30Z"]
        .map(String::from);
    let cron: CronSchedule = "30 2 * * * Europe/Berlin".parse().unwrap();
    assert_eq!(occurrences(|after| cron.next_after(after), "2026-03-28T00:00:00Z", 4), expected);
    let calendar: OnCalendar = "*-*-* 02:30 Europe/Berlin".parse().unwrap();
    assert_eq!(occurrences(|after| calendar.next_after(after), "2026-03-28T00:00:00Z", 4), expected);
}
