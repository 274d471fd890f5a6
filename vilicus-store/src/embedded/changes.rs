//! Changes of the configuration: each is checked first, and refused without a trace when it can't be.

use std::sync::Arc;

use vilicus_core::event::{Action, Happening};
use vilicus_core::{AgentId, ChannelId, CheckId, CheckState, TokenId};

use crate::embedded::effect::Effect;
use crate::embedded::truth::CheckEntry;
use crate::embedded::unit::Unit;
use crate::error::Refusal;
use crate::inventory::{AGENT_KIND, Agent, Channel, Check, CheckSettings, CheckSpec, Pause, Token};
use crate::store::{Change, Outcome};

/// The id of what was changed, or why it was not.
pub(crate) type Changed = Result<u64, Refusal>;

impl Unit<'_> {
    /// Changes the configuration.
    pub(crate) fn change(&mut self, change: Change, by: &str) -> Result<Outcome, Refusal> {
        let promised = promised(&change);
        let id = self.change_object(change, by)?;
        if let Some((object, number)) = promised {
            self.given.note(object, number, id);
        }
        Ok(Outcome::Id(id))
    }

    /// Changes an agent, a check, a channel or a token.
    pub(crate) fn change_object(&mut self, change: Change, by: &str) -> Changed {
        match change {
            Change::CreateAgent(agent) => self.create_agent(*agent, by),
            Change::UpdateAgent(agent) => self.update_agent(*agent, by),
            Change::DeleteAgent(id) => self.delete_agent(id, by),
            Change::CreateCheck(check) => self.create_check(*check, by),
            Change::UpdateCheck(check) => self.update_check(*check, by),
            Change::DeleteCheck(id) => self.delete_check(id, by),
            Change::CreateChannel(channel) => self.create_channel(*channel, by),
            Change::UpdateChannel(channel) => self.update_channel(*channel, by),
            Change::DeleteChannel(id) => self.delete_channel(id, by),
            Change::CreateToken(token) => self.create_token(*token, by),
            Change::UpdateToken(token) => self.update_token(*token, by),
            Change::UseToken(id) => self.use_token(id),
            Change::DeleteToken(id) => self.delete_token(id, by),
            rule => self.change_rule(rule, by),
        }
    }

    pub(crate) fn audit(
        &mut self,
        action: Action,
        object: &str,
        name: &str,
        by: &str,
        about: (Option<AgentId>, Option<CheckId>),
    ) {
        let what = Happening::Configuration {
            action,
            object: object.to_owned(),
            name: name.to_owned(),
            by: by.to_owned(),
        };
        self.record(self.now, about.0, about.1, what);
    }

    fn create_agent(&mut self, mut agent: Agent, by: &str) -> Changed {
        agent.id = self.next_agent();
        let id = agent.id;
        self.check_agent_name(&agent)?;
        self.check_guid(&agent)?;
        (agent.created_at, agent.last_checkin) = (self.now, None);
        self.audit(Action::Create, "agent", &agent.name, by, (Some(id), None));
        let config_version = self.next_version();
        self.emit(Effect::Agent { agent: Arc::new(agent), config_version });
        let own = own_check(self.next_check(), id);
        self.emit(Effect::Check(Arc::new(own)));
        self.truth.arm_agent(id);
        Ok(id.get())
    }

    fn update_agent(&mut self, mut agent: Agent, by: &str) -> Changed {
        let id = agent.id;
        let Some(entry) = self.truth.agents.get(&id) else {
            return Err(not_found("agent", id.get()));
        };
        (agent.created_at, agent.last_checkin) = (entry.agent.created_at, entry.agent.last_checkin);
        self.check_agent_name(&agent)?;
        self.check_guid(&agent)?;
        self.audit(Action::Update, "agent", &agent.name, by, (Some(id), None));
        let config_version = self.next_version();
        self.emit(Effect::Agent { agent: Arc::new(agent), config_version });
        self.rearm(id);
        // Its labels may lead elsewhere.
        self.look_at_all();
        Ok(id.get())
    }

    /// Deadlines may be earlier than they were.
    fn rearm(&mut self, id: AgentId) {
        self.truth.arm_agent(id);
        let checks = self.truth.families.get(&id).map(|family| family.checks.clone()).unwrap_or_default();
        checks.into_iter().for_each(|check| self.truth.arm_check(check));
    }

    fn delete_agent(&mut self, id: AgentId, by: &str) -> Changed {
        let Some(entry) = self.truth.agents.get(&id) else {
            return Err(not_found("agent", id.get()));
        };
        let name = entry.agent.name.clone();
        let checks = self.truth.families.get(&id).map(|family| family.checks.clone()).unwrap_or_default();
        for check in checks {
            self.close(check);
            self.emit(Effect::CheckGone(check));
        }
        let tokens = self.truth.tokens.values().filter(|token| token.agent == Some(id));
        for token in tokens.map(|token| token.id).collect::<Vec<_>>() {
            self.emit(Effect::TokenGone(token));
        }
        self.emit(Effect::AgentGone(id));
        self.audit(Action::Delete, "agent", &name, by, (Some(id), None));
        Ok(id.get())
    }

    /// An agent that is not missed goes.
    pub(crate) fn retire(&mut self, id: AgentId) {
        // It is there: its deadline was just looked up.
        let _ = self.delete_agent(id, "expire_after");
    }

    fn create_check(&mut self, mut check: Check, by: &str) -> Changed {
        self.given.in_check(&mut check);
        check.id = self.next_check();
        check.delivered_at = None;
        let id = check.id;
        self.check_check(&check)?;
        self.audit(Action::Create, "check", &check.name, by, (Some(check.agent), Some(id)));
        let agent = check.agent;
        self.emit(Effect::Check(Arc::new(check)));
        self.note_change_for(agent);
        Ok(id.get())
    }

    fn update_check(&mut self, mut check: Check, by: &str) -> Changed {
        self.given.in_check(&mut check);
        let id = check.id;
        let Some(entry) = self.truth.checks.get(&id) else {
            return Err(not_found("check", id.get()));
        };
        let (was_enabled, old_agent) = (entry.check.enabled, entry.check.agent);
        // A check that is switched on again, or is another's now, has not been delivered yet.
        let stays = check.enabled && was_enabled && check.agent == old_agent;
        check.delivered_at = entry.check.delivered_at.filter(|_| stays);
        self.check_check(&check)?;
        self.audit(Action::Update, "check", &check.name, by, (Some(check.agent), Some(id)));
        let (enabled, agent) = (check.enabled, check.agent);
        if was_enabled && !enabled {
            self.close(id);
        }
        self.emit(Effect::Check(Arc::new(check)));
        self.note_change_for(agent);
        if old_agent != agent {
            self.note_change_for(old_agent);
        }
        self.truth.arm_check(id);
        // What is told of it, and of what depends on it, may be another matter now.
        self.look_again(id);
        Ok(id.get())
    }

    fn delete_check(&mut self, id: CheckId, by: &str) -> Changed {
        let Some(entry) = self.truth.checks.get(&id) else {
            return Err(not_found("check", id.get()));
        };
        let check = Arc::clone(&entry.check);
        self.close(id);
        self.emit(Effect::CheckGone(id));
        self.audit(Action::Delete, "check", &check.name, by, (Some(check.agent), Some(id)));
        self.note_change_for(check.agent);
        Ok(id.get())
    }

    /// Something changed that the agent must know.
    fn note_change_for(&mut self, id: AgentId) {
        let config_version = self.next_version();
        if let Some(entry) = self.truth.agents.get(&id) {
            let agent = Arc::clone(&entry.agent);
            self.emit(Effect::Agent { agent, config_version });
        }
    }

    fn create_channel(&mut self, mut channel: Channel, by: &str) -> Changed {
        self.given.in_channel(&mut channel);
        channel.id = self.next_channel();
        channel.paused = None;
        let id = channel.id;
        self.check_channel_name(&channel)?;
        self.audit(Action::Create, "channel", &channel.name, by, (None, None));
        self.emit(Effect::Channel(Arc::new(channel)));
        self.look_at_all();
        Ok(id.get())
    }

    fn update_channel(&mut self, mut channel: Channel, by: &str) -> Changed {
        self.given.in_channel(&mut channel);
        let id = channel.id;
        let Some(before) = self.truth.channels.get(&id) else {
            return Err(not_found("channel", id.get()));
        };
        let (was_paused, was_enabled) = (before.paused.is_some(), before.enabled);
        channel.paused = None;
        self.check_channel_name(&channel)?;
        self.audit(Action::Update, "channel", &channel.name, by, (None, None));
        self.emit(Effect::Channel(Arc::new(channel)));
        if was_paused {
            self.record(self.now, None, None, Happening::Channel { channel: id, fault: None });
        }
        if !was_enabled {
            self.look_at_all();
        }
        Ok(id.get())
    }

    fn delete_channel(&mut self, id: ChannelId, by: &str) -> Changed {
        let Some(channel) = self.truth.channels.get(&id) else {
            return Err(not_found("channel", id.get()));
        };
        let name = channel.name.clone();
        self.suppress_all(id);
        let knows = |entry: &CheckEntry| entry.state.told(id).is_some();
        let told: Vec<CheckId> =
            self.truth.checks.values().filter(|entry| knows(entry)).map(|entry| entry.check.id).collect();
        for check in told {
            if let Some(entry) = self.truth.checks.get(&check) {
                let mut state = CheckState::clone(&entry.state);
                state.told.retain(|told| told.channel != id);
                self.emit(Effect::State { check, state: Box::new(state) });
            }
        }
        self.forget_channel(id);
        self.emit(Effect::ChannelGone(id));
        self.audit(Action::Delete, "channel", &name, by, (None, None));
        Ok(id.get())
    }

    /// Pauses a channel, or releases it.
    pub(crate) fn pause(&mut self, id: ChannelId, pause: Option<Pause>) -> Result<(), Refusal> {
        let Some(channel) = self.truth.channels.get(&id) else {
            return Err(not_found("channel", id.get()));
        };
        if channel.paused == pause {
            return Ok(());
        }
        let fault = pause.as_ref().map(|pause| pause.fault.clone());
        let mut channel = Channel::clone(channel);
        channel.paused = pause;
        self.emit(Effect::Channel(Arc::new(channel)));
        self.record(self.now, None, None, Happening::Channel { channel: id, fault });
        Ok(())
    }

    fn create_token(&mut self, mut token: Token, by: &str) -> Changed {
        self.given.in_token(&mut token);
        token.id = self.next_token();
        let id = token.id;
        self.check_token(&token)?;
        self.audit(Action::Create, "token", &token.name, by, (token.agent, None));
        self.emit(Effect::Token(Arc::new(token)));
        Ok(id.get())
    }

    fn update_token(&mut self, token: Token, by: &str) -> Changed {
        let id = token.id;
        if !self.truth.tokens.contains_key(&id) {
            return Err(not_found("token", id.get()));
        }
        self.check_token(&token)?;
        self.audit(Action::Update, "token", &token.name, by, (token.agent, None));
        self.emit(Effect::Token(Arc::new(token)));
        Ok(id.get())
    }

    fn use_token(&mut self, id: TokenId) -> Changed {
        let token = self.truth.tokens.get(&id).ok_or(Refusal::UsedUp)?;
        if token.expires_at.is_some_and(|end| end <= self.now) {
            return Err(Refusal::UsedUp);
        }
        match token.uses {
            None => {}
            Some(0) => return Err(Refusal::UsedUp),
            Some(1) => self.emit(Effect::TokenGone(id)),
            Some(uses) => {
                let mut token = Token::clone(token);
                token.uses = Some(uses - 1);
                self.emit(Effect::Token(Arc::new(token)));
            }
        }
        Ok(id.get())
    }

    fn delete_token(&mut self, id: TokenId, by: &str) -> Changed {
        let Some(token) = self.truth.tokens.get(&id) else {
            return Err(not_found("token", id.get()));
        };
        let token = Arc::clone(token);
        self.emit(Effect::TokenGone(id));
        self.audit(Action::Delete, "token", &token.name, by, (token.agent, None));
        Ok(id.get())
    }

    fn check_agent_name(&self, agent: &Agent) -> Result<(), Refusal> {
        let holder = self.truth.names.agents.get(&agent.name).map(|id| id.get());
        free(holder, agent.id.get(), ("agent", "name"), &agent.name)
    }

    /// Whether the guid of an agent is its own.
    pub(crate) fn check_guid(&self, agent: &Agent) -> Result<(), Refusal> {
        let Some(guid) = &agent.guid else {
            return Ok(());
        };
        let holder = self.truth.names.guids.get(guid).map(|id| id.get());
        free(holder, agent.id.get(), ("agent", "guid"), guid)
    }

    fn check_check(&self, check: &Check) -> Result<(), Refusal> {
        if !self.truth.agents.contains_key(&check.agent) {
            return Err(not_found("agent", check.agent.get()));
        }
        let holder = self.truth.names.check(&self.truth.checks, check.agent, &check.name).map(CheckId::get);
        free(holder, check.id.get(), ("check", "name"), &check.name)
    }

    fn check_channel_name(&self, channel: &Channel) -> Result<(), Refusal> {
        let holder = self.truth.names.channels.get(&channel.name).map(|id| id.get());
        free(holder, channel.id.get(), ("channel", "name"), &channel.name)
    }

    fn check_token(&self, token: &Token) -> Result<(), Refusal> {
        if let Some(agent) = token.agent.filter(|agent| !self.truth.agents.contains_key(agent)) {
            return Err(not_found("agent", agent.get()));
        }
        let holder = self.truth.names.tokens.get(&token.name).map(|id| id.get());
        free(holder, token.id.get(), ("token", "name"), &token.name)
    }
}

pub(crate) fn not_found(object: &'static str, id: u64) -> Refusal {
    Refusal::NotFound { object, id }
}

/// The number under which a new object may be referred to by what follows in the same commit.
fn promised(change: &Change) -> Option<(&'static str, u64)> {
    match change {
        Change::CreateAgent(agent) => Some(("agent", agent.id.get())),
        Change::CreateCheck(check) => Some(("check", check.id.get())),
        Change::CreateChannel(channel) => Some(("channel", channel.id.get())),
        _ => None,
    }
}

/// Whether nobody but `id` holds this text.
pub(crate) fn free(
    holder: Option<u64>,
    id: u64,
    (object, field): (&'static str, &'static str),
    value: &str,
) -> Result<(), Refusal> {
    match holder {
        Some(holder) if holder != id => {
            Err(Refusal::Taken { object, id: holder, field, value: value.to_owned() })
        }
        _ => Ok(()),
    }
}

/// The check that stands for an agent itself.
fn own_check(id: CheckId, agent: AgentId) -> Check {
    let spec = CheckSpec {
        settings: CheckSettings { max_attempts: 1, ..CheckSettings::default() },
        description: "Whether the agent is in contact.".to_owned(),
        ..CheckSpec::new(AGENT_KIND, serde_json::json!({}))
    };
    Check { id, ..Check::new(agent, AGENT_KIND, spec) }
}
