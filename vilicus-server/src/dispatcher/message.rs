//! From a row of the outbox to what a notifier gets, and the words for the fallback channel when one fails.

use vilicus_core::notification::EarlierMessage;
use vilicus_core::{Notification, NotificationEvent, NotificationItem, StateType, Status, Timestamp};
use vilicus_store::inventory::Channel;
use vilicus_store::outbox::OutboxRow;
use vilicus_store::{Input, Store, StoreError};

/// The most items that one message lists; the rest is counted.
pub const LISTED: usize = 20;
/// Groups of messages that tell of a failing channel begin with this. They are not passed on once more, so that
/// two channels that are each other's fallback don't throw a ball for ever.
const FALLBACK: &str = "fallback-";

/// What a notifier gets to deliver.
///
/// # Errors
/// The store can't read the earlier messages.
pub(super) async fn notification(
    store: &dyn Store,
    channel: &Channel,
    row: &OutboxRow,
    public_url: Option<&str>,
) -> Result<Notification, StoreError> {
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
        reason: reason(channel, row),
        earlier: earlier(store, row).await?,
    })
}

fn link(base: &str, row: &OutboxRow) -> String {
    let base = base.trim_end_matches('/');
    match row.check {
        Some(check) => format!("{base}/#check-{check}"),
        None => format!("{base}/"),
    }
}

fn reason(channel: &Channel, row: &OutboxRow) -> String {
    if row.group.starts_with(FALLBACK) {
        format!("channel '{}' is told what another channel could not deliver", channel.name)
    } else {
        format!("channel '{}' is told of every confirmed problem and of its recovery", channel.name)
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
