//! The way in: connections, and what every request has in common.
//!
//! [`serve`] owns the accept loop: it counts connections, times headers, bodies and handshakes, survives running
//! out of descriptors, and drains in order when the server stops. What a request means is [`api`](crate::api)'s
//! business; here stand the parts that every handler is made of: [`auth`] (who calls), [`json`] (what was sent),
//! [`page`] and [`query`] (which part is wanted), [`etag`] (what the caller knows already) and [`problem`]
//! (every refusal).
//!
//! A caller in the same process needs no socket: the router is a [`tower::Service`], and a request without a
//! [`Peer`] among its extensions counts as local.

pub mod auth;
pub mod bucket;
mod caps;
mod connection;
mod cookie;
mod credentials;
pub mod etag;
pub mod json;
pub mod limits;
pub mod page;
pub mod path;
pub mod peer;
pub mod problem;
pub mod query;
pub(crate) mod strict;
mod timed;
pub mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use hyper_util::server::graceful::GracefulShutdown;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

use self::caps::Caps;
use self::connection::Host;
pub use self::limits::Limits;
pub use self::peer::Peer;
pub use self::problem::{Mistake, Problem};
pub use self::tls::Tls;

/// How connections are served.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct HttpSettings {
    /// How much anyone may ask for.
    pub limits: Limits,
    /// The proxies whose word about the caller's address counts.
    pub trusted_proxies: Vec<IpNet>,
    /// The certificate; without one, plain HTTP is served.
    pub tls: Option<Arc<Tls>>,
    /// How long requests that are being answered may go on after the stop; 10 s when zero.
    pub drain: Duration,
}

/// The default of [`HttpSettings::drain`].
const DRAIN: Duration = Duration::from_secs(10);
/// How long to wait after running out of descriptors, before the next try to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What requests are asked of: an axum router, or anything that answers as one does.
pub trait Routes:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Routes for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Serves on these listeners until `shutdown` is ready, then drains: no new connection, idle ones closed, requests
/// that are being answered finished, all under the deadline of [`HttpSettings::drain`].
pub async fn serve(
    listeners: Vec<TcpListener>,
    routes: impl Routes,
    settings: HttpSettings,
    shutdown: impl Future<Output = ()>,
) {
    let drain = if settings.drain.is_zero() { DRAIN } else { settings.drain };
    let tls = settings.tls.clone();
    let caps = Caps::new(settings.limits.connections, settings.limits.connections_per_address);
    let host = Arc::new(Host { routes, settings });
    let (graceful, cut) = (Arc::new(GracefulShutdown::new()), CancellationToken::new());
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(accept(listener, Arc::clone(&host), caps.clone(), Arc::clone(&graceful), cut.clone()));
    }
    if let Some(tls) = tls {
        loops.spawn(async move { tls.watch().await });
    }
    shutdown.await;
    loops.shutdown().await;
    // The loops are gone, so this is the last owner; connections hold watchers of their own.
    if let Some(graceful) = Arc::into_inner(graceful)
        && tokio::time::timeout(drain, graceful.shutdown()).await.is_err()
    {
        tracing::warn!("some connections did not end in time and are cut");
        cut.cancel();
    }
}

/// Accepts connections for ever.
async fn accept(
    listener: TcpListener,
    host: Arc<Host<impl Routes>>,
    caps: Caps,
    graceful: Arc<GracefulShutdown>,
    cut: CancellationToken,
) {
    while let Some(room) = caps.room().await {
        let (stream, from) = next(&listener).await;
        let address = peer::canonical(from.ip());
        let unlimited = address.is_loopback() || peer::is_trusted(address, &host.settings.trusted_proxies);
        let Some(place) = caps.place(room, address, unlimited) else {
            tracing::debug!(%address, "the address has as many connections as it may; closed");
            continue;
        };
        let connection = connection::run(stream, address, Arc::clone(&host), graceful.watcher());
        let cut = cut.clone();
        // Spawned on its own: the end of this loop must not cut what is being answered.
        tokio::spawn(async move {
            cut.run_until_cancelled_owned(connection).await;
            drop(place);
        });
    }
}

/// The next connection. Running out of descriptors is no reason to end: others will close theirs.
async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                // What the peer did wrong is over at once; everything else would fail again at once.
                if !matches!(
                    error.kind(),
                    std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::ConnectionReset
                ) {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
