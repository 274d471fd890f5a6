//! Agents that enrol, and agents that bring their own checks.

use serde_json::json;
use vilicus_core::Millis;
use vilicus_store::inventory::Role;

use crate::support::{Api, Reply};

async fn enroll(api: &Api, token: &str, body: serde_json::Value) -> Reply {
    api.ask("POST", "/api/v1/agent/enroll/").bearer(token).json(&body).send().await
}

#[tokio::test]
async fn an_agent_gets_a_token_that_is_its_own() {
    let api = Api::new().await;
    let token = api.token_like(Role::Enroll, |token| token.tags = vec!["prod".to_owned()]).await;
    let body = json!({"name": "web-1", "hostname": "web-1.example.org", "guid": "g-1", "tags": ["web"],
        "checks": [{"name": "queue", "kind": "app"}]});
    let reply = enroll(&api, &token, body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let body = reply.json();
    assert_eq!(body["agent"]["tags"], json!(["web", "prod"]));
    let own = body["token"].as_str().unwrap();
    assert!(own.starts_with("vil_") && own.len() >= 32);
    let me = api.ask("GET", "/api/v1/agent/").bearer(own).send().await.json();
    assert_eq!(me["objects"][0]["name"], "web-1");
    let checks = api.ask("GET", "/api/v1/check/").bearer(own).send().await.json();
    assert_eq!(checks["objects"][0]["origin"], "agent");
}

#[tokio::test]
async fn an_enrolment_token_never_takes_over_a_living_agent() {
    let api = Api::new().await;
    let token = api.token(Role::Enroll).await;
    let first = enroll(&api, &token, json!({"name": "web-1", "guid": "g-1"})).await;
    assert_eq!(first.status, 201);
    for body in [json!({"name": "web-1"}), json!({"name": "web-2", "guid": "g-1"})] {
        assert_eq!(enroll(&api, &token, body).await.status, 409);
    }
    let again = api.token_like(Role::Enroll, |token| token.reenroll = true).await;
    let second = enroll(&api, &again, json!({"name": "web-1", "guid": "g-2"})).await;
    assert_eq!(second.status, 201, "{}", second.text());
    assert_eq!(second.json()["agent"]["id"], first.json()["agent"]["id"]);
    let status = async |reply: &Reply| {
        let body = reply.json();
        api.ask("GET", "/api/v1/agent/").bearer(body["token"].as_str().unwrap()).send().await.status.as_u16()
    };
    assert_eq!((status(&first).await, status(&second).await), (401, 200), "the old token is revoked");
}

#[tokio::test]
async fn an_ephemeral_name_can_be_had_again_when_its_agent_is_not_up() {
    let api = Api::new().await;
    let token = api.token_like(Role::Enroll, |token| token.ephemeral = true).await;
    let first = enroll(&api, &token, json!({"name": "pod-1"})).await;
    let own = first.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(api.ask("GET", "/api/v1/agent/").bearer(&own).send().await.status, 200);
    assert_eq!(enroll(&api, &token, json!({"name": "pod-1"})).await.status, 409, "it is UP");
    api.clock.advance(Millis::from_hours(1));
    api.store
        .commit(vilicus_server::Clock::now(&*api.clock), vec![vilicus_store::Input::Deadlines])
        .await
        .unwrap();
    assert_eq!(enroll(&api, &token, json!({"name": "pod-1"})).await.status, 201);
}

#[tokio::test]
async fn a_token_enrols_no_more_often_than_it_may() {
    let api = Api::new().await;
    let token = api.token_like(Role::Enroll, |token| token.uses = Some(2)).await;
    let names = ["a", "b", "c"];
    let mut statuses = Vec::new();
    for name in names {
        statuses.push(enroll(&api, &token, json!({"name": name})).await.status.as_u16());
    }
    assert_eq!(statuses[..2], [201, 201]);
    assert!(matches!(statuses[2], 401 | 403), "{statuses:?}");
    assert_eq!(
        api.get("/api/v1/agent/").await.json()["meta"]["total_count"],
        2,
        "nothing is left of the third"
    );
}

#[tokio::test]
async fn an_agent_that_signs_off_is_gone_with_its_token() {
    let api = Api::new().await;
    let (id, token) = api.agent("pod-1").await;
    let (other, _) = api.agent("pod-2").await;
    let delete =
        async |id: u64| api.ask("DELETE", &format!("/api/v1/agent/{id}/")).bearer(&token).send().await;
    assert_eq!(delete(other).await.status, 404);
    assert_eq!(delete(id).await.status, 204);
    assert_eq!(delete(id).await.status, 401);
}

#[tokio::test]
async fn announced_checks_come_change_and_go() {
    let api = Api::new().await;
    let (id, token) = api.agent("app-1").await;
    let announce = async |objects: serde_json::Value| {
        let path = format!("/api/v1/agent/{id}/checks/");
        api.ask("PUT", &path).bearer(&token).json(&json!({"objects": objects})).send().await
    };
    let queue = json!({"name": "queue", "kind": "app.queue", "params": {"any": [1]}, "interval": "10s",
        "thresholds": {"waiting": {"warning": "10"}}});
    let reply = announce(json!([queue, {"name": "cache", "kind": "app"}])).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let etag = reply.json()["config_etag"].clone();
    let check =
        reply.json()["objects"].as_array().unwrap().iter().find(|c| c["name"] == "queue").unwrap().clone();
    assert_eq!((check["origin"].as_str(), check["kind"].as_str()), (Some("agent"), Some("app.queue")));
    let same = announce(json!([queue, {"name": "cache", "kind": "app"}])).await;
    assert_eq!(same.json()["config_etag"], etag, "nothing changed");

    let path = check["resource_uri"].as_str().unwrap();
    let ours = json!({"thresholds": {"waiting": {"warning": "99"}}, "notifications": false});
    assert_eq!(api.patch(path, ours).await.status, 200, "operators can silence and re-threshold");
    let reply = api.patch(path, json!({"params": {}})).await;
    assert_eq!((reply.status.as_u16(), reply.pointers()), (422, vec!["/params".to_owned()]));

    let mut changed = queue.clone();
    changed["interval"] = "20s".into();
    let reply = announce(json!([changed])).await;
    let objects = reply.json()["objects"].as_array().unwrap().clone();
    assert_eq!(objects.len(), 1, "what is no longer announced is retired");
    assert_eq!(
        (objects[0]["interval"].as_str(), objects[0]["notifications"].as_bool()),
        (Some("20s"), Some(false))
    );
    assert_eq!(objects[0]["thresholds"]["waiting"]["warning"], "99", "as people left it");

    let reply = announce(json!([{"name": "a", "kind": "x"}, {"name": "a", "kind": "x"}])).await;
    assert_eq!((reply.status.as_u16(), reply.pointers()), (422, vec!["/objects/1/name".to_owned()]));
    let reply = announce(json!([{"name": "b", "kind": "x", "intervall": "1s"}])).await;
    assert_eq!(reply.pointers(), ["/objects/0/intervall"]);
}

#[tokio::test]
async fn an_announcement_names_its_list_as_an_enrolment_does() {
    let api = Api::new().await;
    let (id, token) = api.agent("app-1").await;
    let path = format!("/api/v1/agent/{id}/checks/");
    let list = json!([{"name": "queue", "kind": "app"}]);
    for body in [json!({"checks": list}), json!({"objects": list})] {
        let reply = api.ask("PUT", &path).bearer(&token).json(&body).send().await;
        assert_eq!((reply.status.as_u16(), reply.json()["objects"].as_array().unwrap().len()), (200, 1));
    }
}

#[tokio::test]
async fn an_agent_that_needs_approval_may_do_nothing_before() {
    let api = Api::new().await;
    let token = api.token_like(Role::Enroll, |token| {
        token.needs_approval = true;
        token.templates = vec!["linux".to_owned()];
    });
    let token = token.await;
    let enrolled = enroll(&api, &token, json!({"name": "web-1"})).await.json();
    assert_eq!(
        (&enrolled["needs_approval"], &enrolled["agent"]["templates"]),
        (&json!(true), &json!(["linux"]))
    );
    let own = enrolled["token"].as_str().unwrap();
    for (method, path) in
        [("GET", "/api/v1/agent/"), ("GET", "/api/v1/check/"), ("POST", "/api/v1/check_history/")]
    {
        let reply = api.ask(method, path).bearer(own).json(&json!({"objects": []})).send().await;
        assert_eq!(reply.status, 403, "{method} {path}");
        assert!(
            reply.text().contains("let it in") && reply.headers.contains_key("retry-after"),
            "{}",
            reply.text()
        );
    }
    assert_eq!(api.get("/api/v1/agent/web-1/").await.json()["state"], "PENDING", "it was not in contact");
    let tokens = api.get("/api/v1/token/").await.json();
    let waiting =
        tokens["objects"].as_array().unwrap().iter().find(|token| token["agent"].is_string()).unwrap();
    assert_eq!(waiting["needs_approval"], true);
    let uri = waiting["resource_uri"].as_str().unwrap();
    let reply = api.patch(uri, json!({"needs_approval": false})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(api.ask("GET", "/api/v1/agent/").bearer(own).send().await.status, 200);
    let viewer = json!({"name": "v", "role": "viewer", "needs_approval": true});
    assert_eq!(api.post("/api/v1/token/", viewer).await.status, 422, "only agents wait");
}
