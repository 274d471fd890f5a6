//! What the server was told at its start, and the whole configuration as a file. Settings are in its own file and its
//! environment, so that a page that was taken over cannot change where messages go or who may connect.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{StatusCode, header};
use serde_json::{Map, Value};

use super::history::amount;
use super::inside::{Inside, Refused};
use super::visitor::Visitor;
use super::words::visible;
use super::{Dashboard, form, render};
use crate::apply::export::to_toml;

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    visitor: Visitor,
    facts: Vec<(&'static str, String)>,
    kinds: String,
    notifiers: String,
}

/// `GET /settings`
pub(super) async fn page(State(dashboard): State<Dashboard>, visitor: Visitor, parts: Parts) -> Response {
    if !visitor.administers() {
        let words = "this needs the role admin".to_owned();
        return form::refuse(&Refused { status: StatusCode::FORBIDDEN, words }, "/");
    }
    let (limits, size) = (dashboard.api.limits(), |bytes: usize| amount(bytes as f64, "B"));
    let facts = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("address (public_url)", visible(&dashboard.address(&parts))),
        ("a request’s body, at most", size(limits.body_bytes)),
        ("results of a batch, at most", limits.batch_results.to_string()),
        ("output of a result, at most", size(limits.output_bytes)),
        ("metrics of a result, at most", limits.metrics.to_string()),
        ("clocks of agents may be ahead by", limits.clock_skew.to_string()),
        ("connections, at most", limits.connections.to_string()),
        ("connections of one address, at most", limits.connections_per_address.to_string()),
    ];
    let kinds = dashboard.api.kinds().names().collect::<Vec<_>>().join(", ");
    let notifiers = dashboard.api.notifiers().names().collect::<Vec<_>>().join(", ");
    render(StatusCode::OK, &SettingsPage { visitor, facts, kinds, notifiers })
}

/// `GET /settings/vilicus.toml`: everything that is configured, as `apply` would read it.
pub(super) async fn export(_visitor: Visitor, inside: Inside) -> Response {
    let exported = match inside.get::<Map<String, Value>>("/api/v1/apply/").await {
        Ok(exported) => exported,
        Err(refused) => return form::refuse(&refused, "/settings"),
    };
    match to_toml(&exported) {
        Ok(text) => {
            let headers = [
                (header::CONTENT_TYPE, "application/toml; charset=utf-8"),
                (header::CONTENT_DISPOSITION, "attachment; filename=\"vilicus.toml\""),
            ];
            (headers, text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the configuration cannot be written as TOML");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
