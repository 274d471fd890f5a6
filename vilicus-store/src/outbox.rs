//! The outbox: messages that are to be delivered, and what became of those that were.
//!
//! **One rule for all merging**: there is at most one *untried* row for each channel and group (a group belongs to one route); news merges into it
//! until its first try, then it is frozen, and further news makes a row of its own behind it.

use serde::{Deserialize, Serialize};
use vilicus_core::notifier::NotifyFault;
use vilicus_core::{
    AgentId, ChannelId, CheckId, Millis, NotificationId, NotificationItem, Receipt, RouteId, Timestamp,
};

/// The most items that a row keeps; what is beyond is counted.
pub const MAX_ITEMS: usize = 100;
/// The most tries that a row keeps, the latest ones.
pub const MAX_TRIES: usize = 50;

/// One message to one channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Its id; ids grow with the order in which rows were made.
    pub id: NotificationId,
    /// The idempotency key: the same at every try.
    pub key: String,
    /// To whom.
    pub channel: ChannelId,
    /// By which route; `None` when there were none, and for what no check says.
    pub route: Option<RouteId>,
    /// What merges: `check-7`, `route-3:agent=web-1`, or `digest`.
    pub group: String,
    /// The checks that it is about, by id.
    pub checks: Vec<CheckId>,
    /// The agent that it is about, when it is about one alone.
    pub agent: Option<AgentId>,
    /// What it tells.
    pub items: Vec<NotificationItem>,
    /// How many more items there were.
    pub more: u64,
    /// What became of it.
    pub state: OutboxState,
    /// When it was made.
    pub created_at: Timestamp,
    /// Not tried before this moment.
    pub not_before: Timestamp,
    /// How often it was tried.
    pub try_count: u32,
    /// The tries, oldest first, the last [`MAX_TRIES`].
    pub tries: Vec<Try>,
    /// What the service said when it took it.
    pub receipt: Option<Receipt>,
    /// The messages about the same problem that this channel got before.
    pub earlier: Vec<NotificationId>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboxState {
    /// It waits, for its first try or for another.
    Pending,
    /// The service took it.
    Sent {
        /// When.
        at: Timestamp,
    },
    /// It was given up.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// Another message tells what it would have told.
    Superseded {
        /// When.
        at: Timestamp,
        /// Which.
        by: NotificationId,
    },
    /// Nobody is to be told any longer.
    Suppressed {
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

impl OutboxState {
    /// Whether it still waits.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Pending)
    }

    /// The word on the wire: `pending`, `sent`, `failed`, `superseded` or `suppressed`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent { .. } => "sent",
            Self::Failed { .. } => "failed",
            Self::Superseded { .. } => "superseded",
            Self::Suppressed { .. } => "suppressed",
        }
    }
}

/// One try to deliver a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took: Millis,
    /// What came of it, in words that hold no secret.
    pub detail: String,
    /// What the fault calls for; `None` when it was delivered.
    pub fault: Option<NotifyFault>,
}

/// What the dispatcher reports of a message that it claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The service took it.
    Sent {
        /// What it said.
        receipt: Receipt,
    },
    /// It shall be tried again, not before this moment.
    Again {
        /// When.
        not_before: Timestamp,
    },
    /// It is given up.
    GivenUp {
        /// Why.
        reason: String,
    },
}
