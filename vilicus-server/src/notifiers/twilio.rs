//! Sends a message as SMS through Twilio.
//!
//! *Sources for every limit and rule:* <https://www.twilio.com/docs/messaging/api/message-resource>,
//! <https://www.twilio.com/docs/usage/twilios-response> and <https://www.twilio.com/docs/api/errors>.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use vilicus_core::notifier::NotifyFault;
use vilicus_core::{Notification, Notifier, NotifierKind, NotifyError, ParamsError, Receipt, async_trait};

use super::Secret;
use super::answer::Answer;
use super::endpoint::{Endpoint, secret_header};
use super::progress::Progress;
use super::redaction::Redaction;
use super::service::{Caller, Service};
use super::wording::{Shown, cut_to};
use crate::clock::Clock;
use crate::outbound::OutboundPolicy;

/// Characters of a body. An emoji is counted as two, as in the UTF-16 that SMS are sent in.
const MAX_BODY: usize = 1600;

/// The most recipients of a channel: each is a request of its own, and a try has to end in time.
const MAX_RECIPIENTS: usize = 50;

/// Letters and digits of an account's or a service's SID, after its two letters.
const SID_DIGITS: usize = 32;

/// Digits of a telephone number at most, and characters of a sender's name.
///
/// *Source:* ITU-T E.164; <https://www.twilio.com/docs/glossary/what-alphanumeric-sender-id>.
const MAX_NUMBER: usize = 15;
const MAX_NAME: usize = 11;

/// Where Twilio is, unless the channel says otherwise.
const API_URL: &str = "https://api.twilio.com";

const SERVICE: Service = Service { name: "Twilio", mend: "check the account, its token and the sender" };

/// Parameters of Twilio.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct TwilioParams {
    /// The account's SID: `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// The account's auth token.
    pub auth_token: Secret,
    /// The number (as `+15551230000`) or the name that sends; this or `messaging_service_sid`.
    pub from: Option<String>,
    /// The messaging service that picks a sender: `MG` and 32 hexadecimal digits.
    pub messaging_service_sid: Option<String>,
    /// The numbers of the recipients, as `+15551230001`.
    pub to: Vec<String>,
    /// Another place that speaks the API; `/2010-04-01/Accounts/…` is appended.
    pub api_url: Option<String>,
}

/// The kind of notifier that sends SMS.
#[derive(Debug, Clone)]
pub struct Twilio {
    outbound: OutboundPolicy,
    clock: Arc<dyn Clock>,
    progress: Progress,
}

impl Twilio {
    /// Twilio under this policy; the clock measures how long it asks to be left alone.
    #[must_use]
    pub fn new(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, clock, progress: Progress::default() }
    }
}

impl NotifierKind for Twilio {
    type Params = TwilioParams;

    fn name(&self) -> &'static str {
        "twilio"
    }

    fn description(&self) -> &'static str {
        "Sends SMS through Twilio."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["auth_token"]
    }

    fn build(&self, params: TwilioParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        check_sid("account_sid", "AC", &params.account_sid)?;
        check_recipients(&params.to)?;
        let sender = sender(params.from, params.messaging_service_sid)?;
        let token = params.auth_token.expose();
        if token.is_empty() {
            return Err(ParamsError::new("auth_token", "auth_token: must be given"));
        }
        let login = BASE64.encode(format!("{}:{token}", params.account_sid));
        let redaction = Redaction::default().with(token).with(&login);
        let login = secret_header("auth_token", AUTHORIZATION, &format!("Basic {login}"))?;
        let api = Endpoint::server("api_url", params.api_url.as_deref().unwrap_or(API_URL))?;
        Ok(Arc::new(TwilioNotifier {
            twilio: Caller::new(SERVICE, &self.outbound, &self.clock, redaction)?.headers(login),
            url: api.join(&["2010-04-01", "Accounts", &params.account_sid, "Messages.json"]),
            sender,
            to: params.to,
            progress: self.progress.clone(),
        }))
    }
}

fn check_sid(name: &str, letters: &str, sid: &str) -> Result<(), ParamsError> {
    let digits = sid.strip_prefix(letters).unwrap_or_default();
    if digits.len() == SID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(ParamsError::new(name, format!("{name}: must be '{letters}' and {SID_DIGITS} hexadecimal digits")))
}

fn check_recipients(to: &[String]) -> Result<(), ParamsError> {
    if to.is_empty() || to.len() > MAX_RECIPIENTS {
        return Err(ParamsError::new("to", format!("to: give 1 to {MAX_RECIPIENTS} numbers")));
    }
    match to.iter().position(|number| !is_number(number)) {
        None => Ok(()),
        Some(index) => {
            let detail = "to: a number begins with + and its country, as +15551230001, without spaces";
            Err(ParamsError { pointer: format!("/to/{index}"), detail: detail.to_owned() })
        }
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let fits = (2..=MAX_NUMBER).contains(&digits.len()) && !digits.starts_with('0');
    fits && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The field that names the sender, and its value.
fn sender(from: Option<String>, service: Option<String>) -> Result<(&'static str, String), ParamsError> {
    match (from, service) {
        (Some(from), None) if is_number(&from) || is_sender_name(&from) => Ok(("From", from)),
        (Some(_), None) => {
            let mend = "from: a number as +15551230000, or a name of at most 11 letters, digits and spaces";
            Err(ParamsError::new("from", mend))
        }
        (None, Some(sid)) => {
            check_sid("messaging_service_sid", "MG", &sid)?;
            Ok(("MessagingServiceSid", sid))
        }
        _ => Err(ParamsError::new("from", "from: give either from or messaging_service_sid")),
    }
}

/// A short code or a name.
fn is_sender_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
        && text.trim() == text
}

/// A channel of this kind.
#[derive(Debug)]
struct TwilioNotifier {
    twilio: Caller,
    url: Url,
    sender: (&'static str, String),
    to: Vec<String>,
    progress: Progress,
}

#[async_trait]
impl Notifier for TwilioNotifier {
    /// One SMS for each recipient. Who has it does not get it again when another one has to be tried again, and one
    /// who can't be reached keeps it from nobody else.
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let body = body(notification);
        let recipients: Vec<(String, &String)> = self.to.iter().map(|to| (to.clone(), to)).collect();
        let mut refused =
            self.progress.each(&notification.key, recipients, |to| self.send(to, &body)).await?;
        if refused.len() == self.to.len() {
            return Err(refused.swap_remove(0));
        }
        let taken = self.to.len() - refused.len();
        let without: String = refused.iter().map(|error| format!("; {error}")).collect();
        Ok(Receipt::new(format!("Twilio took it for {taken} of {}{without}", self.to.len())))
    }
}

impl TwilioNotifier {
    async fn send(&self, to: &str, body: &str) -> Result<(), NotifyError> {
        let (field, sender) = &self.sender;
        let form = [("To", to), (field, sender), ("Body", body)];
        judge(&self.twilio.post_form(self.url.clone(), &form).await?, to)
    }
}

/// The title and what stands below it, as long as an SMS may be.
fn body(notification: &Notification) -> String {
    let Shown { title, text } = Shown::of(notification);
    cut_to(&format!("{title}\n{text}"), MAX_BODY, char::len_utf16)
}

fn judge(answer: &Answer, to: &str) -> Result<(), NotifyError> {
    let message = answer.text_at("/message");
    let Some(code) = answer.at("/code").and_then(Value::as_u64) else {
        return answer.judge(message).map(|_| ());
    };
    let words = format!("{message} ({code})");
    match fault_of(code) {
        Some(NotifyFault::Retry) => Err(answer.retry(&words)),
        Some(NotifyFault::Channel) => Err(answer.channel(&words)),
        Some(NotifyFault::Message) => Err(answer.message(&format!("{to}: {words}"))),
        None => answer.judge(&words).map(|_| ()),
    }
}

/// What Twilio's own codes mean; the status code says less.
fn fault_of(code: u64) -> Option<NotifyFault> {
    match code {
        // Too many requests, the queue is full.
        14_107 | 20_429 | 21_611 | 30_001 => Some(NotifyFault::Retry),
        // Login, suspended account, a sender or a service that can't send.
        20_003 | 20_005 | 20_006 | 20_404 | 21_212 | 21_603 | 21_606 | 21_659 | 21_660 | 21_701 | 21_703
        | 21_704 | 21_705 | 30_002 => Some(NotifyFault::Channel),
        // This recipient: no number, not allowed, not verified, unsubscribed, unreachable, no mobile.
        21_211 | 21_214 | 21_217 | 21_265 | 21_408 | 21_604 | 21_608 | 21_610 | 21_612 | 21_614 => {
            Some(NotifyFault::Message)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::Timestamp;
    use vilicus_core::notification::Words;

    #[test]
    fn an_emoji_counts_twice() {
        let mut notification = Notification::test("k", Timestamp::EPOCH);
        notification.items[0].output = "😀".repeat(3000);
        let units = body(&notification).encode_utf16().count();
        assert!((MAX_BODY - 1..=MAX_BODY).contains(&units), "{units}");
    }

    #[test]
    fn the_title_stands_once() {
        let mut notification = Notification::test("k", Timestamp::EPOCH);
        assert_eq!(body(&notification).matches("[TEST]").count(), 1);
        notification.words = Some(Words { title: Some("t".to_owned()), text: Some("x".to_owned()) });
        assert_eq!(body(&notification), "t\nx");
    }

    #[test]
    fn numbers_and_names_are_checked() {
        for (text, number, name) in [
            ("+15551230001", true, false),
            ("+0123", false, false),
            ("+1", false, false),
            ("+1555 123", false, false),
            ("+1234567890123456", false, false),
            ("15551", false, true),
            ("Vilicus Ops", false, true),
            ("a name too long", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_number(text), is_sender_name(text)), (number, name), "{text}");
        }
    }
}
