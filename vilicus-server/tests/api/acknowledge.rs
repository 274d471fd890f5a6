//! Someone is on it: who may say so, of what, and what others see of it.

use serde_json::{Value, json};
use vilicus_core::Millis;
use vilicus_store::inventory::Role;

use crate::support::{Api, at};

/// A check, its path, and the token of its agent.
async fn scene(api: &Api) -> (String, String) {
    let (id, token) = api.agent("web-1").await;
    let hook = json!({"name": "hook", "kind": "webhook", "params": {"url": "https://example.org/"}});
    assert_eq!(api.post("/api/v1/channel/", hook).await.status, 201);
    let check = json!({"agent": id, "name": "disk", "kind": "load"});
    (api.post("/api/v1/check/", check).await.header("location").to_owned(), token)
}

async fn submit(api: &Api, token: &str, seconds: i64, status: u8) {
    let result = json!({"check": "web-1/disk", "timestamp": at(seconds), "status": status, "output": "o"});
    let reply = api.ask("POST", "/api/v1/check_history/").bearer(token).json(&result).send().await;
    assert_eq!(reply.status, 201, "{}", reply.text());
}

#[tokio::test]
async fn a_problem_is_acknowledged_seen_and_taken_back() {
    let api = Api::new().await;
    let (path, token) = scene(&api).await;
    let operator = api.token(Role::Operator).await;
    let action = format!("{path}acknowledge/");
    let ask = async |body: Value| api.ask("POST", &action).bearer(&operator).json(&body).send().await;
    assert_eq!(ask(json!({"comment": "nothing yet"})).await.status, 409, "there is no problem");
    submit(&api, &token, 0, 2).await;
    let made = ask(json!({"comment": "on it", "sticky": true, "expires_at": at(600)})).await;
    assert_eq!(made.status, 201, "a soft problem is one too: {}", made.text());
    let made = made.json();
    assert_eq!((&made["comment"], &made["sticky"]), (&json!("on it"), &json!(true)));
    let state = api.get(&path).await.json()["state"].clone();
    assert_eq!((&state["acknowledged"], &state["acknowledgement"]), (&json!(true), &made));
    assert_eq!(ask(json!({"comment": "on it still"})).await.status, 200, "it takes the other's place");
    let events = api.get("/api/v1/event/?type=acknowledged").await.json();
    assert_eq!(events["objects"].as_array().unwrap().len(), 2, "{events}");
    let summary = events["objects"][1]["summary"].as_str().unwrap();
    assert!(summary.contains("is on web-1 / disk") && summary.ends_with("on it"), "{summary}");
    for _ in 0..2 {
        let reply = api.ask("DELETE", &action).bearer(&operator).send().await;
        assert_eq!(reply.status, 204, "also when nobody is on it: {}", reply.text());
    }
    let state = api.get(&path).await.json()["state"].clone();
    assert_eq!((&state["acknowledged"], &state["acknowledgement"]), (&json!(false), &Value::Null));
}

#[tokio::test]
async fn a_confirmed_problem_that_someone_is_on_is_not_told() {
    let api = Api::new().await;
    let (path, token) = scene(&api).await;
    submit(&api, &token, 0, 2).await;
    let action = format!("{path}acknowledge/");
    assert_eq!(api.post(&action, json!({"comment": "the fan", "notify": false})).await.status, 201);
    for minute in 1..3 {
        api.clock.advance(Millis::from_minutes(1));
        submit(&api, &token, 60 * minute, 2).await;
    }
    assert_eq!(api.get("/api/v1/notification/").await.json()["objects"], json!([]));
    let why = api.get(&format!("{path}explain/")).await.json();
    assert_eq!(why["held"], "acknowledged", "{why}");
    let verdict = why["verdict"].as_str().unwrap();
    assert!(
        verdict.starts_with("Nobody is told that it is CRITICAL:") && verdict.contains("the fan"),
        "{verdict}"
    );
}

#[tokio::test]
async fn what_no_acknowledgement_can_be_is_refused() {
    let api = Api::new().await;
    let (path, token) = scene(&api).await;
    submit(&api, &token, 0, 2).await;
    for (body, pointer) in [
        (json!({}), "/comment"),
        (json!({"comment": " "}), "/comment"),
        (json!({"comment": "a\u{7}"}), "/comment"),
        (json!({"comment": "c", "expires_at": at(-1)}), "/expires_at"),
        (json!({"comment": "c", "expires_at": "2h"}), "/expires_at"),
        (json!({"comment": "c", "stikcy": true}), "/stikcy"),
        (json!({"comment": "c", "sticky": 1}), "/sticky"),
    ] {
        let reply = api.post(&format!("{path}acknowledge/"), body.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.pointers()), (422, vec![pointer.to_owned()]), "{body}");
    }
    assert_eq!(api.post("/api/v1/check/4711/acknowledge/", json!({"comment": "c"})).await.status, 404);
}
