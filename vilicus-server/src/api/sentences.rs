//! What happened, and why nobody was told, in sentences that need no manual: for the audit trail and for `explain`.

use std::collections::HashMap;
use std::sync::Arc;

use vilicus_core::acknowledgement::AcknowledgementEnd;
use vilicus_core::event::{Action, Cause, Happening};
use vilicus_core::heartbeat::Signal;
use vilicus_core::judge::Change;
use vilicus_core::judge::gates::{GateTrace, Hold};
use vilicus_core::{AgentId, ChannelId, CheckId, Event, RouteId, StateType};

use super::AppState;
use super::check_body::status_word;
use crate::http::Problem;

/// The most characters of an output or a note that a sentence repeats.
const QUOTED: usize = 200;

/// How the things that sentences speak of are called now.
#[derive(Debug, Default)]
pub(super) struct Names {
    agents: HashMap<AgentId, String>,
    checks: HashMap<CheckId, String>,
    channels: HashMap<ChannelId, String>,
    routes: HashMap<RouteId, String>,
}

impl Names {
    /// The names of the channels and routes, of which there are few.
    pub(super) async fn new(state: &AppState) -> Result<Self, Problem> {
        let channels = state.store().channels().await?;
        let routes = state.store().routes().await?;
        Ok(Self {
            channels: channels.iter().map(|channel| (channel.id, channel.name.clone())).collect(),
            routes: routes.into_iter().map(|route| (route.id, route.name)).collect(),
            ..Self::default()
        })
    }

    /// All names that these events need.
    pub(super) async fn of(state: &AppState, events: &[Arc<Event>]) -> Result<Self, Problem> {
        let mut names = Self::new(state).await?;
        for event in events {
            if let Some(check) = event.check.filter(|check| !names.checks.contains_key(check))
                && let Some(view) = state.store().check(check).await?
            {
                names.checks.insert(check, format!("{} / {}", view.agent.name, view.check.name));
            }
            if let Some(agent) = event.agent.filter(|agent| !names.agents.contains_key(agent))
                && let Some(view) = state.store().agent(agent).await?
            {
                names.agents.insert(agent, view.agent.name.clone());
            }
        }
        Ok(names)
    }

    /// What an event is about: a check, an agent, or nothing of both.
    fn subject(&self, event: &Event) -> String {
        match (event.check, event.agent) {
            (Some(check), _) => self.checks.get(&check).cloned().unwrap_or_else(|| format!("check {check}")),
            (None, Some(agent)) => {
                self.agents.get(&agent).cloned().unwrap_or_else(|| format!("agent {agent}"))
            }
            (None, None) => "the server".to_owned(),
        }
    }

    /// A channel by its name, else by its id.
    pub(super) fn channel(&self, id: ChannelId) -> String {
        self.channels.get(&id).map_or_else(|| format!("channel {id}"), |name| format!("channel '{name}'"))
    }

    /// A route by its name, else by its id.
    pub(super) fn route(&self, id: RouteId) -> String {
        self.routes.get(&id).map_or_else(|| format!("route {id}"), |name| format!("route '{name}'"))
    }
}

/// The event in one sentence.
pub(super) fn of_event(event: &Event, names: &Names) -> String {
    let subject = names.subject(event);
    match &event.what {
        Happening::State { change, cause, output, held, trace, .. } => {
            let held =
                held.map_or_else(String::new, |hold| format!("; nobody is told: {}", reason(hold, trace)));
            format!("{subject} {}{}{held}", became(change, *cause), quoted(output))
        }
        Happening::Telling { told: 0, held, trace } => match held {
            Some(hold) => format!("the problem of {subject} is not told: {}", reason(*hold, trace)),
            None => format!("nobody needs to be told of {subject}"),
        },
        Happening::Telling { told: 1, .. } => format!("one channel is told of {subject}"),
        Happening::Telling { told, .. } => format!("{told} channels are told of {subject}"),
        Happening::Flapping(turn) if turn.flapping => {
            format!("{subject} flaps: {:.1} % of its last results were changes", turn.percent)
        }
        Happening::Flapping(turn) => format!("{subject} no longer flaps: {:.1} % changes", turn.percent),
        Happening::Acknowledged { by, comment, sticky, expires_at, public: _ } => {
            let sticky = if *sticky { ", up to its recovery" } else { "" };
            let expires = expires_at.map_or_else(String::new, |end| format!(", until {end}"));
            format!("{by} is on {subject}{sticky}{expires}{}", quoted(comment))
        }
        Happening::AcknowledgementEnded { why, by } => {
            format!("nobody is on {subject} any longer: {}", ended(*why, by.as_deref()))
        }
        Happening::Downtime { began, comment, until, .. } => {
            let of = event.check.map_or_else(String::new, |_| format!(" of {subject}"));
            let until = until.map_or_else(String::new, |until| format!(", until {until}"));
            format!("a downtime{of} {}{until}{}", if *began { "began" } else { "ended" }, quoted(comment))
        }
        Happening::Ping { signal, body } => format!("{subject} {}{}", said(*signal), quoted(body)),
        Happening::Notification { notification, channel, outcome } => {
            format!("message {notification} to {} was {outcome}", names.channel(*channel))
        }
        Happening::Channel { channel, fault: Some(fault) } => {
            format!("{} is paused, nothing passes{}", names.channel(*channel), quoted(fault))
        }
        Happening::Channel { channel, fault: None } => format!("{} works again", names.channel(*channel)),
        Happening::Configuration { action, object, name, by } => {
            format!("{by} {} {object} '{name}'", done(*action))
        }
        _ => format!("something happened to {subject}"),
    }
}

/// `is CRITICAL, was OK`, with what made it so when that was no result.
fn became(change: &Change, cause: Cause) -> String {
    let sure = match change.state_type {
        StateType::Hard => "",
        StateType::Soft => ", not confirmed yet",
    };
    let cause = match cause {
        Cause::Result => "",
        Cause::Stale => ": no result came in time",
        Cause::Silent => ": the agent is silent",
        Cause::Contact => ": the agent is back",
        Cause::Ping => ": its job said so",
        Cause::Missed => ": its job said nothing in time",
    };
    format!("is {}, was {}{sure}{cause}", change.to, status_word(change.from))
}

fn ended(why: AcknowledgementEnd, by: Option<&str>) -> String {
    match why {
        AcknowledgementEnd::StatusChanged => "its status changed".to_owned(),
        AcknowledgementEnd::Recovered => "it recovered".to_owned(),
        AcknowledgementEnd::Expired => "the acknowledgement expired".to_owned(),
        AcknowledgementEnd::TakenBack => format!("{} took the acknowledgement back", by.unwrap_or("someone")),
    }
}

fn said(signal: Signal) -> String {
    match signal {
        Signal::Start => "began a run".to_owned(),
        Signal::Success => "ended a run well".to_owned(),
        Signal::Fail => "failed".to_owned(),
        Signal::Log => "left a note".to_owned(),
        Signal::Exit(code) => format!("ended with exit status {code}"),
    }
}

fn done(action: Action) -> &'static str {
    match action {
        Action::Create => "created",
        Action::Update => "changed",
        Action::Delete => "removed",
    }
}

/// The first line of a text behind a colon; nothing of an empty one.
fn quoted(text: &str) -> String {
    let line = text.lines().next().unwrap_or("").trim();
    if line.is_empty() {
        return String::new();
    }
    let short: String = line.chars().take(QUOTED).collect();
    let more = if short.len() < line.len() { "…" } else { "" };
    format!(": {short}{more}")
}

/// Why a problem is not told: in the words of the gate that is closed, which know more than its name.
pub(super) fn reason(hold: Hold, trace: &[GateTrace]) -> String {
    let closed = trace.iter().find(|gate| gate.gate == hold.gate() && !gate.passed);
    closed.map_or_else(|| usual(hold).to_owned(), |gate| gate.why.clone().into_owned())
}

fn usual(hold: Hold) -> &'static str {
    match hold {
        Hold::Disabled => "its notifications are switched off",
        Hold::Soft => "it is not confirmed yet",
        Hold::Unreachable => "its agent, or a check that it depends on, is down",
        Hold::ParentSoft => "a check that it depends on may be about to go down",
        Hold::Acknowledged => "someone is on it",
        Hold::Downtime => "a downtime was planned",
        Hold::Flapping => "it changes too often",
        Hold::Inhibited => "another problem says more",
        Hold::Settling => "a fresh result is waited for",
        Hold::NoRoute => "no route leads to anybody",
        Hold::Schedule => "the schedule of its route is closed now",
        Hold::NotWanted => "its route does not want this status",
        Hold::TooYoung => "it is too young for its route",
        _ => "it is held back",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::judge::flapping::Turn;
    use vilicus_core::judge::gates::Gate;
    use vilicus_core::{EventId, NotificationId, Status, Timestamp};

    const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn sentence(what: Happening) -> String {
        let check = CheckId::new(7).unwrap();
        let mut names = Names::default();
        names.checks.insert(check, "web-1 / disk".to_owned());
        names.channels.insert(ChannelId::new(3).unwrap(), "mail".to_owned());
        let id = EventId::new(1).unwrap();
        of_event(&Event { id, at: AT, recorded_at: AT, agent: None, check: Some(check), what }, &names)
    }

    #[test]
    fn everything_that_happens_has_its_sentence() {
        let change = Change {
            from: Some(Status::Ok),
            to: Status::Critical,
            state_type: StateType::Hard,
            hard_from: Some(Status::Ok),
            at: AT,
        };
        let trace = vec![GateTrace::new(Gate::NotAcknowledged, false, "ann is on it: fan")];
        let state = |held, trace| Happening::State {
            change,
            cause: Cause::Result,
            attempt: 3,
            output: "97 % full\nmore".to_owned(),
            held,
            trace,
        };
        for (what, expected) in [
            (state(None, Vec::new()), "web-1 / disk is CRITICAL, was OK: 97 % full"),
            (
                state(Some(Hold::Acknowledged), trace.clone()),
                "web-1 / disk is CRITICAL, was OK: 97 % full; nobody is told: ann is on it: fan",
            ),
            (
                Happening::Telling { told: 0, held: Some(Hold::Downtime), trace },
                "the problem of web-1 / disk is not told: a downtime was planned",
            ),
            (
                Happening::Telling { told: 2, held: None, trace: Vec::new() },
                "2 channels are told of web-1 / disk",
            ),
            (
                Happening::Flapping(Turn { flapping: true, percent: 33.9 }),
                "web-1 / disk flaps: 33.9 % of its last results were changes",
            ),
            (
                Happening::Acknowledged {
                    by: "ann".to_owned(),
                    comment: "fan".to_owned(),
                    sticky: true,
                    expires_at: None,
                    public: false,
                },
                "ann is on web-1 / disk, up to its recovery: fan",
            ),
            (
                Happening::AcknowledgementEnded {
                    why: AcknowledgementEnd::TakenBack,
                    by: Some("bob".to_owned()),
                },
                "nobody is on web-1 / disk any longer: bob took the acknowledgement back",
            ),
            (
                Happening::Ping { signal: Signal::Exit(3), body: String::new() },
                "web-1 / disk ended with exit status 3",
            ),
            (
                Happening::Notification {
                    notification: NotificationId::new(9).unwrap(),
                    channel: ChannelId::new(3).unwrap(),
                    outcome: "sent".to_owned(),
                },
                "message 9 to channel 'mail' was sent",
            ),
            (
                Happening::Configuration {
                    action: Action::Delete,
                    object: "route".to_owned(),
                    name: "ops".to_owned(),
                    by: "ann".to_owned(),
                },
                "ann removed route 'ops'",
            ),
        ] {
            assert_eq!(sentence(what), expected);
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let sentence = sentence(Happening::Ping { signal: Signal::Log, body: "ä".repeat(1000) });
        assert!(sentence.ends_with('…') && sentence.chars().count() < QUOTED + 50, "{sentence}");
    }
}
