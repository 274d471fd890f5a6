//! From what is to be told to messages in the outbox, and what becomes of them.

use std::sync::Arc;

use vilicus_core::event::Happening;
use vilicus_core::judge::telling::{LATE, Tell};
use vilicus_core::merge::merge;
use vilicus_core::{AgentId, ChannelId, CheckId, Millis, NotificationId, NotificationItem, Timestamp};

use crate::embedded::effect::Effect;
use crate::embedded::unit::Unit;
use crate::outbox::{Delivery, MAX_ITEMS, MAX_TRIES, OutboxRow, OutboxState, Try};

/// The group of the one message that tells all when too many wait.
const DIGEST: &str = "digest";
/// What was delivered late waits so long for the rest of its backlog, so that the outcome is told and not each step.
const SETTLE: Millis = Millis::from_secs(2);

/// What a message is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    pub(crate) check: Option<CheckId>,
    pub(crate) agent: Option<AgentId>,
}

/// Merges news into a message. The items beyond the most that it keeps are counted.
pub(crate) fn merge_into(row: &mut OutboxRow, item: NotificationItem, earlier: &[NotificationId]) {
    merge(&mut row.items, item);
    if row.items.len() > MAX_ITEMS {
        row.items.truncate(MAX_ITEMS);
        row.more += 1;
    }
    for id in earlier {
        if !row.earlier.contains(id) {
            row.earlier.push(*id);
        }
    }
}

impl Unit<'_> {
    /// Tells one channel of a check.
    pub(crate) fn tell(
        &mut self,
        tell: &Tell,
        about: About,
        item: NotificationItem,
        earlier: Vec<NotificationId>,
    ) -> NotificationId {
        let group = about.check.map_or_else(String::new, |check| format!("check-{check}"));
        self.enqueue(tell.channel, group, about, item, earlier)
    }

    /// Adds news to the message of its group that was not tried yet, or makes one.
    pub(crate) fn enqueue(
        &mut self,
        channel: ChannelId,
        group: String,
        about: About,
        item: NotificationItem,
        earlier: Vec<NotificationId>,
    ) -> NotificationId {
        let queue = &self.truth.queue;
        if let Some(row) = queue.mergeable(channel, &group) {
            return self.add_news(row.id, item, earlier);
        }
        let most = self.truth.channels.get(&channel).and_then(|channel| channel.digest_above);
        let too_many = most.is_some_and(|most| queue.count(channel) >= most as usize);
        if !too_many {
            return self.new_message(channel, group, about, item, earlier);
        }
        match queue.mergeable(channel, DIGEST) {
            Some(row) => self.add_news(row.id, item, earlier),
            None => {
                let about = About { check: None, agent: None };
                self.new_message(channel, DIGEST.to_owned(), about, item, earlier)
            }
        }
    }

    fn add_news(
        &mut self,
        message: NotificationId,
        item: NotificationItem,
        earlier: Vec<NotificationId>,
    ) -> NotificationId {
        self.emit(Effect::News { message, item: Box::new(item), earlier });
        message
    }

    fn new_message(
        &mut self,
        channel: ChannelId,
        group: String,
        about: About,
        item: NotificationItem,
        earlier: Vec<NotificationId>,
    ) -> NotificationId {
        let id = self.next_message();
        let not_before = if self.now.since(item.at) > LATE { self.now.after(SETTLE) } else { self.now };
        self.emit(Effect::Message(Arc::new(OutboxRow {
            id,
            key: format!("{}-{id}", self.truth.instance),
            channel,
            group,
            check: about.check,
            agent: about.agent,
            items: vec![item],
            more: 0,
            state: OutboxState::Pending,
            created_at: self.now,
            not_before,
            try_count: 0,
            tries: Vec::new(),
            receipt: None,
            earlier,
        })));
        id
    }

    /// Notes what came of a try.
    pub(crate) fn delivered(&mut self, id: NotificationId, attempt: Try, delivery: Delivery) {
        let Some(queued) = self.truth.queue.get(id) else {
            return;
        };
        let mut row = OutboxRow::clone(&queued.row);
        row.try_count = row.try_count.saturating_add(1);
        row.tries.push(attempt);
        let excess = row.tries.len().saturating_sub(MAX_TRIES);
        row.tries.drain(..excess);
        match delivery {
            Delivery::Sent { receipt } => {
                row.receipt = Some(receipt);
                row.state = OutboxState::Sent { at: self.now };
            }
            Delivery::Again { not_before } => row.not_before = not_before,
            Delivery::GivenUp { reason } => row.state = OutboxState::Failed { at: self.now, reason },
        }
        if row.state.is_pending() {
            self.truth.queue.unclaim(id);
            self.emit(Effect::Message(Arc::new(row)));
        } else {
            self.finish(row);
        }
    }

    /// Ends the messages of a channel that is gone.
    pub(crate) fn suppress_all(&mut self, channel: ChannelId) {
        for id in self.truth.queue.of_channel(channel) {
            if let Some(queued) = self.truth.queue.get(id) {
                let mut row = OutboxRow::clone(&queued.row);
                row.state =
                    OutboxState::Suppressed { at: self.now, reason: "the channel was removed".to_owned() };
                self.finish(row);
            }
        }
    }

    fn finish(&mut self, row: OutboxRow) {
        let what = Happening::Notification {
            notification: row.id,
            channel: row.channel,
            outcome: row.state.as_str().to_owned(),
        };
        let (agent, check) = (row.agent, row.check);
        self.emit(Effect::Message(Arc::new(row)));
        self.record(self.now, agent, check, what);
    }

    /// Records an event that happened at `at`.
    pub(crate) fn record(
        &mut self,
        at: Timestamp,
        agent: Option<AgentId>,
        check: Option<CheckId>,
        what: Happening,
    ) {
        let id = self.next_event();
        let event = vilicus_core::Event { id, at, recorded_at: self.now, agent, check, what };
        self.emit(Effect::Event(Arc::new(event)));
    }
}
