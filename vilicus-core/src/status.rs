//! OK, WARNING, CRITICAL, UNKNOWN, how bad each is, and soft and hard.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a result says of the thing that is checked.
///
/// The order is that of badness: OK < WARNING < UNKNOWN < CRITICAL, so the worst of several is their `max`.
/// The numbers 0 to 3 are those of the monitoring plugins' exit codes.
///
/// *Source:* <https://www.monitoring-plugins.org/doc/guidelines.html#AEN78> (return codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// All is well.
    Ok,
    /// Not good, but not broken either.
    Warning,
    /// Nobody can tell.
    Unknown,
    /// Broken.
    Critical,
}

impl Status {
    /// All four, mildest first.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Warning, Self::Unknown, Self::Critical];

    /// The plugin exit code: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    /// The status of a plugin exit code; `None` for any but 0 to 3.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Self> {
        match code {
            0 => Some(Self::Ok),
            1 => Some(Self::Warning),
            2 => Some(Self::Critical),
            3 => Some(Self::Unknown),
            _ => None,
        }
    }

    /// The word in capitals, as people and plugins write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Whether this is anything but OK.
    #[must_use]
    pub const fn is_problem(self) -> bool {
        !matches!(self, Self::Ok)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is not one of the four statuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a status: '{0}' (expected OK, WARNING, CRITICAL or UNKNOWN, or 0 to 3)")]
pub struct ParseStatusError(String);

impl FromStr for Status {
    type Err = ParseStatusError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text));
        let numbered = || Self::ALL.into_iter().find(|status| status.code().to_string() == text);
        named.or_else(numbered).ok_or_else(|| ParseStatusError(text.chars().take(40).collect()))
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.as_str())
        } else {
            serializer.serialize_u8(self.code())
        }
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(WordOrCode)
        } else {
            let code = u8::deserialize(deserializer)?;
            Self::from_code(code.into()).ok_or_else(|| D::Error::custom("not a status code"))
        }
    }
}

/// Reads a status from a word in any case or from a number 0 to 3.
struct WordOrCode;

impl Visitor<'_> for WordOrCode {
    type Value = Status;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status: OK, WARNING, CRITICAL or UNKNOWN, or 0 to 3")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Status, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, code: u64) -> Result<Status, E> {
        Status::from_code(code).ok_or_else(|| E::custom(ParseStatusError(code.to_string())))
    }

    fn visit_i64<E: serde::de::Error>(self, code: i64) -> Result<Status, E> {
        Err(E::custom(ParseStatusError(code.to_string())))
    }
}

/// Whether a state is confirmed.
///
/// A *soft* problem is still being retried and nobody hears of it; a *hard* one is confirmed.
/// *Source:* <https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/statetypes.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateType {
    /// Not confirmed yet.
    Soft,
    /// Confirmed.
    Hard,
}

impl fmt::Display for StateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_the_maximum() {
        assert_eq!(Status::ALL.into_iter().max(), Some(Status::Critical));
        assert!(Status::Warning < Status::Unknown);
    }

    #[test]
    fn words_in_any_case_and_codes_are_read() {
        for (json, status) in [
            ("\"ok\"", Status::Ok),
            ("\"Warning\"", Status::Warning),
            ("2", Status::Critical),
            ("\"3\"", Status::Unknown),
        ] {
            assert_eq!(serde_json::from_str::<Status>(json).unwrap(), status, "{json}");
        }
        for json in ["4", "-1", "\"GOOD\"", "null", "1.0", "true", "\"\""] {
            assert!(serde_json::from_str::<Status>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn codes_are_those_of_the_plugins() {
        for status in Status::ALL {
            assert_eq!(Status::from_code(status.code().into()), Some(status));
            let bytes = postcard::to_stdvec(&status).unwrap();
            assert_eq!(postcard::from_bytes::<Status>(&bytes).unwrap(), status);
        }
    }
}
