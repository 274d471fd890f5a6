//! The open trait `Store`: one unit of work, and many reads.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use vilicus_core::heartbeat::Signal;
use vilicus_core::judge::telling::Look;
use vilicus_core::{
    Acknowledgement, AgentId, ChannelId, CheckId, CheckResult, Downtime, DowntimeId, Event, Inhibition,
    InhibitionId, Millis, NotificationId, Route, RouteId, Status, TemplateId, Timestamp, TokenId,
};

use crate::backup::Backup;
use crate::error::StoreError;
use crate::inventory::{Agent, Channel, Check, Pause, Template, Token};
use crate::outbox::{Delivery, OutboxRow, Try};
use crate::query::{
    AgentFilter, AgentView, CheckFilter, CheckView, EventQuery, HistoryQuery, HistoryRow, NotificationQuery,
    Page, Paged, Rollup, RollupQuery,
};
use crate::report::Reports;

/// What remembers everything: configuration, states, results, events, messages.
///
/// [`commit`](Store::commit) is the one unit of work: it loads the states that the inputs touch, lets the judge
/// decide, and makes results, states, events and messages durable in one atomic step. All else reads.
///
/// # Cancel safety
/// A commit whose future is dropped is carried out or not, but never in part.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Carries out all inputs in order, judged at `now`, and answers when they are durable: one outcome an input.
    ///
    /// # Errors
    /// The store can't write or is busy (nothing was kept; try again), or a change was refused (nothing was kept).
    async fn commit(&self, now: Timestamp, inputs: Vec<Input>) -> Result<Vec<Outcome>, StoreError>;

    /// Takes up to `limit` messages of a channel that are to be tried now, oldest first, at most one of each group.
    /// They are frozen, and not claimed again until [`Input::Delivery`] or [`unclaim`](Store::unclaim) names them.
    ///
    /// # Errors
    /// The store can't read.
    async fn claim(
        &self,
        channel: ChannelId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Arc<OutboxRow>>, StoreError>;

    /// Claimed messages have been sent, and that is about to be committed: later messages about the same thing need not
    /// wait for that commit. By default they do.
    async fn sent(&self, notifications: &[NotificationId]) {
        let _ = notifications;
    }

    /// Gives claimed messages back without a try.
    async fn unclaim(&self, notifications: &[NotificationId]);

    /// The messages of a channel that wait, and the earliest moment at which one of them may be tried.
    ///
    /// # Errors
    /// The store can't read.
    async fn waiting(&self, channel: ChannelId) -> Result<Waiting, StoreError>;

    /// An agent as it is now.
    ///
    /// # Errors
    /// The store can't read.
    async fn agent(&self, id: AgentId) -> Result<Option<AgentView>, StoreError>;

    /// Agents as they are now, by id.
    ///
    /// # Errors
    /// The store can't read.
    async fn agents(&self, filter: &AgentFilter, page: Page) -> Result<Paged<AgentView>, StoreError>;

    /// A check as it is now.
    ///
    /// # Errors
    /// The store can't read.
    async fn check(&self, id: CheckId) -> Result<Option<CheckView>, StoreError>;

    /// Checks as they are now, by id.
    ///
    /// # Errors
    /// The store can't read.
    async fn checks(&self, filter: &CheckFilter, page: Page) -> Result<Paged<CheckView>, StoreError>;

    /// The checks of this agent that have these names, in the order of the names.
    ///
    /// # Errors
    /// The store is closed.
    async fn check_ids(&self, agent: AgentId, names: &[&str]) -> Result<Vec<Option<CheckId>>, StoreError>;

    /// All channels, by id.
    ///
    /// # Errors
    /// The store can't read.
    async fn channels(&self) -> Result<Vec<Arc<Channel>>, StoreError>;

    /// All routes, in the order in which they are tried.
    ///
    /// # Errors
    /// The store can't read.
    async fn routes(&self) -> Result<Vec<Route>, StoreError>;

    /// All downtimes, by id.
    ///
    /// # Errors
    /// The store can't read.
    async fn downtimes(&self) -> Result<Vec<Arc<Downtime>>, StoreError>;

    /// All inhibitions, by id.
    ///
    /// # Errors
    /// The store can't read.
    async fn inhibitions(&self) -> Result<Vec<Arc<Inhibition>>, StoreError>;

    /// All templates, by id.
    ///
    /// # Errors
    /// The store can't read.
    async fn templates(&self) -> Result<Vec<Arc<Template>>, StoreError>;

    /// The heartbeat check whose pings come with this key.
    ///
    /// # Errors
    /// The store can't read.
    async fn check_by_ping_key(&self, key: &str) -> Result<Option<CheckId>, StoreError>;

    /// What the gates say of a check at this moment, and when its next message is due. Nothing is told by asking.
    ///
    /// # Errors
    /// The store can't read.
    async fn explain(&self, check: CheckId, now: Timestamp) -> Result<Option<Look>, StoreError>;

    /// The newest message that told a channel of each problem that is open and that it knows of.
    ///
    /// # Errors
    /// The store can't read.
    async fn told(&self, channel: ChannelId) -> Result<Vec<(CheckId, NotificationId)>, StoreError>;

    /// All tokens, by id.
    ///
    /// # Errors
    /// The store can't read.
    async fn tokens(&self) -> Result<Vec<Arc<Token>>, StoreError>;

    /// The token whose text has this SHA-256.
    ///
    /// # Errors
    /// The store can't read.
    async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<Arc<Token>>, StoreError>;

    /// Results of one check.
    ///
    /// # Errors
    /// The store can't read.
    async fn history(&self, query: &HistoryQuery) -> Result<Vec<HistoryRow>, StoreError>;

    /// Rolled-up results of one check, oldest first; points without results are left out.
    ///
    /// # Errors
    /// The store can't read.
    async fn rollups(&self, query: &RollupQuery) -> Result<Vec<Rollup>, StoreError>;

    /// Events.
    ///
    /// # Errors
    /// The store can't read.
    async fn events(&self, query: &EventQuery) -> Result<Vec<Arc<Event>>, StoreError>;

    /// Messages, those that wait and those that are done.
    ///
    /// # Errors
    /// The store can't read.
    async fn notifications(&self, query: &NotificationQuery) -> Result<Vec<Arc<OutboxRow>>, StoreError>;

    /// One message.
    ///
    /// # Errors
    /// The store can't read.
    async fn notification(&self, id: NotificationId) -> Result<Option<Arc<OutboxRow>>, StoreError>;

    /// The earliest moment at which silence itself becomes news: then commit [`Input::Deadlines`].
    ///
    /// # Errors
    /// The store can't read.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// The checks of an agent that shall run sooner than their interval says: those that are soft, and those that
    /// someone wants to run now.
    ///
    /// # Errors
    /// The store can't read.
    async fn runs(&self, agent: AgentId, now: Timestamp) -> Result<Vec<Run>, StoreError>;

    /// Waits until anything has been committed since `seen`, and says up to where; at once when something has.
    /// Start with [`Sequence::START`].
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    async fn changed(&self, seen: Sequence) -> Sequence;

    /// Waits until a message was added or changed since `seen`, as [`changed`](Store::changed) does for everything;
    /// by default any commit counts.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    async fn outbox_changed(&self, seen: Sequence) -> Sequence {
        self.changed(seen).await
    }

    /// Whether it can write, and how much it holds.
    async fn health(&self) -> StoreHealth;

    /// Everything that is kept, as it is at one moment between this call and the end of the reading, while the store
    /// works on: [`backup::restore`](crate::backup::restore) makes a store of it. One at a time.
    ///
    /// A store over a database that makes its own backups need not offer this.
    ///
    /// # Errors
    /// Another one is being made, or the store can't read; or it is of a kind that makes none.
    async fn backup(&self, now: Timestamp) -> Result<Backup, StoreError> {
        let _ = now;
        Err(StoreError::NoBackup)
    }

    /// Drops what is older than it is kept, and writes down what makes the next start quick.
    ///
    /// # Errors
    /// The store can't write.
    async fn maintain(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Writes everything down and ends. Later calls fail with [`StoreError::Closed`].
    ///
    /// # Errors
    /// The store can't write.
    async fn close(&self) -> Result<(), StoreError>;
}

impl Input {
    /// How much work it is, in results.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Reports(reports) => reports.len().max(1),
            _ => 1,
        }
    }
}

/// One thing to carry out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// A result, with its timestamp set; `None` means the next free millisecond from now on.
    Result {
        /// Of which check.
        check: CheckId,
        /// The result.
        result: CheckResult,
    },
    /// The results of one request, in their order; when they are an agent's, also contact with it. A timestamp that
    /// is not said is that of an [`Input::Result`].
    Reports(Box<Reports>),
    /// The agent was heard of. Durable only when its state changes by it.
    Contact {
        /// Which agent.
        agent: AgentId,
    },
    /// The agent has finished its checks, and says this of itself.
    Checkin {
        /// The agent as it now is; its `last_checkin` is set by the store.
        agent: Box<Agent>,
    },
    /// Checks were delivered to their agent, maybe for the first time.
    Delivered {
        /// Which checks.
        checks: Vec<CheckId>,
    },
    /// Judge every deadline that has passed.
    Deadlines,
    /// Change the configuration.
    Change {
        /// What to change.
        change: Change,
        /// Who does it: the name of a token or of a part of the server.
        by: String,
    },
    /// Someone wants a check to run now: told to its agent at the next contact.
    RunNow {
        /// Which check.
        check: CheckId,
    },
    /// Someone is on the problem of a check. Refused when there is none.
    Acknowledge {
        /// Which check.
        check: CheckId,
        /// Who, and for how long; its `at` is set by the store.
        acknowledgement: Acknowledgement,
        /// Whether those who were told of the problem are told of this too.
        tell: bool,
    },
    /// Nobody is on it any longer. Nothing happens when nobody was.
    TakeBackAcknowledgement {
        /// Which check.
        check: CheckId,
        /// Who says so.
        by: String,
    },
    /// A job said something of a run.
    Ping {
        /// The heartbeat check.
        check: CheckId,
        /// What it said.
        signal: Signal,
        /// What tells this run's pings from those of others.
        rid: Option<String>,
        /// What it wrote.
        body: String,
    },
    /// The dispatcher tried a message that it had claimed.
    Delivery {
        /// Which message.
        notification: NotificationId,
        /// The try.
        attempt: Try,
        /// What came of it.
        delivery: Delivery,
    },
    /// A channel is paused, or released.
    Pause {
        /// Which channel.
        channel: ChannelId,
        /// Why; `None` releases it.
        pause: Option<Pause>,
    },
    /// Tells one channel something that no check says: that another channel fails.
    Tell {
        /// Whom.
        channel: ChannelId,
        /// What.
        item: Box<vilicus_core::NotificationItem>,
        /// What merges with it.
        group: String,
    },
}

/// Numbers from here on are no ids yet. A new object may be created with one, and objects that are created or updated
/// later in the same commit may refer to it by that number: the store puts the id that it gave in its place.
pub const PROVISIONAL: u64 = 1 << 62;

/// A change of the configuration. For a new object the id in the record only matters as a [`PROVISIONAL`] one: the
/// store gives the id.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A new agent; its own check of the kind `agent` is made with it.
    CreateAgent(Box<Agent>),
    /// Another agent under the same id.
    UpdateAgent(Box<Agent>),
    /// The agent, its checks and its tokens go.
    DeleteAgent(AgentId),
    /// A new check.
    CreateCheck(Box<Check>),
    /// Another check under the same id; its history stays.
    UpdateCheck(Box<Check>),
    /// The check goes. An open problem is told as closed.
    DeleteCheck(CheckId),
    /// A new channel.
    CreateChannel(Box<Channel>),
    /// Another channel under the same id; a pause ends.
    UpdateChannel(Box<Channel>),
    /// The channel goes, and its messages that wait.
    DeleteChannel(ChannelId),
    /// A new route.
    CreateRoute(Box<Route>),
    /// Another route under the same id.
    UpdateRoute(Box<Route>),
    /// The route goes. Who was told by it hears of the end all the same.
    DeleteRoute(RouteId),
    /// A new downtime.
    CreateDowntime(Box<Downtime>),
    /// Another downtime under the same id.
    UpdateDowntime(Box<Downtime>),
    /// The downtime goes.
    DeleteDowntime(DowntimeId),
    /// A new inhibition.
    CreateInhibition(Box<Inhibition>),
    /// Another inhibition under the same id.
    UpdateInhibition(Box<Inhibition>),
    /// The inhibition goes.
    DeleteInhibition(InhibitionId),
    /// A new template. Making its checks is the caller's, in the same commit.
    CreateTemplate(Box<Template>),
    /// Another template under the same id.
    UpdateTemplate(Box<Template>),
    /// The template goes.
    DeleteTemplate(TemplateId),
    /// A new token.
    CreateToken(Box<Token>),
    /// Another token under the same id.
    UpdateToken(Box<Token>),
    /// One use of a token: refused when it is used up. The last use removes it.
    UseToken(TokenId),
    /// The token goes.
    DeleteToken(TokenId),
}

/// What became of an input.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// A result was judged, or kept as history because it came late.
    Accepted {
        /// When it was measured.
        timestamp: Timestamp,
        /// The status as judged.
        status: Status,
        /// When the check shall run next, when that is sooner than its interval says.
        retry_in: Option<Millis>,
    },
    /// A result of this moment is there already; the first one stands.
    Duplicate {
        /// When it was measured.
        timestamp: Timestamp,
        /// Whether it says the same.
        identical: bool,
    },
    /// No such check, or not one of the agent that reports.
    UnknownCheck,
    /// The server judges this check by itself.
    TakesNoResults,
    /// What became of [`Input::Reports`].
    Reports(Box<ReportsDone>),
    /// The result is older than results are kept.
    TooOld,
    /// An object was made or changed; this is its id.
    Id(u64),
    /// Done.
    Done,
}

/// What became of the results of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportsDone {
    /// The results.
    pub reports: Reports,
    /// What became of each, in their order.
    pub outcomes: Vec<Outcome>,
    /// What their agent has to know, when they are an agent's.
    pub agent: Option<AgentNews>,
}

/// What an agent has to know after it was heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentNews {
    /// The version of its configuration, which moves with each change of it or of its checks.
    pub config_version: u64,
    /// The checks that shall run sooner than their interval says.
    pub runs: Vec<Run>,
}

/// A check that shall run sooner than its interval says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Which check.
    pub check: CheckId,
    /// How soon.
    pub after: Millis,
}

/// The messages of a channel that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// How many there are.
    pub count: usize,
    /// The earliest moment at which one that is not claimed may be tried.
    pub next: Option<Timestamp>,
    /// When the oldest was made.
    pub oldest: Option<Timestamp>,
}

/// Up to where a reader has seen the commits of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before everything.
    pub const START: Self = Self(0);
}

/// How a store is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoreHealth {
    /// Whether it can write.
    pub writable: bool,
    /// Why it can't, for people.
    pub fault: Option<String>,
    /// Whether the fault is one that no reopening mended: the process may end with exit code 74.
    pub fatal: bool,
    /// The bytes that it uses on disk.
    pub bytes: u64,
    /// The records that could not be read and were set aside.
    pub quarantined: u64,
    /// The results that wait to become durable.
    pub queued: usize,
}
