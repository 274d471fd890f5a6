//! Checks as they are written: defaults, what no check can be, and what becomes of one that is there.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use vilicus_core::policy::MAX_WITHIN;
use vilicus_core::{AgentId, CheckId, Millis, Status, Thresholds};
use vilicus_store::inventory::{Check, CheckSettings, CheckSpec, DOWN_STATES, Origin};
use vilicus_store::query::CheckView;

use super::names::Mistakes;
use super::reference::Reference;
use crate::http::Problem;
use crate::http::json::Sent;

/// A check as it is written. `agent`, `name` and `kind` are enough.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct CheckInput {
    /// Whose it is: an id, a name or a path.
    #[schema(value_type = String)]
    pub(crate) agent: Reference,
    /// Unique within the agent.
    pub(crate) name: String,
    /// What it checks.
    pub(crate) kind: String,
    /// What its kind needs to know.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(crate) params: Map<String, Value>,
    /// How often it runs; the agent's own interval by default.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(crate) interval: Option<Millis>,
    /// After this time a run is dropped; 10 s.
    #[serde(default = "defaults::timeout")]
    #[schema(value_type = String, required = false)]
    pub(crate) timeout: Millis,
    /// A problem is hard after so many results that were not OK; 3.
    #[serde(default = "defaults::max_attempts")]
    pub(crate) max_attempts: u32,
    /// Of so many; the same as `max_attempts`.
    #[serde(default)]
    pub(crate) within: Option<u32>,
    /// How often it runs while soft; the interval, at most 30 s.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(crate) retry_interval: Option<Millis>,
    /// So many good results in a row before OK is hard again; 1.
    #[serde(default = "defaults::recover_attempts")]
    pub(crate) recover_attempts: u32,
    /// How much later than expected a result may be; 30 s.
    #[serde(default = "defaults::grace")]
    #[schema(value_type = String, required = false)]
    pub(crate) grace: Millis,
    /// The status of a run that timed out; CRITICAL.
    #[serde(default = "defaults::timeout_status")]
    #[schema(value_type = String, required = false)]
    pub(crate) timeout_status: Status,
    /// What is wanted of its metrics, by their names.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(crate) thresholds: Thresholds,
    /// Checks that must be up for this one to be told.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub(crate) depends_on: Vec<Reference>,
    /// Groups of checks of which one must be up.
    #[serde(default)]
    #[schema(value_type = Vec<Vec<String>>)]
    pub(crate) depends_on_any: Vec<Vec<Reference>>,
    /// The confirmed statuses in which what it depends on counts as down; CRITICAL and UNKNOWN.
    #[serde(default = "defaults::depends_on_states")]
    #[schema(value_type = Vec<String>, required = false)]
    pub(crate) depends_on_states: Vec<Status>,
    /// Words, or `key=value`.
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// Whether it runs at all; yes.
    #[serde(default = "defaults::yes")]
    pub(crate) enabled: bool,
    /// Whether people are told at all; yes.
    #[serde(default = "defaults::yes")]
    pub(crate) notifications: bool,
    /// Whether every hard problem result is told.
    #[serde(default)]
    pub(crate) volatile: bool,
    /// Whether it may be called flapping; yes.
    #[serde(default = "defaults::yes")]
    pub(crate) flap_detection: bool,
    /// Below this percentage of changes flapping stops; 25.
    #[serde(default = "defaults::flap_low")]
    pub(crate) flap_low: f64,
    /// Above this percentage of changes flapping starts; 30.
    #[serde(default = "defaults::flap_high")]
    pub(crate) flap_high: f64,
    /// What it is for.
    #[serde(default)]
    pub(crate) description: String,
    /// Where those who mend it read on.
    #[serde(default)]
    pub(crate) runbook_url: Option<String>,
}

/// What is not said: see [`CheckSettings::default`].
mod defaults {
    use super::{CheckSettings, DOWN_STATES, Millis, Status};

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

    pub(super) fn depends_on_states() -> Vec<Status> {
        DOWN_STATES.to_vec()
    }

    pub(super) fn yes() -> bool {
        true
    }
}

impl Sent for CheckInput {
    const READ_ONLY: &'static [&'static str] =
        &["id", "resource_uri", "origin", "managed_by", "ping_url", "state"];
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
            depends_on_states: check.depends_on_states.clone(),
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
    pub(crate) fn validate(&self) -> Result<(), Problem> {
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
        let down = &self.depends_on_states;
        mistakes.require(
            !down.is_empty() && !down.contains(&Status::Ok),
            "/depends_on_states",
            "expected some of WARNING, UNKNOWN and CRITICAL: what counts as down",
        );
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

    /// Every check that it refers to, with its place.
    pub(crate) fn references(&self) -> impl Iterator<Item = (String, &Reference)> {
        let all = self.depends_on.iter().enumerate();
        let all = all.map(|(index, reference)| (format!("/depends_on/{index}"), reference));
        let any = self.depends_on_any.iter().enumerate().flat_map(|(group, references)| {
            let references = references.iter().enumerate();
            references.map(move |(index, reference)| (format!("/depends_on_any/{group}/{index}"), reference))
        });
        all.chain(any)
    }

    /// What an operator wants. What was left to a default and is sent back as that default stays so, or an echo
    /// would pin an interval that should follow the agent's.
    pub(crate) fn settings(&self, base: Option<&CheckView>) -> CheckSettings {
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
    pub(crate) fn into_check(self, base: Check, view: Option<&CheckView>, depends: Dependencies) -> Check {
        let spec = CheckSpec {
            settings: self.settings(view),
            kind: self.kind,
            params: Value::Object(self.params).into(),
            tags: self.tags,
            enabled: self.enabled,
            description: self.description,
            runbook_url: self.runbook_url,
            depends_on: depends.all,
            depends_on_any: depends.any,
            depends_on_states: self.depends_on_states,
            origin: base.origin,
            managed_by: base.managed_by.clone(),
        };
        Check { name: self.name, spec: Arc::new(spec), ..base }
    }
}

/// References to other checks, found.
#[derive(Debug, Default)]
pub(crate) struct Dependencies {
    /// All of these must be up.
    pub(crate) all: Vec<CheckId>,
    /// Of each of these groups, one.
    pub(crate) any: Vec<Vec<CheckId>>,
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
        let has_recover = threshold.recover.is_some() || threshold.recover_for.is_none();
        let mend = "needs 'recover' beside it, the range that the value has to be in for so long";
        mistakes.require(has_recover, &format!("{pointer}/recover_for"), mend);
        for (name, span) in [("for", threshold.for_time), ("recover_for", threshold.recover_for)] {
            if let Some(span) = span {
                mistakes.span(&format!("{pointer}/{name}"), span, Millis::ZERO);
            }
        }
    }
}

/// A check of this agent that is about to be made: the store gives the id.
pub(crate) fn new_check(agent: AgentId, origin: Origin) -> Check {
    let spec = CheckSpec { origin, ..CheckSpec::new(String::new(), Value::Object(Map::new())) };
    Check::new(agent, String::new(), spec)
}
