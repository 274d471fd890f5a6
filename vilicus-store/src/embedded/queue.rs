//! The messages that wait, in memory: what news merges into, what may be tried, and in which order.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use vilicus_core::{ChannelId, NotificationId, NotificationItem, Timestamp};

use crate::outbox::OutboxRow;
use crate::store::Waiting;

/// The messages that wait.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    rows: BTreeMap<NotificationId, Queued>,
    channels: BTreeMap<ChannelId, BTreeSet<NotificationId>>,
    /// The newest message of each group.
    newest: HashMap<ChannelId, HashMap<String, NotificationId>>,
    /// The newest message that tells of each subject.
    latest: HashMap<ChannelId, HashMap<String, NotificationId>>,
    /// Whether a message was added or changed since it was asked last.
    changed: bool,
}

/// A message that waits.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    /// The message.
    pub(crate) row: Arc<OutboxRow>,
    /// The record that changed it last: it may leave when that record is durable.
    pub(crate) sequence: u64,
    /// Someone has it, to try it.
    pub(crate) claimed: bool,
    /// It may have been tried, so nothing merges into it.
    pub(crate) frozen: bool,
    /// It was sent, which is about to be written down: no other waits for it.
    pub(crate) sent: bool,
}

impl Queue {
    /// A message that waits.
    pub(crate) fn get(&self, id: NotificationId) -> Option<&Queued> {
        self.rows.get(&id)
    }

    /// All messages that wait, by id.
    pub(crate) fn rows(&self) -> impl DoubleEndedIterator<Item = &Arc<OutboxRow>> {
        self.rows.values().map(|queued| &queued.row)
    }

    /// How many messages of a channel wait.
    pub(crate) fn count(&self, channel: ChannelId) -> usize {
        self.channels.get(&channel).map_or(0, BTreeSet::len)
    }

    /// The ids of the messages of a channel that wait.
    pub(crate) fn of_channel(&self, channel: ChannelId) -> Vec<NotificationId> {
        self.channels.get(&channel).into_iter().flatten().copied().collect()
    }

    /// Adds a message, or replaces it.
    pub(crate) fn put(&mut self, row: Arc<OutboxRow>, sequence: u64) {
        let before = self.rows.get(&row.id);
        let (claimed, frozen) = before.map_or((false, false), |queued| (queued.claimed, queued.frozen));
        for item in before.iter().flat_map(|queued| &queued.row.items) {
            forget(&mut self.latest, row.channel, &item.subject, row.id);
        }
        let frozen = frozen || row.try_count > 0;
        self.channels.entry(row.channel).or_default().insert(row.id);
        let newest = self.newest.entry(row.channel).or_default().entry(row.group.clone()).or_insert(row.id);
        *newest = (*newest).max(row.id);
        row.items.iter().for_each(|item| note_latest(&mut self.latest, &row, item));
        self.rows.insert(row.id, Queued { row, sequence, claimed, frozen, sent: false });
        self.changed = true;
    }

    /// Whether a message was added or changed since this was asked last.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Puts back what [`remove`](Queue::remove) or [`put`](Queue::put) took away.
    pub(crate) fn restore(&mut self, queued: Queued) {
        let id = queued.row.id;
        self.put(Arc::clone(&queued.row), queued.sequence);
        self.rows.insert(id, queued);
    }

    /// Takes a message out: it is done.
    pub(crate) fn remove(&mut self, id: NotificationId) -> Option<Queued> {
        let queued = self.rows.remove(&id)?;
        let channel = queued.row.channel;
        if let Some(ids) = self.channels.get_mut(&channel) {
            ids.remove(&id);
            if ids.is_empty() {
                self.channels.remove(&channel);
            }
        }
        forget(&mut self.newest, channel, &queued.row.group, id);
        for item in &queued.row.items {
            forget(&mut self.latest, channel, &item.subject, id);
        }
        Some(queued)
    }

    /// The message that news of a subject merges into, if there is one that was never tried: the newest about the
    /// subject, which the news must not overtake, or else the newest of the group.
    pub(crate) fn mergeable(
        &self,
        channel: ChannelId,
        group: &str,
        subject: &str,
    ) -> Option<&Arc<OutboxRow>> {
        let newest = |of: &HashMap<ChannelId, HashMap<String, NotificationId>>, name: &str| {
            of.get(&channel)?.get(name).copied()
        };
        let latest = newest(&self.latest, subject);
        let untried =
            |id: &NotificationId| self.rows.get(id).is_some_and(|queued| !queued.claimed && !queued.frozen);
        let of_group = || newest(&self.newest, group).filter(untried).filter(|id| Some(*id) > latest);
        let id = latest.filter(untried).or_else(of_group)?;
        self.rows.get(&id).map(|queued| &queued.row)
    }

    /// Changes a message in place.
    pub(crate) fn change(&mut self, id: NotificationId, sequence: u64, change: impl FnOnce(&mut OutboxRow)) {
        if let Some(queued) = self.rows.get_mut(&id) {
            self.changed = true;
            queued.sequence = sequence;
            change(Arc::make_mut(&mut queued.row));
            // News is the last that a message tells.
            if let Some(news) = queued.row.items.last() {
                note_latest(&mut self.latest, &queued.row, news);
            }
        }
    }

    /// Takes messages to try them; see [`Store::claim`](crate::Store::claim).
    pub(crate) fn claim(
        &mut self,
        channel: ChannelId,
        now: Timestamp,
        durable: u64,
        limit: usize,
    ) -> Vec<Arc<OutboxRow>> {
        let due: Vec<_> = self
            .free(channel)
            .filter(|queued| queued.row.not_before <= now && queued.sequence <= durable)
            .take(limit)
            .map(|queued| Arc::clone(&queued.row))
            .collect();
        for row in &due {
            if let Some(queued) = self.rows.get_mut(&row.id) {
                (queued.claimed, queued.frozen) = (true, true);
            }
        }
        due
    }

    /// A claimed message was sent.
    pub(crate) fn note_sent(&mut self, id: NotificationId) {
        if let Some(queued) = self.rows.get_mut(&id) {
            queued.sent = queued.claimed;
        }
    }

    /// Gives a message back.
    pub(crate) fn unclaim(&mut self, id: NotificationId) {
        if let Some(queued) = self.rows.get_mut(&id) {
            (queued.claimed, queued.sent) = (false, false);
        }
    }

    /// The messages that someone has.
    pub(crate) fn claimed(&self) -> Vec<NotificationId> {
        self.rows.iter().filter(|(_, queued)| queued.claimed).map(|(id, _)| *id).collect()
    }

    /// Marks messages as claimed that someone had before a rebuild.
    pub(crate) fn reclaim(&mut self, ids: &[NotificationId]) {
        for id in ids {
            if let Some(queued) = self.rows.get_mut(id) {
                queued.claimed = true;
            }
        }
    }

    /// Marks everything as maybe tried: nobody knows what happened before.
    pub(crate) fn freeze(&mut self) {
        self.rows.values_mut().for_each(|queued| queued.frozen = true);
    }

    /// See [`Store::waiting`](crate::Store::waiting).
    pub(crate) fn waiting(&self, channel: ChannelId) -> Waiting {
        let ids = self.channels.get(&channel);
        let rows = || ids.into_iter().flatten().filter_map(|id| self.rows.get(id));
        Waiting {
            count: ids.map_or(0, BTreeSet::len),
            next: self.free(channel).map(|queued| queued.row.not_before).min(),
            oldest: rows().map(|queued| queued.row.created_at).min(),
        }
    }

    /// The messages of a channel that nobody has and that have to wait for no older one about the same thing:
    /// the order of what is told of a check is kept.
    fn free(&self, channel: ChannelId) -> impl Iterator<Item = &Queued> {
        let mut taken: HashSet<(&str, &str)> = HashSet::new();
        let ids = self.channels.get(&channel).into_iter().flatten();
        ids.filter_map(|id| self.rows.get(id)).filter(move |queued| {
            let blocked = places(&queued.row).any(|place| taken.contains(&place));
            if !queued.sent {
                taken.extend(places(&queued.row));
            }
            !blocked && !queued.claimed
        })
    }
}

/// Notes that a message tells of the subject of this item.
fn note_latest(
    latest: &mut HashMap<ChannelId, HashMap<String, NotificationId>>,
    row: &OutboxRow,
    item: &NotificationItem,
) {
    let of_channel = latest.entry(row.channel).or_default();
    let latest = of_channel.entry(item.subject.clone()).or_insert(row.id);
    *latest = (*latest).max(row.id);
}

/// Forgets that this message is the newest of that name.
fn forget(
    newest: &mut HashMap<ChannelId, HashMap<String, NotificationId>>,
    channel: ChannelId,
    name: &str,
    id: NotificationId,
) {
    let Some(of_channel) = newest.get_mut(&channel) else { return };
    if of_channel.get(name) == Some(&id) {
        of_channel.remove(name);
    }
    if of_channel.is_empty() {
        newest.remove(&channel);
    }
}

/// What a message is about: its group, and each thing that it tells of.
fn places(row: &OutboxRow) -> impl Iterator<Item = (&str, &str)> {
    let items = row.items.iter().map(|item| ("subject", item.subject.as_str()));
    std::iter::once(("group", row.group.as_str())).chain(items)
}
