//! A real `vilicus-server` with a data directory of its own, that can be killed and started again.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::process::clean_command;
use super::{Process, Rest, until};

/// The admin's token of every server here.
pub(crate) const ADMIN_TOKEN: &str = "admin-token-of-the-system-tests-0001";
/// The token with which agents enrol.
pub(crate) const ENROLL_TOKEN: &str = "enroll-token-of-the-system-tests-001";

/// How long a server may take from its start until it is ready (a promise; see the reliability tests).
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(5);

static STARTED: AtomicU8 = AtomicU8::new(1);

/// A server and the folder that it lives in.
#[derive(Debug)]
pub(crate) struct Server {
    // Before the folder, as it must end before the folder is removed.
    process: Option<Process>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    address: SocketAddr,
    folder: TempDir,
}

impl Server {
    /// A server that is not started yet: choose with [`Server::arg`] and [`Server::env`], then [`Server::start`].
    ///
    /// It gets a loopback address of its own, so that no outgoing connection of another test can take its port while
    /// it is down.
    pub(crate) fn new() -> Self {
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, high, low, STARTED.fetch_add(1, Ordering::Relaxed));
        Self {
            process: None,
            arguments: Vec::new(),
            environment: vec![
                ("VILICUS_ADMIN_TOKEN".to_owned(), ADMIN_TOKEN.to_owned()),
                ("VILICUS_ENROLL_TOKEN".to_owned(), ENROLL_TOKEN.to_owned()),
            ],
            address: SocketAddr::from((address, 0)),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With no token in its environment, as a newcomer starts it.
    pub(crate) fn bare(mut self) -> Self {
        self.environment.clear();
        self
    }

    /// With one more argument of `vilicus-server serve`.
    pub(crate) fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// With a variable in its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it, and returns when it is ready.
    pub(crate) async fn start(mut self) -> Self {
        self.start_again().await;
        self
    }

    /// Starts it on the same data directory and address, and returns how long it took until it was ready.
    pub(crate) async fn start_again(&mut self) -> Duration {
        let begin = Instant::now();
        self.launch();
        self.learn_address().await;
        let rest = self.rest();
        until("the server is ready", READY_WITHIN * 4, async || {
            let answer = rest.try_send(reqwest::Method::GET, "/readyz", &[], None).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
        begin.elapsed()
    }

    /// Starts it and returns at once.
    pub(crate) fn launch(&mut self) {
        assert!(self.process.is_none(), "the server already runs");
        let mut command = clean_command(Path::new(env!("CARGO_BIN_EXE_vilicus-server")), self.folder.path());
        command
            .args(["serve", "--listen", &self.address.to_string()])
            .args(["--store", &format!("sled:{}", self.data().display())])
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::start("server", command, self.folder.path()));
    }

    async fn learn_address(&mut self) {
        let already_known = self.address.port() != 0;
        let process = self.process.as_mut().unwrap();
        self.address = until("the line 'listening on http://ADDR'", READY_WITHIN * 4, async || {
            if let Some(status) = process.ended() {
                panic!("the server ended by itself: {status}");
            }
            if already_known { Some(self.address) } else { listening_line(&process.log()) }
        })
        .await;
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("the server runs").kill();
    }

    /// Ends it as a service manager would.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.process.take().expect("the server runs").terminate().await
    }

    /// Its process.
    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the server runs")
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as a URL without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder for files of the test.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A client without a token.
    pub(crate) fn rest(&self) -> Rest {
        Rest::new(&self.url())
    }

    /// A client that may do everything.
    pub(crate) fn admin(&self) -> Rest {
        self.rest().bearer(ADMIN_TOKEN)
    }
}

/// The address in the last line `listening on http://ADDR`.
fn listening_line(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.rsplit_once("listening on http://")?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:[]abcdef".contains(c)))?;
    rest[..end].parse().ok()
}
