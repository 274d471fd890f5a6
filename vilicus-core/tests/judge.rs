//! The judge as its callers see it: traces, a naive model written differently, and the contract of telling.
#![expect(clippy::unwrap_used, reason = "a test may")]

use proptest::prelude::*;
use vilicus_core::heartbeat::Signal;
use vilicus_core::judge::telling::{self, Look, Occasion, Surroundings};
use vilicus_core::judge::{self, Input, Verdict};
use vilicus_core::{
    ChannelId, CheckId, CheckResult, CheckState, Metric, Millis, NotificationEvent, Policy, Range, StateType,
    Status, Threshold, Timestamp,
};

const MINUTE: i64 = 60_000;

fn at(minute: usize) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + minute as i64 * MINUTE)
}

fn phone() -> ChannelId {
    ChannelId::new(1).unwrap()
}

fn status_of(letter: &str) -> Status {
    match letter {
        "O" => Status::Ok,
        "W" => Status::Warning,
        "U" => Status::Unknown,
        "C" => Status::Critical,
        other => panic!("no status {other}"),
    }
}

fn report(policy: &Policy, state: &mut CheckState, status: Status, minute: usize) -> (Verdict, String) {
    let result = CheckResult::new(status, "as it is");
    let verdict =
        judge::judge(policy, state, Input::Result { result: &result, timestamp: at(minute) }, at(minute));
    let again = verdict.judged && status.is_problem();
    let look = look(policy, state, at(minute), Occasion { fresh: true, again, traced: false });
    let letter = match look.tells.as_slice() {
        [] => "·",
        [tell] if tell.event == NotificationEvent::Problem => "P",
        [tell] if tell.event == NotificationEvent::Recovery => "R",
        [tell] if tell.event == NotificationEvent::Flapping => "F",
        other => panic!("told twice: {other:?}"),
    };
    (verdict, letter.to_owned())
}

fn look(policy: &Policy, state: &mut CheckState, now: Timestamp, occasion: Occasion) -> Look {
    let check = CheckId::new(1).unwrap();
    telling::look(&Surroundings::alone(check, policy, &[phone()], now), state, occasion)
}

fn trace(policy: &Policy, results: &str) -> String {
    let mut state = CheckState::default();
    let told = |(minute, letter): (usize, &str)| report(policy, &mut state, status_of(letter), minute).1;
    results.split(' ').enumerate().map(told).collect::<Vec<_>>().join(" ")
}

#[test]
fn people_are_told_as_the_traces_say() {
    let three = Policy::default();
    let one = Policy::default().max_attempts(1);
    let mut volatile = Policy::default();
    volatile.volatile = true;
    for (policy, results, told) in [
        (&three, "C C O", "· · ·"),
        (&three, "C C C C O", "· · P · R"),
        (&three, "W W C C W O", "· · P · P R"),
        (&three, "C C C W W C O", "· · P P · P R"),
        (&three, "U U U C O", "· · P P R"),
        (&three, "C O C O C O", "· · · · · ·"),
        (&one, "C O C O", "P R P R"),
        (&volatile, "C C C C O", "· · P P R"),
        (&one, "C O C O C O C O C", "P R P R P · F · ·"),
    ] {
        assert_eq!(trace(policy, results), told, "{results}");
    }
}

#[test]
fn a_mute_delays_the_problem_and_never_the_recovery() {
    let mut policy = Policy::default().max_attempts(1);
    let mut state = CheckState::default();
    policy.notifications = false;
    assert_eq!(report(&policy, &mut state, Status::Critical, 0).1, "·");
    policy.notifications = true;
    assert_eq!(report(&policy, &mut state, Status::Critical, 1).1, "P", "still true when the mute ends");
    policy.notifications = false;
    assert_eq!(report(&policy, &mut state, Status::Ok, 2).1, "R", "whoever was told hears of the end");
    assert_eq!(report(&policy, &mut state, Status::Critical, 3).1, "·");
    assert_eq!(report(&policy, &mut state, Status::Ok, 4).1, "·", "whoever was not told hears nothing");
}

#[test]
fn silence_is_hard_at_once_and_is_no_result() {
    let policy = Policy::default();
    let mut state = CheckState::default();
    let _ = report(&policy, &mut state, Status::Ok, 0);
    let verdict = judge::judge(&policy, &mut state, Input::Stale { deadline: at(3) }, at(9));
    let change = verdict.change.unwrap();
    assert!(change.is_hard() && change.at == at(3) && change.to == Status::Unknown);
    assert_eq!((state.stale, state.last_result_at), (true, Some(at(0))));
    let (verdict, _) = report(&policy, &mut state, Status::Ok, 2);
    assert!(verdict.judged && !state.stale, "a result measured before the deadline counts all the same");
}

#[test]
fn a_repaired_clock_does_not_freeze_a_check() {
    let policy = Policy::default();
    let mut state = CheckState::default();
    let result = CheckResult::ok("fine");
    let far = at(1_000_000);
    let _ = judge::judge(&policy, &mut state, Input::Result { result: &result, timestamp: far }, at(0));
    let verdict =
        judge::judge(&policy, &mut state, Input::Result { result: &result, timestamp: at(1) }, at(1));
    assert!(verdict.judged);
}

/// What the rules say of a whole sequence, computed from the sequence as a whole and not step by step.
mod naive {
    use super::*;

    pub(super) fn hard_statuses(policy: &Policy, results: &[Status]) -> Vec<Option<Status>> {
        let mut hard: Vec<Option<Status>> = Vec::new();
        for end in 1..=results.len() {
            let before = hard.last().copied().flatten();
            let open = before.is_some_and(|status| status != Status::Ok);
            let now = results[end - 1];
            let recent = &results[end.saturating_sub(policy.within as usize)..end];
            let bad = recent.iter().filter(|status| **status != Status::Ok).count();
            let good = results[..end].iter().rev().take_while(|status| **status == Status::Ok).count();
            let confirmed = match (now, open) {
                (Status::Ok, true) => good >= policy.recover_attempts as usize,
                (Status::Ok, false) | (_, true) => true,
                (_, false) => bad >= policy.max_attempts as usize,
            };
            hard.push(if confirmed { Some(now) } else { before });
        }
        hard
    }
}

fn statuses() -> impl Strategy<Value = Vec<Status>> {
    proptest::collection::vec(proptest::sample::select(Status::ALL.to_vec()), 0..40)
}

fn policies() -> impl Strategy<Value = Policy> {
    (1..6_u32, 0..4_u32, 1..4_u32, any::<bool>()).prop_map(|(attempts, wider, recover, volatile)| {
        let mut policy = Policy::default().max_attempts(attempts);
        policy.within = attempts + wider;
        policy.recover_attempts = recover;
        policy.volatile = volatile;
        policy
    })
}

fn thresholds() -> impl Strategy<Value = Threshold> {
    let range = proptest::option::of(
        (-100.0..100.0_f64).prop_map(|end| format!("~:{end}").parse::<Range>().unwrap()),
    );
    let span = proptest::option::of((0..4_000_000_u64).prop_map(Millis::new));
    (range.clone(), range.clone(), range, span, 0.0..1.5_f64).prop_map(
        |(warning, critical, recover, span, coverage)| Threshold {
            warning,
            critical,
            recover,
            for_time: span,
            recover_for: span,
            min_coverage: coverage,
            ..Threshold::default()
        },
    )
}

proptest! {
    #[test]
    fn the_judge_agrees_with_the_naive_model(policy in policies(), results in statuses()) {
        let mut state = CheckState::default();
        for (minute, expected) in naive::hard_statuses(&policy, &results).into_iter().enumerate() {
            let _ = report(&policy, &mut state, results[minute], minute);
            prop_assert_eq!(state.hard_status, expected, "after result {}", minute + 1);
            prop_assert_eq!(state.status, Some(results[minute]));
            prop_assert_eq!(state.state_type == StateType::Hard, expected == Some(results[minute]));
        }
    }

    #[test]
    fn whoever_was_told_of_a_problem_is_told_of_its_end_once(policy in policies(), results in statuses(), mutes in any::<u64>()) {
        let (mut policy, mut state) = (policy, CheckState::default());
        let mut open = false;
        for (minute, status) in results.iter().enumerate() {
            policy.notifications = mutes >> (minute % 64) & 1 == 0;
            match report(&policy, &mut state, *status, minute).1.as_str() {
                "P" => open = true,
                "R" => prop_assert!(std::mem::replace(&mut open, false), "a recovery without a problem"),
                _ => {}
            }
            prop_assert_eq!(open, !state.told.is_empty());
            let waits = state.flapping.is_flapping();
            prop_assert!(!open || waits || state.has_hard_problem(), "told of a problem that is over");
        }
        prop_assert_eq!(telling::close(None, &mut state).len(), usize::from(open));
    }

    #[test]
    fn duplicates_and_late_results_never_move_a_state(policy in policies(), results in statuses(), repeats in proptest::collection::vec(0..40_usize, 0..40)) {
        let (mut plain, mut disturbed) = (CheckState::default(), CheckState::default());
        for (minute, status) in results.iter().enumerate() {
            let _ = report(&policy, &mut plain, *status, minute);
            let _ = report(&policy, &mut disturbed, *status, minute);
            for earlier in repeats.iter().filter(|earlier| **earlier <= minute) {
                let result = CheckResult::new(results[*earlier], "again");
                let input = Input::Result { result: &result, timestamp: at(*earlier) };
                let verdict = judge::judge(&policy, &mut disturbed, input, at(minute));
                prop_assert!(!verdict.judged && verdict.change.is_none());
            }
            prop_assert_eq!(&plain, &disturbed);
        }
    }

    #[test]
    fn no_input_panics_and_equal_inputs_judge_equally(
        threshold in thresholds(),
        samples in proptest::collection::vec((any::<i64>(), any::<f64>(), any::<i64>(), 0..4_u8), 0..60),
    ) {
        let mut policy = Policy::default().thresholds([("value*".to_owned(), threshold)].into());
        policy.within = 64;
        let (mut one, mut other) = (CheckState::default(), CheckState::default());
        for (moment, value, now, kind) in samples {
            let (moment, now) = (Timestamp::from_millis(moment), Timestamp::from_millis(now));
            let result = CheckResult::measured("").metric(Metric::new("value", value));
            let input = match kind {
                0 => Input::Stale { deadline: moment },
                1 => Input::Silent { deadline: moment },
                2 => Input::Contact { at: moment },
                _ => Input::Result { result: &result, timestamp: moment },
            };
            let verdict = judge::judge(&policy, &mut one, input, now);
            prop_assert_eq!(verdict, judge::judge(&policy, &mut other, input, now));
            prop_assert!(one.attempt <= policy.max_attempts);
            let _ = look(&policy, &mut one, now, Occasion { fresh: true, again: kind > 2, traced: true });
            other.clone_from(&one);
        }
    }
}

#[test]
fn a_run_that_failed_is_critical_whatever_its_words_say() {
    let judged = |signal, result: CheckResult| {
        let ping = Input::Ping { signal, rid: None, result: &result, at: at(1) };
        let verdict = judge::judge(&Policy::default(), &mut CheckState::default(), ping, at(1));
        (verdict.status, verdict.change.is_some_and(|change| change.is_hard()))
    };
    for (signal, result, status) in [
        (Signal::Fail, CheckResult::ok("nothing done"), Status::Critical),
        (Signal::Exit(3), CheckResult::measured(""), Status::Critical),
        (Signal::Fail, CheckResult::warning("half done"), Status::Warning),
        (Signal::Exit(0), CheckResult::measured("done"), Status::Ok),
    ] {
        assert_eq!(judged(signal, result), (status, true), "{signal:?}");
    }
}
