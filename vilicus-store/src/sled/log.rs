//! A partition that grows at its end, as a file of its own: a write is one frame and one sync, by the caller's thread.
//!
//! sled hands each write to a pool of threads, which all wake for it; a journal has no need of what it does meanwhile.
//! A frame is whole or it is not there: what a crash left of the last one is cut off when the file is opened.
//! `docs/storage-format.md` has the bytes.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::mem;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::{Durability, EngineError, EngineErrorKind, Entry, Scan, Write};
use crate::sled::failed;

/// The name of the file in the folder of the partition.
pub(super) const FILE: &str = "log";
/// The first bytes of a frame: two letters and the version. Then comes how durable it was meant to be.
const MAGIC: [u8; 3] = [b'V', b'L', 1];
/// The magic, the durability, the length of the body, and the CRC-32 of the frame's place, of all that and of the body.
const HEADER: usize = 12;
/// A frame this small …
const SMALL: usize = 4 * 1024;
/// … that the file has no room for makes so much of it, in zeros: a file that does not grow is synced sooner.
const ROOM: usize = 64 * 1024;
/// The length of a value that stands for a removal.
const REMOVAL: u32 = u32::MAX;
/// The file is read in pieces of this size.
const PIECE: usize = 256 * 1024;

/// A partition that grows at its end.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where the last whole frame ends.
    end: u64,
    /// How long the file is; after the end there is nothing but zeros.
    length: u64,
    /// A write failed, and may have left a part of itself after the end.
    failed: bool,
    /// The largest key, for as long as all came in order and none was removed.
    largest: Option<Vec<u8>>,
    /// Keys came in another order, or again, or were removed: what holds is seen at the end of the file only.
    mixed: bool,
    /// Where a scan came to: the last key before this place.
    seen: Option<(Vec<u8>, u64)>,
    /// Where the next frame is put together.
    buffer: Vec<u8>,
}

impl Log {
    /// Opens the log in this folder, and makes it when there is none.
    pub(super) fn open(folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join(FILE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| failed("opening", &path, error))?;
        let mut log = Self { path, file, state: Mutex::default() };
        let state = log.examine()?;
        log.state = Mutex::new(state);
        // What was read may be in the memory of the system alone, and what is written from now on relies on it.
        log.file.sync_data().map_err(|error| failed("syncing", &log.path, error))?;
        Ok(log)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the writes as one frame.
    pub(super) fn write(&self, writes: Vec<Write>, durability: Durability) -> Result<(), EngineError> {
        let mut state = self.state();
        self.cut_off(&mut state)?;
        let mut frame = mem::take(&mut state.buffer);
        lay_frame(&mut frame, &writes, durability, state.end).ok_or_else(|| self.too_large())?;
        let end = state.end + frame.len() as u64;
        if end > state.length && frame.len() < SMALL {
            frame.resize(frame.len() + ROOM, 0);
        }
        state.failed = true;
        let written = self.file.write_all_at(&frame, state.end);
        written.map_err(|error| failed("writing to", &self.path, error))?;
        if durability == Durability::Power {
            self.file.sync_data().map_err(|error| failed("syncing", &self.path, error))?;
        }
        state.failed = false;
        state.length = state.length.max(state.end + frame.len() as u64);
        state.end = end;
        if frame.capacity() <= PIECE {
            state.buffer = frame;
        }
        for (key, value) in &writes {
            state.note(key, value.is_some());
        }
        Ok(())
    }

    /// Cuts off what a failed write may have left: it was not acknowledged, and may not be on the disk.
    pub(super) fn mend(&self) -> Result<(), EngineError> {
        self.cut_off(&mut self.state())
    }

    /// Whether a write failed that was not cut off yet.
    pub(super) fn is_failed(&self) -> bool {
        self.state().failed
    }

    fn cut_off(&self, state: &mut State) -> Result<(), EngineError> {
        if state.failed {
            let cut = self.file.set_len(state.end).and_then(|()| self.file.sync_data());
            cut.map_err(|error| failed("mending", &self.path, error))?;
            (state.failed, state.length) = (false, state.end);
        }
        Ok(())
    }

    /// A part of the partition in the order of keys.
    pub(super) fn scan(&self, scan: &Scan) -> Result<Vec<Entry>, EngineError> {
        let (end, mixed, seen) = {
            let state = self.state();
            (state.end, state.mixed, state.seen.clone())
        };
        if scan.end.as_ref().is_some_and(|end| *end <= scan.start) {
            return Ok(Vec::new());
        }
        if mixed || scan.reverse { self.scan_all(scan, end) } else { self.scan_on(scan, end, seen) }
    }

    /// Reads on where the last scan came to, if this one goes on after it.
    fn scan_on(
        &self,
        scan: &Scan,
        end: u64,
        seen: Option<(Vec<u8>, u64)>,
    ) -> Result<Vec<Entry>, EngineError> {
        let mut place = seen.filter(|(key, _)| *key < scan.start);
        let mut frames = self.frames(place.as_ref().map_or(0, |(_, place)| *place), end);
        let mut found = Vec::new();
        'frames: while let Some(body) = frames.next()? {
            let mut last = None;
            for (key, value) in writes_of(&body) {
                if found.len() >= scan.limit || scan.end.as_ref().is_some_and(|end| key >= end.as_slice()) {
                    break 'frames;
                }
                if let Some(value) = value.filter(|_| key >= scan.start.as_slice()) {
                    found.push((key.to_vec(), value.to_vec()));
                }
                last = Some(key.to_vec());
            }
            place = last.map(|key| (key, frames.place)).or(place);
        }
        self.state().seen = place;
        Ok(found)
    }

    /// Reads all, and takes what is wanted.
    fn scan_all(&self, scan: &Scan, end: u64) -> Result<Vec<Entry>, EngineError> {
        let mut all = BTreeMap::new();
        let mut frames = self.frames(0, end);
        while let Some(body) = frames.next()? {
            for (key, value) in writes_of(&body) {
                match value {
                    Some(value) => all.insert(key.to_vec(), value.to_vec()),
                    None => all.remove(key),
                };
            }
        }
        Ok(scan.of(&all))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let next = [key, &[0]].concat();
        let scan = Scan { start: key.to_vec(), end: Some(next), reverse: false, limit: 1 };
        Ok(self.scan(&scan)?.pop().map(|(_, value)| value))
    }

    fn frames(&self, place: u64, end: u64) -> Frames<'_> {
        let reader = BufReader::with_capacity(PIECE, At { file: &self.file, place });
        Frames { path: &self.path, reader, place, end }
    }

    /// Reads the file from one end to the other, and cuts off what a crash left of the last frame.
    fn examine(&self) -> Result<State, EngineError> {
        let length = self.file.metadata().map_err(|error| failed("reading", &self.path, error))?.len();
        let mut state = State { length, ..State::default() };
        let mut frames = self.frames(0, length);
        while let Some(body) = frames.next_whole()? {
            for (key, value) in writes_of(&body) {
                state.note(key, value.is_some());
            }
            state.end = frames.place;
        }
        let rest = self.read_from(state.end)?;
        if rest.iter().any(|byte| *byte != 0) {
            if let Some(place) = next_durable_frame(&rest, state.end) {
                return Err(self.damaged(state.end, place));
            }
            tracing::warn!(file = %self.path.display(), place = state.end, "the last write was cut off by a crash");
            state.failed = true;
            self.cut_off(&mut state)?;
        }
        Ok(state)
    }

    fn read_from(&self, place: u64) -> Result<Vec<u8>, EngineError> {
        let mut rest = Vec::new();
        let read = At { file: &self.file, place }.read_to_end(&mut rest);
        read.map_err(|error| failed("reading", &self.path, error))?;
        Ok(rest)
    }

    fn damaged(&self, place: u64, later: usize) -> EngineError {
        let what = format!(
            "{} is damaged at byte {place}: {later} bytes further there is what was written after it",
            self.path.display()
        );
        EngineError::new(EngineErrorKind::Corrupt, what)
    }

    fn too_large(&self) -> EngineError {
        let what = format!("a key or a group of writes is too large for {}", self.path.display());
        EngineError::new(EngineErrorKind::Io, what)
    }
}

impl State {
    fn note(&mut self, key: &[u8], is_put: bool) {
        if !is_put || self.largest.as_deref().is_some_and(|largest| key <= largest) {
            self.mixed = true;
        }
        match &mut self.largest {
            Some(largest) => {
                largest.clear();
                largest.extend_from_slice(key);
            }
            None => self.largest = Some(key.to_vec()),
        }
    }
}

/// A file from a place on, whoever else reads or writes it.
struct At<'a> {
    file: &'a File,
    place: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.place)?;
        self.place += count as u64;
        Ok(count)
    }
}

/// The frames of a file, one after another.
struct Frames<'a> {
    path: &'a Path,
    reader: BufReader<At<'a>>,
    /// Where the next one begins.
    place: u64,
    end: u64,
}

impl Frames<'_> {
    /// The body of the next frame; `None` at the end. A frame that is not whole is an error.
    fn next(&mut self) -> Result<Option<Vec<u8>>, EngineError> {
        if self.place >= self.end {
            return Ok(None);
        }
        let body = self.next_whole()?;
        body.map(Some).ok_or_else(|| {
            let what = format!("{} is damaged at byte {}", self.path.display(), self.place);
            EngineError::new(EngineErrorKind::Corrupt, what)
        })
    }

    /// The body of the next frame; `None` when there is no whole one.
    fn next_whole(&mut self) -> Result<Option<Vec<u8>>, EngineError> {
        if self.end.saturating_sub(self.place) < HEADER as u64 {
            return Ok(None);
        }
        let mut header = [0; HEADER];
        self.read(&mut header)?;
        let Some(length) = body_length(&header) else { return Ok(None) };
        if (length as u64) > self.end - self.place - HEADER as u64 {
            return Ok(None);
        }
        let mut body = vec![0; length];
        self.read(&mut body)?;
        if !is_whole(self.place, &header, &body) {
            return Ok(None);
        }
        self.place += (HEADER + length) as u64;
        Ok(Some(body))
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<(), EngineError> {
        self.reader.read_exact(buffer).map_err(|error| failed("reading", self.path, error))
    }
}

/// Puts the frame together that begins at this place. `None` when it is too large to be one.
fn lay_frame(frame: &mut Vec<u8>, writes: &[Write], durability: Durability, place: u64) -> Option<()> {
    frame.clear();
    frame.extend_from_slice(&[0; HEADER]);
    for (key, value) in writes {
        frame.push(u8::try_from(key.len()).ok()?);
        let length = value.as_ref().map_or(Some(REMOVAL), |value| {
            u32::try_from(value.len()).ok().filter(|length| *length != REMOVAL)
        })?;
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(key);
        frame.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    let length = u32::try_from(frame.len() - HEADER).ok()?;
    frame[..3].copy_from_slice(&MAGIC);
    frame[3] = u8::from(durability == Durability::Power);
    frame[4..8].copy_from_slice(&length.to_le_bytes());
    let crc = crc_of(place, &frame[..8], &frame[HEADER..]);
    frame[8..HEADER].copy_from_slice(&crc.to_le_bytes());
    Some(())
}

/// The writes of a body whose CRC is right; it ends where it makes no sense, which it never does.
fn writes_of(mut body: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    std::iter::from_fn(move || {
        let (key_length, rest) = body.split_first()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = u32::from_le_bytes(*length);
        let (key, rest) = rest.split_at_checked(usize::from(*key_length))?;
        if length == REMOVAL {
            body = rest;
            return Some((key, None));
        }
        let (value, rest) = rest.split_at_checked(length as usize)?;
        body = rest;
        Some((key, Some(value)))
    })
}

/// The place is in it, so that no text that someone reports can pass for a frame.
fn crc_of(place: u64, start: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&place.to_le_bytes());
    hasher.update(start);
    hasher.update(body);
    hasher.finalize()
}

/// The length of the body that this header announces; `None` when it is no header.
fn body_length(header: &[u8; HEADER]) -> Option<usize> {
    let [a, b, c, d, ..] = header[4..] else { return None };
    (header[..3] == MAGIC && header[3] <= 1).then(|| u32::from_le_bytes([a, b, c, d]) as usize)
}

fn is_whole(place: u64, header: &[u8; HEADER], body: &[u8]) -> bool {
    crc_of(place, &header[..8], body).to_le_bytes() == header[8..]
}

/// Where the next whole frame begins that was written when all before it was on the disk: so what comes before it was
/// no write that a crash cut off.
fn next_durable_frame(rest: &[u8], begin: u64) -> Option<usize> {
    (1..rest.len()).find(|place| {
        let Some((header, after)) = rest[*place..].split_first_chunk::<HEADER>() else { return false };
        let body = body_length(header).and_then(|length| after.get(..length));
        header[3] == 1 && body.is_some_and(|body| is_whole(begin + *place as u64, header, body))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use tempfile::TempDir;

    use super::*;
    use crate::engine::Engine as _;
    use crate::memory::MemoryEngine;

    fn put(key: u8, size: usize) -> Write {
        (vec![key], Some(vec![key; size]))
    }

    fn all() -> Scan {
        Scan { limit: usize::MAX, ..Scan::default() }
    }

    fn keys(log: &Log) -> Vec<u8> {
        log.scan(&all()).unwrap().iter().map(|(key, _)| key[0]).collect()
    }

    /// A log of frames of these sizes, closed, and where each frame ends.
    fn written(sizes: &[usize], durability: Durability) -> (TempDir, Vec<u64>) {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path()).unwrap();
        let write = |(key, size): (u8, &usize)| {
            log.write(vec![put(key, *size)], durability).unwrap();
            log.state().end
        };
        let ends = (0..).zip(sizes).map(write).collect();
        (folder, ends)
    }

    fn change(folder: &TempDir, change: impl FnOnce(&mut Vec<u8>)) {
        let path = folder.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    #[derive(Debug, Clone)]
    enum Step {
        Write(Vec<Write>),
        Scan(Scan),
        Get(u8),
        Reopen,
    }

    fn step() -> impl Strategy<Value = Step> {
        let value = proptest::option::weighted(0.9, vec(any::<u8>(), 0..20));
        let write = (vec(any::<u8>(), 0..3), value);
        let scan =
            (vec(any::<u8>(), 0..3), proptest::option::of(vec(any::<u8>(), 0..3)), any::<bool>(), 0..9_usize);
        let scan = scan.prop_map(|(start, end, reverse, limit)| Scan { start, end, reverse, limit });
        prop_oneof![
            4 => vec(write, 0..4).prop_map(Step::Write),
            4 => scan.prop_map(Step::Scan),
            1 => any::<u8>().prop_map(Step::Get),
            1 => Just(Step::Reopen),
        ]
    }

    /// Runs the steps on a log and on an engine in memory, which must say the same.
    fn compare(steps: Vec<Step>) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path()).unwrap();
        let memory = MemoryEngine::new();
        for step in steps {
            match step {
                Step::Write(writes) => {
                    log.write(writes.clone(), Durability::Process).unwrap();
                    memory.write("p", writes, Durability::Process).unwrap();
                }
                Step::Scan(scan) => assert_eq!(log.scan(&scan).unwrap(), memory.scan("p", &scan).unwrap()),
                Step::Get(key) => assert_eq!(log.get(&[key]).unwrap(), memory.get("p", &[key]).unwrap()),
                Step::Reopen => log = Log::open(folder.path()).unwrap(),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_log_says_what_an_engine_in_memory_says(steps in vec(step(), 0..40)) {
            compare(steps);
        }

        /// As a journal is used: keys that grow, and scans that go on where the last one ended.
        #[test]
        fn keys_in_order_are_read_piece_by_piece(sizes in vec(vec(0..300_usize, 1..4), 1..40), limit in 1..7_usize) {
            let folder = tempfile::tempdir().unwrap();
            let log = Log::open(folder.path()).unwrap();
            let mut expected = Vec::new();
            for size in sizes {
                let first = expected.len() as u8;
                let writes: Vec<Write> = (first..).zip(size).map(|(key, size)| put(key, size)).collect();
                expected.extend(writes.iter().map(|(key, value)| (key.clone(), value.clone().unwrap())));
                log.write(writes, Durability::Process).unwrap();
            }
            prop_assert!(!log.state().mixed);
            let mut found: Vec<Entry> = Vec::new();
            loop {
                let start = found.last().map_or_else(Vec::new, |(key, _)| [key.as_slice(), &[0]].concat());
                let piece = log.scan(&Scan { start, limit, ..Scan::default() }).unwrap();
                if piece.is_empty() {
                    break;
                }
                found.extend(piece);
            }
            prop_assert_eq!(found, expected);
        }

        /// A loss of power keeps some blocks of the last write, and the length of the file or a part of it.
        #[test]
        fn a_write_that_was_cut_off_leaves_no_trace(
            sizes in vec(0..20_000_usize, 1..6),
            lost in vec(any::<bool>(), 8),
            cut: Index,
        ) {
            let (folder, ends) = written(&sizes, Durability::Power);
            let begin = ends.len().checked_sub(2).map_or(0, |place| ends[place] as usize);
            let end = ends[ends.len() - 1] as usize;
            change(&folder, |bytes| {
                for (block, _) in lost.iter().enumerate().filter(|(_, lost)| **lost) {
                    let from = (begin / 4096 + block) * 4096;
                    bytes[from.max(begin).min(end)..(from + 4096).max(begin).min(end)].fill(0);
                }
                bytes.truncate(end + cut.index(bytes.len() - end + 1));
                if lost[7] {
                    bytes.truncate(begin + cut.index(end - begin));
                }
            });
            let log = Log::open(folder.path()).unwrap();
            let kept = log.state().end;
            prop_assert!(kept == begin as u64 || kept == end as u64);
            let count = if kept == end as u64 { sizes.len() } else { sizes.len() - 1 };
            log.write(vec![put(200, 10)], Durability::Power).unwrap();
            drop(log);
            let expected: Vec<u8> = (0..count as u8).chain([200]).collect();
            prop_assert_eq!(keys(&Log::open(folder.path()).unwrap()), expected);
        }

        /// Whatever turns before the last write is refused: it was acknowledged.
        #[test]
        fn damage_before_the_last_write_is_refused(sizes in vec(0..500_usize, 2..6), place: Index, bits in 1..=255_u8) {
            let (folder, ends) = written(&sizes, Durability::Power);
            let acknowledged = ends[ends.len() - 2] as usize;
            change(&folder, |bytes| bytes[place.index(acknowledged)] ^= bits);
            prop_assert_eq!(Log::open(folder.path()).unwrap_err().kind(), EngineErrorKind::Corrupt);
        }
    }

    #[test]
    fn what_was_not_meant_to_survive_loss_of_power_may_be_lost() {
        let (folder, ends) = written(&[10, 10, 10], Durability::Process);
        change(&folder, |bytes| bytes[ends[0] as usize + HEADER] ^= 1);
        assert_eq!(keys(&Log::open(folder.path()).unwrap()), [0]);
    }

    #[test]
    fn what_a_failed_write_left_is_cut_off_before_the_next() {
        let (folder, ends) = written(&[10], Durability::Power);
        let log = Log::open(folder.path()).unwrap();
        change(&folder, |bytes| bytes[ends[0] as usize..].fill(7));
        log.state().failed = true;
        log.write(vec![put(1, 10)], Durability::Power).unwrap();
        assert!(!log.is_failed());
        assert_eq!(keys(&log), [0, 1]);
        assert_eq!(keys(&Log::open(folder.path()).unwrap()), [0, 1]);
    }

    #[test]
    fn small_writes_find_room_and_large_ones_take_what_they_need() {
        let length = |folder: &TempDir| fs::metadata(folder.path().join(FILE)).unwrap().len();
        let (small, ends) = written(&[10; 50], Durability::Power);
        assert_eq!(length(&small), ends[0] + ROOM as u64);
        let (large, ends) = written(&[SMALL; 50], Durability::Power);
        assert_eq!(length(&large), ends[49]);
    }

    #[test]
    fn a_reported_text_is_no_frame() {
        let (inner, _) = written(&[3], Durability::Power);
        let text = fs::read(inner.path().join(FILE)).unwrap();
        let (folder, _) = written(&[], Durability::Power);
        let log = Log::open(folder.path()).unwrap();
        log.write(vec![(vec![1], Some(text))], Durability::Power).unwrap();
        let end = log.state().end as usize;
        change(&folder, |bytes| bytes[end - 1..].fill(7));
        assert!(keys(&Log::open(folder.path()).unwrap()).is_empty());
    }

    #[test]
    fn keys_and_groups_that_are_too_large_are_refused_and_leave_no_trace() {
        let (folder, _) = written(&[1], Durability::Power);
        let log = Log::open(folder.path()).unwrap();
        let too_long = (vec![0; 256], Some(Vec::new()));
        assert_eq!(log.write(vec![too_long], Durability::Power).unwrap_err().kind(), EngineErrorKind::Io);
        log.write(vec![put(1, 1)], Durability::Power).unwrap();
        assert_eq!(keys(&log), [0, 1]);
    }
}
