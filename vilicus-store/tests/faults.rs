//! A disk that fails: no panic, no answer that does not hold, and work again when the fault clears.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::sync::Arc;
use std::time::Duration;

use vilicus_core::{Millis, Status, Timestamp};
use vilicus_store::conformance::{Fault, FaultyEngine, Fixture, NOON, When};
use vilicus_store::query::{HistoryRow, NotificationQuery, Order};
use vilicus_store::{EngineStore, Input, MemoryEngine, Options, Outcome, Store, StoreError};

type Engine = Arc<FaultyEngine<Arc<MemoryEngine>>>;

fn open(engine: &Engine) -> Arc<dyn Store> {
    Arc::new(EngineStore::open(Arc::clone(engine), Options::new(NOON, [7; 16])).unwrap())
}

fn at(second: i64) -> Timestamp {
    NOON.after(Millis::from_secs(second as u64))
}

/// Commits until it passes; says how often it was refused. Fails when an answer is anything but 'try again'.
async fn insist(world: &Fixture, second: i64, status: Status) -> u32 {
    for refused in 0..200 {
        match world.store.commit(at(second), vec![world.result(second, status)]).await {
            Ok(outcomes) => {
                // Written, and the answer lost: then the same result is known already.
                assert!(matches!(
                    outcomes[0],
                    Outcome::Accepted { .. } | Outcome::Duplicate { identical: true, .. }
                ));
                return refused;
            }
            Err(StoreError::Unwritable { .. } | StoreError::Busy { .. }) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("second {second} never passed");
}

const SECONDS: i64 = 14;

fn status_at(second: i64) -> Status {
    if (second / 3) % 2 == 0 { Status::Ok } else { Status::Critical }
}

#[derive(Debug, PartialEq)]
struct Seen {
    history: Vec<HistoryRow>,
    state: String,
    told: Vec<Vec<String>>,
}

async fn seen(world: &Fixture) -> Seen {
    let view = world.store.check(world.check).await.unwrap().unwrap();
    let query = NotificationQuery { limit: 1000, order: Order::OldestFirst, ..NotificationQuery::default() };
    let rows = world.store.notifications(&query).await.unwrap();
    let told = rows.iter().map(|row| row.items.iter().map(|item| item.title()).collect()).collect();
    Seen {
        history: world.history().await,
        state: format!("{:?} {:?} {:?}", view.state.status, view.state.since, view.state.hard_status),
        told,
    }
}

/// The whole scenario, with a fault planned for it. Says what is seen at the end, and how many writes failed.
async fn scenario(fault: Option<(Fault, When)>) -> (Seen, u64) {
    let engine: Engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let world = Fixture::new(open(&engine)).await;
    if let Some((fault, when)) = fault {
        engine.fail(fault, when);
    }
    for second in 1..SECONDS {
        insist(&world, second, status_at(second)).await;
        if second % 5 == 0 {
            let _ = world.store.maintain(at(second)).await;
        }
    }
    let failures = engine.mend();
    let live = seen(&world).await;
    let ids = world.end();
    let again = ids.found_in(open(&engine));
    assert_eq!(seen(&again).await, live, "what was answered is there again: {fault:?}");
    (live, failures)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_single_write_may_fail() {
    let (untouched, _) = scenario(None).await;
    for fault in [Fault::Io, Fault::IoAfterwards, Fault::Full] {
        for number in 1.. {
            let (seen, failures) = scenario(Some((fault, When::Once(number)))).await;
            assert_eq!(seen.history, untouched.history, "{fault:?} {number}");
            assert_eq!(seen.state, untouched.state, "{fault:?} {number}");
            if failures == 0 {
                assert_eq!(seen, untouched);
                assert!(number > 10, "the scenario writes more than that");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_lasts_refuses_everything_and_reads_go_on() {
    for fault in [Fault::Io, Fault::Full] {
        let engine: Engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
        let world = Fixture::new(open(&engine)).await;
        world.report(1, Status::Critical).await;
        engine.fail(fault, When::From(1));
        for second in 2..5 {
            let answer = world.store.commit(at(second), vec![world.result(second, Status::Ok)]).await;
            let retry_after = answer.unwrap_err().retry_after();
            assert!(retry_after.is_some_and(|span| span > Millis::ZERO));
        }
        let health = world.store.health().await;
        assert!(!health.writable && health.fault.is_some(), "{health:?}");
        let view = world.store.check(world.check).await.unwrap().unwrap();
        assert_eq!(view.state.status, Some(Status::Critical), "what was refused is not seen");
        assert_eq!(world.history().await.len(), 1);
        assert_eq!(world.messages().await.len(), 1);
        engine.mend();
        insist_for_long(&world, 6).await;
        assert!(world.store.health().await.writable);
        assert_eq!(world.history().await.len(), 2);
    }
}

async fn insist_for_long(world: &Fixture, second: i64) {
    for _ in 0..1000 {
        if world.store.commit(at(second), vec![world.result(second, Status::Ok)]).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never recovered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_stays_broken_is_for_the_service_manager_and_a_full_one_is_not() {
    for (fault, fatal) in [(Fault::Io, true), (Fault::Full, false)] {
        let engine: Engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
        let world = Fixture::new(open(&engine)).await;
        engine.fail(fault, When::From(1));
        let _ = world.store.commit(at(1), vec![world.result(1, Status::Ok)]).await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(8);
        while !world.store.health().await.fatal && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(world.store.health().await.fatal, fatal, "{fault:?}");
    }
}

#[tokio::test]
async fn a_dropped_commit_is_whole_or_nothing() {
    let engine: Engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let world = Fixture::new(open(&engine)).await;
    let inputs: Vec<Input> = (1..50).map(|second| world.result(second, Status::Ok)).collect();
    let commit = world.store.commit(at(50), inputs);
    let _ = tokio::time::timeout(Duration::ZERO, commit).await;
    world.report(60, Status::Ok).await;
    assert!(matches!(world.history().await.len(), 1 | 50));
}
