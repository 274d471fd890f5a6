//! A listener for `/healthz`, for programs that have no HTTP server of their own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::ALLOW;
use http::{Method, Request, Response, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{info, warn};

use crate::error::AgentError;
use crate::health::HealthView;

/// Connections at a time; more wait.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take for the head of its request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Listens and answers.
#[derive(Debug)]
pub(crate) struct Healthz {
    listener: TcpListener,
    health: HealthView,
}

impl Healthz {
    /// Listens at once, so that the address is taken or refused before anything else begins.
    pub(crate) async fn bind(address: SocketAddr, health: HealthView) -> Result<Self, AgentError> {
        let listen = |source| AgentError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let local = listener.local_addr().map_err(listen)?;
        info!("listening on http://{local}/healthz");
        Ok(Self { listener, health })
    }

    /// Answers until it is dropped; connections that are open then end by themselves within a minute.
    pub(crate) async fn run(self) -> Infallible {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(permit) = room.clone().acquire_owned().await else { continue };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(serve(stream, self.health.clone(), permit));
                }
                Err(error) => {
                    // Out of descriptors, as a rule: without a pause this would be a busy loop.
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, health: HealthView, _permit: OwnedSemaphorePermit) {
    let service = service_fn(move |request| {
        let response = answer(&health, &request);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // A client that breaks off is its own concern.
    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
}

/// What to answer to any request.
fn answer<B>(health: &HealthView, request: &Request<B>) -> Response<String> {
    let plain = |status: StatusCode| {
        let mut response = Response::new(format!("{status}\n"));
        *response.status_mut() = status;
        response
    };
    if !matches!(request.uri().path(), "/healthz" | "/healthz/") {
        return plain(StatusCode::NOT_FOUND);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    health.response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_get_healthz_is_answered() {
        let view = HealthView::default();
        for (method, path, status) in [
            ("GET", "/healthz", 200),
            ("HEAD", "/healthz/", 200),
            ("POST", "/healthz", 405),
            ("GET", "/", 404),
            ("GET", "/healthzz", 404),
        ] {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            assert_eq!(answer(&view, &request).status(), status, "{method} {path}");
        }
    }
}
