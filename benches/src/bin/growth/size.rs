//! A server of one size, loaded.

use std::path::Path;
use std::thread;
use std::time::Duration;

use vilicus_benches::Failure;
use vilicus_benches::body::{Look, Text};
use vilicus_benches::drive::{Plan, Until, drive};
use vilicus_benches::fleet::{Fleet, Wanted};
use vilicus_benches::process::{cpu_seconds, memory};
use vilicus_benches::reporter::{Form, Reporter, reporters};
use vilicus_benches::server::{TOKENS, Vilicus};
use vilicus_benches::usage::watched;

/// The most connections.
const CONNECTIONS: usize = 64;
/// A server that uses less than this share of a processor for this long has nothing left to do.
const QUIET: f64 = 0.05;
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOK: Look = Look { text: Text::Changing, failing: 0.0 };

/// How large a server's world is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) agents: usize,
    pub(crate) checks_each: usize,
}

/// What one size costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) size: Size,
    /// Results a second.
    pub(crate) per_second: f64,
    /// The processor time of the server for a million results, in seconds.
    pub(crate) cpu_s_per_million: f64,
    /// The 99th percentile of an answer, in milliseconds.
    pub(crate) p99_ms: f64,
    /// The resident memory at the end, in bytes.
    pub(crate) bytes: u64,
}

impl Size {
    pub(crate) const fn of_checks(checks: usize) -> Self {
        Self { agents: checks.div_ceil(100), checks_each: 100 }
    }

    pub(crate) const fn of_agents(agents: usize) -> Self {
        Self { agents, checks_each: 10 }
    }

    pub(crate) const fn checks(self) -> usize {
        self.agents * self.checks_each
    }

    pub(crate) fn measure(self, binary: &Path, under: &Path, plan: Plan) -> Result<Cost, Failure> {
        let vilicus = Vilicus::start(binary, under)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let wanted = Wanted::new(self.agents, self.checks_each);
        let fleet = runtime.block_on(wanted.enrol(vilicus.server(), TOKENS.enroll))?;
        // The first result of a check is an event, and dearer than those that are measured.
        let first = Plan { warm_up: Duration::ZERO, until: Until::Requests(2 * self.agents as u64), ..plan };
        drive(vilicus.server(), self.lanes(&vilicus, &fleet)?, first, || Ok(()))?.untroubled()?;
        settle(vilicus.pid())?;
        let lanes = self.lanes(&vilicus, &fleet)?;
        let cost = watched(vilicus.pid(), |mark| drive(vilicus.server(), lanes, plan, mark))?;
        Ok(Cost {
            size: self,
            per_second: cost.per_second,
            cpu_s_per_million: cost.cpu_s_per_million,
            p99_ms: cost.p99_ms,
            bytes: memory(vilicus.pid())?.rss,
        })
    }

    fn lanes(self, vilicus: &Vilicus, fleet: &Fleet) -> Result<Vec<Reporter>, Failure> {
        let connections = CONNECTIONS.min(self.agents);
        reporters(vilicus.server(), fleet, connections, Form::Batch(self.checks_each), LOOK, None)
    }
}

/// Waits until the server has written down what came of the first results.
fn settle(server: u32) -> Result<(), Failure> {
    loop {
        let before = cpu_seconds(server)?;
        thread::sleep(LOOK_EVERY);
        if cpu_seconds(server)? - before <= LOOK_EVERY.as_secs_f64() * QUIET {
            return Ok(());
        }
    }
}

impl Cost {
    pub(crate) fn mebibytes(&self) -> f64 {
        self.bytes as f64 / f64::from(1 << 20)
    }
}
