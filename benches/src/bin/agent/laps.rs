//! The same thing over and over: how often, and what each costs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use vilicus_agent::checks::{CommandPolicy, StockOptions, stock_kinds};
use vilicus_benches::process::cpu_seconds_with_ended;
use vilicus_benches::{Failure, clock};
use vilicus_core::{Check, CheckContext, Millis, Status, Timestamp};

/// How often something was done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Laps {
    pub(crate) count: u64,
    pub(crate) took: Duration,
    pub(crate) cpu_seconds: f64,
}

impl Laps {
    /// How often in a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }

    /// The processor time of each, in milliseconds.
    pub(crate) fn cpu_each(&self) -> f64 {
        self.cpu_seconds * 1e3 / self.count as f64
    }
}

impl fmt::Display for Laps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} | {:.3}", self.per_second(), self.cpu_each())
    }
}

/// Does something over and over for so long, in this process and its children.
pub(crate) fn laps(span: Duration, mut lap: impl FnMut() -> Result<(), Failure>) -> Result<Laps, Failure> {
    let own = std::process::id();
    let (begin, cpu) = (clock::now(), cpu_seconds_with_ended(own)?);
    let mut count = 0;
    while begin.elapsed() < span {
        lap()?;
        count += 1;
    }
    Ok(Laps { count, took: begin.elapsed(), cpu_seconds: cpu_seconds_with_ended(own)? - cpu })
}

/// A check of a stock kind; commands may be those that are run here.
pub(crate) fn check(kind: &str, params: &Value) -> Result<Arc<dyn Check>, Failure> {
    let command = CommandPolicy::new(&["/bin/true".to_owned()], None, &[])?;
    Ok(stock_kinds(StockOptions { command, ..StockOptions::default() }).build(kind, params)?)
}

/// Runs a check over and over, so many runs at a time, on one thread. Each must be OK.
pub(crate) fn runs(check: &Arc<dyn Check>, at_a_time: usize, span: Duration) -> Result<Laps, Failure> {
    let own = std::process::id();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The first run takes its time: there is nothing yet to compare with.
    runtime.block_on(once(check))?;
    let (begin, cpu) = (clock::now(), cpu_seconds_with_ended(own)?);
    let count = runtime.block_on(async {
        let mut lanes = tokio::task::JoinSet::new();
        for _ in 0..at_a_time {
            let check = Arc::clone(check);
            lanes.spawn(async move {
                let mut count = 0;
                while begin.elapsed() < span {
                    once(&check).await?;
                    count += 1;
                }
                Ok::<u64, Failure>(count)
            });
        }
        let mut all = 0;
        while let Some(lane) = lanes.join_next().await {
            all += lane??;
        }
        Ok::<u64, Failure>(all)
    })?;
    Ok(Laps { count, took: begin.elapsed(), cpu_seconds: cpu_seconds_with_ended(own)? - cpu })
}

async fn once(check: &Arc<dyn Check>) -> Result<(), Failure> {
    let result = check.run(&CheckContext::new("bench", Millis::from_secs(10), Timestamp::EPOCH)).await;
    match result.status {
        None | Some(Status::Ok) => Ok(()),
        Some(status) => Err(format!("{status}: {}", result.output).into()),
    }
}
