//! What can be said on the command line, and in the environment.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use vilicus_core::Millis;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("VILICUS_COMMIT"), ")");

/// Looks at a vilicus server, and changes it.
#[derive(Debug, Parser)]
#[command(name = "vilicusctl", version = VERSION, propagate_version = true)]
#[command(
    after_help = "The token comes from VILICUS_TOKEN, or from the file that VILICUS_TOKEN_FILE names, or from \
    'vilicusctl login'. A check is named as agent/check, or by its number."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the server is.
#[derive(Debug, clap::Args)]
pub(crate) struct ServerArgs {
    /// The server's address [default: that of 'vilicusctl login', or http://127.0.0.1:8080]
    #[arg(long, global = true, env = "VILICUS_URL")]
    pub(crate) url: Option<String>,
    /// A file of certificates to trust beside the public ones, PEM
    #[arg(long, global = true, value_name = "FILE", env = "VILICUS_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Keep the address and a token, which is read from standard input, for later commands
    Login,
    /// Show what is wrong, on one screen; the exit code is that of the worst state, as a plugin's
    Status,
    /// List objects
    Get(GetArgs),
    /// Show all about one object
    Describe(DescribeArgs),
    /// Make everything as these files say
    Apply(ApplyArgs),
    /// Show what 'apply' would change
    Diff(ApplyArgs),
    /// Acknowledge a problem, or take that back
    Ack(AckArgs),
    /// Let an agent in that waits for it
    Approve {
        /// The agent
        agent: String,
    },
    /// Ask for a run of a check now
    Run {
        /// The check
        check: String,
    },
    /// Say why people were told of a check, or not, and what comes next
    Explain {
        /// The check
        check: String,
    },
    /// Send a test message through a channel
    TestChannel {
        /// The channel
        channel: String,
    },
    /// Plan maintenance: nobody is told meanwhile
    Downtime {
        #[command(subcommand)]
        command: DowntimeCommand,
    },
    /// Show what happened, the oldest first; and what happens
    Events(EventsArgs),
    /// Show the results of a check
    History(HistoryArgs),
    /// Show how long a check was in each state
    Availability(AvailabilityArgs),
    /// Judge stored results again: what would other thresholds have sent?
    Replay(ReplayArgs),
    /// Make tokens, and take them back
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Run policy tests, without a server: results in, expected messages out, in simulated time
    Test {
        /// The files with the tests
        #[arg(required = true, value_name = "TESTS")]
        tests: Vec<std::path::PathBuf>,
        /// A file or a folder of the configuration that is tested; may be given several times
        #[arg(short, long, required = true, value_name = "FILE")]
        file: Vec<std::path::PathBuf>,
    },
    /// Write everything that the server keeps to a file, while it works on
    Backup {
        /// The file; what is there stays until the new one is whole [default: named after the time]
        file: Option<PathBuf>,
    },
    /// Make a store of a backup, on the server's host, in a place where none is; no server is asked
    Restore {
        /// The file
        file: PathBuf,
        /// Where the store shall be: sled:DIR
        #[arg(long, value_name = "URL", env = "VILICUS_STORE", default_value = "sled:./vilicus-data")]
        to: String,
    },
    /// Show what is wrong on the whole screen, always fresh
    Top {
        /// How often to look, in seconds
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
        every: u64,
    },
    /// Make a configuration of another system's, and print it; says what could not be taken over
    Import {
        #[command(subcommand)]
        from: ImportCommand,
    },
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Resource {
    /// Hosts that are watched
    #[value(alias = "agent")]
    Agents,
    /// What is watched there
    #[value(alias = "check")]
    Checks,
    /// What happened, the newest first
    #[value(alias = "event")]
    Events,
    /// Ways to tell people
    #[value(alias = "channel")]
    Channels,
    /// Who is told of what
    #[value(alias = "route")]
    Routes,
    /// Planned maintenance
    #[value(alias = "downtime")]
    Downtimes,
    /// Messages, the newest first
    #[value(alias = "notification")]
    Notifications,
    /// Checks for many agents
    #[value(alias = "template")]
    Templates,
    /// Who may do what
    #[value(alias = "token")]
    Tokens,
    /// People who may log in
    #[value(alias = "user")]
    Users,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// The objects as the API gives them
    Json,
    /// The same as YAML
    Yaml,
    /// The table, for a spreadsheet
    Csv,
    /// Names alone, one a line
    Name,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// What to list
    pub(crate) resource: Resource,
    /// Only this one
    pub(crate) name: Option<String>,
    /// How to print it
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Output,
    /// Only of this agent; for checks
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Only with this status; for checks
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Only with this tag; for agents and checks
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// How many at most; events and notifications are many
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub(crate) limit: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DescribeArgs {
    /// What kind of object
    pub(crate) resource: Resource,
    /// Which one
    pub(crate) name: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ApplyArgs {
    /// A file or a folder of them, TOML or YAML; may be given more than once
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Remove what an earlier configuration of this name made, and these files do not say
    #[arg(long)]
    pub(crate) prune: bool,
    /// The name that objects are marked with
    #[arg(long, default_value = "apply")]
    pub(crate) name: String,
    /// Change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AckArgs {
    /// The check
    pub(crate) check: String,
    /// Who does what about it
    #[arg(short, long, required_unless_present = "remove")]
    pub(crate) comment: Option<String>,
    /// Keep it until the check is OK, even when the problem changes
    #[arg(long)]
    pub(crate) sticky: bool,
    /// How long it counts, as 4h [default: until the problem is over]
    #[arg(long = "for", value_name = "SPAN")]
    pub(crate) span: Option<Millis>,
    /// Tell the comment to everybody, on the status pages that the check is on
    #[arg(long)]
    pub(crate) public: bool,
    /// Take the acknowledgement back
    #[arg(long, conflicts_with_all = ["comment", "sticky", "span", "public"])]
    pub(crate) remove: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DowntimeCommand {
    /// Begin one now
    Add {
        /// For what, as agent=web-1 or tag=web; all of them must match
        #[arg(short, long = "match", required = true, value_name = "MATCHER")]
        matchers: Vec<String>,
        /// How long, as 2h
        #[arg(long = "for", value_name = "SPAN")]
        span: Millis,
        /// Why
        #[arg(short, long, default_value = "")]
        comment: String,
    },
    /// List them
    List,
    /// End one, by its number
    Remove {
        /// Its number, as 'downtime list' shows it
        id: u64,
    },
    /// Run a command in a downtime, which ends with it; exits as the command does
    Run {
        /// For what, as agent=web-1 or tag=web; all of them must match
        #[arg(short, long = "match", required = true, value_name = "MATCHER")]
        matchers: Vec<String>,
        /// When the downtime ends at the latest, whatever becomes of the command
        #[arg(long, default_value = "4h", value_name = "SPAN")]
        at_most: Millis,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct EventsArgs {
    /// Go on with what happens, until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only of this agent
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Only of this check
    #[arg(long)]
    pub(crate) check: Option<String>,
    /// Only of this type, as state or acknowledgement
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// How many of those that were
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    pub(crate) limit: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    /// The check
    pub(crate) check: String,
    /// From how long ago, as 24h
    #[arg(long, default_value = "24h", value_name = "SPAN")]
    pub(crate) since: Millis,
    /// Draw a metric instead: the named one, or the first
    #[arg(long, value_name = "METRIC", num_args = 0..=1, conflicts_with_all = ["output", "limit"])]
    pub(crate) plot: Option<Option<String>>,
    /// How to print it
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Output,
    /// How many at most, the newest first
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub(crate) limit: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AvailabilityArgs {
    /// The check
    pub(crate) check: String,
    /// From how long ago, as 30d
    #[arg(long, default_value = "30d", value_name = "SPAN")]
    pub(crate) since: Millis,
    /// Leave time in downtimes out
    #[arg(long)]
    pub(crate) exclude_downtime: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// The check
    pub(crate) check: String,
    /// WARNING outside of this range; METRIC= can be left out when one has thresholds
    #[arg(short, long, value_name = "[METRIC=]RANGE")]
    pub(crate) warning: Vec<String>,
    /// CRITICAL outside of this range
    #[arg(short, long, value_name = "[METRIC=]RANGE")]
    pub(crate) critical: Vec<String>,
    /// Only when it lasts so long, as 5m
    #[arg(long = "for", value_name = "SPAN")]
    pub(crate) span: Option<Millis>,
    /// After so many bad results in a row
    #[arg(long, value_name = "N")]
    pub(crate) max_attempts: Option<u32>,
    /// From how long ago, as 30d
    #[arg(long, default_value = "30d", value_name = "SPAN")]
    pub(crate) since: Millis,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it: it is shown this once
    Create {
        /// Its name
        name: String,
        /// What its holder may do: viewer, operator, admin or enroll
        #[arg(long)]
        role: String,
        /// How long it works, as 30d [default: without end]
        #[arg(long, value_name = "SPAN")]
        expires: Option<Millis>,
        /// How many agents it enrols [default: any number]
        #[arg(long, value_name = "N")]
        uses: Option<u32>,
        /// A tag of the agents that it enrols; may be given several times
        #[arg(long, value_name = "TAG")]
        tag: Vec<String>,
        /// A template for the agents that it enrols; may be given several times
        #[arg(long, value_name = "NAME")]
        template: Vec<String>,
        /// The agents that it enrols wait until an admin lets them in
        #[arg(long)]
        needs_approval: bool,
    },
    /// Take one back
    Revoke {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Of Nagios, or of what reads its files: hosts, services, commands, contacts, time periods and their templates
    Nagios {
        /// The folder; every *.cfg below it is read, resource.cfg and nrpe.cfg, too. Commands may be in another:
        /// /etc/nagios-plugins/config
        #[arg(required = true, value_name = "DIR")]
        directories: Vec<std::path::PathBuf>,
        /// The server that mail is sent over
        #[arg(long, default_value = "smtp://localhost")]
        smtp: String,
        /// Whom mail comes from
        #[arg(long, default_value = "vilicus@localhost")]
        sender: String,
    },
}
