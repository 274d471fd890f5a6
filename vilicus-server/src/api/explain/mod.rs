//! `/check/{id}/explain/`: why you were told, or not, and when next. Read in the middle of the night, so it begins with
//! one plain sentence (`verdict`); where the messages stand (`delivery`) and the gates behind it follow for those who
//! want to know more. A moment that is over is read from the events (`past`).

mod delivery;
mod past;
mod verdict;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::judge::gates::{Gate, GateTrace, Hold};
use vilicus_core::judge::telling::{Due, DueReason, Look};
use vilicus_core::state::Told;
use vilicus_core::{ChannelId, CheckId, RouteId, StateType, Status, Timestamp};
use vilicus_store::query::CheckView;

use self::delivery::Delivery;
use super::AppState;
use super::check_body::status_word;
use super::reference::{check_at, uri};
use super::sentences::Names;
use crate::http::Problem;
use crate::http::auth::Viewer;
use crate::http::json::Answer;
use crate::http::path::PathParts;
use crate::http::query::Query;

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
    /// Since when the gates let it pass.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The path of the message; `null` when it is no longer kept, and for a moment that is over.
    notification: Option<String>,
    /// Where that message stands: `pending`, `sent` or `failed`.
    delivery: Option<String>,
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
        Some(at) if at < now => past::explain_past(&state, view.check.id, at).await?,
        _ => explain_now(&state, &view, now).await?,
    };
    Ok(Answer(body).into_response())
}

async fn explain_now(state: &AppState, view: &CheckView, now: Timestamp) -> Result<ExplainBody, Problem> {
    let look = state.store().explain(view.check.id, now).await?.ok_or_else(Problem::not_found)?;
    let called = (view.agent.name.as_str(), view.check.name.as_str());
    let mut told = Vec::with_capacity(view.state.told.len());
    for one in &view.state.told {
        told.push(ToldOne::now(state, one, called).await?);
    }
    let waiting = delivery::waiting_of(state, view.check.id, called).await?;
    let moment = Moment {
        status: view.state.status,
        state_type: view.state.state_type,
        since: view.state.since,
        enabled: view.check.enabled,
        told: &told,
        waiting: &waiting,
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
    /// The messages about it that wait.
    waiting: &'a [Delivery],
}

/// One channel that was told.
#[derive(Debug, Clone, PartialEq)]
struct ToldOne {
    channel: ChannelId,
    route: Option<RouteId>,
    status: Status,
    at: Timestamp,
    delivery: Option<Delivery>,
}

impl ToldOne {
    /// What a channel was told last, and where that message stands now.
    async fn now(state: &AppState, told: &Told, called: (&str, &str)) -> Result<Self, Problem> {
        let delivery = match told.messages.last() {
            Some(message) => delivery::delivery_of(state, *message, called).await?,
            None => None,
        };
        let (channel, route, status, at) = (told.channel, told.route, told.status, told.at);
        Ok(Self { channel, route, status, at, delivery })
    }
}

fn body_of(check: CheckId, at: Timestamp, moment: &Moment<'_>, look: &Look, names: &Names) -> ExplainBody {
    let told = moment.told.iter().map(|told| ToldBody {
        channel: uri("channel", told.channel),
        route: told.route.map(|route| uri("route", route)),
        status: told.status.to_string(),
        at: told.at,
        notification: told.delivery.as_ref().map(|it| uri("notification", it.notification)),
        delivery: told.delivery.as_ref().map(|it| it.as_str().to_owned()),
    });
    ExplainBody {
        check: uri("check", check),
        at,
        verdict: verdict::verdict(moment, look, names),
        status: status_word(moment.status).to_owned(),
        state_type: moment.status.map(|_| moment.state_type),
        told: told.collect(),
        held: look.hold,
        gates: look.trace.iter().map(GateBody::from).collect(),
        next: look.next.map(NextBody::from),
    }
}
