//! `/event/`: what happened, the audit trail. It only grows, so it is paged by cursor.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::acknowledgement::AcknowledgementEnd;
use vilicus_core::event::{Action, Cause, Happening};
use vilicus_core::heartbeat::Signal;
use vilicus_core::judge::gates::{GateTrace, Hold};
use vilicus_core::{CheckId, Event, EventId, Timestamp};
use vilicus_store::query::{EventQuery, Order};

use super::AppState;
use super::agent::ids_of;
use super::check_body::status_word;
use super::check_history::earlier;
use super::explain::GateBody;
use super::reference::{Reference, find_check, uri};
use super::sentences::{self, Names};
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
pub(super) struct EventBody {
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
    /// What happened, in one sentence.
    summary: String,
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
        /// `result`, `stale`, `silent`, `contact`, `ping` or `missed`.
        #[schema(value_type = String)]
        cause: Cause,
        attempt: u32,
        output: String,
        /// Why nobody was told, when a problem was held back.
        #[schema(value_type = Option<String>)]
        held: Option<Hold>,
        /// What the gates said, in order.
        gates: Vec<GateBody>,
    },
    /// A look without a change of state had something to tell, or found it held back.
    Telling {
        /// How many channels are told.
        told: u32,
        /// Why nobody is told.
        #[schema(value_type = Option<String>)]
        held: Option<Hold>,
        /// What the gates said, in order.
        gates: Vec<GateBody>,
    },
    /// Flapping started or stopped.
    Flapping {
        flapping: bool,
        /// The changes of the last 20 results, weighed.
        percent: f64,
    },
    /// Someone is on it.
    Acknowledged {
        by: String,
        comment: String,
        sticky: bool,
        #[schema(value_type = Option<String>, format = DateTime)]
        expires_at: Option<Timestamp>,
        /// Whether the comment is told to everybody, on status pages.
        public: bool,
    },
    /// Nobody is on it any longer.
    AcknowledgementEnded {
        /// `status_changed`, `recovered`, `expired` or `taken_back`.
        #[schema(value_type = String)]
        reason: AcknowledgementEnd,
        /// Who took it back.
        by: Option<String>,
    },
    /// A downtime began or ended.
    Downtime {
        /// The path of the downtime.
        downtime: String,
        began: bool,
        comment: String,
        #[schema(value_type = Option<String>, format = DateTime)]
        until: Option<Timestamp>,
    },
    /// A job said that a run began, or left a note.
    Ping {
        /// `start`, `success`, `fail`, `log`, or `{"exit": 3}`.
        #[schema(value_type = Object)]
        signal: Signal,
        body: String,
    },
    /// A message was delivered, given up, or merged into another.
    Notification { notification: String, channel: String, outcome: String },
    /// A channel was paused, or released.
    Channel { channel: String, fault: Option<String> },
    /// Someone changed the configuration.
    Configuration {
        /// `create`, `update` or `delete`.
        #[schema(value_type = String)]
        action: Action,
        object: String,
        name: String,
        by: String,
    },
    /// What this version has no words for.
    Other,
}

/// The words of `type`.
pub(crate) const TYPES: [&str; 10] = [
    "state",
    "telling",
    "flapping",
    "acknowledged",
    "acknowledgement_ended",
    "downtime",
    "ping",
    "notification",
    "channel",
    "configuration",
];

pub(super) fn type_of(what: &Happening) -> &'static str {
    match what {
        Happening::State { .. } => "state",
        Happening::Telling { .. } => "telling",
        Happening::Flapping(_) => "flapping",
        Happening::Acknowledged { .. } => "acknowledged",
        Happening::AcknowledgementEnded { .. } => "acknowledgement_ended",
        Happening::Downtime { .. } => "downtime",
        Happening::Ping { .. } => "ping",
        Happening::Notification { .. } => "notification",
        Happening::Channel { .. } => "channel",
        Happening::Configuration { .. } => "configuration",
        _ => "other",
    }
}

/// Events as they are shown, with the names that their sentences need.
pub(super) async fn bodies(state: &AppState, events: &[Arc<Event>]) -> Result<Vec<EventBody>, Problem> {
    let names = Names::of(state, events).await?;
    Ok(events.iter().map(|event| EventBody::new(event, &names)).collect())
}

impl EventBody {
    fn new(event: &Event, names: &Names) -> Self {
        Self {
            id: event.id.get(),
            resource_uri: uri("event", event.id),
            at: event.at,
            recorded_at: event.recorded_at,
            agent: event.agent.map(|id| uri("agent", id)),
            check: event.check.map(|id| uri("check", id)),
            summary: sentences::of_event(event, names),
            what: event.what.clone().into(),
        }
    }
}

impl From<Happening> for WhatBody {
    fn from(what: Happening) -> Self {
        let gates = |trace: &[GateTrace]| trace.iter().map(GateBody::from).collect();
        match what {
            Happening::State { change, cause, attempt, output, held, trace } => Self::State {
                previous_status: status_word(change.from).to_owned(),
                status: change.to.to_string(),
                state_type: change.state_type.to_string(),
                cause,
                attempt,
                output,
                held,
                gates: gates(&trace),
            },
            Happening::Telling { told, held, trace } => Self::Telling { told, held, gates: gates(&trace) },
            Happening::Flapping(turn) => Self::Flapping { flapping: turn.flapping, percent: turn.percent },
            Happening::Acknowledged { by, comment, sticky, expires_at, public } => {
                Self::Acknowledged { by, comment, sticky, expires_at, public }
            }
            Happening::AcknowledgementEnded { why, by } => Self::AcknowledgementEnded { reason: why, by },
            Happening::Downtime { downtime, began, comment, until } => {
                Self::Downtime { downtime: uri("downtime", downtime), began, comment, until }
            }
            Happening::Ping { signal, body } => Self::Ping { signal, body },
            Happening::Notification { notification, channel, outcome } => Self::Notification {
                notification: uri("notification", notification),
                channel: uri("channel", channel),
                outcome,
            },
            Happening::Channel { channel, fault } => {
                Self::Channel { channel: uri("channel", channel), fault }
            }
            Happening::Configuration { action, object, name, by } => {
                Self::Configuration { action, object, name, by }
            }
            _ => Self::Other,
        }
    }
}

/// What happened, newest first; upwards with `after`.
#[utoipa::path(get, path = "/api/v1/event/", tag = "event", params(
    ("agent" = Option<String>, Query), ("check" = Option<String>, Query), ("type" = Option<String>, Query),
    ("since" = Option<String>, Query), ("until" = Option<String>, Query), ("before" = Option<u64>, Query), ("after" = Option<u64>, Query),
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
    let types = types_of(query.any("type"))?;
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
    let found = if nothing { Found::default() } else { find(&state, asked, types.as_deref()).await? };
    let mut events = found.events;
    let mut meta = cursor.cut(&query, &mut events, |event| event.id.get());
    if let (None, Some(last)) = (&meta.next, found.looked_up_to) {
        let name = if cursor.after.is_some() { "after" } else { "before" };
        meta.next = Some(query.link(&[("limit", meta.limit.to_string()), (name, last.to_string())]));
    }
    Ok(Answer(List { meta, objects: bodies(&state, &events).await? }).into_response())
}

/// The types that a filter names; `None` when it names none.
///
/// # Errors
/// 400: there is no such type.
pub(super) fn types_of(words: Option<Vec<String>>) -> Result<Option<Vec<String>>, Problem> {
    let unknown = words.iter().flatten().find(|word| !TYPES.contains(&word.as_str()));
    match unknown {
        None => Ok(words),
        Some(word) => {
            let shown: String = word.chars().take(60).collect();
            let detail = format!("the filter type takes {}, not {shown:?}", TYPES.join(", "));
            Err(Problem::bad_request(detail))
        }
    }
}

/// Events of some types are looked for among so many at a time …
const LOOK: usize = 1_000;
/// … and so many times for one page; the next page goes on from there.
const LOOKS: usize = 20;

/// What a look at the events found.
#[derive(Debug, Default)]
struct Found {
    events: Vec<Arc<Event>>,
    /// The last event that was looked at, when there may be more behind it.
    looked_up_to: Option<EventId>,
}

/// The events that are asked for. Their types are nothing that the store knows, so these are looked for here.
async fn find(state: &AppState, mut asked: EventQuery, types: Option<&[String]>) -> Result<Found, Problem> {
    let Some(types) = types else {
        return Ok(Found { events: state.store().events(&asked).await?, looked_up_to: None });
    };
    let mut found = Found::default();
    let wanted = std::mem::replace(&mut asked.limit, LOOK);
    for _ in 0..LOOKS {
        let events = state.store().events(&asked).await?;
        let more = events.len() == LOOK;
        found.looked_up_to = events.last().map(|event| event.id).filter(|_| more);
        let is_wanted = |event: &Arc<Event>| types.iter().any(|word| word == type_of(&event.what));
        found.events.extend(events.into_iter().filter(is_wanted));
        match found.looked_up_to {
            Some(last) if found.events.len() < wanted && asked.order == Order::NewestFirst => {
                asked.before = Some(last);
            }
            Some(last) if found.events.len() < wanted => asked.after = Some(last),
            _ => break,
        }
    }
    Ok(found)
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
    let body = bodies(&state, &[event]).await?.pop().ok_or_else(Problem::internal)?;
    Ok(Answer(body).into_response())
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
