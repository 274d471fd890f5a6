//! From a result to a status: the worst of the check's own status and of every threshold.

use crate::judge::sustained::{self, MetricMemory};
use crate::metric::Metric;
use crate::policy::Policy;
use crate::result::CheckResult;
use crate::status::Status;
use crate::threshold::{Threshold, name_matches};
use crate::time::Timestamp;

/// A status, how it came about, and whether it is confirmed already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluated {
    /// The worst status.
    pub status: Status,
    /// Whether it comes from a threshold with `for`, which has waited long enough.
    pub confirmed: bool,
    /// Which threshold made it so; `None` when the result's own status did.
    pub reason: Option<String>,
}

/// The status of a result, moving the memory of thresholds with `for` or `recover`.
pub fn evaluate(
    policy: &Policy,
    memory: &mut Vec<MetricMemory>,
    result: &CheckResult,
    timestamp: Timestamp,
) -> Evaluated {
    let mut worst = Evaluated { status: result.status.unwrap_or(Status::Ok), confirmed: false, reason: None };
    for (name, threshold) in &policy.thresholds {
        let mut matched = false;
        for metric in result.metrics.iter().filter(|metric| name_matches(name, &metric.name)) {
            matched = true;
            let status = if sustained::remembers(threshold) {
                sustained::step(policy, threshold, memory, metric, timestamp)
            } else {
                threshold.status_of(metric.value)
            };
            worst.take(status, threshold.for_time.is_some(), || breach(metric, threshold, status));
        }
        if !matched {
            worst.take(Status::Unknown, false, || format!("no metric named '{name}'"));
        }
    }
    worst
}

/// The status of a result that moves nothing: the plain ranges only.
pub(crate) fn without_memory(policy: &Policy, result: &CheckResult) -> (Status, Option<String>) {
    let mut worst = Evaluated { status: result.status.unwrap_or(Status::Ok), confirmed: false, reason: None };
    for (name, threshold) in policy.thresholds.iter().filter(|(_, threshold)| threshold.for_time.is_none()) {
        for metric in result.metrics.iter().filter(|metric| name_matches(name, &metric.name)) {
            let status = threshold.status_of(metric.value);
            worst.take(status, false, || breach(metric, threshold, status));
        }
    }
    (worst.status, worst.reason)
}

impl Evaluated {
    fn take(&mut self, status: Status, sustained: bool, reason: impl FnOnce() -> String) {
        if status > self.status {
            *self = Self { status, confirmed: sustained, reason: Some(reason()) };
        } else if status == self.status && status.is_problem() && sustained {
            self.confirmed = true;
        }
    }
}

/// 'usage 97.2% is outside 0..90 for 5m', as people read it.
fn breach(metric: &Metric, threshold: &Threshold, status: Status) -> String {
    let range = if status == Status::Critical { threshold.critical } else { threshold.warning };
    let lasting = threshold.for_time.map_or(String::new(), |span| format!(" for {span}"));
    let word = status.as_str().to_ascii_lowercase();
    let value = rounded(metric.value);
    match range {
        Some(range) if range.alerts(metric.value) => {
            format!("{} {value}{} breaches {word} {range}{lasting}", metric.name, metric.unit)
        }
        _ => format!("{} {value}{} has not recovered yet", metric.name, metric.unit),
    }
}

/// Three decimals are enough to read; zero has no sign.
fn rounded(value: f64) -> f64 {
    if value.abs() < 1e12 { (value * 1000.0).round() / 1000.0 + 0.0 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threshold::Thresholds;

    fn policy(name: &str, threshold: Threshold) -> Policy {
        Policy::default().thresholds(Thresholds::from([(name.to_owned(), threshold)]))
    }

    #[test]
    fn the_worst_counts() {
        let threshold =
            Threshold { warning: "80".parse().ok(), critical: "90".parse().ok(), ..Threshold::default() };
        let policy = policy("usage", threshold);
        for (own, value, expected) in [
            (None, 10.0, Status::Ok),
            (None, 85.0, Status::Warning),
            (None, 95.0, Status::Critical),
            (Some(Status::Unknown), 85.0, Status::Unknown),
            (Some(Status::Warning), 95.0, Status::Critical),
        ] {
            let result =
                CheckResult { status: own, ..CheckResult::default() }.metric(Metric::new("usage", value));
            let evaluated = evaluate(&policy, &mut Vec::new(), &result, Timestamp::EPOCH);
            assert_eq!(evaluated.status, expected, "{own:?} {value}");
        }
    }

    #[test]
    fn a_threshold_without_its_metric_is_unknown() {
        let policy = policy("usage", Threshold::default());
        let evaluated = evaluate(&policy, &mut Vec::new(), &CheckResult::ok("fine"), Timestamp::EPOCH);
        assert_eq!(evaluated.reason.as_deref(), Some("no metric named 'usage'"));
        assert_eq!(evaluated.status, Status::Unknown);
    }
}
