//! `/check/`: what is watched. People see how it is; an agent sees what it has to run.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::{CheckId, Status};
use vilicus_store::Change;
use vilicus_store::inventory::{AGENT_KIND, Check, HEARTBEAT_KIND, Origin, SERVER_KINDS};
use vilicus_store::query::{CheckFilter, CheckView};

use super::AppState;
use super::agent::ids_of;
use super::check_body::CheckBody;
use super::check_delivery::deliver;
use super::check_input::{CheckInput, new_check};
use super::commit::{change, fields, made};
use super::dependencies;
use super::kinds;
use super::names::{refuse_managed, refuse_own};
use super::ping;
use super::reference::{check_at, find_agent, uri};
use crate::http::Problem;
use crate::http::auth::{Admin, Caller, Reader};
use crate::http::etag::Etag;
use crate::http::json::{Answer, JsonBody, created, from_fields, known_fields};
use crate::http::page::{List, Meta};
use crate::http::path::PathParts;
use crate::http::problem::no_such_path;
use crate::http::query::Query;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one, replace, modify, remove))
        .routes(routes!(new_ping_key))
        .routes(routes!(of_kind))
}

/// The checks of every kind at once; with an agent's token its own, without their state.
#[utoipa::path(get, path = "/api/v1/check/", tag = "check", params(
    ("agent" = Option<String>, Query), ("kind" = Option<String>, Query), ("status" = Option<String>, Query),
    ("tag" = Option<String>, Query), ("name" = Option<String>, Query), ("enabled" = Option<bool>, Query),
    ("wait" = Option<String>, Query), ("limit" = Option<usize>, Query), ("offset" = Option<usize>, Query)),
    responses((status = 200, body = List<CheckBody>), (status = 304)))]
async fn list(
    State(state): State<AppState>,
    Reader(caller): Reader,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    show(&state, &caller, query, &headers, None).await
}

/// The checks of one kind: `process_check`, `disk_check`, and so on for every kind.
#[utoipa::path(get, path = "/api/v1/{kind_check}/", tag = "check", params(("kind_check" = String, Path)),
    responses((status = 200, body = List<CheckBody>), (status = 304)))]
async fn of_kind(
    State(state): State<AppState>,
    path: PathParts,
    caller: Result<Reader, Problem>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let kind = path.part("kind_check").strip_suffix("_check");
    let known = |kind: &&str| state.kinds().contains(kind) || SERVER_KINDS.contains(kind);
    match kind.filter(known) {
        Some(kind) => {
            let Reader(caller) = caller?;
            show(&state, &caller, query, &headers, Some(kind)).await
        }
        None => Err(no_such_path().await),
    }
}

async fn show(
    state: &AppState,
    caller: &Caller,
    mut query: Query,
    headers: &HeaderMap,
    kind: Option<&str>,
) -> Result<Response, Problem> {
    let page = query.bounds()?.page(caller.agent().is_some());
    let filter = filter(state, caller, &mut query, kind).await?;
    let wait = if caller.agent().is_some() { query.wait()? } else { None };
    query.finish()?;
    let Some(filter) = filter else {
        return Ok(Answer(List::<CheckBody> { meta: Meta::of_page(&query, page, 0), objects: Vec::new() })
            .into_response());
    };
    if let Some(agent) = caller.agent() {
        return deliver(state, agent, &filter, &query, page, wait, headers).await;
    }
    let found = state.store().checks(&filter, page).await?;
    let tags: Vec<String> =
        found.objects.iter().map(|view| CheckBody::etag(view).as_str().to_owned()).collect();
    let objects = found.objects.iter().map(|view| CheckBody::for_reader(view, caller, state)).collect();
    let meta = Meta::of_page(&query, page, found.total);
    Ok(Etag::of(&(&tags, found.total)).answer(headers, Answer(List { meta, objects })))
}

/// What the query asks for, within what the caller may see; `None` when that is nothing.
async fn filter(
    state: &AppState,
    caller: &Caller,
    query: &mut Query,
    kind: Option<&str>,
) -> Result<Option<CheckFilter>, Problem> {
    let ids =
        query.any("id").map(|texts| texts.iter().filter_map(|id| id.parse().ok()).collect::<Vec<CheckId>>());
    let agents = match query.any("agent") {
        Some(texts) => Some(ids_of(state, caller, &texts).await?),
        None => caller.agent().map(|own| vec![own]),
    };
    let mut kinds = query.any("kind");
    if let Some(kind) = kind {
        let asked = kinds.is_none_or(|kinds| kinds.iter().any(|other| other == kind));
        kinds = Some(if asked { vec![kind.to_owned()] } else { Vec::new() });
    }
    let statuses = query.any("status").unwrap_or_default();
    let filter = CheckFilter {
        names: query.any("name").unwrap_or_default(),
        statuses: statuses.iter().map(|text| status(text)).collect::<Result<_, _>>()?,
        tags: query.each("tag"),
        enabled: query.parsed("enabled")?,
        ..CheckFilter::default()
    };
    // An empty list in the store's filter means everything, and here it means nothing.
    let nothing = [
        ids.as_ref().is_some_and(Vec::is_empty),
        agents.as_ref().is_some_and(Vec::is_empty),
        kinds.as_ref().is_some_and(Vec::is_empty),
    ];
    if nothing.contains(&true) {
        return Ok(None);
    }
    Ok(Some(CheckFilter {
        ids: ids.unwrap_or_default(),
        agents: agents.unwrap_or_default(),
        kinds: kinds.unwrap_or_default(),
        ..filter
    }))
}

fn status(text: &str) -> Result<Option<Status>, Problem> {
    if text.eq_ignore_ascii_case("pending") {
        return Ok(None);
    }
    let words = "the filter status takes PENDING, OK, WARNING, CRITICAL or UNKNOWN";
    text.parse().map(Some).map_err(|_| Problem::bad_request(words))
}

/// Makes a check; `agent`, `name` and `kind` are enough.
#[utoipa::path(post, path = "/api/v1/check/", tag = "check", request_body = CheckInput,
    responses((status = 201, body = CheckBody)))]
async fn create(
    State(state): State<AppState>,
    Admin(caller): Admin,
    body: JsonBody,
) -> Result<Response, Problem> {
    let input: CheckInput = body.read()?;
    input.validate()?;
    let _edit = state.edit().await;
    let agent = find_agent(&state, &caller, &input.agent).await?;
    let agent =
        agent.ok_or_else(|| Problem::invalid("/agent", format!("there is no agent {}", input.agent)))?;
    kinds::validate(&state, &input.kind, &Value::Object(input.params.clone()))?;
    let depends = dependencies::find(&state, &caller, &input, None).await?;
    let mut check = input.into_check(new_check(agent.agent.id, Origin::Server), None, depends);
    check.ping_key = ping::key_for(&check.kind, None, state.random())?;
    let id = made(&state, Change::CreateCheck(Box::new(check)), caller.name()).await?;
    let view = check_at(&state, &caller, &id.to_string()).await?;
    Ok(created(&uri("check", id), shown(&state, &caller, &view)))
}

/// One check.
#[utoipa::path(get, path = "/api/v1/check/{id}/", tag = "check", params(("id" = String, Path)),
    responses((status = 200, body = CheckBody), (status = 304)))]
async fn one(
    State(state): State<AppState>,
    Reader(caller): Reader,
    path: PathParts,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = check_at(&state, &caller, path.id()).await?;
    let body = match caller.agent() {
        Some(_) => CheckBody::configured(&view),
        None => CheckBody::for_reader(&view, &caller, &state),
    };
    Ok(CheckBody::etag(&view).answer(&headers, Answer(body)))
}

/// Replaces a check: what is not said is as in a new one.
#[utoipa::path(put, path = "/api/v1/check/{id}/", tag = "check", params(("id" = String, Path)),
    request_body = CheckInput, responses((status = 200, body = CheckBody)))]
async fn replace(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let _edit = state.edit().await;
    let view = check_at(&state, &caller, path.id()).await?;
    // What names the check itself need not be said again.
    let mut base = fields(&CheckInput::from(&*view.check))?;
    base.retain(|name, _| matches!(name.as_str(), "agent" | "name" | "kind" | "params"));
    if view.check.origin == Origin::Server {
        base.remove("params");
    }
    update(&state, &caller, view, &headers, body.read_onto(base)?).await
}

/// Changes some fields of a check.
#[utoipa::path(patch, path = "/api/v1/check/{id}/", tag = "check", params(("id" = String, Path)),
    request_body = Object, responses((status = 200, body = CheckBody)))]
async fn modify(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let _edit = state.edit().await;
    let view = check_at(&state, &caller, path.id()).await?;
    let sent: Map<String, Value> = known_fields::<CheckInput>(body.fields()?)?;
    let mut base = fields(&CheckInput::from(&*view.check))?;
    base.extend(sent);
    update(&state, &caller, view, &headers, from_fields(base)?).await
}

async fn update(
    state: &AppState,
    caller: &Caller,
    view: CheckView,
    headers: &HeaderMap,
    input: CheckInput,
) -> Result<Response, Problem> {
    refuse_managed(view.check.managed_by.as_deref())?;
    CheckBody::etag(&view).check(headers)?;
    input.validate()?;
    refuse_moves(state, caller, &view, &input).await?;
    let depends = dependencies::find(state, caller, &input, Some(view.check.id)).await?;
    let mut check = input.into_check((*view.check).clone(), Some(&view), depends);
    let old_key = check.ping_key.take();
    check.ping_key = ping::key_for(&check.kind, old_key, state.random())?;
    if check != *view.check {
        change(state, Change::UpdateCheck(Box::new(check)), caller.name()).await?;
    }
    Ok(shown(state, caller, &check_at(state, caller, &view.check.id.to_string()).await?))
}

/// Refuses what cannot become of this check: another agent's, or what is not the operator's to say.
async fn refuse_moves(
    state: &AppState,
    caller: &Caller,
    view: &CheckView,
    input: &CheckInput,
) -> Result<(), Problem> {
    let agent = find_agent(state, caller, &input.agent).await?;
    if agent.is_none_or(|agent| agent.agent.id != view.check.agent) {
        return Err(Problem::invalid("/agent", "a check cannot move to another agent; make a new one there"));
    }
    let params = Value::Object(input.params.clone());
    let same_params =
        params == view.check.params.0 || (view.check.params.0.is_null() && input.params.is_empty());
    let announced = view.check.origin == Origin::Agent;
    if announced || view.check.kind == AGENT_KIND {
        let whose = if announced { "the agent announces it so" } else { "it is the agent's own check" };
        for (pointer, same) in [
            ("/name", input.name == view.check.name),
            ("/kind", input.kind == view.check.kind),
            ("/params", same_params),
        ] {
            if !same {
                return Err(Problem::invalid(pointer, format!("cannot be changed: {whose}")));
            }
        }
        return Ok(());
    }
    if same_params && input.kind == view.check.kind {
        return Ok(());
    }
    kinds::validate(state, &input.kind, &params)
}

/// Removes a check. An open problem is told as closed.
#[utoipa::path(delete, path = "/api/v1/check/{id}/", tag = "check", params(("id" = String, Path)),
    responses((status = 204)))]
async fn remove(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let _edit = state.edit().await;
    let view = check_at(&state, &caller, path.id()).await?;
    refuse_managed(view.check.managed_by.as_deref())?;
    refuse_own(&view.check)?;
    CheckBody::etag(&view).check(&headers)?;
    change(&state, Change::DeleteCheck(view.check.id), caller.name()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a heartbeat another address for its pings; the old one is unknown from then on.
#[utoipa::path(post, path = "/api/v1/check/{id}/ping_key/", tag = "check", params(("id" = String, Path)),
    responses((status = 200, body = CheckBody)))]
async fn new_ping_key(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
) -> Result<Response, Problem> {
    let _edit = state.edit().await;
    let view = check_at(&state, &caller, path.id()).await?;
    if view.check.kind != HEARTBEAT_KIND {
        return Err(Problem::conflict("only checks of the kind heartbeat are pinged"));
    }
    let ping_key = Some(ping::new_key(state.random())?);
    let check = Check { ping_key, ..(*view.check).clone() };
    change(&state, Change::UpdateCheck(Box::new(check)), caller.name()).await?;
    let view = check_at(&state, &caller, &view.check.id.to_string()).await?;
    Ok(shown(&state, &caller, &view))
}

fn shown(state: &AppState, caller: &Caller, view: &CheckView) -> Response {
    let mut response = Answer(CheckBody::for_reader(view, caller, state)).into_response();
    CheckBody::etag(view).mark(&mut response);
    response
}
