//! `/event/stream/`: the audit trail as it grows, as Server-Sent Events.
//!
//! A stream reads the store when its reader takes what it has, and only then: it holds one page at most, so a slow
//! reader costs no memory, and one that takes nothing at all is left by the connection's idle time. Where it stopped it
//! goes on with `Last-Event-ID`, without loss or duplicate, because events are read by their ids and not handed around.
//!
//! A stream ends when its token does, when the server stops, and when the store can't be read. Readers come back by
//! themselves.
//!
//! *Source of the format:* <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::{AgentId, CheckId, Event, EventId, Millis, TokenId};
use vilicus_store::Sequence;
use vilicus_store::query::{EventQuery, Order};

use super::AppState;
use super::agent::ids_of;
use super::event::{bodies, checks_of, type_of, types_of};
use crate::http::Problem;
use crate::http::auth::{Caller, Viewer, is_still_valid};
use crate::http::query::Query;

/// A comment goes out so often when nothing else does; and three times within the connection's idle time.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The token is looked at so often when nothing happens.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A burst of commits makes one look at the events.
const LOOK_GAP: Duration = Duration::from_millis(20);
/// A reader comes back so long after the end of its stream.
const RETRY: Duration = Duration::from_secs(2);
/// Events are read so many at a time.
const PAGE: usize = 200;
/// The most streams at a time …
const MOST_STREAMS: usize = 1_024;
/// … and of one token.
const MOST_STREAMS_OF_A_TOKEN: usize = 64;

/// The header by which a reader says where it stopped.
const LAST_EVENT_ID: &str = "last-event-id";

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(follow))
}

/// What happens, as it happens: `id` is that of the event, `event` its type, `data` the object of `/event/`. Begins
/// after `Last-Event-ID`, else after `after`, else now.
#[utoipa::path(get, path = "/api/v1/event/stream/", tag = "event", params(
    ("agent" = Option<String>, Query), ("check" = Option<String>, Query), ("type" = Option<String>, Query),
    ("after" = Option<u64>, Query), ("Last-Event-ID" = Option<u64>, Header)),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
async fn follow(
    State(state): State<AppState>,
    Viewer(caller): Viewer,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = query.parsed("after")?;
    let after = last_event_id(&headers)?.or(after);
    let filter = Filter::from_query(&state, &caller, &mut query).await?;
    query.finish()?;
    let after = match after {
        Some(after) => EventId::new(after),
        None => newest(&state).await?,
    };
    let place = state.streams().take(caller.token().id)?;
    let heartbeat = HEARTBEAT.min(state.limits().idle / 3);
    let source =
        Source { state, caller, filter, after, seen: Sequence::START, page: VecDeque::new(), _place: place };
    let keep_alive = KeepAlive::new().interval(heartbeat).text("nothing new");
    let mut response = Sse::new(messages(source)).keep_alive(keep_alive).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // What some proxies take as the word not to gather the answer first.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let wrong = || Problem::bad_request("Last-Event-ID is not the id of an event; leave it out to begin now");
    id.map(Some).ok_or_else(wrong)
}

/// The newest event there is.
async fn newest(state: &AppState) -> Result<Option<EventId>, Problem> {
    let query = EventQuery { limit: 1, ..EventQuery::default() };
    Ok(state.store().events(&query).await?.first().map(|event| event.id))
}

/// Which events are wanted. `None` wants all.
#[derive(Debug)]
struct Filter {
    agents: Option<Vec<AgentId>>,
    checks: Option<Vec<CheckId>>,
    types: Option<Vec<String>>,
}

impl Filter {
    async fn from_query(state: &AppState, caller: &Caller, query: &mut Query) -> Result<Self, Problem> {
        let agents = match query.any("agent") {
            Some(texts) => Some(ids_of(state, caller, &texts).await?),
            None => None,
        };
        let checks = checks_of(state, caller, query.any("check")).await?;
        Ok(Self { agents, checks, types: types_of(query.any("type"))? })
    }

    fn wants(&self, event: &Event) -> bool {
        let agent = |wanted: &Vec<AgentId>| event.agent.is_some_and(|agent| wanted.contains(&agent));
        let check = |wanted: &Vec<CheckId>| event.check.is_some_and(|check| wanted.contains(&check));
        let named = |wanted: &Vec<String>| wanted.iter().any(|word| word == type_of(&event.what));
        self.agents.as_ref().is_none_or(agent)
            && self.checks.as_ref().is_none_or(check)
            && self.types.as_ref().is_none_or(named)
    }
}

/// Where the messages of one stream come from.
#[derive(Debug)]
struct Source {
    state: AppState,
    caller: Caller,
    filter: Filter,
    /// The last event that was looked at, whether it was wanted or not.
    after: Option<EventId>,
    /// The commits that were looked at.
    seen: Sequence,
    /// What was read and not taken yet.
    page: VecDeque<Message>,
    _place: Place,
}

/// The messages of a stream; the first says that it is open.
fn messages(source: Source) -> impl Stream<Item = Result<Message, Infallible>> {
    let open = Message::default().retry(RETRY).comment("open");
    let rest = stream::unfold(source, |mut source| async move {
        let message = source.next().await?;
        Some((Ok(message), source))
    });
    stream::StreamExt::chain(stream::iter([Ok(open)]), rest)
}

impl Source {
    /// The next message, as soon as there is one; `None` ends the stream.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.page.pop_front() {
                return Some(message);
            }
            let closing = self.state.closing().clone();
            let turned = closing.run_until_cancelled(self.turn_page()).await?;
            match turned {
                Ok(Turned::Page) => {}
                Ok(Turned::Nothing) => closing.run_until_cancelled(self.wait()).await?,
                Ok(Turned::End) => return None,
                Err(problem) => {
                    tracing::warn!(detail = problem.detail(), "a stream of events ends: they cannot be read");
                    return None;
                }
            }
        }
    }

    /// Reads the next events, those that are not wanted too: so each is looked at once.
    async fn turn_page(&mut self) -> Result<Turned, Problem> {
        if !is_still_valid(&self.caller, &self.state).await? {
            return Ok(Turned::End);
        }
        let query =
            EventQuery { after: self.after, order: Order::OldestFirst, limit: PAGE, ..EventQuery::default() };
        let mut events = self.state.store().events(&query).await?;
        let Some(last) = events.last() else { return Ok(Turned::Nothing) };
        let last = last.id;
        events.retain(|event| self.filter.wants(event));
        let shown = bodies(&self.state, &events).await?;
        for (event, body) in events.iter().zip(shown) {
            // The body was made to be written as JSON.
            let message = Message::default().json_data(body).map_err(|_| Problem::internal())?;
            self.page.push_back(message.id(event.id.to_string()).event(type_of(&event.what)));
        }
        self.after = Some(last);
        Ok(Turned::Page)
    }

    /// Waits until something may have happened, to the events or to the token.
    async fn wait(&mut self) {
        tokio::select! {
            seen = self.state.store().changed(self.seen) => {
                self.seen = seen;
                tokio::time::sleep(LOOK_GAP).await;
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// What came of reading on.
enum Turned {
    /// There were events.
    Page,
    /// There were none yet.
    Nothing,
    /// The token is no longer valid.
    End,
}

/// The streams that are open, by token.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<TokenId, usize>>>);

/// The place of one stream; free again when dropped.
#[derive(Debug)]
struct Place {
    streams: Streams,
    token: TokenId,
}

impl Streams {
    fn take(&self, token: TokenId) -> Result<Place, Problem> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let retry_after = Millis::from(HEARTBEAT);
        if open.values().sum::<usize>() >= MOST_STREAMS {
            return Err(Problem::unavailable("all streams are taken; try again later", retry_after));
        }
        let own = open.entry(token).or_default();
        if *own >= MOST_STREAMS_OF_A_TOKEN {
            let detail = format!("this token has {MOST_STREAMS_OF_A_TOKEN} streams open; close one");
            return Err(Problem::too_many(detail, retry_after));
        }
        *own += 1;
        Ok(Place { streams: self.clone(), token })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.token) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_counted_and_their_places_come_back() {
        let (streams, token) = (Streams::default(), |id| TokenId::new(id).unwrap());
        let mut places: Vec<Place> =
            (0..MOST_STREAMS_OF_A_TOKEN).map(|_| streams.take(token(1)).unwrap()).collect();
        assert_eq!(streams.take(token(1)).unwrap_err().status(), 429);
        for id in 2.. {
            while let Ok(place) = streams.take(token(id)) {
                places.push(place);
            }
            if places.len() == MOST_STREAMS {
                break;
            }
        }
        assert_eq!(streams.take(token(9_999)).unwrap_err().status(), 503);
        places.truncate(1);
        assert_eq!(streams.0.lock().unwrap().len(), 1, "tokens without a stream are forgotten");
        assert!(streams.take(token(9_999)).is_ok());
    }

    #[test]
    fn a_place_to_go_on_is_a_number_or_nothing() {
        for (value, expected) in [("", Some(None)), ("7", Some(Some(7))), ("0", Some(Some(0))), ("x", None)] {
            let mut headers = HeaderMap::new();
            headers.insert(LAST_EVENT_ID, HeaderValue::from_static(value));
            assert_eq!(last_event_id(&headers).ok(), expected, "{value}");
        }
    }
}
