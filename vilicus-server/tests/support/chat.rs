//! The chat and push services, as far as tests treat them alike.

use serde_json::{Value, json};

use super::http_recorder::Answer;

/// Stands in the place of every secret.
pub const CANARY: &str = "canary-4e8d";

/// How a password that is the canary is sent by the user `u`, in Base64.
pub const CANARY_LOGIN: &str = "dTpjYW5hcnktNGU4ZA==";

/// A service that takes messages as JSON over HTTP.
pub struct ChatService {
    /// The kind of notifier.
    pub kind: &'static str,
    /// The parameters of a channel whose service is at this URL.
    pub params: fn(&str) -> Value,
    /// What the service says to a message that it takes.
    pub says: &'static str,
}

impl ChatService {
    /// The answer to a message that it takes.
    pub fn taken(&self) -> Answer {
        Answer::Respond { status: 200, headers: Vec::new(), body: self.says.to_owned() }
    }
}

/// All of them.
pub static ALL: [ChatService; 8] = [
    ChatService {
        kind: "slack",
        params: |url| json!({"url": format!("{url}/services/T0/B0/{CANARY}")}),
        says: "ok",
    },
    ChatService {
        kind: "discord",
        params: |url| json!({"url": format!("{url}/api/webhooks/1/{CANARY}")}),
        says: r#"{"id": "1"}"#,
    },
    ChatService {
        kind: "teams",
        params: |url| json!({"url": format!("{url}/workflows/a?sig={CANARY}")}),
        says: "",
    },
    ChatService {
        kind: "telegram",
        params: |url| json!({"api_url": url, "token": format!("123:{CANARY}"), "chat_id": -1}),
        says: r#"{"ok": true, "result": {"message_id": 5}}"#,
    },
    ChatService {
        kind: "ntfy",
        params: |url| json!({"server": url, "topic": "ops", "token": CANARY}),
        says: r#"{"id": "x"}"#,
    },
    ChatService {
        kind: "ntfy",
        params: |url| json!({"server": url, "topic": "ops", "user": "u", "password": CANARY}),
        says: r#"{"id": "x"}"#,
    },
    ChatService {
        kind: "gotify",
        params: |url| json!({"server": url, "token": CANARY}),
        says: r#"{"id": 1}"#,
    },
    ChatService {
        kind: "matrix",
        params: |url| json!({"server": url, "token": CANARY, "room": "!r:example.com"}),
        says: r#"{"event_id": "$e:example.com"}"#,
    },
];
