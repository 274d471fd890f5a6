//! Runs one program and brings it to an end, whatever it does.
//!
//! It leads a process group of its own. At the timeout the group gets SIGTERM, five seconds later SIGKILL. A run
//! is complete when the program itself exits and its last output is read, not at the end of the pipe, which a
//! process that it left behind may hold open; what is left in its group is then ended in the same way. What has
//! escaped from the group is reported and not chased.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};
use vilicus_core::plugin::Exit;

use super::capture::{Capture, Feed, Kept, Pipes};

/// How much of the standard output is kept, in bytes.
const OUTPUT_LIMIT: usize = 64 * 1024;

/// How much of the standard error is kept, in bytes: it is only shown when there is no output.
const ERROR_LIMIT: usize = 4 * 1024;

/// How long a program that was asked to end may take.
const GRACE: Duration = Duration::from_secs(5);

/// How long after its exit the last output of a program may arrive.
const LAST_OUTPUT: Duration = Duration::from_millis(100);

/// What to run, and how.
#[derive(Debug)]
pub(super) struct Program<'a> {
    pub(super) path: &'a str,
    pub(super) args: &'a [String],
    pub(super) env: BTreeMap<String, String>,
    pub(super) dir: &'a str,
    pub(super) stdin: &'a str,
    /// The user and group to run as, when not the agent's own.
    pub(super) ids: Option<(u32, u32)>,
}

/// A run that is over.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) ending: Ending,
    pub(super) stdout: Kept,
    pub(super) stderr: Kept,
    /// What people should know about how it went.
    pub(super) remarks: Vec<&'static str>,
}

/// How a run came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Exited(Exit),
    TimedOut,
}

/// A program that runs. When this is dropped its whole group is killed at once, and the runtime reaps it.
#[derive(Debug)]
pub(super) struct Started {
    child: Child,
    group: Group,
}

impl Started {
    /// Starts a program. Blocks until the kernel has loaded it.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let child = command.spawn()?;
        Ok(Self { group: Group::led_by(&child), child })
    }

    /// Lets it run for at most so long, and takes up to five seconds more to end it.
    ///
    /// # Cancel safety
    /// As when this is dropped.
    pub(super) async fn run(mut self, stdin: &str, limit: Duration) -> Finished {
        let pipes = Pipes {
            stdin: Feed::new(self.child.stdin.take(), stdin),
            stdout: Capture::new(self.child.stdout.take(), OUTPUT_LIMIT),
            stderr: Capture::new(self.child.stderr.take(), ERROR_LIMIT),
        };
        let Self { child, group } = self;
        bring_to_an_end(child, group, pipes, limit).await
    }
}

async fn bring_to_an_end(
    mut child: Child,
    mut group: Group,
    mut pipes: Pipes<'_, ChildStdin, ChildStdout, ChildStderr>,
    limit: Duration,
) -> Finished {
    let mut remarks = Vec::new();
    let exited = timeout(limit, pipes.flow_beside(child.wait())).await;
    if exited.is_ok() {
        // Nothing more comes from the program itself, so a short while is enough.
        let _ = timeout(LAST_OUTPUT, pipes.flow()).await;
    }
    if exited.is_err() || group.is_alive() {
        remarks.extend(exited.is_ok().then_some("it left a process running in its group, which was ended"));
        let obeyed = pipes.flow_beside(group.end(&mut child)).await;
        remarks.extend((!obeyed).then_some("it ignored SIGTERM and was killed"));
        let _ = timeout(LAST_OUTPUT, pipes.flow()).await;
    }
    group.id = None;
    if !pipes.output_is_ended() {
        remarks.push("it left a process running outside of its group, which still holds its output");
    }
    let ending = exited.map_or(Ending::TimedOut, |status| Ending::Exited(exit(status)));
    Finished { ending, stdout: pipes.stdout.into_kept(), stderr: pipes.stderr.into_kept(), remarks }
}

/// The command that starts a program.
pub(super) fn command(program: &Program<'_>) -> Command {
    let mut command = Command::new(program.path);
    command.args(program.args).env_clear().envs(&program.env).current_dir(program.dir).process_group(0);
    let stdin = if program.stdin.is_empty() { Stdio::null() } else { Stdio::piped() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some((uid, gid)) = program.ids.filter(|(uid, _)| *uid != rustix::process::geteuid().as_raw()) {
        // As root this drops the supplementary groups too.
        command.uid(uid).gid(gid);
    }
    command
}

/// Why it was not started, as people read it.
pub(super) fn not_executable(program: &Program<'_>, error: &io::Error) -> Exit {
    let Program { path, dir, ids, .. } = program;
    let reason = match (error.kind(), ids) {
        (io::ErrorKind::NotFound, _) if !Path::new(dir).is_dir() => format!("the folder {dir} is missing"),
        (io::ErrorKind::NotFound, _) if !Path::new(path).exists() => "there is no such file".to_owned(),
        (io::ErrorKind::NotFound, _) => "the interpreter in its first line is missing".to_owned(),
        (io::ErrorKind::PermissionDenied, Some((uid, _))) => format!("permission denied (as user {uid})"),
        (io::ErrorKind::PermissionDenied, None) => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    Exit::NotExecutable(format!("{path}: {reason}"))
}

fn exit(status: io::Result<ExitStatus>) -> Exit {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or_default()),
        },
        Err(error) => Exit::NotExecutable(format!("cannot wait for it: {error}")),
    }
}

/// The process group that a program leads. Its number is not given to another process while anyone is in it.
#[derive(Debug)]
struct Group {
    /// `None` when all is over.
    id: Option<Pid>,
}

impl Group {
    fn led_by(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self { id: id.and_then(Pid::from_raw) }
    }

    /// Asks everyone in the group to end, then makes them. Says whether asking was enough.
    async fn end(&mut self, child: &mut Child) -> bool {
        self.signal(Signal::TERM);
        let over = async {
            // An error here means that it has been waited for already.
            let _ = child.wait().await;
            while self.is_alive() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let obeyed = timeout(GRACE, over).await.is_ok();
        if !obeyed {
            self.signal(Signal::KILL);
            // One that hangs in the kernel dies when that lets go; the runtime reaps it then.
            let _ = timeout(Duration::from_secs(1), child.wait()).await;
        }
        self.reap();
        self.id = None;
        obeyed
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // An error means that nobody is left.
            let _ = kill_process_group(id, signal);
        }
    }

    /// Whether anyone is left. Only asked when the leader has been waited for.
    fn is_alive(&self) -> bool {
        self.reap();
        self.id.is_some_and(|id| test_kill_process_group(id) != Err(rustix::io::Errno::SRCH))
    }

    /// In a container the agent may be the first process, which inherits what programs leave behind: wait for
    /// those of this group that have ended.
    fn reap(&self) {
        if let Some(id) = self.id {
            while let Ok(Some(_)) = waitpgid(id, WaitOptions::NOHANG) {}
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
