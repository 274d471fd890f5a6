//! Clients that post results as fast as the server takes them, and try the same again when it is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::ledger::Ledger;
use crate::harness::agent::enroll_by_hand;
use crate::harness::{Rest, Server, rest};

/// Running clients.
#[derive(Debug)]
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Ledger>>,
}

impl Load {
    /// Enrols `agents` agents, called `name` and a number, with `checks` checks each, and lets them post.
    pub(super) async fn start(server: &Server, name: &str, agents: usize, checks: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for number in 0..agents {
            let (id, client) = enroll_by_hand(server, &format!("{name}-{number}")).await;
            let mut ids = Vec::new();
            for index in 0..checks {
                let check =
                    json!({"agent": id, "name": format!("check-{index}"), "kind": "load", "interval": "60s"});
                ids.push(rest::id(&server.admin().create("/api/v1/check/", check).await));
            }
            clients.push(tokio::spawn(post_until(Arc::clone(&stop), client, ids)));
        }
        Self { stop, clients }
    }

    /// Ends the clients, each after its last batch is acknowledged.
    pub(super) async fn stop(self) -> Vec<Ledger> {
        self.stop.store(true, Ordering::Relaxed);
        let mut ledgers = Vec::new();
        for client in self.clients {
            ledgers.push(client.await.unwrap());
        }
        ledgers
    }
}

async fn post_until(stop: Arc<AtomicBool>, client: Rest, checks: Vec<u64>) -> Ledger {
    let mut ledger = Ledger::default();
    let mut round = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let timestamp = format!("{:.3}", jiff::Timestamp::now());
        let batch: Vec<Value> = checks.iter().map(|check| result(*check, &timestamp, round)).collect();
        batch.iter().for_each(|result| ledger.sending(result));
        post_until_taken(&client, &batch).await;
        batch.iter().for_each(|result| ledger.acknowledged(result));
        // A batch has a millisecond of its own, as a result is known by its check and its time.
        sleep(Duration::from_millis(5)).await;
    }
    ledger
}

fn result(check: u64, timestamp: &str, round: u32) -> Value {
    json!({
        "check": check, "timestamp": timestamp, "status": "OK", "output": format!("round {round}"),
        "metrics": [{"name": "load1", "value": f64::from(round) / 100.0, "unit": ""}],
    })
}

/// Sends the same batch until the server has all of it, as an agent does.
async fn post_until_taken(client: &Rest, batch: &[Value]) {
    let body = json!({"objects": batch}).to_string().into_bytes();
    let json = [("content-type", "application/json")];
    loop {
        match client.try_send(Method::POST, "/api/v1/check_history/", &json, Some(body.clone())).await {
            Ok(answer) if answer.status == 200 => {
                let said = answer.json();
                let taken = said["accepted"].as_u64().unwrap() + said["duplicates"].as_u64().unwrap();
                assert_eq!(taken, batch.len() as u64, "all of a good batch is taken: {said}");
                return;
            }
            Ok(answer) if answer.status == 503 => {}
            Ok(answer) => panic!("a good batch is refused: {} {}", answer.status, answer.text()),
            Err(_) => {}
        }
        sleep(Duration::from_millis(20)).await;
    }
}
