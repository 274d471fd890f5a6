//! `/replay/`: stored results judged again under another policy: what would have been sent beside what was.
//!
//! The judging is [`vilicus_core::replay`]'s, whose limits are this resource's; routes, channels and downtimes are those
//! of now.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::heartbeat::HeartbeatParams;
use vilicus_core::judge::telling::Watched;
use vilicus_core::replay::{Replay, Replayed, Setting, Sign, Telling};
use vilicus_core::schedule::{Expectation, Window};
use vilicus_core::{
    ChannelId, CheckId, CheckResult, Downtime, Millis, NotificationEvent, NotificationItem, Policy, Route,
    RouteId, Status, Timestamp, params,
};
use vilicus_store::inventory::{Check, HEARTBEAT_KIND};
use vilicus_store::outbox::{OutboxRow, OutboxState};
use vilicus_store::query::{CheckView, HistoryQuery, NotificationQuery, Order};

use super::AppState;
use super::availability::SecondsBody;
use super::policy_input::PolicyInput;
use super::reference::{Reference, find_check, uri};
use super::resource::Resource as _;
use super::route_body::{RouteInput, new_route};
use crate::availability::{self, Trail, labels_of};
use crate::http::Problem;
use crate::http::auth::{Caller, Viewer};
use crate::http::json::{Answer, JsonBody, Sent, fields_of, from_fields, known_fields, present};

/// Results are read so many at a time.
const PAGE: usize = 10_000;
/// The most results of one replay: a year of one-minute results.
const MOST_RESULTS: u64 = 600_000;
/// The most messages that a replay answers.
const MOST_TELLINGS: usize = 10_000;
/// So many results before the span bring the state to where it was: as many as the longest window holds.
const WARM_UP: usize = vilicus_core::policy::MAX_WITHIN as usize;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(again))
}

/// What is judged again, and how.
#[derive(Debug, Deserialize, ToSchema)]
struct ReplayInput {
    /// Which check: an id, a name or a path.
    #[schema(value_type = String)]
    check: Reference,
    /// From when on.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Up to when; now.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// What is wanted of the check instead; what is not named stays as it is.
    #[serde(default)]
    #[schema(value_type = Option<PolicyInput>)]
    policy: Map<String, Value>,
    /// The routes instead of those that there are, as they are written; `[]` for none, so that every channel is told.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<RouteInput>>)]
    routes: Option<Vec<Value>>,
}

impl Sent for ReplayInput {
    const READ_ONLY: &'static [&'static str] = &[];
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
struct ReplayBody {
    /// The path of the check.
    check: String,
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    /// How many results were judged again.
    results: u64,
    /// What would have been told, oldest first; the first 10,000.
    would_send: Vec<MessageBody>,
    /// What was told, oldest first.
    was_sent: Vec<MessageBody>,
    summary: Summary,
}

/// Both in numbers.
#[derive(Debug, Serialize, ToSchema)]
struct Summary {
    would_send: usize,
    was_sent: usize,
    /// The seconds in each state as they would have been.
    would_seconds: SecondsBody,
    /// The seconds in each state as they were.
    was_seconds: SecondsBody,
}

/// One thing that one channel would have been told, or was.
#[derive(Debug, Serialize, ToSchema)]
struct MessageBody {
    /// When it was decided; sending may have waited for others of its group.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The path of the channel.
    channel: String,
    /// The path of the route; `null` when there are none, and for routes that are only tried here.
    route: Option<String>,
    /// `problem`, `recovery`, `flapping`, `agent_down`, `agent_up` or `closed`.
    event: String,
    #[schema(value_type = String)]
    status: Status,
    /// What the channel was told before.
    #[schema(value_type = Option<String>)]
    previous: Option<Status>,
    /// The first line of the output.
    output: String,
    /// The path of the message, if it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    notification: Option<String>,
    /// `pending`, `sent` or `failed`, if it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
}

/// Judges what was measured again, under another policy. Nothing is sent, and nothing is changed.
#[utoipa::path(post, path = "/api/v1/replay/", tag = "replay", request_body = ReplayInput,
    responses((status = 200, body = ReplayBody)))]
async fn again(
    State(state): State<AppState>,
    Viewer(caller): Viewer,
    body: JsonBody,
) -> Result<Response, Problem> {
    let input: ReplayInput = body.read()?;
    let now = state.clock().now();
    let span = Window { start: input.since, end: input.until.map_or(now, |until| until.min(now)) };
    if span.start >= span.end {
        return Err(Problem::invalid(
            "/since",
            "the span is empty: since must lie before until, and before now",
        ));
    }
    let found = find_check(&state, &caller, &input.check).await?;
    let view = found.ok_or_else(|| Problem::invalid("/check", format!("no check {}", input.check)))?;
    let world = World::of(&state, &caller, &view, input, span).await?;
    let replayed = world.replay(&state, &view, span).await?;
    let was_sent = was_sent(&state, view.check.id, span).await?;
    Ok(Answer(world.answer(&view, span, replayed, was_sent)).into_response())
}

/// What is so around the check.
struct World {
    policy: Policy,
    routes: Vec<Route>,
    /// Whether the routes are those of the server, which have paths.
    own_routes: bool,
    channels: Vec<ChannelId>,
    downtimes: Vec<Downtime>,
    expected: Option<(Expectation, Millis)>,
    trail: Trail,
}

impl World {
    async fn of(
        state: &AppState,
        caller: &Caller,
        view: &CheckView,
        input: ReplayInput,
        span: Window,
    ) -> Result<Self, Problem> {
        let policy = policy(view, input.policy)?;
        let own_routes = input.routes.is_none();
        let routes = match input.routes {
            Some(written) => routes_of(state, caller, written).await?,
            None => state.store().routes().await?,
        };
        let channels = state.store().channels().await?;
        let downtimes = state.store().downtimes().await?;
        let labels = labels_of(view);
        let about = downtimes.iter().filter(|downtime| downtime.is_about(&labels));
        let trail = availability::read(state.store().as_ref(), view, span).await?;
        Ok(Self {
            expected: expected(&view.check, policy.grace),
            policy,
            routes,
            own_routes,
            channels: channels.iter().filter(|channel| channel.enabled).map(|channel| channel.id).collect(),
            downtimes: about.map(|downtime| Downtime::clone(downtime)).collect(),
            trail,
        })
    }

    fn setting<'a>(&'a self, view: &'a CheckView, since: Timestamp) -> Setting<'a> {
        let sign = match &self.expected {
            Some((expected, grace)) => Sign::Pings { expected, grace: *grace },
            None if view.check.runs_on_agent() => Sign::Results,
            None => Sign::Nothing,
        };
        Setting {
            check: view.check.id,
            watched: view.check.watched(),
            policy: &self.policy,
            labels: labels_of(view),
            routes: (!self.routes.is_empty()).then_some(&self.routes),
            channels: &self.channels,
            downtimes: &self.downtimes,
            acts: &self.trail.acts,
            away: &self.trail.away,
            sign,
            since,
        }
    }

    async fn replay(&self, state: &AppState, view: &CheckView, span: Window) -> Result<Replayed, Problem> {
        let mut replay = Replay::new(self.setting(view, span.start));
        // The results of an agent's own check are what it says of itself; whether it is UP is known by contact.
        if view.check.watched() == Watched::Agent {
            return Ok(replay.finish(span.end));
        }
        for (timestamp, result) in before(state, view.check.id, span.start).await? {
            replay.feed(timestamp, &result);
        }
        let mut query = HistoryQuery {
            check: view.check.id,
            since: Some(span.start),
            until: Some(span.end),
            order: Order::OldestFirst,
            limit: PAGE,
        };
        let mut count = 0;
        loop {
            let rows = state.store().history(&query).await?;
            rows.iter().for_each(|row| replay.feed(row.timestamp, &row.result));
            count += rows.len() as u64;
            let last = rows.last().filter(|_| rows.len() == PAGE);
            let Some(last) = last else { return Ok(replay.finish(span.end)) };
            if count > MOST_RESULTS {
                return Err(too_many());
            }
            query.since = Some(last.timestamp.after(Millis::new(1)));
        }
    }

    fn answer(
        &self,
        view: &CheckView,
        span: Window,
        replayed: Replayed,
        was_sent: Vec<MessageBody>,
    ) -> ReplayBody {
        let seconds = |durations: vilicus_core::availability::Availability| {
            SecondsBody::from(durations.outside.plus(durations.planned))
        };
        let summary = Summary {
            would_send: replayed.tellings.len(),
            was_sent: was_sent.len(),
            would_seconds: seconds(replayed.course.durations(span, &[])),
            was_seconds: seconds(self.trail.course.durations(span, &[])),
        };
        let tellings = replayed.tellings.into_iter().take(MOST_TELLINGS);
        ReplayBody {
            check: uri("check", view.check.id),
            since: span.start,
            until: span.end,
            results: replayed.results,
            would_send: tellings.map(|telling| would_send(telling, self.own_routes)).collect(),
            was_sent,
            summary,
        }
    }
}

fn too_many() -> Problem {
    let detail = format!("the span holds more than {MOST_RESULTS} results; begin later, or end sooner");
    Problem::invalid("/since", detail)
}

/// What is wanted of the check instead.
fn policy(view: &CheckView, fields: Map<String, Value>) -> Result<Policy, Problem> {
    let fields = known_fields::<PolicyInput>(fields).map_err(|problem| problem.below("/policy"))?;
    let input: PolicyInput = from_fields(fields).map_err(|problem| problem.below("/policy"))?;
    let settings = input.onto(view).map_err(|problem| problem.below("/policy"))?;
    let mut check = Check::clone(&view.check);
    check.settings = settings;
    Ok(check.policy(view.agent.check_interval))
}

async fn routes_of(state: &AppState, caller: &Caller, written: Vec<Value>) -> Result<Vec<Route>, Problem> {
    let mut routes = Vec::with_capacity(written.len());
    for (index, value) in written.into_iter().enumerate() {
        let place = format!("/routes/{index}");
        let route = route_of(state, caller, value).await.map_err(|problem| problem.below(&place))?;
        // Their ids say only which of them it was.
        let id = RouteId::new(index as u64 + 1).unwrap_or(route.id);
        routes.push(Route { id, ..route });
    }
    routes.sort_by_key(|route| (route.position, route.id));
    Ok(routes)
}

async fn route_of(state: &AppState, caller: &Caller, value: Value) -> Result<Route, Problem> {
    let input: RouteInput = from_fields(known_fields::<RouteInput>(fields_of(value)?)?)?;
    Route::build(state, caller, input, new_route()).await
}

/// When the pings of a heartbeat are expected; `None` for checks of other kinds.
fn expected(check: &Check, grace: Millis) -> Option<(Expectation, Millis)> {
    let is_heartbeat = check.kind == HEARTBEAT_KIND;
    let params: HeartbeatParams = is_heartbeat.then(|| params::parse(&check.params.0).ok()).flatten()?;
    Some((params.expectation().ok()?, params.grace.unwrap_or(grace)))
}

/// The last results before the span, oldest first.
async fn before(
    state: &AppState,
    check: CheckId,
    start: Timestamp,
) -> Result<Vec<(Timestamp, CheckResult)>, Problem> {
    let query =
        HistoryQuery { check, since: None, until: Some(start), order: Order::NewestFirst, limit: WARM_UP };
    let mut rows = state.store().history(&query).await?;
    rows.reverse();
    Ok(rows.into_iter().map(|row| (row.timestamp, row.result)).collect())
}

fn would_send(telling: Telling, own_route: bool) -> MessageBody {
    MessageBody {
        at: telling.at,
        channel: uri("channel", telling.channel),
        route: telling.route.filter(|_| own_route).map(|route| uri("route", route)),
        event: telling.event.as_str().to_owned(),
        status: telling.status,
        previous: telling.previous,
        output: telling.output,
        notification: None,
        state: None,
    }
}

/// What was told of a check within the span.
async fn was_sent(state: &AppState, check: CheckId, span: Window) -> Result<Vec<MessageBody>, Problem> {
    let mut query = NotificationQuery { checks: vec![check], limit: PAGE, ..NotificationQuery::default() };
    let mut messages = Vec::new();
    loop {
        let rows = state.store().notifications(&query).await?;
        query.before = rows.last().map(|row| row.id);
        let over = rows.len() < PAGE || rows.last().is_some_and(|row| row.created_at < span.start);
        messages.extend(rows.iter().flat_map(|row| told_by(row, check, span)));
        if over {
            messages.sort_by_key(|message| message.at);
            return Ok(messages);
        }
    }
}

/// What a message told of this check within the span, unless another message told it, or a person made it tell.
fn told_by(row: &OutboxRow, check: CheckId, span: Window) -> impl Iterator<Item = MessageBody> + '_ {
    let counts =
        matches!(row.state, OutboxState::Pending | OutboxState::Sent { .. } | OutboxState::Failed { .. });
    let subject = format!("-check-{check}");
    let is_wanted = move |item: &&NotificationItem| {
        let by_people = matches!(item.event, NotificationEvent::Acknowledgement | NotificationEvent::Test);
        counts && !by_people && item.subject.ends_with(&subject) && span.contains(item.at)
    };
    row.items.iter().filter(is_wanted).map(|item| MessageBody {
        at: item.at,
        channel: uri("channel", row.channel),
        route: row.route.map(|route| uri("route", route)),
        event: item.event.as_str().to_owned(),
        status: item.status,
        previous: item.previous_status,
        output: item.output.lines().next().unwrap_or_default().to_owned(),
        notification: Some(uri("notification", row.id)),
        state: Some(row.state.as_str()),
    })
}
