//! Planned maintenance: the list, and the forms that begin and end it.

use axum::extract::{Path, State};
use axum::response::Response;
use http::Method;
use serde_json::json;
use vilicus_core::Millis;

use super::Dashboard;
use super::form::{self, Fields, after, back, field};
use super::inside::{Inside, Refused};
use super::wire;

/// `POST /check/{id}/downtime`: from now on for a while.
pub(super) async fn begin(
    State(dashboard): State<Dashboard>,
    inside: Inside,
    Path(id): Path<u64>,
    fields: Fields,
) -> Response {
    let home = format!("/check/{id}");
    match set(&dashboard, &inside, id, &fields).await {
        Ok(downtime) => after(Ok(serde_json::Value::Null), back(&fields, &home), "downtime", downtime),
        Err(refused) => form::refuse(&refused, back(&fields, &home)),
    }
}

async fn set(dashboard: &Dashboard, inside: &Inside, check: u64, fields: &Fields) -> Result<u64, Refused> {
    let span = field(fields, "for").unwrap_or("1h");
    let span: Millis = span.parse().map_err(|_| {
        let words = format!("'{span}' is not a time: write it as 30m, 2h or 1d");
        Refused { status: http::StatusCode::UNPROCESSABLE_ENTITY, words }
    })?;
    let check: wire::Check = inside.get(&format!("/api/v1/check/{check}/")).await?;
    let agent: wire::Agent = inside.get(&check.agent).await?;
    let body = json!({
        "match": [format!("agent={}", agent.name), format!("check={}", check.name)],
        "end": dashboard.api.clock().now().after(span),
        "comment": field(fields, "comment").unwrap_or_default(),
    });
    let made = inside.send(Method::POST, "/api/v1/downtime/", Some(&body)).await?;
    Ok(made["id"].as_u64().unwrap_or_default())
}

/// `POST /downtime/{id}/remove`
pub(super) async fn remove(inside: Inside, Path(id): Path<u64>, fields: Fields) -> Response {
    let done = inside.send(Method::DELETE, &format!("/api/v1/downtime/{id}/"), None).await;
    after(done, back(&fields, "/downtime"), "downtime-removed", id)
}
