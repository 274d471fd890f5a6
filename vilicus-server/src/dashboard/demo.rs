//! A check to try an alert with: it is broken and mended by a button, and everything that follows is real.

use axum::response::{IntoResponse as _, Redirect, Response};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use vilicus_store::inventory::HEARTBEAT_KIND;

use super::form;
use super::inside::{Inside, Refused};
use super::wire::{self, List};

/// What it is called.
const NAME: &str = "demo";

/// `POST /demo`: makes the check if there is none yet, and breaks it.
pub(super) async fn begin(inside: Inside) -> Response {
    match signal(&inside, "fail/").await {
        Ok(id) => Redirect::to(&format!("/check/{id}?done=demo")).into_response(),
        Err(refused) => form::refuse(&refused, "/"),
    }
}

/// `POST /demo/mend`
pub(super) async fn mend(inside: Inside) -> Response {
    match signal(&inside, "").await {
        Ok(id) => Redirect::to(&format!("/check/{id}?done=mended")).into_response(),
        Err(refused) => form::refuse(&refused, "/"),
    }
}

/// Whether a check is the one to try alerts with.
pub(super) fn is_demo(check: &wire::Check) -> bool {
    check.name == NAME && check.kind == HEARTBEAT_KIND
}

/// Sends the check a ping.
async fn signal(inside: &Inside, signal: &str) -> Result<u64, Refused> {
    let id = match there_is(inside).await? {
        Some(id) => id,
        None => make(inside).await?,
    };
    let check: wire::Check = inside.get(&format!("/api/v1/check/{id}/")).await?;
    if let Some(ping) = check.ping_url {
        inside.send(Method::POST, &format!("{ping}{signal}"), None).await?;
    }
    Ok(id)
}

async fn there_is(inside: &Inside) -> Result<Option<u64>, Refused> {
    let name = utf8_percent_encode(NAME, NON_ALPHANUMERIC);
    let found: List<wire::Check> =
        inside.get(&format!("/api/v1/check/?name={name}&kind=heartbeat&limit=1")).await?;
    Ok(found.objects.first().map(|check| check.id))
}

async fn make(inside: &Inside) -> Result<u64, Refused> {
    let agents: List<wire::Agent> = inside.get("/api/v1/agent/?limit=1").await?;
    let Some(agent) = agents.objects.first() else {
        let words = "there is no agent yet that it could belong to; add a host first".to_owned();
        return Err(Refused { status: http::StatusCode::CONFLICT, words });
    };
    let check = json!({
        "agent": format!("/api/v1/agent/{}/", agent.id), "name": NAME, "kind": "heartbeat", "max_attempts": 1,
        "params": {"period": "30d"}, "description": "Broken and mended by hand, to try who is told and how",
    });
    let made = inside.send(Method::POST, "/api/v1/check/", Some(&check)).await?;
    Ok(made["id"].as_u64().unwrap_or_default())
}
