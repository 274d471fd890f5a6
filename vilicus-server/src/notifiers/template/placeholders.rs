//! What stands in a message's placeholders.

use serde::Serialize;
use vilicus_core::{Metric, Notification, NotificationEvent, NotificationItem, StateType, Status, Timestamp};

/// The placeholders of a message: its own, then those of its first item.
pub(super) const MESSAGE: [&str; 27] = [
    "title",
    "text",
    "key",
    "reason",
    "url",
    "items",
    "more",
    "event",
    "agent",
    "check",
    "subject",
    "kind",
    "tags",
    "status",
    "previous_status",
    "state_type",
    "since",
    "at",
    "problem_since",
    "attempt",
    "max_attempts",
    "output",
    "long_output",
    "metrics",
    "runbook_url",
    "late",
    "place",
];

/// What else has a name within them: the fields of a metric and of a loop.
pub(super) const PARTS: [&str; 12] = [
    "name", "value", "unit", "warning", "critical", "min", "max", "index", "index0", "first", "last",
    "length",
];

/// The context of a template.
#[derive(Serialize)]
pub(super) struct Placeholders<'a> {
    title: String,
    text: String,
    key: &'a str,
    reason: &'a str,
    url: Option<&'a str>,
    items: Vec<Item<'a>>,
    more: u64,
    #[serde(flatten)]
    first: Option<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    event: NotificationEvent,
    agent: &'a str,
    check: &'a str,
    subject: &'a str,
    kind: &'a str,
    tags: &'a [String],
    status: Status,
    previous_status: Option<Status>,
    state_type: StateType,
    since: Timestamp,
    at: Timestamp,
    problem_since: Option<Timestamp>,
    attempt: u32,
    max_attempts: u32,
    output: &'a str,
    long_output: &'a str,
    metrics: &'a [Metric],
    runbook_url: Option<&'a str>,
    late: bool,
    place: String,
}

impl<'a> Placeholders<'a> {
    pub(super) fn of(notification: &'a Notification) -> Self {
        Self {
            title: notification.title(),
            text: notification.text(),
            key: &notification.key,
            reason: &notification.reason,
            url: notification.url.as_deref(),
            items: notification.items.iter().map(Item::of).collect(),
            more: notification.more,
            first: notification.items.first().map(Item::of),
        }
    }
}

impl<'a> Item<'a> {
    fn of(item: &'a NotificationItem) -> Self {
        Self {
            event: item.event,
            agent: &item.agent,
            check: &item.check,
            subject: &item.subject,
            kind: &item.kind,
            tags: &item.tags,
            status: item.status,
            previous_status: item.previous_status,
            state_type: item.state_type,
            since: item.since,
            at: item.at,
            problem_since: item.problem_since,
            attempt: item.attempt,
            max_attempts: item.max_attempts,
            output: &item.output,
            long_output: &item.long_output,
            metrics: &item.metrics,
            runbook_url: item.runbook_url.as_deref(),
            late: item.late,
            place: item.place(),
        }
    }
}

/// How much there is to fill in, in bytes, roughly: the long texts.
pub(super) fn size(notification: &Notification) -> u64 {
    let of = |item: &NotificationItem| item.output.len() + item.long_output.len();
    notification.items.iter().map(of).sum::<usize>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_placeholders_is_complete() {
        let notification = Notification::test("k", Timestamp::EPOCH);
        let context = serde_json::to_value(Placeholders::of(&notification)).unwrap();
        let mut names: Vec<&str> = context.as_object().unwrap().keys().map(String::as_str).collect();
        let mut listed = MESSAGE.to_vec();
        names.sort_unstable();
        listed.sort_unstable();
        assert_eq!(names, listed);
    }
}
