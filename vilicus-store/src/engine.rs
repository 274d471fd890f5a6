//! The open trait `Engine`: an embedded key-value engine under a store.
//!
//! Bring one of your own by these methods; everything else (journal, checkpoints, history, outbox) is written once
//! over it. Methods block; the store calls them from threads of its own. Deliberately absent: transactions over
//! more than one partition, and any meaning of keys or values.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

/// One write: a key, and its new value or `None` to remove it.
pub type Write = (Vec<u8>, Option<Vec<u8>>);
/// One entry: a key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// How much a write survives when the call has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Loss of power.
    #[default]
    Power,
    /// The end of the process, however sudden.
    Process,
}

/// A part of a partition, in the order of keys: `[start, end)`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scan {
    /// The first key that may be returned.
    pub start: Vec<u8>,
    /// The first key that is too large; `None` for no end.
    pub end: Option<Vec<u8>>,
    /// Whether the largest key comes first.
    pub reverse: bool,
    /// At most so many entries.
    pub limit: usize,
}

impl Scan {
    /// This part of entries that are all in memory.
    pub(crate) fn of(&self, entries: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<Entry> {
        if self.end.as_ref().is_some_and(|end| *end <= self.start) {
            return Vec::new();
        }
        let end = self.end.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let range = entries.range::<Vec<u8>, _>((Bound::Included(&self.start), end));
        let owned = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        if self.reverse {
            range.rev().take(self.limit).map(owned).collect()
        } else {
            range.take(self.limit).map(owned).collect()
        }
    }
}

/// An embedded key-value engine.
///
/// Keys and values are bytes, grouped in *partitions*, each of which can be dropped whole and gives its space back
/// then. Names of partitions are lower case letters, digits, `-` and `.`, at most 64 bytes. A partition comes into
/// being by its first write. Values are at most [`max_value`](Engine::max_value) bytes, keys at most 64 bytes.
///
/// The suite `conformance::engine`, behind the feature `conformance`, proves an implementation;
/// `docs/writing-a-store.md` shows one from top to bottom.
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// Carries out all writes to one partition or none of them, in order; they survive what `durability` says when
    /// this returns.
    ///
    /// # Errors
    /// The engine can't write. It is then unknown whether the writes were carried out, but they were not in part.
    fn write(&self, partition: &str, writes: Vec<Write>, durability: Durability) -> Result<(), EngineError>;

    /// The value of a key; `None` when the key or the partition does not exist.
    ///
    /// # Errors
    /// The engine can't read.
    fn get(&self, partition: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// A part of a partition in the order of keys; empty when the partition does not exist.
    ///
    /// # Errors
    /// The engine can't read.
    fn scan(&self, partition: &str, scan: &Scan) -> Result<Vec<Entry>, EngineError>;

    /// The names of all partitions, sorted.
    ///
    /// # Errors
    /// The engine can't read.
    fn partitions(&self) -> Result<Vec<String>, EngineError>;

    /// Removes a partition whole and gives its space back; nothing when it does not exist.
    ///
    /// # Errors
    /// The engine can't write.
    fn drop_partition(&self, partition: &str) -> Result<(), EngineError>;

    /// This partition will hardly be used for a while: what is held in memory for it may go. A use of it comes as before.
    /// An engine that holds nothing for a partition has nothing to do here.
    fn close(&self, partition: &str) {
        let _ = partition;
    }

    /// Makes the engine able to write again after an error, if it can: closes and opens what failed.
    ///
    /// # Errors
    /// It still can't write.
    fn reopen(&self) -> Result<(), EngineError>;

    /// The bytes that it uses on disk; 0 when it uses none.
    ///
    /// # Errors
    /// The engine can't read.
    fn size(&self) -> Result<u64, EngineError>;

    /// The largest value that it takes, in bytes.
    fn max_value(&self) -> usize;
}

impl<E: Engine + ?Sized> Engine for Arc<E> {
    fn write(&self, partition: &str, writes: Vec<Write>, durability: Durability) -> Result<(), EngineError> {
        (**self).write(partition, writes, durability)
    }

    fn get(&self, partition: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        (**self).get(partition, key)
    }

    fn scan(&self, partition: &str, scan: &Scan) -> Result<Vec<Entry>, EngineError> {
        (**self).scan(partition, scan)
    }

    fn partitions(&self) -> Result<Vec<String>, EngineError> {
        (**self).partitions()
    }

    fn drop_partition(&self, partition: &str) -> Result<(), EngineError> {
        (**self).drop_partition(partition)
    }

    fn close(&self, partition: &str) {
        (**self).close(partition);
    }

    fn reopen(&self) -> Result<(), EngineError> {
        (**self).reopen()
    }

    fn size(&self) -> Result<u64, EngineError> {
        (**self).size()
    }

    fn max_value(&self) -> usize {
        (**self).max_value()
    }
}

/// An engine failed.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct EngineError {
    kind: EngineErrorKind,
    detail: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// How an engine failed, by what the store does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineErrorKind {
    /// No space is left: wait for some.
    Full,
    /// Reading or writing failed: reopen and try again.
    Io,
    /// What was read makes no sense.
    Corrupt,
    /// Someone else has it open, or it may not be opened.
    Locked,
}

impl EngineError {
    /// An error of this kind: what failed, and on what.
    #[must_use]
    pub fn new(kind: EngineErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// How it failed.
    #[must_use]
    pub fn kind(&self) -> EngineErrorKind {
        self.kind
    }
}
