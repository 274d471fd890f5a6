//! Minimum, maximum, mean and worst: results put together.

use std::collections::BTreeMap;
use std::sync::Arc;

use vilicus_core::{Metric, Millis, Status, Timestamp};

use crate::embedded::chunk::{self, BadChunk, FromSample};
use crate::embedded::sample::Sample;
use crate::query::{MetricRollup, Rollup};
use crate::report;

/// As much of a sample as points are made of.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    status: Status,
    shape: Arc<[u8]>,
    values: Box<[f64]>,
}

impl FromSample for Measured {
    fn from_sample(sample: &Sample, status: Status) -> Option<Self> {
        Some(Self { status, shape: Arc::clone(sample.shared_shape()), values: sample.values.clone() })
    }
}

/// The samples of a chunk put together.
pub(crate) fn roll_up_chunk(bytes: &[u8], count: u32) -> Result<Option<Rollup>, BadChunk> {
    let (mut rollup, mut shapes) = (None::<Rollup>, Shapes::default());
    chunk::walk(bytes, count, |sample, status| {
        let metrics = shapes.metrics(sample.shape(), &sample.values)?;
        let rollup = rollup.get_or_insert_with(|| empty(sample.timestamp));
        add_sample(rollup, sample.timestamp, status, metrics, &sample.values);
        Ok(())
    })?;
    Ok(rollup)
}

/// The metrics of the shape that was seen last: next to all samples of a check have the same.
#[derive(Debug, Default)]
struct Shapes {
    shape: Vec<u8>,
    metrics: Vec<Metric>,
}

impl Shapes {
    /// The metrics of a shape; their values are those of any sample that has it.
    fn metrics(&mut self, shape: &[u8], values: &[f64]) -> Result<&[Metric], BadChunk> {
        if self.shape != shape || self.metrics.len() != values.len() {
            self.metrics = report::metrics(shape, values).ok_or(BadChunk)?;
            self.shape = shape.to_vec();
        }
        Ok(&self.metrics)
    }
}

/// Adds a sample. Values that are no finite numbers are left out.
fn add_sample(rollup: &mut Rollup, at: Timestamp, status: Status, metrics: &[Metric], values: &[f64]) {
    (rollup.since, rollup.until) = (rollup.since.min(at), rollup.until.max(at));
    rollup.count += 1;
    rollup.worst = rollup.worst.max(status);
    for (metric, value) in metrics.iter().zip(values).filter(|(_, value)| value.is_finite()) {
        add_value(&mut rollup.metrics, metric, *value);
    }
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

/// Rollups and samples put together by points of a length, counted from 1970.
#[derive(Debug)]
pub(crate) struct Points {
    step: i64,
    points: BTreeMap<i64, Rollup>,
    shapes: Shapes,
}

impl Points {
    /// No points yet, of this length.
    pub(crate) fn new(step: Millis) -> Self {
        let step = i64::try_from(step.get().max(1)).unwrap_or(i64::MAX);
        Self { step, points: BTreeMap::new(), shapes: Shapes::default() }
    }

    /// Adds a rollup to the point that it begins in.
    pub(crate) fn add(&mut self, rollup: Rollup) {
        let point = rollup.since.as_millis().div_euclid(self.step);
        match self.points.get_mut(&point) {
            Some(other) => join(other, rollup),
            None => {
                self.points.insert(point, rollup);
            }
        }
    }

    /// Adds a sample of this moment.
    pub(crate) fn add_sample(&mut self, at: Timestamp, sample: &Measured) -> Result<(), BadChunk> {
        let metrics = self.shapes.metrics(&sample.shape, &sample.values)?;
        let rollup = self.points.entry(at.as_millis().div_euclid(self.step)).or_insert_with(|| empty(at));
        add_sample(rollup, at, sample.status, metrics, &sample.values);
        Ok(())
    }

    /// The points, oldest first.
    pub(crate) fn into_rollups(self) -> Vec<Rollup> {
        self.points.into_values().collect()
    }
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
    use crate::embedded::chunk::OpenChunk;
    use crate::report::Reports;
    use vilicus_core::{CheckId, CheckResult};

    #[test]
    fn points_hold_the_worst_and_the_mean() {
        let mut chunk = OpenChunk::default();
        let sent = [(0, Status::Ok, 1.0), (10, Status::Critical, 5.0), (70, Status::Ok, f64::NAN)];
        for (second, status, value) in sent {
            let result = CheckResult::new(status, "").metric(Metric::new("m", value));
            let mut reports = Reports::default();
            reports.add(CheckId::new(1).unwrap(), &result);
            chunk.push(Timestamp::from_millis(second * 1000), status, &reports.iter().next().unwrap());
        }
        let mut points = Points::new(Millis::from_secs(60));
        for (at, sample) in chunk.rows::<Measured>(|_| true).unwrap() {
            points.add_sample(at, &sample).unwrap();
        }
        let whole = roll_up_chunk(&chunk.seal(), 3).unwrap().unwrap();
        let points = points.into_rollups();
        assert_eq!(points.len(), 2);
        assert_eq!((points[0].count, points[0].worst), (2, Status::Critical));
        let metric = &points[0].metrics[0];
        assert_eq!((metric.min, metric.max, metric.avg, metric.count), (1.0, 5.0, 3.0, 2));
        assert!(points[1].metrics.is_empty(), "not a number");

        let mut joined = Points::new(Millis::from_hours(1));
        points.into_iter().for_each(|point| joined.add(point));
        assert_eq!(joined.into_rollups(), [whole], "points of points are points");
    }
}
