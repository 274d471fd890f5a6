//! The `cpu` kind: what the CPU was busy with since the last run.
//!
//! *Usage* is everything but idle and waiting for I/O; what the hypervisor took (`steal`) counts as used.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use vilicus_core::kind::MetricDescription;
use vilicus_core::{Check, CheckContext, CheckKind, CheckResult, Metric, ParamsError, async_trait};

use super::proc_file::{self, ProcError};
use super::since::{Since, Step};
use super::{cannot_tell, describe, quantity};

const STAT: &str = "/proc/stat";

/// What a `cpu` check looks at.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct CpuParams {
    /// Report the usage of each core too, as `usage:cpu0`.
    #[serde(default)]
    per_core: bool,
}

/// The `cpu` kind.
#[derive(Debug, Clone, Copy)]
pub struct CpuKind;

impl CheckKind for CpuKind {
    type Params = CpuParams;

    fn name(&self) -> &'static str {
        "cpu"
    }

    fn description(&self) -> &'static str {
        "what the CPU was busy with since the last run"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        const {
            &[
                describe("usage", "%", "all but idle and iowait, of all cores together"),
                describe("user", "%", "programs, niced ones included"),
                describe("system", "%", "the kernel, interrupts included"),
                describe("iowait", "%", "idle while waiting for disks"),
                describe("steal", "%", "taken by the hypervisor for other guests"),
                describe("idle", "%", "idle"),
            ]
        }
    }

    fn build(&self, params: CpuParams) -> Result<Arc<dyn Check>, ParamsError> {
        Ok(Arc::new(Cpu { per_core: params.per_core, since: Since::new() }))
    }
}

#[derive(Debug)]
struct Cpu {
    per_core: bool,
    since: Since<Vec<Core>>,
}

#[async_trait]
impl Check for Cpu {
    async fn run(&self, cx: &CheckContext) -> CheckResult {
        match self.since.step(cx.timeout, read).await {
            Ok(step) => self.report(&step),
            Err(error) => cannot_tell(&error),
        }
    }
}

impl Cpu {
    fn report(&self, step: &Step<Vec<Core>>) -> CheckResult {
        let mut result = CheckResult::default();
        for core in &step.after {
            // A core that came online in between has no usage yet.
            let Some(before) = step.before.iter().find(|before| before.name == core.name) else { continue };
            let share = shares(&before.times, &core.times);
            if core.name == "cpu" {
                result.output = share.to_line();
                result.metrics = share.to_metrics();
            } else if self.per_core {
                result.metrics.push(Metric::percent(format!("usage:{}", core.name), share.usage()));
            }
        }
        result
    }
}

/// One line of `/proc/stat`: `cpu` is all cores together, `cpu0` the first.
#[derive(Debug, Clone, PartialEq)]
struct Core {
    name: String,
    times: Times<u64>,
}

/// Time by what it was spent on: ticks since the start of the host, or percent of a span.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Times<T> {
    user: T,
    system: T,
    iowait: T,
    steal: T,
    idle: T,
}

impl Times<f64> {
    fn usage(&self) -> f64 {
        (100.0 - self.idle - self.iowait).clamp(0.0, 100.0)
    }

    fn to_line(self) -> String {
        let Self { user, system, iowait, steal, .. } = self;
        let usage = self.usage();
        format!(
            "CPU {usage:.1} % used (user {user:.1}, system {system:.1}, iowait {iowait:.1}, steal {steal:.1})"
        )
    }

    fn to_metrics(self) -> Vec<Metric> {
        let Self { user, system, iowait, steal, idle } = self;
        let names = ["usage", "user", "system", "iowait", "steal", "idle"];
        let values = [self.usage(), user, system, iowait, steal, idle];
        names.into_iter().zip(values).map(|(name, value)| Metric::percent(name, value)).collect()
    }
}

/// What share of the span went where. Idle and iowait may run backwards a little; that counts as nothing.
fn shares(before: &Times<u64>, after: &Times<u64>) -> Times<f64> {
    let spent = |time: fn(&Times<u64>) -> u64| time(after).saturating_sub(time(before)) as f64;
    let user = spent(|times| times.user);
    let system = spent(|times| times.system);
    let iowait = spent(|times| times.iowait);
    let steal = spent(|times| times.steal);
    let idle = spent(|times| times.idle);
    let total = user + system + iowait + steal + idle;
    if total == 0.0 {
        return Times { idle: 100.0, ..Times::default() };
    }
    let share = |ticks| quantity::percent(ticks, total);
    Times {
        user: share(user),
        system: share(system),
        iowait: share(iowait),
        steal: share(steal),
        idle: share(idle),
    }
}

/// How many cores are online.
pub(super) fn core_count() -> Result<usize, ProcError> {
    Ok(read()?.len().saturating_sub(1).max(1))
}

fn read() -> Result<Vec<Core>, ProcError> {
    let cores = parse(&proc_file::read(STAT)?);
    if cores.iter().any(|core| core.name == "cpu") {
        Ok(cores)
    } else {
        Err(ProcError::lacks(STAT, "line 'cpu'"))
    }
}

fn parse(text: &str) -> Vec<Core> {
    let lines = text.lines().filter(|line| line.starts_with("cpu"));
    lines.filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Core> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    // user nice system idle iowait irq softirq steal; what follows (guest) is counted in user already.
    let ticks: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
    let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
    ticks.get(3)?;
    let times = Times {
        user: at(0) + at(1),
        system: at(2) + at(5) + at(6),
        iowait: at(4),
        steal: at(7),
        idle: at(3),
    };
    Some(Core { name, times })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::context;

    const EARLIER: &str = "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 100 0 50 800 50 0 0 0 0 0\nintr 5\n";
    const LATER: &str = "cpu  120 10 55 850 55 3 2 5 9 9\ncpu0 190 0 60 800 50 0 0 0 0 0\ncpu1 1 1 1 1\n";

    #[test]
    fn shares_are_percent_of_the_span() {
        let check = Cpu { per_core: true, since: Since::new() };
        let result = check.report(&Step { before: parse(EARLIER), after: parse(LATER), seconds: 1.0 });
        let values: Vec<_> =
            result.metrics.iter().map(|metric| (metric.name.as_str(), metric.value)).collect();
        let expected = [
            ("usage", 45.0),
            ("user", 30.0),
            ("system", 10.0),
            ("iowait", 5.0),
            ("steal", 5.0),
            ("idle", 50.0),
            ("usage:cpu0", 100.0),
        ];
        assert_eq!(values, expected);
        assert_eq!(result.output, "CPU 45.0 % used (user 30.0, system 10.0, iowait 5.0, steal 5.0)");
    }

    #[test]
    fn counters_that_stand_still_or_run_backwards_are_idle() {
        let now = parse(LATER)[0].times;
        assert_eq!(shares(&now, &now).idle, 100.0);
        let back = Times { idle: now.idle - 10, user: now.user + 10, ..now };
        assert_eq!(shares(&now, &back).user, 100.0);
    }

    #[tokio::test]
    async fn it_agrees_with_another_reader_of_the_same_host() {
        let mut other = sysinfo::System::new().unwrap();
        other.refresh_cpu_usage();
        let check = CpuKind.build(CpuParams { per_core: true }).unwrap();
        let result = check.run(&context(10)).await;
        other.refresh_cpu_usage();
        let usage = result.metrics[0].value;
        assert!((usage - f64::from(other.global_cpu_usage())).abs() < 25.0, "{}", result.output);
        assert_eq!(result.metrics.len(), 6 + other.cpus().len());
        let sum: f64 = result.metrics[1..6].iter().map(|metric| metric.value).sum();
        assert!((sum - 100.0).abs() < 0.1, "{sum}");
    }
}
