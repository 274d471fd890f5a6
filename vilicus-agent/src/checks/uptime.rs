//! The `uptime` kind: how long ago the host was started.

use std::sync::Arc;

use vilicus_core::kind::MetricDescription;
use vilicus_core::{Check, CheckContext, CheckKind, CheckResult, Metric, Millis, ParamsError, async_trait};

use super::proc_file::{self, ProcError};
use super::{NoParams, cannot_tell, describe};

/// The `uptime` kind.
#[derive(Debug, Clone, Copy)]
pub struct UptimeKind;

impl CheckKind for UptimeKind {
    type Params = NoParams;

    fn name(&self) -> &'static str {
        "uptime"
    }

    fn description(&self) -> &'static str {
        "how long ago the host was started"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        const { &[describe("uptime_seconds", "s", "time since the host was started, its sleep included")] }
    }

    fn build(&self, _params: NoParams) -> Result<Arc<dyn Check>, ParamsError> {
        Ok(Arc::new(Uptime))
    }
}

#[derive(Debug)]
struct Uptime;

#[async_trait]
impl Check for Uptime {
    async fn run(&self, _cx: &CheckContext) -> CheckResult {
        match seconds_up() {
            Ok(seconds) => CheckResult::measured(format!("up {}", Millis::from_secs(seconds as u64)))
                .metric(Metric::seconds("uptime_seconds", seconds)),
            Err(error) => cannot_tell(&error),
        }
    }
}

/// Seconds since the host was started.
pub(super) fn seconds_up() -> Result<f64, ProcError> {
    const PATH: &str = "/proc/uptime";
    let text = proc_file::read(PATH)?;
    let seconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    seconds.ok_or_else(|| ProcError::lacks(PATH, "number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::context;

    #[tokio::test]
    async fn it_agrees_with_another_reader_of_the_same_host() {
        let result = Uptime.run(&context(10)).await;
        let other = sysinfo::System::uptime().unwrap() as f64;
        assert!((result.metrics[0].value - other).abs() < 2.0, "{} {other}", result.output);
        assert_eq!(result.status, None);
    }
}
