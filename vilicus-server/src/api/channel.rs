//! `/channel/`: configured notifiers. Their secrets are written and never read: reads give `"***"`, and writing
//! `"***"` back keeps what is stored.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::ChannelId;
use vilicus_store::Change;
use vilicus_store::inventory::Channel;

use super::AppState;
use super::channel_body::{ChannelBody, ChannelInput, new_channel};
use super::commit::{change, fields, made};
use super::names::refuse_managed;
use super::reference::{Reference, find_channel, uri};
use crate::http::Problem;
use crate::http::auth::{Admin, Caller, Operator, Viewer};
use crate::http::etag::Etag;
use crate::http::json::{Answer, JsonBody, created};
use crate::http::page::{List, Meta, slice};
use crate::http::path::PathParts;
use crate::http::query::Query;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one, replace, modify, remove))
        .routes(routes!(test))
}

/// The channels.
#[utoipa::path(get, path = "/api/v1/channel/", tag = "channel", params(
    ("name" = Option<String>, Query), ("kind" = Option<String>, Query), ("enabled" = Option<bool>, Query),
    ("limit" = Option<usize>, Query), ("offset" = Option<usize>, Query)),
    responses((status = 200, body = List<ChannelBody>)))]
async fn list(
    State(state): State<AppState>,
    _caller: Viewer,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = query.bounds()?.page(false);
    let (names, kinds) = (query.any("name"), query.any("kind"));
    let enabled: Option<bool> = query.parsed("enabled")?;
    query.finish()?;
    let channels = state.store().channels().await?;
    let wanted = channels.iter().filter(|channel| {
        names.as_ref().is_none_or(|names| names.contains(&channel.name))
            && kinds.as_ref().is_none_or(|kinds| kinds.contains(&channel.kind))
            && enabled.is_none_or(|enabled| channel.enabled == enabled)
    });
    let all: Vec<ChannelBody> = wanted.map(|channel| ChannelBody::new(channel, state.notifiers())).collect();
    let meta = Meta::of_page(&query, page, all.len());
    let objects = slice(all, page);
    let tags: Vec<String> = objects.iter().map(|channel| channel.etag().as_str().to_owned()).collect();
    Ok(Etag::of(&(tags, meta.total_count)).answer(&headers, Answer(List { meta, objects })))
}

/// Makes a channel.
#[utoipa::path(post, path = "/api/v1/channel/", tag = "channel", request_body = ChannelInput,
    responses((status = 201, body = ChannelBody)))]
async fn create(
    State(state): State<AppState>,
    Admin(caller): Admin,
    body: JsonBody,
) -> Result<Response, Problem> {
    let input: ChannelInput = body.read()?;
    let channel = into_channel(&state, input, new_channel()).await?;
    let id = made(&state, Change::CreateChannel(Box::new(channel)), caller.name()).await?;
    let channel = channel_at(&state, &id.to_string()).await?;
    Ok(created(&uri("channel", id), shown(&state, &channel)))
}

/// One channel.
#[utoipa::path(get, path = "/api/v1/channel/{id}/", tag = "channel", params(("id" = String, Path)),
    responses((status = 200, body = ChannelBody)))]
async fn one(
    State(state): State<AppState>,
    _caller: Viewer,
    path: PathParts,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let body = ChannelBody::new(&channel_at(&state, path.id()).await?, state.notifiers());
    Ok(body.etag().answer(&headers, Answer(body)))
}

/// Replaces a channel. A pause ends.
#[utoipa::path(put, path = "/api/v1/channel/{id}/", tag = "channel", params(("id" = String, Path)),
    request_body = ChannelInput, responses((status = 200, body = ChannelBody)))]
async fn replace(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let _edit = state.edit().await;
    let channel = channel_at(&state, path.id()).await?;
    update(&state, &caller, channel, &headers, body.read()?).await
}

/// Changes some fields of a channel. A pause ends.
#[utoipa::path(patch, path = "/api/v1/channel/{id}/", tag = "channel", params(("id" = String, Path)),
    request_body = Object, responses((status = 200, body = ChannelBody)))]
async fn modify(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let _edit = state.edit().await;
    let channel = channel_at(&state, path.id()).await?;
    let input = body.read_onto(fields(&ChannelInput::from(&channel))?)?;
    update(&state, &caller, channel, &headers, input).await
}

async fn update(
    state: &AppState,
    caller: &Caller,
    channel: Channel,
    headers: &HeaderMap,
    input: ChannelInput,
) -> Result<Response, Problem> {
    refuse_managed(channel.managed_by.as_deref())?;
    ChannelBody::new(&channel, state.notifiers()).etag().check(headers)?;
    let id = channel.id;
    let channel = into_channel(state, input, channel).await?;
    change(state, Change::UpdateChannel(Box::new(channel)), caller.name()).await?;
    Ok(shown(state, &channel_at(state, &id.to_string()).await?))
}

/// The channel that `input` makes of `base`; its notifier can be built.
async fn into_channel(state: &AppState, input: ChannelInput, base: Channel) -> Result<Channel, Problem> {
    input.validate()?;
    let fallback = match &input.fallback {
        None => None,
        Some(reference) => Some(fallback(state, reference, &base).await?),
    };
    let channel = input.into_channel(fallback, base)?;
    state.notifiers().build(&channel.kind, &channel.params.0)?;
    Ok(channel)
}

async fn fallback(state: &AppState, reference: &Reference, base: &Channel) -> Result<ChannelId, Problem> {
    let found = find_channel(state, reference).await?;
    let found =
        found.ok_or_else(|| Problem::invalid("/fallback", format!("there is no channel {reference}")))?;
    match found.id == base.id && !base.name.is_empty() {
        true => {
            Err(Problem::invalid("/fallback", "a channel that fails cannot tell so itself; name another"))
        }
        false => Ok(found.id),
    }
}

/// Removes a channel, and its messages that wait.
#[utoipa::path(delete, path = "/api/v1/channel/{id}/", tag = "channel", params(("id" = String, Path)),
    responses((status = 204)))]
async fn remove(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let channel = channel_at(&state, path.id()).await?;
    refuse_managed(channel.managed_by.as_deref())?;
    ChannelBody::new(&channel, state.notifiers()).etag().check(&headers)?;
    change(&state, Change::DeleteChannel(channel.id), caller.name()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
struct TestBody {
    /// Whether the service took the message.
    delivered: bool,
    /// `sent` or `failed`.
    status: &'static str,
    /// What it said, in our words.
    detail: String,
    /// How long it took.
    latency_ms: u64,
    /// The receipt, if the service gave one.
    receipt: Option<String>,
}

/// Sends a test message the way that every message goes. One that passes releases a paused channel.
#[utoipa::path(post, path = "/api/v1/channel/{id}/test/", tag = "channel", params(("id" = String, Path)),
    responses((status = 200, body = TestBody)))]
async fn test(
    State(state): State<AppState>,
    _caller: Operator,
    path: PathParts,
) -> Result<Response, Problem> {
    let channel = channel_at(&state, path.id()).await?;
    let outcome = state.tester().test(channel.id).await;
    Ok(Answer(TestBody {
        delivered: outcome.delivered,
        status: if outcome.delivered { "sent" } else { "failed" },
        detail: outcome.detail,
        latency_ms: outcome.took.get(),
        receipt: outcome.receipt,
    })
    .into_response())
}

async fn channel_at(state: &AppState, path: &str) -> Result<Channel, Problem> {
    let found = find_channel(state, &Reference::parse(path)).await?;
    found.map(|channel| (*channel).clone()).ok_or_else(Problem::not_found)
}

fn shown(state: &AppState, channel: &Channel) -> Response {
    let body = ChannelBody::new(channel, state.notifiers());
    let tag = body.etag();
    let mut response = Answer(body).into_response();
    tag.mark(&mut response);
    response
}
