//! One check that turns hard at every round, and whether people heard of each turn.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::agent::enroll_by_hand;
use crate::harness::webhook::Recorder;
use crate::harness::{Rest, Server, rest, until};

/// How long a turn may take to be told after the server is back: a first try may have been cut off by the crash.
const TOLD_WITHIN: Duration = Duration::from_secs(15);

/// A check that is turned from OK to CRITICAL and back.
#[derive(Debug)]
pub(super) struct Turns {
    client: Rest,
    check: u64,
    /// The outputs of the turns so far, each with what it must cause.
    made: Vec<(String, &'static str)>,
}

impl Turns {
    /// Makes the check, and its first result, OK.
    pub(super) async fn prepare(server: &Server) -> Self {
        let (agent, client) = enroll_by_hand(server, "turning").await;
        let check = json!({"agent": agent, "name": "turns", "kind": "load", "max_attempts": 1,
                           "flap_detection": false, "interval": "60s"});
        let check = rest::id(&server.admin().create("/api/v1/check/", check).await);
        let first = json!({"check": check, "status": "OK", "output": "well at first"});
        client.post("/api/v1/check_history/", &first).await.expect(201);
        Self { client, check, made: Vec::new() }
    }

    /// Turns the check, and returns when the server has acknowledged it.
    pub(super) async fn turn(&mut self) {
        let (status, event) =
            if self.made.len().is_multiple_of(2) { ("CRITICAL", "problem") } else { ("OK", "recovery") };
        let output = format!("turn {}", self.made.len());
        let body = json!({"check": self.check, "status": status, "output": output}).to_string().into_bytes();
        let json = [("content-type", "application/json")];
        let answer =
            self.client.try_send(Method::POST, "/api/v1/check_history/", &json, Some(body)).await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
        self.made.push((output, event));
    }

    /// Waits until the last turn was told, so that the next one cannot be merged with it.
    pub(super) async fn previous_is_told(&self, recorder: &Recorder) {
        let Some((output, event)) = self.made.last() else { return };
        until(&format!("the {event} of '{output}' is told"), TOLD_WITHIN, async || {
            recorder
                .calls()
                .iter()
                .any(|call| call.event() == *event && call.body["output"] == **output)
                .then_some(())
        })
        .await;
    }

    /// Proves that each turn was told under one key, in order, and that nothing else was told or recorded as a change.
    pub(super) async fn were_told_and_nothing_else(&self, admin: &Rest, recorder: &Recorder) {
        let mut keys: BTreeMap<String, String> = BTreeMap::new();
        let mut told: Vec<(String, String)> = Vec::new();
        for call in recorder.calls() {
            let output = rest::text(&call.body, "output").to_owned();
            let known = keys.entry(output.clone()).or_insert_with(|| call.key.clone());
            assert_eq!(*known, call.key, "'{output}' is told twice, under another key");
            let entry = (output, call.event().to_owned());
            if told.last() != Some(&entry) {
                told.push(entry);
            }
        }
        let distinct: BTreeSet<&String> = keys.values().collect();
        assert_eq!(distinct.len(), keys.len(), "no two turns share a key: {keys:?}");
        let made: Vec<(String, String)> =
            self.made.iter().map(|(o, e)| (o.clone(), (*e).to_owned())).collect();
        assert_eq!(told, made, "each turn is told, in order, and nothing else");
        self.no_state_was_made_up(admin).await;
    }

    /// Whatever changed its state is one of the turns: no agent DOWN, no stale check, no recovery from either.
    async fn no_state_was_made_up(&self, admin: &Rest) {
        let agents = admin.list("/api/v1/agent/?limit=0").await;
        assert!(agents.iter().all(|agent| agent["state"] == "UP"), "all agents are UP: {agents:?}");
        let notifications = admin.list("/api/v1/notification/?limit=1000").await;
        let strangers: Vec<&Value> = notifications.iter().filter(|row| row["state"] != "sent").collect();
        assert!(strangers.is_empty(), "every message was sent: {strangers:?}");
        assert_eq!(notifications.len(), self.made.len(), "one message a turn: {notifications:?}");
    }
}
