//! What was so at the time, besides the results.

use crate::acknowledgement::Acknowledgement;
use crate::downtime::Downtime;
use crate::id::{ChannelId, CheckId};
use crate::judge::telling::Watched;
use crate::policy::Policy;
use crate::route::{Labels, Route};
use crate::schedule::Expectation;
use crate::time::{Millis, Timestamp};

/// The world around a check whose results are judged again.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// Which check it is.
    pub check: CheckId,
    /// What it stands for.
    pub watched: Watched,
    /// What is wanted of it.
    pub policy: &'a Policy,
    /// What matchers look at; the status in it is not looked at.
    pub labels: Labels<'a>,
    /// The routes in their order; `None` when there are none, so that every channel is told.
    pub routes: Option<&'a [Route]>,
    /// The channels that are switched on, by id.
    pub channels: &'a [ChannelId],
    /// The downtimes that are about it.
    pub downtimes: &'a [Downtime],
    /// What people said of its problems, oldest first.
    pub acts: &'a [Act],
    /// When its agent was DOWN, oldest first and apart.
    pub away: &'a [Away],
    /// What its silence means.
    pub sign: Sign<'a>,
    /// Results before this moment only bring the state to where it was: what they would have told is left out.
    pub since: Timestamp,
}

impl<'a> Setting<'a> {
    /// A check in a world of its own: no routes, downtimes or absences, from the first result on.
    #[must_use]
    pub fn alone(check: CheckId, policy: &'a Policy, channels: &'a [ChannelId]) -> Self {
        let labels =
            Labels { agent: "", check: "", kind: "", status: None, agent_tags: &[], check_tags: &[] };
        Self {
            check,
            watched: Watched::Check,
            policy,
            labels,
            routes: None,
            channels,
            downtimes: &[],
            acts: &[],
            away: &[],
            sign: Sign::Results,
            since: Timestamp::from_millis(i64::MIN),
        }
    }
}

/// What someone said of the problem that was open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// When.
    pub at: Timestamp,
    /// That they are on it; `None` took that back.
    pub acknowledgement: Option<Acknowledgement>,
}

/// A span in which the agent was silent for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away {
    /// When it was last heard of.
    pub heard: Timestamp,
    /// When it was DOWN.
    pub down: Timestamp,
    /// When it was back; [`Timestamp::MAX`] when it never was.
    pub until: Timestamp,
}

/// The sign of life of a check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sign<'a> {
    /// Results; without them it is stale.
    Results,
    /// Pings of a job. The results are the ends of its runs; that a run began is not replayed.
    Pings {
        /// When they are expected.
        expected: &'a Expectation,
        /// How late they may be.
        grace: Millis,
    },
    /// None is expected: what stands for an agent, or for other checks.
    Nothing,
}
