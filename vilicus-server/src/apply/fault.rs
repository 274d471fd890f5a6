//! Mistakes in a configuration: all that there are, each with its place and its mend.

use std::fmt;
use std::sync::Arc;

use super::Entry;
use super::document::{Misreading, Place, shown};
use crate::http::{Mistake, Problem};

/// So many mistakes are named; of more it is only said how many they are.
const MAX_NAMED: usize = 100;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file; `None` when the text came otherwise.
    file: Option<Arc<str>>,
    place: Option<Place>,
    /// The place as a JSON pointer; empty for the whole.
    pointer: String,
    detail: String,
}

impl Fault {
    /// A file that can't be read at all.
    pub(crate) fn of_file(file: &Arc<str>, detail: impl Into<String>) -> Self {
        Self { file: Some(Arc::clone(file)), place: None, pointer: String::new(), detail: detail.into() }
    }

    /// A text that can't be read, or a part of it.
    pub(crate) fn of_misreading(file: Option<&Arc<str>>, misreading: Misreading) -> Self {
        let Misreading { place, detail } = misreading;
        Self { file: file.cloned(), place, pointer: String::new(), detail }
    }

    /// What is wrong, and what would be right.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Fault {
    /// `FILE:LINE:COLUMN: what is wrong`, with what is known of the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if let Some(place) = self.place {
            write!(f, "{place}:")?;
        }
        if self.file.is_some() || self.place.is_some() {
            f.write_str(" ")?;
        } else if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.detail)
    }
}

/// All mistakes of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    all: Vec<Fault>,
    /// Whether nothing at all could be read.
    unreadable: bool,
}

impl Faults {
    /// One more.
    pub(crate) fn add(&mut self, fault: Fault) {
        self.all.push(fault);
    }

    /// Something about the value at `pointer` (relative to the entry) is wrong.
    pub(super) fn value(&mut self, entry: &Entry, pointer: &str, detail: impl Into<String>) {
        let whole = format!("{}{pointer}", entry.pointer);
        let place = entry.part.document.place_of(&whole);
        self.at(entry, whole, place, subject(pointer, detail.into()));
    }

    /// The name of the value at `pointer` is wrong.
    pub(super) fn name(&mut self, entry: &Entry, pointer: &str, detail: impl Into<String>) {
        let whole = format!("{}{pointer}", entry.pointer);
        let place = entry.part.document.place_of_name(&whole);
        self.at(entry, whole, place, detail.into());
    }

    /// What the rules of the API say is wrong with the entry.
    pub(super) fn problem(&mut self, entry: &Entry, problem: &Problem) {
        if problem.errors().is_empty() {
            self.value(entry, "", problem.detail());
        }
        for mistake in problem.errors() {
            self.mistake(entry, mistake);
        }
    }

    fn mistake(&mut self, entry: &Entry, mistake: &Mistake) {
        if entry.broken.contains(&super::top(&mistake.pointer)) {
            return;
        }
        // What a reference led to is a secret, and rules like to show the value that breaks them.
        match entry.part.secret_at(&format!("{}{}", entry.pointer, mistake.pointer)) {
            Some(source) => {
                let detail = format!("what {source} holds does not fit here");
                self.value(entry, &mistake.pointer, detail);
            }
            None => self.value(entry, &mistake.pointer, mistake.detail.clone()),
        }
    }

    fn at(&mut self, entry: &Entry, pointer: String, place: Option<Place>, detail: String) {
        let fault = Fault { file: entry.part.file.clone(), place, pointer, detail };
        self.all.push(fault);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The mistakes.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.all.iter()
    }

    /// The same in the order in which they stand.
    pub(super) fn sorted(mut self) -> Self {
        self.all.sort_by(|one, other| (&one.file, one.place).cmp(&(&other.file, other.place)));
        self.all.dedup();
        self
    }

    /// Nothing at all could be read.
    pub(super) fn unreadable(&mut self) {
        self.unreadable = true;
    }

    /// `value`, when nothing is wrong.
    ///
    /// # Errors
    /// All that is.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

/// A detail that begins with what it is about, as `params.url: …`.
fn subject(pointer: &str, detail: String) -> String {
    let path = pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~");
    if path.is_empty() || detail.starts_with(&path) { detail } else { format!("{}: {detail}", shown(&path)) }
}

impl fmt::Display for Faults {
    /// One mistake a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.all.iter().take(MAX_NAMED).enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{fault}")?;
        }
        match self.all.len().saturating_sub(MAX_NAMED) {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}

impl std::error::Error for Faults {}

impl From<Faults> for Problem {
    fn from(faults: Faults) -> Self {
        let (unreadable, faults) = (faults.unreadable, faults.all.into_iter().take(MAX_NAMED));
        let mistakes = faults.map(|fault| {
            let place = fault.place.map(|place| format!("line {}, column {}: ", place.line, place.column));
            Mistake::new(fault.pointer, format!("{}{}", place.unwrap_or_default(), fault.detail))
        });
        if unreadable {
            let details: Vec<String> = mistakes.map(|mistake| mistake.detail).collect();
            return Self::bad_request(format!("the body cannot be read: {}", details.join("; ")));
        }
        Self::mistakes(mistakes.collect())
    }
}
