//! Reaches a port of another host: resolves, connects, keeps the time, and says in a sentence what failed.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use vilicus_core::{CheckResult, Millis, Status};

use super::quantity::rounded;
use super::reach::Reach;

/// Why a look over the network gave nothing good: a sentence for people, and what it means.
///
/// What the other side or the network does is CRITICAL. UNKNOWN is left for mistakes on the agent's own host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    status: Status,
    sentence: String,
}

impl Fault {
    pub(super) fn critical(sentence: impl Into<String>) -> Self {
        Self { status: Status::Critical, sentence: sentence.into() }
    }

    pub(super) fn unknown(sentence: impl Into<String>) -> Self {
        Self { status: Status::Unknown, sentence: sentence.into() }
    }

    pub(super) fn into_result(self) -> CheckResult {
        CheckResult::new(self.status, self.sentence)
    }
}

/// The moment at which a check's time is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    limit: Millis,
}

impl Deadline {
    pub(super) fn after(limit: Millis) -> Self {
        let now = Instant::now();
        // A year is as good as for ever, and never overflows.
        let year = Millis::from_hours(24 * 365);
        Self { at: now + limit.min(year).into(), limit }
    }

    /// Waits for something until then. `doing` completes the sentence 'timed out after 10s …'.
    pub(super) async fn within<T>(
        &self,
        doing: impl fmt::Display,
        future: impl Future<Output = T>,
    ) -> Result<T, Fault> {
        let timed_out = |_| Fault::critical(format!("timed out after {} {doing}", self.limit));
        timeout_at(self.at, future).await.map_err(timed_out)
    }

    /// A share of the time that is left, so that one dead address of several does not use it all.
    fn share(&self, parts: usize) -> Instant {
        let now = Instant::now();
        now + self.at.saturating_duration_since(now) / u32::try_from(parts).unwrap_or(u32::MAX).max(1)
    }
}

/// A connection and how long it took. Times in seconds.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) dns_seconds: f64,
    pub(super) connect_seconds: f64,
}

/// Connects to the first of the host's addresses that answers and may be reached.
pub(super) async fn connect(
    host: &str,
    port: u16,
    reach: &Reach,
    deadline: &Deadline,
) -> Result<Connected, Fault> {
    let begin = Instant::now();
    let addresses = resolve(host, port, deadline).await?;
    let dns_seconds = seconds_since(begin);
    let mut fault = Fault::critical(format!("no address for host '{host}'"));
    for (tried, peer) in addresses.iter().enumerate() {
        if let Err(refusal) = reach.permits(peer.ip()) {
            fault = Fault::unknown(refusal);
            continue;
        }
        let begin = Instant::now();
        let limit = deadline.share(addresses.len() - tried);
        match timeout_at(limit, TcpStream::connect(peer)).await {
            Ok(Ok(stream)) => {
                // Without this the second of two small writes waits for the other side.
                let _ = stream.set_nodelay(true);
                let connect_seconds = seconds_since(begin);
                return Ok(Connected { stream, peer: *peer, dns_seconds, connect_seconds });
            }
            Ok(Err(error)) => fault = connect_fault(peer, &error),
            Err(_) => {
                fault = Fault::critical(format!("timed out after {} connecting to {peer}", deadline.limit));
            }
        }
    }
    Err(fault)
}

/// The time since a moment, in seconds, exact to the microsecond.
pub(super) fn seconds_since(begin: Instant) -> f64 {
    rounded(begin.elapsed().as_secs_f64(), 6)
}

async fn resolve(host: &str, port: u16, deadline: &Deadline) -> Result<Vec<SocketAddr>, Fault> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let looked_up = deadline.within(format!("looking up '{host}'"), lookup_host((bare, port))).await?;
    looked_up
        .map(Iterator::collect)
        .map_err(|error| Fault::critical(format!("no address for host '{host}': {}", without_prefix(&error))))
}

/// The resolver begins its errors with words that say nothing.
fn without_prefix(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").map_or(text.clone(), str::to_owned)
}

fn connect_fault(peer: &SocketAddr, error: &io::Error) -> Fault {
    Fault::critical(match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("connection refused by {peer}"),
        _ => format!("cannot connect to {peer}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_listener_is_reached_by_name_and_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let connected = connect(host, port, &Reach::default(), &Deadline::after(Millis::from_secs(10)))
                .await
                .unwrap();
            assert_eq!(connected.peer, listener.local_addr().unwrap());
            assert!(connected.connect_seconds > 0.0 && connected.connect_seconds < 10.0);
        }
    }

    #[tokio::test]
    async fn what_failed_is_a_sentence() {
        let deadline = Deadline::after(Millis::from_secs(20));
        let refused = connect("127.0.0.1", 1, &Reach::default(), &deadline).await.unwrap_err();
        assert_eq!(refused, Fault::critical("connection refused by 127.0.0.1:1"));
        let unknown = connect("no-such-host.invalid", 1, &Reach::default(), &deadline).await.unwrap_err();
        assert!(unknown.sentence.starts_with("no address for host 'no-such-host.invalid': "), "{unknown:?}");
        let late = deadline.within("doing nothing", std::future::ready(())).await;
        assert_eq!(late, Ok(()));
    }

    #[tokio::test]
    async fn only_addresses_in_reach_are_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let reach = Reach::limited(|address| match address.is_loopback() {
            true => Err("this server's checks may not go there".to_owned()),
            false => Ok(()),
        });
        let deadline = Deadline::after(Millis::from_secs(10));
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"] {
            assert!(connect(host, port, &reach, &deadline).await.is_err(), "{host}");
        }
        let refused = connect("127.0.0.1", port, &reach, &deadline).await.unwrap_err();
        assert_eq!(refused, Fault::unknown("this server's checks may not go there"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_says_what_took_too_long() {
        let deadline = Deadline::after(Millis::from_secs(10));
        let fault = deadline.within("waiting for an answer", std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(fault, Fault::critical("timed out after 10s waiting for an answer"));
    }
}
