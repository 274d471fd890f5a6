//! Posts alerts to a Prometheus Alertmanager, and resolves them.
//!
//! An alert is known by its labels, and the severity is one of them, for that is what routes of Alertmanager match.
//! So a check that goes from WARNING to CRITICAL is another alert than before, and the one before has to be resolved.
//! The labels of what was sent stand in the receipt of each message: what is resolved later is exactly what was
//! sent, also when a tag, a name or the severity has changed in between.
//!
//! Deliberately absent: sending again. Prometheus repeats each alert every minute; here the route's repeat interval
//! says when, and an open alert carries an end that is far enough away.
//!
//! *Sources for every rule:* <https://prometheus.io/docs/alerting/latest/alerts_api/>,
//! <https://prometheus.io/docs/alerting/latest/clients/>,
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml> and, for the names of labels,
//! <https://prometheus.io/docs/concepts/data_model/>.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use vilicus_core::notification::one_line;
use vilicus_core::{
    Millis, Notification, NotificationEvent, NotificationItem, Notifier, NotifierKind, NotifyError,
    ParamsError, Receipt, Status, Timestamp, async_trait,
};

use super::Secret;
use super::answer::Answer;
use super::endpoint::Endpoint;
use super::lifecycle::{Step, details, summary};
use super::links::web_url;
use super::redaction::Redaction;
use super::seconds::Seconds;
use super::service::{Caller, Service};
use super::webhook::{parse_headers, read_headers};
use super::wording::cut;
use crate::clock::Clock;
use crate::outbound::OutboundPolicy;

/// The labels that identify the check; nothing else may set them.
const OWN_LABELS: [&str; 5] = ["alertname", "agent", "check", "kind", "severity"];

/// Characters of a label's value and of a description. Alertmanager has no limits; those who read have.
const MAX_VALUE: usize = 1000;
const MAX_DESCRIPTION: usize = 16_000;

/// When an open alert ends by itself, in seconds: a year.
const DEFAULT_EXPIRE: u64 = 365 * 24 * 3600;

/// When the alert of a test ends by itself.
const TEST_SPAN: Millis = Millis::from_minutes(5);

const SERVICE: Service = Service { name: "Alertmanager", mend: "check the URL and the headers" };

/// Parameters of Alertmanager.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct AlertmanagerParams {
    /// Where it is, as `http://alertmanager.example.com:9093`; `/api/v2/alerts` is appended.
    pub url: String,
    /// Labels of every alert, beside those of the check; they tell two servers apart.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// After how long an alert ends that nobody resolved: a year unless given.
    pub expire: Option<Seconds>,
    /// Headers, as `Authorization`.
    #[serde(default, deserialize_with = "read_headers")]
    pub headers: BTreeMap<String, Secret>,
}

/// The kind of notifier that speaks with Alertmanager.
#[derive(Debug, Clone)]
pub struct Alertmanager {
    outbound: OutboundPolicy,
    clock: Arc<dyn Clock>,
}

impl Alertmanager {
    /// Alertmanager under this policy; the clock says when alerts end.
    #[must_use]
    pub fn new(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, clock }
    }
}

impl NotifierKind for Alertmanager {
    type Params = AlertmanagerParams;

    fn name(&self) -> &'static str {
        "alertmanager"
    }

    fn description(&self) -> &'static str {
        "Posts alerts to a Prometheus Alertmanager, and resolves them."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["headers"]
    }

    fn build(&self, params: AlertmanagerParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        check_labels(&params.labels)?;
        let expire = Millis::from_secs(params.expire.map_or(DEFAULT_EXPIRE, Seconds::get));
        if expire == Millis::ZERO {
            return Err(ParamsError::new("expire", "expire: an alert can't end when it begins"));
        }
        let headers = parse_headers(&params.headers)?;
        let secrets = params.headers.values();
        let redaction = secrets.fold(Redaction::default(), |all, secret| all.with(secret.expose()));
        Ok(Arc::new(AlertmanagerNotifier {
            url: Endpoint::server("url", &params.url)?.join(&["api", "v2", "alerts"]),
            alertmanager: Caller::new(SERVICE, &self.outbound, &self.clock, redaction)?.headers(headers),
            clock: Arc::clone(&self.clock),
            labels: params.labels,
            expire,
        }))
    }
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), ParamsError> {
    let wrong = |name: &str, detail: &str| ParamsError {
        pointer: format!("/labels/{}", vilicus_core::params::escape_pointer(name)),
        detail: format!("labels: '{}' {detail}", cut(&one_line(name), 80)),
    };
    for (name, value) in labels {
        if *name != label_name(name) {
            return Err(wrong(name, "is no name of a label; use letters, digits and _, and no digit first"));
        }
        if OWN_LABELS.contains(&name.as_str()) {
            return Err(wrong(name, "is set by the check itself"));
        }
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(wrong(name, "needs a value on one line"));
        }
    }
    Ok(())
}

/// A channel of this kind.
#[derive(Debug)]
struct AlertmanagerNotifier {
    alertmanager: Caller,
    url: Url,
    clock: Arc<dyn Clock>,
    labels: Labels,
    expire: Millis,
}

type Labels = BTreeMap<String, String>;

#[async_trait]
impl Notifier for AlertmanagerNotifier {
    /// All alerts of the message in one request; it can be repeated without harm.
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let Posting { alerts, open } = self.posting(notification);
        if alerts.is_empty() {
            return Ok(Receipt::new("Alertmanager has no word for this; nothing was sent"));
        }
        let body = serde_json::to_value(&alerts)
            .map_err(|error| NotifyError::message("the alerts have no JSON form").source(error))?;
        judge(&self.alertmanager.post(self.url.clone(), &body).await?)?;
        let receipt = Receipt::new(format!("Alertmanager took {} alerts", alerts.len()));
        match serde_json::to_string(&open) {
            Ok(reference) if !open.is_empty() => Ok(receipt.reference(reference)),
            _ => Ok(receipt),
        }
    }
}

/// An alert, as Alertmanager reads it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    labels: Labels,
    annotations: BTreeMap<&'static str, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<String>,
}

/// An alert that a message opened: what its receipt remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Opened {
    subject: String,
    labels: Labels,
}

/// What one message is to Alertmanager.
#[derive(Debug, Default)]
struct Posting {
    alerts: Vec<Alert>,
    open: Vec<Opened>,
}

impl AlertmanagerNotifier {
    fn posting(&self, notification: &Notification) -> Posting {
        let now = self.clock.now();
        let mut posting = Posting::default();
        for item in &notification.items {
            let before = opened_before(notification, item);
            match Step::of(notification, item) {
                Step::Open => {
                    let labels = self.labels(item, severity(item));
                    let other = before.filter(|before| *before != labels);
                    posting.alerts.extend(other.map(|other| resolved(notification, item, other, now)));
                    let end = now.after(self.expire);
                    posting.alerts.push(alert(
                        notification,
                        item,
                        labels.clone(),
                        (item.since.min(now), end),
                    ));
                    posting.open.push(Opened { subject: item.subject.clone(), labels });
                }
                Step::Close => {
                    let labels = before.map_or_else(|| self.likely(item), |before| vec![before]);
                    let alerts = labels.into_iter().map(|labels| resolved(notification, item, labels, now));
                    posting.alerts.extend(alerts);
                }
                Step::Try => {
                    let labels = self.labels(item, "none");
                    posting.alerts.push(alert(notification, item, labels, (now, now.after(TEST_SPAN))));
                }
                Step::Acknowledge | Step::Nothing => {}
            }
        }
        posting
    }

    /// The labels that an alert of this check can have had, when no receipt says which.
    fn likely(&self, item: &NotificationItem) -> Vec<Labels> {
        ["warning", "unknown", "critical"].map(|severity| self.labels(item, severity)).to_vec()
    }

    fn labels(&self, item: &NotificationItem, severity: &str) -> Labels {
        let mut labels = Labels::new();
        for (name, value) in item.tags.iter().filter_map(|tag| tag.split_once('=')) {
            let mut name = label_name(name);
            if OWN_LABELS.contains(&name.as_str()) {
                name.insert_str(0, "tag_");
            }
            labels.insert(name, label_value(value));
        }
        labels.extend(self.labels.clone());
        let own = [&item.check, &item.agent, &item.check, &item.kind, severity];
        labels.extend(OWN_LABELS.iter().zip(own).map(|(&name, value)| (name.to_owned(), label_value(value))));
        // An empty label is none, to Alertmanager.
        labels.retain(|_, value| !value.is_empty());
        labels
    }
}

/// The labels of the newest alert that was opened for the same check.
fn opened_before(notification: &Notification, item: &NotificationItem) -> Option<Labels> {
    let references =
        notification.earlier.iter().rev().filter_map(|earlier| earlier.receipt.reference.as_deref());
    let mut opened =
        references.flat_map(|text| serde_json::from_str::<Vec<Opened>>(text).unwrap_or_default());
    opened.find(|opened| opened.subject == item.subject).map(|opened| opened.labels)
}

/// The alert with these labels is over.
fn resolved(notification: &Notification, item: &NotificationItem, labels: Labels, now: Timestamp) -> Alert {
    // An end in the future, by an agent's clock, would leave it open until then.
    let end = item.at.min(now);
    alert(notification, item, labels, (item.problem_since.unwrap_or(item.since).min(end), end))
}

fn alert(
    notification: &Notification,
    item: &NotificationItem,
    labels: Labels,
    (starts_at, ends_at): (Timestamp, Timestamp),
) -> Alert {
    let generator_url = notification.url.as_deref().and_then(web_url);
    Alert { labels, annotations: annotations(notification, item), starts_at, ends_at, generator_url }
}

fn annotations(notification: &Notification, item: &NotificationItem) -> BTreeMap<&'static str, String> {
    let mut all = BTreeMap::from([
        ("summary", cut(&summary(notification, item), MAX_VALUE)),
        ("description", cut(&details(notification, item), MAX_DESCRIPTION)),
        ("status", item.status.to_string()),
        ("tags", item.tags.join(", ")),
        ("runbook_url", item.runbook_url.as_deref().and_then(web_url).unwrap_or_default()),
    ]);
    all.retain(|_, text| !text.is_empty());
    all
}

fn severity(item: &NotificationItem) -> &'static str {
    match item.status {
        _ if item.event == NotificationEvent::AgentDown => "critical",
        Status::Critical => "critical",
        Status::Unknown => "unknown",
        Status::Warning => "warning",
        Status::Ok => "none",
    }
}

/// The nearest name that a label can have: letters, digits and `_`, no digit first, and not `__`, which is reserved.
fn label_name(text: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = text.chars().take(MAX_VALUE).map(fits).collect();
    let first_fits = name.starts_with(|c: char| !c.is_ascii_digit()) && !name.starts_with("__");
    if first_fits { name } else { format!("tag_{}", name.trim_start_matches('_')) }
}

fn label_value(text: &str) -> String {
    cut(one_line(text).trim(), MAX_VALUE)
}

fn judge(answer: &Answer) -> Result<Receipt, NotifyError> {
    // Its errors are a text, or an object with a message.
    let whole = answer.at("").and_then(Value::as_str);
    answer.judge(whole.unwrap_or_else(|| answer.text_at("/message")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use serde_json::json;
    use vilicus_core::notification::EarlierMessage;

    fn notifier(labels: &Value) -> AlertmanagerNotifier {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000)));
        AlertmanagerNotifier {
            alertmanager: Caller::new(SERVICE, &OutboundPolicy::default(), &clock, Redaction::default())
                .unwrap(),
            url: Url::parse("http://localhost/").unwrap(),
            clock,
            labels: serde_json::from_value(labels.clone()).unwrap(),
            expire: Millis::from_hours(1),
        }
    }

    fn about(event: NotificationEvent, status: Status, tags: &[&str]) -> Notification {
        let mut notification = Notification::test("k", Timestamp::EPOCH);
        let item = &mut notification.items[0];
        (item.event, item.status) = (event, status);
        item.tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        notification
    }

    fn after(mut notification: Notification, before: &Posting) -> Notification {
        let receipt = Receipt::new("taken").reference(serde_json::to_string(&before.open).unwrap());
        notification.earlier.push(EarlierMessage { key: "j".to_owned(), receipt });
        notification
    }

    #[test]
    fn tags_become_labels_with_names_that_are_possible() {
        let tags =
            ["prod", "team=a", "my-key=b", "1st=c", "agent=d", "__name__=e", "empty=", "region=tag", "ä=f"];
        let notification = about(NotificationEvent::Problem, Status::Warning, &tags);
        let labels = notifier(&json!({"region": "fixed"})).labels(&notification.items[0], "warning");
        let expected = json!({
            "alertname": "test", "agent": "vilicus", "check": "test", "kind": "test", "severity": "warning",
            "team": "a", "my_key": "b", "tag_1st": "c", "tag_agent": "d", "tag_name__": "e", "region": "fixed",
            "_": "f",
        });
        assert_eq!(serde_json::to_value(labels).unwrap(), expected);
    }

    #[test]
    fn what_is_resolved_is_what_was_sent_whatever_has_changed_since() {
        let notifier = notifier(&json!({}));
        let warning = notifier.posting(&about(NotificationEvent::Problem, Status::Warning, &["team=a"]));
        let critical = after(about(NotificationEvent::Problem, Status::Critical, &["team=b"]), &warning);
        let critical_posting = notifier.posting(&critical);
        let [old, new] = critical_posting.alerts.as_slice() else { panic!("{critical_posting:?}") };
        assert_eq!(old.labels, warning.alerts[0].labels);
        assert!(old.ends_at <= Timestamp::from_millis(1_000_000) && old.starts_at <= old.ends_at);
        assert_eq!((new.labels["severity"].as_str(), new.labels["team"].as_str()), ("critical", "b"));
        let mut recovery =
            after(after(about(NotificationEvent::Recovery, Status::Ok, &[]), &warning), &critical_posting);
        recovery.items[0].check = "renamed".to_owned();
        let over = notifier.posting(&recovery);
        let [end] = over.alerts.as_slice() else { panic!("{over:?}") };
        assert_eq!(end.labels, new.labels);
        assert!(over.open.is_empty());
    }

    #[test]
    fn a_repeated_problem_resolves_nothing() {
        let notifier = notifier(&json!({}));
        let first = notifier.posting(&about(NotificationEvent::Problem, Status::Warning, &[]));
        let again = notifier.posting(&after(about(NotificationEvent::Problem, Status::Warning, &[]), &first));
        assert_eq!((again.alerts.len(), again.open), (1, first.open));
    }

    #[test]
    fn without_a_receipt_every_severity_is_resolved() {
        let over = notifier(&json!({})).posting(&about(NotificationEvent::Closed, Status::Critical, &[]));
        let severities: Vec<&str> =
            over.alerts.iter().map(|alert| alert.labels["severity"].as_str()).collect();
        assert_eq!(severities, ["warning", "unknown", "critical"]);
    }

    #[test]
    fn a_clock_that_is_ahead_leaves_nothing_open() {
        let mut recovery = about(NotificationEvent::Recovery, Status::Ok, &[]);
        recovery.items[0].at = Timestamp::from_millis(9_000_000);
        recovery.items[0].since = Timestamp::from_millis(9_000_000);
        for alert in notifier(&json!({})).posting(&recovery).alerts {
            assert_eq!((alert.starts_at, alert.ends_at), (alert.ends_at, Timestamp::from_millis(1_000_000)));
        }
    }

    #[test]
    fn labels_are_checked_when_they_are_written() {
        for (name, value, words) in [
            ("a-b", "x", "no name of a label"),
            ("1a", "x", "no name of a label"),
            ("", "x", "no name of a label"),
            ("__a", "x", "no name of a label"),
            ("severity", "x", "set by the check"),
            ("site", "", "needs a value"),
            ("site", "a\nb", "needs a value"),
        ] {
            let error = check_labels(&BTreeMap::from([(name.to_owned(), value.to_owned())])).unwrap_err();
            assert!(error.detail.contains(words), "{name}: {error}");
        }
        assert!(check_labels(&BTreeMap::from([("site".to_owned(), "b".to_owned())])).is_ok());
    }
}
