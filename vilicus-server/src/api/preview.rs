//! `/channel/{id}/preview/`: what a message would look like in the channel's words, or in words that are being written.
//! Rendered from a message that was really made; nothing is sent and nothing is kept.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::{Notification, NotificationEvent, Status, Timestamp};
use vilicus_store::inventory::Channel;
use vilicus_store::outbox::OutboxRow;
use vilicus_store::query::NotificationQuery;

use super::AppState;
use super::channel_body::{check_template, template_of};
use super::reference::{Reference, Target, uri};
use super::resource::at;
use crate::dispatcher;
use crate::http::Problem;
use crate::http::auth::Operator;
use crate::http::json::{Answer, JsonBody, Sent};
use crate::http::path::PathParts;
use crate::notifiers::MessageTemplate;

/// The route of previews.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(preview))
}

/// What shall be previewed.
#[derive(Debug, Deserialize, ToSchema)]
struct PreviewInput {
    /// Templates, `{"title": …, "text": …}`; those of the channel by default.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    message: Option<MessageTemplate>,
    /// The id or path of a message; the newest of the channel by default, or a sample when there is none.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    notification: Option<Reference>,
}

impl Sent for PreviewInput {
    const READ_ONLY: &'static [&'static str] = &[];
}

/// What the message looks like.
#[derive(Debug, Serialize, ToSchema)]
struct PreviewBody {
    /// The title, on one line.
    title: String,
    /// The text.
    text: String,
    /// The path of the message that it was made of; `null` for a sample.
    notification: Option<String>,
}

/// Shows what a message looks like in the words of this channel, or in other words.
#[utoipa::path(post, path = "/api/v1/channel/{id}/preview/", tag = "channel", params(("id" = String, Path)),
    request_body = PreviewInput, responses((status = 200, body = PreviewBody)))]
async fn preview(
    State(state): State<AppState>,
    _caller: Operator,
    path: PathParts,
    body: JsonBody,
) -> Result<Response, Problem> {
    let channel = at::<Channel>(&state, &path).await?;
    let input: PreviewInput = if body.bytes().is_empty() {
        PreviewInput { message: None, notification: None }
    } else {
        body.read()?
    };
    if let Some(template) = &input.message {
        check_template(template)?;
    }
    let row = row_of(&state, &channel, input.notification.as_ref()).await?;
    let mut message = match &row {
        Some(row) => {
            dispatcher::notification(state.store().as_ref(), &channel, row, state.public_url()).await?
        }
        None => sample(state.clock().now()),
    };
    // Words that are checked can still fail on a message that is more than any sample.
    message.words = match input.message.or_else(|| template_of(&channel.words)) {
        None => None,
        Some(template) => Some(
            template
                .render(&message)
                .map_err(|error| Problem::invalid(format!("/message{}", error.pointer), error.detail))?,
        ),
    };
    let notification = row.map(|row| uri("notification", row.id));
    Ok(Answer(PreviewBody { title: message.title(), text: message.text(), notification }).into_response())
}

/// The message that is meant.
async fn row_of(
    state: &AppState,
    channel: &Channel,
    reference: Option<&Reference>,
) -> Result<Option<Arc<OutboxRow>>, Problem> {
    let Some(reference) = reference else {
        let newest =
            NotificationQuery { channels: vec![channel.id], limit: 1, ..NotificationQuery::default() };
        return Ok(state.store().notifications(&newest).await?.into_iter().next());
    };
    let id = match reference.among("notification") {
        Some(Target::Id(id)) => vilicus_core::NotificationId::new(*id),
        _ => None,
    };
    let row = match id {
        Some(id) => state.store().notification(id).await?,
        None => None,
    };
    let missing = || Problem::invalid("/notification", format!("there is no notification {reference}"));
    row.map(Some).ok_or_else(missing)
}

/// A problem as it could happen.
fn sample(now: Timestamp) -> Notification {
    let mut message = Notification::test("preview", now);
    for item in &mut message.items {
        item.event = NotificationEvent::Problem;
        (item.agent, item.check, item.kind) = ("web-1".to_owned(), "disk".to_owned(), "disk".to_owned());
        (item.status, item.previous_status) = (Status::Critical, Some(Status::Ok));
        (item.attempt, item.max_attempts) = (3, 3);
        item.output = "/ is 97 % full".to_owned();
    }
    message.reason = "this is a sample".to_owned();
    message
}
