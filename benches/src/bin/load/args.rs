//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Loads a vilicus server, and measures it.
#[derive(Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Report results from many agents, and measure
    ///
    /// A server allows each agent's token 5,000 requests a second. Few agents with single results meet that limit and
    /// are answered 429; start the server with VILICUS_AGENT_REQUESTS_PER_SECOND=1000000 and
    /// VILICUS_AGENT_REQUESTS_BURST=1000000 then.
    Run(Box<RunArgs>),
    /// Look whether everything that a ledger holds is in the server's history
    Verify(VerifyArgs),
    /// Measure from a bad result to the message about it, one at a time
    ///
    /// The server must have no routes and no other channels: it would tell them too.
    AlertLatency(LatencyArgs),
    /// Let many checks fail at once, and measure until all are told: without a route, and grouped by one
    Storm(StormArgs),
    /// Read a day and a month of a check, as a page does, from a quiet server and from a loaded one
    Read(ReadArgs),
    /// Look at the dashboard as people do, alone and many at once
    Pages(PagesArgs),
}

/// Where the server is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerArgs {
    /// The server's address
    #[arg(long, default_value = "http://127.0.0.1:8080", env = "VILICUS_URL")]
    pub(crate) url: String,
    /// The certificate authority to trust, PEM; for https
    #[arg(long, value_name = "FILE", env = "VILICUS_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The enrolment token
    #[arg(long, env = "VILICUS_ENROLL_TOKEN", hide_env_values = true)]
    pub(crate) enroll_token: Option<String>,
    /// Reuse the agents in this file, or enrol and keep them there; it holds their tokens
    #[arg(long, value_name = "FILE")]
    pub(crate) fleet: Option<PathBuf>,
    /// How many agents
    #[arg(long, default_value_t = 1000)]
    pub(crate) agents: usize,
    /// How many checks, of all agents together
    #[arg(long, default_value_t = 100_000)]
    pub(crate) checks: usize,
    /// How many connections; each reports for its share of the agents, turn by turn
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Results a request
    #[arg(long, default_value_t = 100)]
    pub(crate) batch: usize,
    /// One result a request, not as a batch
    #[arg(long, conflicts_with = "batch")]
    pub(crate) single: bool,
    /// Results a second, of all agents together, however long answers take [default: the next request follows the
    /// answer]
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// A text that changes with each result
    #[arg(long)]
    pub(crate) changing: bool,
    /// The share of results that are CRITICAL, from 0 to 1
    #[arg(long, default_value_t = 0.0)]
    pub(crate) failing: f64,
    /// How long to measure, in seconds
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// How long to warm up before, in seconds
    #[arg(long, default_value_t = 2.0)]
    pub(crate) warm_up: f64,
    /// Send so many results, without warming up, instead of for so many seconds
    #[arg(long, conflicts_with_all = ["seconds", "warm_up"])]
    pub(crate) count: Option<u64>,
    /// How many threads send
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// The server's process, for what it costs
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
    /// Write down here what was acknowledged, for 'load verify'
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The token of an admin, or of one who may read
    #[arg(long, env = "VILICUS_ADMIN_TOKEN", hide_env_values = true)]
    pub(crate) admin_token: String,
    /// What was acknowledged
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: PathBuf,
    /// Look only at each so-many-th check
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) each: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AlertArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The token of an admin: a channel is made, and removed again
    #[arg(long, env = "VILICUS_ADMIN_TOKEN", hide_env_values = true)]
    pub(crate) admin_token: String,
    /// The enrolment token
    #[arg(long, env = "VILICUS_ENROLL_TOKEN", hide_env_values = true)]
    pub(crate) enroll_token: String,
    /// Print the figures as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LatencyArgs {
    #[command(flatten)]
    pub(crate) alert: AlertArgs,
    /// How many results, after a tenth of them for warming up
    #[arg(long, default_value_t = 1000)]
    pub(crate) count: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StormArgs {
    #[command(flatten)]
    pub(crate) alert: AlertArgs,
    /// How many checks fail; an agent has at most 1,000
    #[arg(long, default_value_t = 1000)]
    pub(crate) checks: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReadArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The token of an admin, or of one who may read
    #[arg(long, env = "VILICUS_ADMIN_TOKEN", hide_env_values = true)]
    pub(crate) admin_token: String,
    /// The enrolment token
    #[arg(long, env = "VILICUS_ENROLL_TOKEN", hide_env_values = true)]
    pub(crate) enroll_token: String,
    /// Checks with a month of results, which are read
    #[arg(long, default_value_t = 20)]
    pub(crate) watched: usize,
    /// Agents that load the server, each with 100 checks
    #[arg(long, default_value_t = 1000)]
    pub(crate) agents: usize,
    /// How often to read, at most
    #[arg(long, default_value_t = 300)]
    pub(crate) reads: usize,
    /// How long to load the server, in seconds
    #[arg(long, default_value_t = 15.0)]
    pub(crate) seconds: f64,
    /// Print the figures as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PagesArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The token of an admin, or of one who may look
    #[arg(long, env = "VILICUS_ADMIN_TOKEN", hide_env_values = true)]
    pub(crate) admin_token: String,
    /// The enrolment token
    #[arg(long, env = "VILICUS_ENROLL_TOKEN", hide_env_values = true)]
    pub(crate) enroll_token: String,
    /// How many agents
    #[arg(long, default_value_t = 500)]
    pub(crate) agents: usize,
    /// How many checks each has
    #[arg(long, default_value_t = 20)]
    pub(crate) checks: usize,
    /// Which part of the results is bad
    #[arg(long, default_value_t = 0.02)]
    pub(crate) failing: f64,
    /// How many people look at once
    #[arg(long, default_value_t = 200)]
    pub(crate) viewers: usize,
    /// How long to report with and without them, in seconds
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Print the figures as JSON, too
    #[arg(long)]
    pub(crate) json: bool,
}
