//! Opens, acknowledges and resolves alerts of PagerDuty through its Events API v2, one for each check.
//!
//! *Sources for every limit and rule:* <https://developer.pagerduty.com/docs/events-api-v2-overview>,
//! <https://developer.pagerduty.com/docs/send-alert-event> and
//! <https://github.com/PagerDuty/api-schema/blob/main/reference/events-v2/openapiv3.json>.

use std::sync::Arc;

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
use super::endpoint::Endpoint;
use super::lifecycle::{Step, details, summary};
use super::links::web_url;
use super::progress::Progress;
use super::redaction::Redaction;
use super::service::{Caller, Service};
use super::wording::cut;
use crate::clock::Clock;
use crate::outbound::OutboundPolicy;

/// Characters of a routing key, which PagerDuty calls an integration key too.
const ROUTING_KEY: usize = 32;

/// Characters of a summary.
const MAX_SUMMARY: usize = 1024;

/// The most of an output that goes along, in characters: a whole event may have 512 KB.
const MAX_OUTPUT: usize = 16_000;

/// Where PagerDuty is, unless the channel says otherwise.
const API_URL: &str = "https://events.pagerduty.com";

const SERVICE: Service = Service { name: "PagerDuty", mend: "check the routing key" };

/// Parameters of PagerDuty.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct PagerDutyParams {
    /// The integration key of a service's 'Events API v2' integration: 32 letters and digits.
    pub routing_key: Secret,
    /// Another place that speaks the API, as `https://events.eu.pagerduty.com`; `/v2/enqueue` is appended.
    pub api_url: Option<String>,
}

/// The kind of notifier that speaks with PagerDuty.
#[derive(Debug, Clone)]
pub struct PagerDuty {
    outbound: OutboundPolicy,
    clock: Arc<dyn Clock>,
    progress: Progress,
}

impl PagerDuty {
    /// PagerDuty under this policy; the clock measures how long it asks to be left alone.
    #[must_use]
    pub fn new(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, clock, progress: Progress::default() }
    }
}

impl NotifierKind for PagerDuty {
    type Params = PagerDutyParams;

    fn name(&self) -> &'static str {
        "pagerduty"
    }

    fn description(&self) -> &'static str {
        "Opens, acknowledges and resolves alerts of PagerDuty (Events API v2)."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["routing_key"]
    }

    fn build(&self, params: PagerDutyParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        let key = params.routing_key.expose();
        if key.len() != ROUTING_KEY || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let mend = "routing_key: an integration key of Events API v2 has 32 letters and digits";
            return Err(ParamsError::new("routing_key", mend));
        }
        let api = params.api_url.as_deref().unwrap_or(API_URL);
        let redaction = Redaction::default().with(key);
        Ok(Arc::new(PagerDutyNotifier {
            url: Endpoint::server("api_url", api)?.join(&["v2", "enqueue"]),
            pagerduty: Caller::new(SERVICE, &self.outbound, &self.clock, redaction)?,
            routing_key: params.routing_key,
            progress: self.progress.clone(),
        }))
    }
}

/// A channel of this kind.
#[derive(Debug)]
struct PagerDutyNotifier {
    pagerduty: Caller,
    url: Url,
    routing_key: Secret,
    progress: Progress,
}

#[async_trait]
impl Notifier for PagerDutyNotifier {
    /// One event for each item. An event that PagerDuty has is not sent again when another one has to be.
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let events = self.events(notification);
        if events.is_empty() {
            return Ok(Receipt::new("PagerDuty has no word for this; nothing was sent"));
        }
        let count = events.len();
        let refused = self.progress.each(&notification.key, events, |event| self.enqueue(event)).await?;
        match refused.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(Receipt::new(format!("PagerDuty took {count} of {count} events"))),
        }
    }
}

impl PagerDutyNotifier {
    async fn enqueue(&self, event: Value) -> Result<(), NotifyError> {
        judge(&self.pagerduty.post(self.url.clone(), &event).await?)
    }

    /// The events of a message, each with a name that is its own within the message.
    fn events(&self, notification: &Notification) -> Vec<(String, Value)> {
        let mut events = Vec::new();
        for (index, item) in notification.items.iter().enumerate() {
            let actions: &[&str] = match Step::of(notification, item) {
                Step::Open => &["trigger"],
                Step::Acknowledge => &["acknowledge"],
                Step::Close => &["resolve"],
                Step::Try => &["trigger", "resolve"],
                Step::Nothing => &[],
            };
            for action in actions {
                events.push((
                    format!("{index} {action} {}", item.subject),
                    self.event(action, notification, item),
                ));
            }
        }
        events
    }

    fn event(&self, action: &str, notification: &Notification, item: &NotificationItem) -> Value {
        let mut event = json!({
            "routing_key": self.routing_key.expose(),
            "event_action": action,
            "dedup_key": item.subject,
        });
        if action == "trigger" {
            event["payload"] = payload(notification, item);
            event["links"] = links(notification, item);
            event["client"] = "vilicus".into();
            if let Some(url) = notification.url.as_deref().and_then(web_url) {
                event["client_url"] = url.into();
            }
        }
        event
    }
}

fn payload(notification: &Notification, item: &NotificationItem) -> Value {
    json!({
        "summary": cut(&summary(notification, item), MAX_SUMMARY),
        "severity": severity(item),
        "source": item.agent,
        "component": item.check,
        "class": item.kind,
        "timestamp": item.at,
        "custom_details": custom_details(notification, item),
    })
}

fn severity(item: &NotificationItem) -> &'static str {
    match item.status {
        _ if item.event == NotificationEvent::AgentDown => "critical",
        Status::Critical => "critical",
        Status::Unknown => "error",
        Status::Warning => "warning",
        Status::Ok => "info",
    }
}

fn custom_details(notification: &Notification, item: &NotificationItem) -> Value {
    let mut all = json!({
        "status": item.status,
        "previous_status": item.previous_status,
        "since": item.since,
        "output": cut(&details(notification, item), MAX_OUTPUT),
        "tags": item.tags,
        "reason": notification.reason,
    });
    for metric in &item.metrics {
        all["metrics"][&metric.name] = json!(metric.value);
    }
    if notification.more > 0 {
        all["more"] = notification.more.into();
    }
    all
}

fn links(notification: &Notification, item: &NotificationItem) -> Value {
    let link = |url: &Option<String>, text: &str| {
        url.as_deref().and_then(web_url).map(|url| json!({"href": url, "text": text}))
    };
    let links = [link(&item.runbook_url, "Runbook"), link(&notification.url, "Vilicus")];
    links.into_iter().flatten().collect()
}

fn judge(answer: &Answer) -> Result<(), NotifyError> {
    let errors = answer.at("/errors").and_then(Value::as_array);
    let errors: Vec<&str> = errors.into_iter().flatten().filter_map(Value::as_str).collect();
    let words = if errors.is_empty() { answer.text_at("/message").to_owned() } else { errors.join("; ") };
    match answer.code() {
        // Asked too often; a wrong key is 400.
        403 => Err(answer.retry(&words)),
        400 if concerns_key(&words) => Err(answer.channel(&words)),
        _ => answer.judge(&words).map(|_| ()),
    }
}

/// PagerDuty says '`routing_key` is incorrect' and 'invalid routing key'.
fn concerns_key(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    words.contains("routing_key") || words.contains("routing key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::{Metric, Timestamp};

    #[test]
    fn each_status_has_its_severity() {
        for (event, status, expected) in [
            (NotificationEvent::Problem, Status::Critical, "critical"),
            (NotificationEvent::Problem, Status::Unknown, "error"),
            (NotificationEvent::Problem, Status::Warning, "warning"),
            (NotificationEvent::AgentDown, Status::Unknown, "critical"),
            (NotificationEvent::Test, Status::Ok, "info"),
        ] {
            let mut notification = Notification::test("k", Timestamp::EPOCH);
            (notification.items[0].event, notification.items[0].status) = (event, status);
            assert_eq!(severity(&notification.items[0]), expected, "{event:?} {status}");
        }
    }

    #[test]
    fn an_event_stays_far_below_the_limit() {
        let mut notification = Notification::test("k", Timestamp::EPOCH);
        notification.items[0].output = "\"\u{1}😀".repeat(100_000);
        notification.items[0].metrics = vec![Metric::new("a\"b", 1.5)];
        let payload = payload(&notification, &notification.items[0]);
        assert_eq!(payload["summary"].as_str().unwrap().chars().count(), MAX_SUMMARY);
        assert_eq!(payload["custom_details"]["metrics"]["a\"b"], 1.5);
        assert!(payload.to_string().len() < 512 * 1024, "{}", payload.to_string().len());
    }

    #[test]
    fn a_key_of_another_length_is_refused_and_not_repeated() {
        let clock = Arc::new(crate::clock::ManualClock::new(Timestamp::EPOCH));
        let kind = PagerDuty::new(OutboundPolicy::default(), clock);
        for key in ["", "short", &"a".repeat(33), &"-".repeat(32), "canary7f3a9c"] {
            let params = PagerDutyParams { routing_key: key.into(), api_url: None };
            let error = kind.build(params).unwrap_err();
            assert!(error.pointer == "/routing_key" && !error.detail.contains("canary"), "{error:?}");
        }
    }
}
