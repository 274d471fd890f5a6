//! What a message means to a service that keeps alerts of its own: which it opens, acknowledges and closes.
//!
//! PagerDuty, Opsgenie and Alertmanager know one alert for each check, found again by its identity, and nothing of
//! groups; so each item of a message is a step of its own.

use vilicus_core::{Notification, NotificationEvent, NotificationItem};

use super::wording::printable;

/// What to do with the alert of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Open it, or tell its new state.
    Open,
    /// Someone is on it.
    Acknowledge,
    /// Close it.
    Close,
    /// Open and close: someone tries the channel, and nothing may stay open behind it.
    Try,
    /// The service has no word for this.
    Nothing,
}

impl Step {
    pub(super) fn of(notification: &Notification, item: &NotificationItem) -> Self {
        match item.event {
            NotificationEvent::Problem | NotificationEvent::AgentDown => Self::Open,
            NotificationEvent::Recovery | NotificationEvent::AgentUp | NotificationEvent::Closed => {
                Self::Close
            }
            NotificationEvent::Acknowledgement => Self::Acknowledge,
            // Flapping that ends well is told to nobody who heard of no problem before: an alert that it opened
            // would stay open. It is news only of an alert that is open already.
            NotificationEvent::Flapping if item.status.is_problem() && !notification.earlier.is_empty() => {
                Self::Open
            }
            NotificationEvent::Test => Self::Try,
            _ => Self::Nothing,
        }
    }
}

/// The title of one item: the channel's own words when the message tells nothing else.
pub(super) fn summary(notification: &Notification, item: &NotificationItem) -> String {
    match notification.items.as_slice() {
        [_] if notification.more == 0 => notification.title(),
        _ => item.title(),
    }
}

/// The text of one item: the channel's own words when there are any, else the whole output.
pub(super) fn details(notification: &Notification, item: &NotificationItem) -> String {
    let own = notification.words.as_ref().and_then(|words| words.text.as_deref());
    let text = match own {
        Some(own) => own.to_owned(),
        None => format!("{}\n{}", item.output, item.long_output),
    };
    printable(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::notification::{EarlierMessage, Words};
    use vilicus_core::{Receipt, Status, Timestamp};

    #[test]
    fn each_event_is_a_step() {
        use NotificationEvent::{
            Acknowledgement, AgentDown, AgentUp, Closed, Downtime, Flapping, Problem, Recovery, Test,
        };
        for (event, status, told, step) in [
            (Problem, Status::Warning, false, Step::Open),
            (AgentDown, Status::Critical, false, Step::Open),
            (Recovery, Status::Ok, true, Step::Close),
            (AgentUp, Status::Ok, true, Step::Close),
            (Closed, Status::Critical, true, Step::Close),
            (Acknowledgement, Status::Critical, true, Step::Acknowledge),
            (Flapping, Status::Critical, true, Step::Open),
            (Flapping, Status::Critical, false, Step::Nothing),
            (Flapping, Status::Ok, true, Step::Nothing),
            (Downtime, Status::Critical, true, Step::Nothing),
            (Test, Status::Ok, false, Step::Try),
        ] {
            let mut notification = Notification::test("k", Timestamp::EPOCH);
            (notification.items[0].event, notification.items[0].status) = (event, status);
            if told {
                let earlier = EarlierMessage { key: "j".to_owned(), receipt: Receipt::new("taken") };
                notification.earlier.push(earlier);
            }
            assert_eq!(Step::of(&notification, &notification.items[0]), step, "{event:?} {status} {told}");
        }
    }

    #[test]
    fn own_words_reach_the_alert() {
        let mut notification = Notification::test("k", Timestamp::EPOCH);
        notification.items[0].long_output = "more\u{7}".to_owned();
        let words = Words { title: Some("t".to_owned()), text: Some("x\n".to_owned()) };
        let item = notification.items[0].clone();
        assert_eq!(details(&notification, &item), "This is a test: the channel works.\nmore");
        notification.words = Some(words);
        assert_eq!(
            (summary(&notification, &item).as_str(), details(&notification, &item).as_str()),
            ("t", "x")
        );
        notification.more = 1;
        assert_eq!(summary(&notification, &item), item.title());
    }
}
