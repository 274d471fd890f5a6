//! What one result must be, beyond its shape: pure, item by item.

use vilicus_core::{CheckResult, Metric, Timestamp};

use crate::http::limits::Limits;
use crate::http::{Mistake, Problem};

/// The most characters of a metric's name.
const MAX_NAME: usize = 255;
/// The most characters of a metric's unit.
const MAX_UNIT: usize = 32;

/// The result as it is kept: too long output is cut with a mark.
///
/// # Errors
/// 422: it says nothing, too much, or lies too far in the future.
pub(super) fn validate(
    mut result: CheckResult,
    limits: &Limits,
    now: Timestamp,
) -> Result<CheckResult, Problem> {
    if result.status.is_none() && result.metrics.is_empty() {
        return Err(Problem::invalid(
            "/status",
            "a result needs a status, or metrics for the thresholds to judge",
        ));
    }
    if result.metrics.len() > limits.metrics {
        let detail = format!("holds {} metrics; at most {}", result.metrics.len(), limits.metrics);
        return Err(Problem::invalid("/metrics", detail));
    }
    let mistakes: Vec<Mistake> = result.metrics.iter().enumerate().filter_map(mistake).collect();
    if !mistakes.is_empty() {
        return Err(Problem::mistakes(mistakes));
    }
    if let Some(timestamp) = result.timestamp
        && timestamp > now.after(limits.clock_skew)
    {
        let ahead = timestamp.since(now);
        let detail =
            format!("lies {ahead} in the future; at most {} is taken: set the clock", limits.clock_skew);
        return Err(Problem::invalid("/timestamp", detail));
    }
    result.truncate(limits.output_bytes);
    Ok(result)
}

/// Whether a metric may have this name, beyond doubt.
pub(super) fn is_good_name(name: &str) -> bool {
    name.len() <= MAX_NAME && !name.trim().is_empty() && !name.chars().any(char::is_control)
}

/// Whether a metric may have this unit, and have been written in that one, beyond doubt.
pub(super) fn is_good_unit(unit: &str, written: Option<&str>) -> bool {
    let written = written.unwrap_or("");
    unit.len() <= MAX_UNIT
        && written.len() <= MAX_UNIT
        && !unit.chars().chain(written.chars()).any(char::is_control)
}

fn mistake((index, metric): (usize, &Metric)) -> Option<Mistake> {
    let unit = metric.unit.as_str().chars().chain(metric.written_unit.iter().flat_map(|unit| unit.chars()));
    let (place, detail) = if metric.name.trim().is_empty() {
        ("name", "is empty; thresholds could not name it")
    } else if metric.name.chars().count() > MAX_NAME {
        ("name", "is longer than 255 characters")
    } else if metric.name.chars().any(char::is_control) {
        ("name", "holds a control character")
    } else if metric.unit.as_str().chars().count() > MAX_UNIT || unit.clone().any(char::is_control) {
        ("unit", "is longer than 32 characters, or holds a control character")
    } else if unit.count() > 2 * MAX_UNIT {
        ("written_unit", "is longer than 32 characters")
    } else {
        return None;
    };
    Some(Mistake::new(format!("/metrics/{index}/{place}"), detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::{Millis, Unit};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000_000_000);

    fn judge(result: CheckResult) -> Result<CheckResult, Problem> {
        validate(result, &Limits::default(), NOW)
    }

    #[test]
    fn a_result_says_something_and_not_too_much() {
        let metric = |name: &str| Metric::new(name, 1.0);
        let many = (0..257).fold(CheckResult::ok("x"), |result, n| result.metric(metric(&format!("m{n}"))));
        for (why, result) in [
            ("it has neither status nor metrics", CheckResult::measured("x")),
            ("it has too many metrics", many),
            ("a metric has no name", CheckResult::ok("x").metric(metric(" "))),
            ("a name holds a control character", CheckResult::ok("x").metric(metric("a\nb"))),
            (
                "a unit is too long",
                CheckResult::ok("x").metric(metric("a").unit(Unit::Other("x".repeat(33)))),
            ),
            ("it lies in the future", CheckResult::ok("x").at(NOW.after(Millis::new(300_001)))),
        ] {
            assert_eq!(judge(result).unwrap_err().status(), 422, "{why}");
        }
        assert!(judge(CheckResult::ok("").at(NOW.after(Millis::new(300_000)))).is_ok());
        assert!(judge(CheckResult::measured("").metric(metric("a"))).is_ok());
    }

    #[test]
    fn long_output_is_cut_and_marked() {
        let kept = judge(CheckResult::ok("x".repeat(20_000)).long_output("y")).unwrap();
        assert!(kept.truncated && kept.output.len() + kept.long_output.len() <= 16 * 1024);
    }
}
