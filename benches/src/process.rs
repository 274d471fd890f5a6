//! What a process has cost so far: processor time and memory, as Linux tells.

use std::fs;

use crate::Failure;

/// The clock ticks of `/proc/PID/stat` in a second, on every Linux that matters.
const TICKS: f64 = 100.0;

/// The memory of a process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// What is resident, shared pages counted in full.
    pub rss: u64,
    /// What is resident, shared pages counted by share.
    pub pss: u64,
}

/// The processor time of a process and of its threads, in seconds.
///
/// # Errors
/// There is no such process.
pub fn cpu_seconds(pid: u32) -> Result<f64, Failure> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    ticks_of(&stat).map(|ticks| ticks as f64 / TICKS).ok_or_else(|| format!("{path} says: {stat}").into())
}

/// The processor time of a process and of its children that have ended, in seconds.
///
/// # Errors
/// There is no such process.
pub fn cpu_seconds_with_ended(pid: u32) -> Result<f64, Failure> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let ticks = ticks_of_ended(&stat).and_then(|ended| Some(ticks_of(&stat)? + ended));
    ticks.map(|ticks| ticks as f64 / TICKS).ok_or_else(|| format!("{path} says: {stat}").into())
}

/// The processor time of a process, of its living children, and of all their children that have ended, in seconds.
///
/// # Errors
/// There is no such process.
pub fn family_cpu_seconds_with_ended(pid: u32) -> Result<f64, Failure> {
    let children = children(pid)?.into_iter();
    // Others may end while we look.
    Ok(cpu_seconds_with_ended(pid)?
        + children.filter_map(|child| cpu_seconds_with_ended(child).ok()).sum::<f64>())
}

/// The memory of a process and of its living children, shared pages counted by share, in bytes.
///
/// # Errors
/// There is no such process, or it is somebody else's.
pub fn family_pss(pid: u32) -> Result<u64, Failure> {
    let children = children(pid)?.into_iter();
    Ok(memory(pid)?.pss + children.filter_map(|child| Some(memory(child).ok()?.pss)).sum::<u64>())
}

/// The living children of a process.
fn children(pid: u32) -> Result<Vec<u32>, Failure> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(Ok(child)) = entry?.file_name().to_str().map(str::parse::<u32>) else { continue };
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        if parent_of(&stat) == Some(pid) {
            children.push(child);
        }
    }
    Ok(children)
}

/// The processor time of a process and of its living children, in seconds.
///
/// # Errors
/// There is no such process.
pub fn family_cpu_seconds(pid: u32) -> Result<f64, Failure> {
    let children = children(pid)?.into_iter();
    // Others may end while we look.
    Ok(cpu_seconds(pid)? + children.filter_map(|child| cpu_seconds(child).ok()).sum::<f64>())
}

fn parent_of(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

/// User and system time together.
fn ticks_of(stat: &str) -> Option<u64> {
    two_ticks(stat, 11)
}

/// User and system time of children that have ended and were waited for.
fn ticks_of_ended(stat: &str) -> Option<u64> {
    two_ticks(stat, 13)
}

/// The sum of two fields after the name, which stands in parentheses and may hold anything.
fn two_ticks(stat: &str, first: usize) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(first);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(ticks()? + ticks()?)
}

/// The memory of a process.
///
/// # Errors
/// There is no such process, or it is somebody else's.
pub fn memory(pid: u32) -> Result<Memory, Failure> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    memory_of(&rollup).ok_or_else(|| format!("{path} says: {rollup}").into())
}

fn memory_of(rollup: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    Some(Memory { rss: bytes("Rss:")?, pss: bytes("Pss:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_user_and_system_whatever_the_name() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 150 7 9 20 0 4 0 1 2 3";
        assert_eq!(ticks_of(stat), Some(400));
        assert_eq!(ticks_of_ended(stat), Some(16));
        assert_eq!(parent_of(stat), Some(1));
        assert_eq!(ticks_of("42 (x) S 1"), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let rollup = "55 ffff ---p 00 [rollup]\nRss:    2048 kB\nPss:    1000 kB\nPss_Dirty:  7 kB\n";
        assert_eq!(memory_of(rollup), Some(Memory { rss: 2048 << 10, pss: 1000 << 10 }));
        assert_eq!(memory_of("Rss: 1 kB\n"), None);
    }

    #[test]
    fn this_process_can_be_asked() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).unwrap() >= 0.0);
        assert!(memory(pid).unwrap().rss > 0);
    }
}
