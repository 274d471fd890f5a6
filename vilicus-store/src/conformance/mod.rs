//! Public suites that prove an engine or a store. They fail by panicking, with the promise that was broken.
//!
//! How they are used is told in `docs/writing-a-store.md`, whose examples run as tests.
#![cfg_attr(doctest, doc = include_str!("../../../docs/writing-a-store.md"))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // A suite says what is broken by panicking.

mod commit;
mod concurrency;
mod duplicates;
mod engine;
mod faulty;
mod fixture;
mod heartbeat;
mod history;
mod inventory;
mod outbox;
mod reopen;
mod reports;
mod telling;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vilicus_core::Timestamp;

use crate::engine::Engine;
use crate::store::Store;

pub use faulty::{Fault, FaultyEngine, When};
pub use fixture::{Fixture, Ids, NOON, agent as new_agent, channel as new_channel, check as new_check};

/// Proves an engine that keeps what is written in a directory, over an end of the process too.
///
/// `open` opens the engine in a directory, which is empty or holds what an engine opened there before has left. The
/// engine before is dropped by then.
///
/// # Panics
/// A promise of [`Engine`] is broken.
pub fn engine<E: Engine>(open: impl Fn(&Path) -> E) {
    engine::in_one_life(&|| {
        let place = fixture::Place::new();
        (open(place.path()), place)
    });
    engine::over_an_end(&open);
}

/// Proves an engine that forgets everything when it is dropped.
///
/// # Panics
/// A promise of [`Engine`] is broken, other than that of being there again.
pub fn volatile_engine<E: Engine>(open: impl Fn() -> E) {
    engine::in_one_life(&|| (open(), ()));
}

/// Proves a store.
///
/// `open` opens the store at a place, judged ready at a moment: an empty one, or the one that was opened there
/// before, which is dropped by then. The place is a directory that exists; a store that needs none may take its name.
///
/// # Panics
/// A promise of [`Store`] is broken.
pub async fn store<F, Fut>(open: F)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let harness = Harness { open };
    commit::run(&harness).await;
    duplicates::run(&harness).await;
    history::run(&harness).await;
    outbox::run(&harness).await;
    telling::run(&harness).await;
    heartbeat::run(&harness).await;
    inventory::run(&harness).await;
    concurrency::run(&harness).await;
    reopen::run(&harness).await;
    reports::run(&harness).await;
}

/// Makes stores.
pub(crate) struct Harness<F> {
    open: F,
}

impl<F, Fut> Harness<F>
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    /// An empty store with an agent, a check and a channel.
    async fn fixture(&self) -> (Fixture, fixture::Place) {
        let place = fixture::Place::new();
        let store = self.reopen(&place, NOON).await;
        (Fixture::new(store).await, place)
    }

    /// The store that was opened at this place before.
    async fn reopen(&self, place: &fixture::Place, now: Timestamp) -> Arc<dyn Store> {
        (self.open)(place.path().to_owned(), now).await
    }
}
