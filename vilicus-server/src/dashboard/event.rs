//! The trail: what happened, newest first, with who changed what.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use vilicus_core::Timestamp;

use super::inside::Inside;
use super::visitor::Visitor;
use super::wire::{self, List};
use super::words::{Age, Mark, visible};
use super::{Dashboard, form, render};
use crate::api::EVENT_TYPES;

/// So many events are on a page.
const SHOWN: usize = 100;

/// Something that happened.
pub(super) struct EventView {
    pub(super) at: Age,
    pub(super) mark: Option<Mark>,
    pub(super) kind: String,
    pub(super) summary: String,
    pub(super) check: Option<u64>,
}

impl EventView {
    pub(super) fn new(event: &wire::Event, now: Timestamp) -> Self {
        Self {
            at: Age::since(event.at, now),
            mark: event.status.map(|status| Mark::of(Some(status))),
            kind: visible(&event.r#type.replace('_', " ")),
            summary: visible(&event.summary),
            check: event.check.as_deref().map(wire::id_of),
        }
    }
}

/// Which events are wanted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    check: Option<u64>,
    agent: Option<u64>,
    #[serde(default)]
    r#type: String,
    before: Option<u64>,
}

impl Wanted {
    fn fields(&self) -> Vec<String> {
        let check = self.check.map(|id| format!("check={id}"));
        let agent = self.agent.map(|id| format!("agent={id}"));
        // Only known words go on into an address.
        let kind =
            EVENT_TYPES.into_iter().find(|kind| *kind == self.r#type).map(|kind| format!("type={kind}"));
        check.into_iter().chain(agent).chain(kind).collect()
    }
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    visitor: Visitor,
    lines: Vec<EventView>,
    wanted: Wanted,
    older: Option<String>,
}

/// `GET /event`
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    Query(wanted): Query<Wanted>,
) -> Response {
    let now = dashboard.api.clock().now();
    let mut fields = wanted.fields();
    fields.push(format!("limit={SHOWN}"));
    fields.extend(wanted.before.map(|before| format!("before={before}")));
    let path = format!("/api/v1/event/?{}", fields.join("&"));
    let events = match inside.get::<List<wire::Event>>(&path).await {
        Ok(events) => events,
        Err(refused) => return form::refuse(&refused, "/"),
    };
    let older = events.older().map(|before| {
        let mut fields = wanted.fields();
        fields.push(format!("before={before}"));
        format!("/event?{}", fields.join("&"))
    });
    let lines = events.objects.iter().map(|event| EventView::new(event, now)).collect();
    render(StatusCode::OK, &EventPage { visitor, lines, wanted, older })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hear_of_every_type() {
        let script = include_str!("assets/live.js");
        for kind in EVENT_TYPES {
            assert!(script.contains(&format!("\"{kind}\"")), "live.js does not listen to {kind}");
        }
    }
}
