//! What one decision costs. The limit: under 100 ns for an unchanged OK result, under 1 µs for a transition.
//!
//! `cargo run --release -p vilicus-benches --bin judge`

use std::hint::black_box;
use std::num::NonZeroU64;

use vilicus_benches::measure;
use vilicus_core::judge::telling::{self, Occasion, Surroundings};
use vilicus_core::judge::{self, Input};
use vilicus_core::route::Operator;
use vilicus_core::{
    ChannelId, CheckId, CheckResult, CheckState, Matcher, Metric, Policy, Route, RouteId, Status, Threshold,
    Timestamp,
};

const DECISIONS: u64 = 5_000_000;

fn main() {
    let threshold = Threshold { critical: "90".parse().ok(), ..Threshold::default() };
    let plain = Policy::default();
    let with_threshold = Policy::default().thresholds([("usage".to_owned(), threshold)].into());
    let ok = CheckResult::ok("fine").metric(Metric::percent("usage", 12.5));
    let flipping = |n: u64| if n.is_multiple_of(2) { Status::Critical } else { Status::Ok };

    measure("unchanged OK", DECISIONS, decide(&plain, |_| Status::Ok, &ok, None));
    measure("unchanged OK, one threshold", DECISIONS, decide(&with_threshold, |_| Status::Ok, &ok, None));
    // One that changes each time would flap, and then nothing is told.
    let mut each = plain.max_attempts(1);
    each.flap_detection = false;
    measure("transition, told each time", DECISIONS, decide(&each, flipping, &ok, None));
    for count in [3, 20] {
        let (name, routes) = (format!("transition through {count} routes"), routes(count));
        measure(&name, DECISIONS, decide(&each, flipping, &ok, Some(&routes)));
    }
}

/// Routes of which only the last leads anywhere.
fn routes(count: u64) -> Vec<Route> {
    let matcher = |name: &str, value: &str| Matcher::new(name, Operator::Equal, value).ok();
    let route = |number: u64| Route {
        matchers: matcher("tag", if number == count { "web" } else { "other" }).into_iter().collect(),
        channels: ChannelId::new(1).into_iter().collect(),
        group_by: vec!["agent".to_owned()],
        ..Route::new(RouteId::new(number).unwrap_or(RouteId::from(NonZeroU64::MIN)), "team")
    };
    (1..=count).map(route).collect()
}

/// One decision with telling; the statuses come from `status`.
fn decide(
    policy: &Policy,
    status: impl Fn(u64) -> Status,
    result: &CheckResult,
    routes: Option<&[Route]>,
) -> impl FnMut(u64) {
    let (policy, mut result) = (policy.clone(), result.clone());
    let tags = ["web".to_owned()];
    let channels: Vec<ChannelId> = ChannelId::new(1).into_iter().collect();
    let check = CheckId::from(NonZeroU64::MIN);
    let mut state = CheckState::default();
    move |n| {
        result.status = Some(status(n));
        let at = Timestamp::from_millis(n as i64 * 1000);
        let input = Input::Result { result: &result, timestamp: at };
        let verdict = judge::judge(&policy, &mut state, black_box(input), at);
        if verdict.change.is_some() || !telling::is_settled(&policy, &state, at) {
            let mut around = Surroundings { routes, ..Surroundings::alone(check, &policy, &channels, at) };
            around.labels.agent_tags = &tags;
            black_box(telling::look(&around, &mut state, Occasion { fresh: true, ..Occasion::default() }));
        }
    }
}
