//! The messages: what waits, what was sent, what was not and why, with every attempt.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use vilicus_core::Timestamp;

use super::inside::{Inside, Refused};
use super::visitor::Visitor;
use super::wire::{self, List};
use super::words::{Age, visible};
use super::{Dashboard, form, render};

/// So many messages are on a page.
const SHOWN: usize = 100;
/// The states that can be asked for.
const STATES: [&str; 5] = ["pending", "sent", "failed", "superseded", "suppressed"];

/// A message in a list.
pub(super) struct NotificationView {
    pub(super) id: u64,
    pub(super) at: Age,
    pub(super) title: String,
    pub(super) state: String,
    pub(super) class: &'static str,
    pub(super) detail: String,
}

impl NotificationView {
    pub(super) fn new(row: &wire::Notification, now: Timestamp) -> Self {
        let tried = row.tries.last().map(|last| visible(&last.detail));
        let class = match row.state.as_str() {
            "sent" => "ok",
            "failed" => "critical",
            _ => "pending",
        };
        Self {
            id: row.id,
            at: Age::since(row.created_at, now),
            title: visible(&row.title),
            state: visible(&row.state),
            class,
            detail: row.reason.as_deref().map(visible).or(tried).unwrap_or_default(),
        }
    }
}

/// Which messages are wanted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    state: String,
    before: Option<u64>,
}

impl Wanted {
    fn state(&self) -> Option<&'static str> {
        // Only known words go on into an address.
        STATES.into_iter().find(|state| *state == self.state)
    }
}

#[derive(Template)]
#[template(path = "notifications.html")]
struct NotificationsPage {
    visitor: Visitor,
    rows: Vec<NotificationView>,
    wanted: Wanted,
    older: Option<String>,
}

/// `GET /notification`
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    Query(wanted): Query<Wanted>,
) -> Response {
    let now = dashboard.api.clock().now();
    let state = wanted.state().map(|state| format!("&state={state}")).unwrap_or_default();
    let before = wanted.before.map(|before| format!("&before={before}")).unwrap_or_default();
    let path = format!("/api/v1/notification/?limit={SHOWN}{state}{before}");
    let rows = match inside.get::<List<wire::Notification>>(&path).await {
        Ok(rows) => rows,
        Err(refused) => return form::refuse(&refused, "/"),
    };
    let older = rows.older().map(|before| format!("/notification?before={before}{state}"));
    let rows = rows.objects.iter().map(|row| NotificationView::new(row, now)).collect();
    render(StatusCode::OK, &NotificationsPage { visitor, rows, wanted, older })
}

#[derive(Template)]
#[template(path = "notification.html")]
struct NotificationPage {
    visitor: Visitor,
    row: NotificationView,
    channel: String,
    channel_id: u64,
    items: Vec<String>,
    checks: Vec<u64>,
    tries: Vec<TryView>,
}

/// An attempt to deliver.
struct TryView {
    at: Timestamp,
    took_ms: u64,
    detail: String,
}

/// `GET /notification/{id}`
pub(super) async fn one(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    Path(id): Path<u64>,
) -> Response {
    match read(&inside, visitor, id, dashboard.api.clock().now()).await {
        Ok(page) => render(StatusCode::OK, &page),
        Err(refused) => form::refuse(&refused, "/notification"),
    }
}

async fn read(
    inside: &Inside,
    visitor: Visitor,
    id: u64,
    now: Timestamp,
) -> Result<NotificationPage, Refused> {
    let row: wire::Notification = inside.get(&format!("/api/v1/notification/{id}/")).await?;
    // A channel may be gone; what was sent over it is still known.
    let channel = inside.get::<wire::Named>(&row.channel).await.map(|channel| visible(&channel.name));
    let try_view =
        |one: &wire::Try| TryView { at: one.at, took_ms: one.took_ms, detail: visible(&one.detail) };
    Ok(NotificationPage {
        visitor,
        channel: channel.unwrap_or_else(|_| "a channel that is gone".to_owned()),
        channel_id: wire::id_of(&row.channel),
        items: row.items.iter().map(|item| visible(&item.title)).collect(),
        checks: row.checks.iter().map(|check| wire::id_of(check)).collect(),
        tries: row.tries.iter().map(try_view).collect(),
        row: NotificationView::new(&row, now),
    })
}
