//! The JSON of the agent's conversation, exactly as it goes over the wire, and its translation to our words.
//!
//! Reading is lenient (a newer server may say more), writing is exact: `null` never stands where a value is due.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use vilicus_core::{CheckId, Metric, Millis, Range, Status, Timestamp};

use super::{
    AgentRecord, Announcement, CheckIn, CheckList, CheckSpec, CheckedIn, Orders, Outcome, Rejected, Report,
};

/// `{"objects": […]}`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Objects<T> {
    pub(super) objects: Vec<T>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireAgent {
    id: NonZeroU64,
    #[serde(default)]
    name: String,
    check_interval_ms: u64,
    #[serde(default)]
    config_etag: Option<String>,
}

impl WireAgent {
    pub(super) fn into_record(self) -> AgentRecord {
        AgentRecord {
            id: self.id.into(),
            name: self.name,
            check_interval: Millis::new(self.check_interval_ms),
            config_etag: self.config_etag.map(bare),
        }
    }
}

/// A version without what only a header has around it.
fn bare(etag: String) -> String {
    let bare = etag.strip_prefix("W/").unwrap_or(&etag);
    bare.trim_matches('"').to_owned()
}

#[derive(Debug, Deserialize)]
struct WireCheck {
    id: NonZeroU64,
    name: String,
    kind: String,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    interval: Option<Millis>,
    #[serde(default)]
    timeout: Option<Millis>,
    #[serde(default)]
    timeout_status: Option<Status>,
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default)]
    origin: Option<String>,
}

/// The default timeout of a check.
pub(crate) const DEFAULT_TIMEOUT: Millis = Millis::from_secs(10);

impl From<WireCheck> for CheckSpec {
    fn from(check: WireCheck) -> Self {
        Self {
            id: check.id.into(),
            name: check.name,
            kind: check.kind,
            params: check.params,
            interval: check.interval,
            timeout: check.timeout.unwrap_or(DEFAULT_TIMEOUT),
            timeout_status: check.timeout_status.unwrap_or(Status::Critical),
            enabled: check.enabled.unwrap_or(true),
            own: check.origin.as_deref() == Some("agent"),
        }
    }
}

/// Reads the checks one by one, so that one that can't be understood does not cost the others.
pub(super) fn read_checks(objects: Vec<Value>, etag: Option<String>) -> CheckList {
    let mut list = CheckList { etag, checks: Vec::new(), misfits: Vec::new() };
    for object in objects {
        let id = object.get("id").cloned().unwrap_or_default();
        match serde_json::from_value::<WireCheck>(object) {
            Ok(check) => list.checks.push(check.into()),
            Err(error) => list.misfits.push(format!("check {id}: {error}")),
        }
    }
    list
}

#[derive(Debug, Deserialize)]
struct WireRun {
    check: NonZeroU64,
    in_ms: u64,
}

/// What any answer may carry.
#[derive(Debug, Default, Deserialize)]
struct WireOrders {
    #[serde(default)]
    config_etag: Option<String>,
    #[serde(default)]
    run: Option<Vec<WireRun>>,
}

impl From<WireOrders> for Orders {
    fn from(orders: WireOrders) -> Self {
        let run = orders.run.unwrap_or_default();
        let run = run.into_iter().map(|run| (CheckId::from(run.check), Millis::new(run.in_ms))).collect();
        Self { config_etag: orders.config_etag.map(bare), run }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct WireOutcome {
    #[serde(default)]
    accepted: u64,
    #[serde(default)]
    duplicates: u64,
    #[serde(default)]
    rejected: Vec<WireRejected>,
    #[serde(flatten)]
    orders: WireOrders,
}

#[derive(Debug, Deserialize)]
struct WireRejected {
    index: usize,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    detail: String,
}

impl From<WireOutcome> for Outcome {
    fn from(outcome: WireOutcome) -> Self {
        let rejected = outcome.rejected.into_iter();
        Self {
            accepted: outcome.accepted,
            duplicates: outcome.duplicates,
            rejected: rejected
                .map(|item| Rejected { index: item.index, status: item.status, detail: item.detail })
                .collect(),
            orders: outcome.orders.into(),
        }
    }
}

/// The answer to a check-in; servers may answer it without a body.
#[derive(Debug, Default, Deserialize)]
pub(super) struct WireCheckedIn {
    #[serde(default)]
    check_interval_ms: Option<u64>,
    #[serde(flatten)]
    orders: WireOrders,
}

impl From<WireCheckedIn> for CheckedIn {
    fn from(answer: WireCheckedIn) -> Self {
        Self { check_interval: answer.check_interval_ms.map(Millis::new), orders: answer.orders.into() }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct WireReport<'a> {
    check: CheckId,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    output: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    long_output: &'a str,
    metrics: Vec<WireMetric<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

#[derive(Debug, Serialize)]
struct WireMetric<'a> {
    name: &'a str,
    value: f64,
    unit: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<Range>,
    #[serde(skip_serializing_if = "Option::is_none")]
    critical: Option<Range>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written_unit: Option<&'a str>,
}

impl<'a> From<&'a Report> for WireReport<'a> {
    fn from(report: &'a Report) -> Self {
        let result = &report.result;
        Self {
            check: report.check,
            timestamp: result.timestamp,
            status: result.status,
            output: &result.output,
            long_output: &result.long_output,
            metrics: result.metrics.iter().map(WireMetric::from).collect(),
            duration_ms: result.duration.map(Millis::get),
            exit_code: result.exit_code,
            truncated: result.truncated,
        }
    }
}

impl<'a> From<&'a Metric> for WireMetric<'a> {
    fn from(metric: &'a Metric) -> Self {
        // JSON has no infinities: a bound that is not finite is no bound.
        let finite = |value: &f64| value.is_finite();
        Self {
            name: &metric.name,
            value: metric.value,
            unit: metric.unit.as_str(),
            warning: metric.warning,
            critical: metric.critical,
            min: metric.min.filter(finite),
            max: metric.max.filter(finite),
            written_unit: metric.written_unit.as_deref(),
        }
    }
}

/// The body of a check-in.
pub(super) fn check_in_body(check_in: &CheckIn) -> Value {
    let mut body = Map::new();
    body.insert("version".to_owned(), check_in.version.clone().into());
    body.insert("facts".to_owned(), Value::Object(check_in.facts.clone()));
    if let Some(hostname) = &check_in.hostname {
        body.insert("hostname".to_owned(), hostname.clone().into());
    }
    if let Some(guid) = &check_in.guid {
        body.insert("guid".to_owned(), guid.clone().into());
    }
    Value::Object(body)
}

/// One announced check.
pub(crate) fn announcement_body(check: &Announcement) -> Value {
    let policy = &check.policy;
    let mut body = json!({
        "name": check.name,
        "kind": check.kind,
        "params": {},
        "interval": policy.interval,
        "retry_interval": policy.retry_interval,
        "timeout": policy.timeout,
        "timeout_status": policy.timeout_status,
        "grace": policy.grace,
        "max_attempts": policy.max_attempts,
        "within": policy.within,
        "recover_attempts": policy.recover_attempts,
        "thresholds": policy.thresholds,
        "volatile": policy.volatile,
        "notifications": policy.notifications,
        "description": check.description,
    });
    drop_nulls(&mut body);
    body
}

/// Leaves out what is not set.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::{CheckResult, Threshold};

    #[test]
    fn a_result_is_written_without_nulls() {
        let result = CheckResult::measured("7 waiting")
            .metric(Metric::percent("used", 7.5).bounds(Some(0.0), Some(f64::INFINITY)))
            .at(Timestamp::from_millis(1_000))
            .duration(Millis::new(12));
        let report = Report { check: CheckId::new(7).unwrap(), result };
        let json = serde_json::to_value(WireReport::from(&report)).unwrap();
        assert_eq!(
            json,
            json!({
                "check": 7, "timestamp": "1970-01-01T00:00:01.000Z", "output": "7 waiting", "duration_ms": 12,
                "metrics": [{"name": "used", "value": 7.5, "unit": "%", "min": 0.0}],
            })
        );
    }

    #[test]
    fn a_check_that_is_not_understood_does_not_cost_the_others() {
        let list = read_checks(
            vec![
                json!({"id": 1, "name": "cpu", "kind": "cpu", "interval": "30s", "new_field": [1]}),
                json!({"id": 0, "name": "x", "kind": "x"}),
                json!({"id": 3, "name": "q", "kind": "app", "origin": "agent", "enabled": false}),
            ],
            None,
        );
        assert_eq!(list.checks.len(), 2);
        assert_eq!(list.checks[0].interval, Some(Millis::from_secs(30)));
        assert!(list.checks[1].own && !list.checks[1].enabled);
        assert_eq!(list.misfits.len(), 1);
    }

    #[test]
    fn an_answer_carries_orders() {
        let json = r#"{"accepted": 2, "duplicates": 1, "rejected": [{"index": 0, "status": 422, "detail": "bad"}],
            "config_etag": "\"abc\"", "run": [{"check": 7, "in_ms": 15000}], "more": true}"#;
        let outcome = Outcome::from(serde_json::from_str::<WireOutcome>(json).unwrap());
        assert_eq!(outcome.orders.run, [(CheckId::new(7).unwrap(), Millis::from_secs(15))]);
        assert_eq!((outcome.accepted, outcome.rejected[0].status), (2, 422));
        assert_eq!(outcome.orders.config_etag.as_deref(), Some("abc"));
    }

    #[test]
    fn an_announcement_says_only_what_is_set() {
        let threshold = Threshold { warning: "10".parse().ok(), ..Threshold::default() };
        let policy = vilicus_core::Policy::default().thresholds([("waiting".to_owned(), threshold)].into());
        let body = announcement_body(&Announcement {
            name: "queue".to_owned(),
            kind: "app".to_owned(),
            description: String::new(),
            policy,
        });
        assert_eq!(body["thresholds"]["waiting"]["warning"], "10");
        assert!(body["thresholds"]["waiting"].get("critical").is_none());
        assert_eq!(
            (body["interval"].as_str(), body["timeout_status"].as_str()),
            (Some("1m"), Some("CRITICAL"))
        );
    }
}
