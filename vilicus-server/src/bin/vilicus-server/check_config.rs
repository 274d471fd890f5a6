//! `check-config`: judges settings files and configurations without starting anything.
//!
//! Which of the two a file is, its content says. All configurations that are named are one, judged as on an empty server;
//! only agents may be there that no file declares, for they enrol by themselves. Then policy tests are run with them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vilicus_core::result::error_chain;
use vilicus_server::api::AppState;
use vilicus_server::apply::{self, Configuration};
use vilicus_server::clock::{Clock as _, SystemClock};
use vilicus_server::policy_test::{Runner, Tests};
use vilicus_server::settings::{self, Layer};
use vilicus_server::{Server, Settings};

use crate::exit::Failure;

/// Checks every file, and names the mistakes of all; then runs the tests, if nothing is wrong.
pub(crate) async fn run(files: &[PathBuf], tests: &[PathBuf]) -> Result<(), Failure> {
    let (configurations, settings): (Vec<PathBuf>, Vec<PathBuf>) =
        files.iter().cloned().partition(|file| apply::is_configuration(file));
    let mut mistakes = Vec::new();
    let mut known = Settings::default();
    for file in &settings {
        match judge_settings(file) {
            Ok(settings) => {
                known = settings;
                fine(file);
            }
            Err(mistake) => mistakes.push(mistake),
        }
    }
    let mut judged = None;
    if !configurations.is_empty() || !tests.is_empty() {
        match judge_configurations(&configurations, known).await {
            Ok(fits) => {
                configurations.iter().for_each(|file| fine(file));
                judged = Some(fits);
            }
            Err(mistake) => mistakes.push(mistake),
        }
    }
    match judged {
        _ if !mistakes.is_empty() => Err(Failure::config(mistakes.join("\n"))),
        Some((api, configuration)) if !tests.is_empty() => run_tests(&api, &configuration, tests).await,
        _ => Ok(()),
    }
}

fn fine(file: &Path) {
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{}: ok", file.display());
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn judge_settings(file: &Path) -> Result<Settings, String> {
    let layer = settings::read_file(file).map_err(|error| error_chain(&error))?;
    let settings = Settings::resolve(Layer::default(), layer, &environment);
    settings.map_err(|error| format!("{}: {}", file.display(), error_chain(&error)))
}

async fn judge_configurations(
    files: &[PathBuf],
    settings: Settings,
) -> Result<(AppState, Configuration), String> {
    let configuration = apply::read(files, &environment).map_err(|faults| faults.to_string())?;
    let clock = Arc::new(SystemClock::new());
    let options = vilicus_store::Options::new(clock.now(), [0; 16]);
    let store = vilicus_store::url::open("memory:", options).map_err(|error| error_chain(&error))?;
    let api = Server::builder().store(store).clock(clock).settings(settings).api();
    let api = api.map_err(|error| error_chain(&error))?;
    let report = apply::judge(&api, &configuration).await.map_err(|failure| error_chain(&failure))?;
    for note in report.notes {
        let _ = writeln!(std::io::stdout(), "note: {note}");
    }
    Ok((api, configuration))
}

/// Runs policy tests with what the server knows of kinds and notifiers.
async fn run_tests(api: &AppState, configuration: &Configuration, files: &[PathBuf]) -> Result<(), Failure> {
    let tests = Tests::read(files).map_err(|faults| Failure::config(faults.to_string()))?;
    let runner = Runner::new(api.kinds().clone(), api.notifiers().clone());
    let report = runner.run(configuration, &tests).await;
    let report = report.map_err(|error| Failure::config(error_chain(&error)))?;
    let _ = writeln!(std::io::stdout(), "{report}");
    if report.passed() { Ok(()) } else { Err(Failure::new("policy tests failed")) }
}
