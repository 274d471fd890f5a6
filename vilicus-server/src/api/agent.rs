//! `/agent/`: the programs on hosts. An agent sees itself alone, and its `PUT` is the end of a run.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::AgentId;
use vilicus_store::query::{AgentFilter, AgentState, AgentView};
use vilicus_store::{Change, Input};

use super::AppState;
use super::agent_body::{AgentBody, AgentInput, CheckedInBody, SelfInput, new_agent};
use super::commit::{change, made};
use super::names::refuse_managed;
use super::reference::{Reference, Target, agent_at, find_agent, uri};
use super::run::orders;
use super::template::refuse_unknown;
use crate::http::Problem;
use crate::http::auth::{Admin, AgentOrAdmin, Caller, Reader};
use crate::http::etag::Etag;
use crate::http::json::{Answer, JsonBody, created, from_fields};
use crate::http::page::{List, Meta};
use crate::http::path::PathParts;
use crate::http::query::Query;
use crate::self_check::GUID;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one, replace, modify, remove))
}

/// The agents; an agent's own token sees itself alone, which also verifies access.
#[utoipa::path(get, path = "/api/v1/agent/", tag = "agent", params(
    ("id" = Option<u64>, Query), ("name" = Option<String>, Query), ("hostname" = Option<String>, Query),
    ("guid" = Option<String>, Query), ("state" = Option<String>, Query), ("tag" = Option<String>, Query),
    ("limit" = Option<usize>, Query), ("offset" = Option<usize>, Query)),
    responses((status = 200, body = List<AgentBody>)))]
async fn list(
    State(state): State<AppState>,
    Reader(caller): Reader,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = query.bounds()?.page(caller.agent().is_some());
    let filter = filter(&caller, &mut query)?;
    query.finish()?;
    let found = match filter {
        Some(filter) => state.store().agents(&filter, page).await?,
        None => vilicus_store::query::Paged { objects: Vec::new(), total: 0 },
    };
    let objects: Vec<AgentBody> = found.objects.iter().map(AgentBody::from).collect();
    let meta = Meta::of_page(&query, page, found.total);
    let tags: Vec<String> = objects.iter().map(|agent| agent.etag().as_str().to_owned()).collect();
    Ok(Etag::of(&(&tags, found.total)).answer(&headers, Answer(List { meta, objects })))
}

/// What the query asks for, within what the caller may see; `None` when that is nothing.
fn filter(caller: &Caller, query: &mut Query) -> Result<Option<AgentFilter>, Problem> {
    let asked: Option<Vec<AgentId>> =
        query.any("id").map(|texts| texts.iter().filter_map(|id| id.parse().ok()).collect());
    let ids = match (asked, caller.agent()) {
        (None, None) => Vec::new(),
        (None, Some(own)) => vec![own],
        (Some(asked), own) => {
            let visible: Vec<AgentId> =
                asked.into_iter().filter(|id| own.is_none_or(|own| own == *id)).collect();
            if visible.is_empty() {
                return Ok(None);
            }
            visible
        }
    };
    let states = query.any("state").unwrap_or_default();
    let names = query.any("name").unwrap_or_default();
    let guid = query.one("guid");
    // The agent of the server's own checks is no host: it is shown to those who ask for it.
    let is_asked_for = !ids.is_empty() || !names.is_empty() || guid.is_some();
    Ok(Some(AgentFilter {
        ids,
        names,
        hostnames: query.any("hostname").unwrap_or_default(),
        guid,
        but_guid: (!is_asked_for).then(|| GUID.to_owned()),
        states: states.iter().map(|text| agent_state(text)).collect::<Result<_, _>>()?,
        tags: query.each("tag"),
    }))
}

fn agent_state(text: &str) -> Result<AgentState, Problem> {
    match text.to_ascii_uppercase().as_str() {
        "PENDING" => Ok(AgentState::Pending),
        "UP" => Ok(AgentState::Up),
        "DOWN" => Ok(AgentState::Down),
        _ => Err(Problem::bad_request("the filter state takes PENDING, UP or DOWN")),
    }
}

/// Makes an agent.
#[utoipa::path(post, path = "/api/v1/agent/", tag = "agent", request_body = AgentInput,
    responses((status = 201, body = AgentBody)))]
async fn create(
    State(state): State<AppState>,
    Admin(caller): Admin,
    body: JsonBody,
) -> Result<Response, Problem> {
    let input: AgentInput = body.read()?;
    input.validate()?;
    let _edit = state.edit().await;
    let agent = input.into_agent(&new_agent(state.clock().now()));
    let id = made(&state, Change::CreateAgent(Box::new(agent)), caller.name()).await?;
    let view = agent_at(&state, &caller, &id.to_string()).await?;
    Ok(created(&uri("agent", id), shown(&view)))
}

/// One agent.
#[utoipa::path(get, path = "/api/v1/agent/{id}/", tag = "agent", params(("id" = String, Path)),
    responses((status = 200, body = AgentBody)))]
async fn one(
    State(state): State<AppState>,
    Reader(caller): Reader,
    path: PathParts,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let body = AgentBody::from(&agent_at(&state, &caller, path.id()).await?);
    Ok(body.etag().answer(&headers, Answer(body)))
}

/// Replaces an agent; by the agent itself: it has finished its checks for this run.
#[utoipa::path(put, path = "/api/v1/agent/{id}/", tag = "agent", params(("id" = String, Path)),
    request_body = AgentInput, responses((status = 200, body = CheckedInBody)))]
async fn replace(
    State(state): State<AppState>,
    AgentOrAdmin(caller): AgentOrAdmin,
    path: PathParts,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    if caller.agent().is_some() {
        let view = agent_at(&state, &caller, path.id()).await?;
        return check_in(&state, &view, &body).await;
    }
    let _edit = state.edit().await;
    let view = agent_at(&state, &caller, path.id()).await?;
    let input: AgentInput = body.read()?;
    update(&state, &caller, &view, &headers, input).await
}

/// Changes some fields of an agent.
#[utoipa::path(patch, path = "/api/v1/agent/{id}/", tag = "agent", params(("id" = String, Path)),
    request_body = Object, responses((status = 200, body = AgentBody)))]
async fn modify(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let _edit = state.edit().await;
    let view = agent_at(&state, &caller, path.id()).await?;
    let input = body.read_onto(super::commit::fields(&AgentInput::from(&*view.agent))?)?;
    update(&state, &caller, &view, &headers, input).await
}

async fn update(
    state: &AppState,
    caller: &Caller,
    view: &AgentView,
    headers: &HeaderMap,
    input: AgentInput,
) -> Result<Response, Problem> {
    refuse_managed(view.agent.managed_by.as_deref())?;
    AgentBody::from(view).etag().check(headers)?;
    input.validate()?;
    refuse_unknown(state, &input.templates).await?;
    let agent = input.into_agent(&view.agent);
    if agent != *view.agent {
        change(state, Change::UpdateAgent(Box::new(agent)), caller.name()).await?;
    }
    let view = agent_at(state, caller, &view.agent.id.to_string()).await?;
    Ok(shown(&view))
}

/// The agent has finished its checks for this run, and says what it is.
async fn check_in(state: &AppState, view: &AgentView, body: &JsonBody) -> Result<Response, Problem> {
    // Agents of other versions and of the original system send the whole object back: what is unknown is ignored.
    let said: SelfInput = from_fields(body.fields()?)?;
    let agent = Box::new(said.onto(&view.agent)?);
    let id = agent.id;
    state.store().commit(state.clock().now(), vec![Input::Checkin { agent }]).await?;
    let view = state.store().agent(id).await?.ok_or_else(Problem::not_found)?;
    Ok(Answer(CheckedInBody { agent: AgentBody::from(&view), run: orders(state, id).await? }).into_response())
}

/// Removes an agent with its checks and tokens; by the agent itself: it signs off, and nobody is told.
#[utoipa::path(delete, path = "/api/v1/agent/{id}/", tag = "agent", params(("id" = String, Path)),
    responses((status = 204)))]
async fn remove(
    State(state): State<AppState>,
    AgentOrAdmin(caller): AgentOrAdmin,
    path: PathParts,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let _edit = state.edit().await;
    let view = agent_at(&state, &caller, path.id()).await?;
    refuse_managed(view.agent.managed_by.as_deref())?;
    AgentBody::from(&view).etag().check(&headers)?;
    change(&state, Change::DeleteAgent(view.agent.id), caller.name()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(view: &AgentView) -> Response {
    let body = AgentBody::from(view);
    let tag = body.etag();
    let mut response = Answer(body).into_response();
    tag.mark(&mut response);
    response
}

/// The ids of the agents that a filter names; what nobody knows, or the caller may not know of, is no agent.
pub(super) async fn ids_of(
    state: &AppState,
    caller: &Caller,
    texts: &[String],
) -> Result<Vec<AgentId>, Problem> {
    let mut ids = Vec::with_capacity(texts.len());
    for text in texts {
        let reference = Reference::parse(text);
        let known = match reference.among("agent") {
            // An id needs no look-up: one that nobody has matches nothing.
            Some(Target::Id(id)) => AgentId::new(*id).filter(|id| caller.sees(*id)),
            _ => find_agent(state, caller, &reference).await?.map(|view| view.agent.id),
        };
        ids.extend(known);
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::json::Sent as _;

    #[test]
    fn everything_that_is_shown_can_be_echoed_back() {
        let view = AgentView {
            agent: new_agent(vilicus_core::Timestamp::EPOCH).into(),
            state: AgentState::Pending,
            contact: vilicus_core::judge::freshness::Contact::new(vilicus_core::Millis::from_secs(60)),
            config_version: 1,
        };
        let serde_json::Value::Object(shown) = serde_json::to_value(AgentBody::from(&view)).unwrap() else {
            unreachable!()
        };
        for name in shown.keys() {
            let known = AgentInput::names().contains(name) || AgentInput::READ_ONLY.contains(&name.as_str());
            assert!(known, "{name} is shown, and refused when it is sent back");
        }
    }
}
