//! What is said of incidents, for everybody: acknowledgements that were made public.

use vilicus_core::event::{Event, Happening};
use vilicus_core::{CheckId, Millis, Timestamp};
use vilicus_store::StoreError;
use vilicus_store::query::{CheckView, EventQuery, Order};

use super::Note;
use crate::dashboard::Dashboard;
use crate::dashboard::words::visible;

/// So long what was said stays on the page.
const KEPT: Millis = Millis::from_hours(14 * 24);
/// At most so many of them.
const MOST: usize = 20;

/// What somebody says of the problem that this check has now.
pub(super) fn now(view: &CheckView) -> Option<Note> {
    let said = view.state.acknowledgement.as_ref().filter(|said| said.public)?;
    Some(Note {
        title: visible(&view.check.name),
        when: said.at.to_string(),
        comment: visible(&said.comment),
    })
}

/// What was said lately, the newest first, but what still stands.
pub(super) async fn past(
    dashboard: &Dashboard,
    views: &[CheckView],
    now: Timestamp,
) -> Result<Vec<Note>, StoreError> {
    let query = EventQuery {
        checks: views.iter().map(|view| view.check.id).collect(),
        since: Some(now.before(KEPT)),
        order: Order::NewestFirst,
        limit: MOST * 50,
        ..EventQuery::default()
    };
    let events = dashboard.api.store().events(&query).await?;
    let stands = |event: &Event| {
        let view = views.iter().find(|view| Some(view.check.id) == event.check);
        view.and_then(|view| view.state.acknowledgement.as_ref()).is_some_and(|said| said.at == event.at)
    };
    let over = events.iter().filter(|event| !stands(event));
    let notes = over.filter_map(|event| {
        let comment = said(event)?;
        Some(Note { title: called(views, event.check?), when: event.at.to_string(), comment })
    });
    Ok(notes.take(MOST).collect())
}

/// The comment of an acknowledgement that was made public.
pub(super) fn said(event: &Event) -> Option<String> {
    match &event.what {
        Happening::Acknowledged { comment, public: true, .. } => Some(visible(comment)),
        _ => None,
    }
}

/// The name of a check of the page.
pub(super) fn called(views: &[CheckView], id: CheckId) -> String {
    let view = views.iter().find(|view| view.check.id == id);
    view.map(|view| visible(&view.check.name)).unwrap_or_default()
}
