//! The journal: one record a group of commits, written and synced before any of them is answered.
//!
//! A record is one atomic write; its parts share a key prefix, the sequence number. Sequence numbers have no gaps,
//! so a record that is missing in the middle is noticed. Partitions are named after the first record that they hold.

use crate::embedded::effect::{self, Effect};
use crate::embedded::record::{self, BadRecord, Packing, Parts};
use crate::engine::{Durability, Engine, EngineError, EngineErrorKind, Scan};

/// The first part of the names of journal partitions.
pub(crate) const PREFIX: &str = "journal-";
/// A partition that has grown to so many bytes is followed by a new one.
const ROTATE_AT: u64 = 64 * 1024 * 1024;
/// Records are read so many values at a time.
const BATCH: usize = 64;
/// Where records go that can't be read.
const QUARANTINE: &str = "quarantine";

/// The end of the journal, where records are added.
#[derive(Debug)]
pub(crate) struct Journal {
    partition: String,
    /// The record that was written last.
    last: u64,
    /// The bytes in the newest partition.
    bytes: u64,
}

impl Journal {
    /// The journal after this record. It goes on in a new partition, so that no damaged one is added to.
    pub(crate) fn after(last: u64) -> Self {
        Self { partition: partition_of(last.saturating_add(1)), last, bytes: 0 }
    }

    /// The record that was written last.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The bytes in the newest partition.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Goes on in a new partition, unless the newest is empty.
    pub(crate) fn rotate(&mut self) {
        if self.bytes > 0 {
            *self = Self::after(self.last);
        }
    }

    /// Writes the next record, and returns when it is durable.
    pub(crate) fn append(
        &mut self,
        engine: &dyn Engine,
        payload: &[u8],
        durability: Durability,
    ) -> Result<(), EngineError> {
        let sequence = self.last.saturating_add(1);
        if payload.len() > record::max_payload(engine.max_value()) {
            let what = format!("a group of {} bytes is more than a record holds", payload.len());
            return Err(EngineError::new(EngineErrorKind::Io, what));
        }
        if self.bytes >= ROTATE_AT {
            self.rotate();
        }
        let parts = record::frame(sequence, payload, Packing::Quick, engine.max_value());
        let bytes: usize = parts.iter().map(Vec::len).sum();
        let writes = (0..=u16::MAX).zip(parts).map(|(part, value)| (key(sequence, part), Some(value)));
        engine.write(&self.partition, writes.collect(), durability)?;
        self.bytes += bytes as u64;
        self.last = sequence;
        Ok(())
    }
}

/// What reading the journal came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// The last record that was read.
    pub(crate) last: u64,
    /// The records at the very end that could not be read and were set aside.
    pub(crate) quarantined: u64,
}

/// Reads the records after `after`, in order, and hands each to `apply`.
///
/// A record at the very end that can't be read was being written when the power went: it is set aside. One in the
/// middle, or a gap, means that answers were given that can't be kept: that is refused.
pub(crate) fn replay(
    engine: &dyn Engine,
    after: u64,
    apply: &mut dyn FnMut(u64, Vec<Effect>),
) -> Result<Replayed, EngineError> {
    let mut replayed = Replayed { last: after, quarantined: 0 };
    let mut bad: Option<Bad> = None;
    let mut partitions = partitions(engine)?.into_iter().peekable();
    while let Some((_, partition)) = partitions.next() {
        if partitions.peek().is_some_and(|(next, _)| *next <= after.saturating_add(1)) {
            continue;
        }
        let mut start = key(after.saturating_add(1), 0);
        loop {
            let scan = Scan { start: start.clone(), end: None, reverse: false, limit: BATCH };
            let entries = engine.scan(&partition, &scan)?;
            let Some((last_key, _)) = entries.last() else { break };
            start.clone_from(last_key);
            start.push(0);
            let mut reader = Reader { partition: &partition, replayed: &mut replayed, bad: &mut bad };
            for (key, value) in entries {
                reader.take(&key, &value, apply)?;
            }
        }
        if let Some(bad) = &mut bad {
            bad.parts_are_over();
        }
    }
    match bad {
        Some(bad) if bad.is_bad => set_aside(engine, &bad, &mut replayed)?,
        Some(bad) if bad.has_parts() => set_aside(engine, &bad, &mut replayed)?,
        _ => {}
    }
    Ok(replayed)
}

/// The journal partitions with their first records, in order.
pub(crate) fn partitions(engine: &dyn Engine) -> Result<Vec<(u64, String)>, EngineError> {
    let names = engine.partitions()?.into_iter();
    let mut found: Vec<(u64, String)> =
        names.filter_map(|name| Some((name.strip_prefix(PREFIX)?.parse().ok()?, name))).collect();
    found.sort();
    Ok(found)
}

/// Drops the partitions all of whose records are at or before `covered`.
pub(crate) fn drop_covered(engine: &dyn Engine, covered: u64) -> Result<(), EngineError> {
    let partitions = partitions(engine)?;
    for pair in partitions.windows(2) {
        if pair[1].0 <= covered.saturating_add(1) {
            engine.drop_partition(&pair[0].1)?;
        }
    }
    Ok(())
}

/// The keys of the records after `after`, up to `last`: the first of them, and the first that is too large.
pub(crate) fn keys_between(after: u64, last: u64) -> (Vec<u8>, Vec<u8>) {
    (key(after.saturating_add(1), 0), key(last.saturating_add(1), 0))
}

fn partition_of(first: u64) -> String {
    // As wide as the largest number, so that the order of names is the order of records.
    format!("{PREFIX}{first:020}")
}

fn key(sequence: u64, part: u16) -> Vec<u8> {
    let mut key = sequence.to_be_bytes().to_vec();
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// The record that is being put together, or that can't be read.
#[derive(Debug, Default)]
struct Bad {
    partition: String,
    sequence: u64,
    parts: Parts,
    keys: Vec<Vec<u8>>,
    is_bad: bool,
}

impl Bad {
    fn has_parts(&self) -> bool {
        !self.keys.is_empty()
    }

    fn parts_are_over(&mut self) {
        self.is_bad |= self.has_parts();
    }
}

struct Reader<'a> {
    partition: &'a str,
    replayed: &'a mut Replayed,
    bad: &'a mut Option<Bad>,
}

impl Reader<'_> {
    fn take(
        &mut self,
        key: &[u8],
        value: &[u8],
        apply: &mut dyn FnMut(u64, Vec<Effect>),
    ) -> Result<(), EngineError> {
        let sequence = key.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let mut current = match self.bad.take() {
            Some(bad) if bad.sequence == sequence => bad,
            Some(bad) if bad.is_bad || bad.has_parts() => return Err(self.refuse(bad.sequence)),
            _ => Bad { partition: self.partition.to_owned(), sequence, ..Bad::default() },
        };
        if sequence != self.replayed.last.saturating_add(1) {
            return Err(self.refuse(self.replayed.last.saturating_add(1)));
        }
        current.keys.push(key.to_vec());
        match current.parts.push(value) {
            Ok(false) => {}
            Ok(true) => match finish(&mut current) {
                Some(effects) => {
                    apply(sequence, effects);
                    self.replayed.last = sequence;
                    return Ok(());
                }
                None => current.is_bad = true,
            },
            Err(error @ BadRecord::Version(_)) => {
                let what = format!("the journal partition {} is from a later version", self.partition);
                return Err(EngineError::new(EngineErrorKind::Corrupt, what).source(error));
            }
            Err(BadRecord::Damaged) => current.is_bad = true,
        }
        *self.bad = Some(current);
        Ok(())
    }

    fn refuse(&self, sequence: u64) -> EngineError {
        let what = format!("record {sequence} of the journal, in {}, is damaged or missing", self.partition);
        EngineError::new(EngineErrorKind::Corrupt, what)
    }
}

fn finish(current: &mut Bad) -> Option<Vec<Effect>> {
    let (sequence, payload) = std::mem::take(&mut current.parts).finish().ok()?;
    if sequence == current.sequence { effect::read(&payload) } else { None }
}

/// Moves the last record out of the way, and counts it.
fn set_aside(engine: &dyn Engine, bad: &Bad, replayed: &mut Replayed) -> Result<(), EngineError> {
    let mut copies = Vec::new();
    for key in &bad.keys {
        if let Some(value) = engine.get(&bad.partition, key)? {
            copies.push((key.clone(), Some(value)));
        }
    }
    engine.write(QUARANTINE, copies, Durability::Power)?;
    let removals = bad.keys.iter().map(|key| (key.clone(), None)).collect();
    engine.write(&bad.partition, removals, Durability::Power)?;
    replayed.quarantined += 1;
    tracing::error!(sequence = bad.sequence, "the last record of the journal is damaged and was set aside");
    Ok(())
}
