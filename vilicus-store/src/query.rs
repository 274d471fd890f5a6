//! Questions to a store: filters, pages and cursors.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vilicus_core::judge::freshness::Contact;
use vilicus_core::{
    AgentId, ChannelId, CheckId, CheckResult, CheckState, EventId, Millis, NotificationId, Policy, Status,
    Timestamp,
};

use crate::inventory::{Agent, Check};

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Paged<T> {
    /// The objects of this page.
    pub objects: Vec<T>,
    /// How many objects there are in all.
    pub total: usize,
}

/// Which part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many objects are skipped.
    pub offset: usize,
    /// How many objects are wanted at most.
    pub limit: usize,
}

impl Page {
    /// Everything.
    pub const ALL: Self = Self { offset: 0, limit: usize::MAX };
}

/// Whether an agent is heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AgentState {
    /// It was never heard of.
    Pending,
    /// It is in contact.
    Up,
    /// It is silent for too long.
    Down,
}

/// An agent as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentView {
    /// What is configured.
    pub agent: Arc<Agent>,
    /// Whether it is heard of.
    pub state: AgentState,
    /// When it was heard of.
    pub contact: Contact,
    /// A number that changes whenever anything changes that the agent must know.
    pub config_version: u64,
}

/// Which agents. What is empty or `None` does not filter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AgentFilter {
    /// One of these ids.
    pub ids: Vec<AgentId>,
    /// One of these names.
    pub names: Vec<String>,
    /// One of these host names.
    pub hostnames: Vec<String>,
    /// This guid.
    pub guid: Option<String>,
    /// Any guid but this one.
    pub but_guid: Option<String>,
    /// One of these states.
    pub states: Vec<AgentState>,
    /// All of these tags.
    pub tags: Vec<String>,
}

/// A check as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckView {
    /// What is configured.
    pub check: Arc<Check>,
    /// The agent whose it is.
    pub agent: Arc<Agent>,
    /// What is wanted of it, defaults filled in.
    pub policy: Arc<Policy>,
    /// What is remembered.
    pub state: CheckState,
    /// What there is to read of its state: the last result that was judged, or that none came.
    pub last: Option<Arc<CheckResult>>,
    /// When the next result is expected.
    pub next_due: Option<Timestamp>,
    /// Whether its agent, or a check that it depends on, is down.
    pub unreachable: bool,
    /// The moment at which the downtime ends that it is in, the last of several.
    pub downtime_until: Option<Timestamp>,
}

/// Which checks. What is empty or `None` does not filter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckFilter {
    /// One of these ids.
    pub ids: Vec<CheckId>,
    /// Of one of these agents.
    pub agents: Vec<AgentId>,
    /// One of these names.
    pub names: Vec<String>,
    /// One of these kinds.
    pub kinds: Vec<String>,
    /// One of these statuses; `None` is PENDING.
    pub statuses: Vec<Option<Status>>,
    /// All of these tags.
    pub tags: Vec<String>,
    /// Switched on, or off.
    pub enabled: Option<bool>,
}

/// Which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The newest first.
    #[default]
    NewestFirst,
    /// The oldest first.
    OldestFirst,
}

/// Which results of one check: those in `[since, until)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Of which check.
    pub check: CheckId,
    /// Not before this moment.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// In which order.
    pub order: Order,
    /// At most so many.
    pub limit: usize,
}

/// A result as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// When it was measured.
    pub timestamp: Timestamp,
    /// The status as judged.
    pub status: Status,
    /// The result as sent. Its texts are empty where they were not kept.
    pub result: CheckResult,
}

/// Results of one check, put together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollup {
    /// The first moment.
    pub since: Timestamp,
    /// The last moment.
    pub until: Timestamp,
    /// How many results.
    pub count: u64,
    /// The worst status.
    pub worst: Status,
    /// What was measured.
    pub metrics: Vec<MetricRollup>,
}

/// Values of one metric, put together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricRollup {
    /// The name of the metric.
    pub name: String,
    /// Its unit.
    pub unit: vilicus_core::Unit,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// The mean.
    pub avg: f64,
    /// How many values.
    pub count: u64,
}

/// Which rolled-up history of one check: what overlaps `[since, until)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollupQuery {
    /// Of which check.
    pub check: CheckId,
    /// From this moment on.
    pub since: Timestamp,
    /// Up to this moment.
    pub until: Timestamp,
    /// How long each point is.
    pub step: Millis,
}

/// Which events. What is empty or `None` does not filter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventQuery {
    /// Recorded after this one.
    pub after: Option<EventId>,
    /// Recorded before this one.
    pub before: Option<EventId>,
    /// That happened at or after this moment.
    pub since: Option<Timestamp>,
    /// That happened before this moment.
    pub until: Option<Timestamp>,
    /// Of one of these agents.
    pub agents: Vec<AgentId>,
    /// Of one of these checks.
    pub checks: Vec<CheckId>,
    /// In which order.
    pub order: Order,
    /// At most so many.
    pub limit: usize,
}

/// Which messages. What is empty or `None` does not filter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NotificationQuery {
    /// Made after this one.
    pub after: Option<NotificationId>,
    /// Made before this one.
    pub before: Option<NotificationId>,
    /// To one of these channels.
    pub channels: Vec<ChannelId>,
    /// About one of these checks.
    pub checks: Vec<CheckId>,
    /// In one of these states: the words of [`OutboxState::as_str`](crate::outbox::OutboxState::as_str).
    pub states: Vec<String>,
    /// In which order.
    pub order: Order,
    /// At most so many.
    pub limit: usize,
}
