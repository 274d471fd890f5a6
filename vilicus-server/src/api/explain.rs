//! `/check/{id}/explain/`: why you were told, or not, and when next. Read in the middle of the night, so it begins with
//! one plain sentence; the gates behind it follow for those who want to know more.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::event::Happening;
use vilicus_core::judge::gates::{Gate, GateTrace, Hold};
use vilicus_core::judge::telling::{Due, DueReason, Look};
use vilicus_core::state::Told;
use vilicus_core::{ChannelId, CheckId, Event, RouteId, StateType, Status, Timestamp};
use vilicus_store::query::{CheckView, EventQuery};

use super::AppState;
use super::check_body::status_word;
use super::reference::{check_at, uri};
use super::sentences::{Names, reason};
use crate::http::Problem;
use crate::http::auth::Viewer;
use crate::http::json::Answer;
use crate::http::path::PathParts;
use crate::http::query::Query;

/// So many of the events before a moment are looked at.
const LOOK_BACK: usize = 500;

/// The route of this question.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(explain))
}

/// Why people were told, or not.
#[derive(Debug, Serialize, ToSchema)]
struct ExplainBody {
    /// The path of the check.
    check: String,
    /// The moment that this is about.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What came of it, in one sentence.
    verdict: String,
    /// `PENDING` before the first result, then `OK`, `WARNING`, `CRITICAL` or `UNKNOWN`.
    status: String,
    /// `soft` or `hard`; `null` while it is PENDING.
    #[schema(value_type = Option<String>)]
    state_type: Option<StateType>,
    /// Who was told of the problem that is open, and what they were told last.
    told: Vec<ToldBody>,
    /// What keeps the problem from being told, as `acknowledged`.
    #[schema(value_type = Option<String>)]
    held: Option<Hold>,
    /// The gates between a problem and the people, in their order, up to the first that is closed.
    gates: Vec<GateBody>,
    /// When there may be something to tell again by time alone.
    next: Option<NextBody>,
}

/// Who was told, and what last.
#[derive(Debug, Serialize, ToSchema)]
struct ToldBody {
    /// The path of the channel.
    channel: String,
    /// The path of the route; `null` when there were none.
    route: Option<String>,
    status: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// What a gate said.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GateBody {
    /// Its name, as `not_acknowledged`.
    #[schema(value_type = String)]
    gate: Gate,
    /// Whether the problem may pass.
    passed: bool,
    /// Why, in a few words.
    why: String,
    /// The path of the route that was asked, when it is one's own gate.
    route: Option<String>,
    /// The path of the channel that was asked about.
    channel: Option<String>,
}

impl From<&GateTrace> for GateBody {
    fn from(trace: &GateTrace) -> Self {
        Self {
            gate: trace.gate,
            passed: trace.passed,
            why: trace.why.clone().into_owned(),
            route: trace.route.map(|route| uri("route", route)),
            channel: trace.channel.map(|channel| uri("channel", channel)),
        }
    }
}

/// When there may be something to tell.
#[derive(Debug, Serialize, ToSchema)]
struct NextBody {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// As `repeat` or `escalation`.
    #[schema(value_type = String)]
    reason: DueReason,
}

impl From<Due> for NextBody {
    fn from(due: Due) -> Self {
        Self { at: due.at, reason: due.reason }
    }
}

/// Why people were told of a check, or not, and when next; with `at`, what was so at that moment.
#[utoipa::path(get, path = "/api/v1/check/{id}/explain/", tag = "check",
    params(("id" = String, Path), ("at" = Option<String>, Query)), responses((status = 200, body = ExplainBody)))]
async fn explain(
    State(state): State<AppState>,
    Viewer(caller): Viewer,
    path: PathParts,
    mut query: Query,
) -> Result<Response, Problem> {
    let at = query.moment("at")?;
    query.finish()?;
    let view = check_at(&state, &caller, path.id()).await?;
    let now = state.clock().now();
    let body = match at {
        Some(at) if at > now => {
            let detail = format!(
                "the filter at lies in the future (it is {now}); leave it out to hear what comes next"
            );
            return Err(Problem::bad_request(detail));
        }
        Some(at) if at < now => explain_past(&state, view.check.id, at).await?,
        _ => explain_now(&state, &view, now).await?,
    };
    Ok(Answer(body).into_response())
}

async fn explain_now(state: &AppState, view: &CheckView, now: Timestamp) -> Result<ExplainBody, Problem> {
    let look = state.store().explain(view.check.id, now).await?.ok_or_else(Problem::not_found)?;
    let told: Vec<ToldOne> = view.state.told.iter().map(ToldOne::from).collect();
    let moment = Moment {
        status: view.state.status,
        state_type: view.state.state_type,
        since: view.state.since,
        enabled: view.check.enabled,
        told: &told,
    };
    let names = Names::new(state).await?;
    Ok(body_of(view.check.id, now, &moment, &look, &names))
}

/// What is known of a check at a moment.
struct Moment<'a> {
    status: Option<Status>,
    state_type: StateType,
    since: Option<Timestamp>,
    enabled: bool,
    told: &'a [ToldOne],
}

/// One channel that was told.
#[derive(Debug, Clone, PartialEq)]
struct ToldOne {
    channel: ChannelId,
    route: Option<RouteId>,
    status: Status,
    at: Timestamp,
}

impl From<&Told> for ToldOne {
    fn from(told: &Told) -> Self {
        Self { channel: told.channel, route: told.route, status: told.status, at: told.at }
    }
}

fn body_of(check: CheckId, at: Timestamp, moment: &Moment<'_>, look: &Look, names: &Names) -> ExplainBody {
    let told = moment.told.iter().map(|told| ToldBody {
        channel: uri("channel", told.channel),
        route: told.route.map(|route| uri("route", route)),
        status: told.status.to_string(),
        at: told.at,
    });
    ExplainBody {
        check: uri("check", check),
        at,
        verdict: verdict(moment, look, names),
        status: status_word(moment.status).to_owned(),
        state_type: moment.status.map(|_| moment.state_type),
        told: told.collect(),
        held: look.hold,
        gates: look.trace.iter().map(GateBody::from).collect(),
        next: look.next.map(NextBody::from),
    }
}

/// What came of it, in one sentence; a second says when it goes on.
fn verdict(moment: &Moment<'_>, look: &Look, names: &Names) -> String {
    let mut verdict = match (moment.status, moment.told) {
        _ if !moment.enabled => "Nobody is told: the check is switched off.".to_owned(),
        (None, _) => "Nobody is told: no result has come yet.".to_owned(),
        (Some(Status::Ok), told) => verdict_of_ok(moment, told, look, names),
        (Some(status), []) => verdict_of_untold(status, moment.state_type, look, names),
        (Some(status), told) => verdict_of_told(status, told, look, names),
    };
    if let Some(next) = look.next {
        verdict.push_str(&format!(" At {} {}.", next.at, coming(next.reason)));
    }
    verdict
}

fn verdict_of_ok(moment: &Moment<'_>, told: &[ToldOne], look: &Look, names: &Names) -> String {
    let since = moment.since.map_or_else(String::new, |since| format!(" since {since}"));
    match (told, look.hold) {
        ([], _) => format!("There is nothing to tell: the check is OK{since}."),
        (told, Some(hold)) => {
            let reason = reason(hold, &look.trace);
            format!(
                "{} will hear that the check is OK{since}, not yet: {reason}.",
                capital(&listed(told, names))
            )
        }
        (told, None) => {
            let one = if moment.state_type == StateType::Soft { "once that is confirmed" } else { "now" };
            format!("The check is OK{since}; {} will hear of it {one}.", listed(told, names))
        }
    }
}

fn verdict_of_untold(status: Status, state_type: StateType, look: &Look, names: &Names) -> String {
    match look.hold.or((state_type == StateType::Soft).then_some(Hold::Soft)) {
        Some(hold) => format!("Nobody is told that it is {status}: {}.", reason(hold, &look.trace)),
        None if look.tells.is_empty() => {
            format!("Nobody is told that it is {status}: no gate lets it pass now.")
        }
        None => {
            let mut channels: Vec<String> =
                look.tells.iter().map(|tell| names.channel(tell.channel)).collect();
            channels.dedup();
            let are = if channels.len() == 1 { "is" } else { "are" };
            format!("{} {are} about to be told that it is {status}.", capital(&joined(&channels)))
        }
    }
}

fn verdict_of_told(status: Status, told: &[ToldOne], look: &Look, names: &Names) -> String {
    let heard = told.iter().map(|told| {
        let route = told.route.map_or_else(
            || "there are no routes, so every channel is told".to_owned(),
            |route| format!("{} leads there", names.route(route)),
        );
        format!("{} was told {} at {}, because {route}", names.channel(told.channel), told.status, told.at)
    });
    let heard = capital(&heard.collect::<Vec<_>>().join("; "));
    match look.hold {
        Some(hold) => {
            format!("{heard}. It is {status} still and not told again: {}.", reason(hold, &look.trace))
        }
        None => format!("{heard}."),
    }
}

/// The channels that were told, in words.
fn listed(told: &[ToldOne], names: &Names) -> String {
    joined(&told.iter().map(|told| names.channel(told.channel)).collect::<Vec<_>>())
}

fn joined(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

fn capital(sentence: &str) -> String {
    let mut rest = sentence.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// What time alone will bring.
fn coming(reason: DueReason) -> &'static str {
    match reason {
        DueReason::Repeat => "it is told again if it is still so",
        DueReason::Escalation => "the next step of the escalation is told if it is still so",
        DueReason::FirstDelay => "it is old enough for its route, and told if it is still so",
        DueReason::ScheduleOpens => "the schedule of its route opens, and it is told if it is still so",
        DueReason::AcknowledgementExpires => "the acknowledgement expires",
        DueReason::DowntimeEnds => "the downtime ends",
        DueReason::ParentKnown => "it is known how the check is that it depends on",
        DueReason::FreshResult => "a fresh result is there, and it is told if it is still so",
    }
}

/// What the events say of a moment: the gates as they were asked last, and who had been told by then.
async fn explain_past(state: &AppState, check: CheckId, at: Timestamp) -> Result<ExplainBody, Problem> {
    let query = EventQuery {
        until: Some(Timestamp::from_millis(at.as_millis().saturating_add(1))),
        checks: vec![check],
        limit: LOOK_BACK,
        ..EventQuery::default()
    };
    let events = state.store().events(&query).await?;
    let change = events.iter().find_map(|event| match &event.what {
        Happening::State { change, .. } => Some(*change),
        _ => None,
    });
    let told = told_by(&events);
    let moment = Moment {
        status: change.map(|change| change.to),
        state_type: change.map_or(StateType::Hard, |change| change.state_type),
        since: change.map(|change| change.at),
        enabled: true,
        told: &told,
    };
    let names = Names::new(state).await?;
    let mut body = body_of(check, at, &moment, &last_look(&events), &names);
    if change.is_none() {
        body.verdict = "Nothing is recorded of this check up to that moment.".to_owned();
    }
    Ok(body)
}

/// The last look at the gates among these events, newest first.
fn last_look(events: &[Arc<Event>]) -> Look {
    let traced = events.iter().find_map(|event| match &event.what {
        Happening::State { held, trace, .. } | Happening::Telling { held, trace, .. } => Some((*held, trace)),
        _ => None,
    });
    let (hold, trace) = traced.map_or_else(Default::default, |(hold, trace)| (hold, trace.clone()));
    Look { hold, trace, ..Look::default() }
}

/// Who had been told of the problem that was open at the end of these events, newest first: what the gates let pass.
fn told_by(events: &[Arc<Event>]) -> Vec<ToldOne> {
    let (mut told, mut status) = (Vec::new(), Status::Unknown);
    for event in events.iter().rev() {
        match &event.what {
            Happening::State { change, trace, .. } => {
                status = change.to;
                if status == Status::Ok && change.state_type == StateType::Hard {
                    told.clear();
                }
                note_told(&mut told, trace, status, event.at);
            }
            Happening::Telling { trace, .. } => note_told(&mut told, trace, status, event.at),
            _ => {}
        }
    }
    told
}

/// Notes the channels that passed the last gate.
fn note_told(told: &mut Vec<ToldOne>, trace: &[GateTrace], status: Status, at: Timestamp) {
    for gate in trace.iter().filter(|gate| gate.gate == Gate::Repeat && gate.passed) {
        let Some(channel) = gate.channel else { continue };
        told.retain(|told| told.channel != channel);
        told.push(ToldOne { channel, route: gate.route, status, at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::NotificationEvent;
    use vilicus_core::judge::telling::Tell;
    use vilicus_core::route::Pacing;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn told(route: Option<u64>) -> ToldOne {
        ToldOne {
            channel: ChannelId::new(3).unwrap(),
            route: route.and_then(RouteId::new),
            status: Status::Critical,
            at: NOW,
        }
    }

    fn sentence(status: Option<Status>, told: &[ToldOne], look: &Look) -> String {
        let moment = Moment { status, state_type: StateType::Hard, since: Some(NOW), enabled: true, told };
        verdict(&moment, look, &Names::default())
    }

    #[test]
    fn the_verdict_is_one_plain_sentence() {
        let quiet = Look::default();
        let held = Look {
            hold: Some(Hold::Acknowledged),
            trace: vec![GateTrace::new(Gate::NotAcknowledged, false, "ann is on it: fan")],
            ..Look::default()
        };
        let again = Look { next: Some(Due { at: NOW, reason: DueReason::Repeat }), ..Look::default() };
        let (by_route, by_none) = ([told(Some(5))], [told(None)]);
        let now = NOW.to_string();
        for (status, told, look, expected) in [
            (None, &[][..], &quiet, "Nobody is told: no result has come yet.".to_owned()),
            (
                Some(Status::Ok),
                &[],
                &quiet,
                format!("There is nothing to tell: the check is OK since {now}."),
            ),
            (
                Some(Status::Critical),
                &[],
                &held,
                "Nobody is told that it is CRITICAL: ann is on it: fan.".to_owned(),
            ),
            (
                Some(Status::Critical),
                &by_route,
                &again,
                format!(
                    "Channel 3 was told CRITICAL at {now}, because route 5 leads there. At {now} it is told again if \
                     it is still so."
                ),
            ),
            (
                Some(Status::Warning),
                &by_none,
                &held,
                format!(
                    "Channel 3 was told CRITICAL at {now}, because there are no routes, so every channel is told. It \
                     is WARNING still and not told again: ann is on it: fan."
                ),
            ),
        ] {
            assert_eq!(sentence(status, told, look), expected);
        }
    }

    #[test]
    fn what_is_about_to_be_told_is_said() {
        let tell = |channel| Tell {
            channel: ChannelId::new(channel).unwrap(),
            event: NotificationEvent::Problem,
            previous: None,
            route: None,
            step: 0,
            group: String::new(),
            pacing: Pacing::NONE,
        };
        let look = Look { tells: vec![tell(1), tell(2)], ..Look::default() };
        let expected = "Channel 1 and channel 2 are about to be told that it is CRITICAL.";
        assert_eq!(sentence(Some(Status::Critical), &[], &look), expected);
    }
}
