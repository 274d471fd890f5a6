//! Token buckets, one for each key: so many at once, so many a second. Reads no clock; bounded memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use vilicus_core::Millis;

/// How fast something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many a second, in the long run; at least 1.
    pub per_second: u32,
    /// So many at once; at least 1.
    pub burst: u32,
}

/// The most keys that are remembered; beyond it those go that are full again, or else all.
const MAX_KEYS: usize = 65_536;

/// A bucket for each key.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Duration,
}

impl<K: Eq + Hash> Buckets<K> {
    /// Buckets that fill at this rate.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes one out of the bucket of this key at this moment of a monotonic clock.
    ///
    /// # Errors
    /// The bucket is empty: in how long there will be one.
    pub fn take(&self, key: K, now: Duration) -> Result<(), Millis> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_KEYS && !buckets.contains_key(&key) {
            self.make_room(&mut buckets, now);
        }
        let bucket =
            buckets.entry(key).or_insert(Bucket { left: f64::from(self.rate.burst.max(1)), at: now });
        bucket.left = self.filled(*bucket, now);
        bucket.at = now;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        let seconds = (1.0 - bucket.left) / f64::from(self.rate.per_second.max(1));
        Err(Duration::from_secs_f64(seconds).into())
    }

    fn filled(&self, bucket: Bucket, now: Duration) -> f64 {
        let gained = now.saturating_sub(bucket.at).as_secs_f64() * f64::from(self.rate.per_second.max(1));
        (bucket.left + gained).min(f64::from(self.rate.burst.max(1)))
    }

    fn make_room(&self, buckets: &mut HashMap<K, Bucket>, now: Duration) {
        let full = f64::from(self.rate.burst.max(1));
        buckets.retain(|_, bucket| self.filled(*bucket, now) < full);
        if buckets.len() >= MAX_KEYS {
            buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let buckets = Buckets::new(Rate { per_second: 2, burst: 3 });
        let at = Duration::from_millis;
        for _ in 0..3 {
            assert_eq!(buckets.take("a", at(0)), Ok(()));
        }
        assert_eq!(buckets.take("a", at(0)), Err(Millis::new(500)));
        assert_eq!(buckets.take("b", at(0)), Ok(()), "each key has its own");
        assert_eq!(buckets.take("a", at(500)), Ok(()));
        assert!(buckets.take("a", at(500)).is_err());
    }

    #[test]
    fn memory_is_bounded_however_many_keys_come() {
        let buckets = Buckets::new(Rate { per_second: 1, burst: 1 });
        for key in 0..2 * MAX_KEYS {
            let _ = buckets.take(key, Duration::ZERO);
        }
        assert!(buckets.buckets.lock().unwrap().len() <= MAX_KEYS);
    }
}
