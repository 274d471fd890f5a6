//! Which parts of an unfinished message are done, so that another try does not do them twice.
//!
//! Some messages are several deliveries: a mail to three people of whom one is refused for now, a recovery that
//! also silences an emergency. The dispatcher knows only whole messages, so the notifier remembers the parts
//! between the tries of one key. The memory is bounded and does not survive a restart: what is lost with it is
//! one repeated part, with the same idempotency key.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many unfinished messages are remembered; the oldest is forgotten first.
const KEPT: usize = 1000;

/// The finished parts of unfinished messages, shared by all notifiers of a kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Mutex<VecDeque<Unfinished>>>);

#[derive(Debug)]
struct Unfinished {
    key: String,
    done: BTreeSet<String>,
}

impl Progress {
    /// Whether this part of the message is done.
    pub(super) fn is_done(&self, key: &str, part: &str) -> bool {
        self.lock().iter().any(|unfinished| unfinished.key == key && unfinished.done.contains(part))
    }

    /// This part of the message is done.
    pub(super) fn done(&self, key: &str, part: &str) {
        let mut all = self.lock();
        if let Some(unfinished) = all.iter_mut().find(|unfinished| unfinished.key == key) {
            unfinished.done.insert(part.to_owned());
            return;
        }
        if all.len() == KEPT {
            all.pop_front();
        }
        all.push_back(Unfinished { key: key.to_owned(), done: BTreeSet::from([part.to_owned()]) });
    }

    /// The message is finished, one way or the other.
    pub(super) fn forget(&self, key: &str) {
        self.lock().retain(|unfinished| unfinished.key != key);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Unfinished>> {
        // Nothing panics while it is held, and a half-made change can't exist: go on.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_remembered_until_the_message_is_finished() {
        let progress = Progress::default();
        progress.clone().done("k", "a");
        assert!(progress.is_done("k", "a") && !progress.is_done("k", "b") && !progress.is_done("l", "a"));
        progress.forget("k");
        assert!(!progress.is_done("k", "a"));
    }

    #[test]
    fn the_memory_is_bounded() {
        let progress = Progress::default();
        for key in 0..=KEPT {
            progress.done(&key.to_string(), "a");
        }
        assert_eq!(progress.lock().len(), KEPT);
        assert!(!progress.is_done("0", "a") && progress.is_done("1", "a"));
    }
}
