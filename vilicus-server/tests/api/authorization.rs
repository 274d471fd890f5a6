//! Every operation of the contract, asked by everyone: exactly the expected answer. An operation that is missing
//! from the table fails.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use vilicus_core::Millis;
use vilicus_server::api::openapi;
use vilicus_store::inventory::Role;

use crate::support::{Api, Reply, at};

/// The status for: an enrolment token, agent A (whose objects they are), agent B, a viewer, an operator, an admin.
type Row = (&'static str, &'static str, [u16; 6]);

/// The bodies are valid, so that a 4xx is about the caller alone.
const TABLE: &[Row] = &[
    ("GET /api/v1/", "", [200, 200, 200, 200, 200, 200]),
    ("GET /api/v1/agent/", "", [403, 200, 200, 200, 200, 200]),
    ("POST /api/v1/agent/", r#"{"name": "new"}"#, [403, 403, 403, 403, 403, 201]),
    ("POST /api/v1/agent/enroll/", r#"{"name": "new"}"#, [201, 403, 403, 403, 403, 201]),
    ("GET /api/v1/agent/{agent}/", "", [403, 200, 404, 200, 200, 200]),
    ("PUT /api/v1/agent/{agent}/", r#"{"name": "canary-a"}"#, [403, 200, 404, 403, 403, 200]),
    ("PATCH /api/v1/agent/{agent}/", r#"{"tags": []}"#, [403, 403, 403, 403, 403, 200]),
    ("DELETE /api/v1/agent/{agent}/", "", [403, 204, 404, 403, 403, 204]),
    ("PUT /api/v1/agent/{agent}/checks/", r#"{"objects": []}"#, [403, 200, 404, 403, 403, 200]),
    ("GET /api/v1/check/", "", [403, 200, 200, 200, 200, 200]),
    ("GET /api/v1/{kind_check}/", "", [403, 200, 200, 200, 200, 200]),
    ("POST /api/v1/check/", r#"{"agent": 1, "name": "new", "kind": "load"}"#, [403, 403, 403, 403, 403, 201]),
    ("GET /api/v1/check/{check}/", "", [403, 200, 404, 200, 200, 200]),
    ("PUT /api/v1/check/{check}/", "{}", [403, 403, 403, 403, 403, 200]),
    ("PATCH /api/v1/check/{check}/", "{}", [403, 403, 403, 403, 403, 200]),
    ("DELETE /api/v1/check/{check}/", "", [403, 403, 403, 403, 403, 204]),
    ("POST /api/v1/check/{check}/run/", "", [403, 403, 403, 403, 202, 202]),
    ("POST /api/v1/check/{check}/acknowledge/", r#"{"comment": "c"}"#, [403, 403, 403, 403, 201, 201]),
    ("DELETE /api/v1/check/{check}/acknowledge/", "", [403, 403, 403, 403, 204, 204]),
    ("GET /api/v1/check/{check}/explain/", "", [403, 403, 403, 200, 200, 200]),
    ("POST /api/v1/check/{heartbeat}/ping_key/", "", [403, 403, 403, 403, 403, 200]),
    ("GET /api/v1/ping/{key}/", "", [200, 200, 200, 200, 200, 200]),
    ("POST /api/v1/ping/{key}/", "", [200, 200, 200, 200, 200, 200]),
    ("GET /api/v1/ping/{key}/{signal}/", "", [200, 200, 200, 200, 200, 200]),
    ("POST /api/v1/ping/{key}/{signal}/", "", [200, 200, 200, 200, 200, 200]),
    ("POST /api/v1/check/{check}/result/", r#"{"status": 0}"#, [403, 403, 403, 403, 201, 201]),
    ("GET /api/v1/check_history/", "", [403, 200, 404, 200, 200, 200]),
    ("POST /api/v1/check_history/", r#"{"check": CHECK, "status": 0}"#, [403, 201, 404, 403, 201, 201]),
    ("GET /api/v1/check_history/{check}/{timestamp_ms}/", "", [403, 200, 404, 200, 200, 200]),
    ("GET /api/v1/channel/", "", [403, 403, 403, 200, 200, 200]),
    ("POST /api/v1/channel/", CHANNEL, [403, 403, 403, 403, 403, 201]),
    ("GET /api/v1/channel/{channel}/", "", [403, 403, 403, 200, 200, 200]),
    ("PUT /api/v1/channel/{channel}/", CHANNEL, [403, 403, 403, 403, 403, 200]),
    ("PATCH /api/v1/channel/{channel}/", r#"{"enabled": false}"#, [403, 403, 403, 403, 403, 200]),
    ("DELETE /api/v1/channel/{channel}/", "", [403, 403, 403, 403, 403, 204]),
    ("POST /api/v1/channel/{channel}/test/", "", [403, 403, 403, 403, 200, 200]),
    ("POST /api/v1/channel/{channel}/preview/", "{}", [403, 403, 403, 403, 200, 200]),
    ("GET /api/v1/route/", "", [403, 403, 403, 200, 200, 200]),
    ("POST /api/v1/route/", r#"{"name": "new"}"#, [403, 403, 403, 403, 403, 201]),
    ("GET /api/v1/route/{route}/", "", [403, 403, 403, 200, 200, 200]),
    ("PUT /api/v1/route/{route}/", r#"{"name": "new"}"#, [403, 403, 403, 403, 403, 200]),
    ("PATCH /api/v1/route/{route}/", r#"{"position": 1}"#, [403, 403, 403, 403, 403, 200]),
    ("DELETE /api/v1/route/{route}/", "", [403, 403, 403, 403, 403, 204]),
    ("GET /api/v1/inhibition/", "", [403, 403, 403, 200, 200, 200]),
    ("POST /api/v1/inhibition/", INHIBITION, [403, 403, 403, 403, 403, 201]),
    ("GET /api/v1/inhibition/{inhibition}/", "", [403, 403, 403, 200, 200, 200]),
    ("PUT /api/v1/inhibition/{inhibition}/", INHIBITION, [403, 403, 403, 403, 403, 200]),
    ("PATCH /api/v1/inhibition/{inhibition}/", r#"{"equal": []}"#, [403, 403, 403, 403, 403, 200]),
    ("DELETE /api/v1/inhibition/{inhibition}/", "", [403, 403, 403, 403, 403, 204]),
    ("GET /api/v1/downtime/", "", [403, 403, 403, 200, 200, 200]),
    ("POST /api/v1/downtime/", DOWNTIME, [403, 403, 403, 403, 201, 201]),
    ("GET /api/v1/downtime/{downtime}/", "", [403, 403, 403, 200, 200, 200]),
    ("PUT /api/v1/downtime/{downtime}/", DOWNTIME, [403, 403, 403, 403, 200, 200]),
    ("PATCH /api/v1/downtime/{downtime}/", r#"{"comment": "c"}"#, [403, 403, 403, 403, 200, 200]),
    ("DELETE /api/v1/downtime/{downtime}/", "", [403, 403, 403, 403, 204, 204]),
    ("GET /api/v1/template/", "", [403, 403, 403, 200, 200, 200]),
    ("POST /api/v1/template/", TEMPLATE, [403, 403, 403, 403, 403, 201]),
    ("GET /api/v1/template/{template}/", "", [403, 403, 403, 200, 200, 200]),
    ("PUT /api/v1/template/{template}/", TEMPLATE, [403, 403, 403, 403, 403, 200]),
    ("PATCH /api/v1/template/{template}/", r#"{"match": []}"#, [403, 403, 403, 403, 403, 200]),
    ("DELETE /api/v1/template/{template}/", "", [403, 403, 403, 403, 403, 204]),
    ("GET /api/v1/apply/", "", [403, 403, 403, 200, 200, 200]),
    ("GET /api/v1/backup/", "", [403, 403, 403, 403, 403, 200]),
    ("POST /api/v1/apply/", "{}", [403, 403, 403, 403, 403, 200]),
    ("GET /api/v1/availability/", "", [403, 200, 404, 200, 200, 200]),
    ("POST /api/v1/replay/", REPLAY, [403, 403, 403, 200, 200, 200]),
    ("GET /api/v1/event/stream/", "", [403, 403, 403, 200, 200, 200]),
    ("GET /api/v1/token/", "", [403, 403, 403, 403, 403, 200]),
    ("POST /api/v1/token/", r#"{"name": "new", "role": "viewer"}"#, [403, 403, 403, 403, 403, 201]),
    ("GET /api/v1/token/{token}/", "", [403, 403, 403, 403, 403, 200]),
    ("PUT /api/v1/token/{token}/", r#"{"name": "t", "role": "viewer"}"#, [403, 403, 403, 403, 403, 200]),
    ("PATCH /api/v1/token/{token}/", r#"{"name": "t"}"#, [403, 403, 403, 403, 403, 200]),
    ("DELETE /api/v1/token/{token}/", "", [403, 403, 403, 403, 403, 204]),
    ("GET /api/v1/user/", "", [403, 403, 403, 403, 403, 200]),
    (
        "POST /api/v1/user/",
        r#"{"name": "new", "role": "viewer", "password": "correct horse"}"#,
        [403, 403, 403, 403, 403, 201],
    ),
    ("GET /api/v1/user/{user}/", "", [403, 403, 403, 403, 403, 200]),
    ("PUT /api/v1/user/{user}/", r#"{"name": "anna", "role": "viewer"}"#, [403, 403, 403, 403, 403, 200]),
    ("PATCH /api/v1/user/{user}/", r#"{"role": "operator"}"#, [403, 403, 403, 403, 403, 200]),
    ("DELETE /api/v1/user/{user}/", "", [403, 403, 403, 403, 403, 204]),
    ("GET /api/v1/event/", "", [403, 403, 403, 200, 200, 200]),
    ("GET /api/v1/event/{event}/", "", [403, 403, 403, 200, 200, 200]),
    ("GET /api/v1/notification/", "", [403, 403, 403, 200, 200, 200]),
    ("GET /api/v1/notification/{notification}/", "", [403, 403, 403, 200, 200, 200]),
];

const CHANNEL: &str = r#"{"name": "new", "kind": "webhook", "params": {"url": "https://example.org/"}}"#;

const INHIBITION: &str = r#"{"name": "new", "source": ["kind=agent"], "target": ["kind!=agent"]}"#;
const DOWNTIME: &str = r#"{"match": [], "schedule": "Sun 02:00-04:00"}"#;
const TEMPLATE: &str = r#"{"name": "new", "checks": [{"name": "load", "kind": "load"}]}"#;
const REPLAY: &str = r#"{"check": CHECK, "since": "2026-11-22T00:00:00Z"}"#;

/// What needs no token: the index says nothing about this server, and a ping has its key.
fn is_open(operation: &str) -> bool {
    operation == "GET /api/v1/" || operation.contains("/ping/")
}

/// A server with two agents, A's check with a problem that is told over a channel, and a token of everyone.
struct Scene {
    api: Api,
    ids: Vec<(&'static str, String)>,
    valid: [String; 6],
    invalid: [Option<String>; 4],
}

impl Scene {
    async fn new() -> Self {
        let api = Api::new().await;
        let (a, a_token) = api.agent("canary-a").await;
        let (_, b_token) = api.agent("web-b").await;
        let hook = json!({"name": "hook", "kind": "webhook", "params": {"url": "https://example.org/"}});
        let channel = api.post("/api/v1/channel/", hook).await.json()["id"].to_string();
        let check = json!({"agent": a, "name": "canary-check", "kind": "load", "max_attempts": 1});
        let check = api.post("/api/v1/check/", check).await.json()["id"].to_string();
        let result = json!({"check": check, "timestamp": at(0), "status": 2, "output": "canary-output"});
        assert_eq!(api.post("/api/v1/check_history/", result).await.status, 201);
        let first = async |path: &str| api.get(path).await.json()["objects"][0]["id"].to_string();
        let (event, notification) = (first("/api/v1/event/").await, first("/api/v1/notification/").await);
        let made = async |resource: &str, body: &str| {
            let body: Value = serde_json::from_str(body).unwrap();
            let reply = api.post(&format!("/api/v1/{resource}/"), body).await;
            assert_eq!(reply.status, 201, "{resource}: {}", reply.text());
            reply.json()
        };
        let id_of = |object: &Value| object["id"].to_string();
        let heartbeat =
            r#"{"agent": "web-b", "name": "job", "kind": "heartbeat", "params": {"period": "1h"}}"#;
        let heartbeat = made("check", heartbeat).await;
        let key = heartbeat["ping_url"]
            .as_str()
            .unwrap()
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned();
        let template = id_of(&made("template", &TEMPLATE.replace("new", "old")).await);
        let route = id_of(&made("route", r#"{"name": "canary-route"}"#).await);
        let inhibition = id_of(&made("inhibition", &INHIBITION.replace("new", "old")).await);
        let downtime = id_of(&made("downtime", DOWNTIME).await);
        let token = api.post("/api/v1/token/", json!({"name": "spare", "role": "viewer"})).await.json();
        let user = json!({"name": "anna", "role": "viewer", "password": "correct horse"});
        let user = api.post("/api/v1/user/", user).await.json();
        let expired = api.token_like(Role::Admin, |token| token.expires_at = Some(at(1))).await;
        let revoked = api.post("/api/v1/token/", json!({"name": "gone", "role": "admin"})).await.json();
        assert_eq!(api.delete("/api/v1/token/gone/").await.status, 204);
        let valid = [
            api.token(Role::Enroll).await,
            a_token,
            b_token,
            api.token(Role::Viewer).await,
            api.token(Role::Operator).await,
            api.admin.clone(),
        ];
        api.clock.advance(Millis::from_secs(1));
        let ids = vec![
            ("{agent}", a.to_string()),
            ("{check}", check),
            ("{channel}", channel),
            ("{token}", token["id"].to_string()),
            ("{user}", user["id"].to_string()),
            ("{event}", event),
            ("{notification}", notification),
            ("{timestamp_ms}", at(0).as_millis().to_string()),
            ("{kind_check}", "load_check".to_owned()),
            ("{heartbeat}", id_of(&heartbeat)),
            ("{key}", key),
            ("{signal}", "start".to_owned()),
            ("{template}", template),
            ("{route}", route),
            ("{inhibition}", inhibition),
            ("{downtime}", downtime),
        ];
        let wrong = format!("vil_{}", "x".repeat(43));
        let revoked = revoked["token"].as_str().unwrap().to_owned();
        Self { api, ids, valid, invalid: [None, Some(wrong), Some(revoked), Some(expired)] }
    }

    async fn ask(&self, operation: &str, body: &str, token: Option<&str>) -> Reply {
        let (method, path) = operation.split_once(' ').unwrap();
        let mut path = path.to_owned();
        for (name, id) in &self.ids {
            path = path.replace(name, id);
        }
        let check = &self.ids.iter().find(|(name, _)| *name == "{check}").unwrap().1;
        if ["GET /api/v1/check_history/", "GET /api/v1/availability/"].contains(&operation) {
            path = format!("{path}?check={check}");
        }
        let mut ask = self.api.ask(method, &path);
        if let Some(token) = token {
            ask = ask.bearer(token);
        }
        if !body.is_empty() {
            let body: Value = serde_json::from_str(&body.replace("CHECK", check)).unwrap();
            ask = ask.json(&body);
        }
        ask.send().await
    }
}

/// The operations of the contract, their paths as the table writes them.
fn operations() -> BTreeSet<String> {
    let contract = serde_json::to_value(openapi()).unwrap();
    let mut found = BTreeSet::new();
    for (path, methods) in contract["paths"].as_object().unwrap() {
        let resource = path.split('/').nth(3).unwrap_or("").to_owned();
        let path = path.replace("{id}", &format!("{{{resource}}}"));
        for method in methods.as_object().unwrap().keys() {
            if ["get", "put", "post", "patch", "delete"].contains(&method.as_str()) {
                found.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    found
}

#[test]
fn no_operation_is_missing_from_the_table() {
    let table: BTreeSet<String> =
        TABLE.iter().map(|(operation, ..)| operation.replace("{heartbeat}", "{check}")).collect();
    assert_eq!(operations(), table);
    assert_eq!(table.len(), TABLE.len(), "each once");
}

#[tokio::test]
async fn everyone_gets_exactly_the_expected_answer() {
    for (operation, body, expected) in TABLE {
        for (index, expected) in expected.iter().enumerate() {
            let scene = Scene::new().await;
            let reply = scene.ask(operation, body, Some(&scene.valid[index])).await;
            assert_eq!(reply.status.as_u16(), *expected, "{operation} by caller {index}: {}", reply.text());
            if index == 2 || reply.status.is_client_error() {
                assert!(!reply.text().contains("canary"), "{operation} by caller {index}: {}", reply.text());
            }
        }
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_valid_token() {
    let scene = Scene::new().await;
    for (operation, body, _) in TABLE {
        for (index, token) in scene.invalid.iter().enumerate() {
            let reply = scene.ask(operation, body, token.as_deref()).await;
            if is_open(operation) {
                assert_eq!(reply.status, 200, "{operation} needs no token");
                continue;
            }
            // After thirty tokens that were not valid an address is asked to wait; without one there is no guess.
            let refused = if token.is_some() { [401, 429] } else { [401, 401] };
            assert!(refused.contains(&reply.status.as_u16()), "{operation} by {index}: {}", reply.status);
            assert!(!reply.text().contains("canary"), "{operation}");
        }
    }
    let (operation, body, _) = TABLE[1];
    assert_eq!(
        scene.ask(operation, body, Some(&scene.valid[5])).await.status,
        200,
        "a valid token always passes"
    );
}

#[tokio::test]
async fn guesses_are_slowed_down_and_say_when_to_come_back() {
    let scene = Scene::new().await;
    let mut statuses = Vec::new();
    for n in 0..40 {
        let reply = scene.ask("GET /api/v1/agent/", "", Some(&format!("guess-{n:040}"))).await;
        statuses.push(reply.status.as_u16());
        assert_eq!(reply.status == 429, reply.headers.contains_key("retry-after"));
    }
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 30);
    scene.api.clock.advance(Millis::from_secs(1));
    assert_eq!(scene.ask("GET /api/v1/agent/", "", Some("another-guess")).await.status, 401);
}
