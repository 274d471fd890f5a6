//! The embedded default engine: sled 0.34, one database folder a partition, and a plain file for each journal.
//!
//! sled is used in the way that suits it: few, sequential records; one flush a group; folders removed whole, since
//! it never gives disk back otherwise. A journal is only added to, and a result is answered when it is synced: see
//! `docs/decisions/0015-a-journal-is-a-file.md`.

mod log;
mod tree;

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use self::log::Log;
use self::tree::{MAX_VALUE, Tree};
use crate::engine::{Durability, Engine, EngineError, EngineErrorKind, Entry, Scan, Write};

/// Partitions that are open at the same time; the one unused for longest is closed first.
const MAX_OPEN: usize = 8;
/// A database that was just closed may hold its lock for a moment longer: so many tries, this far apart.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Partitions that grow at their end, and are read when a store starts: files, and no databases of sled.
const LOGS: &str = "journal-";
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

/// How a partition is kept.
#[derive(Debug)]
enum Database {
    Tree(Tree),
    Log(Log),
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
        let is_log = partition.starts_with(LOGS) && !path.join(tree::FILE).exists();
        let is_new = !path.join(if is_log { log::FILE } else { tree::FILE }).exists();
        let database = if is_log {
            fs::create_dir_all(&path).map_err(|error| failed("making", &path, error))?;
            Database::Log(Log::open(&path)?)
        } else {
            Database::Tree(Tree::open(&path, partition)?)
        };
        if is_new {
            sync_directory(&path)?;
            sync_directory(&self.directory)?;
        }
        Ok(database)
    }
}

impl Database {
    /// Whether it knows of a failed write that has left something to mend.
    fn is_failed(&self) -> bool {
        matches!(self, Self::Log(log) if log.is_failed())
    }
}

impl Opened {
    /// Closes the databases that were unused for longest, but none that a reader still holds or that is to be mended.
    fn make_room(&mut self) {
        while self.databases.len() >= MAX_OPEN {
            let oldest = self
                .databases
                .iter()
                .filter(|(_, (database, _))| Arc::strong_count(database) == 1 && !database.is_failed())
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
        match database.as_ref() {
            Database::Log(log) => log.write(writes, durability),
            Database::Tree(tree) => {
                tree.write(writes, durability)?;
                if tree.is_worn() {
                    self.close(partition);
                }
                Ok(())
            }
        }
    }

    fn get(&self, partition: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        match self.existing(partition)?.as_deref() {
            Some(Database::Log(log)) => log.get(key),
            Some(Database::Tree(tree)) => tree.get(key),
            None => Ok(None),
        }
    }

    fn scan(&self, partition: &str, scan: &Scan) -> Result<Vec<Entry>, EngineError> {
        match self.existing(partition)?.as_deref() {
            Some(Database::Log(log)) => log.scan(scan),
            Some(Database::Tree(tree)) => tree.scan(scan),
            None => Ok(Vec::new()),
        }
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
        for (database, _) in opened.databases.values() {
            if let Database::Log(log) = database.as_ref() {
                log.mend()?;
            }
        }
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

/// Readers hold a database only for the length of one call.
fn wait_for_readers(database: &Arc<Database>) {
    for _ in 0..LOCK_TRIES {
        if Arc::strong_count(database) == 1 {
            return;
        }
        thread::sleep(LOCK_PAUSE);
    }
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
                engine.write("checkpoint-1", parts, Durability::Process).unwrap();
            }
            for reverse in [false, true] {
                let scan = Scan { start: Vec::new(), end: None, reverse, limit: usize::MAX };
                let mut found = engine.scan("checkpoint-1", &scan).unwrap();
                let record = |key: &[u8]| u64::from_be_bytes(key[..8].try_into().unwrap());
                assert!(found.iter().all(|(key, found)| *found == value(record(key))));
                found.sort();
                assert_eq!(found.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), expected);
            }
            let limited = Scan { start: key(101, 0), end: None, reverse: false, limit: 3 };
            assert_eq!(engine.scan("checkpoint-1", &limited).unwrap().len(), 3);
        }
        let given = (expected.len() * MAX_VALUE) as u64;
        let kept = fs::metadata(directory.path().join("checkpoint-1/db")).unwrap().len();
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
