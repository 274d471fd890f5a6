//! Who is told, and of what. The contract: **whoever was told of a problem is told of its recovery, exactly once,
//! whatever was muted in between**; whoever was not told of the problem hears nothing of the recovery.
//!
//! It is kept by comparing, for every channel, what it was last told with the hard state as it is now. So a hold
//! delays a message and never loses one: the next look tells what is still true. [`look`] is that look; it says itself
//! when time alone will call for another.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{ChannelId, CheckId, RouteId};
use crate::judge::destination::{self, Destination};
use crate::judge::gates::{self, Gate, GateTrace, Held, Hold, Planned, Reach, Trace};
use crate::notification::NotificationEvent;
use crate::policy::Policy;
use crate::route::{Labels, Pacing, Route};
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

/// What telling must know of the world around a check.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Which check it is.
    pub check: CheckId,
    /// What it stands for.
    pub watched: Watched,
    /// What is wanted of it.
    pub policy: &'a Policy,
    /// What matchers look at; the status in it is not looked at.
    pub labels: Labels<'a>,
    /// Whether it can be reached.
    pub reach: Reach<'a>,
    /// The downtime at work, the one that ends last.
    pub downtime: Option<Planned<'a>>,
    /// The check whose problem makes this one not worth telling.
    pub inhibited_by: Option<&'a str>,
    /// The routes in their order; `None` when none is configured, so that every channel is told.
    pub routes: Option<&'a [Route]>,
    /// The channels that are switched on, by id.
    pub channels: &'a [ChannelId],
    /// When the last message of a group went to a channel.
    pub last_message: &'a dyn Fn(ChannelId, &str) -> Option<Timestamp>,
    /// When the next result is expected, if it is.
    pub fresh_by: Option<Timestamp>,
    /// The moment of the look.
    pub now: Timestamp,
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("check", &self.check)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl<'a> Surroundings<'a> {
    /// A check in a world without routes, downtimes, parents and inhibitions: what an app has that judges by itself.
    #[must_use]
    pub fn alone(check: CheckId, policy: &'a Policy, channels: &'a [ChannelId], now: Timestamp) -> Self {
        let labels =
            Labels { agent: "", check: "", kind: "", status: None, agent_tags: &[], check_tags: &[] };
        Self {
            check,
            watched: Watched::Check,
            policy,
            labels,
            reach: Reach::Reachable,
            downtime: None,
            inhibited_by: None,
            routes: None,
            channels,
            last_message: &|_, _| None,
            fresh_by: None,
            now,
        }
    }
}

/// Why there is a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Occasion {
    /// A result was just judged.
    pub fresh: bool,
    /// It is a problem, and each such result is told: what a volatile check does.
    pub again: bool,
    /// Whether someone will read the trace.
    pub traced: bool,
}

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Look {
    /// Who is told now.
    pub tells: Vec<Tell>,
    /// Who was told of a problem that is over, by routes that tell no recoveries: what they were not sent yet need not
    /// be sent any longer.
    pub unsaid: Vec<Told>,
    /// What keeps a problem from being told, if something does.
    pub hold: Option<Hold>,
    /// When to look again, and why, if time alone calls for it.
    pub next: Option<Due>,
    /// What the gates said, in order; empty unless it was wanted.
    pub trace: Vec<GateTrace>,
}

/// One thing to tell one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tell {
    /// Whom.
    pub channel: ChannelId,
    /// What.
    pub event: NotificationEvent,
    /// What the channel was told before; `None` when this is the first it hears of the problem.
    pub previous: Option<Status>,
    /// By which route; `None` when there are none.
    pub route: Option<RouteId>,
    /// By which step of its escalation; 0 for the route's own channels.
    pub step: u32,
    /// What shares a message.
    pub group: String,
    /// How the messages of the group are spaced.
    pub pacing: Pacing,
}

/// A moment at which there may be something to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// Why then.
    pub reason: DueReason,
}

/// Why there may be something to tell at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DueReason {
    /// The problem is told again.
    Repeat,
    /// A step of the escalation is reached.
    Escalation,
    /// The problem is old enough for the route.
    FirstDelay,
    /// The schedule of the route opens.
    ScheduleOpens,
    /// The acknowledgement expires.
    AcknowledgementExpires,
    /// The downtime ends.
    DowntimeEnds,
    /// The state of what it depends on is known.
    ParentKnown,
    /// A fresh result was waited for.
    FreshResult,
}

/// Whether another look can have nothing to tell, as long as the hard state and the world stay as they are and
/// `look_at` has not come: the quick way out for what happens most.
#[must_use]
pub fn is_settled(policy: &Policy, state: &CheckState, now: Timestamp) -> bool {
    if state.flapping.is_flapping() != state.flapping_told {
        return false;
    }
    let looks_later = state.look_at.is_none_or(|at| now < at);
    match state.hard_status {
        None => true,
        Some(Status::Ok) => state.told.is_empty() && looks_later && state.held.is_none(),
        Some(_) => looks_later && !policy.volatile && state.held != Some(Hold::Settling),
    }
}

/// Compares what each channel was told with the hard state, notes in the state what is told now, and returns it.
///
/// A channel that was told of an open problem hears of its end even when no route leads to it any longer.
pub fn look(around: &Surroundings<'_>, state: &mut CheckState, occasion: Occasion) -> Look {
    let mut trace = Trace::new(occasion.traced);
    let mut look = match state.hard_status {
        None => Look::default(),
        Some(Status::Ok) => recovered(around, state, &mut trace),
        Some(status) => problem(around, state, status, occasion, &mut trace),
    };
    if look.hold.is_none() && is_unconfirmed_problem(state) {
        // Nothing to tell yet, and still someone may ask why they hear nothing of it.
        look.hold = gates::ask(around, state, &mut trace).map(|held| held.hold);
    }
    look.tells.extend(flapping_tells(around, state, look.hold));
    look.trace = trace.gates;
    state.held = look.hold;
    // A look that asks for another at once would never end.
    look.next = look.next.filter(|next| next.at > around.now);
    state.look_at = look.next.map(|next| next.at);
    look
}

/// Tells the end to all who know of the problem, unless it flaps: then it waits to see where that settles.
fn recovered(around: &Surroundings<'_>, state: &mut CheckState, trace: &mut Trace) -> Look {
    (state.settle_until, state.parent_wait) = (None, None);
    if state.told.is_empty() {
        return Look::default();
    }
    let flapping = state.flapping.is_flapping();
    trace.note(Gate::NotFlapping, !flapping, || match flapping {
        true => Cow::from("the recovery waits while it flaps"),
        false => Cow::from("who was told of the problem is told of its end"),
    });
    if flapping {
        return Look { hold: Some(Hold::Flapping), ..Look::default() };
    }
    let event = match around.watched {
        Watched::Check => NotificationEvent::Recovery,
        Watched::Agent => NotificationEvent::AgentUp,
    };
    let is_silent = |told: &&Told| route_of(around.routes, told).is_some_and(|route| !route.send_recovery);
    let unsaid = state.told.iter().filter(is_silent).cloned().collect();
    Look { tells: tell_end(around.routes, state, event), unsaid, ..Look::default() }
}

fn problem(
    around: &Surroundings<'_>,
    state: &mut CheckState,
    status: Status,
    occasion: Occasion,
    trace: &mut Trace,
) -> Look {
    let held = gates::ask(around, state, trace);
    let held = match held {
        Some(held) => Some(held),
        None => gates::settle(around, state, occasion.fresh, trace),
    };
    if let Some(Held { hold, until }) = held {
        if hold == Hold::ParentSoft {
            state.parent_wait = until;
        }
        if hold != Hold::Settling {
            state.settle_until = None;
        }
        let next = until.and_then(|at| Some(Due { at, reason: ends(hold)? }));
        return Look { hold: Some(hold), next, ..Look::default() };
    }
    let again = around.policy.volatile && occasion.again;
    let found = destination::find(around, state, status, again, trace);
    let hold = if found.destinations.is_empty() { found.hold } else { None };
    let event = problem_event(around.watched);
    let next = found.next;
    let tells: Vec<Tell> =
        found.destinations.into_iter().map(|to| tell_problem(state, status, event, to, around.now)).collect();
    // What was just told is told again by the clock that begins with it.
    let next = if tells.is_empty() {
        next
    } else {
        destination::find(around, state, status, false, &mut Trace::default()).next
    };
    Look { tells, hold, next, ..Look::default() }
}

/// What the end of a hold that comes by itself is called.
const fn ends(hold: Hold) -> Option<DueReason> {
    match hold {
        Hold::ParentSoft => Some(DueReason::ParentKnown),
        Hold::Acknowledged => Some(DueReason::AcknowledgementExpires),
        Hold::Downtime => Some(DueReason::DowntimeEnds),
        Hold::Settling => Some(DueReason::FreshResult),
        _ => None,
    }
}

const fn problem_event(watched: Watched) -> NotificationEvent {
    match watched {
        Watched::Check => NotificationEvent::Problem,
        Watched::Agent => NotificationEvent::AgentDown,
    }
}

/// Notes in the state that a channel is told of the problem.
fn tell_problem(
    state: &mut CheckState,
    status: Status,
    event: NotificationEvent,
    to: Destination<'_>,
    now: Timestamp,
) -> Tell {
    let route = to.route.map(|route| route.id);
    let previous = match state.told.iter_mut().find(|told| told.channel == to.channel) {
        Some(told) => {
            let before = std::mem::replace(&mut told.status, status);
            told.step = told.step.max(to.step);
            (told.route, told.at) = (route, now);
            told.group.clone_from(&to.group);
            Some(before)
        }
        None => {
            state.told.push(Told {
                channel: to.channel,
                status,
                route,
                group: to.group.clone(),
                step: to.step,
                at: now,
                messages: Vec::new(),
            });
            None
        }
    };
    Tell { channel: to.channel, event, previous, route, step: to.step, group: to.group, pacing: to.pacing }
}

/// Tells once that a check flaps, when it has a problem while it does: to those who would hear of the problem.
fn flapping_tells(around: &Surroundings<'_>, state: &mut CheckState, hold: Option<Hold>) -> Vec<Tell> {
    if !state.flapping.is_flapping() {
        state.flapping_told = false;
        return Vec::new();
    }
    let Some(status) = state.status.filter(|status| status.is_problem()) else {
        return Vec::new();
    };
    let others_pass = matches!(hold, None | Some(Hold::Flapping | Hold::Soft));
    let quiet = !around.policy.notifications
        || !matches!(around.reach, Reach::Reachable)
        || around.downtime.is_some()
        || around.inhibited_by.is_some()
        || state.acknowledgement.is_some();
    if state.flapping_told || quiet || !others_pass {
        return Vec::new();
    }
    state.flapping_told = true;
    // Looked for as if nobody had been told yet: that it flaps is news to all.
    let fresh = CheckState { told: Vec::new(), hard_since: Some(Timestamp::EPOCH), ..state.clone() };
    let found = destination::find(around, &fresh, status, false, &mut Trace::default());
    let own = found.destinations.into_iter().filter(|to| to.step == 0);
    own.map(|to| {
        let previous = state.told(to.channel).map(|told| told.status);
        let route = to.route.map(|route| route.id);
        let event = NotificationEvent::Flapping;
        Tell { channel: to.channel, event, previous, route, step: 0, group: to.group, pacing: to.pacing }
    })
    .collect()
}

/// Tells all who were told of an open problem that someone is on it. It is forced: no gate is asked.
#[must_use]
pub fn acknowledged(routes: Option<&[Route]>, state: &CheckState) -> Vec<Tell> {
    // It is of use while people look, not when the group is due again.
    let at_once =
        |told| Tell { pacing: Pacing::NONE, ..tell_again(routes, told, NotificationEvent::Acknowledgement) };
    state.told.iter().map(at_once).collect()
}

/// Tells all who were told of an open problem that nobody watches it any longer.
pub fn close(routes: Option<&[Route]>, state: &mut CheckState) -> Vec<Tell> {
    tell_end(routes, state, NotificationEvent::Closed)
}

fn tell_end(routes: Option<&[Route]>, state: &mut CheckState, event: NotificationEvent) -> Vec<Tell> {
    let told = std::mem::take(&mut state.told);
    let wants_end = |told: &&Told| route_of(routes, told).is_none_or(|route| route.send_recovery);
    told.iter().filter(wants_end).map(|told| tell_again(routes, told, event)).collect()
}

fn tell_again(routes: Option<&[Route]>, told: &Told, event: NotificationEvent) -> Tell {
    Tell {
        channel: told.channel,
        event,
        previous: Some(told.status),
        route: told.route,
        step: told.step,
        group: told.group.clone(),
        pacing: route_of(routes, told).map_or(Pacing::NONE, Route::pacing),
    }
}

fn route_of<'a>(routes: Option<&'a [Route]>, told: &Told) -> Option<&'a Route> {
    routes?.iter().find(|route| Some(route.id) == told.route)
}

/// What the gates would say at this moment, and when the next message is due: nothing is told by asking.
#[must_use]
pub fn explain(around: &Surroundings<'_>, state: &CheckState) -> Look {
    let mut asked = state.clone();
    look(around, &mut asked, Occasion { traced: true, ..Occasion::default() })
}

/// Whether a problem has begun that is not confirmed, and none is.
fn is_unconfirmed_problem(state: &CheckState) -> bool {
    state.state_type == StateType::Soft
        && state.status.is_some_and(Status::is_problem)
        && !state.has_hard_problem()
}
