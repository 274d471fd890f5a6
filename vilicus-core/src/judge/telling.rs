//! Who is told, and of what. The contract: **whoever was told of a problem is told of its recovery, exactly once,
//! whatever was muted in between**; whoever was not told of the problem hears nothing of the recovery.
//!
//! It is kept by comparing, for every channel, what it was last told with the hard state as it is now. So a hold
//! delays a message and never loses one: the next look tells what is still true.

use serde::{Deserialize, Serialize};

use crate::id::ChannelId;
use crate::judge::Verdict;
use crate::metric::Metric;
use crate::notification::{NotificationEvent, NotificationItem};
use crate::policy::Policy;
use crate::result::CheckResult;
use crate::state::{CheckState, Told};
use crate::status::{StateType, Status};
use crate::time::{Millis, Timestamp};

/// Older than this at delivery, an event is told with its true times, as delivered late.
pub const LATE: Millis = Millis::from_minutes(1);

/// What a check stands for, which decides the words of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Watched {
    /// Something on a host.
    Check,
    /// The agent itself: it is UP or DOWN.
    Agent,
}

/// Why a problem is not told now. A recovery is never held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Hold {
    /// Notifications of this check are switched off.
    Disabled,
    /// The status is not confirmed yet.
    Soft,
    /// The agent is DOWN: that was told instead.
    Unreachable,
}

/// One thing to tell one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tell {
    /// Whom.
    pub channel: ChannelId,
    /// What.
    pub event: NotificationEvent,
    /// What the channel was told before; `None` when this is the first it hears of the problem.
    pub previous: Option<Status>,
}

/// The first gate that keeps a problem from being told, if any does.
#[must_use]
pub fn hold(policy: &Policy, state: &CheckState, unreachable: bool) -> Option<Hold> {
    if !policy.notifications {
        Some(Hold::Disabled)
    } else if state.state_type == StateType::Soft {
        Some(Hold::Soft)
    } else if unreachable {
        Some(Hold::Unreachable)
    } else {
        None
    }
}

/// Compares what each channel was told with the hard state, notes in the state what is told now, and returns it.
///
/// `channels` are those that hear of new problems; a channel that was told of an open one hears of its end even
/// when it is no longer among them. `result` says that a result was just judged: what a volatile check tells each time.
pub fn tell(
    policy: &Policy,
    state: &mut CheckState,
    watched: Watched,
    channels: &[ChannelId],
    held: Option<Hold>,
    verdict: &Verdict,
) -> Vec<Tell> {
    match state.hard_status {
        Some(Status::Ok) if !state.told.is_empty() => tell_end(state, end_of(watched)),
        Some(status) if status.is_problem() && held.is_none() => {
            let again = policy.volatile && verdict.judged && verdict.status.is_problem();
            tell_problem(state, status, watched, channels, again)
        }
        _ => Vec::new(),
    }
}

/// Tells all who were told of an open problem that nobody watches it any longer.
pub fn close(state: &mut CheckState) -> Vec<Tell> {
    tell_end(state, NotificationEvent::Closed)
}

fn end_of(watched: Watched) -> NotificationEvent {
    match watched {
        Watched::Check => NotificationEvent::Recovery,
        Watched::Agent => NotificationEvent::AgentUp,
    }
}

fn tell_end(state: &mut CheckState, event: NotificationEvent) -> Vec<Tell> {
    let told = std::mem::take(&mut state.told);
    told.into_iter().map(|told| Tell { channel: told.channel, event, previous: Some(told.status) }).collect()
}

fn tell_problem(
    state: &mut CheckState,
    status: Status,
    watched: Watched,
    channels: &[ChannelId],
    again: bool,
) -> Vec<Tell> {
    let event = match watched {
        Watched::Check => NotificationEvent::Problem,
        Watched::Agent => NotificationEvent::AgentDown,
    };
    let mut tells = Vec::new();
    for &channel in channels {
        let previous = match state.told.iter_mut().find(|told| told.channel == channel) {
            Some(told) if told.status == status && !again => continue,
            Some(told) => Some(std::mem::replace(&mut told.status, status)),
            None => {
                state.told.push(Told { channel, status, messages: Vec::new() });
                None
            }
        };
        tells.push(Tell { channel, event, previous });
    }
    tells
}

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
