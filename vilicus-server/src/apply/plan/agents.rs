//! Agents: known by their names. One that is not enrolled yet is made, and waits for its program.
//!
//! An agent has a life of its own: it enrols with tags and says what its host is. What a configuration does not say of
//! that stays as it is; its templates and its interval are the configuration's alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vilicus_core::AgentId;
use vilicus_store::inventory::{Agent, Template};

use super::object::Object as _;
use super::snapshot::Snapshot;
use super::{Declared, Planner};
use crate::api::agent_body::{AgentInput, new_agent};
use crate::api::check_input::CheckInput;
use crate::api::reference::Target;
use crate::api::template::unknown;
use crate::apply::Entry;

/// The agents as they will be.
#[derive(Debug, Default)]
pub(super) struct Agents {
    pub(super) all: BTreeMap<AgentId, Arc<Agent>>,
    /// Of all that are declared too, also when something else is wrong with one.
    pub(super) ids: BTreeMap<String, AgentId>,
}

impl Planner<'_> {
    pub(super) fn agents(
        &mut self,
        declared: &[Declared<AgentInput>],
        old: &Snapshot,
        templates: &[Arc<Template>],
    ) -> Agents {
        let mut agents = Agents::default();
        let known: BTreeMap<&str, &Arc<Agent>> =
            old.agents.iter().map(|agent| (agent.name.as_str(), agent)).collect();
        let mut kept = BTreeSet::new();
        for Declared { entry, .. } in declared {
            let id = known.get(entry.name()).map_or_else(|| self.ids.next(), |agent| agent.id);
            agents.ids.entry(entry.name().to_owned()).or_insert(id);
            kept.insert(id.get());
        }
        for (entry, input) in self.once(declared, "agent") {
            let old = known.get(input.name.as_str()).copied();
            if let Err(problem) = input.validate() {
                self.faults.problem(entry, &problem);
            }
            for (index, name) in input.templates.iter().enumerate() {
                if let Some(detail) = unknown(name, templates.iter().map(|template| template.name.as_str())) {
                    self.faults.value(entry, &format!("/templates/{index}"), detail);
                }
            }
            let base = old.map_or_else(|| new_agent(self.wish.now), |old| (**old).clone());
            let id = agents.ids.get(&input.name).copied().unwrap_or(base.id);
            let wanted = keeping(entry, input.clone().into_agent(&Agent { id, ..base }), old);
            let wanted = self.settle(entry, &input.name, wanted, old.map(Arc::as_ref));
            agents.all.insert(wanted.id, Arc::new(wanted));
        }
        self.others(&mut agents, old, &kept, templates);
        agents
    }

    /// Takes it that the agents are there which checks name.
    pub(super) fn assume(&mut self, checks: &[Declared<CheckInput>], agents: &mut Agents) {
        for input in checks.iter().filter_map(|declared| declared.input.as_ref()) {
            let Some(Target::Name(name)) = input.agent.among("agent") else { continue };
            if agents.ids.contains_key(name) {
                continue;
            }
            self.notes
                .push(format!("no agent '{name}' is declared; it has to be enrolled before this is applied"));
            let agent = Agent { id: self.ids.next(), name: name.clone(), ..new_agent(self.wish.now) };
            agents.ids.insert(name.clone(), agent.id);
            agents.all.insert(agent.id, Arc::new(agent));
        }
    }

    /// The agents that the configuration says nothing of.
    fn others(
        &mut self,
        agents: &mut Agents,
        old: &Snapshot,
        kept: &BTreeSet<u64>,
        templates: &[Arc<Template>],
    ) {
        let gone = self.gone(&old.agents, kept, |agent| agent.name.clone());
        let gone: BTreeSet<AgentId> = gone.into_iter().map(|agent| agent.id).collect();
        let left =
            old.agents.iter().filter(|agent| !kept.contains(&agent.number()) && !gone.contains(&agent.id));
        for agent in left {
            let missing =
                agent.templates.iter().find(|name| templates.iter().all(|template| template.name != **name));
            if let Some(name) = missing {
                self.notes.push(format!(
                    "the agent '{}' names the template '{name}', which there is not",
                    agent.name
                ));
            }
            self.names.add(&**agent, agent.name.clone());
            agents.ids.insert(agent.name.clone(), agent.id);
            agents.all.insert(agent.id, Arc::clone(agent));
        }
    }
}

/// The agent as declared, with what is not said of it as it was.
fn keeping(entry: &Entry, wanted: Agent, old: Option<&Arc<Agent>>) -> Agent {
    let Some(old) = old else { return wanted };
    let old = (**old).clone();
    let mut agent = wanted;
    macro_rules! keep {
        ($($field:ident)*) => {$(if !entry.says(stringify!($field)) { agent.$field = old.$field; })*};
    }
    keep!(hostname version guid facts tags ephemeral expire_after);
    agent
}
