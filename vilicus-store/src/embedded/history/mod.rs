//! History on disk: sealed chunks in weekly partitions, many in a block, and one rollup a chunk in monthly ones.

mod block;
mod cursor;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use vilicus_core::{CheckId, Timestamp};

use crate::embedded::chunk::FromSample;
use crate::embedded::history::cursor::Cursor;
use crate::embedded::period;
use crate::embedded::record::{self, Packing};
use crate::embedded::samples::Sealed;
use crate::embedded::shared::Disk;
use crate::engine::{Durability, Engine, EngineError, Scan, Write};
use crate::query::{HistoryRow, Order, Rollup};

/// The keys of chunks whose samples came in order, and of those that came late.
const IN_ORDER: u8 = b'h';
const LATE: u8 = b'l';
const ROLLUP: &str = "rollup";
/// How the names of weekly partitions begin.
pub(crate) const PREFIX: &str = "history-";

/// Which samples: those in `[since, until)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) check: CheckId,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

impl Span {
    /// Whether a sample of this moment is one of them.
    fn holds(self, moment: Timestamp) -> bool {
        self.since <= moment && moment < self.until
    }
}

/// The first key of a weekly partition after those of blocks: what leads to a block is there, or after it.
pub(crate) fn after_blocks() -> Vec<u8> {
    vec![block::BLOCK + 1]
}

/// Writes sealed chunks down.
#[derive(Debug, Default)]
pub(crate) struct Saver {
    /// The number of the next block of each weekly partition, once it is known.
    next_block: HashMap<String, u32>,
}

impl Saver {
    /// Writes sealed chunks and their rollups down. Chunks of a week share blocks; each has an entry that leads there.
    pub(crate) fn save(
        &mut self,
        engine: &dyn Engine,
        chunks: &[Arc<Sealed>],
        durability: Durability,
    ) -> Result<(), EngineError> {
        let mut weeks: BTreeMap<i64, Vec<&Sealed>> = BTreeMap::new();
        for chunk in chunks {
            weeks.entry(period::week(chunk.first)).or_default().push(chunk);
        }
        for (week, mut chunks) in weeks {
            let partition = period::history_partition(week);
            // Those of one agent lie side by side.
            chunks.sort_by_key(|chunk| (chunk.check, chunk.first));
            let first = self.next_block(engine, &partition)?;
            let (writes, next) = block::pack(first, &chunks, engine.max_value());
            engine.write(&partition, writes, durability)?;
            self.next_block.insert(partition, next);
        }
        save_rollups(engine, chunks, durability)
    }

    fn next_block(&self, engine: &dyn Engine, partition: &str) -> Result<u32, EngineError> {
        match self.next_block.get(partition) {
            Some(next) => Ok(*next),
            None => block::next_after_all(engine, partition),
        }
    }
}

fn save_rollups(
    engine: &dyn Engine,
    chunks: &[Arc<Sealed>],
    durability: Durability,
) -> Result<(), EngineError> {
    let mut writes: BTreeMap<String, Vec<Write>> = BTreeMap::new();
    for chunk in chunks {
        if let Ok(Some(rollup)) = chunk.rollup() {
            let payload = postcard::to_allocvec(&rollup).unwrap_or_default();
            let partition = period::month_partition(ROLLUP, chunk.first);
            put(writes.entry(partition).or_default(), chunk, &payload, engine.max_value());
        }
    }
    for (partition, writes) in writes {
        engine.write(&partition, writes, durability)?;
    }
    Ok(())
}

/// Samples of one check that are written down, by time: all in the span that lie in the first `limit` chunks, and
/// at least `limit` samples when there are so many.
pub(crate) fn load<R: FromSample>(
    disk: Disk<'_>,
    span: Span,
    order: Order,
    limit: usize,
) -> Result<BTreeMap<Timestamp, R>, EngineError> {
    let mut rows = BTreeMap::new();
    for partition in weeks(disk, span, order)? {
        load_late(disk, &partition, span, &mut rows)?;
        load_in_order(disk, &partition, span, order, limit, &mut rows)?;
        if rows.len() >= limit {
            break;
        }
    }
    Ok(rows)
}

/// The samples of one check that came late and are written down, by time.
pub(crate) fn load_belated<R: FromSample>(
    disk: Disk<'_>,
    span: Span,
) -> Result<BTreeMap<Timestamp, R>, EngineError> {
    let mut rows = BTreeMap::new();
    for partition in weeks(disk, span, Order::OldestFirst)? {
        load_late(disk, &partition, span, &mut rows)?;
    }
    Ok(rows)
}

/// The sample of one moment that is written down.
pub(crate) fn find(disk: Disk<'_>, check: CheckId, at: Timestamp) -> Result<Option<HistoryRow>, EngineError> {
    let until = Timestamp::from_millis(at.as_millis().saturating_add(1));
    let span = Span { check, since: at, until };
    Ok(load(disk, span, Order::NewestFirst, 1)?.remove(&at))
}

/// The rollups that are written down of chunks that begin in the span, oldest first.
pub(crate) fn load_rollups(disk: Disk<'_>, span: Span) -> Result<Vec<Rollup>, EngineError> {
    let mut rollups = Vec::new();
    for partition in disk.engine.partitions()?.iter().filter(|name| name.starts_with("rollup-")) {
        for kind in [IN_ORDER, LATE] {
            let mut cursor = Cursor::new(kind, span.check, span.since, span.until, Order::OldestFirst);
            let decode = |payload: &[u8]| postcard::from_bytes::<Rollup>(payload).ok();
            while let Some(more) = cursor.next(disk, partition, decode)? {
                rollups.extend(more);
            }
        }
    }
    rollups.sort_by_key(|rollup| rollup.since);
    Ok(rollups)
}

/// The first moment that the weekly partitions may hold; `None` when there are none.
pub(crate) fn oldest(engine: &dyn Engine) -> Result<Option<Timestamp>, EngineError> {
    let names = engine.partitions()?;
    let ends = names.iter().filter(|name| name.starts_with(PREFIX)).filter_map(|name| period::end_of(name));
    Ok(ends.min().map(|end| period::week_start(period::week(end) - 1)))
}

/// The partitions that hold weeks of the span.
fn weeks(disk: Disk<'_>, span: Span, order: Order) -> Result<Vec<String>, EngineError> {
    let mut weeks: Vec<(Timestamp, String)> = disk
        .engine
        .partitions()?
        .into_iter()
        .filter(|name| name.starts_with(PREFIX))
        .filter_map(|name| Some((period::end_of(&name)?, name)))
        .filter(|(end, _)| *end > span.since && period::week_start(period::week(*end) - 1) < span.until)
        .collect();
    weeks.sort();
    if order == Order::NewestFirst {
        weeks.reverse();
    }
    Ok(weeks.into_iter().map(|(_, name)| name).collect())
}

fn load_late<R: FromSample>(
    disk: Disk<'_>,
    partition: &str,
    span: Span,
    rows: &mut BTreeMap<Timestamp, R>,
) -> Result<(), EngineError> {
    let mut cursor = Cursor::new(LATE, span.check, EARLIEST, span.until, Order::OldestFirst);
    while let Some(places) = cursor.next(disk, partition, block::Place::read)? {
        for place in places {
            add_rows(block::chunk(disk, partition, span, place)?, rows);
        }
    }
    Ok(())
}

const EARLIEST: Timestamp = Timestamp::from_millis(i64::MIN);

fn load_in_order<R: FromSample>(
    disk: Disk<'_>,
    partition: &str,
    span: Span,
    order: Order,
    limit: usize,
    rows: &mut BTreeMap<Timestamp, R>,
) -> Result<(), EngineError> {
    let from = first_chunk(disk, partition, span)?;
    let mut cursor = Cursor::new(IN_ORDER, span.check, from, span.until, order);
    let before = rows.len();
    while let Some(places) = cursor.next(disk, partition, block::Place::read)? {
        for place in places {
            add_rows(block::chunk(disk, partition, span, place)?, rows);
            if rows.len() - before >= limit {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Where the chunk begins that may hold the first moment of the span.
fn first_chunk(disk: Disk<'_>, partition: &str, span: Span) -> Result<Timestamp, EngineError> {
    let scan = Scan {
        start: key(IN_ORDER, span.check, EARLIEST, 0),
        end: Some(key(IN_ORDER, span.check, span.since, u16::MAX)),
        reverse: true,
        limit: 1,
    };
    let entries = disk.engine.scan(partition, &scan)?;
    Ok(entries.first().and_then(|(key, _)| first_of(key)).unwrap_or(span.since))
}

fn add_rows<R>(chunk: Vec<(Timestamp, R)>, rows: &mut BTreeMap<Timestamp, R>) {
    for (moment, row) in chunk {
        rows.entry(moment).or_insert(row);
    }
}

/// What a record about a chunk is written under.
fn put(writes: &mut Vec<Write>, chunk: &Sealed, payload: &[u8], max_value: usize) {
    let kind = if chunk.late { LATE } else { IN_ORDER };
    let parts = record::frame(chunk.first.as_millis() as u64, payload, Packing::Quick, max_value);
    for (part, value) in (0..=u16::MAX).zip(parts) {
        writes.push((key(kind, chunk.check, chunk.first, part), Some(value)));
    }
}

/// Kind, check, first moment, part: in the order of time.
fn key(kind: u8, check: CheckId, first: Timestamp, part: u16) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&check.get().to_be_bytes());
    // With the highest bit turned, negative numbers come first.
    key.extend_from_slice(&(first.as_millis() as u64 ^ 1 << 63).to_be_bytes());
    key.extend_from_slice(&part.to_be_bytes());
    key
}

fn first_of(key: &[u8]) -> Option<Timestamp> {
    let bytes = key.get(9..17)?.try_into().ok()?;
    Some(Timestamp::from_millis((u64::from_be_bytes(bytes) ^ 1 << 63) as i64))
}
