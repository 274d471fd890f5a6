//! Looking back: results, events and messages.

use serde_json::json;

use crate::support::{Api, at};

async fn with_results(count: i64) -> (Api, u64) {
    let api = Api::new().await;
    let (id, token) = api.agent("web-1").await;
    let check = api.check(id, "load").await;
    let objects: Vec<_> = (1..=count)
        .map(|n| {
            json!({"check": check, "timestamp": at(n), "status": if n % 5 == 0 { 2 } else { 0 },
                "output": format!("=cmd|{n}"), "metrics": [{"name": "load1", "value": n}]})
        })
        .collect();
    let batch = json!({"objects": objects});
    let reply = api.ask("POST", "/api/v1/check_history/").bearer(&token).json(&batch).send().await;
    assert_eq!(reply.json()["accepted"], count);
    (api, check)
}

#[tokio::test]
async fn pages_lead_through_all_of_history_once() {
    let (api, check) = with_results(25).await;
    for (first, newest_first) in [("", true), ("&after=0", false)] {
        let mut next = Some(format!("/api/v1/check_history/?check={check}&limit=10{first}"));
        let mut seen = Vec::new();
        while let Some(path) = next {
            let page = api.get(&path).await.json();
            seen.extend(page["objects"].as_array().unwrap().iter().map(|row| row["timestamp"].to_string()));
            next = page["meta"]["next"].as_str().map(str::to_owned);
        }
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((seen.len(), sorted.len()), (25, 25));
        if newest_first {
            sorted.reverse();
        }
        assert_eq!(seen, sorted);
    }
}

#[tokio::test]
async fn history_is_cut_to_the_span_that_is_asked_for() {
    let (api, check) = with_results(25).await;
    let count = async |query: &str| {
        let reply = api.get(&format!("/api/v1/check_history/?check={check}&{query}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["objects"].as_array().unwrap().len()
    };
    assert_eq!(count(&format!("since={}&until={}", at(5), at(8))).await, 3);
    assert_eq!(count(&format!("timestamp__gte={}&timestamp__lt={}", at(5), at(8))).await, 3);
    assert_eq!(count("since=2026-11-22T14:00:20%2B02:00").await, 6);
    assert!(count(&format!("resolution=auto&since={}&until={}", at(0), at(60))).await >= 1);
}

#[tokio::test]
async fn a_spreadsheet_gets_no_formulas() {
    let (api, check) = with_results(3).await;
    let path = format!("/api/v1/check_history/?check={check}");
    let csv = api.ask("GET", &path).bearer(&api.admin).header("accept", "text/csv").send().await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    assert_eq!(csv.text().matches("\"'=cmd|").count(), 3);
    let lines =
        api.ask("GET", &path).bearer(&api.admin).header("accept", "application/x-ndjson").send().await;
    assert_eq!(lines.text().lines().count(), 3);
    for line in lines.text().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[tokio::test]
async fn what_happened_is_told_in_order() {
    let (api, check) = with_results(5).await;
    let events = api.get(&format!("/api/v1/event/?check={check}")).await.json();
    let events = events["objects"].as_array().unwrap();
    let state = events.iter().find(|event| event["type"] == "state" && event["status"] == "CRITICAL");
    let state = state.expect("the fifth result was CRITICAL");
    assert_eq!((state["state_type"].as_str(), &state["held"]), (Some("soft"), &serde_json::json!("soft")));
    let one = api.get(state["resource_uri"].as_str().unwrap()).await;
    assert_eq!(&one.json(), state);
    let made = api.get("/api/v1/event/?limit=0&after=0").await.json();
    assert!(
        made["objects"]
            .as_array()
            .unwrap()
            .iter()
            .any(|e| e["type"] == "configuration" && e["object"] == "check")
    );
    assert_eq!(api.get("/api/v1/event/4711/").await.status, 404);
}

#[tokio::test]
async fn the_outbox_shows_what_is_to_be_told() {
    let api = Api::new().await;
    let hook = json!({"name": "hook", "kind": "webhook", "params": {"url": "https://example.org/x"}});
    assert_eq!(api.post("/api/v1/channel/", hook).await.status, 201);
    let (id, token) = api.agent("web-1").await;
    let body = json!({"agent": id, "name": "load", "kind": "load", "max_attempts": 1});
    let check = api.post("/api/v1/check/", body).await.json()["id"].clone();
    let result = json!({"check": check, "status": 2, "output": "down"});
    assert_eq!(
        api.ask("POST", "/api/v1/check_history/").bearer(&token).json(&result).send().await.status,
        201
    );
    let list =
        api.get(&format!("/api/v1/notification/?channel=hook&state=pending&check={check}")).await.json();
    let row = &list["objects"][0];
    assert_eq!(
        (row["state"].as_str(), row["items"][0]["status"].as_str()),
        (Some("pending"), Some("CRITICAL"))
    );
    let one = api.get(row["resource_uri"].as_str().unwrap()).await;
    assert_eq!(one.json()["key"], row["key"]);
    assert_eq!(api.get("/api/v1/notification/?channel=nosuch").await.json()["objects"], json!([]));
    assert_eq!(api.get("/api/v1/notification/?state=lost").await.status, 400);
}
