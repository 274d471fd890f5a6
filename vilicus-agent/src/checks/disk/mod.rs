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
                if self.is_wrongly_read_only(&usage) {
                    result = CheckResult::critical(format!("{path} is mounted read-only"));
                }
                result.metrics.extend(usage.to_metrics(None));
                result
            }
            Err(trouble) => CheckResult::new(trouble.status(), trouble.to_line(path, cx)),
        }
    }

    async fn all(&self, mount_points: &[String], cx: &CheckContext) -> CheckResult {
        let looks = mount_points.iter().map(|path| async move { (path, self.look(path, cx).await) });
        let mut result = CheckResult::default();
        let (mut problems, mut lines) = (Vec::new(), Vec::new());
        for (path, look) in join_all(looks).await {
            match look {
                Ok(usage) => {
                    if self.is_wrongly_read_only(&usage) {
                        problems.push((Status::Critical, format!("{path} is mounted read-only")));
                    }
                    result.metrics.extend(usage.to_metrics(Some(path)));
                    lines.push((usage.used_percent, format!("{path} {}", usage.to_line())));
                }
                Err(trouble) => problems.push((trouble.status(), trouble.to_line(path, cx))),
            }
        }
        result.status = problems.iter().map(|(status, _)| *status).max();
        result.output = joined(&problems, ", ");
        result.long_output = joined(&lines, "\n");
        if problems.is_empty() {
            result.output = fullest(&lines);
            // A container may have no file system of its own, which is no mistake.
            result.status = lines.is_empty().then_some(Status::Ok);
        }
        result
    }

    fn is_wrongly_read_only(&self, usage: &Usage) -> bool {
        self.writable && usage.read_only
    }

    async fn look(&self, path: &str, cx: &CheckContext) -> Result<Usage, Trouble> {
        let owned = path.to_owned();
        let call = self.places.call(path, cx.timeout.into(), move || rustix::fs::statvfs(owned));
        let stat = call.await.map_err(|_| Trouble::DidNotAnswer)?;
        stat.map(|stat| Usage::of(&stat)).map_err(|error| Trouble::Io(error.into()))
    }
}

fn joined<T>(lines: &[(T, String)], separator: &str) -> String {
    lines.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join(separator)
}

/// The line for several file systems that all answered: the fullest is what people want to know.
fn fullest(lines: &[(f64, String)]) -> String {
    let fullest = lines.iter().max_by(|(one, _), (other, _)| one.total_cmp(other));
    match (lines.len(), fullest) {
        (_, None) => "no real file system is mounted".to_owned(),
        (1, Some((_, only))) => format!("disk {only}"),
        (count, Some((_, fullest))) => format!("{count} file systems, fullest is {fullest}"),
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

    #[test]
    fn only_a_check_that_wants_to_write_minds_a_read_only_file_system() {
        let usage = Usage::of(&rustix::fs::statvfs("/proc").unwrap());
        for (writable, read_only, wrong) in [(true, true, true), (true, false, false), (false, true, false)] {
            let check = Disk { target: Target::Path("/".to_owned()), writable, places: Places::default() };
            assert_eq!(check.is_wrongly_read_only(&Usage { read_only, ..usage.clone() }), wrong);
        }
    }

    #[test]
    fn the_fullest_of_several_is_named() {
        let line = |percent, name: &str| (percent, format!("{name} {percent:.1} % used"));
        for (lines, text) in [
            (vec![], "no real file system is mounted"),
            (vec![line(5.0, "/")], "disk / 5.0 % used"),
            (vec![line(5.0, "/"), line(50.0, "/var")], "2 file systems, fullest is /var 50.0 % used"),
        ] {
            assert_eq!(fullest(&lines), text);
        }
    }
}
