//! A time period of Nagios as our schedule.
//!
//! *Source:* <https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/objectdefinitions.html#timeperiod>.

use super::objects::Object;

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
/// All of a day.
const WHOLE_DAY: &str = "00:00-24:00";

/// A schedule, as far as weekdays tell it; `None` when it is always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Schedule {
    pub(super) text: Option<String>,
    /// What it says of single dates, which a weekly schedule cannot.
    pub(super) lost: Vec<String>,
}

/// Reads a `timeperiod`. Hours of Nagios are those of its server's zone.
pub(super) fn schedule(period: &Object) -> Schedule {
    let mut parts = Vec::new();
    for day in DAYS {
        if let Some(hours) = period.get(day) {
            let hours: Vec<&str> = hours.split(',').map(str::trim).collect();
            // "Mon": three letters of a day's name are enough.
            let name = format!("{}{}", day[..1].to_uppercase(), &day[1..3]);
            parts.push((name, hours.join(",")));
        }
    }
    let known = ["timeperiod_name", "alias", "name", "register", "use"];
    let other = period.fields().filter(|(name, _)| !known.contains(name) && !DAYS.contains(name));
    let lost = other.map(|(name, value)| format!("{name} {value}")).collect();
    let always = parts.len() == DAYS.len() && parts.iter().all(|(_, hours)| hours == WHOLE_DAY);
    let text: Vec<String> = parts.iter().map(|(day, hours)| format!("{day} {hours}")).collect();
    Schedule { text: (!always && !text.is_empty()).then(|| text.join("; ")), lost }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::schedule::WeeklySchedule;

    #[test]
    fn hours_of_weekdays_are_a_schedule_and_always_is_none() {
        let work = Object::of(
            "timeperiod",
            &[
                ("timeperiod_name", "work"),
                ("monday", "09:00-12:00, 13:00-17:00"),
                ("friday", "09:00-15:00"),
                ("december", "25 00:00-00:00"),
            ],
        );
        let read = schedule(&work);
        assert_eq!(read.text.as_deref(), Some("Mon 09:00-12:00,13:00-17:00; Fri 09:00-15:00"));
        assert!(read.text.unwrap().parse::<WeeklySchedule>().is_ok());
        assert_eq!(read.lost, ["december 25 00:00-00:00"]);
        let always: Vec<(&str, &str)> = DAYS.iter().map(|day| (*day, WHOLE_DAY)).collect();
        assert_eq!(schedule(&Object::of("timeperiod", &always)).text, None);
    }
}
