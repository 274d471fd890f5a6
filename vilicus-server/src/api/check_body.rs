//! Checks as they are shown: what is configured, and how they are.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use vilicus_core::judge::gates::Hold;
use vilicus_core::{CheckId, Millis, StateType, Status, Thresholds, Timestamp};
use vilicus_store::inventory::{Check, Origin, Role};
use vilicus_store::query::CheckView;

use super::acknowledge::AcknowledgementBody;
use super::channel_body::HIDDEN;
use super::reference::uri;
use super::{AppState, ping};
use crate::http::auth::Caller;
use crate::http::etag::Etag;

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
    /// The confirmed statuses in which what it depends on counts as down.
    #[schema(value_type = Vec<String>)]
    depends_on_states: Vec<Status>,
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
    /// Where the job of a heartbeat says that it ran; left out for those who may not ping.
    #[serde(skip_serializing_if = "Option::is_none")]
    ping_url: Option<String>,
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
    /// The changes of the last 20 results, weighed: a percentage.
    flapping_percent: f64,
    /// Whether someone is on it.
    acknowledged: bool,
    /// Who is on it.
    acknowledgement: Option<AcknowledgementBody>,
    /// Whether its silence is planned.
    in_downtime: bool,
    /// The end of the downtime that it is in, of several the last.
    #[schema(value_type = Option<String>, format = DateTime)]
    downtime_until: Option<Timestamp>,
    /// Whether its agent, or a check that it depends on, is down.
    unreachable: bool,
    /// Whether results stay out.
    stale: bool,
    /// What keeps its problem from being told, as `acknowledged`; `explain/` says more.
    #[schema(value_type = Option<String>)]
    held: Option<Hold>,
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
            flapping: state.flapping.is_flapping(),
            flapping_percent: state.flapping.percent(),
            acknowledged: state.acknowledgement.is_some(),
            acknowledgement: state.acknowledgement.as_deref().map(AcknowledgementBody::from),
            in_downtime: view.downtime_until.is_some(),
            downtime_until: view.downtime_until,
            unreachable: view.unreachable,
            stale: state.stale,
            held: state.held,
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
            depends_on_states: check.depends_on_states.clone(),
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
            ping_url: None,
            state: None,
        }
    }

    /// What a person may read: secret parameters are for admins, who wrote them; where pings go is for those who could
    /// as well submit results.
    pub(super) fn for_reader(view: &CheckView, caller: &Caller, state: &AppState) -> Self {
        let mut body = Self::with_state(view);
        if caller.role() >= Role::Operator {
            body.ping_url = ping::path_of(&view.check).map(|path| state.link(&path));
        }
        if caller.role() != Role::Admin
            && let Value::Object(params) = &mut body.params
        {
            for name in state.kinds().secret_params(&view.check.kind) {
                params.entry(name).and_modify(|value| *value = HIDDEN.into());
            }
        }
        body
    }

    /// The tag of what is configured.
    pub(super) fn etag(view: &CheckView) -> Etag {
        Etag::of(&(Self::configured(view), &view.check.ping_key))
    }
}

fn shown_params(check: &Check) -> Value {
    match &check.params.0 {
        Value::Null => Value::Object(Map::new()),
        params => params.clone(),
    }
}
