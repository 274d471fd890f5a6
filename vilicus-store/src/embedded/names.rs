//! Who has which name: names, guids and tokens are found without looking through everything.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use vilicus_core::{AgentId, ChannelId, CheckId, TokenId};

use crate::embedded::table::CheckTable;
use crate::inventory::{Agent, Channel, Check, Token};

/// Who has which name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) agents: HashMap<String, AgentId>,
    pub(crate) guids: HashMap<String, AgentId>,
    checks: CheckNames,
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
    pub(crate) fn check(&self, checks: &CheckTable, agent: AgentId, name: &str) -> Option<CheckId> {
        self.checks.find(agent, name, |id| checks.get(&id).map(|entry| entry.check.as_ref()))
    }

    /// A check has this name now.
    pub(crate) fn put_check(&mut self, check: &Check) {
        self.checks.insert(check);
        self.ping_keys.extend(check.ping_key.clone().map(|key| (key, check.id)));
    }

    /// A check is gone, or has another name.
    pub(crate) fn remove_check(&mut self, check: &Check) {
        if let Some(key) = &check.ping_key {
            self.ping_keys.remove(key);
        }
        self.checks.remove(check);
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

/// The ids of checks by the hash of their agent and name. There are so many that the names are not kept twice.
#[derive(Debug, Default)]
struct CheckNames {
    hasher: RandomState,
    ids: HashTable<(u64, CheckId)>,
}

impl CheckNames {
    fn hash(&self, agent: AgentId, name: &str) -> u64 {
        self.hasher.hash_one((agent, name))
    }

    fn find<'a>(
        &self,
        agent: AgentId,
        name: &str,
        check: impl Fn(CheckId) -> Option<&'a Check>,
    ) -> Option<CheckId> {
        let wanted = self.hash(agent, name);
        let is_it = |(hash, id): &(u64, CheckId)| {
            *hash == wanted && check(*id).is_some_and(|check| check.agent == agent && check.name == name)
        };
        self.ids.find(wanted, is_it).map(|(_, id)| *id)
    }

    fn insert(&mut self, check: &Check) {
        let hash = self.hash(check.agent, &check.name);
        self.ids.insert_unique(hash, (hash, check.id), |(hash, _)| *hash);
    }

    fn remove(&mut self, check: &Check) {
        let hash = self.hash(check.agent, &check.name);
        if let Ok(found) = self.ids.find_entry(hash, |(_, id)| *id == check.id) {
            found.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use serde_json::json;

    use super::*;
    use crate::inventory::CheckSpec;

    fn check(id: u64, agent: u64, name: &str) -> Check {
        let agent = AgentId::new(agent).unwrap();
        let id = CheckId::from(NonZeroU64::new(id).unwrap());
        Check { id, ..Check::new(agent, name, CheckSpec::new("disk", json!({}))) }
    }

    #[test]
    fn a_check_is_found_by_its_agent_and_name_until_it_is_gone() {
        let checks = [check(1, 1, "disk"), check(2, 1, "load"), check(3, 2, "disk")];
        let mut names = CheckNames::default();
        checks.iter().for_each(|check| names.insert(check));
        let find = |names: &CheckNames, agent, name| {
            let by_id = |id| checks.iter().find(|check| check.id == id);
            names.find(AgentId::new(agent).unwrap(), name, by_id).map(CheckId::get)
        };
        assert_eq!([find(&names, 1, "disk"), find(&names, 1, "load")], [Some(1), Some(2)]);
        assert_eq!([find(&names, 2, "disk"), find(&names, 2, "load")], [Some(3), None]);
        names.remove(&checks[0]);
        assert_eq!([find(&names, 1, "disk"), find(&names, 2, "disk")], [None, Some(3)]);
    }
}
