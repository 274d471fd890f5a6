//! How people get in and out: by a token, or by a link that works once; then by a session's cookie.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};
use secrecy::SecretString;
use serde::Deserialize;
use vilicus_core::result::error_chain;
use vilicus_store::inventory::{Role, Token, TokenPurpose};
use vilicus_store::{Change, Input};

use super::{Dashboard, form, render};
use crate::http::auth::{self, authenticate};
use crate::http::{Peer, Problem};
use crate::tokens::{self, TokenError};
use crate::users;

const USED_LINK: &str =
    "This link was used already, or is older than an hour. Make another with: vilicus-server login-link";
const WRONG_TOKEN: &str = "The token is not valid; it may be mistyped, expired or revoked.";
const WRONG_PASSWORD: &str = "The name and the password do not belong together.";
/// The longest token that is looked at.
const LONGEST_TOKEN: usize = 500;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    problem: Option<&'a str>,
    /// Where they wanted to go.
    next: &'a str,
}

/// What a login link carries.
#[derive(Debug, Deserialize)]
pub(super) struct Link {
    code: Option<String>,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Shown {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    token: String,
    /// Where they wanted to go.
    #[serde(default)]
    next: String,
}

/// The page that asks for a token.
pub(super) fn ask(status: StatusCode, problem: Option<&str>, next: &str) -> Response {
    let next = if form::is_here(next) { next } else { "/" };
    render(status, &LoginPage { problem, next })
}

/// `GET /login`: the form, or with `?code=` the end of a login link.
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    Query(link): Query<Link>,
    parts: Parts,
) -> Response {
    // A HEAD is somebody's preview of the link and must not use it up.
    match link.code.filter(|_| parts.method == Method::GET) {
        Some(code) => enter(&dashboard, &parts, &code, &[TokenPurpose::Login], "/").await,
        None => ask(StatusCode::OK, None, "/"),
    }
}

/// `POST /login`: someone shows a name and a password, or a token.
pub(super) async fn by_form(
    State(dashboard): State<Dashboard>,
    parts: Parts,
    shown: Form<Shown>,
) -> Response {
    if comes_from_elsewhere(&parts.headers) {
        return ask(
            StatusCode::FORBIDDEN,
            Some("The form was sent by another page. Log in here."),
            &shown.next,
        );
    }
    if !shown.name.trim().is_empty() {
        return by_password(&dashboard, &parts, &shown).await;
    }
    enter(&dashboard, &parts, shown.token.trim(), &[TokenPurpose::Api, TokenPurpose::Login], &shown.next)
        .await
}

/// A browser always says where a form comes from; what says nothing is no browser, and nobody's session is at stake.
fn comes_from_elsewhere(headers: &HeaderMap) -> bool {
    let says = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    says && !auth::is_same_origin(headers)
}

async fn by_password(dashboard: &Dashboard, parts: &Parts, shown: &Shown) -> Response {
    let peer = parts.extensions.get::<Peer>().copied().unwrap_or(Peer::LOCAL);
    // What is longer is nobody's password; it is not worth the work.
    let password: SecretString =
        shown.password.chars().take(users::LONGEST_PASSWORD + 1).collect::<String>().into();
    match users::log_in(&dashboard.api, peer, shown.name.trim(), &password).await {
        Ok(user) => begin(dashboard, &user, peer, &shown.next).await,
        Err(refused) => refuse(refused, WRONG_PASSWORD, &shown.next),
    }
}

async fn enter(
    dashboard: &Dashboard,
    parts: &Parts,
    shown: &str,
    purposes: &[TokenPurpose],
    next: &str,
) -> Response {
    let peer = parts.extensions.get::<Peer>().copied().unwrap_or(Peer::LOCAL);
    let shown: SecretString = shown.chars().take(LONGEST_TOKEN).collect::<String>().into();
    match auth::take_token(&dashboard.api, peer, &shown, purposes).await {
        Ok(token) if token.role >= Role::Viewer => begin(dashboard, &token, peer, next).await,
        Ok(_) => ask(StatusCode::FORBIDDEN, Some("This token may not look at the dashboard."), next),
        Err(refused) if purposes == [TokenPurpose::Login] => refuse(refused, USED_LINK, next),
        Err(refused) => refuse(refused, WRONG_TOKEN, next),
    }
}

fn refuse(problem: Problem, unauthorized: &str, next: &str) -> Response {
    let refused = problem.into_response();
    let words = match refused.status() {
        StatusCode::UNAUTHORIZED => unauthorized,
        StatusCode::TOO_MANY_REQUESTS => "Too many attempts from this address have failed. Wait a minute.",
        _ => "The store cannot be read now. Try again.",
    };
    let mut response = ask(refused.status(), Some(words), next);
    if let Some(wait) = refused.headers().get(header::RETRY_AFTER) {
        response.headers_mut().insert(header::RETRY_AFTER, wait.clone());
    }
    response
}

async fn begin(dashboard: &Dashboard, token: &Token, peer: Peer, next: &str) -> Response {
    let (store, now) = (dashboard.api.store(), dashboard.api.clock().now());
    let session = match tokens::begin_session(store.as_ref(), dashboard.api.random(), token, now).await {
        Ok(session) => session,
        Err(error) => {
            tracing::warn!(error = error_chain(&error), token = token.name, "no session could be begun");
            return ask(
                StatusCode::SERVICE_UNAVAILABLE,
                Some("No session could be begun now. Try again."),
                next,
            );
        }
    };
    let next = match first_steps(dashboard, token).await {
        true => "/welcome",
        false if form::is_here(next) => next,
        false => "/",
    };
    let mut response = Redirect::to(next).into_response();
    if let Some(cookie) = auth::begin_session(&session, peer.secure) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Whether it is an administrator's first time here: nobody can log in by name yet.
async fn first_steps(dashboard: &Dashboard, token: &Token) -> bool {
    let by_link = token.purpose == TokenPurpose::Login && token.role == Role::Admin;
    // A store that cannot be read shows so on the next page.
    by_link && !users::are_there_any(dashboard.api.store().as_ref()).await.unwrap_or(true)
}

/// `POST /logout`: the session ends, here and in the browser.
pub(super) async fn out(State(dashboard): State<Dashboard>, parts: Parts) -> Response {
    if let Ok(caller) = authenticate(&parts, &dashboard.api).await
        && caller.token().purpose == TokenPurpose::Session
    {
        let change = Change::DeleteToken(caller.token().id);
        let input = Input::Change { change, by: caller.name() };
        if let Err(error) = dashboard.api.store().commit(dashboard.api.clock().now(), vec![input]).await {
            tracing::warn!(
                error = error_chain(&error),
                "the session could not be removed; it ends by itself"
            );
        }
    }
    let mut response = Redirect::to("/login").into_response();
    response.headers_mut().insert(header::SET_COOKIE, auth::end_session());
    response
}

/// `POST /login/link`: an admin, as the server's own command line, makes a link for another who is locked out.
pub(super) async fn link(State(dashboard): State<Dashboard>, parts: Parts) -> Result<Response, Problem> {
    let caller = authenticate(&parts, &dashboard.api).await?;
    if caller.role() != Role::Admin {
        return Err(Problem::forbidden("this needs the role admin"));
    }
    let (store, now) = (dashboard.api.store(), dashboard.api.clock().now());
    let path = tokens::login_link(store.as_ref(), dashboard.api.random(), &caller.name(), now).await;
    let path = path.map_err(|error| match error {
        TokenError::Store(error) => Problem::from(error),
        TokenError::Random(error) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    })?;
    let url = format!("{}{path}", dashboard.address(&parts));
    Ok(axum::Json(serde_json::json!({ "url": url, "path": path })).into_response())
}
