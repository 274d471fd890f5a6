//! The bytes of a backup.
//!
//! ```text
//! magic (16 bytes)  frame: head  frame: entries …  frame: end
//! frame = length u32 LE · CRC-32 of the payload u32 LE · payload (postcard)
//! ```
//!
//! The last frame says how many entries there were, so a backup that was cut off between two frames is noticed too.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use vilicus_core::Timestamp;

use crate::backup::BackupError;
use crate::engine::Entry;

/// How every backup begins, whatever its version; the line reads well in a pager, too.
pub(crate) const MAGIC: &[u8; 16] = b"vilicus backup\n\0";
/// The version of what follows.
const VERSION: u16 = 1;
/// No frame is longer: a length that is damaged shall not ask for all the memory there is.
const MAX_FRAME: u32 = 64 * 1024 * 1024;

/// A part of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// The first.
    Head(Head),
    /// What is kept.
    Entries(Entries),
    /// The last.
    End {
        /// How many entries there were.
        entries: u64,
    },
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    version: u16,
    pub(crate) begun: Timestamp,
    pub(crate) made_by: String,
}

impl Head {
    pub(crate) fn new(begun: Timestamp) -> Self {
        Self { version: VERSION, begun, made_by: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// Some entries of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entries {
    pub(crate) partition: String,
    pub(crate) entries: Vec<Entry>,
}

/// A frame as bytes.
pub(crate) fn encode(frame: &Frame) -> Result<Vec<u8>, postcard::Error> {
    // The place of length and checksum, which are known when the payload is.
    let mut bytes = postcard::to_extend(frame, vec![0; 8])?;
    let length = u32::try_from(bytes.len() - 8).map_err(|_| postcard::Error::SerializeBufferFull)?;
    let sum = crc32fast::hash(&bytes[8..]);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// Reads frames, and counts the bytes.
pub(crate) struct Reader<R> {
    from: R,
    read: u64,
    /// Where the frame began that is being read.
    frame: u64,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, read: 0, frame: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// The error that what was read last makes no sense.
    pub(crate) fn damaged(&self) -> BackupError {
        BackupError::Damaged { at: self.frame }
    }

    /// The beginning.
    pub(crate) fn head(&mut self) -> Result<Head, BackupError> {
        let mut magic = [0; MAGIC.len()];
        match self.fill(&mut magic) {
            Ok(()) if &magic == MAGIC => {}
            Ok(()) | Err(BackupError::CutOff { .. }) => return Err(BackupError::NotABackup),
            Err(error) => return Err(error),
        }
        match self.next()? {
            Frame::Head(head) if head.version == VERSION => Ok(head),
            Frame::Head(head) => Err(BackupError::Version(head.version)),
            _ => Err(self.damaged()),
        }
    }

    /// The next frame.
    pub(crate) fn next(&mut self) -> Result<Frame, BackupError> {
        self.frame = self.read;
        let mut head = [0; 8];
        self.fill(&mut head)?;
        let [a, b, c, d, sum @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]);
        if length > MAX_FRAME {
            return Err(self.damaged());
        }
        let mut payload = vec![0; length as usize];
        self.fill(&mut payload)?;
        if crc32fast::hash(&payload) != u32::from_le_bytes(sum) {
            return Err(self.damaged());
        }
        postcard::from_bytes(&payload).map_err(|_| self.damaged())
    }

    /// Nothing comes after the end.
    pub(crate) fn finish(&mut self) -> Result<(), BackupError> {
        match self.from.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(BackupError::Damaged { at: self.read }),
            Err(error) => Err(BackupError::Read(error)),
        }
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<(), BackupError> {
        let mut filled = 0;
        while filled < into.len() {
            match self.from.read(&mut into[filled..]) {
                Ok(0) => return Err(BackupError::CutOff { at: self.read }),
                Ok(read) => (filled, self.read) = (filled + read, self.read + read as u64),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(BackupError::Read(error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backup::verify;

    fn backup(parts: &[Entries]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let entries = parts.iter().map(|part| part.entries.len() as u64).sum();
        let frames = parts.iter().cloned().map(Frame::Entries);
        let head = Frame::Head(Head::new(Timestamp::from_millis(1_000)));
        for frame in std::iter::once(head).chain(frames).chain([Frame::End { entries }]) {
            bytes.extend(encode(&frame).unwrap());
        }
        bytes
    }

    prop_compose! {
        fn part()(
            partition in "[a-z]{1,9}",
            entries in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..9), prop::collection::vec(any::<u8>(), 0..99)), 0..9),
        ) -> Entries {
            Entries { partition, entries }
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(parts in prop::collection::vec(part(), 0..5)) {
            let bytes = backup(&parts);
            let mut reader = Reader::new(bytes.as_slice());
            reader.head().unwrap();
            for part in parts {
                prop_assert_eq!(reader.next().unwrap(), Frame::Entries(part));
            }
            prop_assert_eq!(verify(bytes.as_slice()).unwrap().bytes, bytes.len() as u64);
        }

        #[test]
        fn no_part_of_a_backup_is_one(parts in prop::collection::vec(part(), 0..5), cut in any::<prop::sample::Index>()) {
            let bytes = backup(&parts);
            let cut = cut.index(bytes.len());
            let found = verify(&bytes[..cut]);
            let is_right = match found {
                Err(BackupError::NotABackup) => cut < MAGIC.len(),
                Err(BackupError::CutOff { at }) => at == cut as u64,
                _ => false,
            };
            prop_assert!(is_right, "{found:?}");
        }

        #[test]
        fn a_changed_byte_is_noticed(parts in prop::collection::vec(part(), 0..5), at in any::<prop::sample::Index>(), turn in 1..=u8::MAX) {
            let mut bytes = backup(&parts);
            let at = at.index(bytes.len());
            bytes[at] ^= turn;
            prop_assert!(verify(bytes.as_slice()).is_err());
        }
    }

    #[test]
    fn a_later_version_is_named() {
        let mut head = Head::new(Timestamp::EPOCH);
        head.version = 7;
        let bytes = [MAGIC.to_vec(), encode(&Frame::Head(head)).unwrap()].concat();
        assert!(matches!(verify(bytes.as_slice()), Err(BackupError::Version(7))));
    }

    #[test]
    fn what_follows_the_end_is_no_backup() {
        let mut bytes = backup(&[]);
        bytes.push(0);
        assert!(matches!(verify(bytes.as_slice()), Err(BackupError::Damaged { .. })));
    }
}
