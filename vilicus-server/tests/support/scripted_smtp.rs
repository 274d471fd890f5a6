//! An SMTP peer that follows a script, to show the faults that a healthy server does not.

use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What the peer does at a step.
#[derive(Debug, Clone)]
pub enum Do {
    /// Replies with these lines (`550 5.1.1 no`).
    Say(&'static str),
    /// Says nothing more.
    Hang,
    /// Closes the connection.
    Close,
    /// Says this, one byte a second.
    Drip(&'static str),
    /// Says a line without an end, as fast as it is read.
    Flood,
}

/// A mail as the peer got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    pub text: String,
}

/// What the peer shall do, step by step, where that is not the usual thing.
#[derive(Default)]
pub struct Script {
    rules: Vec<(&'static str, VecDeque<Do>)>,
    extensions: Vec<&'static str>,
    tls: Option<TlsAcceptor>,
}

impl Script {
    /// At every command that begins so; `CONNECT` is the greeting and `.` the end of the mail.
    pub fn on(mut self, command: &'static str, act: Do) -> Self {
        self.rules.push((command, VecDeque::from([act])));
        self
    }

    /// At the first such command this, at the second that, and the last one for ever.
    pub fn in_turn(mut self, command: &'static str, acts: impl IntoIterator<Item = Do>) -> Self {
        self.rules.push((command, acts.into_iter().collect()));
        self
    }

    /// What the answer to EHLO offers, as `AUTH PLAIN LOGIN`.
    pub fn offering(mut self, extension: &'static str) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Offers STARTTLS with this certificate.
    pub fn with_starttls(mut self, tls: TlsAcceptor) -> Self {
        self.tls = Some(tls);
        self.offering("STARTTLS")
    }

    fn act(&mut self, command: &str) -> Option<Do> {
        let (_, acts) = self.rules.iter_mut().find(|(start, _)| command.starts_with(start))?;
        if acts.len() > 1 { acts.pop_front() } else { acts.front().cloned() }
    }
}

#[derive(Default)]
struct Seen {
    commands: Vec<String>,
    mails: Vec<Mail>,
}

struct Peer {
    script: Mutex<Script>,
    seen: Mutex<Seen>,
}

/// The peer; ends when it is dropped.
pub struct ScriptedSmtp {
    address: SocketAddr,
    peer: Arc<Peer>,
    task: JoinHandle<()>,
}

impl ScriptedSmtp {
    pub async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peer = Arc::new(Peer { script: Mutex::new(script), seen: Mutex::default() });
        let shared = Arc::clone(&peer);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let peer = Arc::clone(&shared);
                tokio::spawn(async move { peer.converse(stream).await });
            }
        });
        Self { address, peer, task }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The commands so far, without the mails' text.
    pub fn commands(&self) -> Vec<String> {
        self.peer.seen.lock().unwrap().commands.clone()
    }

    /// The mails that the peer took so far.
    pub fn mails(&self) -> Vec<Mail> {
        self.peer.seen.lock().unwrap().mails.clone()
    }
}

impl Drop for ScriptedSmtp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a conversation goes on after a step.
enum Next {
    Goes,
    Refused,
    Upgrades,
    Ends,
}

impl Next {
    fn after(reply: &str) -> Self {
        if reply.starts_with(['2', '3']) { Self::Goes } else { Self::Refused }
    }
}

impl Peer {
    async fn converse(&self, stream: tokio::net::TcpStream) {
        let mut stream = BufReader::new(stream);
        if matches!(self.step(&mut stream, "CONNECT").await, Next::Ends) {
            return;
        }
        if matches!(self.commands(&mut stream).await, Next::Upgrades) {
            let tls = self.script.lock().unwrap().tls.clone();
            // A client that does not like the certificate ends the handshake.
            if let Ok(secured) = tls.unwrap().accept(stream.into_inner()).await {
                self.commands(&mut BufReader::new(secured)).await;
            }
        }
    }

    async fn commands<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut BufReader<S>) -> Next {
        let mut mail = Mail { from: String::new(), to: Vec::new(), text: String::new() };
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return Next::Ends;
            }
            let command = line.trim_end().to_owned();
            self.seen.lock().unwrap().commands.push(command.clone());
            match self.step(stream, &command).await {
                Next::Goes => {}
                Next::Refused => continue,
                other => return other,
            }
            match command.get(..4).unwrap_or("") {
                "MAIL" => mail.from = command,
                "RCPT" => mail.to.push(command),
                "DATA" if matches!(self.take_text(stream, &mut mail).await, Next::Ends) => return Next::Ends,
                "QUIT" => return Next::Ends,
                _ => {}
            }
        }
    }

    async fn take_text<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        mail: &mut Mail,
    ) -> Next {
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return Next::Ends;
            }
            if line == ".\r\n" {
                break;
            }
            mail.text.push_str(&line);
        }
        let next = self.step(stream, ".").await;
        if matches!(next, Next::Goes) {
            self.seen.lock().unwrap().mails.push(mail.clone());
        }
        next
    }

    async fn step<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        command: &str,
    ) -> Next {
        let act = self.script.lock().unwrap().act(command);
        match act {
            None => self.usual(stream, command).await,
            Some(Do::Say(reply)) => say(stream, reply).await,
            Some(Do::Hang) => pending().await,
            Some(Do::Close) => Next::Ends,
            Some(Do::Flood) => {
                while stream.write_all(&[b'2'; 16 * 1024]).await.is_ok() {}
                Next::Ends
            }
            Some(Do::Drip(reply)) => {
                for byte in reply.bytes().chain(*b"\r\n") {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    if stream.write_all(&[byte]).await.is_err() {
                        return Next::Ends;
                    }
                }
                Next::after(reply)
            }
        }
    }

    async fn usual<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        command: &str,
    ) -> Next {
        match command.split(' ').next().unwrap_or("") {
            "CONNECT" => say(stream, "220 peer ready").await,
            "EHLO" => {
                let extensions = self.script.lock().unwrap().extensions.clone();
                let mut reply = String::from("250-peer");
                for extension in extensions {
                    reply.push_str(&format!("\r\n250-{extension}"));
                }
                say(stream, &format!("{reply}\r\n250 8BITMIME")).await
            }
            "STARTTLS" => match say(stream, "220 go ahead").await {
                Next::Goes => Next::Upgrades,
                other => other,
            },
            "AUTH" => say(stream, "235 2.7.0 welcome").await,
            "DATA" => say(stream, "354 go ahead").await,
            "QUIT" => say(stream, "221 bye").await,
            _ => say(stream, "250 2.0.0 ok").await,
        }
    }
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, reply: &str) -> Next {
    match stream.write_all(format!("{reply}\r\n").as_bytes()).await {
        Ok(()) => Next::after(reply),
        Err(_) => Next::Ends,
    }
}
