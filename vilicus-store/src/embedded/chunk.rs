//! Results of one check, packed: each sample says what differs from the one before it.
//!
//! The same encoding serves the open chunk in memory and the sealed one on disk. Nothing is lost: every sample reads
//! back as it was sent. `docs/storage-format.md` has the bytes. Reading never panics, whatever the bytes are.

use serde::{Deserialize, Serialize};
use vilicus_core::{Millis, Status, Timestamp};

use crate::embedded::sample::Sample;
use crate::query::HistoryRow;
use crate::report::Report;

const REPORTED_DIFFERS: u8 = 1 << 2;
const TEXT: u8 = 1 << 3;
const SHAPE: u8 = 1 << 4;
const DURATION: u8 = 1 << 5;
const EXIT_CODE: u8 = 1 << 6;
const TRUNCATED: u8 = 1 << 7;
/// The word for 'no status of its own'.
const NO_STATUS: u8 = 4;
/// What a value's first number says: like the one before; as many decimal shifts as this, from 1 on; eight bytes; or
/// what it is more than the one before, at the scale of that one.
const SAME: u64 = 0;
const RAW: u64 = 6;
const STEP: u64 = 7;
const SCALES: [f64; 5] = [1.0, 10.0, 100.0, 1e3, 1e4];
/// Whole numbers up to here are exact in an `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// An open chunk grows by so many bytes.
const ROOM: usize = 64;

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
    /// The time between the last two samples.
    step: i64,
    /// The sample that was added last; it is remembered when the chunk is sealed.
    newest: Sample,
}

impl OpenChunk {
    /// Adds a sample, and returns its bytes.
    pub(crate) fn push(&mut self, timestamp: Timestamp, status: Status, report: &Report<'_>) -> &[u8] {
        let at = self.bytes.len();
        self.make_room();
        if self.count == 0 {
            (self.first, self.step) = (timestamp, 0);
        }
        self.write_sample(timestamp, status, report);
        self.count += 1;
        &self.bytes[at..]
    }

    /// Adds a sample as [`push`](OpenChunk::push) returned it, to a chunk that stood like that one. Returns the status
    /// as judged.
    pub(crate) fn push_bytes(&mut self, bytes: &[u8]) -> Result<Status, BadChunk> {
        let mut reader = Reader { bytes };
        let fresh = self.count == 0;
        let status = read_sample(&mut reader, &mut self.newest, &mut self.step, fresh)?;
        if !reader.bytes.is_empty() {
            return Err(BadChunk);
        }
        if fresh {
            self.first = self.newest.timestamp;
        }
        self.make_room();
        self.bytes.extend_from_slice(bytes);
        self.count += 1;
        Ok(status)
    }

    /// Makes room for some samples more, not for as many again: there is one of these for every check.
    fn make_room(&mut self) {
        if self.bytes.capacity() - self.bytes.len() < ROOM / 2 {
            self.bytes.reserve_exact(ROOM);
        }
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
        (self.count > 0).then_some(self.newest.timestamp)
    }

    /// The sample that was added last, also when it was sealed since.
    pub(crate) fn newest(&self) -> &Sample {
        &self.newest
    }

    /// Takes the packed samples out.
    pub(crate) fn seal(&mut self) -> Vec<u8> {
        self.count = 0;
        std::mem::take(&mut self.bytes)
    }

    /// The samples of wanted moments, in the order in which they were added.
    pub(crate) fn rows<R: FromSample>(
        &self,
        wanted: impl Fn(Timestamp) -> bool,
    ) -> Result<Vec<(Timestamp, R)>, BadChunk> {
        read(&self.bytes, self.count, wanted)
    }

    fn write_sample(&mut self, timestamp: Timestamp, status: Status, report: &Report<'_>) {
        let Self { bytes, newest, step: step_before, .. } = self;
        let fresh = self.count == 0;
        let head = &report.head;
        // A chunk says everything anew, so that it can be read by itself.
        let (same_text, same_shape) = (newest.says(report), newest.shape() == report.shape);
        let (texts, shape) = if fresh {
            (!head.output.is_empty() || !head.long_output.is_empty(), !report.shape.is_empty())
        } else {
            (!same_text, !same_shape)
        };
        let before_ms = if fresh { 0 } else { newest.timestamp.as_millis() };
        let (duration, exit_code) = (
            head.duration != before_of(fresh, newest.duration),
            head.exit_code != before_of(fresh, newest.exit_code),
        );
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        bytes.push(
            status.code()
                | flag(head.status != Some(status), REPORTED_DIFFERS)
                | flag(texts, TEXT)
                | flag(shape, SHAPE)
                | flag(duration, DURATION)
                | flag(exit_code, EXIT_CODE)
                | flag(head.truncated, TRUNCATED),
        );
        let step = timestamp.as_millis().wrapping_sub(before_ms);
        write_signed(bytes, step.wrapping_sub(*step_before));
        if head.status != Some(status) {
            bytes.push(head.status.map_or(NO_STATUS, Status::code));
        }
        if duration {
            write_number(bytes, head.duration.map_or(0, |span| span.get().saturating_add(1)));
        }
        if exit_code {
            write_signed(bytes, head.exit_code.map_or(i64::MIN, i64::from));
        }
        if texts {
            let before = if fresh { ("", "") } else { (newest.output(), newest.long_output()) };
            write_texts(bytes, before, (head.output, head.long_output));
        }
        if shape {
            write_number(bytes, report.values.len() as u64);
            write_number(bytes, report.shape.len() as u64);
            bytes.extend_from_slice(report.shape);
        }
        for (at, value) in report.values.iter().enumerate() {
            let before = if fresh || shape { 0.0 } else { newest.values.get(at).copied().unwrap_or(0.0) };
            write_value(bytes, before, *value);
        }
        *step_before = step;
        (newest.timestamp, newest.status) = (timestamp, head.status);
        (newest.duration, newest.exit_code, newest.truncated) =
            (head.duration, head.exit_code, head.truncated);
        if !same_text {
            newest.set_text(head.output, head.long_output);
        }
        if !same_shape {
            newest.set_shape(report.shape);
        }
        newest.set_values(report.values);
    }
}

fn before_of<T>(fresh: bool, value: Option<T>) -> Option<T> {
    value.filter(|_| !fresh)
}

/// Reads so many packed samples, and shows each with its status as judged.
pub(crate) fn walk(
    bytes: &[u8],
    count: u32,
    mut show: impl FnMut(&Sample, Status) -> Result<(), BadChunk>,
) -> Result<(), BadChunk> {
    let mut reader = Reader { bytes };
    let (mut sample, mut step) = (Sample::default(), 0);
    for nth in 0..count {
        let status = read_sample(&mut reader, &mut sample, &mut step, nth == 0)?;
        show(&sample, status)?;
    }
    if reader.bytes.is_empty() { Ok(()) } else { Err(BadChunk) }
}

/// What a packed sample is read as: the whole of it, or as much as is needed.
pub(crate) trait FromSample: Sized {
    /// As much of this sample and its status as judged; `None` when its bytes make no sense.
    fn from_sample(sample: &Sample, status: Status) -> Option<Self>;
}

impl FromSample for HistoryRow {
    fn from_sample(sample: &Sample, status: Status) -> Option<Self> {
        Some(Self { timestamp: sample.timestamp, status, result: sample.result()? })
    }
}

/// That there is a sample.
impl FromSample for () {
    fn from_sample(_: &Sample, _: Status) -> Option<Self> {
        Some(())
    }
}

/// Reads so many packed samples; those of wanted moments come out.
pub(crate) fn read<R: FromSample>(
    bytes: &[u8],
    count: u32,
    wanted: impl Fn(Timestamp) -> bool,
) -> Result<Vec<(Timestamp, R)>, BadChunk> {
    let mut rows = Vec::with_capacity((count as usize).min(bytes.len()));
    walk(bytes, count, |sample, status| {
        if !wanted(sample.timestamp) {
            return Ok(());
        }
        rows.push((sample.timestamp, R::from_sample(sample, status).ok_or(BadChunk)?));
        Ok(())
    })?;
    Ok(rows)
}

/// Moves a sample to the next one. Returns the status as judged.
fn read_sample(
    reader: &mut Reader<'_>,
    sample: &mut Sample,
    step: &mut i64,
    fresh: bool,
) -> Result<Status, BadChunk> {
    if fresh {
        (*sample, *step) = (Sample::default(), 0);
    }
    let flags = reader.byte()?;
    let status = status_of(flags & 3)?;
    *step = reader.signed()?.wrapping_add(*step);
    sample.timestamp = Timestamp::from_millis(sample.timestamp.as_millis().wrapping_add(*step));
    sample.truncated = flags & TRUNCATED != 0;
    sample.status = Some(status);
    if flags & REPORTED_DIFFERS != 0 {
        let code = reader.byte()?;
        sample.status = if code == NO_STATUS { None } else { Some(status_of(code)?) };
    }
    if flags & DURATION != 0 {
        sample.duration = reader.number()?.checked_sub(1).map(Millis::new);
    }
    if flags & EXIT_CODE != 0 {
        sample.exit_code = i32::try_from(reader.signed()?).ok();
    }
    if flags & TEXT != 0 {
        let (output, is_long) = reader.text(sample.output())?;
        let long_output = if is_long { Some(reader.text(sample.long_output())?.0) } else { None };
        let long_output = long_output.unwrap_or_else(|| sample.long_output().to_owned());
        sample.set_text(&output, &long_output);
    }
    if flags & SHAPE != 0 {
        let count = usize::try_from(reader.number()?).ok().filter(|count| *count <= reader.bytes.len());
        let count = count.ok_or(BadChunk)?;
        sample.set_shape(reader.sized()?);
        sample.set_values(&vec![0.0; count]);
    }
    for value in &mut *sample.values {
        *value = reader.value(*value)?;
    }
    Ok(status)
}

fn status_of(code: u8) -> Result<Status, BadChunk> {
    Status::from_code(code.into()).ok_or(BadChunk)
}

/// Writes an output and a long one, by what differs from those before.
fn write_texts(bytes: &mut Vec<u8>, before: (&str, &str), texts: (&str, &str)) {
    let is_long = before.1 != texts.1;
    write_text(bytes, before.0, texts.0, is_long);
    if is_long {
        write_text(bytes, before.1, texts.1, false);
    }
}

/// Writes how much of the text before goes on at the front and at the back, and what stands between them.
fn write_text(bytes: &mut Vec<u8>, before: &str, text: &str, more: bool) {
    let (before, text) = (before.as_bytes(), text.as_bytes());
    let front = before.iter().zip(text).take_while(|(one, other)| one == other).count();
    let rest = before[front..].iter().rev().zip(text[front..].iter().rev());
    let back = rest.take_while(|(one, other)| one == other).count();
    let middle = &text[front..text.len() - back];
    write_number(bytes, (front as u64) << 1 | u64::from(more));
    write_number(bytes, back as u64);
    write_number(bytes, middle.len() as u64);
    bytes.extend_from_slice(middle);
}

fn write_value(bytes: &mut Vec<u8>, before: f64, value: f64) {
    if before.to_bits() == value.to_bits() {
        write_number(bytes, SAME);
        return;
    }
    if let Some(scale) = scale_of(before)
        && let Some(whole) = whole(value, scale)
    {
        // Both are less than 2^53, so that nothing overflows.
        write_number(bytes, STEP + zigzag(whole - nearest(before, scale)));
        return;
    }
    for (tag, scale) in (1..).zip(SCALES) {
        if let Some(whole) = whole(value, scale) {
            write_number(bytes, tag);
            write_signed(bytes, whole.wrapping_sub(nearest(before, scale)));
            return;
        }
    }
    write_number(bytes, RAW);
    bytes.extend_from_slice(&value.to_le_bytes());
}

/// The smallest scale at which a value is a whole number.
fn scale_of(value: f64) -> Option<f64> {
    SCALES.into_iter().find(|scale| whole(value, *scale).is_some())
}

/// The value shifted to a whole number, when it comes back exactly.
fn whole(value: f64, scale: f64) -> Option<i64> {
    let shifted = (value * scale).round();
    if shifted.abs() >= EXACT {
        return None;
    }
    let whole = shifted as i64;
    let again = whole as f64 / scale;
    (again.to_bits() == value.to_bits()).then_some(whole)
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
pub(crate) fn write_signed(bytes: &mut Vec<u8>, number: i64) {
    write_number(bytes, zigzag(number));
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
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
        self.number().map(unzigzag)
    }

    fn sized(&mut self) -> Result<&'a [u8], BadChunk> {
        let length = usize::try_from(self.number()?).map_err(|_| BadChunk)?;
        self.take(length)
    }

    /// A text that follows this one, and whether another text follows.
    fn text(&mut self, before: &str) -> Result<(String, bool), BadChunk> {
        let first = self.number()?;
        let (front, back) = (first >> 1, self.number()?);
        let middle = self.sized()?;
        let before = before.as_bytes();
        let length = before.len() as u64;
        if front.saturating_add(back) > length {
            return Err(BadChunk);
        }
        // Both are within the text before.
        let (front, back) = (&before[..front as usize], &before[(length - back) as usize..]);
        let text = String::from_utf8([front, middle, back].concat()).map_err(|_| BadChunk)?;
        Ok((text, first & 1 != 0))
    }

    fn value(&mut self, before: f64) -> Result<f64, BadChunk> {
        match self.number()? {
            SAME => Ok(before),
            RAW => {
                let bytes = self.take(8)?.try_into().map_err(|_| BadChunk)?;
                Ok(f64::from_le_bytes(bytes))
            }
            tag @ ..STEP => {
                let scale = SCALES[tag as usize - 1];
                let whole = self.signed()?.wrapping_add(nearest(before, scale));
                Ok(whole as f64 / scale)
            }
            step => {
                let scale = scale_of(before).ok_or(BadChunk)?;
                let whole = unzigzag(step - STEP).wrapping_add(nearest(before, scale));
                Ok(whole as f64 / scale)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Reports;
    use proptest::prelude::*;
    use vilicus_core::{CheckId, CheckResult, Metric};

    fn push(chunk: &mut OpenChunk, at: i64, status: Status, result: &CheckResult) -> Vec<u8> {
        let mut reports = Reports::default();
        reports.add(CheckId::new(1).unwrap(), result);
        chunk.push(Timestamp::from_millis(at), status, &reports.iter().next().unwrap()).to_vec()
    }

    fn any_result() -> impl Strategy<Value = (i64, u8, CheckResult)> {
        let metric = (
            any::<u8>(),
            prop_oneof![any::<f64>(), Just(-0.0), (-100_000..100_000_i32).prop_map(|n| f64::from(n) / 100.0)],
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
            let (mut chunk, mut again) = (OpenChunk::default(), OpenChunk::default());
            for (nth, (at, judged, result)) in results.iter().enumerate() {
                let judged = status_of(*judged).unwrap();
                let bytes = push(&mut chunk, *at, judged, result);
                prop_assert_eq!(again.push_bytes(&bytes).unwrap(), judged);
                // By text, since NaN equals nothing.
                prop_assert_eq!(format!("{again:?}"), format!("{chunk:?}"));
                if nth == 20 {
                    // What was sealed is what the next one is not held against.
                    let sealed = chunk.seal();
                    prop_assert_eq!(&sealed, &again.seal());
                    prop_assert_eq!(read::<HistoryRow>(&sealed, 21, |_| true).unwrap().len(), 21);
                }
            }
            let results = if results.len() > 20 { &results[21..] } else { &results[..] };
            let rows: Vec<(_, HistoryRow)> = chunk.rows(|_| true).unwrap();
            prop_assert_eq!(rows.len(), results.len());
            for ((moment, row), (at, judged, result)) in rows.iter().zip(results) {
                prop_assert_eq!(*moment, row.timestamp);
                prop_assert_eq!((row.timestamp.as_millis(), row.status.code()), (*at, *judged));
                let sent = CheckResult { timestamp: Some(row.timestamp), ..result.clone() };
                // By text, since NaN equals nothing.
                prop_assert_eq!(format!("{:?}", row.result), format!("{sent:?}"));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), count in 0..50_u32) {
            let _ = read::<HistoryRow>(&bytes, count, |_| true);
        }
    }

    #[test]
    fn of_a_text_only_the_difference_is_kept() {
        let mut chunk = OpenChunk::default();
        let mut add = |at, text: &str| push(&mut chunk, at, Status::Ok, &CheckResult::ok(text)).len();
        add(0, "größe 17 ms, all is well");
        // Flags and time, three lengths, and what differs: half a letter, too.
        assert_eq!(add(60_000, "größe 18 ms, all is well"), 2 + 2 + 3 + 1);
        assert_eq!(add(120_000, "grüße 18 ms, all is well"), 2 + 3 + 1);
        let rows: Vec<(_, HistoryRow)> = chunk.rows(|_| true).unwrap();
        assert_eq!(rows[2].1.result.output, "grüße 18 ms, all is well");
    }

    #[test]
    fn a_steady_percentage_takes_a_few_bytes() {
        let mut chunk = OpenChunk::default();
        for minute in 0..60 {
            let value = 40.0 + f64::from(minute % 7) * 0.3;
            let result = CheckResult::ok("cpu")
                .metric(Metric::percent("usage_percent", (value * 10.0).round() / 10.0));
            push(&mut chunk, i64::from(minute) * 60_000, Status::Ok, &result);
        }
        assert!(chunk.size() < 60 * 4, "{} bytes", chunk.size());
    }
}
