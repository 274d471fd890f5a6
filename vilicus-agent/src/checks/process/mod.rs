//! The `process` kind: whether the wanted processes run, and what they use.
//!
//! CRITICAL when their number is outside `min..max`. Reading `/proc` may hang with a process that hangs in the
//! kernel, so it is done on a thread of its own.

mod filter;
mod table;

use std::sync::{Arc, Mutex, PoisonError};

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use vilicus_core::kind::MetricDescription;
use vilicus_core::{
    Check, CheckContext, CheckKind, CheckResult, Metric, ParamsError, Status, Unit, async_trait,
};

use super::blocking::Places;
use super::since::{Sample, Since, pause, seconds_between};
use super::{describe, quantity};
use filter::Filter;
use table::{Care, Snapshot, Table, TableError};

/// What a `process` check looks at. All conditions given must hold; without any, every process counts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct ProcessParams {
    /// The program's file name, exactly, as `sshd`.
    name: Option<String>,
    /// The program's whole path, exactly, as `/usr/sbin/sshd`.
    exe: Option<String>,
    /// A part of the command line, its arguments joined with one space.
    cmdline: Option<String>,
    /// A regular expression for a part of the command line.
    cmdline_regex: Option<String>,
    /// The user that it runs as: a name or a number.
    user: Option<String>,
    /// The smallest good number of processes.
    #[serde(default = "one")]
    min: u64,
    /// The largest good number of processes; without it there is no limit.
    max: Option<u64>,
    /// Count zombies too: processes that have ended and that nobody has waited for.
    #[serde(default)]
    zombies: bool,
}

fn one() -> u64 {
    1
}

/// The `process` kind.
#[derive(Debug, Clone, Copy)]
pub struct ProcessKind;

impl CheckKind for ProcessKind {
    type Params = ProcessParams;

    fn name(&self) -> &'static str {
        "process"
    }

    fn description(&self) -> &'static str {
        "whether processes run, and what they use"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        const {
            &[
                describe("count", "", "how many processes match"),
                describe("cpu_percent", "%", "CPU time of all of them since the last run; 100 is one core"),
                describe("rss_bytes", "B", "main memory that they hold; shared pages count in each"),
                describe("threads", "", "threads of all of them"),
                describe("open_files", "", "open files of all of them; only where the agent may see them"),
                describe("oldest_age_seconds", "s", "time since the oldest began; 0 when there is none"),
                describe("newest_age_seconds", "s", "time since the newest began; 0 when there is none"),
            ]
        }
    }

    fn build(&self, params: ProcessParams) -> Result<Arc<dyn Check>, ParamsError> {
        let (min, max) = (params.min, params.max);
        if max.is_some_and(|max| max < min) {
            return Err(ParamsError::new("max", format!("max is smaller than min, which is {min}")));
        }
        let filter = filter(params)?;
        let table = Arc::new(Mutex::new(Table::default()));
        Ok(Arc::new(ProcessCheck {
            filter: Arc::new(filter),
            min,
            max,
            table,
            places: Places::default(),
            since: Since::new(),
        }))
    }
}

fn filter(params: ProcessParams) -> Result<Filter, ParamsError> {
    let texts =
        [("name", &params.name), ("exe", &params.exe), ("cmdline", &params.cmdline), ("user", &params.user)];
    if let Some((name, _)) = texts.iter().find(|(_, text)| text.as_deref() == Some("")) {
        return Err(ParamsError::new(name, format!("{name} is empty; leave it out to match any")));
    }
    if params.name.as_deref().is_some_and(|name| name.contains('/')) {
        return Err(ParamsError::new("name", "name is a file name; give a whole path as exe"));
    }
    let pattern = params.cmdline_regex.map(|pattern| Regex::new(&pattern)).transpose();
    let cmdline_regex = pattern.map_err(|error| ParamsError::new("cmdline_regex", error.to_string()))?;
    let ProcessParams { name, exe, cmdline, user, zombies, .. } = params;
    Ok(Filter { name, exe, cmdline, cmdline_regex, user, zombies })
}

#[derive(Debug)]
struct ProcessCheck {
    filter: Arc<Filter>,
    min: u64,
    max: Option<u64>,
    table: Arc<Mutex<Table>>,
    places: Places,
    since: Since<Snapshot>,
}

#[async_trait]
impl Check for ProcessCheck {
    async fn run(&self, cx: &CheckContext) -> CheckResult {
        match self.measure(cx).await {
            Ok(result) => result,
            Err(problem) => CheckResult::unknown(problem),
        }
    }
}

impl ProcessCheck {
    async fn measure(&self, cx: &CheckContext) -> Result<CheckResult, String> {
        let mut before = self.since.take();
        let mut after = self.sample(cx).await?;
        if before.is_none() && after.value.count() > 0 {
            pause(cx.timeout).await;
            before = Some(after);
            after = self.sample(cx).await?;
        }
        let cpu = before.map_or(0.0, |before| {
            after.value.cpu_seconds_since(&before.value) / seconds_between(&before, &after) * 100.0
        });
        self.since.put(after.clone());
        Ok(self.report(&after.value, cpu))
    }

    async fn sample(&self, cx: &CheckContext) -> Result<Sample<Snapshot>, String> {
        let (table, filter, min, max) =
            (Arc::clone(&self.table), Arc::clone(&self.filter), self.min, self.max);
        let scan = move || scan(&mut table.lock().unwrap_or_else(PoisonError::into_inner), &filter, min, max);
        let scanned = self.places.call("/proc", cx.timeout.into(), scan).await;
        let scanned = scanned.map_err(|_| format!("/proc did not answer within {}", cx.timeout))?;
        scanned.map(Sample::now).map_err(|error| vilicus_core::result::error_chain(&error))
    }

    fn report(&self, found: &Snapshot, cpu_percent: f64) -> CheckResult {
        let count = found.count();
        let good = self.min <= count && self.max.is_none_or(|max| count <= max);
        let status = if good { Status::Ok } else { Status::Critical };
        let mut result = CheckResult::new(status, self.line(found, good));
        let plain = |name, value: u64| Metric::new(name, value as f64).bounds(Some(0.0), None);
        let age = |name, seconds| Metric::seconds(name, quantity::rounded(seconds, 2));
        let (oldest, newest) = found.ages();
        result.metrics = vec![
            plain("count", count),
            Metric::new("cpu_percent", quantity::rounded(cpu_percent, 2))
                .unit(Unit::Percent)
                .bounds(Some(0.0), None),
            Metric::bytes("rss_bytes", found.rss_bytes() as f64),
            plain("threads", found.threads()),
        ];
        result.metrics.extend(found.open_files().map(|files| plain("open_files", files)));
        result.metrics.push(age("oldest_age_seconds", oldest));
        result.metrics.push(age("newest_age_seconds", newest));
        result
    }

    fn line(&self, found: &Snapshot, good: bool) -> String {
        let what = &self.filter;
        let mut line = match found.count() {
            0 => format!("no process{what} runs"),
            1 => format!("1 process{what} runs"),
            count => format!("{count} processes{what} run"),
        };
        if !good && (found.count() > 0 || self.min > 1) {
            line.push_str(&match self.max {
                Some(max) => format!(", expected are {} to {max}", self.min),
                None => format!(", expected are at least {}", self.min),
            });
        }
        if !good && found.hidden > 0 {
            line.push_str(&format!(" ({} more could not be looked into: not permitted)", found.hidden));
        }
        line
    }
}

/// Quickly where that can hide no trouble: what a quick scan misses are processes that newly go by the name, so too few
/// are counted again with care, and too many are always looked for so.
fn scan(table: &mut Table, filter: &Filter, min: u64, max: Option<u64>) -> Result<Snapshot, TableError> {
    if max.is_none() {
        let found = table.scan(filter, Care::Quick)?;
        if found.count() >= min {
            return Ok(found);
        }
    }
    table.scan(filter, Care::Thorough)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::context;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::{Child, Command};
    use std::time::Duration;

    /// A child that is ended with the test.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn check(params: serde_json::Value) -> Arc<dyn Check> {
        ProcessKind.build(vilicus_core::params::parse(&params).unwrap()).unwrap()
    }

    /// Runs until the number of processes is as expected: a started child is not its program at once.
    async fn count_becomes(check: &Arc<dyn Check>, expected: f64) -> CheckResult {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let result = check.run(&context(1)).await;
            if result.metrics[0].value == expected {
                return result;
            }
            assert!(tokio::time::Instant::now() < deadline, "expected {expected}: {}", result.output);
        }
    }

    /// A copy of `sleep` under another name, running.
    fn sleeper(folder: &Path, name: &str) -> Running {
        let program = folder.join(name);
        std::fs::copy("/bin/sleep", &program).unwrap();
        Running(Command::new(program).arg("600").spawn().unwrap())
    }

    #[tokio::test]
    async fn a_process_is_there_until_it_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("vil-{}", std::process::id());
        let check = check(serde_json::json!({"name": name}));
        let none = check.run(&context(10)).await;
        assert_eq!((none.status, none.output), (Some(Status::Critical), format!("no process '{name}' runs")));
        let child = sleeper(folder.path(), &name);
        let one = count_becomes(&check, 1.0).await;
        assert_eq!((one.status, one.output), (Some(Status::Ok), format!("1 process '{name}' runs")));
        let names: Vec<_> = one.metrics.iter().map(|metric| metric.name.as_str()).collect();
        let known: Vec<_> = ProcessKind.metrics().iter().map(|metric| metric.name).collect();
        assert_eq!(names, known);
        assert!(one.metrics[2].value > 0.0 && one.metrics[3].value == 1.0 && one.metrics[4].value >= 3.0);
        assert!(one.metrics[5].value < 60.0);
        drop(child);
        assert_eq!(count_becomes(&check, 0.0).await.status, Some(Status::Critical));
    }

    #[tokio::test]
    async fn names_may_be_long_and_hold_anything() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["a-name-longer-than-fifteen-bytes", "x) (y z", "new\nline", "ünïcödé-ünïcödé-ü", "((", ") R 1"]
        {
            let _child = sleeper(folder.path(), name);
            count_becomes(&check(serde_json::json!({"name": name})), 1.0).await;
        }
        let _long = sleeper(folder.path(), "a-name-longer-than-others");
        let other = check(serde_json::json!({"name": "a-name-longer-t"})).run(&context(1)).await;
        assert_eq!(other.metrics[0].value, 0.0, "the cut name is not the name");
    }

    #[tokio::test]
    async fn a_script_is_found_by_its_own_name_and_by_its_interpreter_only_when_named() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("a-script-with-a-long-name");
        std::fs::write(&script, "#!/bin/sh -e\nread line\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
        let spawn =
            |command: &mut Command| Running(command.stdin(std::process::Stdio::piped()).spawn().unwrap());
        let _direct = spawn(&mut Command::new(&script));
        count_becomes(&check(serde_json::json!({"name": "a-script-with-a-long-name"})), 1.0).await;
        let _by_shell = spawn(Command::new("/bin/sh").arg(&script));
        let path = script.to_str().unwrap();
        count_becomes(&check(serde_json::json!({"cmdline": path})), 2.0).await;
        count_becomes(&check(serde_json::json!({"name": "sh", "cmdline": path})), 1.0).await;
        let regex = format!("^/bin/sh {path}$");
        count_becomes(&check(serde_json::json!({"cmdline_regex": regex})), 1.0).await;
    }

    #[tokio::test]
    async fn exe_user_min_and_max_are_held() {
        let folder = tempfile::tempdir().unwrap();
        let exe = folder.path().join("held");
        let _first = sleeper(folder.path(), "held");
        let path = exe.to_str().unwrap();
        count_becomes(&check(serde_json::json!({"exe": path})), 1.0).await;
        let _second = Running(Command::new(&exe).arg("600").spawn().unwrap());
        let result = count_becomes(&check(serde_json::json!({"exe": path, "max": 1})), 2.0).await;
        assert_eq!(result.status, Some(Status::Critical));
        let line = format!("2 processes of {path} run, expected are 1 to 1");
        assert!(result.output.starts_with(&line), "{}", result.output);
        let own = rustix::process::geteuid().as_raw().to_string();
        let found = check(serde_json::json!({"exe": path, "user": own, "min": 2})).run(&context(1)).await;
        assert_eq!(found.status, Some(Status::Ok), "{}", found.output);
        let daemon =
            check(serde_json::json!({"exe": path, "user": "daemon", "min": 0})).run(&context(1)).await;
        assert_eq!((daemon.status, daemon.metrics[0].value), (Some(Status::Ok), 0.0));
        let nobody = check(serde_json::json!({"user": "no-such-user"})).run(&context(1)).await;
        assert_eq!(nobody.status, Some(Status::Unknown), "{}", nobody.output);
    }

    #[tokio::test]
    async fn zombies_count_only_when_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let name = "vil-zombie";
        let mut child = sleeper(folder.path(), name);
        count_becomes(&check(serde_json::json!({"name": name})), 1.0).await;
        child.0.kill().unwrap();
        count_becomes(&check(serde_json::json!({"name": name})), 0.0).await;
        count_becomes(&check(serde_json::json!({"name": name, "zombies": true})), 1.0).await;
    }

    #[tokio::test]
    async fn cpu_time_is_measured_since_the_last_run() {
        let folder = tempfile::tempdir().unwrap();
        let busy = folder.path().join("vil-busy");
        std::fs::copy("/bin/sh", &busy).unwrap();
        let _child = Running(Command::new(&busy).args(["-c", "while :; do :; done"]).spawn().unwrap());
        let check = check(serde_json::json!({"name": "vil-busy"}));
        let first = count_becomes(&check, 1.0).await;
        assert!(first.metrics[1].value > 5.0, "{:?}", first.metrics[1]);
        assert!(first.metrics[1].value < 150.0, "{:?}", first.metrics[1]);
    }

    #[tokio::test]
    async fn all_processes_agree_with_another_reader_of_the_same_host() {
        let check = check(serde_json::json!({"zombies": true}));
        // Processes come and go between the two readings, but not so many every time.
        for _ in 0..10 {
            let ours = check.run(&context(1)).await.metrics[0].value;
            let mut other = sysinfo::System::new().unwrap();
            other.refresh_processes(sysinfo::ProcessesToUpdate::All, true);
            let is_thread =
                |process: &&sysinfo::Process| process.thread_kind() == Some(sysinfo::ThreadKind::Userland);
            let theirs = other.processes().values().filter(|process| !is_thread(process)).count();
            if (ours - theirs as f64).abs() < 3.0 {
                return;
            }
        }
        panic!("the two never agree");
    }

    #[test]
    fn parameters_that_cannot_work_are_refused() {
        for (params, pointer) in [
            (serde_json::json!({"name": ""}), "/name"),
            (serde_json::json!({"name": "/usr/sbin/sshd"}), "/name"),
            (serde_json::json!({"cmdline_regex": "("}), "/cmdline_regex"),
            (serde_json::json!({"min": 3, "max": 2}), "/max"),
        ] {
            let built = vilicus_core::params::parse(&params).and_then(|params| ProcessKind.build(params));
            let pointer_of_error = built.map(|_| ()).unwrap_err().pointer;
            assert_eq!(pointer_of_error, pointer, "{params}");
        }
    }
}
