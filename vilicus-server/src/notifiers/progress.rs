//! Which parts of an unfinished message are done, so that another try does not do them twice.
//!
//! Some messages are several deliveries: a mail to three people of whom one is refused for now, a recovery that
//! also silences an emergency. The dispatcher knows only whole messages, so the notifier remembers the parts
//! between the tries of one key. The memory is bounded and does not survive a restart: what is lost with it is
//! one repeated part, with the same idempotency key.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vilicus_core::NotifyError;
use vilicus_core::notifier::NotifyFault;

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

    /// Delivers the parts of a message that are not done yet, one after the other, each known by its name. Answers
    /// with those that the service will never take; any other fault ends it at once, for the next try to go on.
    ///
    /// # Cancel safety
    /// What was delivered before is not delivered again.
    pub(super) async fn each<P, D>(
        &self,
        key: &str,
        parts: impl IntoIterator<Item = (String, P)>,
        mut deliver: impl FnMut(P) -> D,
    ) -> Result<Vec<NotifyError>, NotifyError>
    where
        D: Future<Output = Result<(), NotifyError>>,
    {
        let mut refused = Vec::new();
        for (name, part) in parts {
            if self.is_done(key, &name) {
                continue;
            }
            match deliver(part).await {
                Ok(()) => self.done(key, &name),
                Err(error) if error.fault() == NotifyFault::Message => refused.push(error),
                Err(error) => return Err(error),
            }
        }
        self.forget(key);
        Ok(refused)
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

    #[tokio::test]
    async fn another_try_goes_on_where_the_last_one_ended() {
        let progress = Progress::default();
        let parts = || ["a", "b", "c", "d"].map(|name| (name.to_owned(), name));
        let tried = Mutex::new(Vec::new());
        let faulty = Mutex::new(true);
        let deliver = |name: &'static str| {
            tried.lock().unwrap().push(name);
            let answer = match name {
                "b" => Err(NotifyError::message("never b")),
                "c" if *faulty.lock().unwrap() => Err(NotifyError::retry("not now")),
                _ => Ok(()),
            };
            std::future::ready(answer)
        };
        let error = progress.each("k", parts(), deliver).await.unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), tried.lock().unwrap().as_slice()),
            ("not now", &["a", "b", "c"][..])
        );
        tried.lock().unwrap().clear();
        *faulty.lock().unwrap() = false;
        let refused = progress.each("k", parts(), deliver).await.unwrap();
        assert_eq!(refused.iter().map(ToString::to_string).collect::<Vec<_>>(), ["never b"]);
        assert_eq!(tried.lock().unwrap().as_slice(), ["b", "c", "d"]);
        assert!(!progress.is_done("k", "a"), "it is forgotten when all is done");
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
