//! Our own engines and stores keep what the traits promise: all of it, every time.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use vilicus_core::Timestamp;
use vilicus_store::engine::Durability;
use vilicus_store::{EngineStore, MemoryEngine, Options, SledEngine, Store, conformance};

/// Memory engines by place: what a disk would be.
#[derive(Default)]
struct Places(Mutex<HashMap<PathBuf, Arc<MemoryEngine>>>);

impl Places {
    fn engine(&self, place: &Path) -> Arc<MemoryEngine> {
        Arc::clone(self.0.lock().unwrap().entry(place.to_owned()).or_default())
    }
}

fn options(now: Timestamp, durability: Durability) -> Options {
    Options::new(now, [7; 16]).durability(durability)
}

fn sled_store(place: &Path, now: Timestamp, durability: Durability) -> Arc<dyn Store> {
    let engine = SledEngine::open(place).unwrap();
    Arc::new(EngineStore::open(engine, options(now, durability)).unwrap())
}

#[test]
fn the_memory_engine_keeps_its_promises() {
    conformance::volatile_engine(MemoryEngine::new);
    let places = Places::default();
    conformance::engine(|place| places.engine(place));
}

#[test]
fn the_sled_engine_keeps_its_promises() {
    conformance::engine(|place| SledEngine::open(place).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_keeps_its_promises() {
    let places = Places::default();
    conformance::store(async |place, now| {
        let store = EngineStore::open(places.engine(&place), options(now, Durability::Power)).unwrap();
        Arc::new(store) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sled_store_that_survives_loss_of_power_keeps_its_promises() {
    conformance::store(async |place, now| sled_store(&place, now, Durability::Power)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sled_store_that_survives_the_process_keeps_its_promises() {
    conformance::store(async |place, now| sled_store(&place, now, Durability::Process)).await;
}
