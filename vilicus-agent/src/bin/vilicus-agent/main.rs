//! The stock agent: parses arguments, builds what the library offers, runs it, and maps errors to exit codes.
//!
//! 0 is success, 1 failure, 2 wrong usage; `check` speaks as a monitoring plugin does: 0 to 3, wrong usage 3.

mod args;
mod check;
mod check_params;
mod daemon;
mod doctor;
mod enroll;
mod kinds;
mod logging;
mod papers;
mod settings;
mod terminal;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _};
use vilicus_core::Status;
use vilicus_core::result::error_chain;

use crate::args::{Args, Verb};
use crate::terminal::{complain, say};

/// Why the program ends without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It did not work: exit code 1.
    Failed(String),
    /// It was asked in a way that cannot work: exit code 2.
    Usage(String),
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error_chain(&error))
    }
}

fn main() -> ExitCode {
    let command = Args::command();
    let args = command.try_get_matches().and_then(|matches| Args::from_arg_matches(&matches));
    match args {
        Ok(args) => run(args),
        Err(error) => refuse(&error),
    }
}

fn run(args: Args) -> ExitCode {
    let done = match args.verb {
        Verb::Run(options) => daemon::run(&args.shared, options),
        Verb::Enroll(options) => enroll::run(&args.shared, options),
        Verb::Check(options) => return check::run(&args.shared, &options),
        Verb::Doctor(options) => doctor::run(&args.shared, options),
        Verb::Kinds(options) => kinds::run(&options),
        Verb::Completions { shell } => papers::completions(shell),
        Verb::Man => papers::man(),
    };
    match done {
        Ok(code) => code,
        Err(Failure::Failed(text)) => {
            complain(&text);
            ExitCode::from(1)
        }
        Err(Failure::Usage(text)) => {
            complain(&text);
            ExitCode::from(2)
        }
    }
}

/// Shows help, or says what is wrong with the arguments: as a plugin does when `check` was asked for.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Standard output may be closed; then there is nobody to tell.
        let _ = error.print();
        return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
    }
    let _ = error.print();
    if !args::asks_for_check(std::env::args_os().skip(1)) {
        return ExitCode::from(2);
    }
    let text = error.to_string();
    // Its first paragraph: what is missing stands in lines of its own.
    let said = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    say(&format!("{}: wrong usage: {}\n", Status::Unknown, said.trim_start_matches("error: ")));
    ExitCode::from(Status::Unknown.code())
}
