//! What the pages read of the API's answers.

use serde::Deserialize;
use serde_json::{Map, Value};
use vilicus_core::{Status, Timestamp};

/// Many objects.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) objects: Vec<T>,
    #[serde(default)]
    meta: Meta,
}

/// Where a list goes on.
#[derive(Debug, Default, Deserialize)]
struct Meta {
    #[serde(default)]
    next: Option<String>,
}

impl<T> List<T> {
    /// Before which id the next page is, of what is listed newest first. A page can be short and yet not the last.
    pub(super) fn older(&self) -> Option<u64> {
        let fields = self.meta.next.as_deref()?.split(['?', '&']);
        fields.filter_map(|field| field.strip_prefix("before=")).find_map(|id| id.parse().ok())
    }
}

/// A check.
#[derive(Debug, Deserialize)]
pub(super) struct Check {
    pub(super) id: u64,
    pub(super) agent: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) params: Map<String, Value>,
    pub(super) thresholds: Map<String, Value>,
    pub(super) interval: Option<String>,
    pub(super) max_attempts: u32,
    pub(super) enabled: bool,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) runbook_url: Option<String>,
    #[serde(default)]
    pub(super) managed_by: Option<String>,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    /// Only of heartbeats, and for those who may ping.
    #[serde(default)]
    pub(super) ping_url: Option<String>,
    pub(super) state: State,
}

/// The state of a check.
#[derive(Debug, Deserialize)]
pub(super) struct State {
    /// Without one nothing is known yet.
    #[serde(deserialize_with = "known")]
    pub(super) status: Option<Status>,
    #[serde(default)]
    pub(super) state_type: Option<String>,
    pub(super) attempt: u32,
    pub(super) since: Option<Timestamp>,
    pub(super) last_result_at: Option<Timestamp>,
    pub(super) next_due_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) output: Option<String>,
    pub(super) flapping: bool,
    pub(super) acknowledged: bool,
    pub(super) acknowledgement: Option<Acknowledgement>,
    pub(super) in_downtime: bool,
    pub(super) downtime_until: Option<Timestamp>,
    pub(super) unreachable: bool,
    pub(super) stale: bool,
}

/// Who is on it.
#[derive(Debug, Deserialize)]
pub(super) struct Acknowledgement {
    pub(super) by: String,
    pub(super) comment: String,
}

/// A status that is `PENDING` is none.
fn known<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Status>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// An agent.
#[derive(Debug, Deserialize)]
pub(super) struct Agent {
    pub(super) id: u64,
    pub(super) resource_uri: String,
    pub(super) name: String,
    pub(super) hostname: String,
    pub(super) state: String,
    pub(super) version: Option<String>,
    pub(super) last_contact: Option<Timestamp>,
    pub(super) last_checkin: Option<Timestamp>,
    pub(super) tags: Vec<String>,
    #[serde(default)]
    pub(super) templates: Vec<String>,
    #[serde(default)]
    pub(super) managed_by: Option<String>,
    #[serde(default)]
    pub(super) facts: Map<String, Value>,
}

/// A token.
#[derive(Debug, Deserialize)]
pub(super) struct Token {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) role: String,
    pub(super) agent: Option<String>,
    pub(super) uses: Option<u32>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) created_at: Timestamp,
    pub(super) needs_approval: bool,
}

/// One result.
#[derive(Debug, Deserialize)]
pub(super) struct ResultRow {
    pub(super) timestamp: Timestamp,
    #[serde(deserialize_with = "known")]
    pub(super) status: Option<Status>,
    pub(super) output: String,
    #[serde(default)]
    pub(super) long_output: String,
}

/// Many results as one.
#[derive(Debug, Deserialize)]
pub(super) struct Rollup {
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    #[serde(deserialize_with = "known")]
    pub(super) status: Option<Status>,
    pub(super) metrics: Vec<RolledMetric>,
}

/// A metric of many results.
#[derive(Debug, Deserialize)]
pub(super) struct RolledMetric {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) avg: Option<f64>,
}

/// Something that happened.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    #[serde(default)]
    pub(super) check: Option<String>,
    pub(super) at: Timestamp,
    pub(super) summary: String,
    pub(super) r#type: String,
    #[serde(default, deserialize_with = "known")]
    pub(super) status: Option<Status>,
}

/// Why a check is as it is, and why somebody was told or not.
#[derive(Debug, Deserialize)]
pub(super) struct Explanation {
    pub(super) verdict: String,
    pub(super) gates: Vec<Gate>,
}

impl Explanation {
    /// With each of its texts made so.
    pub(super) fn map(mut self, made: impl Fn(&str) -> String) -> Self {
        self.verdict = made(&self.verdict);
        for gate in &mut self.gates {
            gate.why = made(&gate.why);
        }
        self
    }
}

/// One condition on the way to a message.
#[derive(Debug, Deserialize)]
pub(super) struct Gate {
    pub(super) gate: String,
    pub(super) passed: bool,
    pub(super) why: String,
}

/// A message, and what became of it.
#[derive(Debug, Deserialize)]
pub(super) struct Notification {
    pub(super) id: u64,
    pub(super) channel: String,
    pub(super) title: String,
    pub(super) state: String,
    pub(super) reason: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) tries: Vec<Try>,
    pub(super) checks: Vec<String>,
    pub(super) items: Vec<Item>,
}

/// One thing that a message says.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    pub(super) title: String,
}

/// Anything with a name.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
}

/// One attempt to deliver.
#[derive(Debug, Deserialize)]
pub(super) struct Try {
    pub(super) at: Timestamp,
    pub(super) took_ms: u64,
    pub(super) detail: String,
}

/// How long a check was in which state.
#[derive(Debug, Deserialize)]
pub(super) struct Availability {
    pub(super) availability_percent: Option<f64>,
    pub(super) downtime_seconds: f64,
    pub(super) seconds: Seconds,
}

/// Seconds in each state.
#[derive(Debug, Deserialize)]
pub(super) struct Seconds {
    pub(super) warning: f64,
    pub(super) critical: f64,
    pub(super) unknown: f64,
    pub(super) undetermined: f64,
}

/// The id at the end of a reference.
pub(super) fn id_of(uri: &str) -> u64 {
    uri.trim_end_matches('/').rsplit('/').next().and_then(|id| id.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_where_it_goes_on() {
        let list = |json: &str| serde_json::from_str::<List<Value>>(json).unwrap().older();
        let next = r#"{"objects": [], "meta": {"next": "/api/v1/event/?type=state&limit=1&before=47"}}"#;
        assert_eq!(list(next), Some(47));
        assert_eq!(list(r#"{"objects": [], "meta": {"next": null}}"#), None);
        assert_eq!(list(r#"{"objects": []}"#), None);
    }
}
