//! One run of a program, brought to an end whatever it does.
//!
//! It leads a process group of its own, in a fixed environment, in `/`. At the timeout the group gets SIGTERM, two
//! seconds later SIGKILL. The run is over when the program itself exits, not when the last of what it left behind
//! closes its output; that is killed.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::future::FusedFuture;
use futures_util::{FutureExt, pin_mut};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

/// Where the program finds others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How much of each output is kept, in bytes; the rest flows by.
const KEPT: usize = 1024;

/// How long a program that was asked to end may take.
const GRACE: Duration = Duration::from_secs(2);

/// How long after its exit the last output of a program may arrive.
const LAST_OUTPUT: Duration = Duration::from_millis(100);

/// A run that is over.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) ending: Ending,
    /// The beginning of its standard output, or of its standard error when there is none.
    pub(super) said: String,
}

/// How a run came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Exited(i32),
    Killed(i32),
    TimedOut,
}

/// Runs a program for at most so long, and up to two seconds more to end it.
///
/// # Errors
/// It can't be started.
///
/// # Cancel safety
/// When the future is dropped the whole group is killed at once, and the runtime reaps it.
pub(super) async fn run(program: &Path, args: &[String], input: &[u8], limit: Duration) -> io::Result<Ran> {
    let mut child = command(program, args).spawn()?;
    let group = Group::led_by(&child);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let ending = {
        let (input, output, errors) =
            (feed(child.stdin.take(), input), child.stdout.take(), child.stderr.take());
        let flow = async { tokio::join!(input, keep(output, &mut stdout), keep(errors, &mut stderr)) }.fuse();
        pin_mut!(flow);
        let exited = async {
            loop {
                tokio::select! {
                    status = child.wait() => break status,
                    _ = &mut flow, if !flow.is_terminated() => {}
                }
            }
        };
        match timeout(limit, exited).await {
            Ok(status) => {
                if !flow.is_terminated() {
                    let _ = timeout(LAST_OUTPUT, flow).await;
                }
                ending(status?)
            }
            Err(_) => {
                group.signal(Signal::TERM);
                let _ = timeout(GRACE, child.wait()).await;
                Ending::TimedOut
            }
        }
    };
    let said = if stdout.is_empty() { &stderr } else { &stdout };
    Ok(Ran { ending, said: String::from_utf8_lossy(said).into_owned() })
}

fn command(program: &Path, args: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(args).env_clear().current_dir("/").process_group(0).kill_on_drop(true);
    command.env("PATH", PATH).env("LC_ALL", "C.UTF-8").env("HOME", "/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn feed(pipe: Option<ChildStdin>, input: &[u8]) {
    if let Some(mut pipe) = pipe {
        // A program may end without reading all of it.
        let _ = pipe.write_all(input).await;
    }
}

/// Keeps the beginning and reads on, so that the program never waits for a full pipe.
async fn keep<R: AsyncRead + Unpin>(pipe: Option<R>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let room = KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}

fn ending(status: ExitStatus) -> Ending {
    match status.code() {
        Some(code) => Ending::Exited(code),
        None => Ending::Killed(status.signal().unwrap_or_default()),
    }
}

/// The process group that a program leads; whoever is left in it is killed when this is dropped.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn led_by(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.0 {
            // An error means that nobody is left.
            let _ = kill_process_group(id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: &str = "/bin/sh";

    async fn script(text: &str, input: &[u8], limit: Duration) -> Ran {
        run(Path::new(SHELL), &["-c".to_owned(), text.to_owned()], input, limit).await.unwrap()
    }

    #[tokio::test]
    async fn a_program_reads_the_message_and_says_how_it_went() {
        let long = vec![b'x'; 300_000];
        for (text, input, expected, said) in [
            ("wc -c", long.as_slice(), Ending::Exited(0), "300000"),
            ("echo out; echo err >&2; exit 75", b"", Ending::Exited(75), "out"),
            ("echo err >&2; exit 3", b"", Ending::Exited(3), "err"),
            ("kill -9 $$", b"", Ending::Killed(9), ""),
            ("exit 0", long.as_slice(), Ending::Exited(0), ""),
            ("env | sort | tr '\\n' ' '; pwd", b"", Ending::Exited(0), "HOME=/ LC_ALL=C.UTF-8 PATH="),
        ] {
            let ran = script(text, input, Duration::from_secs(10)).await;
            assert_eq!(ran.ending, expected, "{text}");
            assert!(ran.said.trim().starts_with(said), "{text}: {}", ran.said);
        }
    }

    #[tokio::test]
    async fn only_the_beginning_of_an_output_is_kept() {
        let ran = script("yes | head -c 1000000", b"", Duration::from_secs(10)).await;
        assert_eq!((ran.ending, ran.said.len()), (Ending::Exited(0), KEPT));
    }

    #[tokio::test]
    async fn what_a_program_leaves_behind_holds_nothing_up_and_is_killed() {
        let ran = script("sleep 1000 & echo $!", b"", Duration::from_secs(10)).await;
        assert_eq!(ran.ending, Ending::Exited(0));
        assert!(gone(ran.said.trim()).await, "it still runs: {}", ran.said);
    }

    #[tokio::test]
    async fn at_the_timeout_the_whole_group_ends() {
        let text = "trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000";
        let ran = script(text, b"", Duration::from_millis(300)).await;
        assert_eq!(ran.ending, Ending::TimedOut);
        assert!(gone(ran.said.trim()).await, "it still runs: {}", ran.said);
    }

    #[tokio::test]
    async fn one_that_is_not_there_is_an_error() {
        assert!(run(Path::new("/nowhere/page"), &[], b"", Duration::from_secs(1)).await.is_err());
    }

    /// Whether the process has ended, or ends soon: signals take a moment.
    async fn gone(id: &str) -> bool {
        let stat = format!("/proc/{id}/stat");
        for _ in 0..500 {
            match std::fs::read_to_string(&stat) {
                Ok(text) if !text.contains(") Z ") => tokio::time::sleep(Duration::from_millis(10)).await,
                _ => return true,
            }
        }
        false
    }
}
