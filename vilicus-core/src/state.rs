//! What is remembered of a check between two results: all that the judge needs, and nothing else.

use serde::{Deserialize, Serialize};

use crate::acknowledgement::Acknowledgement;
use crate::downtime::Begun;
use crate::heartbeat::Heartbeat;
use crate::id::{ChannelId, NotificationId, RouteId};
use crate::judge::flapping::Flapping;
use crate::judge::gates::Hold;
use crate::judge::sustained::MetricMemory;
use crate::status::{StateType, Status};
use crate::time::Timestamp;

/// The state of a check. Only the [judge](crate::judge) changes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckState {
    /// The status of the last result; `None` (PENDING) before the first.
    pub status: Option<Status>,
    /// Whether that status is confirmed.
    pub state_type: StateType,
    /// The results in the window that were not OK, capped at `max_attempts`; 0 when OK.
    pub attempt: u32,
    /// Since when it has this status.
    pub since: Option<Timestamp>,
    /// The last confirmed status; `None` before there was one.
    pub hard_status: Option<Status>,
    /// When the trouble began that is not over yet: the first result that was not OK.
    pub problem_since: Option<Timestamp>,
    /// The last 64 results, newest in the lowest bit; a set bit was not OK.
    pub window: u64,
    /// The good results in a row up to now.
    pub good_run: u32,
    /// The timestamp of the last result that was judged.
    pub last_result_at: Option<Timestamp>,
    /// When the last result was received, by the server's clock.
    pub last_received_at: Option<Timestamp>,
    /// Whether the status is UNKNOWN because results stayed out.
    pub stale: bool,
    /// Since when the problem that is open has been confirmed.
    pub hard_since: Option<Timestamp>,
    /// How often it changed lately.
    pub flapping: Flapping,
    /// Whether people were told that it flaps.
    pub flapping_told: bool,
    /// What the pings of a heartbeat said last; `None` for checks of other kinds.
    pub heartbeat: Option<Box<Heartbeat>>,
    /// Who is on it.
    pub acknowledgement: Option<Box<Acknowledgement>>,
    /// The flexible downtimes that a problem of this check began.
    pub begun: Vec<Begun>,
    /// What kept the problem from being told at the last look.
    pub held: Option<Hold>,
    /// A hold is over, and until this moment a fresh result is waited for before anything is told.
    pub settle_until: Option<Timestamp>,
    /// A problem of what it depends on may be about to be confirmed: until when that was waited for. Once a problem.
    pub parent_wait: Option<Timestamp>,
    /// When to look again whether there is anything to tell: time alone may make it so.
    pub look_at: Option<Timestamp>,
    /// What the thresholds with `for` or `recover` remember.
    pub memory: Vec<MetricMemory>,
    /// Who was told of the problem that is open.
    pub told: Vec<Told>,
}

/// What one channel was told last of an open problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Who.
    pub channel: ChannelId,
    /// What.
    pub status: Status,
    /// By which route; `None` when there were no routes.
    pub route: Option<RouteId>,
    /// In which group of that route.
    pub group: String,
    /// By which step of its escalation, beginning with 1; 0 for the route's own channels.
    pub step: u32,
    /// When.
    pub at: Timestamp,
    /// In which messages, oldest first.
    pub messages: Vec<NotificationId>,
}

impl Default for CheckState {
    fn default() -> Self {
        Self {
            status: None,
            state_type: StateType::Hard,
            attempt: 0,
            since: None,
            hard_status: None,
            problem_since: None,
            window: 0,
            good_run: 0,
            last_result_at: None,
            last_received_at: None,
            stale: false,
            hard_since: None,
            flapping: Flapping::default(),
            flapping_told: false,
            heartbeat: None,
            acknowledgement: None,
            begun: Vec::new(),
            held: None,
            settle_until: None,
            parent_wait: None,
            look_at: None,
            memory: Vec::new(),
            told: Vec::new(),
        }
    }
}

impl CheckState {
    /// Whether a problem is confirmed and not over yet.
    #[must_use]
    pub fn has_hard_problem(&self) -> bool {
        self.hard_status.is_some_and(Status::is_problem)
    }

    /// What this channel was told of the open problem.
    #[must_use]
    pub fn told(&self, channel: ChannelId) -> Option<&Told> {
        self.told.iter().find(|told| told.channel == channel)
    }

    /// Notes that this message tells the channel of the open problem; nothing when no problem was told.
    pub fn note_message(&mut self, channel: ChannelId, message: NotificationId) {
        if let Some(told) = self.told.iter_mut().find(|told| told.channel == channel)
            && told.messages.last() != Some(&message)
        {
            told.messages.push(message);
        }
    }

    /// Whether another result changed nothing but what every result changes: the moments and the window.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.status == Some(Status::Ok)
            && self.hard_status == self.status
            && self.window == 0
            && self.flapping.is_calm()
            && self.memory.is_empty()
            && self.told.is_empty()
    }
}
