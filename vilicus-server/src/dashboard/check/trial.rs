//! A check run once on its agent before it is saved: a check of its own that tells nobody, and that is gone afterwards.

use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use vilicus_core::{Status, Timestamp};
use vilicus_store::query::{CheckFilter, CheckView, Page};
use vilicus_store::{Change, Input, Store, StoreError};

use crate::dashboard::history::amount;
use crate::dashboard::inside::{Inside, Refused};
use crate::dashboard::wire::{self, List};
use crate::tokens;

/// What the check is called meanwhile; one at a time for each name.
const NAME: &str = "trial of ";
/// What marks it, so that one that a crash left behind is known.
const TAG: &str = "vilicus-trial";
/// How long the agent has to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the answer is looked for.
const LOOK: Duration = Duration::from_millis(150);

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Trial {
    /// The agent has run it.
    Result { status: Option<Status>, output: String, metrics: Vec<String> },
    /// The agent has not.
    Silence,
}

#[derive(Debug, Deserialize)]
struct Row {
    status: String,
    output: String,
    metrics: Vec<Metric>,
}

#[derive(Debug, Deserialize)]
struct Metric {
    name: String,
    value: f64,
    unit: String,
}

/// Runs it. The check is taken away again even when nobody waits for the answer any more.
pub(super) async fn run(inside: Inside, body: Value) -> (Inside, Result<Trial, Refused>) {
    let spare = inside.clone();
    let ran = tokio::spawn(async move {
        let tried = on_agent(&inside, body).await;
        (inside, tried)
    });
    ran.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a trial run has ended before its time");
        let words = "the trial run has failed; the server's log says why".to_owned();
        (spare, Err(Refused { status: http::StatusCode::INTERNAL_SERVER_ERROR, words }))
    })
}

/// Removes the trials that the end of the server cut short. At its start none can be under way.
pub(in crate::dashboard) async fn forget(store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
    let marked = CheckFilter { tags: vec![TAG.to_owned()], ..CheckFilter::default() };
    let views = store.checks(&marked, Page::ALL).await?.objects;
    let trials = views.iter().filter(|view| view.check.name.starts_with(NAME));
    let remove = |view: &CheckView| Input::Change {
        change: Change::DeleteCheck(view.check.id),
        by: tokens::BY.to_owned(),
    };
    let inputs: Vec<Input> = trials.map(remove).collect();
    if !inputs.is_empty() {
        store.commit(now, inputs).await?;
    }
    Ok(())
}

async fn on_agent(inside: &Inside, mut body: Value) -> Result<Trial, Refused> {
    let name = body["name"].as_str().unwrap_or_default().to_owned();
    body["name"] = format!("{NAME}{name}").into();
    body["notifications"] = json!(false);
    body["tags"] = json!([TAG]);
    let made = inside.send(Method::POST, "/api/v1/check/", Some(&body)).await?;
    let id = made["id"].as_u64().unwrap_or_default();
    let seen = wait(inside, id).await;
    inside.send(Method::DELETE, &format!("/api/v1/check/{id}/"), None).await?;
    seen
}

async fn wait(inside: &Inside, id: u64) -> Result<Trial, Refused> {
    let history = format!("/api/v1/check_history/?check={id}&limit=1");
    // An agent that does not know the check yet runs it as soon as it does.
    inside.send(Method::POST, &format!("/api/v1/check/{id}/run/"), None).await?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < deadline {
        if let Some(row) = inside.get::<List<Row>>(&history).await?.objects.into_iter().next() {
            // As its thresholds judge it, where the row says only what the agent measured.
            let check: wire::Check = inside.get(&format!("/api/v1/check/{id}/")).await?;
            let reported = row.status.parse().ok();
            let metric =
                |metric: &Metric| format!("{} = {}", metric.name, amount(metric.value, &metric.unit));
            return Ok(Trial::Result {
                status: check.state.status.or(reported),
                output: row.output,
                metrics: row.metrics.iter().map(metric).collect(),
            });
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(Trial::Silence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::{AgentId, Millis};
    use vilicus_store::inventory::{Agent, Check, CheckSpec};
    use vilicus_store::{Json, Options};

    async fn made(store: &dyn Store, now: Timestamp, change: Change) {
        store.commit(now, vec![Input::Change { change, by: "test".to_owned() }]).await.unwrap();
    }

    fn host(now: Timestamp) -> Agent {
        Agent {
            id: AgentId::new(1).unwrap(),
            name: "web-1".to_owned(),
            hostname: "web-1".to_owned(),
            guid: None,
            version: None,
            check_interval: Millis::from_secs(60),
            tags: Vec::new(),
            facts: Json::default(),
            ephemeral: false,
            expire_after: None,
            templates: Vec::new(),
            managed_by: None,
            created_at: now,
            last_checkin: None,
        }
    }

    #[tokio::test]
    async fn only_trials_are_forgotten() {
        let now = Timestamp::from_millis(1_790_000_000_000);
        let store = vilicus_store::url::open("memory:", Options::new(now, [0; 16])).unwrap();
        made(store.as_ref(), now, Change::CreateAgent(Box::new(host(now)))).await;
        let agent = store.agents(&Default::default(), Page::ALL).await.unwrap().objects[0].agent.id;
        for (name, tags) in [("trial of cpu", vec![TAG]), ("trial of ours", vec![]), ("cpu", vec![TAG])] {
            let tags = tags.into_iter().map(str::to_owned).collect();
            let spec = CheckSpec { tags, ..CheckSpec::new("cpu", Json::default()) };
            made(store.as_ref(), now, Change::CreateCheck(Box::new(Check::new(agent, name, spec)))).await;
        }
        forget(store.as_ref(), now).await.unwrap();
        let left = store.checks(&CheckFilter::default(), Page::ALL).await.unwrap().objects;
        let names: Vec<&str> = left.iter().map(|view| view.check.name.as_str()).collect();
        assert_eq!(names.iter().filter(|name| ["trial of ours", "cpu"].contains(name)).count(), 2);
        assert!(!names.contains(&"trial of cpu"), "{names:?}");
    }
}
