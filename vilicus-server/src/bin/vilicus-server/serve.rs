//! `serve`: runs the server until it is told to stop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use vilicus_core::result::error_chain;
use vilicus_server::api::{AppState, SystemRandom};
use vilicus_server::apply;
use vilicus_server::clock::{Clock, SystemClock};
use vilicus_server::http::Tls;
use vilicus_server::{Server, ServerError, Settings, tokens};
use vilicus_store::Store;

use crate::access::Door;
use crate::args::ServeArgs;
use crate::exit::Failure;
use crate::{files, log, store};

pub(crate) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let file = files::layer(args.data.config.as_deref())?;
    let format = args.log_format.or(file.log_format).unwrap_or_default();
    log::start(format, args.log.as_deref().or(file.log.as_deref()))?;
    let settings = files::resolve(args.layer(), file)?;
    let mut signals = Signals::new()?;
    let store = store::open(&settings).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let plain = loopback(&settings).await?;
    let plain_address = plain.as_ref().and_then(|listener| listener.local_addr().ok());
    let server = build(&settings, store.clone(), clock.clone(), plain).await?;
    let declared = Declared { settings: settings.clone(), api: server.api() };
    declared.apply().await?;
    let address = server.addresses().first().copied();
    let address = address.ok_or_else(|| Failure::new("the server listens nowhere"))?;
    let dashboard = dashboard(&settings, address);
    let commands = format!("http://{}", reachable(plain_address.unwrap_or(address)));
    let door = match files::data_dir(&settings.store) {
        Some(data) => Some(open_door(&data, &commands, &dashboard, &store, clock.as_ref()).await?),
        None => None,
    };
    warn_of_open_doors(&settings, address);
    welcome(&dashboard, &store, clock.as_ref()).await?;
    let tls = server.tls();
    // Without a service manager that listens there is nothing to tell, and nothing is wrong.
    let _ = sd_notify::notify(false, &[NotifyState::Ready]);
    let outcome = server.run(signals.stop(tls, declared)).await;
    drop(door);
    outcome.map_err(failure)
}

async fn build(
    settings: &Settings,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    plain: Option<TcpListener>,
) -> Result<Server, Failure> {
    let builder = Server::builder().store(store).clock(clock).local_agent(settings.local_agent);
    let builder = builder.settings(settings.clone());
    let builder = match files::data_dir(&settings.store) {
        Some(dir) => builder.data_dir(dir),
        None => builder,
    };
    let builder = match plain {
        Some(listener) => builder.plain_listener(listener),
        None => builder,
    };
    builder.build().await.map_err(failure)
}

fn failure(error: ServerError) -> Failure {
    let text = error_chain(&error);
    match error {
        ServerError::StoreLost { .. } | ServerError::Store(_) => Failure::store(text),
        // An address in use may be free later; one that is not of this host, or not allowed, stays so.
        ServerError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            Failure::new(text)
        }
        ServerError::Tls(_) | ServerError::Listen { .. } => Failure::config(text),
        _ => Failure::new(text),
    }
}

/// Where the server's own command line is answered when the others speak HTTPS: its certificate names no loopback
/// address, and what never leaves the host needs none.
async fn loopback(settings: &Settings) -> Result<Option<TcpListener>, Failure> {
    if settings.tls.is_none() {
        return Ok(None);
    }
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    bound.map(Some).map_err(|error| Failure::because("cannot listen on the loopback interface", &error))
}

/// Makes the token of the command line, and writes down where it can be used.
async fn open_door(
    data: &Path,
    commands: &str,
    dashboard: &str,
    store: &Arc<dyn Store>,
    clock: &dyn Clock,
) -> Result<Door, Failure> {
    let random = tokens::fresh(&SystemRandom);
    let token = random.map_err(|error| Failure::because("cannot make the local token", &error))?;
    tokens::ensure_local(store.as_ref(), &token, clock.now())
        .await
        .map_err(|error| Failure::store(error_chain(&error)))?;
    Door::open(data, commands, dashboard, &token)
        .map_err(|error| Failure::because("cannot write the local token into the data directory", &error))
}

/// An address that listens on all interfaces, as this host reaches it.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Where people find the dashboard, without a slash at the end.
fn dashboard(settings: &Settings, address: SocketAddr) -> String {
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    match &settings.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => format!("{scheme}://{}", reachable(address)),
    }
}

/// Tokens in the open can be read on the way.
fn warn_of_open_doors(settings: &Settings, address: SocketAddr) {
    let behind_proxy = !settings.trusted_proxies.is_empty();
    if settings.tls.is_none() && !behind_proxy && !address.ip().is_loopback() {
        tracing::warn!(
            "other hosts can connect without TLS; set tls_cert and tls_key, or trusted_proxies behind a proxy"
        );
    }
}

/// Says where the dashboard is; while nobody can administer the server, with a link that lets someone in.
async fn welcome(base: &str, store: &Arc<dyn Store>, clock: &dyn Clock) -> Result<(), Failure> {
    let known = store.tokens().await.map_err(|error| Failure::store(error_chain(&error)))?;
    if !tokens::has_no_admin(&known, clock.now()) {
        tracing::info!("the dashboard is at {base}/");
        return Ok(());
    }
    let link = tokens::login_link(store.as_ref(), &SystemRandom, tokens::LOCAL_TOKEN, clock.now()).await;
    let link = link.map_err(|error| Failure::because("cannot make a login link", &error))?;
    tracing::info!(
        "the dashboard is at {base}/ and nobody can administer it yet; log in once, within an hour: {base}{link}"
    );
    Ok(())
}

/// What the operating system says.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::because("cannot listen for signals", &error));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Ends when the server shall stop; reads the certificate and the configurations again when asked to.
    async fn stop(&mut self, tls: Option<Arc<Tls>>, declared: Declared) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hang_up.recv() => {
                    reload(tls.as_deref());
                    declared.reload().await;
                }
            }
        }
        let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
    }
}

/// The configurations that the settings name.
struct Declared {
    settings: Settings,
    api: AppState,
}

impl Declared {
    /// Makes everything as they say.
    async fn apply(&self) -> Result<(), Failure> {
        if self.settings.apply.is_empty() {
            return Ok(());
        }
        let environment = |name: &str| std::env::var(name).ok();
        let configuration = apply::read(&self.settings.apply, &environment);
        let configuration = configuration.map_err(|faults| Failure::config(faults.to_string()))?;
        let options =
            apply::Options { prune: self.settings.prune, by: "apply".to_owned(), ..Default::default() };
        let report =
            apply::apply(&self.api, &configuration, &options).await.map_err(|failure| match failure {
                apply::Failure::Store(_) => Failure::store(error_chain(&failure)),
                _ => Failure::config(error_chain(&failure)),
            })?;
        tracing::info!(
            created = report.create.len(),
            changed = report.update.len(),
            removed = report.delete.len(),
            unchanged = report.unchanged.len(),
            "the configuration is applied"
        );
        report.notes.iter().for_each(|note| tracing::info!("{note}"));
        Ok(())
    }

    /// The same while the server runs: what is wrong is logged, and all stays as it is.
    async fn reload(&self) {
        if let Err(failure) = self.apply().await {
            tracing::error!("the configuration is not applied, and all stays as it is: {failure}");
        }
    }
}

fn reload(tls: Option<&Tls>) {
    match tls.map(Tls::reload) {
        None => tracing::info!("no certificate is in use; settings need a restart"),
        Some(Ok(_)) => tracing::info!("the certificate was read again; other settings need a restart"),
        Some(Err(error)) => tracing::error!("the old certificate stays in use: {}", error_chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_all_interfaces_is_reached_over_loopback() {
        for (listens, reached) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")]
        {
            assert_eq!(reachable(listens.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
