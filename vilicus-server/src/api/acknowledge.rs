//! `/check/{id}/acknowledge/`: someone is on it, so nobody is told again until it changes.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::{Acknowledgement, Status, Timestamp};
use vilicus_store::Input;

use super::AppState;
use super::names::Mistakes;
use super::reference::{check_at, uri};
use crate::http::Problem;
use crate::http::auth::Operator;
use crate::http::json::{Answer, JsonBody, Sent, created};
use crate::http::path::PathParts;

/// The routes of this action.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(acknowledge, take_back))
}

/// Someone is on it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct AcknowledgementBody {
    /// Who.
    by: String,
    /// What they say.
    comment: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Whether it stands until the check is OK, whatever happens in between.
    sticky: bool,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Whether the comment is told to everybody, on the status pages that the check is on.
    public: bool,
}

impl From<&Acknowledgement> for AcknowledgementBody {
    fn from(acknowledgement: &Acknowledgement) -> Self {
        Self {
            by: acknowledgement.by.clone(),
            comment: acknowledgement.comment.clone(),
            at: acknowledgement.at,
            sticky: acknowledgement.sticky,
            expires_at: acknowledgement.expires_at,
            public: acknowledgement.public,
        }
    }
}

/// An acknowledgement as it is written.
#[derive(Debug, Deserialize, ToSchema)]
struct AcknowledgementInput {
    /// What you are doing about it.
    comment: String,
    /// Whether it stands until the check is OK, whatever happens in between; no: it ends when the status changes.
    #[serde(default)]
    sticky: bool,
    /// When it ends by itself; never by default.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    expires_at: Option<Timestamp>,
    /// Whether those who were told of the problem are told of this, once; yes.
    #[serde(default = "yes")]
    notify: bool,
    /// Whether the comment is told to everybody, on the status pages that the check is on; no.
    #[serde(default)]
    public: bool,
}

fn yes() -> bool {
    true
}

impl Sent for AcknowledgementInput {
    const READ_ONLY: &'static [&'static str] = &["by", "at"];
}

impl AcknowledgementInput {
    fn validate(&self, now: Timestamp) -> Result<(), Problem> {
        let mut mistakes = Mistakes::default();
        mistakes.require(
            !self.comment.trim().is_empty(),
            "/comment",
            "is empty; say what you are doing about it",
        );
        mistakes.text("/comment", &self.comment);
        let ahead = self.expires_at.is_none_or(|end| now < end);
        mistakes.require(ahead, "/expires_at", "lies in the past; leave it out for one that does not expire");
        mistakes.into_result()
    }
}

/// Says that someone is on the problem of a check, confirmed or not. It takes the place of one that is there.
#[utoipa::path(post, path = "/api/v1/check/{id}/acknowledge/", tag = "check", params(("id" = String, Path)),
    request_body = AcknowledgementInput,
    responses((status = 201, body = AcknowledgementBody), (status = 200, body = AcknowledgementBody)))]
async fn acknowledge(
    State(state): State<AppState>,
    Operator(caller): Operator,
    path: PathParts,
    body: JsonBody,
) -> Result<Response, Problem> {
    let view = check_at(&state, &caller, path.id()).await?;
    let (input, now): (AcknowledgementInput, _) = (body.read()?, state.clock().now());
    input.validate(now)?;
    if !view.state.status.is_some_and(Status::is_problem) {
        let detail = "the check has no problem now; for what is planned make a downtime";
        return Err(Problem::conflict(detail));
    }
    let AcknowledgementInput { comment, sticky, expires_at, notify: tell, public } = input;
    let acknowledgement = Acknowledgement { by: caller.name(), comment, at: now, sticky, expires_at, public };
    let answer = Answer(AcknowledgementBody::from(&acknowledgement));
    let check = view.check.id;
    state.store().commit(now, vec![Input::Acknowledge { check, acknowledgement, tell }]).await?;
    Ok(match view.state.acknowledgement {
        None => created(&uri("check", check), answer),
        Some(_) => answer.into_response(),
    })
}

/// Says that nobody is on it any longer. Nothing happens when nobody was.
#[utoipa::path(delete, path = "/api/v1/check/{id}/acknowledge/", tag = "check", params(("id" = String, Path)),
    responses((status = 204)))]
async fn take_back(
    State(state): State<AppState>,
    Operator(caller): Operator,
    path: PathParts,
) -> Result<StatusCode, Problem> {
    let check = check_at(&state, &caller, path.id()).await?.check.id;
    let input = Input::TakeBackAcknowledgement { check, by: caller.name() };
    state.store().commit(state.clock().now(), vec![input]).await?;
    Ok(StatusCode::NO_CONTENT)
}
