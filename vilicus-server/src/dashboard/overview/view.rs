//! What the page shows, made of what the store holds: words and numbers, no HTML.

use std::collections::{BTreeMap, BTreeSet};

use vilicus_core::{AgentId, CheckId, StateType, Status, Timestamp};
use vilicus_store::inventory::Channel;
use vilicus_store::query::{AgentState, AgentView, CheckView};

use super::filter::{Filter, Handling};
use crate::dashboard::words::{Age, Mark, age, visible};

/// Up to so many checks each agent is shown with all of its own.
const FEW: usize = 100;
/// So many problems of each kind are on the first page; the list has the rest.
const MOST_PROBLEMS: usize = 100;
/// So many lines a page of a list has.
const PAGE: usize = 200;
/// The most tags that are offered.
const MOST_TAGS: usize = 100;

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
    /// Whether an acknowledgement is offered.
    pub(super) is_unhandled: bool,
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

/// One agent in a list of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AgentRow {
    pub(super) id: AgentId,
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) contact: String,
    pub(super) tags: String,
    pub(super) counts: Vec<Count>,
}

/// How many checks have a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) mark: Mark,
    pub(super) number: usize,
    /// The status as an address says it.
    pub(super) word: String,
}

/// Problems that are handled alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) handled: &'static str,
    pub(super) lines: Vec<CheckLine>,
    pub(super) total: usize,
}

/// What is shown below the problems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listing {
    /// Few checks: each agent with all of its own.
    Blocks(Vec<AgentBlock>),
    /// Many checks: one line an agent, and how many lines there are.
    Agents(Vec<AgentRow>, usize),
    /// Those that were asked for.
    Checks(Vec<CheckLine>, usize),
}

/// The whole page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overview {
    pub(super) now: Timestamp,
    pub(super) notices: Vec<Notice>,
    pub(super) counts: Vec<Count>,
    pub(super) groups: Vec<Group>,
    pub(super) listing: Listing,
    pub(super) tags: Vec<String>,
    problems: usize,
    agents: usize,
    worst: Option<Mark>,
}

/// What everybody should see first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) class: &'static str,
    pub(super) words: String,
}

impl Overview {
    pub(super) fn new(
        agents: &[AgentView],
        checks: &[CheckView],
        channels: &[impl AsRef<Channel>],
        waiting: &[String],
        filter: &Filter,
        now: Timestamp,
    ) -> Self {
        let problems: Vec<&CheckView> =
            checks.iter().filter(|view| view.state.status.is_some_and(Status::is_problem)).collect();
        let listing = if filter.is_narrow() {
            let wanted = checks.iter().filter(|view| filter.takes(view)).collect();
            listed(wanted, filter, now)
        } else if checks.len() <= FEW && !filter.is_grid() {
            Listing::Blocks(blocks(agents, checks, now))
        } else {
            agent_rows(agents, checks, filter, now)
        };
        Self {
            now,
            notices: notices(channels, waiting),
            counts: counts(checks.iter()),
            groups: if filter.is_narrow() { Vec::new() } else { groups(&problems, now) },
            listing,
            tags: tags(checks),
            problems: problems.len(),
            agents: agents.len(),
            worst: problems.iter().map(|view| view.state.status).max().map(Mark::of),
        }
    }

    /// The headline: what is most important.
    pub(super) fn headline(&self) -> String {
        match (self.problems, self.agents) {
            (0, 0) => "Nothing is watched yet".to_owned(),
            (0, _) => "No problems".to_owned(),
            (1, _) => "1 problem".to_owned(),
            (count, _) => format!("{count} problems"),
        }
    }

    /// The headline for a tab that is not looked at.
    pub(super) fn title(&self) -> String {
        match self.worst {
            Some(worst) => format!("{} {}", worst.symbol, self.headline()),
            None => self.headline(),
        }
    }

    /// How many pages the list has.
    pub(super) fn pages(&self) -> usize {
        match &self.listing {
            Listing::Blocks(_) => 1,
            Listing::Agents(_, total) | Listing::Checks(_, total) => total.div_ceil(PAGE).max(1),
        }
    }
}

/// How many checks have each status, the worst first; those that none has are left out.
fn counts<'a>(checks: impl Iterator<Item = &'a CheckView> + Clone) -> Vec<Count> {
    let statuses =
        [Some(Status::Critical), Some(Status::Unknown), Some(Status::Warning), Some(Status::Ok), None];
    let count = |status: Option<Status>| {
        let mark = Mark::of(status);
        let number = checks.clone().filter(|view| view.state.status == status).count();
        Count { mark, number, word: mark.word.to_lowercase() }
    };
    statuses.into_iter().map(count).filter(|count| count.number > 0).collect()
}

/// Problems: those that nobody cares for first; the worst first in each, the newest last.
fn groups(problems: &[&CheckView], now: Timestamp) -> Vec<Group> {
    let kinds = [
        (Handling::Unhandled, "Problems"),
        (Handling::Acknowledged, "Acknowledged"),
        (Handling::Downtime, "In downtime"),
    ];
    let group = |(handling, title): (Handling, &'static str)| {
        let mut views: Vec<_> =
            problems.iter().copied().filter(|view| Handling::of(view) == handling).collect();
        views.sort_by_key(|view| worst_first(view));
        let lines = views.iter().take(MOST_PROBLEMS).map(|view| CheckLine::new(view, now)).collect();
        Group { title, handled: handling.as_str(), lines, total: views.len() }
    };
    kinds.into_iter().map(group).filter(|group| group.total > 0).collect()
}

fn worst_first(view: &CheckView) -> (std::cmp::Reverse<Option<Status>>, Option<Timestamp>) {
    (std::cmp::Reverse(view.state.status), view.state.since)
}

fn listed(mut views: Vec<&CheckView>, filter: &Filter, now: Timestamp) -> Listing {
    match filter.sort.as_str() {
        "name" => {
            views.sort_by(|a, b| (&a.agent.name, &a.check.name).cmp(&(&b.agent.name, &b.check.name)));
        }
        "age" => views.sort_by_key(|view| std::cmp::Reverse(view.state.since)),
        _ => views.sort_by_key(|view| worst_first(view)),
    }
    let shown = views.iter().skip(filter.page().saturating_mul(PAGE)).take(PAGE);
    Listing::Checks(shown.map(|view| CheckLine::new(view, now)).collect(), views.len())
}

fn by_agent(checks: &[CheckView]) -> BTreeMap<AgentId, Vec<&CheckView>> {
    let mut by_agent: BTreeMap<AgentId, Vec<&CheckView>> = BTreeMap::new();
    for view in checks {
        by_agent.entry(view.agent.id).or_default().push(view);
    }
    by_agent
}

fn blocks(agents: &[AgentView], checks: &[CheckView], now: Timestamp) -> Vec<AgentBlock> {
    let mut checks = by_agent(checks);
    let mut block = |agent: &AgentView| {
        let own = checks.remove(&agent.agent.id).unwrap_or_default();
        AgentBlock::new(agent, own.into_iter().map(|view| CheckLine::new(view, now)).collect(), now)
    };
    let mut blocks: Vec<_> = agents.iter().map(&mut block).collect();
    blocks.sort_by(|one, other| one.name.cmp(&other.name));
    blocks
}

fn agent_rows(agents: &[AgentView], checks: &[CheckView], filter: &Filter, now: Timestamp) -> Listing {
    let checks = by_agent(checks);
    let own = |agent: &AgentView| checks.get(&agent.agent.id).map_or(&[][..], Vec::as_slice);
    let mut sorted: Vec<&AgentView> = agents.iter().collect();
    sorted.sort_by(|one, other| one.agent.name.cmp(&other.agent.name));
    if filter.sort != "name" {
        let worst = |agent: &&AgentView| own(agent).iter().map(|view| view.state.status).max();
        sorted.sort_by_key(|agent| {
            let problem = worst(agent).flatten().filter(|status| status.is_problem());
            std::cmp::Reverse((agent.state == AgentState::Down, problem))
        });
    }
    let row = |agent: &AgentView| AgentRow {
        id: agent.agent.id,
        name: visible(&agent.agent.name),
        mark: Mark::of_agent(agent.state),
        contact: contact(agent, now),
        tags: visible(&agent.agent.tags.join(", ")),
        counts: counts(own(agent).iter().copied()),
    };
    let shown = sorted.iter().skip(filter.page().saturating_mul(PAGE)).take(PAGE);
    Listing::Agents(shown.map(|agent| row(agent)).collect(), sorted.len())
}

/// The tags that there are, for the filter; those of very many are left to the search.
fn tags(checks: &[CheckView]) -> Vec<String> {
    let tags = checks.iter().flat_map(|view| view.check.tags.iter().chain(&view.agent.tags));
    let tags: BTreeSet<&String> = tags.collect();
    tags.into_iter().take(MOST_TAGS).map(|tag| visible(tag)).collect()
}

fn contact(agent: &AgentView, now: Timestamp) -> String {
    match agent.contact.last {
        Some(last) => format!("last contact {} ago", age(now.since(last))),
        None => "no contact yet".to_owned(),
    }
}

impl AgentBlock {
    fn new(view: &AgentView, mut checks: Vec<CheckLine>, now: Timestamp) -> Self {
        checks.sort_by(|one, other| one.name.cmp(&other.name));
        Self {
            id: view.agent.id,
            name: visible(&view.agent.name),
            mark: Mark::of_agent(view.state),
            contact: contact(view, now),
            tags: visible(&view.agent.tags.join(", ")),
            version: visible(view.agent.version.as_deref().unwrap_or("")),
            checks,
        }
    }
}

impl CheckLine {
    fn new(view: &CheckView, now: Timestamp) -> Self {
        let (check, state) = (&view.check, &view.state);
        let moment = |at: Timestamp| Age::since(at, now);
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
            is_unhandled: state.status.is_some_and(Status::is_problem)
                && Handling::of(view) == Handling::Unhandled,
        }
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
        (view.state.acknowledgement.is_some(), "acknowledged"),
        (view.downtime_until.is_some(), "in downtime"),
    ];
    let set: Vec<_> = flags.into_iter().filter_map(|(set, word)| set.then_some(word)).collect();
    set.join(", ")
}

fn notices(channels: &[impl AsRef<Channel>], waiting: &[String]) -> Vec<Notice> {
    let paused =
        channels.iter().map(AsRef::as_ref).filter_map(|channel| Some((channel, channel.paused.as_ref()?)));
    let notice = |(channel, pause): (&Channel, &vilicus_store::inventory::Pause)| {
        let (name, fault) = (visible(&channel.name), visible(&pause.fault));
        let words = format!("Channel {name} tells nobody since {}: {fault}", pause.since);
        Notice { class: "bad", words }
    };
    let waits = |name: &String| Notice {
        class: "",
        words: format!("{} waits to be let in: see its page", visible(name)),
    };
    paused.map(notice).chain(waiting.iter().map(waits)).collect()
}
