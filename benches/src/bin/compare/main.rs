//! Runs peers from Debian's packages beside ours, in one run on one machine, and prints the ratios as a table.
//!
//! What they do differs, and the table says so: Prometheus' remote write judges nothing and syncs nothing,
//! Alertmanager, Nagios and Icinga keep nothing durable before they answer. Each peer has a file: start it on loopback with a
//! folder of its own, measure, stop it.
//!
//! ```text
//! cargo run --release -p vilicus-benches --bin compare -- [--quick] [--only NAME]
//! ```
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod alertmanager;
mod command_pipe;
mod icinga;
mod machine;
mod nagios;
mod nginx;
mod postgres;
mod prometheus;
mod table;
mod vilicus;
mod zabbix;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use vilicus_benches::Failure;
use vilicus_benches::drive::{Plan, Until};

use table::Figures;

/// Runs other systems beside vilicus, and prints the ratios.
#[derive(Debug, Parser)]
#[command(name = "compare")]
struct Args {
    /// A third of the time
    #[arg(long)]
    quick: bool,
    /// The server to measure [default: vilicus-server, in the folder of this program]
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Where stores are put; it must be on a real disk
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    under: PathBuf,
    /// Measure these alone; may be given more than once
    #[arg(long, value_name = "NAME", value_parser = ["vilicus", "nginx", "prometheus", "alertmanager", "nagios", "icinga", "zabbix"])]
    only: Vec<String>,
}

/// What all measurements share.
#[derive(Debug)]
struct Setting {
    /// The vilicus server.
    binary: PathBuf,
    /// Where stores are put.
    under: PathBuf,
    /// Agents, each with [`CHECKS`] checks.
    agents: usize,
    /// How many alerts are sent one by one.
    alerts: usize,
    /// How long to load.
    plan: Plan,
}

/// Checks an agent, and results a batch.
const CHECKS: usize = 100;
/// Connections.
const CONNECTIONS: usize = 64;
/// How many alerts are a storm.
const STORM: usize = 1000;

/// Measures one system, and puts down what it found.
type Measure = fn(&Setting, &mut Figures) -> Result<(), Failure>;

const SYSTEMS: [(&str, Measure); 7] = [
    ("vilicus", vilicus::measure),
    ("nginx", nginx::measure),
    ("prometheus", prometheus::measure),
    ("alertmanager", alertmanager::measure),
    ("nagios", nagios::measure),
    ("icinga", icinga::measure),
    ("zabbix", zabbix::measure),
];

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let setting = setting(&args)?;
    let mut figures = Figures::default();
    for (name, measure) in SYSTEMS {
        if !args.only.is_empty() && !args.only.iter().any(|only| only == name) {
            continue;
        }
        eprintln!("{name} …");
        measure(&setting, &mut figures).map_err(|error| format!("{name}: {error}"))?;
    }
    println!("{}\n\n{figures}", machine::described()?);
    Ok(())
}

fn setting(args: &Args) -> Result<Setting, Failure> {
    let binary = match &args.server {
        Some(binary) => binary.clone(),
        None => std::env::current_exe()?.with_file_name("vilicus-server"),
    };
    let seconds = if args.quick { 5 } else { 15 };
    let plan = Plan {
        threads: 1,
        rate: None,
        warm_up: Duration::from_secs(2),
        until: Until::For(Duration::from_secs(seconds)),
    };
    // The peers run in their folders, so that a relative path would mean another place to them.
    let under = args.under.canonicalize()?;
    Ok(Setting { binary, under, agents: 1000, alerts: if args.quick { 300 } else { 1000 }, plan })
}
