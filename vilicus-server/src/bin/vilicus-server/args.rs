//! What can be said on the command line, and in the environment. Secrets can't be said here: see `files`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use url::Url;
use vilicus_core::Millis;
use vilicus_server::settings::{Durability, Layer, LimitsLayer, LogFormat, OneOrMany, Outbound};
use vilicus_store::inventory::Role;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("VILICUS_COMMIT"), ")");

/// The vilicus server: receives what agents measure, judges it, remembers it, and tells people.
#[derive(Debug, Parser)]
#[command(name = "vilicus-server", version = VERSION, propagate_version = true)]
#[command(
    after_help = "Every option of 'serve' is also a key in server.toml, by the same name with '_' for '-'. \
    A flag beats the environment, the environment beats the file."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(Box<ServeArgs>),
    /// Check settings and configurations without starting: every mistake with file, line and column
    CheckConfig {
        /// The files, and folders of them; all configurations among them are judged as one
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// A file of policy tests to run with the configurations, in simulated time; may be given more than once
        #[arg(long = "test", value_name = "FILE")]
        tests: Vec<PathBuf>,
    },
    /// Make tokens
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Print a link that logs an admin in, once, within an hour
    LoginLink {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Look after the store
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it: it is shown this once
    Create(TokenArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// What the store holds
    Info {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Read everything back, and say what cannot be read; the server must not run
    Verify {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Write everything to a file, while the server works on or when it does not run
    Backup {
        #[command(flatten)]
        data: DataArgs,
        /// The file; what is there stays until the new one is whole
        file: PathBuf,
    },
    /// Make a store of a backup, in a place where none is
    Restore {
        #[command(flatten)]
        data: DataArgs,
        /// The file
        file: PathBuf,
    },
    /// Write the store anew without what its files hold in vain; the server must not run
    Compact {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Copy a store to another place; the server must not run
    Migrate {
        /// Where everything is: sled:DIR
        #[arg(long, value_name = "URL")]
        from: String,
        /// Where it shall be, where no store is: sled:DIR
        #[arg(long, value_name = "URL")]
        to: String,
    },
}

/// Where the settings and the data are.
#[derive(Debug, clap::Args)]
pub(crate) struct DataArgs {
    /// The settings file [default: /etc/vilicus/server.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "VILICUS_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept: sled:DIR or memory: [default: sled:./vilicus-data]
    #[arg(long, value_name = "URL", env = "VILICUS_STORE")]
    pub(crate) store: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// What its holder may do
    #[arg(long)]
    pub(crate) role: TokenRole,
    /// Its name [default: made of the role and the time]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// How long it works, as 30d [default: without end]
    #[arg(long, value_name = "SPAN")]
    pub(crate) expires: Option<Millis>,
    /// How often it works [default: any number of times]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) uses: Option<u32>,
    /// Agents that it enrols are ephemeral: their names may be enrolled again while they are not UP
    #[arg(long)]
    pub(crate) ephemeral: bool,
}

/// The roles that a token can be made for by hand.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TokenRole {
    /// Everything
    Admin,
    /// Look, acknowledge, set downtimes, run checks now
    Operator,
    /// Look
    Viewer,
    /// Enrol agents
    Enroll,
}

impl From<TokenRole> for Role {
    fn from(role: TokenRole) -> Self {
        match role {
            TokenRole::Admin => Self::Admin,
            TokenRole::Operator => Self::Operator,
            TokenRole::Viewer => Self::Viewer,
            TokenRole::Enroll => Self::Enroll,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// An address to listen on; port 0 picks a free one; may be given more than once [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "VILICUS_LISTEN", value_delimiter = ',')]
    listen: Option<Vec<SocketAddr>>,
    /// Watch this very host with an agent in the server's process
    #[arg(long, env = "VILICUS_LOCAL_AGENT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    local_agent: Option<bool>,
    /// What an accepted result survives: loss of power, or the end of the process [default: power]
    #[arg(long, value_name = "WHAT", env = "VILICUS_DURABILITY", value_parser = durability)]
    durability: Option<Durability>,
    /// How long results are kept [default: 35d]
    #[arg(long, value_name = "SPAN", env = "VILICUS_KEEP_RESULTS")]
    keep_results: Option<Millis>,
    /// How long rollups, events and finished messages are kept [default: 400d]
    #[arg(long, value_name = "SPAN", env = "VILICUS_KEEP_ROLLUPS")]
    keep_rollups: Option<Millis>,
    /// The address that people use, for links in messages
    #[arg(long, value_name = "URL", env = "VILICUS_PUBLIC_URL")]
    public_url: Option<Url>,
    /// The certificate chain (PEM): serve HTTPS; read again when it changes
    #[arg(long, value_name = "FILE", env = "VILICUS_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The private key (PEM)
    #[arg(long, value_name = "FILE", env = "VILICUS_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// The networks of proxies whose X-Forwarded-For counts
    #[arg(long, value_name = "NET", env = "VILICUS_TRUSTED_PROXIES", value_delimiter = ',')]
    trusted_proxies: Option<Vec<IpNet>>,
    /// Where the server's own requests may go: private (all but link-local and metadata) or public [default: private]
    #[arg(long, value_name = "WHERE", env = "VILICUS_OUTBOUND", value_parser = outbound)]
    outbound: Option<Outbound>,
    /// Watch the server itself, by checks on an agent named vilicus [default: true]
    #[arg(long, env = "VILICUS_SELF_CHECKS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    self_checks: Option<bool>,
    /// How often the address in VILICUS_HEARTBEAT_URL is called while all is well [default: 1m]
    #[arg(long, value_name = "SPAN", env = "VILICUS_HEARTBEAT_INTERVAL")]
    heartbeat_interval: Option<Millis>,
    /// A configuration, or a folder of them, to be applied at the start and on SIGHUP; may be given more than once
    #[arg(long, value_name = "FILE", env = "VILICUS_APPLY", value_delimiter = ',')]
    apply: Option<Vec<PathBuf>>,
    /// Remove what the applied configurations made before and no longer say
    #[arg(long, env = "VILICUS_PRUNE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    prune: Option<bool>,
    /// How the log looks: text or json [default: text]
    #[arg(long, value_name = "FORMAT", env = "VILICUS_LOG_FORMAT", value_parser = log_format)]
    pub(crate) log_format: Option<LogFormat>,
    /// What is logged, as info, debug or vilicus_server=debug [default: info]
    #[arg(long, value_name = "FILTER", env = "VILICUS_LOG")]
    pub(crate) log: Option<String>,
    #[command(flatten)]
    limits: LimitArgs,
}

impl ServeArgs {
    /// What the command line and the environment say.
    pub(crate) fn layer(self) -> Layer {
        Layer {
            listen: self.listen.map(OneOrMany::Many),
            store: self.data.store,
            durability: self.durability,
            keep_results: self.keep_results,
            keep_rollups: self.keep_rollups,
            local_agent: self.local_agent,
            public_url: self.public_url,
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
            trusted_proxies: self.trusted_proxies,
            outbound: self.outbound,
            self_checks: self.self_checks,
            heartbeat_interval: self.heartbeat_interval,
            apply: self.apply,
            prune: self.prune,
            log_format: self.log_format,
            log: self.log,
            limits: self.limits.into(),
            ..Layer::default()
        }
    }
}

fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "power" => Ok(Durability::Power),
        "process" => Ok(Durability::Process),
        _ => Err("expected power or process".to_owned()),
    }
}

fn outbound(text: &str) -> Result<Outbound, String> {
    match text {
        "private" => Ok(Outbound::Private),
        "public" => Ok(Outbound::Public),
        _ => Err("expected private or public".to_owned()),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("expected text or json".to_owned()),
    }
}

/// Writes the flags of the limits, and how they become a layer, from one table.
macro_rules! limit_args {
    ($($(#[doc = $doc:literal])* $name:ident: $type:ty, $env:literal;)*) => {
        #[derive(Debug, clap::Args)]
        #[command(next_help_heading = "Limits (in the file under [limits])")]
        struct LimitArgs {
            $($(#[doc = $doc])* #[arg(long, env = $env, value_name = "N", hide_short_help = true)] $name: Option<$type>,)*
        }

        impl From<LimitArgs> for LimitsLayer {
            fn from(args: LimitArgs) -> Self {
                Self { $($name: args.$name,)* }
            }
        }
    };
}

limit_args! {
    /// Bytes of a request's body, after decompression [default: 4194304]
    body_bytes: usize, "VILICUS_BODY_BYTES";
    /// Results of one batch [default: 10000]
    batch_results: usize, "VILICUS_BATCH_RESULTS";
    /// Bytes of a result's output; the rest is cut [default: 16384]
    output_bytes: usize, "VILICUS_OUTPUT_BYTES";
    /// Metrics of one result [default: 256]
    metrics_per_result: usize, "VILICUS_METRICS_PER_RESULT";
    /// How far in the future a result may lie [default: 5m]
    clock_skew: Millis, "VILICUS_CLOCK_SKEW";
    /// How long a request's header may take [default: 10s]
    header_timeout: Millis, "VILICUS_HEADER_TIMEOUT";
    /// How long a request's body may take [default: 30s]
    body_timeout: Millis, "VILICUS_BODY_TIMEOUT";
    /// How long a connection may be idle [default: 75s]
    idle_timeout: Millis, "VILICUS_IDLE_TIMEOUT";
    /// Requests a second of one agent [default: 5000]
    agent_requests_per_second: u32, "VILICUS_AGENT_REQUESTS_PER_SECOND";
    /// Requests at once of one agent [default: 10000]
    agent_requests_burst: u32, "VILICUS_AGENT_REQUESTS_BURST";
    /// Failed logins a second from one address [default: 1]
    failed_logins_per_second: u32, "VILICUS_FAILED_LOGINS_PER_SECOND";
    /// Failed logins at once from one address [default: 30]
    failed_logins_burst: u32, "VILICUS_FAILED_LOGINS_BURST";
    /// Connections of one address [default: 1024]
    connections_per_address: usize, "VILICUS_CONNECTIONS_PER_ADDRESS";
    /// All connections together [default: 16384]
    connections: usize, "VILICUS_CONNECTIONS";
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn flags_become_a_layer() {
        let words = [
            "vilicus-server",
            "serve",
            "--listen",
            "127.0.0.1:0,[::1]:0",
            "--local-agent",
            "--body-bytes",
            "5",
        ];
        let Command::Serve(args) = Args::try_parse_from(words).unwrap().command else {
            panic!("it is serve")
        };
        let layer = args.layer();
        assert_eq!(Vec::from(layer.listen.unwrap()).len(), 2);
        assert_eq!((layer.local_agent, layer.limits.body_bytes), (Some(true), Some(5)));
    }
}
