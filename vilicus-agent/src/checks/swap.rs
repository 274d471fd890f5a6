//! The `swap` kind: how much swap space is in use, and how fast pages move in and out.

use std::sync::Arc;

use vilicus_core::kind::MetricDescription;
use vilicus_core::{Check, CheckContext, CheckKind, CheckResult, Metric, ParamsError, async_trait};

use super::memory::MEMINFO;
use super::proc_file::{self, ProcError, number_after};
use super::since::{Since, Step};
use super::{NoParams, cannot_tell, describe, quantity, since};

/// The `swap` kind.
#[derive(Debug, Clone, Copy)]
pub struct SwapKind;

impl CheckKind for SwapKind {
    type Params = NoParams;

    fn name(&self) -> &'static str {
        "swap"
    }

    fn description(&self) -> &'static str {
        "how much swap space is in use, and how fast it is read and written"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        const {
            &[
                describe("used_percent", "%", "share of the swap space in use; 0 when there is none"),
                describe("used_bytes", "B", "swap space in use"),
                describe("total_bytes", "B", "all swap space"),
                describe("in_bytes_per_second", "B", "read back into memory, a second"),
                describe("out_bytes_per_second", "B", "written out of memory, a second"),
            ]
        }
    }

    fn build(&self, _params: NoParams) -> Result<Arc<dyn Check>, ParamsError> {
        Ok(Arc::new(Swap { since: Since::new() }))
    }
}

#[derive(Debug)]
struct Swap {
    since: Since<Reading>,
}

#[async_trait]
impl Check for Swap {
    async fn run(&self, cx: &CheckContext) -> CheckResult {
        match self.since.step(cx.timeout, read).await {
            Ok(step) => report(&step),
            Err(error) => cannot_tell(&error),
        }
    }
}

fn report(step: &Step<Reading>) -> CheckResult {
    let Reading { total, used, .. } = step.after;
    let percent = quantity::percent(used, total);
    let page = rustix::param::page_size() as f64;
    let rate = |counter: fn(&Reading) -> u64| {
        since::rate(counter(&step.before), counter(&step.after), step.seconds) * page
    };
    let (pages_in, pages_out) = (rate(|reading| reading.pages_in), rate(|reading| reading.pages_out));
    let output = if total > 0.0 {
        format!("swap {percent:.1} % used of {}", quantity::bytes(total))
    } else {
        "no swap space".to_owned()
    };
    CheckResult::measured(output)
        .metric(Metric::percent("used_percent", percent))
        .metric(Metric::bytes("used_bytes", used).bounds(Some(0.0), Some(total)))
        .metric(Metric::bytes("total_bytes", total))
        .metric(Metric::bytes("in_bytes_per_second", pages_in))
        .metric(Metric::bytes("out_bytes_per_second", pages_out))
}

/// Sizes in bytes, counters in pages since the start of the host.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reading {
    total: f64,
    used: f64,
    pages_in: u64,
    pages_out: u64,
}

fn read() -> Result<Reading, ProcError> {
    parse(&proc_file::read(MEMINFO)?, &proc_file::read("/proc/vmstat")?)
}

fn parse(meminfo: &str, vmstat: &str) -> Result<Reading, ProcError> {
    let kibibytes = |word| number_after(meminfo, word).ok_or_else(|| ProcError::lacks(MEMINFO, word));
    let (total, free) = (kibibytes("SwapTotal")?, kibibytes("SwapFree")?);
    // A kernel built without swap has no such counters, and nothing to count.
    let pages = |word| number_after(vmstat, word).unwrap_or(0);
    Ok(Reading {
        total: total as f64 * 1024.0,
        used: total.saturating_sub(free) as f64 * 1024.0,
        pages_in: pages("pswpin"),
        pages_out: pages("pswpout"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::context;

    #[tokio::test]
    async fn it_agrees_with_another_reader_of_the_same_host() {
        let check = SwapKind.build(NoParams {}).unwrap();
        let result = check.run(&context(10)).await;
        let mut other = sysinfo::System::new().unwrap();
        other.refresh_memory();
        assert_eq!(result.metrics[2].value, other.total_swap() as f64);
        assert!((result.metrics[1].value - other.used_swap() as f64).abs() < 64e6, "{}", result.output);
    }

    #[test]
    fn rates_are_bytes_a_second() {
        let meminfo = "SwapTotal: 1000 kB\nSwapFree: 250 kB\n";
        let reading = |pages_in, pages_out| {
            parse(meminfo, &format!("pswpin {pages_in}\npswpout {pages_out}\n")).unwrap()
        };
        let result = report(&Step { before: reading(100, 5), after: reading(120, 5), seconds: 10.0 });
        let page = rustix::param::page_size() as f64;
        let values: Vec<_> = result.metrics.iter().map(|metric| metric.value).collect();
        assert_eq!(values, [75.0, 768_000.0, 1_024_000.0, 2.0 * page, 0.0]);
    }

    #[test]
    fn a_host_without_swap_is_zero_percent_full() {
        let none = parse("SwapTotal: 0 kB\nSwapFree: 0 kB\n", "").unwrap();
        let result = report(&Step { before: none, after: none, seconds: 1.0 });
        assert_eq!((result.output.as_str(), result.metrics[0].value), ("no swap space", 0.0));
    }
}
