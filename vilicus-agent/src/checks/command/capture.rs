//! Keeps the beginning of a pipe's text and lets the rest flow by, so that no program waits for a full pipe.

use std::future::pending;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a pipe has given so far.
#[derive(Debug)]
pub(super) struct Capture<R> {
    /// `None` after the end of the pipe.
    pipe: Option<R>,
    kept: Kept,
}

/// The beginning of what a program printed.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    limit: usize,
    cut: bool,
}

impl Kept {
    fn add(&mut self, bytes: &[u8]) {
        let room = self.limit - self.bytes.len();
        self.cut |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    /// Whether there was more than was kept.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// The text, other encodings made readable. After a cut within perfdata the last word is dropped: half of it may be
    /// missing, and `12` must not be read when `123` was printed.
    pub(super) fn to_text(&self) -> String {
        let white = |byte: &u8| byte.is_ascii_whitespace();
        let halved = self.cut && self.bytes.contains(&b'|');
        let whole = if halved { self.bytes.iter().rposition(white).unwrap_or(0) } else { self.bytes.len() };
        String::from_utf8_lossy(&self.bytes[..whole]).into_owned()
    }
}

impl<R: AsyncRead + Unpin> Capture<R> {
    pub(super) fn new(pipe: Option<R>, limit: usize) -> Self {
        Self { pipe, kept: Kept { bytes: Vec::new(), limit, cut: false } }
    }

    /// Reads until the end of the pipe.
    ///
    /// # Cancel safety
    /// Nothing is lost; call it again to go on.
    pub(super) async fn drain(&mut self) {
        let mut buffer = vec![0; 16 * 1024];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut buffer).await {
                Ok(0) => self.pipe = None,
                Ok(count) => self.kept.add(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.pipe = None,
            }
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.pipe.is_none()
    }

    pub(super) fn into_kept(self) -> Kept {
        self.kept
    }
}

/// A text on its way into a pipe.
#[derive(Debug)]
pub(super) struct Feed<'a, W> {
    pipe: Option<W>,
    rest: &'a [u8],
}

impl<'a, W: AsyncWrite + Unpin> Feed<'a, W> {
    pub(super) fn new(pipe: Option<W>, text: &'a str) -> Self {
        Self { pipe, rest: text.as_bytes() }
    }

    /// Writes until all is written or nobody reads any more, and closes the pipe.
    ///
    /// # Cancel safety
    /// Nothing is written twice; call it again to go on.
    pub(super) async fn write(&mut self) {
        while let Some(pipe) = self.pipe.as_mut().filter(|_| !self.rest.is_empty()) {
            match pipe.write(self.rest).await {
                Ok(count) => self.rest = &self.rest[count..],
                Err(_) => break,
            }
        }
        self.pipe = None;
    }
}

/// The three pipes of a program.
#[derive(Debug)]
pub(super) struct Pipes<'a, W, R, E> {
    pub(super) stdin: Feed<'a, W>,
    pub(super) stdout: Capture<R>,
    pub(super) stderr: Capture<E>,
}

impl<W: AsyncWrite + Unpin, R: AsyncRead + Unpin, E: AsyncRead + Unpin> Pipes<'_, W, R, E> {
    /// Lets all three flow until the program's side of each is closed.
    pub(super) async fn flow(&mut self) {
        tokio::join!(self.stdin.write(), self.stdout.drain(), self.stderr.drain());
    }

    /// Waits for something else while they flow.
    pub(super) async fn flow_beside<T>(&mut self, other: impl Future<Output = T>) -> T {
        let flow = async {
            self.flow().await;
            pending::<std::convert::Infallible>().await
        };
        tokio::select! {
            biased;
            value = other => value,
            never = flow => match never {},
        }
    }

    pub(super) fn output_is_ended(&self) -> bool {
        self.stdout.is_ended() && self.stderr.is_ended()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_beginning_is_kept_and_the_rest_flows_by() {
        let mut capture = Capture::new(Some(tokio::io::repeat(b'x').take(1_000_000)), 100);
        capture.drain().await;
        let kept = capture.into_kept();
        assert_eq!((kept.bytes.len(), kept.is_cut()), (100, true));
    }

    #[tokio::test]
    async fn a_number_that_may_be_cut_is_dropped() {
        for (text, limit, expected) in [
            ("OK | a=12 b=345", 14, "OK | a=12"),
            ("OK | a=12 b=345", 15, "OK | a=12 b=345"),
            ("OKOKOK", 3, "OKO"),
            ("OK|a=123", 7, ""),
            ("\u{e4}\u{f6}", 10, "äö"),
        ] {
            let mut capture = Capture::new(Some(text.as_bytes()), limit);
            capture.drain().await;
            assert_eq!(capture.into_kept().to_text(), expected, "{text}");
        }
        let mut latin = Capture::new(Some(&b"caf\xe9 ok"[..]), 10);
        latin.drain().await;
        assert_eq!(latin.into_kept().to_text(), "caf\u{fffd} ok");
    }
}
