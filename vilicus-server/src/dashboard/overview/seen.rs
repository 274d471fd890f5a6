//! What the server watches, read once for all who look at about the same time: with ten thousand checks that takes a
//! while, and two hundred people must not take it from those who report.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, OnceCell};
use vilicus_core::{AgentId, EventId, Millis, Status, Timestamp};
use vilicus_store::inventory::{Agent, Channel, Token};
use vilicus_store::query::{AgentFilter, AgentView, CheckFilter, CheckView, EventQuery, Order, Page};
use vilicus_store::{Store, StoreError};

use super::filter::Filter;
use super::view::Overview;
use crate::self_check::GUID;

/// Good for so long, whatever happens meanwhile: pages ask again a little later than this after an event.
const AT_LEAST: Millis = Millis::new(250);
/// Good for so long, when nothing happens.
const AT_MOST: Millis = Millis::from_secs(1);

/// What was seen last, for all viewers.
#[derive(Debug, Clone, Default)]
pub(in crate::dashboard) struct Shared(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: Mutex<Option<Arc<Seen>>>,
    /// Counts what was changed from the pages: people see their own changes at once.
    changes: AtomicU64,
}

/// All agents and checks at one moment.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) at: Timestamp,
    pub(super) agents: Vec<AgentView>,
    pub(super) checks: Vec<CheckView>,
    pub(super) channels: Vec<Arc<Channel>>,
    /// The names of the agents that wait to be let in.
    pub(super) waiting: Vec<String>,
    changes: u64,
    newest: Option<EventId>,
    unfiltered: OnceCell<Arc<Overview>>,
}

impl Shared {
    /// Something was changed from a page: what was seen before is old.
    pub(in crate::dashboard) fn changed(&self) {
        self.0.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// What is seen now. Those who ask while it is read wait for that.
    pub(super) async fn look(&self, store: &dyn Store, now: Timestamp) -> Result<Arc<Seen>, StoreError> {
        let mut last = self.0.last.lock().await;
        let changes = self.0.changes.load(Ordering::Relaxed);
        if let Some(seen) = last.as_ref().filter(|seen| seen.changes == changes && seen.at <= now) {
            let age = now.since(seen.at);
            if age < AT_LEAST || age < AT_MOST && seen.newest == newest(store).await? {
                return Ok(seen.clone());
            }
        }
        // Before the state is read: what happens meanwhile is newer.
        let newest = newest(store).await?;
        let mut agents = store.agents(&AgentFilter::default(), Page::ALL).await?.objects;
        let mut checks = store.checks(&CheckFilter::default(), Page::ALL).await?.objects;
        // That the server is well goes without saying.
        let is_problem = |view: &CheckView| view.state.status.is_some_and(Status::is_problem);
        checks.retain(|view| !is_self_check(&view.agent) || is_problem(view));
        agents.retain(|view| {
            !is_self_check(&view.agent) || checks.iter().any(|check| check.agent.id == view.agent.id)
        });
        let waiting = waiting(&store.tokens().await?, &agents);
        let seen = Arc::new(Seen {
            at: now,
            agents,
            checks,
            channels: store.channels().await?,
            waiting,
            changes,
            newest,
            unfiltered: OnceCell::new(),
        });
        *last = Some(seen.clone());
        Ok(seen)
    }
}

fn waiting(tokens: &[Arc<Token>], agents: &[AgentView]) -> Vec<String> {
    let tokens = tokens.iter().filter(|token| token.needs_approval);
    let waits: Vec<AgentId> = tokens.filter_map(|token| token.agent).collect();
    let agents = agents.iter().filter(|view| waits.contains(&view.agent.id));
    agents.map(|view| view.agent.name.clone()).collect()
}

/// Whether an agent only holds the checks that the server makes of itself.
fn is_self_check(agent: &Agent) -> bool {
    agent.guid.as_deref() == Some(GUID)
}

async fn newest(store: &dyn Store) -> Result<Option<EventId>, StoreError> {
    let query = EventQuery { order: Order::NewestFirst, limit: 1, ..EventQuery::default() };
    Ok(store.events(&query).await?.first().map(|event| event.id))
}

impl Seen {
    /// The page of it; that without a filter is made once for all.
    pub(super) async fn overview(&self, filter: &Filter) -> Arc<Overview> {
        let make = || {
            Arc::new(Overview::new(
                &self.agents,
                &self.checks,
                &self.channels,
                &self.waiting,
                filter,
                self.at,
            ))
        };
        if *filter == Filter::default() {
            self.unfiltered.get_or_init(async || make()).await.clone()
        } else {
            make()
        }
    }
}
