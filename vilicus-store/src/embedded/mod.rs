//! The store over any [`Engine`]: a journal, states in memory, checkpoints, and history in packed chunks.
//!
//! ```text
//!  commit ──► bounded inbox ──► writer (one thread): judge ─► effects ─► one record, one sync ─► answer
//!                                 │ between groups, a slice at a time
//!                                 ├─► history-2026-w47, rollup-2026-11, event-2026-11, notification-2026-11
//!                                 └─► checkpoint-N, then the journal before it is dropped
//!  reads  ──► the truth in memory (and history on disk)
//! ```
//!
//! | room | what it is for |
//! |---|---|
//! | `effect` | what a commit changes; the only way in which the truth changes |
//! | `truth`, `table`, `names`, `queue`, `deadlines`, `sample`, `samples`, `trail` | all that is known, in memory |
//! | `unit`, `reporting`, `judging`, `changes`, `messages` | from inputs to effects |
//! | `writer`, `shared` | the thread that commits, and what readers share with it |
//! | `record`, `journal`, `checkpoint`, `recovery` | bytes on disk, and the way back from them |
//! | `chunk`, `history`, `rollup`, `period`, `retention` | what was, packed, put together, and forgotten |
//! | `reads` | views and lists |
//! | `snapshot` | everything at once, for a backup |
//!
//! Readers may see a state a moment before it is durable; no event and no message leaves before it is.

mod changes;
mod checkpoint;
mod chunk;
mod clock;
mod deadlines;
mod effect;
mod history;
mod journal;
mod judging;
mod messages;
mod names;
mod past;
mod period;
mod pings;
mod problems;
mod provisional;
mod queue;
mod reads;
mod record;
mod recovery;
mod reporting;
mod retention;
mod rollup;
mod rule_changes;
mod rules;
mod sample;
mod samples;
mod shared;
mod snapshot;
mod specs;
mod surroundings;
mod table;
mod telling;
mod trail;
mod truth;
mod unit;
mod words;
mod writer;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};
use vilicus_core::judge::telling::Look;
use vilicus_core::{
    AgentId, ChannelId, CheckId, Downtime, Event, Inhibition, Millis, NotificationId, Route, Timestamp,
};

use crate::backup::Backup;
use crate::embedded::recovery::Recovered;
use crate::embedded::shared::Shared;
use crate::embedded::writer::{CommitJob, Job, Writer};
use crate::engine::{Durability, Engine, EngineError, EngineErrorKind};
use crate::error::StoreError;
use crate::inventory::{Channel, Template, Token};
use crate::outbox::OutboxRow;
use crate::query::{
    AgentFilter, AgentView, CheckFilter, CheckView, EventQuery, HistoryQuery, HistoryRow, NotificationQuery,
    Page, Paged, Rollup, RollupQuery,
};
use crate::store::{Input, Outcome, Run, Sequence, Store, StoreHealth, Waiting};

/// Commits that may wait for the writer.
const INBOX: usize = 4096;
/// Inputs that may wait for the writer.
const MAX_QUEUED: usize = 200_000;
/// When to try again what met a full inbox.
const BUSY_RETRY: Millis = Millis::from_secs(1);

/// How a store is kept. What is not asked for has defaults that work.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The moment of the opening: silence before it is nobody's.
    pub now: Timestamp,
    /// 128 random bits, which name a store that is made new; one that exists keeps its own.
    pub instance: [u8; 16],
    /// How much an answer survives; loss of power by default.
    pub durability: Durability,
    /// How long results are kept; 35 days by default.
    pub keep_results: Millis,
    /// How long rollups, events and finished messages are kept; 400 days by default.
    pub keep_rollups: Millis,
    /// How long the record of a sent message waits for a commit to share its sync with: nobody waits for that record,
    /// and a sync of its own would delay the next result. 2 ms by default.
    pub share_sync: Duration,
}

impl Options {
    /// The defaults, for a store that is opened `now`. `instance` is 128 random bits.
    #[must_use]
    pub fn new(now: Timestamp, instance: [u8; 16]) -> Self {
        Self {
            now,
            instance,
            durability: Durability::Power,
            keep_results: Millis::from_hours(35 * 24),
            keep_rollups: Millis::from_hours(400 * 24),
            share_sync: Duration::from_millis(2),
        }
    }

    /// The same options with this durability.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The same options; results are kept for so long.
    #[must_use]
    pub fn keep_results(mut self, span: Millis) -> Self {
        self.keep_results = span;
        self
    }

    /// The same options; the record of a sent message waits for so long.
    #[must_use]
    pub fn share_sync(mut self, span: Duration) -> Self {
        self.share_sync = span;
        self
    }

    /// The same options; rollups, events and finished messages are kept for so long.
    #[must_use]
    pub fn keep_rollups(mut self, span: Millis) -> Self {
        self.keep_rollups = span;
        self
    }
}

/// The [`Store`] over any [`Engine`].
///
/// Dropping it without [`close`](Store::close) loses nothing; the next start reads more of the journal then.
pub struct EngineStore<E> {
    engine: Arc<E>,
    shared: Arc<Shared>,
    /// `None` when the store is closed.
    inbox: Mutex<Option<SyncSender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl<E> fmt::Debug for EngineStore<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineStore").finish_non_exhaustive()
    }
}

impl<E: Engine> EngineStore<E> {
    /// Opens the store that the engine holds, or makes one in an empty engine. Blocks until it is ready.
    ///
    /// # Errors
    /// What is kept cannot be read, or nothing can be written.
    pub fn open(engine: E, options: Options) -> Result<Self, StoreError> {
        let recovered = find_or_create(&engine, &options).map_err(open_error)?;
        let Recovered { truth, last, tail, quarantined } = recovered;
        let engine = Arc::new(engine);
        let shared = Arc::new(Shared::new(truth, last, quarantined));
        let (inbox, jobs) = mpsc::sync_channel(INBOX);
        let writer = Writer::new(Arc::clone(&engine), Arc::clone(&shared), options, jobs, last, tail);
        let thread = thread::Builder::new().name("vilicus-store".to_owned()).spawn(|| writer.run());
        let thread = thread.map_err(|error| {
            let error = EngineError::new(EngineErrorKind::Io, "no thread can be started").source(error);
            StoreError::Unwritable { retry_after: BUSY_RETRY, source: error }
        })?;
        Ok(Self { engine, shared, inbox: Mutex::new(Some(inbox)), writer: Mutex::new(Some(thread)) })
    }

    /// Puts a job into the inbox.
    fn send(&self, job: Job) -> Result<(), StoreError> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        match inbox.as_ref().ok_or(StoreError::Closed)?.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(StoreError::Busy { retry_after: BUSY_RETRY }),
            Err(TrySendError::Disconnected(_)) => Err(StoreError::Closed),
        }
    }

    fn check_open(&self) -> Result<(), StoreError> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if inbox.is_some() { Ok(()) } else { Err(StoreError::Closed) }
    }

    /// Reads what may be on disk, away from the threads that serve requests.
    async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Shared, &E) -> Result<T, EngineError> + Send + 'static,
    {
        self.check_open()?;
        let (shared, engine) = (Arc::clone(&self.shared), Arc::clone(&self.engine));
        let work = move || read(&shared, &engine);
        let done = match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(work).await.map_err(|_| StoreError::Closed)?,
            Err(_) => work(),
        };
        done.map_err(read_error)
    }

    fn end(&self) {
        // Without its sender the thread ends when the inbox is empty.
        drop(self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's thread panicked");
        }
    }
}

impl<E> Drop for EngineStore<E> {
    fn drop(&mut self) {
        drop(self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The engine is free for the next one to open when this returns.
        let _ = thread.map(JoinHandle::join);
    }
}

fn find_or_create(engine: &dyn Engine, options: &Options) -> Result<Recovered, EngineError> {
    if let Some(recovered) = recovery::recover(engine, options.now)? {
        return Ok(recovered);
    }
    recovery::create(engine, options.instance, options.durability)?;
    recovery::recover(engine, options.now)?
        .ok_or_else(|| EngineError::new(EngineErrorKind::Corrupt, "what was just written cannot be found"))
}

fn open_error(error: EngineError) -> StoreError {
    match error.kind() {
        EngineErrorKind::Corrupt => StoreError::Corrupt { place: "the store".to_owned(), source: error },
        EngineErrorKind::Full | EngineErrorKind::Io | EngineErrorKind::Locked => {
            StoreError::Unreadable(error)
        }
    }
}

/// Waits for a change after this one.
async fn later(mut changes: watch::Receiver<Sequence>, seen: Sequence) -> Sequence {
    match changes.wait_for(|sequence| *sequence > seen).await {
        Ok(sequence) => *sequence,
        // The sender lives as long as the store, so this is not reached.
        Err(_) => seen,
    }
}

fn read_error(error: EngineError) -> StoreError {
    match error.kind() {
        EngineErrorKind::Corrupt => StoreError::Corrupt { place: "history".to_owned(), source: error },
        _ => StoreError::Unreadable(error),
    }
}

#[async_trait]
impl<E: Engine> Store for EngineStore<E> {
    async fn commit(&self, now: Timestamp, inputs: Vec<Input>) -> Result<Vec<Outcome>, StoreError> {
        let count = inputs.iter().map(Input::weight).sum();
        if self.shared.queued.fetch_add(count, Ordering::Relaxed) > MAX_QUEUED {
            self.shared.queued.fetch_sub(count, Ordering::Relaxed);
            return Err(StoreError::Busy { retry_after: BUSY_RETRY });
        }
        let (reply, answer) = oneshot::channel();
        self.shared.jobs.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.send(Job::Commit(CommitJob { now, inputs, reply })) {
            self.shared.queued.fetch_sub(count, Ordering::Relaxed);
            self.shared.jobs.fetch_sub(1, Ordering::Relaxed);
            return Err(error);
        }
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn claim(
        &self,
        channel: ChannelId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Arc<OutboxRow>>, StoreError> {
        self.check_open()?;
        let mut truth = self.shared.write();
        if truth.channels.get(&channel).is_none_or(|channel| !channel.enabled) {
            return Ok(Vec::new());
        }
        Ok(truth.queue.claim(channel, now, self.shared.durable(), limit))
    }

    async fn sent(&self, notifications: &[NotificationId]) {
        let mut truth = self.shared.write();
        notifications.iter().for_each(|id| truth.queue.note_sent(*id));
    }

    async fn unclaim(&self, notifications: &[NotificationId]) {
        let mut truth = self.shared.write();
        notifications.iter().for_each(|id| truth.queue.unclaim(*id));
    }

    async fn waiting(&self, channel: ChannelId) -> Result<Waiting, StoreError> {
        self.check_open()?;
        let truth = self.shared.read();
        let mut waiting = truth.queue.waiting(channel);
        if truth.channels.get(&channel).is_none_or(|channel| !channel.enabled) {
            waiting.next = None;
        }
        Ok(waiting)
    }

    async fn agent(&self, id: AgentId) -> Result<Option<AgentView>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().agent_view(id))
    }

    async fn agents(&self, filter: &AgentFilter, page: Page) -> Result<Paged<AgentView>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().agent_views(filter, page))
    }

    async fn check(&self, id: CheckId) -> Result<Option<CheckView>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().check_view(id))
    }

    async fn checks(&self, filter: &CheckFilter, page: Page) -> Result<Paged<CheckView>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().check_views(filter, page))
    }

    async fn check_ids(&self, agent: AgentId, names: &[&str]) -> Result<Vec<Option<CheckId>>, StoreError> {
        self.check_open()?;
        let truth = self.shared.read();
        Ok(names.iter().map(|name| truth.names.check(&truth.checks, agent, name)).collect())
    }

    async fn channels(&self) -> Result<Vec<Arc<Channel>>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().channels.values().cloned().collect())
    }

    async fn routes(&self) -> Result<Vec<Route>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().rules.routes().unwrap_or_default().to_vec())
    }

    async fn downtimes(&self) -> Result<Vec<Arc<Downtime>>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().rules.downtimes.values().cloned().collect())
    }

    async fn inhibitions(&self) -> Result<Vec<Arc<Inhibition>>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().rules.inhibitions.values().cloned().collect())
    }

    async fn templates(&self) -> Result<Vec<Arc<Template>>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().rules.templates.values().cloned().collect())
    }

    async fn check_by_ping_key(&self, key: &str) -> Result<Option<CheckId>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().names.ping_keys.get(key).copied())
    }

    async fn explain(&self, check: CheckId, now: Timestamp) -> Result<Option<Look>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().explain(check, now))
    }

    async fn told(&self, channel: ChannelId) -> Result<Vec<(CheckId, NotificationId)>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().told(channel))
    }

    async fn tokens(&self) -> Result<Vec<Arc<Token>>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().tokens.values().cloned().collect())
    }

    async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<Arc<Token>>, StoreError> {
        self.check_open()?;
        Ok(self.shared.token_by_hash(hash))
    }

    async fn history(&self, query: &HistoryQuery) -> Result<Vec<HistoryRow>, StoreError> {
        let query = *query;
        self.read(move |shared, engine| past::history(shared, engine, &query)).await
    }

    async fn rollups(&self, query: &RollupQuery) -> Result<Vec<Rollup>, StoreError> {
        let query = *query;
        self.read(move |shared, engine| past::rollups(shared, engine, &query)).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<Arc<Event>>, StoreError> {
        let query = query.clone();
        self.read(move |shared, engine| reads::events(shared, engine, &query)).await
    }

    async fn notifications(&self, query: &NotificationQuery) -> Result<Vec<Arc<OutboxRow>>, StoreError> {
        let query = query.clone();
        self.read(move |shared, engine| reads::notifications(shared, engine, &query)).await
    }

    async fn notification(&self, id: NotificationId) -> Result<Option<Arc<OutboxRow>>, StoreError> {
        self.read(move |shared, engine| reads::notification(shared, engine, id)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().deadlines.next())
    }

    async fn runs(&self, agent: AgentId, now: Timestamp) -> Result<Vec<Run>, StoreError> {
        self.check_open()?;
        Ok(self.shared.read().runs(agent, now))
    }

    async fn changed(&self, seen: Sequence) -> Sequence {
        later(self.shared.subscribe(), seen).await
    }

    async fn outbox_changed(&self, seen: Sequence) -> Sequence {
        later(self.shared.subscribe_to_outbox(), seen).await
    }

    async fn health(&self) -> StoreHealth {
        let faults = self.shared.faults();
        let open = self.check_open().is_ok();
        let bytes = self.read(|_, engine| engine.size()).await.unwrap_or_default();
        StoreHealth {
            writable: open && faults.fault.is_none(),
            fault: faults.fault,
            fatal: faults.fatal,
            bytes,
            quarantined: faults.quarantined,
            queued: self.shared.queued.load(Ordering::Relaxed),
        }
    }

    async fn backup(&self, now: Timestamp) -> Result<Backup, StoreError> {
        self.check_open()?;
        let (shared, engine) = (Arc::clone(&self.shared), Arc::clone(&self.engine));
        snapshot::begin(engine, shared, now).await
    }

    async fn maintain(&self, now: Timestamp) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Maintain { now, reply })?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn close(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Close { reply })?;
        let closed = answer.await.unwrap_or(Err(StoreError::Closed));
        self.end();
        closed
    }
}
