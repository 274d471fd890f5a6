//! The pipe through which Nagios, and Icinga after it, take passive results: a line each.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use vilicus_benches::drive::Until;
use vilicus_benches::process::family_cpu_seconds;
use vilicus_benches::spawn::Program;
use vilicus_benches::{Failure, clock};

use crate::table::{Figures, Work};
use crate::{CHECKS, Setting};

/// Of each [`CHECKS`] services; more make the start of these programs slow, and what a result costs hardly differs.
pub(crate) const HOSTS: usize = 100;
/// The host whose one problem tells that everything before it was taken.
pub(crate) const LAST: &str = "the-last";

/// Writes results to the pipe of a program, and ends it; `told` says whether it has taken the last one.
pub(crate) fn measure(
    name: &'static str,
    mut program: Program,
    pipe: impl FnOnce(&Path) -> PathBuf,
    told: impl Fn(&Program) -> bool,
    setting: &Setting,
    figures: &mut Figures,
) -> Result<(), Failure> {
    let begin = clock::now();
    let span = if let Until::For(span) = setting.plan.until { span } else { Duration::from_secs(5) };
    let before = family_cpu_seconds(program.pid())?;
    let written = write(&pipe(program.folder()), begin + span)?;
    program.wait_for(|program| told(program).then_some(()))?;
    let took = begin.elapsed();
    let cpu = family_cpu_seconds(program.pid())? - before;
    figures.put(name, Work::Batches, written as f64 / took.as_secs_f64());
    figures.put(name, Work::BatchCpu, cpu * 1e6 / written as f64);
    // Asked to, it takes its workers with it.
    program.end()
}

/// Writes results until then, and one that is told; how many.
fn write(pipe: &Path, until: Instant) -> Result<usize, Failure> {
    let mut pipe = OpenOptions::new().write(true).open(pipe)?;
    let mut written = 0;
    while clock::now() < until {
        for host in 0..HOSTS {
            let mut lines = String::new();
            let at = clock::unix_ms() / 1000;
            for service in 0..CHECKS {
                let value = (host * 31 + service * 17 + written) % 1000;
                let (whole, tenth) = (value / 10, value % 10);
                writeln!(
                    lines,
                    "[{at}] PROCESS_SERVICE_CHECK_RESULT;host-{host};check-{service};0;usage is fine, on all 8 cores|usage={whole}.{tenth}%"
                )?;
            }
            pipe.write_all(lines.as_bytes())?;
        }
        written += HOSTS * CHECKS;
    }
    let at = clock::unix_ms() / 1000;
    writeln!(pipe, "[{at}] PROCESS_SERVICE_CHECK_RESULT;{LAST};check-0;2;everything was taken")?;
    Ok(written)
}
