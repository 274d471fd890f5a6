//! Receives messages as a person's device would, in the process of the bench, and notes when each came.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{Failure, clock};

/// After such a silence nothing more is expected.
const PATIENCE: Duration = Duration::from_secs(10);

/// A receiver on loopback. It listens as long as the runtime runs.
#[derive(Debug)]
pub struct Webhooks {
    address: SocketAddr,
    arrivals: UnboundedReceiver<Arrival>,
}

/// A message that came.
#[derive(Debug)]
pub struct Arrival {
    /// When the whole of it was there.
    pub at: Instant,
    body: Bytes,
}

impl Arrival {
    /// How many alerts it tells of: ours list the first as `items` and count the rest as `more`, Alertmanager lists
    /// all as `alerts`.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn alerts(&self) -> Result<usize, Failure> {
        let body: Value = serde_json::from_slice(&self.body)?;
        let list = ["items", "alerts"].iter().find_map(|name| body[*name].as_array());
        let more = usize::try_from(body["more"].as_u64().unwrap_or(0))?;
        Ok(list.map_or(1, |list| list.len().max(1)) + more)
    }
}

impl Webhooks {
    /// Listens on a free port.
    ///
    /// # Errors
    /// There is none.
    pub async fn listen() -> Result<Self, Failure> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (note, arrivals) = unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, note.clone()));
            }
        });
        Ok(Self { address, arrivals })
    }

    /// Where to send messages.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The next message.
    ///
    /// # Errors
    /// None came in ten seconds.
    pub async fn next(&mut self) -> Result<Arrival, Failure> {
        let next = tokio::time::timeout(PATIENCE, self.arrivals.recv()).await;
        next.ok().flatten().ok_or_else(|| "no message came in 10 s".into())
    }

    /// Forgets what has come.
    pub fn clear(&mut self) {
        while self.arrivals.try_recv().is_ok() {}
    }
}

async fn serve(stream: TcpStream, note: UnboundedSender<Arrival>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let note = note.clone();
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            // Nobody waits for it any more at the end of a bench.
            let _ = note.send(Arrival { at: clock::now(), body });
            Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
        }
    });
    // A sender that breaks off sends again.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_counted_in_both_dialects() {
        for (body, count) in [
            (r#"{"items": [{}, {}], "more": 980}"#, 982),
            (r#"{"items": [{}]}"#, 1),
            (r#"{"alerts": [{}, {}, {}]}"#, 3),
            (r#"{"text": "other"}"#, 1),
        ] {
            let arrival = Arrival { at: clock::now(), body: body.into() };
            assert_eq!(arrival.alerts().unwrap(), count, "{body}");
        }
    }
}
