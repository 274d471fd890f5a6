//! A connection that ends when nothing moves: no progress within the idle time, or a header that takes too long.
//!
//! hyper's own header timer also runs while a connection rests between two requests, so it cannot tell the 10 s
//! of a slow header from the 75 s of an idle client. This one is told by the service when a request begins and
//! ends. Timers are re-armed only when they fire, so that a busy connection touches none.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How many requests of a connection began and ended to be answered; shared with its service.
#[derive(Debug, Clone, Default)]
pub(super) struct Busy(Arc<AtomicUsize>);

impl Busy {
    /// A request began, its header complete; or it was answered.
    pub(super) fn turn(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    fn turns(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Timed<IO> {
    io: IO,
    busy: Busy,
    /// The turns of `busy` that were seen; odd while a request is being answered.
    turns: usize,
    header: Duration,
    idle: Duration,
    progress: Instant,
    /// When the first byte of a header came that is not complete; of a new connection, when it was accepted.
    header_began: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl<IO> Timed<IO> {
    pub(super) fn new(io: IO, busy: Busy, header: Duration, idle: Duration) -> Self {
        let now = Instant::now();
        let timer = Box::pin(tokio::time::sleep_until(now + header.min(idle)));
        Self { io, busy, turns: 0, header, idle, progress: now, header_began: Some(now), timer }
    }

    /// Whether a request is being answered; forgets the header that made it.
    fn is_busy(&mut self) -> bool {
        let turns = self.busy.turns();
        if turns != self.turns {
            self.turns = turns;
            self.header_began = None;
        }
        turns % 2 == 1
    }

    fn deadline(&mut self) -> Instant {
        self.is_busy();
        let idle = self.progress + self.idle;
        self.header_began.map_or(idle, |began| idle.min(began + self.header))
    }

    fn moved(&mut self, read: bool) {
        self.progress = Instant::now();
        if !self.is_busy() && read && self.header_began.is_none() {
            self.header_began = Some(self.progress);
        }
    }

    /// Fails when the time is up; else wakes the task when it may be.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let deadline = self.deadline();
            // The timer only ever needs to be moved forward, or back to a header's earlier deadline.
            if self.timer.deadline() > deadline || self.timer.is_elapsed() {
                self.timer.as_mut().reset(deadline);
            }
            ready!(self.timer.as_mut().poll(cx));
            if self.deadline() <= Instant::now() {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Timed<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Pending => self.poll_time(cx).map(Err),
            done => {
                if buf.filled().len() > before {
                    self.moved(true);
                }
                done
            }
        }
    }
}

impl<IO: AsyncWrite + Unpin> Timed<IO> {
    fn poll_out<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut IO>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match poll(Pin::new(&mut self.io), cx) {
            Poll::Pending => self.poll_time(cx).map(Err),
            done => {
                self.moved(false);
                done
            }
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Timed<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_out(cx, |io, cx| io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_out(cx, |io, cx| io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A flush that has nothing to do is no progress.
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Pending => self.poll_time(cx).map(Err),
            done => done,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.io).poll_shutdown(cx) {
            Poll::Pending => self.poll_time(cx).map(Err),
            done => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const HEADER: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(75);

    async fn end_of(mut timed: Timed<tokio::io::DuplexStream>) -> Duration {
        let began = Instant::now();
        let mut buffer = [0; 16];
        loop {
            if let Err(error) = timed.read(&mut buffer).await {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                return began.elapsed();
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_must_send_its_header_in_time() {
        let (near, mut far) = tokio::io::duplex(64);
        let slow = tokio::spawn(async move {
            while far.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        });
        assert_eq!(end_of(Timed::new(near, Busy::default(), HEADER, IDLE)).await, HEADER);
        slow.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_resting_connection_may_rest_longer_than_a_header_takes() {
        let (near, _far) = tokio::io::duplex(64);
        let busy = Busy::default();
        let mut timed = Timed::new(near, busy.clone(), HEADER, IDLE);
        timed.moved(true);
        busy.turn();
        busy.turn();
        timed.moved(false);
        assert_eq!(end_of(timed).await, IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_does_not_read_is_left() {
        let (near, _far) = tokio::io::duplex(8);
        let busy = Busy::default();
        busy.turn();
        let mut timed = Timed::new(near, busy, HEADER, IDLE);
        let began = Instant::now();
        let error = timed.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed()), (io::ErrorKind::TimedOut, IDLE));
    }
}
