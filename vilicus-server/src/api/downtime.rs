//! `/downtime/`: planned silence. Operators make them, too: they are the night shift's, not the configuration's.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::{Downtime, Status, async_trait};
use vilicus_store::Change;

use super::AppState;
use super::downtime_body::{DowntimeBody, DowntimeInput, new_downtime};
use super::reference::{Reference, find_check};
use super::resource::{self, Edit, Resource};
use super::route::labels_of;
use crate::http::Problem;
use crate::http::auth::{Caller, Operator, Viewer};
use crate::http::etag::Etag;
use crate::http::json::JsonBody;
use crate::http::page::List;
use crate::http::path::PathParts;
use crate::http::query::Query;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one, replace, modify, remove))
}

#[async_trait]
impl Resource for Downtime {
    type Input = DowntimeInput;
    type Body = DowntimeBody;

    const NAME: &'static str = "downtime";

    fn id(&self) -> u64 {
        self.id.get()
    }

    fn name(&self) -> Option<&str> {
        None
    }

    fn managed_by(&self) -> Option<&str> {
        self.managed_by.as_deref()
    }

    fn to_input(&self) -> DowntimeInput {
        self.into()
    }

    fn to_body(&self, state: &AppState) -> DowntimeBody {
        DowntimeBody::new(self, state.clock().now())
    }

    fn etag(body: &DowntimeBody) -> Etag {
        body.etag()
    }

    async fn all(state: &AppState) -> Result<Vec<Arc<Self>>, Problem> {
        Ok(state.store().downtimes().await?)
    }

    async fn build(state: &AppState, _: &Caller, input: DowntimeInput, base: Self) -> Result<Self, Problem> {
        input.into_downtime(state.clock().now(), base)
    }

    fn creation(self) -> Change {
        Change::CreateDowntime(Box::new(self))
    }

    fn update(self) -> Change {
        Change::UpdateDowntime(Box::new(self))
    }

    fn deletion(&self) -> Change {
        Change::DeleteDowntime(self.id)
    }
}

/// The downtimes. With `active` those whose window is open, or those whose is not; with `check` those about this check.
#[utoipa::path(get, path = "/api/v1/downtime/", tag = "downtime", params(
    ("active" = Option<bool>, Query), ("check" = Option<String>, Query),
    ("limit" = Option<usize>, Query), ("offset" = Option<usize>, Query)),
    responses((status = 200, body = List<DowntimeBody>), (status = 304)))]
async fn list(
    State(state): State<AppState>,
    Viewer(caller): Viewer,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = query.bounds()?.page(false);
    let (active, check): (Option<bool>, _) = (query.parsed("active")?, query.one("check"));
    query.finish()?;
    let now = state.clock().now();
    let mut found = Downtime::all(&state).await?;
    if let Some(check) = check {
        let view = find_check(&state, &caller, &Reference::parse(&check)).await?;
        // Its status is nothing that a downtime looks at.
        let about = |downtime: &Downtime| {
            view.as_ref().is_some_and(|view| downtime.is_about(&labels_of(view, Status::Unknown)))
        };
        found.retain(|downtime| about(downtime));
    }
    found.retain(|downtime| active.is_none_or(|active| downtime.window_at(now).is_some() == active));
    Ok(resource::list(&state, &query, page, &headers, &found))
}

/// Makes a downtime.
#[utoipa::path(post, path = "/api/v1/downtime/", tag = "downtime", request_body = DowntimeInput,
    responses((status = 201, body = DowntimeBody)))]
async fn create(
    State(state): State<AppState>,
    Operator(caller): Operator,
    body: JsonBody,
) -> Result<Response, Problem> {
    let base = new_downtime(caller.name(), state.clock().now());
    resource::create(&state, &caller, &body, base).await
}

/// One downtime.
#[utoipa::path(get, path = "/api/v1/downtime/{id}/", tag = "downtime", params(("id" = u64, Path)),
    responses((status = 200, body = DowntimeBody), (status = 304)))]
async fn one(
    State(state): State<AppState>,
    _caller: Viewer,
    path: PathParts,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    resource::one::<Downtime>(&state, &path, &headers).await
}

/// Replaces a downtime.
#[utoipa::path(put, path = "/api/v1/downtime/{id}/", tag = "downtime", params(("id" = u64, Path)),
    request_body = DowntimeInput, responses((status = 200, body = DowntimeBody)))]
async fn replace(
    State(state): State<AppState>,
    Operator(caller): Operator,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.replace::<Downtime>(&state, &caller).await
}

/// Changes some fields of a downtime.
#[utoipa::path(patch, path = "/api/v1/downtime/{id}/", tag = "downtime", params(("id" = u64, Path)),
    request_body = Object, responses((status = 200, body = DowntimeBody)))]
async fn modify(
    State(state): State<AppState>,
    Operator(caller): Operator,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.modify::<Downtime>(&state, &caller).await
}

/// Removes a downtime; one at work ends. A problem that it held is told, if it is still so.
#[utoipa::path(delete, path = "/api/v1/downtime/{id}/", tag = "downtime", params(("id" = u64, Path)),
    responses((status = 204)))]
async fn remove(
    State(state): State<AppState>,
    Operator(caller): Operator,
    path: PathParts,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    resource::remove::<Downtime>(&state, &caller, &path, &headers).await
}
