//! `/healthz` and `/readyz`: whether the process answers, and whether it does its work.
//!
//! What works in the background shows it by a [`Pulse`]. No path here needs a token, so nothing here tells more
//! than which part does not work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use vilicus_store::Store;

use crate::clock::Clock;
use crate::freshness::Outlook;

/// A part of the server that gave no sign of life for so long does not work.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(30);
/// How often a part of the server gives a sign of life at least.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);

/// The sign of life of a part of the server. Clones are the same pulse.
#[derive(Debug, Clone)]
pub struct Pulse {
    clock: Arc<dyn Clock>,
    last_ms: Arc<AtomicU64>,
}

impl Pulse {
    /// A pulse that beats now.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let pulse = Self { clock, last_ms: Arc::default() };
        pulse.beat();
        pulse
    }

    /// A sign of life.
    pub fn beat(&self) {
        self.last_ms.store(millis(self.clock.monotonic()), Ordering::Relaxed);
    }

    /// How long ago the last sign of life was.
    #[must_use]
    pub fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.clock.monotonic().saturating_sub(last)
    }

    /// Whether the last sign of life is no older than [`LONGEST_SILENCE`].
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.age() <= LONGEST_SILENCE
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What the health of a server is told by.
#[derive(Debug, Clone)]
pub struct Vitals {
    /// Remembers everything.
    pub store: Arc<dyn Store>,
    /// Of what turns silence into input.
    pub judge: Pulse,
    /// Of what sends messages.
    pub dispatcher: Pulse,
    /// Whether most agents are silent.
    pub outlook: Outlook,
}

impl Vitals {
    /// Looks at everything once.
    pub async fn examine(&self) -> Readiness {
        let store = self.store.health().await;
        let parts = Readiness::new(store.writable, self.judge.is_alive(), self.dispatcher.is_alive());
        Readiness { blind: self.outlook.blind().is_some(), ..parts }
    }
}

/// Whether the server does its work, part by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether every part works.
    pub ready: bool,
    /// Whether the store can write.
    pub store: bool,
    /// Whether deadlines are judged.
    pub judge: bool,
    /// Whether messages are sent.
    pub dispatcher: bool,
    /// Whether most agents fell silent at once, so that nobody knows what they would say. It does not make the server
    /// less ready: who takes it out of service for that keeps the agents away for good.
    pub blind: bool,
}

impl Readiness {
    fn new(store: bool, judge: bool, dispatcher: bool) -> Self {
        Self { ready: store && judge && dispatcher, store, judge, dispatcher, blind: false }
    }
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        let status = if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}

/// The routes `/healthz` and `/readyz`.
pub fn router(vitals: Vitals) -> axum::Router {
    let ready = |State(vitals): State<Vitals>| async move { vitals.examine().await };
    axum::Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(vitals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use vilicus_core::{Millis, Timestamp};

    #[test]
    fn a_part_that_is_silent_for_too_long_does_not_work() {
        let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
        let pulse = Pulse::new(clock.clone());
        clock.advance(Millis::from_secs(30));
        assert!(pulse.is_alive());
        clock.advance(Millis::from_secs(1));
        assert!(!pulse.is_alive());
        pulse.clone().beat();
        assert!(pulse.is_alive());
    }

    #[test]
    fn one_part_that_fails_makes_the_server_not_ready() {
        for (store, judge, dispatcher) in [(false, true, true), (true, false, true), (true, true, false)] {
            let readiness = Readiness::new(store, judge, dispatcher);
            assert_eq!(readiness.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
        }
        assert_eq!(Readiness::new(true, true, true).into_response().status(), StatusCode::OK);
    }
}
