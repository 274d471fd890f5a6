//! What is remembered of a check between two results: all that the judge needs, and nothing else.

use serde::{Deserialize, Serialize};

use crate::id::{ChannelId, NotificationId};
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
            && self.memory.is_empty()
            && self.told.is_empty()
    }
}
