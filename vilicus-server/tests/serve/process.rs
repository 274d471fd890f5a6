//! A real `vilicus-server`, which ends with the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::Instant;

/// How long anything may take on a slow machine before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder to start servers in.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// The program, with nothing in its environment but what the test puts there.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vilicus-server"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts `serve` on a free port, and waits until it listens.
    pub(crate) async fn serve(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        let log = self.path(&format!("log-{}", self.logs()));
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(arguments).envs(environment.iter().copied());
        command.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let mut running = Running { child: command.spawn().unwrap(), log };
        running.until("it listens", |running| running.address_in_log()).await;
        running
    }

    fn logs(&self) -> usize {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("log-"))
            .count()
    }
}

impl Running {
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// `http://ADDR` or `https://ADDR`.
    pub(crate) fn url(&self) -> String {
        self.address_in_log().unwrap()
    }

    fn address_in_log(&self) -> Option<String> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("listening on http"))?;
        line.split("listening on ").nth(1).map(|url| url.trim().to_owned())
    }

    /// The link that the first start prints.
    pub(crate) fn login_link(&self) -> Option<String> {
        let log = self.log();
        log.split_whitespace().find(|word| word.contains("/login?code=")).map(str::to_owned)
    }

    async fn until<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status} before {what}:\n{}", self.log());
            }
            assert!(Instant::now() < end, "not in time: {what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until its log says something.
    pub(crate) async fn until_log(&mut self, what: &str, says: impl Fn(&str) -> bool) {
        self.until(what, |running| says(&running.log()).then_some(())).await;
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not stop:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program printed on standard output, without the line end.
pub(crate) fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

/// What a program complained of.
pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The permissions of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
