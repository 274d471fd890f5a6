//! How many connections one address may hold, and how many there may be in all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts connections by address.
#[derive(Debug, Clone)]
pub(super) struct Caps {
    all: Arc<Semaphore>,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_address: usize,
}

/// The right to hold one connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    counted: Option<(Caps, IpAddr)>,
}

impl Caps {
    pub(super) fn new(all: usize, per_address: usize) -> Self {
        let all = Arc::new(Semaphore::new(all.clamp(1, Semaphore::MAX_PERMITS)));
        Self { all, by_address: Arc::default(), per_address }
    }

    /// Waits until there is room for one more connection of anyone; `None` never comes while the server runs.
    pub(super) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// A place for a connection from this address; `None` when it holds as many as it may.
    pub(super) fn place(
        &self,
        permit: OwnedSemaphorePermit,
        address: IpAddr,
        unlimited: bool,
    ) -> Option<Place> {
        if unlimited {
            return Some(Place { _permit: permit, counted: None });
        }
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        Some(Place { _permit: permit, counted: Some((self.clone(), address)) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((caps, address)) = &self.counted else { return };
        let mut counts = caps.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_holds_no_more_than_its_share() {
        let caps = Caps::new(10, 2);
        let address: IpAddr = "203.0.113.1".parse().unwrap();
        let mut places = Vec::new();
        for _ in 0..2 {
            places.push(caps.place(caps.room().await.unwrap(), address, false).unwrap());
        }
        assert!(caps.place(caps.room().await.unwrap(), address, false).is_none());
        assert!(
            caps.place(caps.room().await.unwrap(), address, true).is_some(),
            "a trusted one has no share"
        );
        places.clear();
        assert!(caps.place(caps.room().await.unwrap(), address, false).is_some());
        assert_eq!(caps.by_address.lock().unwrap().len(), 0, "nothing is remembered of those that are gone");
    }
}
