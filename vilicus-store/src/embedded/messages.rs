//! From what is to be told to messages in the outbox, and what becomes of them.

use std::sync::Arc;

use vilicus_core::event::Happening;
use vilicus_core::judge::telling::{LATE, Tell};
use vilicus_core::merge::merge;
use vilicus_core::state::Told;
use vilicus_core::{
    AgentId, ChannelId, CheckId, Millis, NotificationId, NotificationItem, RouteId, Timestamp,
};

use crate::embedded::effect::Effect;
use crate::embedded::unit::Unit;
use crate::outbox::{Delivery, MAX_ITEMS, MAX_TRIES, OutboxRow, OutboxState, Try};

/// The group of the one message that tells all when too many wait.
const DIGEST: &str = "digest";
/// What was delivered late waits so long for the rest of its backlog, so that the outcome is told and not each step.
const SETTLE: Millis = Millis::from_secs(2);

/// Why a message is not sent that waited for more.
const OVER: &str = "it was over before anyone was told, and the route tells no recoveries";

/// What a message is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    pub(crate) check: Option<CheckId>,
    pub(crate) agent: Option<AgentId>,
}

/// Where a message goes, and when.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) channel: ChannelId,
    pub(crate) route: Option<RouteId>,
    pub(crate) group: String,
    pub(crate) first_try: Timestamp,
}

/// Merges news into a message. The items beyond the most that it keeps are counted.
pub(crate) fn merge_into(
    row: &mut OutboxRow,
    check: Option<CheckId>,
    item: NotificationItem,
    earlier: &[NotificationId],
) {
    merge(&mut row.items, item);
    if let Some((check, at)) = check.and_then(|check| Some((check, row.checks.binary_search(&check).err()?)))
    {
        row.checks.insert(at, check);
        // A message about several checks is about no agent alone.
        row.agent = None;
    }
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
    /// Tells one channel of a check whose problem began to count at `began`.
    pub(crate) fn tell(
        &mut self,
        tell: &Tell,
        began: Timestamp,
        about: About,
        item: NotificationItem,
        earlier: Vec<NotificationId>,
    ) -> NotificationId {
        let last = self.truth.problems.last_message(tell.channel, &tell.group);
        let first_try = tell.pacing.first_try(began, last, self.now);
        let address =
            Address { channel: tell.channel, route: tell.route, group: tell.group.clone(), first_try };
        self.enqueue(address, about, item, earlier)
    }

    /// Adds news to the message of its group that was not tried yet, or makes one.
    pub(crate) fn enqueue(
        &mut self,
        address: Address,
        about: About,
        item: NotificationItem,
        earlier: Vec<NotificationId>,
    ) -> NotificationId {
        let (queue, channel) = (&self.truth.queue, address.channel);
        if let Some(row) = queue.mergeable(channel, &address.group, &item.subject) {
            return self.add_news(row.id, about.check, item, earlier);
        }
        let most = self.truth.channels.get(&channel).and_then(|channel| channel.digest_above);
        let too_many = most.is_some_and(|most| queue.count(channel) >= most as usize);
        if !too_many {
            return self.new_message(address, about, item, earlier);
        }
        match queue.mergeable(channel, DIGEST, &item.subject) {
            Some(row) => self.add_news(row.id, about.check, item, earlier),
            None => {
                let address = Address { group: DIGEST.to_owned(), ..address };
                self.new_message(address, About { agent: None, ..about }, item, earlier)
            }
        }
    }

    fn add_news(
        &mut self,
        message: NotificationId,
        check: Option<CheckId>,
        item: NotificationItem,
        earlier: Vec<NotificationId>,
    ) -> NotificationId {
        self.emit(Effect::News { message, check, item: Box::new(item), earlier });
        message
    }

    fn new_message(
        &mut self,
        address: Address,
        about: About,
        item: NotificationItem,
        earlier: Vec<NotificationId>,
    ) -> NotificationId {
        let id = self.next_message();
        let settled = if self.now.since(item.at) > LATE { self.now.after(SETTLE) } else { self.now };
        let Address { channel, route, group, first_try } = address;
        self.emit(Effect::Message(Arc::new(OutboxRow {
            id,
            key: format!("{}-{id}", self.truth.instance),
            channel,
            route,
            group,
            checks: about.check.into_iter().collect(),
            agent: about.agent,
            items: vec![item],
            more: 0,
            state: OutboxState::Pending,
            created_at: self.now,
            not_before: first_try.max(settled),
            try_count: 0,
            tries: Vec::new(),
            receipt: None,
            earlier,
        })));
        id
    }

    /// Takes what nobody is to be told any longer out of the messages that were not tried yet.
    pub(crate) fn withdraw(&mut self, unsaid: &[Told], check: CheckId) {
        let subject = self.truth.subject(check);
        for told in unsaid {
            let Some(row) = self.truth.queue.mergeable(told.channel, &told.group, &subject) else { continue };
            if !row.items.iter().any(|item| item.subject == subject) {
                continue;
            }
            let mut row = OutboxRow::clone(row);
            // The end of what was told before stays.
            row.items.retain(|item| item.subject != subject || item.event.is_end());
            if row.items.is_empty() {
                row.state = OutboxState::Suppressed { at: self.now, reason: OVER.to_owned() };
                self.finish(row);
            } else {
                row.checks.retain(|other| *other != check);
                self.emit(Effect::Message(Arc::new(row)));
            }
        }
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
        let check = if let [check] = row.checks.as_slice() { Some(*check) } else { None };
        let agent = row.agent;
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
