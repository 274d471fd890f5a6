//! What the store holds of the configuration, read once.

use std::collections::HashMap;
use std::sync::Arc;

use vilicus_core::{AgentId, Downtime, Inhibition, Route};
use vilicus_store::inventory::{Agent, Channel, Check, Template};
use vilicus_store::query::{AgentFilter, CheckFilter, Page};
use vilicus_store::{Store, StoreError};

/// Everything that is configured.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) templates: Vec<Arc<Template>>,
    pub(crate) agents: Vec<Arc<Agent>>,
    pub(crate) channels: Vec<Arc<Channel>>,
    /// In the order in which they are tried.
    pub(crate) routes: Vec<Arc<Route>>,
    pub(crate) inhibitions: Vec<Arc<Inhibition>>,
    pub(crate) downtimes: Vec<Arc<Downtime>>,
    pub(crate) checks: Vec<Arc<Check>>,
}

impl Snapshot {
    /// Reads all of it.
    ///
    /// # Errors
    /// The store can't read.
    pub(crate) async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let agents = store.agents(&AgentFilter::default(), Page::ALL).await?.objects;
        let checks = store.checks(&CheckFilter::default(), Page::ALL).await?.objects;
        Ok(Self {
            templates: store.templates().await?,
            agents: agents.into_iter().map(|view| view.agent).collect(),
            channels: store.channels().await?,
            routes: store.routes().await?.into_iter().map(Arc::new).collect(),
            inhibitions: store.inhibitions().await?,
            downtimes: store.downtimes().await?,
            checks: checks.into_iter().map(|view| view.check).collect(),
        })
    }

    /// The checks of each agent.
    pub(super) fn checks_by_agent(&self) -> HashMap<AgentId, Vec<Arc<Check>>> {
        let mut by_agent: HashMap<AgentId, Vec<Arc<Check>>> = HashMap::new();
        for check in &self.checks {
            by_agent.entry(check.agent).or_default().push(Arc::clone(check));
        }
        by_agent
    }
}
