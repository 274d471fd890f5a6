//! What an agent's checks cost, beside what else does such work on this machine, in one run.
//!
//! The checks are the stock ones, run on one thread as the agent runs them. What they look at is on loopback, in
//! processes of its own: 400 processes that sleep, `/bin/true`, and nginx.
//!
//! ```text
//! cargo run --release -p vilicus-benches --bin agent -- [SECONDS]
//! ```
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod commands;
mod laps;
mod probes;
mod processes;

use std::time::Duration;

use vilicus_benches::Failure;

use crate::laps::Laps;

/// One kind of work, ours and others'.
struct Work {
    title: &'static str,
    /// What is aimed at.
    target: &'static str,
    ours: Laps,
    others: Vec<(&'static str, Laps)>,
}

fn main() -> Result<(), Failure> {
    let seconds = std::env::args().nth(1).map(|text| text.parse()).transpose()?.unwrap_or(3.0);
    let span = Duration::from_secs_f64(seconds);
    println!("| work | who | a second | CPU ms each | ours / theirs a second | CPU | aim |");
    println!("|---|---|---|---|---|---|---|");
    let works: [fn(Duration) -> Result<Work, Failure>; 4] =
        [processes::measure, commands::measure, probes::tcp, probes::http];
    for measure in works {
        show(&measure(span)?);
    }
    Ok(())
}

fn show(work: &Work) {
    let line = |who: &str, laps: &Laps| format!("| {} | {who} | {laps} |", work.title);
    println!("{}  |  | {} |", line("vilicus", &work.ours), work.target);
    for (who, laps) in &work.others {
        let (pace, cpu) =
            (work.ours.per_second() / laps.per_second(), work.ours.cpu_each() / laps.cpu_each());
        println!("{} {pace:.2} | {cpu:.2} |  |", line(who, laps));
    }
}
