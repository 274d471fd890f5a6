//! What one client was told about its results, held against what the server remembers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::harness::Rest;

/// Results by check and timestamp.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Everything that may have reached the server, with its output.
    sent: BTreeMap<(u64, String), String>,
    /// What the server said it has.
    acknowledged: BTreeSet<(u64, String)>,
}

impl Ledger {
    /// Notes a result before it is sent.
    pub(super) fn sending(&mut self, result: &Value) {
        self.sent.insert(key(result), result["output"].as_str().unwrap().to_owned());
    }

    /// Notes that the server took a result.
    pub(super) fn acknowledged(&mut self, result: &Value) {
        self.acknowledged.insert(key(result));
    }

    /// Proves acknowledged ⊆ stored ⊆ sent, nothing stored twice, and the state that follows from what is stored.
    pub(super) async fn agrees_with(&self, admin: &Rest) {
        let checks: BTreeSet<u64> = self.sent.keys().map(|(check, _)| *check).collect();
        assert!(
            self.acknowledged.len() > checks.len(),
            "the load came through: {} results",
            self.acknowledged.len()
        );
        for check in checks {
            let stored = history(admin, check).await;
            let times: BTreeSet<String> = stored.iter().map(|row| key(row).1).collect();
            assert_eq!(times.len(), stored.len(), "check {check}: no result is stored twice");
            for (_, time) in self.acknowledged.range((check, String::new())..(check + 1, String::new())) {
                assert!(times.contains(time), "check {check}: the acknowledged result of {time} is lost");
            }
            for row in &stored {
                assert!(self.sent.contains_key(&(check, key(row).1)), "check {check}: nobody sent {row}");
            }
            self.state_follows(admin, check, times.last().unwrap()).await;
        }
    }

    /// Proves that what is stored are the first of the batches, whole, and the state that follows.
    pub(super) async fn begins_as(&self, admin: &Rest) {
        let checks: BTreeSet<u64> = self.sent.keys().map(|(check, _)| *check).collect();
        let mut batches = BTreeSet::new();
        for check in checks {
            let mut stored: Vec<String> = history(admin, check).await.iter().map(|row| key(row).1).collect();
            stored.sort();
            let sent = self.sent.range((check, String::new())..(check + 1, String::new()));
            let sent: Vec<&String> = sent.map(|((_, time), _)| time).take(stored.len()).collect();
            assert!(
                sent.iter().copied().eq(&stored),
                "check {check}: {stored:?} is not the beginning of {sent:?}"
            );
            assert!(!stored.is_empty(), "check {check}: the load came through before the backup");
            self.state_follows(admin, check, &stored[stored.len() - 1]).await;
            batches.insert(stored.len());
        }
        assert_eq!(batches.len(), 1, "a batch is stored as a whole or not at all: {batches:?}");
    }

    async fn state_follows(&self, admin: &Rest, check: u64, newest: &str) {
        let state = admin.get(&format!("/api/v1/check/{check}/")).await.expect(200)["state"].clone();
        assert_eq!(state["last_result_at"], *newest, "check {check}: {state}");
        assert_eq!(state["output"], self.sent[&(check, newest.to_owned())], "check {check}: {state}");
        assert_eq!(
            (&state["status"], &state["stale"]),
            (&"OK".into(), &false.into()),
            "check {check}: {state}"
        );
    }
}

fn key(result: &Value) -> (u64, String) {
    let check = &result["check"];
    let id =
        check.as_u64().or_else(|| check.as_str()?.trim_end_matches('/').rsplit('/').next()?.parse().ok());
    let time: jiff::Timestamp = result["timestamp"].as_str().unwrap().parse().unwrap();
    (id.unwrap(), format!("{time:.3}"))
}

/// The whole history of a check, page by page.
async fn history(admin: &Rest, check: u64) -> Vec<Value> {
    let (mut rows, mut path) = (Vec::new(), format!("/api/v1/check_history/?check={check}&limit=1000"));
    loop {
        let page = admin.get(&path).await.expect(200);
        rows.extend(page["objects"].as_array().unwrap().iter().cloned());
        match page["meta"]["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => return rows,
        }
    }
}
