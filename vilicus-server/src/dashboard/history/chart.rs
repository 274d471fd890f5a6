//! A metric over time as a picture: the range of each span as a band, its mean as a line, thresholds as dashed lines,
//! and a gap where nothing was measured.

use std::fmt::Write as _;

use vilicus_core::Timestamp;

/// The picture's size, in its own units; the page scales it.
pub(in crate::dashboard) const WIDTH: f64 = 720.0;
pub(in crate::dashboard) const HEIGHT: f64 = 180.0;
/// The place for the numbers at the left, and for the times below.
pub(in crate::dashboard) const LEFT: f64 = 64.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 16.0;
pub(in crate::dashboard) const BOTTOM: f64 = 22.0;
/// A span that is so many times longer than its neighbours is a gap.
const GAP: f64 = 3.5;

/// What was measured in one span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::dashboard) struct Point {
    pub(in crate::dashboard) at: Timestamp,
    pub(in crate::dashboard) min: f64,
    pub(in crate::dashboard) avg: f64,
    pub(in crate::dashboard) max: f64,
}

/// A line across the picture.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::dashboard) struct Line {
    pub(in crate::dashboard) class: &'static str,
    pub(in crate::dashboard) y: f64,
    pub(in crate::dashboard) label: String,
    /// Where its words are: those of the two thresholds must not meet.
    pub(in crate::dashboard) label_x: f64,
    pub(in crate::dashboard) anchor: &'static str,
}

/// A time below the picture.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::dashboard) struct Tick {
    pub(in crate::dashboard) x: f64,
    pub(in crate::dashboard) label: String,
}

/// The whole picture, as numbers and paths.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::dashboard) struct Chart {
    pub(in crate::dashboard) name: String,
    /// What it shows in words, for those who do not see it.
    pub(in crate::dashboard) words: String,
    pub(in crate::dashboard) band: String,
    pub(in crate::dashboard) line: String,
    pub(in crate::dashboard) grid: Vec<Line>,
    pub(in crate::dashboard) thresholds: Vec<Line>,
    pub(in crate::dashboard) ticks: Vec<Tick>,
    pub(in crate::dashboard) since: i64,
    pub(in crate::dashboard) until: i64,
}

/// The span that a chart shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dashboard) struct Span {
    pub(in crate::dashboard) since: Timestamp,
    pub(in crate::dashboard) until: Timestamp,
}

impl Span {
    fn length(self) -> f64 {
        (self.until.as_millis() - self.since.as_millis()).max(1) as f64
    }

    /// Where a moment is, from left to right.
    pub(in crate::dashboard) fn x(self, at: Timestamp) -> f64 {
        let part = (at.as_millis() - self.since.as_millis()) as f64 / self.length();
        round(LEFT + part.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT))
    }
}

impl Chart {
    /// Draws it. `thresholds` are bounds with the class of what is beyond.
    pub(in crate::dashboard) fn new(
        name: &str,
        unit: &str,
        points: &[Point],
        thresholds: &[(&'static str, f64)],
        span: Span,
    ) -> Option<Self> {
        let last = points.last()?;
        let low = points.iter().map(|point| point.min).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|point| point.max).fold(f64::NEG_INFINITY, f64::max);
        let scale = Scale::around(low, high, thresholds, unit);
        let amount = |value: f64| amount(value, unit);
        let beyond = thresholds.iter().filter(|(_, bound)| scale.shows(*bound));
        let words = format!(
            "{name}: from {} to {} in this time, {} at last",
            amount(low),
            amount(high),
            amount(last.avg)
        );
        Some(Self {
            name: name.to_owned(),
            words,
            band: band(points, span, &scale),
            line: line(points, span, &scale),
            grid: scale.grid.iter().map(|value| Line::new("grid", scale.y(*value), amount(*value))).collect(),
            thresholds: beyond
                .map(|(class, bound)| {
                    Line::new(class, scale.y(*bound), format!("{class} {}", amount(*bound)))
                })
                .collect(),
            ticks: ticks(span),
            since: span.since.as_millis(),
            until: span.until.as_millis(),
        })
    }
}

impl Line {
    fn new(class: &'static str, y: f64, label: String) -> Self {
        let (label_x, anchor) = match class {
            "grid" => (LEFT - 6.0, "end"),
            "warning" => (LEFT + 8.0, "start"),
            _ => (WIDTH - RIGHT, "end"),
        };
        Self { class, y, label, label_x, anchor }
    }
}

/// From which value at the bottom to which at the top.
struct Scale {
    low: f64,
    high: f64,
    grid: Vec<f64>,
}

impl Scale {
    /// A scale that holds all values; a threshold is on it when it is not far off, for the values matter more.
    fn around(low: f64, high: f64, thresholds: &[(&'static str, f64)], unit: &str) -> Self {
        let reach = (high - low).max(high.abs() * 0.1).max(f64::MIN_POSITIVE);
        let near = |bound: &&(&str, f64)| {
            unit == "%" || (bound.1 <= high + reach * 4.0 && bound.1 >= low - reach * 4.0)
        };
        let bounds: Vec<f64> = thresholds.iter().filter(near).map(|(_, bound)| *bound).collect();
        let low = bounds.iter().copied().fold(low, f64::min);
        let high = bounds.iter().copied().fold(high, f64::max);
        // Amounts begin at nothing, unless they vary little far from it.
        let low = if low > 0.0 && low < (high - low) * 3.0 || unit == "%" { low.min(0.0) } else { low };
        let step = step((high - low).max(high.abs() * 1e-6).max(1e-9), unit);
        let first = (low / step).floor();
        let last = ((high / step).ceil()).max(first + 1.0);
        let steps = (last - first).min(20.0) as u32;
        let grid = (0..=steps).map(|at| (first + f64::from(at)) * step).collect();
        Self { low: first * step, high: last * step, grid }
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value - self.low) / (self.high - self.low);
        round(HEIGHT - BOTTOM - part.clamp(0.0, 1.0) * (HEIGHT - BOTTOM - TOP))
    }

    fn shows(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// A round step with which about four fit into the range.
fn step(range: f64, unit: &str) -> f64 {
    let rough = range / 4.0;
    let base = if unit == "B" { 1024_f64.powf(rough.log(1024.0).floor()) } else { 1.0 };
    let rough = rough / base;
    let power = 10_f64.powf(rough.log10().floor());
    let factor =
        [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough).unwrap_or(10.0);
    factor * power * base
}

/// A path that begins anew after each gap.
fn line(points: &[Point], span: Span, scale: &Scale) -> String {
    let mut path = String::new();
    for run in runs(points) {
        for (at, point) in run.iter().enumerate() {
            let letter = if at == 0 { 'M' } else { 'L' };
            // Writing to a String cannot fail.
            let _ = write!(path, "{letter}{} {}", span.x(point.at), scale.y(point.avg));
        }
        if let [point] = run {
            // A point alone is seen, too.
            let _ = write!(path, "L{} {}", round(span.x(point.at) + 2.0), scale.y(point.avg));
        }
    }
    path
}

fn band(points: &[Point], span: Span, scale: &Scale) -> String {
    let mut path = String::new();
    for run in runs(points).filter(|run| run.len() > 1) {
        for (at, point) in run.iter().enumerate() {
            let letter = if at == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{} {}", span.x(point.at), scale.y(point.max));
        }
        for point in run.iter().rev() {
            let _ = write!(path, "L{} {}", span.x(point.at), scale.y(point.min));
        }
        path.push('Z');
    }
    path
}

/// The points in pieces without gaps.
fn runs(points: &[Point]) -> impl Iterator<Item = &[Point]> {
    let usual = usual_step(points);
    points.chunk_by(move |one, other| ((other.at.as_millis() - one.at.as_millis()) as f64) <= usual * GAP)
}

fn usual_step(points: &[Point]) -> f64 {
    let mut steps: Vec<i64> =
        points.windows(2).map(|pair| pair[1].at.as_millis() - pair[0].at.as_millis()).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).map_or(f64::INFINITY, |step| *step as f64)
}

/// Four times, in words that fit the span.
fn ticks(span: Span) -> Vec<Tick> {
    let form = if span.length() > 3.0 * 86_400_000.0 { "%b %-d" } else { "%H:%M" };
    let at = |part: f64| {
        let at = Timestamp::from_millis(span.since.as_millis() + (span.length() * part) as i64);
        let moment = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Tick { x: span.x(at), label: moment.strftime(form).to_string() }
    };
    [0.125, 0.375, 0.625, 0.875].map(at).into()
}

/// A value with its unit, as people say it: `1.5 GiB`, `250 ms`, `42 %`.
pub(in crate::dashboard) fn amount(value: f64, unit: &str) -> String {
    const BINARY: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (value, unit) = match unit {
        "B" => {
            let power = if value.abs() < 1.0 { 0.0 } else { value.abs().log(1024.0).floor().min(5.0) };
            // At most five, by the line above.
            (value / 1024_f64.powf(power), BINARY[power as usize])
        }
        "s" if value != 0.0 && value.abs() < 0.001 => (value * 1e6, "µs"),
        "s" if value != 0.0 && value.abs() < 1.0 => (value * 1e3, "ms"),
        "s" if value.abs() >= 172_800.0 => (value / 86_400.0, "d"),
        "s" if value.abs() >= 7200.0 => (value / 3600.0, "h"),
        "" | "c" if value.abs() >= 1e9 => (value / 1e9, "G"),
        "" | "c" if value.abs() >= 1e6 => (value / 1e6, "M"),
        "" | "c" if value.abs() >= 1e4 => (value / 1e3, "k"),
        "c" => (value, ""),
        other => (value, other),
    };
    let text = if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {unit}").trim_end().to_owned()
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BEGIN: i64 = 1_790_000_000_000;

    fn span(minutes: i64) -> Span {
        Span { since: Timestamp::from_millis(BEGIN), until: Timestamp::from_millis(BEGIN + minutes * 60_000) }
    }

    fn point(minute: i64, value: f64) -> Point {
        Point { at: Timestamp::from_millis(BEGIN + minute * 60_000), min: value, avg: value, max: value }
    }

    #[test]
    fn amounts_are_said_as_people_say_them() {
        for (value, unit, text) in [
            (0.0, "B", "0 B"),
            (1536.0, "B", "1.5 KiB"),
            (25_276_514_304.0, "B", "23.54 GiB"),
            (0.25, "s", "250 ms"),
            (90.0, "s", "90 s"),
            (864_000.0, "s", "10 d"),
            (42.0, "%", "42 %"),
            (0.5, "", "0.5"),
            (12_345.0, "c", "12.35 k"),
            (100.0, "", "100"),
        ] {
            assert_eq!(amount(value, unit), text);
        }
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let points: Vec<_> = (0..10).chain(30..40).map(|minute| point(minute, 1.0)).collect();
        let chart = Chart::new("usage", "%", &points, &[("critical", 95.0)], span(60)).unwrap();
        assert_eq!(chart.line.matches('M').count(), 2);
        assert_eq!(chart.thresholds.len(), 1);
        assert_eq!(chart.thresholds[0].label, "critical 95 %");
        assert!(chart.words.contains("1 %"));
    }

    #[test]
    fn nothing_is_no_picture() {
        assert_eq!(Chart::new("usage", "%", &[], &[], span(60)), None);
        assert!(Chart::new("usage", "", &[point(0, 7.0)], &[], span(60)).unwrap().line.contains('L'));
    }

    proptest! {
        #[test]
        fn all_values_are_inside(values in prop::collection::vec(-1e15..1e15, 1..50), bound in -1e15..1e15, bytes: bool) {
            let points: Vec<_> = values.iter().enumerate().map(|(at, value)| point(at as i64, *value)).collect();
            let unit = if bytes { "B" } else { "s" };
            let chart = Chart::new("m", unit, &points, &[("warning", bound)], span(60)).unwrap();
            let all = format!("{}{}", chart.line, chart.band);
            prop_assert!(!all.contains("NaN") && !all.contains("inf"));
            for line in chart.grid.iter().chain(&chart.thresholds) {
                prop_assert!((0.0..=HEIGHT).contains(&line.y));
            }
            prop_assert!(chart.grid.len() <= 21);
        }
    }
}
