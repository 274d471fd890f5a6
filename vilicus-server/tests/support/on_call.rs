//! The services that keep alerts of their own and the one that sends SMS, as far as tests treat them alike.

use serde_json::json;

use super::chat::{CANARY, ChatService};

/// Stands in the place of PagerDuty's key, which has 32 letters and digits.
pub const ROUTING_KEY: &str = "canary4e8d0123456789abcdefABCDEF";

/// All of them.
pub const ALL: [ChatService; 4] = [
    ChatService {
        kind: "pagerduty",
        params: |url| json!({"api_url": url, "routing_key": ROUTING_KEY}),
        says: r#"{"status": "success", "dedup_key": "k"}"#,
    },
    ChatService {
        kind: "opsgenie",
        params: |url| json!({"api_url": url, "api_key": CANARY}),
        says: r#"{"result": "Request will be processed"}"#,
    },
    ChatService {
        kind: "alertmanager",
        params: |url| json!({"url": url, "headers": {"Authorization": CANARY}}),
        says: "",
    },
    ChatService {
        kind: "twilio",
        params: |url| {
            let sid = "AC0123456789abcdef0123456789abcdef";
            json!({"api_url": url, "account_sid": sid, "auth_token": CANARY, "from": "Ops", "to": ["+15551230001"]})
        },
        says: r#"{"sid": "SM1", "status": "queued"}"#,
    },
];
