//! Creates, acknowledges and closes alerts of Opsgenie, one for each check.
//!
//! Jira Service Management speaks the same API at `https://api.atlassian.com/jsm/ops/integration`.
//!
//! *Sources for every limit and rule:* <https://docs.opsgenie.com/docs/alert-api>,
//! <https://docs.opsgenie.com/docs/alert-api-continued> and <https://docs.opsgenie.com/docs/response>.

use std::sync::Arc;

use http::Method;
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use vilicus_core::{
    Notification, NotificationEvent, NotificationItem, Notifier, NotifierKind, NotifyError, ParamsError,
    Receipt, Status, async_trait,
};

use super::Secret;
use super::answer::Answer;
use super::endpoint::{Endpoint, secret_header};
use super::lifecycle::{Step, details, summary};
use super::progress::Progress;
use super::redaction::Redaction;
use super::service::{Caller, Service};
use super::wording::cut;
use crate::clock::Clock;
use crate::outbound::OutboundPolicy;

/// Characters of a message, a description and a tag; tags of an alert.
const MAX_MESSAGE: usize = 130;
const MAX_DESCRIPTION: usize = 15_000;
const MAX_TAG: usize = 50;
const MAX_TAGS: usize = 20;

/// Characters of the entity, which is the agent here.
const MAX_ENTITY: usize = 512;

/// Where Opsgenie is, unless the channel says otherwise.
const API_URL: &str = "https://api.opsgenie.com";

const SERVICE: Service = Service { name: "Opsgenie", mend: "check the API key and its rights" };

/// Parameters of Opsgenie.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct OpsgenieParams {
    /// The key of an API integration; it may create and close alerts.
    pub api_key: Secret,
    /// Another place that speaks the API, as `https://api.eu.opsgenie.com`; `/v2/alerts` is appended.
    pub api_url: Option<String>,
}

/// The kind of notifier that speaks with Opsgenie.
#[derive(Debug, Clone)]
pub struct Opsgenie {
    outbound: OutboundPolicy,
    clock: Arc<dyn Clock>,
    progress: Progress,
}

impl Opsgenie {
    /// Opsgenie under this policy; the clock measures how long it asks to be left alone.
    #[must_use]
    pub fn new(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, clock, progress: Progress::default() }
    }
}

impl NotifierKind for Opsgenie {
    type Params = OpsgenieParams;

    fn name(&self) -> &'static str {
        "opsgenie"
    }

    fn description(&self) -> &'static str {
        "Creates, acknowledges and closes alerts of Opsgenie."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["api_key"]
    }

    fn build(&self, params: OpsgenieParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        let key = params.api_key.expose();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(ParamsError::new("api_key", "api_key: must be given, without spaces"));
        }
        let login = secret_header("api_key", AUTHORIZATION, &format!("GenieKey {key}"))?;
        let redaction = Redaction::default().with(key);
        Ok(Arc::new(OpsgenieNotifier {
            opsgenie: Caller::new(SERVICE, &self.outbound, &self.clock, redaction)?.headers(login),
            api: Endpoint::server("api_url", params.api_url.as_deref().unwrap_or(API_URL))?,
            progress: self.progress.clone(),
        }))
    }
}

/// A channel of this kind.
#[derive(Debug)]
struct OpsgenieNotifier {
    opsgenie: Caller,
    api: Endpoint,
    progress: Progress,
}

#[async_trait]
impl Notifier for OpsgenieNotifier {
    /// A few requests for each item. What Opsgenie has is not sent again when another one has to be.
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let requests = self.requests(notification);
        if requests.is_empty() {
            return Ok(Receipt::new("Opsgenie has no word for this; nothing was sent"));
        }
        let count = requests.len();
        let refused = self.progress.each(&notification.key, requests, |request| self.send(request)).await?;
        match refused.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(Receipt::new(format!("Opsgenie took {count} of {count} requests"))),
        }
    }
}

/// One request about one alert.
#[derive(Debug)]
struct Request {
    method: Method,
    url: Url,
    body: Value,
    /// Whether it is about an alert that may be gone by now, which is then no fault.
    about_existing: bool,
}

impl OpsgenieNotifier {
    async fn send(&self, request: Request) -> Result<(), NotifyError> {
        let answer = self.opsgenie.send(request.method, request.url, &request.body).await?;
        if answer.code() == 404 && request.about_existing { Ok(()) } else { judge(&answer) }
    }

    /// The requests of a message, each with a name that is its own within the message.
    fn requests(&self, notification: &Notification) -> Vec<(String, Request)> {
        let mut requests = Vec::new();
        for (index, item) in notification.items.iter().enumerate() {
            let mut add =
                |name: &str, request| requests.push((format!("{index} {name} {}", item.subject), request));
            match Step::of(notification, item) {
                Step::Open => {
                    add("create", self.create(notification, item));
                    if is_changed(item) {
                        // The same alias again only counts; the new state has to be told.
                        add("priority", self.change("priority", item, json!({"priority": priority(item)})));
                        add(
                            "message",
                            self.change("message", item, json!({"message": message(notification, item)})),
                        );
                    }
                }
                Step::Acknowledge => add("acknowledge", self.end("acknowledge", notification, item)),
                Step::Close => add("close", self.end("close", notification, item)),
                Step::Try => {
                    add("create", self.create(notification, item));
                    add("close", self.end("close", notification, item));
                }
                Step::Nothing => {}
            }
        }
        requests
    }

    fn create(&self, notification: &Notification, item: &NotificationItem) -> Request {
        let body = json!({
            "message": message(notification, item),
            "alias": item.subject,
            "description": cut(&description(notification, item), MAX_DESCRIPTION),
            "tags": tags(item),
            "entity": cut(&item.agent, MAX_ENTITY),
            "source": "vilicus",
            "priority": priority(item),
        });
        Request { method: Method::POST, url: self.api.join(&["v2", "alerts"]), body, about_existing: false }
    }

    fn change(&self, what: &str, item: &NotificationItem, body: Value) -> Request {
        Request { method: Method::PUT, url: self.alert(item, what), body, about_existing: true }
    }

    fn end(&self, what: &str, notification: &Notification, item: &NotificationItem) -> Request {
        let body = json!({"source": "vilicus", "note": cut(&summary(notification, item), MAX_DESCRIPTION)});
        Request { method: Method::POST, url: self.alert(item, what), body, about_existing: true }
    }

    fn alert(&self, item: &NotificationItem, what: &str) -> Url {
        let mut url = self.api.join(&["v2", "alerts", &item.subject, what]);
        url.set_query(Some("identifierType=alias"));
        url
    }
}

/// Whether it tells another state of a problem that was told before.
fn is_changed(item: &NotificationItem) -> bool {
    item.previous_status.is_some_and(|previous| previous.is_problem() && previous != item.status)
}

fn message(notification: &Notification, item: &NotificationItem) -> String {
    cut(&summary(notification, item), MAX_MESSAGE)
}

/// The output and where to look; the message may hold only the beginning of it.
fn description(notification: &Notification, item: &NotificationItem) -> String {
    let mut text = details(notification, item);
    let links = [("Runbook: ", &item.runbook_url), ("", &notification.url)];
    for (name, url) in links.into_iter().filter_map(|(name, url)| Some((name, url.as_ref()?))) {
        text.push_str(&format!("\n{name}{url}"));
    }
    text
}

fn tags(item: &NotificationItem) -> Vec<String> {
    item.tags.iter().take(MAX_TAGS).map(|tag| cut(tag, MAX_TAG)).collect()
}

fn priority(item: &NotificationItem) -> &'static str {
    match item.status {
        _ if item.event == NotificationEvent::AgentDown => "P1",
        Status::Critical => "P1",
        Status::Unknown => "P2",
        Status::Warning => "P3",
        Status::Ok => "P5",
    }
}

fn judge(answer: &Answer) -> Result<(), NotifyError> {
    let words = answer.text_at("/message");
    match answer.code() {
        // 'Key format is not valid!'
        422 if words.to_ascii_lowercase().contains("key") => Err(answer.channel(words)),
        _ => answer.judge(words).map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::Timestamp;

    #[test]
    fn each_status_has_its_priority() {
        for (event, status, expected) in [
            (NotificationEvent::Problem, Status::Critical, "P1"),
            (NotificationEvent::Problem, Status::Unknown, "P2"),
            (NotificationEvent::Problem, Status::Warning, "P3"),
            (NotificationEvent::AgentDown, Status::Unknown, "P1"),
            (NotificationEvent::Test, Status::Ok, "P5"),
        ] {
            let mut notification = Notification::test("k", Timestamp::EPOCH);
            (notification.items[0].event, notification.items[0].status) = (event, status);
            assert_eq!(priority(&notification.items[0]), expected, "{event:?} {status}");
        }
    }

    #[test]
    fn long_texts_keep_to_the_limits() {
        let mut notification = Notification::test("k", Timestamp::EPOCH);
        notification.items[0].output = "😀".repeat(40_000);
        notification.items[0].tags = vec!["x".repeat(60); 30];
        let item = &notification.items[0];
        assert_eq!(message(&notification, item).chars().count(), MAX_MESSAGE);
        assert_eq!((tags(item).len(), tags(item)[0].chars().count()), (MAX_TAGS, MAX_TAG));
    }

    #[test]
    fn only_another_problem_than_before_changes_an_alert() {
        for (previous, changed) in [
            (None, false),
            (Some(Status::Ok), false),
            (Some(Status::Critical), false),
            (Some(Status::Warning), true),
        ] {
            let mut notification = Notification::test("k", Timestamp::EPOCH);
            notification.items[0].status = Status::Critical;
            notification.items[0].previous_status = previous;
            assert_eq!(is_changed(&notification.items[0]), changed, "{previous:?}");
        }
    }
}
