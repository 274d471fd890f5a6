//! The stock check kinds: what an agent can look at without anybody writing code.
//!
//! One file or folder a kind, all in the same order: parameters, kind, the one method, reading, tests. A kind
//! measures; judging numbers is left to the check's thresholds, so most results here have no status of their
//! own. Names of parameters and metrics are a contract (`docs/checks.md`).
//!
//! The figures of the host come from `/proc`; where there is none, such a check is UNKNOWN and says so.
//! Nothing here reads the wall clock or keeps state outside of the check that runs.

mod accounts;
mod blocking;
pub mod command;
mod connection;
pub mod cpu;
pub mod disk;
mod glob;
pub mod http;
pub mod load;
pub mod memory;
pub mod network;
mod proc_file;
pub mod process;
mod quantity;
mod reach;
mod since;
pub mod swap;
pub mod tcp;
mod tls;
pub mod uptime;

use schemars::JsonSchema;
use serde::Deserialize;
use vilicus_core::kind::MetricDescription;
use vilicus_core::{CheckResult, KindRegistry};

pub use command::CommandKind;
pub use command::policy::{CommandPolicy, CommandPolicyError};
pub use cpu::CpuKind;
pub use disk::DiskKind;
pub use http::HttpKind;
pub use load::LoadKind;
pub use memory::MemoryKind;
pub use network::NetworkKind;
pub use process::ProcessKind;
pub use reach::Reach;
pub use swap::SwapKind;
pub use tcp::TcpKind;
pub use uptime::UptimeKind;

/// What the stock kinds are told by the host that they run on.
///
/// ```
/// use vilicus_agent::checks::{CommandPolicy, StockOptions, stock_kinds};
///
/// let allow = ["/usr/lib/nagios/plugins/*".to_owned()];
/// let kinds = stock_kinds(StockOptions {
///     command: CommandPolicy::new(&allow, None, &[])?,
///     ..StockOptions::default()
/// });
/// assert!(kinds.contains("disk"));
/// # Ok::<(), vilicus_agent::checks::CommandPolicyError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct StockOptions {
    /// Which programs `command` checks may run, and how. By default none.
    pub command: CommandPolicy,
    /// Which addresses `tcp` and `http` checks may connect to. By default all.
    pub reach: Reach,
}

/// All stock kinds.
#[must_use]
pub fn stock_kinds(options: StockOptions) -> KindRegistry {
    KindRegistry::new()
        .with(CommandKind::new(options.command))
        .with(CpuKind)
        .with(DiskKind::default())
        .with(HttpKind::new(options.reach.clone()))
        .with(LoadKind)
        .with(MemoryKind)
        .with(NetworkKind)
        .with(ProcessKind)
        .with(SwapKind)
        .with(TcpKind::new(options.reach))
        .with(UptimeKind)
}

/// No parameters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
// A schema without properties would let unknown ones pass.
#[schemars(extend("properties" = {}))]
pub struct NoParams {}

/// One line of a kind's table of metrics.
const fn describe(name: &'static str, unit: &'static str, description: &'static str) -> MetricDescription {
    MetricDescription { name, unit, description }
}

/// What cannot be measured is UNKNOWN, with the error and its causes.
fn cannot_tell(error: &(dyn std::error::Error + 'static)) -> CheckResult {
    CheckResult::unknown(vilicus_core::result::error_chain(error))
}

/// A metric's name, with the thing that it belongs to when the check names none.
fn metric_name(metric: &str, thing: Option<&str>) -> String {
    thing.map_or_else(|| metric.to_owned(), |thing| format!("{metric}:{thing}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use vilicus_core::kind::BuildError;
    use vilicus_core::{CheckContext, Millis, Timestamp};

    /// The context of a test's run.
    pub(crate) fn context(seconds: u64) -> CheckContext {
        CheckContext::new("test", Millis::from_secs(seconds), Timestamp::from_millis(1_795_000_000_000))
    }

    #[test]
    fn every_kind_has_a_schema_with_described_parameters() {
        let kinds = stock_kinds(StockOptions::default());
        let expected = [
            "command", "cpu", "disk", "http", "load", "memory", "network", "process", "swap", "tcp", "uptime",
        ];
        assert_eq!(kinds.names().collect::<Vec<_>>(), expected);
        for name in expected {
            let kind = kinds.describe(name).unwrap();
            assert!(!kind.description.is_empty());
            let properties = kind.params_schema["properties"].as_object().cloned().unwrap_or_default();
            for (parameter, schema) in properties {
                assert!(schema["description"].is_string(), "{name}.{parameter} has no description");
            }
        }
    }

    #[test]
    fn every_kind_has_a_page_that_names_each_parameter_and_metric() {
        let kinds = stock_kinds(StockOptions::default());
        for name in kinds.names() {
            let path = format!("{}/../docs/checks/{name}.md", env!("CARGO_MANIFEST_DIR"));
            let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let kind = kinds.describe(name).unwrap();
            let parameters = kind.params_schema["properties"].as_object().cloned().unwrap_or_default();
            let metrics = kind.metrics.iter().map(|metric| metric.name.to_owned());
            for word in parameters.into_iter().map(|(parameter, _)| parameter).chain(metrics) {
                assert!(page.contains(&format!("`{word}`")), "{path} does not name {word}");
            }
        }
    }

    #[test]
    fn a_misspelled_parameter_is_refused_with_the_nearest_name() {
        let kinds = stock_kinds(StockOptions::default());
        for (kind, params, words) in [
            ("disk", json!({"paht": "/"}), "did you mean 'path'"),
            ("memory", json!({"x": 1}), "unknown parameter 'x'"),
            ("http", json!({}), "'url' is missing"),
            ("tcp", json!({"host": "a", "port": 0}), "port"),
        ] {
            let Err(BuildError::Params(error)) = kinds.build(kind, &params) else {
                panic!("{kind} {params}")
            };
            assert!(error.detail.contains(words), "{kind}: {}", error.detail);
        }
    }

    #[tokio::test]
    async fn kinds_without_a_required_parameter_work_without_any() {
        let kinds = stock_kinds(StockOptions::default());
        for kind in ["cpu", "disk", "load", "memory", "network", "process", "swap", "uptime"] {
            let check = kinds.build(kind, &json!({})).unwrap();
            let result = check.run(&context(10)).await;
            assert!(
                !result.status.is_some_and(vilicus_core::Status::is_problem),
                "{kind}: {}",
                result.output
            );
            assert!(!result.metrics.is_empty(), "{kind}");
            let known = kinds.describe(kind).unwrap().metrics;
            for metric in &result.metrics {
                let bare = metric.name.split(':').next().unwrap();
                let described = known.iter().find(|known| known.name == bare);
                let described = described.unwrap_or_else(|| panic!("{kind} does not describe {bare}"));
                assert_eq!(described.unit, metric.unit.as_str(), "{kind} {bare}");
                assert!(metric.value.is_finite());
            }
        }
    }
}
