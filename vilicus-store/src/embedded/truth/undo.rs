//! Taking back a commit that was refused: how things were is noted before each effect.
//!
//! Only commits that may be refused are noted, which those of agents with their thousands of results are not.

use std::sync::Arc;

use vilicus_core::{
    AgentId, ChannelId, CheckId, Downtime, DowntimeId, Inhibition, InhibitionId, NotificationId, Route,
    RouteId, TemplateId, TokenId,
};

use super::{AgentEntry, CheckEntry, Ids, Truth};
use crate::embedded::effect::{Effect, ResultEffect};
use crate::embedded::queue::Queued;
use crate::inventory::{Channel, Template, Token};

/// How things were before a commit that may be refused.
#[derive(Debug)]
pub(super) struct Undo {
    ids: Ids,
    unsaved: usize,
    steps: Vec<Before>,
}

#[derive(Debug)]
enum Before {
    Agent(AgentId, Option<AgentEntry>),
    Check(CheckId, Option<Box<CheckEntry>>),
    Channel(ChannelId, Option<Arc<Channel>>),
    Token(TokenId, Option<Arc<Token>>),
    Message(NotificationId, Option<Queued>),
    Event(u64),
    Route(RouteId, Option<Box<Route>>),
    Downtime(DowntimeId, Option<Arc<Downtime>>, bool),
    Inhibition(InhibitionId, Option<Arc<Inhibition>>),
    Template(TemplateId, Option<Arc<Template>>),
}

impl Truth {
    /// From now on it is noted how things were.
    pub(crate) fn begin(&mut self) {
        self.undo = Some(Undo { ids: self.ids, unsaved: self.unsaved.len(), steps: Vec::new() });
    }

    /// Whether what is done now may be taken back.
    pub(crate) fn may_be_taken_back(&self) -> bool {
        self.undo.is_some()
    }

    /// The commit stands.
    pub(crate) fn keep(&mut self) {
        self.undo = None;
    }

    /// Makes everything as it was.
    pub(crate) fn take_back(&mut self) {
        let Some(undo) = self.undo.take() else {
            return;
        };
        for before in undo.steps.into_iter().rev() {
            self.restore(before);
        }
        self.unsaved.truncate(undo.unsaved);
        self.ids = undo.ids;
        self.arm_all();
    }

    pub(super) fn note_before(&mut self, effect: &Effect) {
        let befores: Vec<Before> = match effect {
            Effect::Result(ResultEffect { check, .. })
            | Effect::Sample { check, .. }
            | Effect::State { check, .. }
            | Effect::CheckGone(check)
            | Effect::RunNow { check, .. } => vec![self.check_before(*check)],
            Effect::Check(check) => vec![self.check_before(check.id)],
            Effect::Delivered { checks, .. } => checks.iter().map(|id| self.check_before(*id)).collect(),
            Effect::Event(event) => vec![Before::Event(event.id.get())],
            Effect::Message(row) => vec![self.message_before(row.id)],
            Effect::News { message, .. } => vec![self.message_before(*message)],
            Effect::Agent { agent, .. } => vec![self.agent_before(agent.id)],
            Effect::AgentGone(id)
            | Effect::Contact { agent: id, .. }
            | Effect::Silence { agent: id, .. }
            | Effect::Checkin { agent: id, .. } => vec![self.agent_before(*id)],
            Effect::Channel(channel) => vec![self.channel_before(channel.id)],
            Effect::ChannelGone(id) => vec![self.channel_before(*id)],
            Effect::Token(token) => vec![self.token_before(token.id)],
            Effect::TokenGone(id) => vec![self.token_before(*id)],
            Effect::Route(route) => vec![self.route_before(route.id)],
            Effect::RouteGone(id) => vec![self.route_before(*id)],
            Effect::Downtime(downtime) => vec![self.downtime_before(downtime.id)],
            Effect::DowntimeGone(id) | Effect::DowntimeTurn { downtime: id, .. } => {
                vec![self.downtime_before(*id)]
            }
            Effect::Inhibition(inhibition) => vec![self.inhibition_before(inhibition.id)],
            Effect::InhibitionGone(id) => vec![self.inhibition_before(*id)],
            Effect::Template(template) => vec![self.template_before(template.id)],
            Effect::TemplateGone(id) => vec![self.template_before(*id)],
            // Only a checkpoint has it.
            Effect::GroupClock { .. } => Vec::new(),
        };
        if let Some(undo) = &mut self.undo {
            undo.steps.extend(befores);
        }
    }

    fn check_before(&self, id: CheckId) -> Before {
        Before::Check(id, self.checks.get(&id).cloned().map(Box::new))
    }

    fn agent_before(&self, id: AgentId) -> Before {
        Before::Agent(id, self.agents.get(&id).cloned())
    }

    fn message_before(&self, id: NotificationId) -> Before {
        Before::Message(id, self.queue.get(id).cloned())
    }

    fn channel_before(&self, id: ChannelId) -> Before {
        Before::Channel(id, self.channels.get(&id).cloned())
    }

    fn token_before(&self, id: TokenId) -> Before {
        Before::Token(id, self.tokens.get(&id).cloned())
    }

    fn route_before(&self, id: RouteId) -> Before {
        Before::Route(id, self.rules.route(id).cloned().map(Box::new))
    }

    fn downtime_before(&self, id: DowntimeId) -> Before {
        Before::Downtime(id, self.rules.downtimes.get(&id).cloned(), self.rules.open.contains(&id))
    }

    fn inhibition_before(&self, id: InhibitionId) -> Before {
        Before::Inhibition(id, self.rules.inhibitions.get(&id).cloned())
    }

    fn template_before(&self, id: TemplateId) -> Before {
        Before::Template(id, self.rules.templates.get(&id).cloned())
    }

    fn restore(&mut self, before: Before) {
        match before {
            Before::Check(id, entry) => {
                self.remove_check(id);
                entry.into_iter().for_each(|entry| self.insert_check(entry));
            }
            Before::Agent(id, entry) => {
                if let Some(now) = self.agents.remove(&id) {
                    self.names.remove_agent(&now.agent);
                }
                if let Some(entry) = entry {
                    self.names.put_agent(None, &entry.agent);
                    self.agents.insert(id, entry);
                    self.refresh_policies(id);
                }
            }
            Before::Channel(id, channel) => {
                self.remove_channel(id);
                channel.into_iter().for_each(|channel| self.put_channel(channel));
            }
            Before::Token(id, token) => {
                self.remove_token(id);
                token.into_iter().for_each(|token| self.put_token(token));
            }
            Before::Message(id, queued) => {
                self.finished.take_back(id.get());
                self.queue.remove(id);
                queued.into_iter().for_each(|queued| self.queue.restore(queued));
            }
            Before::Event(id) => self.events.take_back(id),
            rule => self.restore_rule(rule),
        }
    }

    fn restore_rule(&mut self, before: Before) {
        match before {
            Before::Route(id, route) => {
                self.rules.remove_route(id);
                route.into_iter().for_each(|route| self.rules.put_route(*route));
            }
            Before::Downtime(id, downtime, open) => {
                self.rules.remove_downtime(id);
                if let Some(downtime) = downtime {
                    self.rules.downtimes.insert(id, downtime);
                    if open {
                        self.rules.open.insert(id);
                    }
                }
            }
            Before::Inhibition(id, inhibition) => {
                self.rules.inhibitions.remove(&id);
                self.rules.inhibitions.extend(inhibition.map(|inhibition| (id, inhibition)));
                self.index_sources();
            }
            Before::Template(id, template) => {
                self.rules.templates.remove(&id);
                self.rules.templates.extend(template.map(|template| (id, template)));
            }
            // All others are restored by `restore`.
            _ => {}
        }
    }
}
