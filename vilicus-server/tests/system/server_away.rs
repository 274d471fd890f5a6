//! The server is away for a while and agents go on measuring: every result arrives, in order, and nobody is alarmed.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::agent::state_of;
use crate::harness::watched::Watched;
use crate::harness::webhook::Recorder;
use crate::harness::{Agent, Rest, Server, rest, until};

/// How long the server is away, in two parts with a failure of the watched process between them.
const AWAY: [Duration; 3] = [Duration::from_secs(4), Duration::from_secs(7), Duration::from_secs(6)];
/// An agent comes back with jitter, well before it would count as DOWN.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// The longest time between two results of a check of one second, on a busy machine.
const LARGEST_GAP_MS: i64 = 3_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_of_an_outage_arrive_in_order_and_alarm_nobody() {
    let mut server = Server::new().start().await;
    let admin = server.admin();
    let recorder = Recorder::start().await;
    recorder.channel(&admin).await;
    let mut watched = Watched::start(server.folder());
    let mut steady = Agent::enroll(&server, "steady").await;
    let mut shaken = Agent::enroll(&server, "shaken").await;
    let every_second = json!({"interval": "1s", "max_attempts": 2});
    let uptime = steady.check(&admin, "uptime", "uptime", every_second.clone()).await;
    let mut process = every_second;
    process["params"] = json!({"name": watched.name});
    let process = shaken.check(&admin, "process", "process", process).await;
    steady.start();
    shaken.start();
    for check in [uptime, process] {
        state_of(&admin, check, "OK", "hard", Duration::from_secs(20)).await;
    }

    let left = jiff::Timestamp::now();
    assert!(server.stop().await.success(), "the server ends well");
    sleep(AWAY[0]).await;
    watched.kill();
    sleep(AWAY[1]).await;
    watched.start_again();
    sleep(AWAY[2]).await;
    server.start_again().await;
    let back = jiff::Timestamp::now();

    for check in [uptime, process] {
        let times = results_since(&admin, check, left, back).await;
        no_gap_between(&times, check);
    }
    state_of(&admin, process, "OK", "hard", Duration::from_secs(20)).await;
    failures_are_remembered(&admin, process, left).await;
    told_the_outcome_at_most(&admin, &recorder).await;
    for agent in [&steady, &shaken] {
        let seen = admin.get(&agent.path()).await.expect(200);
        assert_eq!(seen["state"], "UP", "{seen}");
        nothing_dropped(&admin, agent).await;
    }
}

/// The times of the results since `left`, oldest first, awaited until they reach past `back`.
async fn results_since(admin: &Rest, check: u64, left: jiff::Timestamp, back: jiff::Timestamp) -> Vec<i64> {
    let path = format!("/api/v1/check_history/?check={check}&since={left:.3}&limit=1000");
    let what = format!("check {check} has results of the outage and after it");
    until(&what, BACK_WITHIN, async || {
        let rows = admin.list(&path).await;
        let times: Vec<i64> = rows.iter().rev().map(|row| time(row).as_millisecond()).collect();
        (*times.last()? > back.as_millisecond() + 2_000).then_some(times)
    })
    .await
}

fn time(row: &Value) -> jiff::Timestamp {
    rest::text(row, "timestamp").parse().unwrap()
}

fn no_gap_between(times: &[i64], check: u64) {
    assert!(times.is_sorted(), "check {check}: {times:?}");
    let largest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(largest <= LARGEST_GAP_MS, "check {check}: {largest} ms without a result in {times:?}");
}

async fn failures_are_remembered(admin: &Rest, check: u64, since: jiff::Timestamp) {
    let rows = admin.list(&format!("/api/v1/check_history/?check={check}&since={since:.3}&limit=1000")).await;
    let failed: Vec<&Value> = rows.iter().filter(|row| row["status"] == "CRITICAL").collect();
    assert!(failed.len() >= 4, "the failures of the outage are in the history: {rows:?}");
}

/// The process failed and recovered while nobody could hear: one message that tells both, or none.
async fn told_the_outcome_at_most(admin: &Rest, recorder: &Recorder) {
    let path = "/api/v1/notification/?state=pending";
    until("nothing waits to be told", Duration::from_secs(20), async || {
        admin.list(path).await.is_empty().then_some(())
    })
    .await;
    let calls = recorder.calls();
    assert!(calls.len() <= 1, "at most one message: {calls:#?}");
    for call in calls {
        assert_eq!(
            (call.event(), &call.body["status"]),
            ("recovery", &json!("OK")),
            "the outcome: {call:#?}"
        );
    }
}

async fn nothing_dropped(admin: &Rest, agent: &Agent) {
    let own = admin.list(&format!("/api/v1/check/?agent={}&kind=agent", agent.id)).await;
    let check = rest::id(own.first().expect("every agent has an 'agent' check"));
    let rows = admin.list(&format!("/api/v1/check_history/?check={check}&limit=1000")).await;
    for row in &rows {
        let metrics = row["metrics"].as_array().unwrap();
        let dropped = metrics.iter().find(|metric| metric["name"] == "dropped");
        assert!(
            dropped.is_none_or(|metric| metric["value"].as_f64() == Some(0.0)),
            "{} lost results: {row}",
            agent.name
        );
    }
}
