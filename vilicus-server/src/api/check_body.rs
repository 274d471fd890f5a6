//! Checks as they go over the wire, both ways.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use vilicus_core::policy::MAX_WITHIN;
use vilicus_core::{AgentId, CheckId, Millis, StateType, Status, Thresholds, Timestamp};
use vilicus_store::inventory::{Check, CheckSettings, Origin};
use vilicus_store::query::CheckView;

use super::names::Mistakes;
use super::reference::{Reference, uri};
use crate::http::Problem;
use crate::http::etag::Etag;
use crate::http::json::Sent;

/// A check.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct CheckBody {
    /// Its id.
    id: u64,
    /// Its path.
    resource_uri: String,
    /// The path of its agent.
    agent: String,
    /// Its name, unique within the agent.
    name: String,
    /// Its kind.
    kind: String,
    /// What its kind needs to know.
    #[schema(value_type = Object)]
    params: Value,
    /// How often it runs.
    #[schema(value_type = String)]
    interval: Millis,
    /// After this time a run is dropped.
    #[schema(value_type = String)]
    timeout: Millis,
    /// A problem is hard after so many results that were not OK …
    max_attempts: u32,
    /// … of so many.
    within: u32,
    /// How often it runs while soft.
    #[schema(value_type = String)]
    retry_interval: Millis,
    /// So many good results in a row before OK is hard again.
    recover_attempts: u32,
    /// How much later than expected a result may be.
    #[schema(value_type = String)]
    grace: Millis,
    /// The status of a run that timed out.
    #[schema(value_type = String)]
    timeout_status: Status,
    /// What is wanted of its metrics, by their names.
    #[schema(value_type = Object)]
    thresholds: Thresholds,
    /// The paths of the checks that must be up for this one to be told.
    depends_on: Vec<String>,
    /// Groups of checks of which one must be up.
    depends_on_any: Vec<Vec<String>>,
    /// Words, or `key=value`.
    tags: Vec<String>,
    /// Whether it runs at all.
    enabled: bool,
    /// Whether people are told at all.
    notifications: bool,
    /// Whether every hard problem result is told.
    volatile: bool,
    /// Whether it may be called flapping.
    flap_detection: bool,
    /// Below this percentage of changes flapping stops.
    flap_low: f64,
    /// Above this percentage of changes flapping starts.
    flap_high: f64,
    /// What it is for.
    description: String,
    /// Where those who mend it read on.
    runbook_url: Option<String>,
    /// `server`, or `agent` when the agent announced it itself.
    #[schema(value_type = String)]
    origin: Origin,
    /// The file that manages it.
    managed_by: Option<String>,
    /// How it is; left out for the agent itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<StateBody>,
}

/// How a check is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct StateBody {
    /// `PENDING` before the first result, then `OK`, `WARNING`, `CRITICAL` or `UNKNOWN`.
    status: String,
    /// `soft` or `hard`.
    #[schema(value_type = String)]
    state_type: StateType,
    /// The results that were not OK so far.
    attempt: u32,
    /// Since when it has this status.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// When the last result was measured.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_result_at: Option<Timestamp>,
    /// When the next result is expected.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_due_at: Option<Timestamp>,
    /// The last output.
    output: String,
    /// Whether it changes too often to be told each time.
    flapping: bool,
    /// Whether someone is on it.
    acknowledged: bool,
    /// Whether its silence is planned.
    in_downtime: bool,
    /// Whether its agent is DOWN.
    unreachable: bool,
    /// Whether results stay out.
    stale: bool,
}

/// The word for a status; `None` is PENDING.
pub(super) fn status_word(status: Option<Status>) -> &'static str {
    status.map_or("PENDING", Status::as_str)
}

impl From<&CheckView> for StateBody {
    fn from(view: &CheckView) -> Self {
        let state = &view.state;
        Self {
            status: status_word(state.status).to_owned(),
            state_type: state.state_type,
            attempt: state.attempt,
            since: state.since,
            last_result_at: state.last_result_at,
            next_due_at: view.next_due,
            output: view.last.as_ref().map(|last| last.output.clone()).unwrap_or_default(),
            // Nothing in the store can be flapping, acknowledged or in a downtime yet.
            flapping: false,
            acknowledged: false,
            in_downtime: false,
            unreachable: view.unreachable,
            stale: state.stale,
        }
    }
}

impl CheckBody {
    /// What is configured, and how it is.
    pub(super) fn with_state(view: &CheckView) -> Self {
        Self { state: Some(StateBody::from(view)), ..Self::configured(view) }
    }

    /// What is configured: all that an agent needs.
    pub(super) fn configured(view: &CheckView) -> Self {
        let (check, policy) = (&view.check, &view.policy);
        let path = |id: &CheckId| uri("check", id);
        Self {
            id: check.id.get(),
            resource_uri: path(&check.id),
            agent: uri("agent", check.agent),
            name: check.name.clone(),
            kind: check.kind.clone(),
            params: shown_params(check),
            interval: policy.interval,
            timeout: policy.timeout,
            max_attempts: policy.max_attempts,
            within: policy.within,
            retry_interval: policy.retry_interval,
            recover_attempts: policy.recover_attempts,
            grace: policy.grace,
            timeout_status: policy.timeout_status,
            thresholds: policy.thresholds.clone(),
            depends_on: check.depends_on.iter().map(path).collect(),
            depends_on_any: check
                .depends_on_any
                .iter()
                .map(|group| group.iter().map(path).collect())
                .collect(),
            tags: check.tags.clone(),
            enabled: check.enabled,
            notifications: policy.notifications,
            volatile: policy.volatile,
            flap_detection: check.settings.flap_detection,
            flap_low: check.settings.flap_low,
            flap_high: check.settings.flap_high,
            description: check.description.clone(),
            runbook_url: check.runbook_url.clone(),
            origin: check.origin,
            managed_by: check.managed_by.clone(),
            state: None,
        }
    }

    /// The tag of what is configured.
    pub(super) fn etag(view: &CheckView) -> Etag {
        Etag::of(&Self::configured(view))
    }
}

fn shown_params(check: &Check) -> Value {
    match &check.params.0 {
        Value::Null => Value::Object(Map::new()),
        params => params.clone(),
    }
}

/// A check as it is written. `agent`, `name` and `kind` are enough.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(super) struct CheckInput {
    /// Whose it is: an id, a name or a path.
    #[schema(value_type = String)]
    pub(super) agent: Reference,
    /// Unique within the agent.
    pub(super) name: String,
    /// What it checks.
    pub(super) kind: String,
    /// What its kind needs to know.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(super) params: Map<String, Value>,
    /// How often it runs; the agent's own interval by default.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) interval: Option<Millis>,
    /// After this time a run is dropped; 10 s.
    #[serde(default = "defaults::timeout")]
    #[schema(value_type = String, required = false)]
    pub(super) timeout: Millis,
    /// A problem is hard after so many results that were not OK; 3.
    #[serde(default = "defaults::max_attempts")]
    pub(super) max_attempts: u32,
    /// Of so many; the same as `max_attempts`.
    #[serde(default)]
    pub(super) within: Option<u32>,
    /// How often it runs while soft; the interval, at most 30 s.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) retry_interval: Option<Millis>,
    /// So many good results in a row before OK is hard again; 1.
    #[serde(default = "defaults::recover_attempts")]
    pub(super) recover_attempts: u32,
    /// How much later than expected a result may be; 30 s.
    #[serde(default = "defaults::grace")]
    #[schema(value_type = String, required = false)]
    pub(super) grace: Millis,
    /// The status of a run that timed out; CRITICAL.
    #[serde(default = "defaults::timeout_status")]
    #[schema(value_type = String, required = false)]
    pub(super) timeout_status: Status,
    /// What is wanted of its metrics, by their names.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(super) thresholds: Thresholds,
    /// Checks that must be up for this one to be told.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub(super) depends_on: Vec<Reference>,
    /// Groups of checks of which one must be up.
    #[serde(default)]
    #[schema(value_type = Vec<Vec<String>>)]
    pub(super) depends_on_any: Vec<Vec<Reference>>,
    /// Words, or `key=value`.
    #[serde(default)]
    pub(super) tags: Vec<String>,
    /// Whether it runs at all; yes.
    #[serde(default = "defaults::yes")]
    pub(super) enabled: bool,
    /// Whether people are told at all; yes.
    #[serde(default = "defaults::yes")]
    pub(super) notifications: bool,
    /// Whether every hard problem result is told.
    #[serde(default)]
    pub(super) volatile: bool,
    /// Whether it may be called flapping; yes.
    #[serde(default = "defaults::yes")]
    pub(super) flap_detection: bool,
    /// Below this percentage of changes flapping stops; 25.
    #[serde(default = "defaults::flap_low")]
    pub(super) flap_low: f64,
    /// Above this percentage of changes flapping starts; 30.
    #[serde(default = "defaults::flap_high")]
    pub(super) flap_high: f64,
    /// What it is for.
    #[serde(default)]
    pub(super) description: String,
    /// Where those who mend it read on.
    #[serde(default)]
    pub(super) runbook_url: Option<String>,
}

/// What is not said: see [`CheckSettings::default`].
mod defaults {
    use super::{CheckSettings, Millis, Status};

    pub(super) fn timeout() -> Millis {
        CheckSettings::default().timeout
    }

    pub(super) fn grace() -> Millis {
        CheckSettings::default().grace
    }

    pub(super) fn max_attempts() -> u32 {
        CheckSettings::default().max_attempts
    }

    pub(super) fn recover_attempts() -> u32 {
        CheckSettings::default().recover_attempts
    }

    pub(super) fn timeout_status() -> Status {
        CheckSettings::default().timeout_status
    }

    pub(super) fn flap_low() -> f64 {
        CheckSettings::default().flap_low
    }

    pub(super) fn flap_high() -> f64 {
        CheckSettings::default().flap_high
    }

    pub(super) fn yes() -> bool {
        true
    }
}

impl Sent for CheckInput {
    const READ_ONLY: &'static [&'static str] = &["id", "resource_uri", "origin", "managed_by", "state"];
}

impl From<&Check> for CheckInput {
    fn from(check: &Check) -> Self {
        let settings = check.settings.clone();
        let reference = |id: &CheckId| Reference::id(id.get());
        Self {
            agent: Reference::id(check.agent.get()),
            name: check.name.clone(),
            kind: check.kind.clone(),
            params: check.params.0.as_object().cloned().unwrap_or_default(),
            interval: settings.interval,
            timeout: settings.timeout,
            max_attempts: settings.max_attempts,
            within: settings.within,
            retry_interval: settings.retry_interval,
            recover_attempts: settings.recover_attempts,
            grace: settings.grace,
            timeout_status: settings.timeout_status,
            thresholds: settings.thresholds,
            depends_on: check.depends_on.iter().map(reference).collect(),
            depends_on_any: check
                .depends_on_any
                .iter()
                .map(|ids| ids.iter().map(reference).collect())
                .collect(),
            tags: check.tags.clone(),
            enabled: check.enabled,
            notifications: settings.notifications,
            volatile: settings.volatile,
            flap_detection: settings.flap_detection,
            flap_low: settings.flap_low,
            flap_high: settings.flap_high,
            description: check.description.clone(),
            runbook_url: check.runbook_url.clone(),
        }
    }
}

impl CheckInput {
    /// Refuses what no check can be; its kind and params are judged by the registry.
    pub(super) fn validate(&self) -> Result<(), Problem> {
        let mut mistakes = Mistakes::default();
        mistakes.name("/name", &self.name);
        self.validate_times(&mut mistakes);
        mistakes.count("/max_attempts", self.max_attempts, 1, MAX_WITHIN);
        if let Some(within) = self.within {
            mistakes.count("/within", within, self.max_attempts.min(MAX_WITHIN), MAX_WITHIN);
        }
        mistakes.count("/recover_attempts", self.recover_attempts, 1, MAX_WITHIN);
        for (pointer, percent) in [("/flap_low", self.flap_low), ("/flap_high", self.flap_high)] {
            mistakes.require((0.0..=100.0).contains(&percent), pointer, "expected a percentage, 0 to 100");
        }
        mistakes.require(self.flap_low <= self.flap_high, "/flap_high", "is below flap_low");
        validate_thresholds(&mut mistakes, &self.thresholds);
        mistakes.tags("/tags", &self.tags);
        mistakes.text("/description", &self.description);
        if let Some(link) = &self.runbook_url {
            mistakes.link("/runbook_url", link);
        }
        mistakes.into_result()
    }

    fn validate_times(&self, mistakes: &mut Mistakes) {
        let (second, least) = (Millis::from_secs(1), Millis::new(1));
        for (pointer, span, least) in [
            ("/interval", self.interval, second),
            ("/retry_interval", self.retry_interval, second),
            ("/timeout", Some(self.timeout), least),
            ("/grace", Some(self.grace), Millis::ZERO),
        ] {
            if let Some(span) = span {
                mistakes.span(pointer, span, least);
            }
        }
    }

    /// What an operator wants. What was left to a default and is sent back as that default stays so, or an echo
    /// would pin an interval that should follow the agent's.
    pub(super) fn settings(&self, base: Option<&CheckView>) -> CheckSettings {
        let kept = |sent: Option<Millis>, set: Option<Millis>, effective: Millis| {
            sent.filter(|sent| set.is_some() || *sent != effective)
        };
        let mut settings = CheckSettings {
            interval: self.interval,
            retry_interval: self.retry_interval,
            timeout: self.timeout,
            grace: self.grace,
            max_attempts: self.max_attempts,
            within: self.within,
            recover_attempts: self.recover_attempts,
            timeout_status: self.timeout_status,
            thresholds: self.thresholds.clone(),
            volatile: self.volatile,
            notifications: self.notifications,
            flap_detection: self.flap_detection,
            flap_low: self.flap_low,
            flap_high: self.flap_high,
        };
        if let Some(view) = base {
            let (old, policy) = (&view.check.settings, &view.policy);
            settings.interval = kept(settings.interval, old.interval, policy.interval);
            settings.retry_interval =
                kept(settings.retry_interval, old.retry_interval, policy.retry_interval);
            let same = |within: &u32| old.within.is_some() || *within != policy.within;
            settings.within = settings.within.filter(same);
        }
        settings
    }

    /// The check that this makes on top of `base`.
    pub(super) fn into_check(self, base: Check, view: Option<&CheckView>, depends: Dependencies) -> Check {
        Check {
            settings: self.settings(view),
            name: self.name,
            kind: self.kind,
            params: Value::Object(self.params).into(),
            tags: self.tags,
            enabled: self.enabled,
            description: self.description,
            runbook_url: self.runbook_url,
            depends_on: depends.all,
            depends_on_any: depends.any,
            ..base
        }
    }
}

/// References to other checks, found.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    /// All of these must be up.
    pub(super) all: Vec<CheckId>,
    /// Of each of these groups, one.
    pub(super) any: Vec<Vec<CheckId>>,
}

/// The most thresholds of a check.
const MAX_THRESHOLDS: usize = 256;

fn validate_thresholds(mistakes: &mut Mistakes, thresholds: &Thresholds) {
    mistakes.require(thresholds.len() <= MAX_THRESHOLDS, "/thresholds", "holds more than 256 metrics");
    for (name, threshold) in thresholds {
        let pointer = format!("/thresholds/{}", vilicus_core::params::escape_pointer(name));
        mistakes.require(!name.is_empty(), &pointer, "the name of the metric is empty");
        mistakes.line(&pointer, name);
        let share = (0.0..=1.0).contains(&threshold.min_coverage);
        mistakes.require(share, &format!("{pointer}/min_coverage"), "expected a share from 0 to 1");
        for (name, span) in [("for", threshold.for_time), ("recover_for", threshold.recover_for)] {
            if let Some(span) = span {
                mistakes.span(&format!("{pointer}/{name}"), span, Millis::ZERO);
            }
        }
    }
}

/// A check of this agent that is about to be made: the store gives the id.
pub(super) fn new_check(agent: AgentId, origin: Origin) -> Check {
    Check {
        id: CheckId::from(std::num::NonZeroU64::MIN),
        agent,
        name: String::new(),
        kind: String::new(),
        params: Value::Object(Map::new()).into(),
        settings: CheckSettings::default(),
        tags: Vec::new(),
        enabled: true,
        description: String::new(),
        runbook_url: None,
        depends_on: Vec::new(),
        depends_on_any: Vec::new(),
        origin,
        managed_by: None,
        delivered_at: None,
    }
}
