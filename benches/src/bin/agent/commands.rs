//! Commands: a plugin that does nothing. The limit: a bare `posix_spawn` and the wait for its end.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::json;
use vilicus_benches::Failure;
use vilicus_benches::process::cpu_seconds_with_ended;

use crate::Work;
use crate::laps::{Laps, check, laps, runs};

const AT_A_TIME: usize = 8;
const PROGRAM: &str = "/bin/true";

pub(crate) fn measure(span: Duration) -> Result<Work, Failure> {
    let ours = runs(&check("command", &json!({"command": PROGRAM}))?, AT_A_TIME, span)?;
    Ok(Work {
        title: "a command that does nothing",
        target: "0.7 × a second, 0.7 ms CPU",
        ours,
        others: vec![("posix_spawn", spawns(span)?)],
    })
}

/// As many at a time, each in a thread that waits.
fn spawns(span: Duration) -> Result<Laps, Failure> {
    let own = std::process::id();
    let cpu = cpu_seconds_with_ended(own)?;
    let lanes: Vec<_> = (0..AT_A_TIME).map(|_| thread::spawn(move || laps(span, spawn))).collect();
    let mut all = Laps { count: 0, took: span, cpu_seconds: 0.0 };
    for lane in lanes {
        let lane = lane.join().map_err(|_| "a lane panicked")??;
        all.count += lane.count;
        all.took = all.took.max(lane.took);
    }
    all.cpu_seconds = cpu_seconds_with_ended(own)? - cpu;
    Ok(all)
}

fn spawn() -> Result<(), Failure> {
    let mut command = Command::new(PROGRAM);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if command.status()?.success() { Ok(()) } else { Err("/bin/true is not".into()) }
}
