//! `/notification/`: the outbox, what waits and what became of the rest, with every attempt.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::{ChannelId, Notification, NotificationId, NotificationItem, Timestamp};
use vilicus_store::inventory::Channel;
use vilicus_store::outbox::{OutboxRow, OutboxState, Try};
use vilicus_store::query::NotificationQuery;

use super::AppState;
use super::event::checks_of;
use super::reference::{Reference, uri};
use super::resource::find;
use crate::http::Problem;
use crate::http::auth::Viewer;
use crate::http::json::Answer;
use crate::http::page::{Cursor, List};
use crate::http::path::PathParts;
use crate::http::query::Query;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

/// One message to one channel.
#[derive(Debug, Serialize, ToSchema)]
struct NotificationBody {
    id: u64,
    resource_uri: String,
    /// The idempotency key: the same at every try.
    key: String,
    /// The path of the channel.
    channel: String,
    /// The path of the route that it took; `null` when there were none, and for what no check says.
    route: Option<String>,
    /// What it merges with while it waits: `check-7`, `route-3:agent=web-1`.
    group: String,
    /// Its title in the stock words.
    title: String,
    /// The paths of the checks that it is about.
    checks: Vec<String>,
    /// The path of the agent that it is about, when it is about one alone.
    agent: Option<String>,
    /// `pending`, `sent`, `failed`, `superseded` or `suppressed`.
    state: String,
    /// When that became so; `null` while it waits.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Why it failed or was suppressed.
    reason: Option<String>,
    /// The path of the message that tells what it would have told.
    superseded_by: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Not tried before this moment.
    #[schema(value_type = String, format = DateTime)]
    not_before: Timestamp,
    /// How often it was tried.
    try_count: u32,
    /// The last tries, oldest first.
    tries: Vec<TryBody>,
    /// What it tells.
    items: Vec<ItemBody>,
    /// How many more items there were.
    more: u64,
    /// What the service said when it took it.
    receipt: Option<String>,
}

/// One thing that a message tells.
#[derive(Debug, Serialize, ToSchema)]
struct ItemBody {
    /// `[CRITICAL] web-1 / disk: 97 % full`.
    title: String,
    #[serde(flatten)]
    #[schema(value_type = Object)]
    item: NotificationItem,
}

impl From<&NotificationItem> for ItemBody {
    fn from(item: &NotificationItem) -> Self {
        Self { title: item.title(), item: item.clone() }
    }
}

/// The title of the whole message in the stock words.
fn title(row: &OutboxRow) -> String {
    let mut message = Notification::test(row.key.clone(), row.created_at);
    (message.items, message.more) = (row.items.clone(), row.more);
    message.title()
}

/// One try to deliver a message.
#[derive(Debug, Serialize, ToSchema)]
struct TryBody {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    took_ms: u64,
    /// What came of it.
    detail: String,
    /// `retry`, `message` or `channel`; `null` when it was delivered.
    #[schema(value_type = Option<String>)]
    fault: Value,
}

impl From<&Try> for TryBody {
    fn from(attempt: &Try) -> Self {
        Self {
            at: attempt.at,
            took_ms: attempt.took.get(),
            detail: attempt.detail.clone(),
            fault: serde_json::to_value(attempt.fault).unwrap_or_default(),
        }
    }
}

impl From<&OutboxRow> for NotificationBody {
    fn from(row: &OutboxRow) -> Self {
        let (ended_at, reason, by) = match &row.state {
            OutboxState::Pending => (None, None, None),
            OutboxState::Sent { at } => (Some(*at), None, None),
            OutboxState::Failed { at, reason } | OutboxState::Suppressed { at, reason } => {
                (Some(*at), Some(reason.clone()), None)
            }
            OutboxState::Superseded { at, by } => (Some(*at), None, Some(uri("notification", by))),
        };
        Self {
            id: row.id.get(),
            resource_uri: uri("notification", row.id),
            key: row.key.clone(),
            channel: uri("channel", row.channel),
            route: row.route.map(|id| uri("route", id)),
            group: row.group.clone(),
            title: title(row),
            checks: row.checks.iter().map(|id| uri("check", id)).collect(),
            agent: row.agent.map(|id| uri("agent", id)),
            state: row.state.as_str().to_owned(),
            ended_at,
            reason,
            superseded_by: by,
            created_at: row.created_at,
            not_before: row.not_before,
            try_count: row.try_count,
            tries: row.tries.iter().map(TryBody::from).collect(),
            items: row.items.iter().map(ItemBody::from).collect(),
            more: row.more,
            receipt: row.receipt.as_ref().map(|receipt| receipt.detail.clone()),
        }
    }
}

/// The messages, newest first; upwards with `after`.
#[utoipa::path(get, path = "/api/v1/notification/", tag = "notification", params(
    ("channel" = Option<String>, Query), ("check" = Option<String>, Query), ("state" = Option<String>, Query),
    ("before" = Option<u64>, Query), ("after" = Option<u64>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = List<NotificationBody>)))]
async fn list(
    State(state): State<AppState>,
    Viewer(caller): Viewer,
    mut query: Query,
) -> Result<Response, Problem> {
    let cursor = Cursor::from_query(&mut query)?;
    let channels = channels_of(&state, query.any("channel")).await?;
    let checks = checks_of(&state, &caller, query.any("check")).await?;
    let states = query.any("state").unwrap_or_default();
    query.finish()?;
    if let Some(unknown) = states.iter().find(|word| !STATES.contains(&word.as_str())) {
        return Err(Problem::bad_request(format!(
            "the filter state takes {}, not {unknown:?}",
            STATES.join(", ")
        )));
    }
    let nothing = channels.as_ref().is_some_and(Vec::is_empty) || checks.as_ref().is_some_and(Vec::is_empty);
    let asked = NotificationQuery {
        after: cursor.after.and_then(NotificationId::new),
        before: cursor.before.map(|id| id.max(1)).and_then(NotificationId::new),
        channels: channels.unwrap_or_default(),
        checks: checks.unwrap_or_default(),
        states,
        order: cursor.order(),
        limit: cursor.wanted(),
    };
    let mut rows = if nothing { Vec::new() } else { state.store().notifications(&asked).await? };
    let meta = cursor.cut(&query, &mut rows, |row| row.id.get());
    let objects: Vec<NotificationBody> = rows.iter().map(|row| NotificationBody::from(&**row)).collect();
    Ok(Answer(List { meta, objects }).into_response())
}

/// The words of [`OutboxState::as_str`].
const STATES: [&str; 5] = ["pending", "sent", "failed", "superseded", "suppressed"];

/// One message.
#[utoipa::path(get, path = "/api/v1/notification/{id}/", tag = "notification", params(("id" = u64, Path)),
    responses((status = 200, body = NotificationBody)))]
async fn one(State(state): State<AppState>, _caller: Viewer, path: PathParts) -> Result<Response, Problem> {
    let id: NotificationId = path.id().parse().map_err(|_| Problem::not_found())?;
    let row = state.store().notification(id).await?.ok_or_else(Problem::not_found)?;
    Ok(Answer(NotificationBody::from(&*row)).into_response())
}

async fn channels_of(
    state: &AppState,
    texts: Option<Vec<String>>,
) -> Result<Option<Vec<ChannelId>>, Problem> {
    let Some(texts) = texts else { return Ok(None) };
    let mut ids = Vec::with_capacity(texts.len());
    for text in &texts {
        match text.parse() {
            Ok(id) => ids.push(id),
            Err(_) => {
                let found = find::<Channel>(state, &Reference::parse(text)).await?;
                ids.extend(found.map(|channel| channel.id));
            }
        }
    }
    Ok(Some(ids))
}
