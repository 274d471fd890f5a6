//! Calls that may hang in the kernel: a dead NFS mount blocks whoever asks about it, for hours.
//!
//! Each runs on a thread of its own under the check's timeout. While one hangs, no other is started for the
//! same place, so a dead mount costs one thread and not one a minute.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;

/// The call did not come back in time, or one for the same place still has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DidNotAnswer;

/// The places that calls are made for.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    places: Arc<Mutex<HashMap<String, Arc<Place>>>>,
}

/// One place: at most one call at a time.
#[derive(Debug, Default)]
struct Place {
    turn: Arc<AsyncMutex<()>>,
    hangs: AtomicBool,
}

impl Places {
    /// Makes a call for a place on a thread that may block; waits until an earlier call for it is done.
    ///
    /// # Cancel safety
    /// When the future is dropped the call goes on, and counts as hanging if its caller had given up on it.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        name: &str,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, DidNotAnswer> {
        let place = self.place(name);
        if place.hangs.load(Ordering::Acquire) {
            return Err(DidNotAnswer);
        }
        let on_thread = async {
            let turn = place.turn.clone().lock_owned().await;
            let place = Arc::clone(&place);
            let thread = tokio::task::spawn_blocking(move || {
                let value = work();
                place.hangs.store(false, Ordering::Release);
                drop(turn);
                value
            });
            thread.await.map_err(|_| DidNotAnswer)
        };
        timeout(limit, on_thread).await.unwrap_or_else(|_| {
            // In this order, so that a call that comes back right now leaves no mark behind.
            place.hangs.store(true, Ordering::Release);
            if place.turn.try_lock().is_ok() {
                place.hangs.store(false, Ordering::Release);
            }
            Err(DidNotAnswer)
        })
    }

    /// The place of this name; those that nobody waits for are forgotten.
    fn place(&self, name: &str) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|_, place| Arc::strong_count(place) > 1);
        Arc::clone(places.entry(name.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_hanging_call_is_not_started_again_until_it_is_done() {
        let places = Places::default();
        let (answer, hangs) = mpsc::channel::<()>();
        let first = places.call("/dead", Duration::from_millis(20), move || hangs.recv().is_ok()).await;
        assert_eq!(first, Err(DidNotAnswer));
        let second = places.call("/dead", Duration::from_secs(60), || panic!("it was started again")).await;
        assert_eq!(second, Err::<(), _>(DidNotAnswer));
        assert_eq!(places.call("/alive", Duration::from_secs(10), || 1).await, Ok(1));
        answer.send(()).unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while places.call("/dead", Duration::from_secs(10), || ()).await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "it never recovers");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn two_checks_of_one_place_take_turns() {
        let places = Places::default();
        let call = |value| places.call("/", Duration::from_secs(10), move || value);
        assert_eq!(tokio::join!(call(1), call(2)), (Ok(1), Ok(2)));
    }
}
