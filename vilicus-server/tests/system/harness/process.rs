//! A process that this test started: it is ended with the test, and what it wrote is shown when the test fails.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::until;

/// How much of a log is shown when a test fails.
const SHOWN_LINES: usize = 60;

/// A running process and what it writes. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    output: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with standard output and standard error appended to `NAME.out` and `NAME.log` in `folder`.
    pub(crate) fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let (output, log) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.log")));
        let child = command
            .stdin(Stdio::null())
            .stdout(append(&output))
            .stderr(append(&log))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error} ({command:?})"));
        Self { name: name.to_owned(), child, output, log }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Ends it at once, as a loss of power would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let name = format!("the end of {} after SIGTERM", self.name);
        until(&name, Duration::from_secs(20), async || self.ended()).await
    }

    /// What it wrote to standard error so far, over all its starts.
    pub(crate) fn log(&self) -> String {
        read_lossy(&self.log)
    }

    /// What it wrote to standard output so far, over all its starts.
    pub(crate) fn output(&self) -> String {
        read_lossy(&self.output)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("== {} wrote to standard error, at last:\n{}", self.name, tail(&self.log()));
            eprintln!("== {} wrote to standard output, at last:\n{}", self.name, tail(&self.output()));
        }
    }
}

fn append(path: &Path) -> File {
    File::options().create(true).append(true).open(path).unwrap()
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

/// A command with none of the environment of the test but a path to find programs and a home folder.
pub(crate) fn clean_command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", home).current_dir(home);
    command
}
