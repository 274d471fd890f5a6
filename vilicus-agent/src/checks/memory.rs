//! The `memory` kind: how much of the main memory is in use.
//!
//! *Used* is what could not be given to a new program: total − available. The page cache counts as available.

use std::sync::Arc;

use vilicus_core::kind::MetricDescription;
use vilicus_core::{Check, CheckContext, CheckKind, CheckResult, Metric, ParamsError, async_trait};

use super::proc_file::{self, ProcError, number_after};
use super::{NoParams, cannot_tell, describe, quantity};

pub(super) const MEMINFO: &str = "/proc/meminfo";

/// The `memory` kind.
#[derive(Debug, Clone, Copy)]
pub struct MemoryKind;

impl CheckKind for MemoryKind {
    type Params = NoParams;

    fn name(&self) -> &'static str {
        "memory"
    }

    fn description(&self) -> &'static str {
        "how much of the main memory is in use"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        const {
            &[
                describe("used_percent", "%", "share of the memory that is not available to programs"),
                describe("used_bytes", "B", "memory that is not available to programs"),
                describe("available_bytes", "B", "memory that programs could get, the page cache included"),
                describe("total_bytes", "B", "all memory"),
            ]
        }
    }

    fn build(&self, _params: NoParams) -> Result<Arc<dyn Check>, ParamsError> {
        Ok(Arc::new(Memory))
    }
}

#[derive(Debug)]
struct Memory;

#[async_trait]
impl Check for Memory {
    async fn run(&self, _cx: &CheckContext) -> CheckResult {
        match proc_file::read(MEMINFO).and_then(|text| parse(&text)) {
            Ok((total, available)) => report(total, available),
            Err(error) => cannot_tell(&error),
        }
    }
}

fn report(total: f64, available: f64) -> CheckResult {
    let used = (total - available).max(0.0);
    let percent = quantity::percent(used, total);
    let available_text = quantity::bytes(available);
    CheckResult::measured(format!("memory {percent:.1} % used, {available_text} available"))
        .metric(Metric::percent("used_percent", percent))
        .metric(Metric::bytes("used_bytes", used).bounds(Some(0.0), Some(total)))
        .metric(Metric::bytes("available_bytes", available).bounds(Some(0.0), Some(total)))
        .metric(Metric::bytes("total_bytes", total))
}

/// All memory and what is available of it, in bytes.
fn parse(text: &str) -> Result<(f64, f64), ProcError> {
    let kibibytes = |word: &str| number_after(text, word).map(|number| number as f64 * 1024.0);
    let total = kibibytes("MemTotal").ok_or_else(|| ProcError::lacks(MEMINFO, "MemTotal"))?;
    // Kernels before 3.14 do not estimate what is available.
    let estimate = || Some(kibibytes("MemFree")? + kibibytes("Buffers")? + kibibytes("Cached")?);
    let available = kibibytes("MemAvailable").or_else(estimate);
    Ok((total, available.ok_or_else(|| ProcError::lacks(MEMINFO, "MemAvailable"))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::context;

    #[tokio::test]
    async fn it_agrees_with_another_reader_of_the_same_host() {
        let result = Memory.run(&context(10)).await;
        let mut other = sysinfo::System::new().unwrap();
        other.refresh_memory();
        let value = |name: &str| result.metrics.iter().find(|metric| metric.name == name).unwrap().value;
        assert_eq!(value("total_bytes"), other.total_memory() as f64);
        let tolerance = value("total_bytes") * 0.05;
        assert!((value("used_bytes") - other.used_memory() as f64).abs() < tolerance, "{}", result.output);
        assert!((value("available_bytes") - other.available_memory() as f64).abs() < tolerance);
    }

    #[test]
    fn an_old_kernel_has_an_estimate() {
        let text = "MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 20 kB\nCached: 30 kB\nSwapCached: 5 kB\n";
        assert_eq!(parse(text).unwrap(), (102_400.0, 61_440.0));
        assert!(parse("MemFree: 1 kB\n").is_err());
    }
}
