//! What a commit changes. Effects are the only way in which the truth changes, and what the journal holds.
//!
//! Inputs are judged once, when they come. Recovery applies their effects again and judges nothing, so a later
//! version of the judge, or another policy, never changes what was decided.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vilicus_core::judge::flapping::Flapping;
use vilicus_core::judge::freshness::Contact;
use vilicus_core::{
    AgentId, ChannelId, CheckId, CheckResult, CheckState, Downtime, DowntimeId, Event, Inhibition,
    InhibitionId, NotificationId, NotificationItem, Route, RouteId, StateType, Status, TemplateId, Timestamp,
    TokenId,
};

use crate::embedded::chunk::{write_number, write_signed};
use crate::inventory::{Agent, Channel, Check, Template, Token};
use crate::outbox::OutboxRow;
use crate::report::Sink;

/// One change of the truth. The order of the variants is part of the format on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Effect {
    /// A result was kept.
    Result(ResultEffect),
    /// A check has this state now.
    State { check: CheckId, state: Box<CheckState> },
    /// Something happened.
    Event(Arc<Event>),
    /// A message is like this now: it waits, or it is done.
    Message(Arc<OutboxRow>),
    /// News was merged into a message that waits.
    News {
        message: NotificationId,
        check: Option<CheckId>,
        item: Box<NotificationItem>,
        earlier: Vec<NotificationId>,
    },
    /// An agent is like this now.
    Agent { agent: Arc<Agent>, config_version: u64 },
    /// An agent is gone; its checks went before.
    AgentGone(AgentId),
    /// An agent was heard of.
    Contact { agent: AgentId, contact: Contact },
    /// An agent is silent past its deadline, or no longer.
    Silence { agent: AgentId, silent: bool },
    /// An agent has finished its checks.
    Checkin { agent: AgentId, at: Timestamp },
    /// A check is configured like this now.
    Check(Arc<Check>),
    /// A check is gone.
    CheckGone(CheckId),
    /// Checks were delivered for the first time.
    Delivered { checks: Vec<CheckId>, at: Timestamp },
    /// Someone wants a check to run.
    RunNow { check: CheckId, at: Timestamp },
    /// A channel is configured like this now.
    Channel(Arc<Channel>),
    /// A channel is gone.
    ChannelGone(ChannelId),
    /// A token is like this now.
    Token(Arc<Token>),
    /// A token is gone.
    TokenGone(TokenId),
    /// A route is like this now.
    Route(Arc<Route>),
    /// A route is gone.
    RouteGone(RouteId),
    /// A downtime is like this now.
    Downtime(Arc<Downtime>),
    /// A downtime is gone.
    DowntimeGone(DowntimeId),
    /// A window of a downtime opened or closed.
    DowntimeTurn { downtime: DowntimeId, open: bool },
    /// An inhibition is like this now.
    Inhibition(Arc<Inhibition>),
    /// An inhibition is gone.
    InhibitionGone(InhibitionId),
    /// A template is like this now.
    Template(Arc<Template>),
    /// A template is gone.
    TemplateGone(TemplateId),
    /// The last message of a group went to a channel.
    GroupClock { channel: ChannelId, group: String, last: Timestamp },
    /// A result was kept that is [`Kept::Routine`] and the next one of its week.
    Sample {
        check: CheckId,
        /// How long after its own moment it was received; negative when a clock is ahead.
        delay: i64,
        /// What differs from the sample before it, as it stands in its chunk.
        bytes: Vec<u8>,
    },
}

/// A result that was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResultEffect {
    /// Of which check.
    pub(crate) check: CheckId,
    /// When it was measured.
    pub(crate) timestamp: Timestamp,
    /// When it was received.
    pub(crate) received: Timestamp,
    /// The status as judged.
    pub(crate) status: Status,
    /// What it did to the state.
    pub(crate) kept: Kept,
    /// Which threshold made the status so.
    pub(crate) reason: Option<String>,
    /// The result as sent.
    pub(crate) result: Arc<CheckResult>,
}

/// What a result did to the state of its check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kept {
    /// The same status as before: what [`routine`] says, and nothing else.
    Routine,
    /// More than that: the new state follows.
    Judged,
    /// Nothing: it came late, or nobody watches.
    History,
}

/// Moves a state by one more result of the status that it has already.
///
/// This is part of the format on disk: recovery moves states by it. What thresholds with `for` remember is moved
/// apart from it, by the samples themselves.
pub(crate) fn routine(state: &mut CheckState, status: Status, timestamp: Timestamp, received: Timestamp) {
    let mut outline = Outline::of(state);
    outline.routine(status);
    (state.window, state.good_run, state.flapping) = (outline.window, outline.good_run, outline.flapping);
    state.last_result_at = Some(timestamp);
    state.last_received_at = Some(received);
    state.stale = false;
}

/// What a result that is no news leaves as it is or moves as [`routine`] says: cheap to copy and to compare.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outline {
    status: Option<Status>,
    state_type: StateType,
    attempt: u32,
    since: Option<Timestamp>,
    hard_status: Option<Status>,
    problem_since: Option<Timestamp>,
    stale: bool,
    acknowledged: bool,
    window: u64,
    good_run: u32,
    flapping: Flapping,
}

impl Outline {
    pub(crate) fn of(state: &CheckState) -> Self {
        Self {
            status: state.status,
            state_type: state.state_type,
            attempt: state.attempt,
            since: state.since,
            hard_status: state.hard_status,
            problem_since: state.problem_since,
            stale: state.stale,
            acknowledged: state.acknowledgement.is_some(),
            window: state.window,
            good_run: state.good_run,
            flapping: state.flapping,
        }
    }

    /// Moves it by one more result of the status that it has already.
    pub(crate) fn routine(&mut self, status: Status) {
        self.window = self.window << 1 | u64::from(status.is_problem());
        self.good_run = if status.is_problem() { 0 } else { self.good_run.saturating_add(1) };
        self.flapping.note_same();
        self.stale = false;
    }
}

/// Adds an effect to the payload of a record.
pub(crate) fn write(payload: &mut Vec<u8>, effect: &Effect) -> Result<(), postcard::Error> {
    let before = payload.len();
    let written = postcard::serialize_with_flavor(effect, Sink(payload));
    if written.is_err() {
        payload.truncate(before);
    }
    written
}

/// The number of [`Effect::Sample`].
const SAMPLE: u8 = 28;

/// Adds an [`Effect::Sample`] to the payload of a record, without making one: this happens a million times a second.
pub(crate) fn write_sample(payload: &mut Vec<u8>, check: CheckId, delay: i64, bytes: &[u8]) {
    payload.push(SAMPLE);
    write_number(payload, check.get());
    write_signed(payload, delay);
    write_number(payload, bytes.len() as u64);
    payload.extend_from_slice(bytes);
}

/// The effects of a payload; `None` when it makes no sense.
pub(crate) fn read(payload: &[u8]) -> Option<Vec<Effect>> {
    let mut rest = payload;
    let mut effects = Vec::new();
    while !rest.is_empty() {
        let (effect, after) = postcard::take_from_bytes(rest).ok()?;
        effects.push(effect);
        rest = after;
    }
    Some(effects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vilicus_core::judge::{self, Input};
    use vilicus_core::{Metric, Policy};

    fn effects() -> Vec<Effect> {
        let check = CheckId::new(7).unwrap();
        let result = CheckResult::ok("fine").metric(Metric::percent("used", 3.5));
        vec![
            Effect::Result(ResultEffect {
                check,
                timestamp: Timestamp::from_millis(1000),
                received: Timestamp::from_millis(1001),
                status: Status::Ok,
                kept: Kept::Routine,
                reason: Some("why".to_owned()),
                result: Arc::new(result),
            }),
            Effect::State { check, state: Box::default() },
            Effect::CheckGone(check),
        ]
    }

    #[test]
    fn effects_round_trip() {
        let mut payload = Vec::new();
        effects().iter().for_each(|effect| write(&mut payload, effect).unwrap());
        assert_eq!(read(&payload), Some(effects()));
        assert_eq!(read(&payload[..payload.len() - 1]), None);
    }

    #[test]
    fn samples_are_written_as_the_effect_would_be() {
        for (delay, bytes) in [(0, vec![]), (-300_000, vec![1, 2, 255]), (i64::MAX, vec![7; 300])] {
            let check = CheckId::new(1 << 20).unwrap();
            let (mut quick, mut plain) = (Vec::new(), Vec::new());
            write_sample(&mut quick, check, delay, &bytes);
            write(&mut plain, &Effect::Sample { check, delay, bytes }).unwrap();
            assert_eq!(quick, plain);
        }
    }

    #[test]
    fn routine_is_what_the_judge_does_when_nothing_changes() {
        let policy = Policy::default();
        for status in Status::ALL {
            let mut state = CheckState::default();
            for second in 1..=5 {
                let at = Timestamp::from_millis(second * 1000);
                let mut expected = state.clone();
                routine(&mut expected, status, at, at);
                let result = CheckResult::new(status, "");
                let input = Input::Result { result: &result, timestamp: at };
                let verdict = judge::judge(&policy, &mut state, input, at);
                assert!(verdict.judged);
                assert!(second < 4 || state == expected, "{status} {second}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn changed_bytes_are_read_or_refused(at: prop::sample::Index, change: u8) {
            let mut payload = Vec::new();
            effects().iter().for_each(|effect| write(&mut payload, effect).unwrap());
            let at = at.index(payload.len());
            payload[at] ^= change;
            let _ = read(&payload);
        }
    }
}
