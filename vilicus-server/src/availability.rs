//! What the audit trail says of a check over a span: what it was when, when its agent was DOWN, what people said, and
//! when its silence was planned. The counting is [`vilicus_core::availability`]'s.
//!
//! | what | from where |
//! |---|---|
//! | the confirmed status | its changes of state; before the first within the span, the last before it |
//! | that nobody knew | changes that silence made (stale), and the spans in which its agent was DOWN |
//! | planned silences | the windows of the downtimes that are about it now, from when each was made; flexible ones as they began |
//!
//! Deliberately absent: downtimes that were removed since. What they were about is not in the trail.

use std::sync::Arc;

use vilicus_core::acknowledgement::AcknowledgementEnd;
use vilicus_core::availability::Course;
use vilicus_core::event::{Cause, Happening};
use vilicus_core::judge::freshness::Contact;
use vilicus_core::judge::telling::Watched;
use vilicus_core::replay::{Act, Away};
use vilicus_core::schedule::Window;
use vilicus_core::{Acknowledgement, Downtime, Event, Labels, Millis, Status, Timestamp};
use vilicus_store::inventory::AGENT_KIND;
use vilicus_store::query::{CheckFilter, CheckView, EventQuery, Order, Page};
use vilicus_store::{Store, StoreError};

/// Events are read so many at a time.
const PAGE: usize = 1_000;
/// Outside the span, so many pages at most are looked through for a change.
const MOST_PAGES: usize = 20;
/// The most windows of one recurring downtime that are counted.
const MOST_WINDOWS: usize = 100_000;

/// What the trail says of a check over a span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trail {
    /// What it was when.
    pub course: Course,
    /// What people said of its problems, oldest first.
    pub acts: Vec<Act>,
    /// When its agent was DOWN, oldest first.
    pub away: Vec<Away>,
    /// Its planned silences, in any order; they may overlap.
    pub planned: Vec<Window>,
}

/// Reads what the trail says of this check over `span`.
///
/// # Errors
/// The store can't read.
pub async fn read(store: &dyn Store, view: &CheckView, span: Window) -> Result<Trail, StoreError> {
    let downtimes = store.downtimes().await?;
    // A flexible downtime that began before the span may reach into it.
    let longest = downtimes.iter().filter_map(|downtime| downtime.flexible).max().unwrap_or(Millis::ZERO);
    let wide = Window { start: span.start.before(longest), end: span.end };
    let events = Events::of(store, view, wide).await?;
    let away = away(store, view, wide).await?;
    let mut course = events.course();
    if view.check.watched() == Watched::Check {
        away.iter().for_each(|away| course.blind(Window { start: away.down, end: away.until }));
    }
    let mut planned = events.flexible();
    for downtime in downtimes {
        if downtime.flexible.is_none() && downtime.is_about(&labels_of(view)) {
            planned.extend(windows_of(&downtime, span));
        }
    }
    Ok(Trail { course, acts: events.acts(), away, planned })
}

/// What matchers look at in this check.
#[must_use]
pub fn labels_of(view: &CheckView) -> Labels<'_> {
    Labels {
        agent: &view.agent.name,
        check: &view.check.name,
        kind: &view.check.kind,
        status: view.state.hard_status,
        agent_tags: &view.agent.tags,
        check_tags: &view.check.tags,
    }
}

/// The events of one check over a span, in the order in which they were recorded.
#[derive(Debug)]
struct Events {
    start: Timestamp,
    /// The last confirmed change before the span.
    before: Option<Arc<Event>>,
    /// What it was at the start of the span when the trail no longer holds that change.
    was: Option<Status>,
    /// All within the span.
    within: Vec<Arc<Event>>,
}

impl Events {
    async fn of(store: &dyn Store, view: &CheckView, span: Window) -> Result<Self, StoreError> {
        let about = EventQuery { checks: vec![view.check.id], limit: PAGE, ..EventQuery::default() };
        let earlier = EventQuery { until: Some(span.start), ..about.clone() };
        let before = first_change(store, earlier).await?;
        let later = EventQuery { since: Some(span.start), order: Order::OldestFirst, ..about };
        let was = match before {
            Some(_) => None,
            None => match first_change(store, later.clone()).await?.map(|event| event.what.clone()) {
                Some(Happening::State { change, .. }) => change.hard_from,
                _ => view.state.hard_status.filter(|_| !view.state.stale),
            },
        };
        let within = all(store, EventQuery { until: Some(span.end), ..later }).await?;
        Ok(Self { start: span.start, before, was, within })
    }

    fn course(&self) -> Course {
        let mut course = Course::default();
        if self.before.is_none() {
            course.turn(self.start, self.was);
        }
        // A change before the span that was recorded later knows more than those within.
        let first = self.before.as_ref().map(|event| event.id);
        let later = self.within.iter().filter(|event| Some(event.id) > first);
        let changes = self.before.iter().chain(later).filter_map(|event| confirmed(event));
        changes.for_each(|(at, status)| course.turn(at, status));
        course
    }

    fn acts(&self) -> Vec<Act> {
        let act = |event: &Arc<Event>| match &event.what {
            Happening::Acknowledged { by, comment, sticky, expires_at, public } => {
                let acknowledgement = Acknowledgement {
                    by: by.clone(),
                    comment: comment.clone(),
                    at: event.at,
                    sticky: *sticky,
                    expires_at: *expires_at,
                    public: *public,
                };
                Some(Act { at: event.at, acknowledgement: Some(acknowledgement) })
            }
            Happening::AcknowledgementEnded { why: AcknowledgementEnd::TakenBack, .. } => {
                Some(Act { at: event.at, acknowledgement: None })
            }
            _ => None,
        };
        self.within.iter().filter_map(act).collect()
    }

    /// The flexible downtimes that a problem of the check began.
    fn flexible(&self) -> Vec<Window> {
        let window = |event: &Arc<Event>| match event.what {
            Happening::Downtime { began: true, until: Some(end), .. } => {
                Some(Window { start: event.at, end })
            }
            _ => None,
        };
        self.within.iter().filter_map(window).collect()
    }
}

/// All events that are asked for.
async fn all(store: &dyn Store, mut query: EventQuery) -> Result<Vec<Arc<Event>>, StoreError> {
    let mut events = Vec::new();
    loop {
        let page = store.events(&query).await?;
        query.after = page.last().map(|event| event.id);
        let more = page.len() == query.limit;
        events.extend(page);
        if !more {
            return Ok(events);
        }
    }
}

/// The first confirmed change among the events that are asked for.
async fn first_change(store: &dyn Store, mut query: EventQuery) -> Result<Option<Arc<Event>>, StoreError> {
    for _ in 0..MOST_PAGES {
        let page = store.events(&query).await?;
        let last = page.last().map(|event| event.id);
        match query.order {
            Order::NewestFirst => query.before = last,
            Order::OldestFirst => query.after = last,
        }
        let more = page.len() == query.limit;
        let found = page.into_iter().find(|event| confirmed(event).is_some());
        if found.is_some() || !more {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The confirmed status that an event tells of, if it does: since when, and which; `None` when results stayed out.
fn confirmed(event: &Event) -> Option<(Timestamp, Option<Status>)> {
    match &event.what {
        Happening::State { change, cause, .. } if change.is_hard() => {
            Some((change.at, Some(change.to).filter(|_| *cause != Cause::Stale)))
        }
        _ => None,
    }
}

/// When the agent of a check was DOWN: from the trail of the agent's own check.
async fn away(store: &dyn Store, view: &CheckView, span: Window) -> Result<Vec<Away>, StoreError> {
    let (agents, kinds) = (vec![view.agent.id], vec![AGENT_KIND.to_owned()]);
    let filter = CheckFilter { agents, kinds, ..CheckFilter::default() };
    let Some(own) = store.checks(&filter, Page::ALL).await?.objects.into_iter().next() else {
        return Ok(Vec::new());
    };
    let events = Events::of(store, &own, span).await?;
    let allowed = Contact::new(own.agent.check_interval).allowed_silence();
    let mut away: Vec<Away> = Vec::new();
    for event in events.before.iter().chain(&events.within) {
        let Happening::State { change, cause, .. } = &event.what else { continue };
        match (cause, away.last_mut()) {
            (Cause::Silent, _) => {
                let (heard, down) = (change.at.before(allowed), change.at);
                away.push(Away { heard, down, until: Timestamp::MAX });
            }
            (Cause::Contact, Some(last)) => last.until = last.until.min(change.at),
            _ => {}
        }
    }
    Ok(away)
}

/// The windows of a downtime that overlap the span, from when it was made on.
fn windows_of(downtime: &Downtime, span: Window) -> impl Iterator<Item = Window> + '_ {
    let mut moment = Some(span.start.max(downtime.created_at));
    let windows = std::iter::from_fn(move || {
        let at = moment?;
        let window = match downtime.window_at(at) {
            Some(window) => Some(Window { start: at, end: window.end }),
            None => {
                let start = downtime.next_turn(at)?;
                let end = downtime.window_at(start)?.end;
                Some(Window { start, end })
            }
        };
        // A window that ends where it begins would be found for ever.
        moment = window.map(|window| window.end.max(at.after(Millis::new(1))));
        window.filter(|window| window.start < span.end)
    });
    windows.fuse().take(MOST_WINDOWS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::DowntimeId;
    use vilicus_core::downtime::When;
    use vilicus_core::schedule::Recurrence;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}:00Z").parse().unwrap()
    }

    fn downtime(when: When, created_at: Timestamp) -> Downtime {
        Downtime {
            id: DowntimeId::new(1).unwrap(),
            matchers: Vec::new(),
            when,
            flexible: None,
            comment: String::new(),
            by: "ann".to_owned(),
            created_at,
            managed_by: None,
        }
    }

    #[test]
    fn windows_are_those_that_overlap_the_span_since_the_downtime_was_made() {
        let span = Window { start: at("02T03:00"), end: at("05T00:00") };
        let daily = || When::Recurring(Recurrence::parse("02:00-04:00 UTC", None, None).unwrap());
        let once = |start, end| When::Once(Window { start: at(start), end: at(end) });
        for (when, made, expected) in [
            (
                daily(),
                "01T00:00",
                &[("02T03:00", "02T04:00"), ("03T02:00", "03T04:00"), ("04T02:00", "04T04:00")][..],
            ),
            (daily(), "04T03:30", &[("04T03:30", "04T04:00")]),
            (daily(), "09T00:00", &[]),
            (once("01T00:00", "09T00:00"), "01T00:00", &[("02T03:00", "09T00:00")]),
            (once("03T00:00", "03T01:00"), "01T00:00", &[("03T00:00", "03T01:00")]),
            (once("01T00:00", "02T03:00"), "01T00:00", &[]),
            (once("05T00:00", "06T00:00"), "01T00:00", &[]),
        ] {
            let downtime = downtime(when, at(made));
            let found: Vec<(Timestamp, Timestamp)> =
                windows_of(&downtime, span).map(|window| (window.start, window.end)).collect();
            let expected: Vec<_> = expected.iter().map(|(start, end)| (at(start), at(end))).collect();
            assert_eq!(found, expected, "{downtime:?}");
        }
    }
}
