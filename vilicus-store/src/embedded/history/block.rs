//! Blocks: chunks that were sealed at about the same time, side by side in one record.
//!
//! A record a chunk would be a small value each at any place, which an embedded engine writes several times over. Blocks
//! are added one after another; what is small and lies anywhere is only the entry that says where a chunk is.

use super::{Span, put};
use crate::embedded::chunk::{self, FromSample, write_number};
use crate::embedded::record::{self, Packing};
use crate::embedded::samples::Sealed;
use crate::embedded::shared::Disk;
use crate::engine::{Engine, EngineError, Scan, Write};
use serde::{Deserialize, Serialize};
use vilicus_core::Timestamp;

/// The keys of blocks: this, the number (4 bytes) and the part (2 bytes).
pub(super) const BLOCK: u8 = b'd';
/// A block holds about so many bytes: few enough to be one value when packed, and to be read for a single chunk.
const BLOCK_BYTES: usize = 32 * 1024;

/// Where a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    block: u32,
    /// Which of its chunks, from 0.
    nth: u32,
}

impl Place {
    /// Reads the entry of a chunk.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        postcard::from_bytes(payload).ok()
    }
}

/// The blocks of these chunks from this number on, then their entries; and the number of the next block.
pub(super) fn pack(first: u32, chunks: &[&Sealed], max_value: usize) -> (Vec<Write>, u32) {
    let (mut blocks, mut entries) = (Vec::new(), Vec::new());
    let (mut block, mut payload, mut nth) = (first, Vec::new(), 0);
    for chunk in chunks {
        let place = postcard::to_allocvec(&Place { block, nth }).unwrap_or_default();
        put(&mut entries, chunk, &place, max_value);
        write_chunk(&mut payload, chunk);
        nth += 1;
        if payload.len() >= BLOCK_BYTES {
            put_block(&mut blocks, block, &payload, max_value);
            payload.clear();
            (block, nth) = (block.saturating_add(1), 0);
        }
    }
    if !payload.is_empty() {
        put_block(&mut blocks, block, &payload, max_value);
        block = block.saturating_add(1);
    }
    blocks.append(&mut entries);
    (blocks, block)
}

fn write_chunk(payload: &mut Vec<u8>, chunk: &Sealed) {
    write_number(payload, chunk.check.get());
    write_number(payload, chunk.count.into());
    write_number(payload, chunk.bytes.len() as u64);
    payload.extend_from_slice(&chunk.bytes);
}

fn put_block(writes: &mut Vec<Write>, number: u32, payload: &[u8], max_value: usize) {
    let parts = record::frame(number.into(), payload, Packing::Tight, max_value);
    for (part, value) in (0..=u16::MAX).zip(parts) {
        writes.push((key(number, part), Some(value)));
    }
}

fn key(number: u32, part: u16) -> Vec<u8> {
    let mut key = vec![BLOCK];
    key.extend_from_slice(&number.to_be_bytes());
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// The number after that of the last block of a partition.
pub(super) fn next_after_all(engine: &dyn Engine, partition: &str) -> Result<u32, EngineError> {
    let scan = Scan { start: vec![BLOCK], end: Some(vec![BLOCK + 1]), reverse: true, limit: 1 };
    let entries = engine.scan(partition, &scan)?;
    let last = entries.first().and_then(|(key, _)| key.get(1..5)?.try_into().ok()).map(u32::from_be_bytes);
    Ok(last.map_or(0, |last| last.saturating_add(1)))
}

/// The samples of a chunk that are in the span; none when it cannot be read, which is noted.
pub(super) fn chunk<R: FromSample>(
    disk: Disk<'_>,
    partition: &str,
    span: Span,
    place: Place,
) -> Result<Vec<(Timestamp, R)>, EngineError> {
    let payload = read_block(disk, partition, place.block)?;
    let rows = payload.and_then(|payload| chunk_in(&payload, place.nth, span));
    if rows.is_none() {
        disk.damaged.note(partition, &key(place.block, 0));
    }
    Ok(rows.unwrap_or_default())
}

fn read_block(disk: Disk<'_>, partition: &str, number: u32) -> Result<Option<Vec<u8>>, EngineError> {
    let mut parts = record::Parts::default();
    for part in 0..=u16::MAX {
        let Some(value) = disk.engine.get(partition, &key(number, part))? else { return Ok(None) };
        match parts.push(&value) {
            Ok(true) => return Ok(parts.finish().ok().map(|(_, payload)| payload)),
            Ok(false) => {}
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}

/// The samples of one chunk of a block that are in the span, when it is there and of this check.
fn chunk_in<R: FromSample>(payload: &[u8], nth: u32, span: Span) -> Option<Vec<(Timestamp, R)>> {
    let mut rest = payload;
    for at in 0..=nth {
        let (check, after) = postcard::take_from_bytes::<u64>(rest).ok()?;
        let (count, after) = postcard::take_from_bytes::<u32>(after).ok()?;
        let (length, after) = postcard::take_from_bytes::<u32>(after).ok()?;
        let (bytes, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
        if at == nth {
            if check != span.check.get() {
                return None;
            }
            return chunk::read(bytes, count, |moment| span.holds(moment)).ok();
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::HistoryRow;
    use proptest::prelude::*;
    use vilicus_core::CheckId;

    fn sealed(check: u64, bytes: usize) -> Sealed {
        let (first, last) = (Timestamp::from_millis(check as i64), Timestamp::EPOCH);
        Sealed {
            check: CheckId::new(check).unwrap(),
            late: false,
            first,
            last,
            count: 0,
            bytes: vec![7; bytes],
        }
    }

    #[test]
    fn blocks_are_filled_and_every_chunk_has_its_entry() {
        let chunks: Vec<Sealed> = (1..=100).map(|check| sealed(check, 1000)).collect();
        let (writes, next) = pack(5, &chunks.iter().collect::<Vec<_>>(), 24 * 1024);
        let blocks = writes.iter().filter(|(key, _)| key[0] == BLOCK).count();
        assert_eq!((blocks, next), (4, 9));
        assert_eq!(writes.len() - blocks, 100);
        assert!(writes[..blocks].iter().all(|(key, _)| key[0] == BLOCK), "they come first");
        let (_, value) = &writes[writes.len() - 1];
        let mut parts = record::Parts::default();
        assert!(parts.push(value.as_ref().unwrap()).unwrap());
        assert_eq!(Place::read(&parts.finish().unwrap().1), Some(Place { block: 8, nth: 0 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), nth in 0..5_u32) {
            let span = Span { check: CheckId::new(7).unwrap(), since: Timestamp::EPOCH, until: Timestamp::MAX };
            let _ = chunk_in::<HistoryRow>(&bytes, nth, span);
        }
    }
}
