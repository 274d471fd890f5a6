//! What is wrong with a template, for the one who wrote it: where, what, and what would be right.

use minijinja::{Error, ErrorKind};
use vilicus_core::ParamsError;
use vilicus_core::notification::one_line;
use vilicus_core::params::nearest;

use super::placeholders::{MESSAGE, PARTS};
use crate::notifiers::wording::cut;

/// The longest account of a fault, in characters.
const MAX_WORDS: usize = 300;

/// A fault that the engine found.
pub(super) fn explain(name: &str, source: &str, error: &Error) -> ParamsError {
    let words = match error.kind() {
        ErrorKind::OutOfFuel => "it does too much; loops and texts have to be shorter".to_owned(),
        ErrorKind::UndefinedError => match missing(source, error) {
            Some(missing) => unknown(&missing),
            None => "there is no such value in every message; ask with 'if' first".to_owned(),
        },
        kind => error.detail().map_or_else(|| kind.to_string(), str::to_owned),
    };
    at(name, error.line().unwrap_or(1), &words)
}

/// A placeholder of this name stands somewhere, and there is none.
pub(super) fn unknown_placeholder(name: &str, source: &str, placeholder: &str) -> ParamsError {
    let words = match nearest(placeholder, MESSAGE) {
        Some(near) => format!("there is no placeholder '{placeholder}'; did you mean '{near}'?"),
        None => {
            let mut known = MESSAGE;
            known.sort_unstable();
            format!("there is no placeholder '{placeholder}'; known are {}", known.join(", "))
        }
    };
    at(name, line_of(source, placeholder), &words)
}

fn at(name: &str, line: usize, words: &str) -> ParamsError {
    ParamsError::new(name, format!("{name}, line {line}: {}", cut(&one_line(words), MAX_WORDS)))
}

/// The last name in the expression that had no value, as `chek` of `item.chek`.
fn missing(source: &str, error: &Error) -> Option<String> {
    let expression = source.get(error.range()?)?;
    let last = expression.rsplit('.').next()?.trim();
    let is_name = last.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && last.chars().all(|c| c.is_alphanumeric() || c == '_');
    (is_name && expression.contains('.')).then(|| last.to_owned())
}

fn unknown(name: &str) -> String {
    match nearest(name, MESSAGE.into_iter().chain(PARTS)) {
        Some(near) if near != name => format!("there is no '{name}'; did you mean '{near}'?"),
        _ => format!("there is no '{name}' in every message; ask with 'if' first"),
    }
}

/// The first line on which this word stands, from 1.
fn line_of(source: &str, word: &str) -> usize {
    let stands =
        |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word);
    source.lines().position(stands).map_or(1, |index| index + 1)
}
