//! Which problems are open, and what hangs together with them: found without looking through everything.
//!
//! All of it follows from the states of the checks and from what is configured, so it is kept beside them and never
//! written down, except for the moments at which groups last had a message.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vilicus_core::state::Told;
use vilicus_core::{ChannelId, CheckId, CheckState, Inhibition, InhibitionId, Labels, Timestamp};

use crate::inventory::Check;

/// Which problems are open, and what hangs together with them.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// The checks whose problem is confirmed, or was told and is not over for those who know.
    pub(crate) open: BTreeSet<CheckId>,
    groups: HashMap<ChannelId, HashMap<String, Group>>,
    /// The confirmed problems that hold others, by the values that source and target must have in common.
    sources: HashMap<InhibitionId, HashMap<String, BTreeSet<CheckId>>>,
    of_source: HashMap<CheckId, Vec<(InhibitionId, String)>>,
    /// Who depends on a check.
    children: HashMap<CheckId, BTreeSet<CheckId>>,
}

/// A group of problems that share their messages.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    /// When its last message went.
    last: Option<Timestamp>,
    /// How many of its problems are open.
    open: u32,
}

impl Problems {
    /// A check has this state now, and had that told before.
    pub(crate) fn note_state(&mut self, check: CheckId, before: &[Told], state: &CheckState) {
        if state.has_hard_problem() || !state.told.is_empty() {
            self.open.insert(check);
        } else {
            self.open.remove(&check);
        }
        // First those that come: a group must not go while one of its problems moves within it.
        for told in &state.told {
            self.group(told.channel, &told.group).open += 1;
        }
        for told in before {
            self.leave(told);
        }
    }

    fn leave(&mut self, told: &Told) {
        let Some(groups) = self.groups.get_mut(&told.channel) else { return };
        let Some(group) = groups.get_mut(&told.group) else { return };
        group.open = group.open.saturating_sub(1);
        if group.open == 0 {
            groups.remove(&told.group);
        }
        if groups.is_empty() {
            self.groups.remove(&told.channel);
        }
    }

    fn group(&mut self, channel: ChannelId, group: &str) -> &mut Group {
        self.groups.entry(channel).or_default().entry(group.to_owned()).or_default()
    }

    /// A message of a group was tried.
    pub(crate) fn note_message(&mut self, channel: ChannelId, group: &str, at: Timestamp) {
        if let Some(group) = self.groups.get_mut(&channel).and_then(|groups| groups.get_mut(group)) {
            group.last = group.last.max(Some(at));
        }
    }

    /// Puts back when a group last had a message: its problems follow.
    pub(crate) fn restore_clock(&mut self, channel: ChannelId, group: &str, last: Timestamp) {
        self.group(channel, group).last = Some(last);
    }

    /// When the last message of a group went, if one did and a problem of it is open.
    pub(crate) fn last_message(&self, channel: ChannelId, group: &str) -> Option<Timestamp> {
        self.groups.get(&channel)?.get(group)?.last
    }

    /// Every group that had a message, and when.
    pub(crate) fn clocks(&self) -> impl Iterator<Item = (ChannelId, &str, Timestamp)> {
        self.groups.iter().flat_map(|(channel, groups)| {
            groups.iter().filter_map(|(name, group)| Some((*channel, name.as_str(), group.last?)))
        })
    }

    /// Forgets the groups of which no problem turned out to be open.
    pub(crate) fn forget_empty_groups(&mut self) {
        self.groups.values_mut().for_each(|groups| groups.retain(|_, group| group.open > 0));
        self.groups.retain(|_, groups| !groups.is_empty());
    }

    /// A check is gone.
    pub(crate) fn forget(&mut self, check: CheckId, told: &[Told]) {
        self.open.remove(&check);
        told.iter().for_each(|told| self.leave(told));
        self.set_source(check, Vec::new());
    }
}

/// What depends on what.
impl Problems {
    /// A check is configured like this now.
    pub(crate) fn note_parents(&mut self, check: &Check) {
        for parent in parents(check) {
            self.children.entry(parent).or_default().insert(check.id);
        }
    }

    /// A check is no longer configured like this.
    pub(crate) fn forget_parents(&mut self, check: &Check) {
        for parent in parents(check) {
            if let Some(children) = self.children.get_mut(&parent) {
                children.remove(&check.id);
                if children.is_empty() {
                    self.children.remove(&parent);
                }
            }
        }
    }

    /// The checks that depend on this one.
    pub(crate) fn children(&self, check: CheckId) -> Vec<CheckId> {
        self.children.get(&check).into_iter().flatten().copied().collect()
    }
}

/// What a check depends on.
pub(crate) fn parents(check: &Check) -> impl Iterator<Item = CheckId> {
    check.depends_on.iter().chain(check.depends_on_any.iter().flatten()).copied()
}

/// What holds what.
impl Problems {
    /// Notes whether a check holds others, given its labels if its problem is confirmed. Says whether it no longer
    /// does in some way.
    pub(crate) fn note_source(
        &mut self,
        check: CheckId,
        labels: Option<Labels<'_>>,
        inhibitions: &BTreeMap<InhibitionId, std::sync::Arc<Inhibition>>,
    ) -> bool {
        if inhibitions.is_empty() && self.of_source.is_empty() {
            return false;
        }
        let now = labels.map_or_else(Vec::new, |labels| {
            let sources = inhibitions.values().filter(|inhibition| inhibition.is_source(&labels));
            let places = |of: &std::sync::Arc<Inhibition>| {
                let id = of.id;
                shared(of, &labels).into_iter().map(move |values| (id, values))
            };
            sources.flat_map(places).collect()
        });
        self.set_source(check, now)
    }

    fn set_source(&mut self, check: CheckId, now: Vec<(InhibitionId, String)>) -> bool {
        let before = self.of_source.remove(&check).unwrap_or_default();
        for (id, values) in &before {
            let Some(sources) = self.sources.get_mut(id) else { continue };
            if let Some(checks) = sources.get_mut(values) {
                checks.remove(&check);
                if checks.is_empty() {
                    sources.remove(values);
                }
            }
        }
        for (id, values) in &now {
            self.sources.entry(*id).or_default().entry(values.clone()).or_default().insert(check);
        }
        let released = before.iter().any(|entry| !now.contains(entry));
        if !now.is_empty() {
            self.of_source.insert(check, now);
        }
        released
    }

    /// The checks whose problem may hold a check with these labels by this inhibition. One may come more than once.
    pub(crate) fn sources(
        &self,
        inhibition: &Inhibition,
        labels: &Labels<'_>,
    ) -> impl Iterator<Item = CheckId> {
        let sources = self.sources.get(&inhibition.id);
        let checks = sources.into_iter().flat_map(move |sources| {
            shared(inhibition, labels).into_iter().filter_map(|values| sources.get(&values))
        });
        checks.flatten().copied()
    }
}

/// The values that source and target must have in common, each choice of one value a label as one text.
fn shared(inhibition: &Inhibition, labels: &Labels<'_>) -> Vec<String> {
    inhibition.equal.iter().fold(vec![String::new()], |choices, name| {
        let values: Vec<&str> = labels.values(name).collect();
        let values = if values.is_empty() { vec![""] } else { values };
        choices
            .iter()
            .flat_map(|choice| values.iter().map(move |value| format!("{choice}\u{1f}{value}")))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::Status;

    fn told(group: &str) -> Told {
        Told {
            channel: ChannelId::new(1).unwrap(),
            status: Status::Critical,
            route: None,
            group: group.to_owned(),
            step: 0,
            at: Timestamp::EPOCH,
            messages: Vec::new(),
        }
    }

    #[test]
    fn a_group_remembers_its_last_message_while_a_problem_of_it_is_open() {
        let channel = ChannelId::new(1).unwrap();
        let (one, other) = (CheckId::new(1).unwrap(), CheckId::new(2).unwrap());
        let state = |group| CheckState { told: vec![told(group)], ..CheckState::default() };
        let mut problems = Problems::default();
        problems.note_state(one, &[], &state("a"));
        problems.note_state(other, &[], &state("a"));
        problems.note_message(channel, "a", Timestamp::from_millis(5));
        problems.note_state(one, &[told("a")], &CheckState::default());
        assert_eq!(problems.last_message(channel, "a"), Some(Timestamp::from_millis(5)));
        problems.note_state(other, &[told("a")], &state("a"));
        assert_eq!(problems.last_message(channel, "a"), Some(Timestamp::from_millis(5)));
        problems.note_state(other, &[told("a")], &CheckState::default());
        assert_eq!(problems.last_message(channel, "a"), None);
        assert!(problems.open.is_empty() && problems.groups.is_empty());
    }
}
