//! The contract with the readers. I3, second half: what the messages say, in their order, is what the store believes to
//! have told. I4: a message ends once. And each reader, who may be told twice under one key and late, is never told
//! another text under a known key, nor anything out of order: what is told next follows from what was told last.

use std::collections::BTreeMap;
use std::sync::Arc;

use vilicus_core::{ChannelId, CheckId, NotificationEvent, NotificationId, NotificationItem, Status};
use vilicus_store::outbox::OutboxRow;
use vilicus_store::query::CheckView;

/// The problems that channels know of.
pub(crate) type Known = BTreeMap<(ChannelId, CheckId), Status>;

#[derive(Debug, Default)]
pub(crate) struct Contract {
    ended: BTreeMap<NotificationId, String>,
    texts: BTreeMap<String, String>,
    believed: Known,
}

impl Contract {
    /// A message arrived, or was given up for all to see.
    pub(crate) fn read(&mut self, row: &OutboxRow) {
        let text = format!("{:?} {}", row.items, row.more);
        if let Some(known) = self.texts.insert(row.key.clone(), text.clone()) {
            assert_eq!(known, text, "a key says the same at every try");
            return;
        }
        for item in &row.items {
            tell(&mut self.believed, row.channel, item);
        }
    }

    /// Compares what the readers know, and what the messages will say that wait, oldest first, with what the store
    /// believes to have told.
    pub(crate) fn compare(&mut self, rows: &[Arc<OutboxRow>], views: &[CheckView]) {
        let mut said = self.believed.clone();
        for row in rows {
            self.note_end(row);
            assert_eq!(row.more, 0, "nothing was left out");
            if !self.texts.contains_key(&row.key) {
                row.items.iter().for_each(|item| tell(&mut said, row.channel, item));
            }
        }
        let told = |view: &CheckView| -> Vec<_> {
            view.state.told.iter().map(|told| ((told.channel, view.check.id), told.status)).collect()
        };
        let told: Known = views.iter().flat_map(told).collect();
        assert_eq!(said, told, "I3: the messages say what was told");
    }

    fn note_end(&mut self, row: &OutboxRow) {
        if !row.state.is_pending() {
            let state = format!("{:?}", row.state);
            let known = self.ended.entry(row.id).or_insert_with(|| state.clone());
            assert_eq!(*known, state, "I4: a message ends once");
        }
    }

    /// The problems that the readers know of.
    pub(crate) fn believed(&self) -> &Known {
        &self.believed
    }
}

/// Moves what a channel knows by one item: a problem says what was told before it, and only a problem has an end.
fn tell(known: &mut Known, channel: ChannelId, item: &NotificationItem) {
    let place = (channel, subject(item));
    match item.event {
        NotificationEvent::Problem | NotificationEvent::AgentDown => {
            let before = known.insert(place, item.status);
            assert_eq!(before, item.previous_status, "a problem says what was told before it: {item:?}");
        }
        event if event.is_end() => {
            let was_known = known.remove(&place).is_some();
            // An end that took its problem with it, before anyone was told, carries the problem itself.
            assert!(was_known || item.problem_since.is_some(), "an end of nothing: {item:?}");
        }
        _ => {}
    }
}

fn subject(item: &NotificationItem) -> CheckId {
    let number = item.subject.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
    number.and_then(CheckId::new).expect("the subject names the check")
}
