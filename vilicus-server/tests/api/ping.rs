//! Heartbeats: a job says that it ran, with no header and any body, and silence is the alarm.

use serde_json::{Value, json};
use vilicus_core::Millis;
use vilicus_store::inventory::Role;

use crate::support::{Api, at};

/// A heartbeat; its path, and the path of its pings.
async fn heartbeat(api: &Api) -> (String, String) {
    let (id, _) = api.agent("web-1").await;
    let check = json!({"agent": id, "name": "backup", "kind": "heartbeat", "params": {"period": "1h", "grace": "5m"}});
    let made = api.post("/api/v1/check/", check).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let url = made.json()["ping_url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix("https://vilicus.example").unwrap().to_owned();
    assert!(path.starts_with("/api/v1/ping/") && path.len() == "/api/v1/ping/".len() + 37, "{path}");
    (made.header("location").to_owned(), path)
}

async fn state(api: &Api, check: &str) -> Value {
    api.get(check).await.json()["state"].clone()
}

#[tokio::test]
async fn a_job_pings_in_any_way_that_it_can() {
    let api = Api::new().await;
    let (check, ping) = heartbeat(&api).await;
    assert_eq!(state(&api, &check).await["status"], "PENDING");
    for (method, path, status) in [
        ("GET", ping.clone(), "OK"),
        ("POST", format!("{ping}fail/"), "CRITICAL"),
        ("HEAD", format!("{ping}success"), "OK"),
        ("GET", format!("{ping}7"), "CRITICAL"),
        ("POST", format!("{ping}0/"), "OK"),
        ("POST", format!("{ping}255"), "CRITICAL"),
        ("POST", format!("{ping}log/"), "CRITICAL"),
        ("GET", ping.trim_end_matches('/').to_uppercase().replace("/API/V1/PING/", "/api/v1/ping/"), "OK"),
        ("GET", format!("{ping}?rid=01234567-89ab-4cde-8f01-23456789abcd&unknown=1"), "OK"),
    ] {
        api.clock.advance(Millis::from_secs(1));
        let reply = api.ask(method, &path).send().await;
        assert_eq!(reply.status, 200, "{method} {path}: {}", reply.text());
        assert!(reply.header("content-type").starts_with("text/plain"));
        if method != "HEAD" {
            assert_eq!(reply.text(), "OK");
        }
        let state = state(&api, &check).await;
        assert_eq!(
            (state["status"].as_str(), state["state_type"].as_str()),
            (Some(status), Some("hard")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn any_body_is_taken_and_what_is_too_long_is_cut() {
    let api = Api::new().await;
    let (check, ping) = heartbeat(&api).await;
    let long = "x".repeat(300_000);
    let table: [(&str, Vec<u8>, &str); 4] = [
        ("text/plain", b"tar: disk full".to_vec(), "tar: disk full"),
        ("application/json", b"{not json".to_vec(), "{not json"),
        ("nonsense", vec![0xff, 0x00, b'a'], "\u{fffd}\u{fffd}a"),
        ("application/octet-stream", long.clone().into_bytes(), "xxxxxxxxxx"),
    ];
    for (kind, body, output) in table {
        api.clock.advance(Millis::from_secs(1));
        let ask = api.ask("POST", &format!("{ping}fail/")).header("content-type", kind);
        assert_eq!(ask.body(body).send().await.status, 200, "{kind}");
        let kept = state(&api, &check).await["output"].as_str().unwrap().to_owned();
        assert!(kept.starts_with(output) && kept.len() <= 10_100, "{kind}: {} bytes", kept.len());
    }
    let huge = "x".repeat(5 * 1024 * 1024);
    assert_eq!(api.ask("POST", &ping).body(huge).send().await.status, 413);
}

#[tokio::test]
async fn silence_is_an_alarm_and_a_ping_its_end() {
    let api = Api::new().await;
    let (check, ping) = heartbeat(&api).await;
    assert_eq!(api.ask("GET", &ping).send().await.status, 200);
    let due = state(&api, &check).await["next_due_at"].clone();
    assert!(!due.is_null(), "it is known when the next one is due");
    let judge =
        async || api.store.commit(api.clock_now(), vec![vilicus_store::Input::Deadlines]).await.unwrap();
    api.clock.advance(Millis::from_secs(3600 + 299));
    judge().await;
    assert_eq!(state(&api, &check).await["status"], "OK");
    api.clock.advance(Millis::from_secs(2));
    judge().await;
    let missed = state(&api, &check).await;
    assert_eq!(
        (&missed["status"], &missed["since"]),
        (&json!("CRITICAL"), &json!(at(3900).to_string())),
        "{missed}"
    );
    assert_eq!(api.ask("GET", &ping).send().await.status, 200);
    assert_eq!(state(&api, &check).await["status"], "OK");
}

#[tokio::test]
async fn what_is_no_ping_is_refused() {
    let api = Api::new().await;
    let (check, ping) = heartbeat(&api).await;
    let unknown = "/api/v1/ping/00000000-0000-4000-8000-000000000000/";
    for (path, status) in [
        (format!("{ping}256/"), 422),
        (format!("{ping}finished/"), 404),
        (format!("{ping}-1/"), 404),
        (format!("{ping}fail/more/"), 404),
        (format!("{ping}?rid=7"), 400),
        (format!("{ping}start/?rid="), 400),
        (unknown.to_owned(), 404),
        ("/api/v1/ping/%ff/".to_owned(), 404),
        ("/api/v1/ping/backup/fail/".to_owned(), 404),
    ] {
        let reply = api.ask("POST", &path).send().await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        assert_eq!(reply.header("content-type"), "application/problem+json", "{path}");
    }
    assert_eq!(api.ask("PUT", &ping).send().await.status, 405);
    assert_eq!(state(&api, &check).await["status"], "PENDING");
    for _ in 0..40 {
        let _ = api.ask("GET", unknown).send().await;
    }
    let guess = api.ask("GET", unknown).send().await;
    assert_eq!(guess.status, 429, "guesses are slowed down");
    assert!(guess.headers.contains_key("retry-after"));
    assert_eq!(api.ask("GET", &ping).send().await.status, 200, "a key that is known always passes");
}

#[tokio::test]
async fn one_that_is_switched_off_answers_and_stays_so() {
    let api = Api::new().await;
    let (check, ping) = heartbeat(&api).await;
    assert_eq!(api.patch(&check, json!({"enabled": false})).await.status, 200);
    assert_eq!(api.ask("GET", &ping).send().await.text(), "OK");
    let shown = api.get(&check).await.json();
    assert_eq!((&shown["enabled"], &shown["state"]["status"]), (&json!(false), &json!("PENDING")));
}

#[tokio::test]
async fn the_key_is_shown_to_those_who_may_submit_results_and_changes_on_request() {
    let api = Api::new().await;
    let (check, ping) = heartbeat(&api).await;
    let key = ping.split('/').nth(4).unwrap();
    for (role, shown) in [(Role::Viewer, false), (Role::Operator, true), (Role::Admin, true)] {
        let token = api.token(role).await;
        for path in [check.as_str(), "/api/v1/check/", "/api/v1/heartbeat_check/", "/api/v1/event/"] {
            let reply = api.ask("GET", path).bearer(&token).send().await;
            assert_eq!(reply.status, 200, "{path}");
            assert_eq!(reply.text().contains(key), shown && !path.contains("event"), "{role}: {path}");
        }
    }
    let agent = api.agent_token(1).await;
    assert!(!api.ask("GET", "/api/v1/check/").bearer(&agent).send().await.text().contains(key));
    let before = api.get(&check).await;
    let put = api.put(&check, before.json()).await;
    assert_eq!(put.json()["ping_url"], before.json()["ping_url"], "a change keeps it: {}", put.text());
    let turned = api.post(&format!("{check}ping_key/"), json!({})).await;
    assert_eq!(turned.status, 200, "{}", turned.text());
    assert_ne!(turned.json()["ping_url"], before.json()["ping_url"]);
    assert_ne!(turned.header("etag"), before.header("etag"));
    assert_eq!(api.ask("GET", &ping).send().await.status, 404);
    let load = api.check(1, "load").await;
    assert_eq!(api.post(&format!("/api/v1/check/{load}/ping_key/"), json!({})).await.status, 409);
}

#[tokio::test]
async fn a_heartbeat_that_can_never_be_due_is_refused() {
    let api = Api::new().await;
    let (id, _) = api.agent("web-1").await;
    for (params, pointer, words) in [
        (json!({}), "/params", "exactly one of"),
        (json!({"period": "1h", "cron": "0 * * * *"}), "/params", "exactly one of"),
        (json!({"period": "0s"}), "/params/period", "at least"),
        (json!({"period": "9999w"}), "/params/period", "too long"),
        (json!({"period": "1h", "grace": "9999w"}), "/params/grace", "too long"),
        (json!({"cron": "0 0 30 2 *"}), "/params/cron", "never"),
        (json!({"cron": "0 2 * * *", "timezone": "Berlin"}), "/params/timezone", "Europe/Berlin"),
        (json!({"on_calendar": "*-02-30"}), "/params/on_calendar", ""),
        (json!({"perod": "1h"}), "/params/perod", "did you mean 'period'?"),
        (json!({"period": 60}), "/params/period", ""),
    ] {
        let check = json!({"agent": id, "name": "x", "kind": "heartbeat", "params": params});
        let reply = api.post("/api/v1/check/", check).await;
        assert_eq!(reply.status, 422, "{params}: {}", reply.text());
        assert_eq!(reply.pointers(), [pointer], "{params}: {}", reply.text());
        assert!(reply.text().contains(words), "{params}: {}", reply.text());
    }
    let near = json!({"agent": id, "name": "x", "kind": "heartbaet", "params": {"period": "1h"}});
    assert!(api.post("/api/v1/check/", near).await.text().contains("did you mean 'heartbeat'?"));
    let announced = json!({"objects": [{"name": "x", "kind": "heartbeat", "params": {"period": "1h"}}]});
    assert_eq!(api.put(&format!("/api/v1/agent/{id}/checks/"), announced).await.status, 422);
}
