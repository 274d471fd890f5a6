//! A named number with a unit: what a check measures.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::threshold::Range;

/// One measured value.
///
/// Values are in base units: seconds, bytes, percent (0 to 100), or plain numbers.
///
/// ```
/// use vilicus_core::{Metric, Unit};
/// let metric = Metric::new("response_seconds", 0.12).unit(Unit::Seconds);
/// assert_eq!(metric.value, 0.12);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name, as thresholds refer to it; never empty.
    pub name: String,
    /// The value, in the base unit.
    pub value: f64,
    /// The base unit.
    pub unit: Unit,
    /// The warning range that the source of the metric stated; shown, never judged.
    pub warning: Option<Range>,
    /// The critical range that the source of the metric stated; shown, never judged.
    pub critical: Option<Range>,
    /// The smallest possible value.
    pub min: Option<f64>,
    /// The largest possible value.
    pub max: Option<f64>,
    /// The unit in which the source wrote it, when that was not the base unit, as `ms`.
    pub written_unit: Option<String>,
}

impl Metric {
    /// A metric without a unit.
    #[must_use]
    pub fn new(name: impl Into<String>, value: f64) -> Self {
        Self {
            name: name.into(),
            // An empty sum is −0; nobody wants to read that.
            value: value + 0.0,
            unit: Unit::None,
            warning: None,
            critical: None,
            min: None,
            max: None,
            written_unit: None,
        }
    }

    /// The same metric in this unit.
    #[must_use]
    pub fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// The same metric with its possible range.
    #[must_use]
    pub fn bounds(mut self, min: Option<f64>, max: Option<f64>) -> Self {
        (self.min, self.max) = (min, max);
        self
    }

    /// A percentage, 0 to 100.
    #[must_use]
    pub fn percent(name: impl Into<String>, value: f64) -> Self {
        Self::new(name, value).unit(Unit::Percent).bounds(Some(0.0), Some(100.0))
    }

    /// A size in bytes.
    #[must_use]
    pub fn bytes(name: impl Into<String>, value: f64) -> Self {
        Self::new(name, value).unit(Unit::Bytes).bounds(Some(0.0), None)
    }

    /// A time in seconds.
    #[must_use]
    pub fn seconds(name: impl Into<String>, value: f64) -> Self {
        Self::new(name, value).unit(Unit::Seconds)
    }
}

/// The unit of a metric. As text: `""`, `s`, `%`, `B`, `c`, or whatever its source calls it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Unit {
    /// A plain number.
    #[default]
    None,
    /// Seconds.
    Seconds,
    /// Percent, 0 to 100.
    Percent,
    /// Bytes.
    Bytes,
    /// A counter that only grows.
    Counter,
    /// A unit that vilicus does not know, kept as it was written.
    Other(String),
}

impl Unit {
    /// The unit as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::None => "",
            Self::Seconds => "s",
            Self::Percent => "%",
            Self::Bytes => "B",
            Self::Counter => "c",
            Self::Other(text) => text,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Unit {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "" => Self::None,
            "s" => Self::Seconds,
            "%" => Self::Percent,
            "B" => Self::Bytes,
            "c" => Self::Counter,
            other => Self::Other(other.to_owned()),
        })
    }
}

impl Serialize for Unit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Unit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(match text.parse() {
            Ok(unit) => unit,
            Err(never) => match never {},
        })
    }
}
