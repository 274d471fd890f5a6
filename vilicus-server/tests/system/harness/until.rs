//! Waiting for a condition, with a deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often a condition is looked at.
const PACE: Duration = Duration::from_millis(25);

/// Asks `probe` again and again until it answers `Some`.
///
/// # Panics
/// When `limit` has passed: "`what` did not happen within …".
pub(crate) async fn until<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: did not happen within {limit:?}");
        sleep(PACE).await;
    }
}

/// Watches that `holds` stays true for the whole of `span`.
///
/// # Panics
/// At the first moment when it is false.
pub(crate) async fn stays(what: &str, span: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        assert!(holds().await, "{what}: did not stay so for {span:?}");
        sleep(PACE).await;
    }
}
