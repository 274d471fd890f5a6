//! Under load: no blobs, bounded memory, and everything there again.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use vilicus_core::{CheckId, CheckResult, Metric, Millis, Status, Timestamp};
use vilicus_store::conformance::{Fixture, NOON};
use vilicus_store::engine::Durability;
use vilicus_store::{Change, EngineStore, Input, Options, Outcome, SledEngine, Store};

const CHECKS: u64 = 200;
const ROUNDS: u64 = 150;

fn open(place: &Path, now: Timestamp) -> Arc<dyn Store> {
    let engine = SledEngine::open(place).unwrap();
    let options = Options::new(now, [7; 16]).durability(Durability::Process);
    Arc::new(EngineStore::open(engine, options).unwrap())
}

/// The resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Files under any `blobs` folder: sled never syncs these.
fn blobs(place: &Path) -> usize {
    let partitions = fs::read_dir(place).unwrap().filter_map(Result::ok);
    partitions.filter_map(|entry| fs::read_dir(entry.path().join("blobs")).ok()).map(Iterator::count).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_thousand_results_leave_no_blobs_and_little_memory() {
    let place = tempfile::tempdir().unwrap();
    let world = Fixture::new(open(place.path(), NOON)).await;
    let mut checks = Vec::new();
    let template = world.store.check(world.check).await.unwrap().unwrap().check;
    for number in 0..CHECKS {
        let mut check = (*template).clone();
        check.name = format!("check-{number}");
        let change = Change::CreateCheck(Box::new(check));
        match world.commit(0, Input::Change { change, by: "trial".to_owned() }).await {
            Outcome::Id(id) => checks.push(CheckId::new(id).unwrap()),
            other => panic!("{other:?}"),
        }
    }
    let before = resident();
    for round in 0..ROUNDS {
        let at = NOON.after(Millis::from_minutes(round));
        let inputs = checks.iter().map(|check| {
            let value = ((check.get() * 7 + round * 13) % 1000) as f64 / 10.0;
            let result = CheckResult::new(Status::Ok, format!("usage is {value}%"))
                .metric(Metric::percent("usage_percent", value))
                .at(at);
            Input::Result { check: *check, result }
        });
        world.store.commit(at, inputs.collect()).await.unwrap();
        if round == ROUNDS / 2 {
            world.store.maintain(at).await.unwrap();
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 200 << 20, "memory grew by {} MiB", grown >> 20);
    assert_eq!(blobs(place.path()), 0);
    let one = Fixture { check: checks[7], ..world.clone() };
    let live = one.history().await;
    assert_eq!(live.len(), ROUNDS as usize);
    let ids = one.end();
    drop(world);
    let again = ids.found_in(open(place.path(), NOON.after(Millis::from_minutes(ROUNDS))));
    assert_eq!(again.history().await, live);
    again.store.close().await.unwrap();
    assert_eq!(blobs(place.path()), 0);
}
