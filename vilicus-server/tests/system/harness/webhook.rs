//! A remote that takes webhooks and remembers them.

use serde_json::{Value, json};

use super::Rest;
use crate::support::http_recorder::{Answer, HttpRecorder, Recorded};

/// One call, as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The idempotency key.
    pub(crate) key: String,
    /// The body.
    pub(crate) body: Value,
}

impl Call {
    /// The `event` of the body.
    pub(crate) fn event(&self) -> &str {
        self.body["event"].as_str().unwrap_or_default()
    }

    fn of(request: &Recorded) -> Self {
        let body = serde_json::from_slice(&request.body).unwrap();
        Self { key: request.header("webhook-id").to_owned(), body }
    }
}

/// A server that answers every call with 204.
pub(crate) struct Recorder(HttpRecorder);

impl Recorder {
    /// Listens on a free loopback port.
    pub(crate) async fn start() -> Self {
        Self(HttpRecorder::answering(Answer::status(204)).await)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.0.address().port()
    }

    /// What came so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.0.requests().iter().map(Call::of).collect()
    }

    /// Makes a channel to here.
    pub(crate) async fn channel(&self, admin: &Rest) {
        let channel = json!({"name": "recorder", "kind": "webhook", "params": {"url": format!("{}/hook", self.0.url())}});
        admin.create("/api/v1/channel/", channel).await;
    }
}
