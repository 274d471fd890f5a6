//! The engine that keeps everything in memory: for tests, and for programs that need no yesterday.
//!
//! What is written lives as long as the engine does: clone the `Arc` that holds it, and a store that is opened over
//! it again finds everything.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::engine::{Durability, Engine, EngineError, Entry, Scan, Write};

type Partition = BTreeMap<Vec<u8>, Vec<u8>>;

/// An [`Engine`] of ordered maps.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    partitions: RwLock<BTreeMap<String, Partition>>,
}

impl MemoryEngine {
    /// An empty engine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // A panic of another thread can't leave a map in between: each write is a few inserts that don't panic.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Partition>> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Partition>> {
        self.partitions.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for MemoryEngine {
    fn write(&self, partition: &str, writes: Vec<Write>, _: Durability) -> Result<(), EngineError> {
        let mut partitions = self.write_lock();
        let entries = partitions.entry(partition.to_owned()).or_default();
        for (key, value) in writes {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
        Ok(())
    }

    fn get(&self, partition: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.read().get(partition).and_then(|entries| entries.get(key).cloned()))
    }

    fn scan(&self, partition: &str, scan: &Scan) -> Result<Vec<Entry>, EngineError> {
        Ok(self.read().get(partition).map(|entries| scan.of(entries)).unwrap_or_default())
    }

    fn partitions(&self) -> Result<Vec<String>, EngineError> {
        Ok(self.read().keys().cloned().collect())
    }

    fn drop_partition(&self, partition: &str) -> Result<(), EngineError> {
        self.write_lock().remove(partition);
        Ok(())
    }

    fn reopen(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn size(&self) -> Result<u64, EngineError> {
        Ok(0)
    }

    fn max_value(&self) -> usize {
        64 * 1024
    }
}
