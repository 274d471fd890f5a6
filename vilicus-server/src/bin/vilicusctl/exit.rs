//! Why the program ends, in one sentence.

use std::error::Error;
use std::process::ExitCode;

use vilicus_core::result::error_chain;

/// Why the program ends.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    is_passing: bool,
}

impl Failure {
    /// Something failed.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_passing: false }
    }

    /// Something failed because of something else.
    pub(crate) fn because(text: &str, error: &(dyn Error + 'static)) -> Self {
        Self::new(format!("{text}: {}", error_chain(error)))
    }

    /// What is wrong.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// It may be gone when tried again.
    pub(crate) fn passing(self) -> Self {
        Self { is_passing: true, ..self }
    }

    /// Whether it may be gone when tried again.
    pub(crate) const fn is_passing(&self) -> bool {
        self.is_passing
    }

    /// Says it on standard error.
    pub(crate) fn report(self) -> ExitCode {
        self.report_as(1)
    }

    /// Says it on standard error, and ends with this code.
    pub(crate) fn report_as(self, code: u8) -> ExitCode {
        eprintln!("vilicusctl: {}", self.text);
        ExitCode::from(code)
    }
}
