//! `server.toml`: every mistake with file, line and column, and for an unknown key the nearest known one.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use vilicus_core::params::nearest;

use super::Layer;

/// A settings file that can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file can't be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{path}:{line}:{column}: {problem}")]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What is wrong there, and what would be right.
        problem: String,
    },
}

/// Reads a settings file.
///
/// # Errors
/// It can't be read, or something in it is wrong.
pub fn read(path: &Path) -> Result<Layer, FileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| FileError::Unreadable { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// Reads the text of a settings file; the path is for messages.
///
/// # Errors
/// Something in it is wrong.
pub fn parse(path: &Path, text: &str) -> Result<Layer, FileError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let (line, column) = position(text, start);
        FileError::Wrong { path: path.to_owned(), line, column, problem: explain(error.message()) }
    })
}

/// A value that is written as a text.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(D::Error::custom)
}

/// A list of values that are written as texts.
pub(super) fn all_parsed<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse()).collect::<Result<_, _>>().map(Some).map_err(D::Error::custom)
}

fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The reader's message on one line, with the nearest known key in place of the list of all.
fn explain(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown field").then(|| names.next()).flatten();
    match unknown {
        Some(name) => match nearest(name, names) {
            Some(near) => format!("unknown key '{name}'; did you mean '{near}'?"),
            None => format!("unknown key '{name}'; docs/operations.md lists the known ones"),
        },
        None => message.lines().collect::<Vec<_>>().join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named_with_their_place_and_mend() {
        for (text, place, words) in [
            ("lisen = '127.0.0.1:1'", "s.toml:1:1: ", "did you mean 'listen'"),
            ("store = 'memory:'\n[limits]\nbody_byte = 1", "s.toml:3:1: ", "did you mean 'body_bytes'"),
            ("public_url = 'x'", "s.toml:1:14: ", "relative URL"),
            ("trusted_proxies = ['10.0.0.0/8', 'x']", "s.toml:1:19: ", "invalid"),
            ("zebra = 1", "s.toml:1:1: ", "unknown key 'zebra'; docs"),
            ("durability = 'disk'", "s.toml:1:14: ", "`power`"),
            ("listen = 'nowhere'", "s.toml:1:10: ", "an address with a port"),
            ("local_agent = 'yes'", "s.toml:1:15: ", "boolean"),
            ("# ä\nstore = ", "s.toml:2:", ""),
            ("[limits]\nbody_timeout = 30", "s.toml:2:16: ", "string"),
        ] {
            let error = parse(Path::new("s.toml"), text).unwrap_err().to_string();
            assert!(error.starts_with(place) && error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/nowhere/server.toml")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nowhere/server.toml");
    }
}
