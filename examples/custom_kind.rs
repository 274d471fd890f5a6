//! How do I give operators a kind of check of my own? Typed parameters, a constructor, and one line to register it in
//! the agent that runs it and in the server that validates its parameters.
//!
//! `cargo run -p vilicus-examples --example custom_kind` builds such a check by its parameters and runs it once.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::path::PathBuf;
use std::sync::Arc;

use vilicus_agent::checks::{StockOptions, stock_kinds};
use vilicus_core::kind::MetricDescription;
use vilicus_core::{
    Check, CheckContext, CheckKind, CheckResult, Metric, Millis, ParamsError, Timestamp, async_trait,
};

/// Counts the files in a spool directory.
#[derive(Debug)]
struct Spool {
    path: PathBuf,
}

#[async_trait]
impl Check for Spool {
    async fn run(&self, _cx: &CheckContext) -> CheckResult {
        let path = self.path.clone();
        // A file system may hang: it must not hold up the other checks.
        let counted = tokio::task::spawn_blocking(move || std::fs::read_dir(path).map(Iterator::count)).await;
        match counted {
            Ok(Ok(files)) => CheckResult::measured(format!("{files} files in {}", self.path.display()))
                .metric(Metric::new("files", files as f64)),
            Ok(Err(error)) => CheckResult::critical(format!("cannot read {}: {error}", self.path.display())),
            Err(error) => CheckResult::unknown(format!("cannot look: {error}")),
        }
    }
}

/// What operators write to make such a check.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct SpoolParams {
    /// The directory whose files are counted; an absolute path.
    path: PathBuf,
}

#[derive(Debug)]
struct SpoolKind;

impl CheckKind for SpoolKind {
    type Params = SpoolParams;

    fn name(&self) -> &'static str {
        "spool"
    }

    fn description(&self) -> &'static str {
        "how many files wait in a directory"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        &[MetricDescription { name: "files", unit: "", description: "entries of the directory" }]
    }

    fn build(&self, params: SpoolParams) -> Result<Arc<dyn Check>, ParamsError> {
        if !params.path.is_absolute() {
            return Err(ParamsError::new("path", "the path must be absolute, as /var/spool/mail"));
        }
        Ok(Arc::new(Spool { path: params.path }))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The stock kinds and ours: what `Agent::builder().kinds(…)` and `Server::builder().kinds(…)` take.
    let kinds = stock_kinds(StockOptions::default()).with(SpoolKind);

    let check = kinds.build("spool", &serde_json::json!({ "path": std::env::temp_dir() }))?;
    let result = check.run(&CheckContext::new("spool", Millis::from_secs(10), Timestamp::EPOCH)).await;
    println!("{}", result.output);

    if let Err(refused) = kinds.build("spool", &serde_json::json!({ "pth": "/tmp" })) {
        println!("{refused}");
    }
    Ok(())
}
