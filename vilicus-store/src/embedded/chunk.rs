//! Results of one check, packed: each sample says what differs from the one before it.
//!
//! The same encoding serves the open chunk in memory and the sealed one on disk. Nothing is lost: every sample reads
//! back as it was sent. `docs/storage-format.md` has the bytes. Reading never panics, whatever the bytes are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vilicus_core::{CheckResult, Metric, Millis, Status, Timestamp};

use crate::query::HistoryRow;

const REPORTED_DIFFERS: u8 = 1 << 2;
const TEXT: u8 = 1 << 3;
const SHAPE: u8 = 1 << 4;
const DURATION: u8 = 1 << 5;
const EXIT_CODE: u8 = 1 << 6;
const TRUNCATED: u8 = 1 << 7;
/// The word for 'no status of its own'.
const NO_STATUS: u8 = 4;
/// A value like the one before; a whole number after so many decimal shifts; or eight bytes.
const SAME: u8 = 0;
const RAW: u8 = 255;
const SCALES: [f64; 5] = [1.0, 10.0, 100.0, 1e3, 1e4];
/// Whole numbers up to here are exact in an `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The bytes make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chunk of history is damaged")]
pub(crate) struct BadChunk;

/// Samples that are being packed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenChunk {
    bytes: Vec<u8>,
    count: u32,
    first: Timestamp,
    previous: Previous,
}

/// What the next sample is held against.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Previous {
    timestamp: Timestamp,
    step: i64,
    result: Arc<CheckResult>,
}

impl OpenChunk {
    /// Adds a sample.
    pub(crate) fn push(&mut self, timestamp: Timestamp, status: Status, result: &Arc<CheckResult>) {
        if self.count == 0 {
            self.first = timestamp;
        }
        write_sample(&mut self.bytes, &mut self.previous, timestamp, status, result);
        self.count += 1;
    }

    /// How many samples it holds.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// How many bytes they take.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The moment of the sample that was added first.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        (self.count > 0).then_some(self.first)
    }

    /// The moment of the sample that was added last.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        (self.count > 0).then_some(self.previous.timestamp)
    }

    /// The packed samples.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The samples, in the order in which they were added.
    pub(crate) fn rows(&self) -> Result<Vec<HistoryRow>, BadChunk> {
        read(&self.bytes, self.count)
    }
}

/// Reads so many packed samples.
pub(crate) fn read(bytes: &[u8], count: u32) -> Result<Vec<HistoryRow>, BadChunk> {
    let mut reader = Reader { bytes };
    let mut previous = Previous::default();
    let mut rows = Vec::with_capacity((count as usize).min(bytes.len()));
    for _ in 0..count {
        rows.push(read_sample(&mut reader, &mut previous)?);
    }
    if reader.bytes.is_empty() { Ok(rows) } else { Err(BadChunk) }
}

fn write_sample(
    bytes: &mut Vec<u8>,
    previous: &mut Previous,
    timestamp: Timestamp,
    status: Status,
    result: &Arc<CheckResult>,
) {
    let before = &previous.result;
    let texts = result.output != before.output || result.long_output != before.long_output;
    let shape = !same_shape(&result.metrics, &before.metrics);
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    bytes.push(
        status.code()
            | flag(result.status != Some(status), REPORTED_DIFFERS)
            | flag(texts, TEXT)
            | flag(shape, SHAPE)
            | flag(result.duration != before.duration, DURATION)
            | flag(result.exit_code != before.exit_code, EXIT_CODE)
            | flag(result.truncated, TRUNCATED),
    );
    let step = timestamp.as_millis().wrapping_sub(previous.timestamp.as_millis());
    write_signed(bytes, step.wrapping_sub(previous.step));
    if result.status != Some(status) {
        bytes.push(result.status.map_or(NO_STATUS, Status::code));
    }
    if result.duration != before.duration {
        write_number(bytes, result.duration.map_or(0, |span| span.get().saturating_add(1)));
    }
    if result.exit_code != before.exit_code {
        write_signed(bytes, result.exit_code.map_or(i64::MIN, i64::from));
    }
    if texts {
        write_text(bytes, &result.output);
        write_text(bytes, &result.long_output);
    }
    if shape {
        write_metrics(bytes, &result.metrics);
    } else {
        for (metric, before) in result.metrics.iter().zip(&before.metrics) {
            write_value(bytes, before.value, metric.value);
        }
    }
    *previous = Previous { timestamp, step, result: Arc::clone(result) };
}

fn read_sample(reader: &mut Reader<'_>, previous: &mut Previous) -> Result<HistoryRow, BadChunk> {
    let flags = reader.byte()?;
    let status = status_of(flags & 3)?;
    let step = reader.signed()?.wrapping_add(previous.step);
    let timestamp = Timestamp::from_millis(previous.timestamp.as_millis().wrapping_add(step));
    let mut result = CheckResult::clone(&previous.result);
    result.timestamp = Some(timestamp);
    result.truncated = flags & TRUNCATED != 0;
    result.status = Some(status);
    if flags & REPORTED_DIFFERS != 0 {
        let code = reader.byte()?;
        result.status = if code == NO_STATUS { None } else { Some(status_of(code)?) };
    }
    if flags & DURATION != 0 {
        result.duration = reader.number()?.checked_sub(1).map(Millis::new);
    }
    if flags & EXIT_CODE != 0 {
        result.exit_code = i32::try_from(reader.signed()?).ok();
    }
    if flags & TEXT != 0 {
        result.output = reader.text()?;
        result.long_output = reader.text()?;
    }
    if flags & SHAPE != 0 {
        result.metrics = reader.metrics()?;
    } else {
        for metric in &mut result.metrics {
            metric.value = reader.value(metric.value)?;
        }
    }
    *previous = Previous { timestamp, step, result: Arc::new(result.clone()) };
    Ok(HistoryRow { timestamp, status, result })
}

fn status_of(code: u8) -> Result<Status, BadChunk> {
    Status::from_code(code.into()).ok_or(BadChunk)
}

/// Whether two lists of metrics differ in nothing but the values.
fn same_shape(one: &[Metric], other: &[Metric]) -> bool {
    let bits = |bound: Option<f64>| bound.map(f64::to_bits);
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| {
            one.name == other.name
                && one.unit == other.unit
                && one.warning == other.warning
                && one.critical == other.critical
                && bits(one.min) == bits(other.min)
                && bits(one.max) == bits(other.max)
                && one.written_unit == other.written_unit
        })
}

fn write_metrics(bytes: &mut Vec<u8>, metrics: &[Metric]) {
    // Writing to memory fails only for types that postcard cannot hold; a metric is none of them.
    let encoded = postcard::to_allocvec(metrics).unwrap_or_else(|_| vec![0]);
    write_number(bytes, encoded.len() as u64);
    bytes.extend_from_slice(&encoded);
}

fn write_text(bytes: &mut Vec<u8>, text: &str) {
    write_number(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

fn write_value(bytes: &mut Vec<u8>, before: f64, value: f64) {
    if before.to_bits() == value.to_bits() {
        bytes.push(SAME);
        return;
    }
    for (tag, scale) in (1..).zip(SCALES) {
        if let Some(whole) = whole(value, scale) {
            bytes.push(tag);
            write_signed(bytes, whole.wrapping_sub(nearest(before, scale)));
            return;
        }
    }
    bytes.push(RAW);
    bytes.extend_from_slice(&value.to_le_bytes());
}

/// The value shifted to a whole number, when it comes back exactly.
fn whole(value: f64, scale: f64) -> Option<i64> {
    let shifted = (value * scale).round();
    let exact = shifted.abs() < EXACT && (shifted / scale).to_bits() == value.to_bits();
    exact.then_some(shifted as i64)
}

/// What a value is held against: the same for writer and reader, whatever the value is.
fn nearest(before: f64, scale: f64) -> i64 {
    let shifted = (before * scale).round();
    if shifted.abs() < EXACT { shifted as i64 } else { 0 }
}

/// Seven bits a byte, lowest first; the highest bit says that more follow.
pub(crate) fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Small numbers of either sign become small numbers without one.
fn write_signed(bytes: &mut Vec<u8>, number: i64) {
    write_number(bytes, ((number << 1) ^ (number >> 63)) as u64);
}

/// Takes bytes apart.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BadChunk> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(BadChunk)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, BadChunk> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u64, BadChunk> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(BadChunk)
    }

    fn signed(&mut self) -> Result<i64, BadChunk> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn sized(&mut self) -> Result<&'a [u8], BadChunk> {
        let length = usize::try_from(self.number()?).map_err(|_| BadChunk)?;
        self.take(length)
    }

    fn text(&mut self) -> Result<String, BadChunk> {
        std::str::from_utf8(self.sized()?).map(str::to_owned).map_err(|_| BadChunk)
    }

    fn metrics(&mut self) -> Result<Vec<Metric>, BadChunk> {
        postcard::from_bytes(self.sized()?).map_err(|_| BadChunk)
    }

    fn value(&mut self, before: f64) -> Result<f64, BadChunk> {
        match self.byte()? {
            SAME => Ok(before),
            RAW => {
                let bytes = self.take(8)?.try_into().map_err(|_| BadChunk)?;
                Ok(f64::from_le_bytes(bytes))
            }
            tag => {
                let scale = *SCALES.get(usize::from(tag) - 1).ok_or(BadChunk)?;
                let whole = self.signed()?.wrapping_add(nearest(before, scale));
                Ok(whole as f64 / scale)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_result() -> impl Strategy<Value = (i64, u8, CheckResult)> {
        let metric = (
            any::<u8>(),
            prop_oneof![any::<f64>(), (-100_000..100_000_i32).prop_map(|n| f64::from(n) / 100.0)],
        );
        let parts = (
            -1000..100_000_i64,
            0..4_u8,
            proptest::option::of(0..4_u64),
            "[a-b]{0,3}",
            proptest::collection::vec(metric, 0..3),
            proptest::option::of(any::<u64>()),
            proptest::option::of(any::<i32>()),
            any::<bool>(),
        );
        parts.prop_map(|(at, judged, reported, text, metrics, duration, exit_code, truncated)| {
            let mut result = CheckResult::measured(text);
            result.status = reported.and_then(Status::from_code);
            result.metrics =
                metrics.iter().map(|(name, value)| Metric::new(format!("m{}", name % 2), *value)).collect();
            result.duration = duration.map(|span| Millis::new(span >> 1));
            result.exit_code = exit_code;
            result.truncated = truncated;
            (at, judged, result)
        })
    }

    proptest! {
        #[test]
        fn samples_round_trip(results in proptest::collection::vec(any_result(), 0..30)) {
            let mut chunk = OpenChunk::default();
            for (at, judged, result) in &results {
                chunk.push(Timestamp::from_millis(*at), status_of(*judged).unwrap(), &Arc::new(result.clone()));
            }
            let rows = chunk.rows().unwrap();
            prop_assert_eq!(rows.len(), results.len());
            for (row, (at, judged, result)) in rows.iter().zip(&results) {
                prop_assert_eq!((row.timestamp.as_millis(), row.status.code()), (*at, *judged));
                let sent = CheckResult { timestamp: Some(row.timestamp), ..result.clone() };
                // By text, since NaN equals nothing.
                prop_assert_eq!(format!("{:?}", row.result), format!("{sent:?}"));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), count in 0..50_u32) {
            let _ = read(&bytes, count);
        }
    }

    #[test]
    fn a_steady_percentage_takes_a_few_bytes() {
        let mut chunk = OpenChunk::default();
        for minute in 0..60 {
            let value = 40.0 + f64::from(minute % 7) * 0.3;
            let result = CheckResult::ok("cpu")
                .metric(Metric::percent("usage_percent", (value * 10.0).round() / 10.0));
            chunk.push(Timestamp::from_millis(i64::from(minute) * 60_000), Status::Ok, &Arc::new(result));
        }
        assert!(chunk.size() < 60 * 6, "{} bytes", chunk.size());
    }
}
