//! What an agent costs its host: ten checks every ten seconds, ours over TLS, beside other agents that watch about the same, all
//! at the same time.
//!
//! The limit that it is held against: the pages of a program that are ever used stay in memory, and each reading of `/proc` is
//! made anew by the kernel.
//!
//! ```text
//! cargo run --release -p vilicus-benches --bin footprint -- [SECONDS] [AGENT]
//! ```
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod others;
mod ours;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use vilicus_benches::process::{family_cpu_seconds_with_ended, family_pss};
use vilicus_benches::spawn::Program;
use vilicus_benches::{Failure, clock};

/// How often everything is looked at.
const INTERVAL: Duration = Duration::from_secs(10);
const HOUR: f64 = 3600.0;

/// An agent that runs.
struct Watcher {
    name: &'static str,
    program: Program,
    binary: PathBuf,
    /// What makes it look, when it does not do so by itself.
    asked: Option<Box<dyn FnMut() -> Result<(), Failure>>>,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map(|text| text.parse()).transpose()?.unwrap_or(60.0);
    let beside = |name: &str| std::env::current_exe().map(|own| own.with_file_name(name));
    let agent = arguments.next().map_or_else(|| beside("vilicus-agent"), |path| Ok(path.into()))?;

    let (_server, ours) = ours::start(&beside("vilicus-server")?, agent)?;
    let mut watchers = vec![ours];
    for (name, start) in others::ALL {
        watchers.push(start().map_err(|error| format!("{name}: {error}"))?);
    }
    // Once around, so that everything was looked at before.
    watch(&mut watchers, INTERVAL)?;
    let begin = clock::now();
    let before = spent(&watchers)?;
    watch(&mut watchers, Duration::from_secs_f64(seconds))?;
    let (after, took) = (spent(&watchers)?, begin.elapsed().as_secs_f64());

    println!("| agent | memory (PSS), MiB | CPU s an hour | binary, MiB |");
    println!("|---|---|---|---|");
    for (watcher, (before, after)) in watchers.iter().zip(before.into_iter().zip(after)) {
        let (pss, binary) = (family_pss(watcher.program.pid())?, std::fs::metadata(&watcher.binary)?.len());
        let an_hour = (after - before) / took * HOUR;
        println!("| {} | {:.1} | {an_hour:.1} | {:.1} |", watcher.name, mebibytes(pss), mebibytes(binary));
    }
    Ok(())
}

/// Lets all of them watch for so long; those that have to be asked are asked once an interval.
fn watch(watchers: &mut [Watcher], span: Duration) -> Result<(), Failure> {
    let begin = clock::now();
    while begin.elapsed() < span {
        let round = clock::now();
        for watcher in watchers.iter_mut() {
            if let Some(ask) = &mut watcher.asked {
                ask().map_err(|error| format!("{}: {error}; {}", watcher.name, watcher.program.log()))?;
            }
        }
        thread::sleep(INTERVAL.saturating_sub(round.elapsed()));
    }
    Ok(())
}

fn spent(watchers: &[Watcher]) -> Result<Vec<f64>, Failure> {
    watchers.iter().map(|watcher| family_cpu_seconds_with_ended(watcher.program.pid())).collect()
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
