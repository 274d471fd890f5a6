//! What a check of rates remembers of its last run.
//!
//! A rate needs two samples. Later runs use the one of the run before; the first run, and so every one-shot
//! run, samples twice.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use vilicus_core::Millis;

use super::quantity::rounded;

/// How far apart the two samples of a first run are.
const PAUSE: Duration = Duration::from_secs(1);

/// Samples that are closer than this make no good rate: the kernel counts in hundredths of a second.
const TOO_CLOSE: Duration = Duration::from_millis(200);

/// A sample and when it was taken.
#[derive(Debug, Clone)]
pub(super) struct Sample<T> {
    pub(super) at: Instant,
    pub(super) value: T,
}

impl<T> Sample<T> {
    /// A sample that was taken just now.
    pub(super) fn now(value: T) -> Self {
        Self { at: Instant::now(), value }
    }
}

/// The sample of the last run, if there was one.
#[derive(Debug)]
pub(super) struct Since<T> {
    last: Mutex<Option<Sample<T>>>,
}

impl<T: Clone> Since<T> {
    pub(super) fn new() -> Self {
        Self { last: Mutex::new(None) }
    }

    /// The sample of the last run, unless that was only just now.
    pub(super) fn take(&self) -> Option<Sample<T>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        last.filter(|sample| sample.at.elapsed() >= TOO_CLOSE)
    }

    /// Remembers a sample for the next run.
    pub(super) fn put(&self, sample: Sample<T>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(sample);
    }

    /// Two samples, the later one just taken.
    pub(super) async fn step<E>(
        &self,
        timeout: Millis,
        sample: impl Fn() -> Result<T, E>,
    ) -> Result<Step<T>, E> {
        let before = match self.take() {
            Some(before) => before,
            None => {
                let first = Sample::now(sample()?);
                pause(timeout).await;
                first
            }
        };
        let after = Sample::now(sample()?);
        self.put(after.clone());
        Ok(Step { seconds: seconds_between(&before, &after), before: before.value, after: after.value })
    }
}

/// Two samples and the time between them.
#[derive(Debug)]
pub(super) struct Step<T> {
    pub(super) before: T,
    pub(super) after: T,
    pub(super) seconds: f64,
}

/// Waits between the two samples of a first run, within a short timeout too.
pub(super) async fn pause(timeout: Millis) {
    tokio::time::sleep(PAUSE.min(Duration::from(timeout) / 2)).await;
}

/// The time between two samples; never zero, so that one can divide by it.
pub(super) fn seconds_between<T>(before: &Sample<T>, after: &Sample<T>) -> f64 {
    after.at.saturating_duration_since(before.at).as_secs_f64().max(0.001)
}

/// How much a counter grew a second. One that is smaller than before was reset in between and counts from zero.
pub(super) fn rate(before: u64, after: u64, seconds: f64) -> f64 {
    rounded(after.checked_sub(before).unwrap_or(after) as f64 / seconds, 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[tokio::test(start_paused = true)]
    async fn the_first_run_samples_twice_and_later_ones_once() {
        let since = Since::new();
        let count = AtomicU64::new(0);
        let sample = || Ok::<u64, ()>(count.fetch_add(1, Relaxed));
        let first = since.step(Millis::from_secs(10), sample).await.unwrap();
        assert_eq!((first.before, first.after, first.seconds), (0, 1, 1.0));
        tokio::time::advance(Duration::from_secs(60)).await;
        let second = since.step(Millis::from_secs(10), sample).await.unwrap();
        assert_eq!((second.before, second.after, second.seconds), (1, 2, 60.0));
        let at_once = since.step(Millis::from_secs(10), sample).await.unwrap();
        assert_eq!(
            (at_once.before, at_once.after),
            (3, 4),
            "a run right after another one samples twice again"
        );
    }

    #[test]
    fn a_reset_counter_counts_from_zero() {
        assert_eq!((rate(5, 9, 3.0), rate(9, 5, 10.0)), (1.333, 0.5));
    }
}
