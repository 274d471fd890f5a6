//! `/event/`: what happened, the audit trail. It only grows, so it is paged by cursor.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::event::Happening;
use vilicus_core::{CheckId, Event, EventId, Timestamp};
use vilicus_store::query::EventQuery;

use super::AppState;
use super::agent::ids_of;
use super::check_body::status_word;
use super::check_history::earlier;
use super::reference::{Reference, find_check, uri};
use crate::http::Problem;
use crate::http::auth::{Caller, Viewer};
use crate::http::json::Answer;
use crate::http::page::{Cursor, List};
use crate::http::path::PathParts;
use crate::http::query::Query;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
struct EventBody {
    id: u64,
    resource_uri: String,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    recorded_at: Timestamp,
    /// The path of the agent that it concerns.
    agent: Option<String>,
    /// The path of the check that it concerns.
    check: Option<String>,
    /// What happened, and what belongs to that.
    #[serde(flatten)]
    what: WhatBody,
}

/// What happened: `type`, and the fields of that type.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WhatBody {
    /// A check's state changed.
    State {
        previous_status: String,
        status: String,
        state_type: String,
        /// `result`, `stale`, `silent` or `contact`.
        #[schema(value_type = String)]
        cause: Value,
        attempt: u32,
        output: String,
        /// Why nobody was told, when a problem was held back.
        #[schema(value_type = Option<String>)]
        held: Value,
    },
    /// A message was delivered, given up, or merged into another.
    Notification { notification: String, channel: String, outcome: String },
    /// A channel was paused, or released.
    Channel { channel: String, fault: Option<String> },
    /// Someone changed the configuration.
    Configuration {
        /// `create`, `update` or `delete`.
        #[schema(value_type = String)]
        action: Value,
        object: String,
        name: String,
        by: String,
    },
    /// What this version has no words for.
    Other,
}

impl From<&Event> for EventBody {
    fn from(event: &Event) -> Self {
        Self {
            id: event.id.get(),
            resource_uri: uri("event", event.id),
            at: event.at,
            recorded_at: event.recorded_at,
            agent: event.agent.map(|id| uri("agent", id)),
            check: event.check.map(|id| uri("check", id)),
            what: (&event.what).into(),
        }
    }
}

impl From<&Happening> for WhatBody {
    fn from(what: &Happening) -> Self {
        // The words of the core's own types; serialising them can't fail.
        let word = |value: Result<Value, _>| value.unwrap_or_default();
        match what {
            Happening::State { change, cause, attempt, output, held } => Self::State {
                previous_status: status_word(change.from).to_owned(),
                status: change.to.to_string(),
                state_type: change.state_type.to_string(),
                cause: word(serde_json::to_value(cause)),
                attempt: *attempt,
                output: output.clone(),
                held: word(serde_json::to_value(held)),
            },
            Happening::Notification { notification, channel, outcome } => Self::Notification {
                notification: uri("notification", notification),
                channel: uri("channel", channel),
                outcome: outcome.clone(),
            },
            Happening::Channel { channel, fault } => {
                Self::Channel { channel: uri("channel", channel), fault: fault.clone() }
            }
            Happening::Configuration { action, object, name, by } => Self::Configuration {
                action: word(serde_json::to_value(action)),
                object: object.clone(),
                name: name.clone(),
                by: by.clone(),
            },
            _ => Self::Other,
        }
    }
}

/// What happened, newest first; upwards with `after`.
#[utoipa::path(get, path = "/api/v1/event/", tag = "event", params(
    ("agent" = Option<String>, Query), ("check" = Option<String>, Query), ("since" = Option<String>, Query),
    ("until" = Option<String>, Query), ("before" = Option<u64>, Query), ("after" = Option<u64>, Query),
    ("limit" = Option<usize>, Query)), responses((status = 200, body = List<EventBody>)))]
async fn list(
    State(state): State<AppState>,
    Viewer(caller): Viewer,
    mut query: Query,
) -> Result<Response, Problem> {
    let cursor = Cursor::from_query(&mut query)?;
    let since = query.moment("since")?.max(query.moment("at__gte")?);
    let until = earlier(query.moment("until")?, query.moment("at__lt")?);
    let agents = match query.any("agent") {
        Some(texts) => Some(ids_of(&state, &caller, &texts).await?),
        None => None,
    };
    let checks = checks_of(&state, &caller, query.any("check")).await?;
    query.finish()?;
    let nothing = agents.as_ref().is_some_and(Vec::is_empty) || checks.as_ref().is_some_and(Vec::is_empty);
    let asked = EventQuery {
        after: cursor.after.and_then(EventId::new),
        before: cursor.before.map(|id| id.max(1)).and_then(EventId::new),
        since,
        until,
        agents: agents.unwrap_or_default(),
        checks: checks.unwrap_or_default(),
        order: cursor.order(),
        limit: cursor.wanted(),
    };
    let mut events = if nothing { Vec::new() } else { state.store().events(&asked).await? };
    let meta = cursor.cut(&query, &mut events, |event| event.id.get());
    let objects: Vec<EventBody> = events.iter().map(|event| EventBody::from(&**event)).collect();
    Ok(Answer(List { meta, objects }).into_response())
}

/// One thing that happened.
#[utoipa::path(get, path = "/api/v1/event/{id}/", tag = "event", params(("id" = u64, Path)),
    responses((status = 200, body = EventBody)))]
async fn one(State(state): State<AppState>, _caller: Viewer, path: PathParts) -> Result<Response, Problem> {
    let id: EventId = path.id().parse().map_err(|_| Problem::not_found())?;
    let before = id.get().checked_add(1).and_then(EventId::new);
    let query = EventQuery { before, limit: 1, ..EventQuery::default() };
    let found = state.store().events(&query).await?.into_iter().find(|event| event.id == id);
    let event = found.ok_or_else(Problem::not_found)?;
    Ok(Answer(EventBody::from(&*event)).into_response())
}

/// The ids of the checks that a filter names; what nobody knows is no check.
pub(super) async fn checks_of(
    state: &AppState,
    caller: &Caller,
    texts: Option<Vec<String>>,
) -> Result<Option<Vec<CheckId>>, Problem> {
    let Some(texts) = texts else { return Ok(None) };
    let mut ids = Vec::with_capacity(texts.len());
    for text in &texts {
        let reference = Reference::parse(text);
        // What happened to a check that is gone is still asked for by its id.
        match text.parse() {
            Ok(id) => ids.push(id),
            Err(_) => ids.extend(find_check(state, caller, &reference).await?.map(|view| view.check.id)),
        }
    }
    Ok(Some(ids))
}
