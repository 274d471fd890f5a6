//! The short way of a body of results: read without a copy of any text, and packed at once.
//!
//! It takes only what is in order throughout. Everything else (a mistake anywhere, a text too long, a check that is not
//! found) takes the long way, item by item, which has the words for it.

use std::borrow::Cow;
use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};
use vilicus_core::{AgentId, CheckId, Range, Status, Timestamp};
use vilicus_store::report::{Reading, Reported, Reports};

use super::validate::{is_good_name, is_good_unit};
use crate::api::reference::ROOT;
use crate::http::json::present;
use crate::http::limits::Limits;
use crate::http::strict::Object;

/// A body that was read.
#[derive(Debug)]
pub(super) struct Read<'a> {
    results: Vec<Object<Wire<'a>>>,
    /// Whether it holds a batch, of whatever size, or one result by itself.
    pub(super) is_batch: bool,
}

/// Which check a result names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named<'a> {
    /// This one.
    Id(CheckId),
    /// One of the caller's own agent.
    Own(&'a str),
    /// The one of this name, of the agent of that name.
    Of(&'a str, &'a str),
}

impl<'a> Named<'a> {
    /// The name of a check of the agent that is called so, when it is one of its own by name.
    pub(super) fn own(&self, agent: &str) -> Option<&'a str> {
        match *self {
            Self::Own(name) => Some(name),
            Self::Of(of, name) => Some(name).filter(|_| of == agent),
            Self::Id(_) => None,
        }
    }
}

/// Reads a body; `None` when it takes the long way.
pub(super) fn read(body: &[u8], most: usize) -> Option<Read<'_>> {
    let text = std::str::from_utf8(body).ok()?;
    // An escape may be half of a surrogate pair in what is skipped, where nothing would notice it.
    if body.contains(&b'\\') && body.windows(3).any(|bytes| matches!(bytes, [b'\\', b'u', b'd' | b'D'])) {
        return None;
    }
    // A key may hide behind an escape.
    let may_be_batch = text.contains(r#""objects""#) || text.contains('\\');
    let read = if may_be_batch && let Ok(Object(Batch { objects })) = serde_json::from_str(text) {
        Read { results: objects, is_batch: true }
    } else {
        Read { results: vec![serde_json::from_str(text).ok()?], is_batch: false }
    };
    (read.results.len() <= most).then_some(read)
}

impl Read<'_> {
    /// Which checks are named, in order; `None` when one takes the long way.
    pub(super) fn named(&self) -> Option<Vec<Named<'_>>> {
        self.results.iter().map(|Object(wire)| named(&wire.check)).collect()
    }

    /// Packs the results, of these checks in order; `None` when one takes the long way.
    pub(super) fn pack(
        &self,
        by: Option<AgentId>,
        checks: impl Iterator<Item = Option<CheckId>>,
        limits: &Limits,
        now: Timestamp,
    ) -> Option<Reports> {
        let latest = now.after(limits.clock_skew);
        let mut reports = Reports::by(by);
        for (Object(wire), check) in self.results.iter().zip(checks) {
            if !wire.is_plain(limits, latest) {
                return None;
            }
            reports.push(wire.head(check?), wire.metrics.iter().map(|Object(metric)| metric.reading()));
        }
        Some(reports)
    }
}

/// A check is named by its id, `agent/name` or its path; an agent may leave its own name out.
fn named<'a>(check: &'a Check<'_>) -> Option<Named<'a>> {
    let text = match check {
        Check::Id(id) => return CheckId::new(*id).map(Named::Id),
        Check::Text(text) => text.as_ref(),
    };
    if let Some(path) = text.strip_prefix(ROOT) {
        let id = path.strip_prefix("/check/")?.trim_end_matches('/');
        let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        return id.parse().ok().filter(|_| digits).and_then(CheckId::new).map(Named::Id);
    }
    let is_name = !text.contains("/api/v1/") && text.bytes().any(|byte| !byte.is_ascii_digit());
    match text.split_once('/') {
        _ if !is_name => None,
        Some((agent, name)) => Some(Named::Of(agent, name)),
        None => Some(Named::Own(text)),
    }
}

#[derive(Debug, Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    objects: Vec<Object<Wire<'a>>>,
}

/// A reference to a check, unread.
#[derive(Debug)]
enum Check<'a> {
    Id(u64),
    Text(Cow<'a, str>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Check<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdOrText;

        impl<'de> Visitor<'de> for IdOrText {
            type Value = Check<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id, a name or a resource_uri")
            }

            fn visit_u64<E>(self, id: u64) -> Result<Check<'de>, E> {
                Ok(Check::Id(id))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Check<'de>, E> {
                Ok(Check::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Check<'de>, E> {
                Ok(Check::Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_any(IdOrText)
    }
}

/// A result on the wire, as in `item`, without a copy of its texts.
#[derive(Debug, Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    check: Check<'a>,
    #[serde(default, deserialize_with = "present")]
    timestamp: Option<Timestamp>,
    #[serde(default, deserialize_with = "present")]
    status: Option<Status>,
    #[serde(default, borrow)]
    output: Cow<'a, str>,
    #[serde(default, borrow)]
    long_output: Cow<'a, str>,
    #[serde(default, borrow)]
    metrics: Vec<Object<WireMetric<'a>>>,
    #[serde(default, deserialize_with = "present")]
    duration_ms: Option<u64>,
    #[serde(default)]
    exit_code: Option<i32>,
    #[serde(default)]
    truncated: bool,
}

#[derive(Debug, Deserialize)]
struct WireMetric<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    value: f64,
    #[serde(default, borrow)]
    unit: Cow<'a, str>,
    #[serde(default)]
    warning: Option<Range>,
    #[serde(default)]
    critical: Option<Range>,
    #[serde(default)]
    min: Option<f64>,
    #[serde(default)]
    max: Option<f64>,
    #[serde(default, borrow)]
    written_unit: Option<Cow<'a, str>>,
}

impl Wire<'_> {
    /// Whether it may be kept as it is.
    fn is_plain(&self, limits: &Limits, latest: Timestamp) -> bool {
        let says_something = self.status.is_some() || !self.metrics.is_empty();
        says_something
            && self.output.len() + self.long_output.len() <= limits.output_bytes
            && self.metrics.len() <= limits.metrics
            && self.timestamp.is_none_or(|timestamp| timestamp <= latest)
            && self.metrics.iter().all(|Object(metric)| metric.is_good())
    }

    fn head(&self, check: CheckId) -> Reported<'_> {
        Reported {
            check,
            timestamp: self.timestamp,
            status: self.status,
            duration: self.duration_ms.map(vilicus_core::Millis::new),
            exit_code: self.exit_code,
            truncated: self.truncated,
            output: &self.output,
            long_output: &self.long_output,
        }
    }
}

impl WireMetric<'_> {
    fn is_good(&self) -> bool {
        is_good_name(&self.name) && is_good_unit(&self.unit, self.written_unit.as_deref())
    }

    fn reading(&self) -> Reading<'_> {
        Reading {
            name: &self.name,
            value: self.value,
            unit: &self.unit,
            warning: self.warning,
            critical: self.critical,
            min: self.min,
            max: self.max,
            written_unit: self.written_unit.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::item::{Item, Sent};
    use crate::ingest::validate::validate;
    use vilicus_core::{CheckResult, Millis};

    const NOW: Timestamp = Timestamp::from_millis(1_795_348_800_000);

    fn packed(body: &str) -> Option<Vec<CheckResult>> {
        let (read, limits) = (read(body.as_bytes(), 3)?, Limits::default());
        let checks = read.named()?.into_iter().map(|named| match named {
            Named::Id(id) => Some(id),
            Named::Own(name) | Named::Of(_, name) => CheckId::new(name.len() as u64),
        });
        let checks: Vec<_> = checks.collect();
        let reports = read.pack(None, checks.into_iter(), &limits, NOW)?;
        Some(reports.iter().map(|report| report.result()).collect())
    }

    fn item_by_item(body: &str) -> Vec<CheckResult> {
        let items: Vec<Item> = match Sent::parse(body.as_bytes(), 3).unwrap() {
            Sent::One(item) => vec![*item],
            Sent::Many(items) => items.into_iter().map(Result::unwrap).collect(),
        };
        items.into_iter().map(|item| validate(item.result, &Limits::default(), NOW).unwrap()).collect()
    }

    #[test]
    fn what_goes_the_short_way_says_what_it_says_on_the_long_one() {
        for result in [
            r#"{"check": 7, "status": 0}"#,
            r#"{"check": "/api/v1/check/7/", "status": "warning", "output": "ä \"b\" \n", "new": {"a": [1]}}"#,
            r#"{"check": "disk", "metrics": [{"name": "used", "value": 1e3, "unit": "%", "min": 0, "max": null}]}"#,
            r#"{"check": "web-1/disk", "status": 2, "timestamp": "2026-11-22T12:00:00+01:00", "duration_ms": 5}"#,
            r#"{"check": 7, "status": 3, "long_output": "x\ty", "exit_code": -9, "truncated": true,
                "metrics": [{"name": "größe", "value": -0.5, "unit": "fl", "warning": "@10:20", "written_unit": "f"}]}"#,
        ] {
            let batch = format!(r#"{{"objects": [{result}, {result}]}}"#);
            assert_eq!(packed(result).unwrap(), item_by_item(result), "{result}");
            assert_eq!(packed(&batch).unwrap(), item_by_item(&batch), "{batch}");
        }
        assert_eq!(packed(r#"{"objects": []}"#).unwrap(), []);
    }

    #[test]
    fn what_is_not_in_order_takes_the_long_way() {
        let (long, name) = ("x".repeat(16 * 1024 + 1), "n".repeat(256));
        let ahead = NOW.after(Millis::from_minutes(6));
        for result in [
            "null",
            "[7]",
            "{}",
            r#"{"check": 0, "status": 0}"#,
            r#"{"check": 7}"#,
            r#"{"check": 7, "status": 4}"#,
            r#"{"check": 7, "status": null}"#,
            r#"{"check": 7, "status": 0, "status": 0}"#,
            r#"{"check": 7, "status": 0, "ignored": "\udfff"}"#,
            r#"{"check": 7, "metrics": [["a", 1]]}"#,
            r#"{"check": 7, "metrics": [{"name": " ", "value": 1}]}"#,
            r#"{"check": 7, "metrics": [{"name": "a\n", "value": 1}]}"#,
            r#"{"check": 7, "metrics": [{"name": "a", "value": 1e999}]}"#,
            r#"{"check": "/api/v1/agent/7/", "status": 0}"#,
            r#"{"check": "http://other/api/v1/check/7/", "status": 0}"#,
            r#"{"check": "7", "status": 0}"#,
            &format!(r#"{{"check": 7, "status": 0, "output": "{long}"}}"#),
            &format!(r#"{{"check": 7, "metrics": [{{"name": "{name}", "value": 1}}]}}"#),
            &format!(r#"{{"check": 7, "status": 0, "timestamp": "{ahead}"}}"#),
        ] {
            assert_eq!(packed(result), None, "{result}");
            let good = r#"{"check": 7, "status": 0}"#;
            assert_eq!(packed(&format!(r#"{{"objects": [{good}, {result}]}}"#)), None, "{result}");
        }
        let four = [r#"{"check": 7, "status": 0}"#; 4].join(",");
        assert_eq!(packed(&format!(r#"{{"objects": [{four}]}}"#)), None, "more than a batch holds");
    }

    #[test]
    fn a_check_is_named_in_three_ways() {
        assert_eq!(named(&Check::Id(7)), CheckId::new(7).map(Named::Id));
        assert_eq!(named(&Check::Text("/api/v1/check/7".into())), CheckId::new(7).map(Named::Id));
        for (text, name) in
            [("disk", Some("disk")), ("web-1/disk/root", Some("disk/root")), ("db-1/disk", None)]
        {
            let check = Check::Text(text.into());
            assert_eq!(named(&check).and_then(|named| named.own("web-1")), name, "{text}");
        }
    }
}
