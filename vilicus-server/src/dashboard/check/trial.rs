//! A check run once on its agent before it is saved: a check of its own that tells nobody, and that is gone afterwards.

use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use vilicus_core::Status;

use crate::dashboard::history::amount;
use crate::dashboard::inside::{Inside, Refused};
use crate::dashboard::wire::{self, List};

/// What the check is called meanwhile; one at a time for each name.
const NAME: &str = "trial of ";
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

async fn on_agent(inside: &Inside, mut body: Value) -> Result<Trial, Refused> {
    let name = body["name"].as_str().unwrap_or_default().to_owned();
    body["name"] = format!("{NAME}{name}").into();
    body["notifications"] = json!(false);
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
