//! Planned maintenance: what is planned, a form with a preview of when it will be and what it is about, and the ends.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use vilicus_core::route::{Matcher, all_match};
use vilicus_core::schedule::{Recurrence, Window};
use vilicus_core::{Millis, Timestamp};
use vilicus_store::query::{CheckFilter, Page};

use super::form::{self, Fields, after, back, field};
use super::inside::{Inside, Refused};
use super::visitor::Visitor;
use super::wire::{self, List};
use super::words::{age, visible};
use super::{Dashboard, render};
use crate::availability::labels_of;

/// So many coming windows are previewed.
const PREVIEWED: usize = 5;
/// So many checks are named in a preview.
const NAMED: usize = 20;

/// A downtime, as the API tells it.
#[derive(Debug, Deserialize)]
struct Downtime {
    id: u64,
    r#match: Vec<String>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    schedule: Option<String>,
    comment: Option<String>,
    by: Option<String>,
    active: bool,
    managed_by: Option<String>,
    next: Option<Window>,
}

/// A downtime in the list.
struct Line {
    id: u64,
    class: &'static str,
    word: &'static str,
    about: String,
    when: String,
    comment: String,
}

impl Line {
    fn new(downtime: &Downtime, now: Timestamp) -> Self {
        let over = downtime.schedule.is_none() && downtime.end.is_some_and(|end| end <= now);
        let (class, word) = match (downtime.active, over) {
            (true, _) => ("unknown", "active"),
            (false, true) => ("pending", "over"),
            (false, false) => ("pending", "planned"),
        };
        let ends =
            downtime.end.filter(|end| *end > now).map(|end| format!(", ends in {}", age(end.since(now))));
        let next = downtime.next.map(|next| format!(", next {}", next.start));
        let when = match (&downtime.schedule, downtime.start, downtime.end) {
            (Some(schedule), ..) => format!("{schedule}{}", next.unwrap_or_default()),
            (None, Some(start), Some(end)) => format!("{start} to {end}{}", ends.unwrap_or_default()),
            (None, ..) => ends.unwrap_or_default(),
        };
        let by = downtime.by.as_deref().or(downtime.managed_by.as_deref()).unwrap_or_default();
        let comment = [by, downtime.comment.as_deref().unwrap_or_default()];
        let comment: Vec<String> = comment.into_iter().filter(|text| !text.is_empty()).map(visible).collect();
        let about = match downtime.r#match.is_empty() {
            true => "every check".to_owned(),
            false => visible(&downtime.r#match.join(", ")),
        };
        Self { id: downtime.id, class, word, about, when: visible(&when), comment: comment.join(": ") }
    }
}

/// What is filled in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filled {
    matchers: String,
    start: String,
    end: String,
    r#for: String,
    schedule: String,
    duration: String,
    comment: String,
    preview: String,
}

/// When it will be, and what it is about.
#[derive(Debug, Default)]
struct Preview {
    windows: Vec<Window>,
    checks: Vec<String>,
    more: usize,
}

#[derive(Template)]
#[template(path = "downtimes.html")]
struct DowntimesPage {
    visitor: Visitor,
    lines: Vec<Line>,
    filled: Filled,
    preview: Option<Preview>,
    problem: Option<String>,
}

/// `GET /downtime`, with what is filled in so far and to be previewed.
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    Query(filled): Query<Filled>,
) -> Response {
    let looked = match filled.preview.is_empty() {
        true => Ok(None),
        false => filled.preview(&dashboard).await.map(Some),
    };
    match looked {
        Ok(preview) => show(&dashboard, visitor, &inside, filled, preview, None).await,
        Err(refused) => show(&dashboard, visitor, &inside, filled, None, Some(refused)).await,
    }
}

async fn show(
    dashboard: &Dashboard,
    visitor: Visitor,
    inside: &Inside,
    filled: Filled,
    preview: Option<Preview>,
    refused: Option<Refused>,
) -> Response {
    let now = dashboard.api.clock().now();
    let mut downtimes = match inside.get::<List<Downtime>>("/api/v1/downtime/?limit=1000").await {
        Ok(downtimes) => downtimes.objects,
        Err(refused) => return form::refuse(&refused, "/"),
    };
    downtimes.sort_by_key(|downtime| (!downtime.active, std::cmp::Reverse(downtime.id)));
    let lines = downtimes.iter().map(|downtime| Line::new(downtime, now)).collect();
    let problem = refused.as_ref().map(|refused| visible(&refused.words));
    let status = refused.map_or(StatusCode::OK, |refused| refused.status);
    render(status, &DowntimesPage { visitor, lines, filled, preview, problem })
}

/// `POST /downtime`
pub(super) async fn create(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    axum::Form(filled): axum::Form<Filled>,
) -> Response {
    let made = match filled.body(dashboard.api.clock().now()) {
        Ok(body) => inside.send(Method::POST, "/api/v1/downtime/", Some(&body)).await,
        Err(refused) => Err(refused),
    };
    match made {
        Ok(made) => Redirect::to(&format!("/downtime?done=downtime&of={}", made["id"])).into_response(),
        Err(refused) => show(&dashboard, visitor, &inside, filled, None, Some(refused)).await,
    }
}

impl Filled {
    fn matchers(&self) -> Vec<&str> {
        self.matchers.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
    }

    /// The downtime, as the API wants it.
    fn body(&self, now: Timestamp) -> Result<Value, Refused> {
        let mut body = Map::new();
        body.insert("match".to_owned(), self.matchers().into());
        let fields = [
            ("start", &self.start),
            ("end", &self.end),
            ("schedule", &self.schedule),
            ("duration", &self.duration),
            ("comment", &self.comment),
        ];
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.trim().is_empty()) {
            body.insert(name.to_owned(), value.trim().into());
        }
        if let Some(span) = span(&self.r#for)? {
            let start = self.start.trim().parse().unwrap_or(now);
            body.insert("end".to_owned(), json!(start.after(span)));
        }
        Ok(body.into())
    }

    async fn preview(&self, dashboard: &Dashboard) -> Result<Preview, Refused> {
        let now = dashboard.api.clock().now();
        let windows = match self.schedule.trim() {
            "" => self.once(now)?.into_iter().collect(),
            schedule => coming(schedule, span(&self.duration)?, now)?,
        };
        let matchers = self.matchers().into_iter().map(str::parse::<Matcher>).collect::<Result<Vec<_>, _>>();
        let matchers = matchers.map_err(|error| mistaken(&error.to_string()))?;
        let checks = dashboard.api.store().checks(&CheckFilter::default(), Page::ALL).await;
        let checks = checks.map_err(|_| Refused {
            status: StatusCode::SERVICE_UNAVAILABLE,
            words: "the store cannot be read now".to_owned(),
        })?;
        let mut names: Vec<String> = checks
            .objects
            .iter()
            .filter(|view| all_match(&matchers, &labels_of(view)))
            .map(|view| visible(&format!("{} / {}", view.agent.name, view.check.name)))
            .collect();
        names.sort();
        let more = names.len().saturating_sub(NAMED);
        names.truncate(NAMED);
        Ok(Preview { windows, checks: names, more })
    }

    fn once(&self, now: Timestamp) -> Result<Option<Window>, Refused> {
        let moment = |text: &str| match text.trim() {
            "" => Ok(None),
            text => text.parse::<Timestamp>().map(Some).map_err(|error| mistaken(&error.to_string())),
        };
        let start = moment(&self.start)?.unwrap_or(now);
        let end = match span(&self.r#for)? {
            Some(span) => Some(start.after(span)),
            None => moment(&self.end)?,
        };
        Ok(end.map(|end| Window { start, end }))
    }
}

fn coming(schedule: &str, duration: Option<Millis>, now: Timestamp) -> Result<Vec<Window>, Refused> {
    let recurrence =
        Recurrence::parse(schedule, duration, None).map_err(|error| mistaken(&error.to_string()))?;
    let first = recurrence.window_at(now).or_else(|| recurrence.next_window(now));
    let next = |last: &Window| recurrence.next_window(last.end.before(Millis::new(1)));
    Ok(std::iter::successors(first, next).take(PREVIEWED).collect())
}

fn span(text: &str) -> Result<Option<Millis>, Refused> {
    match text.trim() {
        "" => Ok(None),
        text => match text.parse::<Millis>() {
            Ok(span) if span > Millis::ZERO => Ok(Some(span)),
            _ => Err(mistaken(&format!("'{text}' is not a time: write it as 30m, 2h or 1d"))),
        },
    }
}

fn mistaken(words: &str) -> Refused {
    Refused { status: StatusCode::UNPROCESSABLE_ENTITY, words: words.to_owned() }
}

/// `POST /check/{id}/downtime`: from now on for a while.
pub(super) async fn begin(
    State(dashboard): State<Dashboard>,
    inside: Inside,
    Path(id): Path<u64>,
    fields: Fields,
) -> Response {
    let home = format!("/check/{id}");
    match set(&dashboard, &inside, id, &fields).await {
        Ok(downtime) => after(Ok(Value::Null), back(&fields, &home), "downtime", downtime),
        Err(refused) => form::refuse(&refused, back(&fields, &home)),
    }
}

async fn set(dashboard: &Dashboard, inside: &Inside, check: u64, fields: &Fields) -> Result<u64, Refused> {
    let check: wire::Check = inside.get(&format!("/api/v1/check/{check}/")).await?;
    let agent: wire::Agent = inside.get(&check.agent).await?;
    let filled = Filled {
        matchers: format!("agent={}\ncheck={}", agent.name, check.name),
        r#for: field(fields, "for").unwrap_or("1h").to_owned(),
        comment: field(fields, "comment").unwrap_or_default().to_owned(),
        ..Filled::default()
    };
    let body = filled.body(dashboard.api.clock().now())?;
    let made = inside.send(Method::POST, "/api/v1/downtime/", Some(&body)).await?;
    Ok(made["id"].as_u64().unwrap_or_default())
}

/// `POST /downtime/{id}/remove`
pub(super) async fn remove(inside: Inside, Path(id): Path<u64>, fields: Fields) -> Response {
    let done = inside.send(Method::DELETE, &format!("/api/v1/downtime/{id}/"), None).await;
    after(done, back(&fields, "/downtime"), "downtime-removed", id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    #[test]
    fn the_next_windows_are_told_one_after_the_other() {
        let windows = coming("Sun 02:00-04:00 Europe/Berlin", None, NOW).unwrap();
        assert_eq!(windows.len(), PREVIEWED);
        assert!(windows.windows(2).all(|pair| pair[0].end < pair[1].start));
        let always = coming("0 0 * * *", Some(Millis::from_hours(24)), NOW).unwrap();
        assert_eq!(always.len(), 1, "windows that touch are one");
        assert!(always[0].start <= NOW, "what holds already is told, too");
        assert!(coming("soon", None, NOW).is_err());
    }

    #[test]
    fn a_span_from_now_on_is_an_end() {
        let filled =
            Filled { matchers: " agent=web-1 \n\n".to_owned(), r#for: "1h".to_owned(), ..Filled::default() };
        let body = filled.body(NOW).unwrap();
        assert_eq!(body, json!({"match": ["agent=web-1"], "end": NOW.after(Millis::from_hours(1))}));
        assert!(Filled { r#for: "-1h".to_owned(), ..Filled::default() }.body(NOW).is_err());
        assert!(Filled { r#for: "0s".to_owned(), ..Filled::default() }.body(NOW).is_err());
    }
}
