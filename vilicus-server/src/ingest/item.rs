//! One result as it is sent, and batches of them.
//!
//! A batch is parsed at once; only when that fails is it read again item by item, so that the good ones count.
//! Lenient where agents of other versions may say more (unknown fields are ignored), strict where a value is said.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use vilicus_core::{CheckId, CheckResult, Metric, Millis, Range, Status, Timestamp, Unit};

use super::Judged;
use crate::api::reference::Reference;
use crate::http::Problem;
use crate::http::json::{broken, fields_of, from_fields, parse, present};
use crate::http::strict::Object;

/// One result, and the check that it is of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    /// The check, as the caller names it.
    pub(crate) check: Reference,
    /// The result as sent.
    pub(crate) result: CheckResult,
}

/// What a body holds.
#[derive(Debug)]
pub(crate) enum Sent {
    /// One result.
    One(Box<Item>),
    /// Many, each of them good or not.
    Many(Vec<Judged<Item>>),
}

impl Sent {
    /// Reads a body.
    ///
    /// # Errors
    /// The body is not JSON (400) or no object, a batch holds more than `most` items, or the one result in it is
    /// not one (422).
    pub(crate) fn parse(body: &[u8], most: usize) -> Result<Self, Problem> {
        if std::str::from_utf8(body).is_err() {
            return Err(Problem::bad_request("the body is not UTF-8"));
        }
        // What is skipped is not decoded, so a half of a surrogate pair in it would pass; then look at everything.
        let plain = !body.windows(3).any(|bytes| matches!(bytes, [b'\\', b'u', b'd' | b'D']));
        if plain && let Ok(Object(Batch { objects })) = serde_json::from_slice(body) {
            expect_at_most(objects.len(), most)?;
            return Ok(Self::Many(objects.into_iter().map(|Object(wire)| Ok(wire.into_item())).collect()));
        }
        let Fields(fields) = serde_json::from_slice(body).map_err(|error| broken(String::new(), &error))?;
        match fields.get("objects") {
            None => Item::parse(body).map(|item| Self::One(Box::new(item))),
            Some(objects) => {
                let objects: Vec<&RawValue> = serde_json::from_str(objects.get())
                    .map_err(|_| Problem::invalid("/objects", "expected an array of results"))?;
                expect_at_most(objects.len(), most)?;
                Ok(Self::Many(objects.into_iter().map(|item| Item::parse(item.get().as_bytes())).collect()))
            }
        }
    }
}

fn expect_at_most(count: usize, most: usize) -> Result<(), Problem> {
    match count <= most {
        true => Ok(()),
        false => {
            Err(Problem::invalid("/objects", format!("holds {count} results; send at most {most} at a time")))
        }
    }
}

impl Item {
    fn parse(json: &[u8]) -> Judged<Self> {
        from_fields::<Wire>(fields_of(parse(json)?)?).map(Wire::into_item)
    }

    /// Reads one result of a check that is known already: it need not be named again.
    pub(crate) fn parse_for(json: &[u8], check: CheckId) -> Judged<Self> {
        let mut fields = fields_of(parse(json)?)?;
        fields.insert("check".to_owned(), check.get().into());
        from_fields::<Wire>(fields).map(Wire::into_item)
    }
}

#[derive(Deserialize)]
struct Batch {
    objects: Vec<Object<Wire>>,
}

/// A result on the wire. Optional values that the contract marks so may be `null`; the others only be left out.
#[derive(Deserialize)]
struct Wire {
    check: Reference,
    #[serde(default, deserialize_with = "present")]
    timestamp: Option<Timestamp>,
    #[serde(default, deserialize_with = "present")]
    status: Option<Status>,
    #[serde(default)]
    output: String,
    #[serde(default)]
    long_output: String,
    #[serde(default)]
    metrics: Vec<Object<WireMetric>>,
    #[serde(default, deserialize_with = "present")]
    duration_ms: Option<u64>,
    #[serde(default)]
    exit_code: Option<i32>,
    #[serde(default)]
    truncated: bool,
}

#[derive(Deserialize)]
struct WireMetric {
    name: String,
    value: f64,
    #[serde(default)]
    unit: Unit,
    #[serde(default)]
    warning: Option<Range>,
    #[serde(default)]
    critical: Option<Range>,
    #[serde(default)]
    min: Option<f64>,
    #[serde(default)]
    max: Option<f64>,
    #[serde(default)]
    written_unit: Option<String>,
}

impl Wire {
    fn into_item(self) -> Item {
        let result = CheckResult {
            status: self.status,
            output: self.output,
            long_output: self.long_output,
            metrics: self.metrics.into_iter().map(|Object(metric)| metric.into()).collect(),
            timestamp: self.timestamp,
            duration: self.duration_ms.map(Millis::new),
            exit_code: self.exit_code,
            truncated: self.truncated,
        };
        Item { check: self.check, result }
    }
}

impl From<WireMetric> for Metric {
    fn from(wire: WireMetric) -> Self {
        Self {
            name: wire.name,
            value: wire.value,
            unit: wire.unit,
            warning: wire.warning,
            critical: wire.critical,
            min: wire.min,
            max: wire.max,
            written_unit: wire.written_unit,
        }
    }
}

/// The fields of an object, unread; a name that stands twice is a mistake.
struct Fields<'a>(HashMap<String, &'a RawValue>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = HashMap::new();
                while let Some(name) = entries.next_key::<String>()? {
                    if fields.contains_key(&name) {
                        let shown: String = name.chars().take(60).collect();
                        return Err(A::Error::custom(format!("the key {shown:?} stands twice; say it once")));
                    }
                    fields.insert(name, entries.next_value()?);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(body: &str) -> Vec<Judged<Item>> {
        match Sent::parse(body.as_bytes(), 100) {
            Ok(Sent::Many(items)) => items,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_bad_item_costs_no_good_one() {
        let good = r#"{"check": 7, "status": "ok", "output": "fine"}"#;
        for (bad, status) in [
            ("null", 422),
            ("[7]", 422),
            ("\"x\"", 422),
            ("{}", 422),
            (r#"{"check": null, "status": 0}"#, 422),
            (r#"{"check": 7, "status": 4}"#, 422),
            (r#"{"check": 7, "status": null}"#, 422),
            (r#"{"check": 7, "status": 0, "status": 0}"#, 422),
            (r#"{"check": 7, "status": 0, "x": 1, "x": 2, "output": 1}"#, 422),
            (r#"{"check": 7, "output": "\ud800"}"#, 400),
            (r#"{"check": 7, "ignored": "\udfff"}"#, 400),
            (r#"{"check": 7, "metrics": [{"name": "a", "value": 1e999}]}"#, 400),
            (r#"{"check": 7, "metrics": [["a", 1]]}"#, 422),
            (r#"{"check": 7, "metrics": [{"name": "a", "value": null}]}"#, 422),
            (r#"{"check": 7, "metrics": [{"name": "a", "value": "1"}]}"#, 422),
            (r#"{"check": 7, "timestamp": "2026-11-22T07:00:00"}"#, 422),
            (r#"{"check": 7, "timestamp": 1}"#, 422),
            (r#"{"check": 7, "duration_ms": -1}"#, 422),
        ] {
            let items = many(&format!(r#"{{"objects": [{good}, {bad}, {good}]}}"#));
            assert!(items[0].is_ok() && items[2].is_ok(), "{bad}");
            assert_eq!(items[1].as_ref().unwrap_err().status(), status, "{bad}");
        }
    }

    #[test]
    fn a_body_is_one_result_or_many() {
        assert!(matches!(Sent::parse(br#"{"check": "a/b", "status": 2}"#, 1), Ok(Sent::One(_))));
        assert!(many(r#"{"objects": []}"#).is_empty());
        for (body, status) in [
            ("", 400),
            ("[]", 422),
            ("{", 400),
            (r#"{"objects": 7}"#, 422),
            (r#"{"objects": null}"#, 422),
            (r#"{"objects": [], "objects": []}"#, 422),
            (r#"{"objects": [{"check":1},{"check":1}]}"#, 422),
            (r#"{"status": 0}"#, 422),
        ] {
            assert_eq!(Sent::parse(body.as_bytes(), 1).unwrap_err().status(), status, "{body}");
        }
    }

    #[test]
    fn what_is_known_of_a_metric_is_kept() {
        let body = r#"{"objects": [{"check": 7, "metrics":
            [{"name": "used", "value": 7, "unit": "%", "warning": "80", "min": 0, "max": null, "new": [1]}]}]}"#;
        let items = many(body);
        let metric = &items[0].as_ref().unwrap().result.metrics[0];
        assert_eq!((metric.unit.as_str(), metric.min, metric.max), ("%", Some(0.0), None));
    }
}
