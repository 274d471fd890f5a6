//! For how long checks were what, as the API counts it.

use serde_json::{Value, json};
use vilicus_core::Millis;
use vilicus_server::Clock as _;
use vilicus_store::Input;
use vilicus_store::inventory::Role;

use crate::support::{Api, at};

/// A check that is told of at once, and results of it at these seconds, one after the other.
async fn with(results: &[(i64, u8)]) -> (Api, u64, String) {
    let api = Api::new().await;
    let (agent, token) = api.agent("web-1").await;
    let body = json!({"agent": agent, "name": "load", "kind": "load", "max_attempts": 1, "interval": "10m"});
    let check = api.post("/api/v1/check/", body).await.json()["id"].as_u64().unwrap();
    for (second, status) in results {
        report(&api, &token, check, *second, *status).await;
    }
    (api, check, token)
}

/// The agent delivers a result as it measures it.
async fn report(api: &Api, token: &str, check: u64, second: i64, status: u8) {
    if at(second) > api.clock.now() {
        api.clock.set(at(second));
    }
    let result = json!({"check": check, "status": status, "timestamp": at(second)});
    let reply = api.ask("POST", "/api/v1/check_history/").bearer(token).json(&result).send().await;
    assert_eq!(reply.status, 201, "{}", reply.text());
}

async fn seconds(api: &Api, query: &str) -> (Value, [f64; 5]) {
    let reply = api.get(&format!("/api/v1/availability/?{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body = reply.json();
    let seconds = ["ok", "warning", "critical", "unknown", "undetermined"]
        .map(|name| body["seconds"][name].as_f64().unwrap_or(f64::NAN));
    (body, seconds)
}

#[tokio::test]
async fn the_seconds_add_up_to_the_span() {
    let (api, check, _) = with(&[(100, 0), (400, 2), (700, 1), (1000, 3), (1200, 0)]).await;
    api.clock.set(at(1500));
    let (body, all) = seconds(&api, &format!("check={check}&since={}&until={}", at(0), at(9000))).await;
    assert_eq!(all, [600.0, 300.0, 300.0, 200.0, 100.0], "{body}");
    assert_eq!(body["until"], json!(at(1500)), "the future is not counted");
    assert_eq!(body["availability_percent"], json!(75.0));
    let (_, part) = seconds(&api, &format!("check=web-1/load&since={}&until={}", at(500), at(1100))).await;
    assert_eq!(part, [0.0, 300.0, 200.0, 100.0, 0.0], "what was before the span is known");
    let (body, none) = seconds(&api, &format!("check={check}&since={}&until={}", at(0), at(50))).await;
    assert_eq!((none, &body["availability_percent"]), ([0.0, 0.0, 0.0, 0.0, 50.0], &Value::Null));
    let (_, exact) =
        seconds(&api, &format!("check={check}&since={}&until=2026-11-22T12:01:40.007Z", at(0))).await;
    assert_eq!(exact, [0.007, 0.0, 0.0, 0.0, 100.0]);
}

#[tokio::test]
async fn downtimes_are_counted_once_and_left_out_on_request() {
    let (api, check, token) = with(&[(0, 0)]).await;
    for (start, end) in [(500, 800), (600, 900)] {
        let body = json!({"match": ["check=load"], "start": at(start), "end": at(end)});
        assert_eq!(api.post("/api/v1/downtime/", body).await.status, 201);
    }
    report(&api, &token, check, 400, 2).await;
    report(&api, &token, check, 700, 0).await;
    api.clock.set(at(1000));
    let query = format!("check={check}&since={}", at(0));
    let (body, all) = seconds(&api, &query).await;
    assert_eq!(all, [700.0, 0.0, 300.0, 0.0, 0.0]);
    assert_eq!(
        (&body["downtime_seconds"], &body["downtime_problem_seconds"]),
        (&json!(400.0), &json!(200.0))
    );
    let (body, counted) = seconds(&api, &format!("{query}&exclude_downtime=true")).await;
    assert_eq!(counted, [500.0, 0.0, 100.0, 0.0, 0.0]);
    assert_eq!(body["exclude_downtime"], true);
}

#[tokio::test]
async fn time_in_which_nobody_knew_is_neither_up_nor_down() {
    let (api, check, token) = with(&[(0, 0)]).await;
    // The agent is DOWN after 150 s, and back at 1000.
    api.clock.set(at(500));
    api.store.commit(at(500), vec![Input::Deadlines]).await.unwrap();
    report(&api, &token, check, 1000, 0).await;
    api.clock.set(at(1100));
    let (body, all) = seconds(&api, &format!("check={check}&since={}", at(0))).await;
    assert_eq!(all.iter().sum::<f64>(), 1100.0);
    assert!(all[4] >= 500.0 && all[0] + all[4] == 1100.0, "{body}");
    assert_eq!(body["availability_percent"], json!(100.0));
    let (own, down) = seconds(&api, &format!("check=web-1/agent&since={}", at(0))).await;
    assert_eq!(down[2], all[4], "its own check says so: {own}");
}

#[tokio::test]
async fn results_that_came_late_stand_where_they_belong() {
    let (api, check, token) = with(&[(0, 0), (1000, 0)]).await;
    // Silence of the check alone: its agent is in contact.
    for minute in 17..=50 {
        api.clock.set(at(minute * 60));
        api.ask("GET", "/api/v1/check/").bearer(&token).send().await;
        api.store.commit(at(minute * 60), vec![Input::Deadlines]).await.unwrap();
    }
    let query = format!("check={check}&since={}", at(0));
    let (body, stale) = seconds(&api, &query).await;
    assert!(stale[4] > 100.0 && stale[3] == 0.0, "{body}");
    report(&api, &token, check, 1500, 2).await;
    let (body, known) = seconds(&api, &query).await;
    assert_eq!(known, [1500.0, 0.0, 1500.0, 0.0, 0.0], "{body}");
}

#[tokio::test]
async fn several_checks_are_a_list_and_an_agent_sees_its_own() {
    let (api, check, token) = with(&[(0, 0)]).await;
    let (other, _) = api.agent("web-2").await;
    let foreign = api.check(other, "load").await;
    api.clock.advance(Millis::from_secs(60));
    let list = async |query: &str| api.get(&format!("/api/v1/availability/?{query}")).await.json();
    assert_eq!(list(&format!("check__in={check},{foreign}")).await["meta"]["total_count"], 2);
    let own = list("agent=web-1").await;
    assert_eq!(own["meta"]["total_count"], 2, "the check, and the agent's own: {own}");
    assert_eq!(list("agent=web-1&limit=1").await["objects"].as_array().unwrap().len(), 1);
    let status = async |token: &str, query: &str| {
        let path = format!("/api/v1/availability/?{query}");
        api.ask("GET", &path).bearer(token).send().await.status.as_u16()
    };
    let viewer = api.token(Role::Viewer).await;
    for (token, query, expected) in [
        (&viewer, format!("check={check}"), 200),
        (&token, format!("check={check}"), 200),
        (&token, format!("check={foreign}"), 404),
        (&token, "agent=web-2".to_owned(), 404),
        (&viewer, "check=nosuch".to_owned(), 404),
        (&viewer, String::new(), 400),
        (&viewer, format!("check={check}&since={}&until={}", at(5), at(5)), 400),
        (&viewer, format!("check={check}&since=2099-01-01T00:00:00Z"), 400),
        (&viewer, format!("check={check}&exclude_downtimes=true"), 400),
        (&viewer, format!("check={check}&exclude_downtime=maybe"), 400),
    ] {
        assert_eq!(status(token, &query).await, expected, "{query}");
    }
    let both = format!("/api/v1/availability/?check__in={check},{foreign}");
    let seen = api.ask("GET", &both).bearer(&token).send().await.json();
    assert_eq!(seen["meta"]["total_count"], 1, "of several, an agent sees its own: {seen}");
}
