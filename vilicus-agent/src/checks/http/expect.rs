//! What an answer must be like, and the sentence when it is not.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use http::StatusCode;
use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use vilicus_core::ParamsError;

use super::exchange::Answer;

/// Good status codes, as `200-399,401`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StatusRanges(Vec<RangeInclusive<u16>>);

impl Default for StatusRanges {
    fn default() -> Self {
        Self(vec![200..=399])
    }
}

impl StatusRanges {
    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(|part| parse_range(part.trim()));
        let ranges: Option<Vec<_>> = parts.collect();
        ranges.map(Self).ok_or_else(|| format!("'{text}' is no list of status codes, as 200-399,401"))
    }

    fn contains(&self, status: StatusCode) -> bool {
        self.0.iter().any(|range| range.contains(&status.as_u16()))
    }

    fn to_text(&self) -> String {
        let text = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
            (start, end) if start == end => start.to_string(),
            (start, end) => format!("{start}-{end}"),
        };
        self.0.iter().map(text).collect::<Vec<_>>().join(",")
    }
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let code = |text: &str| text.trim().parse().ok().filter(|code| (100..=999).contains(code));
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let (start, end) = (code(start)?, code(end)?);
    (start <= end).then_some(start..=end)
}

impl<'de> Deserialize<'de> for StatusRanges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // One code is often written as a number.
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "status codes, as 200 or \"200-399,401\"")]
        enum Written {
            Code(u16),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Code(code) => code.to_string(),
            Written::Text(text) => text,
        };
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl JsonSchema for StatusRanges {
    fn schema_name() -> Cow<'static, str> {
        "StatusRanges".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "default": "200-399" })
    }
}

/// What an answer must be like.
#[derive(Debug)]
pub(super) struct Expectations {
    status: StatusRanges,
    body: Option<String>,
    body_regex: Option<Regex>,
    json: BTreeMap<String, Value>,
}

impl Expectations {
    pub(super) fn new(
        status: StatusRanges,
        body: Option<String>,
        body_regex: Option<&str>,
        json: BTreeMap<String, Value>,
    ) -> Result<Self, ParamsError> {
        let body_regex = body_regex.map(Regex::new).transpose();
        let body_regex =
            body_regex.map_err(|error| ParamsError::new("expect_body_regex", error.to_string()))?;
        Ok(Self { status, body, body_regex, json })
    }

    /// Whether the answer is as expected; if not, how it differs, as the end of a sentence about the address.
    pub(super) fn judge(&self, answer: &Answer) -> Result<(), String> {
        if !self.status.contains(answer.status) {
            return Err(format!("answered {}, expected {}", answer.status, self.status.to_text()));
        }
        let text = String::from_utf8_lossy(&answer.body);
        if let Some(part) = self.body.as_deref().filter(|part| !text.contains(*part)) {
            return Err(format!("answered without '{part}'"));
        }
        if let Some(regex) = self.body_regex.as_ref().filter(|regex| !regex.is_match(&text)) {
            return Err(format!("answered nothing like '{regex}'"));
        }
        self.judge_json(&answer.body)
    }

    fn judge_json(&self, body: &[u8]) -> Result<(), String> {
        if self.json.is_empty() {
            return Ok(());
        }
        let json: Value =
            serde_json::from_slice(body).map_err(|error| format!("answered no JSON: {error}"))?;
        for (path, expected) in &self.json {
            match lookup(&json, path) {
                None => return Err(format!("answered without {path}, expected {expected}")),
                Some(value) if !is_same(value, expected) => {
                    return Err(format!("answered {path} = {}, expected {expected}", shortened(value)));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// The value at a JSON pointer (`/a/0`) or at a path of names and numbers (`a.0`).
fn lookup<'a>(json: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() || path.starts_with('/') {
        return json.pointer(path);
    }
    path.split('.').try_fold(json, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        other => other.get(part),
    })
}

/// Whether two values are the same; numbers by value, so that 1 is 1.0.
fn is_same(value: &Value, expected: &Value) -> bool {
    let numbers = value.as_f64().zip(expected.as_f64());
    value == expected || numbers.is_some_and(|(value, expected)| value == expected)
}

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 80 { text } else { text.chars().take(79).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn status_codes_are_numbers_and_ranges() {
        for (written, good, bad) in [
            (json!("200-399,401"), vec![200, 399, 401], vec![199, 400]),
            (json!(" 200 , 204 "), vec![200, 204], vec![201]),
            (json!(503), vec![503], vec![200]),
        ] {
            let ranges: StatusRanges = serde_json::from_value(written).unwrap();
            let contains = |code: &u16| ranges.contains(StatusCode::from_u16(*code).unwrap());
            assert!(good.iter().all(contains) && !bad.iter().any(contains), "{}", ranges.to_text());
        }
        for written in [json!(""), json!("2xx"), json!("399-200"), json!("99"), json!("200-"), json!(1.5)] {
            assert!(serde_json::from_value::<StatusRanges>(written.clone()).is_err(), "{written}");
        }
    }

    #[test]
    fn json_is_looked_up_by_path_or_pointer() {
        let json = json!({"status": {"db": "up"}, "nodes": [{"n": 1.0}, null], "a.b": true, "": 0});
        for (path, expected) in [
            ("status.db", Some(json!("up"))),
            ("/status/db", Some(json!("up"))),
            ("nodes.0.n", Some(json!(1))),
            ("/nodes/1", Some(Value::Null)),
            ("/a.b", Some(json!(true))),
            ("nodes.7", None),
            ("nodes.x", None),
            ("status.db.x", None),
        ] {
            let found = lookup(&json, path);
            assert_eq!(found.is_some(), expected.is_some(), "{path}");
            assert!(
                found.zip(expected.as_ref()).is_none_or(|(found, expected)| is_same(found, expected)),
                "{path}"
            );
        }
    }
}
