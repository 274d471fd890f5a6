//! When things happen: checks, downtimes, messages and signs of life.
//!
//! | to say | there is |
//! |---|---|
//! | when a check runs | [`phase`] and [`next_run`]: spread over the interval, without drift |
//! | at which hours of the week people are told | [`WeeklySchedule`] |
//! | when a downtime comes again | [`Recurrence`]: a weekly schedule, or a cron line and a duration |
//! | when a heartbeat is due | [`Expectation`]: a period, a [`CronSchedule`] or an [`OnCalendar`] expression |
//!
//! All of it is pure: the moment is an argument. Texts come from strangers, so reading one takes time in
//! proportion to its length, of which there is a limit, and every answer afterwards is bounded too. Absent on
//! purpose: holidays, and times without a zone (no zone named is UTC, on every machine).

mod calendar;
mod cron;
mod error;
mod expectation;
mod occurrence;
mod recurrence;
mod weekly;
mod window;
mod words;
mod zone;

pub use calendar::OnCalendar;
pub use cron::CronSchedule;
pub use error::{MAX_LENGTH, ScheduleError};
pub use expectation::Expectation;
pub use recurrence::Recurrence;
pub use weekly::WeeklySchedule;
pub use window::Window;

use crate::id::{AgentId, CheckId};
use crate::time::{Millis, Timestamp};

/// The checks of an agent run together, at moments that lie this far apart or farther, so that their results travel
/// together.
pub const TOGETHER: Millis = Millis::from_secs(30);

/// How far into each interval this check of this agent runs: the same on every machine and after every restart.
///
/// The agents are spread over the interval by a hash of their ids. The checks of one agent share its phase when the
/// interval is shorter than twice [`TOGETHER`]; else a hash of their ids spreads them over moments that far apart.
#[must_use]
pub fn phase(agent: AgentId, check: CheckId, interval: Millis) -> Millis {
    let interval = interval.get().max(1);
    let moments = (interval / TOGETHER.get()).max(1);
    let moment = scramble(check.get()) % moments;
    // Divided first: an interval may be as long as numbers go.
    Millis::new((scramble(agent.get()) % interval).wrapping_add(interval / moments * moment) % interval)
}

/// The first moment after `after` at which a check with this interval and phase runs.
///
/// Computed from the moment itself and not from the last run, so a late run delays no other.
#[must_use]
pub fn next_run(after: Timestamp, interval: Millis, phase: Millis) -> Timestamp {
    let interval = i64::try_from(interval.get().max(1)).unwrap_or(i64::MAX);
    let phase = i64::try_from(phase.get()).unwrap_or(i64::MAX) % interval;
    let elapsed = after.as_millis().saturating_sub(phase).rem_euclid(interval);
    Timestamp::from_millis(after.as_millis().saturating_add(interval - elapsed))
}

/// The finalizer of SplitMix64: neighbouring ids land far apart.
fn scramble(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_next_run_is_within_one_interval_and_in_phase(
            after in 0..1_i64 << 45, interval in 1..1_u64 << 40, agent in 1_u64.., check in 1_u64..,
        ) {
            let (after, interval) = (Timestamp::from_millis(after), Millis::new(interval));
            let phase = phase(AgentId::new(agent).unwrap(), CheckId::new(check).unwrap(), interval);
            let next = next_run(after, interval, phase);
            prop_assert!(next > after && next.since(after) <= interval);
            prop_assert_eq!(next.as_millis().rem_euclid(interval.get() as i64) as u64, phase.get());
        }
    }

    fn phase_of(agent: u64, check: u64, seconds: u64) -> u64 {
        phase(AgentId::new(agent).unwrap(), CheckId::new(check).unwrap(), Millis::from_secs(seconds)).get()
    }

    #[test]
    fn agents_are_spread() {
        let mut seconds = [0_u32; 60];
        for agent in 1..=6000 {
            seconds[(phase_of(agent, 7, 60) / 1000) as usize] += 1;
        }
        assert!(seconds.iter().all(|count| (50..=150).contains(count)), "{seconds:?}");
    }

    #[test]
    fn checks_of_an_agent_meet() {
        for (seconds, moments) in [(1, 1), (10, 1), (59, 1), (60, 2), (300, 10)] {
            let phases: BTreeSet<u64> = (1..=1000).map(|check| phase_of(3, check, seconds)).collect();
            assert_eq!(phases.len(), moments, "{seconds} s: {phases:?}");
        }
        let (minute, longer) = (phase_of(3, 5, 60), phase_of(3, 8, 300));
        assert_eq!(minute % 30_000, longer % 30_000, "whatever their intervals");
    }
}
