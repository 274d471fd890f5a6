//! What was measured, as pictures: `chart` draws a metric, `strip` the states.

mod chart;
mod strip;

use serde_json::{Map, Value};
use vilicus_core::threshold::{Range, name_matches};

use self::chart::{BOTTOM, HEIGHT, LEFT, Point, WIDTH};
pub(super) use self::chart::{Chart, Span, amount};
pub(super) use self::strip::{Bar, strip};
use super::inside::{Inside, Refused};
use super::wire::{List, Rollup};
use super::words::visible;

/// What was measured in a span, as many points as a picture needs.
pub(super) async fn rollups(inside: &Inside, check: u64, span: Span) -> Result<List<Rollup>, Refused> {
    let (since, until) = (span.since.as_millis(), span.until.as_millis());
    let path = format!(
        "/api/v1/check_history/?check={check}&since={since}&until={until}&resolution=auto&limit=1000"
    );
    inside.get(&path).await
}

/// Draws these metrics, with the thresholds that they have.
pub(super) fn charts(
    rollups: &[Rollup],
    metrics: &[(String, String)],
    thresholds: &Map<String, Value>,
    span: Span,
) -> Vec<Chart> {
    let draw = |(name, unit): &(String, String)| {
        let (points, bounds) = (points(rollups, name), bounds(thresholds, name));
        Chart::new(&visible(name), unit, &points, &bounds, span)
    };
    metrics.iter().filter_map(draw).collect()
}

/// The names of what was measured, with their units, in the order in which they came.
pub(super) fn metrics(rollups: &[Rollup]) -> Vec<(String, String)> {
    let mut metrics: Vec<(String, String)> = Vec::new();
    for metric in rollups.iter().flat_map(|rollup| &rollup.metrics) {
        if !metrics.iter().any(|(name, _)| *name == metric.name) {
            metrics.push((metric.name.clone(), metric.unit.clone()));
        }
    }
    metrics
}

fn points(rollups: &[Rollup], name: &str) -> Vec<Point> {
    let point = |rollup: &Rollup| {
        let metric = rollup.metrics.iter().find(|metric| metric.name == name)?;
        Some(Point { at: rollup.since, min: metric.min?, avg: metric.avg?, max: metric.max? })
    };
    rollups.iter().filter_map(point).collect()
}

/// The ends of the ranges that a metric has thresholds for.
fn bounds(thresholds: &Map<String, Value>, name: &str) -> Vec<(&'static str, f64)> {
    let mut bounds = Vec::new();
    for (_, threshold) in thresholds.iter().filter(|(pattern, _)| name_matches(pattern, name)) {
        for class in ["warning", "critical"] {
            let range = threshold[class].as_str().and_then(|text| text.parse::<Range>().ok());
            let Some(range) = range else { continue };
            // A lower end of nothing is where amounts begin, not a bound that somebody chose.
            let ends = [(range.start(), range.start() != 0.0), (range.end(), true)];
            bounds.extend(
                ends.into_iter()
                    .filter(|(end, chosen)| end.is_finite() && *chosen)
                    .map(|(end, _)| (class, end)),
            );
        }
    }
    bounds
}

/// The picture of the states.
#[derive(askama::Template)]
#[template(path = "strip.html")]
pub(super) struct StripPicture<'a> {
    pub(super) bars: &'a [Bar],
}

/// The picture of a metric.
#[derive(askama::Template)]
#[template(path = "chart.html")]
pub(super) struct ChartPicture<'a> {
    pub(super) chart: &'a Chart,
}
