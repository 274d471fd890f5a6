//! The agent's conversation, as the original system's agents and ours speak it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Api, at};

#[tokio::test]
async fn the_original_conversation_works_word_by_word() {
    let api = Api::new().await;
    let (id, token) = api.agent("web-1").await;
    let check = json!({"agent": "web-1", "name": "sshd", "kind": "process", "params": {"name": "sshd"}});
    assert_eq!(api.post("/api/v1/check/", check).await.status, 201);
    api.check(id, "load").await;

    let reply = api.ask("GET", "/api/v1/agent/").header("authorization", &format!("ApiKey agent-1:{token}"));
    let list = reply.send().await.json();
    assert_eq!(list["meta"]["total_count"], 1);
    let mut me = list["objects"][0].clone();
    for name in
        "id resource_uri hostname name check_interval_ms last_checkin version guid tags state config_etag"
            .split(' ')
    {
        assert!(me.get(name).is_some(), "{name}");
    }
    assert_eq!((me["check_interval_ms"].as_u64(), me["last_checkin"].is_null()), (Some(60_000), true));

    let checks =
        api.ask("GET", "/api/v1/process_check/?limit=0&format=json").bearer(&token).send().await.json();
    assert_eq!(checks["objects"].as_array().unwrap().len(), 1, "only those of the kind");
    let check = &checks["objects"][0];
    assert_eq!(check["params"]["name"], "sshd");

    let result = json!({"check": check["resource_uri"], "timestamp": at(1), "status": "critical",
        "output": "0 processes", "metrics": [{"name": "count", "value": 0, "unit": ""}], "duration_ms": 3});
    let reply = api.ask("POST", "/api/v1/check_history/").bearer(&token).json(&result).send().await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let row = reply.json();
    assert_eq!(reply.header("location"), row["resource_uri"].as_str().unwrap());
    assert_eq!(
        (row["status"].as_str(), row["reported_status"].as_str()),
        (Some("CRITICAL"), Some("CRITICAL"))
    );
    let again = api.ask("GET", reply.header("location")).bearer(&token).send().await;
    assert_eq!(again.json()["output"], "0 processes");

    me["version"] = "0.9".into();
    me["name"] = "another".into();
    me["check_interval_ms"] = 1.into();
    me["field_of_the_original"] = json!({"x": null});
    let reply = api.ask("PUT", &format!("/api/v1/agent/{id}/")).bearer(&token).json(&me).send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let me = reply.json();
    assert_eq!((me["version"].as_str(), me["name"].as_str()), (Some("0.9"), Some("web-1")));
    assert_eq!((me["check_interval_ms"].as_u64(), me["state"].as_str()), (Some(60_000), Some("UP")));
    assert_eq!(me["last_checkin"], at(0).to_string(), "set by the server's clock");
    assert!(me["config_etag"].is_string() && me["run"].is_array());
}

#[tokio::test]
async fn a_batch_is_judged_item_by_item() {
    let api = Api::new().await;
    let (id, token) = api.agent("web-1").await;
    let (_, other) = api.agent("web-2").await;
    let check = api.check(id, "load").await;
    let batch = json!({"objects": [
        {"check": check, "timestamp": at(1), "status": "OK", "output": "1"},
        {"check": "web-1/load", "timestamp": at(2), "status": 2, "output": "2"},
        {"check": check, "timestamp": at(1), "status": "OK", "output": "1"},
        {"check": check, "timestamp": at(2), "status": 0, "output": "other"},
        {"check": 4711, "timestamp": at(3), "status": 0},
        {"check": check, "timestamp": at(600), "status": 0},
        {"check": check, "timestamp": at(-40 * 86_400), "status": 0},
        {"check": check, "output": "no status"},
        {"check": check, "status": 0, "metrics": [{"name": "", "value": 1}]},
        {"check": check, "status": null},
    ]});
    let reply = api.ask("POST", "/api/v1/check_history/").bearer(&token).json(&batch).send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body = reply.json();
    assert_eq!((body["accepted"].as_u64(), body["duplicates"].as_u64()), (Some(2), Some(2)), "{body}");
    assert_eq!(body["differing"], json!([3]));
    let rejected: Vec<(u64, u64)> = body["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["index"].as_u64().unwrap(), item["status"].as_u64().unwrap()))
        .collect();
    assert_eq!(rejected, [(4, 404), (5, 422), (6, 422), (7, 422), (8, 422), (9, 422)], "{body}");
    assert!(body["config_etag"].is_string());
    assert_eq!(body["run"][0]["check"], check, "a soft problem is retried sooner");

    let stolen = json!({"objects": [{"check": check, "timestamp": at(4), "status": 0}]});
    let reply = api.ask("POST", "/api/v1/check_history/").bearer(&other).json(&stolen).send().await;
    assert_eq!(reply.json()["rejected"][0]["status"], 404, "a check of another agent");
}

#[tokio::test]
async fn a_result_is_taken_once_and_the_first_one_stands() {
    let api = Api::new().await;
    let (id, token) = api.agent("web-1").await;
    let check = api.check(id, "load").await;
    let send = async |output: &str| {
        let result = json!({"check": check, "timestamp": at(1), "status": 0, "output": output});
        api.ask("POST", "/api/v1/check_history/").bearer(&token).json(&result).send().await
    };
    assert_eq!(send("first").await.status, 201);
    let again = send("first").await;
    assert_eq!((again.status.as_u16(), again.json().get("detail")), (200, None));
    let other = send("second").await;
    assert_eq!((other.status.as_u16(), other.json()["output"].as_str()), (200, Some("first")));
    assert!(other.json()["detail"].as_str().unwrap().contains("stands"));
}

#[tokio::test]
async fn too_long_output_is_cut_and_says_so() {
    let api = Api::new().await;
    let (id, token) = api.agent("web-1").await;
    let check = api.check(id, "load").await;
    let result = json!({"check": check, "status": 0, "output": "x", "long_output": "ä".repeat(20_000)});
    let reply = api.ask("POST", "/api/v1/check_history/").bearer(&token).json(&result).send().await;
    let row = reply.json();
    assert_eq!((reply.status.as_u16(), row["truncated"].as_bool()), (201, Some(true)));
    assert!(row["long_output"].as_str().unwrap().len() < 16 * 1024);
}

#[tokio::test]
async fn an_agent_gets_its_checks_without_state_under_one_tag() {
    let api = Api::new().await;
    let (id, token) = api.agent("web-1").await;
    let check = api.check(id, "load").await;
    let first = api.ask("GET", "/api/v1/check/").bearer(&token).send().await;
    let objects = first.json()["objects"].as_array().unwrap().clone();
    assert_eq!(objects.len(), 1, "its own check of the kind agent is the server's business");
    assert!(objects[0].get("state").is_none());
    let etag = first.header("etag").to_owned();
    let me = api.ask("GET", "/api/v1/agent/").bearer(&token).send().await.json();
    assert_eq!(etag.trim_matches('"'), me["objects"][0]["config_etag"]);

    let known = async || {
        let ask = api.ask("GET", "/api/v1/check").bearer(&token).header("if-none-match", &etag);
        ask.send().await.status.as_u16()
    };
    assert_eq!(known().await, 304);
    let result = json!({"check": check, "status": 2, "output": "bad"});
    assert_eq!(
        api.ask("POST", "/api/v1/check_history/").bearer(&token).json(&result).send().await.status,
        201
    );
    assert_eq!(known().await, 304, "state is not configuration");
    assert_eq!(api.patch(&format!("/api/v1/check/{check}/"), json!({"interval": "5s"})).await.status, 200);
    assert_eq!(known().await, 200);
}

#[tokio::test]
async fn an_answer_can_be_held_until_something_changes() {
    let api = Api::new().await;
    let (id, token) = api.agent("web-1").await;
    let first = api.ask("GET", "/api/v1/check/").bearer(&token).send().await;
    let held = api.ask("GET", "/api/v1/check/?wait=200ms").bearer(&token);
    let held = held.header("if-none-match", first.header("etag")).send().await;
    assert_eq!(held.status, 304, "nothing changed in time");

    let ask = api
        .ask("GET", "/api/v1/check/?wait=30s")
        .bearer(&token)
        .header("if-none-match", first.header("etag"));
    let change = async {
        tokio::task::yield_now().await;
        api.check(id, "load").await
    };
    let (held, _) = tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(ask.send(), change) })
        .await
        .expect("the change must end the wait");
    assert_eq!((held.status.as_u16(), held.json()["objects"].as_array().unwrap().len()), (200, 1));
}

#[tokio::test]
async fn an_operators_run_now_reaches_the_agent() {
    let api = Api::new().await;
    let (id, token) = api.agent("web-1").await;
    let check = api.check(id, "load").await;
    assert_eq!(
        api.ask("POST", &format!("/api/v1/check/{check}/run/")).bearer(&api.admin).send().await.status,
        202
    );
    let reply = api.ask("PUT", &format!("/api/v1/agent/{id}/")).bearer(&token).json(&json!({})).send().await;
    let run: Vec<Value> = reply.json()["run"].as_array().unwrap().clone();
    assert!(run.iter().any(|run| run["check"] == check && run["in_ms"] == 0), "{run:?}");
}

#[tokio::test]
async fn a_request_that_is_refused_is_contact_all_the_same() {
    let api = Api::new().await;
    for (n, (body, status)) in
        [("{", 400), (r#"{"check": 4711, "status": 0}"#, 404), ("{}", 422)].into_iter().enumerate()
    {
        let (id, token) = api.agent(&format!("web-{n}")).await;
        let ask = api.ask("POST", "/api/v1/check_history/").bearer(&token);
        assert_eq!(ask.header("content-type", "application/json").body(body).send().await.status, status);
        assert_eq!(api.get(&format!("/api/v1/agent/{id}/")).await.json()["state"], "UP", "{body}");
    }
}

#[tokio::test]
async fn one_agent_that_floods_is_asked_to_wait() {
    let mut limits = vilicus_server::http::Limits::default();
    limits.agent_requests = vilicus_server::http::bucket::Rate { per_second: 1, burst: 5 };
    let api = Api::with(limits).await;
    let ((_, flooding), (_, other)) = (api.agent("web-1").await, api.agent("web-2").await);
    let mut refused = 0;
    for _ in 0..8 {
        let reply = api.ask("GET", "/api/v1/agent/").bearer(&flooding).send().await;
        if reply.status == 429 {
            assert_eq!(reply.header("retry-after"), "1");
            refused += 1;
        }
    }
    assert_eq!(refused, 3);
    assert_eq!(api.ask("GET", "/api/v1/agent/").bearer(&other).send().await.status, 200);
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let api = Api::new().await;
    let (_, token) = api.agent("web-1").await;
    let reply = api.ask("HEAD", "/api/v1/agent/").bearer(&token).send().await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
}

#[tokio::test]
async fn a_token_may_come_in_three_forms() {
    use base64::Engine as _;
    let api = Api::new().await;
    let (_, token) = api.agent("web-1").await;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("agent-1:{token}"));
    for (line, status) in [
        (format!("Bearer {token}"), 200),
        (format!("ApiKey agent-1:{token}"), 200),
        (format!("Basic {basic}"), 200),
        (format!("ApiKey another:{token}"), 200),
        (format!("Bearer {token}x"), 401),
        ("Bearer".to_owned(), 401),
    ] {
        let reply = api.ask("GET", "/api/v1/agent/").header("authorization", &line).send().await;
        assert_eq!(reply.status, status, "{line}");
        assert_eq!(status == 401, reply.headers.contains_key("www-authenticate"));
    }
}
