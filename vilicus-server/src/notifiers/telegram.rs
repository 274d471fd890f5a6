//! Sends a message to a Telegram chat as a bot.
//!
//! *Sources:* <https://core.telegram.org/bots/api#sendmessage> for the request and its limits;
//! <https://core.telegram.org/bots/api#responseparameters> for what an error may hold;
//! <https://core.telegram.org/bots/api#html-style> for the markup.
//!
//! The token is a part of the URL, so the URL is shown nowhere.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vilicus_core::{Notification, Notifier, NotifierKind, NotifyError, ParamsError, Receipt, async_trait};

use super::Secret;
use super::answer::Answer;
use super::endpoint::Endpoint;
use super::links::{Link, links};
use super::redaction::Redaction;
use super::retry_after::in_seconds;
use super::service::{Caller, Service};
use super::tone::Tone;
use super::wording::{Shown, cut_to, escape_html};
use crate::clock::Clock;
use crate::outbound::OutboundPolicy;

/// Characters of a message after its markup is taken out; we count as JavaScript does, which is never less.
const MAX_MESSAGE: usize = 4096;

/// The most of it that a title gets.
const MAX_TITLE: usize = 512;

/// Where Telegram is, unless the channel says otherwise.
const API_URL: &str = "https://api.telegram.org";

/// The refusals with 400 that every other message would get, too. Telegram has only words for them.
const CHANNEL_ERRORS: [&str; 9] = [
    "chat not found",
    "chat_id is empty",
    "upgraded to a supergroup",
    "thread not found",
    "topic_closed",
    "topic_deleted",
    "not enough rights",
    "chat_write_forbidden",
    "peer_id_invalid",
];

const SERVICE: Service =
    Service { name: "Telegram", mend: "check the token, the chat and the bot's rights in it" };

/// Parameters of Telegram.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct TelegramParams {
    /// The bot's token, as `123456:ABC-DEF…`.
    pub token: Secret,
    /// The chat: its number (negative for groups), or `@name` of a public channel or group.
    pub chat_id: ChatId,
    /// A topic of a group with topics.
    pub message_thread_id: Option<u32>,
    /// Another server that speaks the Bot API.
    pub api_url: Option<String>,
}

/// A chat, as Telegram names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "must be the number of a chat, or '@name' of a public one")]
pub enum ChatId {
    /// Its number.
    Number(i64),
    /// Its public name, as `@name`; or its number as text.
    Name(String),
}

/// The kind of notifier that speaks as a Telegram bot.
#[derive(Debug, Clone)]
pub struct Telegram {
    outbound: OutboundPolicy,
    clock: Arc<dyn Clock>,
}

impl Telegram {
    /// Telegram under this policy; the clock measures how long it asks to be left alone.
    #[must_use]
    pub fn new(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, clock }
    }
}

impl NotifierKind for Telegram {
    type Params = TelegramParams;

    fn name(&self) -> &'static str {
        "telegram"
    }

    fn description(&self) -> &'static str {
        "Sends messages to a Telegram chat as a bot."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["token"]
    }

    fn build(&self, params: TelegramParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        check_token(params.token.expose())?;
        check_chat(&params.chat_id)?;
        let token = params.token.expose();
        let key = token.split_once(':').map_or("", |(_, key)| key);
        let redaction = Redaction::default().with(token).with(key);
        Ok(Arc::new(TelegramNotifier {
            telegram: Caller::new(SERVICE, &self.outbound, &self.clock, redaction)?,
            server: Endpoint::server("api_url", params.api_url.as_deref().unwrap_or(API_URL))?,
            token: params.token,
            chat_id: params.chat_id,
            message_thread_id: params.message_thread_id,
        }))
    }
}

/// A token is a number, a colon and a word; so a slip of the clipboard is found at once.
fn check_token(token: &str) -> Result<(), ParamsError> {
    let fits = token.split_once(':').is_some_and(|(bot, key)| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        !bot.is_empty()
            && bot.chars().all(|c| c.is_ascii_digit())
            && !key.is_empty()
            && key.chars().all(is_word)
    });
    if fits {
        return Ok(());
    }
    Err(ParamsError::new("token", "token: a bot's token is a number, ':' and letters, digits, '_' and '-'"))
}

fn check_chat(chat: &ChatId) -> Result<(), ParamsError> {
    let fits = match chat {
        ChatId::Number(number) => *number != 0,
        ChatId::Name(name) => name.parse::<i64>().is_ok_and(|number| number != 0) || is_public_name(name),
    };
    if fits {
        return Ok(());
    }
    Err(ParamsError::new("chat_id", "chat_id: must be the number of a chat, or '@name' of a public one"))
}

fn is_public_name(text: &str) -> bool {
    text.strip_prefix('@')
        .is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// A channel of this kind.
#[derive(Debug)]
struct TelegramNotifier {
    telegram: Caller,
    server: Endpoint,
    token: Secret,
    chat_id: ChatId,
    message_thread_id: Option<u32>,
}

#[async_trait]
impl Notifier for TelegramNotifier {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let url = self.server.join(&[&format!("bot{}", self.token.expose()), "sendMessage"]);
        judge(self.telegram.post(url, &self.payload(notification)).await?)
    }
}

impl TelegramNotifier {
    fn payload(&self, notification: &Notification) -> Value {
        let mut payload = json!({
            "chat_id": self.chat_id,
            "text": html(notification),
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": true},
        });
        if let Some(thread) = self.message_thread_id {
            payload["message_thread_id"] = json!(thread);
        }
        if Tone::of(notification) == Tone::Quiet {
            payload["disable_notification"] = json!(true);
        }
        if let Some(message) = first_message(notification) {
            // The message may be deleted; the news is not less news then.
            payload["reply_parameters"] = json!({"message_id": message, "allow_sending_without_reply": true});
        }
        payload
    }
}

/// The first message about the same problem: all that follow are replies to it.
fn first_message(notification: &Notification) -> Option<u64> {
    let mut references =
        notification.earlier.iter().filter_map(|earlier| earlier.receipt.reference.as_deref());
    references.find_map(|reference| reference.parse().ok().filter(|message| *message > 0))
}

/// Telegram makes links and mentions of what looks like one, but not in `code` and `pre`.
fn html(notification: &Notification) -> String {
    let shown = Shown::of(notification);
    let title = cut_to(&shown.title, MAX_TITLE, char::len_utf16);
    let links = links(notification);
    let labels: usize = links.iter().map(|link| link.label.len() + 1).sum();
    let room = MAX_MESSAGE - title.encode_utf16().count() - labels - 2;
    let text = cut_to(&shown.text, room, char::len_utf16);
    let mut html = format!("<code>{}</code>\n<pre>{}</pre>", escape_html(&title), escape_html(&text));
    if !links.is_empty() {
        html.push('\n');
        html.push_str(&links.iter().map(anchor).collect::<Vec<_>>().join(" "));
    }
    html
}

fn anchor(link: &Link) -> String {
    format!("<a href=\"{}\">{}</a>", escape_html(&link.url), link.label)
}

fn judge(answer: Answer) -> Result<Receipt, NotifyError> {
    let wait = in_seconds(answer.at("/parameters/retry_after").and_then(Value::as_f64));
    let answer = answer.waiting(wait);
    let words = answer.text_at("/description");
    if answer.code() == 400 {
        let moved = answer.at("/parameters/migrate_to_chat_id").and_then(Value::as_i64);
        if let Some(chat) = moved {
            return Err(answer.channel(&format!("{words}; its chat_id is {chat} now")));
        }
        let lower = words.to_ascii_lowercase();
        if CHANNEL_ERRORS.iter().any(|error| lower.contains(error)) {
            return Err(answer.channel(words));
        }
    }
    let receipt = answer.judge(words)?;
    if answer.at("/ok") != Some(&Value::Bool(true)) {
        return Err(answer.unlike_it());
    }
    Ok(match answer.at("/result/message_id").and_then(Value::as_u64) {
        Some(message) => receipt.reference(message.to_string()),
        None => receipt,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifiers::answer::answer;
    use crate::notifiers::samples;
    use vilicus_core::notifier::NotifyFault::{Channel, Message, Retry};
    use vilicus_core::{Millis, NotificationEvent};

    fn telegram() -> TelegramNotifier {
        let clock: Arc<dyn Clock> = Arc::new(crate::clock::ManualClock::new(vilicus_core::Timestamp::EPOCH));
        TelegramNotifier {
            telegram: Caller::new(SERVICE, &OutboundPolicy::default(), &clock, Redaction::default()).unwrap(),
            server: Endpoint::server("api_url", API_URL).unwrap(),
            token: "1:a".into(),
            chat_id: ChatId::Number(-100_123),
            message_thread_id: None,
        }
    }

    fn message(text: &str) -> Value {
        json!({
            "chat_id": -100_123,
            "text": text,
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": true},
        })
    }

    #[test]
    fn payloads_are_the_documented_ones() {
        use samples::{GROUP_TEXT, GROUP_TITLE, PROBLEM_TEXT, PROBLEM_TITLE, RECOVERY_TEXT, RECOVERY_TITLE};
        let open = "<a href=\"https://vilicus.example.com/check/7\">Open</a>";
        let both = format!("{open} <a href=\"https://wiki.example.com/disk\">Runbook</a>");
        let mut reply =
            message(&format!("<code>{RECOVERY_TITLE}</code>\n<pre>{RECOVERY_TEXT}</pre>\n{both}"));
        reply["reply_parameters"] = json!({"message_id": 42, "allow_sending_without_reply": true});
        let (title, text) = (samples::HOSTILE_TITLE_ESCAPED, samples::HOSTILE_TEXT_ESCAPED);
        let hostile = message(&format!("<code>{title}</code>\n<pre>{text}</pre>"));
        for (notification, expected) in [
            (
                samples::problem(),
                message(&format!("<code>{PROBLEM_TITLE}</code>\n<pre>{PROBLEM_TEXT}</pre>\n{both}")),
            ),
            (samples::recovery("42"), reply),
            (
                samples::group(),
                message(&format!("<code>{GROUP_TITLE}</code>\n<pre>{GROUP_TEXT}</pre>\n{open}")),
            ),
            (samples::hostile(), hostile),
        ] {
            assert_eq!(telegram().payload(&notification), expected);
        }
    }

    #[test]
    fn a_topic_is_named_and_what_is_quiet_makes_no_sound() {
        let telegram = TelegramNotifier { message_thread_id: Some(7), ..telegram() };
        let mut notification = samples::problem();
        assert_eq!(telegram.payload(&notification)["message_thread_id"], 7);
        assert!(telegram.payload(&notification).get("disable_notification").is_none());
        notification.items[0].event = NotificationEvent::Acknowledgement;
        assert_eq!(telegram.payload(&notification)["disable_notification"], true);
    }

    #[test]
    fn only_the_number_of_a_message_is_replied_to() {
        for (reference, first) in [("42", Some(42)), ("0", None), ("-1", None), ("x", None), ("", None)] {
            assert_eq!(first_message(&samples::recovery(reference)), first, "{reference}");
        }
    }

    #[test]
    fn a_long_message_is_cut_to_the_limit_that_holds_without_markup() {
        let html = html(&samples::long());
        let mut shown = html.replace("&lt;", "<").replace("&quot;", "\"").replace("&amp;", "&");
        for markup in ["<code>", "</code>", "<pre>", "</pre>", "</a>"] {
            shown = shown.replace(markup, "");
        }
        for link in ["https://vilicus.example.com/check/7", "https://wiki.example.com/disk"] {
            shown = shown.replace(&format!("<a href=\"{link}\">"), "");
        }
        let length = shown.encode_utf16().count();
        assert!((MAX_MESSAGE - 2..=MAX_MESSAGE).contains(&length), "{length}");
        assert!(html.contains("…</pre>") && html.ends_with("Runbook</a>"), "{html}");
    }

    #[test]
    fn an_answer_says_whom_it_concerns() {
        for (status, description, fault) in [
            (400, "Bad Request: chat not found", Channel),
            (400, "Bad Request: message thread not found", Channel),
            (400, "Bad Request: TOPIC_CLOSED", Channel),
            (400, "Bad Request: not enough rights to send text messages to the chat", Channel),
            (400, "Bad Request: message is too long", Message),
            (400, "Bad Request: can't parse entities", Message),
            (401, "Unauthorized", Channel),
            (403, "Forbidden: bot was blocked by the user", Channel),
            (404, "Not Found", Channel),
            (500, "Internal Server Error", Retry),
            (200, "", Retry),
        ] {
            let body = json!({"ok": false, "error_code": status, "description": description});
            let error = judge(answer(SERVICE, status, &body.to_string())).unwrap_err();
            assert_eq!(error.fault(), fault, "{description}: {error}");
        }
        let busy = r#"{"ok":false,"description":"Too Many Requests: retry after 35","parameters":{"retry_after":35}}"#;
        let error = judge(answer(SERVICE, 429, busy)).unwrap_err();
        assert_eq!((error.fault(), error.retry_after()), (Retry, Some(Millis::from_secs(35))));
        let moved = r#"{"ok":false,"description":"group chat was upgraded","parameters":{"migrate_to_chat_id":-100}}"#;
        let error = judge(answer(SERVICE, 400, moved)).unwrap_err();
        assert!(error.fault() == Channel && error.to_string().contains("-100 now"), "{error}");
    }

    #[test]
    fn the_receipt_refers_to_the_message() {
        let receipt = judge(answer(SERVICE, 200, r#"{"ok":true,"result":{"message_id":42}}"#)).unwrap();
        assert_eq!(receipt, Receipt::new("Telegram answered 200").reference("42"));
    }

    #[test]
    fn tokens_and_chats_are_checked() {
        for (token, fits) in
            [("123:A-b_c", true), ("123", false), ("123:", false), (":a", false), ("1:a/b", false)]
        {
            assert_eq!(check_token(token).is_ok(), fits, "{token}");
        }
        for (chat, fits) in [
            (json!(-100_123), true),
            (json!("-100123"), true),
            (json!("@ops_channel"), true),
            (json!(0), false),
            (json!("ops"), false),
            (json!("@"), false),
            (json!("@a b"), false),
        ] {
            let chat: ChatId = serde_json::from_value(chat).unwrap();
            assert_eq!(check_chat(&chat).is_ok(), fits, "{chat:?}");
        }
        let error = serde_json::from_value::<ChatId>(json!(true)).unwrap_err().to_string();
        assert!(error.contains("the number of a chat"), "{error}");
    }
}
