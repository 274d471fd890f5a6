//! `/channel/`: configured notifiers. Their secrets are written and never read: reads give `"***"`, and writing
//! `"***"` back keeps what is stored.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::{ChannelId, async_trait};
use vilicus_store::Change;
use vilicus_store::inventory::Channel;

use super::AppState;
use super::channel_body::{ChannelBody, ChannelInput, new_channel};
use super::reference::Reference;
use super::resource::{self, Edit, Resource, at, find};
use crate::http::Problem;
use crate::http::auth::{Admin, Caller, Operator, Viewer};
use crate::http::etag::Etag;
use crate::http::json::{Answer, JsonBody};
use crate::http::page::List;
use crate::http::path::PathParts;
use crate::http::query::Query;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one, replace, modify, remove))
        .routes(routes!(test))
}

#[async_trait]
impl Resource for Channel {
    type Input = ChannelInput;
    type Body = ChannelBody;

    const NAME: &'static str = "channel";

    fn id(&self) -> u64 {
        self.id.get()
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn managed_by(&self) -> Option<&str> {
        self.managed_by.as_deref()
    }

    fn to_input(&self) -> ChannelInput {
        self.into()
    }

    fn to_body(&self, state: &AppState) -> ChannelBody {
        ChannelBody::new(self, state.notifiers())
    }

    fn etag(body: &ChannelBody) -> Etag {
        body.etag()
    }

    async fn all(state: &AppState) -> Result<Vec<Arc<Self>>, Problem> {
        Ok(state.store().channels().await?)
    }

    async fn build(state: &AppState, _: &Caller, input: ChannelInput, base: Self) -> Result<Self, Problem> {
        input.validate()?;
        let fallback = match &input.fallback {
            None => None,
            Some(reference) => Some(fallback(state, reference, &base).await?),
        };
        let channel = input.into_channel(fallback, base)?;
        state.notifiers().build(&channel.kind, &channel.params.0)?;
        Ok(channel)
    }

    fn creation(self) -> Change {
        Change::CreateChannel(Box::new(self))
    }

    fn update(self) -> Change {
        Change::UpdateChannel(Box::new(self))
    }

    fn deletion(&self) -> Change {
        Change::DeleteChannel(self.id)
    }
}

async fn fallback(state: &AppState, reference: &Reference, base: &Channel) -> Result<ChannelId, Problem> {
    let found = find::<Channel>(state, reference).await?;
    let found =
        found.ok_or_else(|| Problem::invalid("/fallback", format!("there is no channel {reference}")))?;
    match found.id == base.id && !base.name.is_empty() {
        true => {
            Err(Problem::invalid("/fallback", "a channel that fails cannot tell so itself; name another"))
        }
        false => Ok(found.id),
    }
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
    let mut channels = Channel::all(&state).await?;
    channels.retain(|channel| {
        names.as_ref().is_none_or(|names| names.contains(&channel.name))
            && kinds.as_ref().is_none_or(|kinds| kinds.contains(&channel.kind))
            && enabled.is_none_or(|enabled| channel.enabled == enabled)
    });
    Ok(resource::list(&state, &query, page, &headers, &channels))
}

/// Makes a channel.
#[utoipa::path(post, path = "/api/v1/channel/", tag = "channel", request_body = ChannelInput,
    responses((status = 201, body = ChannelBody)))]
async fn create(
    State(state): State<AppState>,
    Admin(caller): Admin,
    body: JsonBody,
) -> Result<Response, Problem> {
    resource::create(&state, &caller, &body, new_channel()).await
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
    resource::one::<Channel>(&state, &path, &headers).await
}

/// Replaces a channel. A pause ends.
#[utoipa::path(put, path = "/api/v1/channel/{id}/", tag = "channel", params(("id" = String, Path)),
    request_body = ChannelInput, responses((status = 200, body = ChannelBody)))]
async fn replace(
    State(state): State<AppState>,
    Admin(caller): Admin,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.replace::<Channel>(&state, &caller).await
}

/// Changes some fields of a channel. A pause ends.
#[utoipa::path(patch, path = "/api/v1/channel/{id}/", tag = "channel", params(("id" = String, Path)),
    request_body = Object, responses((status = 200, body = ChannelBody)))]
async fn modify(
    State(state): State<AppState>,
    Admin(caller): Admin,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.modify::<Channel>(&state, &caller).await
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
    resource::remove::<Channel>(&state, &caller, &path, &headers).await
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
    let channel = at::<Channel>(&state, &path).await?;
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
