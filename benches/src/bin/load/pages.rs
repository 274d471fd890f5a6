//! Looks at the dashboard of many checks as people do: how long each page takes and how large it is, and what ingest
//! feels of two hundred who look at once.
#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;
use serde_json::json;
use vilicus_benches::body::{Look, Text};
use vilicus_benches::connection::{Connection, Server, bearer, shown};
use vilicus_benches::drive::{Plan, Until, drive};
use vilicus_benches::fleet::{Fleet, Wanted};
use vilicus_benches::latency::{Latencies, Summary};
use vilicus_benches::reporter::{Form, reporters};
use vilicus_benches::{Failure, clock};

use crate::args::PagesArgs;
use crate::read::fill;

/// How often each page is looked at.
const LOOKS: usize = 50;
/// How often a viewer's page is drawn anew at most, as its script does.
const REFRESH: Duration = Duration::from_secs(1);
/// Reports a second during the comparison; each is one agent's, of all its checks.
const REPORTS: f64 = 500.0;

/// What a page took.
struct Page {
    name: &'static str,
    took: Summary,
    bytes: usize,
}

pub(crate) fn pages(args: &PagesArgs) -> Result<(), Failure> {
    let server = Server::new(&args.server.url, args.server.ca_file.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watched = runtime.block_on(Wanted::new(1, 1).enrol(&server, &args.enroll_token))?;
    runtime.block_on(fill(&server, &watched, clock::unix_ms()))?;
    let fleet = runtime.block_on(Wanted::new(args.agents, args.checks).enrol(&server, &args.enroll_token))?;
    report(&server, &fleet, args, Until::For(Duration::from_secs(5)))?;

    let credentials = bearer(&args.admin_token)?;
    let mut pages = Vec::new();
    let (check, agent) = (watched.agents[0].checks[0], fleet.agents[0].agent);
    for (name, path) in [
        ("overview", "/".to_owned()),
        ("filter", "/?status=problem&q=1&sort=name".to_owned()),
        ("check, a month", format!("/check/{check}?range=30d")),
        ("agent", format!("/agent/{agent}")),
    ] {
        pages.push(runtime.block_on(look(&server, &credentials, name, &path))?);
    }
    let alone = report(&server, &fleet, args, Until::For(Duration::from_secs_f64(args.seconds)))?;
    let over = AtomicBool::new(false);
    let (watched, views) = std::thread::scope(|scope| {
        let viewing =
            scope.spawn(|| view(&server, &credentials, args, &over).map_err(|error| error.to_string()));
        let measured = report(&server, &fleet, args, Until::For(Duration::from_secs_f64(args.seconds)));
        over.store(true, Ordering::Relaxed);
        let views = viewing.join().map_err(|_| "the viewers panicked")??;
        Ok::<_, Failure>((measured?, views))
    })?;
    for page in &pages {
        println!("{:<15} {}, {:.1} KB compressed", page.name, page.took, page.bytes as f64 / 1000.0);
    }
    println!("reports, nobody looks:      {alone}");
    println!("reports, {} look:          {watched}", args.viewers);
    println!("their pages:                {views}");
    if args.json {
        let told = |page: &Page| json!({"name": page.name, "took": page.took, "bytes": page.bytes});
        let told =
            json!({"pages": pages.iter().map(told).collect::<Vec<_>>(), "alone": alone, "watched": watched});
        println!("{}", serde_json::to_string_pretty(&told)?);
    }
    Ok(())
}

/// Reports at the same pace, and tells how long the server took for each.
fn report(server: &Server, fleet: &Fleet, args: &PagesArgs, until: Until) -> Result<Summary, Failure> {
    let look = Look { text: Text::Changing, failing: args.failing };
    let lanes = reporters(server, fleet, 16, Form::Batch(args.checks), look, None)?;
    let plan = Plan { threads: 1, rate: Some(REPORTS), warm_up: Duration::ZERO, until };
    Ok(drive(server, lanes, plan, || Ok(()))?.latencies.summary())
}

async fn look(
    server: &Server,
    credentials: &HeaderValue,
    name: &'static str,
    path: &str,
) -> Result<Page, Failure> {
    let mut connection = server.connect().await?;
    let (mut latencies, mut bytes) = (Latencies::new()?, 0);
    for _ in 0..LOOKS {
        let (took, length) = page(server, &mut connection, credentials, path).await?;
        latencies.record(took);
        bytes = length;
    }
    Ok(Page { name, took: latencies.summary(), bytes })
}

/// Asks for a page; until its first byte or its last makes no difference, for it is made before it is sent.
async fn page(
    server: &Server,
    connection: &mut Connection,
    credentials: &HeaderValue,
    path: &str,
) -> Result<(Duration, usize), Failure> {
    let mut request: Request<Full<Bytes>> =
        server.request(Method::GET, path, Some(credentials), Bytes::new())?;
    request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let begin = clock::now();
    let answer = connection.send(request).await?;
    if !answer.status().is_success() {
        return Err(shown(answer.status(), answer.body()).into());
    }
    Ok((begin.elapsed(), answer.body().len()))
}

/// Viewers who look at the overview, each once a second.
fn view(
    server: &Server,
    credentials: &HeaderValue,
    args: &PagesArgs,
    over: &AtomicBool,
) -> Result<Summary, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let viewer = |at: usize| async move {
            // Not all in the same moment.
            tokio::time::sleep(REFRESH.mul_f64(at as f64 / args.viewers as f64)).await;
            let mut connection = server.connect().await?;
            let mut latencies = Latencies::new()?;
            while !over.load(Ordering::Relaxed) {
                let (took, _) = page(server, &mut connection, credentials, "/").await?;
                latencies.record(took);
                tokio::time::sleep(REFRESH.saturating_sub(took)).await;
            }
            Ok::<_, Failure>(latencies)
        };
        let mut all = Latencies::new()?;
        for latencies in futures_util::future::try_join_all((0..args.viewers).map(viewer)).await? {
            all.add(&latencies)?;
        }
        Ok(all.summary())
    })
}
