//! A metric over time, in a terminal.

use serde_json::Value;
use textplots::{Chart, Plot as _, Shape};
use vilicus_core::Timestamp;

use crate::exit::Failure;
use crate::words::text;

/// The size of the chart, in dots: a line of text is four of them high, and a letter two wide.
const SIZE: (u32, u32) = (140, 48);

/// What time is counted in, and its milliseconds.
const UNITS: [(&str, f64); 3] = [("minutes", 60_000.0), ("hours", 3_600_000.0), ("days", 86_400_000.0)];

/// Draws one metric of rolled-up results: the named one, or the first that there is.
pub(crate) fn draw(rollups: &[Value], wanted: Option<&str>) -> Result<String, Failure> {
    let names = names(rollups);
    let first = names.first().map(String::as_str);
    let name = wanted.or(first).ok_or_else(|| Failure::new("nothing was measured in this time"))?;
    let points: Vec<(f64, f64)> = rollups.iter().filter_map(|rollup| point(rollup, name)).collect();
    let (Some(begin), Some(end)) = (points.first(), points.last()) else {
        return Err(Failure::new(format!("there is no metric '{name}'; there are: {}", names.join(", "))));
    };
    let (begin, span) = (begin.0, end.0 - begin.0);
    let (unit, millis) = UNITS.into_iter().rfind(|(_, millis)| span > 2.0 * millis).unwrap_or(UNITS[0]);
    let dots: Vec<(f32, f32)> =
        points.iter().map(|(at, value)| (((at - begin) / millis) as f32, *value as f32)).collect();
    let shape = Shape::Lines(&dots);
    // A chart of one point has a width, too.
    let mut chart = Chart::new(SIZE.0, SIZE.1, 0.0, (span / millis).max(0.1) as f32);
    let chart = chart.lineplot(&shape);
    chart.axis();
    chart.figures();
    let from = Timestamp::from_millis(begin as i64);
    Ok(format!("{name}{}, {unit} since {from}\n{chart}\n", unit_of(rollups, name)))
}

fn metrics(rollup: &Value) -> impl Iterator<Item = &Value> {
    rollup["metrics"].as_array().into_iter().flatten()
}

fn names(rollups: &[Value]) -> Vec<String> {
    let mut names = Vec::new();
    for name in rollups.iter().flat_map(metrics).map(|metric| text(&metric["name"])) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn point(rollup: &Value, name: &str) -> Option<(f64, f64)> {
    let at: Timestamp = rollup["since"].as_str()?.parse().ok()?;
    let metric = metrics(rollup).find(|metric| metric["name"] == name)?;
    Some((at.as_millis() as f64, metric["avg"].as_f64()?))
}

fn unit_of(rollups: &[Value], name: &str) -> String {
    let metric = rollups.iter().flat_map(metrics).find(|metric| metric["name"] == name);
    let unit = metric.map(|metric| text(&metric["unit"])).unwrap_or_default();
    if unit.is_empty() { unit } else { format!(" in {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rollups() -> Vec<Value> {
        let rollup = |minute: i64| {
            let since = Timestamp::from_millis(1_790_000_000_000 + minute * 60_000).to_string();
            json!({"since": since, "metrics": [{"name": "usage", "unit": "%", "avg": 40 + minute}]})
        };
        (0..60).map(rollup).collect()
    }

    #[test]
    fn a_metric_is_drawn_with_its_bounds() {
        let drawn = draw(&rollups(), None).unwrap();
        assert!(drawn.starts_with("usage in %, minutes since 2026-"), "{drawn}");
        assert!(drawn.contains("99.0") && drawn.contains("40.0"), "{drawn}");
    }

    #[test]
    fn one_point_is_drawn_too_and_none_is_told() {
        assert!(draw(&rollups()[..1], Some("usage")).is_ok());
        assert!(format!("{:?}", draw(&[], None).unwrap_err()).contains("nothing was measured"));
        assert!(format!("{:?}", draw(&rollups(), Some("x")).unwrap_err()).contains("there are: usage"));
    }
}
