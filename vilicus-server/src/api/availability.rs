//! `/availability/`: for how long checks were what.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::availability::{Availability, Durations};
use vilicus_core::schedule::Window;
use vilicus_core::{Millis, Timestamp};
use vilicus_store::query::{CheckFilter, CheckView};

use super::AppState;
use super::agent::ids_of;
use super::event::checks_of;
use super::reference::{Reference, find_check, uri};
use crate::availability;
use crate::http::Problem;
use crate::http::auth::{Caller, Reader};
use crate::http::json::Answer;
use crate::http::page::{List, Meta};
use crate::http::query::Query;

/// The span when nobody says since when.
const USUAL_SPAN: Millis = Millis::from_hours(30 * 24);

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(look))
}

/// For how long a check was what. The seconds add up to the span, less the downtimes when those are excluded.
#[derive(Debug, Serialize, ToSchema)]
struct AvailabilityBody {
    /// The path of the check.
    check: String,
    /// The path of its agent.
    agent: String,
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// The end of the span; now, when it was to lie in the future.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    /// The seconds in each state, to the millisecond.
    seconds: SecondsBody,
    /// The share of OK and WARNING in the time that was OK, WARNING or CRITICAL; `null` when there was no such time.
    availability_percent: Option<f64>,
    /// The seconds in downtimes, overlaps counted once.
    downtime_seconds: f64,
    /// Those of them in which the check was not OK.
    downtime_problem_seconds: f64,
    /// Whether `seconds` and `availability_percent` leave the time in downtimes out.
    exclude_downtime: bool,
}

/// Seconds by state.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub(super) struct SecondsBody {
    ok: f64,
    warning: f64,
    critical: f64,
    /// The results said that they do not know.
    unknown: f64,
    /// Nobody knows: no result yet, results that stayed out, an agent that was DOWN.
    undetermined: f64,
}

impl From<Durations> for SecondsBody {
    fn from(durations: Durations) -> Self {
        let Durations { ok, warning, critical, unknown, undetermined } = durations;
        let [ok, warning, critical, unknown, undetermined] =
            [ok, warning, critical, unknown, undetermined].map(Millis::as_secs_f64);
        Self { ok, warning, critical, unknown, undetermined }
    }
}

/// For how long checks were what. One `check` is answered with one object; several of them, or those of an `agent`,
/// with a list.
#[utoipa::path(get, path = "/api/v1/availability/", tag = "availability", params(
    ("check" = Option<String>, Query), ("agent" = Option<String>, Query), ("since" = Option<String>, Query),
    ("until" = Option<String>, Query), ("exclude_downtime" = Option<bool>, Query),
    ("limit" = Option<usize>, Query), ("offset" = Option<usize>, Query)),
    responses((status = 200, body = AvailabilityBody)))]
async fn look(
    State(state): State<AppState>,
    Reader(caller): Reader,
    mut query: Query,
) -> Result<Response, Problem> {
    let (checks, agents) = (query.any("check"), query.any("agent"));
    let span = span(&mut query, state.clock().now())?;
    let exclude: bool = query.parsed("exclude_downtime")?.unwrap_or(false);
    let page = query.bounds()?.page(false);
    query.finish()?;
    if let (Some([one]), None) = (checks.as_deref(), &agents) {
        let view =
            find_check(&state, &caller, &Reference::parse(one)).await?.ok_or_else(Problem::not_found)?;
        return Ok(Answer(body_of(&state, &view, span, exclude).await?).into_response());
    }
    let filter = filter(&state, &caller, checks, agents).await?;
    let found = state.store().checks(&filter, page).await?;
    let mut objects = Vec::with_capacity(found.objects.len());
    for view in &found.objects {
        objects.push(body_of(&state, view, span, exclude).await?);
    }
    Ok(Answer(List { meta: Meta::of_page(&query, page, found.total), objects }).into_response())
}

/// The span that is asked for, up to now at most.
fn span(query: &mut Query, now: Timestamp) -> Result<Window, Problem> {
    let end = query.moment("until")?.map_or(now, |until| until.min(now));
    let start = query.moment("since")?.unwrap_or_else(|| end.before(USUAL_SPAN));
    match start < end {
        true => Ok(Window { start, end }),
        false => Err(Problem::bad_request("the span is empty: since must lie before until, and before now")),
    }
}

/// The checks that are named, and those of the agents that are named.
async fn filter(
    state: &AppState,
    caller: &Caller,
    checks: Option<Vec<String>>,
    agents: Option<Vec<String>>,
) -> Result<CheckFilter, Problem> {
    if checks.is_none() && agents.is_none() {
        return Err(Problem::bad_request("say of which checks, as ?check=7 or ?agent=web-1"));
    }
    let ids = checks_of(state, caller, checks).await?;
    let mut named = match agents {
        Some(texts) => Some(ids_of(state, caller, &texts).await?),
        None => None,
    };
    if let (None, Some(own)) = (&named, caller.agent()) {
        named = Some(vec![own]);
    }
    // An empty filter is one that takes every check.
    let nothing = ids.as_ref().is_some_and(Vec::is_empty) || named.as_ref().is_some_and(Vec::is_empty);
    if nothing {
        return Err(Problem::not_found());
    }
    Ok(CheckFilter {
        ids: ids.unwrap_or_default(),
        agents: named.unwrap_or_default(),
        ..CheckFilter::default()
    })
}

async fn body_of(
    state: &AppState,
    view: &CheckView,
    span: Window,
    exclude: bool,
) -> Result<AvailabilityBody, Problem> {
    let trail = availability::read(state.store().as_ref(), view, span).await?;
    let Availability { outside, planned } = trail.course.durations(span, &trail.planned);
    let counted = if exclude { outside } else { outside.plus(planned) };
    Ok(AvailabilityBody {
        check: uri("check", view.check.id),
        agent: uri("agent", view.agent.id),
        since: span.start,
        until: span.end,
        seconds: counted.into(),
        availability_percent: counted.percent(),
        downtime_seconds: planned.total().as_secs_f64(),
        downtime_problem_seconds: planned.in_problem().as_secs_f64(),
        exclude_downtime: exclude,
    })
}
