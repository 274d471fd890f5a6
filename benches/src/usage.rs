//! What happened to the machine between two moments: what the server, and the generator, spent.

use serde::Serialize;

use crate::drive::Measured;
use crate::process::{Memory, cpu_seconds, memory};
use crate::{Failure, disk};

/// What was spent up to a moment.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    server: Option<f64>,
    own: f64,
    written: u64,
}

/// What was spent between two moments.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Usage {
    /// The processor time of the server, in seconds.
    pub server_cpu_s: Option<f64>,
    /// That of this process.
    pub own_cpu_s: f64,
    /// The bytes that were written to all disks.
    pub disk_bytes: u64,
    /// The memory of the server at the end.
    pub memory: Option<Memory>,
}

impl Reading {
    /// What was spent up to now, by the server with this process id if one is given.
    ///
    /// # Errors
    /// There is no such process.
    pub fn take(server: Option<u32>) -> Result<Self, Failure> {
        Ok(Self {
            server: server.map(cpu_seconds).transpose()?,
            own: cpu_seconds(std::process::id())?,
            written: disk::bytes_written()?,
        })
    }

    /// What was spent from this moment to a later one.
    ///
    /// # Errors
    /// The server has ended.
    pub fn until(&self, later: &Self, server: Option<u32>) -> Result<Usage, Failure> {
        Ok(Usage {
            server_cpu_s: self.server.zip(later.server).map(|(before, after)| after - before),
            own_cpu_s: later.own - self.own,
            disk_bytes: later.written.saturating_sub(self.written),
            memory: server.map(memory).transpose()?,
        })
    }
}

/// What a load came to, in the figures that systems are compared by.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Results a second.
    pub per_second: f64,
    /// The processor time of the server for a million results, in seconds.
    pub cpu_s_per_million: f64,
    /// The bytes that were written to all disks for a result.
    pub bytes_per_result: f64,
    /// The 99th percentile of an answer, in milliseconds.
    pub p99_ms: f64,
}

/// Drives a server, and watches what its process spends meanwhile.
///
/// # Errors
/// The server ended, or refused something: then the figures would be no measure.
pub fn watched(
    server: u32,
    load: impl FnOnce(&mut dyn FnMut() -> Result<(), Failure>) -> Result<Measured, Failure>,
) -> Result<Cost, Failure> {
    let mut readings = Vec::with_capacity(2);
    let measured = load(&mut || {
        readings.push(Reading::take(Some(server))?);
        Ok(())
    })?;
    measured.untroubled()?;
    let [before, after] = readings[..] else { return Err("the run was not marked twice".into()) };
    let usage = before.until(&after, Some(server))?;
    let results = measured.results as f64;
    Ok(Cost {
        per_second: measured.per_second(),
        cpu_s_per_million: usage.server_cpu_s.unwrap_or_default() * 1e6 / results,
        bytes_per_result: usage.disk_bytes as f64 / results,
        p99_ms: measured.latencies.summary().p99_ms,
    })
}
