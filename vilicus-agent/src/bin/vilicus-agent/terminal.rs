//! Standard output is for results, standard error for everything else. A closed pipe is nobody's fault.

use std::io::{self, Write as _};

use vilicus_agent::printable::escaped;

/// Prints to standard output as it is.
pub(crate) fn say(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// Prints an error in one line to standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "vilicus-agent: {}", escaped(text));
}
