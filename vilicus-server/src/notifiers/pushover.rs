//! Sends a message to phones through Pushover.
//!
//! *Source for every limit and rule:* <https://pushover.net/api> and <https://pushover.net/api/receipts>.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use vilicus_core::notifier::{NotifyFault, Progress as Standing};
use vilicus_core::{
    Millis, Notification, NotificationEvent, NotificationItem, Notifier, NotifierKind, NotifyError,
    ParamsError, Receipt, Status, Timestamp, async_trait,
};

use super::Secret;
use super::progress::Progress;
use super::retry_after::{retry_after, until};
use super::seconds::Seconds;
use super::wording::{cut, foreign, printable};
use crate::clock::Clock;
use crate::outbound::{OutboundPolicy, unanswered};

/// Characters of a title, a message and a link.
const MAX_TITLE: usize = 250;
const MAX_MESSAGE: usize = 1024;
const MAX_URL: usize = 512;

/// The seconds between two rings of an emergency: at least 30.
const MIN_RETRY: u64 = 30;
const DEFAULT_RETRY: u64 = 60;

/// The seconds after which an emergency stops to ring: at most three hours.
const MAX_EXPIRE: u64 = 10_800;
const DEFAULT_EXPIRE: u64 = 3600;

/// The most of an answer that is read, in bytes; a real one has some 200.
const MAX_ANSWER: usize = 16 * 1024;

/// Where Pushover is, unless the channel says otherwise.
const API_URL: &str = "https://api.pushover.net";

/// The longest that silencing may take, so that enough time is left for the message.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);

/// The part of a message that is the message, beside the emergencies that it silences.
const TOLD: &str = "told";

/// Parameters of Pushover.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct PushoverParams {
    /// The application's token.
    pub token: Secret,
    /// The key of the user or group.
    pub user: Secret,
    /// One of the user's devices, or several joined with commas; all unless given.
    pub device: Option<String>,
    /// From which status on a problem rings until someone acknowledges it; never unless given.
    pub emergency_on: Option<EmergencyOn>,
    /// The time between two rings of an emergency: 60 s unless given, at least 30 s.
    pub retry: Option<Seconds>,
    /// The time after which an emergency stops to ring: 1 h unless given, at most 3 h.
    pub expire: Option<Seconds>,
    /// Another place that speaks Pushover's API; `/1/messages.json` is appended.
    pub api_url: Option<String>,
}

/// From which status on a problem is an emergency, in the order of badness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EmergencyOn {
    /// Any problem.
    Warning,
    /// UNKNOWN, CRITICAL and silent agents.
    Unknown,
    /// CRITICAL and silent agents.
    Critical,
    /// Only silent agents.
    Down,
}

/// The kind of notifier that speaks with Pushover.
#[derive(Debug, Clone)]
pub struct Pushover {
    outbound: OutboundPolicy,
    clock: Arc<dyn Clock>,
    progress: Progress,
}

impl Pushover {
    /// Pushover under this policy; the clock measures how long it asks to be left alone.
    #[must_use]
    pub fn new(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, clock, progress: Progress::default() }
    }
}

impl NotifierKind for Pushover {
    type Params = PushoverParams;

    fn name(&self) -> &'static str {
        "pushover"
    }

    fn description(&self) -> &'static str {
        "Sends push messages to phones through Pushover."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["token", "user"]
    }

    fn build(&self, params: PushoverParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        check_word("token", params.token.expose())?;
        check_word("user", params.user.expose())?;
        check_word("device", params.device.as_deref().unwrap_or("all"))?;
        let retry = params.retry.map_or(DEFAULT_RETRY, Seconds::get);
        if retry < MIN_RETRY {
            return Err(ParamsError::new("retry", "an emergency rings at most every 30s"));
        }
        let expire = params.expire.map_or(DEFAULT_EXPIRE, Seconds::get);
        if !(1..=MAX_EXPIRE).contains(&expire) {
            return Err(ParamsError::new("expire", "an emergency rings for at most 3h (10800s)"));
        }
        Ok(Arc::new(PushoverNotifier {
            client: self.outbound.http_client().map_err(|error| ParamsError::new("", error.to_string()))?,
            api: parse_api_url(params.api_url.as_deref().unwrap_or(API_URL))?,
            token: params.token,
            user: params.user,
            device: params.device,
            emergency_on: params.emergency_on,
            retry,
            expire,
            kind: self.clone(),
        }))
    }
}

/// Tokens, keys and device names are words; full-matched, so that a slip of the clipboard is found at once.
fn check_word(name: &str, text: &str) -> Result<(), ParamsError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ',');
    if !text.is_empty() && text.len() <= 255 && text.chars().all(fits) {
        return Ok(());
    }
    Err(ParamsError::new(name, format!("{name}: only letters, digits, '_' and '-' are possible")))
}

fn parse_api_url(text: &str) -> Result<Url, ParamsError> {
    let wrong = |detail: &str| ParamsError::new("api_url", format!("api_url: {detail}"));
    let mut url = Url::parse(text).map_err(|_| wrong("not a URL"))?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || !plain || url.fragment().is_some() {
        return Err(wrong("must be http or https, without login, query and fragment"));
    }
    // Whoever copies the address from Pushover's own page gives the whole path; it means the same.
    let path = url.path().trim_end_matches('/');
    let base = path.strip_suffix("/messages.json").unwrap_or(path);
    let base = base.strip_suffix("/1").unwrap_or(base).to_owned();
    url.set_path(&base);
    Ok(url)
}

/// A channel of this kind.
#[derive(Debug)]
struct PushoverNotifier {
    client: reqwest::Client,
    api: Url,
    token: Secret,
    user: Secret,
    device: Option<String>,
    emergency_on: Option<EmergencyOn>,
    retry: u64,
    expire: u64,
    kind: Pushover,
}

#[async_trait]
impl Notifier for PushoverNotifier {
    /// Silences first: that can be repeated without harm, the message can't. Neither keeps the other from being
    /// done, and what is done is not done again when the rest is tried again.
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        self.judge_api()?;
        let in_time = tokio::time::timeout(SILENCE_TIMEOUT, self.silence(notification)).await;
        let silenced = in_time.unwrap_or_else(|_| {
            Err(NotifyError::retry("an emergency still rings: Pushover did not answer in time"))
        });
        let receipt = self.tell(notification).await?;
        silenced?;
        self.kind.progress.forget(&notification.key);
        Ok(receipt)
    }

    async fn progress(&self, receipt: &Receipt) -> Result<Standing, NotifyError> {
        match receipt.reference.as_deref().filter(|reference| is_receipt(reference)) {
            Some(reference) => self.poll(reference).await,
            None => Ok(Standing::Settled),
        }
    }
}

impl PushoverNotifier {
    /// Cancels the emergencies that this message ends; the first that has to be tried again is the error.
    async fn silence(&self, notification: &Notification) -> Result<(), NotifyError> {
        let mut failed = None;
        for receipt in ended_emergencies(notification) {
            if self.kind.progress.is_done(&notification.key, receipt) {
                continue;
            }
            match self.cancel(receipt).await {
                Ok(()) => self.kind.progress.done(&notification.key, receipt),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn cancel(&self, receipt: &str) -> Result<(), NotifyError> {
        let path = format!("1/receipts/{receipt}/cancel.json");
        let answer = self.post(&path, &[("token", self.token.expose())]).await?;
        match answer.judge() {
            Ok(_) => Ok(()),
            Err(error) if error.fault() == NotifyFault::Retry => Err(still_rings(&error)),
            // It expired, was cancelled before, or belongs to an older token: nothing is left to silence.
            Err(_) => Ok(()),
        }
    }

    async fn tell(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        if self.kind.progress.is_done(&notification.key, TOLD) {
            return Ok(Receipt::new("taken at an earlier try"));
        }
        let answer = self.post("1/messages.json", &self.message(notification)).await?;
        let receipt = answer.judge()?;
        self.kind.progress.done(&notification.key, TOLD);
        Ok(receipt)
    }

    /// The fields of the request, as Pushover names them.
    fn message(&self, notification: &Notification) -> Vec<(&'static str, String)> {
        let title = notification.title();
        let mut fields = vec![
            ("token", self.token.expose().to_owned()),
            ("user", self.user.expose().to_owned()),
            ("title", cut(&title, MAX_TITLE)),
            ("message", message_text(notification, &title)),
            ("timestamp", timestamp(notification).to_string()),
        ];
        if let Some(device) = &self.device {
            fields.push(("device", device.clone()));
        }
        // A link that was cut leads nowhere; without it the message is still true.
        if let Some(url) = notification.url.as_ref().filter(|url| url.chars().count() <= MAX_URL) {
            fields.push(("url", url.clone()));
        }
        let priority =
            notification.items.iter().map(|item| self.priority(item)).max().unwrap_or(Priority::Normal);
        fields.push(("priority", (priority as i8).to_string()));
        if priority == Priority::Emergency {
            fields.push(("retry", self.retry.to_string()));
            fields.push(("expire", self.expire.to_string()));
        }
        fields
    }

    fn priority(&self, item: &NotificationItem) -> Priority {
        let severity = match item.event {
            NotificationEvent::AgentDown => EmergencyOn::Down,
            NotificationEvent::Problem => match item.status {
                Status::Critical => EmergencyOn::Critical,
                Status::Unknown => EmergencyOn::Unknown,
                Status::Warning => EmergencyOn::Warning,
                Status::Ok => return Priority::Normal,
            },
            NotificationEvent::Acknowledgement | NotificationEvent::Downtime => return Priority::Quiet,
            _ => return Priority::Normal,
        };
        match self.emergency_on {
            Some(least) if severity >= least => Priority::Emergency,
            _ if severity >= EmergencyOn::Critical => Priority::High,
            _ => Priority::Normal,
        }
    }

    /// Asks whether someone has acknowledged the emergency with this receipt.
    async fn poll(&self, receipt: &str) -> Result<Standing, NotifyError> {
        self.judge_api()?;
        let mut url = self.place(&format!("1/receipts/{receipt}.json"));
        url.query_pairs_mut().append_pair("token", self.token.expose());
        let answer = self.exchange(self.client.get(url)).await?;
        match answer.judge() {
            Ok(_) => Ok(answer.standing()),
            Err(error) if error.fault() == NotifyFault::Retry || answer.concerns_channel() => Err(error),
            // Pushover forgets receipts after a week, and knows none of another application.
            Err(_) => Ok(Standing::Settled),
        }
    }

    async fn post<F: serde::Serialize + ?Sized>(
        &self,
        path: &str,
        fields: &F,
    ) -> Result<Answer, NotifyError> {
        self.exchange(self.client.post(self.place(path)).form(fields)).await
    }

    fn judge_api(&self) -> Result<(), NotifyError> {
        let judged = self.kind.outbound.judge_url(&self.api);
        judged.map_err(|refusal| NotifyError::channel(refusal.to_string()))
    }

    fn place(&self, path: &str) -> Url {
        let mut url = self.api.clone();
        url.set_path(&format!("{}/{path}", self.api.path().trim_end_matches('/')));
        url
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Answer, NotifyError> {
        let sent = request.send().await;
        let mut response = sent.map_err(|error| unanswered("Pushover", &error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unanswered("Pushover", &error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(NotifyError::retry("Pushover's answer has no end"));
            }
            body.extend_from_slice(&chunk);
        }
        let secrets = [self.token.clone(), self.user.clone()];
        Ok(Answer::new(response.status(), response.headers(), &body, secrets, self.kind.clock.now()))
    }
}

/// How loud a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Priority {
    Quiet = -1,
    Normal = 0,
    High = 1,
    Emergency = 2,
}

/// The receipts of the emergencies that nobody has to be rung for any more; none while one thing is still a problem.
fn ended_emergencies(notification: &Notification) -> BTreeSet<&str> {
    let over =
        |item: &NotificationItem| item.event.is_end() || item.event == NotificationEvent::Acknowledgement;
    if !notification.items.iter().all(over) {
        return BTreeSet::new();
    }
    let receipts = notification.earlier.iter().filter_map(|earlier| earlier.receipt.reference.as_deref());
    receipts.filter(|receipt| is_receipt(receipt)).collect()
}

fn still_rings(error: &NotifyError) -> NotifyError {
    let still = NotifyError::retry(format!("an emergency still rings: {error}"));
    match error.retry_after() {
        Some(span) => still.after(span),
        None => still,
    }
}

/// A receipt becomes part of a path: only letters and digits are.
fn is_receipt(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

fn message_text(notification: &Notification, title: &str) -> String {
    let text = notification.text();
    // The title stands above the message already.
    let body = text.strip_prefix(title).unwrap_or(&text);
    let body = printable(body);
    match body.trim() {
        "" => cut(title, MAX_MESSAGE),
        body => cut(body, MAX_MESSAGE),
    }
}

/// When it happened, in seconds since 1970.
fn timestamp(notification: &Notification) -> i64 {
    let at = notification.items.first().map_or(Timestamp::EPOCH, |item| item.at);
    at.as_millis().max(0) / 1000
}

/// What Pushover said.
struct Answer {
    status: StatusCode,
    json: Option<Value>,
    wait: Option<Millis>,
    secrets: [Secret; 2],
}

impl Answer {
    fn new(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        secrets: [Secret; 2],
        now: Timestamp,
    ) -> Self {
        let wait = retry_after(headers, now).or_else(|| until(headers, "x-limit-app-reset", now));
        Self { status, json: serde_json::from_slice(body).ok(), wait, secrets }
    }

    fn judge(&self) -> Result<Receipt, NotifyError> {
        let code = self.status.as_u16();
        let said = format!("Pushover answered {code}{}", self.errors());
        let error = match code {
            200..=299 if self.field("status").and_then(Value::as_i64) == Some(1) => return Ok(self.receipt()),
            // Some proxy or portal answered in its place.
            200..=399 => NotifyError::retry(format!("{said}, but not as Pushover does")),
            408 | 425 | 429 | 500..=599 => NotifyError::retry(said),
            401 | 403 | 404 => NotifyError::channel(said),
            _ if self.concerns_channel() => NotifyError::channel(said),
            _ => NotifyError::message(said),
        };
        Err(match self.wait {
            Some(span) if matches!(code, 429 | 503) => error.after(span),
            _ => error,
        })
    }

    fn receipt(&self) -> Receipt {
        let request = self.field("request").and_then(Value::as_str).map(foreign).unwrap_or_default();
        let receipt = Receipt::new(format!("taken as {}", self.redacted(&request)));
        match self.field("receipt").and_then(Value::as_str).filter(|text| is_receipt(text)) {
            // Only emergencies have one: they ring until someone acknowledges them.
            Some(reference) => receipt.reference(reference).open(),
            None => receipt,
        }
    }

    /// Where an emergency stands. The user's key, which is there too, is nobody's business.
    fn standing(&self) -> Standing {
        let is_set = |name| self.field(name).and_then(Value::as_i64) == Some(1);
        if is_set("acknowledged") {
            let device = self.field("acknowledged_by_device").and_then(Value::as_str).unwrap_or_default();
            let by = match foreign(&self.redacted(device)) {
                device if device.is_empty() => "Pushover".to_owned(),
                device => device,
            };
            return Standing::Acknowledged { by };
        }
        if is_set("expired") { Standing::Settled } else { Standing::Open }
    }

    /// Whether no message would pass: the token, the user or the device is the fault.
    fn concerns_channel(&self) -> bool {
        ["token", "user", "device"].into_iter().any(|name| self.field(name).is_some())
    }

    /// The reasons that Pushover gives, after a colon; empty when it gives none.
    fn errors(&self) -> String {
        let errors = self.field("errors").and_then(Value::as_array);
        let words: Vec<&str> = errors.into_iter().flatten().filter_map(Value::as_str).collect();
        if words.is_empty() {
            String::new()
        } else {
            format!(": {}", self.redacted(&foreign(&words.join("; "))))
        }
    }

    /// Whoever answers in Pushover's place may repeat what it was sent.
    fn redacted(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.expose(), "***"))
    }

    fn field(&self, name: &str) -> Option<&Value> {
        self.json.as_ref()?.get(name)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}
