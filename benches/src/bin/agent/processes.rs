//! 'Is this process running', where 400 are. The limit: the kernel makes the answer for each process anew.

use std::process::{Child, Command};
use std::time::Duration;

use serde_json::json;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};
use vilicus_benches::Failure;

use crate::Work;
use crate::laps::{check, laps, runs};

const PROCESSES: usize = 400;

/// Processes that sleep, and end with this.
struct Sleepers(Vec<Child>);

impl Sleepers {
    fn start() -> Result<Self, Failure> {
        let mut sleepers = Self(Vec::with_capacity(PROCESSES));
        for _ in 0..PROCESSES {
            sleepers.0.push(Command::new("sleep").arg("600").spawn()?);
        }
        Ok(sleepers)
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended by itself is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn measure(span: Duration) -> Result<Work, Failure> {
    let _sleepers = Sleepers::start()?;
    // As on a host, where next to all processes are older: young ones are looked at each time.
    std::thread::sleep(Duration::from_secs(2));
    // This very program: one of them all, and always there.
    let name = std::env::current_exe()?.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Of one that is there a check waits a second, to say what it costs the processor.
    let absent = json!({"name": "not-there", "min": 0});
    let ours = runs(&check("process", &absent)?, 1, span)?;
    let mut system = System::new()?;
    let by_sysinfo = laps(span, || {
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, ProcessRefreshKind::nothing());
        found(system.processes_by_exact_name(name.as_ref()).count())
    })?;
    let by_procfs = laps(span, || {
        let all = procfs::process::all_processes()?;
        found(
            all.flatten().filter_map(|process| process.stat().ok()).filter(|stat| stat.comm == name).count(),
        )
    })?;
    Ok(Work {
        title: "is this process running, of 400",
        target: "0.3 ms each",
        ours,
        others: vec![("sysinfo", by_sysinfo), ("procfs", by_procfs)],
    })
}

fn found(count: usize) -> Result<(), Failure> {
    if count == 0 { Err("this very process was not found".into()) } else { Ok(()) }
}
