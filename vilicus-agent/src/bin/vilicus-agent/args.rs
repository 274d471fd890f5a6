//! What can be asked for on the command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as Options, Parser, Subcommand, ValueEnum};
use vilicus_core::Millis;
use vilicus_core::time::ParseMillisError;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("VILICUS_COMMIT"), ")");

/// Measures this host and reports to a vilicus server.
///
/// A setting is taken from the flag, else from the environment, else from the file, else its default. The key in
/// the file is named in brackets beside the variable.
#[derive(Debug, Parser)]
#[command(name = "vilicus-agent", version = VERSION, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Options)]
pub(crate) struct Shared {
    /// The agent's own file [default: /etc/vilicus/agent.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "VILICUS_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// What is logged, as `debug` or `info,vilicus_agent=trace` [file: log] [default: info]
    #[arg(long, global = true, value_name = "FILTER", env = "VILICUS_LOG", hide_env_values = true)]
    pub(crate) log: Option<String>,
    /// How it is logged, to standard error [file: log_format] [default: text]
    #[arg(long, global = true, value_name = "FORMAT", env = "VILICUS_LOG_FORMAT", hide_env_values = true)]
    pub(crate) log_format: Option<Format>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Runs checks and reports them, until it is told to stop
    Run(RunOptions),
    /// Gets this host's token with an enrolment token, and writes both files (0600)
    Enroll(EnrollOptions),
    /// Runs one check now, prints it, and exits 0 to 3: a drop-in Nagios plugin
    Check(CheckOptions),
    /// Looks at everything that reporting needs, and says how to mend what is wrong
    Doctor(ServerOptions),
    /// Lists what can be checked, or one kind's parameters and metrics
    Kinds(KindsOptions),
    /// Prints completions for a shell
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints the man page
    #[command(hide = true)]
    Man,
}

/// Where the server is, and who we are.
#[derive(Debug, Clone, Default, Options)]
pub(crate) struct ServerOptions {
    /// The server, as https://vilicus.example.org [file: server]
    #[arg(long, value_name = "URL", env = "VILICUS_SERVER", hide_env_values = true)]
    pub(crate) server: Option<String>,
    // The environment is read by hand: a flag must win over VILICUS_TOKEN, and that over VILICUS_TOKEN_FILE.
    /// The file that holds the token [env: VILICUS_TOKEN_FILE, or the token itself as VILICUS_TOKEN] [file: token_file]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Further certificate authorities to trust, as PEM [file: ca_file]
    #[arg(long, value_name = "FILE", env = "VILICUS_CA_FILE", hide_env_values = true)]
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, Options)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Answer GET /healthz at this address, as 127.0.0.1:8081 [file: healthz]
    #[arg(long, value_name = "ADDRESS", env = "VILICUS_HEALTHZ", hide_env_values = true)]
    pub(crate) healthz: Option<SocketAddr>,
    /// Results kept while the server is away [file: limits.buffer] [default: 10000]
    #[arg(long, value_name = "RESULTS", env = "VILICUS_BUFFER", hide_env_values = true, value_parser = at_least_one)]
    pub(crate) buffer: Option<usize>,
    /// Checks that run at the same time [file: limits.concurrency] [default: 8]
    #[arg(long, value_name = "CHECKS", env = "VILICUS_CONCURRENCY", hide_env_values = true, value_parser = at_least_one)]
    pub(crate) concurrency: Option<usize>,
}

#[derive(Debug, Options)]
pub(crate) struct EnrollOptions {
    /// The server, as https://vilicus.example.org [file: server]
    #[arg(long, value_name = "URL", env = "VILICUS_SERVER", hide_env_values = true)]
    pub(crate) server: Option<String>,
    /// The enrolment token; better in the environment, where other users do not see it
    #[arg(long, value_name = "TOKEN", env = "VILICUS_ENROLL_TOKEN", hide_env_values = true)]
    pub(crate) enroll_token: Option<String>,
    /// A file that holds the enrolment token
    #[arg(long, value_name = "FILE", env = "VILICUS_ENROLL_TOKEN_FILE", hide_env_values = true)]
    pub(crate) enroll_token_file: Option<PathBuf>,
    /// The name under which this host is known [default: its host name]
    #[arg(long, env = "VILICUS_NAME", hide_env_values = true)]
    pub(crate) name: Option<String>,
    /// A tag, as prod or os=linux; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Further certificate authorities to trust, as PEM [file: ca_file]
    #[arg(long, value_name = "FILE", env = "VILICUS_CA_FILE", hide_env_values = true)]
    pub(crate) ca_file: Option<PathBuf>,
    /// Replace a token that this host has already
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Options)]
pub(crate) struct CheckOptions {
    /// The kind of check, as disk; `vilicus-agent kinds` lists them
    pub(crate) kind: String,
    /// Parameters, as path=/var; `vilicus-agent kinds KIND` lists them
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) params: Vec<String>,
    /// WARNING when the metric (the kind's first, if none is named) is outside this range
    #[arg(short, long, value_name = "[METRIC=]RANGE", allow_hyphen_values = true)]
    pub(crate) warning: Vec<String>,
    /// CRITICAL when the metric (the kind's first, if none is named) is outside this range
    #[arg(short, long, value_name = "[METRIC=]RANGE", allow_hyphen_values = true)]
    pub(crate) critical: Vec<String>,
    /// After this time the run is CRITICAL, as 10s; a bare number is seconds, as with any plugin
    #[arg(short, long, value_name = "DURATION", default_value = "10s", value_parser = plugin_timeout)]
    pub(crate) timeout: Millis,
}

fn plugin_timeout(text: &str) -> Result<Millis, ParseMillisError> {
    match text.parse() {
        Ok(seconds) => Ok(Millis::from_secs(seconds)),
        Err(_) => text.parse(),
    }
}

#[derive(Debug, Options)]
pub(crate) struct KindsOptions {
    /// The kind to describe
    pub(crate) kind: Option<String>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number, at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// Whether these arguments, which could not be understood, ask for `check`: its mistakes have an exit code of their own.
pub(crate) fn asks_for_check(mut args: impl Iterator<Item = OsString>) -> bool {
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--config" | "--log" | "--log-format") => {
                args.next();
            }
            Some(flag) if flag.starts_with('-') => {}
            verb => return verb == Some("check"),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_mistake_of_check_is_known_as_one() {
        let asks = |line: &str| asks_for_check(line.split(' ').map(OsString::from));
        assert!(asks("check --nonsense") && asks("--log debug check") && asks("--config=x check disk"));
        assert!(!asks("run check") && !asks("--config check run") && !asks("--help"));
    }
}
