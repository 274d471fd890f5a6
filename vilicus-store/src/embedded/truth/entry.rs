//! An agent, a check: what is configured, and what is remembered of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vilicus_core::heartbeat::HeartbeatParams;
use vilicus_core::judge::freshness::{self, Contact, Start};
use vilicus_core::judge::status;
use vilicus_core::schedule::Expectation;
use vilicus_core::{AgentId, CheckId, CheckResult, CheckState, Millis, Policy, StateType, Status, Timestamp};

use crate::embedded::effect::routine;
use crate::embedded::samples::Samples;
use crate::inventory::{Agent, Check, HEARTBEAT_KIND};

/// An agent, and what is remembered of it.
#[derive(Debug, Clone)]
pub(crate) struct AgentEntry {
    pub(crate) agent: Arc<Agent>,
    pub(crate) config_version: u64,
    pub(crate) contact: Contact,
    /// When the last contact was written down: a restart knows of none later.
    pub(crate) written: Option<Timestamp>,
    pub(crate) silent: bool,
    /// Checks whose results stayed out while the agent itself was not heard of.
    pub(crate) parked: Vec<CheckId>,
    /// Its earliest entries among the deadlines.
    pub(crate) queued: Option<Timestamp>,
    pub(crate) expiry_queued: Option<Timestamp>,
}

/// The checks of an agent. Apart from the agent, since recovery may meet a check before its agent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Family {
    pub(crate) checks: BTreeSet<CheckId>,
    /// Those that shall run sooner than their interval says: few, and asked for with each request of the agent.
    pub(crate) restless: BTreeSet<CheckId>,
    /// The check of the kind `agent`.
    pub(crate) own: Option<CheckId>,
}

/// A check, and what is remembered of it.
#[derive(Debug, Clone)]
pub(crate) struct CheckEntry {
    /// What every result has to know of the check, at hand.
    pub(crate) hot: Hot,
    pub(crate) check: Arc<Check>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) state: CheckState,
    /// The last result that was judged.
    pub(crate) last: Last,
    pub(crate) samples: Samples,
    pub(crate) run_now: Option<Timestamp>,
    /// What its job promised, when it is a heartbeat.
    pub(crate) promise: Option<Box<Promise>>,
    /// Its earliest entries among the deadlines.
    pub(crate) queued: Option<Timestamp>,
    pub(crate) look_queued: Option<Timestamp>,
}

/// What every result has to know of its check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hot {
    pub(crate) agent: AgentId,
    pub(crate) enabled: bool,
    /// Its agent runs it; if not, the server judges it by itself.
    pub(crate) on_agent: bool,
}

impl Hot {
    pub(crate) fn of(check: &Check) -> Self {
        Self { agent: check.agent, enabled: check.enabled, on_agent: check.runs_on_agent() }
    }
}

/// The last result that was judged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Last {
    /// There was none.
    #[default]
    None,
    /// The newest sample is it.
    Newest,
    /// This one, with the threshold that was breached in its output.
    Kept(Arc<CheckResult>),
}

/// When the job of a heartbeat promised to be heard of.
#[derive(Debug, Clone)]
pub(crate) struct Promise {
    pub(crate) expectation: Expectation,
    grace: Millis,
}

/// What the job of a check promised, when it is a heartbeat whose parameters can be read.
pub(super) fn promise(check: &Check) -> Option<Promise> {
    if check.kind != HEARTBEAT_KIND {
        return None;
    }
    let params: HeartbeatParams = vilicus_core::params::parse(&check.params.0).ok()?;
    let expectation = params.expectation().ok()?;
    Some(Promise { expectation, grace: params.grace.unwrap_or(check.settings.grace) })
}

impl AgentEntry {
    /// An agent of which nothing is remembered but when it was heard of.
    pub(crate) fn new(agent: Arc<Agent>, config_version: u64, contact: Contact) -> Self {
        Self {
            agent,
            config_version,
            contact,
            written: contact.last,
            silent: false,
            parked: Vec::new(),
            queued: None,
            expiry_queued: None,
        }
    }

    /// It was heard of, and that is written down.
    pub(crate) fn note_contact(&mut self, at: Timestamp) {
        self.contact.note(at);
        self.written = self.contact.last;
    }
}

impl CheckEntry {
    /// A check that never reported. Its policy is set when it comes to the others.
    pub(crate) fn new(check: Arc<Check>, policy: Arc<Policy>) -> Self {
        Self {
            hot: Hot::of(&check),
            policy,
            check,
            state: CheckState::default(),
            last: Last::None,
            samples: Samples::default(),
            run_now: None,
            promise: None,
            queued: None,
            look_queued: None,
        }
    }

    /// The last result that was judged, with the threshold that was breached in its output.
    pub(crate) fn last_result(&self) -> Option<Arc<CheckResult>> {
        match &self.last {
            Last::None => None,
            Last::Newest => self.samples.last().result().map(Arc::new),
            Last::Kept(result) => Some(Arc::clone(result)),
        }
    }

    /// Moves the state by one more result of the status that it has already.
    pub(crate) fn follow(
        &mut self,
        result: &CheckResult,
        status: Status,
        at: Timestamp,
        received: Timestamp,
    ) {
        if !self.state.memory.is_empty() {
            // What thresholds with `for` remember is the fold of the samples; the status stands as it was judged.
            let _ = status::evaluate(&self.policy, &mut self.state.memory, result, at);
        }
        routine(&mut self.state, status, at, received);
    }

    /// A result of this moment came: a run that was wanted before it has been.
    pub(crate) fn note_run(&mut self, at: Timestamp) {
        self.run_now = self.run_now.filter(|wanted| at < *wanted);
    }

    /// Whether it shall run sooner than its interval says.
    pub(crate) fn is_restless(&self) -> bool {
        self.run_now.is_some() || self.state.status.is_some() && self.state.state_type == StateType::Soft
    }

    /// When the absence of its results becomes news, if its agent is in contact then; or the absence of its job's pings.
    pub(crate) fn stale_at(&self, contact: &Contact, start: Start) -> Option<Timestamp> {
        if let (Some(promise), Some(heartbeat), true) =
            (&self.promise, &self.state.heartbeat, self.check.enabled)
        {
            return heartbeat.missed_at(&promise.expectation, promise.grace, start);
        }
        if !self.check.enabled || !self.check.runs_on_agent() {
            return None;
        }
        freshness::stale_at(&self.policy, &self.state, self.check.delivered_at, contact, start)
    }
}
