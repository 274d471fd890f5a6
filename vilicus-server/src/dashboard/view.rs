//! What the page shows, made of what the store holds: words and numbers, no HTML.

use std::collections::BTreeMap;

use vilicus_core::{AgentId, CheckId, Millis, StateType, Status, Timestamp};
use vilicus_store::inventory::Channel;
use vilicus_store::query::{AgentState, AgentView, CheckView};

/// A state as colour (a class), shape (a symbol) and word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) class: &'static str,
    pub(super) symbol: &'static str,
    pub(super) word: &'static str,
}

impl Mark {
    const PENDING: Self = Self { class: "pending", symbol: "…", word: "PENDING" };

    fn of(status: Option<Status>) -> Self {
        match status {
            None => Self::PENDING,
            Some(Status::Ok) => Self { class: "ok", symbol: "✔", word: "OK" },
            Some(Status::Warning) => Self { class: "warning", symbol: "▲", word: "WARNING" },
            Some(Status::Unknown) => Self { class: "unknown", symbol: "?", word: "UNKNOWN" },
            Some(Status::Critical) => Self { class: "critical", symbol: "✖", word: "CRITICAL" },
        }
    }

    fn of_agent(state: AgentState) -> Self {
        match state {
            AgentState::Pending => Self::PENDING,
            AgentState::Up => Self { class: "ok", symbol: "✔", word: "UP" },
            AgentState::Down => Self { class: "critical", symbol: "✖", word: "DOWN" },
        }
    }
}

/// A moment, and how long ago it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Age {
    pub(super) at: Timestamp,
    pub(super) age: String,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CheckLine {
    pub(super) id: CheckId,
    pub(super) agent: String,
    pub(super) name: String,
    pub(super) mark: Mark,
    /// How sure it is, when it is not.
    pub(super) sureness: String,
    /// What else is to be known, as that it is stale.
    pub(super) flags: String,
    pub(super) since: Option<Age>,
    pub(super) last: Option<Age>,
    pub(super) output: String,
    pub(super) long_output: String,
    status: Option<Status>,
}

/// One agent with its checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AgentBlock {
    pub(super) id: AgentId,
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) contact: String,
    pub(super) tags: String,
    pub(super) version: String,
    pub(super) checks: Vec<CheckLine>,
}

/// How many checks have a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) mark: Mark,
    pub(super) number: usize,
}

/// The whole page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overview {
    pub(super) now: Timestamp,
    pub(super) notices: Vec<String>,
    pub(super) problems: Vec<CheckLine>,
    pub(super) agents: Vec<AgentBlock>,
}

impl Overview {
    pub(super) fn new(
        agents: &[AgentView],
        checks: &[CheckView],
        channels: &[impl AsRef<Channel>],
        now: Timestamp,
    ) -> Self {
        let mut by_agent: BTreeMap<AgentId, Vec<CheckLine>> = BTreeMap::new();
        for check in checks {
            by_agent.entry(check.agent.id).or_default().push(CheckLine::new(check, now));
        }
        let mut problems: Vec<_> =
            by_agent.values().flatten().filter(|line| line.is_problem()).cloned().collect();
        problems
            .sort_by_key(|line| (std::cmp::Reverse(line.status), line.since.as_ref().map(|since| since.at)));
        let mut agents: Vec<_> = agents
            .iter()
            .map(|agent| AgentBlock::new(agent, by_agent.remove(&agent.agent.id).unwrap_or_default(), now))
            .collect();
        agents.sort_by(|one, other| one.name.cmp(&other.name));
        Self { now, notices: notices(channels), problems, agents }
    }

    /// The headline: what is most important.
    pub(super) fn headline(&self) -> String {
        match (self.problems.len(), self.agents.len()) {
            (0, 0) => "Nothing is watched yet".to_owned(),
            (0, _) => "No problems".to_owned(),
            (1, _) => "1 problem".to_owned(),
            (count, _) => format!("{count} problems"),
        }
    }

    /// The headline for a tab that is not looked at.
    pub(super) fn title(&self) -> String {
        match self.problems.first() {
            Some(worst) => format!("{} {}", worst.mark.symbol, self.headline()),
            None => self.headline(),
        }
    }

    /// How many checks have each status, the worst first; those that none has are left out.
    pub(super) fn counts(&self) -> Vec<Count> {
        let statuses =
            [Some(Status::Critical), Some(Status::Unknown), Some(Status::Warning), Some(Status::Ok), None];
        let lines = || self.agents.iter().flat_map(|agent| &agent.checks);
        statuses
            .into_iter()
            .map(|status| Count {
                mark: Mark::of(status),
                number: lines().filter(|line| line.status == status).count(),
            })
            .filter(|count| count.number > 0)
            .collect()
    }
}

impl AgentBlock {
    fn new(view: &AgentView, mut checks: Vec<CheckLine>, now: Timestamp) -> Self {
        checks.sort_by(|one, other| one.name.cmp(&other.name));
        Self {
            id: view.agent.id,
            name: visible(&view.agent.name),
            mark: Mark::of_agent(view.state),
            contact: match view.contact.last {
                Some(last) => format!("last contact {} ago", age(now.since(last))),
                None => "no contact yet".to_owned(),
            },
            tags: visible(&view.agent.tags.join(", ")),
            version: visible(view.agent.version.as_deref().unwrap_or("")),
            checks,
        }
    }
}

impl CheckLine {
    fn new(view: &CheckView, now: Timestamp) -> Self {
        let (check, state) = (&view.check, &view.state);
        let moment = |at: Timestamp| Age { at, age: age(now.since(at)) };
        let last = view.last.as_deref();
        Self {
            id: check.id,
            agent: visible(&view.agent.name),
            name: visible(&check.name),
            mark: Mark::of(state.status),
            sureness: sureness(view),
            flags: flags(view),
            since: state.since.map(moment),
            last: state.last_received_at.map(moment),
            output: last.map_or_else(String::new, |result| visible(&result.output)),
            long_output: last.map_or_else(String::new, |result| visible(&result.long_output)),
            status: state.status,
        }
    }

    fn is_problem(&self) -> bool {
        self.status.is_some_and(Status::is_problem)
    }
}

fn sureness(view: &CheckView) -> String {
    match (view.state.status, view.state.state_type) {
        (Some(status), StateType::Soft) if status.is_problem() => {
            format!("attempt {} of {}", view.state.attempt, view.policy.max_attempts)
        }
        (Some(_), StateType::Soft) => "not confirmed yet".to_owned(),
        _ => String::new(),
    }
}

fn flags(view: &CheckView) -> String {
    let flags = [
        (!view.check.enabled, "switched off"),
        (view.state.stale, "no fresh results"),
        (view.unreachable, "agent is down"),
        (!view.policy.notifications, "nobody is told"),
    ];
    let set: Vec<_> = flags.into_iter().filter_map(|(set, word)| set.then_some(word)).collect();
    set.join(", ")
}

fn notices(channels: &[impl AsRef<Channel>]) -> Vec<String> {
    let paused =
        channels.iter().map(AsRef::as_ref).filter_map(|channel| Some((channel, channel.paused.as_ref()?)));
    let notice = |(channel, pause): (&Channel, &vilicus_store::inventory::Pause)| {
        let (name, fault) = (visible(&channel.name), visible(&pause.fault));
        format!("Channel {name} tells nobody since {}: {fault}", pause.since)
    };
    paused.map(notice).collect()
}

/// A span in its largest unit, cut: `59 s`, `1 min`, `23 h`, `400 d`.
fn age(span: Millis) -> String {
    let seconds = span.get() / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The text with every control character but line ends made visible, so that nothing hides or rings.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (172_799, "47 h"), (172_800, "2 d")]
        {
            assert_eq!(age(Millis::from_secs(seconds)), text);
        }
    }

    #[test]
    fn each_status_has_a_class_a_shape_and_a_word_of_its_own() {
        let marks =
            [None, Some(Status::Ok), Some(Status::Warning), Some(Status::Unknown), Some(Status::Critical)]
                .map(Mark::of);
        for (at, mark) in marks.iter().enumerate() {
            for other in &marks[..at] {
                assert!(mark.class != other.class && mark.symbol != other.symbol && mark.word != other.word);
            }
        }
    }

    #[test]
    fn control_characters_are_seen() {
        assert_eq!(visible("a\u{0}b\u{1b}[31m\nc"), "a\u{fffd}b\u{fffd}[31m\nc");
    }
}
