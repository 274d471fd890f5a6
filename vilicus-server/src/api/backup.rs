//! `/backup/`: the whole store as one stream, while the server works on.
//!
//! A reader that takes nothing for the connection's idle time is left, and the store forgets the backup with it: what
//! it held back on disk for the reader's sake goes then.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_store::StoreError;
use vilicus_store::backup::Backup;

use super::AppState;
use crate::backup_file;
use crate::http::Problem;
use crate::http::auth::Admin;
use crate::http::query::Query;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(make))
}

/// A backup of everything, of one moment: configuration, states, history, messages that wait, users and the hashes of
/// tokens; and the secrets of channels, so keep it as you keep those. One at a time. A stream that breaks off is none:
/// only a backup that was read to its end is whole, which `vilicusctl backup` sees to.
#[utoipa::path(get, path = "/api/v1/backup/", tag = "backup",
    responses((status = 200, body = String, content_type = "application/octet-stream"),
        (status = 503, description = "another backup is being made"),
        (status = 501, description = "this kind of store makes no backups")))]
async fn make(
    State(state): State<AppState>,
    Admin(caller): Admin,
    query: Query,
) -> Result<Response, Problem> {
    query.finish()?;
    let now = state.clock().now();
    let backup = state.store().backup(now).await.map_err(|error| match error {
        StoreError::Busy { retry_after } => Problem::unavailable("another backup is being made", retry_after),
        error => error.into(),
    })?;
    tracing::info!(by = %caller.name(), "a backup is being read");
    let disposition = format!("attachment; filename=\"{}\"", backup_file::usual_name(now));
    let disposition = HeaderValue::from_str(&disposition).map_err(|_| Problem::internal())?;
    let kind = HeaderValue::from_static("application/octet-stream");
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_DISPOSITION, disposition),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, body(backup)).into_response())
}

/// An error ends the connection before the end of the answer, so that nobody takes a part for the whole.
fn body(backup: Backup) -> Body {
    Body::from_stream(stream::unfold(backup, |mut backup| async {
        let piece = backup.next().await?;
        let piece = piece.inspect_err(|error| tracing::error!(%error, "a backup breaks off"));
        Some((piece.map(Bytes::from), backup))
    }))
}
