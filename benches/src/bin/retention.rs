//! What it costs to drop the older half of history, and whether those who report meanwhile notice.
//!
//! The limit that it is held against: a week is a folder, so that dropping one is removing files, whatever they hold. The
//! checkpoint that goes with it is made by itself first, for comparison.
//!
//! ```text
//! cargo run --release -p vilicus-benches --bin retention -- [CHECKS]
//! ```
#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vilicus_benches::disk::size;
use vilicus_benches::latency::Latencies;
use vilicus_benches::store::{BATCH, START, configure, result};
use vilicus_benches::{Failure, clock};
use vilicus_core::{CheckId, Millis, Timestamp};
use vilicus_store::report::Reports;
use vilicus_store::{EngineStore, Input, Options, SledEngine, Store};

/// That of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WEEKS: u64 = 8;
const KEPT_WEEKS: u64 = 4;
/// Between two results of a check.
const STEP: Millis = Millis::from_secs(600);
const STEPS_A_WEEK: u64 = 7 * 24 * 6;
/// Commits that are on their way at the same time while history is filled.
const WRITERS: usize = 8;
/// How long those who report are watched before, and after.
const WATCH: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let checks = std::env::args().nth(1).map_or(Ok(1_000), |text| text.parse::<usize>())?;
    let place = tempfile::tempdir_in(".")?;
    let keep = Millis::from_hours(24 * 7 * KEPT_WEEKS);
    let options = Options::new(START, [7; 16]).keep_results(keep);
    let store: Arc<dyn Store> = Arc::new(EngineStore::open(SledEngine::open(place.path())?, options)?);
    let families = Arc::new(configure(&store, checks / BATCH).await?);

    // Nothing is too old by then, and the first half is afterwards.
    let (middle, end) = (STEPS_A_WEEK * KEPT_WEEKS, STEPS_A_WEEK * WEEKS);
    fill(&store, &families, 0..middle).await?;
    let alone = watched(&store, &families, middle, store.maintain(moment(middle))).await?;
    show("a checkpoint", &alone)?;
    fill(&store, &families, middle + 1..end).await?;
    store.maintain(moment(middle)).await?;
    let before = size(place.path())?;
    let dropped = watched(&store, &families, end, store.maintain(moment(end))).await?;
    show("half dropped, and a checkpoint", &dropped)?;
    let after = size(place.path())?;
    println!("disk: {} MB before, {} MB after", before / 1_000_000, after / 1_000_000);
    store.close().await?;
    Ok(())
}

fn moment(step: u64) -> Timestamp {
    START.after(Millis::new(STEP.get() * step))
}

/// Every check reports once a step.
async fn fill(
    store: &Arc<dyn Store>,
    families: &Arc<Vec<Vec<CheckId>>>,
    steps: std::ops::Range<u64>,
) -> Result<(), Failure> {
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let (store, families, steps) = (Arc::clone(store), Arc::clone(families), steps.clone());
        tasks.push(tokio::spawn(async move {
            for step in steps {
                for family in families.iter().skip(writer).step_by(WRITERS) {
                    commit(store.as_ref(), family, step, moment(step)).await?;
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

async fn commit(store: &dyn Store, family: &[CheckId], step: u64, at: Timestamp) -> Result<(), Failure> {
    let mut reports = Reports::default();
    family.iter().for_each(|check| reports.add(*check, &result(*check, step, at)));
    let input = Input::Reports(Box::new(reports));
    while let Err(error) = store.commit(at, vec![input.clone()]).await {
        let wait = error.retry_after().ok_or(error)?;
        tokio::time::sleep(Duration::from(wait)).await;
    }
    Ok(())
}

/// How long commits took in quiet, and while something went on; and how long that took.
struct Watched {
    quiet: Latencies,
    meanwhile: Latencies,
    took: Duration,
}

/// One after another reports for [`WATCH`], then while `work` goes on and as long after it.
async fn watched(
    store: &Arc<dyn Store>,
    families: &Arc<Vec<Vec<CheckId>>>,
    from: u64,
    work: impl Future<Output = Result<(), vilicus_store::StoreError>>,
) -> Result<Watched, Failure> {
    let (working, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let reporter = tokio::spawn({
        let (store, families) = (Arc::clone(store), Arc::clone(families));
        let (working, over) = (Arc::clone(&working), Arc::clone(&over));
        async move {
            let (mut quiet, mut meanwhile) = (Latencies::new()?, Latencies::new()?);
            let mut at = moment(from);
            for family in families.iter().cycle() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                at = at.after(Millis::new(1));
                let (is_meanwhile, begun) = (working.load(Ordering::Relaxed), clock::now());
                commit(store.as_ref(), family, from, at).await?;
                let latencies = if is_meanwhile { &mut meanwhile } else { &mut quiet };
                latencies.record(begun.elapsed());
            }
            Ok::<_, Failure>((quiet, meanwhile))
        }
    });
    tokio::time::sleep(WATCH).await;
    working.store(true, Ordering::Relaxed);
    let begun = clock::now();
    work.await?;
    let took = begun.elapsed();
    tokio::time::sleep(WATCH).await;
    over.store(true, Ordering::Relaxed);
    let (quiet, meanwhile) = reporter.await??;
    Ok(Watched { quiet, meanwhile, took })
}

fn show(what: &str, watched: &Watched) -> Result<(), Failure> {
    let (quiet, meanwhile) = (watched.quiet.summary(), watched.meanwhile.summary());
    println!("{what}: {:.2?}", watched.took);
    println!("  a commit of {BATCH} before it: p50 {:.2} ms, p99 {:.2} ms", quiet.p50_ms, quiet.p99_ms);
    println!("  and while it went on:    p50 {:.2} ms, p99 {:.2} ms", meanwhile.p50_ms, meanwhile.p99_ms);
    Ok(())
}
