//! Ranges in the plugins' notation, and the thresholds that hold metrics against them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::status::Status;
use crate::time::Millis;

/// A range `[@]start:end`. A value outside alerts; with `@` a value inside alerts. Both ends are inclusive.
///
/// | text | alerts when the value is |
/// |---|---|
/// | `10` | below 0 or above 10 |
/// | `10:` | below 10 |
/// | `~:10` | above 10 |
/// | `10:20` | below 10 or above 20 |
/// | `@10:20` | from 10 to 20, ends included |
///
/// *Source:* <https://www.monitoring-plugins.org/doc/guidelines.html#THRESHOLDFORMAT>.
///
/// ```
/// use vilicus_core::Range;
/// let range: Range = "~:10".parse()?;
/// assert!(!range.alerts(10.0));
/// assert!(range.alerts(10.5));
/// # Ok::<(), vilicus_core::threshold::ParseRangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    start: f64,
    end: f64,
    inside: bool,
}

impl Range {
    /// Whether a value in this range, or outside it without `@`, alerts. NaN always alerts: nobody can tell.
    #[must_use]
    pub fn alerts(&self, value: f64) -> bool {
        value.is_nan() || self.contains(value) == self.inside
    }

    /// Whether the value lies between the two ends, whatever `@` makes of that.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.start <= value && value <= self.end
    }

    /// The lower end; negative infinity for `~`.
    #[must_use]
    pub fn start(&self) -> f64 {
        self.start
    }

    /// The upper end; infinity when there is none.
    #[must_use]
    pub fn end(&self) -> f64 {
        self.end
    }

    /// Whether the range was written with `@`: values inside alert.
    #[must_use]
    pub fn is_inverted(&self) -> bool {
        self.inside
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inside {
            f.write_str("@")?;
        }
        // `+ 0.0` turns −0 into 0, so that the short form of both is the same.
        let start = self.start + 0.0;
        if start == f64::NEG_INFINITY {
            f.write_str("~:")?;
        } else if start != 0.0 || self.end == f64::INFINITY {
            write!(f, "{start}:")?;
        }
        if self.end == f64::INFINITY { Ok(()) } else { write!(f, "{}", self.end + 0.0) }
    }
}

/// The text is not a range; says where and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a range: '{text}': {problem} at character {position} (expected [@]start:end, as 10, 10:, ~:10 or @10:20)"
)]
pub struct ParseRangeError {
    text: String,
    position: usize,
    problem: &'static str,
}

impl ParseRangeError {
    /// Where the mistake is: the number of the character, counted from 1.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }
}

impl FromStr for Range {
    type Err = ParseRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_range(text).map_err(|(at, problem)| ParseRangeError {
            text: text.chars().take(60).collect(),
            position: text.get(..at).map_or(0, |before| before.chars().count()) + 1,
            problem,
        })
    }
}

type Problem = (usize, &'static str);

fn parse_range(text: &str) -> Result<Range, Problem> {
    let inside = text.starts_with('@');
    let from = usize::from(inside);
    let body = &text[from..];
    let (start, end) = match body.find(':') {
        None => (0.0, number(body, from)?),
        Some(colon) => (start_of(&body[..colon], from)?, end_of(&body[colon + 1..], from + colon + 1)?),
    };
    if start > end {
        return Err((from, "the start is greater than the end"));
    }
    Ok(Range { start, end, inside })
}

fn start_of(text: &str, at: usize) -> Result<f64, Problem> {
    match text {
        "" => Ok(0.0),
        "~" => Ok(f64::NEG_INFINITY),
        other => number(other, at),
    }
}

fn end_of(text: &str, at: usize) -> Result<f64, Problem> {
    if text.is_empty() { Ok(f64::INFINITY) } else { number(text, at) }
}

/// A finite decimal number and nothing else: no `inf`, no `NaN`, no white space.
fn number(text: &str, at: usize) -> Result<f64, Problem> {
    if text.is_empty() {
        return Err((at, "a number is missing"));
    }
    if let Some(junk) = text.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')) {
        return Err((at + junk, "something that is not part of a number"));
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err((at, "a number that is too large")),
        Err(_) => Err((at, "something that is not a number")),
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(D::Error::custom);
        }
        // A bare JSON number is what people write for the commonest range.
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a range, as \"80\", \"10:\", \"~:10\" or \"@10:20\"")]
        enum Written<'a> {
            Number(f64),
            Text(#[serde(borrow)] std::borrow::Cow<'a, str>),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string().parse().map_err(D::Error::custom),
            Written::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

/// How the samples of a sustained threshold are counted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum SustainedMode {
    /// Every sample of the window must breach.
    #[default]
    All,
    /// The mean of the window must breach.
    Mean,
    /// At least this share of the samples must breach, 0 to 1.
    AtLeast(f64),
}

impl fmt::Display for SustainedMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Mean => f.write_str("mean"),
            Self::AtLeast(share) => write!(f, "at_least({share})"),
        }
    }
}

/// The text is not a mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a mode: '{0}' (expected all, mean or at_least(SHARE) with a share from 0 to 1)")]
pub struct ParseModeError(String);

impl FromStr for SustainedMode {
    type Err = ParseModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => return Ok(Self::All),
            "mean" => return Ok(Self::Mean),
            _ => {}
        }
        text.strip_prefix("at_least(")
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|share| share.trim().parse::<f64>().ok())
            .filter(|share| (0.0..=1.0).contains(share))
            .map(Self::AtLeast)
            .ok_or_else(|| ParseModeError(text.chars().take(40).collect()))
    }
}

impl Serialize for SustainedMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SustainedMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What is wanted of one metric.
///
/// `for_time` makes it *sustained*: only when the samples of that span breach does the status follow, and it is
/// then hard at once. `recover` is a second range that governs only the way back to OK.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Threshold {
    /// The range outside which the status is at least WARNING.
    pub warning: Option<Range>,
    /// The range outside which the status is CRITICAL.
    pub critical: Option<Range>,
    /// How long the breach must have lasted.
    #[serde(rename = "for")]
    pub for_time: Option<Millis>,
    /// How the samples of `for` are counted; `all` by default.
    pub mode: SustainedMode,
    /// The share of the expected samples that must be there before the window says anything; 0.8 by default.
    pub min_coverage: f64,
    /// The range that the value must be inside before the status is OK again.
    pub recover: Option<Range>,
    /// How long the value must have been inside `recover`.
    pub recover_for: Option<Millis>,
}

impl Default for Threshold {
    /// Wants nothing; a window that is asked for needs four fifths of its samples.
    fn default() -> Self {
        Self {
            warning: None,
            critical: None,
            for_time: None,
            mode: SustainedMode::All,
            min_coverage: 0.8,
            recover: None,
            recover_for: None,
        }
    }
}

impl Threshold {
    /// The status of one value by the plain ranges.
    #[must_use]
    pub fn status_of(&self, value: f64) -> Status {
        if self.critical.is_some_and(|range| range.alerts(value)) {
            Status::Critical
        } else if self.warning.is_some_and(|range| range.alerts(value)) {
            Status::Warning
        } else {
            Status::Ok
        }
    }
}

/// The thresholds of a check, by the name of the metric; a name may hold the wildcard `*`, as `used_percent:*`.
pub type Thresholds = BTreeMap<String, Threshold>;

/// Whether the name of a threshold, maybe with wildcards `*`, names this metric.
#[must_use]
pub fn name_matches(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut rest) = name.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = tail.split('*').collect();
    let last = parts.pop().unwrap_or("");
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_alert_as_the_guidelines_say() {
        let table = [
            ("10", &[-0.1, 10.1][..], &[0.0, 10.0][..]),
            ("10:", &[9.9, -1.0], &[10.0, 1e300]),
            ("~:10", &[10.1], &[10.0, -1e300]),
            ("10:20", &[9.0, 21.0], &[10.0, 20.0]),
            ("@10:20", &[10.0, 15.0, 20.0], &[9.9, 20.1]),
            ("-20:-10", &[-20.1, -9.9], &[-20.0, -10.0]),
            ("~:", &[], &[-1e300, 1e300]),
            (":5", &[-1.0, 6.0], &[0.0, 5.0]),
        ];
        for (text, alerting, quiet) in table {
            let range: Range = text.parse().unwrap();
            assert!(alerting.iter().all(|value| range.alerts(*value)), "{text} must alert");
            assert!(!quiet.iter().any(|value| range.alerts(*value)), "{text} must be quiet");
            assert!(range.alerts(f64::NAN), "{text}");
        }
    }

    #[test]
    fn mistakes_are_shown_with_their_place() {
        for (text, position) in [
            ("", 1),
            ("20:10", 1),
            ("10x", 3),
            ("NaN", 1),
            ("10:2o", 5),
            ("@", 2),
            ("~", 1),
            ("1:2:3", 4),
            (" 10", 1),
            ("inf", 1),
            ("é", 1),
            ("1e999", 1),
        ] {
            let error = text.parse::<Range>().unwrap_err();
            assert_eq!(error.position(), position, "{text}: {error}");
        }
    }

    #[test]
    fn wildcards_match_the_whole_name() {
        for (pattern, name, expected) in [
            ("used_percent:*", "used_percent:/var", true),
            ("used_percent:*", "used_percent", false),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("*a", "ba", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(name_matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn ranges_round_trip(start in proptest::option::of(-1e9..1e9_f64), end in proptest::option::of(-1e9..1e9_f64), inside: bool) {
            let start = start.unwrap_or(f64::NEG_INFINITY);
            let end = end.unwrap_or(f64::INFINITY);
            prop_assume!(start <= end);
            let range = Range { start, end, inside };
            prop_assert_eq!(range.to_string().parse::<Range>().unwrap(), range);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}") {
            if let Ok(range) = text.parse::<Range>() {
                prop_assert_eq!(range.to_string().parse::<Range>().unwrap(), range);
            }
        }

        #[test]
        fn inversion_inverts(text in "-?[0-9]{1,3}:1[0-9]{3}", value in -2000.0..20000.0_f64) {
            let plain: Range = text.parse().unwrap();
            let inverted: Range = format!("@{text}").parse().unwrap();
            prop_assert_ne!(plain.alerts(value), inverted.alerts(value));
        }
    }
}
