//! The world around a check, as the core's telling wants to know it: labels, parents, downtimes, inhibitions, groups.
//!
//! Only reads. Who asks is `telling`, when something may have to be told, and `reads`, when someone wants to know why.

use std::sync::Arc;

use vilicus_core::downtime::{self, Begun};
use vilicus_core::judge::gates::{self, Reach};
use vilicus_core::judge::telling::{Surroundings, Watched};
use vilicus_core::{CheckId, CheckResult, Downtime, Labels, Millis, StateType, Status, Timestamp};

use crate::embedded::reads::next_due;
use crate::embedded::truth::{CheckEntry, Truth};

/// Beyond the retry of a parent, its result may take so long to come.
const PARENT_SLACK: Millis = Millis::from_secs(5);

/// What of a check's state its surroundings depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) hard_status: Option<Status>,
    pub(crate) begun: &'a [Begun],
    pub(crate) watched: Watched,
    pub(crate) now: Timestamp,
}

/// The world around a check.
impl Truth {
    /// Asks something in the world around a check.
    pub(crate) fn surrounded<R>(
        &self,
        id: CheckId,
        world: World<'_>,
        ask: impl FnOnce(&Surroundings<'_>) -> R,
    ) -> Option<R> {
        let World { hard_status, begun, watched, now } = world;
        let entry = self.checks.get(&id)?;
        let labels = self.labels(entry)?.with_status(hard_status);
        let names = |parent: &CheckEntry| self.place(parent);
        let (parent, inhibitor);
        let reach = match self.reach(entry) {
            Reached::Yes => Reach::Reachable,
            Reached::AgentDown => Reach::AgentDown,
            Reached::Down(by) => {
                parent = names(by);
                Reach::ParentDown(&parent)
            }
            Reached::MayGoDown(by, until) => {
                parent = names(by);
                Reach::ParentSoft { parent: &parent, until }
            }
        };
        let source = self.inhibited_by(id, labels);
        let inhibited_by = match source {
            Some(source) => {
                inhibitor = names(source);
                Some(inhibitor.as_str())
            }
            None => None,
        };
        Some(ask(&Surroundings {
            check: id,
            watched,
            policy: &entry.policy,
            labels,
            reach,
            downtime: downtime::planned(self.downtimes_of(entry, hard_status), begun, now),
            inhibited_by,
            routes: self.rules.routes(),
            channels: &self.rules.channels,
            last_message: &|channel, group| self.problems.last_message(channel, group),
            fresh_by: self.fresh_by(entry, now),
            now,
        }))
    }

    /// The downtimes that are about a check with this confirmed status.
    pub(crate) fn downtimes_of<'a>(
        &'a self,
        entry: &'a CheckEntry,
        status: Option<Status>,
    ) -> impl Iterator<Item = &'a Downtime> {
        let labels = self.labels(entry).map(|labels| labels.with_status(status));
        let downtimes = self.rules.downtimes.values().map(AsRef::as_ref);
        downtimes.filter(move |downtime| labels.is_some_and(|labels| downtime.is_about(&labels)))
    }

    /// `agent/check`, as people refer to it.
    fn place(&self, entry: &CheckEntry) -> String {
        let agent = self.agents.get(&entry.check.agent).map_or("", |agent| agent.agent.name.as_str());
        format!("{agent}/{}", entry.check.name)
    }

    /// When the next result of a check is expected, if one is. An agent that has just come back runs its checks soon.
    fn fresh_by(&self, entry: &CheckEntry, now: Timestamp) -> Option<Timestamp> {
        let agent =
            self.agents.get(&entry.check.agent).filter(|agent| !agent.silent && !entry.state.stale)?;
        let due = next_due(entry)?;
        if due > now { Some(due) } else { Some(agent.contact.since?.after(gates::SETTLE)) }
    }

    /// A check whose problem makes that of a check with these labels not worth telling.
    fn inhibited_by(&self, id: CheckId, labels: Labels<'_>) -> Option<&CheckEntry> {
        let targets = self.rules.inhibitions.values().filter(|inhibition| inhibition.is_target(&labels));
        for inhibition in targets {
            let sources = self.problems.sources(inhibition, &labels).filter(|source| *source != id);
            for source in sources.filter_map(|source| self.checks.get(&source)) {
                let holds = |of| inhibition.holds(&of, &labels);
                if self.labels(source).is_some_and(holds) {
                    return Some(source);
                }
            }
        }
        None
    }

    /// Whether a check can be reached: one hop is looked at, so a parent's own parents say nothing here.
    pub(crate) fn reach(&self, entry: &CheckEntry) -> Reached<'_> {
        let family = self.families.get(&entry.check.agent);
        let is_own = family.and_then(|family| family.own) == Some(entry.check.id);
        if !is_own && self.agents.get(&entry.check.agent).is_some_and(|agent| agent.silent) {
            return Reached::AgentDown;
        }
        let states = &entry.check.depends_on_states;
        let mut worst = Reached::Yes;
        for parent in &entry.check.depends_on {
            worst = worst.or(self.parent(*parent, states));
        }
        for group in entry.check.depends_on_any.iter().filter(|group| !group.is_empty()) {
            let of_group = group.iter().map(|parent| self.parent(*parent, states));
            worst = worst.or(of_group.reduce(Reached::and).unwrap_or(Reached::Yes));
        }
        worst
    }

    fn parent(&self, id: CheckId, states: &[Status]) -> Reached<'_> {
        let Some(entry) = self.checks.get(&id).filter(|entry| entry.check.enabled) else {
            return Reached::Yes;
        };
        let silent = self.agents.get(&entry.check.agent).is_some_and(|agent| agent.silent);
        let state = &entry.state;
        let fails = |status: Option<Status>| status.is_some_and(|status| states.contains(&status));
        if silent || fails(state.hard_status) {
            Reached::Down(entry)
        } else if state.state_type == StateType::Soft && fails(state.status) {
            let last = state.last_received_at.unwrap_or(Timestamp::EPOCH);
            Reached::MayGoDown(entry, last.after(entry.policy.retry_interval).after(PARENT_SLACK))
        } else {
            Reached::Yes
        }
    }

    /// What there is to read of a check's state.
    pub(crate) fn last_words(&self, entry: &CheckEntry) -> Arc<CheckResult> {
        self.shown_result(entry).unwrap_or_default()
    }
}

/// Whether a check can be reached.
#[derive(Clone, Copy)]
pub(crate) enum Reached<'a> {
    Yes,
    MayGoDown(&'a CheckEntry, Timestamp),
    Down(&'a CheckEntry),
    AgentDown,
}

impl Reached<'_> {
    /// Whether nothing is told of a check that stands so.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self, Self::Down(_) | Self::AgentDown)
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::MayGoDown(..) => 1,
            Self::Down(_) => 2,
            Self::AgentDown => 3,
        }
    }

    /// The worse of both.
    fn or(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }

    /// The better of both.
    fn and(self, other: Self) -> Self {
        if other.rank() < self.rank() { other } else { self }
    }
}
