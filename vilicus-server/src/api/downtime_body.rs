//! Downtimes as they go over the wire, both ways, and what no downtime can be.
//!
//! | written | means |
//! |---|---|
//! | `start`, `end` | once, from the start up to the end |
//! | `schedule` as `Sun 02:00-04:00 Europe/Berlin` | every week |
//! | `schedule` as `0 2 1 * * Europe/Berlin` and `duration` | from each moment of the cron line on, so long |
//! | any of these and `flexible`, `duration` | begins with the first problem inside the window, and lasts so long |

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vilicus_core::downtime::When;
use vilicus_core::schedule::{Recurrence, ScheduleError, Window};
use vilicus_core::{Downtime, DowntimeId, Matcher, Millis, Timestamp};

use super::names::Mistakes;
use super::reference::uri;
use crate::http::Problem;
use crate::http::etag::Etag;
use crate::http::json::Sent;

/// A planned silence.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct DowntimeBody {
    id: u64,
    resource_uri: String,
    /// When, and for what.
    #[serde(flatten)]
    written: DowntimeInput,
    /// Who made it.
    by: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The file that manages it.
    managed_by: Option<String>,
    /// Whether its window is open now.
    active: bool,
    /// The next window that opens.
    next: Option<WindowBody>,
}

/// From a moment up to another.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct WindowBody {
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    end: Timestamp,
}

impl From<Window> for WindowBody {
    fn from(window: Window) -> Self {
        Self { start: window.start, end: window.end }
    }
}

impl DowntimeBody {
    pub(super) fn new(downtime: &Downtime, now: Timestamp) -> Self {
        let next = match &downtime.when {
            When::Once(window) => Some(*window).filter(|window| now < window.start),
            When::Recurring(recurrence) => recurrence.next_window(now),
        };
        Self {
            id: downtime.id.get(),
            resource_uri: uri("downtime", downtime.id),
            written: downtime.into(),
            by: downtime.by.clone(),
            created_at: downtime.created_at,
            managed_by: downtime.managed_by.clone(),
            active: downtime.window_at(now).is_some(),
            next: next.map(WindowBody::from),
        }
    }

    /// The tag of what is configured: without what time alone changes.
    pub(super) fn etag(&self) -> Etag {
        Etag::of(&(self.id, &self.written, &self.managed_by))
    }
}

/// A downtime as it is written: with `start` and `end`, or with `schedule`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct DowntimeInput {
    /// The checks that it is about: those that meet all of these conditions; `[]` is every check.
    #[serde(rename = "match")]
    #[schema(value_type = Vec<String>)]
    matchers: Vec<Matcher>,
    /// When it begins; now, when only the end is given.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    start: Option<Timestamp>,
    /// When it ends; this moment is outside.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    end: Option<Timestamp>,
    /// When it comes again: `Sun 02:00-04:00 Europe/Berlin`, or a cron line with a `duration`.
    #[serde(default)]
    schedule: Option<String>,
    /// How long it lasts: from each moment of a cron line on, or from the first problem on when it is flexible.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    duration: Option<Millis>,
    /// Whether it begins with the first problem inside its window, and lasts its `duration`.
    #[serde(default)]
    flexible: bool,
    /// What for.
    #[serde(default)]
    comment: String,
}

impl Sent for DowntimeInput {
    const READ_ONLY: &'static [&'static str] =
        &["id", "resource_uri", "by", "created_at", "managed_by", "active", "next"];
}

impl From<&Downtime> for DowntimeInput {
    fn from(downtime: &Downtime) -> Self {
        let mut input = Self {
            matchers: downtime.matchers.clone(),
            start: None,
            end: None,
            schedule: None,
            duration: downtime.flexible,
            flexible: downtime.flexible.is_some(),
            comment: downtime.comment.clone(),
        };
        match &downtime.when {
            When::Once(window) => (input.start, input.end) = (Some(window.start), Some(window.end)),
            When::Recurring(Recurrence::Cron { begins, duration, .. }) => {
                input.schedule = Some(begins.to_string());
                input.duration = Some(*duration);
            }
            When::Recurring(recurrence) => input.schedule = Some(recurrence.to_string()),
        }
        input
    }
}

impl DowntimeInput {
    /// The downtime that this makes of `base`, at this moment.
    ///
    /// # Errors
    /// 422: what no downtime can be, with every place.
    pub(crate) fn into_downtime(self, now: Timestamp, base: Downtime) -> Result<Downtime, Problem> {
        let mut mistakes = Mistakes::default();
        mistakes.conditions("/match", &self.matchers);
        for (index, matcher) in self.matchers.iter().enumerate() {
            let detail = "a downtime is about checks, whatever their status; leave 'status' out here, or let a route \
                          choose by it";
            mistakes.require(matcher.name() != "status", &format!("/match/{index}"), detail);
        }
        mistakes.text("/comment", &self.comment);
        self.validate_duration(&mut mistakes);
        let when = self.when(now, &base.when, &mut mistakes);
        mistakes.into_result()?;
        Ok(Downtime {
            matchers: self.matchers,
            when: when.unwrap_or(base.when),
            flexible: self.duration.filter(|_| self.flexible),
            comment: self.comment,
            ..base
        })
    }

    fn validate_duration(&self, mistakes: &mut Mistakes) {
        match self.duration {
            Some(duration) => mistakes.span("/duration", duration, Millis::from_secs(1)),
            None if self.flexible => {
                mistakes.add("/duration", "is missing: how long it lasts from the first problem on, as 2h");
            }
            None => {}
        }
    }

    /// When it is; `None` when something is wrong with it.
    fn when(&self, now: Timestamp, base: &When, mistakes: &mut Mistakes) -> Option<When> {
        match (&self.schedule, self.start, self.end) {
            (Some(schedule), None, None) => self.recurring(schedule, mistakes),
            (None, start, Some(end)) => {
                self.once(Window { start: start.unwrap_or(now), end }, now, base, mistakes)
            }
            (Some(_), ..) => {
                mistakes.add(
                    "/schedule",
                    "goes without start and end: say either when once, or when again and again",
                );
                None
            }
            (None, _, None) => {
                mistakes.add(
                    "/end",
                    "is missing; say start and end, or a schedule as 'Sun 02:00-04:00 Europe/Berlin'",
                );
                None
            }
        }
    }

    fn recurring(&self, schedule: &str, mistakes: &mut Mistakes) -> Option<When> {
        // The duration of a flexible one is no part of a weekly schedule, which has its own ends.
        let duration = self.duration.filter(|_| !(self.flexible && schedule.contains(':')));
        match Recurrence::parse(schedule, duration, None) {
            Ok(recurrence) => Some(When::Recurring(recurrence)),
            Err(error) => {
                let place = match error {
                    ScheduleError::NoDuration | ScheduleError::NeedlessDuration => "/duration",
                    _ => "/schedule",
                };
                mistakes.add(place, error.to_string());
                None
            }
        }
    }

    fn once(&self, window: Window, now: Timestamp, base: &When, mistakes: &mut Mistakes) -> Option<When> {
        let when = When::Once(window);
        // One that is over can still get another comment.
        let unchanged = when == *base;
        if window.end <= window.start {
            let detail =
                format!("is not after the start, {}; a downtime ends later than it begins", window.start);
            mistakes.add("/end", detail);
        } else if window.end <= now && !unchanged {
            mistakes.add("/end", format!("lies in the past: it is {now} now, so this would silence nothing"));
        }
        if self.duration.is_some() && !self.flexible {
            let detail =
                "a fixed downtime lasts from its start to its end; leave this out, or say \"flexible\": true";
            mistakes.add("/duration", detail);
        }
        Some(when)
    }
}

/// A downtime that is about to be made: the store gives the id.
pub(crate) fn new_downtime(by: String, now: Timestamp) -> Downtime {
    Downtime {
        id: DowntimeId::from(std::num::NonZeroU64::MIN),
        matchers: Vec::new(),
        when: When::Once(Window { start: now, end: now }),
        flexible: None,
        comment: String::new(),
        by,
        created_at: now,
        managed_by: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn downtime(fields: Value) -> Result<Downtime, Problem> {
        let Value::Object(mut all) = json!({"match": ["agent=web-1"]}) else { unreachable!() };
        all.extend(fields.as_object().unwrap().clone());
        let input: DowntimeInput = crate::http::json::from_fields(all)?;
        input.into_downtime(now(), new_downtime("ann".to_owned(), now()))
    }

    #[test]
    fn what_no_downtime_can_be_is_refused_at_its_place() {
        for (fields, words) in [
            (json!({}), "/end: is missing"),
            (json!({"start": "2026-11-22T13:00:00Z"}), "/end: is missing"),
            (json!({"start": "2026-11-22T13:00:00Z", "end": "2026-11-22T12:30:00Z"}), "/end: is not after"),
            (json!({"start": "2026-11-22T13:00:00Z", "end": "2026-11-22T13:00:00Z"}), "/end: is not after"),
            (
                json!({"start": "2026-11-22T10:00:00Z", "end": "2026-11-22T12:00:00Z"}),
                "/end: lies in the past",
            ),
            (json!({"end": "2026-11-22T14:00:00"}), "/end: not a time"),
            (json!({"end": "2026-11-22T14:00:00Z", "duration": "1h"}), "/duration: a fixed downtime"),
            (json!({"end": "2026-11-22T14:00:00Z", "flexible": true}), "/duration: is missing"),
            (
                json!({"end": "2026-11-22T14:00:00Z", "schedule": "Sun 02:00-04:00"}),
                "/schedule: goes without",
            ),
            (json!({"schedule": "Sun 02:00-02:00"}), "/schedule"),
            (json!({"schedule": "Sun 02:00-04:00 Europe/Berlni"}), "Europe/Berlin"),
            (json!({"schedule": "Sun 02:00-04:00", "duration": "1h"}), "/duration: a weekly schedule"),
            (json!({"schedule": "0 2 * * Sun"}), "/duration: a cron line needs"),
            (json!({"schedule": "0 2 31 2 *", "duration": "1h"}), "/schedule"),
            (json!({"schedule": "0 2 * * *", "duration": "9999w"}), "/duration"),
            (
                json!({"match": ["status=critical"], "end": "2026-11-23T00:00:00Z"}),
                "/match/0: a downtime is about",
            ),
            (json!({"match": ["agent"], "end": "2026-11-23T00:00:00Z"}), "/match/0"),
            (json!({"match": null, "end": "2026-11-23T00:00:00Z"}), "/match"),
        ] {
            let problem = downtime(fields.clone()).unwrap_err();
            assert_eq!(problem.status(), 422, "{fields}");
            assert!(problem.detail().contains(words), "{fields}: {}", problem.detail());
        }
    }

    #[test]
    fn every_form_is_shown_as_it_can_be_written() {
        for fields in [
            json!({"start": "2026-11-22T13:00:00Z", "end": "2026-11-22T14:00:00Z"}),
            json!({"end": "2026-11-22T14:00:00Z", "flexible": true, "duration": "2h"}),
            json!({"schedule": "Sun 02:00-04:00 Europe/Berlin"}),
            json!({"schedule": "Sun 02:00-04:00", "flexible": true, "duration": "30m"}),
            json!({"schedule": "0 2 * * Sun Europe/Berlin", "duration": "2h"}),
            json!({"schedule": "0 2 * * Sun", "duration": "2h", "flexible": true}),
        ] {
            let made = downtime(fields.clone()).unwrap();
            let Value::Object(shown) = serde_json::to_value(DowntimeBody::new(&made, now())).unwrap() else {
                unreachable!()
            };
            let sent = crate::http::json::known_fields::<DowntimeInput>(shown).unwrap();
            let input: DowntimeInput = crate::http::json::from_fields(sent).unwrap();
            assert_eq!(input.into_downtime(now(), made.clone()).unwrap(), made, "{fields}");
        }
    }

    #[test]
    fn what_is_active_and_what_comes_next_is_shown() {
        for (fields, active, next) in [
            (json!({"end": "2026-11-22T14:00:00Z"}), true, None),
            (
                json!({"start": "2026-11-23T00:00:00Z", "end": "2026-11-23T01:00:00Z"}),
                false,
                Some("2026-11-23T00:00:00Z"),
            ),
            (json!({"schedule": "Sun 11:00-13:00"}), true, Some("2026-11-29T11:00:00Z")),
            (json!({"schedule": "0 2 * * *", "duration": "1h"}), false, Some("2026-11-23T02:00:00Z")),
        ] {
            let body = DowntimeBody::new(&downtime(fields.clone()).unwrap(), now());
            assert_eq!(body.active, active, "{fields}");
            assert_eq!(body.next.map(|next| next.start), next.map(|next| next.parse().unwrap()), "{fields}");
        }
    }
}
