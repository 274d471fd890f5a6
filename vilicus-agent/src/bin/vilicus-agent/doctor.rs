//! `vilicus-agent doctor`: looks at everything that reporting needs, one thing after the other, and says how to mend
//! what is wrong. It changes nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use http::Request;
use vilicus_agent::config::{Config, DEFAULT_PATH};
use vilicus_agent::printable::escaped;
use vilicus_agent::transport::{Carrier as _, HttpCarrier, TransportError};
use vilicus_agent::{Clock as _, HttpTransport, SystemClock, Transport as _};
use vilicus_core::result::error_chain;

use crate::Failure;
use crate::args::{ServerOptions, Shared};
use crate::settings::{self, TokenSource};
use crate::terminal::say;

/// The difference of two clocks that the server still takes results with, in seconds.
const ALLOWED_SKEW: f64 = 300.0;

/// One thing that was looked at: its name, what was found, and how to mend it if it is wrong.
struct Finding {
    name: &'static str,
    found: String,
    mend: Option<String>,
}

/// What was found so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn fine(&mut self, name: &'static str, found: impl Into<String>) {
        self.0.push(Finding { name, found: found.into(), mend: None });
    }

    fn wrong(&mut self, name: &'static str, found: impl Into<String>, mend: impl Into<String>) {
        self.0.push(Finding { name, found: found.into(), mend: Some(mend.into()) });
    }

    fn print(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, finding| {
            let word = if finding.mend.is_some() { "BAD" } else { "ok" };
            let _ = writeln!(text, "{word:<4} {:<8} {}", finding.name, escaped(&finding.found));
            if let Some(mend) = &finding.mend {
                let _ = writeln!(text, "              mend: {}", escaped(mend));
            }
            text
        })
    }
}

pub(crate) fn run(shared: &Shared, options: ServerOptions) -> Result<ExitCode, Failure> {
    let mut findings = Findings::default();
    if let Some(config) = look_at_config(shared, &mut findings) {
        look_at_commands(&config, &mut findings);
        let token = look_at_token(&options, &config, &mut findings);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(look_at_server(&options, &config, token, &mut findings));
        runtime.shutdown_background();
    }
    say(&findings.print());
    let is_well = findings.0.iter().all(|finding| finding.mend.is_none());
    Ok(ExitCode::from(u8::from(!is_well)))
}

fn look_at_config(shared: &Shared, findings: &mut Findings) -> Option<Config> {
    let path = shared.config.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_PATH));
    match Config::find(shared.config.as_deref()) {
        Err(error) => {
            findings.wrong("config", error_chain(&error), "correct the file, or give another with --config");
            None
        }
        Ok(config) => {
            let shown = path.display();
            if !path.exists() {
                findings.fine("config", format!("{shown} is not there; flags and environment are used"));
            } else if mode(&path) & 0o022 != 0 {
                findings.wrong(
                    "config",
                    format!("{shown} can be written by others"),
                    format!("chmod go-w {shown}"),
                );
            } else {
                findings.fine("config", format!("{shown}"));
            }
            Some(config)
        }
    }
}

fn look_at_commands(config: &Config, findings: &mut Findings) {
    match settings::kinds(config) {
        Ok(_) => {
            findings.fine("command", format!("{} entries in the allow list", config.command.allow.len()))
        }
        Err(error) => findings.wrong("command", error_chain(&error), "correct the [command] table"),
    }
}

fn look_at_token(
    options: &ServerOptions,
    config: &Config,
    findings: &mut Findings,
) -> Option<secrecy::SecretString> {
    let enrol = "enrol this host: vilicus-agent enroll --server URL --enroll-token TOKEN";
    let source = match settings::token_source(options, config) {
        Ok(source) => source,
        Err(Failure::Failed(text) | Failure::Usage(text)) => {
            findings.wrong("token", text, enrol);
            return None;
        }
    };
    let token = match source.token() {
        Ok(token) => token,
        Err(Failure::Failed(text) | Failure::Usage(text)) => {
            findings.wrong("token", text, format!("run as the user who owns the file, or {enrol}"));
            return None;
        }
    };
    match &source {
        TokenSource::Environment(_) => findings.fine("token", "from VILICUS_TOKEN"),
        TokenSource::File(path) if mode(path) & 0o077 != 0 => {
            let shown = path.display();
            findings.wrong("token", format!("{shown} can be read by others"), format!("chmod 600 {shown}"));
        }
        TokenSource::File(path) => findings.fine("token", format!("from {}", path.display())),
    }
    Some(token)
}

async fn look_at_server(
    options: &ServerOptions,
    config: &Config,
    token: Option<secrecy::SecretString>,
    findings: &mut Findings,
) {
    let url = match settings::server(options, config) {
        Ok(url) => url,
        Err(Failure::Failed(text) | Failure::Usage(text)) => {
            return findings.wrong("server", text, "give --server https://…");
        }
    };
    let http_options = settings::http_options(options.ca_file.as_ref(), config);
    let carrier = match HttpCarrier::new(&url, http_options) {
        Ok(carrier) => carrier,
        Err(error) => {
            return findings.wrong("server", error_chain(&error), "correct the address or the CA file");
        }
    };
    if carrier.exposes_token() {
        findings.wrong("server", format!("{} is not encrypted", carrier.server()), "use https://");
    } else {
        findings.fine("server", carrier.server());
    }
    if !look_at_name(&url, findings).await || !look_at_connection(&carrier, findings).await {
        return;
    }
    if let Some(token) = token {
        look_at_access(carrier, &token, findings).await;
    }
}

async fn look_at_name(url: &str, findings: &mut Findings) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match tokio::net::lookup_host((bare, port)).await.map(Iterator::collect::<Vec<_>>) {
        Ok(addresses) if !addresses.is_empty() => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            findings.fine("name", format!("{host} is {}", addresses.join(", ")));
            true
        }
        Ok(_) => {
            findings.wrong("name", format!("{host} has no address"), "correct the name, or DNS");
            false
        }
        Err(error) => {
            findings.wrong("name", format!("{host}: {error}"), "correct the name, or see /etc/resolv.conf");
            false
        }
    }
}

/// Connects, and compares the clocks.
async fn look_at_connection(carrier: &HttpCarrier, findings: &mut Findings) -> bool {
    let Ok(request) = Request::builder().uri("/healthz").body(Bytes::new()) else { return false };
    let response = match carrier.carry(request).await {
        Ok(response) => response,
        Err(error) => {
            let mend =
                "start the server, open the firewall, or give its certificate authority with --ca-file";
            findings.wrong("connect", error_chain(&error), mend);
            return false;
        }
    };
    findings.fine("connect", format!("it answers ({})", response.status()));
    match vilicus_agent::transport::date_of(response.headers()) {
        None => findings.fine("clock", "the server does not say what time it has"),
        Some(date) => {
            let skew = (SystemClock.now().as_millis() - date.as_millis()) as f64 / 1000.0;
            let found = format!("{skew:+.1} s against the server's");
            if skew.abs() > ALLOWED_SKEW {
                findings.wrong("clock", found, "set the clock: timedatectl set-ntp true");
            } else {
                findings.fine("clock", found);
            }
        }
    }
    true
}

async fn look_at_access(carrier: HttpCarrier, token: &secrecy::SecretString, findings: &mut Findings) {
    let transport = match HttpTransport::over(carrier, token) {
        Ok(transport) => transport,
        Err(error) => return findings.wrong("access", error_chain(&error), "enrol this host again"),
    };
    match transport.agent().await {
        Ok(agent) => findings.fine("access", format!("the server knows this agent as {}", agent.value.name)),
        Err(error @ (TransportError::Unauthorized { .. } | TransportError::NotOfAnAgent { .. })) => {
            findings.wrong("access", error_chain(&error), "enrol this host again, with --force");
        }
        Err(error @ TransportError::NotYet { .. }) => {
            findings.wrong(
                "access",
                error_chain(&error),
                "let an admin approve it; it goes on by itself then",
            );
        }
        Err(error) => findings.wrong("access", error_chain(&error), "see the server's log"),
    }
}

/// The permissions of a file; none when it is not there.
#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode())
}
