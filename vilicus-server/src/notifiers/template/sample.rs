//! The messages that a template is checked against: every event, with everything and with hardly anything, and a
//! group. What an agent can write is as bad in them as it can be in earnest.

use vilicus_core::{Metric, Notification, NotificationEvent, NotificationItem, Status, Timestamp, Unit};

const EVENTS: [NotificationEvent; 9] = [
    NotificationEvent::Problem,
    NotificationEvent::Recovery,
    NotificationEvent::Acknowledgement,
    NotificationEvent::Flapping,
    NotificationEvent::Downtime,
    NotificationEvent::AgentDown,
    NotificationEvent::AgentUp,
    NotificationEvent::Closed,
    NotificationEvent::Test,
];

/// Ends strings, lines and tags in most formats.
const HOSTILE: &str = "a\"b'c\\d\r\ne</f>{{ g }}\u{1b}\u{2028}😀";

pub(super) fn samples() -> Vec<Notification> {
    let mut samples: Vec<Notification> = EVENTS.into_iter().map(full).collect();
    samples.push(Notification::test("key", Timestamp::EPOCH));
    let mut group = full(NotificationEvent::Problem);
    group.items.push(full(NotificationEvent::Recovery).items.swap_remove(0));
    group.more = 3;
    samples.push(group);
    samples
}

fn full(event: NotificationEvent) -> Notification {
    let over = event.is_end();
    let status = if over { Status::Ok } else { Status::Critical };
    let usual = Notification::test("key", Timestamp::EPOCH).items.swap_remove(0);
    let item = NotificationItem {
        event,
        agent: HOSTILE.to_owned(),
        check: HOSTILE.to_owned(),
        tags: vec![HOSTILE.to_owned()],
        status,
        previous_status: Some(if over { Status::Critical } else { Status::Ok }),
        output: HOSTILE.to_owned(),
        long_output: HOSTILE.to_owned(),
        metrics: vec![Metric::new(HOSTILE, 97.5).unit(Unit::Percent)],
        runbook_url: Some("https://wiki.example.com/".to_owned()),
        problem_since: over.then_some(Timestamp::EPOCH),
        ..usual
    };
    let mut notification = Notification::about("key", item, "the route 'ops' matches");
    notification.url = Some("https://vilicus.example.com/".to_owned());
    notification
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_its_sample() {
        for event in EVENTS {
            assert!(samples().iter().any(|sample| sample.items[0].event == event), "{event:?}");
        }
        // An exhaustive match is not possible here; the words count in its place.
        let words: std::collections::BTreeSet<&str> = EVENTS.iter().map(|event| event.as_str()).collect();
        assert_eq!(words.len(), EVENTS.len());
    }
}
