//! Someone acknowledges on the phone: then they are on it here too, and the others hear so.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::rest::id;
use crate::harness::{Rest, Server, until};
use crate::support::postfix::Postfix;
use crate::support::pushover::{PushoverStandIn, RECEIPT, TOKEN, USER};

/// The phone is asked every five seconds; the rest is for a machine that runs other tests at the same time.
const KNOWN_WITHIN: Duration = Duration::from_secs(5 + 10);
/// What telling may take.
const TOLD_WITHIN: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_on_the_phone_is_ours() {
    let (postfix, pushover) = (Postfix::start().await, PushoverStandIn::start().await);
    let server = Server::new().start().await;
    let admin = server.admin();
    channels(&admin, &postfix, &pushover).await;
    admin.create("/api/v1/agent/", json!({"name": "web-1"})).await;
    let check = json!({"agent": "web-1", "name": "shop", "kind": "process", "params": {"name": "x"}, "max_attempts": 1});
    let check = id(&admin.create("/api/v1/check/", check).await);
    result(&admin, check, "CRITICAL").await;
    until("the phone rings", TOLD_WITHIN, async || {
        (messages(&pushover) == 1 && postfix.mails("ops").len() == 1).then_some(())
    })
    .await;

    pushover.acknowledge_on("pixel");
    let state = until("the problem is acknowledged", KNOWN_WITHIN, async || {
        let state = admin.get(&format!("/api/v1/check/{check}/")).await.expect(200)["state"].clone();
        (state["acknowledged"] == true).then_some(state)
    })
    .await;
    assert_eq!(state["status"], "CRITICAL", "{state}");
    until("the mail says who is on it", TOLD_WITHIN, async || {
        let mails = postfix.mails("ops");
        mails.iter().any(|mail| mail.contains("Subject: [ACK] web-1 / shop")).then_some(())
    })
    .await;
    let events = admin.list("/api/v1/event/").await;
    let told = events.iter().any(|event| {
        let text = event.to_string();
        text.contains("acknowledged in pushover") && text.contains("pixel")
    });
    assert!(told, "no event names the phone: {events:#?}");

    result(&admin, check, "OK").await;
    until("the end is told on both", TOLD_WITHIN, async || {
        (postfix.mails("ops").len() == 3 && messages(&pushover) == 3).then_some(())
    })
    .await;
    let priorities = priorities(&pushover);
    assert_eq!(priorities, ["2", "-1", "0"], "the acknowledgement rings nobody");
    let state = admin.get(&format!("/api/v1/check/{check}/")).await.expect(200)["state"].clone();
    assert_eq!((&state["status"], &state["acknowledged"]), (&json!("OK"), &json!(false)), "{state}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_silences_the_phone_and_ends_the_asking() {
    let (postfix, pushover) = (Postfix::start().await, PushoverStandIn::start().await);
    let server = Server::new().start().await;
    let admin = server.admin();
    channels(&admin, &postfix, &pushover).await;
    admin.create("/api/v1/agent/", json!({"name": "web-1"})).await;
    let check = json!({"agent": "web-1", "name": "shop", "kind": "process", "params": {"name": "x"}, "max_attempts": 1});
    let check = id(&admin.create("/api/v1/check/", check).await);
    result(&admin, check, "CRITICAL").await;
    until("the phone is asked", KNOWN_WITHIN, async || (asked(&pushover) > 0).then_some(())).await;
    result(&admin, check, "OK").await;
    until("the emergency is cancelled", TOLD_WITHIN, async || {
        pushover.paths().contains(&format!("/1/receipts/{RECEIPT}/cancel.json")).then_some(())
    })
    .await;
    until("the end is told", TOLD_WITHIN, async || (messages(&pushover) == 2).then_some(())).await;
    // A round of asking may be under way; after it there is none.
    let mut quiet = (asked(&pushover), tokio::time::Instant::now());
    until("nobody is asked for twelve seconds", Duration::from_secs(40), async || {
        let now = asked(&pushover);
        if now != quiet.0 {
            quiet = (now, tokio::time::Instant::now());
        }
        (quiet.1.elapsed() > Duration::from_secs(12)).then_some(())
    })
    .await;
}

async fn channels(admin: &Rest, postfix: &Postfix, pushover: &PushoverStandIn) {
    let smtp = format!("smtp://127.0.0.1:{}", postfix.plain_port);
    let params = json!({"smtp": smtp, "from": "vilicus@example.com", "to": ["ops@example.com"]});
    admin.create("/api/v1/channel/", json!({"name": "mail", "kind": "email", "params": params})).await;
    let params = json!({"token": TOKEN, "user": USER, "emergency_on": "critical", "api_url": pushover.url()});
    admin.create("/api/v1/channel/", json!({"name": "phone", "kind": "pushover", "params": params})).await;
}

async fn result(admin: &Rest, check: u64, status: &str) {
    let body: Value = json!({"status": status, "output": format!("it is {status}")});
    let answer = admin.send(Method::POST, &format!("/api/v1/check/{check}/result/"), Some(&body)).await;
    assert!(answer.status < 300, "{}", answer.text());
}

fn messages(pushover: &PushoverStandIn) -> usize {
    pushover.paths().iter().filter(|path| *path == "/1/messages.json").count()
}

fn asked(pushover: &PushoverStandIn) -> usize {
    pushover.paths().iter().filter(|path| path.starts_with(&format!("/1/receipts/{RECEIPT}.json"))).count()
}

/// The priorities of the messages, in order.
fn priorities(pushover: &PushoverStandIn) -> Vec<String> {
    let requests = pushover.http.requests();
    let messages = requests.iter().filter(|request| request.path == "/1/messages.json");
    let priority = |form: Vec<(String, String)>| {
        form.into_iter().find(|(field, _)| field == "priority").map_or("0".to_owned(), |(_, value)| value)
    };
    messages.map(|request| priority(request.form())).collect()
}
