//! Publishes a message to a topic of an ntfy server, to be read on phones and desktops.
//!
//! *Sources:* <https://docs.ntfy.sh/publish/#publish-as-json> for the request;
//! <https://docs.ntfy.sh/publish/#limitations> for the limits; <https://docs.ntfy.sh/publish/#authentication>.
//!
//! Deliberately absent: Markdown, attachments and actions. What an agent wrote is plain text.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{AUTHORIZATION, HeaderMap};
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
use super::wording::{Shown, cut_to, json_bytes};
use crate::clock::Clock;
use crate::outbound::OutboundPolicy;

/// Bytes of a message; a longer one would become a file. They are counted as they stand in the JSON, because older
/// servers take at most twice as much of that.
const MAX_MESSAGE: usize = 4096;

/// Bytes of a title: more than any phone shows.
const MAX_TITLE: usize = 250;

/// Characters of a topic.
///
/// *Source:* <https://docs.ntfy.sh/publish/#public-topics>
const MAX_TOPIC: usize = 64;

/// The public server, unless the channel says otherwise.
const SERVER: &str = "https://ntfy.sh";

/// The refusals with 400 that every other message would get, too: a topic that is none, or not allowed.
///
/// *Source:* <https://github.com/binwiederhier/ntfy/blob/main/server/errors.go>
const CHANNEL_ERRORS: [u64; 2] = [40_009, 40_010];

const SERVICE: Service = Service { name: "ntfy", mend: "check the server, the topic and the login" };

/// Parameters of ntfy.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct NtfyParams {
    /// The topic: 1 to 64 letters, digits, `_` and `-`. On a public server, whoever knows it can read it.
    pub topic: String,
    /// The server, `https://ntfy.sh` unless given.
    pub server: Option<String>,
    /// An access token, as `tk_…`.
    pub token: Option<Secret>,
    /// A user, with `password`, in the place of a token.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
}

/// The kind of notifier that publishes to ntfy.
#[derive(Debug, Clone)]
pub struct Ntfy {
    outbound: OutboundPolicy,
    clock: Arc<dyn Clock>,
}

impl Ntfy {
    /// ntfy under this policy; the clock measures how long it asks to be left alone.
    #[must_use]
    pub fn new(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, clock }
    }
}

impl NotifierKind for Ntfy {
    type Params = NtfyParams;

    fn name(&self) -> &'static str {
        "ntfy"
    }

    fn description(&self) -> &'static str {
        "Publishes to a topic of an ntfy server."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["token", "password"]
    }

    fn build(&self, params: NtfyParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        check_topic(&params.topic)?;
        let login = login(&params)?;
        let password = params.password.as_ref().map_or("", Secret::expose);
        let redaction = Redaction::default().with(password).with(sent_login(&login));
        Ok(Arc::new(NtfyNotifier {
            server: Endpoint::server("server", params.server.as_deref().unwrap_or(SERVER))?,
            ntfy: Caller::new(SERVICE, &self.outbound, &self.clock, redaction)?.headers(login),
            topic: params.topic,
        }))
    }
}

fn check_topic(topic: &str) -> Result<(), ParamsError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if (1..=MAX_TOPIC).contains(&topic.len()) && topic.chars().all(fits) {
        return Ok(());
    }
    Err(ParamsError::new("topic", "topic: 1 to 64 letters, digits, '_' and '-' are possible"))
}

/// The header that says who publishes; none when anyone may.
fn login(params: &NtfyParams) -> Result<HeaderMap, ParamsError> {
    match (&params.token, &params.user, &params.password) {
        (None, None, None) => Ok(HeaderMap::new()),
        (Some(token), None, None) => {
            secret_header("token", AUTHORIZATION, &format!("Bearer {}", token.expose()))
        }
        (None, Some(user), Some(_)) if user.contains(':') => {
            Err(ParamsError::new("user", "user: must be without ':'"))
        }
        (None, Some(user), Some(password)) => {
            let login = BASE64.encode(format!("{user}:{}", password.expose()));
            secret_header("password", AUTHORIZATION, &format!("Basic {login}"))
        }
        (Some(_), ..) => {
            Err(ParamsError::new("token", "token: give a token, or user and password, not both"))
        }
        (None, Some(_), None) => {
            Err(ParamsError::new("password", "password: the user's password is missing"))
        }
        (None, None, Some(_)) => Err(ParamsError::new("user", "user: a password needs its user")),
    }
}

/// What follows the scheme in the header: the token, or user and password in Base64.
fn sent_login(login: &HeaderMap) -> &str {
    let value = login.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.split_once(' ')).map_or("", |(_, sent)| sent)
}

/// A channel of this kind.
#[derive(Debug)]
struct NtfyNotifier {
    ntfy: Caller,
    server: Endpoint,
    topic: String,
}

#[async_trait]
impl Notifier for NtfyNotifier {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        // JSON is published to the root of the server.
        judge(&self.ntfy.post(self.server.join(&[""]), &payload(&self.topic, notification)).await?)
    }
}

fn judge(answer: &Answer) -> Result<Receipt, NotifyError> {
    let words = answer.text_at("/error");
    match answer.at("/code").and_then(Value::as_u64) {
        Some(code) if CHANNEL_ERRORS.contains(&code) => Err(answer.channel(words)),
        _ => answer.judge(words),
    }
}

fn payload(topic: &str, notification: &Notification) -> Value {
    let shown = Shown::of(notification);
    let (priority, tag) = loudness(Tone::of(notification));
    let mut payload = json!({
        "topic": topic,
        "title": cut_to(&shown.title, MAX_TITLE, json_bytes),
        "message": cut_to(&shown.text, MAX_MESSAGE, json_bytes),
        "priority": priority,
        "tags": [tag],
    });
    if let Some(url) = notification.url.as_deref().and_then(web_url) {
        payload["click"] = json!(url);
    }
    payload
}

/// The priority, from 1 to 5, and the tag that is shown as an emoji.
///
/// *Source:* <https://docs.ntfy.sh/publish/#message-priority>, <https://docs.ntfy.sh/emojis/>
const fn loudness(tone: Tone) -> (u8, &'static str) {
    match tone {
        Tone::Quiet => (2, "speech_balloon"),
        Tone::Good => (3, "white_check_mark"),
        Tone::Warning => (4, "warning"),
        Tone::Critical => (5, "rotating_light"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifiers::answer::answer;
    use crate::notifiers::samples;
    use vilicus_core::notifier::NotifyFault::{Channel, Message, Retry};

    fn message(title: &str, text: &str, priority: u8, tag: &str) -> Value {
        json!({"topic": "ops", "title": title, "message": text, "priority": priority, "tags": [tag]})
    }

    #[test]
    fn payloads_are_the_documented_ones() {
        use samples::{GROUP_TEXT, GROUP_TITLE, PROBLEM_TEXT, PROBLEM_TITLE, RECOVERY_TEXT, RECOVERY_TITLE};
        let linked = |mut message: Value| {
            message["click"] = json!("https://vilicus.example.com/check/7");
            message
        };
        for (notification, expected) in [
            (samples::problem(), linked(message(PROBLEM_TITLE, PROBLEM_TEXT, 5, "rotating_light"))),
            (samples::recovery("r"), linked(message(RECOVERY_TITLE, RECOVERY_TEXT, 3, "white_check_mark"))),
            (samples::group(), linked(message(GROUP_TITLE, GROUP_TEXT, 5, "rotating_light"))),
            (samples::hostile(), message(samples::HOSTILE_TITLE, samples::HOSTILE_TEXT, 5, "rotating_light")),
        ] {
            assert_eq!(payload("ops", &notification), expected);
        }
    }

    #[test]
    fn a_long_message_is_cut_to_the_limits() {
        let payload = payload("ops", &samples::long());
        let bytes = |name: &str| {
            assert!(payload[name].as_str().unwrap().ends_with('…'), "{name}");
            payload[name].to_string().len() - 2
        };
        assert!((MAX_MESSAGE - 3..=MAX_MESSAGE).contains(&bytes("message")));
        assert!((MAX_TITLE - 3..=MAX_TITLE).contains(&bytes("title")));
        assert!(payload.to_string().len() < 2 * MAX_MESSAGE);
    }

    #[test]
    fn each_tone_has_its_priority() {
        let priorities =
            [Tone::Quiet, Tone::Good, Tone::Warning, Tone::Critical].map(|tone| loudness(tone).0);
        assert_eq!(priorities, [2, 3, 4, 5]);
    }

    #[test]
    fn an_answer_says_whom_it_concerns() {
        assert!(judge(&answer(SERVICE, 200, r#"{"id":"x"}"#)).is_ok());
        for (status, code, fault) in [
            (400, 40_024, Message),
            (400, 40_009, Channel),
            (400, 40_010, Channel),
            (401, 40_101, Channel),
            (403, 40_301, Channel),
            (413, 41_303, Message),
            (429, 42_901, Retry),
            (507, 50_701, Retry),
        ] {
            let body = json!({"code": code, "http": status, "error": "why"});
            let error = judge(&answer(SERVICE, status, &body.to_string())).unwrap_err();
            assert_eq!(error.fault(), fault, "{code}: {error}");
        }
    }

    #[test]
    fn a_login_is_whole_or_there_is_none() {
        let ntfy = |more: Value| {
            let mut params = json!({"topic": "ops"});
            params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            login(&serde_json::from_value(params).unwrap()).map_err(|error| error.pointer)
        };
        for (params, header) in [
            (json!({}), None),
            (json!({"token": "tk_a"}), Some("Bearer tk_a")),
            (json!({"user": "u", "password": "p"}), Some("Basic dTpw")),
        ] {
            let headers = ntfy(params).unwrap();
            assert_eq!(headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap()), header);
        }
        for (params, pointer) in [
            (json!({"token": "t", "user": "u", "password": "p"}), "/token"),
            (json!({"user": "u"}), "/password"),
            (json!({"password": "p"}), "/user"),
            (json!({"user": "a:b", "password": "p"}), "/user"),
            (json!({"token": "a\nb"}), "/token"),
        ] {
            assert_eq!(ntfy(params.clone()).unwrap_err(), pointer, "{params}");
        }
        for topic in ["", "a b", "a/b", "ä", &"a".repeat(65)] {
            assert!(check_topic(topic).is_err(), "{topic}");
        }
    }
}
