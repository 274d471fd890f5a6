//! The `load` kind: how many tasks run or wait to run, as averages over 1, 5 and 15 minutes.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use vilicus_core::kind::MetricDescription;
use vilicus_core::{Check, CheckContext, CheckKind, CheckResult, Metric, ParamsError, async_trait};

use super::proc_file::{self, ProcError};
use super::{cannot_tell, cpu, describe, quantity};

const NAMES: [&str; 3] = ["load1", "load5", "load15"];

/// What a `load` check looks at.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct LoadParams {
    /// Divide by the number of CPU cores, so that 1 means fully busy on any host.
    #[serde(default)]
    per_core: bool,
}

/// The `load` kind.
#[derive(Debug, Clone, Copy)]
pub struct LoadKind;

impl CheckKind for LoadKind {
    type Params = LoadParams;

    fn name(&self) -> &'static str {
        "load"
    }

    fn description(&self) -> &'static str {
        "how many tasks run or wait to run"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        const {
            &[
                describe("load1", "", "average of the last minute"),
                describe("load5", "", "average of the last 5 minutes"),
                describe("load15", "", "average of the last 15 minutes"),
            ]
        }
    }

    fn build(&self, params: LoadParams) -> Result<Arc<dyn Check>, ParamsError> {
        Ok(Arc::new(Load { per_core: params.per_core }))
    }
}

#[derive(Debug)]
struct Load {
    per_core: bool,
}

#[async_trait]
impl Check for Load {
    async fn run(&self, _cx: &CheckContext) -> CheckResult {
        self.measure().unwrap_or_else(|error| cannot_tell(&error))
    }
}

impl Load {
    fn measure(&self) -> Result<CheckResult, ProcError> {
        let cores = if self.per_core { cpu::core_count()? } else { 1 };
        let loads = read()?.map(|load| quantity::rounded(load / cores as f64, 3));
        let per_core = if self.per_core { " per core" } else { "" };
        let [one, five, fifteen] = loads;
        let result = CheckResult::measured(format!("load{per_core} {one:.2}, {five:.2}, {fifteen:.2}"));
        Ok(NAMES.into_iter().zip(loads).fold(result, |result, (name, load)| {
            result.metric(Metric::new(name, load).bounds(Some(0.0), None))
        }))
    }
}

fn read() -> Result<[f64; 3], ProcError> {
    const PATH: &str = "/proc/loadavg";
    let text = proc_file::read(PATH)?;
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    match [numbers.next(), numbers.next(), numbers.next()] {
        [Some(one), Some(five), Some(fifteen)] => Ok([one, five, fifteen]),
        _ => Err(ProcError::lacks(PATH, "three numbers")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel renews the figures every 5 s, perhaps between two readings; it will not do so ten times.
    fn agree(one: impl Fn() -> Vec<f64>, other: impl Fn() -> Vec<f64>) {
        let same = || one().iter().zip(other()).all(|(one, other)| (one - other).abs() < 0.011);
        assert!((0..10).any(|_| same()), "{:?} {:?}", one(), other());
    }

    fn measure(per_core: bool) -> Vec<f64> {
        Load { per_core }.measure().unwrap().metrics.iter().map(|metric| metric.value).collect()
    }

    #[test]
    fn it_agrees_with_another_reader_of_the_same_host() {
        agree(
            || measure(false),
            || {
                let other = sysinfo::System::load_average().unwrap();
                vec![other.one, other.five, other.fifteen]
            },
        );
    }

    #[test]
    fn per_core_divides_by_the_number_of_cores() {
        let cores = cpu::core_count().unwrap() as f64;
        agree(|| measure(false), || measure(true).iter().map(|load| load * cores).collect());
    }
}
