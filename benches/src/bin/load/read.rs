//! Reads the history of a check as a page does, first from a quiet server, then from one that is loaded.
#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use vilicus_benches::body::{Look, Text, Writer};
use vilicus_benches::connection::{Api, Server};
use vilicus_benches::drive::{Plan, Until, drive};
use vilicus_benches::fleet::{Fleet, Wanted};
use vilicus_benches::latency::{Latencies, Summary};
use vilicus_benches::reporter::{Form, reporters};
use vilicus_benches::{Failure, clock};

use crate::args::ReadArgs;

const MINUTE_MS: i64 = 60_000;
const DAY: i64 = 1_440 * MINUTE_MS;
const MONTH: i64 = 30 * DAY;
/// What a page of raw results holds at most.
const PAGE: usize = 1_000;
/// A page is looked at again after so long.
const PAUSE: Duration = Duration::from_millis(20);
const LOOK: Look = Look { text: Text::Changing, failing: 0.0 };

/// How long it took to read a day, and a month.
struct Figures {
    day: Summary,
    month: Summary,
}

pub(crate) fn read(args: &ReadArgs) -> Result<(), Failure> {
    let server = Server::new(&args.server.url, args.server.ca_file.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watched = runtime.block_on(Wanted::new(1, args.watched).enrol(&server, &args.enroll_token))?;
    let now = clock::unix_ms();
    let begin = clock::now();
    runtime.block_on(fill(&server, &watched, now))?;
    eprintln!("a month of {} checks written in {:.1?}", args.watched, begin.elapsed());
    let load = runtime.block_on(Wanted::new(args.agents, 100).enrol(&server, &args.enroll_token))?;

    let reader = Reader { server: &server, args, checks: &watched.agents[0].checks, now };
    let quiet = reader.look(&AtomicBool::new(false))?;
    let over = AtomicBool::new(false);
    let (busy, per_second) = std::thread::scope(|scope| {
        let reading = scope.spawn(|| reader.look(&over).map_err(|error| error.to_string()));
        let lanes = reporters(&server, &load, 64, Form::Batch(100), LOOK, None)?;
        let until = Until::For(Duration::from_secs_f64(args.seconds));
        let plan = Plan { threads: 1, rate: None, warm_up: Duration::ZERO, until };
        let measured = drive(&server, lanes, plan, || Ok(()))?;
        over.store(true, Ordering::Relaxed);
        let busy = reading.join().map_err(|_| "the reader panicked")??;
        Ok::<_, Failure>((busy, measured.per_second()))
    })?;
    if args.json {
        let told = |figures: &Figures| json!({"day": figures.day, "month": figures.month});
        let told = json!({"quiet": told(&quiet), "busy": told(&busy), "per_second": per_second});
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        println!("nothing else to do:\n{quiet}\nwith {per_second:.0} results/s:\n{busy}");
    }
    Ok(())
}

/// Writes a month of one-minute results of these checks, as an agent that was long without a server.
pub(crate) async fn fill(server: &Server, fleet: &Fleet, now: i64) -> Result<(), Failure> {
    let member = &fleet.agents[0];
    let mut connection = server.connect().await?;
    let credentials = vilicus_benches::connection::bearer(&member.token)?;
    let mut writer = Writer::new(LOOK);
    for minute in (1..=MONTH / MINUTE_MS).rev() {
        let body = writer.batch(&member.checks, now - minute * MINUTE_MS);
        let request = server.request(Method::POST, "/api/v1/check_history/", Some(&credentials), body)?;
        let answer = connection.send(request).await?;
        if !answer.status().is_success() {
            return Err(vilicus_benches::connection::shown(answer.status(), answer.body()).into());
        }
    }
    Ok(())
}

struct Reader<'a> {
    server: &'a Server,
    args: &'a ReadArgs,
    checks: &'a [u64],
    now: i64,
}

impl Reader<'_> {
    /// Reads one check after the other, until there were so many or it is over.
    fn look(&self, over: &AtomicBool) -> Result<Figures, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut api = Api::connect(self.server, &self.args.admin_token).await?;
            let (mut days, mut months) = (Latencies::new()?, Latencies::new()?);
            for check in self.checks.iter().cycle().take(self.args.reads) {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                days.record(self.day(&mut api, *check).await?);
                months.record(self.month(&mut api, *check).await?);
                tokio::time::sleep(PAUSE).await;
            }
            Ok(Figures { day: days.summary(), month: months.summary() })
        })
    }

    /// All raw results of the last 24 hours, page by page.
    async fn day(&self, api: &mut Api, check: u64) -> Result<Duration, Failure> {
        let begin = clock::now();
        let since = self.now - DAY;
        let first = format!("/api/v1/check_history/?check={check}&since={since}&limit={PAGE}");
        let (mut next, mut rows) = (Some(first), 0);
        while let Some(path) = next {
            let page: Page = api.read(&path).await?;
            rows += page.objects.len();
            next = page.meta.next;
        }
        let took = begin.elapsed();
        if rows + 1 < (DAY / MINUTE_MS) as usize {
            return Err(format!("a day of check {check} has only {rows} results").into());
        }
        Ok(took)
    }

    /// The last 30 days as points of a chart.
    async fn month(&self, api: &mut Api, check: u64) -> Result<Duration, Failure> {
        let (since, until) = (self.now - MONTH, self.now);
        let path =
            format!("/api/v1/check_history/?check={check}&since={since}&until={until}&resolution=auto");
        let begin = clock::now();
        let points: Page = api.read(&path).await?;
        let took = begin.elapsed();
        match points.objects.len() {
            300.. => Ok(took),
            few => Err(format!("a month of check {check} is only {few} points").into()),
        }
    }
}

/// As much of a page as is needed to count and to go on: what the server takes is measured, not what its reader does with
/// each row.
#[derive(Deserialize)]
struct Page {
    meta: Meta,
    objects: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Meta {
    next: Option<String>,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "24 h, all 1,440 results  {} times  {}", self.day.count, self.day)?;
        write!(f, "30 days as a chart       {} times  {}", self.month.count, self.month)
    }
}
