//! `/check/{id}/run/` and `/check/{id}/result/`: what people do to a check besides configuring it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_store::Input;

use super::AppState;
use super::check_history::{Row, submit_one};
use super::reference::{check_at, uri};
use crate::http::Problem;
use crate::http::auth::Operator;
use crate::http::json::{Answer, JsonBody};
use crate::http::path::PathParts;
use crate::ingest::item::Item;

/// The routes of these actions.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(run)).routes(routes!(result))
}

/// What was asked for.
#[derive(Debug, Serialize, ToSchema)]
struct Asked {
    /// The path of the check.
    check: String,
    /// What happens next.
    detail: &'static str,
}

/// Asks for a run now; the agent hears of it at its next contact.
#[utoipa::path(post, path = "/api/v1/check/{id}/run/", tag = "check", params(("id" = String, Path)),
    responses((status = 202, body = Asked)))]
async fn run(
    State(state): State<AppState>,
    Operator(caller): Operator,
    path: PathParts,
) -> Result<Response, Problem> {
    let view = check_at(&state, &caller, path.id()).await?;
    if !view.check.runs_on_agent() {
        return Err(Problem::conflict("no agent runs this check: the server judges it by itself"));
    }
    if !view.check.enabled {
        return Err(Problem::conflict("the check is switched off; enable it first"));
    }
    state.store().commit(state.clock().now(), vec![Input::RunNow { check: view.check.id }]).await?;
    let asked = Asked { check: uri("check", view.check.id), detail: "the agent is told at its next contact" };
    Ok((StatusCode::ACCEPTED, Answer(asked)).into_response())
}

/// Submits a result by hand.
#[utoipa::path(post, path = "/api/v1/check/{id}/result/", tag = "check", params(("id" = String, Path)),
    request_body = Object, responses((status = 201, body = Row), (status = 200, body = Row)))]
async fn result(
    State(state): State<AppState>,
    Operator(caller): Operator,
    path: PathParts,
    body: JsonBody,
) -> Result<Response, Problem> {
    let view = check_at(&state, &caller, path.id()).await?;
    let item = Item::parse_for(body.bytes(), view.check.id)?;
    submit_one(&state, &caller, item).await
}
