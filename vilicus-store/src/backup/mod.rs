//! Backups: a whole store as one stream of bytes, and back.
//!
//! [`Store::backup`](crate::Store::backup) makes one while the store works on; [`verify`] reads one without keeping
//! anything; [`restore`] fills an empty engine with it, and [`url::restore`](crate::url::restore) a store by its address.
//!
//! | room | what it is for |
//! |---|---|
//! | `format` | the bytes: frames with checksums, from the first to the one that says how many there were |
//! | here | what is done with them |

mod format;

use std::fmt;
use std::io::{self, Read};

use tokio::sync::mpsc;
use vilicus_core::Timestamp;

pub(crate) use self::format::{Entries, Frame, Head, MAGIC, encode};
use crate::engine::{Durability, Engine, EngineError, Write};
use crate::error::StoreError;

/// Where a store that is being restored says so: what a cut-off restore left is none.
pub(crate) const RESTORING: &str = "restoring";
/// So many entries are written at a time: engines hold on to what a write replaces until it is over.
const WRITES: usize = 256;
/// Pieces that are made before their reader takes them.
const AHEAD: usize = 2;

/// A backup that is being made. Dropping it ends the making.
pub struct Backup {
    pieces: mpsc::Receiver<Result<Vec<u8>, StoreError>>,
    /// What [`Read`] has not handed out yet of the piece before.
    rest: io::Cursor<Vec<u8>>,
}

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backup").finish_non_exhaustive()
    }
}

impl Backup {
    /// A backup whose pieces come from elsewhere: what a store returns that makes its own. The pieces in their order
    /// are the bytes; an error is the last of them.
    #[must_use]
    pub fn channel() -> (mpsc::Sender<Result<Vec<u8>, StoreError>>, Self) {
        let (sender, pieces) = mpsc::channel(AHEAD);
        (sender, Self { pieces, rest: io::Cursor::default() })
    }

    /// The next bytes; `None` at the end. After an error what came before is no backup.
    ///
    /// # Errors
    /// The store can't read.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, StoreError>> {
        self.pieces.recv().await
    }
}

/// For threads without a runtime: blocks until the next bytes are there.
impl Read for Backup {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.rest.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            match self.pieces.blocking_recv() {
                Some(piece) => self.rest = io::Cursor::new(piece.map_err(io::Error::other)?),
                None => return Ok(0),
            }
        }
    }
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// When it was begun.
    pub begun: Timestamp,
    /// The version of vilicus that made it.
    pub made_by: String,
    /// How many entries it has.
    pub entries: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// A backup can't be read, or can't be restored here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It does not begin as a backup does.
    #[error("this is no backup of vilicus")]
    NotABackup,
    /// A later version made it.
    #[error("this backup has the format {0}, which this version of vilicus does not know; use a newer one")]
    Version(u16),
    /// A part of it is not what was written.
    #[error("the backup is damaged at byte {at}; nothing after it can be trusted, take another one")]
    Damaged {
        /// Where, in bytes from its beginning.
        at: u64,
    },
    /// It ends before its end.
    #[error("the backup ends early, after {at} bytes; it was not written to its end, take another one")]
    CutOff {
        /// How long it is, in bytes.
        at: u64,
    },
    /// There is a store already, and nothing is written over one.
    #[error("there is a store already; move it aside first")]
    NotEmpty,
    /// The backup can't be read.
    #[error("the backup cannot be read")]
    Read(#[source] io::Error),
    /// The engine can't keep it.
    #[error("the store cannot be written")]
    Engine(#[from] EngineError),
}

/// Reads a backup to its end, and says what it holds. Blocks.
///
/// # Errors
/// It is none, or not whole.
pub fn verify(backup: impl Read) -> Result<Summary, BackupError> {
    walk(backup, |_| Ok(()))
}

/// Fills an empty engine with a backup. Blocks. A store that is opened over it afterwards goes on where the backup was
/// made.
///
/// # Errors
/// The engine is not empty, the backup is none or not whole, or the engine can't write. What is left of a restore that
/// failed can't be opened as a store: remove it.
pub fn restore(engine: &dyn Engine, backup: impl Read) -> Result<Summary, BackupError> {
    if !engine.partitions()?.is_empty() {
        return Err(BackupError::NotEmpty);
    }
    let mark = (b"restoring".to_vec(), Some(vec![1]));
    engine.write(RESTORING, vec![mark], Durability::Power)?;
    let summary = walk(backup, |entries| {
        let mut writes = entries.entries.into_iter().map(|(key, value)| (key, Some(value)));
        loop {
            let some: Vec<Write> = writes.by_ref().take(WRITES).collect();
            if some.is_empty() {
                return Ok(());
            }
            engine.write(&entries.partition, some, Durability::Power)?;
        }
    })?;
    engine.drop_partition(RESTORING)?;
    Ok(summary)
}

fn walk(
    backup: impl Read,
    mut take: impl FnMut(Entries) -> Result<(), BackupError>,
) -> Result<Summary, BackupError> {
    let mut reader = format::Reader::new(backup);
    let head = reader.head()?;
    let mut count = 0;
    loop {
        match reader.next()? {
            Frame::Entries(entries) => {
                count += entries.entries.len() as u64;
                take(entries)?;
            }
            Frame::End { entries } if entries == count => break,
            Frame::End { .. } | Frame::Head(_) => return Err(reader.damaged()),
        }
    }
    reader.finish()?;
    Ok(Summary { begun: head.begun, made_by: head.made_by, entries: count, bytes: reader.read() })
}
