//! Changed too often: while a check flaps, people are not told of each change.
//!
//! A ring holds for each of the last 20 results whether the status changed with it, soft states too; the status before
//! the first result counts as UNKNOWN. The newer a change, the more it weighs: bit *i*, the oldest being 0, weighs
//! `0.80 + 0.02 × i`, and the sum times `100 / 20` is the percentage. Flapping starts above `flap_high` and stops below
//! `flap_low`. What vilicus makes itself (stale, DOWN) is no result, and moves nothing here.
//!
//! *Source of the algorithm:* Icinga 2, <https://icinga.com/docs/icinga-2/latest/doc/08-advanced-topics/#check-flapping>.

use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::status::Status;
use crate::time::Timestamp;

/// The results that are looked at.
const RESULTS: u32 = 20;
const RING: u32 = (1 << RESULTS) - 1;
/// The weight of the oldest result; each newer one weighs 1 more. In tenths of a percent of the whole.
const OLDEST: u32 = 40;

/// How often a check changed lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flapping {
    /// One bit a result, newest in the lowest; a set bit is a change.
    ring: u32,
    /// Since when it has been flapping.
    pub since: Option<Timestamp>,
}

impl Flapping {
    /// The changes of the last 20 results, weighed, as a percentage between 0 and 99.
    #[must_use]
    pub fn percent(&self) -> f64 {
        f64::from(self.tenths()) / 10.0
    }

    /// Whether it flaps.
    #[must_use]
    pub fn is_flapping(&self) -> bool {
        self.since.is_some()
    }

    /// Whether it neither flaps nor changed within the results that are looked at.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.ring == 0 && self.since.is_none()
    }

    /// Notes a result that brought no change. Part of what every result does, so it says nothing of starting or stopping.
    pub fn note_same(&mut self) {
        self.ring = self.ring << 1 & RING;
    }

    fn tenths(&self) -> u32 {
        let mut bits = self.ring;
        let mut sum = 0;
        while bits != 0 {
            sum += OLDEST + RESULTS - 1 - bits.trailing_zeros();
            bits &= bits - 1;
        }
        sum
    }

    fn note_change(&mut self) {
        self.ring = (self.ring << 1 | 1) & RING;
    }
}

/// What a result did to the flapping of a check.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Whether it flaps now, or no longer does.
    pub flapping: bool,
    /// The percentage of changes.
    pub percent: f64,
}

/// Notes one result, given the status before it, and says whether flapping started or stopped with it.
pub fn step(
    policy: &Policy,
    flapping: &mut Flapping,
    before: Option<Status>,
    status: Status,
    at: Timestamp,
) -> Option<Turn> {
    let changed = before.unwrap_or(Status::Unknown) != status;
    if changed {
        flapping.note_change();
    } else {
        flapping.note_same();
    }
    if flapping.is_flapping() {
        stop(policy, flapping)
    } else if changed && policy.flap_detection && flapping.percent() > policy.flap_high {
        flapping.since = Some(at);
        Some(Turn { flapping: true, percent: flapping.percent() })
    } else {
        None
    }
}

fn stop(policy: &Policy, flapping: &mut Flapping) -> Option<Turn> {
    let percent = flapping.percent();
    if policy.flap_detection && percent >= policy.flap_low {
        return None;
    }
    flapping.since = None;
    Some(Turn { flapping: false, percent })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percents(changes: impl IntoIterator<Item = bool>) -> (Flapping, Vec<(f64, bool)>) {
        let policy = Policy::default();
        let mut flapping = Flapping::default();
        let mut status = Status::Unknown;
        let mut seen = Vec::new();
        for change in changes {
            let before = status;
            if change {
                status = if status == Status::Ok { Status::Critical } else { Status::Ok };
            }
            let _ = step(&policy, &mut flapping, Some(before), status, Timestamp::EPOCH);
            seen.push((flapping.percent(), flapping.is_flapping()));
        }
        (flapping, seen)
    }

    #[test]
    fn a_change_at_every_result_starts_it_at_the_sixth() {
        let (_, seen) = percents([true; 20]);
        let expected = [5.9, 11.7, 17.4, 23.0, 28.5, 33.9, 39.2, 44.4];
        for (result, expected) in expected.into_iter().enumerate() {
            assert_eq!(seen[result], (expected, result >= 5), "{result}");
        }
        assert_eq!(seen[19], (99.0, true));
    }

    #[test]
    fn it_stops_when_calm() {
        let (calm, seen) = percents((0..60).map(|result| result < 8));
        assert_eq!(seen[21], (25.5, true));
        assert_eq!(seen[22], (21.0, false));
        assert!(calm.is_calm());
    }

    #[test]
    fn the_status_before_the_first_result_is_unknown() {
        for (status, percent) in [(Status::Ok, 5.9), (Status::Unknown, 0.0)] {
            let mut flapping = Flapping::default();
            let _ = step(&Policy::default(), &mut flapping, None, status, Timestamp::EPOCH);
            assert_eq!(flapping.percent(), percent, "{status}");
        }
    }

    #[test]
    fn switched_off_it_ends_with_the_next_result() {
        let (mut flapping, _) = percents([true; 8]);
        let policy = Policy { flap_detection: false, ..Policy::default() };
        let turn = step(&policy, &mut flapping, Some(Status::Ok), Status::Ok, Timestamp::EPOCH);
        assert!(turn.is_some_and(|turn| !turn.flapping) && !flapping.is_flapping());
    }
}
