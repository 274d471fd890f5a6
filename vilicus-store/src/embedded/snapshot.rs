//! A backup of what the engine holds, made while the writer works on.
//!
//! The order makes it whole. First the newest complete checkpoint is held, with the journal after it: the writer drops
//! neither. Then history is copied, which grows meanwhile; then the journal, up to the record that is durable by then;
//! last the checkpoint. So the copy is what a loss of power at that record would have left, and the way back is that
//! of every start: what history lacks of the time since the checkpoint is made anew from the journal.

use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;
use vilicus_core::{Millis, Timestamp};

use crate::backup::{Backup, Entries, Frame, Head, MAGIC, encode};
use crate::embedded::shared::{Held, Shared};
use crate::embedded::{checkpoint, history, journal};
use crate::engine::{Engine, EngineError, EngineErrorKind, Entry, Scan};
use crate::error::StoreError;

/// Entries are read so many at a time …
const BATCH: usize = 64;
/// … and a frame is sent when it has so many bytes.
const FRAME: usize = 512 * 1024;
/// When to ask again while another one is being made.
const RETRY: Millis = Millis::from_secs(30);
/// What is of this life of the store only.
const OURS: [&str; 2] = ["probe", "quarantine"];

/// Why a copy ended early.
enum End {
    /// Nobody reads it any longer.
    Unwanted,
    /// The engine can't read.
    Failed(EngineError),
}

impl From<EngineError> for End {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

/// Begins one, in a thread of its own; it goes on as its reader takes what there is.
pub(crate) async fn begin<E: Engine>(
    engine: Arc<E>,
    shared: Arc<Shared>,
    now: Timestamp,
) -> Result<Backup, StoreError> {
    let (pieces, backup) = Backup::channel();
    let (holding, held) = oneshot::channel();
    let work = move || {
        let held = match shared.hold_newest(engine.as_ref()) {
            Ok(Some(held)) => held,
            Ok(None) => return drop(holding.send(Err(StoreError::Busy { retry_after: RETRY }))),
            Err(error) => return drop(holding.send(Err(super::read_error(error)))),
        };
        // Whoever asked may have gone; the first piece notices.
        let _ = holding.send(Ok(()));
        copy(engine.as_ref(), &shared, &held, now, &pieces);
    };
    thread::Builder::new().name("vilicus-backup".to_owned()).spawn(work).map_err(|error| {
        let what = "no thread can be started";
        StoreError::Unreadable(EngineError::new(EngineErrorKind::Io, what).source(error))
    })?;
    held.await.unwrap_or(Err(StoreError::Closed))?;
    Ok(backup)
}

/// Writes everything to `to`, piece by piece, and waits for its reader. Blocks.
fn copy(
    engine: &dyn Engine,
    shared: &Shared,
    held: &Held<'_>,
    now: Timestamp,
    to: &Sender<Result<Vec<u8>, StoreError>>,
) {
    let mut copy = Copy { engine, to, entries: 0 };
    match copy.everything(shared, held.checkpoint(), now) {
        Ok(()) | Err(End::Unwanted) => {}
        Err(End::Failed(error)) => {
            // The reader may be gone by now; then nobody wants to know.
            let _ = to.blocking_send(Err(StoreError::Unreadable(error)));
        }
    }
}

struct Copy<'a> {
    engine: &'a dyn Engine,
    to: &'a Sender<Result<Vec<u8>, StoreError>>,
    entries: u64,
}

impl Copy<'_> {
    fn everything(&mut self, shared: &Shared, held: u64, now: Timestamp) -> Result<(), End> {
        self.send(MAGIC.to_vec())?;
        self.frame(&Frame::Head(Head::new(now)))?;
        self.history()?;
        self.journal(held, shared.durable())?;
        self.range(&checkpoint::partition_of(held), Vec::new(), None)?;
        self.frame(&Frame::End { entries: self.entries })
    }

    /// Everything but journal and checkpoints. What leads to another entry is copied before it, so that everything is
    /// there that something copied leads to: of events and messages in the order of keys, of results blocks last.
    fn history(&mut self) -> Result<(), End> {
        let is_history = |name: &String| {
            !name.starts_with(journal::PREFIX)
                && !name.starts_with(checkpoint::PREFIX)
                && !OURS.contains(&name.as_str())
        };
        for name in self.engine.partitions()?.into_iter().filter(is_history) {
            if name.starts_with(history::PREFIX) {
                self.range(&name, history::after_blocks(), None)?;
                self.range(&name, Vec::new(), Some(history::after_blocks()))?;
            } else {
                self.range(&name, Vec::new(), None)?;
            }
        }
        Ok(())
    }

    /// The records after the checkpoint, up to this one.
    fn journal(&mut self, after: u64, last: u64) -> Result<(), End> {
        for (_, name) in journal::partitions(self.engine)? {
            let (start, end) = journal::keys_between(after, last);
            self.range(&name, start, Some(end))?;
        }
        Ok(())
    }

    /// The entries of a partition from `start` on and before `end`.
    fn range(&mut self, name: &str, start: Vec<u8>, end: Option<Vec<u8>>) -> Result<(), End> {
        let mut scan = Scan { start, end, reverse: false, limit: BATCH };
        let mut gathered = Vec::new();
        let mut bytes = 0;
        loop {
            let entries = self.engine.scan(name, &scan)?;
            let Some((last, _)) = entries.last() else { break };
            scan.start.clone_from(last);
            scan.start.push(0);
            bytes += entries.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
            gathered.extend(entries);
            if bytes >= FRAME {
                self.entries(name, std::mem::take(&mut gathered))?;
                bytes = 0;
            }
        }
        self.entries(name, gathered)
    }

    fn entries(&mut self, partition: &str, entries: Vec<Entry>) -> Result<(), End> {
        if entries.is_empty() {
            return Ok(());
        }
        self.entries += entries.len() as u64;
        self.frame(&Frame::Entries(Entries { partition: partition.to_owned(), entries }))
    }

    fn frame(&self, frame: &Frame) -> Result<(), End> {
        let bytes = encode(frame).map_err(|error| {
            let what = "a part of the backup cannot be encoded";
            End::Failed(EngineError::new(EngineErrorKind::Io, what).source(error))
        })?;
        self.send(bytes)
    }

    fn send(&self, bytes: Vec<u8>) -> Result<(), End> {
        self.to.blocking_send(Ok(bytes)).map_err(|_| End::Unwanted)
    }
}
