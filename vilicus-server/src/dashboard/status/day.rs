//! One day of a check: how available it was.

use vilicus_core::Millis;
use vilicus_core::availability::Durations;
use vilicus_core::schedule::Window;

use crate::availability::Trail;

/// The width of a day, in the units of its picture.
const WIDTH: u64 = 8;

/// A day as a bar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Day {
    pub(super) x: u64,
    pub(super) y: f64,
    pub(super) height: f64,
    pub(super) class: &'static str,
    pub(super) title: String,
}

/// The days of a span, the latest ends with it.
pub(super) fn days(trail: &Trail, span: Window) -> Vec<Day> {
    let day = Millis::from_hours(24);
    let starts = std::iter::successors(Some(span.start), |start| Some(start.after(day)));
    let windows =
        starts.take_while(|start| *start < span.end).map(|start| Window { start, end: start.after(day) });
    let bar = |(at, window): (usize, Window)| {
        let durations = trail.course.durations(window, &trail.planned).outside;
        let (class, height) = look(&durations);
        let percent = durations.percent().map_or("no data".to_owned(), |percent| format!("{percent:.2} %"));
        let date = window.start.to_string().chars().take(10).collect::<String>();
        Day { x: at as u64 * WIDTH, y: 24.0 - height, height, class, title: format!("{date}: {percent}") }
    };
    windows.enumerate().map(bar).collect()
}

/// Colour and height: a day that was worse is taller, too.
fn look(durations: &Durations) -> (&'static str, f64) {
    match durations.percent() {
        None => ("pending", 4.0),
        Some(_) if durations.critical > Millis::ZERO => ("critical", 24.0),
        Some(_) if durations.warning > Millis::ZERO => ("warning", 17.0),
        Some(_) => ("ok", 10.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worse_day_is_taller() {
        let hour = Millis::from_hours(1);
        let fine = Durations { ok: hour, ..Durations::default() };
        let slow = Durations { warning: hour, ..fine };
        let down = Durations { critical: hour, ..slow };
        let heights = [Durations::default(), fine, slow, down].map(|durations| look(&durations).1);
        assert!(heights.is_sorted() && heights[0] < heights[3]);
    }
}
