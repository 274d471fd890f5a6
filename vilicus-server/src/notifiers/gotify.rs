//! Pushes a message to a Gotify server.
//!
//! *Sources:* <https://gotify.net/api-docs> for the request; <https://gotify.net/docs/msgextras> for the link;
//! <https://github.com/gotify/android#message-priorities> for what a priority does.
//!
//! Deliberately absent: Markdown. Without an extra that asks for it, Gotify shows plain text.

use std::sync::Arc;

use http::header::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use vilicus_core::{Notification, Notifier, NotifierKind, NotifyError, ParamsError, Receipt, async_trait};

use super::Secret;
use super::answer::Answer;
use super::endpoint::{Endpoint, secret_header};
use super::links::web_url;
use super::redaction::Redaction;
use super::service::{Caller, Service};
use super::tone::Tone;
use super::wording::{Shown, cut, cut_to};
use crate::clock::Clock;
use crate::outbound::OutboundPolicy;

/// Bytes of a message. Gotify documents no limit; its column `TEXT` takes so much under MySQL.
///
/// *Source:* <https://github.com/gotify/server/blob/master/model/message.go>
const MAX_MESSAGE: usize = 65_535;

/// Characters of a title: more than any phone shows.
const MAX_TITLE: usize = 250;

const SERVICE: Service = Service { name: "Gotify", mend: "check the server and the application's token" };

/// Parameters of Gotify.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct GotifyParams {
    /// The server, as `https://gotify.example.com`.
    pub server: String,
    /// The token of an application (not of a client).
    pub token: Secret,
}

/// The kind of notifier that pushes to Gotify.
#[derive(Debug, Clone)]
pub struct Gotify {
    outbound: OutboundPolicy,
    clock: Arc<dyn Clock>,
}

impl Gotify {
    /// Gotify under this policy; the clock measures how long it asks to be left alone.
    #[must_use]
    pub fn new(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, clock }
    }
}

impl NotifierKind for Gotify {
    type Params = GotifyParams;

    fn name(&self) -> &'static str {
        "gotify"
    }

    fn description(&self) -> &'static str {
        "Pushes messages through a Gotify server."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["token"]
    }

    fn build(&self, params: GotifyParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        let token = params.token.expose();
        if token.is_empty() {
            return Err(ParamsError::new("token", "token: the application's token is empty"));
        }
        let key = secret_header("token", HeaderName::from_static("x-gotify-key"), token)?;
        let redaction = Redaction::default().with(token);
        Ok(Arc::new(GotifyNotifier {
            server: Endpoint::server("server", &params.server)?,
            gotify: Caller::new(SERVICE, &self.outbound, &self.clock, redaction)?.headers(key),
        }))
    }
}

/// A channel of this kind.
#[derive(Debug)]
struct GotifyNotifier {
    gotify: Caller,
    server: Endpoint,
}

#[async_trait]
impl Notifier for GotifyNotifier {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        judge(&self.gotify.post(self.server.join(&["message"]), &payload(notification)).await?)
    }
}

fn judge(answer: &Answer) -> Result<Receipt, NotifyError> {
    answer.judge(answer.text_at("/errorDescription"))
}

fn payload(notification: &Notification) -> Value {
    let shown = Shown::of(notification);
    let mut payload = json!({
        "title": cut(&shown.title, MAX_TITLE),
        "message": cut_to(&shown.text, MAX_MESSAGE, char::len_utf8),
        "priority": priority(Tone::of(notification)),
    });
    if let Some(url) = notification.url.as_deref().and_then(web_url) {
        payload["extras"] = json!({"client::notification": {"click": {"url": url}}});
    }
    payload
}

/// 1 to 3 make no sound, 4 to 7 do, 8 to 10 vibrate, too.
const fn priority(tone: Tone) -> u8 {
    match tone {
        Tone::Quiet => 2,
        Tone::Good => 4,
        Tone::Warning => 6,
        Tone::Critical => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifiers::answer::answer;
    use crate::notifiers::samples;
    use vilicus_core::notifier::NotifyFault::{Channel, Message, Retry};

    #[test]
    fn payloads_are_the_documented_ones() {
        use samples::{GROUP_TEXT, GROUP_TITLE, PROBLEM_TEXT, PROBLEM_TITLE, RECOVERY_TEXT, RECOVERY_TITLE};
        let linked =
            json!({"client::notification": {"click": {"url": "https://vilicus.example.com/check/7"}}});
        for (notification, title, text, priority) in [
            (samples::problem(), PROBLEM_TITLE, PROBLEM_TEXT, 8),
            (samples::recovery("r"), RECOVERY_TITLE, RECOVERY_TEXT, 4),
            (samples::group(), GROUP_TITLE, GROUP_TEXT, 8),
        ] {
            let expected = json!({"title": title, "message": text, "priority": priority, "extras": linked});
            assert_eq!(payload(&notification), expected);
        }
        let hostile =
            json!({"title": samples::HOSTILE_TITLE, "message": samples::HOSTILE_TEXT, "priority": 8});
        assert_eq!(payload(&samples::hostile()), hostile);
    }

    #[test]
    fn a_long_message_is_cut_to_the_limits() {
        let payload = payload(&samples::long());
        let text = |name: &str| payload[name].as_str().filter(|text| text.ends_with('…')).unwrap();
        assert!((MAX_MESSAGE - 3..=MAX_MESSAGE).contains(&text("message").len()));
        assert_eq!(text("title").chars().count(), MAX_TITLE);
    }

    #[test]
    fn each_tone_has_its_priority() {
        let priorities = [Tone::Quiet, Tone::Good, Tone::Warning, Tone::Critical].map(priority);
        assert_eq!(priorities, [2, 4, 6, 8]);
    }

    #[test]
    fn an_answer_says_whom_it_concerns() {
        assert!(judge(&answer(SERVICE, 200, r#"{"id":25}"#)).is_ok());
        for (status, fault) in [(400, Message), (401, Channel), (403, Channel), (404, Channel), (500, Retry)]
        {
            let body = json!({"error": "e", "errorCode": status, "errorDescription": "why"});
            let error = judge(&answer(SERVICE, status, &body.to_string())).unwrap_err();
            assert_eq!(error.fault(), fault, "{error}");
            assert!(error.to_string().starts_with(&format!("Gotify answered {status}: why")), "{error}");
        }
    }
}
