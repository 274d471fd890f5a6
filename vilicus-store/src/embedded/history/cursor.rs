//! Reading the records of one check in the order of their first moments.

use vilicus_core::{CheckId, Timestamp};

use super::key;
use crate::embedded::record;
use crate::embedded::shared::Disk;
use crate::engine::{EngineError, Scan};
use crate::query::Order;

/// Records are read so many values at a time.
const BATCH: usize = 16;

/// Reads the records of one check in the order of their first moments.
pub(super) struct Cursor {
    start: Vec<u8>,
    end: Vec<u8>,
    reverse: bool,
    /// Values of a record whose other parts were not read yet.
    carried: Vec<Vec<u8>>,
    done: bool,
}

impl Cursor {
    pub(super) fn new(kind: u8, check: CheckId, since: Timestamp, until: Timestamp, order: Order) -> Self {
        Self {
            start: key(kind, check, since, 0),
            end: key(kind, check, until, 0),
            reverse: order == Order::NewestFirst,
            carried: Vec::new(),
            done: false,
        }
    }

    /// What the next records hold; `None` at the end. What can't be read is left out, and noted.
    pub(super) fn next<T>(
        &mut self,
        disk: Disk<'_>,
        partition: &str,
        decode: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<Vec<T>>, EngineError> {
        if self.done || self.start >= self.end {
            return Ok(None);
        }
        let scan = Scan {
            start: self.start.clone(),
            end: Some(self.end.clone()),
            reverse: self.reverse,
            limit: BATCH,
        };
        let entries = disk.engine.scan(partition, &scan)?;
        self.done = entries.len() < BATCH;
        if let Some((key, _)) = entries.last() {
            if self.reverse {
                self.end.clone_from(key);
            } else {
                self.start.clone_from(key);
                self.start.push(0);
            }
        }
        let mut found = Vec::new();
        for (key, value) in entries {
            match self.join(&key, value) {
                Joined::Whole(payload) => match decode(&payload) {
                    Some(value) => found.push(value),
                    None => disk.damaged.note(partition, &key),
                },
                Joined::Damaged => disk.damaged.note(partition, &key),
                Joined::Part => {}
            }
        }
        Ok(Some(found))
    }

    /// Adds the next value. Parts come first to last, or last to first when reading backwards.
    fn join(&mut self, key: &[u8], value: Vec<u8>) -> Joined {
        let is_first = key.ends_with(&[0, 0]);
        if is_first && !self.reverse {
            self.carried.clear();
        }
        self.carried.push(value);
        let mut parts = record::Parts::default();
        let complete = if self.reverse {
            self.carried.iter().rev().map(|part| parts.push(part)).last()
        } else {
            self.carried.iter().map(|part| parts.push(part)).last()
        };
        match complete {
            Some(Ok(true)) => {
                self.carried.clear();
                parts.finish().map_or(Joined::Damaged, |(_, payload)| Joined::Whole(payload))
            }
            // Backwards, a record is complete with its first part, or never.
            Some(Err(_)) if is_first => Joined::Damaged,
            Some(Ok(false)) if is_first && self.reverse => Joined::Damaged,
            _ => Joined::Part,
        }
    }
}

/// What a value makes of those before it.
enum Joined {
    Whole(Vec<u8>),
    Part,
    Damaged,
}
