//! `test`: policy tests of a configuration, in simulated time and without a server.

use std::path::PathBuf;
use std::sync::Arc;

use vilicus_core::result::error_chain;
use vilicus_server::clock::{Clock as _, SystemClock};
use vilicus_server::policy_test::{Runner, Tests};
use vilicus_server::{Server, apply};

use crate::exit::Failure;
use crate::print;

/// Runs the tests in these files with the configuration in those.
pub(crate) async fn run(tests: &[PathBuf], configuration: &[PathBuf]) -> Result<(), Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    let configuration =
        apply::read(configuration, &environment).map_err(|faults| Failure::new(faults.to_string()))?;
    let clock = Arc::new(SystemClock::new());
    let options = vilicus_store::Options::new(clock.now(), [0; 16]);
    let store = vilicus_store::url::open("memory:", options)
        .map_err(|error| Failure::because("cannot make an empty store", &error))?;
    let api = Server::builder().store(store).clock(clock).api();
    let api = api.map_err(|error| Failure::because("cannot judge the configuration", &error))?;
    let judged = apply::judge(&api, &configuration).await;
    judged.map_err(|failure| Failure::new(error_chain(&failure)))?;
    let tests = Tests::read(tests).map_err(|faults| Failure::new(faults.to_string()))?;
    let runner = Runner::new(api.kinds().clone(), api.notifiers().clone());
    let report = runner.run(&configuration, &tests).await;
    let report = report.map_err(|error| Failure::because("cannot run the tests", &error))?;
    print::write(&format!("{report}\n"))?;
    if report.passed() { Ok(()) } else { Err(Failure::new("policy tests failed")) }
}
