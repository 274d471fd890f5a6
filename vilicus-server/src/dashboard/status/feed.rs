//! What a status page told lately, as RSS 2.0 (<https://www.rssboard.org/rss-specification>).

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{StatusCode, header};
use vilicus_core::event::{Event, Happening};
use vilicus_core::{CheckId, StateType};
use vilicus_store::StoreError;
use vilicus_store::query::{EventQuery, Order};

use super::{Word, incident, published, unreadable};
use crate::dashboard::Dashboard;
use crate::dashboard::words::visible;

/// So many entries are in it.
const ENTRIES: usize = 50;

#[derive(Template)]
#[template(path = "feed.xml")]
struct Feed {
    name: String,
    url: String,
    entries: Vec<Entry>,
}

struct Entry {
    id: u64,
    title: String,
    at: String,
}

/// `GET /status/{page}/feed.xml`
pub(in crate::dashboard) async fn feed(
    State(dashboard): State<Dashboard>,
    Path(name): Path<String>,
    parts: Parts,
) -> Response {
    match read(&dashboard, &name, &parts).await {
        Ok(Some(feed)) => match feed.render() {
            Ok(xml) => ([(header::CONTENT_TYPE, "application/rss+xml; charset=utf-8")], xml).into_response(),
            Err(error) => {
                tracing::error!(%error, "a feed cannot be rendered");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        },
        Ok(None) => (StatusCode::NOT_FOUND, "Nothing is published here.\n").into_response(),
        Err(error) => unreadable(&error),
    }
}

async fn read(dashboard: &Dashboard, name: &str, parts: &Parts) -> Result<Option<Feed>, StoreError> {
    let views = published(dashboard, name).await?;
    if views.is_empty() {
        return Ok(None);
    }
    let query = EventQuery {
        checks: views.iter().map(|view| view.check.id).collect(),
        order: Order::NewestFirst,
        limit: ENTRIES * 4,
        ..EventQuery::default()
    };
    let called = |id: CheckId| incident::called(&views, id);
    let events = dashboard.api.store().events(&query).await?;
    let entries = events.iter().filter_map(|event| entry(event, &called)).take(ENTRIES).collect();
    let url = format!("{}/status/{name}/", dashboard.address(parts));
    Ok(Some(Feed { name: visible(name), url, entries }))
}

/// Only what was confirmed, and neither its output nor its host; and what was said for everybody.
fn entry(event: &Event, called: &impl Fn(CheckId) -> String) -> Option<Entry> {
    let words = match &event.what {
        Happening::State { change, .. } if change.state_type == StateType::Hard && change.from.is_some() => {
            Word::of_status(Some(change.to)).text.to_owned()
        }
        _ => incident::said(event)?,
    };
    let moment = jiff::Timestamp::from_millisecond(event.at.as_millis()).ok()?;
    Some(Entry {
        id: event.id.get(),
        title: format!("{}: {words}", called(event.check?)),
        at: moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    })
}
