//! The agent against a server that speaks the contract over real sockets: also when it is away, busy or unwilling.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end here")]

mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use server::{Server, TOKEN, until};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vilicus_agent::transport::HttpOptions;
use vilicus_agent::{Agent, AgentBuilder, HttpTransport, OwnCheck};
use vilicus_core::kind::MetricDescription;
use vilicus_core::{
    Check, CheckContext, CheckKind, CheckResult, KindRegistry, Metric, Millis, ParamsError, async_trait,
    check,
};

/// Counts its runs: each result says which it was.
#[derive(Debug, Default)]
struct Counting(AtomicU32);

#[async_trait]
impl Check for Counting {
    async fn run(&self, _cx: &CheckContext) -> CheckResult {
        CheckResult::ok(format!("run {}", self.0.fetch_add(1, Ordering::Relaxed) + 1))
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct NoParams {}

#[derive(Debug)]
struct CountingKind;

impl CheckKind for CountingKind {
    type Params = NoParams;

    fn name(&self) -> &'static str {
        "counting"
    }

    fn description(&self) -> &'static str {
        "counts its runs"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        &[]
    }

    fn build(&self, _: NoParams) -> Result<Arc<dyn Check>, ParamsError> {
        Ok(Arc::new(Counting::default()))
    }
}

fn check_object(id: u64, kind: &str) -> serde_json::Value {
    json!({"id": id, "name": format!("check-{id}"), "kind": kind, "params": {}, "interval": "1s", "timeout": "5s"})
}

/// An agent that runs until it is stopped.
struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Running {
    fn start(server: &Server, build: impl FnOnce(AgentBuilder) -> AgentBuilder) -> Self {
        let transport = HttpTransport::new(&server.url(), &TOKEN.into(), HttpOptions::default()).unwrap();
        let kinds = KindRegistry::new().with(CountingKind);
        let agent = build(Agent::builder().transport(transport).kinds(kinds)).build().unwrap();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(async move {
            agent.run(async { stopped.await.unwrap_or(()) }).await.unwrap();
        });
        Self { stop, ended }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.ended).await.unwrap().unwrap();
    }
}

/// The outputs `run 1`, `run 2` … without a gap.
fn assert_in_order(outputs: &[String]) {
    for (number, output) in (1..).zip(outputs) {
        assert_eq!(*output, format!("run {number}"), "{outputs:?}");
    }
}

#[tokio::test]
async fn results_arrive_in_order_and_the_agent_checks_in() {
    let server = Server::start(vec![check_object(7, "counting")]).await;
    let agent = Running::start(&server, |agent| agent);
    until("three results", || server.state().count(7) >= 3).await;
    until("a check-in", || !server.state().check_ins.is_empty()).await;
    // The end may cut a request off that the server has taken; what it held is then sent again, as it should be.
    assert_eq!(server.state().duplicates, 0);
    agent.stop().await;
    let state = server.state();
    assert_in_order(&state.outputs(7));
    assert_eq!(state.requests[..2], ["GET /api/v1/agent/", "GET /api/v1/check/"]);
    let check_in = &state.check_ins[0];
    assert!(check_in["facts"]["cores"].as_u64().unwrap() > 0 && check_in["version"].is_string());
    assert_eq!(check_in["facts"]["dropped"], 0);
    let timestamps: Vec<&String> = state.results.keys().map(|(_, timestamp)| timestamp).collect();
    assert!(timestamps.is_sorted());
}

#[tokio::test]
async fn a_server_that_was_away_gets_everything_in_order() {
    let mut server = Server::start(vec![check_object(7, "counting")]).await;
    let agent = Running::start(&server, |agent| agent);
    until("a result", || server.state().count(7) >= 1).await;
    server.stop().await;
    let before = server.state().count(7);
    tokio::time::timeout(Duration::from_secs(3), std::future::pending::<()>()).await.unwrap_err();
    server.come_back().await;
    until("what was kept", || server.state().count(7) >= before + 3).await;
    agent.stop().await;
    assert_in_order(&server.state().outputs(7));
}

#[tokio::test]
async fn a_busy_server_is_left_alone_as_long_as_it_asks() {
    let server = Server::start(vec![check_object(7, "counting")]).await;
    let busy = (503, vec![("retry-after", "2".to_owned())], String::new());
    server.state().instead.push_back(busy);
    let began = tokio::time::Instant::now();
    let agent = Running::start(&server, |agent| agent);
    until("a second request", || server.state().requests.len() >= 2).await;
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    agent.stop().await;
}

#[tokio::test]
async fn a_rejected_result_costs_no_other_and_is_not_sent_again() {
    let server = Server::start(vec![check_object(7, "counting"), check_object(8, "counting")]).await;
    server.state().reject = Some(8);
    let agent = Running::start(&server, |agent| agent);
    until("results of the good one", || server.state().count(7) >= 3).await;
    agent.stop().await;
    let state = server.state();
    assert_in_order(&state.outputs(7));
    assert_eq!(state.count(8), 0);
    let sent: usize = state.batches.iter().sum();
    assert!(sent <= 2 * state.count(7) + 2, "{sent} results were sent");
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_halved() {
    let checks = (1..=8).map(|id| check_object(id, "counting")).collect();
    let server = Server::start(checks).await;
    server.state().max_batch = Some(3);
    let agent = Running::start(&server, |agent| agent);
    until("every first result", || (1..=8).all(|id| server.state().count(id) >= 1)).await;
    agent.stop().await;
    assert!(server.state().batches.iter().all(|size| *size <= 3));
}

#[tokio::test]
async fn a_refused_token_keeps_the_results_for_the_time_when_it_is_mended() {
    let server = Server::start(vec![check_object(7, "counting")]).await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let count = move || std::future::ready(counted.fetch_add(1, Ordering::Relaxed) < u32::MAX);
    let own = OwnCheck::new("own", check::from_fn(count)).every(Millis::from_secs(1));
    let agent = Running::start(&server, |agent| agent.own_check(own));
    until("a result", || server.state().count(7) >= 1).await;
    // A short outage of the token store: the next answer is a 401, those after it are not.
    server.state().instead.push_back((401, vec![], r#"{"detail": "revoked"}"#.to_owned()));
    until("the refusal", || server.state().instead.is_empty()).await;
    // The refusal may have met a request without results: by now there is one more.
    let before = runs.load(Ordering::Relaxed);
    until("further results", || runs.load(Ordering::Relaxed) >= before + 2).await;
    agent.stop().await;
    assert_in_order(&server.state().outputs(7));
    assert!(server.state().count(7) >= 2, "what was kept is delivered at the end");
}

#[tokio::test]
async fn orders_and_changes_reach_the_agent_with_any_answer() {
    let slow = json!({"id": 7, "name": "slow", "kind": "counting", "interval": "1h"});
    let server = Server::start(vec![slow.clone(), check_object(8, "counting")]).await;
    server.state().run = vec![json!({"check": 7, "in_ms": 100})];
    let agent = Running::start(&server, |agent| agent);
    until("the ordered run", || server.state().count(7) >= 2).await;
    server.state().checks = vec![slow, check_object(9, "counting")];
    until("a result of the new check", || server.state().count(9) >= 1).await;
    let old = server.state().count(8);
    until("two more", || server.state().count(9) >= 3).await;
    assert!(server.state().count(8) <= old + 1, "the old check still runs");
    agent.stop().await;
}

#[tokio::test]
async fn own_checks_are_announced_and_their_results_wait_for_an_id() {
    let server = Server::start(Vec::new()).await;
    let waiting = || async { Metric::new("waiting", 3.0) };
    let own = OwnCheck::new("queue", check::from_fn(waiting))
        .every(Millis::from_secs(1))
        .warning("waiting", "10".parse().unwrap());
    let agent = Running::start(&server, |agent| agent.own_check(own).sign_off_at_end());
    until("results of the own check", || server.state().count(100) >= 2).await;
    agent.stop().await;
    let state = server.state();
    assert_eq!(state.announced[0]["thresholds"]["waiting"]["warning"], "10");
    assert_eq!(state.arrivals[0]["metrics"][0]["value"], 3.0);
    assert!(state.arrivals[0].get("status").is_none(), "thresholds judge, not the agent");
    assert!(state.signed_off);
}

#[tokio::test]
async fn own_checks_run_on_when_the_server_does_not_take_them_and_stop_when_it_says_so() {
    let server = Server::start(vec![check_object(7, "counting")]).await;
    server.state().refuse_announcements = true;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let own = check::from_fn(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { false }
    });
    let own = OwnCheck::new("own", own).every(Millis::from_secs(1));
    let transport = HttpTransport::new(&server.url(), &TOKEN.into(), HttpOptions::default()).unwrap();
    let agent = Agent::builder().transport(transport).own_check(own).build().unwrap();
    let health = agent.health();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(agent.run(async { stopped.await.unwrap_or(()) }));
    until("a result of the server's check", || server.state().count(7) >= 1).await;
    let before = runs.load(Ordering::Relaxed);
    until("another run of our own", || runs.load(Ordering::Relaxed) > before).await;
    assert!(!health.is_healthy());
    server
        .state()
        .checks
        .push(json!({"id": 9, "name": "own", "kind": "app", "origin": "agent", "enabled": false}));
    until("no word of it in the health view", || health.status().is_none()).await;
    stop.send(()).unwrap();
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_an_agent_cannot_or_must_not_run_is_unknown_with_the_reason() {
    let mut bad = check_object(9, "counting");
    bad["params"] = json!([1]);
    let server =
        Server::start(vec![check_object(7, "from-the-future"), check_object(8, "denied"), bad]).await;
    let agent = Running::start(&server, |agent| agent.deny_kind("denied"));
    until("all three", || (7..=9).all(|id| server.state().count(id) >= 1)).await;
    agent.stop().await;
    let state = server.state();
    for (id, words) in
        [(7, "unknown kind"), (8, "denied by the agent's own file"), (9, "params must be an object")]
    {
        assert!(state.outputs(id)[0].contains(words), "{:?}", state.outputs(id));
        assert!(state.arrivals.iter().all(|result| result["status"] == "UNKNOWN"));
    }
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_by_the_servers() {
    let server = Server::start(vec![check_object(7, "counting")]).await;
    server.state().clock_ahead = 7_200;
    let agent = Running::start(&server, |agent| agent);
    until("a result and a check-in", || {
        let state = server.state();
        state.count(7) >= 1 && !state.check_ins.is_empty()
    })
    .await;
    agent.stop().await;
    let state = server.state();
    let timestamp: jiff::Timestamp = state.arrivals[0]["timestamp"].as_str().unwrap().parse().unwrap();
    let ahead = timestamp.as_second() - jiff::Timestamp::now().as_second();
    assert!((7_100..=7_300).contains(&ahead), "{ahead}");
    let skew = state.check_ins[0]["facts"]["clock_skew_seconds"].as_f64().unwrap();
    assert!((-7_300.0..=-7_100.0).contains(&skew), "{skew}");
}

#[tokio::test]
async fn what_is_measured_last_is_delivered_before_the_agent_ends() {
    let server = Server::start(vec![check_object(7, "counting")]).await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let own = check::from_fn(move || {
        let run = counted.fetch_add(1, Ordering::Relaxed) + 1;
        async move { CheckResult::ok(format!("run {run}")) }
    });
    let own = OwnCheck::new("own", own).every(Millis::from_secs(1));
    let agent = Running::start(&server, |agent| agent.own_check(own));
    until("a second run", || runs.load(Ordering::Relaxed) >= 2).await;
    agent.stop().await;
    let outputs = server.state().outputs(100);
    assert_in_order(&outputs);
    assert_eq!(outputs.len(), runs.load(Ordering::Relaxed) as usize);
}
