//! The newest results of a check, in memory until their chunk is sealed and written down.
//!
//! Where a chunk ends depends on its samples alone, never on a clock: so recovery, which plays the journal again,
//! makes the very same chunks, and writing one twice changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vilicus_core::{CheckId, Status, Timestamp};

use crate::embedded::chunk::{self, BadChunk, FromSample, OpenChunk};
use crate::embedded::period;
use crate::embedded::rollup;
use crate::embedded::sample::Sample;
use crate::query::{HistoryRow, Rollup};
use crate::report::{Report, Reports};

/// A chunk is sealed at so many samples …
const SEAL_COUNT: u32 = 120;
/// … or at so many bytes.
const SEAL_SIZE: usize = 4096;

/// The newest results of a check.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Samples {
    /// Samples in the order of time, all of one week.
    open: OpenChunk,
    /// The latest moment of all samples there ever were.
    newest: Option<Timestamp>,
    /// What few checks have at a time.
    aside: Option<Box<Aside>>,
}

/// What few checks have at a time.
#[derive(Debug, Clone, Default, PartialEq)]
struct Aside {
    /// Samples that came late, in the order in which they came.
    late: OpenChunk,
    /// Sealed chunks that are not written down yet, oldest first.
    pending: Vec<Arc<Sealed>>,
}

/// What a checkpoint keeps of [`Samples`]: sealed chunks are written down before it is complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedSamples {
    open: OpenChunk,
    late: Option<Box<OpenChunk>>,
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
    /// The samples of wanted moments, oldest first.
    pub(crate) fn rows<R: FromSample>(
        &self,
        wanted: impl Fn(Timestamp) -> bool,
    ) -> Result<Vec<(Timestamp, R)>, BadChunk> {
        chunk::read(&self.bytes, self.count, wanted)
    }

    /// The samples put together.
    pub(crate) fn rollup(&self) -> Result<Option<Rollup>, BadChunk> {
        rollup::roll_up_chunk(&self.bytes, self.count)
    }
}

impl Samples {
    /// Adds a result, and returns the chunks that are sealed by it.
    pub(crate) fn push(
        &mut self,
        timestamp: Timestamp,
        status: Status,
        report: &Report<'_>,
    ) -> Vec<Arc<Sealed>> {
        let check = report.head.check;
        let sealed = if self.is_next(timestamp) {
            self.push_in_order(check, timestamp, status, report)
        } else {
            let late = &mut self.aside.get_or_insert_default().late;
            late.push(timestamp, status, report);
            if is_full(late) { seal_late(check, late) } else { Vec::new() }
        };
        self.note_sealed(&sealed);
        sealed
    }

    fn note_sealed(&mut self, sealed: &[Arc<Sealed>]) {
        if !sealed.is_empty() {
            self.aside.get_or_insert_default().pending.extend_from_slice(sealed);
        }
    }

    /// Whether a sample of this moment comes in order.
    fn is_next(&self, timestamp: Timestamp) -> bool {
        self.newest.is_none_or(|newest| timestamp > newest)
    }

    /// Whether a sample of this moment goes into the open chunk as it is.
    pub(crate) fn goes_on(&self, timestamp: Timestamp) -> bool {
        self.is_next(timestamp)
            && self.open.first().is_none_or(|first| period::week(first) == period::week(timestamp))
    }

    /// Adds a result that [`goes_on`](Samples::goes_on), and shows its bytes. Returns the chunk that is sealed by it.
    pub(crate) fn push_on(
        &mut self,
        timestamp: Timestamp,
        status: Status,
        report: &Report<'_>,
        show: impl FnOnce(&[u8]),
    ) -> Option<Arc<Sealed>> {
        show(self.open.push(timestamp, status, report));
        self.newest = Some(timestamp);
        self.seal_full(report.head.check)
    }

    /// Adds a result by the bytes that [`push_on`](Samples::push_on) showed. Returns its status and the chunk that is
    /// sealed by it.
    pub(crate) fn push_bytes(
        &mut self,
        check: CheckId,
        bytes: &[u8],
    ) -> Result<(Status, Option<Arc<Sealed>>), BadChunk> {
        let status = self.open.push_bytes(bytes)?;
        self.newest = Some(self.open.newest().timestamp);
        Ok((status, self.seal_full(check)))
    }

    fn seal_full(&mut self, check: CheckId) -> Option<Arc<Sealed>> {
        let sealed = if is_full(&self.open) { self.seal_open(check) } else { None };
        self.note_sealed(sealed.as_slice());
        sealed
    }

    fn push_in_order(
        &mut self,
        check: CheckId,
        timestamp: Timestamp,
        status: Status,
        report: &Report<'_>,
    ) -> Vec<Arc<Sealed>> {
        let mut sealed = Vec::new();
        if !self.goes_on(timestamp) {
            sealed.extend(self.seal_open(check));
        }
        self.open.push(timestamp, status, report);
        self.newest = Some(timestamp);
        if is_full(&self.open) {
            sealed.extend(self.seal_open(check));
        }
        sealed
    }

    fn seal_open(&mut self, check: CheckId) -> Option<Arc<Sealed>> {
        let (first, last, count) = (self.open.first()?, self.open.last()?, self.open.count());
        Some(Arc::new(Sealed { check, late: false, first, last, count, bytes: self.open.seal() }))
    }

    /// The sample that came in order last.
    pub(crate) fn last(&self) -> &Sample {
        self.open.newest()
    }

    /// The latest moment of all samples there ever were.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// Forgets a sealed chunk: it is written down.
    pub(crate) fn note_saved(&mut self, sealed: &Arc<Sealed>) {
        let Some(aside) = &mut self.aside else { return };
        aside.pending.retain(|pending| !Arc::ptr_eq(pending, sealed));
        if aside.pending.is_empty() && aside.late.count() == 0 {
            self.aside = None;
        }
    }

    /// The moment of the `nth` newest sample before `until`, when the open chunk holds so many.
    pub(crate) fn nth_newest(&self, nth: usize, until: Timestamp) -> Result<Option<Timestamp>, BadChunk> {
        if nth > self.open.count() as usize {
            return Ok(None);
        }
        let moments = self.open.rows::<()>(|moment| moment < until)?;
        Ok(moments.into_iter().rev().nth(nth.saturating_sub(1)).map(|(moment, ())| moment))
    }

    /// The samples that are only in memory, in `[since, until)`, by time.
    pub(crate) fn rows<R: FromSample>(
        &self,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<BTreeMap<Timestamp, R>, BadChunk> {
        let mut rows = BTreeMap::new();
        let wanted = |moment| since <= moment && moment < until;
        let mut add = |more: Vec<(Timestamp, R)>| {
            for (moment, row) in more {
                rows.entry(moment).or_insert(row);
            }
        };
        let pending = self.aside.iter().flat_map(|aside| &aside.pending);
        for sealed in pending.filter(|sealed| sealed.first < until && sealed.last >= since) {
            add(sealed.rows(wanted)?);
        }
        if self.open.first().is_some_and(|first| first < until) && self.newest >= Some(since) {
            add(self.open.rows(wanted)?);
        }
        if let Some(aside) = &self.aside {
            add(aside.late.rows(wanted)?);
        }
        Ok(rows)
    }

    /// What a checkpoint keeps.
    pub(crate) fn saved(&self) -> SavedSamples {
        let late = self.aside.as_ref().map(|aside| &aside.late).filter(|late| late.count() > 0);
        SavedSamples { open: self.open.clone(), late: late.cloned().map(Box::new), newest: self.newest }
    }
}

impl From<SavedSamples> for Samples {
    fn from(saved: SavedSamples) -> Self {
        let aside = saved.late.map(|late| Box::new(Aside { late: *late, pending: Vec::new() }));
        Self { open: saved.open, newest: saved.newest, aside }
    }
}

fn is_full(chunk: &OpenChunk) -> bool {
    chunk.count() >= SEAL_COUNT || chunk.size() >= SEAL_SIZE
}

/// Late samples by time, one chunk a week.
fn seal_late(check: CheckId, late: &mut OpenChunk) -> Vec<Arc<Sealed>> {
    let count = late.count();
    let rows = match chunk::read(&late.seal(), count, |_| true) {
        Ok(rows) => rows,
        Err(error) => {
            tracing::error!(%error, %check, "late results cannot be packed and are left out");
            return Vec::new();
        }
    };
    let mut weeks: BTreeMap<i64, BTreeMap<Timestamp, HistoryRow>> = BTreeMap::new();
    for (moment, row) in rows {
        weeks.entry(period::week(moment)).or_default().entry(moment).or_insert(row);
    }
    weeks.into_values().filter_map(|rows| seal_rows(check, rows)).map(Arc::new).collect()
}

fn seal_rows(check: CheckId, rows: BTreeMap<Timestamp, HistoryRow>) -> Option<Sealed> {
    let (first, last) = (*rows.first_key_value()?.0, *rows.last_key_value()?.0);
    let mut chunk = OpenChunk::default();
    let mut reports = Reports::default();
    rows.values().for_each(|row| reports.add(check, &row.result));
    for (row, report) in rows.values().zip(reports.iter()) {
        chunk.push(row.timestamp, row.status, &report);
    }
    Some(Sealed { check, late: true, first, last, count: chunk.count(), bytes: chunk.seal() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::CheckResult;

    fn push(samples: &mut Samples, millis: i64) -> Vec<Arc<Sealed>> {
        let mut reports = Reports::default();
        reports.add(CheckId::new(1).unwrap(), &CheckResult::ok("fine"));
        samples.push(Timestamp::from_millis(millis), Status::Ok, &reports.iter().next().unwrap())
    }

    #[test]
    fn chunks_are_sealed_when_full_and_at_the_end_of_a_week() {
        let mut samples = Samples::default();
        let sealed: Vec<_> = (0..250).flat_map(|second| push(&mut samples, second * 1000)).collect();
        assert_eq!(sealed.iter().map(|sealed| sealed.count).collect::<Vec<_>>(), [120, 120]);
        let next_week = push(&mut samples, 8 * 86_400_000);
        assert_eq!(next_week.iter().map(|sealed| sealed.count).collect::<Vec<_>>(), [10]);
        let all = samples.rows::<()>(Timestamp::EPOCH, Timestamp::MAX).unwrap();
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
            let rows = chunk.rows::<()>(|_| true).unwrap();
            assert!(rows.is_sorted());
            assert_eq!((rows[0].0, rows[rows.len() - 1].0), (chunk.first, chunk.last));
        }
        assert_eq!(samples.rows::<()>(Timestamp::EPOCH, Timestamp::MAX).unwrap().len(), 121);
    }
}
