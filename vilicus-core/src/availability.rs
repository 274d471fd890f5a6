//! Availability: for how long a check was what, exact to the millisecond.
//!
//! It follows from the confirmed changes of the check's state, from the spans in which nobody could know ([`Course`]
//! holds both), and from the planned silences. OK and WARNING count as up, CRITICAL as down; UNKNOWN and the time in
//! which nothing was known are neither, so they move no percentage. Every millisecond of the span is in exactly one of
//! the durations.
//!
//! ```
//! use vilicus_core::availability::{Course, Durations};
//! use vilicus_core::schedule::Window;
//! use vilicus_core::{Millis, Status, Timestamp};
//!
//! let minute = |minute: i64| Timestamp::from_millis(minute * 60_000);
//! let mut course = Course::default();
//! course.turn(minute(0), Some(Status::Ok));
//! course.turn(minute(50), Some(Status::Critical));
//! let hour = Window { start: minute(0), end: minute(60) };
//! let Durations { ok, critical, .. } = course.durations(hour, &[]).outside;
//! assert_eq!((ok, critical), (Millis::from_minutes(50), Millis::from_minutes(10)));
//! ```

use crate::schedule::Window;
use crate::status::Status;
use crate::time::{Millis, Timestamp};

/// What a check was over time, as far as anybody knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Course {
    /// From when on it had which confirmed status, oldest first; `None` when nothing was known of it.
    turns: Vec<(Timestamp, Option<Status>)>,
    /// The spans in which nothing was known of it, whatever it was before; in any order.
    blind: Vec<Window>,
}

/// For how long a check was what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Durations {
    /// OK.
    pub ok: Millis,
    /// WARNING.
    pub warning: Millis,
    /// CRITICAL.
    pub critical: Millis,
    /// UNKNOWN, as its results said.
    pub unknown: Millis,
    /// Nobody knows: no result yet, results that stayed out, an agent that was DOWN.
    pub undetermined: Millis,
}

/// [`Durations`] outside of planned silences and within them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Availability {
    /// Outside.
    pub outside: Durations,
    /// Within.
    pub planned: Durations,
}

impl Course {
    /// From `at` on it had this confirmed status. What was said before about that moment and later ones no longer
    /// stands: what is recorded later knows more, as results that were delivered late.
    pub fn turn(&mut self, at: Timestamp, status: Option<Status>) {
        while self.turns.last().is_some_and(|(last, _)| *last >= at) {
            self.turns.pop();
        }
        self.turns.push((at, status));
    }

    /// Within this window nothing was known of it.
    pub fn blind(&mut self, window: Window) {
        self.blind.push(window);
    }

    /// For how long it was what within `span`, apart for the `planned` silences: those may overlap, in any order.
    #[must_use]
    pub fn durations(&self, span: Window, planned: &[Window]) -> Availability {
        let (blind, planned) = (joined(&self.blind), joined(planned));
        let edges = blind.iter().chain(&planned).flat_map(|window| [window.start, window.end]);
        let mut edges: Vec<Timestamp> = edges.chain(self.turns.iter().map(|(at, _)| *at)).collect();
        edges.retain(|edge| span.contains(*edge));
        edges.extend([span.start, span.end.max(span.start)]);
        edges.sort_unstable();
        let mut availability = Availability::default();
        for edge in edges.windows(2) {
            let (from, lasts) = (edge[0], edge[1].since(edge[0]));
            let status = self.status_at(from).filter(|_| !holds(&blind, from));
            let durations =
                if holds(&planned, from) { &mut availability.planned } else { &mut availability.outside };
            durations.add(status, lasts);
        }
        availability
    }

    fn status_at(&self, moment: Timestamp) -> Option<Status> {
        let after = self.turns.partition_point(|(at, _)| *at <= moment);
        self.turns.get(after.checked_sub(1)?)?.1
    }
}

/// The windows in order, those that touch as one.
fn joined(windows: &[Window]) -> Vec<Window> {
    let mut sorted: Vec<Window> =
        windows.iter().copied().filter(|window| window.start < window.end).collect();
    sorted.sort_unstable();
    sorted.dedup_by(|next, last| {
        let touches = next.start <= last.end;
        if touches {
            last.end = last.end.max(next.end);
        }
        touches
    });
    sorted
}

/// Whether one of the windows, which are in order and apart, holds at this moment.
fn holds(windows: &[Window], moment: Timestamp) -> bool {
    let after = windows.partition_point(|window| window.start <= moment);
    after.checked_sub(1).is_some_and(|at| windows[at].contains(moment))
}

impl Durations {
    fn add(&mut self, status: Option<Status>, lasts: Millis) {
        let place = match status {
            Some(Status::Ok) => &mut self.ok,
            Some(Status::Warning) => &mut self.warning,
            Some(Status::Critical) => &mut self.critical,
            Some(Status::Unknown) => &mut self.unknown,
            None => &mut self.undetermined,
        };
        *place = place.plus(lasts);
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> Millis {
        let all = [self.warning, self.critical, self.unknown, self.undetermined];
        all.into_iter().fold(self.ok, Millis::plus)
    }

    /// The time with a problem that results told of: WARNING, CRITICAL or UNKNOWN.
    #[must_use]
    pub fn in_problem(&self) -> Millis {
        self.warning.plus(self.critical).plus(self.unknown)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            ok: self.ok.plus(other.ok),
            warning: self.warning.plus(other.warning),
            critical: self.critical.plus(other.critical),
            unknown: self.unknown.plus(other.unknown),
            undetermined: self.undetermined.plus(other.undetermined),
        }
    }

    /// The share of the time up (OK, WARNING) in the time that was up or down (CRITICAL), as a percentage; `None` when
    /// it was neither.
    #[must_use]
    pub fn percent(&self) -> Option<f64> {
        let up = self.ok.plus(self.warning);
        let known = up.plus(self.critical);
        (known > Millis::ZERO).then(|| up.get() as f64 * 100.0 / known.get() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn window((start, end): (i64, i64)) -> Window {
        Window { start: at(start), end: at(end) }
    }

    fn course(turns: &[(i64, Option<Status>)], blind: &[(i64, i64)]) -> Course {
        let mut course = Course::default();
        turns.iter().for_each(|(moment, status)| course.turn(at(*moment), *status));
        blind.iter().for_each(|span| course.blind(window(*span)));
        course
    }

    const TURNS: [(i64, Option<Status>); 4] =
        [(-50, Some(Status::Ok)), (20, Some(Status::Critical)), (30, Some(Status::Warning)), (90, None)];

    fn shown(durations: Durations) -> [u64; 5] {
        let Durations { ok, warning, critical, unknown, undetermined } = durations;
        [ok, warning, critical, unknown, undetermined].map(Millis::get)
    }

    #[test]
    fn every_millisecond_is_counted_once() {
        for (blind, planned, outside, within) in [
            (&[][..], &[][..], [20, 60, 10, 0, 10], [0; 5]),
            (&[(25, 40), (35, 45)], &[], [20, 45, 5, 0, 30], [0; 5]),
            (&[], &[(10, 25), (15, 28), (28, 29)], [10, 60, 1, 0, 10], [10, 0, 9, 0, 0]),
            (&[(0, 100)], &[(-10, 10), (95, 300)], [0, 0, 0, 0, 85], [0, 0, 0, 0, 15]),
            (&[(60, 50)], &[(50, 50)], [20, 60, 10, 0, 10], [0; 5]),
        ] {
            let planned: Vec<Window> = planned.iter().copied().map(window).collect();
            let found = course(&TURNS, blind).durations(window((0, 100)), &planned);
            assert_eq!(
                (shown(found.outside), shown(found.planned)),
                (outside, within),
                "{blind:?} {planned:?}"
            );
        }
    }

    #[test]
    fn what_is_recorded_later_knows_more() {
        let mut course = course(&[(0, Some(Status::Ok)), (50, None), (60, Some(Status::Unknown))], &[]);
        course.turn(at(40), Some(Status::Critical));
        let found = course.durations(window((0, 100)), &[]).outside;
        assert_eq!(shown(found), [40, 0, 60, 0, 0]);
    }

    #[test]
    fn up_is_what_serves_and_what_nobody_knows_counts_for_nothing() {
        let durations = |ok, warning, critical, unknown, undetermined| {
            let [ok, warning, critical, unknown, undetermined] =
                [ok, warning, critical, unknown, undetermined].map(Millis::new);
            Durations { ok, warning, critical, unknown, undetermined }
        };
        for (durations, percent) in [
            (durations(90, 0, 10, 0, 0), Some(90.0)),
            (durations(80, 10, 10, 900, 900), Some(90.0)),
            (durations(0, 0, 0, 5, 5), None),
            (durations(0, 0, 7, 0, 0), Some(0.0)),
        ] {
            assert_eq!(durations.percent(), percent, "{durations:?}");
        }
    }

    #[test]
    fn a_span_that_is_over_before_it_begins_is_empty() {
        let found = course(&TURNS, &[]).durations(window((100, 0)), &[]);
        assert_eq!(found, Availability::default());
    }

    fn statuses() -> impl Strategy<Value = Option<Status>> {
        proptest::option::of(proptest::sample::select(Status::ALL.to_vec()))
    }

    fn spans() -> impl Strategy<Value = Vec<(i64, i64)>> {
        proptest::collection::vec((-500..1500_i64, -500..1500_i64), 0..12)
    }

    proptest! {
        #[test]
        fn the_sums_equal_the_span_and_a_naive_count(
            turns in proptest::collection::vec((-500..1500_i64, statuses()), 0..20),
            (blind, planned) in (spans(), spans()),
            (start, lasts) in (-200..1000_i64, 0..800_i64),
        ) {
            let span = window((start, start + lasts));
            let planned: Vec<Window> = planned.into_iter().map(window).collect();
            let course = course(&turns, &blind);
            let found = course.durations(span, &planned);
            prop_assert_eq!(found.outside.total().plus(found.planned.total()), span.end.since(span.start));

            let mut naive = Availability::default();
            for millisecond in start..start + lasts {
                let moment = at(millisecond);
                let known = course.turns.iter().rev().find(|(turn, _)| *turn <= moment);
                let is_blind = course.blind.iter().any(|window| window.contains(moment));
                let status = known.and_then(|(_, status)| *status).filter(|_| !is_blind);
                let is_planned = planned.iter().any(|window| window.contains(moment));
                let durations = if is_planned { &mut naive.planned } else { &mut naive.outside };
                durations.add(status, Millis::new(1));
            }
            prop_assert_eq!(found, naive);
        }
    }
}
