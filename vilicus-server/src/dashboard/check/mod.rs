//! The page of one check: what it is and why, what was measured, what happened, and what can be done.

pub(super) mod actions;
pub(super) mod edit;
pub(super) mod replay;
pub(super) mod trial;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use vilicus_core::{Millis, Timestamp};

use vilicus_store::inventory::SERVER_KINDS;

use super::event::EventView;
use super::history::{Bar, Chart, ChartPicture, Span, StripPicture, charts, metrics, rollups, strip};
use super::inside::{Inside, Refused};
use super::notification::NotificationView;
use super::visitor::Visitor;
use super::wire::{self, List, Rollup};
use super::words::{Age, Mark, age, visible};
use super::{Dashboard, demo, form, render, status};

/// The kind of checks that apps make of themselves: they run when the app says.
const APP_KIND: &str = "app";
/// So many results, events and notifications are on the page.
const SHOWN: usize = 20;
/// The most charts; a check with more metrics shows the rest when asked for.
const MOST_CHARTS: usize = 12;
/// The spans that are offered, with their words.
const RANGES: [(&str, &str); 6] =
    [("1h", "hour"), ("6h", "6 hours"), ("1d", "day"), ("7d", "week"), ("30d", "month"), ("365d", "year")];

/// Which part of the history is wanted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    range: Option<String>,
    since: Option<i64>,
    until: Option<i64>,
    /// A text in the names of the metrics that are drawn.
    #[serde(default)]
    metric: String,
}

impl Wanted {
    fn span(&self, now: Timestamp) -> Span {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since < until
        {
            return Span { since: Timestamp::from_millis(since), until: Timestamp::from_millis(until) };
        }
        let length = self.range.as_deref().and_then(|range| range.parse::<Millis>().ok());
        let length = length.filter(|length| length.get() > 0).unwrap_or(Millis::from_hours(24));
        Span { since: now.before(length), until: now }
    }

    /// Those of all metrics that are to be drawn.
    fn chosen(&self, metrics: &[(String, String)]) -> Vec<(String, String)> {
        let wanted = self.metric.trim().to_lowercase();
        let chosen = metrics.iter().filter(|(name, _)| name.to_lowercase().contains(&wanted));
        chosen.cloned().collect()
    }

    /// What links to other spans keep.
    fn kept(&self) -> String {
        match self.metric.trim() {
            "" => String::new(),
            metric => format!("&metric={}", utf8_percent_encode(metric, NON_ALPHANUMERIC)),
        }
    }

    /// Whether this range is the one that is shown.
    fn is(&self, range: &str) -> bool {
        self.since.is_none() && self.range.as_deref().unwrap_or("1d") == range
    }
}

/// A link to another span.
struct RangeLink {
    range: &'static str,
    words: &'static str,
    shown: bool,
}

#[derive(Template)]
#[template(path = "check.html")]
struct CheckPage {
    visitor: Visitor,
    check: CheckView,
    explanation: wire::Explanation,
    ranges: Vec<RangeLink>,
    earlier: (i64, i64),
    later: Option<(i64, i64)>,
    bars: Vec<Bar>,
    charts: Vec<Chart>,
    /// How many of the metrics that were asked for are not drawn.
    more_metrics: usize,
    wanted: Wanted,
    kept: String,
    availabilities: Vec<(&'static str, AvailabilityView)>,
    results: Vec<ResultView>,
    events: Vec<EventView>,
    rows: Vec<NotificationView>,
    settings: Vec<(String, String)>,
    metrics: Vec<String>,
    address: String,
    now: Timestamp,
}

/// A check in words.
struct CheckView {
    id: u64,
    agent_id: u64,
    agent: String,
    name: String,
    description: String,
    runbook_url: Option<String>,
    managed_by: Option<String>,
    mark: Mark,
    sureness: String,
    flags: Vec<String>,
    since: Option<Age>,
    last: Option<Age>,
    next: Option<String>,
    enabled: bool,
    /// Whether an agent runs it, so that it can be run now.
    runs: bool,
    is_demo: bool,
    /// Where the job of a heartbeat says that it ran.
    ping_url: Option<String>,
    /// The status page that it is on, and its group there.
    published: Option<(String, String)>,
    max_attempts: u32,
    is_problem: bool,
    acknowledged: bool,
    acknowledgement: Option<String>,
}

struct ResultView {
    at: Age,
    mark: Mark,
    output: String,
    long_output: String,
}

struct AvailabilityView {
    percent: String,
    words: String,
}

/// `GET /check/{id}`
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    Path(id): Path<u64>,
    Query(wanted): Query<Wanted>,
    parts: Parts,
) -> Response {
    let now = dashboard.api.clock().now();
    match read(&inside, visitor, id, wanted, &dashboard.address(&parts), now).await {
        Ok(page) => render(StatusCode::OK, &page),
        Err(refused) => form::refuse(&refused, "/"),
    }
}

/// What the API tells of a check besides itself.
struct Told {
    explanation: wire::Explanation,
    results: List<wire::ResultRow>,
    rollups: List<Rollup>,
    events: List<wire::Event>,
    notifications: List<wire::Notification>,
    availabilities: Vec<(&'static str, AvailabilityView)>,
}

impl Told {
    async fn of(inside: &Inside, id: u64, span: Span, now: Timestamp) -> Result<Self, Refused> {
        let explanation = format!("/api/v1/check/{id}/explain/");
        let results = format!("/api/v1/check_history/?check={id}&limit={SHOWN}");
        let events = format!("/api/v1/event/?check={id}&limit={SHOWN}");
        let notifications = format!("/api/v1/notification/?check={id}&limit={SHOWN}");
        let (explanation, results, rollups, events, notifications, availabilities) = tokio::try_join!(
            inside.get(&explanation),
            inside.get(&results),
            rollups(inside, id, span),
            inside.get(&events),
            inside.get(&notifications),
            availabilities(inside, id, now),
        )?;
        Ok(Self { explanation, results, rollups, events, notifications, availabilities })
    }
}

async fn availabilities(
    inside: &Inside,
    id: u64,
    now: Timestamp,
) -> Result<Vec<(&'static str, AvailabilityView)>, Refused> {
    let mut availabilities = Vec::new();
    for (words, days) in [("day", 1), ("month", 30), ("year", 365)] {
        let since = now.before(Millis::from_hours(24 * days)).as_millis();
        let told = inside.get(&format!("/api/v1/availability/?check={id}&since={since}")).await?;
        availabilities.push((words, AvailabilityView::new(&told)));
    }
    Ok(availabilities)
}

async fn read(
    inside: &Inside,
    visitor: Visitor,
    id: u64,
    wanted: Wanted,
    address: &str,
    now: Timestamp,
) -> Result<CheckPage, Refused> {
    let check: wire::Check = inside.get(&format!("/api/v1/check/{id}/")).await?;
    let agent: wire::Agent = inside.get(&check.agent).await?;
    let span = wanted.span(now);
    let told = Told::of(inside, id, span, now).await?;
    let rollups = &told.rollups.objects;
    let metrics = metrics(rollups);
    let chosen = wanted.chosen(&metrics);
    let shown = &chosen[..chosen.len().min(MOST_CHARTS)];
    Ok(CheckPage {
        visitor,
        ranges: RANGES.map(|(range, words)| RangeLink { range, words, shown: wanted.is(range) }).into(),
        earlier: earlier(span),
        later: later(span, now),
        bars: strip(rollups, span),
        charts: charts(rollups, shown, &check.thresholds, span),
        more_metrics: chosen.len().saturating_sub(MOST_CHARTS),
        kept: wanted.kept(),
        explanation: told.explanation.map(visible),
        availabilities: told.availabilities,
        results: told.results.objects.iter().map(|row| ResultView::new(row, now)).collect(),
        events: told.events.objects.iter().map(|event| EventView::new(event, now)).collect(),
        rows: told.notifications.objects.iter().map(|row| NotificationView::new(row, now)).collect(),
        settings: settings(&check),
        metrics: metrics.iter().map(|(name, _)| visible(name)).collect(),
        check: CheckView::new(check, &agent, now),
        address: address.to_owned(),
        wanted,
        now,
    })
}

/// The span before this one, in milliseconds.
fn earlier(span: Span) -> (i64, i64) {
    let (since, until) = (span.since.as_millis(), span.until.as_millis());
    (since - (until - since), since)
}

/// The span after this one, as far as there is one.
fn later(span: Span, now: Timestamp) -> Option<(i64, i64)> {
    let (since, until, now) = (span.since.as_millis(), span.until.as_millis(), now.as_millis());
    let length = until - since;
    (until + length / 2 < now).then_some((until, (until + length).min(now)))
}

/// What the check was told to be, in words.
fn settings(check: &wire::Check) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => visible(text),
        other => visible(&other.to_string()),
    };
    let mut settings = vec![("kind".to_owned(), visible(&check.kind))];
    settings.extend(check.interval.iter().map(|interval| ("interval".to_owned(), visible(interval))));
    settings.push(("max_attempts".to_owned(), check.max_attempts.to_string()));
    settings.extend(check.params.iter().map(|(name, value)| (visible(name), text(value))));
    for (metric, threshold) in &check.thresholds {
        let fields = ["warning", "critical", "for", "recover"].into_iter();
        let fields = fields.filter(|field| !threshold[field].is_null());
        let words: Vec<String> = fields.map(|field| format!("{field} {}", text(&threshold[field]))).collect();
        settings.push((format!("threshold of {}", visible(metric)), words.join(", ")));
    }
    if !check.tags.is_empty() {
        settings.push(("tags".to_owned(), visible(&check.tags.join(", "))));
    }
    settings
}

impl CheckView {
    fn new(check: wire::Check, agent: &wire::Agent, now: Timestamp) -> Self {
        let state = &check.state;
        let is_problem = state.status.is_some_and(vilicus_core::Status::is_problem);
        let sureness = match (state.status, state.state_type.as_deref()) {
            (None, _) => String::new(),
            (_, Some("soft")) => format!("soft: attempt {} of {}", state.attempt, check.max_attempts),
            (Some(_), _) => "hard: confirmed".to_owned(),
        };
        let until = state.downtime_until.map(|until| format!(" until {until}")).unwrap_or_default();
        let flags = [
            (!check.enabled, "switched off".to_owned()),
            (state.stale, "no fresh results".to_owned()),
            (state.unreachable, "its agent is down".to_owned()),
            (state.flapping, "flapping".to_owned()),
            (state.acknowledged, "acknowledged".to_owned()),
            (state.in_downtime, format!("in downtime{until}")),
        ];
        let next = state.next_due_at.filter(|_| check.enabled).map(|due| match now < due {
            true => format!("due in {}", age(due.since(now))),
            false => format!("was due {} ago", age(now.since(due))),
        });
        let web = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        Self {
            id: check.id,
            agent_id: agent.id,
            agent: visible(&agent.name),
            name: visible(&check.name),
            mark: Mark::of(state.status),
            sureness,
            flags: flags.into_iter().filter_map(|(set, words)| set.then_some(words)).collect(),
            since: state.since.map(|since| Age::since(since, now)),
            last: state.last_result_at.map(|at| Age::since(at, now)),
            next,
            enabled: check.enabled,
            is_demo: demo::is_demo(&check),
            ping_url: check.ping_url,
            published: check
                .tags
                .iter()
                .find_map(|tag| status::split(tag))
                .map(|(page, group)| (visible(page), visible(group))),
            runs: !SERVER_KINDS.contains(&check.kind.as_str()) && check.kind != APP_KIND,
            max_attempts: check.max_attempts,
            is_problem,
            acknowledged: state.acknowledged,
            acknowledgement: state
                .acknowledgement
                .as_ref()
                .map(|one| format!("{}: {}", visible(&one.by), visible(&one.comment))),
            description: visible(check.description.as_deref().unwrap_or_default()),
            runbook_url: check.runbook_url.filter(web),
            managed_by: check.managed_by.as_deref().map(visible),
        }
    }
}

impl ResultView {
    fn new(row: &wire::ResultRow, now: Timestamp) -> Self {
        Self {
            at: Age::since(row.timestamp, now),
            mark: Mark::of(row.status),
            output: visible(&row.output),
            long_output: visible(&row.long_output),
        }
    }
}

impl AvailabilityView {
    fn new(told: &wire::Availability) -> Self {
        let percent = told.availability_percent;
        let span = |seconds: f64| age(Millis::from_secs(seconds.max(0.0).round() as u64));
        let seconds = &told.seconds;
        let parts = [
            (seconds.warning, "warning"),
            (seconds.critical, "critical"),
            (seconds.unknown, "unknown"),
            (seconds.undetermined, "not known"),
            (told.downtime_seconds, "in downtime"),
        ];
        let parts = parts.into_iter().filter(|(seconds, _)| *seconds >= 1.0);
        let words: Vec<String> = parts.map(|(seconds, words)| format!("{} {words}", span(seconds))).collect();
        Self {
            percent: percent.map_or("–".to_owned(), |percent| format!("{percent:.2} %")),
            words: words.join(", "),
        }
    }
}
