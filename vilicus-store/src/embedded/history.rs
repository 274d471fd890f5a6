//! History on disk: sealed chunks in weekly partitions, and one rollup a chunk in monthly ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use vilicus_core::{CheckId, Timestamp};

use crate::embedded::chunk::write_number;
use crate::embedded::period;
use crate::embedded::record;
use crate::embedded::samples::Sealed;
use crate::embedded::shared::Disk;
use crate::engine::{Durability, Engine, EngineError, Scan, Write};
use crate::query::{HistoryRow, Order, Rollup};

/// The keys of chunks whose samples came in order, and of those that came late.
const IN_ORDER: u8 = b'h';
const LATE: u8 = b'l';
const ROLLUP: &str = "rollup";
/// Chunks are read so many values at a time.
const BATCH: usize = 16;

/// Which samples: those in `[since, until)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) check: CheckId,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

/// Writes sealed chunks and their rollups down.
pub(crate) fn save(
    engine: &dyn Engine,
    chunks: &[Arc<Sealed>],
    durability: Durability,
) -> Result<(), EngineError> {
    let mut writes: BTreeMap<String, Vec<Write>> = BTreeMap::new();
    for chunk in chunks {
        let partition = period::history_partition(period::week(chunk.first));
        let kind = if chunk.late { LATE } else { IN_ORDER };
        let writes_of = writes.entry(partition).or_default();
        put(writes_of, kind, chunk.check, chunk.first, &encode(chunk), engine.max_value());
        if let Ok(Some(rollup)) = chunk.rollup() {
            let payload = postcard::to_allocvec(&rollup).unwrap_or_default();
            let partition = period::month_partition(ROLLUP, chunk.first);
            let writes_of = writes.entry(partition).or_default();
            put(writes_of, kind, chunk.check, chunk.first, &payload, engine.max_value());
        }
    }
    for (partition, writes) in writes {
        engine.write(&partition, writes, durability)?;
    }
    Ok(())
}

/// Samples of one check that are written down, by time: all in the span that lie in the first `limit` chunks, and
/// at least `limit` samples when there are so many.
pub(crate) fn load(
    disk: Disk<'_>,
    span: Span,
    order: Order,
    limit: usize,
) -> Result<BTreeMap<Timestamp, HistoryRow>, EngineError> {
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
    let ends =
        names.iter().filter(|name| name.starts_with("history-")).filter_map(|name| period::end_of(name));
    Ok(ends.min().map(|end| period::week_start(period::week(end) - 1)))
}

/// The partitions that hold weeks of the span.
fn weeks(disk: Disk<'_>, span: Span, order: Order) -> Result<Vec<String>, EngineError> {
    let mut weeks: Vec<(Timestamp, String)> = disk
        .engine
        .partitions()?
        .into_iter()
        .filter(|name| name.starts_with("history-"))
        .filter_map(|name| Some((period::end_of(&name)?, name)))
        .filter(|(end, _)| *end > span.since && period::week_start(period::week(*end) - 1) < span.until)
        .collect();
    weeks.sort();
    if order == Order::NewestFirst {
        weeks.reverse();
    }
    Ok(weeks.into_iter().map(|(_, name)| name).collect())
}

fn load_late(
    disk: Disk<'_>,
    partition: &str,
    span: Span,
    rows: &mut BTreeMap<Timestamp, HistoryRow>,
) -> Result<(), EngineError> {
    let mut cursor = Cursor::new(LATE, span.check, EARLIEST, span.until, Order::OldestFirst);
    while let Some(chunks) = cursor.next(disk, partition, decode)? {
        chunks.into_iter().for_each(|chunk| add_rows(chunk, span, rows));
    }
    Ok(())
}

const EARLIEST: Timestamp = Timestamp::from_millis(i64::MIN);

fn load_in_order(
    disk: Disk<'_>,
    partition: &str,
    span: Span,
    order: Order,
    limit: usize,
    rows: &mut BTreeMap<Timestamp, HistoryRow>,
) -> Result<(), EngineError> {
    let from = first_chunk(disk, partition, span)?;
    let mut cursor = Cursor::new(IN_ORDER, span.check, from, span.until, order);
    let before = rows.len();
    while let Some(chunks) = cursor.next(disk, partition, decode)? {
        chunks.into_iter().for_each(|chunk| add_rows(chunk, span, rows));
        if rows.len() - before >= limit {
            break;
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

fn add_rows(chunk: Vec<HistoryRow>, span: Span, rows: &mut BTreeMap<Timestamp, HistoryRow>) {
    for row in chunk.into_iter().filter(|row| span.since <= row.timestamp && row.timestamp < span.until) {
        rows.entry(row.timestamp).or_insert(row);
    }
}

fn encode(chunk: &Sealed) -> Vec<u8> {
    let mut payload = Vec::with_capacity(chunk.bytes.len() + 5);
    write_number(&mut payload, chunk.count.into());
    payload.extend_from_slice(&chunk.bytes);
    payload
}

fn decode(payload: &[u8]) -> Option<Vec<HistoryRow>> {
    let (count, bytes) = postcard::take_from_bytes::<u32>(payload).ok()?;
    super::chunk::read(bytes, count).ok()
}

fn put(
    writes: &mut Vec<Write>,
    kind: u8,
    check: CheckId,
    first: Timestamp,
    payload: &[u8],
    max_value: usize,
) {
    let parts = record::frame(first.as_millis() as u64, payload, max_value);
    for (part, value) in (0..=u16::MAX).zip(parts) {
        writes.push((key(kind, check, first, part), Some(value)));
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

/// Reads the records of one check in the order of their first moments.
struct Cursor {
    start: Vec<u8>,
    end: Vec<u8>,
    reverse: bool,
    /// Values of a record whose other parts were not read yet.
    carried: Vec<Vec<u8>>,
    done: bool,
}

impl Cursor {
    fn new(kind: u8, check: CheckId, since: Timestamp, until: Timestamp, order: Order) -> Self {
        Self {
            start: key(kind, check, since, 0),
            end: key(kind, check, until, 0),
            reverse: order == Order::NewestFirst,
            carried: Vec::new(),
            done: false,
        }
    }

    /// What the next records hold; `None` at the end. What can't be read is left out, and noted.
    fn next<T>(
        &mut self,
        disk: Disk<'_>,
        partition: &str,
        decode: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<Vec<T>>, EngineError> {
        if self.done || self.start >= self.end {
            return Ok(None);
        }
        let scan = Scan {
            start: self.start.clone(),
            end: Some(self.end.clone()),
            reverse: self.reverse,
            limit: BATCH,
        };
        let entries = disk.engine.scan(partition, &scan)?;
        self.done = entries.len() < BATCH;
        if let Some((key, _)) = entries.last() {
            if self.reverse {
                self.end.clone_from(key);
            } else {
                self.start.clone_from(key);
                self.start.push(0);
            }
        }
        let mut found = Vec::new();
        for (key, value) in entries {
            match self.join(&key, value) {
                Joined::Whole(payload) => match decode(&payload) {
                    Some(value) => found.push(value),
                    None => disk.damaged.note(partition, &key),
                },
                Joined::Damaged => disk.damaged.note(partition, &key),
                Joined::Part => {}
            }
        }
        Ok(Some(found))
    }

    /// Adds the next value. Parts come first to last, or last to first when reading backwards.
    fn join(&mut self, key: &[u8], value: Vec<u8>) -> Joined {
        let is_first = key.ends_with(&[0, 0]);
        if is_first && !self.reverse {
            self.carried.clear();
        }
        self.carried.push(value);
        let mut parts = record::Parts::default();
        let complete = if self.reverse {
            self.carried.iter().rev().map(|part| parts.push(part)).last()
        } else {
            self.carried.iter().map(|part| parts.push(part)).last()
        };
        match complete {
            Some(Ok(true)) => {
                self.carried.clear();
                parts.finish().map_or(Joined::Damaged, |(_, payload)| Joined::Whole(payload))
            }
            // Backwards, a record is complete with its first part, or never.
            Some(Err(_)) if is_first => Joined::Damaged,
            Some(Ok(false)) if is_first && self.reverse => Joined::Damaged,
            _ => Joined::Part,
        }
    }
}

/// What a value makes of those before it.
enum Joined {
    Whole(Vec<u8>),
    Part,
    Damaged,
}
