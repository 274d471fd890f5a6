//! Many at once: every commit is whole, every answer is right.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use vilicus_core::{CheckId, Status, Timestamp};

use super::Harness;
use super::fixture::{Fixture, at, check, create};
use crate::store::{Change, Outcome, Store};

const WRITERS: usize = 8;
const ROUNDS: i64 = 50;

pub(crate) async fn run<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    commits_at_once_are_all_kept(harness).await;
    one_of_two_equal_results_stands(harness).await;
}

async fn commits_at_once_are_all_kept<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let mut tasks = Vec::new();
    for number in 0..WRITERS {
        let id =
            create(&world.store, Change::CreateCheck(Box::new(check(world.agent, &format!("c-{number}")))))
                .await;
        let one = Fixture { check: CheckId::new(id).unwrap(), ..world.clone() };
        tasks.push(tokio::spawn(async move {
            for round in 0..ROUNDS {
                let inputs =
                    vec![one.result(round * 2, Status::Ok), one.result(round * 2 + 1, Status::Warning)];
                let outcomes = one.store.commit(at(round), inputs).await.unwrap();
                assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. })));
            }
            one
        }));
    }
    for task in tasks {
        let one = task.await.expect("a writer ends well");
        assert_eq!(one.history().await.len(), ROUNDS as usize * 2);
        let view = one.store.check(one.check).await.unwrap().unwrap();
        assert_eq!(view.state.last_result_at, Some(at(ROUNDS * 2 - 1)));
    }
}

async fn one_of_two_equal_results_stands<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let tasks: Vec<_> = (0..WRITERS)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { world.report(1, Status::Critical).await })
        })
        .collect();
    let mut accepted = 0;
    for task in tasks {
        accepted += usize::from(matches!(task.await.expect("a writer ends well"), Outcome::Accepted { .. }));
    }
    assert_eq!(accepted, 1);
    assert_eq!(world.messages().await.len(), 1);
}
