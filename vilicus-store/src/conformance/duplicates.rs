//! A result is known by its check and moment: sent again it changes nothing, late it turns no state back.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use vilicus_core::{CheckResult, Status, Timestamp};

use super::Harness;
use super::fixture::at;
use crate::store::{Input, Outcome, Store};

pub(crate) async fn run<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    the_first_one_stands(harness).await;
    duplicates_are_known_after_long(harness).await;
    late_results_turn_nothing_back(harness).await;
    a_missing_moment_is_the_next_free_one(harness).await;
}

async fn the_first_one_stands<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    world.report(1, Status::Ok).await;
    let again = world.report(1, Status::Ok).await;
    assert_eq!(again, Outcome::Duplicate { timestamp: at(1), identical: true });
    let other = world.report(1, Status::Critical).await;
    assert_eq!(other, Outcome::Duplicate { timestamp: at(1), identical: false });
    let in_one = vec![world.result(2, Status::Ok), world.result(2, Status::Ok)];
    let outcomes = world.store.commit(at(2), in_one).await.unwrap();
    assert!(matches!(outcomes[1], Outcome::Duplicate { identical: true, .. }), "also within one commit");
    let rows = world.history().await;
    assert_eq!(
        rows.iter().map(|row| (row.timestamp, row.status)).collect::<Vec<_>>(),
        [(at(1), Status::Ok), (at(2), Status::Ok)]
    );
}

async fn duplicates_are_known_after_long<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let batch: Vec<Input> = (0..1000).map(|second| world.result(second, Status::Ok)).collect();
    world.store.commit(at(1000), batch.clone()).await.unwrap();
    world.store.maintain(at(1000)).await.unwrap();
    let outcomes = world.store.commit(at(1001), batch).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Duplicate { identical: true, .. })));
    assert_eq!(world.history().await.len(), 1000);
}

async fn late_results_turn_nothing_back<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    world.report(100, Status::Ok).await;
    let late = world.commit(101, world.result(50, Status::Critical)).await;
    assert!(matches!(late, Outcome::Accepted { status: Status::Critical, .. }));
    let view = world.store.check(world.check).await.unwrap().unwrap();
    assert_eq!((view.state.status, view.state.last_result_at), (Some(Status::Ok), Some(at(100))));
    assert_eq!(view.last.unwrap().output, "OK at 100");
    assert!(world.messages().await.is_empty());
    let rows = world.history().await;
    assert_eq!(rows.iter().map(|row| row.timestamp).collect::<Vec<_>>(), [at(50), at(100)]);
}

async fn a_missing_moment_is_the_next_free_one<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let inputs = (0..3).map(|_| Input::Result { check: world.check, result: CheckResult::ok("now") });
    let outcomes = world.store.commit(at(5), inputs.collect()).await.unwrap();
    let moments: Vec<i64> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Accepted { timestamp, .. } => timestamp.as_millis() - at(5).as_millis(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(moments, [0, 1, 2]);
}
