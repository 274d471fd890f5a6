//! The states of a span side by side: colour and height say how bad it was, a gap that nothing is known.

use super::chart::{LEFT, Span, WIDTH};
use crate::dashboard::wire::Rollup;
use crate::dashboard::words::Mark;

/// The strip's height, in the units of its picture.
pub(in crate::dashboard) const HEIGHT: f64 = 24.0;

/// One state for a while.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::dashboard) struct Bar {
    pub(in crate::dashboard) x: f64,
    pub(in crate::dashboard) y: f64,
    pub(in crate::dashboard) width: f64,
    pub(in crate::dashboard) height: f64,
    pub(in crate::dashboard) class: &'static str,
    pub(in crate::dashboard) title: String,
}

/// Draws the states; neighbours that are alike are one bar.
pub(in crate::dashboard) fn strip(rollups: &[Rollup], span: Span) -> Vec<Bar> {
    let step = step(rollups);
    let near = |one: &Rollup, next: &Rollup| {
        one.status == next.status && next.since.as_millis() - one.until.as_millis() <= step * 3
    };
    let narrowest = (WIDTH - LEFT) / 400.0;
    let bar = |run: &[Rollup]| {
        let (first, last) = (run.first()?, run.last()?);
        let mark = Mark::of(first.status);
        let height = match mark.class {
            "ok" => HEIGHT * 0.4,
            "warning" => HEIGHT * 0.65,
            "unknown" => HEIGHT * 0.8,
            _ => HEIGHT,
        };
        let begin = span.x(first.since);
        // A span lasts until the next one begins.
        let end = span.x(vilicus_core::Timestamp::from_millis(last.until.as_millis() + step));
        let width = (end - begin).max(narrowest);
        let title = format!("{} from {} to {}", mark.word, first.since, last.until);
        Some(Bar { x: begin, y: HEIGHT - height, width, height, class: mark.class, title })
    };
    rollups.chunk_by(near).filter_map(bar).collect()
}

fn step(rollups: &[Rollup]) -> i64 {
    let mut steps: Vec<i64> =
        rollups.windows(2).map(|pair| pair[1].since.as_millis() - pair[0].until.as_millis()).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(60_000).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::{Status, Timestamp};

    fn rollup(minute: i64, status: Status) -> Rollup {
        let at = Timestamp::from_millis(minute * 60_000);
        Rollup { since: at, until: at, status: Some(status), metrics: Vec::new() }
    }

    #[test]
    fn neighbours_that_are_alike_are_one_bar_and_a_gap_is_none() {
        let mut rollups: Vec<_> = (0..10).map(|minute| rollup(minute, Status::Ok)).collect();
        rollups.push(rollup(10, Status::Critical));
        rollups.extend((40..50).map(|minute| rollup(minute, Status::Ok)));
        let span = Span { since: Timestamp::from_millis(0), until: Timestamp::from_millis(3_600_000) };
        let bars = strip(&rollups, span);
        assert_eq!(bars.iter().map(|bar| bar.class).collect::<Vec<_>>(), ["ok", "critical", "ok"]);
        assert!(bars[1].height > bars[0].height);
        assert!(bars[1].x + bars[1].width < bars[2].x);
    }
}
