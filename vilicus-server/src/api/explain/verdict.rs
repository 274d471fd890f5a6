//! What came of it, in one plain sentence: read in the middle of the night, by someone who was woken by it.

use vilicus_core::judge::gates::Hold;
use vilicus_core::judge::telling::{DueReason, Look};
use vilicus_core::{StateType, Status};

use super::delivery::{Delivery, Standing};
use super::{Moment, ToldOne};
use crate::api::sentences::{Names, reason};

/// What came of it, in one sentence; a second says when it goes on.
pub(super) fn verdict(moment: &Moment<'_>, look: &Look, names: &Names) -> String {
    let mut verdict = match (moment.status, moment.told) {
        _ if !moment.enabled => "Nobody is told: the check is switched off.".to_owned(),
        (None, _) => "Nobody is told: no result has come yet.".to_owned(),
        (Some(Status::Ok), told) => verdict_of_ok(moment, told, look, names),
        (Some(status), []) => verdict_of_untold(status, moment.state_type, look, names),
        (Some(status), told) => verdict_of_told(status, told, look, names),
    };
    if let Some(next) = look.next {
        verdict.push_str(&format!(" At {} {}.", next.at, coming(next.reason)));
    }
    verdict
}

fn verdict_of_ok(moment: &Moment<'_>, told: &[ToldOne], look: &Look, names: &Names) -> String {
    let since = moment.since.map_or_else(String::new, |since| format!(" since {since}"));
    match (told, look.hold) {
        ([], _) if !moment.waiting.is_empty() => {
            format!("The check is OK{since}.{}", on_their_way(moment.waiting, names))
        }
        ([], _) => format!("There is nothing to tell: the check is OK{since}."),
        (told, Some(hold)) => {
            let reason = reason(hold, &look.trace);
            format!(
                "{} will hear that the check is OK{since}, not yet: {reason}.",
                capital(&listed(told, names))
            )
        }
        (told, None) => {
            let one = if moment.state_type == StateType::Soft { "once that is confirmed" } else { "now" };
            format!("The check is OK{since}; {} will hear of it {one}.", listed(told, names))
        }
    }
}

fn verdict_of_untold(status: Status, state_type: StateType, look: &Look, names: &Names) -> String {
    match look.hold.or((state_type == StateType::Soft).then_some(Hold::Soft)) {
        Some(hold) => format!("Nobody is told that it is {status}: {}.", reason(hold, &look.trace)),
        None if look.tells.is_empty() => {
            format!("Nobody is told that it is {status}: no gate lets it pass now.")
        }
        None => {
            let mut channels: Vec<String> =
                look.tells.iter().map(|tell| names.channel(tell.channel)).collect();
            channels.dedup();
            let are = if channels.len() == 1 { "is" } else { "are" };
            format!("{} {are} about to be told that it is {status}.", capital(&joined(&channels)))
        }
    }
}

fn verdict_of_told(status: Status, told: &[ToldOne], look: &Look, names: &Names) -> String {
    let heard: Vec<String> = told.iter().map(|told| heard(told, names)).collect();
    let heard = capital(&heard.join("; "));
    match look.hold {
        Some(hold) => {
            format!("{heard}. It is {status} still and not told again: {}.", reason(hold, &look.trace))
        }
        None => format!("{heard}."),
    }
}

/// What one channel heard, or did not hear though the gates let it pass.
fn heard(told: &ToldOne, names: &Names) -> String {
    let (channel, status, at) = (names.channel(told.channel), told.status, told.at);
    let route = told.route.map_or_else(
        || "there are no routes, so every channel is told".to_owned(),
        |route| format!("{} leads there", names.route(route)),
    );
    match told.delivery.as_ref().map(|delivery| &delivery.standing) {
        Some(Standing::Waits { .. }) | Some(Standing::Lost { .. }) => {
            let stands = told.delivery.as_ref().map_or_else(String::new, stands);
            format!("{channel} is to hear {status} since {at}, because {route}, {stands}")
        }
        _ => format!("{channel} was told {status} at {at}, because {route}"),
    }
}

/// Where a message stands that has not arrived.
fn stands(delivery: &Delivery) -> String {
    let message = delivery.notification;
    match &delivery.standing {
        Standing::Sent { at } => format!("and message {message} was sent at {at}"),
        Standing::Lost { reason, .. } => format!("but message {message} did not arrive: {reason}"),
        Standing::Waits { paused: Some((since, fault)), .. } => {
            format!("but message {message} waits: the channel is paused since {since}: {fault}")
        }
        Standing::Waits { tried: Some((count, detail)), not_before, .. } => {
            let tries = if *count == 1 { "one try".to_owned() } else { format!("{count} tries") };
            format!("but message {message} waits after {tries} ({detail}) for the next at {not_before}")
        }
        Standing::Waits { not_before, .. } => {
            format!("and message {message} waits for its first try, not before {not_before}")
        }
    }
}

/// The messages on their way, of the problem and of its end.
fn on_their_way(waiting: &[Delivery], names: &Names) -> String {
    let said = waiting.iter().map(|delivery| {
        let what = if delivery.is_problem { "is still to hear of the problem" } else { "is to hear of it" };
        format!(" {} {what}, {}.", capital(&names.channel(delivery.channel)), stands(delivery))
    });
    said.collect()
}

/// The channels that were told, in words.
fn listed(told: &[ToldOne], names: &Names) -> String {
    joined(&told.iter().map(|told| names.channel(told.channel)).collect::<Vec<_>>())
}

fn joined(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

fn capital(sentence: &str) -> String {
    let mut rest = sentence.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// What time alone will bring.
fn coming(reason: DueReason) -> &'static str {
    match reason {
        DueReason::Repeat => "it is told again if it is still so",
        DueReason::Escalation => "the next step of the escalation is told if it is still so",
        DueReason::FirstDelay => "it is old enough for its route, and told if it is still so",
        DueReason::ScheduleOpens => "the schedule of its route opens, and it is told if it is still so",
        DueReason::AcknowledgementExpires => "the acknowledgement expires",
        DueReason::DowntimeEnds => "the downtime ends",
        DueReason::ParentKnown => "it is known how the check is that it depends on",
        DueReason::FreshResult => "a fresh result is there, and it is told if it is still so",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::judge::gates::{Gate, GateTrace};
    use vilicus_core::judge::telling::{Due, Tell};
    use vilicus_core::route::Pacing;
    use vilicus_core::{ChannelId, NotificationEvent, NotificationId, RouteId, Timestamp};

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn told(route: Option<u64>) -> ToldOne {
        ToldOne {
            channel: ChannelId::new(3).unwrap(),
            route: route.and_then(RouteId::new),
            status: Status::Critical,
            at: NOW,
            delivery: None,
        }
    }

    fn sentence(status: Option<Status>, told: &[ToldOne], look: &Look) -> String {
        let (state_type, since) = (StateType::Hard, Some(NOW));
        let moment = Moment { status, state_type, since, enabled: true, told, waiting: &[] };
        verdict(&moment, look, &Names::default())
    }

    #[test]
    fn the_verdict_is_one_plain_sentence() {
        let quiet = Look::default();
        let held = Look {
            hold: Some(Hold::Acknowledged),
            trace: vec![GateTrace::new(Gate::NotAcknowledged, false, "ann is on it: fan")],
            ..Look::default()
        };
        let again = Look { next: Some(Due { at: NOW, reason: DueReason::Repeat }), ..Look::default() };
        let (by_route, by_none) = ([told(Some(5))], [told(None)]);
        let now = NOW.to_string();
        for (status, told, look, expected) in [
            (None, &[][..], &quiet, "Nobody is told: no result has come yet.".to_owned()),
            (
                Some(Status::Ok),
                &[],
                &quiet,
                format!("There is nothing to tell: the check is OK since {now}."),
            ),
            (
                Some(Status::Critical),
                &[],
                &held,
                "Nobody is told that it is CRITICAL: ann is on it: fan.".to_owned(),
            ),
            (
                Some(Status::Critical),
                &by_route,
                &again,
                format!(
                    "Channel 3 was told CRITICAL at {now}, because route 5 leads there. At {now} it is told again if \
                     it is still so."
                ),
            ),
            (
                Some(Status::Warning),
                &by_none,
                &held,
                format!(
                    "Channel 3 was told CRITICAL at {now}, because there are no routes, so every channel is told. It \
                     is WARNING still and not told again: ann is on it: fan."
                ),
            ),
        ] {
            assert_eq!(sentence(status, told, look), expected);
        }
    }

    #[test]
    fn what_is_about_to_be_told_is_said() {
        let tell = |channel| Tell {
            channel: ChannelId::new(channel).unwrap(),
            event: NotificationEvent::Problem,
            previous: None,
            route: None,
            step: 0,
            group: String::new(),
            pacing: Pacing::NONE,
        };
        let look = Look { tells: vec![tell(1), tell(2)], ..Look::default() };
        let expected = "Channel 1 and channel 2 are about to be told that it is CRITICAL.";
        assert_eq!(sentence(Some(Status::Critical), &[], &look), expected);
    }

    #[test]
    fn a_message_that_has_not_arrived_is_not_called_told() {
        let waits = |tried, paused| Standing::Waits { not_before: NOW, tried, paused };
        let now = NOW.to_string();
        for (standing, expected) in [
            (Standing::Sent { at: NOW }, format!("was told CRITICAL at {now}, because route 5 leads there.")),
            (waits(None, None), format!("and message 9 waits for its first try, not before {now}.")),
            (
                waits(Some((2, "refused".to_owned())), None),
                format!("but message 9 waits after 2 tries (refused) for the next at {now}."),
            ),
            (
                waits(Some((1, "401".to_owned())), Some((NOW, "401".to_owned()))),
                format!("but message 9 waits: the channel is paused since {now}: 401."),
            ),
            (
                Standing::Lost { at: NOW, reason: "550 no such user".to_owned() },
                "but message 9 did not arrive: 550 no such user.".to_owned(),
            ),
        ] {
            let delivery = delivery(standing);
            let told = [ToldOne { delivery: Some(delivery), ..told(Some(5)) }];
            let sentence = sentence(Some(Status::Critical), &told, &Look::default());
            assert!(sentence.ends_with(&expected), "{sentence}");
        }
    }

    #[test]
    fn a_recovery_that_waits_is_still_to_be_told() {
        let waiting = [delivery(Standing::Waits { not_before: NOW, tried: None, paused: None })];
        let moment = Moment {
            status: Some(Status::Ok),
            state_type: StateType::Hard,
            since: Some(NOW),
            enabled: true,
            told: &[],
            waiting: &waiting,
        };
        let expected = format!(
            "The check is OK since {NOW}. Channel 3 is to hear of it, and message 9 waits for its first try, not \
             before {NOW}."
        );
        assert_eq!(verdict(&moment, &Look::default(), &Names::default()), expected);
        let waiting = [Delivery { is_problem: true, ..waiting[0].clone() }, waiting[0].clone()];
        let both = verdict(&Moment { waiting: &waiting, ..moment }, &Look::default(), &Names::default());
        assert!(both.contains("Channel 3 is still to hear of the problem, and"), "{both}");
    }

    fn delivery(standing: Standing) -> Delivery {
        let (notification, channel) = (NotificationId::new(9).unwrap(), ChannelId::new(3).unwrap());
        Delivery { notification, channel, standing, is_problem: false }
    }
}
