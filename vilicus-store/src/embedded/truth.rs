//! All that the store knows, in memory. One thread changes it, by effects alone; everyone reads it.

mod deadlines;
mod entry;
mod rules;
mod undo;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vilicus_core::judge::freshness::{Contact, Start};
use vilicus_core::state::Told;
use vilicus_core::{AgentId, ChannelId, CheckId, Event, Policy, Timestamp, TokenId};

use self::entry::promise;
pub(crate) use self::entry::{AgentEntry, CheckEntry, Family, Hot, Last};
use crate::embedded::deadlines::Deadlines;
use crate::embedded::effect::{Effect, Kept, ResultEffect};
use crate::embedded::names::Names;
use crate::embedded::problems::Problems;
use crate::embedded::queue::Queue;
use crate::embedded::rules::Rules;
use crate::embedded::samples::Sealed;
use crate::embedded::specs::Specs;
use crate::embedded::table::CheckTable;
use crate::embedded::trail::Trail;
use crate::embedded::words::worded;
use crate::inventory::{AGENT_KIND, Agent, Channel, Check, Token};
use crate::outbox::OutboxRow;
use crate::report::Reports;

/// All that the store knows.
#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) agents: BTreeMap<AgentId, AgentEntry>,
    pub(crate) checks: CheckTable,
    pub(crate) specs: Specs,
    pub(crate) families: BTreeMap<AgentId, Family>,
    pub(crate) channels: BTreeMap<ChannelId, Arc<Channel>>,
    pub(crate) tokens: BTreeMap<TokenId, Arc<Token>>,
    /// The hashes of the tokens that were changed since they were published.
    pub(crate) changed_tokens: Vec<[u8; 32]>,
    pub(crate) rules: Rules,
    pub(crate) problems: Problems,
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
    /// The moment of the last commit.
    pub(crate) now: Timestamp,
    /// 128 random bits in hexadecimal digits, made with the store: the first part of every idempotency key.
    pub(crate) instance: String,
    undo: Option<undo::Undo>,
}

/// The last ids that were given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Ids {
    pub(crate) agent: u64,
    pub(crate) check: u64,
    pub(crate) channel: u64,
    pub(crate) token: u64,
    pub(crate) route: u64,
    pub(crate) downtime: u64,
    pub(crate) inhibition: u64,
    pub(crate) template: u64,
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
            route: self.route.max(other.route),
            downtime: self.downtime.max(other.downtime),
            inhibition: self.inhibition.max(other.inhibition),
            template: self.template.max(other.template),
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
            checks: CheckTable::default(),
            specs: Specs::default(),
            families: BTreeMap::new(),
            channels: BTreeMap::new(),
            tokens: BTreeMap::new(),
            changed_tokens: Vec::new(),
            rules: Rules::default(),
            problems: Problems::default(),
            names: Names::default(),
            queue: Queue::default(),
            events: Trail::new(empty_disk),
            finished: Trail::new(empty_disk),
            unsaved: Vec::new(),
            ids: Ids::default(),
            deadlines: Deadlines::default(),
            start: Start(start),
            now: start,
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
            Effect::Sample { check, delay, bytes } => self.apply_sample(check, delay, &bytes),
            Effect::State { check, state } => {
                if let Some(entry) = self.checks.get_mut(&check) {
                    let before = std::mem::replace(&mut entry.state, *state);
                    self.problems.note_state(check, &before.told, &entry.state);
                    self.index_source(check);
                    self.index_run(check);
                }
            }
            Effect::Event(event) => {
                self.ids.event = self.ids.event.max(event.id.get());
                self.events.push(event, sequence);
            }
            Effect::Message(row) => self.apply_message(row, sequence),
            Effect::News { message, check, item, earlier } => self.queue.change(message, sequence, |row| {
                super::messages::merge_into(row, check, *item, &earlier);
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
                self.index_run(check);
            }
            Effect::Channel(channel) => self.put_channel(channel),
            Effect::ChannelGone(id) => self.remove_channel(id),
            Effect::Token(token) => self.put_token(token),
            Effect::TokenGone(id) => self.remove_token(id),
            rule => self.apply_rule(rule),
        }
    }

    fn apply_result(&mut self, effect: ResultEffect) {
        let Some(entry) = self.checks.get_mut(&effect.check) else {
            return;
        };
        if let Some(agent) = self.agents.get_mut(&entry.hot.agent) {
            agent.note_contact(effect.received);
        }
        if effect.kept == Kept::Routine {
            entry.follow(&effect.result, effect.status, effect.timestamp, effect.received);
        }
        if effect.kept == Kept::History {
            entry.last = entry.last_result().map_or(Last::None, Last::Kept);
        } else {
            entry.note_run(effect.timestamp);
        }
        let is_restless = entry.is_restless();
        let mut reports = Reports::default();
        reports.add(effect.check, &effect.result);
        for report in reports.iter() {
            let sealed = entry.samples.push(effect.timestamp, effect.status, &report);
            self.unsaved.extend(sealed);
        }
        if effect.kept != Kept::History {
            let is_newest = entry.samples.last().timestamp == effect.timestamp;
            entry.last = match effect.reason {
                None if is_newest => Last::Newest,
                reason => Last::Kept(worded(&effect.result, reason.as_deref())),
            };
        }
        if !is_restless {
            self.index_run(effect.check);
        }
    }

    /// The way of [`Effect::Sample`] when it comes from the disk. When it is new, `reporting` goes it.
    fn apply_sample(&mut self, check: CheckId, delay: i64, bytes: &[u8]) {
        let Some(entry) = self.checks.get_mut(&check) else {
            return;
        };
        let (status, sealed) = match entry.samples.push_bytes(check, bytes) {
            Ok(pushed) => pushed,
            Err(error) => {
                tracing::error!(%check, %error, "a result in the journal cannot be read and is left out");
                return;
            }
        };
        let timestamp = entry.samples.last().timestamp;
        let received = Timestamp::from_millis(timestamp.as_millis().saturating_add(delay));
        let remembered = if entry.state.memory.is_empty() { None } else { entry.samples.last().result() };
        entry.follow(&remembered.unwrap_or_default(), status, timestamp, received);
        entry.last = Last::Newest;
        let wanted = entry.run_now.is_some();
        entry.note_run(timestamp);
        if let Some(agent) = self.agents.get_mut(&entry.hot.agent) {
            agent.note_contact(received);
        }
        self.unsaved.extend(sealed);
        if wanted {
            self.index_run(check);
        }
    }

    fn apply_message(&mut self, row: Arc<OutboxRow>, sequence: u64) {
        self.ids.message = self.ids.message.max(row.id.get());
        if let Some(last) = row.tries.last() {
            self.problems.note_message(row.channel, &row.group, last.at);
        }
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
        let checks = self.families.get(&id).map(|family| family.checks.clone()).unwrap_or_default();
        for check in checks.intersection(&self.problems.open.clone()) {
            self.index_source(*check);
        }
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
                check.policy = self.specs.policy(&check.check.spec, interval);
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
        let Some(mut entry) = self.checks.remove(&id) else {
            self.insert_check(Box::new(CheckEntry::new(check, Arc::default())));
            return;
        };
        let clock = |told: &Told| {
            let last = self.problems.last_message(told.channel, &told.group)?;
            Some((told.channel, told.group.clone(), last))
        };
        let clocks: Vec<_> = entry.state.told.iter().filter_map(clock).collect();
        self.forget_check(&entry);
        entry.hot = Hot::of(&check);
        entry.check = check;
        self.insert_check(entry);
        // Another configuration is no other problem: its groups go on.
        for (channel, group, last) in clocks {
            self.problems.note_message(channel, &group, last);
        }
    }

    /// Adds a check with all that is remembered of it.
    pub(crate) fn insert_check(&mut self, mut entry: Box<CheckEntry>) {
        self.specs.share(&mut entry.check);
        let check = Arc::clone(&entry.check);
        self.ids.check = self.ids.check.max(check.id.get());
        self.names.put_check(&check);
        let family = self.families.entry(check.agent).or_default();
        family.checks.insert(check.id);
        let is_own = check.kind == AGENT_KIND;
        if is_own {
            family.own = Some(check.id);
        }
        let agent = self.agents.get_mut(&check.agent);
        let interval = agent.as_ref().map_or(Policy::default().interval, |agent| agent.agent.check_interval);
        entry.policy = self.specs.policy(&check.spec, interval);
        if let (Some(agent), true) = (agent, is_own) {
            agent.contact.grace = check.settings.grace;
        }
        entry.state.memory.retain(|memory| remembers(&entry.policy, &memory.metric));
        entry.promise = promise(&check).map(Box::new);
        self.problems.note_parents(&check);
        self.problems.note_state(check.id, &[], &entry.state);
        self.checks.insert(check.id, entry);
        self.index_source(check.id);
        self.index_run(check.id);
    }

    /// Notes whether a check shall run sooner than its interval says.
    pub(crate) fn index_run(&mut self, id: CheckId) {
        let Some(entry) = self.checks.get(&id) else { return };
        let Some(family) = self.families.get_mut(&entry.hot.agent) else { return };
        if entry.is_restless() {
            family.restless.insert(id);
        } else if !family.restless.is_empty() {
            family.restless.remove(&id);
        }
    }

    fn forget_check(&mut self, entry: &CheckEntry) {
        let check = &entry.check;
        self.problems.forget_parents(check);
        self.problems.forget(check.id, &entry.state.told);
        self.names.remove_check(check);
        if let Some(family) = self.families.get_mut(&check.agent) {
            family.checks.remove(&check.id);
            family.restless.remove(&check.id);
            family.own = family.own.filter(|own| *own != check.id);
        }
    }

    fn remove_check(&mut self, id: CheckId) {
        if let Some(entry) = self.checks.remove(&id) {
            self.forget_check(&entry);
        }
    }

    fn put_channel(&mut self, channel: Arc<Channel>) {
        self.ids.channel = self.ids.channel.max(channel.id.get());
        self.names.put_channel(self.channels.get(&channel.id).map(AsRef::as_ref), &channel);
        self.rules.switch(channel.id, channel.enabled);
        self.channels.insert(channel.id, channel);
    }

    fn remove_channel(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.remove(&id) {
            self.names.remove_channel(&channel);
            self.rules.switch(id, false);
        }
    }

    fn put_token(&mut self, token: Arc<Token>) {
        self.ids.token = self.ids.token.max(token.id.get());
        let before = self.tokens.get(&token.id).map(AsRef::as_ref);
        self.changed_tokens.extend(before.map(|before| before.hash));
        self.changed_tokens.push(token.hash);
        self.names.put_token(before, &token);
        self.tokens.insert(token.id, token);
    }

    fn remove_token(&mut self, id: TokenId) {
        if let Some(token) = self.tokens.remove(&id) {
            self.changed_tokens.push(token.hash);
            self.names.remove_token(&token);
        }
    }

    /// The token with this hash.
    pub(crate) fn token_by_hash(&self, hash: &[u8; 32]) -> Option<&Arc<Token>> {
        self.names.hashes.get(hash).and_then(|id| self.tokens.get(id))
    }
}

/// Whether a policy remembers anything of this metric.
fn remembers(policy: &Policy, metric: &str) -> bool {
    policy.thresholds.iter().any(|(name, threshold)| {
        vilicus_core::threshold::name_matches(name, metric)
            && vilicus_core::judge::sustained::remembers(threshold)
    })
}
