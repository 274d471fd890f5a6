//! Why you were told, or not, now and then: read as someone would who was woken by it.

use serde_json::{Value, json};
use vilicus_core::Millis;

use crate::support::{Api, at};

struct Scene {
    api: Api,
    token: String,
    path: String,
}

impl Scene {
    async fn new() -> Self {
        let api = Api::new().await;
        let (id, token) = api.agent("web-1").await;
        let hook = json!({"name": "ops", "kind": "webhook", "params": {"url": "https://example.org/"}});
        assert_eq!(api.post("/api/v1/channel/", hook).await.status, 201);
        let route = json!({"name": "all", "channels": ["ops"], "group_wait": "0s"});
        assert_eq!(api.post("/api/v1/route/", route).await.status, 201);
        let check = json!({"agent": id, "name": "disk", "kind": "load", "max_attempts": 2});
        let path = api.post("/api/v1/check/", check).await.header("location").to_owned();
        Self { api, token, path }
    }

    async fn result(&self, minute: i64, status: u8) {
        let result =
            json!({"check": "web-1/disk", "timestamp": at(60 * minute), "status": status, "output": "o"});
        let reply =
            self.api.ask("POST", "/api/v1/check_history/").bearer(&self.token).json(&result).send().await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }

    async fn why(&self, query: &str) -> Value {
        let reply = self.api.get(&format!("{}explain/{query}", self.path)).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        reply.json()
    }
}

#[tokio::test]
async fn each_moment_of_a_problem_has_its_sentence() {
    let scene = Scene::new().await;
    let verdict = async |query: &str| scene.why(query).await["verdict"].as_str().unwrap().to_owned();
    assert_eq!(verdict("").await, "Nobody is told: no result has come yet.");
    let statuses = [0, 2, 2, 0];
    let expected = [
        "There is nothing to tell: the check is OK",
        "Nobody is told that it is CRITICAL: ",
        "Channel 'ops' is to hear CRITICAL since",
        "The check is OK since",
    ];
    for (minute, (status, expected)) in (1..).zip(statuses.into_iter().zip(expected)) {
        scene.api.clock.advance(Millis::from_minutes(1));
        scene.result(minute, status).await;
        let verdict = verdict("").await;
        assert!(verdict.starts_with(expected), "{minute}: {verdict}");
    }
    scene.api.clock.advance(Millis::from_minutes(1));
    let expected = [expected[0], expected[1], "Channel 'ops' was told CRITICAL at", expected[0]];
    for (minute, expected) in (1_i64..).zip(expected) {
        let past = scene.why(&format!("?at={}", at(60 * minute + 30))).await;
        let verdict = past["verdict"].as_str().unwrap();
        assert!(verdict.starts_with(expected), "{minute}, looked back at: {verdict}");
        assert_eq!(past["at"], at(60 * minute + 30).to_string());
    }
    assert_eq!(
        verdict(&format!("?at={}", at(-1))).await,
        "Nothing is recorded of this check up to that moment."
    );
}

#[tokio::test]
async fn the_gates_stand_in_their_order_with_the_route_and_the_channel() {
    let scene = Scene::new().await;
    for minute in 1..=2 {
        scene.api.clock.advance(Millis::from_minutes(1));
        scene.result(minute, 2).await;
        if minute == 1 {
            let soft = scene.why("").await;
            assert_eq!(
                (&soft["held"], &soft["gates"][2]["why"]),
                (&json!("soft"), &json!("attempt 1 of 2")),
                "{soft}"
            );
        }
    }
    let why = scene.why("").await;
    let gates: Vec<&str> =
        why["gates"].as_array().unwrap().iter().map(|gate| gate["gate"].as_str().unwrap()).collect();
    assert_eq!(gates[..4], ["forced", "notifications", "hard", "reachable"], "{why}");
    assert!(gates.contains(&"route") && gates.last() == Some(&"repeat"), "{why}");
    let repeat = why["gates"].as_array().unwrap().last().unwrap();
    assert_eq!((repeat["passed"].as_bool(), &repeat["channel"]), (Some(false), &json!("/api/v1/channel/1/")));
    let told = &why["told"][0];
    assert_eq!(
        (&told["channel"], &told["route"]),
        (&json!("/api/v1/channel/1/"), &json!("/api/v1/route/1/"))
    );
    assert_eq!(
        (&told["notification"], &told["delivery"]),
        (&json!("/api/v1/notification/1/"), &json!("pending")),
        "nothing sends in this test"
    );
    assert_eq!(
        (&why["next"]["reason"], &why["next"]["at"]),
        (&json!("repeat"), &json!(at(120 + 4 * 3600).to_string()))
    );
}

#[tokio::test]
async fn a_moment_that_is_none_is_refused() {
    let scene = Scene::new().await;
    for query in ["?at=tomorrow", "?at=2027-11-22T00:00:00Z", "?att=1"] {
        let reply = scene.api.get(&format!("{}explain/{query}", scene.path)).await;
        assert_eq!(reply.status, 400, "{query}: {}", reply.text());
    }
    assert_eq!(scene.api.get("/api/v1/check/4711/explain/").await.status, 404);
}

#[tokio::test]
async fn events_say_in_a_sentence_what_happened_and_are_found_by_their_type() {
    let scene = Scene::new().await;
    scene.result(1, 0).await;
    scene.result(2, 2).await;
    let events = scene.api.get("/api/v1/event/").await.json();
    for event in events["objects"].as_array().unwrap() {
        assert!(event["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{event}");
        assert_ne!(event["type"], "other", "{event}");
    }
    let states = scene.api.get("/api/v1/event/?type=state&limit=1").await.json();
    assert_eq!(
        states["objects"][0]["summary"],
        "web-1 / disk is CRITICAL, was OK, not confirmed yet: o; nobody is told: attempt 1 of 2"
    );
    let next = scene.api.get(states["meta"]["next"].as_str().unwrap()).await.json();
    assert_eq!(next["objects"][0]["summary"], "web-1 / disk is OK, was PENDING: o");
    let made = scene.api.get("/api/v1/event/?type__in=configuration,channel").await.json();
    assert!(made["objects"].as_array().unwrap().iter().all(|event| event["type"] == "configuration"));
    let unknown = scene.api.get("/api/v1/event/?type=stat").await;
    assert_eq!(unknown.status, 400);
}
