//! Results on their way in, packed: those of one request share a few pieces of memory, whatever their number.
//!
//! What rarely changes from one result of a check to the next (the names and units of its metrics) lies apart from
//! what does (the values), so that a store can compare and keep it as a whole.

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};
use vilicus_core::{AgentId, CheckId, CheckResult, Metric, Millis, Range, Status, Timestamp, Unit};

/// Results, packed.
///
/// ```
/// use vilicus_core::{CheckId, CheckResult, Metric};
/// use vilicus_store::report::Reports;
///
/// let check = CheckId::new(7).ok_or("an id is at least 1")?;
/// let result = CheckResult::ok("12 % used").metric(Metric::percent("used", 12.0));
/// let mut reports = Reports::default();
/// reports.add(check, &result);
/// assert_eq!(reports.iter().map(|report| report.result()).collect::<Vec<_>>(), [result]);
/// # Ok::<(), &'static str>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reports {
    /// The agent that says all this, which then may speak of its own checks alone.
    pub by: Option<AgentId>,
    rows: Vec<Row>,
    texts: String,
    shapes: Vec<u8>,
    values: Vec<f64>,
}

/// One result but for its metrics, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reported<'a> {
    /// Of which check.
    pub check: CheckId,
    /// When it was measured; `None` means when it is received.
    pub timestamp: Option<Timestamp>,
    /// The check's own opinion; `None` leaves it to the thresholds.
    pub status: Option<Status>,
    /// How long the run took.
    pub duration: Option<Millis>,
    /// The exit code of the program that ran, if one did.
    pub exit_code: Option<i32>,
    /// Whether output was cut because it was too long.
    pub truncated: bool,
    /// One line for people.
    pub output: &'a str,
    /// Further lines for people.
    pub long_output: &'a str,
}

/// One metric of a result, borrowed: a [`Metric`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading<'a> {
    /// Its name.
    pub name: &'a str,
    /// The value, in the base unit.
    pub value: f64,
    /// The base unit, as text.
    pub unit: &'a str,
    /// The warning range that its source stated.
    pub warning: Option<Range>,
    /// The critical range that its source stated.
    pub critical: Option<Range>,
    /// The smallest possible value.
    pub min: Option<f64>,
    /// The largest possible value.
    pub max: Option<f64>,
    /// The unit in which the source wrote it, when that was not the base unit.
    pub written_unit: Option<&'a str>,
}

/// One packed result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report<'a> {
    /// All but its metrics.
    pub head: Reported<'a>,
    /// What its metrics are, without the values: the same bytes for the same metrics.
    pub(crate) shape: &'a [u8],
    pub(crate) values: &'a [f64],
}

/// Everything of one result that has a fixed size, and where the rest ends.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    check: CheckId,
    timestamp: Option<Timestamp>,
    status: Option<Status>,
    duration: Option<Millis>,
    exit_code: Option<i32>,
    truncated: bool,
    ends: Ends,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Ends {
    output: usize,
    long_output: usize,
    shape: usize,
    values: usize,
}

impl Reports {
    /// None yet, of this agent, which may speak of its own checks alone; without one, of whatever check.
    #[must_use]
    pub fn by(by: Option<AgentId>) -> Self {
        Self { by, ..Self::default() }
    }

    /// How many results there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a result.
    pub fn push<'m>(&mut self, head: Reported<'_>, metrics: impl IntoIterator<Item = Reading<'m>>) {
        self.texts.push_str(head.output);
        let output = self.texts.len();
        self.texts.push_str(head.long_output);
        for metric in metrics {
            write_shape(&mut self.shapes, &metric);
            self.values.push(metric.value);
        }
        let Reported { check, timestamp, status, duration, exit_code, truncated, .. } = head;
        let ends = Ends {
            output,
            long_output: self.texts.len(),
            shape: self.shapes.len(),
            values: self.values.len(),
        };
        self.rows.push(Row { check, timestamp, status, duration, exit_code, truncated, ends });
    }

    /// Adds a result that is not packed yet.
    pub fn add(&mut self, check: CheckId, result: &CheckResult) {
        let head = Reported {
            check,
            timestamp: result.timestamp,
            status: result.status,
            duration: result.duration,
            exit_code: result.exit_code,
            truncated: result.truncated,
            output: &result.output,
            long_output: &result.long_output,
        };
        self.push(head, result.metrics.iter().map(Reading::of));
    }

    /// The results, in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Report<'_>> {
        let mut from = Ends::default();
        self.rows.iter().map(move |row| {
            let report = self.report(row, from);
            from = row.ends;
            report
        })
    }

    fn report(&self, row: &Row, from: Ends) -> Report<'_> {
        let Row { check, timestamp, status, duration, exit_code, truncated, ends } = *row;
        Report {
            head: Reported {
                check,
                timestamp,
                status,
                duration,
                exit_code,
                truncated,
                output: &self.texts[from.long_output..ends.output],
                long_output: &self.texts[ends.output..ends.long_output],
            },
            shape: &self.shapes[from.shape..ends.shape],
            values: &self.values[from.values..ends.values],
        }
    }
}

impl<'a> Reading<'a> {
    /// A metric, borrowed.
    #[must_use]
    pub fn of(metric: &'a Metric) -> Self {
        Self {
            name: &metric.name,
            value: metric.value,
            unit: metric.unit.as_str(),
            warning: metric.warning,
            critical: metric.critical,
            min: metric.min,
            max: metric.max,
            written_unit: metric.written_unit.as_deref(),
        }
    }
}

impl Report<'_> {
    /// The result, unpacked.
    #[must_use]
    pub fn result(&self) -> CheckResult {
        let head = &self.head;
        CheckResult {
            status: head.status,
            output: head.output.to_owned(),
            long_output: head.long_output.to_owned(),
            // The shape was written by us, so that it can be read.
            metrics: metrics(self.shape, self.values).unwrap_or_default(),
            timestamp: head.timestamp,
            duration: head.duration,
            exit_code: head.exit_code,
            truncated: head.truncated,
        }
    }
}

/// What a metric is, without its value.
#[derive(Serialize)]
struct ShapeRef<'a> {
    name: &'a str,
    unit: &'a str,
    warning: Option<Range>,
    critical: Option<Range>,
    min: Option<f64>,
    max: Option<f64>,
    written_unit: Option<&'a str>,
}

/// What a metric is, without its value, read again.
#[derive(Deserialize)]
struct Shape {
    name: String,
    unit: Unit,
    warning: Option<Range>,
    critical: Option<Range>,
    min: Option<f64>,
    max: Option<f64>,
    written_unit: Option<String>,
}

fn write_shape(shapes: &mut Vec<u8>, metric: &Reading<'_>) {
    let Reading { name, unit, warning, critical, min, max, written_unit, .. } = *metric;
    let shape = ShapeRef { name, unit, warning, critical, min, max, written_unit };
    // Texts, numbers and options of them: there is nothing in it that postcard could refuse.
    let _ = postcard::serialize_with_flavor(&shape, Sink(shapes));
}

/// The metrics of this shape with these values; `None` when they do not fit, or the bytes make no sense.
pub(crate) fn metrics(mut shape: &[u8], values: &[f64]) -> Option<Vec<Metric>> {
    let mut metrics = Vec::with_capacity(values.len());
    for value in values {
        let (read, rest) = postcard::take_from_bytes::<Shape>(shape).ok()?;
        let Shape { name, unit, warning, critical, min, max, written_unit } = read;
        metrics.push(Metric { name, value: *value, unit, warning, critical, min, max, written_unit });
        shape = rest;
    }
    shape.is_empty().then_some(metrics)
}

/// Lets postcard write behind what is there already, a slice at a time.
pub(crate) struct Sink<'a>(pub(crate) &'a mut Vec<u8>);

impl Flavor for Sink<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn results_come_back_as_they_were_added() {
        let check = CheckId::new(7).unwrap();
        let mut odd = Metric::new("größe", -0.0).unit(Unit::Other("furlong".to_owned()));
        (odd.warning, odd.max, odd.written_unit) =
            ("@10:20".parse().ok(), Some(f64::MAX), Some("f".to_owned()));
        let mut long = CheckResult::critical("down").long_output("one\ntwo").metric(odd);
        (long.duration, long.exit_code, long.truncated) = (Some(Millis::new(3)), Some(-9), true);
        let results = [
            CheckResult::measured(""),
            CheckResult::ok("fine").metric(Metric::percent("a", 1.5)).metric(Metric::bytes("b", 2.0)),
            long.at(Timestamp::from_millis(-1)),
            CheckResult::unknown(""),
        ];
        let mut reports = Reports::by(AgentId::new(3));
        results.iter().for_each(|result| reports.add(check, result));
        assert_eq!(reports.iter().map(|report| report.result()).collect::<Vec<_>>(), results);
        assert!(reports.iter().all(|report| report.head.check == check));
    }

    proptest! {
        #[test]
        fn any_shape_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60), count in 0..4_usize) {
            let _ = metrics(&bytes, &vec![1.0; count]);
        }
    }
}
