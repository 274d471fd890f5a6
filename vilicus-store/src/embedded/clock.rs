//! The one place of this crate that reads a clock, and only to pace itself: moments that mean anything are handed in.

use std::time::{Duration, Instant};

/// A moment to wait for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    #[allow(clippy::disallowed_methods)] // This is the clock.rs.
    pub(crate) fn after(span: Duration) -> Self {
        Self(Instant::now() + span)
    }

    /// How long it still is until then; zero when it has passed.
    #[allow(clippy::disallowed_methods)] // This is the clock.rs.
    pub(crate) fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}
