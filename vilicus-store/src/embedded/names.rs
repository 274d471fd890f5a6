//! Who has which name: names, guids and tokens are found without looking through everything.

use std::collections::HashMap;

use vilicus_core::{AgentId, ChannelId, CheckId, TokenId};

use crate::inventory::{Agent, Channel, Check, Token};

/// Who has which name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) agents: HashMap<String, AgentId>,
    pub(crate) guids: HashMap<String, AgentId>,
    checks: HashMap<AgentId, HashMap<String, CheckId>>,
    pub(crate) channels: HashMap<String, ChannelId>,
    pub(crate) ping_keys: HashMap<String, CheckId>,
    pub(crate) tokens: HashMap<String, TokenId>,
    pub(crate) hashes: HashMap<[u8; 32], TokenId>,
}

impl Names {
    /// An agent has these names now, and had those before.
    pub(crate) fn put_agent(&mut self, before: Option<&Agent>, agent: &Agent) {
        if let Some(before) = before {
            self.remove_agent(before);
        }
        self.agents.insert(agent.name.clone(), agent.id);
        if let Some(guid) = &agent.guid {
            self.guids.insert(guid.clone(), agent.id);
        }
    }

    /// An agent is gone.
    pub(crate) fn remove_agent(&mut self, agent: &Agent) {
        self.agents.remove(&agent.name);
        if let Some(guid) = &agent.guid {
            self.guids.remove(guid);
        }
    }

    /// The check of an agent that has this name.
    pub(crate) fn check(&self, agent: AgentId, name: &str) -> Option<CheckId> {
        self.checks.get(&agent)?.get(name).copied()
    }

    /// A check has this name now.
    pub(crate) fn put_check(&mut self, check: &Check) {
        self.checks.entry(check.agent).or_default().insert(check.name.clone(), check.id);
        self.ping_keys.extend(check.ping_key.clone().map(|key| (key, check.id)));
    }

    /// A check is gone, or has another name.
    pub(crate) fn remove_check(&mut self, check: &Check) {
        if let Some(key) = &check.ping_key {
            self.ping_keys.remove(key);
        }
        if let Some(names) = self.checks.get_mut(&check.agent) {
            names.remove(&check.name);
            if names.is_empty() {
                self.checks.remove(&check.agent);
            }
        }
    }

    /// A channel has this name now, and had that one before.
    pub(crate) fn put_channel(&mut self, before: Option<&Channel>, channel: &Channel) {
        if let Some(before) = before {
            self.remove_channel(before);
        }
        self.channels.insert(channel.name.clone(), channel.id);
    }

    /// A channel is gone.
    pub(crate) fn remove_channel(&mut self, channel: &Channel) {
        self.channels.remove(&channel.name);
    }

    /// A token has this name and hash now, and had those before.
    pub(crate) fn put_token(&mut self, before: Option<&Token>, token: &Token) {
        if let Some(before) = before {
            self.remove_token(before);
        }
        self.tokens.insert(token.name.clone(), token.id);
        self.hashes.insert(token.hash, token.id);
    }

    /// A token is gone.
    pub(crate) fn remove_token(&mut self, token: &Token) {
        self.tokens.remove(&token.name);
        self.hashes.remove(&token.hash);
    }
}
