//! What shares a message, and when a group's message goes.
//!
//! The first message of a new group waits `group_wait` for more, counted from the problem: one that is older than that
//! goes at once. Each further message of the group goes `group_interval` after the last. News merges into the message
//! that waits; see [`merge`](crate::merge).

use std::fmt::Write as _;

use crate::id::{CheckId, RouteId};
use crate::time::{Millis, Timestamp};

use super::Route;
use super::labels::Labels;

/// In `group_by`: every label counts, so each check is a group of its own.
pub const ALL_LABELS: &str = "...";

/// How the messages of a group are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pacing {
    /// How long the first message waits for more.
    pub group_wait: Millis,
    /// The least time between two messages.
    pub group_interval: Millis,
}

impl Pacing {
    /// Nothing waits.
    pub const NONE: Self = Self { group_wait: Millis::ZERO, group_interval: Millis::ZERO };

    /// When a message with news of `at` may go, given when the group's last message went, if it had one. News from the
    /// future, by a clock that is ahead, is news of now.
    #[must_use]
    pub fn first_try(self, at: Timestamp, last: Option<Timestamp>, now: Timestamp) -> Timestamp {
        match last {
            Some(last) => now.max(last.after(self.group_interval)),
            None => now.max(at.min(now).after(self.group_wait)),
        }
    }
}

/// The group of a check that no route speaks of.
#[must_use]
pub fn of_check(check: CheckId) -> String {
    format!("check-{check}")
}

/// The group of a check by this route.
#[must_use]
pub fn of_route(route: &Route, check: CheckId, labels: &Labels<'_>) -> String {
    if route.group_by.iter().any(|name| name == ALL_LABELS) {
        return format!("{}{}", prefix(route.id), of_check(check));
    }
    let mut group = prefix(route.id);
    for (index, name) in route.group_by.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a text can't fail.
        let _ = write!(group, "{comma}{name}=");
        for (nth, value) in labels.values(name).enumerate() {
            group.push_str(if nth == 0 { "" } else { "+" });
            push_escaped(&mut group, value);
        }
    }
    group
}

/// A value must not look like the beginning of the next, else two groups could become one.
fn push_escaped(group: &mut String, value: &str) {
    for c in value.chars() {
        if matches!(c, ',' | '+' | '\\') {
            group.push('\\');
        }
        group.push(c);
    }
}

/// What the groups of a route begin with.
fn prefix(route: RouteId) -> String {
    format!("route-{route}:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_new_group_waits_and_a_known_one_keeps_its_distance() {
        let pacing = Pacing { group_wait: Millis::from_secs(10), group_interval: Millis::from_secs(300) };
        for (news, last, now, first_try) in [
            (100, None, 100, 110),
            (95, None, 100, 105),
            (50, None, 100, 100),
            (900, None, 100, 110),
            (100, Some(90), 100, 390),
            (500, Some(90), 500, 500),
        ] {
            let last = last.map(at);
            assert_eq!(pacing.first_try(at(news), last, at(now)), at(first_try), "{news} {last:?}");
        }
        assert_eq!(Pacing::NONE.first_try(at(1), Some(at(1)), at(1)), at(1));
    }

    #[test]
    fn labels_make_groups() {
        let labels = Labels {
            agent: "web-1",
            check: "shop",
            kind: "http",
            status: None,
            agent_tags: &["team=web".to_owned(), "prod".to_owned(), "site=a,b".to_owned()],
            check_tags: &[],
        };
        let check = CheckId::new(7).unwrap();
        for (names, group) in [
            (&[][..], "route-3:"),
            (&["agent"], "route-3:agent=web-1"),
            (&["team", "none"], "route-3:team=web,none="),
            (&["tag"], "route-3:tag=team=web+prod+site=a\\,b"),
            (&["site", "team"], "route-3:site=a\\,b,team=web"),
            (&["..."], "route-3:check-7"),
        ] {
            let mut route = Route::new(RouteId::new(3).unwrap(), "ops");
            route.group_by = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(of_route(&route, check, &labels), group);
        }
    }
}
