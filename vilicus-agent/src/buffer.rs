//! Results on their way: kept while the server is away, in order, up to a bound that is never passed.
//!
//! When it is full the oldest go first, and the loss is counted. Nothing is written to disk: an agent that ends
//! delivers what it can (see the reporter) and forgets the rest.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use vilicus_core::{CheckResult, Metric};

/// The most memory that waiting results may take, in bytes; 10,000 results of usual size take some 5 MiB.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Results in the order in which they came.
#[derive(Debug)]
pub(crate) struct Buffer<K> {
    entries: VecDeque<Entry<K>>,
    capacity: usize,
    bytes: usize,
    next_number: u64,
    dropped: u64,
}

#[derive(Debug)]
struct Entry<K> {
    number: u64,
    key: K,
    result: CheckResult,
    bytes: usize,
}

/// A part of the buffer that is being sent.
#[derive(Debug)]
pub(crate) struct Batch<K> {
    numbers: Vec<u64>,
    /// What to send, oldest first.
    pub(crate) results: Vec<(K, CheckResult)>,
}

impl<K: Clone + PartialEq> Buffer<K> {
    /// Room for so many results, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), capacity: capacity.max(1), bytes: 0, next_number: 0, dropped: 0 }
    }

    /// How many results wait.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether a result of this check waits.
    pub(crate) fn holds(&self, key: &K) -> bool {
        self.entries.iter().any(|entry| entry.key == *key)
    }

    /// How many results were lost because there was no more room, since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Keeps a result; returns how many older ones had to go for it.
    pub(crate) fn push(&mut self, key: K, result: CheckResult) -> u64 {
        let bytes = size_of(&result);
        let mut lost = 0;
        while !self.entries.is_empty()
            && (self.entries.len() >= self.capacity || self.bytes + bytes > MAX_BYTES)
        {
            self.bytes -= self.entries.pop_front().map_or(0, |entry| entry.bytes);
            lost += 1;
        }
        self.dropped += lost;
        self.bytes += bytes;
        self.entries.push_back(Entry { number: self.next_number, key, result, bytes });
        self.next_number += 1;
        lost
    }

    /// The oldest results among those that `is_ready` lets go, at most so many and about so many bytes.
    pub(crate) fn batch(&self, most: usize, max_bytes: usize, is_ready: impl Fn(&K) -> bool) -> Batch<K> {
        let mut batch = Batch { numbers: Vec::new(), results: Vec::new() };
        let mut bytes = 0;
        for entry in self.entries.iter().filter(|entry| is_ready(&entry.key)) {
            bytes += entry.bytes;
            if batch.numbers.len() == most || (bytes > max_bytes && !batch.numbers.is_empty()) {
                break;
            }
            batch.numbers.push(entry.number);
            batch.results.push((entry.key.clone(), entry.result.clone()));
        }
        batch
    }

    /// The server has the batch, or will never take it: it may go.
    ///
    /// What was dropped for lack of room while it was on its way is no loss after all.
    pub(crate) fn settle(&mut self, batch: &Batch<K>) {
        let settled: HashSet<u64> = batch.numbers.iter().copied().collect();
        let before = self.entries.len();
        self.entries.retain(|entry| !settled.contains(&entry.number));
        self.bytes = self.entries.iter().map(|entry| entry.bytes).sum();
        let removed = before - self.entries.len();
        self.dropped = self.dropped.saturating_sub((settled.len() - removed) as u64);
    }
}

/// About what a result takes in memory and as JSON, in bytes.
fn size_of(result: &CheckResult) -> usize {
    let metric = |metric: &Metric| 160 + metric.name.len();
    200 + result.output.len() + result.long_output.len() + result.metrics.iter().map(metric).sum::<usize>()
}

/// A buffer that one side fills and another empties.
#[derive(Debug)]
pub(crate) struct SharedBuffer<K> {
    buffer: Mutex<Buffer<K>>,
    filled: Notify,
}

impl<K: Clone + PartialEq> SharedBuffer<K> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { buffer: Mutex::new(Buffer::new(capacity)), filled: Notify::new() }
    }

    /// Keeps a result, and wakes who waits for one; returns how many older ones had to go for it.
    pub(crate) fn push(&self, key: K, result: CheckResult) -> u64 {
        let lost = self.lock().push(key, result);
        self.filled.notify_one();
        lost
    }

    /// Waits until something was pushed since this was last asked.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Buffer<K>> {
        // Every change leaves the buffer whole, so a panic elsewhere has spoiled nothing.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(batch: &Batch<u8>) -> Vec<&str> {
        batch.results.iter().map(|(_, result)| result.output.as_str()).collect()
    }

    #[test]
    fn the_oldest_go_first_and_the_loss_is_counted() {
        let mut buffer = Buffer::new(2);
        let lost: Vec<u64> = ["a", "b", "c"].map(|name| buffer.push(0, CheckResult::ok(name))).to_vec();
        assert_eq!(lost, [0, 0, 1]);
        assert_eq!(names(&buffer.batch(9, usize::MAX, |_| true)), ["b", "c"]);
        assert_eq!((buffer.len(), buffer.dropped()), (2, 1));
    }

    #[test]
    fn results_leave_only_when_settled_and_in_order() {
        let mut buffer = Buffer::new(9);
        for name in ["a", "b", "c"] {
            buffer.push(0, CheckResult::ok(name));
        }
        let batch = buffer.batch(2, usize::MAX, |_| true);
        assert_eq!((names(&batch), buffer.len()), (vec!["a", "b"], 3));
        buffer.settle(&batch);
        assert_eq!(names(&buffer.batch(2, usize::MAX, |_| true)), ["c"]);
    }

    #[test]
    fn what_is_delivered_while_it_is_dropped_is_no_loss() {
        let mut buffer = Buffer::new(2);
        buffer.push(0, CheckResult::ok("a"));
        let batch = buffer.batch(2, usize::MAX, |_| true);
        buffer.push(0, CheckResult::ok("b"));
        assert_eq!(buffer.push(0, CheckResult::ok("c")), 1);
        buffer.settle(&batch);
        assert_eq!((buffer.len(), buffer.dropped()), (2, 0));
    }

    #[test]
    fn a_result_that_is_not_ready_holds_up_no_other() {
        let mut buffer = Buffer::new(9);
        buffer.push(1, CheckResult::ok("a"));
        buffer.push(2, CheckResult::ok("b"));
        assert_eq!(names(&buffer.batch(9, usize::MAX, |key| *key == 2)), ["b"]);
        assert!(buffer.holds(&1) && !buffer.holds(&3));
    }

    #[test]
    fn a_batch_holds_at_least_one_result_however_large() {
        let mut buffer = Buffer::new(9);
        buffer.push(0, CheckResult::ok("x".repeat(500)));
        buffer.push(0, CheckResult::ok("b"));
        assert_eq!(buffer.batch(9, 100, |_| true).results.len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_unseen(capacity in 1_usize..20, steps in prop::collection::vec(0_u8..4, 0..200)) {
            let mut buffer = Buffer::new(capacity);
            let (mut pushed, mut delivered, mut on_its_way) = (0_u64, 0_u64, None);
            for step in steps {
                match step {
                    0 | 1 => { buffer.push(0, CheckResult::ok("x")); pushed += 1; }
                    2 => on_its_way = Some(buffer.batch(5, usize::MAX, |_| true)),
                    _ => if let Some(batch) = on_its_way.take() {
                        delivered += batch.results.len() as u64;
                        buffer.settle(&batch);
                    }
                }
                prop_assert!(buffer.len() <= capacity);
                prop_assert_eq!(pushed, delivered + buffer.len() as u64 + buffer.dropped());
            }
        }
    }
}
