//! Minimum, maximum, mean and worst: results put together.

use std::collections::BTreeMap;

use vilicus_core::{Metric, Millis, Status, Timestamp};

use crate::embedded::chunk::{self, BadChunk};
use crate::query::{HistoryRow, MetricRollup, Rollup};
use crate::report;

/// The results of some rows put together; `None` when there are none. Values that are no finite numbers are left out.
pub(crate) fn roll_up(rows: &[HistoryRow]) -> Option<Rollup> {
    let mut rollup = empty(rows.first()?.timestamp);
    for row in rows {
        rollup.since = rollup.since.min(row.timestamp);
        rollup.until = rollup.until.max(row.timestamp);
        rollup.count += 1;
        rollup.worst = rollup.worst.max(row.status);
        for metric in row.result.metrics.iter().filter(|metric| metric.value.is_finite()) {
            add_value(&mut rollup.metrics, metric, metric.value);
        }
    }
    Some(rollup)
}

/// The samples of a chunk put together.
pub(crate) fn roll_up_chunk(bytes: &[u8], count: u32) -> Result<Option<Rollup>, BadChunk> {
    let (mut rollup, mut shape, mut metrics) = (None::<Rollup>, Vec::new(), Vec::new());
    chunk::walk(bytes, count, |sample, status| {
        let at = sample.timestamp;
        let rollup = rollup.get_or_insert_with(|| empty(at));
        (rollup.since, rollup.until) = (rollup.since.min(at), rollup.until.max(at));
        rollup.count += 1;
        rollup.worst = rollup.worst.max(status);
        if shape != sample.shape() {
            shape = sample.shape().to_vec();
            metrics = report::metrics(&shape, &sample.values).ok_or(BadChunk)?;
        }
        for (metric, value) in metrics.iter().zip(&sample.values).filter(|(_, value)| value.is_finite()) {
            add_value(&mut rollup.metrics, metric, *value);
        }
        Ok(())
    })?;
    Ok(rollup)
}

fn empty(at: Timestamp) -> Rollup {
    Rollup { since: at, until: at, count: 0, worst: Status::Ok, metrics: Vec::new() }
}

fn add_value(metrics: &mut Vec<MetricRollup>, metric: &Metric, value: f64) {
    match metrics.iter_mut().find(|known| known.name == metric.name) {
        Some(known) => join_metric(known, value, value, value, 1),
        None => metrics.push(MetricRollup {
            name: metric.name.clone(),
            unit: metric.unit.clone(),
            min: value,
            max: value,
            avg: value,
            count: 1,
        }),
    }
}

/// Rollups put together by points of a length, counted from 1970, oldest first.
pub(crate) fn by_step(rollups: impl IntoIterator<Item = Rollup>, step: Millis) -> Vec<Rollup> {
    let step = i64::try_from(step.get().max(1)).unwrap_or(i64::MAX);
    let mut points: BTreeMap<i64, Rollup> = BTreeMap::new();
    for rollup in rollups {
        let point = rollup.since.as_millis().div_euclid(step);
        match points.get_mut(&point) {
            Some(other) => join(other, rollup),
            None => {
                points.insert(point, rollup);
            }
        }
    }
    points.into_values().collect()
}

fn join(one: &mut Rollup, other: Rollup) {
    one.since = one.since.min(other.since);
    one.until = one.until.max(other.until);
    one.count += other.count;
    one.worst = one.worst.max(other.worst);
    for metric in other.metrics {
        add(&mut one.metrics, metric);
    }
}

fn add(metrics: &mut Vec<MetricRollup>, metric: MetricRollup) {
    match metrics.iter_mut().find(|known| known.name == metric.name) {
        Some(known) => join_metric(known, metric.min, metric.max, metric.avg, metric.count),
        None => metrics.push(metric),
    }
}

fn join_metric(known: &mut MetricRollup, min: f64, max: f64, avg: f64, more: u64) {
    let count = known.count + more;
    // Weighted, and not by sums: a sum of large values may leave the range of numbers.
    known.avg += (avg - known.avg) * (more as f64 / count as f64);
    known.min = known.min.min(min);
    known.max = known.max.max(max);
    known.count = count;
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::CheckResult;

    fn row(second: i64, status: Status, value: f64) -> HistoryRow {
        let result = CheckResult::new(status, "").metric(Metric::new("m", value));
        HistoryRow { timestamp: Timestamp::from_millis(second * 1000), status, result }
    }

    #[test]
    fn points_hold_the_worst_and_the_mean() {
        let rows = [row(0, Status::Ok, 1.0), row(10, Status::Critical, 5.0), row(70, Status::Ok, f64::NAN)];
        let singles = rows.iter().filter_map(|row| roll_up(std::slice::from_ref(row)));
        let points = by_step(singles, Millis::from_secs(60));
        assert_eq!(points.len(), 2);
        assert_eq!((points[0].count, points[0].worst), (2, Status::Critical));
        let metric = &points[0].metrics[0];
        assert_eq!((metric.min, metric.max, metric.avg, metric.count), (1.0, 5.0, 3.0, 2));
        assert!(points[1].metrics.is_empty(), "not a number");
        assert_eq!(roll_up(&[]), None);
    }
}
