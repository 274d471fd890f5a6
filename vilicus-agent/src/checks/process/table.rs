//! Reads the wanted processes from `/proc`.
//!
//! Most processes are passed over after one short read of their `comm`. The kernel cuts that at 15 bytes, and a
//! program may change it, so the file names of program and script are looked up once for each process and kept.
//! A quick scan passes over most of those that it knows without any read ([`Care`]).

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, RawDir, RawDirEntry, openat};

use super::filter::Filter;
use crate::checks::accounts::Account;
use crate::checks::uptime;

/// The kernel keeps so many bytes of a process's name.
const COMM_BYTES: usize = 15;

/// A process that is younger, in seconds, may be about to run the program that it was started for.
const SETTLED: f64 = 2.0;

/// One in so many of the known is read again in a quick scan.
const ROUNDS: u32 = 16;

/// How a scan treats a process that was seen before and did not go by the wanted name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// It is passed over, unless it is young or this round is its turn. So one that runs another program late in its life
    /// is found some scans later.
    Quick,
    /// It is looked at like any other.
    Thorough,
}

/// Why there is no list of processes.
#[derive(Debug, thiserror::Error)]
pub(super) enum TableError {
    #[error("cannot read {path}")]
    Unreadable {
        path: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("no user '{0}' in /etc/passwd")]
    UnknownUser(String),
    #[error(transparent)]
    Uptime(#[from] crate::checks::proc_file::ProcError),
}

/// The processes that matched at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    processes: Vec<Process>,
    /// Processes that could not be judged, since the agent may not look into them.
    pub(super) hidden: u64,
    /// Seconds since the host was started.
    taken_at: f64,
}

/// What is known of one process. Times in seconds; `started` since the start of the host.
#[derive(Debug, Clone, PartialEq)]
struct Process {
    pid: u32,
    started: f64,
    cpu_seconds: f64,
    threads: u64,
    rss_bytes: u64,
    /// `None` when the agent may not look.
    open_files: Option<u64>,
}

impl Snapshot {
    pub(super) fn count(&self) -> u64 {
        self.processes.len() as u64
    }

    /// CPU time that these processes used since an earlier moment. Of one that was not there before, all that it
    /// ever used counts if it began after that moment, and none of it if it did not.
    pub(super) fn cpu_seconds_since(&self, earlier: &Self) -> f64 {
        let before: HashMap<u32, &Process> =
            earlier.processes.iter().map(|process| (process.pid, process)).collect();
        let used = self.processes.iter().map(|process| match before.get(&process.pid) {
            Some(before) if before.started == process.started => process.cpu_seconds - before.cpu_seconds,
            _ if process.started >= earlier.taken_at => process.cpu_seconds,
            _ => 0.0,
        });
        used.sum::<f64>().max(0.0)
    }

    pub(super) fn rss_bytes(&self) -> u64 {
        self.processes.iter().map(|process| process.rss_bytes).sum()
    }

    pub(super) fn threads(&self) -> u64 {
        self.processes.iter().map(|process| process.threads).sum()
    }

    /// The open files of all of them, if all may be looked at.
    pub(super) fn open_files(&self) -> Option<u64> {
        self.processes.iter().map(|process| process.open_files).sum()
    }

    /// The ages of the oldest and of the newest in seconds; zero when there is none.
    pub(super) fn ages(&self) -> (f64, f64) {
        let ages = || self.processes.iter().map(|process| (self.taken_at - process.started).max(0.0));
        (ages().fold(0.0, f64::max), ages().reduce(f64::min).unwrap_or(0.0))
    }
}

/// The folder of a process.
#[derive(Debug, Clone, Copy)]
struct Folder {
    pid: u32,
    inode: u64,
}

impl Folder {
    fn of(entry: &RawDirEntry<'_>) -> Option<Self> {
        let pid = entry.file_name().to_str().ok()?.parse().ok()?;
        Some(Self { pid, inode: entry.ino() })
    }

    fn path(self) -> PathBuf {
        format!("/proc/{}", self.pid).into()
    }
}

/// What was learnt of processes in earlier scans.
#[derive(Debug, Default)]
pub(super) struct Table {
    names: HashMap<u32, Names>,
    round: u32,
}

/// The file names that a process goes by. Valid while its folder and its `comm` are the same: a new process has
/// a new folder, and running another program sets `comm`.
#[derive(Debug)]
struct Names {
    inode: u64,
    /// Seconds since the start of the host.
    started: f64,
    comm: Vec<u8>,
    names: Vec<Vec<u8>>,
    seen: bool,
}

impl Table {
    /// Finds the processes that the filter wants.
    pub(super) fn scan(&mut self, filter: &Filter, care: Care) -> Result<Snapshot, TableError> {
        self.round = self.round.wrapping_add(1);
        let uid = filter.user.as_deref().map(uid_of).transpose()?;
        let unreadable = |source| TableError::Unreadable { path: "/proc", source };
        let mut found = Snapshot { taken_at: uptime::seconds_up()?, ..Snapshot::default() };
        let proc = File::open("/proc").map_err(unreadable)?;
        let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
        let mut entries = RawDir::new(&proc, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|error| unreadable(error.into()))?;
            let Some(folder) = Folder::of(&entry) else { continue };
            if care == Care::Quick && self.passes_over(folder, filter, found.taken_at) {
                continue;
            }
            match self.look(&proc, folder, filter, uid) {
                Ok(process) => found.processes.extend(process),
                // A process that ended while it was looked at was not there.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => found.hidden += 1,
                Err(_) => {}
            }
        }
        self.names.retain(|_, names| std::mem::take(&mut names.seen));
        Ok(found)
    }

    /// Whether a quick scan need not look at this process.
    fn passes_over(&mut self, Folder { pid, inode }: Folder, filter: &Filter, now: f64) -> bool {
        let (Some(name), Some(known)) = (&filter.name, self.names.get_mut(&pid)) else { return false };
        let passed = known.inode == inode
            && !pid.wrapping_add(self.round).is_multiple_of(ROUNDS)
            && now - known.started >= SETTLED
            && !known.names.iter().any(|known| known == name.as_bytes());
        known.seen |= passed;
        passed
    }

    /// The process, if it is a wanted one. The cheap questions come first.
    fn look(
        &mut self,
        proc: &File,
        folder: Folder,
        filter: &Filter,
        uid: Option<u32>,
    ) -> io::Result<Option<Process>> {
        if let Some(name) = &filter.name
            && !self.goes_by(name.as_bytes(), proc, folder)?
        {
            return Ok(None);
        }
        let (pid, folder) = (folder.pid, folder.path());
        if (filter.wants_cmdline() && !is_wanted_cmdline(pid, &folder, filter)?)
            || uid.is_some_and(|uid| effective_uid(&folder) != Some(uid))
            || !is_wanted_exe(&folder, filter)?
        {
            return Ok(None);
        }
        let stat = fs::read(folder.join("stat"))?;
        let Some((state, process)) = parse_stat(pid, &stat) else { return Ok(None) };
        if matches!(state, b'Z' | b'X') && !filter.zombies {
            return Ok(None);
        }
        Ok(Some(Process { open_files: open_files(&folder), ..process }))
    }

    /// Whether the process is known by this file name.
    fn goes_by(&mut self, name: &[u8], proc: &File, folder: Folder) -> io::Result<bool> {
        let Folder { pid, inode } = folder;
        let mut buffer = [0; 64];
        let comm = comm(proc, pid, &mut buffer)?;
        if comm == name && comm.len() < COMM_BYTES {
            return Ok(true);
        }
        let same = self.names.get(&pid).is_some_and(|known| known.inode == inode && known.comm == comm);
        if !same {
            let folder = folder.path();
            let names = names(&folder, comm);
            let started = started(pid, &folder).unwrap_or(f64::INFINITY);
            self.names.insert(pid, Names { inode, started, comm: comm.to_owned(), names, seen: false });
        }
        Ok(self.names.get_mut(&pid).is_some_and(|known| {
            known.seen = true;
            known.names.iter().any(|known| known == name)
        }))
    }
}

/// What the kernel calls a process. Asked of every process each time, so with as few calls as can be: one read gives it
/// all.
fn comm<'a>(proc: &File, pid: u32, buffer: &'a mut [u8; 64]) -> io::Result<&'a [u8]> {
    let file = openat(proc, format!("{pid}/comm"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let length = rustix::io::read(&file, &mut buffer[..])?;
    let comm = &buffer[..length];
    Ok(comm.strip_suffix(b"\n").unwrap_or(comm))
}

/// The file names of a process whose `comm` does not settle it.
///
/// A script that the kernel started by its `#!` line goes by its own name; everything else by the program's and
/// by the name that it was called by (a link). Without either (a kernel thread, a zombie) `comm` is all there is.
fn names(folder: &Path, comm: &[u8]) -> Vec<Vec<u8>> {
    let cmdline = fs::read(folder.join("cmdline")).unwrap_or_default();
    let is_comm = |name: &&[u8]| &name[..name.len().min(COMM_BYTES)] == comm;
    let mut arguments = cmdline.split(|byte| *byte == 0).map(file_name);
    let called = arguments.next().unwrap_or_default();
    // The script stands after the interpreter, or after the one argument that the `#!` line may give it.
    if let Some(script) = arguments.take(2).find(is_comm).filter(|_| !is_comm(&called)) {
        return vec![script.to_owned()];
    }
    let program = exe(folder).ok();
    let program = program.as_deref().map(|path| file_name(path.as_os_str().as_bytes()).to_owned());
    let known_as =
        Some(called).filter(|name| is_comm(name) || program.is_none()).filter(|name| !name.is_empty());
    let names: Vec<Vec<u8>> = program.into_iter().chain(known_as.map(<[u8]>::to_vec)).collect();
    if names.is_empty() { vec![comm.to_owned()] } else { names }
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// The program's path. The kernel marks one that was replaced while it ran.
fn exe(folder: &Path) -> io::Result<PathBuf> {
    let path = fs::read_link(folder.join("exe"))?;
    let bytes = path.as_os_str().as_bytes();
    Ok(bytes
        .strip_suffix(b" (deleted)")
        .map_or_else(|| path.clone(), |bytes| OsStr::from_bytes(bytes).into()))
}

fn is_wanted_exe(folder: &Path, filter: &Filter) -> io::Result<bool> {
    let Some(wanted) = &filter.exe else { return Ok(true) };
    match exe(folder) {
        Ok(path) => Ok(path == Path::new(wanted)),
        // Kernel threads and zombies have none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The agent's own command line holds what it looks for when that was typed there, so it never counts.
fn is_wanted_cmdline(pid: u32, folder: &Path, filter: &Filter) -> io::Result<bool> {
    if pid == std::process::id() {
        return Ok(false);
    }
    let mut cmdline = fs::read(folder.join("cmdline"))?;
    cmdline.pop_if(|last| *last == 0);
    cmdline.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
    Ok(filter.matches_cmdline(&String::from_utf8_lossy(&cmdline)))
}

fn uid_of(user: &str) -> Result<u32, TableError> {
    if let Ok(uid) = user.parse() {
        return Ok(uid);
    }
    let found = Account::named(user);
    let found = found.map_err(|source| TableError::Unreadable { path: "/etc/passwd", source })?;
    found.map(|account| account.uid).ok_or_else(|| TableError::UnknownUser(user.to_owned()))
}

/// Reads `Uid: real effective saved file-system`.
fn effective_uid(folder: &Path) -> Option<u32> {
    let status = fs::read(folder.join("status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}

fn started(pid: u32, folder: &Path) -> Option<f64> {
    let stat = fs::read(folder.join("stat")).ok()?;
    Some(parse_stat(pid, &stat)?.1.started)
}

fn open_files(folder: &Path) -> Option<u64> {
    fs::read_dir(folder.join("fd")).ok().map(|files| files.count() as u64)
}

/// Reads `pid (name) state ppid …`; the name may hold anything, parentheses too.
///
/// *Source:* <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>; its field 3, the state, is our 0.
fn parse_stat(pid: u32, stat: &[u8]) -> Option<(u8, Process)> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let text = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    let fields: Vec<&str> = text.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let process = Process {
        pid,
        cpu_seconds: (number(11)? + number(12)?) as f64 / ticks,
        threads: number(17)?,
        started: number(19)? as f64 / ticks,
        rss_bytes: number(21)?.saturating_mul(rustix::param::page_size() as u64),
        open_files: None,
    };
    Some((*fields.first()?.as_bytes().first()?, process))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn any_name_is_read() {
        let ticks = rustix::param::clock_ticks_per_second();
        for name in ["sshd", "a b", ")", "((", ") R 1 (", "x\ny"] {
            let rest = format!("S 1 1 1 0 -1 0 0 0 0 0 {ticks} {ticks} 0 0 20 0 7 0 {} 100 3 0", 5 * ticks);
            let (state, process) = parse_stat(42, format!("42 ({name}) {rest}").as_bytes()).unwrap();
            assert_eq!(
                (state, process.threads, process.cpu_seconds, process.started),
                (b'S', 7, 2.0, 5.0),
                "{name}"
            );
            assert_eq!(process.rss_bytes, 3 * rustix::param::page_size() as u64);
        }
        for broken in ["", "42", "42 (x", "42 (x)", "42 (x) S 1"] {
            assert_eq!(parse_stat(42, broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn cpu_time_counts_only_what_was_used_since() {
        let process = |pid, started, cpu_seconds| Process {
            pid,
            started,
            cpu_seconds,
            threads: 1,
            rss_bytes: 0,
            open_files: Some(0),
        };
        let snapshot = |taken_at, processes| Snapshot { processes, hidden: 0, taken_at };
        let earlier = snapshot(100.0, vec![process(1, 10.0, 5.0), process(2, 10.0, 9.0)]);
        for (name, now, expected) in [
            ("the same process", process(1, 10.0, 7.5), 2.5),
            ("a new process", process(3, 101.0, 1.5), 1.5),
            ("a new process with an old number", process(2, 101.0, 0.5), 0.5),
            ("an old process that matches now", process(4, 50.0, 40.0), 0.0),
        ] {
            assert_eq!(snapshot(110.0, vec![now]).cpu_seconds_since(&earlier), expected, "{name}");
        }
        assert_eq!(snapshot(110.0, vec![]).ages(), (0.0, 0.0));
        assert_eq!(snapshot(110.0, earlier.processes).ages(), (100.0, 100.0));
    }

    /// A shell that runs another program once it is told to.
    #[test]
    fn a_program_begun_late_is_found_at_once_with_care_and_soon_without() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(format!("late-{}", std::process::id()));
        fs::copy("/bin/sleep", &program).unwrap();
        let name = program.file_name().unwrap().to_str().unwrap().to_owned();
        let filter = Filter { name: Some(name), ..Filter::default() };
        let script = format!("read line; exec {} 600", program.display());
        let mut shell = std::process::Command::new("/bin/sh")
            .args(["-c", &script])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let known = || {
            let mut table = Table::default();
            assert_eq!(table.scan(&filter, Care::Thorough).unwrap().count(), 0);
            table.names.get_mut(&shell.id()).unwrap().started = 0.0;
            table
        };
        let (mut careful, mut quick) = (known(), known());
        shell.stdin.take().unwrap().write_all(b"now\n").unwrap();
        while fs::read(format!("/proc/{}/comm", shell.id())).unwrap().trim_ascii_end()
            != filter.name.as_deref().unwrap().as_bytes()
        {
            std::thread::yield_now();
        }
        assert_eq!(careful.scan(&filter, Care::Thorough).unwrap().count(), 1);
        let counts: Vec<u64> =
            (0..ROUNDS).map(|_| quick.scan(&filter, Care::Quick).unwrap().count()).collect();
        assert_eq!(counts.iter().max(), Some(&1), "{counts:?}");
        assert_eq!(counts.last(), Some(&1), "one that was found is looked at each time: {counts:?}");
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert_eq!(quick.scan(&filter, Care::Quick).unwrap().count(), 0);
    }
}
