//! A host dies: one DOWN, nothing about its checks; it comes back: one UP.

use std::time::Duration;

use serde_json::json;

use crate::harness::agent::state_of;
use crate::harness::webhook::{Call, Recorder};
use crate::harness::{Agent, Server, until};

/// Twice the interval of one second, and the grace.
const DOWN_AFTER: Duration = Duration::from_secs(32);
/// What noticing and telling may take on top.
const SLACK: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_agent_is_one_message_and_its_return_another() {
    let server = Server::new().start().await;
    let admin = server.admin();
    let recorder = Recorder::start().await;
    recorder.channel(&admin).await;
    let mut agent = Agent::enroll(&server, "web-1").await;
    admin.patch(&agent.path(), &json!({"check_interval_ms": 1000})).await.expect(200);
    let mut checks = Vec::new();
    for kind in ["uptime", "load", "memory"] {
        checks.push(agent.check(&admin, kind, kind, json!({"interval": "1s", "max_attempts": 1})).await);
    }
    agent.start();
    for check in &checks {
        state_of(&admin, *check, "OK", "hard", Duration::from_secs(20)).await;
    }

    agent.kill();
    let call = next_call(&recorder, 0, DOWN_AFTER + SLACK).await;
    assert_eq!((call.event(), &call.body["agent"]), ("agent_down", &json!("web-1")), "{call:#?}");
    assert_eq!(admin.get(&agent.path()).await.expect(200)["state"], "DOWN");
    for check in &checks {
        let state = admin.get(&format!("/api/v1/check/{check}/")).await.expect(200)["state"].clone();
        let seen = (&state["status"], &state["unreachable"], &state["stale"]);
        assert_eq!(seen, (&json!("OK"), &json!(true), &json!(false)), "a check keeps its status: {state}");
    }

    agent.start();
    let call = next_call(&recorder, 1, Duration::from_secs(20)).await;
    assert_eq!((call.event(), &call.body["agent"]), ("agent_up", &json!("web-1")), "{call:#?}");
    for check in &checks {
        until(&format!("check {check} is reachable again"), Duration::from_secs(10), async || {
            let state = admin.get(&format!("/api/v1/check/{check}/")).await.expect(200)["state"].clone();
            (state["unreachable"] == false && state["status"] == "OK").then_some(())
        })
        .await;
    }
    assert_eq!(recorder.calls().len(), 2, "nothing else was told: {:#?}", recorder.calls());
}

async fn next_call(recorder: &Recorder, index: usize, limit: Duration) -> Call {
    until(&format!("message {index}"), limit, async || recorder.calls().get(index).cloned()).await
}
