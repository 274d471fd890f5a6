//! From a row of the outbox to what a notifier gets, and the words for the fallback channel when one fails.

use std::fmt;

use vilicus_core::notification::EarlierMessage;
use vilicus_core::{Millis, Notification, NotificationEvent, NotificationItem, StateType, Status, Timestamp};
use vilicus_store::inventory::{Channel, ChannelWords};
use vilicus_store::outbox::OutboxRow;
use vilicus_store::{Input, Store, StoreError};

use crate::notifiers::MessageTemplate;

/// The most items that one message lists; the rest is counted.
pub const LISTED: usize = 20;
/// Groups of messages that tell of a failing channel begin with this. They are not passed on once more, so that
/// two channels that are each other's fallback don't throw a ball for ever.
const FALLBACK: &str = "fallback-";

/// What a notifier gets to deliver.
///
/// # Errors
/// The store can't read the earlier messages.
pub(crate) async fn notification(
    store: &dyn Store,
    channel: &Channel,
    row: &OutboxRow,
    public_url: Option<&str>,
) -> Result<Notification, StoreError> {
    let because = Because::find(store, channel, row).await?;
    let mut items = row.items.clone();
    // Stable: among equals the order in which they happened stays.
    items.sort_by_key(|item| std::cmp::Reverse(item.status));
    let unlisted = items.len().saturating_sub(LISTED) as u64;
    items.truncate(LISTED);
    Ok(Notification {
        key: row.key.clone(),
        items,
        more: row.more + unlisted,
        url: public_url.map(|base| link(base, row)),
        reason: because.to_string(),
        earlier: earlier(store, row).await?,
        words: None,
    })
}

fn link(base: &str, row: &OutboxRow) -> String {
    let base = base.trim_end_matches('/');
    match row.checks.as_slice() {
        [check] => format!("{base}/#check-{check}"),
        _ => format!("{base}/"),
    }
}

/// Puts the words of the channel's own templates into the message.
///
/// # Errors
/// A template fails with this message, in words: then the message keeps the usual ones.
pub(crate) fn put_words(channel: &Channel, notification: &mut Notification) -> Result<(), String> {
    if channel.words == ChannelWords::default() {
        return Ok(());
    }
    let ChannelWords { title, text } = channel.words.clone();
    let words = MessageTemplate { title, text }.render(notification).map_err(|error| error.detail)?;
    notification.words = Some(words);
    Ok(())
}

/// Why someone gets a message.
#[derive(Debug, PartialEq)]
enum Because {
    /// Another channel fails, and this one is its fallback.
    Fallback { channel: String },
    /// There were no routes.
    Everyone { channel: String },
    /// They were told of the problem that is over, or that someone is on.
    Told { route: Option<String> },
    /// A route matches.
    Route { route: Option<String> },
    /// A step of a route's escalation was reached.
    Step { route: String, step: u32, after: Millis },
}

impl Because {
    async fn find(store: &dyn Store, channel: &Channel, row: &OutboxRow) -> Result<Self, StoreError> {
        if row.group.starts_with(FALLBACK) {
            return Ok(Self::Fallback { channel: channel.name.clone() });
        }
        let Some(id) = row.route else {
            return Ok(Self::Everyone { channel: channel.name.clone() });
        };
        let route = store.routes().await?.into_iter().find(|route| route.id == id);
        if row
            .items
            .iter()
            .all(|item| item.event.is_end() || item.event == NotificationEvent::Acknowledgement)
        {
            return Ok(Self::Told { route: route.map(|route| route.name) });
        }
        let step = step_of(store, channel, row).await?;
        let reached = route.as_ref().and_then(|route| {
            let after = route.steps().find(|(number, ..)| *number == step)?.1;
            Some(Self::Step { route: route.name.clone(), step, after })
        });
        Ok(match reached {
            Some(because) if step > 0 => because,
            _ => Self::Route { route: route.map(|route| route.name) },
        })
    }
}

/// By which step of the escalation the channel is told; 0 when it is the route's own, or when that is over.
async fn step_of(store: &dyn Store, channel: &Channel, row: &OutboxRow) -> Result<u32, StoreError> {
    for check in &row.checks {
        let view = store.check(*check).await?;
        if let Some(told) = view.as_ref().and_then(|view| view.state.told(channel.id)) {
            return Ok(told.step);
        }
    }
    Ok(0)
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fallback { channel } => {
                write!(f, "channel '{channel}' is told what another channel could not deliver")
            }
            Self::Everyone { channel } => {
                write!(f, "channel '{channel}' is told of every confirmed problem and of its recovery")
            }
            Self::Told { route: Some(route) } => write!(f, "you were told of the problem by route '{route}'"),
            Self::Told { route: None } => f.write_str("you were told of the problem"),
            Self::Route { route: Some(route) } => write!(f, "route '{route}' matches"),
            Self::Route { route: None } => f.write_str("a route matched that is gone now"),
            Self::Step { route, step, after } => {
                write!(f, "nobody acknowledged it for {after}: step {step} of route '{route}'")
            }
        }
    }
}

async fn earlier(store: &dyn Store, row: &OutboxRow) -> Result<Vec<EarlierMessage>, StoreError> {
    let mut earlier = Vec::with_capacity(row.earlier.len());
    for id in &row.earlier {
        if let Some(row) = store.notification(*id).await?
            && let Some(receipt) = row.receipt.clone()
        {
            earlier.push(EarlierMessage { key: row.key.clone(), receipt });
        }
    }
    Ok(earlier)
}

/// Tells the fallback, if there is one, that nothing passes on this channel.
pub(super) fn tell_paused(channel: &Channel, fault: &str, now: Timestamp) -> Option<Input> {
    let output = format!("nothing passes: {fault}; messages wait until it is mended or a test passes");
    tell_of_channel(channel, NotificationEvent::Problem, Status::Critical, output, now)
}

/// Tells the fallback, if there is one, that the channel works again.
pub(super) fn tell_released(channel: &Channel, now: Timestamp) -> Option<Input> {
    let output = "messages pass again".to_owned();
    let mut tell = tell_of_channel(channel, NotificationEvent::Recovery, Status::Ok, output, now);
    if let (Some(Input::Tell { item, .. }), Some(pause)) = (&mut tell, &channel.paused) {
        item.previous_status = Some(Status::Critical);
        item.problem_since = Some(pause.since);
    }
    tell
}

fn tell_of_channel(
    channel: &Channel,
    event: NotificationEvent,
    status: Status,
    output: String,
    now: Timestamp,
) -> Option<Input> {
    let item = NotificationItem {
        event,
        agent: "vilicus".to_owned(),
        check: format!("channel {}", channel.name),
        subject: format!("channel-{}", channel.id),
        kind: "channel".to_owned(),
        tags: Vec::new(),
        status,
        previous_status: None,
        state_type: StateType::Hard,
        since: now,
        at: now,
        attempt: 1,
        max_attempts: 1,
        output,
        long_output: String::new(),
        metrics: Vec::new(),
        runbook_url: None,
        problem_since: None,
        late: false,
    };
    let group = format!("{FALLBACK}channel-{}", channel.id);
    channel.fallback.map(|fallback| Input::Tell { channel: fallback, item: Box::new(item), group })
}

/// Passes what a message would have told to the fallback, if there is one; nothing when it came from a fallback.
pub(super) fn pass_on(channel: &Channel, row: &OutboxRow, reason: &str) -> Vec<Input> {
    let Some(fallback) = channel.fallback.filter(|_| !row.group.starts_with(FALLBACK)) else {
        return Vec::new();
    };
    let group = format!("{FALLBACK}{}", row.group);
    let tell = |item: &NotificationItem| {
        let mut item = item.clone();
        item.output =
            format!("{} (channel '{}' could not deliver this: {reason})", item.output, channel.name);
        Input::Tell { channel: fallback, item: Box::new(item), group: group.clone() }
    };
    row.items.iter().map(tell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::{ChannelId, NotificationId};
    use vilicus_store::outbox::OutboxState;
    use vilicus_store::{EngineStore, Json, MemoryEngine, Options};

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn channel(fallback: Option<u64>) -> Channel {
        Channel {
            id: ChannelId::new(1).unwrap(),
            name: "mail".to_owned(),
            kind: "email".to_owned(),
            params: Json::default(),
            enabled: true,
            rate_limit: None,
            fallback: fallback.and_then(ChannelId::new),
            digest_above: None,
            words: ChannelWords::default(),
            managed_by: None,
            paused: None,
        }
    }

    fn row(group: &str, statuses: &[Status]) -> OutboxRow {
        let test = Notification::test("k", NOW).items.remove(0);
        let items =
            statuses.iter().map(|status| NotificationItem { status: *status, ..test.clone() }).collect();
        OutboxRow {
            id: NotificationId::new(9).unwrap(),
            key: "the-key".to_owned(),
            channel: ChannelId::new(1).unwrap(),
            route: None,
            group: group.to_owned(),
            checks: vec![vilicus_core::CheckId::new(7).unwrap()],
            agent: None,
            items,
            more: 3,
            state: OutboxState::Pending,
            created_at: NOW,
            not_before: NOW,
            try_count: 0,
            tries: Vec::new(),
            receipt: None,
            earlier: vec![NotificationId::new(5).unwrap()],
        }
    }

    #[tokio::test]
    async fn a_message_lists_the_worst_first_and_counts_the_rest() {
        let store = EngineStore::open(MemoryEngine::new(), Options::new(NOW, [7; 16])).unwrap();
        let mut statuses = vec![Status::Ok; 24];
        statuses.push(Status::Critical);
        let row = row("check-7", &statuses);
        let built = notification(&store, &channel(None), &row, Some("https://v.example/")).await.unwrap();
        assert_eq!((built.items.len(), built.more), (LISTED, 3 + 5));
        assert_eq!(built.items[0].status, Status::Critical);
        assert_eq!(
            (built.key.as_str(), built.url.as_deref()),
            ("the-key", Some("https://v.example/#check-7"))
        );
        assert!(built.earlier.is_empty(), "what is forgotten is left out");
    }

    #[test]
    fn the_reason_names_the_route_and_the_step() {
        let route = || "ops".to_owned();
        for (because, words) in [
            (Because::Route { route: Some(route()) }, "route 'ops' matches"),
            (Because::Route { route: None }, "a route matched that is gone now"),
            (
                Because::Step { route: route(), step: 1, after: Millis::from_minutes(30) },
                "nobody acknowledged it for 30m: step 1 of route 'ops'",
            ),
            (Because::Told { route: Some(route()) }, "you were told of the problem by route 'ops'"),
        ] {
            assert_eq!(because.to_string(), words);
        }
    }

    #[test]
    fn a_template_that_fails_leaves_the_usual_words() {
        let mut message = Notification::test("k", NOW);
        let words = |title: &str| ChannelWords { title: Some(title.to_owned()), text: None };
        let own = Channel { words: words("{{ check }}!"), ..channel(None) };
        put_words(&own, &mut message).unwrap();
        assert_eq!(message.title(), "test!");
        let broken = Channel { words: words("{{ nowhere }}"), ..channel(None) };
        let mut message = Notification::test("k", NOW);
        let usual = message.title();
        let fault = put_words(&broken, &mut message).unwrap_err();
        assert!(fault.starts_with("title, line 1: "), "{fault}");
        assert_eq!(message.title(), usual);
    }

    #[test]
    fn only_a_first_failure_is_passed_on_and_only_to_a_fallback() {
        let statuses = [Status::Critical, Status::Ok];
        assert_eq!(pass_on(&channel(Some(2)), &row("check-7", &statuses), "gone").len(), 2);
        assert!(pass_on(&channel(None), &row("check-7", &statuses), "gone").is_empty());
        assert!(pass_on(&channel(Some(2)), &row("fallback-check-7", &statuses), "gone").is_empty());
    }
}
