//! The connection to a mail server: made to a judged address, secured as the channel says, and bounded.
//!
//! A reply is read up to its end of line, wherever that is; so a server that never ends a line would fill the
//! memory. What it may say in one conversation is therefore counted, below everything that reads.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vilicus_core::NotifyError;

use super::fault;
use super::server::{Security, Server};

/// The most that a server may say in one conversation, in bytes; a hundred long replies have some 50 kB.
const MAX_SAID: usize = 1024 * 1024;

/// The longest that one address may take to connect, so that the next one gets its turn.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to the first of these addresses that answers, secures the connection and greets.
pub(super) async fn connect(
    server: &Server,
    addresses: &[SocketAddr],
    hello: &ClientId,
) -> Result<AsyncSmtpConnection, NotifyError> {
    let (stream, peer) = dial(addresses).await.map_err(|error| fault::of_io(&error))?;
    let stream: Box<dyn AsyncTokioStream> = match &server.security {
        Security::Plain | Security::StartTls(_) => Bounded::boxed(stream, peer),
        Security::Tls { name, config } => {
            let secured = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await;
            Bounded::boxed(secured.map_err(|error| fault::of_io(&error))?, peer)
        }
    };
    let greeted = AsyncSmtpConnection::connect_with_transport(stream, hello).await;
    let mut connection = greeted.map_err(|error| fault::of_channel("the connection", &error))?;
    if let Security::StartTls(tls) = &server.security {
        if !connection.can_starttls() {
            return Err(NotifyError::channel("the mail server offers no STARTTLS; nothing was sent"));
        }
        let upgraded = connection.starttls(tls.clone(), hello).await;
        upgraded.map_err(|error| fault::of_channel("STARTTLS", &error))?;
    }
    Ok(connection)
}

async fn dial(addresses: &[SocketAddr]) -> io::Result<(TcpStream, SocketAddr)> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for &address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

/// A stream that ends in an error when the other side has said too much.
#[derive(Debug)]
struct Bounded<S> {
    stream: S,
    peer: SocketAddr,
    left: usize,
}

impl<S: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Sync + Unpin + 'static> Bounded<S> {
    fn boxed(stream: S, peer: SocketAddr) -> Box<dyn AsyncTokioStream> {
        Box::new(Self { stream, peer, left: MAX_SAID })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match self.left.checked_sub(buffer.filled().len() - before) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into())),
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Sync + Unpin> AsyncTokioStream for Bounded<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
