//! The notifiers that every server has: e-mail, Pushover, webhook.
//!
//! One file (or folder) a kind, all in the same order: limits with their source, parameters, constructor, the one
//! method, payload, tests. The dispatcher calls them through [`NotifierRegistry`]; order, retries and giving up
//! are its work. `docs/notifiers.md` tells users what each can do.
//!
//! Deliberately absent: a clock (the caller hands one in), queues, and any memory that must survive a restart.

mod email;
mod progress;
mod pushover;
mod retry_after;
mod seconds;
mod secret;
mod webhook;
mod wording;

use std::sync::Arc;

use vilicus_core::NotifierRegistry;

use crate::clock::Clock;
use crate::outbound::OutboundPolicy;

pub use email::Email;
pub use pushover::Pushover;
pub use secret::Secret;
pub use webhook::Webhook;

/// The notifiers that every server has. The clock stamps signatures, and measures until when a service wants to be
/// left alone.
#[must_use]
pub fn stock_notifiers(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> NotifierRegistry {
    NotifierRegistry::new()
        .with(Email::new(outbound.clone()))
        .with(Pushover::new(outbound.clone(), Arc::clone(&clock)))
        .with(Webhook::new(outbound, clock))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use serde_json::json;
    use vilicus_core::Timestamp;

    fn stock() -> NotifierRegistry {
        stock_notifiers(OutboundPolicy::default(), Arc::new(ManualClock::new(Timestamp::EPOCH)))
    }

    #[test]
    fn every_secret_is_a_parameter() {
        let stock = stock();
        assert_eq!(stock.names().collect::<Vec<_>>(), ["email", "pushover", "webhook"]);
        for name in stock.names() {
            let kind = stock.describe(name).unwrap();
            for secret in kind.secrets {
                assert!(kind.params_schema["properties"][*secret].is_object(), "{name}.{secret}");
            }
        }
    }

    #[test]
    fn no_secret_shows_in_debug_nor_in_an_error_about_parameters() {
        let canary = "canary7f3a9c";
        let good = [
            (
                "email",
                json!({"smtp": "smtps://u@mail.example.com", "password": canary, "from": "a@example.com", "to": ["b@example.com"]}),
            ),
            ("pushover", json!({"token": canary, "user": canary})),
            (
                "webhook",
                json!({"url": "https://example.com/", "secret": canary, "headers": {"Authorization": canary}}),
            ),
        ];
        for (name, params) in good {
            let notifier = stock().build(name, &params).unwrap();
            assert!(!format!("{notifier:?}").contains(canary), "{notifier:?}");
        }
        let bad = [
            (
                "email",
                json!({"smtp": "smtps://m.example.com", "password": canary, "from": "a@example.com", "to": ["b@example.com"]}),
            ),
            (
                "email",
                json!({"smtp": "smtps://u:canary7f3a9c@m.example.com", "from": "a@example.com", "to": ["b@example.com"]}),
            ),
            (
                "email",
                json!({"smtp": "smtps://m.example.com", "password": {"x": canary}, "from": "a@example.com", "to": []}),
            ),
            ("pushover", json!({"token": [canary], "user": "u"})),
            ("pushover", json!({"token": "canary7f3a9c\n", "user": "u"})),
            ("webhook", json!({"url": "https://u:canary7f3a9c@example.com/"})),
            ("webhook", json!({"url": "https://example.com/", "headers": {"X-A": "canary7f3a9c\n"}})),
            ("webhook", json!({"url": "https://example.com/", "headers": {"X-A": [canary]}})),
            ("webhook", json!({"url": "https://example.com/", "headers": canary})),
            ("webhook", json!({"url": "https://example.com/", "secret": "whsec_canary7f3a9c!"})),
        ];
        for (name, params) in bad {
            let error = stock().build(name, &params).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(canary), "{name}: {error:?}");
        }
    }
}
