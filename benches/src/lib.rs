//! One physical limit a file: each bench says what it is held against, and prints the cost of one operation.
//!
//! Figures of one run on one machine are noisy; compare ratios of the same run.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::time::Instant;

/// Runs the operation so many times after a tenth of them for warming up, and prints what one costs.
pub fn measure(name: &str, operations: u64, mut operation: impl FnMut(u64)) {
    let warming = operations / 10;
    (0..warming).for_each(&mut operation);
    let start = Instant::now();
    (warming..warming + operations).for_each(&mut operation);
    let nanoseconds = start.elapsed().as_nanos() as f64 / operations as f64;
    println!("{name:<40} {nanoseconds:>10.1} ns");
}
