//! An API over a store in memory, with a clock that stands still, and requests that are short to write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use vilicus_agent::checks::{StockOptions, stock_kinds};
use vilicus_core::{AgentId, ChannelId, Millis, Timestamp, async_trait};
use vilicus_server::Clock as _;
use vilicus_server::api::{
    self, AppState, ChannelTester, Parts, SystemRandom, TestOutcome, new_secret, new_token,
};
use vilicus_server::clock::ManualClock;
use vilicus_server::http::Limits;
use vilicus_server::notifiers::stock_notifiers;
use vilicus_server::outbound::OutboundPolicy;
use vilicus_store::inventory::{Role, Token};
use vilicus_store::{Change, Engine, EngineStore, Input, MemoryEngine, Options, Store};

/// The moment at which every test begins.
pub(crate) const START: &str = "2026-11-22T12:00:00.000Z";

#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) router: Router,
    pub(crate) state: AppState,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) admin: String,
    names: AtomicU64,
}

#[derive(Debug)]
struct Delivers;

#[async_trait]
impl ChannelTester for Delivers {
    async fn test(&self, channel: ChannelId) -> TestOutcome {
        let detail = format!("channel {channel} took it");
        TestOutcome { delivered: true, detail, took: Millis::new(7), receipt: Some("r-1".to_owned()) }
    }
}

impl Api {
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::over(MemoryEngine::new(), limits).await
    }

    /// An API over a store over this engine.
    pub(crate) async fn over(engine: impl Engine, limits: Limits) -> Self {
        let clock = Arc::new(ManualClock::new(START.parse().unwrap()));
        let store = EngineStore::open(engine, Options::new(clock.now(), [7; 16])).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let parts = Parts {
            store: Arc::clone(&store),
            kinds: stock_kinds(StockOptions::default()),
            notifiers: stock_notifiers(OutboundPolicy::default(), clock.clone()),
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
            tester: Arc::new(Delivers),
            limits,
            public_url: Some("https://vilicus.example/".to_owned()),
        };
        let state = AppState::new(parts);
        let router = api::router(state.clone());
        let mut api = Self { router, state, store, clock, admin: String::new(), names: AtomicU64::new(0) };
        api.admin = api.token(Role::Admin).await;
        api
    }

    /// The moment that the server takes for now.
    pub(crate) fn clock_now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A token of this role that belongs to no agent.
    pub(crate) async fn token(&self, role: Role) -> String {
        self.token_like(role, |_| {}).await
    }

    /// A token of this role, changed by `change`.
    pub(crate) async fn token_like(&self, role: Role, change: impl FnOnce(&mut Token)) -> String {
        let secret = new_secret(&SystemRandom).unwrap();
        let name = format!("{role}-{}", self.names.fetch_add(1, Ordering::Relaxed));
        let mut token = new_token(name, role, &secret, self.clock.now());
        change(&mut token);
        let change = Change::CreateToken(Box::new(token));
        let input = Input::Change { change, by: "test".to_owned() };
        self.store.commit(self.clock.now(), vec![input]).await.unwrap();
        secret.expose_secret().to_owned()
    }

    /// A token of this agent.
    pub(crate) async fn agent_token(&self, agent: u64) -> String {
        self.token_like(Role::Agent, |token| token.agent = AgentId::new(agent)).await
    }

    /// A new agent and its token.
    pub(crate) async fn agent(&self, name: &str) -> (u64, String) {
        let reply = self.post("/api/v1/agent/", json!({"name": name})).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let id = reply.json()["id"].as_u64().unwrap();
        (id, self.agent_token(id).await)
    }

    /// A new check of a kind that needs no parameters.
    pub(crate) async fn check(&self, agent: u64, name: &str) -> u64 {
        let reply = self.post("/api/v1/check/", json!({"agent": agent, "name": name, "kind": "load"})).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["id"].as_u64().unwrap()
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        let request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        Ask { router: &self.router, request, body: Body::empty() }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path).bearer(&self.admin).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.ask("POST", path).bearer(&self.admin).json(&body).send().await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.ask("PUT", path).bearer(&self.admin).json(&body).send().await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.ask("PATCH", path).bearer(&self.admin).json(&body).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.ask("DELETE", path).bearer(&self.admin).send().await
    }
}

/// A moment so many seconds after [`START`].
pub(crate) fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = START.parse().unwrap();
    Timestamp::from_millis(start.as_millis() + seconds * 1000)
}

#[must_use]
pub(crate) struct Ask<'a> {
    router: &'a Router,
    request: http::request::Builder,
    body: Body,
}

impl Ask<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        let value = format!("Bearer {token}");
        self.header("authorization", &value)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) async fn send(self) -> Reply {
        let response = api::call(self.router, self.request.body(self.body).unwrap()).await;
        let (parts, body) = response.into_parts();
        // A stream of events has no end.
        let endless = parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let body = if endless { Vec::new() } else { body.collect().await.unwrap().to_bytes().to_vec() };
        Reply { status: parts.status, headers: parts.headers, body }
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The pointers of the mistakes that it names.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }
}
