//! Policy tests: results in, expected messages out, in simulated time.
//!
//! A test says what a check reports and what people do, and which messages are to go out, when and to whom. It runs a
//! configuration in a store in memory, by the rules of the real server and none of its own: the same step makes the
//! objects, the same judge judges, the same outbox groups, merges and waits, the same words are written. Only the
//! notifiers are left out, and time stands still between two things that happen. `docs/policy-tests.md` tells of the
//! format.
//!
//! | file | its part |
//! |---|---|
//! | `format` | a test as it is written |
//! | `timeline` | what happens when |
//! | `simulation` | a server's store through that time |
//! | `verdict` | what was told against what was expected, and why not |
//!
//! In a program's own tests:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use vilicus_server::apply::{Configuration, Format};
//! use vilicus_server::policy_test::{self, Tests};
//!
//! let configuration = Configuration::of_text("vilicus.toml", r#"
//!     [[agent]]
//!     name = "web-1"
//!     [[check]]
//!     agent = "web-1"
//!     name = "load"
//!     kind = "load"
//!     max_attempts = 2
//!     [[channel]]
//!     name = "phone"
//!     kind = "webhook"
//!     params = { url = "https://phone.example.org/" }
//! "#, Format::Toml)?;
//! let tests = Tests::of_text("load.test.toml", r#"
//!     [[test]]
//!     name = "the second bad result is told, and the recovery"
//!     check = "web-1/load"
//!     input = [
//!         { at = "0m", count = 2, status = "CRITICAL", output = "busy" },
//!         { at = "2m", status = "OK" },
//!     ]
//!     expect = [
//!         { at = "1m", channel = "phone", event = "problem", status = "CRITICAL", text = "busy" },
//!         { at = "2m", channel = "phone", event = "recovery" },
//!     ]
//! "#, Format::Toml)?;
//! let report = policy_test::run(&configuration, &tests).await?;
//! assert!(report.passed(), "{report}");
//! # Ok(())
//! # }
//! ```
//!
//! Deliberately absent: the wall clock, the network, and the files of the one who runs it.

mod format;
mod simulation;
mod timeline;
mod verdict;

use std::fmt;

use vilicus_core::{KindRegistry, NotifierRegistry};
use vilicus_store::StoreError;

pub use self::format::Tests;
pub use self::verdict::{Report, Told, Verdict};
use crate::apply::{Configuration, Failure};

/// A test could not be run at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The configuration can't work.
    #[error("the configuration cannot be tested")]
    Configuration(#[source] Failure),
    /// Something that a test says does not fit the configuration.
    #[error("{place}: the test '{test}' {detail}")]
    Test {
        /// Where it stands.
        place: String,
        /// Its name.
        test: String,
        /// What does not fit, and what would.
        detail: String,
    },
    /// The simulated store failed.
    #[error("the simulated store failed")]
    Store(#[from] StoreError),
}

/// Runs tests. Kinds and notifiers of one's own are given to it; else those of the stock server are known.
#[derive(Clone)]
#[must_use]
pub struct Runner {
    kinds: KindRegistry,
    notifiers: NotifierRegistry,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

impl Runner {
    /// A runner that knows these kinds of check and of notifier.
    pub fn new(kinds: KindRegistry, notifiers: NotifierRegistry) -> Self {
        Self { kinds, notifiers }
    }

    /// Runs every test with the configuration, each in a store of its own.
    ///
    /// # Errors
    /// The configuration can't work, or a test speaks of what it does not hold. What is told or not is no error but the
    /// report's.
    pub async fn run(&self, configuration: &Configuration, tests: &Tests) -> Result<Report, RunError> {
        let mut report = Report::default();
        for test in tests.iter() {
            report.verdicts.push(simulation::run(self, configuration, test).await?);
        }
        Ok(report)
    }
}

/// Runs every test with the configuration, by the kinds and notifiers of the stock server.
///
/// # Errors
/// As [`Runner::run`].
pub async fn run(configuration: &Configuration, tests: &Tests) -> Result<Report, RunError> {
    simulation::stock_runner().run(configuration, tests).await
}
