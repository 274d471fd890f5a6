//! The gates of the routes: which channel is told of a problem now, and when time alone will make it so.
//!
//! route matches → its schedule is open → the status is wanted → the problem is old enough → it is news, or to be told
//! again. A channel hears of a problem through the first route, in their order, whose gates it passes.

use crate::id::ChannelId;
use crate::judge::gates::{Gate, Hold, Trace};
use crate::judge::telling::{Due, DueReason, Surroundings};
use crate::route::{Pacing, Route, grouping, taken};
use crate::state::{CheckState, Told};
use crate::status::Status;
use crate::time::{Millis, Timestamp};

/// A channel that is to be told, and how.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Destination<'a> {
    pub(super) channel: ChannelId,
    pub(super) route: Option<&'a Route>,
    pub(super) step: u32,
    pub(super) group: String,
    pub(super) pacing: Pacing,
}

/// Where a problem is to be told now; what keeps it from being told elsewhere; when that changes by itself.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub(super) destinations: Vec<Destination<'a>>,
    pub(super) hold: Option<Hold>,
    pub(super) next: Option<Due>,
}

impl<'a> Found<'a> {
    fn later(&mut self, at: Timestamp, reason: DueReason) {
        let due = Due { at, reason };
        if self.next.is_none_or(|next| due.at < next.at) {
            self.next = Some(due);
        }
    }

    /// Notes what a gate said: the first that is closed is why nobody is told.
    fn close(&mut self, open: bool, hold: Hold) -> bool {
        if !open {
            self.hold = self.hold.or(Some(hold));
        }
        open
    }

    fn of(&mut self, channel: ChannelId) -> Option<&mut Destination<'a>> {
        self.destinations.iter_mut().find(|destination| destination.channel == channel)
    }
}

/// Looks for the channels that are to be told of the problem `status`. `again` wants it told even if it is no news.
pub(super) fn find<'a>(
    around: &Surroundings<'a>,
    state: &CheckState,
    status: Status,
    again: bool,
    trace: &mut Trace,
) -> Found<'a> {
    let mut found = Found::default();
    match around.routes {
        None => implicit(around, state, status, again, trace, &mut found),
        Some(routes) => {
            let labels = around.labels.with_status(Some(status));
            let (mut any, mut leads) = (false, false);
            for route in taken(routes, labels) {
                any = true;
                leads |= leads_to(route, around.channels);
                trace.note_of((Some(route.id), None), Gate::Route, true, || {
                    format!("route '{}' matches", route.name).into()
                });
                by_route(around, state, status, again, route, trace, &mut found);
            }
            for route in taken(routes, labels) {
                raise_steps(around, state, status, again, route, &mut found);
            }
            if !any {
                trace.note(Gate::Route, false, || "no route matches".into());
            } else if !leads {
                trace.note(Gate::Route, false, || {
                    "no route that matches has a channel that is switched on".into()
                });
            }
            if !leads {
                found.hold = Some(Hold::NoRoute);
            }
        }
    }
    found
}

/// Whether a step of the route tells a channel that is switched on; `channels` are in order.
fn leads_to(route: &Route, channels: &[ChannelId]) -> bool {
    route.steps().any(|(.., own)| own.iter().any(|channel| channels.binary_search(channel).is_ok()))
}

/// With no routes, every channel is told of everything.
fn implicit(
    around: &Surroundings<'_>,
    state: &CheckState,
    status: Status,
    again: bool,
    trace: &mut Trace,
    found: &mut Found<'_>,
) {
    trace.note(Gate::Route, !around.channels.is_empty(), || match around.channels {
        [] => "there is no channel that is switched on".into(),
        _ => "there are no routes, so every channel is told".into(),
    });
    if around.channels.is_empty() {
        found.hold = Some(Hold::NoRoute);
    }
    for &channel in around.channels {
        let told = state.told(channel);
        let news = again || told.is_none_or(|told| told.status != status);
        trace.note_of((None, Some(channel)), Gate::Repeat, news, || news_words(news, told).into());
        if news {
            let (group, pacing) = (grouping::of_check(around.check), Pacing::NONE);
            found.destinations.push(Destination { channel, route: None, step: 0, group, pacing });
        }
    }
}

fn by_route<'a>(
    around: &Surroundings<'a>,
    state: &CheckState,
    status: Status,
    again: bool,
    route: &'a Route,
    trace: &mut Trace,
    found: &mut Found<'a>,
) {
    for (step, after, channels) in route.steps() {
        let delay = if step == 0 { route.first_delay.unwrap_or(Millis::ZERO) } else { after };
        for &channel in channels {
            if around.channels.binary_search(&channel).is_err() {
                continue;
            }
            if found.of(channel).is_some() {
                continue;
            }
            let candidate = Candidate { route, step, delay, channel, status, again };
            if let Some(pacing) = candidate.ask(around, state, trace, found) {
                let labels = around.labels.with_status(Some(status));
                let group = grouping::of_route(route, around.check, &labels);
                found.destinations.push(Destination { channel, route: Some(route), step, group, pacing });
            }
        }
    }
}

/// One message stands for every step that is reached by now, by whatever route it goes.
fn raise_steps(
    around: &Surroundings<'_>,
    state: &CheckState,
    status: Status,
    again: bool,
    route: &Route,
    found: &mut Found<'_>,
) {
    for (step, delay, channels) in route.steps().filter(|(step, ..)| *step > 0) {
        for &channel in channels {
            let candidate = Candidate { route, step, delay, channel, status, again };
            if let Some(destination) = found.of(channel).filter(|destination| destination.step < step)
                && candidate.is_reached(around, state)
            {
                destination.step = step;
            }
        }
    }
}

/// A channel of a step of a route that may be told.
struct Candidate<'a> {
    route: &'a Route,
    step: u32,
    delay: Millis,
    channel: ChannelId,
    status: Status,
    again: bool,
}

impl Candidate<'_> {
    /// Asks the gates; the pacing of the message when all are open.
    fn ask(
        &self,
        around: &Surroundings<'_>,
        state: &CheckState,
        trace: &mut Trace,
        found: &mut Found<'_>,
    ) -> Option<Pacing> {
        let told = state.told(self.channel);
        let due = self.due(around, told);
        let is_due = due.is_some_and(|at| at <= around.now);
        // What is not due now is only traced: its gates may look otherwise when it is.
        let mut ignored = Found::default();
        let asked = if is_due { &mut *found } else { &mut ignored };
        let open = self.schedule(around, trace, asked)
            && self.is_wanted(told, trace, asked)
            && self.is_old_enough(around, state, trace, asked);
        if let Some(at) = due.filter(|at| *at > around.now) {
            found.later(at, DueReason::Repeat);
        }
        if !open {
            return None;
        }
        let place = (Some(self.route.id), Some(self.channel));
        trace.note_of(place, Gate::Repeat, is_due, || match due {
            Some(at) if !is_due => format!("told before; told again at {at}").into(),
            _ => news_words(is_due, told).into(),
        });
        let is_repeat = told.is_some_and(|told| told.status == self.status && told.step >= self.step);
        is_due.then(|| if is_repeat { Pacing::NONE } else { self.route.pacing() })
    }

    /// Whether the channel would be told by this step now, had it not been told of this status just now: so nothing is
    /// milder than what it was told.
    fn is_reached(&self, around: &Surroundings<'_>, state: &CheckState) -> bool {
        let (mut trace, mut ignored) = (Trace::default(), Found::default());
        self.due(around, state.told(self.channel)).is_some_and(|at| at <= around.now)
            && self.schedule(around, &mut trace, &mut ignored)
            && self.is_old_enough(around, state, &mut trace, &mut ignored)
    }

    /// When this channel is to be told; `None` for never, unless something changes.
    fn due(&self, around: &Surroundings<'_>, told: Option<&Told>) -> Option<Timestamp> {
        let Some(told) = told else { return Some(around.now) };
        if told.status != self.status || told.step < self.step || self.again {
            return Some(around.now);
        }
        // Lower steps repeat by the step that was reached.
        let repeat = self.route.repeat_interval.filter(|_| self.is_last_of(told))?;
        let last = (around.last_message)(self.channel, &told.group).map_or(told.at, |last| last.max(told.at));
        // News of others in its group puts the repeat off, and not for ever.
        Some(last.after(repeat).min(told.at.after(repeat.times(2))))
    }

    /// Whether no later step that was reached is there to tell this channel again. Steps may have been taken away.
    fn is_last_of(&self, told: &Told) -> bool {
        let reached = |(step, _, channels): &(u32, Millis, &[ChannelId])| {
            *step <= told.step && channels.contains(&self.channel)
        };
        self.route.steps().filter(reached).all(|(step, ..)| step <= self.step)
    }

    fn schedule(&self, around: &Surroundings<'_>, trace: &mut Trace, found: &mut Found<'_>) -> bool {
        let place = (Some(self.route.id), Some(self.channel));
        let Some(schedule) = &self.route.schedule else {
            trace.note_of(place, Gate::Schedule, true, || "the route has no schedule".into());
            return true;
        };
        let open = schedule.contains(around.now);
        let next = if open { None } else { schedule.next_open(around.now) };
        trace.note_of(place, Gate::Schedule, open, || match next {
            Some(next) => format!("closed until {next}: {schedule}").into(),
            None => format!("open: {schedule}").into(),
        });
        if let Some(next) = next {
            found.later(next, DueReason::ScheduleOpens);
        }
        found.close(open, Hold::Schedule)
    }

    fn is_wanted(&self, told: Option<&Told>, trace: &mut Trace, found: &mut Found<'_>) -> bool {
        let milder = told.is_some_and(|told| self.status < told.status);
        let wanted = !(self.route.only_worse && milder);
        trace.note_of((Some(self.route.id), Some(self.channel)), Gate::Status, wanted, || match wanted {
            true => "the route wants this status".into(),
            false => "the route tells only what is worse than before".into(),
        });
        found.close(wanted, Hold::NotWanted)
    }

    fn is_old_enough(
        &self,
        around: &Surroundings<'_>,
        state: &CheckState,
        trace: &mut Trace,
        found: &mut Found<'_>,
    ) -> bool {
        let from = state.hard_since.unwrap_or(around.now).after(self.delay);
        let old = from <= around.now;
        let place = (Some(self.route.id), Some(self.channel));
        trace.note_of(place, Gate::FirstDelay, old, || match (old, self.step) {
            (true, _) => "the problem is old enough".into(),
            (false, 0) => format!("told from {from} on").into(),
            (false, step) => format!("step {step} of the escalation is reached at {from}").into(),
        });
        if !old {
            found.later(from, if self.step == 0 { DueReason::FirstDelay } else { DueReason::Escalation });
        }
        // That a later step is not reached yet holds nothing back.
        found.close(old || self.step > 0, Hold::TooYoung) && old
    }
}

fn news_words(news: bool, told: Option<&Told>) -> &'static str {
    match (news, told) {
        (true, None) => "it is news",
        (true, Some(_)) => "it is to be told again, or differs from what was told",
        (false, _) => "it was told already",
    }
}
