//! How the channels stand: what was delivered since the start, and which channel has not delivered anything for a
//! while although it tried.
//!
//! The tasks of the channels write it; the self-checks and `/metrics` read it. Held in memory only: after a start a
//! channel is well until a try fails.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vilicus_core::{ChannelId, Timestamp};

/// How all channels stand. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Standing(Arc<Mutex<BTreeMap<ChannelId, Stand>>>);

/// How one channel stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stand {
    /// The messages that were delivered since the start.
    pub sent: u64,
    /// The tries that failed and are repeated.
    pub retried: u64,
    /// The messages that were given up.
    pub failed: u64,
    /// Since when no try passed, although there was one; `None` while the last one passed.
    pub failing: Option<Failing>,
}

/// Since when a channel fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The first try in a row that failed.
    pub since: Timestamp,
    /// What the last one failed by.
    pub fault: String,
}

impl Standing {
    /// How each channel stands that was tried since the start.
    #[must_use]
    pub fn all(&self) -> BTreeMap<ChannelId, Stand> {
        self.lock().clone()
    }

    /// Since when this channel fails, if it does.
    #[must_use]
    pub fn failing(&self, channel: ChannelId) -> Option<Failing> {
        self.lock().get(&channel)?.failing.clone()
    }

    /// A message was delivered.
    pub(super) fn passed(&self, channel: ChannelId) {
        let mut all = self.lock();
        let stand = all.entry(channel).or_default();
        stand.sent += 1;
        stand.failing = None;
    }

    /// The service refused a message, and would take another one.
    pub(super) fn refused(&self, channel: ChannelId) {
        let mut all = self.lock();
        let stand = all.entry(channel).or_default();
        stand.failed += 1;
        stand.failing = None;
    }

    /// A message was given up because nothing passes.
    pub(super) fn gave_up(&self, channel: ChannelId) {
        self.lock().entry(channel).or_default().failed += 1;
    }

    /// A try failed, and the message is tried again.
    pub(super) fn failed(&self, channel: ChannelId, fault: &str, now: Timestamp) {
        let mut all = self.lock();
        let stand = all.entry(channel).or_default();
        stand.retried += 1;
        let since = stand.failing.as_ref().map_or(now, |failing| failing.since);
        stand.failing = Some(Failing { since, fault: fault.to_owned() });
    }

    /// The channel is another one now, or someone mended it: nothing is known of it.
    pub(super) fn renewed(&self, channel: ChannelId) {
        if let Some(stand) = self.lock().get_mut(&channel) {
            stand.failing = None;
        }
    }

    /// Forgets the channels that are gone.
    pub(super) fn retain(&self, mut there: impl FnMut(ChannelId) -> bool) {
        self.lock().retain(|channel, _| there(*channel));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ChannelId, Stand>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_fails_since_the_first_of_the_tries_that_failed_in_a_row() {
        let (standing, channel) = (Standing::default(), ChannelId::new(1).unwrap());
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        assert_eq!(standing.failing(channel), None);
        standing.failed(channel, "busy", at(10));
        standing.failed(channel, "refused", at(20));
        assert_eq!(standing.failing(channel), Some(Failing { since: at(10), fault: "refused".to_owned() }));
        standing.passed(channel);
        assert_eq!(standing.failing(channel), None);
        standing.failed(channel, "busy", at(30));
        assert_eq!(standing.failing(channel).unwrap().since, at(30));
        standing.refused(channel);
        assert_eq!(standing.failing(channel), None, "who refuses one message takes others");
        let stand = &standing.all()[&channel];
        assert_eq!((stand.sent, stand.retried, stand.failed), (1, 3, 1));
        standing.retain(|_| false);
        assert!(standing.all().is_empty());
    }
}
