//! What a server is told at its start: flag > environment > file > default.
//!
//! The binary reads flags and environment into a [`Layer`], `server.toml` is another, and [`Settings::resolve`] puts
//! them over the defaults and judges the whole. Deliberately absent: any read of the environment; whoever calls hands
//! it in.

mod blindness;
mod exec;
mod file;
mod limits;
mod secret;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;
use url::Url;
use vilicus_core::Millis;

use crate::http::Limits;
use crate::self_check::BlindnessLimits;

pub use blindness::BlindnessLayer;
pub use exec::ExecLayer;
pub use file::{FileError, parse as parse_file, read as read_file};
pub use limits::LimitsLayer;
pub use secret::{Environment, SecretError, SecretSource, ServerSecret};

/// The fewest characters of a token: guessing one then takes longer than anyone lives.
pub const SHORTEST_TOKEN: usize = 32;
/// The address that is listened on when nothing else is said.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
/// The store that is used when nothing else is said.
pub const DEFAULT_STORE: &str = "sled:./vilicus-data";

/// What one source says. `None` leaves it to the next.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The addresses to listen on; port 0 picks a free one.
    pub listen: Option<OneOrMany<SocketAddr>>,
    /// `sled:DIR` or `memory:`.
    pub store: Option<String>,
    /// What a 2xx on results survives.
    pub durability: Option<Durability>,
    /// How long results are kept.
    pub keep_results: Option<Millis>,
    /// How long rollups, events and finished messages are kept.
    pub keep_rollups: Option<Millis>,
    /// Whether the server watches its own host.
    pub local_agent: Option<bool>,
    /// The address that people use, for links.
    #[serde(default, deserialize_with = "file::parsed")]
    pub public_url: Option<Url>,
    /// The certificate chain, PEM.
    pub tls_cert: Option<PathBuf>,
    /// The private key, PEM.
    pub tls_key: Option<PathBuf>,
    /// The networks whose `X-Forwarded-For` counts.
    #[serde(default, deserialize_with = "file::all_parsed")]
    pub trusted_proxies: Option<Vec<IpNet>>,
    /// Where the server's own requests may go.
    pub outbound: Option<Outbound>,
    /// The text of the admin token `env-admin`.
    pub admin_token: Option<SecretSource>,
    /// The text of the enrolment token `env-enroll`.
    pub enroll_token: Option<SecretSource>,
    /// Who may read `/metrics`; everybody when not set.
    pub metrics_token: Option<SecretSource>,
    /// Whether the server watches itself.
    pub self_checks: Option<bool>,
    /// The address that is called while all is well; whoever knows it can keep up the appearance of life.
    pub heartbeat_url: Option<SecretSource>,
    /// How often it is called.
    pub heartbeat_interval: Option<Millis>,
    /// The configurations that are applied at the start, and when the server is told to reload.
    pub apply: Option<Vec<PathBuf>>,
    /// Whether what they no longer say goes.
    pub prune: Option<bool>,
    /// How the log looks.
    pub log_format: Option<LogFormat>,
    /// What is logged, as `info` or `vilicus_server=debug`.
    pub log: Option<String>,
    /// What is refused.
    #[serde(default)]
    pub limits: LimitsLayer,
    /// Which programs channels may run; only a file can say.
    #[serde(default)]
    pub exec: ExecLayer,
    /// When the server takes the silence of many agents for its own blindness.
    #[serde(default)]
    pub blindness: BlindnessLayer,
}

/// One value, or a list of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "an address with a port, as \"127.0.0.1:8080\", or a list of them")]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Many.
    Many(Vec<T>),
}

impl<T> From<OneOrMany<T>> for Vec<T> {
    fn from(value: OneOrMany<T>) -> Self {
        match value {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        }
    }
}

/// What a 2xx on results survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Loss of power.
    #[default]
    Power,
    /// The end of the process, however sudden.
    Process,
}

/// Where the server's own requests may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outbound {
    /// Everywhere but to link-local and metadata addresses.
    #[default]
    Private,
    /// Only to public addresses.
    Public,
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl From<Durability> for vilicus_store::engine::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Power => Self::Power,
            Durability::Process => Self::Process,
        }
    }
}

/// Where everything is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// In this folder.
    Sled(PathBuf),
    /// Nowhere: gone at the end of the process.
    Memory,
}

/// Everything that a server is told, complete and judged.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Where everything is kept.
    pub store: StoreUrl,
    /// What a 2xx on results survives.
    pub durability: Durability,
    /// How long results are kept; `None` leaves it to the store.
    pub keep_results: Option<Millis>,
    /// How long rollups, events and finished messages are kept; `None` leaves it to the store.
    pub keep_rollups: Option<Millis>,
    /// Whether the server watches its own host.
    pub local_agent: bool,
    /// The address that people use, for links.
    pub public_url: Option<Url>,
    /// The certificate chain and the private key.
    pub tls: Option<TlsFiles>,
    /// The networks whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Where the server's own requests may go.
    pub outbound: Outbound,
    /// The text of the admin token `env-admin`.
    pub admin_token: Option<ServerSecret>,
    /// The text of the enrolment token `env-enroll`.
    pub enroll_token: Option<ServerSecret>,
    /// Who may read `/metrics`.
    pub metrics_token: Option<ServerSecret>,
    /// Whether the server watches itself, by checks on an agent of its own.
    pub self_checks: bool,
    /// The address that is called while all is well.
    pub heartbeat_url: Option<ServerSecret>,
    /// How often it is called; a minute by default.
    pub heartbeat_interval: Millis,
    /// When the server takes the silence of many agents for its own blindness.
    pub blindness: BlindnessLimits,
    /// The configurations that are applied at the start, and when the server is told to reload.
    pub apply: Vec<PathBuf>,
    /// Whether what they no longer say goes.
    pub prune: bool,
    /// What is refused.
    pub limits: Limits,
    /// The programs that channels of the kind `exec` may run.
    pub exec_allow: Vec<PathBuf>,
}

/// Where the certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// The settings can't work. Says which one, and what would.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// No such kind of store.
    #[error("no store is known by '{0}'; use sled:DIR or memory:")]
    Store(String),
    /// Half of what TLS needs.
    #[error("tls_cert and tls_key go together: set both or none")]
    HalfTls,
    /// People can't follow such links.
    #[error("public_url must begin with http:// or https://, not '{0}'")]
    PublicUrl(Url),
    /// Nothing to listen on.
    #[error("listen names no address; leave it out for {DEFAULT_LISTEN}")]
    NoAddress,
    /// A token that can be guessed.
    #[error("{0} has fewer than {SHORTEST_TOKEN} characters; use a longer one, as of: openssl rand -hex 32")]
    ShortToken(&'static str),
    /// A token that no header can carry.
    #[error("{0} holds a character that is not printable ASCII; use letters and digits")]
    UnusableToken(&'static str),
    /// A secret could not be had.
    #[error("cannot read {name}")]
    Secret {
        /// Which one.
        name: &'static str,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// Nobody can be called there.
    #[error("heartbeat_url must begin with http:// or https://")]
    HeartbeatUrl,
    /// The checks that go before a call take a while.
    #[error("heartbeat_interval is {0}; {SHORTEST_HEARTBEAT} is the shortest")]
    HeartbeatInterval(Millis),
    /// No such share of the agents.
    #[error("blindness.percent is {0}; use 1 to 100")]
    BlindnessPercent(u8),
    /// A limit that lets nothing pass.
    #[error("limits.{0} is 0, which lets nothing pass; leave it out for its default")]
    ZeroLimit(&'static str),
    /// A program that is not named by its whole path.
    #[error("exec.allow names '{}'; give the whole path of a program, as /usr/local/bin/page, without '..'", .0.display())]
    ExecPath(PathBuf),
}

impl Default for Settings {
    /// What a server does that is told nothing.
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            store: StoreUrl::Sled("./vilicus-data".into()),
            durability: Durability::default(),
            keep_results: None,
            keep_rollups: None,
            local_agent: false,
            public_url: None,
            tls: None,
            trusted_proxies: Vec::new(),
            outbound: Outbound::default(),
            admin_token: None,
            enroll_token: None,
            metrics_token: None,
            self_checks: true,
            heartbeat_url: None,
            heartbeat_interval: Millis::from_minutes(1),
            blindness: BlindnessLimits::default(),
            apply: Vec::new(),
            prune: false,
            limits: Limits::default(),
            exec_allow: Vec::new(),
        }
    }
}

impl Settings {
    /// Puts the layers over the defaults, the strongest first, and judges the whole.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn resolve(strong: Layer, weak: Layer, environment: &Environment<'_>) -> Result<Self, SettingsError> {
        let secret =
            |name, strong: Option<SecretSource>, weak| read_token(name, strong.or(weak), environment);
        let default = Self::default();
        Ok(Self {
            listen: strong.listen.or(weak.listen).map(listen).transpose()?.unwrap_or(default.listen),
            store: strong.store.or(weak.store).map(|url| url.parse()).transpose()?.unwrap_or(default.store),
            durability: strong.durability.or(weak.durability).unwrap_or_default(),
            keep_results: strong.keep_results.or(weak.keep_results),
            keep_rollups: strong.keep_rollups.or(weak.keep_rollups),
            local_agent: strong.local_agent.or(weak.local_agent).unwrap_or(false),
            public_url: strong.public_url.or(weak.public_url).map(check_url).transpose()?,
            tls: tls(strong.tls_cert.or(weak.tls_cert), strong.tls_key.or(weak.tls_key))?,
            trusted_proxies: strong.trusted_proxies.or(weak.trusted_proxies).unwrap_or_default(),
            outbound: strong.outbound.or(weak.outbound).unwrap_or_default(),
            admin_token: secret("admin_token (VILICUS_ADMIN_TOKEN)", strong.admin_token, weak.admin_token)?,
            enroll_token: secret(
                "enroll_token (VILICUS_ENROLL_TOKEN)",
                strong.enroll_token,
                weak.enroll_token,
            )?,
            metrics_token: secret(
                "metrics_token (VILICUS_METRICS_TOKEN)",
                strong.metrics_token,
                weak.metrics_token,
            )?,
            self_checks: strong.self_checks.or(weak.self_checks).unwrap_or(default.self_checks),
            heartbeat_url: heartbeat_url(strong.heartbeat_url.or(weak.heartbeat_url), environment)?,
            heartbeat_interval: heartbeat_interval(
                strong.heartbeat_interval.or(weak.heartbeat_interval),
                default.heartbeat_interval,
            )?,
            blindness: blindness::resolve(strong.blindness, weak.blindness)?,
            apply: strong.apply.or(weak.apply).unwrap_or_default(),
            prune: strong.prune.or(weak.prune).unwrap_or(false),
            limits: limits::resolve(strong.limits, weak.limits)?,
            exec_allow: exec::resolve(strong.exec, weak.exec)?,
        })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sled(dir) => write!(f, "sled:{}", dir.display()),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

impl std::str::FromStr for StoreUrl {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("sled", dir)) if !dir.is_empty() => Ok(Self::Sled(dir.into())),
            Some(("memory", "")) => Ok(Self::Memory),
            _ => Err(SettingsError::Store(text.chars().take(80).collect())),
        }
    }
}

fn listen(written: OneOrMany<SocketAddr>) -> Result<Vec<SocketAddr>, SettingsError> {
    let addresses = Vec::from(written);
    if addresses.is_empty() { Err(SettingsError::NoAddress) } else { Ok(addresses) }
}

fn check_url(url: Url) -> Result<Url, SettingsError> {
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(SettingsError::PublicUrl(url)) }
}

fn tls(cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>, SettingsError> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (None, None) => Ok(None),
        _ => Err(SettingsError::HalfTls),
    }
}

/// The shortest time between two calls of the heartbeat address.
const SHORTEST_HEARTBEAT: Millis = Millis::from_secs(10);

fn heartbeat_url(
    source: Option<SecretSource>,
    environment: &Environment<'_>,
) -> Result<Option<ServerSecret>, SettingsError> {
    let Some(source) = source else {
        return Ok(None);
    };
    let name = "heartbeat_url (VILICUS_HEARTBEAT_URL)";
    let secret = source.read(environment).map_err(|source| SettingsError::Secret { name, source })?;
    match Url::parse(secret.expose()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Some(secret)),
        _ => Err(SettingsError::HeartbeatUrl),
    }
}

fn heartbeat_interval(written: Option<Millis>, default: Millis) -> Result<Millis, SettingsError> {
    match written {
        Some(interval) if interval < SHORTEST_HEARTBEAT => Err(SettingsError::HeartbeatInterval(interval)),
        interval => Ok(interval.unwrap_or(default)),
    }
}

fn read_token(
    name: &'static str,
    source: Option<SecretSource>,
    environment: &Environment<'_>,
) -> Result<Option<ServerSecret>, SettingsError> {
    let Some(source) = source else {
        return Ok(None);
    };
    let secret = source.read(environment).map_err(|source| SettingsError::Secret { name, source })?;
    let text = secret.expose();
    if text.chars().count() < SHORTEST_TOKEN {
        return Err(SettingsError::ShortToken(name));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SettingsError::UnusableToken(name));
    }
    Ok(Some(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(strong: &str, weak: &str) -> Result<Settings, SettingsError> {
        let environment: &Environment<'_> = &|name| (name == "TOKEN").then(|| "t".repeat(40));
        Settings::resolve(toml::from_str(strong).unwrap(), toml::from_str(weak).unwrap(), environment)
    }

    #[test]
    fn without_anything_there_are_defaults_that_work() {
        let settings = resolve("", "").unwrap();
        assert_eq!(settings.listen.len(), 1);
        assert_eq!(settings.store, StoreUrl::Sled("./vilicus-data".into()));
        assert_eq!((settings.durability, settings.local_agent), (Durability::Power, false));
        assert_eq!(settings.listen[0].to_string(), DEFAULT_LISTEN);
        assert_eq!(DEFAULT_STORE.parse::<StoreUrl>().unwrap(), settings.store);
    }

    #[test]
    fn the_stronger_layer_wins_key_by_key() {
        let strong = "listen = ['127.0.0.1:1', '[::1]:2']\n[limits]\nbatch_results = 5";
        let weak = "listen = '127.0.0.1:9'\nlocal_agent = true\n[limits]\nbatch_results = 7\nbody_bytes = 99";
        let settings = resolve(strong, weak).unwrap();
        assert_eq!(settings.listen.len(), 2);
        assert!(settings.local_agent);
        assert_eq!((settings.limits.batch_results, settings.limits.body_bytes), (5, 99));
    }

    #[test]
    fn what_can_not_work_is_refused_with_its_mend() {
        for (text, words) in [
            ("store = 'redis:x'", "sled:DIR"),
            ("store = 'sled:'", "sled:DIR"),
            ("tls_cert = 'a.pem'", "both or none"),
            ("public_url = 'ftp://x'", "http://"),
            ("listen = []", "no address"),
            ("admin_token = 'short'", "fewer than 32"),
            ("admin_token = { env = 'NOT_SET' }", "cannot read admin_token"),
            ("enroll_token = 'ääääääääääääääääääääääääääääääääääää'", "printable"),
            ("heartbeat_url = 'ftp://x'", "http://"),
            ("heartbeat_interval = '1s'", "10s is the shortest"),
            ("[blindness]\npercent = 101", "1 to 100"),
            ("[limits]\nbody_bytes = 0", "limits.body_bytes"),
            ("[exec]\nallow = ['page']", "exec.allow names 'page'"),
        ] {
            let error = resolve(text, "").unwrap_err();
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_token_shows_in_no_debug() {
        let canary = "canary-canary-canary-canary-canary";
        let settings = resolve(&format!("admin_token = '{canary}'"), "").unwrap();
        assert!(!format!("{settings:?}").contains(canary));
        assert_eq!(settings.admin_token.unwrap().expose(), canary);
        let layer: Layer = toml::from_str(&format!("admin_token = '{canary}'")).unwrap();
        assert!(!format!("{layer:?}").contains(canary));
        assert!(resolve("admin_token = { env = 'TOKEN' }", "").unwrap().admin_token.is_some());
    }
}
