//! `check-config`: judges settings files without starting anything.

use std::io::Write as _;
use std::path::PathBuf;

use vilicus_core::result::error_chain;
use vilicus_server::Settings;
use vilicus_server::settings::{self, Layer};

use crate::exit::Failure;

/// Checks every file, and names the mistakes of all.
pub(crate) fn run(files: &[PathBuf]) -> Result<(), Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    let mut mistakes = Vec::new();
    for file in files {
        let outcome = settings::read_file(file).map_err(|error| error_chain(&error)).and_then(|layer| {
            Settings::resolve(Layer::default(), layer, &environment)
                .map_err(|error| format!("{}: {}", file.display(), error_chain(&error)))
        });
        match outcome {
            // A closed pipe is the reader's choice.
            Ok(_) => drop(writeln!(std::io::stdout(), "{}: ok", file.display())),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Failure::config(mistakes.join("\n"))) }
}
