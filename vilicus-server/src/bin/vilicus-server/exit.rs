//! Why the program ends, in one sentence, and with which code.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use vilicus_core::result::error_chain;

/// The service manager shall not start it again and again: the configuration can't work (`EX_CONFIG`).
const CONFIG: u8 = 78;
/// The store can't be opened, or is lost (`EX_IOERR`).
const STORE: u8 = 74;
/// The command line was wrong.
const USAGE: u8 = 2;
/// Anything else.
const OTHER: u8 = 1;

/// Why the program ends.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Failure {
    /// Something failed.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { code: OTHER, text: text.into() }
    }

    /// What was said on the command line can't be meant.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { code: USAGE, text: text.into() }
    }

    /// Something failed because of something else.
    pub(crate) fn because(text: &str, error: &(dyn Error + 'static)) -> Self {
        Self::new(format!("{text}: {}", error_chain(error)))
    }

    /// The configuration can't work.
    pub(crate) fn config(text: impl Into<String>) -> Self {
        Self { code: CONFIG, text: text.into() }
    }

    /// The store can't be used.
    pub(crate) fn store(text: impl Into<String>) -> Self {
        Self { code: STORE, text: text.into() }
    }

    /// Says it on standard error.
    pub(crate) fn report(self) -> ExitCode {
        eprintln!("vilicus-server: {}", self.text);
        ExitCode::from(self.code)
    }
}
