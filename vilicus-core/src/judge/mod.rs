//! The judge: from what was measured, or not, to what people are told. Pure, total and deterministic.
//!
//! A result's **status** ([`status`]: its own, and its metrics against the thresholds) → **soft or hard**
//! ([`attempts`]) → a **change** → **holds** and **telling** ([`telling`]). Silence is an input like any other
//! ([`freshness`]).
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
pub mod freshness;
pub mod status;
pub mod sustained;
pub mod telling;

use serde::{Deserialize, Serialize};

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
    match input {
        Input::Result { result, timestamp } => judge_result(policy, state, result, timestamp, now),
        Input::Stale { deadline } => judge_silence(policy, state, Status::Unknown, deadline),
        Input::Silent { deadline } => judge_silence(policy, state, Status::Critical, deadline),
        Input::Contact { at } => judge_contact(policy, state, at),
    }
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
        return Verdict { status, reason, judged: false, change: None };
    }
    let evaluated = status::evaluate(policy, &mut state.memory, result, timestamp);
    state.last_result_at = Some(timestamp);
    state.last_received_at = Some(now);
    state.stale = false;
    let change = attempts::step(policy, state, evaluated.status, evaluated.confirmed, timestamp);
    Verdict { status: evaluated.status, reason: evaluated.reason, judged: true, change }
}

/// Silence is confirmed at once, and never counts as a result.
fn judge_silence(policy: &Policy, state: &mut CheckState, status: Status, deadline: Timestamp) -> Verdict {
    state.stale = status == Status::Unknown;
    let change = attempts::confirm(policy, state, status, deadline);
    Verdict { status, reason: None, judged: true, change }
}

fn judge_contact(policy: &Policy, state: &mut CheckState, at: Timestamp) -> Verdict {
    state.stale = false;
    let change = attempts::confirm(policy, state, Status::Ok, at);
    Verdict { status: Status::Ok, reason: None, judged: true, change }
}
