//! What runs when. Pure: the time is an argument, and what is due is the answer.
//!
//! Each check has a stable phase in its interval (see [`vilicus_core::schedule`]), so that checks never drift, those
//! of an agent meet, and agents are spread. A new one runs at once, one that the server wants sooner runs sooner, and
//! none overlaps itself. The plan is kept on the clock that only grows: a jump of the wall clock may shift a phase,
//! and delays nothing.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use vilicus_core::{AgentId, CheckId, Millis, Timestamp, schedule};

/// One moment on both hands of a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The wall clock, for phases.
    pub(crate) wall: Timestamp,
    /// The clock that only grows, for everything else.
    pub(crate) elapsed: Millis,
}

/// What the phase of a check follows from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seed {
    pub(crate) agent: AgentId,
    pub(crate) check: CheckId,
}

/// Which check runs when.
#[derive(Debug)]
pub(crate) struct Due<K> {
    entries: BTreeMap<K, Entry>,
}

#[derive(Debug)]
struct Entry {
    interval: Millis,
    phase: Millis,
    /// The next run by plan.
    planned: Millis,
    /// A run that was ordered, if any.
    ordered: Option<Millis>,
    is_running: bool,
}

impl<K> Default for Due<K> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Due<K> {
    /// Plans a check: at once when it is new, else by its interval from now on. `seed` fixes its phase.
    pub(crate) fn plan(&mut self, key: K, seed: Seed, interval: Millis, now: Moment) {
        let interval = interval.max(Millis::from_secs(1));
        let phase = schedule::phase(seed.agent, seed.check, interval);
        match self.entries.get_mut(&key) {
            None => {
                let new = Entry { interval, phase, planned: now.elapsed, ordered: None, is_running: false };
                self.entries.insert(key, new);
            }
            Some(entry) if entry.interval != interval || entry.phase != phase => {
                (entry.interval, entry.phase) = (interval, phase);
                entry.planned = entry.planned.min(entry.next(now));
            }
            Some(_) => {}
        }
    }

    /// Forgets every check that `keep` does not want.
    pub(crate) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.entries.retain(|key, _| keep(key));
    }

    /// Wants a run within `delay`, if none is planned sooner. While the check runs, that run is the one: servers
    /// repeat an order until they see a result, and a second run would count as another attempt.
    pub(crate) fn order(&mut self, key: &K, delay: Millis, now: Moment) {
        if let Some(entry) = self.entries.get_mut(key).filter(|entry| !entry.is_running) {
            let at = now.elapsed.plus(delay);
            entry.ordered = Some(entry.ordered.map_or(at, |ordered| ordered.min(at)));
        }
    }

    /// The checks to start now. They count as running until [`finished`](Self::finished).
    pub(crate) fn take(&mut self, now: Moment) -> Vec<K> {
        let mut due = Vec::new();
        for (key, entry) in &mut self.entries {
            if !entry.is_running && entry.at() <= now.elapsed {
                entry.is_running = true;
                entry.ordered = None;
                entry.planned = entry.next(now);
                due.push(key.clone());
            }
        }
        due
    }

    /// A run ended. What was missed meanwhile is not made up for.
    pub(crate) fn finished(&mut self, key: &K, now: Moment) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.is_running = false;
            if entry.planned <= now.elapsed {
                entry.planned = entry.next(now);
            }
        }
    }

    /// When there is something to start again, on the clock that only grows; `None` while nothing waits.
    pub(crate) fn wake(&self) -> Option<Millis> {
        self.entries.values().filter(|entry| !entry.is_running).map(Entry::at).min()
    }
}

impl Entry {
    fn at(&self) -> Millis {
        self.ordered.map_or(self.planned, |ordered| ordered.min(self.planned))
    }

    /// The next moment in phase; not one within a quarter of an interval, which would measure almost nothing.
    fn next(&self, now: Moment) -> Millis {
        let mut next = schedule::next_run(now.wall, self.interval, self.phase);
        if next.since(now.wall).times(4) < self.interval {
            next = next.after(self.interval);
        }
        now.elapsed.plus(next.since(now.wall))
    }
}

/// The seed of a check that has a name and no id yet, of an agent that no server knows: FNV-1a of the name.
///
/// *Source:* <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>.
pub(crate) fn seed_of(name: &str) -> Seed {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let hash = NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN);
    Seed { agent: AgentId::from(hash), check: CheckId::from(hash) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(elapsed: u64) -> Moment {
        Moment { wall: Timestamp::from_millis(1_000_000_000 + elapsed as i64), elapsed: Millis::new(elapsed) }
    }

    fn one(interval: u64) -> Due<u8> {
        let mut due = Due::default();
        due.plan(1, seed_of("seven"), Millis::new(interval), at(0));
        due
    }

    #[test]
    fn a_new_check_runs_at_once_and_then_in_its_phase() {
        let mut due = one(10_000);
        assert_eq!(due.take(at(0)), [1]);
        due.finished(&1, at(5));
        let first = due.wake().unwrap().get();
        assert!((2_500..=12_500).contains(&first), "{first}");
        assert_eq!(due.take(at(first - 1)), [] as [u8; 0]);
        assert_eq!(due.take(at(first + 30)), [1]);
        due.finished(&1, at(first + 40));
        assert_eq!(due.wake().unwrap().get(), first + 10_000);
    }

    #[test]
    fn a_check_never_overlaps_itself_and_misses_are_not_made_up_for() {
        let mut due = one(1_000);
        assert_eq!(due.take(at(0)), [1]);
        assert_eq!(due.wake(), None);
        assert!(due.take(at(60_000)).is_empty());
        due.finished(&1, at(60_000));
        assert!(due.take(at(60_000)).is_empty());
        assert!(due.wake().unwrap() > Millis::new(60_000));
    }

    #[test]
    fn an_order_brings_a_run_forward_and_is_used_up_by_it() {
        let mut due = one(60_000);
        assert_eq!(due.take(at(0)), [1]);
        due.finished(&1, at(10));
        due.order(&1, Millis::new(5_000), at(10));
        due.order(&1, Millis::new(9_000), at(10));
        assert_eq!(due.wake(), Some(Millis::new(5_010)));
        assert_eq!(due.take(at(5_010)), [1]);
        due.finished(&1, at(5_020));
        assert!(due.wake().unwrap() >= Millis::new(15_000));
    }

    #[test]
    fn an_order_during_a_run_is_met_by_that_run() {
        let mut due = one(60_000);
        assert_eq!(due.take(at(0)), [1]);
        due.order(&1, Millis::ZERO, at(10));
        due.finished(&1, at(20));
        assert!(due.take(at(20)).is_empty());
    }

    #[test]
    fn a_shorter_interval_counts_at_once() {
        let mut due = one(3_600_000);
        assert_eq!(due.take(at(0)), [1]);
        due.finished(&1, at(1));
        due.plan(1, seed_of("seven"), Millis::new(1_000), at(1));
        assert!(due.wake().unwrap() <= Millis::new(1_251));
        due.retain(|_| false);
        assert_eq!(due.wake(), None);
    }

    #[test]
    fn names_have_seeds_of_their_own() {
        assert_ne!(seed_of("queue").check, seed_of("queue2").check);
        assert_eq!(seed_of("queue").check, seed_of("queue").check);
    }

    proptest! {
        #[test]
        fn no_wall_clock_delays_a_check(
            interval in 1_000_u64..100_000, walls in prop::collection::vec(-1_i64 << 45..1_i64 << 45, 1..20),
        ) {
            let mut due = one(interval);
            let mut elapsed = Millis::ZERO;
            for wall in walls {
                let now = Moment { wall: Timestamp::from_millis(wall), elapsed };
                prop_assert_eq!(due.take(now).len(), 1);
                due.finished(&1, now);
                let next = due.wake().unwrap();
                let gap = next.get() - elapsed.get();
                prop_assert!(gap * 4 >= interval && gap * 4 <= interval * 5 , "{}", gap);
                elapsed = next;
            }
        }
    }
}
