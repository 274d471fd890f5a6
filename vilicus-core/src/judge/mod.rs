//! The judge: from what was measured, or not, to what people are told. Pure, total and deterministic.
//!
//! A result's **status** ([`status`]: its own, and its metrics against the thresholds) → **soft or hard**
//! ([`attempts`]) → **flapping** ([`flapping`]) → a **change** → the **gates** ([`gates`]) → **telling** ([`telling`]).
//! Silence is an input like any other ([`freshness`], [`heartbeat`](crate::heartbeat)).
//!
//! Deliberately absent: clocks, randomness, I/O, and any memory but the [`CheckState`] that is handed in.
//!
//! ```
//! use vilicus_core::judge::{self, Input, Verdict};
//! use vilicus_core::{CheckResult, CheckState, Policy, Timestamp};
//!
//! let policy = Policy::default().max_attempts(2);
//! let mut state = CheckState::default();
//! let mut hard = Vec::new();
//! for minute in 1..=2 {
//!     let at = Timestamp::from_millis(minute * 60_000);
//!     let result = CheckResult::critical("connection refused");
//!     let verdict = judge::judge(&policy, &mut state, Input::Result { result: &result, timestamp: at }, at);
//!     hard.push(verdict.change.is_some_and(|change| change.is_hard()));
//! }
//! assert_eq!(hard, [false, true]);
//! ```

pub mod attempts;
mod destination;
pub mod flapping;
pub mod freshness;
pub mod gates;
pub mod status;
pub mod sustained;
pub mod telling;
pub mod words;

use serde::{Deserialize, Serialize};

use crate::acknowledgement::{Acknowledgement, AcknowledgementEnd};
use crate::heartbeat::Signal;
use crate::policy::Policy;
use crate::result::CheckResult;
use crate::state::CheckState;
use crate::status::{StateType, Status};
use crate::time::Timestamp;

/// What the judge is asked about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Input<'a> {
    /// A result came.
    Result {
        /// The result.
        result: &'a CheckResult,
        /// When it was measured; the result's own field is not looked at.
        timestamp: Timestamp,
    },
    /// Results stayed out past this deadline, though the agent is in contact.
    Stale {
        /// The exact moment.
        deadline: Timestamp,
    },
    /// A job said something of a run.
    Ping {
        /// What it said.
        signal: Signal,
        /// What tells this run's pings from those of others.
        rid: Option<&'a str>,
        /// What is kept of it: its status, its words, and how long the run took.
        result: &'a CheckResult,
        /// When it came.
        at: Timestamp,
    },
    /// A job said nothing past this deadline.
    Missed {
        /// The exact moment.
        deadline: Timestamp,
    },
    /// The agent that the check stands for was silent past this deadline.
    Silent {
        /// The exact moment.
        deadline: Timestamp,
    },
    /// The agent that the check stands for made contact.
    Contact {
        /// When, by the server's clock.
        at: Timestamp,
    },
}

/// What the judge says.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Verdict {
    /// The status of the input as judged.
    pub status: Status,
    /// Which threshold made it so, in words; `None` when the result's own status did.
    pub reason: Option<String>,
    /// Whether the state followed; a late result is history only.
    pub judged: bool,
    /// What changed, if anything did that is worth an event.
    pub change: Option<Change>,
    /// Flapping started or stopped.
    pub flapping: Option<flapping::Turn>,
    /// The acknowledgement ended with it.
    pub acknowledgement_ended: Option<AcknowledgementEnd>,
}

impl Verdict {
    /// The state stays as it is: nothing came but a look at it.
    pub fn unmoved(state: &CheckState) -> Self {
        Self {
            status: state.status.unwrap_or(Status::Unknown),
            reason: None,
            judged: false,
            change: None,
            flapping: None,
            acknowledgement_ended: None,
        }
    }
}

/// A change of a check's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The status before; `None` for PENDING.
    pub from: Option<Status>,
    /// The status after.
    pub to: Status,
    /// Soft or hard after.
    pub state_type: StateType,
    /// The hard status before.
    pub hard_from: Option<Status>,
    /// When it happened.
    pub at: Timestamp,
}

impl Change {
    /// Whether this confirms a status other than the one confirmed before: a hard transition.
    #[must_use]
    pub fn is_hard(&self) -> bool {
        self.state_type == StateType::Hard && self.hard_from != Some(self.to)
    }
}

/// Judges one input: moves the state, and says what changed.
///
/// A result that is not newer than the last judged one never moves the state, unless that one lies in the future
/// of `now`, which means that a clock was repaired.
pub fn judge(policy: &Policy, state: &mut CheckState, input: Input<'_>, now: Timestamp) -> Verdict {
    let before = state.status;
    let mut verdict = match input {
        Input::Result { result, timestamp } => judge_result(policy, state, result, timestamp, now),
        Input::Ping { signal, rid, result, at } => judge_ping(policy, state, signal, rid, result, at),
        Input::Stale { deadline } => judge_silence(policy, state, Status::Unknown, deadline),
        Input::Missed { deadline } => judge_missed(policy, state, deadline),
        Input::Silent { deadline } => judge_silence(policy, state, Status::Critical, deadline),
        Input::Contact { at } => judge_contact(policy, state, at),
    };
    verdict.acknowledgement_ended = end_acknowledgement(state, before);
    verdict
}

fn judge_result(
    policy: &Policy,
    state: &mut CheckState,
    result: &CheckResult,
    timestamp: Timestamp,
    now: Timestamp,
) -> Verdict {
    if state.last_result_at.is_some_and(|last| timestamp <= last && last <= now) {
        let (status, reason) = status::without_memory(policy, result);
        return Verdict { status, reason, ..Verdict::unmoved(state) };
    }
    let evaluated = status::evaluate(policy, &mut state.memory, result, timestamp);
    note_result(policy, state, evaluated, timestamp, now)
}

/// What every result does that counts.
fn note_result(
    policy: &Policy,
    state: &mut CheckState,
    evaluated: status::Evaluated,
    timestamp: Timestamp,
    now: Timestamp,
) -> Verdict {
    let status::Evaluated { status, confirmed, reason } = evaluated;
    state.last_result_at = Some(timestamp);
    state.last_received_at = Some(now);
    state.stale = false;
    let flapping = flapping::step(policy, &mut state.flapping, state.status, status, timestamp);
    let change = attempts::step(policy, state, status, confirmed, timestamp);
    if change.is_some() {
        // By a clock that is ahead it was confirmed in the future: delays count from now then.
        state.hard_since = state.hard_since.map(|since| since.min(now));
    }
    Verdict { status, reason, judged: true, change, flapping, acknowledgement_ended: None }
}

/// A job says itself how its run ended, so that is confirmed at once.
fn judge_ping(
    policy: &Policy,
    state: &mut CheckState,
    signal: Signal,
    rid: Option<&str>,
    result: &CheckResult,
    at: Timestamp,
) -> Verdict {
    match (signal, signal.end()) {
        (Signal::Start, _) => state.heartbeat.get_or_insert_default().begin(at, rid),
        (_, Some(well)) => {
            let _ = state.heartbeat.get_or_insert_default().end(at, rid, well);
            let mut evaluated = status::evaluate(policy, &mut state.memory, result, at);
            evaluated.confirmed = true;
            if !well && !evaluated.status.is_problem() {
                // A run that failed is a problem, also when what it wrote says nothing of it.
                evaluated.status = Status::Critical;
            }
            return note_result(policy, state, evaluated, at, at);
        }
        (_, None) => {}
    }
    Verdict::unmoved(state)
}

fn judge_missed(policy: &Policy, state: &mut CheckState, deadline: Timestamp) -> Verdict {
    if let Some(heartbeat) = &mut state.heartbeat {
        heartbeat.miss();
    }
    let change = attempts::confirm(policy, state, Status::Critical, deadline);
    Verdict { status: Status::Critical, judged: true, change, ..Verdict::unmoved(state) }
}

/// Silence is confirmed at once, and never counts as a result.
fn judge_silence(policy: &Policy, state: &mut CheckState, status: Status, deadline: Timestamp) -> Verdict {
    state.stale = status == Status::Unknown;
    let change = attempts::confirm(policy, state, status, deadline);
    Verdict { status, judged: true, change, ..Verdict::unmoved(state) }
}

fn judge_contact(policy: &Policy, state: &mut CheckState, at: Timestamp) -> Verdict {
    state.stale = false;
    let change = attempts::confirm(policy, state, Status::Ok, at);
    Verdict { status: Status::Ok, judged: true, change, ..Verdict::unmoved(state) }
}

/// Takes the acknowledgement away when the step from the status before to the one now ends it.
fn end_acknowledgement(state: &mut CheckState, before: Option<Status>) -> Option<AcknowledgementEnd> {
    let ended =
        |acknowledgement: &Acknowledgement| acknowledgement.ended_by(before, state.status?, state.state_type);
    let end = state.acknowledgement.as_deref().and_then(ended)?;
    state.acknowledgement = None;
    Some(end)
}
