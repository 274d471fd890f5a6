//! `/route/`: who is told of what. With no route at all, every channel is told of everything.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::route::{Labels, taken};
use vilicus_core::{Route, Status, async_trait};
use vilicus_store::Change;
use vilicus_store::inventory::Channel;
use vilicus_store::query::CheckView;

use super::AppState;
use super::reference::{Reference, find_check};
use super::resource::{self, Edit, Resource};
use super::route_body::{RouteBody, RouteInput, new_route};
use crate::http::Problem;
use crate::http::auth::{Admin, Caller, Viewer};
use crate::http::json::JsonBody;
use crate::http::page::List;
use crate::http::path::PathParts;
use crate::http::query::Query;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one, replace, modify, remove))
}

#[async_trait]
impl Resource for Route {
    type Input = RouteInput;
    type Body = RouteBody;

    const NAME: &'static str = "route";

    fn id(&self) -> u64 {
        self.id.get()
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn managed_by(&self) -> Option<&str> {
        self.managed_by.as_deref()
    }

    fn to_input(&self) -> RouteInput {
        self.into()
    }

    fn to_body(&self, _: &AppState) -> RouteBody {
        self.into()
    }

    async fn all(state: &AppState) -> Result<Vec<Arc<Self>>, Problem> {
        Ok(state.store().routes().await?.into_iter().map(Arc::new).collect())
    }

    async fn build(state: &AppState, _: &Caller, input: RouteInput, base: Self) -> Result<Self, Problem> {
        let channels = Channel::all(state).await?;
        let known = |reference: &_| resource::find_among(&channels, reference).map(|channel| channel.id);
        input.into_route(&known, base)
    }

    fn creation(self) -> Change {
        Change::CreateRoute(Box::new(self))
    }

    fn update(self) -> Change {
        Change::UpdateRoute(Box::new(self))
    }

    fn deletion(&self) -> Change {
        Change::DeleteRoute(self.id)
    }
}

/// The routes, in the order in which they are tried. With `check`, those that a problem of this check takes, of the
/// status that `status` names; CRITICAL unless it does.
#[utoipa::path(get, path = "/api/v1/route/", tag = "route", params(
    ("name" = Option<String>, Query), ("check" = Option<String>, Query), ("status" = Option<String>, Query),
    ("limit" = Option<usize>, Query), ("offset" = Option<usize>, Query)),
    responses((status = 200, body = List<RouteBody>), (status = 304)))]
async fn list(
    State(state): State<AppState>,
    Viewer(caller): Viewer,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = query.bounds()?.page(false);
    let (names, check) = (query.any("name"), query.one("check"));
    let status: Option<Status> = query.parsed("status")?;
    query.finish()?;
    let mut routes = state.store().routes().await?;
    if let Some(check) = check {
        let view = find_check(&state, &caller, &Reference::parse(&check)).await?;
        let taken =
            |view| taken(&routes, labels_of(view, status.unwrap_or(Status::Critical))).cloned().collect();
        routes = view.as_ref().map(taken).unwrap_or_default();
    } else if status.is_some() {
        return Err(Problem::bad_request("the filter status goes with the filter check"));
    }
    routes.retain(|route| names.as_ref().is_none_or(|names| names.contains(&route.name)));
    let routes: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
    Ok(resource::list(&state, &query, page, &headers, &routes))
}

/// What matchers look at in a check that has this status.
pub(super) fn labels_of(view: &CheckView, status: Status) -> Labels<'_> {
    Labels {
        agent: &view.agent.name,
        check: &view.check.name,
        kind: &view.check.kind,
        status: Some(status),
        agent_tags: &view.agent.tags,
        check_tags: &view.check.tags,
    }
}

/// Makes a route; a name is enough, and it then tells nobody.
#[utoipa::path(post, path = "/api/v1/route/", tag = "route", request_body = RouteInput,
    responses((status = 201, body = RouteBody)))]
async fn create(
    State(state): State<AppState>,
    Admin(caller): Admin,
    body: JsonBody,
) -> Result<Response, Problem> {
    resource::create(&state, &caller, &body, new_route()).await
}

/// One route.
#[utoipa::path(get, path = "/api/v1/route/{id}/", tag = "route", params(("id" = String, Path)),
    responses((status = 200, body = RouteBody), (status = 304)))]
async fn one(
    State(state): State<AppState>,
    _caller: Viewer,
    path: PathParts,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    resource::one::<Route>(&state, &path, &headers).await
}

/// Replaces a route.
#[utoipa::path(put, path = "/api/v1/route/{id}/", tag = "route", params(("id" = String, Path)),
    request_body = RouteInput, responses((status = 200, body = RouteBody)))]
async fn replace(
    State(state): State<AppState>,
    Admin(caller): Admin,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.replace::<Route>(&state, &caller).await
}

/// Changes some fields of a route.
#[utoipa::path(patch, path = "/api/v1/route/{id}/", tag = "route", params(("id" = String, Path)),
    request_body = Object, responses((status = 200, body = RouteBody)))]
async fn modify(
    State(state): State<AppState>,
    Admin(caller): Admin,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.modify::<Route>(&state, &caller).await
}

/// Removes a route. Who was told of a problem by it hears of its end all the same.
#[utoipa::path(delete, path = "/api/v1/route/{id}/", tag = "route", params(("id" = String, Path)),
    responses((status = 204)))]
async fn remove(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    resource::remove::<Route>(&state, &caller, &path, &headers).await
}
