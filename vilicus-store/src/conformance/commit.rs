//! The one unit of work: all inputs or none, judged in order.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use vilicus_core::event::Happening;
use vilicus_core::{StateType, Status, Timestamp};

use super::Harness;
use super::fixture::{agent, at, change};
use crate::error::{Refusal, StoreError};
use crate::inventory::CheckSettings;
use crate::query::{AgentFilter, AgentState, EventQuery, Order, Page};
use crate::store::{Change, Input, Outcome, Sequence, Store};

pub(crate) async fn run<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    results_are_judged_in_order(harness).await;
    a_refused_change_leaves_no_trace(harness).await;
    unknown_checks_cost_no_others(harness).await;
    silence_is_judged_once(harness).await;
    soft_problems_are_retried(harness).await;
    commits_are_announced(harness).await;
}

async fn results_are_judged_in_order<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let inputs = vec![
        world.result(1, Status::Ok),
        world.result(2, Status::Critical),
        world.result(3, Status::Warning),
    ];
    let outcomes = world.store.commit(at(3), inputs).await.unwrap();
    assert_eq!(outcomes.len(), 3, "one outcome an input");
    let view = world.store.check(world.check).await.unwrap().unwrap();
    assert_eq!((view.state.status, view.state.since), (Some(Status::Warning), Some(at(3))));
    assert_eq!(view.last.unwrap().output, "WARNING at 3");
    let query = EventQuery {
        checks: vec![world.check],
        order: Order::OldestFirst,
        limit: 100,
        ..EventQuery::default()
    };
    let events = world.store.events(&query).await.unwrap();
    let changes: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.what {
            Happening::State { change, .. } => Some((change.to, event.at)),
            _ => None,
        })
        .collect();
    let expected = [(Status::Ok, at(1)), (Status::Critical, at(2)), (Status::Warning, at(3))];
    assert_eq!(changes, expected, "each change is one event, at the moment of its result");
}

async fn a_refused_change_leaves_no_trace<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let inputs = vec![
        world.result(1, Status::Critical),
        change(Change::CreateAgent(Box::new(agent("new")))),
        change(Change::CreateAgent(Box::new(agent("web-1")))),
    ];
    match world.store.commit(at(1), inputs).await {
        Err(StoreError::Refused { index: 2, refusal: Refusal::Taken { field: "name", .. } }) => {}
        other => panic!("a name that is taken is refused, with its place: {other:?}"),
    }
    assert!(world.history().await.is_empty(), "nothing of a refused commit is kept");
    assert!(world.messages().await.is_empty(), "nothing of a refused commit is told");
    let agents = world.store.agents(&AgentFilter::default(), Page::ALL).await.unwrap();
    assert_eq!(agents.total, 1);
    assert_eq!(world.store.check(world.check).await.unwrap().unwrap().state.status, None);
    world.report(2, Status::Ok).await;
    assert_eq!(world.history().await.len(), 1);
}

async fn unknown_checks_cost_no_others<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let unknown = vilicus_core::CheckId::new(999).unwrap();
    let result = vilicus_core::CheckResult::ok("x").at(at(1));
    let inputs = vec![Input::Result { check: unknown, result }, world.result(1, Status::Ok)];
    let outcomes = world.store.commit(at(1), inputs).await.unwrap();
    assert_eq!(outcomes[0], Outcome::UnknownCheck);
    assert!(matches!(outcomes[1], Outcome::Accepted { status: Status::Ok, .. }));
    let old = world.commit(40 * 86_400, world.result(1, Status::Ok)).await;
    assert!(matches!(old, Outcome::TooOld | Outcome::Duplicate { .. }), "{old:?}");
}

async fn silence_is_judged_once<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let state = async || world.store.agent(world.agent).await.unwrap().unwrap().state;
    assert_eq!(state().await, AgentState::Pending);
    world.commit(1, Input::Delivered { checks: vec![world.check] }).await;
    world.report(1, Status::Ok).await;
    assert_eq!(state().await, AgentState::Up, "results are contact");
    for second in (2..3600).step_by(10) {
        world.commit(second, Input::Deadlines).await;
    }
    assert_eq!(state().await, AgentState::Down);
    let view = world.store.check(world.check).await.unwrap().unwrap();
    assert_eq!(view.state.status, Some(Status::Ok), "the silence of a host is not that of its checks");
    assert!(view.unreachable);
    assert_eq!(world.messages().await.len(), 1, "one message, not one a check");
    world.commit(3600, Input::Contact { agent: world.agent }).await;
    assert_eq!(state().await, AgentState::Up);
    for second in (3610..4200).step_by(10) {
        world.commit(second, Input::Contact { agent: world.agent }).await;
        world.commit(second, Input::Deadlines).await;
    }
    let view = world.store.check(world.check).await.unwrap().unwrap();
    assert!(view.state.stale, "the agent is in contact, and the check is not");
    assert_eq!(view.state.status, Some(Status::Unknown));
}

async fn soft_problems_are_retried<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let mut check = super::fixture::check(world.agent, "disk");
    check.id = world.check;
    check.settings = CheckSettings { max_attempts: 3, ..CheckSettings::default() };
    world.commit(0, change(Change::UpdateCheck(Box::new(check)))).await;
    let outcome = world.report(1, Status::Critical).await;
    assert!(matches!(outcome, Outcome::Accepted { retry_in: Some(_), .. }), "{outcome:?}");
    let view = world.store.check(world.check).await.unwrap().unwrap();
    assert_eq!((view.state.state_type, view.state.attempt), (StateType::Soft, 1));
    let runs = world.store.runs(world.agent, at(1)).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.check).collect::<Vec<_>>(), [world.check]);
    assert!(world.messages().await.is_empty(), "nobody hears of a soft problem");
    world.report(2, Status::Ok).await;
    world.commit(2, Input::RunNow { check: world.check }).await;
    assert_eq!(world.store.runs(world.agent, at(2)).await.unwrap().len(), 1, "someone wants it to run");
    world.report(3, Status::Ok).await;
    assert!(world.store.runs(world.agent, at(3)).await.unwrap().is_empty());
}

async fn commits_are_announced<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let seen = world.store.changed(Sequence::START).await;
    world.report(1, Status::Ok).await;
    assert!(world.store.changed(seen).await > seen);
}
