//! The words of a message about a check: what it is, what it said last, since when.

use crate::judge::telling::{LATE, Tell};
use crate::metric::Metric;
use crate::notification::{NotificationEvent, NotificationItem};
use crate::policy::Policy;
use crate::result::CheckResult;
use crate::state::CheckState;
use crate::status::{StateType, Status};
use crate::time::Timestamp;

/// What a message says of the check besides its state.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The name of the agent.
    pub agent: &'a str,
    /// The name of the check.
    pub check: &'a str,
    /// The identity of the check; see [`NotificationItem::subject`].
    pub subject: &'a str,
    /// The kind of the check.
    pub kind: &'a str,
    /// The tags of the agent and of the check.
    pub tags: &'a [String],
    /// Where the check is described to those who mend it.
    pub runbook_url: Option<&'a str>,
    /// The last result.
    pub result: Option<&'a CheckResult>,
    /// When the trouble began; taken before the state moved to its end.
    pub problem_since: Option<Timestamp>,
}

/// The words of one message.
#[must_use]
pub fn item(
    tell: &Tell,
    subject: Subject<'_>,
    policy: &Policy,
    state: &CheckState,
    at: Timestamp,
    now: Timestamp,
) -> NotificationItem {
    let status = state.hard_status.unwrap_or(Status::Unknown);
    let (output, long_output, metrics) = last_words(tell.event, subject.result);
    NotificationItem {
        event: tell.event,
        agent: subject.agent.to_owned(),
        check: subject.check.to_owned(),
        subject: subject.subject.to_owned(),
        kind: subject.kind.to_owned(),
        tags: subject.tags.to_vec(),
        status,
        previous_status: tell.previous,
        state_type: StateType::Hard,
        since: state.since.unwrap_or(at),
        at,
        attempt: state.attempt,
        max_attempts: policy.max_attempts,
        output,
        long_output,
        metrics,
        runbook_url: subject.runbook_url.map(str::to_owned),
        problem_since: subject.problem_since.or(state.problem_since),
        late: now.since(at) > LATE,
    }
}

fn last_words(event: NotificationEvent, result: Option<&CheckResult>) -> (String, String, Vec<Metric>) {
    match (event, result) {
        (NotificationEvent::AgentUp, _) => ("the agent is back".to_owned(), String::new(), Vec::new()),
        (_, Some(result)) => (result.output.clone(), result.long_output.clone(), result.metrics.clone()),
        (_, None) => (String::new(), String::new(), Vec::new()),
    }
}
