//! Bits that turn on disk: the store opens and says what is missing, or refuses clearly. Never a panic, and never a
//! wrong state in silence.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::sync::Arc;

use proptest::prelude::*;
use vilicus_core::{Millis, Status};
use vilicus_store::conformance::{Fixture, Ids, NOON};
use vilicus_store::engine::{Durability, Scan, Write};
use vilicus_store::{Engine, EngineStore, MemoryEngine, Options, Store, StoreError};

const RESULTS: i64 = 400;

/// Every value of an engine, with its place.
fn values(engine: &MemoryEngine) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let all = Scan { limit: usize::MAX, ..Scan::default() };
    let of = |partition: String| {
        let entries = engine.scan(&partition, &all).unwrap();
        entries.into_iter().map(move |(key, value)| (partition.clone(), key, value))
    };
    engine.partitions().unwrap().into_iter().flat_map(of).collect()
}

fn write(engine: &MemoryEngine, partition: &str, write: Write) {
    engine.write(partition, vec![write], Durability::Power).unwrap();
}

/// A store with history, events, messages, a checkpoint and a journal behind it.
async fn filled() -> (Arc<MemoryEngine>, Ids) {
    let engine = Arc::new(MemoryEngine::new());
    let store = EngineStore::open(Arc::clone(&engine), Options::new(NOON, [7; 16])).unwrap();
    let world = Fixture::new(Arc::new(store)).await;
    for second in 0..RESULTS {
        world.report(second, Status::ALL[(second / 100) as usize % 4]).await;
        if second == RESULTS / 2 {
            world.deliver(second).await;
            world.store.maintain(NOON).await.unwrap();
        }
    }
    (engine, world.end())
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip(u8),
    Cut,
    Zero,
    Gone,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (1..=255_u8).prop_map(Damage::Flip),
        Just(Damage::Cut),
        Just(Damage::Zero),
        Just(Damage::Gone)
    ]
}

async fn state_of(world: &Fixture) -> String {
    format!("{:?}", world.store.check(world.check).await.unwrap())
}

async fn meet(damage: Damage, place: prop::sample::Index, byte: prop::sample::Index) {
    let (engine, ids) = filled().await;
    let whole = {
        let store = EngineStore::open(Arc::clone(&engine), Options::new(NOON, [7; 16])).unwrap();
        state_of(&ids.found_in(Arc::new(store))).await
    };
    let values = values(&engine);
    let (partition, key, value) = place.get(&values);
    if value.is_empty() {
        return;
    }
    let mut changed = value.clone();
    let at = byte.index(changed.len());
    match damage {
        Damage::Flip(bits) => changed[at] ^= bits,
        Damage::Cut => changed.truncate(at),
        Damage::Zero => changed[at..].fill(0),
        Damage::Gone => changed.clear(),
    }
    let gone = matches!(damage, Damage::Gone);
    let is_changed = gone || changed != *value;
    write(&engine, partition, (key.clone(), (!gone).then_some(changed)));
    match EngineStore::open(Arc::clone(&engine), Options::new(NOON.after(Millis::from_secs(1)), [7; 16])) {
        Err(StoreError::Corrupt { .. }) => assert!(is_changed),
        Err(other) => panic!("{other:?}"),
        Ok(store) => {
            let store: Arc<dyn Store> = Arc::new(store);
            let world = ids.found_in(Arc::clone(&store));
            let rows = world.history().await.len();
            world.messages().await;
            let quarantined = store.health().await.quarantined;
            let last_is_gone = gone && partition.starts_with("journal-");
            if is_changed && !last_is_gone && !gone && partition.starts_with("history-") {
                assert!(
                    quarantined > 0 && rows < RESULTS as usize,
                    "{partition}: what is missing is counted"
                );
            }
            if quarantined == 0 && !last_is_gone {
                assert_eq!(state_of(&world).await, whole, "{partition}: no wrong state in silence");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn damage_is_refused_or_counted(damage in damage(), place: prop::sample::Index, byte: prop::sample::Index) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(meet(damage, place, byte));
    }
}
