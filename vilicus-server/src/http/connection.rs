//! One connection from its first byte to its last.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::Version;
use http::header::HOST;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use super::peer::Peer;
use super::timed::{Busy, Timed};
use super::{HttpSettings, Problem, Routes};

/// What all connections share.
#[derive(Debug)]
pub(super) struct Host<S> {
    pub(super) routes: S,
    pub(super) settings: HttpSettings,
}

/// The most bytes of a request's header, and of what is read ahead.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The most fields of a request's header.
const MAX_HEADERS: usize = 100;

/// Serves one connection until it ends.
pub(super) async fn run<S: Routes>(stream: TcpStream, address: IpAddr, host: Arc<Host<S>>, watcher: Watcher) {
    // Answers are small and complete: waiting for more of them would only delay them.
    let _ = stream.set_nodelay(true);
    let limits = &host.settings.limits;
    let Some(tls) = host.settings.tls.clone() else {
        return http(stream, address, false, Arc::clone(&host), watcher).await;
    };
    match tokio::time::timeout(limits.tls_handshake, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => http(stream, address, true, Arc::clone(&host), watcher).await,
        Ok(Err(error)) => tracing::debug!(%address, %error, "the TLS handshake failed"),
        Err(_) => tracing::debug!(%address, "the TLS handshake took too long"),
    }
}

async fn http<IO, S: Routes>(stream: IO, address: IpAddr, tls: bool, host: Arc<Host<S>>, watcher: Watcher)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (header, idle) = (host.settings.limits.header_read, host.settings.limits.idle);
    let busy = Busy::default();
    let timed = Timed::new(stream, busy.clone(), header, idle);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (host, busy) = (Arc::clone(&host), busy.clone());
        async move {
            busy.turn();
            let response = answer(request, address, tls, &host).await;
            busy.turn();
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        // See `timed`: this one also runs between requests, so it is only the longer of the two.
        .header_read_timeout(header.max(idle) + Duration::from_secs(1))
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(timed), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%address, %error, "the connection ended early");
    }
}

/// Whether the one header that HTTP/1.1 asks for is missing, or could be read in two ways (RFC 9112, 3.2).
fn lacks_host<B>(request: &hyper::Request<B>) -> bool {
    request.version() == Version::HTTP_11 && request.headers().get_all(HOST).iter().count() != 1
}

async fn answer<S: Routes>(
    request: hyper::Request<Incoming>,
    address: IpAddr,
    tls: bool,
    host: &Host<S>,
) -> Response {
    if lacks_host(&request) {
        return Problem::bad_request("a request of HTTP/1.1 names one Host").into_response();
    }
    let mut request: Request = request.map(Body::new);
    let peer = Peer::behind(address, tls, request.headers(), &host.settings.trusted_proxies);
    request.extensions_mut().insert(peer);
    let said = tracing::enabled!(tracing::Level::DEBUG).then(|| {
        // `Debug` of a string escapes control characters, so that no request can forge a line of the log.
        (request.method().clone(), format!("{:?}", request.uri().path()))
    });
    let response = match host.routes.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if let Some((method, path)) = said {
        tracing::debug!(%method, %path, status = response.status().as_u16(), peer = %peer.address, "answered");
    }
    response
}
