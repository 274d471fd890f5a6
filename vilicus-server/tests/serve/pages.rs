//! The pages of a server in this process: who gets in, what is shown, and what a hostile agent can't do.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vilicus_core::{AgentId, CheckId, CheckResult, Millis, Timestamp};
use vilicus_server::api::SystemRandom;
use vilicus_server::clock::{Clock as _, SystemClock};
use vilicus_server::{Server, ServerError, tokens};
use vilicus_store::inventory::{Agent, Check, CheckSpec, Role};
use vilicus_store::{Change, EngineStore, Input, Json, MemoryEngine, Options, Outcome, Store};

use crate::browser::Browser;

const ADMIN: &str = "an-admin-token-of-the-page-tests-01";
const VIEWER: &str = "a-viewer-token-of-the-page-tests-01";
const ENROLL: &str = "enroll-token-of-the-page-tests-0001";

struct Embedded {
    url: String,
    store: Arc<dyn Store>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServerError>>,
}

impl Embedded {
    async fn start() -> Self {
        let now = SystemClock::new().now();
        let store: Arc<dyn Store> =
            Arc::new(EngineStore::open(MemoryEngine::new(), Options::new(now, [7; 16])).unwrap());
        for (name, role, text) in [
            ("admin", Role::Admin, ADMIN),
            ("viewer", Role::Viewer, VIEWER),
            ("enroll", Role::Enroll, ENROLL),
        ] {
            tokens::ensure(store.as_ref(), name, role, &text.into(), None, now).await.unwrap();
        }
        let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let server = Server::builder().listen(anywhere).store(store.clone()).build().await.unwrap();
        let url = format!("http://{}", server.addresses()[0]);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async { drop(stopped.await) }));
        Self { url, store, stop, task }
    }

    async fn change(&self, change: Change) -> u64 {
        let input = Input::Change { change, by: "test".to_owned() };
        match self.store.commit(SystemClock::new().now(), vec![input]).await.unwrap().remove(0) {
            Outcome::Id(id) => id,
            other => panic!("{other:?}"),
        }
    }

    async fn logged_in(&self, token: &str) -> Browser {
        let mut browser = Browser::new(&self.url);
        let page = browser.submit("/login", &[("token", token)]).await;
        assert_eq!((page.status, page.location.as_deref()), (303, Some("/")));
        browser
    }
}

pub(crate) fn agent(name: &str, now: Timestamp) -> Box<Agent> {
    Box::new(Agent {
        id: AgentId::new(1).unwrap(),
        name: name.to_owned(),
        hostname: name.to_owned(),
        guid: None,
        version: Some(name.to_owned()),
        check_interval: Millis::from_secs(60),
        tags: vec![name.to_owned()],
        facts: Json(json!({})),
        ephemeral: false,
        expire_after: None,
        templates: Vec::new(),
        managed_by: None,
        created_at: now,
        last_checkin: None,
    })
}

fn check(agent: u64, name: &str) -> Box<Check> {
    let spec = CheckSpec { depends_on_states: Vec::new(), ..CheckSpec::new("cpu", json!({})) };
    Box::new(Check::new(AgentId::new(agent).unwrap(), name, spec))
}

#[tokio::test]
async fn only_those_who_may_look_get_in() {
    let server = Embedded::start().await;
    let mut stranger = Browser::new(&server.url);
    let page = stranger.get("/").await;
    assert_eq!(page.status, 401);
    assert!(page.text.contains("<form method=\"post\" action=\"/login\">"), "{}", page.text);
    assert_eq!(stranger.get("/login").await.status, 200);
    let wrong = stranger.submit("/login", &[("token", "no-token-of-this-server-at-all-0001")]).await;
    assert_eq!((wrong.status, wrong.cookie), (401, None));
    let enroll = stranger.submit("/login", &[("token", ENROLL)]).await;
    assert_eq!((enroll.status, enroll.cookie), (403, None));
    let foreign = stranger.submit_from("cross-site", "/login", &[("token", ADMIN)]).await;
    assert_eq!((foreign.status, foreign.cookie), (403, None));
    for token in [ADMIN, VIEWER] {
        assert_eq!(server.logged_in(token).await.get("/").await.status, 200);
    }
    let api = stranger.get("/api/v1/agent/").await;
    assert_eq!((api.status, api.location), (401, None), "the API never redirects");
}

#[tokio::test]
async fn a_session_ends_at_the_logout_and_only_there() {
    let server = Embedded::start().await;
    let mut browser = server.logged_in(VIEWER).await;
    assert_eq!(browser.get("/").await.status, 200);
    let kept = browser.cookie().unwrap();
    browser.submit_from("cross-site", "/logout", &[]).await;
    browser.take_cookie(&kept);
    assert_eq!(browser.get("/").await.status, 200, "another page ends nobody's session");
    let out = browser.submit("/logout", &[]).await;
    assert_eq!((out.status, out.location.as_deref()), (303, Some("/login")));
    browser.take_cookie(&kept);
    assert_eq!(browser.get("/").await.status, 401, "it ended on the server, not only in the browser");
}

#[tokio::test]
async fn a_login_link_works_once_and_no_preview_uses_it_up() {
    let server = Embedded::start().await;
    let now = SystemClock::new().now();
    let link = tokens::login_link(server.store.as_ref(), &SystemRandom, "test", now).await.unwrap();
    let mut browser = Browser::new(&server.url);
    assert_eq!(browser.head(&link).await.status, 200);
    assert_eq!(browser.get(&link).await.status, 303);
    assert_eq!(browser.get("/").await.status, 200);
    let again = Browser::new(&server.url).get(&link).await;
    assert_eq!(again.status, 401);
    assert!(again.text.contains("vilicus-server login-link"), "{}", again.text);
    let code = link.split('=').nth(1).unwrap();
    let api = Browser::new(&server.url).get(&format!("/api/v1/agent/?code={code}")).await;
    assert_eq!(api.status, 401);
}

#[tokio::test]
async fn a_session_outlives_the_link_that_it_came_from() {
    let server = Embedded::start().await;
    let now = SystemClock::new().now();
    let link = tokens::login_link(server.store.as_ref(), &SystemRandom, "test", now).await.unwrap();
    let mut browser = Browser::new(&server.url);
    browser.get(&link).await;
    let later = now.after(tokens::LOGIN_LINK_LIFE).after(Millis::from_minutes(1));
    tokens::remove_expired(server.store.as_ref(), later).await.unwrap();
    assert_eq!(browser.get("/").await.status, 200, "the hour is that of the link");
    tokens::remove_expired(server.store.as_ref(), later.after(tokens::SESSION_LIFE)).await.unwrap();
    assert_eq!(browser.get("/").await.status, 401);
    assert_eq!(server.store.tokens().await.unwrap().len(), 3, "tokens for the API stay");
}

#[tokio::test]
async fn hostile_names_and_outputs_are_inert_on_the_page() {
    let server = Embedded::start().await;
    let hostile = "<img src=x onerror=alert(1)>\"'&{{7*7}}";
    let now = SystemClock::new().now();
    let agent = server.change(Change::CreateAgent(agent(hostile, now))).await;
    let id = server.change(Change::CreateCheck(check(agent, hostile))).await;
    let result = CheckResult::critical(format!("{hostile}\u{1b}[31m\u{0}")).long_output(hostile).at(now);
    let input = Input::Result { check: CheckId::new(id).unwrap(), result };
    server.store.commit(now, vec![input]).await.unwrap();
    let page = server.logged_in(VIEWER).await.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("1 problem") && page.text.contains("onerror"), "{}", page.text);
    assert!(!page.text.contains("<img") && !page.text.contains("\"'&{"), "{}", page.text);
    assert!(!page.text.contains(['\u{1b}', '\u{0}']), "no control characters");
}

#[tokio::test]
async fn every_page_forbids_what_it_does_not_need() {
    let server = Embedded::start().await;
    let mut browser = server.logged_in(ADMIN).await;
    for path in ["/", "/login", "/assets/style.css", "/assets/live.js", "/assets/icon.svg"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        let header = |name: &str| page.headers.get(name).map_or("", |value| value.to_str().unwrap());
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
    }
    assert!(browser.get("/").await.headers["cache-control"].to_str().unwrap().contains("no-store"));
}

#[tokio::test]
async fn an_empty_server_says_what_to_do_next() {
    let server = Embedded::start().await;
    let page = server.logged_in(ADMIN).await.get("/").await.text;
    for text in [
        "Nothing is watched yet",
        "--local-agent",
        "vilicus-agent enroll --server http://127.0.0.1:",
        "/api/v1/channel/",
    ] {
        assert!(page.contains(text), "'{text}' is missing:\n{page}");
    }
}

#[tokio::test]
async fn health_readiness_and_metrics_need_no_token() {
    let server = Embedded::start().await;
    let mut stranger = Browser::new(&server.url);
    assert_eq!(stranger.get("/healthz").await.status, 200);
    let ready = stranger.get("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.text);
    let metrics = stranger.get("/metrics").await;
    assert!(metrics.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    for line in [
        "vilicus_agents{state=\"up\"} 0",
        "vilicus_checks{status=\"critical\"} 0",
        "vilicus_store_writable 1",
    ] {
        assert!(metrics.text.contains(line), "'{line}' is missing:\n{}", metrics.text);
    }
    let nothing = stranger.get("/nothing/at/all").await;
    assert_eq!((nothing.status, nothing.location), (404, None));
    server.stop.send(()).unwrap();
    server.task.await.unwrap().unwrap();
}
