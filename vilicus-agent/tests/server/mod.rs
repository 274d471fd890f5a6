//! A small server that speaks the agent's side of the contract over real sockets, and does as it is told.
//!
//! It keeps every result that it accepted, by (check, timestamp), as the real one does.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end here")]

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub(crate) const TOKEN: &str = "vil_test_token_that_no_log_may_show";
pub(crate) const ENROLL_TOKEN: &str = "vil_enroll_token_that_no_log_may_show";

/// An answer that is ready: status, headers, body.
type Canned = (u16, Vec<(&'static str, String)>, String);

/// What the server knows, and how it shall behave.
#[derive(Default)]
pub(crate) struct State {
    /// The checks that it wants run, as objects.
    pub(crate) checks: Vec<Value>,
    pub(crate) check_interval_ms: u64,
    /// Results by check and timestamp, as they came.
    pub(crate) results: BTreeMap<(u64, String), Value>,
    /// Results in the order in which they came, duplicates left out.
    pub(crate) arrivals: Vec<Value>,
    pub(crate) duplicates: usize,
    /// The sizes of the batches that were accepted.
    pub(crate) batches: Vec<usize>,
    /// Answers to give instead of the next ones.
    pub(crate) instead: VecDeque<Canned>,
    /// Batches larger than this are answered with a 413.
    pub(crate) max_batch: Option<usize>,
    /// Results of this check are rejected.
    pub(crate) reject: Option<u64>,
    /// What the next answer to a batch orders.
    pub(crate) run: Vec<Value>,
    pub(crate) check_ins: Vec<Value>,
    pub(crate) announced: Vec<Value>,
    pub(crate) refuse_announcements: bool,
    pub(crate) signed_off: bool,
    pub(crate) applications: Vec<Value>,
    /// Requests in the order in which they came, as `GET /path`.
    pub(crate) requests: Vec<String>,
    /// Seconds that its clock is ahead.
    pub(crate) clock_ahead: i64,
}

impl State {
    fn etag(&self) -> String {
        let mut text = format!("{}{:?}", self.check_interval_ms, self.checks);
        text.push_str(&format!("{:?}", self.announced));
        let hash = text.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        format!("{hash:x}")
    }

    /// The outputs of the results of one check, in the order in which they came.
    pub(crate) fn outputs(&self, check: u64) -> Vec<String> {
        let of_check = self.arrivals.iter().filter(|result| result["check"] == check);
        of_check.map(|result| result["output"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn count(&self, check: u64) -> usize {
        self.arrivals.iter().filter(|result| result["check"] == check).count()
    }
}

/// A running server; it ends when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
    tls: Option<TlsAcceptor>,
    task: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) async fn start(checks: Vec<Value>) -> Self {
        Self::start_with(checks, None).await
    }

    pub(crate) async fn start_with(checks: Vec<Value>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { checks, check_interval_ms: 1_000, ..State::default() };
        let mut server = Self { address, state: Arc::new(Mutex::new(state)), tls, task: None };
        server.accept(listener);
        server
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Goes away: connections break, and nobody listens.
    pub(crate) async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Comes back at the same address.
    pub(crate) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.accept(listener);
    }

    fn accept(&mut self, listener: TcpListener) {
        let (state, tls) = (self.state.clone(), self.tls.clone());
        self.task = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, tls) = (state.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, state).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, state).await;
                            }
                        }
                    }
                });
            }
        }));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Waits until the condition holds, for at most 20 seconds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, state: Arc<Mutex<State>>) {
    let service = service_fn(|request: Request<Incoming>| {
        let state = state.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            Ok::<_, Infallible>(answer(&mut state.lock().unwrap(), &Request::from_parts(parts, body)))
        }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn answer(state: &mut State, request: &Request<Bytes>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    state.requests.push(format!("{} {path}", request.method()));
    if let Some((status, headers, body)) = state.instead.pop_front() {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        return response.body(body.into()).unwrap();
    }
    let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let token = if path.ends_with("/enroll/") { ENROLL_TOKEN } else { TOKEN };
    if bearer != Some(&format!("Bearer {token}")) {
        return reply(state, 401, &json!({"title": "Unauthorized", "detail": "no such token"}));
    }
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    match (request.method(), path) {
        (&Method::GET, "/api/v1/agent/") => {
            let agent = agent(state);
            reply(state, 200, &json!({"meta": {}, "objects": [agent]}))
        }
        (&Method::GET, "/api/v1/check/") => checks(state, request),
        (&Method::POST, "/api/v1/check_history/") => results(state, &body),
        (&Method::PUT, "/api/v1/agent/1/") => {
            state.check_ins.push(body);
            let agent = agent(state);
            reply(state, 200, &agent)
        }
        (&Method::PUT, "/api/v1/agent/1/checks/") => announce(state, &body),
        (&Method::DELETE, "/api/v1/agent/1/") => {
            state.signed_off = true;
            reply(state, 204, &Value::Null)
        }
        (&Method::POST, "/api/v1/agent/enroll/") => enroll(state, body),
        _ => reply(state, 404, &json!({"title": "Not Found"})),
    }
}

fn reply(state: &State, status: u16, body: &Value) -> Response<Full<Bytes>> {
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(state.clock_ahead);
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let response = Response::builder().status(status).header("date", date);
    response.header("etag", format!("\"{}\"", state.etag())).body(body.into()).unwrap()
}

fn agent(state: &State) -> Value {
    json!({
        "id": 1, "resource_uri": "/api/v1/agent/1/", "name": "web-1", "hostname": "web-1", "state": "UP",
        "check_interval_ms": state.check_interval_ms, "config_etag": state.etag(),
    })
}

fn checks(state: &State, request: &Request<Bytes>) -> Response<Full<Bytes>> {
    let etag = format!("\"{}\"", state.etag());
    if request.headers().get("if-none-match").is_some_and(|known| *known == etag) {
        return reply(state, 304, &Value::Null);
    }
    let mut objects = state.checks.clone();
    objects.extend(state.announced.iter().enumerate().map(|(number, check)| {
        let mut check = check.clone();
        check["id"] = json!(100 + number);
        check["origin"] = json!("agent");
        check
    }));
    reply(state, 200, &json!({"meta": {}, "objects": objects}))
}

fn announce(state: &mut State, body: &Value) -> Response<Full<Bytes>> {
    if state.refuse_announcements {
        return reply(state, 422, &json!({"detail": "not these"}));
    }
    state.announced = body["objects"].as_array().unwrap().clone();
    let objects = state.announced.clone();
    reply(state, 200, &json!({"objects": objects, "config_etag": state.etag()}))
}

fn results(state: &mut State, body: &Value) -> Response<Full<Bytes>> {
    let objects = body["objects"].as_array().unwrap();
    if state.max_batch.is_some_and(|most| objects.len() > most) {
        return reply(state, 413, &json!({"title": "too large"}));
    }
    let (mut accepted, mut duplicates, mut rejected) = (0, 0, Vec::new());
    for (index, result) in objects.iter().enumerate() {
        let check = result["check"].as_u64().unwrap();
        let key = (check, result["timestamp"].as_str().unwrap().to_owned());
        if state.reject == Some(check) {
            rejected.push(json!({"index": index, "status": 422, "detail": "not this\u{1b}[31m one"}));
        } else if state.results.insert(key, result.clone()).is_some() {
            duplicates += 1;
        } else {
            accepted += 1;
            state.arrivals.push(result.clone());
        }
    }
    state.duplicates += duplicates;
    state.batches.push(objects.len());
    let run = std::mem::take(&mut state.run);
    let etag = state.etag();
    reply(
        state,
        200,
        &json!({"accepted": accepted, "duplicates": duplicates, "rejected": rejected, "config_etag": etag, "run": run}),
    )
}

fn enroll(state: &mut State, application: Value) -> Response<Full<Bytes>> {
    if state.applications.iter().any(|known| known["name"] == application["name"]) {
        return reply(state, 409, &json!({"detail": "the name is taken"}));
    }
    let name = application["name"].clone();
    state.applications.push(application);
    reply(state, 201, &json!({"agent": {"id": 1, "name": name}, "token": TOKEN}))
}
