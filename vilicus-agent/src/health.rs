//! How the program's own checks are, at a glance: what `/healthz` answers.
//!
//! An app mounts [`HealthView::response`] in its own server, or lets the agent listen
//! ([`AgentBuilder::healthz`](crate::AgentBuilder::healthz)). Shown are last results, not confirmed states: whoever
//! asks, as a load balancer does, counts attempts itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;
use vilicus_core::judge::status;
use vilicus_core::{CheckResult, Policy, Status, Timestamp};

use crate::own::OwnCheck;

/// The last results of the program's own checks. Cheap to clone; all clones show the same.
#[derive(Debug, Clone, Default)]
pub struct HealthView {
    state: Arc<Mutex<Health>>,
}

#[derive(Debug, Default)]
struct Health {
    checks: BTreeMap<Arc<str>, Watched>,
    server: Option<ServerContact>,
}

#[derive(Debug)]
struct Watched {
    policy: Policy,
    last: Option<CheckHealth>,
}

/// The last result of one check.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CheckHealth {
    /// Its status, thresholds considered.
    pub status: Status,
    /// What it said.
    pub output: String,
    /// When.
    pub at: Option<Timestamp>,
    /// What was measured, in base units.
    pub metrics: BTreeMap<String, f64>,
}

/// How it stands with the server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct ServerContact {
    /// Whether the last request was answered.
    pub connected: bool,
    /// When a request was answered last.
    pub last_contact: Option<Timestamp>,
    /// Results that wait to be delivered.
    pub buffered: u64,
    /// Results that were lost for lack of room, since the start.
    pub dropped: u64,
}

/// The body of an answer.
#[derive(Serialize)]
struct Body<'a> {
    status: &'static str,
    checks: BTreeMap<&'a str, Option<&'a CheckHealth>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a ServerContact>,
}

impl HealthView {
    pub(crate) fn new(own: &[OwnCheck], with_server: bool) -> Self {
        let watched = |own: &OwnCheck| (own.name.clone(), Watched { policy: own.policy.clone(), last: None });
        let server = with_server.then(ServerContact::default);
        let health = Health { checks: own.iter().map(watched).collect(), server };
        Self { state: Arc::new(Mutex::new(health)) }
    }

    /// The worst status among the last results; `None` before the first.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.lock().status()
    }

    /// Whether nothing is known to be broken: no last result is CRITICAL or UNKNOWN.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.status().is_none_or(|status| status <= Status::Warning)
    }

    /// The last result of the check of this name, if it has one.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<CheckHealth> {
        self.lock().checks.get(name)?.last.clone()
    }

    /// What to answer to `GET /healthz`: 200 when healthy and 503 when not, with all last results as JSON.
    #[must_use]
    pub fn response(&self) -> Response<String> {
        let health = self.lock();
        let mut response = Response::new(health.body());
        if health.status().is_some_and(|status| status > Status::Warning) {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// Notes the result of a check.
    pub(crate) fn record(&self, name: &str, result: &CheckResult) {
        if let Some(watched) = self.lock().checks.get_mut(name) {
            watched.last = Some(watched.health_of(result));
        }
    }

    /// Forgets the result of a check that no longer runs: it says nothing about now.
    pub(crate) fn forget(&self, name: &str) {
        if let Some(watched) = self.lock().checks.get_mut(name) {
            watched.last = None;
        }
    }

    /// Notes how it stands with the server; `at` when it answered.
    pub(crate) fn note_contact(&self, at: Option<Timestamp>, buffered: u64, dropped: u64) {
        let mut health = self.lock();
        let last_contact = at.or(health.server.as_ref().and_then(|server| server.last_contact));
        health.server = Some(ServerContact { connected: at.is_some(), last_contact, buffered, dropped });
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        // Every change leaves the state whole, so a panic elsewhere has spoiled nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health {
    fn status(&self) -> Option<Status> {
        self.checks.values().filter_map(|watched| Some(watched.last.as_ref()?.status)).max()
    }

    fn body(&self) -> String {
        let checks =
            self.checks.iter().map(|(name, watched)| (name.as_ref(), watched.last.as_ref())).collect();
        let status = self.status().map_or("PENDING", Status::as_str);
        let body = Body { status, checks, server: self.server.as_ref() };
        // Names, numbers and texts always have a JSON form.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

impl Watched {
    /// By the plain ranges: what needs a memory (`for`, `recover`) is the judge's.
    fn health_of(&self, result: &CheckResult) -> CheckHealth {
        let at = result.timestamp;
        let evaluated =
            status::evaluate(&self.policy, &mut Vec::new(), result, at.unwrap_or(Timestamp::EPOCH));
        let reason = evaluated.reason.filter(|_| result.output.is_empty());
        CheckHealth {
            status: evaluated.status,
            output: reason.unwrap_or_else(|| result.output.clone()),
            at,
            metrics: result.metrics.iter().map(|metric| (metric.name.clone(), metric.value)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::Metric;
    use vilicus_core::check::from_fn;

    fn view() -> HealthView {
        let own = OwnCheck::new("queue", from_fn(|| async {})).critical("waiting", "10".parse().unwrap());
        HealthView::new(&[own], false)
    }

    #[test]
    fn before_the_first_result_all_is_pending_and_well() {
        let response = view().response();
        assert_eq!(response.status(), 200);
        assert_eq!(response.body(), r#"{"status":"PENDING","checks":{"queue":null}}"#);
    }

    #[test]
    fn a_breached_threshold_is_a_503_with_the_numbers() {
        let view = view();
        view.record("queue", &CheckResult::measured("11 waiting").metric(Metric::new("waiting", 11.0)));
        assert_eq!(view.response().status(), 503);
        let body: serde_json::Value = serde_json::from_str(view.response().body()).unwrap();
        assert_eq!(body["status"], "CRITICAL");
        assert_eq!(body["checks"]["queue"]["metrics"]["waiting"], 11.0);
        view.record("queue", &CheckResult::measured("9 waiting").metric(Metric::new("waiting", 9.0)));
        assert!(view.is_healthy() && view.response().status() == 200);
    }

    #[test]
    fn a_warning_is_well_enough() {
        let view = HealthView::new(&[OwnCheck::new("x", from_fn(|| async {}))], true);
        view.record("x", &CheckResult::warning("slow"));
        view.note_contact(Some(Timestamp::EPOCH), 3, 0);
        assert_eq!((view.response().status().as_u16(), view.status()), (200, Some(Status::Warning)));
        assert!(view.response().body().contains(r#""buffered":3"#));
    }
}
