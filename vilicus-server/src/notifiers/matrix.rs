//! Sends a message to a Matrix room.
//!
//! *Source for every limit and rule:* <https://spec.matrix.org/latest/client-server-api/>, sections *Sending events
//! to a room*, *Instant messaging*, *Rich replies*, *Threading*, *User and room mentions*, *Standard error response*.
//!
//! The idempotency key is the transaction: a server posts one transaction once, however often it is sent.
//! Deliberately absent: encryption. In a room that asks for it, the message is readable and marked as such.

use std::sync::Arc;

use http::Method;
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use vilicus_core::{Notification, Notifier, NotifierKind, NotifyError, ParamsError, Receipt, async_trait};

use super::Secret;
use super::answer::Answer;
use super::endpoint::{Endpoint, secret_header};
use super::links::links;
use super::redaction::Redaction;
use super::retry_after::in_seconds;
use super::service::{Caller, Service};
use super::wording::{Shown, cut_to, escape_html, html_entity, json_bytes};
use crate::clock::Clock;
use crate::outbound::OutboundPolicy;

/// Bytes of a whole event, with what the server adds to it.
///
/// *Source:* section *Size limits*
const MAX_EVENT: usize = 65_536;

/// Bytes of the title and of the text.
const MAX_TITLE: usize = 1024;
const MAX_TEXT: usize = 24 * 1024;

/// Bytes of everything else: links, relations, and what the server adds, as signatures.
const MAX_REST: usize = 8 * 1024;

// Title and text stand in an event twice: as text and as HTML.
const _: () = assert!(2 * (MAX_TITLE + MAX_TEXT) + MAX_REST <= MAX_EVENT);

/// Bytes of the identity of a room or an event.
const MAX_ID: usize = 255;

/// The refusals with another status than 401, 403 and 404 that every other message would get, too.
const CHANNEL_ERRORS: [&str; 2] = ["M_INVALID_PARAM", "M_UNRECOGNIZED"];

const SERVICE: Service =
    Service { name: "Matrix", mend: "check the server, the token and whether its user is in the room" };

/// Parameters of Matrix.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct MatrixParams {
    /// The homeserver, as `https://matrix.example.com`.
    pub server: String,
    /// The access token of the user that sends.
    pub token: Secret,
    /// The room's identity, as `!abc:example.com`; an alias (`#…`) is not enough.
    pub room: String,
    /// Whether the messages about one problem form a thread; they are replies to the first unless set.
    #[serde(default)]
    pub thread: bool,
}

/// The kind of notifier that sends to Matrix rooms.
#[derive(Debug, Clone)]
pub struct Matrix {
    outbound: OutboundPolicy,
    clock: Arc<dyn Clock>,
}

impl Matrix {
    /// Matrix under this policy; the clock measures how long it asks to be left alone.
    #[must_use]
    pub fn new(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, clock }
    }
}

impl NotifierKind for Matrix {
    type Params = MatrixParams;

    fn name(&self) -> &'static str {
        "matrix"
    }

    fn description(&self) -> &'static str {
        "Sends messages to a Matrix room."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["token"]
    }

    fn build(&self, params: MatrixParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        check_room(&params.room)?;
        let token = params.token.expose();
        if token.is_empty() {
            return Err(ParamsError::new("token", "token: the access token is empty"));
        }
        let login = secret_header("token", AUTHORIZATION, &format!("Bearer {token}"))?;
        let redaction = Redaction::default().with(token);
        Ok(Arc::new(MatrixNotifier {
            server: Endpoint::server("server", &params.server)?,
            matrix: Caller::new(SERVICE, &self.outbound, &self.clock, redaction)?.headers(login),
            room: params.room,
            thread: params.thread,
        }))
    }
}

fn check_room(room: &str) -> Result<(), ParamsError> {
    let fits = |c: char| c.is_ascii_graphic();
    if room.starts_with('!') && (2..=MAX_ID).contains(&room.len()) && room.chars().all(fits) {
        return Ok(());
    }
    Err(ParamsError::new(
        "room",
        "room: must be the room's identity, which begins with '!'; see its settings",
    ))
}

/// A channel of this kind.
#[derive(Debug)]
struct MatrixNotifier {
    matrix: Caller,
    server: Endpoint,
    room: String,
    thread: bool,
}

#[async_trait]
impl Notifier for MatrixNotifier {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let transaction = notification.key.as_str();
        let path = ["_matrix", "client", "v3", "rooms", &self.room, "send", "m.room.message", transaction];
        let url = self.server.join(&path);
        judge(self.matrix.send(Method::PUT, url, &self.payload(notification)).await?)
    }
}

impl MatrixNotifier {
    fn payload(&self, notification: &Notification) -> Value {
        let mut payload = content(notification);
        if let Some((first, last)) = told_before(notification) {
            payload["m.relates_to"] = if self.thread {
                json!({
                    "rel_type": "m.thread",
                    "event_id": first,
                    "is_falling_back": true,
                    "m.in_reply_to": {"event_id": last},
                })
            } else {
                json!({"m.in_reply_to": {"event_id": first}})
            };
        }
        payload
    }
}

/// The first and the last event about the same problem.
fn told_before(notification: &Notification) -> Option<(&str, &str)> {
    let references = notification.earlier.iter().filter_map(|earlier| earlier.receipt.reference.as_deref());
    let mut events = references.filter(|event| is_event(event));
    let first = events.next()?;
    Some((first, events.next_back().unwrap_or(first)))
}

fn is_event(text: &str) -> bool {
    text.starts_with('$') && text.len() <= MAX_ID && text.chars().all(|c| c.is_ascii_graphic())
}

/// The empty `m.mentions` says that nobody is mentioned, whatever the text looks like.
fn content(notification: &Notification) -> Value {
    let shown = Shown::of(notification);
    let title = cut_to(&shown.title, MAX_TITLE, bytes);
    let text = cut_to(&shown.text, MAX_TEXT, bytes);
    let mut html =
        format!("<strong>{}</strong><pre><code>{}</code></pre>", escape_html(&title), escape_html(&text));
    for link in links(notification) {
        html.push_str(&format!("<a href=\"{}\">{}</a> ", escape_html(&link.url), link.label));
    }
    json!({
        "msgtype": "m.text",
        "body": format!("{title}\n\n{text}"),
        "format": "org.matrix.custom.html",
        "formatted_body": html.trim_end(),
        "m.mentions": {},
    })
}

/// The bytes that a character takes in JSON, as HTML or as text, whichever is more.
fn bytes(c: char) -> usize {
    html_entity(c).map_or_else(|| json_bytes(c), str::len)
}

fn judge(answer: Answer) -> Result<Receipt, NotifyError> {
    let wait = answer.at("/retry_after_ms").and_then(Value::as_f64).map(|millis| millis / 1000.0);
    let answer = answer.waiting(in_seconds(wait));
    let words = answer.text_at("/error");
    if CHANNEL_ERRORS.contains(&answer.text_at("/errcode")) {
        return Err(answer.channel(words));
    }
    let receipt = answer.judge(words)?;
    Ok(match answer.text_at("/event_id") {
        event if is_event(event) => receipt.reference(event),
        _ => receipt,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifiers::answer::answer;
    use crate::notifiers::samples;
    use vilicus_core::Millis;
    use vilicus_core::notification::EarlierMessage;
    use vilicus_core::notifier::NotifyFault::{Channel, Message, Retry};

    fn matrix(thread: bool) -> MatrixNotifier {
        let clock: Arc<dyn Clock> = Arc::new(crate::clock::ManualClock::new(vilicus_core::Timestamp::EPOCH));
        MatrixNotifier {
            matrix: Caller::new(SERVICE, &OutboundPolicy::default(), &clock, Redaction::default()).unwrap(),
            server: Endpoint::server("server", "https://matrix.example.com").unwrap(),
            room: "!r:example.com".to_owned(),
            thread,
        }
    }

    fn message(title: &str, text: &str, html: &str) -> Value {
        json!({
            "msgtype": "m.text",
            "body": format!("{title}\n\n{text}"),
            "format": "org.matrix.custom.html",
            "formatted_body": html,
            "m.mentions": {},
        })
    }

    #[test]
    fn payloads_are_the_documented_ones() {
        use samples::{GROUP_TEXT, GROUP_TITLE, PROBLEM_TEXT, PROBLEM_TITLE, RECOVERY_TEXT, RECOVERY_TITLE};
        let open = "<a href=\"https://vilicus.example.com/check/7\">Open</a>";
        let both = format!("{open} <a href=\"https://wiki.example.com/disk\">Runbook</a>");
        let html = |title: &str, text: &str, links: &str| {
            format!("<strong>{title}</strong><pre><code>{text}</code></pre>{links}")
        };
        let hostile = html(samples::HOSTILE_TITLE_ESCAPED, samples::HOSTILE_TEXT_ESCAPED, "");
        let mut reply = message(RECOVERY_TITLE, RECOVERY_TEXT, &html(RECOVERY_TITLE, RECOVERY_TEXT, &both));
        reply["m.relates_to"] = json!({"m.in_reply_to": {"event_id": "$a"}});
        let problem = message(PROBLEM_TITLE, PROBLEM_TEXT, &html(PROBLEM_TITLE, PROBLEM_TEXT, &both));
        let group = message(GROUP_TITLE, GROUP_TEXT, &html(GROUP_TITLE, GROUP_TEXT, open));
        for (notification, expected) in [
            (samples::problem(), problem),
            (samples::recovery("$a"), reply),
            (samples::group(), group),
            (samples::hostile(), message(samples::HOSTILE_TITLE, samples::HOSTILE_TEXT, &hostile)),
        ] {
            assert_eq!(matrix(false).payload(&notification), expected);
        }
    }

    #[test]
    fn a_thread_hangs_on_the_first_message() {
        let mut notification = samples::recovery("$first");
        let receipt = Receipt::new("taken").reference("$last");
        notification.earlier.push(EarlierMessage { key: "k3".to_owned(), receipt });
        let expected = json!({
            "rel_type": "m.thread",
            "event_id": "$first",
            "is_falling_back": true,
            "m.in_reply_to": {"event_id": "$last"},
        });
        assert_eq!(matrix(true).payload(&notification)["m.relates_to"], expected);
        assert!(matrix(true).payload(&samples::recovery("no event")).get("m.relates_to").is_none());
    }

    #[test]
    fn a_long_message_stays_below_the_limit() {
        for escaped in ["<", "\"", "&", "\\", "\n.", "😀"] {
            let mut notification = samples::long();
            notification.items[0].output = escaped.repeat(MAX_EVENT);
            let payload = matrix(false).payload(&notification);
            let bytes = payload.to_string().len();
            assert!(bytes <= MAX_EVENT - MAX_REST / 2, "{escaped}: {bytes}");
            assert!(payload["body"].as_str().unwrap().ends_with('…'), "{escaped}");
        }
    }

    #[test]
    fn an_answer_says_whom_it_concerns() {
        let receipt = judge(answer(SERVICE, 200, r#"{"event_id":"$a:b"}"#)).unwrap();
        assert_eq!(receipt, Receipt::new("Matrix answered 200").reference("$a:b"));
        for (status, code, fault) in [
            (400, "M_BAD_JSON", Message),
            (400, "M_INVALID_PARAM", Channel),
            (401, "M_UNKNOWN_TOKEN", Channel),
            (401, "M_MISSING_TOKEN", Channel),
            (403, "M_FORBIDDEN", Channel),
            (403, "M_USER_DEACTIVATED", Channel),
            (404, "M_NOT_FOUND", Channel),
            (413, "M_TOO_LARGE", Message),
            (500, "M_UNKNOWN", Retry),
            (429, "M_LIMIT_EXCEEDED", Retry),
        ] {
            let body = json!({"errcode": code, "error": "why", "retry_after_ms": 2000});
            let error = judge(answer(SERVICE, status, &body.to_string())).unwrap_err();
            assert_eq!(error.fault(), fault, "{code}: {error}");
            assert_eq!(error.retry_after().is_some(), fault == Retry, "{code}");
        }
        let busy = answer(SERVICE, 429, r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":2000}"#);
        assert_eq!(judge(busy).unwrap_err().retry_after(), Some(Millis::from_secs(2)));
    }

    #[test]
    fn only_an_identity_names_a_room() {
        for (room, fits) in [
            ("!abc:example.com", true),
            ("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", true),
            ("#ops:example.com", false),
            ("!", false),
            ("!a b:example.com", false),
            ("", false),
        ] {
            assert_eq!(check_room(room).is_ok(), fits, "{room}");
        }
    }
}
