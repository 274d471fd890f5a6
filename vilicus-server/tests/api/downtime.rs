//! Planned silence: every form of it, what is refused, and what it does to a check.

use serde_json::{Value, json};
use vilicus_core::Millis;
use vilicus_store::inventory::Role;

use crate::support::{Api, at};

#[tokio::test]
async fn every_form_is_made_and_can_be_written_back() {
    let api = Api::new().await;
    let operator = api.token(Role::Operator).await;
    for fields in [
        json!({"start": at(3600), "end": at(7200), "comment": "kernel"}),
        json!({"end": at(3600)}),
        json!({"start": at(60), "end": at(3600), "flexible": true, "duration": "2h"}),
        json!({"schedule": "Sun 02:00-04:00 Europe/Berlin"}),
        json!({"schedule": "Sun 02:00-04:00 Europe/Berlin", "flexible": true, "duration": "30m"}),
        json!({"schedule": "0 2 * * Sun Europe/Berlin", "duration": "2h"}),
    ] {
        let mut body = json!({"match": ["agent=~web.*", "tag=prod"]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let made = api.ask("POST", "/api/v1/downtime/").bearer(&operator).json(&body).send().await;
        assert_eq!(made.status, 201, "{fields}: {}", made.text());
        let shown = made.json();
        for (name, value) in fields.as_object().unwrap() {
            assert_eq!(&shown[name], value, "{fields}");
        }
        assert!(shown["by"].as_str().unwrap().starts_with("operator"), "{shown}");
        assert!(shown["active"].is_boolean() && shown.get("next").is_some(), "{shown}");
        let path = made.header("location").to_owned();
        let put = api.put(&path, shown.clone()).await;
        assert_eq!((put.status.as_u16(), put.json()), (200, shown), "{fields}");
    }
    let total = async |query: &str| {
        api.get(&format!("/api/v1/downtime/{query}")).await.json()["meta"]["total_count"].clone()
    };
    assert_eq!(total("").await, 6);
    assert_eq!(total("?active=true").await, 1);
    assert_eq!(total("?active=false").await, 5);
    assert_eq!(api.get("/api/v1/downtime/?actve=true").await.status, 400);
}

#[tokio::test]
async fn what_would_silence_nothing_or_too_much_is_refused() {
    let api = Api::new().await;
    for (fields, pointer, words) in [
        (json!({"end": at(60)}), "/match", "missing"),
        (json!({"match": []}), "/end", "say start and end"),
        (json!({"match": [], "start": at(120), "end": at(60)}), "/end", "not after the start"),
        (json!({"match": [], "start": at(-120), "end": at(-60)}), "/end", "in the past"),
        (json!({"match": [], "end": "2026-11-23T00:00:00"}), "/end", "offset"),
        (json!({"match": [], "end": "tomorrow"}), "/end", "not a time"),
        (json!({"match": [], "schedule": "0 0 30 2 *", "duration": "1h"}), "/schedule", "never"),
        (json!({"match": [], "schedule": "0 2 * * *"}), "/duration", "duration"),
        (json!({"match": [], "schedule": "Sun 02:00-04:00 Berlin"}), "/schedule", "Europe/Berlin"),
        (json!({"match": [], "schedule": "x".repeat(5000)}), "/schedule", "too long"),
        (json!({"match": ["status=critical"], "end": at(60)}), "/match/0", "whatever their status"),
        (json!({"match": [], "end": at(60), "flexible": true}), "/duration", "missing"),
        (json!({"match": [], "end": at(60), "flexible": "yes"}), "/flexible", "boolean"),
        (json!({"match": [], "end": at(60), "comment": "a\u{0}b"}), "/comment", "control"),
        (json!({"match": [], "ends": at(60)}), "/ends", "did you mean 'end'?"),
    ] {
        let reply = api.post("/api/v1/downtime/", fields.clone()).await;
        assert_eq!(reply.status, 422, "{fields}: {}", reply.text());
        assert_eq!(reply.pointers(), [pointer], "{fields}: {}", reply.text());
        assert!(reply.text().contains(words), "{fields}: {}", reply.text());
    }
    assert_eq!(api.get("/api/v1/downtime/").await.json()["meta"]["total_count"], 0, "nothing was made");
}

#[tokio::test]
async fn one_that_is_over_can_still_get_another_comment_but_not_another_past() {
    let api = Api::new().await;
    let made = api.post("/api/v1/downtime/", json!({"match": [], "end": at(60)})).await;
    let path = made.header("location").to_owned();
    api.clock.advance(Millis::from_secs(600));
    assert_eq!(api.patch(&path, json!({"comment": "it was the fan"})).await.status, 200);
    assert_eq!(api.patch(&path, json!({"end": at(120)})).await.status, 422);
    let turned = json!({"schedule": "Sun 02:00-04:00"});
    assert_eq!(api.patch(&path, turned).await.pointers(), ["/schedule"], "it would be both");
    let turned = json!({"schedule": "Sun 02:00-04:00", "start": null, "end": null});
    assert_eq!(api.patch(&path, turned).await.json()["start"], Value::Null);
}

#[tokio::test]
async fn a_problem_in_a_downtime_is_not_told_and_says_why() {
    let api = Api::new().await;
    let (id, token) = api.agent("web-1").await;
    let hook = json!({"name": "hook", "kind": "webhook", "params": {"url": "https://example.org/"}});
    assert_eq!(api.post("/api/v1/channel/", hook).await.status, 201);
    let check = json!({"agent": id, "name": "disk", "kind": "load", "max_attempts": 1});
    let path = api.post("/api/v1/check/", check).await.header("location").to_owned();
    let downtime = json!({"match": ["agent=web-1"], "end": at(3600), "comment": "new disk"});
    let downtime = api.post("/api/v1/downtime/", downtime).await;
    assert_eq!(downtime.json()["active"], true);
    let about = api.get("/api/v1/downtime/?check=web-1/disk").await.json();
    assert_eq!(about["meta"]["total_count"], 1);
    let result = json!({"check": "web-1/disk", "timestamp": at(0), "status": 2, "output": "gone"});
    assert_eq!(
        api.ask("POST", "/api/v1/check_history/").bearer(&token).json(&result).send().await.status,
        201
    );
    let state = api.get(&path).await.json()["state"].clone();
    assert_eq!((&state["in_downtime"], &state["held"]), (&json!(true), &json!("downtime")), "{state}");
    assert_eq!(state["downtime_until"], at(3600).to_string());
    assert_eq!(api.get("/api/v1/notification/").await.json()["objects"], json!([]));
    let why = api.get(&format!("{path}explain/")).await.json();
    let verdict = why["verdict"].as_str().unwrap();
    assert!(verdict.contains("in downtime") && verdict.contains("new disk"), "{verdict}");
    assert_eq!(api.delete(downtime.header("location")).await.status, 204);
}
