//! What requests cost inside a server: no socket, no kernel, no disk. What is left is parsing, authorizing, judging, packing,
//! reading and writing.
//!
//! The limits that they are held against: `serde_json` reads a result of 150 bytes into borrowed types in 0.3 µs; a page is
//! written at the speed of a few copies of it, 0.3 µs a row of 300 bytes; and people do not notice 10 ms.
//!
//! ```text
//! cargo run --release -p vilicus-benches --bin inside
//! ```
#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use tower::ServiceExt as _;
use vilicus_benches::body::{Look, Text, Writer};
use vilicus_benches::connection::bearer;
use vilicus_benches::store::{BATCH, START, configure, result};
use vilicus_benches::{Failure, clock};
use vilicus_core::{CheckId, Millis, Timestamp};
use vilicus_server::settings::{ServerSecret, Settings};
use vilicus_server::{Clock, Server};
use vilicus_store::query::{HistoryQuery, Order};
use vilicus_store::report::Reports;
use vilicus_store::{EngineStore, Input, MemoryEngine, Options, Store};

/// That of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const AGENTS: usize = 100;
/// One that the server takes for an administrator's.
const TOKEN: &str = "a-token-of-an-administrator-for-this-bench";
/// The results of each check of the first agent before anything is measured, a minute apart.
const RESULTS: u64 = 2_000;
const PAGE: usize = 1_000;
/// How long each piece of work is repeated.
const SPAN: Duration = Duration::from_secs(1);

/// A clock that stands still, just after the last result.
#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        moment(RESULTS)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

fn moment(minute: u64) -> Timestamp {
    START.after(Millis::from_secs(60 * minute))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let store: Arc<dyn Store> =
        Arc::new(EngineStore::open(MemoryEngine::new(), Options::new(START, [7; 16]))?);
    let families = configure(&store, AGENTS).await?;
    let (checks, check) = (&families[0], families[0][0]);
    fill(&store, checks).await?;
    let server = server(&store).await?;

    let mut writer = Writer::new(Look { text: Text::Changing, failing: 0.0 });
    let ids: Vec<u64> = checks.iter().map(|check| check.get()).collect();
    let mut at = moment(RESULTS).as_millis();
    let mut next = || {
        at += 1;
        at
    };
    each("a result, of a batch of 100", BATCH, async || server.post(writer.batch(&ids, next())).await)
        .await?;
    each("a result by itself", 1, async || server.post(writer.one(ids[1], next())).await).await?;
    each("a result kept, read from the store", PAGE, async || {
        let query = HistoryQuery { check, since: None, until: None, order: Order::NewestFirst, limit: PAGE };
        some(store.history(&query).await?.len())
    })
    .await?;
    let of_check = format!("/api/v1/check_history/?check={check}");
    let rows = format!("{of_check}&limit={PAGE}");
    each("a row of a page of 1,000 results", PAGE, async || server.get(&rows).await).await?;
    let day = format!("{of_check}&resolution=auto&since={}", moment(RESULTS - 24 * 60));
    each("a day of a check as points", 1, async || server.get(&day).await).await?;
    each("the overview page, 10,000 checks", 1, async || server.get("/").await).await?;
    let page = format!("/check/{check}?range=30d");
    each("the page of a check", 1, async || server.get(&page).await).await?;
    Ok(())
}

/// Gives checks a past, on disk and in memory.
async fn fill(store: &Arc<dyn Store>, checks: &[CheckId]) -> Result<(), Failure> {
    for minute in 1..=RESULTS {
        let mut reports = Reports::default();
        checks.iter().for_each(|check| reports.add(*check, &result(*check, minute, moment(minute))));
        store.commit(moment(minute), vec![Input::Reports(Box::new(reports))]).await?;
    }
    store.maintain(moment(RESULTS)).await?;
    Ok(())
}

/// A server that is asked without a socket.
struct Inside {
    routes: axum::Router,
}

async fn server(store: &Arc<dyn Store>) -> Result<Inside, Failure> {
    let mut settings = Settings::default();
    settings.admin_token = Some(ServerSecret::new(TOKEN));
    settings.self_checks = false;
    let server = Server::builder()
        .listen(([127, 0, 0, 1], 0).into())
        .store(Arc::clone(store))
        .clock(Arc::new(Standing))
        .settings(settings)
        .build()
        .await?;
    Ok(Inside { routes: server.router() })
}

impl Inside {
    async fn post(&self, body: Bytes) -> Result<(), Failure> {
        let request = Request::post("/api/v1/check_history/").header("content-type", "application/json");
        self.ask(request, body).await
    }

    async fn get(&self, path: &str) -> Result<(), Failure> {
        self.ask(Request::get(path), Bytes::new()).await
    }

    async fn ask(&self, request: http::request::Builder, body: Bytes) -> Result<(), Failure> {
        let request = request.header(http::header::AUTHORIZATION, bearer(TOKEN)?);
        let answer =
            self.routes.clone().oneshot(request.body(axum::body::Body::new(Full::new(body)))?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status.is_success() {
            some(body.len())
        } else {
            Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into())
        }
    }
}

fn some(count: usize) -> Result<(), Failure> {
    if count == 0 { Err("there is nothing".into()) } else { Ok(()) }
}

/// Does something over and over, and says what each of its parts costs.
async fn each(
    name: &str,
    parts: usize,
    mut work: impl AsyncFnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (start, mut times) = (clock::now(), 0_u32);
    while start.elapsed() < SPAN {
        work().await?;
        times += 1;
    }
    let one = start.elapsed().as_secs_f64() * 1e6 / f64::from(times) / parts as f64;
    println!("{name:<40} {one:>10.2} µs");
    Ok(())
}
