//! PagerDuty, Opsgenie, Twilio and programs: what they are sent, and what is made of each answer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use support::http_recorder::{Answer, HttpRecorder, Recorded};
use support::notification::{critical_item, problem, recovery};
use vilicus_core::notifier::NotifyFault::{self, Channel, Message, Retry};
use vilicus_core::{
    Millis, Notification, NotificationEvent, Notifier, NotifierRegistry, Receipt, Status, Timestamp,
};
use vilicus_server::clock::ManualClock;
use vilicus_server::notifiers::{Exec, stock_notifiers};
use vilicus_server::outbound::OutboundPolicy;

const ROUTING_KEY: &str = "canary0123456789abcdefABCDEF4711";
const API_KEY: &str = "canary-0123-4567";
const AUTH_TOKEN: &str = "canary89abcdef";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

fn build(kind: &str, params: &Value) -> Arc<dyn Notifier> {
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    stock_notifiers(OutboundPolicy::default(), clock).build(kind, params).unwrap()
}

fn pagerduty(server: &HttpRecorder) -> Arc<dyn Notifier> {
    build("pagerduty", &json!({"routing_key": ROUTING_KEY, "api_url": server.url()}))
}

fn opsgenie(server: &HttpRecorder) -> Arc<dyn Notifier> {
    build("opsgenie", &json!({"api_key": API_KEY, "api_url": server.url()}))
}

fn twilio(server: &HttpRecorder, to: &[&str]) -> Arc<dyn Notifier> {
    let params = json!({
        "account_sid": ACCOUNT, "auth_token": AUTH_TOKEN, "from": "+15551230000", "to": to, "api_url": server.url(),
    });
    build("twilio", &params)
}

fn with_event(event: NotificationEvent, status: Status) -> Notification {
    let mut notification = problem();
    (notification.items[0].event, notification.items[0].status) = (event, status);
    notification
}

/// Three checks in one message.
fn group() -> Notification {
    let mut notification = problem();
    for number in [8, 9] {
        let mut item = critical_item();
        item.subject = format!("4f2a-check-{number}");
        notification.items.push(item);
    }
    notification
}

/// Answers the request of this number (from 0) with a fault, and all others well.
async fn faulty_once(number: usize, fault: Answer, well: Answer) -> HttpRecorder {
    let count = AtomicUsize::new(0);
    HttpRecorder::start(move |_| {
        if count.fetch_add(1, Ordering::Relaxed) == number { fault.clone() } else { well.clone() }
    })
    .await
}

fn body(request: &Recorded) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn bodies(server: &HttpRecorder) -> Vec<Value> {
    server.requests().iter().map(body).collect()
}

async fn check_answers(
    notifier: impl Fn(&HttpRecorder) -> Arc<dyn Notifier>,
    table: Vec<(Answer, NotifyFault, Option<u64>, &str)>,
) {
    for (answer, fault, wait, words) in table {
        let server = HttpRecorder::answering(answer.clone()).await;
        let error = notifier(&server).notify(&problem()).await.unwrap_err();
        let expected = (fault, wait.map(Millis::from_secs));
        assert_eq!((error.fault(), error.retry_after()), expected, "{answer:?}: {error}");
        assert!(error.to_string().contains(words), "{answer:?}: {error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn pagerduty_gets_the_documented_event() {
    let server = HttpRecorder::answering(Answer::json(202, &json!({"status": "success"}))).await;
    let receipt = pagerduty(&server).notify(&problem()).await.unwrap();
    assert_eq!(receipt, Receipt::new("PagerDuty took 1 of 1 events"));
    let requests = server.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v2/enqueue"));
    assert_eq!(request.header("content-type"), "application/json");
    let expected = json!({
        "routing_key": ROUTING_KEY,
        "event_action": "trigger",
        "dedup_key": "4f2a-check-7",
        "client": "vilicus",
        "client_url": "https://vilicus.example.com/check/7",
        "links": [
            {"href": "https://wiki.example.com/disk", "text": "Runbook"},
            {"href": "https://vilicus.example.com/check/7", "text": "Vilicus"},
        ],
        "payload": {
            "summary": "[CRITICAL] web-1 / disk-root: DISK CRITICAL - 97% used",
            "severity": "critical",
            "source": "web-1",
            "component": "disk-root",
            "class": "disk",
            "timestamp": "2026-11-22T07:02:00.000Z",
            "custom_details": {
                "status": "CRITICAL",
                "previous_status": "OK",
                "since": "2026-11-22T07:00:00.000Z",
                "output": "DISK CRITICAL - 97% used\n/ 97%",
                "tags": ["prod", "team=storage"],
                "metrics": {"used": 97.0},
                "reason": "your route 'ops' matches",
            },
        },
    });
    assert_eq!(body(request), expected);
}

#[tokio::test]
async fn pagerduty_learns_of_each_event_what_it_has_a_word_for() {
    for (notification, actions) in [
        (recovery(Receipt::new("taken")), &["resolve"][..]),
        (with_event(NotificationEvent::Acknowledgement, Status::Critical), &["acknowledge"]),
        (with_event(NotificationEvent::AgentDown, Status::Critical), &["trigger"]),
        (with_event(NotificationEvent::AgentUp, Status::Ok), &["resolve"]),
        (with_event(NotificationEvent::Closed, Status::Critical), &["resolve"]),
        (with_event(NotificationEvent::Test, Status::Ok), &["trigger", "resolve"]),
        (with_event(NotificationEvent::Downtime, Status::Critical), &[]),
    ] {
        let server = HttpRecorder::answering(Answer::status(202)).await;
        pagerduty(&server).notify(&notification).await.unwrap();
        let bodies = bodies(&server);
        let sent: Vec<&str> = bodies.iter().map(|body| body["event_action"].as_str().unwrap()).collect();
        assert_eq!(sent, actions, "{:?}", notification.items[0].event);
        assert!(bodies.iter().all(|body| body["dedup_key"] == "4f2a-check-7"));
    }
    let server = HttpRecorder::answering(Answer::status(202)).await;
    pagerduty(&server).notify(&recovery(Receipt::new("taken"))).await.unwrap();
    let expected =
        json!({"routing_key": ROUTING_KEY, "event_action": "resolve", "dedup_key": "4f2a-check-7"});
    assert_eq!(bodies(&server), [expected]);
}

#[tokio::test]
async fn an_event_that_pagerduty_has_is_not_sent_again() {
    let server = faulty_once(1, Answer::status(500), Answer::status(202)).await;
    let pagerduty = pagerduty(&server);
    assert_eq!(pagerduty.notify(&group()).await.unwrap_err().fault(), Retry);
    pagerduty.notify(&group()).await.unwrap();
    let keys: Vec<String> =
        bodies(&server).iter().map(|body| body["dedup_key"].as_str().unwrap().to_owned()).collect();
    assert_eq!(keys, ["4f2a-check-7", "4f2a-check-8", "4f2a-check-8", "4f2a-check-9"]);
}

#[tokio::test]
async fn an_event_that_pagerduty_refuses_keeps_no_other_back() {
    let refusal =
        json!({"status": "invalid event", "message": "Event object is invalid", "errors": ["too bad"]});
    let server = faulty_once(0, Answer::json(400, &refusal), Answer::status(202)).await;
    let error = pagerduty(&server).notify(&group()).await.unwrap_err();
    assert_eq!((error.fault(), error.to_string().as_str()), (Message, "PagerDuty answered 400: too bad"));
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn each_answer_of_pagerduty_says_what_to_do_next() {
    let invalid = |error: &str| json!({"status": "invalid event", "message": "Event object is invalid", "errors": [error]});
    let table = vec![
        (Answer::json(400, &invalid("'payload.severity' is invalid")), Message, None, "payload.severity"),
        (Answer::json(400, &invalid("Length of 'routing_key' is incorrect")), Channel, None, "routing_key"),
        (
            Answer::json(400, &json!({"message": "Invalid routing key canary0123456789abcdefABCDEF4711"})),
            Channel,
            None,
            "***",
        ),
        (Answer::status(413), Message, None, "413"),
        (Answer::status(403), Retry, None, "403"),
        (Answer::status(429).header("Retry-After", "7"), Retry, Some(7), "429"),
        (Answer::status(500), Retry, None, "500"),
        (Answer::status(404), Channel, None, "404"),
        (Answer::status(302), Channel, None, "redirects"),
        (Answer::Cut, Retry, None, "PagerDuty closed the connection"),
    ];
    check_answers(pagerduty, table).await;
}

#[tokio::test]
async fn opsgenie_gets_the_documented_alert() {
    let server =
        HttpRecorder::answering(Answer::json(202, &json!({"result": "Request will be processed"}))).await;
    opsgenie(&server).notify(&problem()).await.unwrap();
    let requests = server.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v2/alerts"));
    assert_eq!(request.header("authorization"), format!("GenieKey {API_KEY}"));
    let expected = json!({
        "message": "[CRITICAL] web-1 / disk-root: DISK CRITICAL - 97% used",
        "alias": "4f2a-check-7",
        "description": "DISK CRITICAL - 97% used\n/ 97%\nRunbook: https://wiki.example.com/disk\nhttps://vilicus.example.com/check/7",
        "tags": ["prod", "team=storage"],
        "entity": "web-1",
        "source": "vilicus",
        "priority": "P1",
    });
    assert_eq!(body(request), expected);
}

#[tokio::test]
async fn opsgenie_learns_of_each_event_what_it_has_a_word_for() {
    let alert = "/v2/alerts/4f2a-check-7";
    let mut worse = problem();
    worse.items[0].previous_status = Some(Status::Warning);
    let acknowledgement = with_event(NotificationEvent::Acknowledgement, Status::Critical);
    for (notification, expected) in [
        (recovery(Receipt::new("taken")), vec![format!("POST {alert}/close?identifierType=alias")]),
        (acknowledgement, vec![format!("POST {alert}/acknowledge?identifierType=alias")]),
        (
            worse,
            vec![
                "POST /v2/alerts".to_owned(),
                format!("PUT {alert}/priority?identifierType=alias"),
                format!("PUT {alert}/message?identifierType=alias"),
            ],
        ),
        (
            with_event(NotificationEvent::Test, Status::Ok),
            vec!["POST /v2/alerts".to_owned(), format!("POST {alert}/close?identifierType=alias")],
        ),
        (with_event(NotificationEvent::Downtime, Status::Critical), Vec::new()),
    ] {
        let server = HttpRecorder::answering(Answer::status(202)).await;
        opsgenie(&server).notify(&notification).await.unwrap();
        let sent: Vec<String> =
            server.requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect();
        assert_eq!(sent, expected);
    }
}

#[tokio::test]
async fn an_alert_that_is_gone_from_opsgenie_is_closed() {
    let server = HttpRecorder::answering(Answer::status(404)).await;
    opsgenie(&server).notify(&recovery(Receipt::new("taken"))).await.unwrap();
}

#[tokio::test]
async fn each_answer_of_opsgenie_says_what_to_do_next() {
    let said = |message: &str| json!({"message": message, "took": 0.1, "requestId": "r"});
    let table = vec![
        (Answer::json(422, &said("Request body is not processable.")), Message, None, "not processable"),
        (Answer::json(422, &said("Key format is not valid!")), Channel, None, "Key format"),
        (Answer::json(401, &said("Could not authenticate canary-0123-4567")), Channel, None, "***"),
        (Answer::json(403, &said("forbidden")), Channel, None, "forbidden"),
        (Answer::status(404), Channel, None, "404"),
        (Answer::status(429).header("Retry-After", "2"), Retry, Some(2), "429"),
        (Answer::status(503), Retry, None, "503"),
        (Answer::Cut, Retry, None, "Opsgenie closed"),
    ];
    check_answers(opsgenie, table).await;
}

#[tokio::test]
async fn twilio_gets_the_documented_form() {
    let server = HttpRecorder::answering(Answer::json(201, &json!({"sid": "SM1", "status": "queued"}))).await;
    let receipt = twilio(&server, &["+15551230001"]).notify(&problem()).await.unwrap();
    assert_eq!(receipt, Receipt::new("Twilio took it for 1 of 1"));
    let requests = server.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
    assert_eq!((request.method.as_str(), &request.path), ("POST", &path));
    assert_eq!(request.header("content-type"), "application/x-www-form-urlencoded");
    // printf %s AC0123456789abcdef0123456789abcdef:canary89abcdef | base64
    let login = "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjpjYW5hcnk4OWFiY2RlZg==";
    assert_eq!(request.header("authorization"), login);
    let form: BTreeMap<String, String> = request.form().into_iter().collect();
    assert_eq!((form["To"].as_str(), form["From"].as_str()), ("+15551230001", "+15551230000"));
    assert!(
        form["Body"].starts_with("[CRITICAL] web-1 / disk-root: DISK CRITICAL - 97% used\nCRITICAL since"),
        "{form:?}"
    );
    assert_eq!(form.len(), 3);
}

#[tokio::test]
async fn a_messaging_service_can_send_in_place_of_a_number() {
    let server = HttpRecorder::answering(Answer::status(201)).await;
    let service = "MG0123456789abcdef0123456789abcdef";
    let params = json!({
        "account_sid": ACCOUNT, "auth_token": AUTH_TOKEN, "messaging_service_sid": service,
        "to": ["+15551230001"], "api_url": server.url(),
    });
    build("twilio", &params).notify(&problem()).await.unwrap();
    let form = server.requests()[0].form();
    assert!(form.contains(&("MessagingServiceSid".to_owned(), service.to_owned())), "{form:?}");
}

#[tokio::test]
async fn nobody_gets_an_sms_twice_and_one_bad_number_keeps_it_from_no_other() {
    let unsubscribed =
        json!({"code": 21610, "message": "Attempt to send to unsubscribed recipient", "status": 400});
    let away = AtomicUsize::new(1);
    let server = HttpRecorder::start(move |request| {
        let form = request.form();
        let is_to = |number: &str| form.contains(&("To".to_owned(), number.to_owned()));
        if is_to("+15551230002") {
            return Answer::json(400, &unsubscribed);
        }
        let fails = is_to("+15551230003") && away.swap(0, Ordering::Relaxed) == 1;
        Answer::status(if fails { 500 } else { 201 })
    })
    .await;
    let twilio = twilio(&server, &["+15551230001", "+15551230002", "+15551230003"]);
    assert_eq!(twilio.notify(&problem()).await.unwrap_err().fault(), Retry);
    let receipt = twilio.notify(&problem()).await.unwrap();
    assert!(receipt.detail.starts_with("Twilio took it for 2 of 3; "), "{receipt:?}");
    assert!(receipt.detail.contains("+15551230002: Attempt to send to unsubscribed"), "{receipt:?}");
    let told = |number: &str| {
        let to = |request: &Recorded| request.form().contains(&("To".to_owned(), number.to_owned()));
        server.requests().into_iter().filter(to).count()
    };
    assert_eq!((told("+15551230001"), told("+15551230003")), (1, 2));
}

#[tokio::test]
async fn each_answer_of_twilio_says_what_to_do_next() {
    let said = |code: u64| json!({"code": code, "message": "canary89abcdef is what you sent", "status": 400});
    let table = vec![
        (Answer::json(400, &said(21211)), Message, None, "+15551230001: *** is what you sent (21211)"),
        (Answer::json(400, &said(21610)), Message, None, "21610"),
        (Answer::json(400, &said(21614)), Message, None, "21614"),
        (Answer::json(401, &said(20003)), Channel, None, "20003"),
        (Answer::json(400, &said(21606)), Channel, None, "21606"),
        (Answer::json(404, &said(20404)), Channel, None, "20404"),
        (Answer::json(429, &said(20429)), Retry, None, "20429"),
        (Answer::json(400, &said(99999)), Message, None, "99999"),
        (Answer::status(429).header("Retry-After", "3"), Retry, Some(3), "429"),
        (Answer::status(503), Retry, None, "503"),
        (Answer::status(401), Channel, None, "401"),
        (Answer::Cut, Retry, None, "Twilio closed"),
    ];
    check_answers(|server| twilio(server, &["+15551230001"]), table).await;
}

#[test]
fn twilio_is_checked_when_it_is_configured() {
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let stock = stock_notifiers(OutboundPolicy::default(), clock);
    for (name, value, pointer) in [
        ("account_sid", json!("AC1"), "/account_sid"),
        ("to", json!([]), "/to"),
        ("to", json!(["+15551230001", "0815"]), "/to/1"),
        ("from", json!("+"), "/from"),
        ("from", json!(null), "/from"),
        ("messaging_service_sid", json!("MG0123456789abcdef0123456789abcdef"), "/from"),
        ("auth_token", json!(""), "/auth_token"),
        ("api_url", json!("ftp://x"), "/api_url"),
    ] {
        let mut params = json!({"account_sid": ACCOUNT, "auth_token": AUTH_TOKEN, "from": "Vilicus", "to": ["+15551230001"]});
        params[name] = value;
        let error = stock.build("twilio", &params).unwrap_err();
        let vilicus_core::kind::BuildError::Params(error) = error else { panic!("{error}") };
        assert_eq!(error.pointer, pointer, "{error}");
    }
}

fn exec(params: &Value) -> Arc<dyn Notifier> {
    let shell = [PathBuf::from("/bin/sh")];
    NotifierRegistry::new().with(Exec::allowing(shell)).build("exec", params).unwrap()
}

#[tokio::test]
async fn a_program_reads_what_a_webhook_gets_and_nothing_of_it_is_an_argument() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut hostile = problem();
    hostile.items[0].output = "$(touch /tmp/owned) `id` \"; rm -rf / #\n\u{0}".to_owned();
    let script = "cat > \"$1\"; echo \"$#:$2\" > \"$3\"; echo taken";
    let args = json!(["-c", script, "page", file("body"), "$HOME `id`", file("args")]);
    let receipt = exec(&json!({"program": "/bin/sh", "args": args})).notify(&hostile).await.unwrap();
    assert_eq!(receipt, Receipt::new("the program ended with 0: taken"));
    assert_eq!(fs::read_to_string(file("args")).unwrap(), "3:$HOME `id`\n");

    let server = HttpRecorder::answering(Answer::status(200)).await;
    build("webhook", &json!({"url": server.url()})).notify(&hostile).await.unwrap();
    assert_eq!(fs::read(file("body")).unwrap(), server.requests()[0].body);
}

#[tokio::test]
async fn a_program_says_by_its_exit_code_what_to_do_next() {
    for (script, fault, words) in [
        ("exit 75", Retry, "ended with 75"),
        ("echo no account >&2; exit 78", Channel, "ended with 78: no account"),
        ("exit 1", Message, "ended with 1"),
        ("sleep 100", Retry, "took too long"),
        ("/nowhere/page", Channel, "ended with 127"),
    ] {
        let params = json!({"program": "/bin/sh", "args": ["-c", script], "timeout": "1s"});
        let error = exec(&params).notify(&problem()).await.unwrap_err();
        assert_eq!(error.fault(), fault, "{script}: {error}");
        assert!(error.to_string().contains(words), "{script}: {error}");
    }
}

#[test]
fn the_stock_runs_no_program() {
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let stock = stock_notifiers(OutboundPolicy::default(), clock);
    let error = stock.build("exec", &json!({"program": "/bin/sh", "args": ["-c", "id"]})).unwrap_err();
    assert!(error.to_string().contains("[exec] allow"), "{error}");
}
