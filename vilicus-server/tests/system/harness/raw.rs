//! HTTP by hand: exactly these bytes over a socket, and what comes back until the server closes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What came back: an answer, or nothing but the end of the connection.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    /// The status, or `None` when the server closed without an answer.
    pub(crate) status: Option<u16>,
    /// The status line and the headers.
    pub(crate) head: String,
    /// What followed the headers, without undoing any transfer coding.
    pub(crate) body: String,
}

/// Sends `bytes`, then reads until the server closes, at most for `limit`.
///
/// # Panics
/// When the server neither closes nor answers in time.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8], limit: Duration) -> RawAnswer {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // The server may answer and close before it has read everything: that is no fault.
    let _ = socket.write_all(bytes).await;
    let received = timeout(limit, read_to_close(&mut socket)).await;
    RawAnswer::parse(&received.unwrap_or_else(|_| {
        let sent = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
        panic!("no end of the connection within {limit:?} after {sent:?}")
    }))
}

/// Reads until the end; a reset is an end too.
async fn read_to_close(socket: &mut TcpStream) -> Vec<u8> {
    let (mut received, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = socket.read(&mut part).await {
        received.extend_from_slice(&part[..count]);
    }
    received
}

impl RawAnswer {
    fn parse(received: &[u8]) -> Self {
        let text = String::from_utf8_lossy(received).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }
}
