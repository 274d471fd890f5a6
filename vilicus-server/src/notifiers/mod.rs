//! The notifiers that every server has: e-mail, push, chat, on-call services, webhooks, programs.
//!
//! One file (or folder) a kind, all in the same order: limits with their source, parameters, constructor, the one
//! method, payload, tests. The dispatcher calls them through [`NotifierRegistry`]; order, retries and giving up
//! are its work. `docs/notifiers.md` tells users what each can do.
//!
//! Deliberately absent: a clock (the caller hands one in), queues, and any memory that must survive a restart.

mod alertmanager;
mod answer;
mod discord;
mod email;
mod endpoint;
mod exec;
mod gotify;
mod lifecycle;
mod links;
mod matrix;
mod ntfy;
mod opsgenie;
mod pagerduty;
mod progress;
mod pushover;
mod redaction;
mod retry_after;
#[cfg(test)]
mod samples;
mod seconds;
mod secret;
mod service;
mod slack;
mod teams;
mod telegram;
mod template;
mod tone;
mod twilio;
mod webhook;
mod wording;

use std::sync::Arc;

use vilicus_core::NotifierRegistry;

use crate::clock::Clock;
use crate::outbound::OutboundPolicy;

pub use alertmanager::Alertmanager;
pub use discord::Discord;
pub use email::Email;
pub use exec::Exec;
pub use gotify::Gotify;
pub use matrix::Matrix;
pub use ntfy::Ntfy;
pub use opsgenie::Opsgenie;
pub use pagerduty::PagerDuty;
pub use pushover::Pushover;
pub use secret::Secret;
pub use slack::Slack;
pub use teams::Teams;
pub use telegram::Telegram;
pub use template::MessageTemplate;
pub use twilio::Twilio;
pub use webhook::Webhook;

/// The notifiers that every server has. The clock stamps signatures, and measures until when a service wants to be
/// left alone.
#[must_use]
pub fn stock_notifiers(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> NotifierRegistry {
    NotifierRegistry::new()
        .with(Alertmanager::new(outbound.clone(), Arc::clone(&clock)))
        .with(Discord::new(outbound.clone(), Arc::clone(&clock)))
        .with(Email::new(outbound.clone()))
        .with(Exec::default())
        .with(Gotify::new(outbound.clone(), Arc::clone(&clock)))
        .with(Matrix::new(outbound.clone(), Arc::clone(&clock)))
        .with(Ntfy::new(outbound.clone(), Arc::clone(&clock)))
        .with(Opsgenie::new(outbound.clone(), Arc::clone(&clock)))
        .with(PagerDuty::new(outbound.clone(), Arc::clone(&clock)))
        .with(Pushover::new(outbound.clone(), Arc::clone(&clock)))
        .with(Slack::new(outbound.clone(), Arc::clone(&clock)))
        .with(Teams::new(outbound.clone(), Arc::clone(&clock)))
        .with(Telegram::new(outbound.clone(), Arc::clone(&clock)))
        .with(Twilio::new(outbound.clone(), Arc::clone(&clock)))
        .with(Webhook::new(outbound, clock))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use serde_json::{Value, json};
    use vilicus_core::Timestamp;

    fn stock() -> NotifierRegistry {
        stock_notifiers(OutboundPolicy::default(), Arc::new(ManualClock::new(Timestamp::EPOCH)))
    }

    #[test]
    fn every_secret_is_a_parameter() {
        let stock = stock();
        assert_eq!(
            stock.names().collect::<Vec<_>>(),
            [
                "alertmanager",
                "discord",
                "email",
                "exec",
                "gotify",
                "matrix",
                "ntfy",
                "opsgenie",
                "pagerduty",
                "pushover",
                "slack",
                "teams",
                "telegram",
                "twilio",
                "webhook"
            ]
        );
        for name in stock.names() {
            let kind = stock.describe(name).unwrap();
            for secret in kind.secrets {
                assert!(kind.params_schema["properties"][*secret].is_object(), "{name}.{secret}");
            }
        }
    }

    fn twilio(token: &Value) -> Value {
        let sid = format!("AC{}", "0".repeat(32));
        json!({"account_sid": sid, "auth_token": token, "from": "Vilicus", "to": ["+15551230001"]})
    }

    /// Parameters with the canary in the place of every secret.
    fn accepted(canary: &str) -> Vec<(&'static str, Value)> {
        vec![
            (
                "email",
                json!({"smtp": "smtps://u@mail.example.com", "password": canary, "from": "a@example.com", "to": ["b@example.com"]}),
            ),
            ("pushover", json!({"token": canary, "user": canary})),
            ("slack", json!({"url": "https://hooks.example.com/services/canary7f3a9c"})),
            ("discord", json!({"url": "https://discord.example.com/api/webhooks/1/canary7f3a9c"})),
            ("teams", json!({"url": "https://teams.example.com/workflows/1?sig=canary7f3a9c"})),
            ("telegram", json!({"token": "1:canary7f3a9c", "chat_id": 1})),
            ("ntfy", json!({"topic": "ops", "token": canary})),
            ("ntfy", json!({"topic": "ops", "user": "u", "password": canary})),
            ("gotify", json!({"server": "https://gotify.example.com", "token": canary})),
            ("matrix", json!({"server": "https://m.example.com", "token": canary, "room": "!r:example.com"})),
            ("alertmanager", json!({"url": "https://am.example.com", "headers": {"Authorization": canary}})),
            ("opsgenie", json!({"api_key": canary})),
            ("pagerduty", json!({"routing_key": "canary7f3a9c0123456789abcdefABCD"})),
            ("twilio", twilio(&json!(canary))),
            (
                "webhook",
                json!({"url": "https://example.com/", "secret": canary, "headers": {"Authorization": canary}}),
            ),
        ]
    }

    /// Parameters that can't work, with the canary in the place of a secret, or of what is taken for one.
    fn refused(canary: &str) -> Vec<(&'static str, Value)> {
        vec![
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
            ("slack", json!({"url": canary})),
            ("slack", json!({"url": {"x": canary}})),
            ("discord", json!({"url": "ftp://x/canary7f3a9c"})),
            ("teams", json!({"url": "https://u:canary7f3a9c@example.com/"})),
            ("telegram", json!({"token": canary, "chat_id": 1})),
            ("telegram", json!({"token": "1:canary7f3a9c", "chat_id": "x"})),
            ("ntfy", json!({"topic": "ops", "token": "canary7f3a9c\n"})),
            ("ntfy", json!({"topic": "ops", "password": canary})),
            ("ntfy", json!({"topic": "ops", "server": "https://u:canary7f3a9c@example.com"})),
            ("gotify", json!({"server": "https://gotify.example.com", "token": "canary7f3a9c\0"})),
            ("matrix", json!({"server": "https://m.example.com", "token": canary, "room": "#r:example.com"})),
            ("alertmanager", json!({"url": "https://u:canary7f3a9c@am.example.com"})),
            ("alertmanager", json!({"url": "https://am.example.com", "headers": {"X-A": "canary7f3a9c\n"}})),
            ("opsgenie", json!({"api_key": "canary7f3a9c\n"})),
            ("opsgenie", json!({"api_key": [canary]})),
            ("pagerduty", json!({"routing_key": canary})),
            ("pagerduty", json!({"routing_key": {"x": canary}})),
            ("twilio", twilio(&json!({"x": canary}))),
            ("webhook", json!({"url": "https://u:canary7f3a9c@example.com/"})),
            ("webhook", json!({"url": "https://example.com/", "headers": {"X-A": "canary7f3a9c\n"}})),
            ("webhook", json!({"url": "https://example.com/", "headers": {"X-A": [canary]}})),
            ("webhook", json!({"url": "https://example.com/", "headers": canary})),
            ("webhook", json!({"url": "https://example.com/", "secret": "whsec_canary7f3a9c!"})),
        ]
    }

    #[test]
    fn no_secret_shows_in_debug_nor_in_an_error_about_parameters() {
        let canary = "canary7f3a9c";
        for (name, params) in accepted(canary) {
            let notifier = stock().build(name, &params).unwrap();
            assert!(!format!("{notifier:?}").contains(canary), "{notifier:?}");
        }
        for (name, params) in refused(canary) {
            let error = stock().build(name, &params).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(canary), "{name}: {error:?}");
        }
    }
}
