//! The notifiers of chat and push services against a real web server: where and how each sends, and what it makes
//! of every answer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::chat::{self, CANARY, CANARY_LOGIN, ChatService};
use support::http_recorder::{Answer, HttpRecorder, Recorded};
use support::notification::{problem, recovery};
use vilicus_core::notifier::NotifyFault::{self, Channel, Message, Retry};
use vilicus_core::{Millis, Notification, Notifier, NotifyError, Receipt, Timestamp};
use vilicus_server::clock::ManualClock;
use vilicus_server::notifiers::stock_notifiers;
use vilicus_server::outbound::OutboundPolicy;

fn build_under(outbound: OutboundPolicy, kind: &str, params: &Value) -> Arc<dyn Notifier> {
    let now: Timestamp = "2026-11-22T07:02:05Z".parse().unwrap();
    stock_notifiers(outbound, Arc::new(ManualClock::new(now))).build(kind, params).unwrap()
}

fn build(kind: &str, params: &Value) -> Arc<dyn Notifier> {
    build_under(OutboundPolicy::default(), kind, params)
}

fn at(service: &ChatService, url: &str) -> Arc<dyn Notifier> {
    build(service.kind, &(service.params)(url))
}

fn named(kind: &str) -> &'static ChatService {
    chat::ALL.iter().find(|service| service.kind == kind).unwrap()
}

async fn failure(notifier: &dyn Notifier, notification: &Notification) -> NotifyError {
    let error = notifier.notify(notification).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(CANARY) && !shown.contains(CANARY_LOGIN), "{shown}");
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
    error
}

/// The one request that this message becomes.
async fn request(kind: &str, params: &Value, server: &HttpRecorder, notification: &Notification) -> Recorded {
    let before = server.requests().len();
    build(kind, params).notify(notification).await.unwrap();
    let mut requests = server.requests().split_off(before);
    assert_eq!(requests.len(), 1, "{requests:?}");
    requests.remove(0)
}

fn body(request: &Recorded) -> Value {
    assert_eq!(request.header("content-type"), "application/json");
    serde_json::from_slice(&request.body).unwrap()
}

#[tokio::test]
async fn each_service_is_asked_where_it_listens() {
    for (kind, server_path, more, method, path) in [
        ("slack", "/services/T/B/x", json!({}), "POST", "/services/T/B/x"),
        ("discord", "/api/webhooks/1/t", json!({}), "POST", "/api/webhooks/1/t?wait=true"),
        ("discord", "/w?thread_id=7", json!({}), "POST", "/w?thread_id=7&wait=true"),
        (
            "teams",
            "/workflows/a?api-version=1&sig=s%2Fg",
            json!({}),
            "POST",
            "/workflows/a?api-version=1&sig=s%2Fg",
        ),
        ("telegram", "", json!({"token": "1:a-B", "chat_id": "@ops"}), "POST", "/bot1:a-B/sendMessage"),
        ("telegram", "/base/", json!({"token": "1:a", "chat_id": -5}), "POST", "/base/bot1:a/sendMessage"),
        ("ntfy", "", json!({"topic": "ops"}), "POST", "/"),
        ("gotify", "/push", json!({"token": "t"}), "POST", "/push/message"),
        (
            "matrix",
            "",
            json!({"token": "t", "room": "!r/x:example.com"}),
            "PUT",
            "/_matrix/client/v3/rooms/!r%2Fx:example.com/send/m.room.message/k1",
        ),
    ] {
        let server = HttpRecorder::answering(Answer::json(200, &json!({"ok": true}))).await;
        let mut params = more.clone();
        let place = match kind {
            "slack" | "discord" | "teams" => "url",
            "telegram" => "api_url",
            _ => "server",
        };
        params[place] = json!(format!("{}{server_path}", server.url()));
        let request = request(kind, &params, &server, &problem()).await;
        assert_eq!((request.method.as_str(), request.path.as_str()), (method, path), "{kind}");
        assert!(body(&request).is_object(), "{kind}");
    }
}

#[tokio::test]
async fn each_login_is_the_documented_header() {
    let server = HttpRecorder::answering(Answer::status(200)).await;
    let url = server.url();
    for (kind, params, header, value) in [
        ("ntfy", json!({"server": url, "topic": "t", "token": "tk_a"}), "authorization", "Bearer tk_a"),
        (
            "ntfy",
            json!({"server": url, "topic": "t", "user": "u", "password": "p"}),
            "authorization",
            "Basic dTpw",
        ),
        ("gotify", json!({"server": url, "token": "A.key"}), "x-gotify-key", "A.key"),
        ("matrix", json!({"server": url, "token": "syt_a", "room": "!r:x"}), "authorization", "Bearer syt_a"),
    ] {
        let request = request(kind, &params, &server, &problem()).await;
        assert_eq!(request.header(header), value, "{kind}");
        assert!(!request.path.contains(value), "{kind}");
    }
    let open = request("ntfy", &json!({"server": url, "topic": "t"}), &server, &problem()).await;
    assert!(!open.headers.contains_key("authorization"));
}

#[tokio::test]
async fn the_channels_own_words_are_obeyed() {
    for service in &chat::ALL {
        let server = HttpRecorder::answering(service.taken()).await;
        let mut notification = problem();
        notification.words = Some(vilicus_core::notification::Words {
            title: Some("own title".to_owned()),
            text: Some("own text".to_owned()),
        });
        let request = request(service.kind, &(service.params)(&server.url()), &server, &notification).await;
        let sent = String::from_utf8(request.body.to_vec()).unwrap();
        assert!(sent.contains("own title") && sent.contains("own text"), "{sent}");
        assert!(!sent.contains("97%"), "{sent}");
    }
}

#[tokio::test]
async fn each_status_says_what_to_do_next() {
    let table = [
        (Answer::status(408), Retry, None),
        (Answer::status(429).header("Retry-After", "120"), Retry, Some(120)),
        (Answer::status(429), Retry, None),
        (Answer::status(503).header("Retry-After", "Sun, 22 Nov 2026 07:02:35 GMT"), Retry, Some(30)),
        (Answer::status(503).header("Retry-After", "rubbish"), Retry, None),
        (Answer::status(500).header("Retry-After", "120"), Retry, None),
        (Answer::status(502), Retry, None),
        (Answer::status(307).header("Location", "http://127.0.0.1:1/"), Channel, None),
        (Answer::status(401), Channel, None),
        (Answer::status(403), Channel, None),
        (Answer::status(404), Channel, None),
        (Answer::status(410), Channel, None),
        (Answer::status(400), Message, None),
        (Answer::status(413), Message, None),
        (Answer::status(422), Message, None),
        (Answer::Cut, Retry, None),
    ];
    for service in &chat::ALL {
        for (answer, fault, after) in &table {
            let server = HttpRecorder::answering(answer.clone()).await;
            let error = failure(&*at(service, &server.url()), &problem()).await;
            let wait = error.retry_after().map(|span| span.get() / 1000);
            assert_eq!((error.fault(), wait), (*fault, *after), "{} {answer:?}: {error}", service.kind);
        }
    }
}

#[tokio::test]
async fn the_wish_to_be_left_alone_is_read_from_the_body() {
    for (kind, answer, millis) in [
        ("discord", json!({"message": "You are being rate limited.", "retry_after": 1.5}), 1500),
        ("telegram", json!({"ok": false, "error_code": 429, "parameters": {"retry_after": 35}}), 35_000),
        ("matrix", json!({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500}), 2500),
    ] {
        let service = named(kind);
        let server = HttpRecorder::answering(Answer::json(429, &answer)).await;
        let error = failure(&*at(service, &server.url()), &problem()).await;
        assert_eq!((error.fault(), error.retry_after()), (Retry, Some(Millis::new(millis))), "{kind}");
    }
}

#[tokio::test]
async fn a_service_that_repeats_what_it_was_sent_is_not_quoted() {
    for service in &chat::ALL {
        // Every field that a kind quotes holds all that was sent: the path, the headers and the body.
        let server = HttpRecorder::start(|request| {
            let said = format!("{} {:?} {:?}\r\n", request.path, request.headers, request.body);
            let body = json!({
                "error": {"message": said, "code": said}, "errorDescription": said, "description": said,
                "message": said, "errcode": said,
            });
            Answer::json(403, &body)
        })
        .await;
        let error = failure(&*at(service, &server.url()), &problem()).await;
        assert_eq!(error.fault(), Channel, "{}", service.kind);
        let plain = HttpRecorder::start(|request| Answer::Respond {
            status: 400,
            headers: Vec::new(),
            body: format!("{{\"error\": {:?}}}", request.path),
        })
        .await;
        failure(&*at(service, &plain.url()), &problem()).await;
    }
}

#[tokio::test]
async fn a_page_of_a_portal_is_no_delivery() {
    for service in &chat::ALL {
        let page = Answer::Respond { status: 200, headers: Vec::new(), body: "\n<html>log in".to_owned() };
        let server = HttpRecorder::answering(page).await;
        let error = failure(&*at(service, &server.url()), &problem()).await;
        assert_eq!(error.fault(), Retry, "{}: {error}", service.kind);
    }
}

#[tokio::test]
async fn an_answer_without_end_is_read_in_part() {
    for service in &chat::ALL {
        let endless = Answer::Respond { status: 400, headers: Vec::new(), body: "x".repeat(4 << 20) };
        let server = HttpRecorder::answering(endless).await;
        let error = failure(&*at(service, &server.url()), &problem()).await;
        assert!(error.fault() == Message && error.to_string().chars().count() < 300, "{error}");
    }
}

#[tokio::test]
async fn a_service_that_repeats_a_whole_message_is_understood() {
    // Telegram writes most letters with six bytes.
    let text = "\\u0444".repeat(4096);
    let body = format!(r#"{{"ok": true, "result": {{"text": "{text}", "message_id": 77}}}}"#);
    let server = HttpRecorder::answering(Answer::Respond { status: 200, headers: Vec::new(), body }).await;
    let service = named("telegram");
    let receipt = at(service, &server.url()).notify(&problem()).await.unwrap();
    assert_eq!(receipt.reference.as_deref(), Some("77"));
}

#[tokio::test]
async fn a_recovery_replies_to_the_problem() {
    for (kind, answer, pointer, told) in [
        (
            "telegram",
            json!({"ok": true, "result": {"message_id": 77}}),
            "/reply_parameters/message_id",
            json!(77),
        ),
        ("matrix", json!({"event_id": "$e:x"}), "/m.relates_to/m.in_reply_to/event_id", json!("$e:x")),
    ] {
        let service = named(kind);
        let server = HttpRecorder::answering(Answer::json(200, &answer)).await;
        let notifier = at(service, &server.url());
        let receipt = notifier.notify(&problem()).await.unwrap();
        notifier.notify(&recovery(receipt)).await.unwrap();
        let [first, second] = &server.requests()[..] else { panic!("two requests") };
        assert_eq!(body(first).pointer(pointer), None, "{kind}");
        assert_eq!(body(second).pointer(pointer), Some(&told), "{kind}");
    }
}

#[tokio::test]
async fn a_matrix_server_can_tell_a_repeated_message() {
    let server = HttpRecorder::answering(Answer::status(500)).await;
    let service = named("matrix");
    let notifier = at(service, &server.url());
    for notification in [problem(), problem(), recovery(Receipt::default())] {
        failure(&*notifier, &notification).await;
    }
    let transactions: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.path.rsplit('/').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(transactions, ["k1", "k1", "k2"]);
}

#[tokio::test]
async fn refused_addresses_are_never_connected_to() {
    let server = HttpRecorder::answering(Answer::status(200)).await;
    for service in &chat::ALL {
        for (outbound, url) in [
            (OutboundPolicy::public_only(), server.url()),
            (OutboundPolicy::default(), "http://169.254.169.254".to_owned()),
        ] {
            let notifier = build_under(outbound, service.kind, &(service.params)(&url));
            let error = notifier.notify(&problem()).await.unwrap_err();
            assert_eq!(error.fault(), NotifyFault::Channel, "{}", service.kind);
            assert!(error.to_string().contains("are refused"), "{error}");
        }
    }
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_service_that_never_answers_is_left_after_half_a_minute() {
    let server = HttpRecorder::answering(Answer::Silence).await;
    let notifier = at(&chat::ALL[0], &server.url());
    let trying = tokio::spawn(async move { failure(&*notifier, &problem()).await });
    server.wait_for(1).await;
    // From here on time is virtual: it jumps to the next deadline as soon as everybody waits.
    tokio::time::pause();
    let error = tokio::time::timeout(Duration::from_secs(31), trying).await.unwrap().unwrap();
    assert_eq!(error.fault(), Retry, "{error}");
}

#[test]
fn parameters_that_cannot_work_are_refused_by_name() {
    for (kind, params, pointer) in [
        ("slack", json!({}), "/url"),
        ("slack", json!({"url": "hooks.slack.com/services"}), "/url"),
        ("discord", json!({"url": "ftp://discord.com/"}), "/url"),
        ("teams", json!({"url": "https://u:p@x/"}), "/url"),
        ("telegram", json!({"token": "1:a"}), "/chat_id"),
        ("telegram", json!({"token": "a", "chat_id": 1}), "/token"),
        ("telegram", json!({"token": "1:a", "chat_id": "ops"}), "/chat_id"),
        ("telegram", json!({"token": "1:a", "chat_id": 1, "message_thread_id": -1}), "/message_thread_id"),
        ("telegram", json!({"token": "1:a", "chat_id": 1, "api_url": "https://x/?a"}), "/api_url"),
        ("ntfy", json!({"topic": "a/b"}), "/topic"),
        ("ntfy", json!({"topic": "a", "password": "p"}), "/user"),
        ("ntfy", json!({"topic": "a", "server": "x"}), "/server"),
        ("gotify", json!({"server": "https://x", "token": ""}), "/token"),
        ("gotify", json!({"server": "https://x", "token": "a\nb"}), "/token"),
        ("matrix", json!({"server": "https://x", "token": "t", "room": "#ops:x"}), "/room"),
        ("matrix", json!({"server": "https://x", "token": "", "room": "!r:x"}), "/token"),
        ("matrix", json!({"server": "https://x", "token": "t", "room": "!r:x", "thraed": true}), "/thraed"),
    ] {
        let stock = stock_notifiers(OutboundPolicy::default(), Arc::new(ManualClock::new(Timestamp::EPOCH)));
        let error = stock.build(kind, &params).unwrap_err();
        let vilicus_core::kind::BuildError::Params(error) = error else { panic!("{kind}: {error}") };
        assert_eq!(error.pointer, pointer, "{kind} {params}: {error}");
    }
}
