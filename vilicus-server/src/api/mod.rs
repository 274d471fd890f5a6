//! The REST contract: one file a resource, each with its routes, its handlers and its wire types.
//!
//! [`router`] puts them together. A handler's arguments tell who may call it ([`http::auth`](crate::http::auth)),
//! what was sent ([`http::json`](crate::http::json)) and which part is wanted
//! ([`http::query`](crate::http::query)); its error is always a [`Problem`](crate::http::Problem).
//!
//! Not here: connections and limits ([`http`](crate::http)), what results must be ([`ingest`](crate::ingest)), and
//! any state but [`AppState`].

mod acknowledge;
mod agent;
pub(crate) mod agent_body;
mod announce;
mod apply;
mod availability;
mod backup;
mod channel;
pub(crate) mod channel_body;
mod check;
mod check_action;
mod check_body;
mod check_delivery;
mod check_history;
pub(crate) mod check_input;
mod commit;
mod dependencies;
mod downtime;
pub(crate) mod downtime_body;
mod enroll;
mod event;
mod event_stream;
mod explain;
mod history_format;
pub(crate) mod inhibition;
pub(crate) mod kinds;
pub(crate) mod names;
mod notification;
mod openapi;
pub(crate) mod ping;
mod policy_input;
mod preview;
pub(crate) mod reference;
mod replay;
pub(crate) mod resource;
mod route;
pub(crate) mod route_body;
mod run;
mod sentences;
mod state;
pub(crate) mod template;
pub(crate) mod template_body;
mod token;
mod user;

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use tower::{Layer as _, ServiceBuilder, ServiceExt as _};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub(crate) use self::check_history::PATH as REPORT;
pub(crate) use self::event::TYPES as EVENT_TYPES;
pub use self::state::{AppState, ChannelTester, NoRandomness, Parts, Random, SystemRandom, TestOutcome};
pub use self::token::{new_secret, new_token};
use crate::http::path::{OPENAPI, normalise};
use crate::http::problem::{no_such_method, no_such_path, of_panic};

/// Everything under `/api/`, to be merged with other routers. It has no fallback of its own outside that path;
/// [`no_such_path`] is offered for it.
pub fn router(state: AppState) -> Router {
    let (routes, contract) = resources().split_for_parts();
    let contract = contract_of(&contract);
    let inner = routes
        .route(OPENAPI, get(move || async move { ([(CONTENT_TYPE, "application/json")], contract) }))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .with_state(state);
    let inner = CatchPanicLayer::custom(of_panic).layer(inner);
    let service = ServiceBuilder::new().map_request(normalise).service(inner);
    let service = service.map_response(|response: http::Response<_>| protect(response.map(Body::new)));
    let service = tower::util::BoxCloneSyncService::new(service);
    ["/api", "/api/", "/api/{*rest}"]
        .into_iter()
        .fold(Router::new(), |router, path| router.route_service(path, service.clone()))
}

/// The contract as OpenAPI.
#[must_use]
pub fn openapi() -> OpenApi {
    resources().into_openapi()
}

fn contract_of(contract: &OpenApi) -> Bytes {
    // What utoipa built can be written; were it not, an empty document is the honest answer.
    contract.to_json().unwrap_or_else(|_| "{}".to_owned()).into()
}

fn resources() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::empty())
        .merge(openapi::routes())
        .merge(agent::routes())
        .merge(enroll::routes())
        .merge(announce::routes())
        .merge(check::routes())
        .merge(check_action::routes())
        .merge(acknowledge::routes())
        .merge(explain::routes())
        .merge(ping::routes())
        .merge(check_history::routes())
        .merge(channel::routes())
        .merge(preview::routes())
        .merge(route::routes())
        .merge(inhibition::routes())
        .merge(downtime::routes())
        .merge(apply::routes())
        .merge(template::routes())
        .merge(token::routes())
        .merge(user::routes())
        .merge(event::routes())
        .merge(event_stream::routes())
        .merge(availability::routes())
        .merge(replay::routes())
        .merge(notification::routes())
        .merge(backup::routes())
}

/// What keeps a browser from making anything but data of an answer, and caches from keeping it.
const PROTECTION: [(HeaderName, HeaderValue); 4] = [
    (http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (http::header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (http::header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        http::header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
];

/// Answers results, as the routes would that lead to them.
pub(crate) async fn report(state: &AppState, request: Request) -> Response {
    protect(check_history::receive(state, request).await)
}

pub(crate) fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in PROTECTION {
        headers.insert(name, value);
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    response
}

/// Calls the API from within this process, without a socket: the caller counts as local.
pub async fn call(router: &Router, request: Request) -> Response {
    match router.clone().oneshot(request).await {
        Ok(response) => response.into_response(),
        Err(never) => {
            let never: Infallible = never;
            match never {}
        }
    }
}
