//! A real Alertmanager gets our alerts, and resolves them when we say so.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::alertmanager::Alertmanager;
use support::http_recorder::{Answer, HttpRecorder};
use support::notification::{critical_item, problem, recovery};
use vilicus_core::notification::EarlierMessage;
use vilicus_core::notifier::NotifyFault::{Channel, Message, Retry};
use vilicus_core::{Millis, Notification, NotificationEvent, Notifier, Receipt, Status};
use vilicus_server::clock::SystemClock;
use vilicus_server::notifiers::stock_notifiers;
use vilicus_server::outbound::OutboundPolicy;

fn notifier(url: &str) -> Arc<dyn Notifier> {
    let params =
        json!({"url": url, "labels": {"site": "berlin"}, "headers": {"X-Scope-OrgID": "canary-71f0"}});
    stock_notifiers(OutboundPolicy::default(), Arc::new(SystemClock::new()))
        .build("alertmanager", &params)
        .unwrap()
}

/// A real Alertmanager, what it passes on, and our channel to it.
struct Setting {
    passed_on: HttpRecorder,
    alertmanager: Alertmanager,
    channel: Arc<dyn Notifier>,
}

impl Setting {
    async fn start() -> Self {
        let passed_on = HttpRecorder::answering(Answer::status(200)).await;
        let alertmanager = Alertmanager::start(&passed_on.url()).await;
        let channel = notifier(&alertmanager.url());
        Self { passed_on, alertmanager, channel }
    }

    /// The severities of the open alerts, when they are these; panics after ten seconds.
    async fn wait_for_open(&self, severities: &[&str]) -> Vec<Value> {
        let mut alerts = Vec::new();
        for _ in 0..500 {
            alerts = self.alertmanager.alerts().await;
            if alerts
                .iter()
                .map(|alert| alert["labels"]["severity"].as_str().unwrap())
                .eq(severities.iter().copied())
            {
                return alerts;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{severities:?} should be open, but: {alerts:#?}");
    }

    /// Waits until it has been passed on that these severities are over; panics after ten seconds.
    async fn wait_for_resolved(&self, severities: &[&str]) {
        let expected: BTreeSet<String> = severities.iter().map(|&severity| severity.to_owned()).collect();
        for _ in 0..500 {
            if self.resolved() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{expected:?} should be resolved, but: {:?}", self.resolved());
    }

    fn resolved(&self) -> BTreeSet<String> {
        let mut resolved = BTreeSet::new();
        for request in self.passed_on.requests() {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            for alert in body["alerts"].as_array().unwrap() {
                if alert["status"] == "resolved" {
                    resolved.insert(alert["labels"]["severity"].as_str().unwrap().to_owned());
                }
            }
        }
        resolved
    }
}

fn with_status(status: Status, key: &str, earlier: &[Receipt]) -> Notification {
    let mut notification = problem();
    notification.key = key.to_owned();
    notification.items[0].status = status;
    let earlier = earlier.iter().enumerate();
    notification.earlier = earlier
        .map(|(number, receipt)| EarlierMessage { key: number.to_string(), receipt: receipt.clone() })
        .collect();
    notification
}

#[tokio::test]
async fn a_problem_is_an_alert_until_its_recovery() {
    let setting = Setting::start().await;
    let receipt = setting.channel.notify(&problem()).await.unwrap();
    let alerts = setting.wait_for_open(&["critical"]).await;
    let alert = &alerts[0];
    let labels = json!({
        "alertname": "disk-root", "agent": "web-1", "check": "disk-root", "kind": "disk", "severity": "critical",
        "team": "storage", "site": "berlin",
    });
    assert_eq!(alert["labels"], labels);
    let annotations = json!({
        "summary": "[CRITICAL] web-1 / disk-root: DISK CRITICAL - 97% used",
        "description": "DISK CRITICAL - 97% used\n/ 97%",
        "status": "CRITICAL",
        "tags": "prod, team=storage",
        "runbook_url": "https://wiki.example.com/disk",
    });
    assert_eq!(alert["annotations"], annotations);
    assert_eq!(alert["startsAt"], "2026-11-22T07:00:00.000Z");
    assert_eq!(alert["generatorURL"], "https://vilicus.example.com/check/7");
    setting.channel.notify(&recovery(receipt)).await.unwrap();
    setting.wait_for_open(&[]).await;
    setting.wait_for_resolved(&["critical"]).await;
}

#[tokio::test]
async fn a_problem_that_gets_worse_leaves_no_alert_behind() {
    let setting = Setting::start().await;
    let first = setting.channel.notify(&with_status(Status::Warning, "k1", &[])).await.unwrap();
    setting.wait_for_open(&["warning"]).await;
    let mut worse = with_status(Status::Critical, "k2", std::slice::from_ref(&first));
    worse.items[0].tags = vec!["team=database".to_owned()];
    let second = setting.channel.notify(&worse).await.unwrap();
    let alerts = setting.wait_for_open(&["critical"]).await;
    assert_eq!(alerts[0]["labels"]["team"], "database");
    setting.wait_for_resolved(&["warning"]).await;
    let mut over = recovery(Receipt::new("taken"));
    over.earlier = with_status(Status::Ok, "k3", &[first, second]).earlier;
    setting.channel.notify(&over).await.unwrap();
    setting.wait_for_open(&[]).await;
    setting.wait_for_resolved(&["critical", "warning"]).await;
}

#[tokio::test]
async fn members_of_a_group_end_one_by_one() {
    let setting = Setting::start().await;
    let mut group = problem();
    let mut second = critical_item();
    (second.check, second.subject, second.status) =
        ("load".to_owned(), "4f2a-check-8".to_owned(), Status::Warning);
    group.items.push(second);
    let receipt = setting.channel.notify(&group).await.unwrap();
    for _ in 0..500 {
        if setting.alertmanager.alerts().await.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    setting.channel.notify(&recovery(receipt)).await.unwrap();
    let alerts = setting.wait_for_open(&["warning"]).await;
    assert_eq!(alerts[0]["labels"]["check"], "load");
}

#[tokio::test]
async fn a_test_is_an_alert_that_ends_by_itself() {
    let setting = Setting::start().await;
    let mut test = problem();
    (test.items[0].event, test.items[0].status) = (NotificationEvent::Test, Status::Ok);
    setting.channel.notify(&test).await.unwrap();
    let alerts = setting.wait_for_open(&["none"]).await;
    let moment = |name: &str| alerts[0][name].as_str().unwrap().parse::<vilicus_core::Timestamp>().unwrap();
    assert_eq!(moment("endsAt").since(moment("startsAt")), Millis::from_minutes(5));
}

#[tokio::test]
async fn whatever_an_agent_writes_is_an_alert() {
    let setting = Setting::start().await;
    let mut hostile = problem();
    hostile.url = Some("not a url".to_owned());
    let item = &mut hostile.items[0];
    item.output = "\"}],\u{0}\u{1b}\n\u{2028}😀{{ template \"x\" }}".to_owned();
    item.check = "a\"b\r\nc".to_owned();
    item.tags = ["=", "=x", "ä ö=y", "alertname=z", "__name__=w", "1=2"].map(str::to_owned).to_vec();
    setting.channel.notify(&hostile).await.unwrap();
    let alerts = setting.wait_for_open(&["critical"]).await;
    assert_eq!(alerts[0]["labels"]["alertname"], "a\"b  c");
    assert_eq!(alerts[0]["labels"]["tag_alertname"], "z");
}

#[tokio::test]
async fn what_alertmanager_has_no_word_for_is_not_sent() {
    let server = HttpRecorder::answering(Answer::status(200)).await;
    for event in [NotificationEvent::Acknowledgement, NotificationEvent::Downtime] {
        let mut notification = problem();
        notification.items[0].event = event;
        notifier(&server.url()).notify(&notification).await.unwrap();
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn each_answer_says_what_to_do_next() {
    for (answer, fault, words) in [
        (Answer::json(400, &json!("start time must be before end time")), Message, "start time"),
        (
            Answer::json(422, &json!({"code": 602, "message": "labels in body is required"})),
            Message,
            "labels in body",
        ),
        (Answer::json(401, &json!("canary-71f0 is wrong")), Channel, "***"),
        (Answer::status(404), Channel, "404"),
        (Answer::status(302), Channel, "redirects"),
        (Answer::status(500), Retry, "500"),
        (Answer::Cut, Retry, "Alertmanager closed"),
    ] {
        let server = HttpRecorder::answering(answer.clone()).await;
        let error = notifier(&server.url()).notify(&problem()).await.unwrap_err();
        assert_eq!(error.fault(), fault, "{answer:?}: {error}");
        assert!(
            error.to_string().contains(words) && !error.to_string().contains("canary"),
            "{answer:?}: {error}"
        );
        assert_eq!(server.requests()[0].header("x-scope-orgid"), "canary-71f0");
    }
}
