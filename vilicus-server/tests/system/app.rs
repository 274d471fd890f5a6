//! An app that brings its own checks: it announces them, reports, takes one back while people worry, and signs off.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::agent::enroll_by_hand;
use crate::harness::webhook::Recorder;
use crate::harness::{Rest, Server, rest, until};

#[tokio::test]
async fn an_app_announces_its_checks_and_takes_them_back() {
    let server = Server::new().start().await;
    let admin = server.admin();
    let recorder = Recorder::start().await;
    recorder.channel(&admin).await;
    let (id, app) = enroll_by_hand(&server, "shop").await;
    let announce = format!("/api/v1/agent/{id}/checks/");
    let queue =
        json!({"name": "queue", "kind": "shop_queue", "params": {"any": ["thing"]}, "max_attempts": 1});
    let database = json!({"name": "database", "kind": "shop_database", "max_attempts": 1});
    for _ in 0..2 {
        app.put(&announce, &json!({"objects": [queue, database]})).await.expect(200);
    }
    let checks = checks(&admin).await;
    let seen: Vec<(&str, &str)> =
        checks.iter().map(|one| (rest::text(one, "name"), rest::text(one, "origin"))).collect();
    assert_eq!(seen, [("queue", "agent"), ("database", "agent")]);
    operators_may_silence_and_no_more(&admin, &checks[0]).await;

    for (check, status) in [("shop/queue", "CRITICAL"), ("shop/database", "OK")] {
        let result = json!({"check": check, "status": status, "output": "as measured"});
        app.post("/api/v1/check_history/", &result).await.expect(201);
    }
    told(&recorder, 1, "problem").await;
    app.put(&announce, &json!({"objects": [database]})).await.expect(200);
    told(&recorder, 2, "closed").await;
    assert_eq!(self::checks(&admin).await.len(), 1, "what is no longer announced is retired");

    assert_eq!(app.delete(&format!("/api/v1/agent/{id}/")).await.status, 204);
    assert_eq!(app.get("/api/v1/agent/").await.status, 401, "its token ends with it");
    assert_eq!(admin.list("/api/v1/agent/").await, Vec::<Value>::new());
    assert_eq!(recorder.calls().len(), 2, "signing off is no alert: {:?}", recorder.calls());
}

async fn checks(admin: &Rest) -> Vec<Value> {
    let checks = admin.list("/api/v1/check/?agent=shop").await;
    checks.into_iter().filter(|check| check["kind"] != "agent").collect()
}

async fn operators_may_silence_and_no_more(admin: &Rest, check: &Value) {
    let path = rest::text(check, "resource_uri");
    admin
        .patch(path, &json!({"notifications": true, "runbook_url": "https://wiki.example.org/"}))
        .await
        .expect(200);
    let refused = admin.patch(path, &json!({"params": {"any": []}})).await;
    assert!(
        (400..500).contains(&refused.status),
        "params are the app's: {} {}",
        refused.status,
        refused.text()
    );
}

async fn told(recorder: &Recorder, count: usize, event: &str) {
    let call = until(&format!("message {count}, a {event}"), Duration::from_secs(10), async || {
        recorder.calls().get(count - 1).cloned()
    })
    .await;
    assert_eq!((call.event(), &call.body["check"]), (event, &json!("queue")), "{call:?}");
}
