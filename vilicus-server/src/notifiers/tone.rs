//! How loud and in which colour a message is told, for services that know such a thing.

use vilicus_core::{Notification, NotificationEvent, NotificationItem, Status};

/// The tone of a message, from the quietest to the loudest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    /// Nobody needs to look up: an acknowledgement, a downtime.
    Quiet,
    /// Something is well: a recovery, an agent that is back, a test.
    Good,
    /// A WARNING or UNKNOWN problem, a state that changes too often.
    Warning,
    /// A CRITICAL problem, a silent agent.
    Critical,
}

impl Tone {
    /// The loudest of what a message tells.
    pub(super) fn of(notification: &Notification) -> Self {
        notification.items.iter().map(of_item).max().unwrap_or(Self::Quiet)
    }

    /// The colour, as `0xRRGGBB`.
    pub(super) const fn colour(self) -> u32 {
        match self {
            Self::Quiet => 0x6b_7280,
            Self::Good => 0x16_a34a,
            Self::Warning => 0xd9_7706,
            Self::Critical => 0xdc_2626,
        }
    }
}

fn of_item(item: &NotificationItem) -> Tone {
    match (item.event, item.status) {
        (NotificationEvent::Acknowledgement | NotificationEvent::Downtime, _) => Tone::Quiet,
        (NotificationEvent::AgentDown, _) | (NotificationEvent::Problem, Status::Critical) => Tone::Critical,
        (NotificationEvent::Problem, Status::Warning | Status::Unknown)
        | (NotificationEvent::Flapping, _) => Tone::Warning,
        _ => Tone::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use NotificationEvent::{
        Acknowledgement, AgentDown, AgentUp, Closed, Downtime, Flapping, Problem, Recovery, Test,
    };
    use vilicus_core::Timestamp;

    #[test]
    fn a_message_is_as_loud_as_its_loudest_item() {
        for (events, tone) in [
            (&[(Problem, Status::Critical)][..], Tone::Critical),
            (&[(AgentDown, Status::Unknown)], Tone::Critical),
            (&[(Problem, Status::Warning)], Tone::Warning),
            (&[(Problem, Status::Unknown)], Tone::Warning),
            (&[(Flapping, Status::Critical)], Tone::Warning),
            (&[(Recovery, Status::Ok)], Tone::Good),
            (&[(AgentUp, Status::Ok)], Tone::Good),
            (&[(Closed, Status::Critical)], Tone::Good),
            (&[(Test, Status::Ok)], Tone::Good),
            (&[(Acknowledgement, Status::Critical)], Tone::Quiet),
            (&[(Downtime, Status::Critical)], Tone::Quiet),
            (
                &[(Recovery, Status::Ok), (Problem, Status::Warning), (Downtime, Status::Critical)],
                Tone::Warning,
            ),
        ] {
            let mut notification = Notification::test("k", Timestamp::EPOCH);
            let like = notification.items.remove(0);
            for (event, status) in events {
                let item = NotificationItem { event: *event, status: *status, ..like.clone() };
                notification.items.push(item);
            }
            assert_eq!(Tone::of(&notification), tone, "{events:?}");
        }
    }
}
