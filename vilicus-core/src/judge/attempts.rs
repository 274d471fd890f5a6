//! From soft to hard: at least `max_attempts` of the last `within` results were not OK.
//!
//! 'X of the last Y' and the usual consecutive count are one rule. `recover_attempts` good results in a row make
//! OK hard again.

use crate::judge::Change;
use crate::policy::{MAX_WITHIN, Policy};
use crate::state::CheckState;
use crate::status::{StateType, Status};
use crate::time::Timestamp;

/// Moves the state by one result of this status. `confirmed` makes a problem hard at once.
pub fn step(
    policy: &Policy,
    state: &mut CheckState,
    status: Status,
    confirmed: bool,
    at: Timestamp,
) -> Option<Change> {
    state.window = state.window << 1 | u64::from(status.is_problem());
    state.good_run = if status.is_problem() { 0 } else { state.good_run.saturating_add(1) };
    let bad = (state.window & mask(policy.within)).count_ones();
    let hard = if status.is_problem() {
        confirmed || state.has_hard_problem() || bad >= policy.max_attempts
    } else {
        !state.has_hard_problem() || state.good_run >= policy.recover_attempts
    };
    let attempt = if !status.is_problem() {
        0
    } else if hard {
        policy.max_attempts
    } else {
        bad.min(policy.max_attempts)
    };
    enter(state, status, if hard { StateType::Hard } else { StateType::Soft }, attempt, at)
}

/// Moves the state to a hard status without a result: silence, or its end.
pub fn confirm(policy: &Policy, state: &mut CheckState, status: Status, at: Timestamp) -> Option<Change> {
    let attempt = if status.is_problem() { policy.max_attempts } else { 0 };
    if status.is_problem() {
        // The good results from before a silence say nothing of its end.
        state.good_run = 0;
    }
    enter(state, status, StateType::Hard, attempt, at)
}

/// The window's bits that count.
fn mask(within: u32) -> u64 {
    u64::MAX >> (MAX_WITHIN - within.clamp(1, MAX_WITHIN))
}

fn enter(
    state: &mut CheckState,
    status: Status,
    state_type: StateType,
    attempt: u32,
    at: Timestamp,
) -> Option<Change> {
    let change = Change { from: state.status, to: status, state_type, hard_from: state.hard_status, at };
    let changed = state.status != Some(status) || state.state_type != state_type || change.is_hard();
    if state.status != Some(status) {
        state.status = Some(status);
        state.since = Some(at);
    }
    state.state_type = state_type;
    state.attempt = attempt;
    if status.is_problem() {
        state.problem_since = state.problem_since.or(Some(at));
    }
    if state_type == StateType::Hard {
        state.hard_status = Some(status);
        state.hard_since = if status.is_problem() { state.hard_since.or(Some(at)) } else { None };
        if !status.is_problem() {
            state.problem_since = None;
        }
    }
    changed.then_some(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(policy: &Policy, results: &str) -> String {
        let mut state = CheckState::default();
        let statuses = results.split(' ').map(|letter| match letter {
            "O" => Status::Ok,
            "W" => Status::Warning,
            "U" => Status::Unknown,
            _ => Status::Critical,
        });
        let mut states = Vec::new();
        for (minute, status) in statuses.enumerate() {
            let _ = step(policy, &mut state, status, false, Timestamp::from_millis(minute as i64 * 60_000));
            states.push(format!(
                "{}{}",
                if state.state_type == StateType::Hard { "h" } else { "s" },
                state.attempt
            ));
        }
        states.join(" ")
    }

    #[test]
    fn soft_becomes_hard_by_count() {
        let three = Policy::default();
        let three_of_five = Policy { within: 5, ..Policy::default() };
        let slow_recovery = Policy { recover_attempts: 2, ..Policy::default() };
        for (policy, results, states) in [
            (&three, "O C C O", "h0 s1 s2 h0"),
            (&three, "C C C C O", "s1 s2 h3 h3 h0"),
            (&three, "W C W O", "s1 s2 h3 h0"),
            (&three, "C O C O C", "s1 h0 s2 h0 s2"),
            (&three_of_five, "C O C O C O", "s1 h0 s2 h0 h3 h0"),
            (&slow_recovery, "C C C O O C", "s1 s2 h3 s0 h0 s1"),
            (&slow_recovery, "C C C O C O O", "s1 s2 h3 s0 h3 s0 h0"),
        ] {
            assert_eq!(run(policy, results), states, "{results}");
        }
    }

    #[test]
    fn good_results_from_before_a_silence_do_not_end_it() {
        let policy = Policy { recover_attempts: 2, ..Policy::default() };
        let mut state = CheckState::default();
        let at = Timestamp::EPOCH;
        for _ in 0..5 {
            let _ = step(&policy, &mut state, Status::Ok, false, at);
        }
        let _ = confirm(&policy, &mut state, Status::Unknown, at);
        let mut hard = || {
            let _ = step(&policy, &mut state, Status::Ok, false, at);
            state.hard_status
        };
        assert_eq!([hard(), hard()], [Some(Status::Unknown), Some(Status::Ok)]);
    }
}
