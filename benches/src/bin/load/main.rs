//! Loads a running server as its agents would, and tells what that took: throughput, latencies, processor time,
//! memory, bytes written; and whether everything that was acknowledged is really kept.
//!
//! The limit that it is held against is its own: it shares the machine with the server, so it may cost no more than a
//! quarter of a second of processor time for a million results in batches of 100.
//!
//! ```text
//! cargo run --release -p vilicus-benches --bin load -- run --url http://127.0.0.1:8080 --help
//! ```

mod alert;
mod args;
mod pages;
mod read;
mod report;
mod run;
mod verify;

use clap::Parser as _;
use vilicus_benches::Failure;

use args::{Args, Command};

fn main() -> Result<(), Failure> {
    match Args::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::AlertLatency(args) => alert::latency(&args),
        Command::Storm(args) => alert::storm(&args),
        Command::Read(args) => read::read(&args),
        Command::Pages(args) => pages::pages(&args),
    }
}
