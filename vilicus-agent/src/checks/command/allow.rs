//! The list of programs that may run.
//!
//! A pattern is written once for a folder of plugins and then trusted for years, so it never reaches programs
//! whose arguments name other programs: with one of those, whoever writes the arguments runs anything. Such a
//! program can still be listed by its whole path.

use std::path::Path;

use crate::checks::glob::{Glob, is_pattern};

/// Programs that run what their arguments or input say: plugins around plugins, shells, interpreters, and tools
/// that start, trace or wrap others.
const RUNNERS: &str = "
    negate urlize check_by_ssh check_multi
    sh ash bash csh dash elvish fish ksh lksh mksh nu oksh osh posh pwsh rbash rc sash tcsh yash zsh busybox toybox
    awk bun deno elixir erl escript expect gawk gdb ghci gjs groovy guile irb java jjs jruby js jshell julia lua
    luajit m4 mawk nawk node nodejs ocaml octave osascript perl php phpdbg pry pypy python qjs R racket rake
    Rscript ruby runghc sbcl scala swipl tclsh wish
    at batch bwrap capsh chpst choom chroot chrt cpulimit crontab dbus-run-session doas docker dumb-init
    eatmydata ed emacs entr env ex fakeroot faketime find firejail flock git gosu ionice ip kubectl ld ld.so less
    ltrace machinectl make man more nc ncat newgrp nice nohup nsenter numactl nvim parallel perf pexec pkexec
    podman prlimit proot rlwrap rsync run-one run-parts runcon runuser scp screen script sed setarch setpriv
    setsid sg socat softlimit ssh sshpass start-stop-daemon stdbuf strace su sudo systemd-nspawn systemd-run tar
    taskset time timelimit timeout tini tmux torsocks tsocks unbuffer unshare valgrind vi view vim watch xargs
    xvfb-run
";

/// The allowed paths and patterns.
#[derive(Debug, Clone, Default)]
pub(super) struct AllowList {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
enum Entry {
    Path(String),
    Pattern(Glob),
}

impl AllowList {
    /// The list of these entries, or the first that is no absolute path or pattern.
    pub(super) fn new(entries: &[String]) -> Result<Self, String> {
        let entries = entries.iter().map(|text| Entry::new(text).ok_or_else(|| text.clone()));
        Ok(Self { entries: entries.collect::<Result<_, _>>()? })
    }

    /// Whether the program of this path may run.
    pub(super) fn permits(&self, command: &str) -> bool {
        is_plain_absolute(command) && self.entries.iter().any(|entry| entry.permits(command))
    }

    /// Whether a pattern would allow the program, if it did not run others.
    pub(super) fn permits_by_path_only(&self, command: &str) -> bool {
        let matches = |entry: &Entry| matches!(entry, Entry::Pattern(glob) if glob.matches(command));
        is_plain_absolute(command) && self.entries.iter().any(matches)
    }
}

impl Entry {
    fn new(text: &str) -> Option<Self> {
        if !is_plain_absolute(text) {
            return None;
        }
        if is_pattern(text) {
            Glob::new(text).ok().map(Self::Pattern)
        } else {
            Some(Self::Path(text.to_owned()))
        }
    }

    fn permits(&self, command: &str) -> bool {
        match self {
            Self::Path(path) => path == command,
            Self::Pattern(glob) => glob.matches(command) && !runs_others(command),
        }
    }
}

/// Whether a path is absolute and goes nowhere but down, so that text and place agree.
pub(super) fn is_plain_absolute(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.next() == Some("")
        && path.len() > 1
        && !path.contains('\0')
        && parts.all(|part| !matches!(part, "" | "." | ".."))
}

/// Whether a program, or what it is a link to, runs other programs. What cannot be resolved does not run at all.
fn runs_others(command: &str) -> bool {
    let target = std::fs::canonicalize(command).ok();
    [Some(Path::new(command)), target.as_deref()].into_iter().flatten().any(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        is_runner(&name)
    })
}

/// Looks a file name up, also without its version: `python3.11` is `python`.
fn is_runner(name: &str) -> bool {
    let name = name.strip_suffix("-static").unwrap_or(name);
    let letters = name.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(name.len());
    let (stem, version) = name.split_at(letters);
    let listed = |name: &str| RUNNERS.split_whitespace().any(|runner| runner == name);
    let after = version.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let versioned = version.len() > after.len() && (after.is_empty() || after.starts_with('-'));
    listed(name) || (versioned && listed(stem)) || name.starts_with("ld-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AllowList {
        AllowList::new(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn patterns_and_paths_allow_what_they_say() {
        let plugins = list(&["/usr/lib/nagios/plugins/*", "/usr/lib/nagios/plugins/negate", "/bin/dash"]);
        for (command, expected) in [
            ("/usr/lib/nagios/plugins/check_load", true),
            ("/usr/lib/nagios/plugins/negate", true),
            ("/usr/lib/nagios/plugins/urlize", false),
            ("/usr/lib/nagios/plugins/check_by_ssh", false),
            ("/usr/lib/nagios/plugins/sub/check_load", false),
            ("/usr/lib/nagios/plugins/../../../bin/true", false),
            ("/usr/lib/nagios/plugins//check_load", false),
            ("/usr/lib/nagios/plugins/", false),
            ("/usr/lib/nagios/plugins/./check_load", false),
            ("usr/lib/nagios/plugins/check_load", false),
            ("/bin/dash", true),
            ("/bin/sh", false),
            ("", false),
        ] {
            assert_eq!(plugins.permits(command), expected, "{command}");
        }
        assert!(!AllowList::default().permits("/bin/true"));
    }

    #[test]
    fn a_pattern_never_reaches_what_runs_other_programs() {
        let all = list(&["/**"]);
        for name in [
            "sh",
            "bash",
            "python3",
            "python3.11",
            "perl5.36.0",
            "env",
            "sudo",
            "nice",
            "xargs",
            "ksh93",
            "bash-static",
            "perl5.36-x86_64-linux-gnu",
            "ld-linux-x86-64.so.2",
        ] {
            assert!(!all.permits(&format!("/opt/{name}")), "{name}");
        }
        for name in
            ["check_http", "check_ssh", "check_file_age", "envoy_check", "time-check.sh", "git2_status"]
        {
            assert!(all.permits(&format!("/opt/{name}")), "{name}");
        }
    }

    #[test]
    fn a_link_is_judged_by_what_it_points_to() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("check_harmless");
        std::os::unix::fs::symlink("/bin/sh", &link).unwrap();
        let path = link.to_str().unwrap();
        assert!(!list(&[&format!("{}/*", folder.path().display())]).permits(path));
        assert!(list(&[path]).permits(path), "listed by its whole path it is allowed");
    }
}
