//! The newest results of a check, in memory until their chunk is sealed and written down.
//!
//! Where a chunk ends depends on its samples alone, never on a clock: so recovery, which plays the journal again,
//! makes the very same chunks, and writing one twice changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vilicus_core::{CheckId, CheckResult, Status, Timestamp};

use crate::embedded::chunk::{self, BadChunk, OpenChunk};
use crate::embedded::period;
use crate::query::HistoryRow;

/// A chunk is sealed at so many samples …
const SEAL_COUNT: u32 = 120;
/// … or at so many bytes.
const SEAL_SIZE: usize = 4096;

/// The newest results of a check.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Samples {
    /// Samples in the order of time, all of one week.
    open: OpenChunk,
    /// Samples that came late, in the order in which they came.
    late: OpenChunk,
    /// The latest moment of all samples there ever were.
    newest: Option<Timestamp>,
    /// Sealed chunks that are not written down yet, oldest first.
    pending: Vec<Arc<Sealed>>,
}

/// What a checkpoint keeps of [`Samples`]: sealed chunks are written down before it is complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedSamples {
    open: OpenChunk,
    late: OpenChunk,
    newest: Option<Timestamp>,
}

/// A chunk that no sample will be added to. All its samples are of one week.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sealed {
    /// Of which check.
    pub(crate) check: CheckId,
    /// Whether its samples came late, so that other chunks may hold moments in between.
    pub(crate) late: bool,
    /// The earliest moment.
    pub(crate) first: Timestamp,
    /// The latest moment.
    pub(crate) last: Timestamp,
    /// How many samples it holds.
    pub(crate) count: u32,
    /// The packed samples.
    pub(crate) bytes: Vec<u8>,
}

impl Sealed {
    /// The samples, oldest first.
    pub(crate) fn rows(&self) -> Result<Vec<HistoryRow>, BadChunk> {
        chunk::read(&self.bytes, self.count)
    }
}

impl Samples {
    /// Adds a result, and returns the chunks that are sealed by it.
    pub(crate) fn push(
        &mut self,
        check: CheckId,
        timestamp: Timestamp,
        status: Status,
        result: &Arc<CheckResult>,
    ) -> Vec<Arc<Sealed>> {
        let sealed = if self.newest.is_none_or(|newest| timestamp > newest) {
            self.push_in_order(check, timestamp, status, result)
        } else {
            self.late.push(timestamp, status, result);
            if is_full(&self.late) { seal_late(check, std::mem::take(&mut self.late)) } else { Vec::new() }
        };
        self.pending.extend(sealed.iter().cloned());
        sealed
    }

    fn push_in_order(
        &mut self,
        check: CheckId,
        timestamp: Timestamp,
        status: Status,
        result: &Arc<CheckResult>,
    ) -> Vec<Arc<Sealed>> {
        let mut sealed = Vec::new();
        if self.open.first().is_some_and(|first| period::week(first) != period::week(timestamp)) {
            sealed.extend(self.seal_open(check));
        }
        self.open.push(timestamp, status, result);
        self.newest = Some(timestamp);
        if is_full(&self.open) {
            sealed.extend(self.seal_open(check));
        }
        sealed
    }

    fn seal_open(&mut self, check: CheckId) -> Option<Arc<Sealed>> {
        let open = std::mem::take(&mut self.open);
        Some(Arc::new(Sealed {
            check,
            late: false,
            first: open.first()?,
            last: open.last()?,
            count: open.count(),
            bytes: open.into_bytes(),
        }))
    }

    /// The latest moment of all samples there ever were.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// Forgets a sealed chunk: it is written down.
    pub(crate) fn note_saved(&mut self, sealed: &Arc<Sealed>) {
        self.pending.retain(|pending| !Arc::ptr_eq(pending, sealed));
    }

    /// The samples that are only in memory, in `[since, until)`, by time.
    pub(crate) fn rows(
        &self,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<BTreeMap<Timestamp, HistoryRow>, BadChunk> {
        let mut rows = BTreeMap::new();
        let mut add = |more: Vec<HistoryRow>| {
            let wanted = more.into_iter().filter(|row| since <= row.timestamp && row.timestamp < until);
            for row in wanted {
                rows.entry(row.timestamp).or_insert(row);
            }
        };
        for sealed in self.pending.iter().filter(|sealed| sealed.first < until && sealed.last >= since) {
            add(sealed.rows()?);
        }
        if self.open.first().is_some_and(|first| first < until) && self.newest >= Some(since) {
            add(self.open.rows()?);
        }
        add(self.late.rows()?);
        Ok(rows)
    }

    /// What a checkpoint keeps.
    pub(crate) fn saved(&self) -> SavedSamples {
        SavedSamples { open: self.open.clone(), late: self.late.clone(), newest: self.newest }
    }
}

impl From<SavedSamples> for Samples {
    fn from(saved: SavedSamples) -> Self {
        Self { open: saved.open, late: saved.late, newest: saved.newest, pending: Vec::new() }
    }
}

fn is_full(chunk: &OpenChunk) -> bool {
    chunk.count() >= SEAL_COUNT || chunk.size() >= SEAL_SIZE
}

/// Late samples by time, one chunk a week.
fn seal_late(check: CheckId, late: OpenChunk) -> Vec<Arc<Sealed>> {
    let rows = match late.rows() {
        Ok(rows) => rows,
        Err(error) => {
            tracing::error!(%error, %check, "late results cannot be packed and are left out");
            return Vec::new();
        }
    };
    let mut weeks: BTreeMap<i64, BTreeMap<Timestamp, HistoryRow>> = BTreeMap::new();
    for row in rows {
        weeks.entry(period::week(row.timestamp)).or_default().entry(row.timestamp).or_insert(row);
    }
    weeks.into_values().filter_map(|rows| seal_rows(check, rows)).map(Arc::new).collect()
}

fn seal_rows(check: CheckId, rows: BTreeMap<Timestamp, HistoryRow>) -> Option<Sealed> {
    let (first, last) = (*rows.first_key_value()?.0, *rows.last_key_value()?.0);
    let mut chunk = OpenChunk::default();
    for row in rows.into_values() {
        chunk.push(row.timestamp, row.status, &Arc::new(row.result));
    }
    Some(Sealed { check, late: true, first, last, count: chunk.count(), bytes: chunk.into_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(samples: &mut Samples, millis: i64) -> Vec<Arc<Sealed>> {
        let check = CheckId::new(1).unwrap();
        samples.push(check, Timestamp::from_millis(millis), Status::Ok, &Arc::new(CheckResult::ok("fine")))
    }

    #[test]
    fn chunks_are_sealed_when_full_and_at_the_end_of_a_week() {
        let mut samples = Samples::default();
        let sealed: Vec<_> = (0..250).flat_map(|second| push(&mut samples, second * 1000)).collect();
        assert_eq!(sealed.iter().map(|sealed| sealed.count).collect::<Vec<_>>(), [120, 120]);
        let next_week = push(&mut samples, 8 * 86_400_000);
        assert_eq!(next_week.iter().map(|sealed| sealed.count).collect::<Vec<_>>(), [10]);
        let all = samples.rows(Timestamp::EPOCH, Timestamp::MAX).unwrap();
        assert_eq!(all.len(), 251);
    }

    #[test]
    fn late_samples_are_sealed_by_week_and_in_order() {
        let mut samples = Samples::default();
        push(&mut samples, 30 * 86_400_000);
        let sealed: Vec<_> =
            (0..120).rev().flat_map(|hour| push(&mut samples, hour * 3 * 3_600_000)).collect();
        assert_eq!(sealed.len(), 3, "15 days from a Thursday on touch three weeks");
        for chunk in &sealed {
            let rows = chunk.rows().unwrap();
            assert!(rows.is_sorted_by_key(|row| row.timestamp));
            assert_eq!((rows[0].timestamp, rows[rows.len() - 1].timestamp), (chunk.first, chunk.last));
        }
        assert_eq!(samples.rows(Timestamp::EPOCH, Timestamp::MAX).unwrap().len(), 121);
    }
}
