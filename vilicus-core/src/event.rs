//! What happened: the audit trail, one entry an event.

use serde::{Deserialize, Serialize};

use crate::acknowledgement::AcknowledgementEnd;
use crate::heartbeat::Signal;
use crate::id::{AgentId, ChannelId, CheckId, DowntimeId, EventId, NotificationId};
use crate::judge::Change;
use crate::judge::flapping::Turn;
use crate::judge::gates::{GateTrace, Hold};
use crate::time::Timestamp;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its id; ids grow with the order in which events were recorded.
    pub id: EventId,
    /// When it happened.
    pub at: Timestamp,
    /// When it was recorded, which is later for what is delivered late.
    pub recorded_at: Timestamp,
    /// The agent that it concerns.
    pub agent: Option<AgentId>,
    /// The check that it concerns.
    pub check: Option<CheckId>,
    /// What happened.
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Happening {
    /// A check's state changed.
    State {
        /// From what to what.
        change: Change,
        /// What made it change.
        cause: Cause,
        /// The results that were not OK so far.
        attempt: u32,
        /// The output of the result, and the threshold that was breached.
        output: String,
        /// Why nobody was told, when a problem was held back.
        held: Option<Hold>,
        /// What the gates said, in order.
        trace: Vec<GateTrace>,
    },
    /// A look without a change of state had something to tell, or found it held back: a hold ended or began, or the
    /// problem is told again.
    Telling {
        /// How many channels are told.
        told: u32,
        /// What keeps the problem from being told, if something does.
        held: Option<Hold>,
        /// What the gates said, in order.
        trace: Vec<GateTrace>,
    },
    /// Flapping started or stopped.
    Flapping(Turn),
    /// Someone is on it.
    Acknowledged {
        /// Who.
        by: String,
        /// What they say.
        comment: String,
        /// Whether it stands until the check is OK.
        sticky: bool,
        /// When it ends by itself.
        expires_at: Option<Timestamp>,
        /// Whether the comment is told to everybody, on status pages.
        public: bool,
    },
    /// Nobody is on it any longer.
    AcknowledgementEnded {
        /// Why.
        why: AcknowledgementEnd,
        /// Who took it back, if someone did.
        by: Option<String>,
    },
    /// A downtime began or ended: its window, or for a flexible one that of one check.
    Downtime {
        /// Which downtime.
        downtime: DowntimeId,
        /// Whether it began.
        began: bool,
        /// What it is for.
        comment: String,
        /// When it ends, if it began.
        until: Option<Timestamp>,
    },
    /// A job said that a run began, or left a note. The end of a run is a result.
    Ping {
        /// What it said.
        signal: Signal,
        /// What it wrote.
        body: String,
    },
    /// A message was delivered, given up, or merged into another.
    Notification {
        /// Which message.
        notification: NotificationId,
        /// To whom.
        channel: ChannelId,
        /// How it ended, as `sent`, `failed` or `superseded`.
        outcome: String,
    },
    /// A channel was paused because nothing passes, or released.
    Channel {
        /// Which channel.
        channel: ChannelId,
        /// The fault; `None` when it was released.
        fault: Option<String>,
    },
    /// Someone changed the configuration.
    Configuration {
        /// What was done: `create`, `update` or `delete`.
        action: Action,
        /// To what kind of object, as `check`.
        object: String,
        /// The name of the object.
        name: String,
        /// By whom: the name of the token or of the part of the server.
        by: String,
    },
}

/// What made a state change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A result.
    Result,
    /// Results stayed out.
    Stale,
    /// The agent fell silent.
    Silent,
    /// The agent made contact.
    Contact,
    /// A job said how its run ended.
    Ping,
    /// A job stayed out.
    Missed,
}

/// What was done to an object of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It was made.
    Create,
    /// It was changed.
    Update,
    /// It was removed.
    Delete,
}
