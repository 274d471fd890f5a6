//! All that the store knows, in memory. One thread changes it, by effects alone; everyone reads it.

mod undo;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vilicus_core::judge::freshness::{self, Contact, Start};
use vilicus_core::judge::status;
use vilicus_core::{AgentId, ChannelId, CheckId, CheckResult, CheckState, Event, Policy, Timestamp, TokenId};

use crate::embedded::deadlines::{Deadlines, Watch};
use crate::embedded::effect::{Effect, Kept, ResultEffect, routine};
use crate::embedded::names::Names;
use crate::embedded::queue::Queue;
use crate::embedded::samples::{Samples, Sealed};
use crate::embedded::trail::Trail;
use crate::embedded::words::worded;
use crate::inventory::{AGENT_KIND, Agent, Channel, Check, Token};
use crate::outbox::OutboxRow;

/// All that the store knows.
#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) agents: BTreeMap<AgentId, AgentEntry>,
    pub(crate) checks: BTreeMap<CheckId, Box<CheckEntry>>,
    pub(crate) families: BTreeMap<AgentId, Family>,
    pub(crate) channels: BTreeMap<ChannelId, Arc<Channel>>,
    pub(crate) tokens: BTreeMap<TokenId, Arc<Token>>,
    pub(crate) names: Names,
    pub(crate) queue: Queue,
    pub(crate) events: Trail<Event>,
    pub(crate) finished: Trail<OutboxRow>,
    /// Sealed samples that are not in the history partitions yet, oldest first.
    pub(crate) unsaved: Vec<Arc<Sealed>>,
    pub(crate) ids: Ids,
    pub(crate) deadlines: Deadlines,
    /// When the server was ready to receive.
    pub(crate) start: Start,
    /// 128 random bits in hexadecimal digits, made with the store: the first part of every idempotency key.
    pub(crate) instance: String,
    undo: Option<undo::Undo>,
}

/// An agent, and what is remembered of it.
#[derive(Debug, Clone)]
pub(crate) struct AgentEntry {
    pub(crate) agent: Arc<Agent>,
    pub(crate) config_version: u64,
    pub(crate) contact: Contact,
    /// When the last contact was written down: a restart knows of none later.
    pub(crate) written: Option<Timestamp>,
    pub(crate) silent: bool,
    /// Checks whose results stayed out while the agent itself was not heard of.
    pub(crate) parked: Vec<CheckId>,
    /// Its earliest entries among the deadlines.
    pub(crate) queued: Option<Timestamp>,
    pub(crate) expiry_queued: Option<Timestamp>,
}

/// The checks of an agent. Apart from the agent, since recovery may meet a check before its agent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Family {
    pub(crate) checks: BTreeSet<CheckId>,
    /// The check of the kind `agent`.
    pub(crate) own: Option<CheckId>,
}

/// A check, and what is remembered of it.
#[derive(Debug, Clone)]
pub(crate) struct CheckEntry {
    pub(crate) check: Arc<Check>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) state: CheckState,
    /// The last result that was judged, with the threshold that was breached in its output.
    pub(crate) last: Option<Arc<CheckResult>>,
    pub(crate) samples: Samples,
    pub(crate) run_now: Option<Timestamp>,
    pub(crate) queued: Option<Timestamp>,
}

/// The last ids that were given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Ids {
    pub(crate) agent: u64,
    pub(crate) check: u64,
    pub(crate) channel: u64,
    pub(crate) token: u64,
    pub(crate) event: u64,
    pub(crate) message: u64,
    pub(crate) version: u64,
}

impl Ids {
    /// The later of both, each.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            agent: self.agent.max(other.agent),
            check: self.check.max(other.check),
            channel: self.channel.max(other.channel),
            token: self.token.max(other.token),
            event: self.event.max(other.event),
            message: self.message.max(other.message),
            version: self.version.max(other.version),
        }
    }
}

impl Truth {
    /// Nothing is known yet. `empty_disk` says that nothing was ever written down either.
    pub(crate) fn new(instance: String, start: Timestamp, empty_disk: bool) -> Self {
        Self {
            agents: BTreeMap::new(),
            checks: BTreeMap::new(),
            families: BTreeMap::new(),
            channels: BTreeMap::new(),
            tokens: BTreeMap::new(),
            names: Names::default(),
            queue: Queue::default(),
            events: Trail::new(empty_disk),
            finished: Trail::new(empty_disk),
            unsaved: Vec::new(),
            ids: Ids::default(),
            deadlines: Deadlines::default(),
            start: Start(start),
            instance,
            undo: None,
        }
    }

    /// Carries out one effect. `sequence` is the record that holds it.
    pub(crate) fn apply(&mut self, sequence: u64, effect: Effect) {
        if self.undo.is_some() {
            self.note_before(&effect);
        }
        match effect {
            Effect::Result(result) => self.apply_result(result),
            Effect::State { check, state } => {
                if let Some(entry) = self.checks.get_mut(&check) {
                    entry.state = *state;
                }
            }
            Effect::Event(event) => {
                self.ids.event = self.ids.event.max(event.id.get());
                self.events.push(event, sequence);
            }
            Effect::Message(row) => self.apply_message(row, sequence),
            Effect::News { message, item, earlier } => self.queue.change(message, sequence, |row| {
                super::messages::merge_into(row, *item, &earlier);
            }),
            Effect::Agent { agent, config_version } => self.put_agent(agent, config_version),
            Effect::AgentGone(id) => self.remove_agent(id),
            Effect::Contact { agent, contact } => {
                if let Some(entry) = self.agents.get_mut(&agent) {
                    (entry.contact, entry.written) = (contact, contact.last);
                }
            }
            Effect::Silence { agent, silent } => {
                if let Some(entry) = self.agents.get_mut(&agent) {
                    entry.silent = silent;
                }
            }
            Effect::Checkin { agent, at } => {
                if let Some(entry) = self.agents.get_mut(&agent) {
                    Arc::make_mut(&mut entry.agent).last_checkin = Some(at);
                }
            }
            Effect::Check(check) => self.put_check(check),
            Effect::CheckGone(id) => self.remove_check(id),
            Effect::Delivered { checks, at } => self.apply_delivered(&checks, at),
            Effect::RunNow { check, at } => {
                if let Some(entry) = self.checks.get_mut(&check) {
                    entry.run_now = Some(at);
                }
            }
            Effect::Channel(channel) => self.put_channel(channel),
            Effect::ChannelGone(id) => self.remove_channel(id),
            Effect::Token(token) => self.put_token(token),
            Effect::TokenGone(id) => self.remove_token(id),
        }
    }

    fn apply_result(&mut self, effect: ResultEffect) {
        let Some(entry) = self.checks.get_mut(&effect.check) else {
            return;
        };
        if let Some(agent) = self.agents.get_mut(&entry.check.agent) {
            agent.contact.note(effect.received);
            agent.written = agent.contact.last;
        }
        if effect.kept == Kept::Routine {
            if !entry.state.memory.is_empty() {
                // What thresholds with `for` remember is the fold of the samples; the status stands as it was judged.
                let memory = &mut entry.state.memory;
                let _ = status::evaluate(&entry.policy, memory, &effect.result, effect.timestamp);
            }
            routine(&mut entry.state, effect.status, effect.timestamp, effect.received);
        }
        if effect.kept != Kept::History {
            entry.last = Some(worded(&effect.result, effect.reason.as_deref()));
            entry.run_now = entry.run_now.filter(|wanted| effect.timestamp < *wanted);
        }
        let sealed = entry.samples.push(effect.check, effect.timestamp, effect.status, &effect.result);
        self.unsaved.extend(sealed);
    }

    fn apply_message(&mut self, row: Arc<OutboxRow>, sequence: u64) {
        self.ids.message = self.ids.message.max(row.id.get());
        if row.state.is_pending() {
            self.queue.put(row, sequence);
        } else {
            self.queue.remove(row.id);
            self.finished.push(row, sequence);
        }
    }

    fn apply_delivered(&mut self, checks: &[CheckId], at: Timestamp) {
        for id in checks {
            if let Some(entry) = self.checks.get_mut(id) {
                Arc::make_mut(&mut entry.check).delivered_at = Some(at);
            }
        }
    }

    fn put_agent(&mut self, agent: Arc<Agent>, config_version: u64) {
        let id = agent.id;
        self.ids.agent = self.ids.agent.max(id.get());
        self.ids.version = self.ids.version.max(config_version);
        self.names.put_agent(self.agents.get(&id).map(|entry| entry.agent.as_ref()), &agent);
        match self.agents.get_mut(&id) {
            Some(entry) => (entry.agent, entry.config_version) = (agent, config_version),
            None => {
                let contact = Contact::new(agent.check_interval);
                self.agents.insert(id, AgentEntry::new(agent, config_version, contact));
            }
        }
        self.refresh_policies(id);
    }

    /// Makes the policies of all checks of an agent anew: its interval is their default.
    fn refresh_policies(&mut self, id: AgentId) {
        let Some(entry) = self.agents.get_mut(&id) else {
            return;
        };
        let interval = entry.agent.check_interval;
        entry.contact.check_interval = interval;
        let Some(family) = self.families.get(&id) else {
            return;
        };
        for check in &family.checks {
            if let Some(check) = self.checks.get_mut(check) {
                check.policy = Arc::new(check.check.policy(interval));
                if check.check.kind == AGENT_KIND {
                    entry.contact.grace = check.check.settings.grace;
                }
            }
        }
    }

    fn remove_agent(&mut self, id: AgentId) {
        if let Some(entry) = self.agents.remove(&id) {
            self.names.remove_agent(&entry.agent);
        }
        self.families.remove(&id);
    }

    fn put_check(&mut self, check: Arc<Check>) {
        let id = check.id;
        self.ids.check = self.ids.check.max(id.get());
        let entry = match self.checks.remove(&id) {
            Some(mut entry) => {
                self.forget_check(&entry.check);
                entry.check = check;
                entry
            }
            None => Box::new(CheckEntry::new(check)),
        };
        self.insert_check(entry);
    }

    /// Adds a check with all that is remembered of it.
    pub(crate) fn insert_check(&mut self, mut entry: Box<CheckEntry>) {
        let check = Arc::clone(&entry.check);
        self.ids.check = self.ids.check.max(check.id.get());
        self.names.put_check(&check);
        let family = self.families.entry(check.agent).or_default();
        family.checks.insert(check.id);
        let is_own = check.kind == AGENT_KIND;
        if is_own {
            family.own = Some(check.id);
        }
        if let Some(agent) = self.agents.get_mut(&check.agent) {
            entry.policy = Arc::new(check.policy(agent.agent.check_interval));
            if is_own {
                agent.contact.grace = check.settings.grace;
            }
        }
        entry.state.memory.retain(|memory| remembers(&entry.policy, &memory.metric));
        self.checks.insert(check.id, entry);
    }

    fn forget_check(&mut self, check: &Check) {
        self.names.remove_check(check);
        if let Some(family) = self.families.get_mut(&check.agent) {
            family.checks.remove(&check.id);
            family.own = family.own.filter(|own| *own != check.id);
        }
    }

    fn remove_check(&mut self, id: CheckId) {
        if let Some(entry) = self.checks.remove(&id) {
            self.forget_check(&entry.check);
        }
    }

    fn put_channel(&mut self, channel: Arc<Channel>) {
        self.ids.channel = self.ids.channel.max(channel.id.get());
        self.names.put_channel(self.channels.get(&channel.id).map(AsRef::as_ref), &channel);
        self.channels.insert(channel.id, channel);
    }

    fn remove_channel(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.remove(&id) {
            self.names.remove_channel(&channel);
        }
    }

    fn put_token(&mut self, token: Arc<Token>) {
        self.ids.token = self.ids.token.max(token.id.get());
        self.names.put_token(self.tokens.get(&token.id).map(AsRef::as_ref), &token);
        self.tokens.insert(token.id, token);
    }

    fn remove_token(&mut self, id: TokenId) {
        if let Some(token) = self.tokens.remove(&id) {
            self.names.remove_token(&token);
        }
    }
}

/// Whether a policy remembers anything of this metric.
fn remembers(policy: &Policy, metric: &str) -> bool {
    policy.thresholds.iter().any(|(name, threshold)| {
        vilicus_core::threshold::name_matches(name, metric)
            && vilicus_core::judge::sustained::remembers(threshold)
    })
}

impl AgentEntry {
    /// An agent of which nothing is remembered but when it was heard of.
    pub(crate) fn new(agent: Arc<Agent>, config_version: u64, contact: Contact) -> Self {
        Self {
            agent,
            config_version,
            contact,
            written: contact.last,
            silent: false,
            parked: Vec::new(),
            queued: None,
            expiry_queued: None,
        }
    }
}

impl CheckEntry {
    /// A check that never reported.
    pub(crate) fn new(check: Arc<Check>) -> Self {
        Self {
            policy: Arc::new(check.policy(Policy::default().interval)),
            check,
            state: CheckState::default(),
            last: None,
            samples: Samples::default(),
            run_now: None,
            queued: None,
        }
    }

    /// When the absence of its results becomes news, if its agent is in contact then.
    pub(crate) fn stale_at(&self, contact: &Contact, start: Start) -> Option<Timestamp> {
        if !self.check.enabled || !self.check.runs_on_agent() {
            return None;
        }
        freshness::stale_at(&self.policy, &self.state, self.check.delivered_at, contact, start)
    }
}

/// Deadlines.
impl Truth {
    /// Sets the deadlines of everything.
    pub(crate) fn arm_all(&mut self) {
        self.deadlines.clear();
        for entry in self.agents.values_mut() {
            (entry.queued, entry.expiry_queued) = (None, None);
            entry.parked.clear();
        }
        for id in self.agents.keys().copied().collect::<Vec<_>>() {
            self.arm_agent(id);
        }
        for entry in self.checks.values_mut() {
            entry.queued = None;
        }
        for id in self.checks.keys().copied().collect::<Vec<_>>() {
            self.arm_check(id);
        }
    }

    /// Sets the deadline of a check, unless an earlier one is set already.
    pub(crate) fn arm_check(&mut self, id: CheckId) {
        let Some(entry) = self.checks.get_mut(&id) else { return };
        let Some(agent) = self.agents.get(&entry.check.agent) else { return };
        if let Some(at) = entry.stale_at(&agent.contact, self.start)
            && entry.queued.is_none_or(|queued| at < queued)
        {
            entry.queued = Some(at);
            self.deadlines.push(at, Watch::Check(id));
        }
    }

    /// Sets the deadlines of an agent, unless earlier ones are set already.
    pub(crate) fn arm_agent(&mut self, id: AgentId) {
        let down_at = self.down_at(id);
        let expires_at = self.expires_at(id);
        let Some(entry) = self.agents.get_mut(&id) else { return };
        if let Some(at) = down_at.filter(|at| entry.queued.is_none_or(|queued| *at < queued)) {
            entry.queued = Some(at);
            self.deadlines.push(at, Watch::Agent(id));
        }
        if let Some(at) = expires_at.filter(|at| entry.expiry_queued.is_none_or(|queued| *at < queued)) {
            entry.expiry_queued = Some(at);
            self.deadlines.push(at, Watch::Expiry(id));
        }
    }

    /// When the silence of an agent becomes news; `None` when it is none, or was told.
    pub(crate) fn down_at(&self, id: AgentId) -> Option<Timestamp> {
        let entry = self.agents.get(&id).filter(|entry| !entry.silent)?;
        let own = self.families.get(&id)?.own?;
        self.checks.get(&own).filter(|own| own.check.enabled)?;
        entry.contact.down_at(self.start)
    }

    /// When an agent is retired if it is not heard of.
    pub(crate) fn expires_at(&self, id: AgentId) -> Option<Timestamp> {
        let entry = self.agents.get(&id)?;
        let allowed = entry.agent.expire_after?;
        let last = entry.contact.last.unwrap_or(entry.agent.created_at);
        Some(self.start.hold(last.after(allowed), allowed))
    }
}
