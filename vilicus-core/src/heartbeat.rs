//! Heartbeats: a job says that it ran, and silence is the alarm.
//!
//! A ping says that a run started, succeeded or failed, or only leaves a note. Missing is a ping that stays out past the
//! expected moment plus grace, or a run that started and did not end within grace.
//!
//! *Source of the model:* <https://healthchecks.io/docs/>.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::judge::freshness::Start;
use crate::params::ParamsError;
use crate::schedule::{CronSchedule, Expectation, OnCalendar, ScheduleError};
use crate::time::{Millis, Timestamp};

/// The shortest period that is possible.
const MIN_PERIOD: Millis = Millis::from_secs(1);

/// Parameters of the kind `heartbeat`: exactly one of `period`, `cron` and `on_calendar`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeartbeatParams {
    /// How often the job runs.
    pub period: Option<Millis>,
    /// When the job runs, as a line of cron.
    pub cron: Option<String>,
    /// When the job runs, as systemd's `OnCalendar` says it.
    pub on_calendar: Option<String>,
    /// The IANA time zone of the line of cron; UTC unless given.
    pub timezone: Option<String>,
    /// How late a ping may be, and how long a run may take; the check's `grace` unless given.
    pub grace: Option<Millis>,
}

impl HeartbeatParams {
    /// When pings are expected.
    ///
    /// # Errors
    /// None or several of the three are given, or the one that is can't work; says which and why.
    pub fn expectation(&self) -> Result<Expectation, ParamsError> {
        if self.timezone.is_some() && self.cron.is_none() {
            let mend = "it belongs to 'cron'; in 'on_calendar' write the zone behind the time";
            return Err(ParamsError::new("timezone", mend));
        }
        match (&self.period, &self.cron, &self.on_calendar) {
            (Some(period), None, None) if *period < MIN_PERIOD => {
                Err(ParamsError::new("period", format!("a period is at least {MIN_PERIOD}")))
            }
            (Some(period), None, None) => Ok(Expectation::Period(*period)),
            (None, Some(line), None) => {
                let zone = self.timezone.as_deref().unwrap_or("UTC");
                let cron = CronSchedule::new(line, zone);
                cron.map(Expectation::Cron).map_err(|error| match error {
                    ScheduleError::UnknownZone { .. } => ParamsError::new("timezone", error.to_string()),
                    _ => ParamsError::new("cron", error.to_string()),
                })
            }
            (None, None, Some(text)) => {
                let calendar = text.parse::<OnCalendar>();
                let wrong = |error| ParamsError::new("on_calendar", format!("{error}"));
                calendar.map(Expectation::Calendar).map_err(wrong)
            }
            _ => Err(ParamsError::new("", "give exactly one of 'period', 'cron' and 'on_calendar'")),
        }
    }
}

/// What a ping says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// A run began.
    Start,
    /// A run ended well.
    Success,
    /// A run failed.
    Fail,
    /// A note, which changes nothing.
    Log,
    /// A run ended with this exit status: 0 is well, all else failed.
    Exit(u8),
}

impl Signal {
    /// Whether a run ended with it, and how.
    #[must_use]
    pub const fn end(self) -> Option<bool> {
        match self {
            Self::Success | Self::Exit(0) => Some(true),
            Self::Fail | Self::Exit(_) => Some(false),
            Self::Start | Self::Log => None,
        }
    }
}

/// What the pings of a heartbeat said last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Heartbeat {
    /// When a run last ended well.
    pub last_success: Option<Timestamp>,
    /// The run that has not ended yet.
    pub running: Option<Running>,
    /// Whether its silence is known: it is news once, and over with the end of a run.
    pub missed: bool,
}

/// A run that has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// When it began.
    pub since: Timestamp,
    /// What tells its pings from those of other runs.
    pub rid: Option<String>,
}

impl Heartbeat {
    /// Notes the beginning of a run.
    pub fn begin(&mut self, at: Timestamp, rid: Option<&str>) {
        self.running = Some(Running { since: at, rid: rid.map(str::to_owned) });
    }

    /// Notes the end of a run. Returns how long it took, when its beginning is known: their `rid` agree.
    pub fn end(&mut self, at: Timestamp, rid: Option<&str>, well: bool) -> Option<Millis> {
        self.missed = false;
        if well {
            self.last_success = Some(at);
        }
        let running = self.running.as_ref()?;
        let took = (running.rid.as_deref() == rid).then(|| at.since(running.since));
        // The end of another run says nothing of this one.
        if took.is_some() || rid.is_none() {
            self.running = None;
        }
        took
    }

    /// Notes that its silence is known: the run that did not end is over for us.
    pub fn miss(&mut self) {
        (self.missed, self.running) = (true, None);
    }

    /// When silence becomes news: the earlier of the end that the run at work owes, and of the next ping that is
    /// expected. `None` before the first ping, when nobody knows yet whether the job exists, and once it is known.
    #[must_use]
    pub fn missed_at(&self, expectation: &Expectation, grace: Millis, start: Start) -> Option<Timestamp> {
        if self.missed {
            return None;
        }
        let end = self.running.as_ref().map(|running| start.hold(running.since.after(grace), grace));
        let next = self.last_success.and_then(|last| {
            let expected = expectation.next_after(last)?;
            Some(start.hold(expected.after(grace), expected.since(last).plus(grace)))
        });
        end.into_iter().chain(next).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn exactly_one_expectation_is_wanted() {
        for (params, mistake) in [
            (serde_json::json!({"period": "1h"}), None),
            (serde_json::json!({"cron": "0 3 * * *", "timezone": "Europe/Berlin"}), None),
            (serde_json::json!({"on_calendar": "Mon..Fri 03:00"}), None),
            (serde_json::json!({}), Some("exactly one")),
            (serde_json::json!({"period": "1h", "cron": "0 3 * * *"}), Some("exactly one")),
            (serde_json::json!({"period": "1ms"}), Some("at least")),
            (serde_json::json!({"period": "1h", "timezone": "UTC"}), Some("belongs to 'cron'")),
            (serde_json::json!({"cron": "0 0 30 2 *"}), Some("never")),
            (serde_json::json!({"cron": "0 3 * * *", "timezone": "Berlin"}), Some("zone")),
        ] {
            let read: HeartbeatParams = crate::params::parse(&params).unwrap();
            match (read.expectation(), mistake) {
                (Ok(_), None) => {}
                (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{params}: {error}"),
                (other, _) => panic!("{params}: {other:?}"),
            }
        }
    }

    const LONG_AGO: Start = Start(Timestamp::from_millis(-86_400_000));

    #[test]
    fn a_run_is_timed_when_its_ids_agree() {
        for (begin, end, took, runs_on) in [
            (None, None, Some(30), false),
            (Some("a"), Some("a"), Some(30), false),
            (Some("a"), Some("b"), None, true),
            (Some("a"), None, None, false),
            (None, Some("b"), None, true),
        ] {
            let mut heartbeat = Heartbeat::default();
            heartbeat.begin(at(10), begin);
            assert_eq!(heartbeat.end(at(40), end, true), took.map(Millis::from_secs), "{begin:?} {end:?}");
            assert_eq!(heartbeat.running.is_some(), runs_on, "{begin:?} {end:?}");
        }
        assert_eq!(Heartbeat::default().end(at(5), None, false), None);
    }

    #[test]
    fn silence_is_news_after_grace() {
        let hourly = Expectation::Period(Millis::from_hours(1));
        let grace = Millis::from_minutes(10);
        let mut heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.missed_at(&hourly, grace, LONG_AGO), None);
        let _ = heartbeat.end(at(0), None, true);
        assert_eq!(heartbeat.missed_at(&hourly, grace, LONG_AGO), Some(at(4200)));
        heartbeat.begin(at(3600), None);
        assert_eq!(heartbeat.missed_at(&hourly, grace, LONG_AGO), Some(at(4200)));
        heartbeat.begin(at(1800), None);
        let mut missed = heartbeat.clone();
        missed.miss();
        assert_eq!(missed.missed_at(&hourly, grace, LONG_AGO), None, "it is news once");
        assert_eq!(heartbeat.missed_at(&hourly, grace, LONG_AGO), Some(at(2400)));
        assert_eq!(
            heartbeat.missed_at(&hourly, grace, Start(at(10_000))),
            Some(at(10_300)),
            "it was the server's"
        );
    }
}
