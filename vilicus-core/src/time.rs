//! Moments and spans, both in whole milliseconds.
//!
//! Nothing here reads a clock: the moment called *now* is always handed in.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment: milliseconds since 1970-01-01T00:00:00Z, between the years 1 and 9999.
///
/// As text it is RFC 3339 in UTC with milliseconds (`2026-11-22T07:00:00.000Z`). A text without
/// an offset is refused: local time means nothing between two machines.
///
/// ```
/// use vilicus_core::Timestamp;
/// let noon: Timestamp = "2026-11-22T12:00:00+02:00".parse()?;
/// assert_eq!(noon.to_string(), "2026-11-22T10:00:00.000Z");
/// # Ok::<(), vilicus_core::time::ParseTimestampError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    /// Milliseconds after the moment before the earliest one: never zero, so that an `Option` takes no more room.
    NonZeroU64,
);

/// The earliest and latest moment that has a text form, in milliseconds.
const EARLIEST: i64 = -62_135_596_800_000;
const LATEST: i64 = 253_402_207_199_999;

impl Timestamp {
    /// The moment 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self::from_millis(0);
    /// The latest moment there is.
    pub const MAX: Self = Self::from_millis(LATEST);

    /// The moment so many milliseconds after 1970-01-01T00:00:00Z, held within the years 1 to 9999.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        let after_earliest = if millis < EARLIEST {
            0
        } else if millis > LATEST {
            LATEST.abs_diff(EARLIEST)
        } else {
            millis.abs_diff(EARLIEST)
        };
        Self(NonZeroU64::MIN.saturating_add(after_earliest))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        EARLIEST.wrapping_add_unsigned(self.0.get() - 1)
    }

    /// The moment so much later, at most the last one there is.
    #[must_use]
    pub const fn after(self, span: Millis) -> Self {
        Self::from_millis(self.as_millis().saturating_add(span.as_i64()))
    }

    /// The moment so much earlier, at least the first one there is.
    #[must_use]
    pub const fn before(self, span: Millis) -> Self {
        Self::from_millis(self.as_millis().saturating_sub(span.as_i64()))
    }

    /// How long after `earlier` this moment is; zero when it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Timestamp {
    /// The moment 1970-01-01T00:00:00Z.
    fn default() -> Self {
        Self::EPOCH
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.as_millis()) {
            Ok(moment) => write!(f, "{moment:.3}"),
            // Unreachable through the constructors; a number is still better than a panic.
            Err(_) => write!(f, "{}ms", self.as_millis()),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time: '{0}' (expected RFC 3339 with an offset, as 2026-11-22T07:00:00.000Z)")]
pub struct ParseTimestampError(String);

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // jiff would also take names of zones in brackets, which RFC 3339 does not know.
        let plain = text.len() <= 40 && !text.contains('[');
        match text.parse::<jiff::Timestamp>() {
            Ok(moment) if plain => Ok(Self::from_millis(moment.as_millisecond())),
            _ => Err(ParseTimestampError(text.chars().take(40).collect())),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.as_millis())
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(FromText("a string: a moment as 2026-11-22T07:00:00Z", PhantomData))
        } else {
            i64::deserialize(deserializer).map(Self::from_millis)
        }
    }
}

/// Reads a value from its text where it stands, without a copy.
struct FromText<T>(&'static str, PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// A span of time in whole milliseconds, up to some 290 million years.
///
/// As text it is numbers with units, largest first: `"90s"`, `"5m"`, `"1h30m"`, `"250ms"`; the units are
/// `w`, `d`, `h`, `m`, `s` and `ms`. A bare number is refused (seconds? minutes?), but for `0`.
///
/// ```
/// use vilicus_core::Millis;
/// let span: Millis = "1h30m".parse()?;
/// assert_eq!(span, Millis::from_secs(5400));
/// assert_eq!(span.to_string(), "1h30m");
/// # Ok::<(), vilicus_core::time::ParseMillisError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(u64);

impl Millis {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// So many milliseconds.
    #[must_use]
    pub const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// So many minutes.
    #[must_use]
    pub const fn from_minutes(minutes: u64) -> Self {
        Self::from_secs(minutes.saturating_mul(60))
    }

    /// So many hours.
    #[must_use]
    pub const fn from_hours(hours: u64) -> Self {
        Self::from_minutes(hours.saturating_mul(60))
    }

    /// The number of milliseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The span in seconds.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// So many times this span, at most the longest there is.
    #[must_use]
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// Both spans together, at most the longest there is.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    const fn as_i64(self) -> i64 {
        if self.0 > i64::MAX as u64 { i64::MAX } else { self.0 as i64 }
    }
}

impl From<Millis> for std::time::Duration {
    fn from(span: Millis) -> Self {
        Self::from_millis(span.0)
    }
}

impl From<std::time::Duration> for Millis {
    fn from(span: std::time::Duration) -> Self {
        Self(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The units of a span, largest first, in milliseconds.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, size) in UNITS {
            let count = rest / size;
            rest %= size;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a duration: '{text}' ({problem}; expected numbers with units w, d, h, m, s or ms, as 90s or 1h30m)"
)]
pub struct ParseMillisError {
    text: String,
    problem: &'static str,
}

impl FromStr for Millis {
    type Err = ParseMillisError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_span(text.trim())
            .map(Self)
            .map_err(|problem| ParseMillisError { text: text.chars().take(40).collect(), problem })
    }
}

fn parse_span(text: &str) -> Result<u64, &'static str> {
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err("it is empty");
    }
    let (mut rest, mut total, mut larger) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or("a number without a unit")?;
        let count: u64 = rest[..digits].parse().map_err(|_| "a whole number is missing or too large")?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (_, size) = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters]).ok_or("an unknown unit")?;
        if *size >= larger {
            return Err("units must come largest first, each once");
        }
        larger = *size;
        rest = &rest[letters..];
        total = count.checked_mul(*size).and_then(|part| total.checked_add(part)).ok_or("it is too long")?;
    }
    Ok(total)
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(FromText("a string: a span of time as 90s or 1h30m", PhantomData))
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

impl schemars::JsonSchema for Millis {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^(0|([0-9]+(w|d|h|m|s|ms))+)$",
            "description": "A span of time: numbers with units w, d, h, m, s or ms, as 90s or 1h30m.",
            "examples": ["90s", "5m", "1h30m"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_without_an_offset_is_refused() {
        for text in ["2026-11-22T07:00:00", "2026-11-22", "07:00", "", "now", "2026-11-22T07:00:00Z[UTC]"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_printed_in_utc_with_milliseconds() {
        let moment: Timestamp = "2026-11-22T07:00:00.1239Z".parse().unwrap();
        assert_eq!(moment.to_string(), "2026-11-22T07:00:00.123Z");
    }

    #[test]
    fn ends_of_time_have_a_text() {
        for millis in [i64::MIN, EARLIEST, LATEST, i64::MAX] {
            let moment = Timestamp::from_millis(millis);
            assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
        }
    }

    #[test]
    fn spans_need_units_in_order() {
        for (text, millis) in
            [("90s", 90_000), ("250ms", 250), ("1h30m", 5_400_000), ("0", 0), ("1d", 86_400_000)]
        {
            assert_eq!(text.parse::<Millis>().unwrap().get(), millis, "{text}");
        }
        for text in
            ["", "90", "s", "-5s", "1.5h", "5m1h", "5m5m", "5 m", "1y", "99999999999999999999s", "1h!"]
        {
            assert!(text.parse::<Millis>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn moments_round_trip(millis in EARLIEST..=LATEST) {
            let moment = Timestamp::from_millis(millis);
            prop_assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
        }

        #[test]
        fn spans_round_trip(millis: u64) {
            let span = Millis::new(millis);
            prop_assert_eq!(span.to_string().parse::<Millis>().unwrap(), span);
        }

        #[test]
        fn arithmetic_never_panics(moment: i64, span: u64) {
            let moment = Timestamp::from_millis(moment);
            let later = moment.after(Millis::new(span));
            prop_assert!(later >= moment);
            prop_assert!(later.since(moment) <= Millis::new(span));
            prop_assert!(moment.before(Millis::new(span)) <= moment);
        }
    }
}
