//! `/ping/{key}/`: where jobs say that they ran. The key in the address is all that is asked for: no header, no token, so
//! that `curl` in a crontab is enough.
//!
//! A job must not fail because of its ping: any body is taken, what is too long is cut, unknown parameters are ignored.
//! A heartbeat that is switched off answers as any other and stays so: its pings are history, and who switched it off
//! switches it on.

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::heartbeat::Signal;
use vilicus_store::Input;
use vilicus_store::inventory::{Check, HEARTBEAT_KIND};

use super::AppState;
use super::reference::ROOT;
use super::state::Random;
use crate::http::json::RawBody;
use crate::http::path::PathParts;
use crate::http::query::Query;
use crate::http::{Peer, Problem};

/// What is kept of a body, in bytes.
const MAX_BODY: usize = 10_000;

/// The routes of pings.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(ping)).routes(routes!(signal))
}

/// The path that the pings of this heartbeat go to; `None` for checks of other kinds.
pub(super) fn path_of(check: &Check) -> Option<String> {
    check.ping_key.as_ref().map(|key| format!("{ROOT}/ping/{key}/"))
}

/// The key that a check of this kind has: the one that it had before, or a new one; none unless it is a heartbeat.
///
/// # Errors
/// The system gives no randomness.
pub(crate) fn key_for(
    kind: &str,
    old: Option<String>,
    random: &dyn Random,
) -> Result<Option<String>, Problem> {
    match (kind == HEARTBEAT_KIND, old) {
        (false, _) => Ok(None),
        (true, Some(old)) => Ok(Some(old)),
        (true, None) => new_key(random).map(Some),
    }
}

/// A key that nobody can guess: a random UUID.
///
/// # Errors
/// The system gives no randomness.
pub(super) fn new_key(random: &dyn Random) -> Result<String, Problem> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes).map_err(|_| Problem::internal())?;
    // Version 4, variant 1. Source: RFC 9562, section 5.4.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    Ok(parts.join("-"))
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
struct Sender(Peer);

impl FromRequestParts<AppState> for Sender {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        Ok(Self(parts.extensions.get::<Peer>().copied().unwrap_or(Peer::LOCAL)))
    }
}

/// The job ran, and all is well. `rid`, a UUID, tells this run from others.
#[utoipa::path(method(get, post, head), path = "/api/v1/ping/{key}/", tag = "ping", security(()),
    params(("key" = String, Path), ("rid" = Option<String>, Query)), request_body = Option<String>,
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn ping(
    State(state): State<AppState>,
    sender: Sender,
    path: PathParts,
    query: Query,
    body: RawBody,
) -> Result<Response, Problem> {
    note(&state, sender, &path, query, Signal::Success, body).await
}

/// The job says something else: `start`, `success`, `fail`, `log`, or its exit status, 0 to 255.
#[utoipa::path(method(get, post, head), path = "/api/v1/ping/{key}/{signal}/", tag = "ping", security(()),
    params(("key" = String, Path), ("signal" = String, Path), ("rid" = Option<String>, Query)),
    request_body = Option<String>, responses((status = 200, body = String, content_type = "text/plain")))]
async fn signal(
    State(state): State<AppState>,
    sender: Sender,
    path: PathParts,
    query: Query,
    body: RawBody,
) -> Result<Response, Problem> {
    let signal = read_signal(path.part("signal"))?;
    note(&state, sender, &path, query, signal, body).await
}

fn read_signal(word: &str) -> Result<Signal, Problem> {
    match word {
        "start" => Ok(Signal::Start),
        "success" => Ok(Signal::Success),
        "fail" => Ok(Signal::Fail),
        "log" => Ok(Signal::Log),
        code if code.bytes().all(|byte| byte.is_ascii_digit()) => {
            code.parse().map(Signal::Exit).map_err(|_| {
                Problem::new(
                    http::StatusCode::UNPROCESSABLE_ENTITY,
                    "an exit status is a number from 0 to 255",
                )
            })
        }
        _ => Err(Problem::not_found()),
    }
}

async fn note(
    state: &AppState,
    Sender(peer): Sender,
    path: &PathParts,
    mut query: Query,
    signal: Signal,
    RawBody(body): RawBody,
) -> Result<Response, Problem> {
    let rid = query.one("rid").map(|rid| read_rid(&rid)).transpose()?;
    let key = path.part("key").to_ascii_lowercase();
    let check = state.store().check_by_ping_key(&key).await?.ok_or_else(|| refuse(state, peer))?;
    let input = Input::Ping { check, signal, rid, body: readable(&body) };
    state.store().commit(state.clock().now(), vec![input]).await?;
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    Ok((headers, "OK").into_response())
}

/// 404, or 429 when this address guessed too often. A key that is known always passes.
fn refuse(state: &AppState, peer: Peer) -> Problem {
    match state.failed_logins().take(peer.subscriber(), state.clock().monotonic()) {
        Ok(()) => Problem::not_found(),
        Err(span) => Problem::too_many("too many keys from this address were not known", span),
    }
}

/// A UUID in its usual form, in lower case.
fn read_rid(text: &str) -> Result<String, Problem> {
    let parts: Vec<&str> = text.split('-').collect();
    let fits = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match fits {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Problem::bad_request("rid takes a UUID, as 01234567-89ab-4cde-8f01-23456789abcd")),
    }
}

/// The beginning of a body as text: what is no UTF-8, and control characters, are made visible.
fn readable(body: &Bytes) -> String {
    let mut end = body.len().min(MAX_BODY);
    // A character that the cut goes through is left out; one of UTF-8 goes on for three bytes at most.
    while end < body.len() && end + 3 > MAX_BODY && end > 0 && body[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    let text = String::from_utf8_lossy(&body[..end]).replace("\r\n", "\n");
    let visible =
        |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SystemRandom;

    #[test]
    fn a_word_or_an_exit_status_is_a_signal() {
        for (word, signal) in [
            ("start", Ok(Signal::Start)),
            ("fail", Ok(Signal::Fail)),
            ("0", Ok(Signal::Exit(0))),
            ("255", Ok(Signal::Exit(255))),
            ("256", Err(422)),
            ("99999999999999999999", Err(422)),
            ("-1", Err(404)),
            ("+1", Err(404)),
            ("Start", Err(404)),
        ] {
            let read = read_signal(word).map_err(|problem| problem.status().as_u16());
            assert_eq!(read, signal, "{word}");
        }
    }

    #[test]
    fn any_body_can_be_read() {
        let long = "ä".repeat(MAX_BODY);
        let table: [(&[u8], &str); 4] = [
            (b"well\r\ndone\t1", "well\ndone\t1"),
            (b"a\xffb", "a\u{fffd}b"),
            (b"\x1b[31mred\x00", "\u{fffd}[31mred\u{fffd}"),
            (long.as_bytes(), &long[..MAX_BODY]),
        ];
        for (body, text) in table {
            assert_eq!(readable(&Bytes::copy_from_slice(body)), text);
        }
        let cut = readable(&Bytes::from(format!("x{long}")));
        assert_eq!(cut.len(), MAX_BODY - 1, "no half of a character is left: {:?}", &cut[MAX_BODY - 5..]);
        let junk = readable(&Bytes::from(vec![0x80; 2 * MAX_BODY]));
        assert!(junk.chars().count() > MAX_BODY - 5, "only a character that was cut is left out");
    }

    #[test]
    fn a_rid_is_a_uuid() {
        let rid = "01234567-89AB-4cde-8f01-23456789abcd";
        assert_eq!(read_rid(rid).unwrap(), rid.to_lowercase());
        for text in
            ["", "1", "0123456789ab4cde8f0123456789abcd", "01234567-89ab-4cde-8f01-23456789abcg", "a-b-c-d-e"]
        {
            assert_eq!(read_rid(text).unwrap_err().status(), 400, "{text}");
        }
    }

    #[test]
    fn a_key_is_a_random_uuid() {
        let (one, other) = (new_key(&SystemRandom).unwrap(), new_key(&SystemRandom).unwrap());
        assert_ne!(one, other);
        assert_eq!(read_rid(&one).unwrap(), one);
        assert_eq!(&one[14..15], "4");
    }

    #[test]
    fn only_heartbeats_have_a_key_and_they_keep_it() {
        let key = |kind, old: Option<&str>| key_for(kind, old.map(str::to_owned), &SystemRandom).unwrap();
        assert_eq!(key(HEARTBEAT_KIND, Some("old")).as_deref(), Some("old"));
        assert!(key(HEARTBEAT_KIND, None).is_some());
        assert_eq!(key("load", Some("old")), None);
    }
}
