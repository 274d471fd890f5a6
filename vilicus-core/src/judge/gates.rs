//! The gates between a problem and the people, in their order, each leaving a trace.
//!
//! Those of this file look at the check itself: switched on → confirmed → reachable → not acknowledged → not in downtime
//! → not flapping → not inhibited → settled. Those of the routes follow in `destination`. Only the problem is held;
//! the recovery of what was told is held by flapping alone.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::id::{ChannelId, RouteId};
use crate::judge::telling::Surroundings;
use crate::state::CheckState;
use crate::status::StateType;
use crate::time::{Millis, Timestamp};

/// When a hold is over and a fresh result is due within this time, it is waited for.
pub const SETTLE: Millis = Millis::from_minutes(1);

/// A gate, in the order in which they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// What is forced passes all other gates: an acknowledgement that someone wants told.
    Forced,
    /// Notifications of the check are switched on.
    Notifications,
    /// The status is confirmed.
    Hard,
    /// Neither its agent nor what it depends on is down.
    Reachable,
    /// Nobody is on it.
    NotAcknowledged,
    /// No downtime was planned.
    NotInDowntime,
    /// It does not change too often.
    NotFlapping,
    /// No other problem makes it not worth telling.
    NotInhibited,
    /// A hold that is over was followed by a fresh result, or none is due soon.
    Settled,
    /// A route matches.
    Route,
    /// The route's schedule allows it.
    Schedule,
    /// The route wants this status.
    Status,
    /// The problem is old enough for the route, or for the step of its escalation.
    FirstDelay,
    /// It is news, or to be told again.
    Repeat,
}

/// What a gate said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateTrace {
    /// Which gate.
    pub gate: Gate,
    /// Whether the problem may pass.
    pub passed: bool,
    /// Why, in a few words.
    pub why: Cow<'static, str>,
    /// The route that was asked, if it is one's own gate.
    pub route: Option<RouteId>,
    /// The channel that was asked about.
    pub channel: Option<ChannelId>,
}

impl GateTrace {
    /// What a gate of the check said.
    #[must_use]
    pub fn new(gate: Gate, passed: bool, why: impl Into<Cow<'static, str>>) -> Self {
        Self { gate, passed, why: why.into(), route: None, channel: None }
    }

    /// The same, said by a route about a channel.
    #[must_use]
    pub fn of(mut self, route: Option<RouteId>, channel: Option<ChannelId>) -> Self {
        (self.route, self.channel) = (route, channel);
        self
    }
}

/// Why a problem is not told now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Hold {
    /// Notifications of this check are switched off.
    Disabled,
    /// The status is not confirmed yet.
    Soft,
    /// The agent, or a check that it depends on, is down: that was told instead.
    Unreachable,
    /// A check that it depends on may be about to go down.
    ParentSoft,
    /// Someone is on it.
    Acknowledged,
    /// A downtime was planned.
    Downtime,
    /// It changes too often.
    Flapping,
    /// Another problem makes it not worth telling.
    Inhibited,
    /// A hold is over, and a fresh result is waited for.
    Settling,
    /// No route leads to anybody.
    NoRoute,
    /// The schedule of the route is closed.
    Schedule,
    /// The route wants other statuses.
    NotWanted,
    /// It is too young for the route.
    TooYoung,
}

impl Hold {
    /// The gate that is closed.
    #[must_use]
    pub const fn gate(self) -> Gate {
        match self {
            Self::Disabled => Gate::Notifications,
            Self::Soft => Gate::Hard,
            Self::Unreachable | Self::ParentSoft => Gate::Reachable,
            Self::Acknowledged => Gate::NotAcknowledged,
            Self::Downtime => Gate::NotInDowntime,
            Self::Flapping => Gate::NotFlapping,
            Self::Inhibited => Gate::NotInhibited,
            Self::Settling => Gate::Settled,
            Self::NoRoute => Gate::Route,
            Self::Schedule => Gate::Schedule,
            Self::NotWanted => Gate::Status,
            Self::TooYoung => Gate::FirstDelay,
        }
    }

    /// Whether its end calls for a fresh look at the thing itself before anything is told.
    const fn settles(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::Acknowledged
                | Self::Downtime
                | Self::Flapping
                | Self::Inhibited
                | Self::Settling
        )
    }
}

/// Whether a check can be reached, by what it depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach<'a> {
    /// Nothing that it depends on is down.
    #[default]
    Reachable,
    /// Its agent is DOWN.
    AgentDown,
    /// This parent is down.
    ParentDown(&'a str),
    /// This parent is not OK and not confirmed; it is known by then.
    ParentSoft {
        /// Which parent.
        parent: &'a str,
        /// When its next result has come.
        until: Timestamp,
    },
}

/// A downtime at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned<'a> {
    /// What it is for.
    pub comment: &'a str,
    /// When it ends.
    pub until: Timestamp,
}

/// The gates of the check itself: the first that is closed, and until when it surely is.
pub(super) struct Held {
    pub(super) hold: Hold,
    /// When it opens by itself; `None` when something has to happen first.
    pub(super) until: Option<Timestamp>,
}

/// Asks the gates of the check itself, in order, up to the first that is closed.
pub(super) fn ask(around: &Surroundings<'_>, state: &CheckState, trace: &mut Trace) -> Option<Held> {
    trace.note(Gate::Forced, true, || "not forced: the gates are asked in order".into());
    let gates =
        [notifications, hard, reachable, not_acknowledged, not_in_downtime, not_flapping, not_inhibited];
    gates.into_iter().find_map(|gate| gate(around, state, trace))
}

fn notifications(around: &Surroundings<'_>, _: &CheckState, trace: &mut Trace) -> Option<Held> {
    let on = around.policy.notifications;
    trace.note(Gate::Notifications, on, || match on {
        true => "notifications of the check are on".into(),
        false => "notifications of the check are switched off".into(),
    });
    held(!on, Hold::Disabled, None)
}

fn hard(around: &Surroundings<'_>, state: &CheckState, trace: &mut Trace) -> Option<Held> {
    let hard = state.state_type == StateType::Hard;
    trace.note(Gate::Hard, hard, || match hard {
        true => "the status is confirmed".into(),
        false => format!("attempt {} of {}", state.attempt, around.policy.max_attempts).into(),
    });
    held(!hard, Hold::Soft, None)
}

fn reachable(around: &Surroundings<'_>, state: &CheckState, trace: &mut Trace) -> Option<Held> {
    let waited_for = |until| state.parent_wait.unwrap_or(until);
    let (hold, until) = match around.reach {
        Reach::Reachable => {
            trace.note(Gate::Reachable, true, || {
                "its agent is in contact and what it depends on is up".into()
            });
            return None;
        }
        Reach::AgentDown | Reach::ParentDown(_) => (Hold::Unreachable, None),
        Reach::ParentSoft { until, .. } if waited_for(until) <= around.now => {
            trace.note(Gate::Reachable, true, || "what it depends on was waited for".into());
            return None;
        }
        Reach::ParentSoft { until, .. } => (Hold::ParentSoft, Some(waited_for(until))),
    };
    trace.note(Gate::Reachable, false, || match around.reach {
        Reach::ParentDown(parent) => format!("it depends on {parent}, which is down").into(),
        Reach::ParentSoft { parent, .. } => {
            format!("it depends on {parent}, which may be about to go down").into()
        }
        _ => "its agent is DOWN, which is told instead".into(),
    });
    held(true, hold, until)
}

fn not_acknowledged(around: &Surroundings<'_>, state: &CheckState, trace: &mut Trace) -> Option<Held> {
    let Some(acknowledgement) = state.acknowledgement.as_deref().filter(|it| !it.is_expired(around.now))
    else {
        trace.note(Gate::NotAcknowledged, true, || "nobody has acknowledged it".into());
        return None;
    };
    trace.note(Gate::NotAcknowledged, false, || {
        format!("{} is on it: {}", acknowledgement.by, acknowledgement.comment).into()
    });
    held(true, Hold::Acknowledged, acknowledgement.expires_at)
}

fn not_in_downtime(around: &Surroundings<'_>, _: &CheckState, trace: &mut Trace) -> Option<Held> {
    let Some(planned) = around.downtime else {
        trace.note(Gate::NotInDowntime, true, || "no downtime is planned now".into());
        return None;
    };
    trace.note(Gate::NotInDowntime, false, || match planned.comment {
        "" => format!("in downtime until {}", planned.until).into(),
        comment => format!("in downtime until {}: {comment}", planned.until).into(),
    });
    held(true, Hold::Downtime, Some(planned.until))
}

fn not_flapping(_: &Surroundings<'_>, state: &CheckState, trace: &mut Trace) -> Option<Held> {
    let flapping = state.flapping.is_flapping();
    trace.note(Gate::NotFlapping, !flapping, || match flapping {
        true => format!("it flaps: {:.1} % of changes", state.flapping.percent()).into(),
        false => "it does not flap".into(),
    });
    held(flapping, Hold::Flapping, None)
}

fn not_inhibited(around: &Surroundings<'_>, _: &CheckState, trace: &mut Trace) -> Option<Held> {
    let inhibited = around.inhibited_by;
    trace.note(Gate::NotInhibited, inhibited.is_none(), || match inhibited {
        Some(source) => format!("{source} has a problem that says more").into(),
        None => "no other problem inhibits it".into(),
    });
    held(inhibited.is_some(), Hold::Inhibited, None)
}

fn held(is_held: bool, hold: Hold, until: Option<Timestamp>) -> Option<Held> {
    is_held.then_some(Held { hold, until })
}

/// After a hold, waits for a fresh result that is due soon. Notes in the state until when.
pub(super) fn settle(
    around: &Surroundings<'_>,
    state: &mut CheckState,
    fresh: bool,
    trace: &mut Trace,
) -> Option<Held> {
    let was_held = state.held.is_some_and(Hold::settles);
    if was_held && !fresh && state.settle_until.is_none() {
        state.settle_until = around.fresh_by.filter(|by| *by > around.now && by.since(around.now) <= SETTLE);
    }
    let until = state.settle_until.filter(|until| was_held && !fresh && *until > around.now);
    if until.is_none() {
        state.settle_until = None;
    }
    trace.note(Gate::Settled, until.is_none(), || match until {
        Some(until) => format!("a hold is over; a fresh result is waited for until {until}").into(),
        None => "no fresh result is waited for".into(),
    });
    held(until.is_some(), Hold::Settling, until)
}

/// The trace of one look; nothing is written when nobody will read it.
#[derive(Debug, Default)]
pub(super) struct Trace {
    wanted: bool,
    pub(super) gates: Vec<GateTrace>,
}

impl Trace {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, gates: Vec::new() }
    }

    pub(super) fn note(&mut self, gate: Gate, passed: bool, why: impl FnOnce() -> Cow<'static, str>) {
        if self.wanted {
            self.gates.push(GateTrace::new(gate, passed, why()));
        }
    }

    pub(super) fn note_of(
        &mut self,
        (route, channel): (Option<RouteId>, Option<ChannelId>),
        gate: Gate,
        passed: bool,
        why: impl FnOnce() -> Cow<'static, str>,
    ) {
        if self.wanted {
            self.gates.push(GateTrace::new(gate, passed, why()).of(route, channel));
        }
    }
}
