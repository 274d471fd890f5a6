//! Reads the kernel's text files under `/proc`.

use std::io;

/// A file of the kernel that cannot be read, or does not hold what it should.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub(super) struct ProcError {
    path: &'static str,
    #[source]
    source: io::Error,
}

impl ProcError {
    /// The file lacks something that every kernel writes.
    pub(super) fn lacks(path: &'static str, what: &str) -> Self {
        Self { path, source: io::Error::new(io::ErrorKind::InvalidData, format!("it has no {what}")) }
    }
}

/// The text of a file. Names in it may be in any encoding, so that part is lossy.
pub(super) fn read(path: &'static str) -> Result<String, ProcError> {
    let bytes = std::fs::read(path).map_err(|source| ProcError { path, source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The number after a word at the beginning of a line, as in `MemTotal:  24684084 kB`.
pub(super) fn number_after(text: &str, word: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix([':', ' ', '\t']))?;
    line.split_whitespace().next()?.parse().ok()
}
