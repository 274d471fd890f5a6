//! `/agent/{id}/checks/`: an agent that brings its own checks, as an app with the SDK inside, says which.
//!
//! Each time it says all of them: new ones are made, changed ones changed, and those that it no longer names go.
//! What the agent decides is what is measured and how often; what people decided since (thresholds, attempts,
//! whether anyone is told) stays as they left it.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::AgentId;
use vilicus_store::Change;
use vilicus_store::inventory::{Check, Origin, SERVER_KINDS};
use vilicus_store::query::{AgentView, CheckFilter, CheckView, Page};

use super::AppState;
use super::check_body::CheckBody;
use super::check_input::{CheckInput, Dependencies, new_check};
use super::commit::changes;
use super::reference::agent_at;
use super::run::{Orders, config_of, orders};
use crate::http::Problem;
use crate::http::auth::{AgentOrAdmin, Caller};
use crate::http::json::{Answer, JsonBody, fields_of, from_fields, known_fields};
use crate::http::path::PathParts;
use crate::templates;

/// The route of announcements.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(announce))
}

/// All the checks that an agent brings.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the document describes by it what is read check by check")]
struct Announcement {
    /// All of them; `agent` may be left out.
    objects: Vec<CheckInput>,
}

/// The checks of an agent that it announced.
#[derive(Debug, Serialize, ToSchema)]
struct Announced {
    /// All of them.
    objects: Vec<CheckBody>,
    /// The version of the agent's configuration.
    config_etag: Option<String>,
    /// The checks that shall run sooner than their interval says.
    run: Vec<Orders>,
}

/// The most checks that an agent may announce.
const MAX_CHECKS: usize = 1_000;

/// Announces the agent's own checks, all of them each time, as `{"objects": […]}`.
#[utoipa::path(put, path = "/api/v1/agent/{id}/checks/", tag = "agent", params(("id" = String, Path)),
    request_body = Announcement, responses((status = 200, body = Announced)))]
async fn announce(
    State(state): State<AppState>,
    AgentOrAdmin(caller): AgentOrAdmin,
    path: PathParts,
    body: JsonBody,
) -> Result<Response, Problem> {
    let _edit = state.edit().await;
    let view = agent_at(&state, &caller, path.id()).await?;
    let wanted = read(objects_of(&body)?, view.agent.id).map_err(|problem| problem.below("/objects"))?;
    let current = checks_of(&state, view.agent.id).await?;
    let plan = plan(&view, wanted, &current).map_err(|problem| problem.below("/objects"))?;
    if !plan.is_empty() {
        changes(&state, plan, caller.name()).await?;
    }
    answer(&state, &caller, view.agent.id).await
}

/// The announced checks: `objects`, as lists are everywhere, or `checks`, as in an enrolment.
fn objects_of(body: &JsonBody) -> Result<Value, Problem> {
    let mut fields = body.fields()?;
    let named = ["objects", "checks"].into_iter().find_map(|name| fields.remove(name));
    named.ok_or_else(|| Problem::invalid("/objects", "is missing"))
}

async fn answer(state: &AppState, caller: &Caller, agent: AgentId) -> Result<Response, Problem> {
    let checks = checks_of(state, agent).await?;
    let announced = checks.iter().filter(|view| view.check.origin == Origin::Agent);
    let shown = |view| {
        if caller.agent().is_some() { CheckBody::configured(view) } else { CheckBody::with_state(view) }
    };
    let objects = announced.map(shown).collect();
    let (config_etag, run) = (config_of(state, agent).await?, orders(state, agent).await?);
    Ok(Answer(Announced { objects, config_etag, run }).into_response())
}

/// Reads announced checks; places are relative to the list.
pub(super) fn read(objects: Value, agent: AgentId) -> Result<Vec<CheckInput>, Problem> {
    let Value::Array(objects) = objects else {
        return Err(Problem::invalid("", "expected an array of checks"));
    };
    if objects.len() > MAX_CHECKS {
        return Err(Problem::invalid("", format!("holds more than {MAX_CHECKS} checks")));
    }
    let mut names = HashMap::new();
    let mut inputs = Vec::with_capacity(objects.len());
    for (index, object) in objects.into_iter().enumerate() {
        let place = format!("/{index}");
        let input = read_one(object, agent).map_err(|problem| problem.below(&place))?;
        if let Some(first) = names.insert(input.name.clone(), index) {
            return Err(Problem::invalid(format!("{place}/name"), format!("is also the name of /{first}")));
        }
        inputs.push(input);
    }
    Ok(inputs)
}

fn read_one(object: Value, agent: AgentId) -> Result<CheckInput, Problem> {
    let mut fields = known_fields::<CheckInput>(fields_of(object)?)?;
    fields.insert("agent".to_owned(), agent.get().into());
    let input: CheckInput = from_fields(fields)?;
    input.validate()?;
    if input.kind.is_empty() || input.kind.chars().count() > 255 || input.kind.chars().any(char::is_control) {
        return Err(Problem::invalid("/kind", "expected a word of 1 to 255 characters"));
    }
    if SERVER_KINDS.contains(&input.kind.as_str()) {
        let detail = "the server judges checks of this kind by itself, and no agent brings them";
        return Err(Problem::invalid("/kind", detail));
    }
    if !input.depends_on.is_empty() || !input.depends_on_any.is_empty() {
        return Err(Problem::invalid("/depends_on", "what a check depends on is for operators to say"));
    }
    Ok(input)
}

/// The check that an announcement makes.
pub(super) fn announced_check(input: CheckInput, agent: AgentId) -> Check {
    input.into_check(new_check(agent, Origin::Agent), None, Dependencies::default())
}

async fn checks_of(state: &AppState, agent: AgentId) -> Result<Vec<CheckView>, Problem> {
    let filter = CheckFilter { agents: vec![agent], ..CheckFilter::default() };
    Ok(state.store().checks(&filter, Page::ALL).await?.objects)
}

/// What has to change so that exactly the wanted checks are announced.
fn plan(agent: &AgentView, wanted: Vec<CheckInput>, current: &[CheckView]) -> Result<Vec<Change>, Problem> {
    let mut gone: HashMap<&str, &CheckView> =
        current.iter().map(|view| (view.check.name.as_str(), view)).collect();
    let mut plan = Vec::new();
    for (index, input) in wanted.into_iter().enumerate() {
        match gone.remove(input.name.as_str()) {
            None => plan.push(Change::CreateCheck(Box::new(announced_check(input, agent.agent.id)))),
            Some(view) => {
                refuse_foreign(&view.check).map_err(|_| taken(index))?;
                let check = announced_again(input, view);
                if check != *view.check {
                    plan.push(Change::UpdateCheck(Box::new(check)));
                }
            }
        }
    }
    let mut retired: Vec<_> = gone.into_values().filter(|view| view.check.origin == Origin::Agent).collect();
    retired.sort_by_key(|view| view.check.id);
    plan.extend(retired.into_iter().map(|view| Change::DeleteCheck(view.check.id)));
    Ok(plan)
}

/// Refuses to announce what is not the agent's. What a template made gives way: the agent knows better.
fn refuse_foreign(check: &Check) -> Result<(), Problem> {
    match check.origin {
        Origin::Agent => Ok(()),
        Origin::Server if templates::is_made(check) => Ok(()),
        Origin::Server => Err(Problem::conflict("is an operator's check")),
    }
}

fn taken(index: usize) -> Problem {
    let detail = "is the name of a check that an operator made on this agent; choose another";
    Problem::invalid(format!("/{index}/name"), detail)
}

/// What is measured, and how often, follows the agent; the rest is as people left it.
fn announced_again(input: CheckInput, view: &CheckView) -> Check {
    let mut check = (*view.check).clone();
    if templates::is_made(&check) {
        (check.origin, check.managed_by) = (Origin::Agent, None);
    }
    let said = input.settings(None);
    check.settings.interval = said.interval;
    check.settings.retry_interval = said.retry_interval;
    check.settings.timeout = said.timeout;
    check.settings.timeout_status = said.timeout_status;
    check.kind = input.kind;
    check.params = Value::Object(input.params).into();
    check.description = input.description;
    check
}
