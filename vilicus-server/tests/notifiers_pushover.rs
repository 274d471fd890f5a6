//! Pushover against a stand-in that answers as the documented API does.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::http_recorder::{Answer, Recorded};
use support::notification::{critical_item, problem, recovery};
use support::pushover::{PushoverStandIn, RECEIPT, TOKEN, USER, limit_reached};
use vilicus_core::notifier::{NotifyFault, Progress};
use vilicus_core::{
    Millis, Notification, NotificationEvent, Notifier, NotifyError, Receipt, Status, Timestamp,
};
use vilicus_server::clock::ManualClock;
use vilicus_server::notifiers::stock_notifiers;
use vilicus_server::outbound::OutboundPolicy;

fn build(params: &Value) -> Result<Arc<dyn Notifier>, vilicus_core::kind::BuildError> {
    let now = Timestamp::from_millis(1_000_000_000_000);
    stock_notifiers(OutboundPolicy::default(), Arc::new(ManualClock::new(now))).build("pushover", params)
}

fn pushover(stand_in: &PushoverStandIn, more: &Value) -> Arc<dyn Notifier> {
    let mut params = json!({"token": TOKEN, "user": USER, "api_url": stand_in.url()});
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    build(&params).unwrap()
}

async fn failure(notifier: &dyn Notifier, notification: &Notification) -> NotifyError {
    let error = notifier.notify(notification).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(TOKEN) && !shown.contains(USER), "{shown}");
    error
}

fn field(request: &Recorded, name: &str) -> Option<String> {
    request.form().into_iter().find(|(field, _)| field == name).map(|(_, value)| value)
}

#[tokio::test]
async fn the_request_is_the_documented_one() {
    let stand_in = PushoverStandIn::start().await;
    let receipt = pushover(&stand_in, &json!({"device": "phone"})).notify(&problem()).await.unwrap();
    assert_eq!(receipt, Receipt::new("taken as 647d2300-702c-4b38-8b2f-d56326ae460b"));
    let requests = stand_in.http.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/1/messages.json"));
    let message = "CRITICAL since 2026-11-22T07:00:00.000Z (attempt 3 of 3)\nBefore: OK\n\nDISK CRITICAL - 97% used\n\
                   / 97%\nRunbook: https://wiki.example.com/disk\n\nhttps://vilicus.example.com/check/7\n\
                   You get this because your route 'ops' matches.";
    let expected = [
        ("token", TOKEN),
        ("user", USER),
        ("title", "[CRITICAL] web-1 / disk-root: DISK CRITICAL - 97% used"),
        ("message", message),
        ("timestamp", "1795330920"),
        ("device", "phone"),
        ("url", "https://vilicus.example.com/check/7"),
        ("priority", "1"),
    ];
    let expected: Vec<_> = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    assert_eq!(request.form(), expected);
}

#[tokio::test]
async fn an_event_is_as_loud_as_it_matters() {
    use NotificationEvent::{
        Acknowledgement, AgentDown, AgentUp, Downtime, Flapping, Problem, Recovery, Test,
    };
    let stand_in = PushoverStandIn::start().await;
    let table = [
        (Problem, Status::Critical, None, "1"),
        (Problem, Status::Unknown, None, "0"),
        (Problem, Status::Warning, None, "0"),
        (AgentDown, Status::Critical, None, "1"),
        (AgentUp, Status::Ok, None, "0"),
        (Recovery, Status::Ok, Some("warning"), "0"),
        (Acknowledgement, Status::Critical, Some("warning"), "-1"),
        (Downtime, Status::Critical, Some("warning"), "-1"),
        (Flapping, Status::Critical, Some("warning"), "0"),
        (Test, Status::Ok, Some("warning"), "0"),
        (Problem, Status::Warning, Some("warning"), "2"),
        (Problem, Status::Warning, Some("unknown"), "0"),
        (Problem, Status::Unknown, Some("unknown"), "2"),
        (Problem, Status::Unknown, Some("critical"), "0"),
        (Problem, Status::Critical, Some("critical"), "2"),
        (Problem, Status::Critical, Some("down"), "1"),
        (AgentDown, Status::Critical, Some("critical"), "2"),
        (AgentDown, Status::Critical, Some("down"), "2"),
    ];
    for (index, (event, status, emergency_on, priority)) in table.into_iter().enumerate() {
        let mut notification = problem();
        notification.key = format!("k{index}");
        (notification.items[0].event, notification.items[0].status) = (event, status);
        let more = emergency_on.map_or(json!({}), |status| json!({"emergency_on": status}));
        let receipt = pushover(&stand_in, &more).notify(&notification).await.unwrap();
        let request = stand_in.http.requests().pop().unwrap();
        assert_eq!(
            field(&request, "priority").as_deref(),
            Some(priority),
            "{event:?} {status} {emergency_on:?}"
        );
        assert_eq!(receipt.reference.as_deref(), (priority == "2").then_some(RECEIPT));
    }
}

#[tokio::test]
async fn an_emergency_rings_as_configured() {
    let stand_in = PushoverStandIn::start().await;
    for (more, retry, expire) in [
        (json!({"emergency_on": "critical"}), "60", "3600"),
        (json!({"emergency_on": "critical", "retry": 30, "expire": "3h"}), "30", "10800"),
    ] {
        pushover(&stand_in, &more).notify(&problem()).await.unwrap();
        let request = stand_in.http.requests().pop().unwrap();
        assert_eq!(field(&request, "retry").as_deref(), Some(retry));
        assert_eq!(field(&request, "expire").as_deref(), Some(expire));
    }
}

#[test]
fn limits_of_an_emergency_are_checked_when_it_is_configured() {
    for (name, value, pointer) in [
        ("retry", json!(29), "/retry"),
        ("retry", json!("29s"), "/retry"),
        ("expire", json!(10801), "/expire"),
        ("expire", json!("3h1s"), "/expire"),
        ("expire", json!(0), "/expire"),
        ("emergency_on", json!("ok"), "/emergency_on"),
        ("device", json!("a b"), "/device"),
        ("api_url", json!("ftp://x"), "/api_url"),
    ] {
        let error = build(&json!({"token": TOKEN, "user": USER, name: value})).unwrap_err();
        let vilicus_core::kind::BuildError::Params(error) = error else { panic!("{error}") };
        assert_eq!(error.pointer, pointer, "{error}");
    }
}

#[tokio::test]
async fn long_texts_are_cut_between_characters() {
    let stand_in = PushoverStandIn::start().await;
    let mut notification = problem();
    notification.items[0].output = "😀".repeat(3000);
    notification.url = Some(format!("https://vilicus.example.com/{}", "x".repeat(500)));
    pushover(&stand_in, &json!({})).notify(&notification).await.unwrap();
    let request = stand_in.http.requests().pop().unwrap();
    for (name, chars) in [("title", 250), ("message", 1024)] {
        let text = field(&request, name).unwrap();
        assert_eq!((text.chars().count(), text.chars().last()), (chars, Some('…')), "{name}");
    }
    assert_eq!(field(&request, "url"), None, "a link that was cut leads nowhere");
}

#[tokio::test]
async fn a_recovery_silences_the_emergency_and_is_told_once() {
    let stand_in = PushoverStandIn::start().await;
    let pushover = pushover(&stand_in, &json!({"emergency_on": "critical"}));
    let receipt = pushover.notify(&problem()).await.unwrap();
    let recovery = recovery(receipt);
    // Silencing fails at the first try and does not keep the recovery from being told.
    stand_in.fail_next(Answer::status(500));
    let error = failure(&*pushover, &recovery).await;
    assert_eq!(error.fault(), NotifyFault::Retry);
    assert!(error.to_string().contains("still rings"), "{error}");
    pushover.notify(&recovery).await.unwrap();
    let cancel = format!("/1/receipts/{RECEIPT}/cancel.json");
    assert_eq!(stand_in.paths(), ["/1/messages.json", &cancel, "/1/messages.json", &cancel]);
    let request = stand_in.http.requests().pop().unwrap();
    assert_eq!(request.form(), [("token".to_owned(), TOKEN.to_owned())]);
}

#[tokio::test]
async fn an_emergency_that_is_silenced_stays_so_while_the_message_is_tried_again() {
    let stand_in = PushoverStandIn::start().await;
    let pushover = pushover(&stand_in, &json!({}));
    let recovery = recovery(Receipt::new("taken").reference(RECEIPT));
    stand_in.fail_next(Answer::json(200, &json!({"status": 1})));
    stand_in.fail_next(Answer::status(500));
    failure(&*pushover, &recovery).await;
    pushover.notify(&recovery).await.unwrap();
    let cancel = format!("/1/receipts/{RECEIPT}/cancel.json");
    assert_eq!(stand_in.paths(), [&cancel, "/1/messages.json", "/1/messages.json"]);
}

#[tokio::test]
async fn an_emergency_that_is_long_gone_holds_nothing_up() {
    let stand_in = PushoverStandIn::start().await;
    let gone = recovery(Receipt::new("taken").reference("expired"));
    pushover(&stand_in, &json!({})).notify(&gone).await.unwrap();
    assert_eq!(stand_in.paths(), ["/1/receipts/expired/cancel.json", "/1/messages.json"]);
}

#[tokio::test]
async fn an_emergency_rings_on_while_a_member_of_its_group_is_a_problem() {
    let stand_in = PushoverStandIn::start().await;
    let mut mixed = recovery(Receipt::new("taken").reference(RECEIPT));
    mixed.items.push(critical_item());
    pushover(&stand_in, &json!({})).notify(&mixed).await.unwrap();
    assert_eq!(stand_in.paths(), ["/1/messages.json"]);
}

#[tokio::test]
async fn an_acknowledgement_on_the_phone_is_learned() {
    let stand_in = PushoverStandIn::start().await;
    let pushover = pushover(&stand_in, &json!({"emergency_on": "critical"}));
    let receipt = pushover.notify(&problem()).await.unwrap();
    assert!(receipt.open);
    assert_eq!(pushover.progress(&receipt).await.unwrap(), Progress::Open);
    stand_in.fail_next(Answer::status(500));
    assert_eq!(pushover.progress(&receipt).await.unwrap_err().fault(), NotifyFault::Retry);
    stand_in.acknowledge_on("ians\u{7}-phone");
    let by = "ians -phone".to_owned();
    assert_eq!(pushover.progress(&receipt).await.unwrap(), Progress::Acknowledged { by });
    stand_in.acknowledge_on("");
    let by = "Pushover".to_owned();
    assert_eq!(pushover.progress(&receipt).await.unwrap(), Progress::Acknowledged { by });
    stand_in.expire();
    assert_eq!(pushover.progress(&receipt).await.unwrap(), Progress::Settled);
    let polls =
        stand_in.paths().into_iter().filter(|path| path.starts_with(&format!("/1/receipts/{RECEIPT}.json?")));
    assert_eq!(polls.count(), 5);
}

#[tokio::test]
async fn only_an_emergency_can_be_asked_about() {
    let stand_in = PushoverStandIn::start().await;
    let quiet = pushover(&stand_in, &json!({})).notify(&problem()).await.unwrap();
    assert!(!quiet.open);
    for receipt in [quiet, Receipt::new("x").reference("../x"), Receipt::new("x").reference("forgotten")] {
        let progress = pushover(&stand_in, &json!({})).progress(&receipt).await.unwrap();
        assert_eq!(progress, Progress::Settled, "{receipt:?}");
    }
    let other = pushover(&stand_in, &json!({"token": "other"}));
    let error = other.progress(&Receipt::new("x").reference(RECEIPT)).await.unwrap_err();
    assert_eq!(error.fault(), NotifyFault::Channel);
}

#[tokio::test]
async fn a_forged_receipt_is_no_path() {
    let stand_in = PushoverStandIn::start().await;
    for reference in ["../../x", "a/b", "", "a?b", "a%2fb"] {
        let mut forged = recovery(Receipt::new("taken").reference(reference));
        forged.key = format!("forged {reference}");
        pushover(&stand_in, &json!({})).notify(&forged).await.unwrap();
    }
    assert!(stand_in.paths().iter().all(|path| path == "/1/messages.json"));
}

#[tokio::test]
async fn each_answer_says_what_to_do_next() {
    use NotifyFault::{Channel, Message, Retry};
    let errors = |text: &str| json!({"errors": [text], "status": 0, "request": "r"});
    let table = [
        (Answer::json(400, &errors("message cannot be blank")), Message, None, "message cannot be blank"),
        (Answer::json(413, &errors("too large")), Message, None, "413"),
        (
            Answer::json(400, &json!({"token": "invalid", "errors": ["application token is invalid"]})),
            Channel,
            None,
            "token is invalid",
        ),
        (
            Answer::json(400, &json!({"user": "invalid", "errors": ["user identifier is not a valid user"]})),
            Channel,
            None,
            "user identifier",
        ),
        (
            Answer::json(
                400,
                &json!({"device": "invalid for this user", "errors": ["device name is not valid for user"]}),
            ),
            Channel,
            None,
            "device name",
        ),
        (Answer::status(401), Channel, None, "401"),
        (Answer::status(404), Channel, None, "404"),
        (limit_reached(1_000_003_600), Retry, Some(3_600_000), "monthly message limit"),
        (limit_reached(2_000_000_000), Retry, Some(86_400_000), "monthly message limit"),
        (Answer::status(429).header("Retry-After", "5"), Retry, Some(5_000), "429"),
        (Answer::status(500), Retry, None, "500"),
        (Answer::status(302).header("Location", "/x"), Retry, None, "302"),
        (Answer::Cut, Retry, None, "closed the connection"),
        (Answer::json(200, &json!({"status": 0})), Retry, None, "not as Pushover does"),
        (Answer::status(200), Retry, None, "not as Pushover does"),
        (
            Answer::Respond { status: 200, headers: Vec::new(), body: "x".repeat(100_000) },
            Retry,
            None,
            "no end",
        ),
        (
            Answer::json(400, &errors(&format!("bad {TOKEN} {USER}\r\n\u{1b}[31m"))),
            Message,
            None,
            "bad *** ***",
        ),
    ];
    for (answer, fault, wait, words) in table {
        let stand_in = PushoverStandIn::start().await;
        stand_in.fail_next(answer.clone());
        let error = failure(&*pushover(&stand_in, &json!({})), &problem()).await;
        assert_eq!(
            (error.fault(), error.retry_after()),
            (fault, wait.map(Millis::new)),
            "{answer:?}: {error}"
        );
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
    }
}

#[tokio::test]
async fn a_wrong_token_pauses_the_channel() {
    let stand_in = PushoverStandIn::start().await;
    let other = pushover(&stand_in, &json!({"token": "x"}));
    let error = failure(&*other, &problem()).await;
    assert_eq!(error.fault(), NotifyFault::Channel);
}

#[tokio::test]
async fn a_service_that_never_answers_is_left_after_half_a_minute() {
    let stand_in = PushoverStandIn::start().await;
    stand_in.fail_next(Answer::Silence);
    let pushover = pushover(&stand_in, &json!({}));
    let trying = tokio::spawn(async move { failure(&*pushover, &problem()).await });
    stand_in.http.wait_for(1).await;
    tokio::time::pause();
    let error = tokio::time::timeout(Duration::from_secs(31), trying).await.unwrap().unwrap();
    assert_eq!(error.fault(), NotifyFault::Retry, "{error}");
}

#[tokio::test]
async fn silencing_that_is_never_answered_leaves_time_for_the_recovery() {
    let stand_in = PushoverStandIn::start().await;
    stand_in.fail_next(Answer::Silence);
    let pushover = pushover(&stand_in, &json!({}));
    let trying = tokio::spawn(async move {
        failure(&*pushover, &recovery(Receipt::new("taken").reference(RECEIPT))).await
    });
    stand_in.http.wait_for(1).await;
    tokio::time::pause();
    let error = tokio::time::timeout(Duration::from_secs(31), trying).await.unwrap().unwrap();
    assert!(error.to_string().contains("still rings"), "{error}");
    assert_eq!(stand_in.paths().last().unwrap(), "/1/messages.json");
}
