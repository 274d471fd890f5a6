//! The newest sample of a check: what the next one is held against, and what there is to show.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vilicus_core::{CheckResult, Millis, Status, Timestamp};

use crate::report::{self, Report};

/// One sample, in a form that another one of the same shape replaces without a new piece of memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) timestamp: Timestamp,
    /// The status as sent.
    pub(crate) status: Option<Status>,
    pub(crate) duration: Option<Millis>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) truncated: bool,
    /// The output, and behind it the long output.
    text: Box<str>,
    output_length: u32,
    /// What the metrics are, without the values; equal ones of one request share it.
    shape: Arc<[u8]>,
    pub(crate) values: Box<[f64]>,
}

impl Sample {
    /// One line for people.
    pub(crate) fn output(&self) -> &str {
        self.text.get(..self.output_length as usize).unwrap_or_default()
    }

    /// Further lines for people.
    pub(crate) fn long_output(&self) -> &str {
        self.text.get(self.output_length as usize..).unwrap_or_default()
    }

    /// What the metrics are.
    pub(crate) fn shape(&self) -> &[u8] {
        &self.shape
    }

    /// What the metrics are, to keep without a copy.
    pub(crate) fn shared_shape(&self) -> &Arc<[u8]> {
        &self.shape
    }

    /// Whether a report says the same in words.
    pub(crate) fn says(&self, report: &Report<'_>) -> bool {
        let head = &report.head;
        self.text.len() == head.output.len() + head.long_output.len()
            && self.output() == head.output
            && self.long_output() == head.long_output
    }

    /// Takes over these words.
    pub(crate) fn set_text(&mut self, output: &str, long_output: &str) {
        let mut text = std::mem::take(&mut self.text).into_string();
        text.clear();
        text.reserve_exact(output.len() + long_output.len());
        text.push_str(output);
        text.push_str(long_output);
        self.text = text.into_boxed_str();
        // No result is that long: a request is not.
        self.output_length = u32::try_from(output.len()).unwrap_or(u32::MAX);
    }

    /// Takes over this shape.
    pub(crate) fn set_shape(&mut self, shape: &[u8]) {
        self.shape = Arc::from(shape);
    }

    /// Takes over these values.
    pub(crate) fn set_values(&mut self, values: &[f64]) {
        if self.values.len() == values.len() {
            self.values.copy_from_slice(values);
        } else {
            self.values = Box::from(values);
        }
    }

    /// The sample as it was sent; `None` when its bytes make no sense.
    pub(crate) fn result(&self) -> Option<CheckResult> {
        Some(CheckResult {
            status: self.status,
            output: self.output().to_owned(),
            long_output: self.long_output().to_owned(),
            metrics: report::metrics(&self.shape, &self.values)?,
            timestamp: Some(self.timestamp),
            duration: self.duration,
            exit_code: self.exit_code,
            truncated: self.truncated,
        })
    }
}
