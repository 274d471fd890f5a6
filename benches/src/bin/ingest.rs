//! How many results a second become durable, and what one costs.
//!
//! The limit that it is held against: fdatasync of an appended 4 KiB page takes some 0.2 ms, so groups must be large,
//! and a core judges, encodes and packs about a million results a second.
//!
//! ```text
//! cargo run --release -p vilicus-benches --bin ingest -- [CHECKS] [ROUNDS] [WRITERS] [power|process]
//! ```

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vilicus_core::{AgentId, CheckId, CheckResult, Metric, Millis, Timestamp};
use vilicus_store::engine::Durability;
use vilicus_store::inventory::{Agent, Check, CheckSpec};
use vilicus_store::report::Reports;
use vilicus_store::{Change, EngineStore, Input, Json, Options, Outcome, SledEngine, Store};

/// That of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Checks an agent, and results a commit.
const BATCH: usize = 100;
const START: Timestamp = Timestamp::from_millis(1_795_348_800_000);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (checks, rounds, writers) = (number(100_000)?, number(20)?, number(8)?);
    let durability = match arguments.next().as_deref() {
        Some("process") => Durability::Process,
        _ => Durability::Power,
    };
    let place = tempfile::tempdir()?;
    let options = Options::new(START, [7; 16]).durability(durability);
    let store: Arc<dyn Store> = Arc::new(EngineStore::open(SledEngine::open(place.path())?, options)?);
    let families = configure(&store, checks / BATCH).await?;
    let results = families.len() * BATCH * rounds;

    let (began, cpu) = (Instant::now(), cpu_seconds()?);
    report(&store, families, rounds, writers).await?;
    let (took, cpu) = (began.elapsed(), cpu_seconds()? - cpu);
    let per_million = 1e6 / results as f64;
    eprintln!(
        "{results} results in {took:.2?}: {:.0} durable results/s",
        results as f64 / took.as_secs_f64()
    );
    eprintln!("CPU {:.2} s for 1M results, those of making them included", cpu * per_million);
    eprintln!("memory {} MiB", resident()? >> 20);

    let began = Instant::now();
    store.close().await?;
    drop(store);
    let bytes = size(place.path())?;
    eprintln!(
        "closed in {:.2?}; {:.1} bytes on disk a result",
        began.elapsed(),
        bytes as f64 / results as f64
    );
    let began = Instant::now();
    let options = Options::new(START, [7; 16]).durability(durability);
    EngineStore::open(SledEngine::open(place.path())?, options)?;
    eprintln!("opened again in {:.2?}", began.elapsed());
    Ok(())
}

/// Every writer commits the results of its agents, one agent a commit, round by round.
async fn report(
    store: &Arc<dyn Store>,
    families: Vec<Vec<CheckId>>,
    rounds: usize,
    writers: usize,
) -> Result<(), Failure> {
    let families = Arc::new(families);
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let (store, families) = (Arc::clone(store), Arc::clone(&families));
        tasks.push(tokio::spawn(async move {
            for round in 0..rounds {
                let at = START.after(Millis::from_secs(60 * round as u64));
                for family in families.iter().skip(writer).step_by(writers) {
                    let mut reports = Reports::default();
                    family.iter().for_each(|check| reports.add(*check, &result(*check, round, at)));
                    let input = Input::Reports(Box::new(reports));
                    while let Err(error) = store.commit(at, vec![input.clone()]).await {
                        let wait = error.retry_after().ok_or(error)?;
                        tokio::time::sleep(Duration::from(wait)).await;
                    }
                }
            }
            Ok::<(), Failure>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// A result as agents send them: a line that changes, and two metrics.
fn result(check: CheckId, round: usize, at: Timestamp) -> CheckResult {
    let value = ((check.get() * 31 + round as u64 * 17) % 1000) as f64 / 10.0;
    CheckResult::ok(format!("usage is {value}%"))
        .metric(Metric::percent("usage_percent", value))
        .metric(Metric::new("load1", value / 10.0))
        .duration(Millis::new(check.get() % 50))
        .at(at)
}

/// Makes agents with [`BATCH`] checks each.
async fn configure(store: &Arc<dyn Store>, agents: usize) -> Result<Vec<Vec<CheckId>>, Failure> {
    let mut families = Vec::with_capacity(agents);
    for number in 0..agents {
        let made = commit(store, vec![Change::CreateAgent(Box::new(agent(number)))]).await?;
        let id = AgentId::new(made[0]).ok_or("no id")?;
        let checks = (0..BATCH).map(|number| Change::CreateCheck(Box::new(check(id, number)))).collect();
        families.push(commit(store, checks).await?.into_iter().filter_map(CheckId::new).collect());
    }
    Ok(families)
}

async fn commit(store: &Arc<dyn Store>, changes: Vec<Change>) -> Result<Vec<u64>, Failure> {
    let inputs = changes.into_iter().map(|change| Input::Change { change, by: "bench".to_owned() });
    let outcomes = store.commit(START, inputs.collect()).await?;
    Ok(outcomes
        .into_iter()
        .filter_map(|outcome| if let Outcome::Id(id) = outcome { Some(id) } else { None })
        .collect())
}

fn agent(number: usize) -> Agent {
    Agent {
        id: AgentId::from(std::num::NonZeroU64::MIN),
        name: format!("host-{number}"),
        hostname: format!("host-{number}.example"),
        guid: None,
        version: None,
        check_interval: Millis::from_secs(60),
        tags: Vec::new(),
        facts: Json::default(),
        ephemeral: false,
        expire_after: None,
        templates: Vec::new(),
        managed_by: None,
        created_at: START,
        last_checkin: None,
    }
}

fn check(agent: AgentId, number: usize) -> Check {
    Check::new(agent, format!("check-{number}"), CheckSpec::new("cpu", Json::default()))
}

/// The processor time of this process, in seconds.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    // User and system time, in hundredths of a second on every Linux that matters.
    Ok((ticks(11) + ticks(12)) / 100.0)
}

/// The resident memory of this process, in bytes.
fn resident() -> Result<u64, Failure> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    Ok(statm.split_whitespace().nth(1).ok_or("no resident memory")?.parse::<u64>()? * 4096)
}

/// The blocks that the files under a directory take.
fn size(path: &Path) -> Result<u64, Failure> {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        let metadata = entry?.path();
        total += if metadata.is_dir() { size(&metadata)? } else { fs::metadata(&metadata)?.blocks() * 512 };
    }
    Ok(total)
}
