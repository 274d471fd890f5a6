//! Where people are told: the list, a message to try each, and the form made of the notifier's own parameters.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::form::{self, Fields, field};
use super::inside::{Inside, Refused};
use super::schema_form::{self, Field, Input};
use super::visitor::Visitor;
use super::wire::List;
use super::words::visible;
use super::{Dashboard, render};

/// A channel, as the API tells it.
#[derive(Debug, Deserialize)]
struct Channel {
    id: u64,
    name: String,
    kind: String,
    enabled: bool,
    params: Map<String, Value>,
    paused: Option<Pause>,
    managed_by: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Pause {
    fault: String,
    since: String,
}

/// What became of a message that was sent to try a channel.
#[derive(Debug, Deserialize)]
struct Tested {
    delivered: bool,
    status: String,
    detail: String,
    latency_ms: u64,
}

/// A channel in the list.
struct Line {
    id: u64,
    name: String,
    kind: String,
    words: String,
    class: &'static str,
}

impl Line {
    fn new(channel: &Channel) -> Self {
        let (words, class) = match (&channel.paused, channel.enabled) {
            (Some(pause), _) => (format!("tells nobody since {}: {}", pause.since, pause.fault), "critical"),
            (None, false) => ("switched off".to_owned(), "pending"),
            (None, true) => ("ready".to_owned(), "ok"),
        };
        Self {
            id: channel.id,
            name: visible(&channel.name),
            kind: visible(&channel.kind),
            words: visible(&words),
            class,
        }
    }
}

/// A kind to choose from.
struct Kind {
    name: &'static str,
    description: &'static str,
}

#[derive(Template)]
#[template(path = "channels.html")]
struct ChannelsPage {
    visitor: Visitor,
    lines: Vec<Line>,
    kinds: Vec<Kind>,
    tested: Option<(String, Tested)>,
}

/// `GET /channel`
pub(super) async fn page(State(dashboard): State<Dashboard>, visitor: Visitor, inside: Inside) -> Response {
    list(&dashboard, visitor, &inside, None).await
}

async fn list(
    dashboard: &Dashboard,
    visitor: Visitor,
    inside: &Inside,
    tested: Option<(String, Tested)>,
) -> Response {
    let channels = match inside.get::<List<Channel>>("/api/v1/channel/?limit=1000").await {
        Ok(channels) => channels.objects,
        Err(refused) => return form::refuse(&refused, "/"),
    };
    let lines = channels.iter().map(Line::new).collect();
    render(StatusCode::OK, &ChannelsPage { visitor, lines, kinds: kinds(dashboard), tested })
}

fn kinds(dashboard: &Dashboard) -> Vec<Kind> {
    let notifiers = dashboard.api.notifiers();
    let kind = |name: &'static str| Kind {
        name,
        description: notifiers.describe(name).map_or("", |kind| kind.description),
    };
    notifiers.names().map(kind).collect()
}

/// `POST /channel/{id}/test`: a real message, and what became of it.
pub(super) async fn test(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    Path(id): Path<u64>,
) -> Response {
    match try_out(&inside, id).await {
        Ok(tested) => list(&dashboard, visitor, &inside, Some(tested)).await,
        Err(refused) => form::refuse(&refused, "/channel"),
    }
}

async fn try_out(inside: &Inside, id: u64) -> Result<(String, Tested), Refused> {
    let channel: Channel = inside.get(&format!("/api/v1/channel/{id}/")).await?;
    let told = inside.send(Method::POST, &format!("/api/v1/channel/{id}/test/"), None).await?;
    let tested = serde_json::from_value(told).map_err(|error| {
        tracing::error!(%error, "the API's answer to a test is not as the page expects it");
        Refused { status: StatusCode::INTERNAL_SERVER_ERROR, words: "the outcome cannot be shown".to_owned() }
    })?;
    Ok((visible(&channel.name), tested))
}

#[derive(Template)]
#[template(path = "channel.html")]
struct ChannelPage {
    visitor: Visitor,
    /// Of a channel that there is already.
    id: Option<u64>,
    action: String,
    kind: String,
    description: &'static str,
    name: String,
    enabled: bool,
    managed_by: Option<String>,
    required: Vec<Field>,
    optional: Vec<Field>,
    problem: Option<String>,
}

/// Which kind a new one is.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    kind: String,
}

/// `GET /channel/new?kind=`
pub(super) async fn new(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Response {
    let blank = Filled { kind: wanted.kind, enabled: true, ..Filled::default() };
    show(&dashboard, visitor, None, blank, None)
}

/// `GET /channel/{id}`
pub(super) async fn edit(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    Path(id): Path<u64>,
) -> Response {
    match inside.get::<Channel>(&format!("/api/v1/channel/{id}/")).await {
        Ok(channel) => show(&dashboard, visitor, Some(id), Filled::of(channel), None),
        Err(refused) => form::refuse(&refused, "/channel"),
    }
}

/// What is in the form.
#[derive(Debug, Default)]
struct Filled {
    kind: String,
    name: String,
    enabled: bool,
    managed_by: Option<String>,
    params: Map<String, Value>,
}

impl Filled {
    fn of(channel: Channel) -> Self {
        let Channel { kind, name, enabled, managed_by, params, .. } = channel;
        Self { kind, name, enabled, managed_by, params }
    }

    fn body(&self) -> Value {
        json!({"name": self.name, "kind": self.kind, "enabled": self.enabled, "params": self.params})
    }
}

fn show(
    dashboard: &Dashboard,
    visitor: Visitor,
    id: Option<u64>,
    filled: Filled,
    refused: Option<Refused>,
) -> Response {
    let Some(kind) = dashboard.api.notifiers().describe(&filled.kind) else {
        let words = "there is no notifier of this kind; choose one of the list".to_owned();
        return form::refuse(&Refused { status: StatusCode::NOT_FOUND, words }, "/channel");
    };
    let fields = schema_form::fields(&kind.params_schema, &filled.params);
    let (required, optional) = fields.into_iter().partition(|field| field.required);
    let page = ChannelPage {
        visitor,
        id,
        action: id.map_or("/channel".to_owned(), |id| format!("/channel/{id}")),
        kind: visible(&filled.kind),
        description: kind.description,
        name: filled.name,
        enabled: filled.enabled,
        managed_by: filled.managed_by.as_deref().map(visible),
        required,
        optional,
        problem: refused.as_ref().map(|refused| visible(&refused.words)),
    };
    render(refused.map_or(StatusCode::OK, |refused| refused.status), &page)
}

/// `POST /channel`
pub(super) async fn create(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    fields: Fields,
) -> Response {
    let filled = filled(&dashboard, &fields);
    match inside.send(Method::POST, "/api/v1/channel/", Some(&filled.body())).await {
        Ok(_) => Redirect::to("/channel?done=created").into_response(),
        Err(refused) => show(&dashboard, visitor, None, filled, Some(refused)),
    }
}

/// `POST /channel/{id}`
pub(super) async fn change(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    Path(id): Path<u64>,
    fields: Fields,
) -> Response {
    let filled = filled(&dashboard, &fields);
    let path = format!("/api/v1/channel/{id}/");
    match inside.send(Method::PATCH, &path, Some(&filled.body())).await {
        Ok(_) => Redirect::to("/channel?done=changed").into_response(),
        Err(refused) => show(&dashboard, visitor, Some(id), filled, Some(refused)),
    }
}

fn filled(dashboard: &Dashboard, fields: &Fields) -> Filled {
    let kind = field(fields, "kind").unwrap_or_default();
    let schema = dashboard.api.notifiers().describe(kind).map(|kind| kind.params_schema).unwrap_or_default();
    Filled {
        kind: kind.to_owned(),
        name: field(fields, "name").unwrap_or_default().to_owned(),
        enabled: fields.contains_key("enabled"),
        managed_by: None,
        params: schema_form::params(&schema, fields),
    }
}

/// `POST /channel/{id}/remove`
pub(super) async fn remove(inside: Inside, Path(id): Path<u64>) -> Response {
    match inside.send(Method::DELETE, &format!("/api/v1/channel/{id}/"), None).await {
        Ok(_) => Redirect::to("/channel?done=removed").into_response(),
        Err(refused) => form::refuse(&refused, &format!("/channel/{id}")),
    }
}
