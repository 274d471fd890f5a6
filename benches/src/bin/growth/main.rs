//! How cost and memory grow with checks, and with agents: each size has a server of its own.
//!
//! What they are held against: memory that is linear in the checks, and a result that costs the same however many there
//! are, once the caches of the processor are left behind.
//!
//! ```text
//! cargo run --release -p vilicus-benches --bin growth -- [--checks 10000,…] [--agents 1,…] [--picture FILE]
//! ```
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod picture;
mod size;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use vilicus_benches::Failure;
use vilicus_benches::drive::{Plan, Until};

use size::{Cost, Size};

/// Measures servers of growing size.
#[derive(Debug, Parser)]
#[command(name = "growth")]
struct Args {
    /// The server to measure [default: vilicus-server, in the folder of this program]
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Where stores are put; it must be on a real disk
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    under: PathBuf,
    /// How many checks, 100 of each agent, who reports them in one batch
    #[arg(long, value_delimiter = ',', default_value = "10000,30000,100000,300000,1000000")]
    checks: Vec<usize>,
    /// How many agents, each with 10 checks, which it reports in one batch
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,1000,10000")]
    agents: Vec<usize>,
    /// How long each is loaded, in seconds
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Draw the figures into this SVG file
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let binary = match &args.server {
        Some(binary) => binary.clone(),
        None => std::env::current_exe()?.with_file_name("vilicus-server"),
    };
    let until = Until::For(Duration::from_secs_f64(args.seconds));
    let plan = Plan { threads: 1, rate: None, warm_up: Duration::from_secs(2), until };
    let measure = |size: Size| {
        eprintln!("{} agents with {} checks each …", size.agents, size.checks_each);
        size.measure(&binary, &args.under, plan).map_err(|error| format!("{size:?}: {error}"))
    };
    let checks = args.checks.iter().map(|checks| measure(Size::of_checks(*checks)));
    let checks: Vec<Cost> = checks.collect::<Result<_, _>>()?;
    let agents = args.agents.iter().map(|agents| measure(Size::of_agents(*agents)));
    let agents: Vec<Cost> = agents.collect::<Result<_, _>>()?;
    show(&checks);
    show(&agents);
    if let Some(file) = &args.picture {
        picture::draw(file, &checks, &agents)?;
    }
    Ok(())
}

/// As a table of Markdown.
fn show(costs: &[Cost]) {
    println!("| agents | checks | results/s | CPU s for 1M | answer p99, ms | memory, MiB |");
    println!("|---|---|---|---|---|---|");
    for cost in costs {
        let checks = cost.size.checks();
        println!(
            "| {} | {checks} | {:.0} | {:.2} | {:.1} | {:.0} |",
            cost.size.agents,
            cost.per_second,
            cost.cpu_s_per_million,
            cost.p99_ms,
            cost.mebibytes(),
        );
    }
    println!();
}
