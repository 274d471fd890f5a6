//! The webhook against a real web server: what it sends, and what it makes of each answer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use support::http_recorder::{Answer, HttpRecorder};
use support::notification::{critical_item, problem, recovery};
use tokio::net::TcpListener;
use vilicus_core::notifier::NotifyFault;
use vilicus_core::{Millis, Notification, Notifier, NotifyError, Receipt, Timestamp};
use vilicus_server::clock::ManualClock;
use vilicus_server::notifiers::stock_notifiers;
use vilicus_server::outbound::OutboundPolicy;

const CANARY: &str = "canary-5b1e";

fn webhook_under(outbound: OutboundPolicy, params: &Value) -> Arc<dyn Notifier> {
    let now: Timestamp = "2026-11-22T07:02:05Z".parse().unwrap();
    stock_notifiers(outbound, Arc::new(ManualClock::new(now))).build("webhook", params).unwrap()
}

fn webhook(params: &Value) -> Arc<dyn Notifier> {
    webhook_under(OutboundPolicy::default(), params)
}

fn canary_webhook(url: &str) -> Arc<dyn Notifier> {
    webhook(
        &json!({"url": format!("{url}/hook/{CANARY}"), "secret": CANARY, "headers": {"Authorization": CANARY}}),
    )
}

async fn failure(notifier: &dyn Notifier, notification: &Notification) -> NotifyError {
    let error = notifier.notify(notification).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(CANARY), "{error:?}");
    error
}

#[tokio::test]
async fn the_request_is_the_documented_one() {
    let server = HttpRecorder::answering(Answer::status(204)).await;
    let webhook = webhook(&json!({
        "url": format!("{}/hook?a=b", server.url()),
        "secret": "whsec_c2VjcmV0",
        "headers": {"Authorization": "Bearer t", "X-Team": "ops"},
    }));
    let receipt = webhook.notify(&problem()).await.unwrap();
    assert_eq!(receipt, Receipt::new("the webhook answered 204"));

    let requests = server.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook?a=b"));
    for (name, value) in [
        ("content-type", "application/json"),
        ("webhook-id", "k1"),
        ("idempotency-key", "k1"),
        ("webhook-timestamp", "1795330925"),
        ("authorization", "Bearer t"),
        ("x-team", "ops"),
    ] {
        assert_eq!(request.header(name), value, "{name}");
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
    mac.update(b"k1.1795330925.");
    mac.update(&request.body);
    let signature = format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()));
    assert_eq!(request.header("webhook-signature"), signature);

    let item = json!({
        "event": "problem",
        "agent": "web-1",
        "check": "disk-root",
        "status": "CRITICAL",
        "previous_status": "OK",
        "state_type": "hard",
        "since": "2026-11-22T07:00:00.000Z",
        "at": "2026-11-22T07:02:00.000Z",
        "output": "DISK CRITICAL - 97% used",
        "metrics": [{"name": "used", "value": 97.0, "unit": "%", "warning": null, "critical": null, "min": null, "max": null, "written_unit": null}],
    });
    let mut expected = item.clone();
    expected["version"] = json!(1);
    expected["url"] = json!("https://vilicus.example.com/check/7");
    expected["items"] = json!([item]);
    assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), expected);
}

#[tokio::test]
async fn a_body_of_ones_own_is_sent_and_signed() {
    let server = HttpRecorder::answering(Answer::status(200)).await;
    let mut hostile = problem();
    hostile.items[0].output = "\"}, {\"admin\": true\r\n{{ key }}\u{1b}</script>".to_owned();
    let params = json!({
        "url": server.url(), "secret": "whsec_c2VjcmV0", "method": "PUT",
        "body": "{\"text\": {{ output }}, \"checks\": [{% for i in items %}{{ i.check | tojson }}{% if not loop.last %}, {% endif %}{% endfor %}]}",
    });
    webhook(&params).notify(&hostile).await.unwrap();
    let requests = server.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.method.as_str(), request.header("content-type")), ("PUT", "application/json"));
    let expected = json!({"text": hostile.items[0].output, "checks": ["disk-root"]});
    assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), expected);
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
    mac.update(b"k1.1795330925.");
    mac.update(&request.body);
    let signature = format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()));
    assert_eq!(request.header("webhook-signature"), signature);
}

#[tokio::test]
async fn a_body_can_be_any_text() {
    let server = HttpRecorder::answering(Answer::status(200)).await;
    let params = json!({
        "url": server.url(), "content_type": "application/x-www-form-urlencoded",
        "body": "text={{ title | urlencode }}&from={{ previous_status }}&was={{ problem_since }}",
    });
    webhook(&params).notify(&problem()).await.unwrap();
    let request = server.requests().pop().unwrap();
    assert_eq!(request.header("content-type"), "application/x-www-form-urlencoded");
    let fields =
        [("text", "[CRITICAL] web-1 / disk-root: DISK CRITICAL - 97% used"), ("from", "OK"), ("was", "")];
    assert_eq!(request.form(), fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_body_is_checked_when_it_is_written() {
    let stock = stock_notifiers(OutboundPolicy::default(), Arc::new(ManualClock::new(Timestamp::EPOCH)));
    for (params, pointer, words) in [
        (json!({"body": "{\"text\": {{ titel }}}"}), "/body", "did you mean 'title'"),
        (json!({"body": "{\"text\": \"{{ title }}\"}"}), "/body", "no JSON"),
        (json!({"body": "{{ title }", "content_type": "text/plain"}), "/body", "line 1"),
        (json!({"content_type": "text/plain"}), "/content_type", "give body too"),
        (json!({"body": "x", "content_type": "text"}), "/content_type", "media type"),
        (json!({"body": "x", "content_type": "text/plain\r\nX-A: b"}), "/content_type", "media type"),
        (json!({"method": "GET"}), "/method", "PUT"),
    ] {
        let mut all = json!({"url": "https://example.com/"});
        all.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
        let vilicus_core::kind::BuildError::Params(error) = stock.build("webhook", &all).unwrap_err() else {
            panic!("{params}")
        };
        assert_eq!(error.pointer, pointer, "{params}: {error}");
        assert!(error.detail.contains(words), "{params}: {error}");
    }
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed() {
    let server = HttpRecorder::answering(Answer::status(200)).await;
    webhook(&json!({"url": server.url()})).notify(&problem()).await.unwrap();
    assert!(!server.requests()[0].headers.contains_key("webhook-signature"));
}

#[tokio::test]
async fn a_group_lists_its_members_and_says_how_many_more() {
    let server = HttpRecorder::answering(Answer::status(200)).await;
    let mut notification = problem();
    let mut late = critical_item();
    (late.check, late.late) = ("load".to_owned(), true);
    notification.items.push(late);
    notification.more = 3;
    webhook(&json!({"url": server.url()})).notify(&notification).await.unwrap();
    let body: Value = serde_json::from_slice(&server.requests()[0].body).unwrap();
    assert_eq!((&body["check"], &body["more"]), (&json!("disk-root"), &json!(3)));
    assert_eq!((&body["items"][1]["check"], &body["items"][1]["late"]), (&json!("load"), &json!(true)));
    assert!(body.get("late").is_none());
}

#[tokio::test]
async fn each_status_says_what_to_do_next() {
    use NotifyFault::{Channel, Message, Retry};
    for (answer, fault, after) in [
        (Answer::status(408), Retry, None),
        (Answer::status(425), Retry, None),
        (Answer::status(429).header("Retry-After", "120"), Retry, Some(120)),
        (Answer::status(503).header("Retry-After", "Sun, 22 Nov 2026 07:02:35 GMT"), Retry, Some(30)),
        (Answer::status(503).header("Retry-After", "rubbish"), Retry, None),
        (Answer::status(500).header("Retry-After", "120"), Retry, None),
        (Answer::status(502), Retry, None),
        (Answer::status(401), Channel, None),
        (Answer::status(403), Channel, None),
        (Answer::status(404), Channel, None),
        (Answer::status(410), Channel, None),
        (Answer::status(400), Message, None),
        (Answer::status(413), Message, None),
        (Answer::status(422), Message, None),
        (Answer::status(418), Message, None),
        (Answer::Cut, Retry, None),
    ] {
        let server = HttpRecorder::answering(answer.clone()).await;
        let error = failure(&*canary_webhook(&server.url()), &problem()).await;
        let wait = error.retry_after().map(Millis::get);
        assert_eq!(
            (error.fault(), wait),
            (fault, after.map(|seconds: u64| seconds * 1000)),
            "{answer:?}: {error}"
        );
    }
}

#[tokio::test]
async fn what_the_remote_writes_is_never_repeated() {
    let body = format!("stack trace, {CANARY}, <script>");
    let answer = Answer::Respond { status: 400, headers: Vec::new(), body };
    let server = HttpRecorder::answering(answer).await;
    let error = failure(&*canary_webhook(&server.url()), &problem()).await;
    assert_eq!(error.to_string(), "the webhook answered 400");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = HttpRecorder::answering(Answer::status(200)).await;
    for status in [301, 302, 303, 307, 308] {
        let answer = Answer::status(status).header("Location", &target.url());
        let server = HttpRecorder::answering(answer).await;
        let error = failure(&*canary_webhook(&server.url()), &problem()).await;
        assert_eq!(error.fault(), NotifyFault::Channel, "{status}");
    }
    assert_eq!(target.requests().len(), 0);
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_again() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = failure(&*canary_webhook(&format!("http://127.0.0.1:{port}")), &problem()).await;
    assert_eq!(error.fault(), NotifyFault::Retry, "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_after_half_a_minute() {
    let server = HttpRecorder::answering(Answer::Silence).await;
    let webhook = canary_webhook(&server.url());
    let trying = tokio::spawn(async move { failure(&*webhook, &problem()).await });
    server.wait_for(1).await;
    // From here on time is virtual: it jumps to the next deadline as soon as everybody waits.
    tokio::time::pause();
    let error = tokio::time::timeout(Duration::from_secs(31), trying).await.unwrap().unwrap();
    assert_eq!(error.fault(), NotifyFault::Retry, "{error}");
}

#[tokio::test]
async fn an_unknown_name_rests_the_channel_for_a_moment() {
    let error = failure(&*canary_webhook("http://no-such-host.invalid"), &problem()).await;
    assert_eq!(
        (error.fault(), error.retry_after()),
        (NotifyFault::Channel, Some(Millis::from_minutes(1))),
        "{error}"
    );
}

#[tokio::test]
async fn refused_addresses_are_never_connected_to() {
    let server = HttpRecorder::answering(Answer::status(200)).await;
    let port = server.address().port();
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433"] {
        let url = format!("http://{host}:{port}/");
        let strict = webhook_under(OutboundPolicy::public_only(), &json!({"url": url}));
        let error = failure(&*strict, &problem()).await;
        assert_eq!(error.fault(), NotifyFault::Channel, "{host}");
        assert!(error.to_string().contains("are refused"), "{error}");
    }
    assert_eq!(server.requests().len(), 0);
    for host in ["169.254.169.254", "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]", "0.0.0.0"] {
        let error = failure(&*webhook(&json!({"url": format!("http://{host}:{port}/")})), &problem()).await;
        assert!(error.to_string().contains("are refused"), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_pauses_the_channel() {
    let certificate = support::certificate::certificate_for(&["localhost"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The client leaves in the middle of the handshake.
            let _ = certificate.acceptor.accept(stream).await;
        }
    });
    let error = failure(&*canary_webhook(&format!("https://localhost:{port}")), &problem()).await;
    assert_eq!(error.fault(), NotifyFault::Channel, "{error}");
}

#[tokio::test]
async fn the_key_is_the_same_at_every_try_and_another_for_every_message() {
    let server = HttpRecorder::answering(Answer::status(500)).await;
    let webhook = webhook(&json!({"url": server.url()}));
    for notification in [problem(), problem(), recovery(Receipt::default())] {
        failure(&*webhook, &notification).await;
    }
    let keys: Vec<String> =
        server.requests().iter().map(|request| request.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys, ["k1", "k1", "k2"]);
}

#[test]
fn headers_that_break_a_request_are_refused() {
    for (name, value) in [
        ("Host", "x"),
        ("content-length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Webhook-Id", "x"),
        ("Idempotency-Key", "x"),
        ("X-A", "a\r\nX-B: c"),
        ("X-A", "a\nb"),
        ("X-A", "a\0b"),
        ("X-A\r\nX-B", "a"),
        ("X A", "a"),
        ("", "a"),
        ("X-A:", "a"),
    ] {
        let params = json!({"url": "https://example.com/", "headers": {name: value}});
        let stock = stock_notifiers(OutboundPolicy::default(), Arc::new(ManualClock::new(Timestamp::EPOCH)));
        assert!(stock.build("webhook", &params).is_err(), "{name:?}: {value:?}");
    }
}
