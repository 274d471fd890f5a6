//! The contract as OpenAPI 3.1, generated from the handlers' own types, so that it cannot drift; and the index.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi, OpenApiBuilder, SecurityRequirement};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reference::ROOT;
use super::{AppState, kinds};
use crate::http::json::Answer;

/// The routes of the contract itself.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(index))
}

/// What the contract says of itself, before the handlers add theirs.
pub(super) fn empty() -> OpenApi {
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let components = Components::builder().security_scheme("token", bearer).build();
    OpenApiBuilder::new()
        .info(InfoBuilder::new().title("vilicus").version(env!("CARGO_PKG_VERSION")).description(Some(
            "Agents measure, the judge decides, the store remembers, the dispatcher tells.",
        )))
        .components(Some(components))
        .security(Some([SecurityRequirement::new::<_, [&str; 0], &str>("token", [])]))
        .build()
}

/// What there is.
#[derive(Debug, Serialize, ToSchema)]
struct Index {
    /// The path of each resource by its name.
    resources: BTreeMap<&'static str, String>,
    /// The paths of the views by kind of check.
    kinds: BTreeMap<&'static str, String>,
    /// The path of the contract as OpenAPI.
    openapi: &'static str,
}

/// The resources that the index names.
const RESOURCES: [&str; 11] = [
    "agent",
    "channel",
    "check",
    "check_history",
    "downtime",
    "event",
    "inhibition",
    "notification",
    "route",
    "template",
    "token",
];

/// What there is. Needs no token: it says nothing about this server.
#[utoipa::path(get, path = "/api/v1/", tag = "index", security(()), responses((status = 200, body = Index)))]
async fn index(State(state): State<AppState>) -> Response {
    let resources = RESOURCES.into_iter().map(|name| (name, format!("{ROOT}/{name}/"))).collect();
    let kinds =
        kinds::names(&state).into_iter().map(|name| (name, format!("{ROOT}/{name}_check/"))).collect();
    Answer(Index { resources, kinds, openapi: crate::http::path::OPENAPI }).into_response()
}
