//! A small world to try a store on: an agent, a check, a channel, and the words to speak of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vilicus_core::{
    AgentId, ChannelId, CheckId, CheckResult, Millis, NotificationId, Receipt, Status, Timestamp,
};

use crate::inventory::{Agent, Channel, ChannelWords, Check, CheckSettings, CheckSpec};
use crate::json::Json;
use crate::outbox::{Delivery, OutboxRow, Try};
use crate::query::{HistoryQuery, HistoryRow, NotificationQuery, Order};
use crate::store::{Change, Input, Outcome, Store};

/// The moment at which every trial begins: 2026-11-22T12:00:00Z.
pub const NOON: Timestamp = Timestamp::from_millis(1_795_348_800_000);

/// A directory of its own, removed at the end.
#[derive(Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("vilicus-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory can be made for the trial");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A store with an agent, a check that is hard at once, and a channel.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The agent `web-1`, which reports every minute.
    pub agent: AgentId,
    /// The check `disk` of the agent.
    pub check: CheckId,
    /// The channel `ops`.
    pub channel: ChannelId,
}

/// What is found again when a store is opened again.
#[derive(Debug, Clone, Copy)]
pub struct Ids {
    agent: AgentId,
    check: CheckId,
    channel: ChannelId,
}

impl Ids {
    /// The same world in the store as it was opened again.
    #[must_use]
    pub fn found_in(self, store: Arc<dyn Store>) -> Fixture {
        Fixture { store, agent: self.agent, check: self.check, channel: self.channel }
    }
}

impl Fixture {
    /// Makes the agent, the check and the channel in an empty store, at [`NOON`].
    ///
    /// # Panics
    /// The store refuses.
    pub async fn new(store: Arc<dyn Store>) -> Self {
        let agent = create(&store, Change::CreateAgent(Box::new(agent("web-1")))).await;
        let agent = AgentId::new(agent).expect("an id");
        let check_id = create(&store, Change::CreateCheck(Box::new(check(agent, "disk")))).await;
        let channel_id = create(&store, Change::CreateChannel(Box::new(channel("ops")))).await;
        Self {
            store,
            agent,
            check: CheckId::new(check_id).expect("an id"),
            channel: ChannelId::new(channel_id).expect("an id"),
        }
    }

    /// Lets the store go; what it holds can be found again.
    #[must_use]
    pub fn end(self) -> Ids {
        Ids { agent: self.agent, check: self.check, channel: self.channel }
    }

    /// Commits one input, so many seconds after [`NOON`].
    ///
    /// # Panics
    /// The store refuses.
    pub async fn commit(&self, second: i64, input: Input) -> Outcome {
        let outcomes = self.store.commit(at(second), vec![input]).await;
        outcomes.expect("the commit is carried out").remove(0)
    }

    /// Commits a result of the check, measured and received so many seconds after [`NOON`].
    ///
    /// # Panics
    /// The store refuses.
    pub async fn report(&self, second: i64, status: Status) -> Outcome {
        self.commit(second, self.result(second, status)).await
    }

    /// A result of the check, measured so many seconds after [`NOON`].
    #[must_use]
    pub fn result(&self, second: i64, status: Status) -> Input {
        let result = CheckResult::new(status, format!("{status} at {second}")).at(at(second));
        Input::Result { check: self.check, result }
    }

    /// All results of the check that are kept, oldest first.
    ///
    /// # Panics
    /// The store can't read.
    pub async fn history(&self) -> Vec<HistoryRow> {
        let query = HistoryQuery {
            check: self.check,
            since: None,
            until: None,
            order: Order::OldestFirst,
            limit: usize::MAX,
        };
        self.store.history(&query).await.expect("history can be read")
    }

    /// Everything that was and is to be told to the channel, oldest first.
    ///
    /// # Panics
    /// The store can't read.
    pub async fn messages(&self) -> Vec<Arc<OutboxRow>> {
        let query =
            NotificationQuery { order: Order::OldestFirst, limit: 10_000, ..NotificationQuery::default() };
        self.store.notifications(&query).await.expect("messages can be read")
    }

    /// Claims and delivers all that may be tried, so many seconds after [`NOON`]; returns it.
    ///
    /// # Panics
    /// The store refuses.
    pub async fn deliver(&self, second: i64) -> Vec<Arc<OutboxRow>> {
        let mut delivered = Vec::new();
        loop {
            let rows =
                self.store.claim(self.channel, at(second), 100).await.expect("messages can be claimed");
            if rows.is_empty() {
                return delivered;
            }
            for row in rows {
                self.commit(second, sent(row.id, second)).await;
                delivered.push(row);
            }
        }
    }
}

/// So many seconds after [`NOON`].
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(NOON.as_millis() + second * 1000)
}

/// What the dispatcher reports when the service took a message.
pub(crate) fn sent(notification: NotificationId, second: i64) -> Input {
    let attempt = Try { at: at(second), took: Millis::new(5), detail: "250 ok".to_owned(), fault: None };
    Input::Delivery { notification, attempt, delivery: Delivery::Sent { receipt: Receipt::new("250 ok") } }
}

/// A change by the trial.
pub(crate) fn change(change: Change) -> Input {
    Input::Change { change, by: "trial".to_owned() }
}

pub(crate) async fn create(store: &Arc<dyn Store>, what: Change) -> u64 {
    let outcomes = store.commit(NOON, vec![change(what)]).await.expect("the object is made");
    match outcomes[0] {
        Outcome::Id(id) => id,
        ref other => panic!("making an object gives its id, not {other:?}"),
    }
}

/// An agent that reports every minute, to be created.
#[must_use]
pub fn agent(name: &str) -> Agent {
    Agent {
        id: AgentId::new(1).expect("an id"),
        name: name.to_owned(),
        hostname: format!("{name}.example"),
        guid: None,
        version: None,
        check_interval: Millis::from_secs(60),
        tags: vec!["prod".to_owned()],
        facts: Json(serde_json::json!({"os": "linux", "cores": 4})),
        ephemeral: false,
        expire_after: None,
        templates: Vec::new(),
        managed_by: None,
        created_at: NOON,
        last_checkin: None,
    }
}

/// A check of the kind `disk` that is hard at once, to be created.
#[must_use]
pub fn check(agent: AgentId, name: &str) -> Check {
    let settings = CheckSettings { max_attempts: 1, ..CheckSettings::default() };
    let spec = CheckSpec { settings, ..CheckSpec::new("disk", serde_json::json!({"path": "/"})) };
    Check::new(agent, name, spec)
}

/// A webhook, to be created.
#[must_use]
pub fn channel(name: &str) -> Channel {
    Channel {
        id: ChannelId::new(1).expect("an id"),
        name: name.to_owned(),
        kind: "webhook".to_owned(),
        params: Json(serde_json::json!({"url": "http://127.0.0.1/"})),
        enabled: true,
        rate_limit: None,
        fallback: None,
        words: ChannelWords::default(),
        digest_above: None,
        managed_by: None,
        paused: None,
    }
}
