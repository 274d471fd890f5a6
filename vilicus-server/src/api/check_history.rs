//! `/check_history/`: results, on their way in and looked back at.

use std::sync::Arc;

use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::{CheckId, CheckResult, Metric, Millis, Range, Status, Timestamp, Unit};
use vilicus_store::query::{CheckView, HistoryQuery, HistoryRow, Order, RollupQuery};

use super::AppState;
use super::agent_body::config_etag;
use super::history_format::{Form, RollupBody, rows_as};
use super::reference::{Reference, check_at, find_check, uri};
use super::run::{Orders, config_of, orders};
use crate::http::Problem;
use crate::http::auth::{Caller, Reader, Reporter, note_contact};
use crate::http::json::{Answer, JsonBody, created};
use crate::http::page::{DEFAULT_LIMIT, List, Meta};
use crate::http::path::PathParts;
use crate::http::query::Query;
use crate::ingest::item::{Item, Sent};
use crate::ingest::{Answered, Done, Judged, submit, submit_quickly};

/// The path of results.
pub(crate) const PATH: &str = "/api/v1/check_history/";

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, report)).routes(routes!(one))
}

/// A result as it is kept.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Row {
    /// Its path.
    pub(super) resource_uri: String,
    /// The path of its check.
    #[schema(value_type = String)]
    pub(super) check: Arc<str>,
    /// When it was measured.
    #[schema(value_type = String, format = DateTime)]
    pub(super) timestamp: Timestamp,
    /// The status as judged.
    #[schema(value_type = String)]
    pub(super) status: Status,
    /// The status as sent; `null` when the thresholds alone judged it.
    #[schema(value_type = Option<String>)]
    pub(super) reported_status: Option<Status>,
    /// One line for people.
    pub(super) output: String,
    /// Further lines.
    pub(super) long_output: String,
    /// What was measured.
    pub(super) metrics: Vec<MetricBody>,
    /// How long the run took.
    pub(super) duration_ms: Option<u64>,
    /// The exit code of the program that ran, if one did.
    pub(super) exit_code: Option<i32>,
    /// Whether output was cut.
    pub(super) truncated: bool,
}

/// A metric as it is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct MetricBody {
    name: String,
    value: f64,
    #[schema(value_type = String)]
    unit: Unit,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    warning: Option<Range>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    critical: Option<Range>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
}

impl From<Metric> for MetricBody {
    fn from(metric: Metric) -> Self {
        Self {
            name: metric.name,
            value: metric.value,
            unit: metric.unit,
            warning: metric.warning,
            critical: metric.critical,
            min: metric.min,
            max: metric.max,
        }
    }
}

/// The paths of a check and of its results, put together once for all rows of a page.
struct Paths {
    check: Arc<str>,
    results: String,
}

impl Paths {
    fn of(check: CheckId) -> Self {
        Self { check: uri("check", check).into(), results: format!("{PATH}{check}/") }
    }

    fn result(&self, timestamp: Timestamp) -> String {
        [&self.results, timestamp.as_millis().to_string().as_str(), "/"].concat()
    }
}

impl Row {
    fn new(paths: &Paths, timestamp: Timestamp, status: Status, result: CheckResult) -> Self {
        Self {
            resource_uri: paths.result(timestamp),
            check: Arc::clone(&paths.check),
            timestamp,
            status,
            reported_status: result.status,
            output: result.output,
            long_output: result.long_output,
            metrics: result.metrics.into_iter().map(MetricBody::from).collect(),
            duration_ms: result.duration.map(Millis::get),
            exit_code: result.exit_code,
            truncated: result.truncated,
        }
    }

    fn kept(paths: &Paths, row: HistoryRow) -> Self {
        Self::new(paths, row.timestamp, row.status, row.result)
    }
}

/// One result that was submitted, and what the agent shall do.
#[derive(Debug, Serialize, ToSchema)]
struct Submitted {
    #[serde(flatten)]
    row: Row,
    /// Why the row is not what was sent: another result of that moment was there first, and stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    #[serde(flatten)]
    agent: Option<ForAgent>,
}

/// What every answer to an agent carries.
#[derive(Debug, Serialize, ToSchema)]
struct ForAgent {
    /// The version of the agent's configuration.
    config_etag: Option<String>,
    /// The checks that shall run sooner than their interval says.
    run: Vec<Orders>,
}

/// What became of a batch.
#[derive(Debug, Default, Serialize, ToSchema)]
struct BatchBody {
    /// How many results were taken.
    accepted: usize,
    /// How many were there already.
    duplicates: usize,
    /// Of those, the places in the batch that say something else than what is there, which stands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differing: Vec<usize>,
    /// Those that cannot be taken.
    rejected: Vec<Rejected>,
    #[serde(flatten)]
    agent: Option<ForAgent>,
}

/// A result that cannot be taken.
#[derive(Debug, Serialize, ToSchema)]
struct Rejected {
    /// Its place in the batch.
    index: usize,
    /// The status that it would have had alone.
    status: u16,
    /// Why.
    detail: String,
}

/// Submits one result, or many as `{"objects": […]}`, which are judged item by item.
#[utoipa::path(post, path = "/api/v1/check_history/", tag = "check_history", request_body = Object,
    responses((status = 201, body = Submitted), (status = 200, body = BatchBody)))]
async fn report(
    State(state): State<AppState>,
    Reporter(caller): Reporter,
    body: Result<JsonBody, Problem>,
) -> Result<Response, Problem> {
    if let Ok(body) = &body
        && let Some(answered) = submit_quickly(&state, &caller, body.bytes()).await?
    {
        return answer_quickly(&state, &answered).await;
    }
    match body.and_then(|body| Sent::parse(body.bytes(), state.limits().batch_results)) {
        Ok(Sent::One(item)) => submit_one(&state, &caller, *item).await,
        Ok(Sent::Many(items)) => {
            let done = submit(&state, &caller, items).await?;
            let agent = for_agent(&state, &caller).await?;
            Ok(Answer(BatchBody { agent, ..summary(done) }).into_response())
        }
        Err(problem) => {
            // Contact goes into the commit of the results; without results it is noted by itself.
            note_contact(&caller, &state).await;
            Err(problem)
        }
    }
}

/// Answers a request that submits results.
pub(super) async fn receive(state: &AppState, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let answered = async {
        let reporter = Reporter::from_request_parts(&mut parts, state).await?;
        let body = JsonBody::collect(&parts.headers, body, state.limits()).await;
        report(State(state.clone()), reporter, body).await
    };
    answered.await.into_response()
}

async fn answer_quickly(state: &AppState, answered: &Answered) -> Result<Response, Problem> {
    let agent = answered.news().zip(answered.agent()).map(|(news, agent)| ForAgent {
        config_etag: Some(config_etag(agent, news.config_version).as_str().to_owned()),
        run: news.runs.iter().map(Orders::of).collect(),
    });
    if answered.is_batch {
        return Ok(Answer(BatchBody { agent, ..summary(answered.done()) }).into_response());
    }
    let (result, done) = answered.first().zip(answered.done().next()).ok_or_else(Problem::internal)?;
    answer_one(state, agent, result, done?).await
}

fn summary(done: impl IntoIterator<Item = Judged<Done>>) -> BatchBody {
    let mut body = BatchBody::default();
    for (index, done) in done.into_iter().enumerate() {
        match done {
            Ok(Done::Accepted { .. }) => body.accepted += 1,
            Ok(Done::Duplicate { identical, .. }) => {
                body.duplicates += 1;
                if !identical {
                    body.differing.push(index);
                }
            }
            Err(problem) => body.rejected.push(Rejected {
                index,
                status: problem.status().as_u16(),
                detail: problem.detail().to_owned(),
            }),
        }
    }
    body
}

/// Submits one result: 201 with its row, or 200 with the row that was there first.
pub(super) async fn submit_one(state: &AppState, caller: &Caller, item: Item) -> Result<Response, Problem> {
    let mut result = item.result.clone();
    result.truncate(state.limits().output_bytes);
    let done = submit(state, caller, vec![Ok(item)]).await?;
    let agent = for_agent(state, caller).await?;
    answer_one(state, agent, result, done.into_iter().next().ok_or_else(Problem::internal)??).await
}

async fn answer_one(
    state: &AppState,
    agent: Option<ForAgent>,
    result: CheckResult,
    done: Done,
) -> Result<Response, Problem> {
    match done {
        Done::Accepted { check, timestamp, status } => {
            let row = Row::new(&Paths::of(check), timestamp, status, result);
            let location = row.resource_uri.clone();
            Ok(created(&location, Answer(Submitted { row, detail: None, agent })))
        }
        Done::Duplicate { check, timestamp, identical } => {
            let row = row_at(state, check, timestamp).await?;
            let other = "another result of this moment was there first, and stands";
            let detail = (!identical).then_some(other);
            Ok(Answer(Submitted { row, detail, agent }).into_response())
        }
    }
}

async fn for_agent(state: &AppState, caller: &Caller) -> Result<Option<ForAgent>, Problem> {
    let Some(agent) = caller.agent() else { return Ok(None) };
    Ok(Some(ForAgent { config_etag: config_of(state, agent).await?, run: orders(state, agent).await? }))
}

async fn row_at(state: &AppState, check: CheckId, timestamp: Timestamp) -> Result<Row, Problem> {
    let query = HistoryQuery {
        check,
        since: Some(timestamp),
        until: Some(timestamp.after(Millis::new(1))),
        order: Order::OldestFirst,
        limit: 1,
    };
    let row = state.store().history(&query).await?.into_iter().next();
    row.map(|row| Row::kept(&Paths::of(check), row)).ok_or_else(Problem::not_found)
}

/// One result.
#[utoipa::path(get, path = "/api/v1/check_history/{check}/{timestamp_ms}/", tag = "check_history",
    params(("check" = String, Path), ("timestamp_ms" = i64, Path)), responses((status = 200, body = Row)))]
async fn one(
    State(state): State<AppState>,
    Reader(caller): Reader,
    path: PathParts,
) -> Result<Response, Problem> {
    let view = check_at(&state, &caller, path.part("check")).await?;
    let millis = path.part("timestamp_ms").parse().map_err(|_| Problem::not_found())?;
    let row = row_at(&state, view.check.id, Timestamp::from_millis(millis)).await?;
    Ok(Answer(row).into_response())
}

/// The results of one check, newest first; as JSON, CSV or one JSON object a line.
#[utoipa::path(get, path = "/api/v1/check_history/", tag = "check_history", params(
    ("check" = String, Query), ("since" = Option<String>, Query), ("until" = Option<String>, Query),
    ("before" = Option<String>, Query), ("after" = Option<String>, Query),
    ("resolution" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = List<Row>)))]
async fn list(
    State(state): State<AppState>,
    Reader(caller): Reader,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = Asked::from_query(&mut query)?;
    query.finish()?;
    let view = find_check(&state, &caller, &asked.check).await?.ok_or_else(Problem::not_found)?;
    match asked.resolution {
        Resolution::Raw => raw(&state, &view, &asked, &query, Form::of(&headers)).await,
        Resolution::Auto => rolled_up(&state, &view, &asked, &query).await,
    }
}

/// Which results are asked for.
#[derive(Debug)]
struct Asked {
    check: Reference,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Upwards from `after`, or downwards from `before` or now.
    order: Order,
    resolution: Resolution,
    limit: usize,
}

#[derive(Debug, Clone, Copy)]
enum Resolution {
    Raw,
    Auto,
}

impl Asked {
    fn from_query(query: &mut Query) -> Result<Self, Problem> {
        let check = query.one("check");
        let check = check.ok_or_else(|| Problem::bad_request("say of which check, as ?check=7"))?;
        let since = later(query.moment("since")?, query.moment("timestamp__gte")?);
        let until = earlier(query.moment("until")?, query.moment("timestamp__lt")?);
        let (before, after) = (query.moment("before")?, query.moment("after")?);
        let resolution = match query.one("resolution").as_deref() {
            None | Some("raw") => Resolution::Raw,
            Some("auto") => Resolution::Auto,
            Some(_) => return Err(Problem::bad_request("the filter resolution takes raw or auto")),
        };
        Ok(Self {
            check: Reference::parse(&check),
            since: later(since, after.map(|after| after.after(Millis::new(1)))),
            until: earlier(until, before),
            order: if after.is_some() { Order::OldestFirst } else { Order::NewestFirst },
            resolution,
            limit: query.limit()?.unwrap_or(DEFAULT_LIMIT),
        })
    }
}

/// The later of two bounds; one that is not given bounds nothing.
fn later(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.max(other)
}

/// The earlier of two bounds; one that is not given bounds nothing.
pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

async fn raw(
    state: &AppState,
    view: &CheckView,
    asked: &Asked,
    query: &Query,
    form: Form,
) -> Result<Response, Problem> {
    let check = view.check.id;
    // One more than asked for tells whether there is another page.
    let limit = asked.limit + 1;
    let history = HistoryQuery { check, since: asked.since, until: asked.until, order: asked.order, limit };
    let mut rows = state.store().history(&history).await?;
    let more = rows.len() > asked.limit;
    rows.truncate(asked.limit);
    let cursor = if asked.order == Order::OldestFirst { "after" } else { "before" };
    let last = rows.last().filter(|_| more).map(|row| (cursor, row.timestamp.as_millis().to_string()));
    let meta = Meta::of_cursor(query, asked.limit, last);
    let paths = Paths::of(check);
    let objects: Vec<Row> = rows.into_iter().map(|row| Row::kept(&paths, row)).collect();
    Ok(match form {
        Form::Json => Answer(List { meta, objects }).into_response(),
        other => rows_as(other, &objects, meta.next.as_deref()),
    })
}

/// The points of a rolled-up history when nobody says how many.
const POINTS: u64 = 500;

async fn rolled_up(
    state: &AppState,
    view: &CheckView,
    asked: &Asked,
    query: &Query,
) -> Result<Response, Problem> {
    let until = asked.until.unwrap_or_else(|| state.clock().now());
    let since = asked.since.unwrap_or_else(|| until.before(Millis::from_hours(24)));
    let step = Millis::new(until.since(since).get() / POINTS).max(view.policy.interval);
    let rollups = state.store().rollups(&RollupQuery { check: view.check.id, since, until, step }).await?;
    let objects: Vec<RollupBody> =
        rollups.into_iter().map(|rollup| RollupBody::new(view.check.id, rollup)).collect();
    let meta = Meta::of_cursor(query, objects.len(), None);
    Ok((StatusCode::OK, Answer(List { meta, objects })).into_response())
}
