//! Forgetting: whole partitions go when all that they hold is too old.

use vilicus_core::Timestamp;

use crate::embedded::{Options, period};
use crate::engine::{Engine, EngineError};

/// Drops the partitions that hold nothing but what is too old.
pub(crate) fn drop_old(engine: &dyn Engine, options: &Options, now: Timestamp) -> Result<(), EngineError> {
    for partition in engine.partitions()? {
        let keep = match partition.split('-').next() {
            Some("history") => options.keep_results,
            Some("rollup" | "event" | "notification") => options.keep_rollups,
            _ => continue,
        };
        if period::is_over(&partition, now, keep) {
            tracing::info!(partition, "history that is too old is dropped");
            engine.drop_partition(&partition)?;
        }
    }
    Ok(())
}
