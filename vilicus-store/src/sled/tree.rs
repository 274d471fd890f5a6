//! A partition as a sled database of its own.
//!
//! What one must know of sled 0.34 is written down beside each line that obeys. Deliberately absent: sled's own flush
//! thread, which ends for good at the first write error.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use crate::engine::{Durability, EngineError, EngineErrorKind, Entry, Scan, Write};
use crate::sled::{LOCK_PAUSE, LOCK_TRIES, failed};

/// The name of sled's file in the folder of the partition.
pub(super) const FILE: &str = "db";
/// sled writes a leaf that outgrows a quarter of a segment to a file of its own, under `blobs/`, that it never syncs.
const SEGMENT: usize = 2 * 1024 * 1024;
/// A leaf holds up to 17 values, and 17 of these fit a quarter of a segment.
pub(super) const MAX_VALUE: usize = 24 * 1024;
/// sled's own default is 1 GiB; what is hot lives in the store's memory.
const CACHE: u64 = 8 * 1024 * 1024;
/// sled counts its cache in bytes as they are on disk, and small entries take ten times as much in memory. A database is
/// worn, and shall be opened again at its next use, when so many were written to it.
const MAX_WRITTEN: usize = 50_000;
/// Partitions whose records are added one after another, under keys of a number that grows by one (up to 8 bytes) and the
/// number of the part (2 bytes); longer keys may be there, too. See [`Tree::make_room`]. Journals were kept so once.
const GROWING: [&str; 3] = ["journal-", "checkpoint-", "history-"];
/// Room is made for so many records at a time.
const ROOMS: u64 = 64;
/// So many entries hold a place open. With up to as many parts of a record, a leaf has no more than 16 entries and
/// fewer than 10 changes: sled neither splits nor rewrites it then.
const HOLDERS: u8 = 8;
/// Between the number of a record and that of an entry that holds its place: no part has this number.
const HOLDS: [u8; 3] = [0xff; 3];

/// A partition as a sled database.
#[derive(Debug)]
pub(super) struct Tree {
    path: PathBuf,
    tree: sled::Db,
    /// Our own descriptor of sled's file: its flush ends in `sync_file_range`, which does not survive loss of power.
    file: File,
    is_growing: bool,
    /// How many entries were written since it was opened.
    written: AtomicUsize,
    /// The record up to which there is room.
    room_up_to: AtomicU64,
}

impl Tree {
    /// Opens the database in the folder of this partition, and makes it when there is none.
    pub(super) fn open(path: &Path, partition: &str) -> Result<Self, EngineError> {
        let tree = match open_tree(path) {
            Err(sled::Error::Corruption { .. }) if set_half_snapshots_aside(path) => open_tree(path),
            other => other,
        }
        .map_err(|error| translate("opening", path, error))?;
        let file_path = path.join(FILE);
        let file = File::open(&file_path).map_err(|error| failed("opening", &file_path, error))?;
        Ok(Self {
            path: path.to_owned(),
            tree,
            file,
            is_growing: GROWING.iter().any(|start| partition.starts_with(start)),
            written: AtomicUsize::new(0),
            room_up_to: AtomicU64::new(0),
        })
    }

    /// Carries out the writes as one.
    pub(super) fn write(&self, writes: Vec<Write>, durability: Durability) -> Result<(), EngineError> {
        let mut count = writes.len();
        let mut batch = sled::Batch::default();
        let next_number =
            writes.iter().find(|(_, value)| value.is_some()).and_then(|(key, _)| number_of(key));
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        let wrong = |error| translate("writing to", &self.path, error);
        if let Some(number) = next_number.filter(|_| self.is_growing) {
            count += self.make_room(number).map_err(wrong)?;
        }
        self.tree.apply_batch(batch).map_err(wrong)?;
        self.tree.flush().map_err(wrong)?;
        if durability == Durability::Power {
            self.file.sync_data().map_err(|error| failed("syncing", &self.path, error))?;
        }
        self.written.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    /// Whether so much was written that it should be opened anew.
    pub(super) fn is_worn(&self) -> bool {
        self.written.load(Ordering::Relaxed) > MAX_WRITTEN
    }

    /// Lays entries that hold a place between the records to come, up to [`ROOMS`] of them. Returns how many.
    ///
    /// sled splits a leaf of more than 16 entries and rewrites both halves, and rewrites one after 10 changes: what is
    /// added in the order of keys is written three times. With eight entries for each record laid before, the leaves are
    /// there already, and whatever is written is written once.
    fn make_room(&self, number: Number) -> sled::Result<usize> {
        let room = self.room_up_to.load(Ordering::Relaxed);
        if number.value < room {
            return Ok(0);
        }
        let mut batch = sled::Batch::default();
        // What comes before the first of these goes to a leaf of its own.
        let first = number.value.saturating_sub(1).max(room);
        let last = number.value.saturating_add(ROOMS);
        for value in first..last {
            for holder in 0..HOLDERS {
                batch.insert(number.holder(value, holder), &[]);
            }
        }
        self.tree.apply_batch(batch)?;
        self.room_up_to.store(last, Ordering::Relaxed);
        Ok(usize::try_from(last - first).unwrap_or(0) * usize::from(HOLDERS))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let value = self.tree.get(key).map_err(|error| translate("reading", &self.path, error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// A part of the partition in the order of keys.
    pub(super) fn scan(&self, scan: &Scan) -> Result<Vec<Entry>, EngineError> {
        let range = match &scan.end {
            Some(end) if *end <= scan.start => return Ok(Vec::new()),
            Some(end) => self.tree.range(scan.start.clone()..end.clone()),
            None => self.tree.range(scan.start.clone()..),
        };
        let is_real = |entry: &sled::Result<(sled::IVec, sled::IVec)>| {
            !self.is_growing || entry.as_ref().map_or(true, |(key, value)| !holds_a_place(key, value))
        };
        let entries: Result<Vec<_>, sled::Error> = if scan.reverse {
            range.rev().filter(is_real).take(scan.limit).collect()
        } else {
            range.filter(is_real).take(scan.limit).collect()
        };
        let entries = entries.map_err(|error| translate("reading", &self.path, error))?;
        Ok(entries.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
    }
}

/// The number of a record in a growing partition, and how wide it is in the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number {
    value: u64,
    width: usize,
}

impl Number {
    fn holder(self, value: u64, holder: u8) -> Vec<u8> {
        let bytes = value.to_be_bytes();
        let mut key = bytes[bytes.len() - self.width..].to_vec();
        key.extend_from_slice(&HOLDS);
        key.push(holder);
        key
    }
}

/// The number of the record that a key of a growing partition is of: everything but its last two bytes.
fn number_of(key: &[u8]) -> Option<Number> {
    let width = key.len().checked_sub(2).filter(|width| (1..=8).contains(width))?;
    let value = key[..width].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    Some(Number { value, width })
}

/// Whether an entry of a growing partition is none of ours, but holds a place open.
fn holds_a_place(key: &[u8], value: &[u8]) -> bool {
    value.is_empty() && key.len() > 4 && key[key.len() - 4..key.len() - 1] == HOLDS
}

fn open_tree(path: &Path) -> sled::Result<sled::Db> {
    let config =
        sled::Config::new().path(path).cache_capacity(CACHE).flush_every_ms(None).segment_size(SEGMENT);
    let mut tries = 0;
    loop {
        match config.open() {
            // sled reports a lock that is held as an I/O error of the kind `Other`.
            Err(sled::Error::Io(error)) if tries < LOCK_TRIES && is_locked(&error) => {
                tries += 1;
                thread::sleep(LOCK_PAUSE);
            }
            other => return other,
        }
    }
}

fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("lock")
}

/// A crash while sled writes a snapshot leaves a file that it then takes for corruption. Says whether there was one.
fn set_half_snapshots_aside(path: &Path) -> bool {
    let Ok(entries) = fs::read_dir(path) else {
        return false;
    };
    let mut any = false;
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            let aside = path.join(format!("aside-{name}"));
            tracing::warn!(file = %entry.path().display(), "a half-written snapshot was set aside");
            any |= fs::rename(entry.path(), aside).is_ok();
        }
    }
    any
}

fn translate(doing: &str, path: &Path, error: sled::Error) -> EngineError {
    match error {
        sled::Error::Io(error) => failed(doing, path, error),
        sled::Error::Corruption { .. } => {
            EngineError::new(EngineErrorKind::Corrupt, format!("{doing} {} failed", path.display()))
                .source(error)
        }
        other => {
            EngineError::new(EngineErrorKind::Io, format!("{doing} {} failed", path.display())).source(other)
        }
    }
}
