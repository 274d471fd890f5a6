//! Stored results judged again, as the API answers it.

use serde_json::{Value, json};
use vilicus_core::{ChannelId, Millis, Receipt};
use vilicus_store::Input;
use vilicus_store::inventory::Role;
use vilicus_store::outbox::{Delivery, Try};

use crate::support::{Api, at};

/// A check with a channel, and an hour of its results, one a minute: bad ones from these minutes on, for as long.
async fn with(bad: &[(i64, i64)]) -> (Api, u64) {
    let api = Api::new().await;
    let hook = json!({"name": "hook", "kind": "webhook", "params": {"url": "https://example.org/x"}});
    assert_eq!(api.post("/api/v1/channel/", hook).await.status, 201);
    let (agent, token) = api.agent("web-1").await;
    let check = api.check(agent, "load").await;
    for minute in 1..60 {
        api.clock.set(at(minute * 60));
        let is_bad = bad.iter().any(|(from, lasts)| (*from..from + lasts).contains(&minute));
        let metrics = json!([{"name": "load1", "value": if is_bad { 9.5 } else { 0.5 }}]);
        let result = json!({"check": check, "status": if is_bad { 2 } else { 0 },
            "output": format!("minute {minute}\nmore"), "metrics": metrics});
        let reply = api.ask("POST", "/api/v1/check_history/").bearer(&token).json(&result).send().await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        api.store.commit(at(minute * 60), vec![Input::Deadlines]).await.unwrap();
        deliver(&api).await;
    }
    (api, check)
}

/// Takes every message that may go, as the dispatcher would.
async fn deliver(api: &Api) {
    let now = vilicus_server::Clock::now(&*api.clock);
    let channel = ChannelId::new(1).unwrap();
    for row in api.store.claim(channel, now, 10).await.unwrap() {
        let attempt = Try { at: now, took: Millis::ZERO, detail: String::new(), fault: None };
        let delivery = Delivery::Sent { receipt: Receipt::default() };
        let input = Input::Delivery { notification: row.id, attempt, delivery };
        api.store.commit(now, vec![input]).await.unwrap();
    }
}

async fn replay(api: &Api, body: Value) -> Value {
    let reply = api.post("/api/v1/replay/", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// Which messages, as `seconds after the start: event status`.
fn messages(list: &Value) -> Vec<String> {
    let one = |message: &Value| {
        let moment: vilicus_core::Timestamp = message["at"].as_str().unwrap().parse().unwrap();
        format!(
            "{} {} {}",
            moment.since(at(0)),
            message["event"].as_str().unwrap(),
            message["status"].as_str().unwrap()
        )
    };
    list.as_array().unwrap().iter().map(one).collect()
}

#[tokio::test]
async fn the_same_policy_tells_what_was_told() {
    let (api, check) = with(&[(5, 2), (10, 5), (30, 20)]).await;
    let answer = replay(&api, json!({"check": check, "since": at(0)})).await;
    let was = messages(&answer["was_sent"]);
    assert_eq!(was, ["12m problem CRITICAL", "15m recovery OK", "32m problem CRITICAL", "50m recovery OK"]);
    assert_eq!(messages(&answer["would_send"]), was);
    assert_eq!((&answer["results"], &answer["summary"]["would_send"]), (&json!(58), &json!(4)));
    assert_eq!(answer["summary"]["would_seconds"], answer["summary"]["was_seconds"], "{answer}");
    for (would, was) in
        answer["would_send"].as_array().unwrap().iter().zip(answer["was_sent"].as_array().unwrap())
    {
        assert_eq!(would["output"], was["output"]);
        assert_eq!((&would["channel"], &would["previous"]), (&was["channel"], &was["previous"]));
        assert_eq!((&was["state"], &would["state"]), (&json!("sent"), &Value::Null));
        assert_eq!(api.get(was["notification"].as_str().unwrap()).await.status, 200);
    }
}

#[tokio::test]
async fn another_policy_tells_something_else() {
    let (api, _) = with(&[(5, 2), (10, 5), (30, 20)]).await;
    for (policy, expected) in [
        (json!({"max_attempts": 10}), &["39m problem CRITICAL", "50m recovery OK"][..]),
        (json!({"notifications": false}), &[]),
        (
            json!({"thresholds": {"load1": {"critical": "5", "for": "15m"}}}),
            &["12m problem CRITICAL", "15m recovery OK", "32m problem CRITICAL", "50m recovery OK"],
        ),
        (
            json!({"recover_attempts": 5}),
            &["12m problem CRITICAL", "19m recovery OK", "32m problem CRITICAL", "54m recovery OK"],
        ),
    ] {
        let answer = replay(&api, json!({"check": "web-1/load", "since": at(0), "policy": policy})).await;
        assert_eq!(messages(&answer["would_send"]), expected, "{policy}");
        assert_eq!(answer["summary"]["was_sent"], 4);
    }
}

#[tokio::test]
async fn routes_are_tried_that_nobody_has_made() {
    let (api, check) = with(&[(10, 45)]).await;
    let route = json!({"name": "try", "channels": ["hook"], "first_delay": "10m", "repeat_interval": "15m"});
    let answer = replay(&api, json!({"check": check, "since": at(0), "routes": [route]})).await;
    assert_eq!(
        messages(&answer["would_send"]),
        ["22m problem CRITICAL", "37m problem CRITICAL", "52m problem CRITICAL", "55m recovery OK"]
    );
    assert_eq!(answer["would_send"][0]["route"], Value::Null);
    assert_eq!(api.get("/api/v1/route/").await.json()["meta"]["total_count"], 0, "nothing was made");
}

#[tokio::test]
async fn a_part_of_a_problem_begins_where_it_was() {
    let (api, check) = with(&[(10, 30)]).await;
    let answer = replay(&api, json!({"check": check, "since": at(20 * 60), "until": at(50 * 60)})).await;
    assert_eq!(messages(&answer["would_send"]), ["40m recovery OK"]);
    assert_eq!(messages(&answer["was_sent"]), ["40m recovery OK"]);
    assert_eq!(answer["summary"]["would_seconds"]["critical"], json!(1200.0));
    assert_eq!(answer["summary"]["would_seconds"], answer["summary"]["was_seconds"]);
}

#[tokio::test]
async fn what_cannot_be_replayed_is_refused_with_its_place() {
    let (api, check) = with(&[]).await;
    for (body, pointer) in [
        (json!({"since": at(0)}), "/check"),
        (json!({"check": check}), "/since"),
        (json!({"check": 4711, "since": at(0)}), "/check"),
        (json!({"check": check, "since": at(9000)}), "/since"),
        (json!({"check": check, "since": at(9), "until": at(5)}), "/since"),
        (json!({"check": check, "since": at(0), "polciy": {}}), "/polciy"),
        (json!({"check": check, "since": at(0), "policy": {"max_atempts": 5}}), "/policy/max_atempts"),
        (json!({"check": check, "since": at(0), "policy": {"max_attempts": 0}}), "/policy/max_attempts"),
        (json!({"check": check, "since": at(0), "policy": {"max_attempts": null}}), "/policy/max_attempts"),
        (
            json!({"check": check, "since": at(0), "policy": {"thresholds": {"x": {"warning": "9:1"}}}}),
            "/policy/thresholds/x/warning",
        ),
        (
            json!({"check": check, "since": at(0), "routes": [{"name": "a", "channels": ["nosuch"]}]}),
            "/routes/0/channels/0",
        ),
        (json!({"check": check, "since": at(0), "routes": [{"nmae": "a"}]}), "/routes/0/nmae"),
    ] {
        let reply = api.post("/api/v1/replay/", body.clone()).await;
        assert_eq!(reply.status, 422, "{body}: {}", reply.text());
        assert_eq!(reply.pointers(), [pointer], "{body}: {}", reply.text());
    }
    let unknown = api
        .post("/api/v1/replay/", json!({"check": check, "since": at(0), "policy": {"max_atempts": 5}}))
        .await;
    assert!(unknown.text().contains("did you mean 'max_attempts'?"), "{}", unknown.text());
}

#[tokio::test]
async fn a_viewer_may_ask_and_an_agent_may_not() {
    let (api, check) = with(&[]).await;
    let (_, agent) = api.agent("web-2").await;
    let body = json!({"check": check, "since": at(0)});
    for (token, status) in [(api.token(Role::Viewer).await, 200), (agent, 403), ("x".repeat(40), 401)] {
        let reply = api.ask("POST", "/api/v1/replay/").bearer(&token).json(&body).send().await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
}
