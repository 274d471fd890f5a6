//! What the benches share. Each bench says what it is held against: one physical limit a file.
//!
//! The micro-benches ([`measure`]) print the cost of one operation. The load generator and the comparison with other
//! systems drive whole servers: a [`fleet`] of agents whose [`body`] after body goes over a kept-alive
//! [`connection`], as [`drive`] paces them; meanwhile [`process`] and [`disk`] tell what that costs the server.
//!
//! Figures of one run on one machine are noisy; compare ratios of the same run.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

pub mod alarm;
pub mod body;
pub mod clock;
pub mod connection;
pub mod disk;
pub mod drive;
pub mod fleet;
pub mod latency;
pub mod ledger;
pub mod nginx;
pub mod pace;
pub mod process;
pub mod reporter;
pub mod server;
pub mod spawn;
pub mod store;
pub mod usage;
pub mod webhook;

/// What can go wrong in a bench ends it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the operation so many times after a tenth of them for warming up, and prints what one costs.
pub fn measure(name: &str, operations: u64, mut operation: impl FnMut(u64)) {
    let warming = operations / 10;
    (0..warming).for_each(&mut operation);
    let start = clock::now();
    (warming..warming + operations).for_each(&mut operation);
    let nanoseconds = start.elapsed().as_nanos() as f64 / operations as f64;
    println!("{name:<40} {nanoseconds:>10.1} ns");
}
