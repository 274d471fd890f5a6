//! Who is told of what: routes with their matchers, groups, repeats and escalations; and inhibitions.
//!
//! Routes are tried in order. The first whose matchers all hold is taken, and those after it only while the ones before
//! say `continue`. With no route at all, every channel is told of everything, one group a check, at once.
//!
//! | file | its rule |
//! |---|---|
//! | `labels` | what a matcher looks at |
//! | `matcher` | `name=value`, `!=`, `=~`, `!~` |
//! | `grouping` | what shares a message, and when a group's message goes |
//! | `inhibition` | a worse problem makes a lesser one not worth telling |
//!
//! *Source of the model:* Prometheus Alertmanager, <https://prometheus.io/docs/alerting/latest/configuration/#route>.
//! Different on purpose: `repeat_interval` runs on its own clock, from the last message on.

pub mod grouping;
mod inhibition;
mod labels;
mod matcher;

use serde::{Deserialize, Serialize};

use crate::id::{ChannelId, RouteId};
use crate::schedule::WeeklySchedule;
use crate::time::Millis;

pub use grouping::Pacing;
pub use inhibition::Inhibition;
pub use labels::{Labels, status_label};
pub use matcher::{MAX_MATCHER, Matcher, Operator, ParseMatcherError, all_match};

/// The place of a route among the others, unless it is given one.
pub const DEFAULT_POSITION: u32 = 1000;

/// Who is told of what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Its id.
    pub id: RouteId,
    /// Its name, unique in the server.
    pub name: String,
    /// Its place among the others: lower ones are tried first, then lower ids.
    pub position: u32,
    /// The conditions, all of which must hold; none for everything.
    pub matchers: Vec<Matcher>,
    /// Who is told.
    pub channels: Vec<ChannelId>,
    /// Whether the routes after it are tried too when it matches.
    pub proceed: bool,
    /// The labels whose values make a group; none for one group of all, [`grouping::ALL_LABELS`] for one a check.
    pub group_by: Vec<String>,
    /// How long the first message of a new group waits for more; 10 s by default.
    pub group_wait: Millis,
    /// The least time between two messages of a group; 5 min by default.
    pub group_interval: Millis,
    /// How long after the last message an open problem is told again; 4 h by default, `None` for never.
    pub repeat_interval: Option<Millis>,
    /// When people may be told of problems; always unless given.
    pub schedule: Option<WeeklySchedule>,
    /// Whether only a worse status than the one told before is news.
    pub only_worse: bool,
    /// Whether recoveries are told; `true` by default.
    pub send_recovery: bool,
    /// Who else is told of a problem that stays, in order.
    pub escalate: Vec<EscalationStep>,
    /// How long a problem must be confirmed before it is told; at once unless given.
    pub first_delay: Option<Millis>,
    /// The file that manages it.
    pub managed_by: Option<String>,
}

/// One step of an escalation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscalationStep {
    /// How long after the problem was confirmed.
    pub after: Millis,
    /// Who is told then.
    pub channels: Vec<ChannelId>,
}

impl Route {
    /// A route with this id and name that tells nobody: all defaults.
    #[must_use]
    pub fn new(id: RouteId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            position: DEFAULT_POSITION,
            matchers: Vec::new(),
            channels: Vec::new(),
            proceed: false,
            group_by: Vec::new(),
            group_wait: Millis::from_secs(10),
            group_interval: Millis::from_minutes(5),
            repeat_interval: Some(Millis::from_hours(4)),
            schedule: None,
            only_worse: false,
            send_recovery: true,
            escalate: Vec::new(),
            first_delay: None,
            managed_by: None,
        }
    }

    /// How the messages of its groups are spaced.
    #[must_use]
    pub fn pacing(&self) -> Pacing {
        Pacing { group_wait: self.group_wait, group_interval: self.group_interval }
    }

    /// Its channels and when each is told: the route's own at step 0, those of the escalation from step 1 on.
    pub fn steps(&self) -> impl Iterator<Item = (u32, Millis, &[ChannelId])> {
        let own = (0, Millis::ZERO, self.channels.as_slice());
        let further = (1..)
            .zip(&self.escalate)
            .map(|(step, escalation)| (step, escalation.after, escalation.channels.as_slice()));
        std::iter::once(own).chain(further)
    }
}

/// The routes that a check with these labels takes, of routes in their order.
pub fn taken<'a>(routes: &'a [Route], labels: Labels<'a>) -> impl Iterator<Item = &'a Route> {
    let mut open = true;
    routes.iter().filter(move |route| {
        let takes = open && all_match(&route.matchers, &labels);
        open &= !takes || route.proceed;
        takes
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    #[test]
    fn the_first_route_that_matches_ends_it_unless_it_goes_on() {
        let route = |number: u64, matcher: &str, proceed: bool| Route {
            matchers: vec![matcher.parse().unwrap()],
            proceed,
            ..Route::new(RouteId::new(number).unwrap(), "r")
        };
        let routes = [
            route(1, "tag=test", false),
            route(2, "status=critical", true),
            route(3, "agent=~web.*", false),
            route(4, "agent=web-1", false),
        ];
        let labels = |agent| Labels {
            agent,
            check: "shop",
            kind: "http",
            status: Some(Status::Critical),
            agent_tags: &[],
            check_tags: &[],
        };
        let ids = |agent| taken(&routes, labels(agent)).map(|route| route.id.get()).collect::<Vec<_>>();
        assert_eq!(ids("web-1"), [2, 3]);
        assert_eq!(ids("db-1"), [2]);
    }
}
