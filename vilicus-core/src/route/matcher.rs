//! Matchers: `name=value`, `name!=value`, `name=~regex`, `name!~regex`, as Alertmanager writes them.
//!
//! Regular expressions are anchored, run in linear time and are limited in size. A label that a check does not have
//! matches as the empty text. Where a label has several values (tags), `=` and `=~` want one of them to match, `!=` and
//! `!~` want none to.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::labels::Labels;

/// The longest text of a matcher, in bytes.
pub const MAX_MATCHER: usize = 4096;
/// The most memory that a compiled regular expression may take, in bytes.
const MAX_REGEX: usize = 1 << 20;

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl Operator {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// One condition on a label.
///
/// ```
/// use vilicus_core::route::{Labels, Matcher};
/// let matcher: Matcher = "status=~critical|unknown".parse()?;
/// let labels = Labels {
///     agent: "web-1", check: "shop", kind: "http", status: Some(vilicus_core::Status::Critical), agent_tags: &[], check_tags: &[],
/// };
/// assert!(matcher.matches(&labels));
/// # Ok::<(), vilicus_core::route::ParseMatcherError>(())
/// ```
#[derive(Clone)]
pub struct Matcher {
    name: String,
    operator: Operator,
    value: String,
    regex: Option<Regex>,
}

/// The text is not a matcher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a matcher: '{text}': {detail}")]
pub struct ParseMatcherError {
    text: String,
    detail: String,
}

impl ParseMatcherError {
    fn new(text: &str, detail: impl Into<String>) -> Self {
        Self { text: text.chars().take(80).collect(), detail: detail.into() }
    }
}

impl Matcher {
    /// A matcher made of its parts.
    ///
    /// # Errors
    /// The name is not one, or the regular expression can't be compiled.
    pub fn new(name: &str, operator: Operator, value: &str) -> Result<Self, ParseMatcherError> {
        let shown = format!("{name}{}{value}", operator.as_str());
        if shown.len() > MAX_MATCHER {
            return Err(ParseMatcherError::new(&shown, format!("it is longer than {MAX_MATCHER} bytes")));
        }
        check_name(name).map_err(|detail| ParseMatcherError::new(&shown, detail))?;
        let status = name == "status";
        let regex = match operator {
            Operator::Equal | Operator::NotEqual => None,
            Operator::Regex | Operator::NotRegex => {
                Some(anchored(value, status).map_err(|detail| ParseMatcherError::new(&shown, detail))?)
            }
        };
        let value = if status && regex.is_none() { value.to_lowercase() } else { value.to_owned() };
        Ok(Self { name: name.to_owned(), operator, value, regex })
    }

    /// Whether a check with these labels meets the condition.
    #[must_use]
    pub fn matches(&self, labels: &Labels<'_>) -> bool {
        let mut values = labels.values(&self.name).peekable();
        let any =
            if values.peek().is_none() { self.holds("") } else { values.any(|value| self.holds(value)) };
        any == matches!(self.operator, Operator::Equal | Operator::Regex)
    }

    /// The name of the label.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the label is compared.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// What the label is compared with.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    fn holds(&self, value: &str) -> bool {
        self.regex.as_ref().map_or_else(|| value == self.value, |regex| regex.is_match(value))
    }
}

/// Whether all conditions are met; no condition is always met.
#[must_use]
pub fn all_match(matchers: &[Matcher], labels: &Labels<'_>) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':');
    if name.is_empty() {
        return Err("the name of the label is missing".to_owned());
    }
    match name.chars().find(|c| !fits(*c)) {
        Some(c) => Err(format!("the name of a label has no {c:?}; quote the value, not the name")),
        None => Ok(()),
    }
}

fn anchored(pattern: &str, ignore_case: bool) -> Result<Regex, String> {
    // Compiled by itself first: a stray parenthesis must not close our own.
    let build = |pattern: &str| {
        RegexBuilder::new(pattern).size_limit(MAX_REGEX).case_insensitive(ignore_case).build()
    };
    build(pattern).and_then(|_| build(&format!("^(?:{pattern})$"))).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
        error => format!("the regular expression is wrong: {}", last_line(&error.to_string())),
    })
}

/// The parser of regular expressions draws a picture first; what is wrong stands in the last line.
fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ")
}

impl FromStr for Matcher {
    type Err = ParseMatcherError;

    fn from_str(text: &str) -> Result<Self, ParseMatcherError> {
        let wrong = |detail: &str| ParseMatcherError::new(text, detail);
        let at = text
            .find(['=', '!'])
            .ok_or_else(|| wrong("expected name=value, name!=value, name=~regex or name!~regex"))?;
        let (name, rest) = text.split_at(at);
        let operators = [Operator::Regex, Operator::NotRegex, Operator::NotEqual, Operator::Equal];
        let operator = operators
            .into_iter()
            .find(|operator| rest.starts_with(operator.as_str()))
            .ok_or_else(|| wrong("after '!' comes '=' or '~'"))?;
        let value = unquote(rest[operator.as_str().len()..].trim()).map_err(wrong)?;
        Self::new(name.trim(), operator, &value).map_err(|error| ParseMatcherError::new(text, error.detail))
    }
}

/// The value without its quotes; inside them `\"`, `\\` and `\n` mean what they mean elsewhere.
fn unquote(text: &str) -> Result<String, &'static str> {
    let Some(inner) = text.strip_prefix('"') else {
        return if text.contains('"') {
            Err("a quote stands inside a value without quotes")
        } else {
            Ok(text.to_owned())
        };
    };
    let mut value = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    loop {
        match rest.next() {
            None => return Err("the closing quote is missing"),
            Some('"') if rest.as_str().is_empty() => return Ok(value),
            Some('"') => return Err("something follows the closing quote"),
            Some('\\') => match rest.next() {
                Some('n') => value.push('\n'),
                Some(c @ ('"' | '\\')) => value.push(c),
                Some(other) => value.extend(['\\', other]),
                None => return Err("the closing quote is missing"),
            },
            Some(c) => value.push(c),
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.value.trim() == self.value
            // A tilde would join the operator before it.
            && !self.value.starts_with('~')
            && !self.value.contains(['"', '\\', '\n', ',', '{', '}']);
        if plain {
            return write!(f, "{}{}{}", self.name, self.operator.as_str(), self.value);
        }
        let quoted = self.value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(f, "{}{}\"{quoted}\"", self.name, self.operator.as_str())
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matcher({self})")
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.operator, &self.value) == (&other.name, other.operator, &other.value)
    }
}

impl Eq for Matcher {}

impl Serialize for Matcher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;
    use proptest::prelude::*;

    fn matches(matcher: &str) -> bool {
        let tags = ["prod".to_owned(), "team=web".to_owned(), "team=shop".to_owned()];
        let labels = Labels {
            agent: "web-1",
            check: "disk root",
            kind: "disk",
            status: Some(Status::Critical),
            agent_tags: &tags,
            check_tags: &[],
        };
        matcher.parse::<Matcher>().unwrap().matches(&labels)
    }

    #[test]
    fn matchers_match_as_written() {
        for (matcher, expected) in [
            ("agent=web-1", true),
            ("agent = \"web-1\"", true),
            ("agent=~web", false),
            ("agent=~web.*", true),
            ("agent!~web.*", false),
            ("agent=~a|web-1|b", true),
            ("check=\"disk root\"", true),
            ("status=CRITICAL", true),
            ("status=~Critical|unknown", true),
            ("tag=prod", true),
            ("tag!=prod", false),
            ("tag!=test", true),
            ("tag=~te.*", true),
            ("team=shop", true),
            ("team!=web", false),
            ("none=", true),
            ("none!=", false),
            ("none!=x", true),
            ("none=~.*", true),
            ("none=~.+", false),
        ] {
            assert_eq!(matches(matcher), expected, "{matcher}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (matcher, part) in [
            ("agent", "expected name=value"),
            ("=x", "name of the label is missing"),
            ("a!x", "after '!'"),
            ("a=\"x", "closing quote is missing"),
            ("a=\"x\"y", "follows the closing quote"),
            ("a=x\"y", "inside a value"),
            ("a=~(", "regular expression is wrong"),
            ("a=~x)|(y", "regular expression is wrong"),
            ("a=~(x{1000}){1000}", "too large"),
            ("a b=x", "no ' '"),
        ] {
            let error = matcher.parse::<Matcher>().unwrap_err().to_string();
            assert!(error.contains(part), "{matcher}: {error}");
        }
    }

    proptest! {
        #[test]
        fn matchers_round_trip(name in "[a-z_]{1,8}", value in any::<String>(), equal: bool) {
            let operator = if equal { Operator::Equal } else { Operator::NotEqual };
            if let Ok(matcher) = Matcher::new(&name, operator, &value) {
                let text = matcher.to_string();
                prop_assert_eq!(text.parse::<Matcher>(), Ok(matcher), "{}", text);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = text.parse::<Matcher>();
        }
    }
}
