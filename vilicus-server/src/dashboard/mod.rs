//! The pages for people: rendered here, complete without scripts, readable on a phone, in a text browser and with a
//! screen reader.
//!
//! `login` lets people in, `visitor` says who looks, `overview` and `check` and the other rooms are a page each,
//! `inside` asks the API on the caller's behalf, `templates/` and `assets/` say how it looks. Everything that an agent
//! sent is data: the templates escape it, and no page allows inline scripts or styles.

mod agent;
mod channel;
mod check;
mod demo;
mod downtime;
mod event;
mod form;
mod headers;
mod history;
mod host;
mod inside;
mod login;
mod notice;
mod notification;
mod overview;
mod route;
mod schema_form;
mod settings;
mod status;
mod token;
mod user;
mod visitor;
mod wire;
mod words;

use askama::Template;
use axum::extract::{FromRef, Path};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tower_http::compression::CompressionLayer;
use vilicus_core::Timestamp;
use vilicus_store::{Store, StoreError};

use crate::api::{self, AppState};
use crate::http::Peer;

/// What the pages are made of.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// The store and who may see it.
    api: AppState,
    /// The contract, asked from within.
    inside: Router,
    /// The address that people use, when it is known.
    public_url: Option<String>,
    /// What was seen last, for the first page.
    seen: overview::Shared,
    /// Status pages that were made lately.
    made: status::Made,
}

impl FromRef<Dashboard> for AppState {
    fn from_ref(dashboard: &Dashboard) -> Self {
        dashboard.api.clone()
    }
}

/// The routes of the pages: `/`, `/check/…`, `/login`, `/logout`, `/assets/…`.
pub fn router(dashboard: Dashboard) -> Router {
    Router::new()
        .route("/", get(overview::page))
        .merge(check_routes())
        .merge(channel_routes())
        .route("/agent/{id}", get(agent::page))
        .route("/agent/{id}/remove", post(agent::remove))
        .route("/agent/{id}/approve", post(host::approve))
        .route("/demo", post(demo::begin))
        .route("/demo/mend", post(demo::mend))
        .route("/event", get(event::page))
        .route("/notification", get(notification::page))
        .route("/notification/{id}", get(notification::one))
        .route("/route", get(route::page).post(route::create))
        .route("/route/{id}", get(route::edit).post(route::change))
        .route("/route/{id}/remove", post(route::remove))
        .route("/user", get(user::page).post(user::create))
        .route("/user/{id}", post(user::change))
        .route("/user/{id}/remove", post(user::remove))
        .route("/settings", get(settings::page))
        .route("/settings/vilicus.toml", get(settings::export))
        .route("/welcome", get(user::welcome).post(user::first))
        .route("/host/new", get(host::page).post(host::invite))
        .route("/host/waiting", get(host::waiting))
        .route("/token", get(token::page).post(token::create))
        .route("/token/{id}/remove", post(token::remove))
        .route("/downtime", get(downtime::page).post(downtime::create))
        .route("/downtime/{id}/remove", post(downtime::remove))
        .route("/login", get(login::page).post(login::by_form))
        .route("/login/link", post(login::link))
        .route("/logout", post(login::out))
        .route(
            "/status/{page}",
            get(|path: Path<String>| async move { Redirect::permanent(&format!("{}/", path_of(&path))) }),
        )
        .route("/status/{page}/", get(status::page))
        .route("/status/{page}/feed.xml", get(status::feed))
        .route("/badge/{file}", get(status::badge))
        .route("/install.sh", get(host::script))
        .layer(CompressionLayer::new())
        .route("/install/vilicus-agent", get(host::binary))
        .route(
            "/assets/style.css",
            get(|| asset("text/css; charset=utf-8", include_str!("assets/style.css"))),
        )
        .route(
            "/assets/live.js",
            get(|| asset("text/javascript; charset=utf-8", include_str!("assets/live.js"))),
        )
        .route(
            "/assets/keys.js",
            get(|| asset("text/javascript; charset=utf-8", include_str!("assets/keys.js"))),
        )
        .route("/favicon.ico", get(|| asset("image/svg+xml", include_str!("assets/icon.svg"))))
        .route("/assets/icon.svg", get(|| asset("image/svg+xml", include_str!("assets/icon.svg"))))
        .layer(middleware::map_response(headers::protect))
        .with_state(dashboard)
}

/// The address of a status page, without the slash at the end.
fn path_of(page: &str) -> String {
    format!("/status/{}", utf8_percent_encode(page, NON_ALPHANUMERIC))
}

fn check_routes() -> Router<Dashboard> {
    use check::actions;
    Router::new()
        .route("/check/{id}", get(check::page))
        .route("/check/{id}/run", post(actions::run))
        .route("/check/{id}/result", post(actions::report))
        .route("/check/{id}/acknowledge", post(actions::acknowledge))
        .route("/check/{id}/unacknowledge", post(actions::unacknowledge))
        .route("/check/{id}/downtime", post(downtime::begin))
        .route("/check/{id}/switch/{to}", post(actions::switch))
        .route("/check/new", get(check::edit::new).post(check::edit::create))
        .route("/check/{id}/edit", get(check::edit::edit).post(check::edit::change))
        .route("/check/{id}/replay", get(check::replay::page))
        .route("/check/{id}/publish", post(actions::publish))
        .route("/check/{id}/remove", post(actions::remove))
}

fn channel_routes() -> Router<Dashboard> {
    Router::new()
        .route("/channel", get(channel::page).post(channel::create))
        .route("/channel/new", get(channel::new))
        .route("/channel/{id}", get(channel::edit).post(channel::change))
        .route("/channel/{id}/test", post(channel::test))
        .route("/channel/{id}/remove", post(channel::remove))
}

impl Dashboard {
    /// The pages over this API; `public_url` is the address that people use, when it is known.
    #[must_use]
    pub fn new(api: AppState, public_url: Option<String>) -> Self {
        let inside = api::router(api.clone());
        Self { inside, api, public_url, seen: overview::Shared::default(), made: status::Made::default() }
    }

    /// The address of this server as this caller knows it, without a slash at the end.
    fn address(&self, parts: &Parts) -> String {
        if let Some(url) = &self.public_url {
            return url.trim_end_matches('/').to_owned();
        }
        let secure = parts.extensions.get::<Peer>().is_some_and(|peer| peer.secure);
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        format!("{}://{}", if secure { "https" } else { "http" }, host.unwrap_or("localhost"))
    }
}

/// Clears away what the end of the server left of work that pages had begun.
///
/// # Errors
/// The store can't read or write.
pub(crate) async fn clear_away(store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
    check::trial::forget(store, now).await
}

fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a template cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn asset(kind: &'static str, content: &'static str) -> impl IntoResponse {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    // Short: an upgraded server's pages must not wear an old sheet for long.
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("public, max-age=300"));
    (headers, content)
}
