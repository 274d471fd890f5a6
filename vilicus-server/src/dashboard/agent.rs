//! The page of one agent: what kind of host it is, its checks with their last hours, and its load, memory and disks.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use futures_util::future::try_join_all;
use http::{Method, StatusCode};
use serde_json::Value;
use vilicus_core::{Millis, Status, Timestamp};

use super::event::EventView;
use super::history::{Bar, Chart, ChartPicture, Span, StripPicture, amount, charts, metrics, rollups, strip};
use super::host::waiting_agents;
use super::inside::{Inside, Refused};
use super::visitor::Visitor;
use super::wire::{self, List, Rollup};
use super::words::{Age, Mark, visible};
use super::{Dashboard, form, render};

/// The strips and charts show so much.
const HOURS: u64 = 6;
/// The most checks that are shown with their last hours; an agent with more shows the rest without.
const MOST_STRIPS: usize = 60;
/// The most charts.
const MOST_CHARTS: usize = 8;
/// So many events are on the page.
const SHOWN: usize = 20;

#[derive(Template)]
#[template(path = "agent.html")]
struct AgentPage {
    visitor: Visitor,
    id: u64,
    name: String,
    mark: Mark,
    facts: Vec<(&'static str, String)>,
    checks: Vec<Line>,
    charts: Vec<Chart>,
    events: Vec<EventView>,
    /// Whether somebody has to let it in.
    waits: bool,
    now: Timestamp,
}

/// One check with its last hours.
struct Line {
    id: u64,
    name: String,
    mark: Mark,
    flags: &'static str,
    since: Option<Age>,
    output: String,
    bars: Vec<Bar>,
}

/// `GET /agent/{id}`
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    Path(id): Path<u64>,
) -> Response {
    let now = dashboard.api.clock().now();
    match read(&inside, visitor, id, now).await {
        Ok(page) => render(StatusCode::OK, &page),
        Err(refused) => form::refuse(&refused, "/"),
    }
}

async fn read(inside: &Inside, visitor: Visitor, id: u64, now: Timestamp) -> Result<AgentPage, Refused> {
    let agent: wire::Agent = inside.get(&format!("/api/v1/agent/{id}/")).await?;
    let mut checks =
        inside.get::<List<wire::Check>>(&format!("/api/v1/check/?agent={id}&limit=1000")).await?.objects;
    checks.sort_by(|one, other| one.name.cmp(&other.name));
    let span = Span { since: now.before(Millis::from_hours(HOURS)), until: now };
    let histories = checks.iter().take(MOST_STRIPS).map(|check| rollups(inside, check.id, span));
    let histories = try_join_all(histories).await?;
    let history = |at: usize| histories.get(at).map_or(&[][..], |history| history.objects.as_slice());
    let lines = checks.iter().enumerate().map(|(at, check)| Line::new(check, strip(history(at), span), now));
    let drawn = checks.iter().enumerate().flat_map(|(at, check)| draw(check, history(at), span));
    let events = inside.get::<List<wire::Event>>(&format!("/api/v1/event/?agent={id}&limit={SHOWN}")).await?;
    let waiting = if visitor.administers() { waiting_agents(inside).await? } else { Vec::new() };
    let waits = waiting.iter().any(|token| token.agent.as_deref() == Some(agent.resource_uri.as_str()));
    Ok(AgentPage {
        visitor,
        waits,
        id,
        name: visible(&agent.name),
        mark: mark(&agent.state),
        facts: facts(&agent, now),
        charts: drawn.take(MOST_CHARTS).collect(),
        checks: lines.collect(),
        events: events.objects.iter().map(|event| EventView::new(event, now)).collect(),
        now,
    })
}

/// How full and how busy the host was: of each check of these kinds the metrics that say so.
fn draw(check: &wire::Check, rollups: &[Rollup], span: Span) -> Vec<Chart> {
    let tells = match check.kind.as_str() {
        "cpu" => "usage",
        "memory" | "swap" | "disk" => "used_percent",
        "load" => "load",
        _ => return Vec::new(),
    };
    let metrics: Vec<_> = metrics(rollups).into_iter().filter(|(name, _)| name.starts_with(tells)).collect();
    let mut charts = charts(rollups, &metrics, &check.thresholds, span);
    for chart in &mut charts {
        chart.words = format!("{}: {}", visible(&check.name), chart.words);
    }
    charts
}

fn mark(state: &str) -> Mark {
    match state {
        "UP" => Mark { word: "UP", ..Mark::of(Some(Status::Ok)) },
        "DOWN" => Mark { word: "DOWN", ..Mark::of(Some(Status::Critical)) },
        _ => Mark::PENDING,
    }
}

/// What kind of host it is, in words.
fn facts(agent: &wire::Agent, now: Timestamp) -> Vec<(&'static str, String)> {
    let ago = |at: Option<Timestamp>| at.map(|at| format!("{} ago", Age::since(at, now).age));
    let fact = |name: &str| match agent.facts.get(name)? {
        Value::String(text) => Some(visible(text)),
        Value::Null => None,
        other => Some(visible(&other.to_string())),
    };
    let number = |name: &str, unit: &str| Some(amount(agent.facts.get(name)?.as_f64()?, unit));
    let some = |text: &str| Some(visible(text)).filter(|text| !text.is_empty());
    let facts = [
        ("host name", some(&agent.hostname)),
        ("last contact", ago(agent.last_contact)),
        ("last check-in", ago(agent.last_checkin)),
        ("version", agent.version.as_deref().and_then(some)),
        ("system", fact("os")),
        ("kernel", fact("kernel")),
        ("processor", fact("architecture")),
        ("cores", fact("cores")),
        ("memory", number("memory_bytes", "B")),
        ("clock differs by", number("clock_skew_seconds", "s")),
        ("results waiting", number("buffered", "")),
        ("results dropped", number("dropped", "")),
        ("tags", some(&agent.tags.join(", "))),
        ("templates", some(&agent.templates.join(", "))),
        ("managed by", agent.managed_by.as_deref().and_then(some)),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

impl Line {
    fn new(check: &wire::Check, bars: Vec<Bar>, now: Timestamp) -> Self {
        let state = &check.state;
        let flags = match state {
            _ if !check.enabled => "switched off",
            state if state.in_downtime => "in downtime",
            state if state.acknowledged => "acknowledged",
            state if state.flapping => "flapping",
            state if state.stale => "no fresh results",
            _ => "",
        };
        Self {
            id: check.id,
            name: visible(&check.name),
            mark: Mark::of(state.status),
            flags,
            since: state.since.map(|since| Age::since(since, now)),
            output: visible(state.output.as_deref().unwrap_or_default()),
            bars,
        }
    }
}

/// `POST /agent/{id}/remove`
pub(super) async fn remove(inside: Inside, Path(id): Path<u64>) -> Response {
    match inside.send(Method::DELETE, &format!("/api/v1/agent/{id}/"), None).await {
        Ok(_) => Redirect::to("/?done=removed").into_response(),
        Err(refused) => form::refuse(&refused, &format!("/agent/{id}")),
    }
}
