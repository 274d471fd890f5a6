//! What is no news costs no memory: the judge allocates nothing for a result that changes nothing.

use std::num::NonZeroU64;

use vilicus_core::judge::telling::{self, Occasion, Surroundings};
use vilicus_core::judge::{self, Input};
use vilicus_core::{
    ChannelId, CheckId, CheckResult, CheckState, Metric, Policy, Status, Threshold, Timestamp,
};

/// The allocations of so many equal results, after enough of them to make the state a steady one.
fn allocations(policy: &Policy, status: Status) -> u64 {
    let channels = [ChannelId::from(NonZeroU64::MIN)];
    let result = CheckResult::new(status, "as before").metric(Metric::percent("usage", 12.5));
    let mut state = CheckState::default();
    let mut second = 0;
    let mut judge_some = |count| {
        for _ in 0..count {
            second += 60;
            let at = Timestamp::from_millis(second * 1000);
            let verdict =
                judge::judge(policy, &mut state, Input::Result { result: &result, timestamp: at }, at);
            assert!(verdict.judged);
            if verdict.change.is_some() || !telling::is_settled(policy, &state, at) {
                let check = CheckId::from(NonZeroU64::MIN);
                let around = Surroundings::alone(check, policy, &channels, at);
                let occasion = Occasion { fresh: true, ..Occasion::default() };
                let _ = telling::look(&around, &mut state, occasion);
            }
        }
    };
    judge_some(100);
    allocation_counter::measure(|| judge_some(1000)).count_total
}

#[test]
fn a_result_that_is_no_news_allocates_nothing() {
    let threshold = |text: &str| Threshold { critical: text.parse().ok(), ..Threshold::default() };
    let plain = Policy::default();
    let judged = Policy::default().thresholds([("usage".to_owned(), threshold("90"))].into());
    for policy in [&plain, &judged] {
        assert_eq!(allocations(policy, Status::Ok), 0, "OK");
        assert_eq!(allocations(policy, Status::Critical), 0, "a problem that was told");
    }
}

#[test]
fn the_counter_counts() {
    assert!(allocation_counter::measure(|| drop(std::hint::black_box(vec![7]))).count_total > 0);
}
