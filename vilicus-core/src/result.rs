//! One result of a check, and everything that can become one.

use std::error::Error;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::metric::Metric;
use crate::status::Status;
use crate::time::{Millis, Timestamp};

/// What one run of a check found.
///
/// A result without a status leaves judging to the check's thresholds.
///
/// ```
/// use vilicus_core::{CheckResult, Metric};
/// let result = CheckResult::ok("42 jobs waiting").metric(Metric::new("waiting", 42.0));
/// assert_eq!(result.output, "42 jobs waiting");
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check's own opinion; `None` leaves it to the thresholds.
    pub status: Option<Status>,
    /// One line for people.
    pub output: String,
    /// Further lines for people.
    pub long_output: String,
    /// What was measured.
    pub metrics: Vec<Metric>,
    /// When it was measured; `None` means when it is received.
    pub timestamp: Option<Timestamp>,
    /// How long the run took.
    pub duration: Option<Millis>,
    /// The exit code of the program that ran, if one did.
    pub exit_code: Option<i32>,
    /// Whether output was cut because it was too long.
    pub truncated: bool,
}

impl CheckResult {
    /// A result with this status and this line for people.
    #[must_use]
    pub fn new(status: Status, output: impl Into<String>) -> Self {
        Self { status: Some(status), output: output.into(), ..Self::default() }
    }

    /// All is well.
    #[must_use]
    pub fn ok(output: impl Into<String>) -> Self {
        Self::new(Status::Ok, output)
    }

    /// Not good.
    #[must_use]
    pub fn warning(output: impl Into<String>) -> Self {
        Self::new(Status::Warning, output)
    }

    /// Broken.
    #[must_use]
    pub fn critical(output: impl Into<String>) -> Self {
        Self::new(Status::Critical, output)
    }

    /// Nobody can tell.
    #[must_use]
    pub fn unknown(output: impl Into<String>) -> Self {
        Self::new(Status::Unknown, output)
    }

    /// Numbers only: the check's thresholds judge them.
    #[must_use]
    pub fn measured(output: impl Into<String>) -> Self {
        Self { output: output.into(), ..Self::default() }
    }

    /// The same result with one more metric.
    #[must_use]
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metrics.push(metric);
        self
    }

    /// The same result with these further lines.
    #[must_use]
    pub fn long_output(mut self, text: impl Into<String>) -> Self {
        self.long_output = text.into();
        self
    }

    /// The same result, measured at this moment.
    #[must_use]
    pub fn at(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// The same result with this run time.
    #[must_use]
    pub fn duration(mut self, duration: Millis) -> Self {
        self.duration = Some(duration);
        self
    }

    /// The same result with this exit code.
    #[must_use]
    pub fn exit_code(mut self, code: i32) -> Self {
        self.exit_code = Some(code);
        self
    }

    /// Cuts `output` and `long_output` to so many bytes together, between characters, and marks the cut.
    ///
    /// Returns whether anything was cut. The output is kept before the long output.
    pub fn truncate(&mut self, limit: usize) -> bool {
        if self.output.len() + self.long_output.len() <= limit {
            return false;
        }
        cut(&mut self.output, limit);
        cut(&mut self.long_output, limit - self.output.len());
        self.truncated = true;
        true
    }
}

/// The mark at the end of a text that was cut.
pub const CUT_MARK: &str = "… [cut]";

/// Cuts a text to at most `limit` bytes, between characters, ending in the mark when it fits.
fn cut(text: &mut String, limit: usize) {
    if text.len() <= limit {
        return;
    }
    let room = limit.saturating_sub(CUT_MARK.len());
    let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(end);
    if limit >= CUT_MARK.len() {
        text.push_str(CUT_MARK);
    }
}

/// Anything that the author of a check may return.
///
/// | returned | becomes |
/// |---|---|
/// | [`CheckResult`] | itself |
/// | `()` | OK |
/// | `bool` | OK or CRITICAL |
/// | [`Metric`], `Vec<Metric>` | a result without a status: thresholds judge |
/// | `Result<T, E>` | what `T` becomes, or CRITICAL with the error and its chain of causes |
pub trait IntoCheckResult {
    /// The result that this means.
    fn into_check_result(self) -> CheckResult;
}

impl IntoCheckResult for CheckResult {
    fn into_check_result(self) -> CheckResult {
        self
    }
}

impl IntoCheckResult for () {
    fn into_check_result(self) -> CheckResult {
        CheckResult::ok("ok")
    }
}

impl IntoCheckResult for bool {
    fn into_check_result(self) -> CheckResult {
        if self { CheckResult::ok("ok") } else { CheckResult::critical("failed") }
    }
}

impl IntoCheckResult for Metric {
    fn into_check_result(self) -> CheckResult {
        vec![self].into_check_result()
    }
}

impl IntoCheckResult for Vec<Metric> {
    fn into_check_result(self) -> CheckResult {
        let mut output = String::new();
        for metric in &self {
            let separator = if output.is_empty() { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(output, "{separator}{} {}{}", metric.name, metric.value, metric.unit);
        }
        CheckResult { metrics: self, ..CheckResult::measured(output) }
    }
}

impl<T: IntoCheckResult, E: Into<Box<dyn Error + Send + Sync>>> IntoCheckResult for Result<T, E> {
    fn into_check_result(self) -> CheckResult {
        match self {
            Ok(value) => value.into_check_result(),
            Err(error) => CheckResult::critical(error_chain(error.into().as_ref())),
        }
    }
}

/// An error and its causes in one line, joined with `: `.
#[must_use]
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot reach the queue")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn an_error_becomes_critical_with_its_causes() {
        let result = Err::<(), _>(Outer(std::fmt::Error)).into_check_result();
        assert_eq!(result.status, Some(Status::Critical));
        assert!(result.output.starts_with("cannot reach the queue: "), "{}", result.output);
    }

    #[test]
    fn numbers_leave_the_status_open() {
        let result = Metric::percent("usage", 12.5).into_check_result();
        assert_eq!((result.status, result.output.as_str()), (None, "usage 12.5%"));
    }

    #[test]
    fn long_texts_are_cut_between_characters_with_a_mark() {
        let mut result = CheckResult::ok("ä".repeat(50)).long_output("x".repeat(50));
        assert!(result.truncate(64));
        assert!(result.output.len() + result.long_output.len() <= 64);
        assert!(result.output.ends_with(CUT_MARK) && result.truncated);
        assert!(!CheckResult::ok("short").truncate(64));
    }
}
