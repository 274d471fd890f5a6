//! Posts a message as JSON to a URL, signed as Standard Webhooks asks.
//!
//! *Sources:* <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md> for the
//! headers and the signature; RFC 9110, section 15 for the status codes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::Sha256;
use url::Url;
use vilicus_core::{
    Metric, Notification, NotificationEvent, NotificationItem, Notifier, NotifierKind, NotifyError,
    ParamsError, Receipt, StateType, Status, Timestamp, async_trait,
};

use super::Secret;
use super::retry_after::retry_after;
use super::template::{Format, Template};
use crate::clock::Clock;
use crate::outbound::{OutboundPolicy, unanswered};

/// The version of the body; a change that breaks readers raises it.
const VERSION: u32 = 1;

/// The prefix of a secret that is given as Base64.
const ENCODED_SECRET: &str = "whsec_";

/// Headers that a channel can't set: they are the connection's own, or ours.
const RESERVED: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// The most headers that a channel may set.
const MAX_HEADERS: usize = 50;

/// The type of a body, unless the channel says otherwise.
const JSON: &str = "application/json";

/// Parameters of a webhook.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct WebhookParams {
    /// Where to post, `http` or `https`.
    pub url: String,
    /// `POST` unless given.
    #[serde(default)]
    pub method: WebhookMethod,
    /// A template for a body of one's own, as `{"text": {{ title }}}`.
    pub body: Option<String>,
    /// The type of that body; `application/json` unless given, and then the body has to be JSON.
    pub content_type: Option<String>,
    /// Signs each request: `whsec_` and Base64, or any other text, whose bytes are the key.
    pub secret: Option<Secret>,
    /// More headers, as `Authorization`.
    #[serde(default, deserialize_with = "read_headers")]
    pub headers: BTreeMap<String, Secret>,
}

/// How a webhook is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum WebhookMethod {
    /// The usual way.
    #[default]
    Post,
    /// For places that take what they are told as their new state.
    Put,
}

impl From<WebhookMethod> for Method {
    fn from(method: WebhookMethod) -> Self {
        match method {
            WebhookMethod::Post => Self::POST,
            WebhookMethod::Put => Self::PUT,
        }
    }
}

/// Reads the headers; serde's own message would quote a text that was given in their place.
pub(super) fn read_headers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Secret>, D::Error> {
    BTreeMap::deserialize(deserializer)
        .map_err(|_| serde::de::Error::custom("must be an object of names and texts"))
}

/// The kind of notifier that posts to a URL.
#[derive(Debug, Clone)]
pub struct Webhook {
    outbound: OutboundPolicy,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// Webhooks under this policy; signatures carry the time that the clock tells.
    #[must_use]
    pub fn new(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, clock }
    }
}

impl NotifierKind for Webhook {
    type Params = WebhookParams;

    fn name(&self) -> &'static str {
        "webhook"
    }

    fn description(&self) -> &'static str {
        "Posts JSON to a URL, signed as Standard Webhooks asks."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["secret", "headers"]
    }

    fn build(&self, params: WebhookParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        let content_type = parse_content_type(&params)?;
        Ok(Arc::new(WebhookNotifier {
            method: params.method.into(),
            body: params.body.as_deref().map(|body| parse_body(body, &content_type)).transpose()?,
            content_type,
            client: self.outbound.http_client().map_err(|error| ParamsError::new("", error.to_string()))?,
            url: parse_url(&params.url)?,
            key: params.secret.as_ref().map(parse_key).transpose()?,
            headers: parse_headers(&params.headers)?,
            kind: self.clone(),
        }))
    }
}

fn parse_url(text: &str) -> Result<Url, ParamsError> {
    let wrong = |detail: String| ParamsError::new("url", detail);
    let url = Url::parse(text).map_err(|error| wrong(format!("not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("the URL must begin with http:// or https://".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "a login in the URL could be read by others; send it as the header Authorization".to_owned(),
        ));
    }
    Ok(url)
}

fn parse_content_type(params: &WebhookParams) -> Result<HeaderValue, ParamsError> {
    let wrong = |detail| ParamsError::new("content_type", format!("content_type: {detail}"));
    let Some(text) = &params.content_type else { return Ok(HeaderValue::from_static(JSON)) };
    if params.body.is_none() {
        return Err(wrong("belongs to a body of one's own; give body too, or leave it out"));
    }
    let fits = |c: char| c.is_ascii_graphic() || c == ' ';
    if !text.contains('/') || !text.chars().all(fits) {
        return Err(wrong("must be a media type, as text/plain; charset=utf-8"));
    }
    HeaderValue::from_str(text).map_err(|_| wrong("can't be sent as a header"))
}

fn parse_body(source: &str, content_type: &HeaderValue) -> Result<Template, ParamsError> {
    let format = if is_json(content_type) { Format::Json } else { Format::Text };
    Template::parse("body", source, format)
}

/// Whether this is JSON, or a format made of it, as `application/problem+json`.
fn is_json(content_type: &HeaderValue) -> bool {
    let text = content_type.to_str().unwrap_or_default().to_ascii_lowercase();
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.ends_with("/json") || essence.ends_with("+json")
}

fn parse_key(secret: &Secret) -> Result<SigningKey, ParamsError> {
    let wrong = |detail| ParamsError::new("secret", detail);
    let bytes = match secret.expose().strip_prefix(ENCODED_SECRET) {
        Some(encoded) => {
            BASE64.decode(encoded).map_err(|_| wrong("what follows 'whsec_' must be Base64 with padding"))?
        }
        None => secret.expose().as_bytes().to_vec(),
    };
    if bytes.is_empty() {
        return Err(wrong("the secret is empty; leave it out for requests without a signature"));
    }
    Hmac::new_from_slice(&bytes).map(SigningKey).map_err(|_| wrong("the secret can't be used as a key"))
}

pub(super) fn parse_headers(params: &BTreeMap<String, Secret>) -> Result<HeaderMap, ParamsError> {
    if params.len() > MAX_HEADERS {
        return Err(ParamsError::new("headers", format!("at most {MAX_HEADERS} headers can be set")));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in params {
        let (name, value) = parse_header(name, value.expose())?;
        if headers.insert(&name, value).is_some() {
            return Err(wrong_header(name.as_str(), "is given twice"));
        }
    }
    Ok(headers)
}

fn parse_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), ParamsError> {
    let parsed =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong_header(name, "is not a header's name"))?;
    let ours = parsed.as_str().starts_with("webhook-") || parsed.as_str().starts_with("proxy-");
    if ours || RESERVED.contains(&parsed.as_str()) {
        return Err(wrong_header(name, "can't be set, it belongs to the request itself"));
    }
    // A header can carry any byte but control characters; a tab is one too.
    if value.chars().any(char::is_control) {
        return Err(wrong_header(name, "has a control character in its value"));
    }
    let mut value = HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| wrong_header(name, "has a value that no header can carry"))?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

fn wrong_header(name: &str, problem: &str) -> ParamsError {
    let shown: String = name.chars().take(100).filter(|c| !c.is_control()).collect();
    ParamsError::new("headers", format!("the header '{shown}' {problem}"))
}

/// A channel of this kind.
#[derive(Debug)]
struct WebhookNotifier {
    client: reqwest::Client,
    method: Method,
    url: Url,
    body: Option<Template>,
    content_type: HeaderValue,
    key: Option<SigningKey>,
    headers: HeaderMap,
    kind: Webhook,
}

#[async_trait]
impl Notifier for WebhookNotifier {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        self.kind
            .outbound
            .judge_url(&self.url)
            .map_err(|refusal| NotifyError::channel(refusal.to_string()))?;
        let body = self.body(notification)?;
        let request = self
            .client
            .request(self.method.clone(), self.url.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, self.content_type.clone())
            .headers(signed_headers(self.key.as_ref(), &notification.key, self.kind.clock.now(), &body)?)
            .body(body);
        // The answer's body is not read: it is nobody's business here, and may have no end.
        let answer = request.send().await.map_err(|error| unanswered("the webhook", &error))?;
        judge_answer(answer.status(), answer.headers(), self.kind.clock.now())
    }
}

impl WebhookNotifier {
    fn body(&self, notification: &Notification) -> Result<Vec<u8>, NotifyError> {
        match &self.body {
            None => body(notification),
            Some(template) => match template.render(notification) {
                Ok(body) => Ok(body.into_bytes()),
                Err(error) => Err(NotifyError::message(error.detail)),
            },
        }
    }
}

fn judge_answer(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Result<Receipt, NotifyError> {
    let said = format!("the webhook answered {}", status.as_u16());
    if status.is_success() {
        return Ok(Receipt::new(said));
    }
    let error = match status.as_u16() {
        408 | 425 | 429 | 500..=599 => NotifyError::retry(said),
        300..=399 => NotifyError::channel(format!("{said}; redirects are not followed, set the final URL")),
        401 | 403 => NotifyError::channel(format!("{said}; check the secret and the headers")),
        404 | 410 => NotifyError::channel(format!("{said}; check the URL")),
        _ => NotifyError::message(said),
    };
    Err(match (status.as_u16(), retry_after(headers, now)) {
        (429 | 503, Some(span)) => error.after(span),
        _ => error,
    })
}

/// The headers that identify and sign a request.
fn signed_headers(
    key: Option<&SigningKey>,
    id: &str,
    now: Timestamp,
    body: &[u8],
) -> Result<HeaderMap, NotifyError> {
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| NotifyError::message("its key can't be sent as a header"))
    };
    let seconds = (now.as_millis() / 1000).to_string();
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", value(id)?);
    headers.insert("idempotency-key", value(id)?);
    headers.insert("webhook-timestamp", value(&seconds)?);
    if let Some(key) = key {
        headers.insert("webhook-signature", value(&key.sign(id, &seconds, body))?);
    }
    Ok(headers)
}

/// The key that signs.
struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// `v1,` and the Base64 of HMAC-SHA256 over `id.timestamp.body`.
    fn sign(&self, id: &str, seconds: &str, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a webhook receives. The first item's fields stand on top, for readers that want only one thing.
#[derive(Serialize)]
struct Body<'a> {
    version: u32,
    #[serde(flatten)]
    first: Item<'a>,
    url: Option<&'a str>,
    items: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    more: u64,
}

#[derive(Serialize)]
struct Item<'a> {
    event: NotificationEvent,
    agent: &'a str,
    check: &'a str,
    status: Status,
    previous_status: Option<Status>,
    state_type: StateType,
    since: Timestamp,
    at: Timestamp,
    /// When the trouble began that this ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem_since: Option<Timestamp>,
    output: &'a str,
    metrics: &'a [Metric],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(more: &u64) -> bool {
    *more == 0
}

/// The usual body.
pub(super) fn body(notification: &Notification) -> Result<Vec<u8>, NotifyError> {
    let items: Vec<Item<'_>> = notification.items.iter().map(item).collect();
    let Some(first) = notification.items.first().map(item) else {
        return Err(NotifyError::message("the message tells nothing"));
    };
    let body =
        Body { version: VERSION, first, url: notification.url.as_deref(), items, more: notification.more };
    serde_json::to_vec(&body)
        .map_err(|error| NotifyError::message("the message has no JSON form").source(error))
}

fn item(item: &NotificationItem) -> Item<'_> {
    Item {
        event: item.event,
        agent: &item.agent,
        check: &item.check,
        status: item.status,
        previous_status: item.previous_status,
        state_type: item.state_type,
        since: item.since,
        at: item.at,
        problem_since: item.problem_since.filter(|_| item.event.is_end()),
        output: &item.output,
        metrics: &item.metrics,
        late: item.late,
    }
}
