//! The embedded default engine: sled 0.34, one database folder a partition.
//!
//! sled is used in the way that suits it: few, sequential records; one flush a group; folders removed whole, since
//! it never gives disk back otherwise. What one must know of it is written down beside each line that obeys.
//! Deliberately absent: sled's own flush thread, which ends for good at the first write error.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::engine::{Durability, Engine, EngineError, EngineErrorKind, Entry, Scan, Write};

/// sled writes a leaf that outgrows a quarter of a segment to a file of its own, under `blobs/`, that it never syncs.
const SEGMENT: usize = 2 * 1024 * 1024;
/// A leaf holds up to 17 values, and 17 of these fit a quarter of a segment.
const MAX_VALUE: usize = 24 * 1024;
/// sled's own default is 1 GiB; what is hot lives in the store's memory.
const CACHE: u64 = 8 * 1024 * 1024;
/// Partitions that are open at the same time; the one unused for longest is closed first.
const MAX_OPEN: usize = 8;
/// sled counts its cache in bytes as they are on disk, and small entries take ten times as much in memory. A database is
/// closed, and opened again at its next use, when so many were written to it.
const MAX_WRITTEN: usize = 50_000;
/// A database that was just closed may hold its lock for a moment longer: so many tries, this far apart.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Partitions whose records are added one after another, under keys of a number that grows by one (up to 8 bytes) and the
/// number of the part (2 bytes); longer keys may be there, too. See [`Database::make_room`].
const GROWING: [&str; 3] = ["journal-", "checkpoint-", "history-"];
/// Room is made for so many records at a time.
const ROOMS: u64 = 64;
/// So many entries hold a place open. With up to as many parts of a record, a leaf has no more than 16 entries and
/// fewer than 10 changes: sled neither splits nor rewrites it then.
const HOLDERS: u8 = 8;
/// Between the number of a record and that of an entry that holds its place: no part has this number.
const HOLDS: [u8; 3] = [0xff; 3];
/// A folder that is being removed; no partition may be called so.
const GONE: &str = "_gone-";
const LOCK_FILE: &str = "_lock";

/// An [`Engine`] over sled databases under one directory.
#[derive(Debug)]
pub struct SledEngine {
    directory: PathBuf,
    opened: Mutex<Opened>,
    /// Held for as long as the engine lives.
    _lock: File,
}

#[derive(Debug, Default)]
struct Opened {
    databases: HashMap<String, (Arc<Database>, u64)>,
    uses: u64,
}

#[derive(Debug)]
struct Database {
    tree: sled::Db,
    /// Our own descriptor of sled's file: its flush ends in `sync_file_range`, which does not survive loss of power.
    file: File,
    /// How many entries were written since it was opened.
    written: AtomicUsize,
    /// The record up to which there is room.
    room_up_to: AtomicU64,
}

impl SledEngine {
    /// Opens the directory, and makes it when it does not exist.
    ///
    /// # Errors
    /// Another process has it open, or it can't be made, read or written.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, EngineError> {
        let directory = directory.into();
        fs::create_dir_all(&directory).map_err(|error| failed("making", &directory, error))?;
        let lock = lock(&directory)?;
        remove_leftovers(&directory)?;
        Ok(Self { directory, opened: Mutex::default(), _lock: lock })
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, partition: &str) -> PathBuf {
        self.directory.join(partition)
    }

    /// The database of a partition, opened when it is not; `None` when it does not exist.
    fn existing(&self, partition: &str) -> Result<Option<Arc<Database>>, EngineError> {
        let mut opened = self.opened();
        if !opened.databases.contains_key(partition) && !self.path(partition).is_dir() {
            return Ok(None);
        }
        self.database(&mut opened, partition).map(Some)
    }

    fn database(&self, opened: &mut Opened, partition: &str) -> Result<Arc<Database>, EngineError> {
        opened.uses += 1;
        let uses = opened.uses;
        if let Some((database, used)) = opened.databases.get_mut(partition) {
            *used = uses;
            return Ok(Arc::clone(database));
        }
        opened.make_room();
        let database = Arc::new(self.open_database(partition)?);
        opened.databases.insert(partition.to_owned(), (Arc::clone(&database), uses));
        Ok(database)
    }

    fn open_database(&self, partition: &str) -> Result<Database, EngineError> {
        check_name(partition)?;
        let path = self.path(partition);
        let is_new = !path.is_dir();
        let tree = match open_tree(&path) {
            Err(sled::Error::Corruption { .. }) if set_half_snapshots_aside(&path) => open_tree(&path),
            other => other,
        }
        .map_err(|error| translate("opening", &path, error))?;
        let file_path = path.join("db");
        let file = File::open(&file_path).map_err(|error| failed("opening", &file_path, error))?;
        if is_new {
            sync_directory(&path)?;
            sync_directory(&self.directory)?;
        }
        Ok(Database { tree, file, written: AtomicUsize::new(0), room_up_to: AtomicU64::new(0) })
    }
}

impl Database {
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

fn is_growing(partition: &str) -> bool {
    GROWING.iter().any(|start| partition.starts_with(start))
}

/// Whether an entry of a growing partition is none of ours, but holds a place open.
fn holds_a_place(key: &[u8], value: &[u8]) -> bool {
    value.is_empty() && key.len() > 4 && key[key.len() - 4..key.len() - 1] == HOLDS
}

impl Opened {
    /// Closes the databases that were unused for longest, but none that a reader still holds.
    fn make_room(&mut self) {
        while self.databases.len() >= MAX_OPEN {
            let oldest = self
                .databases
                .iter()
                .filter(|(_, (database, _))| Arc::strong_count(database) == 1)
                .min_by_key(|(_, (_, used))| *used)
                .map(|(name, _)| name.clone());
            match oldest {
                Some(name) => self.databases.remove(&name),
                None => return,
            };
        }
    }
}

impl Engine for SledEngine {
    fn write(&self, partition: &str, writes: Vec<Write>, durability: Durability) -> Result<(), EngineError> {
        let database = self.database(&mut self.opened(), partition)?;
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
        let wrong = |error| translate("writing to", &self.path(partition), error);
        if let Some(number) = next_number.filter(|_| is_growing(partition)) {
            count += database.make_room(number).map_err(wrong)?;
        }
        database.tree.apply_batch(batch).map_err(wrong)?;
        database.tree.flush().map_err(wrong)?;
        if durability == Durability::Power {
            database.file.sync_data().map_err(|error| failed("syncing", &self.path(partition), error))?;
        }
        if database.written.fetch_add(count, Ordering::Relaxed) + count > MAX_WRITTEN {
            self.opened().databases.remove(partition);
        }
        Ok(())
    }

    fn get(&self, partition: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let Some(database) = self.existing(partition)? else {
            return Ok(None);
        };
        let value =
            database.tree.get(key).map_err(|error| translate("reading", &self.path(partition), error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, partition: &str, scan: &Scan) -> Result<Vec<Entry>, EngineError> {
        let Some(database) = self.existing(partition)? else {
            return Ok(Vec::new());
        };
        let range = match &scan.end {
            Some(end) if *end <= scan.start => return Ok(Vec::new()),
            Some(end) => database.tree.range(scan.start.clone()..end.clone()),
            None => database.tree.range(scan.start.clone()..),
        };
        let is_growing = is_growing(partition);
        let is_real = |entry: &sled::Result<(sled::IVec, sled::IVec)>| {
            !is_growing || entry.as_ref().map_or(true, |(key, value)| !holds_a_place(key, value))
        };
        let entries: Result<Vec<_>, sled::Error> = if scan.reverse {
            range.rev().filter(is_real).take(scan.limit).collect()
        } else {
            range.filter(is_real).take(scan.limit).collect()
        };
        let entries = entries.map_err(|error| translate("reading", &self.path(partition), error))?;
        Ok(entries.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
    }

    fn partitions(&self) -> Result<Vec<String>, EngineError> {
        let entries = fs::read_dir(&self.directory);
        let entries = entries.map_err(|error| failed("reading", &self.directory, error))?;
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| check_name(name).is_ok())
            .collect();
        names.sort();
        Ok(names)
    }

    fn drop_partition(&self, partition: &str) -> Result<(), EngineError> {
        check_name(partition)?;
        let mut opened = self.opened();
        let path = self.path(partition);
        if let Some((database, _)) = opened.databases.remove(partition) {
            wait_for_readers(&database);
        }
        if !path.is_dir() {
            return Ok(());
        }
        // Renamed first: a crash in the middle must not leave half a database under a name that will be opened.
        let gone = self.path(&format!("{GONE}{partition}"));
        fs::rename(&path, &gone).map_err(|error| failed("renaming", &path, error))?;
        sync_directory(&self.directory)?;
        fs::remove_dir_all(&gone).map_err(|error| failed("removing", &gone, error))
    }

    fn close(&self, partition: &str) {
        // Others may go on while it closes.
        let closed = self.opened().databases.remove(partition);
        drop(closed);
    }

    fn reopen(&self) -> Result<(), EngineError> {
        let mut opened = self.opened();
        let names: Vec<String> = opened.databases.keys().cloned().collect();
        for (database, _) in opened.databases.drain().map(|(_, entry)| entry).collect::<Vec<_>>() {
            wait_for_readers(&database);
        }
        // Opened here and not at the next use, so that a folder that can't be opened is an error of this call.
        for name in names {
            self.database(&mut opened, &name)?;
        }
        Ok(())
    }

    fn size(&self) -> Result<u64, EngineError> {
        size_of(&self.directory).map_err(|error| failed("reading", &self.directory, error))
    }

    fn max_value(&self) -> usize {
        MAX_VALUE
    }
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

/// Readers hold a database only for the length of one call.
fn wait_for_readers(database: &Arc<Database>) {
    for _ in 0..LOCK_TRIES {
        if Arc::strong_count(database) == 1 {
            return;
        }
        thread::sleep(LOCK_PAUSE);
    }
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

fn lock(directory: &Path) -> Result<File, EngineError> {
    let path = directory.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| failed("opening", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(EngineError::new(
            EngineErrorKind::Locked,
            format!("another process has {} open; stop it first", directory.display()),
        )),
        Err(TryLockError::Error(error)) => Err(failed("locking", &path, error)),
    }
}

fn remove_leftovers(directory: &Path) -> Result<(), EngineError> {
    let entries = fs::read_dir(directory).map_err(|error| failed("reading", directory, error))?;
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(GONE) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(|error| failed("removing", &path, error))?;
        }
    }
    Ok(())
}

fn sync_directory(path: &Path) -> Result<(), EngineError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| failed("syncing", path, error))
}

fn size_of(path: &Path) -> io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(path)?.filter_map(Result::ok) {
        // A file that vanishes between the two calls was dropped with its partition.
        let Ok(metadata) = entry.metadata() else { continue };
        total += if metadata.is_dir() { size_of(&entry.path()).unwrap_or(0) } else { metadata.len() };
    }
    Ok(total)
}

fn check_name(partition: &str) -> Result<(), EngineError> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let plain = partition.chars().all(fits) && !partition.starts_with('.');
    if plain && (1..=64).contains(&partition.len()) {
        Ok(())
    } else {
        Err(EngineError::new(EngineErrorKind::Io, format!("'{partition}' is no name of a partition")))
    }
}

fn failed(doing: &str, path: &Path, error: io::Error) -> EngineError {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let kind = if full { EngineErrorKind::Full } else { EngineErrorKind::Io };
    EngineError::new(kind, format!("{doing} {} failed", path.display())).source(error)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = SledEngine::open(directory.path()).unwrap();
        assert_eq!(SledEngine::open(directory.path()).unwrap_err().kind(), EngineErrorKind::Locked);
        drop(first);
        SledEngine::open(directory.path()).unwrap();
    }

    #[test]
    fn the_largest_values_make_no_blobs() {
        let directory = tempfile::tempdir().unwrap();
        let engine = SledEngine::open(directory.path()).unwrap();
        for round in 0..20_u64 {
            let writes = (0..20_u64).map(|index| {
                let key = (round * 20 + index).to_be_bytes().to_vec();
                (key, Some(vec![index as u8; MAX_VALUE]))
            });
            engine.write("big", writes.collect(), Durability::Process).unwrap();
        }
        let blobs = directory.path().join("big/blobs");
        assert_eq!(fs::read_dir(blobs).map_or(0, Iterator::count), 0);
    }

    #[test]
    fn what_is_added_in_order_is_written_once_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let key = |record: u64, part: u16| [&record.to_be_bytes()[..], &part.to_be_bytes()].concat();
        let value = |record: u64| vec![record as u8; MAX_VALUE];
        let mut expected = Vec::new();
        for records in [100..200, 200..300] {
            let engine = SledEngine::open(directory.path()).unwrap();
            for record in records {
                let parts: Vec<Write> =
                    (0..=(record % 3) as u16).map(|part| (key(record, part), Some(value(record)))).collect();
                expected.extend(parts.iter().map(|(key, _)| key.clone()));
                engine.write("journal-1", parts, Durability::Process).unwrap();
            }
            for reverse in [false, true] {
                let scan = Scan { start: Vec::new(), end: None, reverse, limit: usize::MAX };
                let mut found = engine.scan("journal-1", &scan).unwrap();
                let record = |key: &[u8]| u64::from_be_bytes(key[..8].try_into().unwrap());
                assert!(found.iter().all(|(key, found)| *found == value(record(key))));
                found.sort();
                assert_eq!(found.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), expected);
            }
            let limited = Scan { start: key(101, 0), end: None, reverse: false, limit: 3 };
            assert_eq!(engine.scan("journal-1", &limited).unwrap().len(), 3);
        }
        let given = (expected.len() * MAX_VALUE) as u64;
        let kept = fs::metadata(directory.path().join("journal-1/db")).unwrap().len();
        assert!(kept < given * 3 / 2, "{kept} bytes for {given}");
    }

    #[test]
    fn more_partitions_than_may_be_open_are_all_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let engine = SledEngine::open(directory.path()).unwrap();
        for number in 0..MAX_OPEN + 3 {
            let write = (vec![1], Some(vec![number as u8]));
            engine.write(&format!("p-{number}"), vec![write], Durability::Process).unwrap();
        }
        for number in 0..MAX_OPEN + 3 {
            assert_eq!(engine.get(&format!("p-{number}"), &[1]).unwrap(), Some(vec![number as u8]));
        }
        assert!(engine.opened().databases.len() <= MAX_OPEN);
    }

    #[test]
    fn a_half_removed_partition_is_removed_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let half = directory.path().join(format!("{GONE}old"));
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join("db"), b"x").unwrap();
        let engine = SledEngine::open(directory.path()).unwrap();
        assert!(!half.exists());
        assert!(engine.partitions().unwrap().is_empty());
    }
}
