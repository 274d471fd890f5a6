//! What a change of agents, checks or templates leads to. It is asked before every such change is written, and its changes
//! are written in the same step: no agent is ever without the checks that are its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vilicus_core::AgentId;
use vilicus_store::inventory::{Agent, Check, Template};
use vilicus_store::query::{AgentFilter, CheckFilter, Page};
use vilicus_store::store::PROVISIONAL;
use vilicus_store::{Change, Store, StoreError};

use super::{Provisional, Read, for_agent};
use crate::api::Random;
use crate::http::Problem;

/// These changes, and all that templates make of them. The caller holds the door of edits.
///
/// # Errors
/// The store can't read, or the system gives no randomness.
pub(crate) async fn following(
    store: &dyn Store,
    random: &dyn Random,
    mut changes: Vec<Change>,
) -> Result<Vec<Change>, Problem> {
    if !changes.iter().any(concerns) {
        return Ok(changes);
    }
    let stored = store.templates().await?;
    let all_agents = changes.iter().any(is_of_template);
    if stored.is_empty() && !all_agents {
        return Ok(changes);
    }
    let mut ids = number(&mut changes);
    let templates = read_all(&stored, &changes);
    let mut picture = Picture::read(store, &changes, all_agents).await?;
    for change in &changes {
        picture.follow(change);
    }
    for (agent, checks) in picture.agents.into_values() {
        let outcome = for_agent(&agent, &checks, &templates, &mut ids, random)?;
        changes.extend(outcome.changes());
    }
    Ok(changes)
}

fn concerns(change: &Change) -> bool {
    is_of_template(change)
        || matches!(
            change,
            Change::CreateAgent(_)
                | Change::UpdateAgent(_)
                | Change::CreateCheck(_)
                | Change::UpdateCheck(_)
                | Change::DeleteCheck(_)
        )
}

fn is_of_template(change: &Change) -> bool {
    matches!(change, Change::CreateTemplate(_) | Change::UpdateTemplate(_) | Change::DeleteTemplate(_))
}

/// Gives new agents and checks numbers by which others can refer to them, where they have none yet.
fn number(changes: &mut [Change]) -> Provisional {
    let given = changes.iter().filter_map(|change| match change {
        Change::CreateAgent(agent) => Some(agent.id.get()),
        Change::CreateCheck(check) => Some(check.id.get()),
        _ => None,
    });
    let mut ids = Provisional::new().after(given);
    for change in changes {
        match change {
            Change::CreateAgent(agent) if agent.id.get() < PROVISIONAL => agent.id = ids.next(),
            Change::CreateCheck(check) if check.id.get() < PROVISIONAL => check.id = ids.next(),
            _ => {}
        }
    }
    ids
}

/// The templates as they will be, sorted by name.
fn read_all(stored: &[Arc<Template>], changes: &[Change]) -> Vec<Read> {
    let mut templates: BTreeMap<_, Arc<Template>> =
        stored.iter().map(|template| (template.id, Arc::clone(template))).collect();
    let mut new = Vec::new();
    for change in changes {
        match change {
            Change::CreateTemplate(template) => new.push(Arc::new((**template).clone())),
            Change::UpdateTemplate(template) => {
                drop(templates.insert(template.id, Arc::new((**template).clone())))
            }
            Change::DeleteTemplate(id) => drop(templates.remove(id)),
            _ => {}
        }
    }
    let mut all: Vec<Arc<Template>> = templates.into_values().chain(new).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all.into_iter().map(Read::new).collect()
}

/// The agents that changes are about, with their checks.
#[derive(Debug, Default)]
struct Picture {
    agents: BTreeMap<AgentId, (Arc<Agent>, Vec<Arc<Check>>)>,
}

impl Picture {
    async fn read(store: &dyn Store, changes: &[Change], all: bool) -> Result<Self, StoreError> {
        let mut ids = BTreeSet::new();
        for change in changes {
            match change {
                Change::UpdateAgent(agent) => drop(ids.insert(agent.id)),
                Change::CreateCheck(check) | Change::UpdateCheck(check) => drop(ids.insert(check.agent)),
                Change::DeleteCheck(id) => ids.extend(store.check(*id).await?.map(|view| view.check.agent)),
                _ => {}
            }
        }
        let ids: Vec<AgentId> = ids.into_iter().filter(|id| id.get() < PROVISIONAL).collect();
        if ids.is_empty() && !all {
            return Ok(Self::default());
        }
        // No ids are all of them.
        let ids = if all { Vec::new() } else { ids };
        let agents = AgentFilter { ids: ids.clone(), ..AgentFilter::default() };
        let checks = CheckFilter { agents: ids, ..CheckFilter::default() };
        let agents = store.agents(&agents, Page::ALL).await?.objects;
        let mut picture = Self {
            agents: agents.into_iter().map(|view| (view.agent.id, (view.agent, Vec::new()))).collect(),
        };
        for view in store.checks(&checks, Page::ALL).await?.objects {
            if let Some((_, checks)) = picture.agents.get_mut(&view.check.agent) {
                checks.push(view.check);
            }
        }
        Ok(picture)
    }

    fn follow(&mut self, change: &Change) {
        match change {
            Change::CreateAgent(agent) => {
                self.agents.insert(agent.id, (Arc::new((**agent).clone()), Vec::new()));
            }
            Change::UpdateAgent(agent) => {
                if let Some((old, _)) = self.agents.get_mut(&agent.id) {
                    *old = Arc::new((**agent).clone());
                }
            }
            Change::DeleteAgent(id) => drop(self.agents.remove(id)),
            Change::CreateCheck(check) | Change::UpdateCheck(check) => {
                if let Some((_, checks)) = self.agents.get_mut(&check.agent) {
                    checks.retain(|old| old.id != check.id);
                    checks.push(Arc::new((**check).clone()));
                }
            }
            Change::DeleteCheck(id) => {
                for (_, checks) in self.agents.values_mut() {
                    checks.retain(|check| check.id != *id);
                }
            }
            _ => {}
        }
    }
}
