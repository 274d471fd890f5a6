//! `vilicus-agent run`: the daemon.

use std::process::ExitCode;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use vilicus_agent::config::Config;
use vilicus_agent::transport::HttpCarrier;
use vilicus_agent::{Agent, DEFAULT_BUFFER, DEFAULT_CONCURRENCY, HttpTransport};

use crate::Failure;
use crate::args::{RunOptions, Shared};
use crate::{logging, settings};

pub(crate) fn run(shared: &Shared, options: RunOptions) -> Result<ExitCode, Failure> {
    let config = Config::find(shared.config.as_deref())?;
    logging::begin(shared, &config)?;
    let agent = build(&options, &config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = stop_signal()?;
        info!(version = env!("CARGO_PKG_VERSION"), commit = env!("VILICUS_COMMIT"), "starts");
        notify(NotifyState::Ready);
        agent.run(stop).await?;
        Ok::<(), Failure>(())
    })?;
    // A check that hangs in a system call must not keep the program from ending.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

fn build(options: &RunOptions, config: &Config) -> Result<Agent, Failure> {
    let server = settings::server(&options.server, config)?;
    let token = settings::token_source(&options.server, config)?.token()?;
    let carrier = HttpCarrier::new(&server, settings::http_options(options.server.ca_file.as_ref(), config))?;
    if carrier.exposes_token() {
        warn!("the token travels unencrypted to another machine; give the server an https:// address");
    }
    let limits = &config.limits;
    let mut agent = Agent::builder()
        .transport(HttpTransport::over(carrier, &token)?)
        .kinds(settings::kinds(config)?)
        .buffer(options.buffer.or(limits.buffer).unwrap_or(DEFAULT_BUFFER))
        .concurrency(options.concurrency.or(limits.concurrency).unwrap_or(DEFAULT_CONCURRENCY));
    for kind in &config.kinds.deny {
        agent = agent.deny_kind(kind);
    }
    if let Some(address) = options.healthz.or(config.healthz) {
        agent = agent.healthz(address);
    }
    Ok(agent.build()?)
}

/// Ready when the program is told to stop.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        notify(NotifyState::Stopping);
    })
}

/// Tells systemd, if it started us and wants to know.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(false, &[state]) {
        warn!(%error, "cannot tell systemd");
    }
}
