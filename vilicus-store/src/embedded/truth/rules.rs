//! What is configured of telling, and what of it a check meets: labels, and what its problem holds.

use std::sync::Arc;

use vilicus_core::{CheckId, Labels};

use super::{CheckEntry, Truth};
use crate::embedded::effect::Effect;

impl Truth {
    /// Effects on what is configured of telling.
    pub(super) fn apply_rule(&mut self, effect: Effect) {
        match effect {
            Effect::Route(route) => {
                self.ids.route = self.ids.route.max(route.id.get());
                self.rules.put_route(Arc::unwrap_or_clone(route));
            }
            Effect::RouteGone(id) => self.rules.remove_route(id),
            Effect::Downtime(downtime) => {
                self.ids.downtime = self.ids.downtime.max(downtime.id.get());
                self.rules.downtimes.insert(downtime.id, downtime);
            }
            Effect::DowntimeGone(id) => self.rules.remove_downtime(id),
            Effect::DowntimeTurn { downtime, open: true } => {
                self.rules.open.insert(downtime);
            }
            Effect::DowntimeTurn { downtime, open: false } => {
                self.rules.open.remove(&downtime);
            }
            Effect::Inhibition(inhibition) => {
                self.ids.inhibition = self.ids.inhibition.max(inhibition.id.get());
                self.rules.inhibitions.insert(inhibition.id, inhibition);
                self.index_sources();
            }
            Effect::InhibitionGone(id) => {
                self.rules.inhibitions.remove(&id);
                self.index_sources();
            }
            Effect::Template(template) => {
                self.ids.template = self.ids.template.max(template.id.get());
                self.rules.templates.insert(template.id, template);
            }
            Effect::TemplateGone(id) => {
                self.rules.templates.remove(&id);
            }
            Effect::GroupClock { channel, group, last } => self.problems.restore_clock(channel, &group, last),
            // All others are carried out by `apply`.
            _ => {}
        }
    }

    /// What a check is called in messages: the same whatever its name.
    pub(crate) fn subject(&self, check: CheckId) -> String {
        format!("{}-check-{check}", self.instance)
    }

    /// What matchers look at in a check; `None` when its agent is not there.
    pub(crate) fn labels<'a>(&'a self, entry: &'a CheckEntry) -> Option<Labels<'a>> {
        let agent = self.agents.get(&entry.check.agent)?;
        Some(Labels {
            agent: &agent.agent.name,
            check: &entry.check.name,
            kind: &entry.check.kind,
            status: entry.state.hard_status,
            agent_tags: &agent.agent.tags,
            check_tags: &entry.check.tags,
        })
    }

    /// Notes what a check holds by its problem. Says whether it no longer holds something that it held.
    pub(crate) fn index_source(&mut self, id: CheckId) -> bool {
        let Some(entry) = self.checks.get(&id) else { return false };
        let labels = match self.agents.get(&entry.check.agent) {
            Some(agent) if entry.state.has_hard_problem() && entry.check.enabled => Some(Labels {
                agent: &agent.agent.name,
                check: &entry.check.name,
                kind: &entry.check.kind,
                status: entry.state.hard_status,
                agent_tags: &agent.agent.tags,
                check_tags: &entry.check.tags,
            }),
            _ => None,
        };
        self.problems.note_source(id, labels, &self.rules.inhibitions)
    }

    pub(super) fn index_sources(&mut self) {
        for id in self.problems.open.iter().copied().collect::<Vec<_>>() {
            self.index_source(id);
        }
    }
}
