//! The `disk` kind: how full file systems are, and whether they answer at all.
//!
//! The figures are those of `df`: *used percent* leaves out what is reserved for root, so 100 % is when
//! programs can write no more.

mod mounts;

use std::io;
use std::sync::Arc;

use futures_util::future::join_all;
use rustix::fs::{StatVfs, StatVfsMountFlags};
use schemars::JsonSchema;
use serde::Deserialize;
use vilicus_core::kind::MetricDescription;
use vilicus_core::{Check, CheckContext, CheckKind, CheckResult, Metric, ParamsError, Status, async_trait};

use super::blocking::Places;
use super::glob::Glob;
use super::{cannot_tell, describe, metric_name, quantity};
use mounts::Selection;

/// What a `disk` check looks at.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct DiskParams {
    /// The file system is the one that this path is on; without it all real ones are looked at.
    path: Option<String>,
    /// Whether it must be writable: then a read-only file system is CRITICAL.
    #[serde(default)]
    writable: bool,
    /// Types to leave out when no path is named, as `vfat`.
    #[serde(default)]
    exclude_types: Vec<String>,
    /// Mount points to leave out when no path is named; `*` matches within one part of a path, `**` across.
    #[serde(default)]
    exclude_paths: Vec<String>,
    /// Types to look at although they are off when no path is named, as `nfs4` or `fuse.sshfs`.
    #[serde(default)]
    include_types: Vec<String>,
}

/// The `disk` kind. Its checks share the knowledge of what hangs.
#[derive(Debug, Clone, Default)]
pub struct DiskKind {
    places: Places,
}

impl CheckKind for DiskKind {
    type Params = DiskParams;

    fn name(&self) -> &'static str {
        "disk"
    }

    fn description(&self) -> &'static str {
        "how full file systems are"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        const {
            &[
                describe("used_percent", "%", "used share of what programs can use"),
                describe("used_bytes", "B", "used"),
                describe("free_bytes", "B", "what programs can still write; root's reserve is left out"),
                describe("total_bytes", "B", "the whole file system"),
                describe("inodes_used_percent", "%", "used share of the inodes; 0 where there is no limit"),
            ]
        }
    }

    fn build(&self, params: DiskParams) -> Result<Arc<dyn Check>, ParamsError> {
        let writable = params.writable;
        let target = match params.path {
            Some(path) if !path.starts_with('/') || path.contains('\0') => {
                return Err(ParamsError::new("path", "the path must be absolute, as /var"));
            }
            Some(path) => Target::Path(path),
            None => Target::All(selection(params)?),
        };
        Ok(Arc::new(Disk { target, writable, places: self.places.clone() }))
    }
}

fn selection(params: DiskParams) -> Result<Selection, ParamsError> {
    let globs = params.exclude_paths.iter().map(|pattern| Glob::new(pattern)).collect::<Result<_, _>>();
    Ok(Selection {
        include_types: params.include_types,
        exclude_types: params.exclude_types,
        exclude_paths: globs.map_err(|error| ParamsError::new("exclude_paths", error.to_string()))?,
    })
}

#[derive(Debug)]
struct Disk {
    target: Target,
    writable: bool,
    places: Places,
}

#[derive(Debug)]
enum Target {
    Path(String),
    All(Selection),
}

#[async_trait]
impl Check for Disk {
    async fn run(&self, cx: &CheckContext) -> CheckResult {
        match &self.target {
            Target::Path(path) => self.one(path, cx).await,
            Target::All(selection) => match mounts::list(selection) {
                Ok(mount_points) => self.all(&mount_points, cx).await,
                Err(error) => cannot_tell(&error),
            },
        }
    }
}

impl Disk {
    async fn one(&self, path: &str, cx: &CheckContext) -> CheckResult {
        match self.look(path, cx).await {
            Ok(usage) => {
                let mut result = CheckResult::measured(format!("disk {path} {}", usage.to_line()));
                result.metrics.extend(usage.to_metrics(None));
                if self.writable && usage.read_only {
                    result.status = Some(Status::Critical);
                    result.output.push_str(", but mounted read-only");
                }
                result
            }
            Err(trouble) => CheckResult::new(trouble.status(), trouble.to_line(path, cx)),
        }
    }

    async fn all(&self, mount_points: &[String], cx: &CheckContext) -> CheckResult {
        let looks = mount_points.iter().map(|path| async move { (path, self.look(path, cx).await) });
        let mut result = CheckResult::default();
        let mut lines = Vec::new();
        let mut fullest: Option<(f64, String)> = None;
        for (path, usage) in join_all(looks).await {
            match usage {
                Ok(usage) => {
                    result.metrics.extend(usage.to_metrics(Some(path)));
                    lines.push(format!("{path} {}", usage.to_line()));
                    if self.writable && usage.read_only {
                        result.worsen(Status::Critical, format!("{path} is mounted read-only"));
                    }
                    if fullest.as_ref().is_none_or(|(percent, _)| usage.used_percent > *percent) {
                        fullest = Some((usage.used_percent, format!("{path} {}", usage.to_line())));
                    }
                }
                Err(trouble) => result.worsen(trouble.status(), trouble.to_line(path, cx)),
            }
        }
        result.long_output = lines.join("\n");
        result.describe_all(mount_points.len(), fullest.map(|(_, line)| line));
        result
    }

    async fn look(&self, path: &str, cx: &CheckContext) -> Result<Usage, Trouble> {
        let owned = path.to_owned();
        let call = self.places.call(path, cx.timeout.into(), move || rustix::fs::statvfs(owned));
        let stat = call.await.map_err(|_| Trouble::DidNotAnswer)?;
        stat.map(|stat| Usage::of(&stat)).map_err(|error| Trouble::Io(error.into()))
    }
}

/// How the result of several file systems grows.
trait Summary {
    fn worsen(&mut self, status: Status, problem: String);
    fn describe_all(&mut self, count: usize, fullest: Option<String>);
}

impl Summary for CheckResult {
    fn worsen(&mut self, status: Status, problem: String) {
        self.status = self.status.max(Some(status));
        let separator = if self.output.is_empty() { "" } else { ", " };
        self.output.push_str(separator);
        self.output.push_str(&problem);
    }

    fn describe_all(&mut self, count: usize, fullest: Option<String>) {
        if self.status.is_some() {
            return;
        }
        self.output = match (count, fullest) {
            (1, Some(only)) => format!("disk {only}"),
            (_, Some(fullest)) => format!("{count} file systems, fullest is {fullest}"),
            // A container may have none of its own, which is no mistake.
            (_, None) => "no real file system is mounted".to_owned(),
        };
        if self.metrics.is_empty() {
            self.status = Some(Status::Ok);
        }
    }
}

/// Why a file system has no figures.
#[derive(Debug)]
enum Trouble {
    DidNotAnswer,
    Io(io::Error),
}

impl Trouble {
    /// What can't be reached is broken; what the agent may not see, nobody can tell.
    fn status(&self) -> Status {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => Status::Unknown,
            _ => Status::Critical,
        }
    }

    fn to_line(&self, path: &str, cx: &CheckContext) -> String {
        match self {
            Self::DidNotAnswer => format!("{path} did not answer within {}", cx.timeout),
            Self::Io(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => format!("{path} is missing"),
                _ => format!("cannot look at {path}: {error}"),
            },
        }
    }
}

/// How full a file system is. Sizes in bytes.
#[derive(Debug, Clone, PartialEq)]
struct Usage {
    used: f64,
    free: f64,
    total: f64,
    used_percent: f64,
    inodes_used_percent: f64,
    read_only: bool,
}

impl Usage {
    fn of(stat: &StatVfs) -> Self {
        let block = stat.f_frsize as f64;
        let used = stat.f_blocks.saturating_sub(stat.f_bfree) as f64 * block;
        let free = stat.f_bavail as f64 * block;
        let inodes_used = stat.f_files.saturating_sub(stat.f_ffree) as f64;
        Self {
            used,
            free,
            total: stat.f_blocks as f64 * block,
            used_percent: quantity::percent(used, used + free),
            inodes_used_percent: quantity::percent(inodes_used, stat.f_files as f64),
            read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
        }
    }

    fn to_line(&self) -> String {
        format!("{:.1} % used, {} free", self.used_percent, quantity::bytes(self.free))
    }

    fn to_metrics(&self, path: Option<&str>) -> [Metric; 5] {
        let name = |metric| metric_name(metric, path);
        let bytes = |metric, value| Metric::bytes(name(metric), value).bounds(Some(0.0), Some(self.total));
        [
            Metric::percent(name("used_percent"), self.used_percent),
            bytes("used_bytes", self.used),
            bytes("free_bytes", self.free),
            Metric::bytes(name("total_bytes"), self.total),
            Metric::percent(name("inodes_used_percent"), self.inodes_used_percent),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::context;
    use std::collections::BTreeMap;
    use std::path::Path;

    async fn run(params: DiskParams) -> CheckResult {
        DiskKind::default().build(params).unwrap().run(&context(10)).await
    }

    fn at(path: &str) -> DiskParams {
        DiskParams { path: Some(path.to_owned()), ..DiskParams::default() }
    }

    #[tokio::test]
    async fn it_agrees_with_another_reader_of_the_same_host() {
        let result = run(at("/")).await;
        assert_eq!(result.status, None);
        assert!(
            result.output.starts_with("disk / ") && result.output.ends_with(" free"),
            "{}",
            result.output
        );
        let values: BTreeMap<_, _> = result.metrics.iter().map(|m| (m.name.as_str(), m.value)).collect();
        let disks = sysinfo::Disks::new_with_refreshed_list().unwrap();
        let root = disks.iter().find(|disk| disk.mount_point() == Path::new("/")).unwrap();
        assert_eq!(values["total_bytes"], root.total_space() as f64);
        assert!((values["free_bytes"] - root.available_space() as f64).abs() < 2e9);
        assert!(values["used_percent"] > 0.0 && values["inodes_used_percent"] > 0.0);
    }

    #[tokio::test]
    async fn without_a_path_every_metric_carries_it_and_the_root_is_there() {
        let result = run(DiskParams::default()).await;
        let names: Vec<_> = result.metrics.iter().map(|metric| metric.name.as_str()).collect();
        assert!(names.contains(&"used_percent:/"), "{names:?}");
        assert!(
            !names.iter().any(|name| name.ends_with(":/proc") || name.ends_with(":/dev/shm")),
            "{names:?}"
        );
        let none = run(DiskParams { exclude_paths: vec!["/**".to_owned()], ..DiskParams::default() }).await;
        assert_eq!((none.status, none.metrics.len()), (Some(Status::Ok), 0), "{}", none.output);
        let shared =
            run(DiskParams { include_types: vec!["tmpfs".to_owned()], ..DiskParams::default() }).await;
        assert!(
            shared.metrics.iter().any(|metric| metric.name == "used_percent:/dev/shm"),
            "{}",
            shared.output
        );
    }

    #[tokio::test]
    async fn a_missing_path_is_critical() {
        for path in ["/no/such/path", "/etc/passwd/x"] {
            let result = run(at(path)).await;
            assert_eq!(
                (result.status, result.output),
                (Some(Status::Critical), format!("{path} is missing"))
            );
        }
    }

    #[test]
    fn percentages_are_those_of_df() {
        let usage =
            Usage { used: 90.0, free: 5.0, total: 100.0, ..Usage::of(&rustix::fs::statvfs("/").unwrap()) };
        assert_eq!(usage.to_metrics(Some("/var"))[0].name, "used_percent:/var");
        let df = std::process::Command::new("df").args(["--output=pcent", "/"]).output().unwrap();
        let text = String::from_utf8(df.stdout).unwrap();
        let theirs: f64 = text.lines().nth(1).unwrap().trim().trim_end_matches('%').parse().unwrap();
        let ours = Usage::of(&rustix::fs::statvfs("/").unwrap()).used_percent;
        assert!((ours.ceil() - theirs).abs() <= 1.0, "{ours} {theirs}");
    }

    #[tokio::test]
    async fn a_read_only_file_system_is_critical_when_it_must_be_writable() {
        let usage = Usage::of(&rustix::fs::statvfs("/proc").unwrap());
        assert!(!usage.read_only);
        let Some(read_only) = read_only_mount() else { return };
        let result = run(DiskParams { writable: true, ..at(&read_only) }).await;
        assert_eq!(result.status, Some(Status::Critical), "{}", result.output);
        assert_eq!(run(at(&read_only)).await.status, None);
    }

    fn read_only_mount() -> Option<String> {
        let text = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let line = text.lines().find(|line| line.split(' ').nth(3).unwrap().split(',').any(|o| o == "ro"))?;
        Some(line.split(' ').nth(1).unwrap().to_owned())
    }
}
