//! The agent of the self-checks, and its checks: made at the start, where they are missing.
//!
//! What is there is the operators': thresholds, intervals and all else stay as they are. A check that was deleted comes
//! back at the next start; to be rid of one, switch it off. The agent is known by its guid, so its name may be
//! changed.

use serde_json::json;
use vilicus_core::{AgentId, Millis, Timestamp};
use vilicus_store::inventory::{Agent, Check, CheckSettings, CheckSpec, SELF_KIND};
use vilicus_store::query::{AgentFilter, CheckFilter, Page};
use vilicus_store::{Change, Input, Json, Outcome, Store, StoreError};

use super::watch::Watch;
use crate::tokens::BY;

/// The name of the agent, unless another one has it.
pub(super) const NAME: &str = "vilicus";
/// What the agent is known by.
pub(crate) const GUID: &str = "vilicus-self-checks";
/// How often the server looks at itself.
pub(super) const INTERVAL: Millis = Millis::from_secs(30);
/// How soon it looks again while it is not sure: with the interval and the attempts, a fault is confirmed within 40 s.
const RETRY: Millis = Millis::from_secs(10);
const ATTEMPTS: u32 = 2;

/// The self-checks can't be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetUpError {
    /// The store failed.
    #[error("the self-checks cannot be stored")]
    Store(#[from] StoreError),
    /// A default threshold is wrong.
    #[error("the thresholds of a self-check cannot be made")]
    Thresholds(#[from] serde_json::Error),
    /// The store answered a new agent with something else.
    #[error("the store gave the agent of the self-checks no id")]
    NoId,
}

/// What there is to watch here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Present {
    /// Whether the server has a certificate.
    pub(crate) certificate: bool,
    /// Whether the store has a directory.
    pub(crate) directory: bool,
    /// Whether someone waits for a heartbeat.
    pub(crate) heartbeat: bool,
}

impl Present {
    fn includes(self, watch: Watch) -> bool {
        match watch {
            Watch::Certificate => self.certificate,
            Watch::Disk => self.directory,
            Watch::Heartbeat => self.heartbeat,
            _ => true,
        }
    }
}

/// Sees to it that the agent and its checks are there.
///
/// # Errors
/// The store can't write.
pub(crate) async fn ensure(
    store: &dyn Store,
    present: Present,
    now: Timestamp,
) -> Result<AgentId, SetUpError> {
    let agent = match find(store).await? {
        Some(agent) => agent,
        None => create(store, now).await?,
    };
    let filter =
        CheckFilter { agents: vec![agent], kinds: vec![SELF_KIND.to_owned()], ..CheckFilter::default() };
    let checks = store.checks(&filter, Page::ALL).await?.objects;
    let mut inputs = Vec::new();
    for watch in Watch::ALL {
        let there = checks.iter().find(|view| view.check.name == watch.as_str());
        match (there, present.includes(watch)) {
            (None, true) => inputs.push(change(Change::CreateCheck(Box::new(check(agent, watch)?)))),
            (Some(view), false) => inputs.push(change(Change::DeleteCheck(view.check.id))),
            _ => {}
        }
    }
    if !inputs.is_empty() {
        store.commit(now, inputs).await?;
    }
    Ok(agent)
}

/// Takes the agent and its checks away: nobody would look any longer.
///
/// # Errors
/// The store can't write.
pub(crate) async fn remove(store: &dyn Store, now: Timestamp) -> Result<(), SetUpError> {
    if let Some(agent) = find(store).await? {
        store.commit(now, vec![change(Change::DeleteAgent(agent))]).await?;
    }
    Ok(())
}

async fn find(store: &dyn Store) -> Result<Option<AgentId>, StoreError> {
    let filter = AgentFilter { guid: Some(GUID.to_owned()), ..AgentFilter::default() };
    let found = store.agents(&filter, Page { offset: 0, limit: 1 }).await?.objects;
    Ok(found.first().map(|view| view.agent.id))
}

async fn create(store: &dyn Store, now: Timestamp) -> Result<AgentId, SetUpError> {
    let agent = Agent {
        id: AgentId::from(std::num::NonZeroU64::MIN),
        name: crate::local_agent::free_name(store, NAME).await?,
        hostname: NAME.to_owned(),
        guid: Some(GUID.to_owned()),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        check_interval: INTERVAL,
        tags: Vec::new(),
        facts: Json(json!({})),
        ephemeral: false,
        expire_after: None,
        templates: Vec::new(),
        managed_by: None,
        created_at: now,
        last_checkin: None,
    };
    let outcomes = store.commit(now, vec![change(Change::CreateAgent(Box::new(agent)))]).await?;
    match outcomes.first() {
        Some(Outcome::Id(id)) => AgentId::new(*id).ok_or(SetUpError::NoId),
        _ => Err(SetUpError::NoId),
    }
}

fn check(agent: AgentId, watch: Watch) -> Result<Check, SetUpError> {
    let settings = CheckSettings {
        retry_interval: Some(RETRY),
        // A blindness is sure when it is noticed.
        max_attempts: if watch == Watch::Blindness { 1 } else { ATTEMPTS },
        thresholds: serde_json::from_value(watch.default_thresholds())?,
        ..CheckSettings::default()
    };
    let spec = CheckSpec {
        settings,
        description: watch.description().to_owned(),
        ..CheckSpec::new(SELF_KIND, json!({ "watch": watch }))
    };
    Ok(Check::new(agent, watch.as_str(), spec))
}

fn change(change: Change) -> Input {
    Input::Change { change, by: BY.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_store::{EngineStore, MemoryEngine, Options};

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
    const ALL: Present = Present { certificate: true, directory: true, heartbeat: true };

    async fn names(store: &dyn Store, agent: AgentId) -> Vec<String> {
        let filter =
            CheckFilter { agents: vec![agent], kinds: vec![SELF_KIND.to_owned()], ..CheckFilter::default() };
        let checks = store.checks(&filter, Page::ALL).await.unwrap().objects;
        checks.iter().map(|view| view.check.name.clone()).collect()
    }

    #[tokio::test]
    async fn checks_are_made_once_and_only_where_there_is_something_to_watch() {
        let store = EngineStore::open(MemoryEngine::new(), Options::new(NOW, [7; 16])).unwrap();
        let few = Present { certificate: false, directory: false, heartbeat: false };
        let agent = ensure(&store, few, NOW).await.unwrap();
        assert_eq!(names(&store, agent).await.len(), Watch::ALL.len() - 3);
        assert_eq!(ensure(&store, ALL, NOW).await.unwrap(), agent);
        assert_eq!(names(&store, agent).await.len(), Watch::ALL.len());
        ensure(&store, few, NOW).await.unwrap();
        assert!(!names(&store, agent).await.contains(&"certificate".to_owned()));
        remove(&store, NOW).await.unwrap();
        assert_eq!(store.agents(&AgentFilter::default(), Page::ALL).await.unwrap().total, 0);
        remove(&store, NOW).await.unwrap();
    }
}
