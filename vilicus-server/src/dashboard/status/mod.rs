//! Status pages for everybody: only what an operator published, by a tag of the check, and of it only its name, its
//! confirmed state, how long it was available, and what an acknowledgement says that was made for everybody. No output, no
//! host, no address.
//!
//! A check with the tag `status=shop` is on the page `/status/shop`, with `status=shop/Payments` in its group
//! `Payments` there. A downtime that is made for such a tag (`tag=~status=shop.*`) is told there with its comment. Tags
//! that agents bring along do not count.

mod badge;
mod day;
mod feed;
mod incident;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse as _, Response};
use http::{StatusCode, header};
use vilicus_core::downtime::{Downtime, When};
use vilicus_core::schedule::Window;
use vilicus_core::{Millis, Status, Timestamp};
use vilicus_store::StoreError;
use vilicus_store::inventory::Origin;
use vilicus_store::query::{CheckFilter, CheckView, Page};

pub(super) use self::badge::badge;
use self::day::Day;
pub(super) use self::feed::feed;
use super::Dashboard;
use super::words::visible;
use crate::availability;

/// What a tag that publishes begins with.
const TAG: &str = "status=";
/// So many days are shown.
const DAYS: u64 = 90;
/// A page that was made is good for so long: it costs the same whether one looks or a thousand.
const FRESH: Millis = Millis::from_secs(15);
/// What is planned is told so long before.
const AHEAD: Millis = Millis::from_hours(7 * 24);

/// Pages that were made lately.
#[derive(Debug, Clone, Default)]
pub(super) struct Made(Arc<Mutex<HashMap<String, (Timestamp, String)>>>);

impl Made {
    fn get(&self, name: &str, now: Timestamp) -> Option<String> {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.get(name).filter(|(at, _)| now < at.after(FRESH)).map(|(_, html)| html.clone())
    }

    fn keep(&self, name: &str, now: Timestamp, html: &str) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, (at, _)| now < at.after(FRESH));
        made.insert(name.to_owned(), (now, html.to_owned()));
    }
}

/// The groups of a page that this check is published in; the empty text for none.
fn groups<'a>(view: &'a CheckView, page: &'a str) -> impl Iterator<Item = &'a str> {
    let own = if view.check.origin == Origin::Server { view.check.tags.as_slice() } else { &[] };
    own.iter().filter_map(move |tag| {
        let (name, group) = split(tag)?;
        (name == page).then_some(group)
    })
}

/// The page and the group of a tag that publishes.
pub(super) fn split(tag: &str) -> Option<(&str, &str)> {
    let name = tag.strip_prefix(TAG)?;
    Some(name.split_once('/').unwrap_or((name, "")))
}

/// Whether a check is published anywhere.
fn is_public(view: &CheckView) -> bool {
    view.check.origin == Origin::Server && view.check.tags.iter().any(|tag| tag.starts_with(TAG))
}

/// A state as everybody understands it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word {
    class: &'static str,
    symbol: &'static str,
    text: &'static str,
}

impl Word {
    fn of(view: &CheckView) -> Self {
        if view.downtime_until.is_some() {
            return Self { class: "pending", symbol: "⚙", text: "Maintenance" };
        }
        Self::of_status(view.state.hard_status)
    }

    fn of_status(status: Option<Status>) -> Self {
        match status {
            Some(Status::Ok) => Self { class: "ok", symbol: "✔", text: "Operational" },
            Some(Status::Warning) => Self { class: "warning", symbol: "▲", text: "Degraded" },
            Some(Status::Critical) => Self { class: "critical", symbol: "✖", text: "Down" },
            Some(Status::Unknown) | None => Self { class: "unknown", symbol: "?", text: "Not known" },
        }
    }
}

/// A check on the page.
struct Line {
    name: String,
    word: Word,
    percent: String,
    days: Vec<Day>,
}

/// What is told in words: what was planned, and what somebody says of an incident.
struct Note {
    title: String,
    when: String,
    comment: String,
}

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    name: String,
    headline: Word,
    groups: Vec<(String, Vec<Line>)>,
    notes: Vec<Note>,
    /// What was said of incidents that are over.
    past: Vec<Note>,
    now: Timestamp,
}

/// `GET /status/{page}`
pub(super) async fn page(State(dashboard): State<Dashboard>, Path(name): Path<String>) -> Response {
    let now = dashboard.api.clock().now();
    if let Some(html) = dashboard.made.get(&name, now) {
        return shown(html);
    }
    match make(&dashboard, &name, now).await {
        Ok(Some(page)) => match page.render() {
            Ok(html) => {
                dashboard.made.keep(&name, now, &html);
                shown(html)
            }
            Err(error) => {
                tracing::error!(%error, "a status page cannot be rendered");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        },
        Ok(None) => (StatusCode::NOT_FOUND, "Nothing is published here.\n").into_response(),
        Err(error) => unreadable(&error),
    }
}

fn shown(html: String) -> Response {
    ([(header::CACHE_CONTROL, "public, max-age=15")], Html(html)).into_response()
}

fn unreadable(error: &StoreError) -> Response {
    tracing::error!(%error, "a status page cannot be made");
    (StatusCode::SERVICE_UNAVAILABLE, "The store cannot be read now.\n").into_response()
}

/// The checks of this page.
async fn published(dashboard: &Dashboard, name: &str) -> Result<Vec<CheckView>, StoreError> {
    let mut views = dashboard.api.store().checks(&CheckFilter::default(), Page::ALL).await?.objects;
    views.retain(|view| groups(view, name).next().is_some());
    Ok(views)
}

async fn make(dashboard: &Dashboard, name: &str, now: Timestamp) -> Result<Option<StatusPage>, StoreError> {
    let views = published(dashboard, name).await?;
    if views.is_empty() {
        return Ok(None);
    }
    let span = Window { start: now.before(Millis::from_hours(24 * DAYS)), end: now };
    let mut lines: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for view in &views {
        for group in groups(view, name) {
            let line = line(dashboard, view, span).await?;
            lines.entry(visible(group)).or_default().push(line);
        }
    }
    let mut groups: Vec<_> = lines.into_iter().collect();
    groups.iter_mut().for_each(|(_, lines)| lines.sort_by(|one, other| one.name.cmp(&other.name)));
    let downtimes = dashboard.api.store().downtimes().await?;
    let planned = downtimes.iter().filter_map(|downtime| planned(downtime, name, now));
    let notes = views.iter().filter_map(incident::now).chain(planned).collect();
    let past = incident::past(dashboard, &views, now).await?;
    Ok(Some(StatusPage { name: visible(name), headline: headline(&views), groups, notes, past, now }))
}

async fn line(dashboard: &Dashboard, view: &CheckView, span: Window) -> Result<Line, StoreError> {
    let trail = availability::read(dashboard.api.store().as_ref(), view, span).await?;
    let percent = trail.course.durations(span, &trail.planned).outside.percent();
    Ok(Line {
        name: visible(&view.check.name),
        word: Word::of(view),
        percent: percent.map_or_else(|| "no data yet".to_owned(), |percent| format!("{percent:.2} %")),
        days: day::days(&trail, span),
    })
}

/// The worst of all that is not planned.
fn headline(views: &[CheckView]) -> Word {
    let worst = views.iter().filter(|view| view.downtime_until.is_none()).map(|view| view.state.hard_status);
    match worst.flatten().max() {
        Some(Status::Ok) => Word { text: "Everything works", ..Word::of_status(Some(Status::Ok)) },
        Some(Status::Warning) => {
            Word { text: "Something is slow or degraded", ..Word::of_status(Some(Status::Warning)) }
        }
        Some(Status::Critical) => {
            Word { text: "Something is down", ..Word::of_status(Some(Status::Critical)) }
        }
        other => Word::of_status(other),
    }
}

/// A downtime that was made for this page.
fn planned(downtime: &Downtime, page: &str, now: Timestamp) -> Option<Note> {
    let is_for = |matcher: &vilicus_core::route::Matcher| {
        let text = matcher.to_string();
        let all_groups = text.strip_prefix("tag=~").and_then(|regex| regex.strip_prefix(TAG));
        text.strip_prefix("tag=").and_then(split).is_some_and(|(name, _)| name == page)
            || all_groups.is_some_and(|regex| regex.starts_with(page))
    };
    if !downtime.matchers.iter().any(is_for) {
        return None;
    }
    let window = match &downtime.when {
        When::Once(window) => *window,
        When::Recurring(again) => again.window_at(now).or_else(|| again.next_window(now))?,
    };
    let (active, soon) = (window.start <= now, window.start <= now.after(AHEAD));
    (soon && now < window.end).then(|| Note {
        title: if active { "Maintenance now" } else { "Planned maintenance" }.to_owned(),
        when: format!("{} to {}", window.start, window.end),
        comment: visible(&downtime.comment),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_the_page_and_the_group() {
        assert_eq!(split("status=shop"), Some(("shop", "")));
        assert_eq!(split("status=shop/Card / cash"), Some(("shop", "Card / cash")));
        assert_eq!(split("shop"), None);
    }

    #[test]
    fn a_page_is_made_once_for_many() {
        let (made, now) = (Made::default(), Timestamp::from_millis(1_000_000));
        made.keep("shop", now, "<p>");
        assert_eq!(made.get("shop", now.after(Millis::from_secs(14))).as_deref(), Some("<p>"));
        assert_eq!(made.get("shop", now.after(FRESH)), None);
        assert_eq!(made.get("other", now), None);
    }
}
