//! What operators configure: agents, checks, channels, tokens.

use serde_json::{Value, json};
use vilicus_store::inventory::Role;

use crate::support::Api;

#[tokio::test]
async fn a_check_needs_no_more_than_agent_name_and_kind() {
    let api = Api::new().await;
    let (id, _) = api.agent("web-1").await;
    let reply = api.post("/api/v1/check/", json!({"agent": "web-1", "name": "load", "kind": "load"})).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let check = reply.json();
    for name in "id resource_uri agent name kind params interval timeout max_attempts within retry_interval \
        recover_attempts grace timeout_status thresholds depends_on depends_on_any depends_on_states tags enabled notifications \
        volatile flap_detection flap_low flap_high description runbook_url origin managed_by state"
        .split_whitespace()
    {
        assert!(check.get(name).is_some(), "{name}");
    }
    for name in
        "status state_type attempt since last_result_at next_due_at output flapping acknowledged acknowledgement \
        in_downtime downtime_until unreachable stale held"
            .split_whitespace()
    {
        assert!(check["state"].get(name).is_some(), "state.{name}");
    }
    assert_eq!(check["agent"], format!("/api/v1/agent/{id}/"));
    assert_eq!((check["interval"].as_str(), check["timeout"].as_str()), (Some("1m"), Some("10s")));
    assert_eq!(
        (check["retry_interval"].as_str(), check["state"]["status"].as_str()),
        (Some("30s"), Some("PENDING"))
    );
    assert_eq!(reply.header("location"), check["resource_uri"].as_str().unwrap());
}

#[tokio::test]
async fn a_check_is_named_in_any_of_three_ways() {
    let api = Api::new().await;
    let (id, _) = api.agent("web-1").await;
    let check = api.check(id, "load").await;
    for path in [format!("{check}/"), check.to_string(), "web-1%2Fload/".to_owned()] {
        assert_eq!(api.get(&format!("/api/v1/check/{path}")).await.status, 200, "{path}");
    }
    for agent in [json!(id), json!("web-1"), json!(format!("/api/v1/agent/{id}/")), json!(id.to_string())] {
        let name = format!("load of {agent}").replace('/', "-");
        let reply = api.post("/api/v1/check/", json!({"agent": agent, "name": name, "kind": "load"})).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    let path = format!("/api/v1/check/{check}/");
    let wrong = json!({"agent": path, "name": "x", "kind": "load"});
    assert_eq!(api.post("/api/v1/check/", wrong).await.pointers(), ["/agent"], "a check is no agent");
}

#[tokio::test]
async fn what_was_read_can_be_written_back() {
    let api = Api::new().await;
    let (id, _) = api.agent("web-1").await;
    let check = api.check(id, "load").await;
    let hook = json!({"name": "hook", "kind": "webhook", "params": {"url": "https://example.org/x", "secret": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}});
    let hook = api.post("/api/v1/channel/", hook).await.json();
    let token = api.post("/api/v1/token/", json!({"name": "t", "role": "viewer"})).await.json();
    for path in [
        format!("/api/v1/agent/{id}/"),
        format!("/api/v1/check/{check}/"),
        hook["resource_uri"].as_str().unwrap().to_owned(),
        token["resource_uri"].as_str().unwrap().to_owned(),
    ] {
        let before = api.get(&path).await;
        let reply = api.put(&path, before.json()).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let after = api.get(&path).await;
        assert_eq!((after.json(), after.header("etag")), (before.json(), before.header("etag")), "{path}");
    }
    api.patch(&format!("/api/v1/agent/{id}/"), json!({"check_interval_ms": 5000})).await;
    let check = api.get(&format!("/api/v1/check/{check}/")).await.json();
    assert_eq!(check["interval"], "5s", "an echo must not pin what follows the agent");
}

#[tokio::test]
async fn mistakes_name_their_place_and_their_mend() {
    let api = Api::new().await;
    let (id, _) = api.agent("web-1").await;
    let check = |more: Value| {
        let mut body = json!({"agent": id, "name": "x", "kind": "load"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (path, body, pointer, words) in [
        ("check", check(json!({"intervall": "5s"})), "/intervall", "did you mean 'interval'?"),
        ("check", check(json!({"interval": "5"})), "/interval", "not a duration"),
        ("check", check(json!({"interval": "1ms"})), "/interval", "at least 1s"),
        ("check", check(json!({"kind": "laod"})), "/kind", "did you mean 'load'?"),
        ("check", check(json!({"kind": "agent"})), "/kind", "made by itself"),
        (
            "check",
            check(json!({"kind": "tcp", "params": {"host": "h", "prot": 1}})),
            "/params/prot",
            "did you mean",
        ),
        (
            "check",
            check(json!({"kind": "tcp", "params": {"host": "h", "port": "x"}})),
            "/params/port",
            "port",
        ),
        ("check", check(json!({"params": null})), "/params", "null"),
        ("check", check(json!({"name": "a/b"})), "/name", "'/'"),
        ("check", check(json!({"name": "7"})), "/name", "all digits"),
        ("check", check(json!({"agent": "nosuch"})), "/agent", "there is no agent"),
        ("check", check(json!({"depends_on_states": ["OK"]})), "/depends_on_states", "what counts as down"),
        (
            "check",
            check(json!({"thresholds": {"a/b": {"warning": "20:10"}}})),
            "/thresholds/a~1b/warning",
            "greater",
        ),
        ("check", check(json!({"thresholds": {"": {"warning": "1"}}})), "/thresholds/", "empty"),
        ("check", check(json!({"max_attempts": 0})), "/max_attempts", "from 1 to 64"),
        ("check", check(json!({"runbook_url": "javascript:alert(1)"})), "/runbook_url", "https://"),
        ("check", check(json!({"depends_on": ["web-1/nosuch"]})), "/depends_on/0", "there is no check"),
        ("check", json!({"agent": id, "kind": "load"}), "/name", "missing"),
        ("agent", json!({"name": ""}), "/name", "empty"),
        ("agent", json!({"name": "w", "check_interval_ms": 10}), "/check_interval_ms", "at least 1s"),
        ("agent", json!({"name": "w", "tags": ["a", ""]}), "/tags/1", "empty"),
        ("channel", json!({"name": "c", "kind": "pigeon"}), "/kind", "unknown kind"),
        ("channel", json!({"name": "c", "kind": "webhook"}), "/params/url", "missing"),
        (
            "channel",
            json!({"name": "c", "kind": "webhook", "params": {"url": "https://e.org/", "secret": "***"}}),
            "/params/secret",
            "nothing is stored",
        ),
        ("token", json!({"name": "t", "role": "root"}), "/role", "unknown variant"),
        ("token", json!({"name": "t", "role": "agent"}), "/agent", "goes with"),
        (
            "token",
            json!({"name": "t", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z"}),
            "/expires_at",
            "past",
        ),
        (
            "token",
            json!({"name": "t", "role": "viewer", "expires_at": "2030-01-01"}),
            "/expires_at",
            "offset",
        ),
    ] {
        let reply = api.post(&format!("/api/v1/{path}/"), body.clone()).await;
        assert_eq!(reply.status, 422, "{body}: {}", reply.text());
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.pointers(), [pointer], "{body}: {}", reply.text());
        assert!(reply.text().contains(words), "{body}: {}", reply.text());
    }
    assert_eq!(api.get("/api/v1/check/?limit=0").await.json()["meta"]["total_count"], 1, "nothing was made");
}

#[tokio::test]
async fn several_mistakes_are_told_at_once() {
    let api = Api::new().await;
    let (id, _) = api.agent("web-1").await;
    let body =
        json!({"agent": id, "name": "", "kind": "load", "interval": "0s", "max_attempts": 99, "tags": [" "]});
    let reply = api.post("/api/v1/check/", body).await;
    assert_eq!(reply.pointers(), ["/name", "/interval", "/max_attempts", "/tags/0"]);
}

#[tokio::test]
async fn names_are_unique_where_they_must_be() {
    let api = Api::new().await;
    let (one, _) = api.agent("web-1").await;
    let (two, _) = api.agent("web-2").await;
    assert_eq!(api.post("/api/v1/agent/", json!({"name": "web-1"})).await.status, 409);
    api.check(one, "load").await;
    api.check(two, "load").await;
    let again = api.post("/api/v1/check/", json!({"agent": one, "name": "load", "kind": "load"})).await;
    assert_eq!(again.status, 409, "{}", again.text());
}

#[tokio::test]
async fn a_stale_change_is_refused() {
    let api = Api::new().await;
    let (id, _) = api.agent("web-1").await;
    let path = format!("/api/v1/check/{}/", api.check(id, "load").await);
    let etag = api.get(&path).await.header("etag").to_owned();
    let change = async |method: &str, body: Value| {
        let ask = api.ask(method, &path).bearer(&api.admin).header("if-match", &etag);
        ask.json(&body).send().await.status.as_u16()
    };
    assert_eq!(change("PATCH", json!({"description": "one"})).await, 200);
    assert_eq!(change("PATCH", json!({"description": "two"})).await, 412);
    assert_eq!(change("DELETE", json!({})).await, 412);
    assert_eq!(api.get(&path).await.json()["description"], "one");
    assert_eq!(api.delete(&path).await.status, 204);
    assert_eq!(api.get(&path).await.status, 404);
}

#[tokio::test]
async fn dependencies_never_form_a_circle() {
    let api = Api::new().await;
    let (id, _) = api.agent("web-1").await;
    let (a, b) = (api.check(id, "a").await, api.check(id, "b").await);
    let depend = async |from: u64, to: u64| {
        api.patch(&format!("/api/v1/check/{from}/"), json!({"depends_on": [to]})).await.status.as_u16()
    };
    assert_eq!(depend(a, b).await, 200);
    assert_eq!(depend(b, a).await, 422);
    assert_eq!(depend(a, a).await, 422);
    let shown = api.get(&format!("/api/v1/check/{a}/")).await.json();
    assert_eq!(shown["depends_on"], json!([format!("/api/v1/check/{b}/")]));
    let c = api.check(id, "c").await;
    assert_eq!(depend(b, c).await, 200);
    let around = json!({"depends_on_any": [["web-1/a"]]});
    let reply = api.patch(&format!("/api/v1/check/{c}/"), around).await;
    assert_eq!(reply.pointers(), ["/depends_on_any/0/0"], "over two others: {}", reply.text());
}

#[tokio::test]
async fn lists_are_filtered_and_paged_and_name_what_they_do_not_know() {
    let api = Api::new().await;
    for n in 0..5 {
        let body = json!({"name": format!("web-{n}"), "tags": [if n < 2 { "prod" } else { "test" }]});
        assert_eq!(api.post("/api/v1/agent/", body).await.status, 201);
    }
    let total =
        async |query: &str| api.get(&format!("/api/v1/{query}")).await.json()["meta"]["total_count"].clone();
    assert_eq!(total("agent/?tag=prod").await, 2);
    assert_eq!(total("agent/?name__in=web-1,web-4,nosuch").await, 2);
    assert_eq!(total("agent/?state=PENDING").await, 5);
    assert_eq!(total("check/?kind=agent&agent=web-1").await, 1);
    assert_eq!(total("check/?agent=nosuch").await, 0);
    assert_eq!(total("check/?status=pending&kind__in=agent,load").await, 5);
    let page = api.get("/api/v1/agent/?limit=2&offset=2").await.json();
    assert_eq!(page["meta"]["next"], "/api/v1/agent/?limit=2&offset=4");
    assert_eq!(page["meta"]["previous"], "/api/v1/agent/?limit=2&offset=0");
    let last = api.get(page["meta"]["next"].as_str().unwrap()).await.json();
    assert_eq!((last["objects"].as_array().unwrap().len(), &last["meta"]["next"]), (1, &Value::Null));
    for (query, words) in [
        ("agent/?nmae=x", "did you mean 'name'?"),
        ("agent/?limit=-1", "limit"),
        ("agent/?offset=x", "offset"),
        ("agent/?state=SLEEPING", "PENDING, UP or DOWN"),
        ("check/?status=GOOD", "status"),
        ("check/?enabled=maybe", "enabled"),
        ("check/?agents=1", "did you mean 'agent'?"),
        ("event/?since=yesterday", "since"),
        ("event/?after=x", "after"),
        ("check_history/", "of which check"),
        ("check_history/?check=1&resolution=1s", "resolution"),
        ("token/?secret=x", "unknown filter"),
        ("channel/?foo=", "unknown filter"),
    ] {
        let reply = api.get(&format!("/api/v1/{query}")).await;
        assert_eq!(reply.status, 400, "{query}");
        assert!(reply.text().contains(words), "{query}: {}", reply.text());
    }
}

#[tokio::test]
async fn secrets_of_channels_are_written_and_never_read() {
    let api = Api::new().await;
    let canary = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let body = json!({"name": "hook", "kind": "webhook", "params": {"url": "https://example.org/x", "secret": canary}});
    let made = api.post("/api/v1/channel/", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let path = made.json()["resource_uri"].as_str().unwrap().to_owned();
    let read = api.get(&path).await;
    assert_eq!(read.json()["params"]["secret"], "***");
    let changed = json!({"params": {"url": "https://example.org/y", "secret": "***"}});
    assert_eq!(api.patch(&path, changed).await.status, 200);
    for reply in [made, read, api.get("/api/v1/channel/").await, api.get("/api/v1/event/").await] {
        assert!(!reply.text().contains(canary));
    }
    let stored = api.store.channels().await.unwrap();
    assert_eq!(stored[0].params.0, json!({"url": "https://example.org/y", "secret": canary}));
    let kind = json!({"kind": "pushover", "params": {"token": "***", "user": "***"}});
    assert_eq!(api.patch(&path, kind).await.status, 422, "another kind gets none of them");
    let test = api.ask("POST", &format!("{path}test/")).bearer(&api.admin).send().await.json();
    assert_eq!((test["status"].as_str(), test["latency_ms"].as_u64()), (Some("sent"), Some(7)));
}

#[tokio::test]
async fn a_token_is_shown_once_and_can_be_revoked() {
    let api = Api::new().await;
    let made = api
        .post("/api/v1/token/", json!({"name": "ci", "role": "viewer", "expires_at": "2027-01-01T00:00:00Z"}))
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    let text = made.json()["token"].as_str().unwrap().to_owned();
    let status = async || api.ask("GET", "/api/v1/agent/").bearer(&text).send().await.status.as_u16();
    assert_eq!(status().await, 200);
    let path = made.json()["resource_uri"].as_str().unwrap().to_owned();
    for reply in [api.get(&path).await, api.get("/api/v1/token/").await, api.get("/api/v1/token/ci/").await] {
        assert_eq!(reply.status, 200);
        assert!(!reply.text().contains(&text) && !reply.text().contains("hash"));
    }
    assert_eq!(api.delete(&path).await.status, 204);
    assert_eq!(status().await, 401);
}

#[tokio::test]
async fn sessions_are_not_tokens_of_the_api_and_write_only_from_our_pages() {
    use vilicus_store::inventory::TokenPurpose;
    let api = Api::new().await;
    let session = api.token_like(Role::Admin, |token| token.purpose = TokenPurpose::Session).await;
    let login = api.token_like(Role::Admin, |token| token.purpose = TokenPurpose::Login).await;
    for token in [&session, &login] {
        assert_eq!(api.ask("GET", "/api/v1/agent/").bearer(token).send().await.status, 401);
    }
    let cookie = format!("vilicus_session={session}");
    let post =
        |name: &str| api.ask("POST", "/api/v1/agent/").header("cookie", &cookie).json(&json!({"name": name}));
    assert_eq!(api.ask("GET", "/api/v1/agent/").header("cookie", &cookie).send().await.status, 200);
    assert_eq!(post("a").send().await.status, 403);
    assert_eq!(post("a").header("sec-fetch-site", "cross-site").send().await.status, 403);
    assert_eq!(post("a").header("sec-fetch-site", "same-origin").send().await.status, 201);
    let cookie = format!("vilicus_session={login}");
    assert_eq!(api.ask("GET", "/api/v1/agent/").header("cookie", &cookie).send().await.status, 401);
}

#[tokio::test]
async fn secret_parameters_are_shown_to_admins_and_the_agent_alone() {
    let api = Api::new().await;
    let (id, agent) = api.agent("web-1").await;
    let params = json!({"url": "https://x.example/", "auth": {"token": "canary"}});
    let check = json!({"agent": id, "name": "shop", "kind": "http", "params": params});
    let path = api.post("/api/v1/check/", check).await.json()["resource_uri"].as_str().unwrap().to_owned();
    for (token, shown) in [
        (api.token(Role::Viewer).await, false),
        (api.token(Role::Operator).await, false),
        (api.token(Role::Admin).await, true),
        (agent, true),
    ] {
        for path in [path.as_str(), "/api/v1/check/", "/api/v1/http_check/"] {
            let text = api.ask("GET", path).bearer(&token).send().await.text();
            assert_eq!((text.contains("canary"), text.contains("***")), (shown, !shown), "{path} {text}");
        }
    }
}
