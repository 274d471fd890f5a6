//! How many results a second become durable, and what one costs.
//!
//! The limit that it is held against: fdatasync of an appended 4 KiB page takes some 0.2 ms, so groups must be large,
//! and a core judges, encodes and packs about a million results a second.
//!
//! ```text
//! cargo run --release -p vilicus-benches --bin ingest -- [CHECKS] [ROUNDS] [WRITERS] [power|process]
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vilicus_benches::Failure;
use vilicus_benches::disk::size;
use vilicus_benches::process::{cpu_seconds, memory};
use vilicus_benches::store::{BATCH, START, configure, result};
use vilicus_core::{CheckId, Millis};
use vilicus_store::engine::Durability;
use vilicus_store::report::Reports;
use vilicus_store::{EngineStore, Input, Options, SledEngine, Store};

/// That of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

    let own = std::process::id();
    let (began, cpu) = (Instant::now(), cpu_seconds(own)?);
    report(&store, families, rounds, writers).await?;
    let (took, cpu) = (began.elapsed(), cpu_seconds(own)? - cpu);
    let per_million = 1e6 / results as f64;
    eprintln!(
        "{results} results in {took:.2?}: {:.0} durable results/s",
        results as f64 / took.as_secs_f64()
    );
    eprintln!("CPU {:.2} s for 1M results, those of making them included", cpu * per_million);
    eprintln!("memory {} MiB", memory(own)?.rss >> 20);

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
                    family.iter().for_each(|check| reports.add(*check, &result(*check, round as u64, at)));
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
