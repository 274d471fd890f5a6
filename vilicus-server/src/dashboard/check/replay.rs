//! What other thresholds would have sent, beside what was sent: judged again by the API, drawn as two strips.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use vilicus_core::{Millis, Status, Timestamp};

use crate::dashboard::history::Span;
use crate::dashboard::inside::{Inside, Refused};
use crate::dashboard::visitor::Visitor;
use crate::dashboard::words::{Mark, age, visible};
use crate::dashboard::{Dashboard, form, render, wire};

/// The most messages that are listed of each.
const SHOWN: usize = 100;

/// What is asked.
#[derive(Debug, Default, Deserialize)]
pub(in crate::dashboard) struct Asked {
    #[serde(default)]
    metric: String,
    #[serde(default)]
    warning: String,
    #[serde(default)]
    critical: String,
    #[serde(default)]
    max_attempts: String,
    #[serde(default)]
    since: String,
}

/// What the API answers.
#[derive(Debug, Deserialize)]
struct Answer {
    since: Timestamp,
    until: Timestamp,
    results: u64,
    would_send: Vec<Message>,
    was_sent: Vec<Message>,
    summary: Summary,
}

#[derive(Debug, Deserialize)]
struct Summary {
    would_seconds: wire::Seconds,
    was_seconds: wire::Seconds,
}

#[derive(Debug, Deserialize)]
struct Message {
    at: Timestamp,
    event: String,
    status: Status,
    output: String,
}

/// One of the two sides.
struct Side {
    title: &'static str,
    words: String,
    marks: Vec<Dot>,
    lines: Vec<Line>,
    more: usize,
}

/// A message on the line of time.
struct Dot {
    x: f64,
    class: &'static str,
    title: String,
}

struct Line {
    at: Timestamp,
    mark: Mark,
    words: String,
}

#[derive(Template)]
#[template(path = "replay.html")]
struct ReplayPage {
    visitor: Visitor,
    id: u64,
    name: String,
    asked: Asked,
    results: u64,
    since: Timestamp,
    until: Timestamp,
    sides: [Side; 2],
    back: String,
}

/// `GET /check/{id}/replay`
pub(in crate::dashboard) async fn page(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    Path(id): Path<u64>,
    Query(asked): Query<Asked>,
) -> Response {
    let now = dashboard.api.clock().now();
    match ask(&inside.only_asking(), visitor, id, asked, now).await {
        Ok(page) => render(StatusCode::OK, &page),
        Err(refused) => form::refuse(&refused, &format!("/check/{id}")),
    }
}

async fn ask(
    inside: &Inside,
    visitor: Visitor,
    id: u64,
    asked: Asked,
    now: Timestamp,
) -> Result<ReplayPage, Refused> {
    let check: wire::Check = inside.get(&format!("/api/v1/check/{id}/")).await?;
    let span: Millis = asked.since.parse().unwrap_or(Millis::from_hours(30 * 24));
    let body =
        json!({ "check": check.id.to_string(), "since": now.before(span), "policy": policy(&asked, &check) });
    let told = inside.send(Method::POST, "/api/v1/replay/", Some(&body)).await?;
    let told: Answer = serde_json::from_value(told).map_err(|error| {
        tracing::error!(%error, "the API's replay is not as the page expects it");
        Refused { status: StatusCode::INTERNAL_SERVER_ERROR, words: "the replay cannot be shown".to_owned() }
    })?;
    let span = Span { since: told.since, until: told.until };
    let Summary { was_seconds, would_seconds } = &told.summary;
    let sides = [
        Side::new("Was sent", &told.was_sent, was_seconds, span),
        Side::new("Would have been sent", &told.would_send, would_seconds, span),
    ];
    Ok(ReplayPage {
        visitor,
        id,
        name: visible(&check.name),
        asked,
        results: told.results,
        since: told.since,
        until: told.until,
        sides,
        back: format!("/check/{id}"),
    })
}

/// The check's policy with what is asked put over it.
fn policy(asked: &Asked, check: &wire::Check) -> Value {
    let mut policy = Map::new();
    if let Ok(attempts) = asked.max_attempts.trim().parse::<u32>() {
        policy.insert("max_attempts".to_owned(), attempts.into());
    }
    let bounds = [("warning", &asked.warning), ("critical", &asked.critical)];
    if bounds.iter().any(|(_, bound)| !bound.trim().is_empty()) {
        let mut thresholds = check.thresholds.clone();
        let threshold = thresholds.entry(asked.metric.clone()).or_insert_with(|| json!({}));
        for (field, bound) in bounds {
            if let (Value::Object(fields), false) = (&mut *threshold, bound.trim().is_empty()) {
                fields.insert(field.to_owned(), bound.trim().into());
            }
        }
        policy.insert("thresholds".to_owned(), thresholds.into());
    }
    policy.into()
}

impl Side {
    fn new(title: &'static str, messages: &[Message], seconds: &wire::Seconds, span: Span) -> Self {
        let time = |seconds: f64| age(Millis::from_secs(seconds.max(0.0).round() as u64));
        let dot = |message: &Message| {
            let mark = Mark::of(Some(message.status));
            let title = format!("{}: {}", message.at, visible(&message.event));
            Dot { x: span.x(message.at), class: mark.class, title }
        };
        let line = |message: &Message| Line {
            at: message.at,
            mark: Mark::of(Some(message.status)),
            words: format!("{}: {}", visible(&message.event), visible(&message.output)),
        };
        let count = match messages.len() {
            1 => "1 message".to_owned(),
            count => format!("{count} messages"),
        };
        Self {
            title,
            words: format!(
                "{count}; warning for {}, critical for {}",
                time(seconds.warning),
                time(seconds.critical)
            ),
            marks: messages.iter().map(dot).collect(),
            lines: messages.iter().take(SHOWN).map(line).collect(),
            more: messages.len().saturating_sub(SHOWN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> wire::Check {
        serde_json::from_value(json!({
            "id": 1, "agent": "/api/v1/agent/1/", "name": "cpu", "kind": "cpu", "params": {}, "interval": null,
            "thresholds": {"usage": {"warning": "80", "for": "5m"}}, "max_attempts": 3, "enabled": true,
            "state": {"status": "PENDING", "attempt": 0, "since": null, "last_result_at": null, "next_due_at": null,
                "flapping": false, "acknowledged": false, "acknowledgement": null, "in_downtime": false,
                "downtime_until": null, "unreachable": false, "stale": false},
        }))
        .unwrap()
    }

    #[test]
    fn only_what_is_asked_is_changed() {
        assert_eq!(policy(&Asked::default(), &check()), json!({}));
        let asked = Asked { metric: "usage".to_owned(), critical: " 95 ".to_owned(), ..Asked::default() };
        let thresholds = json!({"usage": {"warning": "80", "for": "5m", "critical": "95"}});
        assert_eq!(policy(&asked, &check()), json!({ "thresholds": thresholds }));
        let asked = Asked { max_attempts: "1".to_owned(), ..Asked::default() };
        assert_eq!(policy(&asked, &check()), json!({"max_attempts": 1}));
    }
}
