//! The declarative configuration: files, or a body, that say what shall be, and the one step that makes it so.
//!
//! | file | its part |
//! |---|---|
//! | `document` | a text in TOML or YAML, with the place of every value |
//! | `files`, `secrets` | files and folders, and the secrets that they name |
//! | `fault` | mistakes, each with its place and its mend |
//! | `model` | the tables as typed input, by the same rules as the API's |
//! | `plan` | what has to be made, changed and removed; nothing is touched |
//! | `run` | carries a plan out, whole or not at all |
//! | `export` | what there is, as a configuration |
//!
//! Everything is judged before anything is done, and every mistake is named at once. Applying the same thing twice
//! changes nothing the second time. Deliberately absent: any rule of what a check or a route may be, which are the API's.

pub mod document;
pub(crate) mod export;
mod fault;
mod files;
mod model;
mod plan;
mod run;
mod secrets;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use self::document::Document;
pub use self::document::Format;
pub use self::fault::{Fault, Faults};
pub use self::files::{is_configuration, read};
pub use self::plan::report::{FieldChange, Line, Report};
pub use self::run::{Failure, apply, judge};

/// The tables of a configuration, in the order in which they are carried out.
pub const TABLES: [&str; 7] = ["template", "agent", "channel", "route", "inhibition", "downtime", "check"];

/// What is asked for besides the configuration itself.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether nothing is carried out, and the report says what would be.
    pub dry_run: bool,
    /// Whether objects go that the same configuration made before and no longer says.
    pub prune: bool,
    /// Who asks, for the audit trail.
    pub by: String,
}

/// A configuration that was read; what it says is not judged yet.
#[derive(Debug, Default)]
pub struct Configuration {
    parts: Vec<Arc<Part>>,
}

/// A document of a configuration, and where it is from.
#[derive(Debug)]
struct Part {
    /// The file that holds it.
    file: Option<Arc<str>>,
    /// What its objects are marked with.
    manager: Arc<str>,
    document: Document,
    /// Where secrets stand that were fetched, by pointer, and from where.
    secrets: HashMap<String, String>,
}

impl Part {
    fn new(manager: Arc<str>, document: Document) -> Self {
        Self { file: None, manager, document, secrets: HashMap::new() }
    }

    /// From where the secret at this pointer, or around it, was fetched.
    fn secret_at(&self, pointer: &str) -> Option<&str> {
        document::around(pointer).find_map(|pointer| self.secrets.get(pointer)).map(String::as_str)
    }
}

/// An object of a configuration as it is written.
#[derive(Debug, Clone)]
struct Entry {
    part: Arc<Part>,
    /// Its place in the part, as `/check/3`.
    pointer: String,
    fields: Map<String, Value>,
    /// The fields in which a mistake was found already: what follows from it is not one more.
    broken: Vec<String>,
    /// Whether it was given a name because it has none.
    unnamed: bool,
}

impl Entry {
    fn new(part: &Arc<Part>, pointer: String, fields: Map<String, Value>) -> Self {
        Self { part: Arc::clone(part), pointer, fields, broken: Vec::new(), unnamed: false }
    }

    /// Where it stands, for people.
    fn whereabouts(&self) -> String {
        let place = self.part.document.place_of(&self.pointer);
        match (&self.part.file, place) {
            (Some(file), Some(place)) => format!("{file}:{place}"),
            (_, Some(place)) => format!("line {}", place.line),
            (_, None) => self.pointer.clone(),
        }
    }

    /// Its name, also when something else in it is wrong.
    fn name(&self) -> &str {
        self.fields.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether it says something of this field.
    fn says(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }
}

/// The first name of a pointer.
fn top(pointer: &str) -> String {
    let first = pointer.trim_start_matches('/').split('/').next().unwrap_or_default();
    first.replace("~1", "/").replace("~0", "~")
}

impl Configuration {
    /// A configuration in a text that came from elsewhere; its objects are marked with `manager`.
    ///
    /// # Errors
    /// Every mistake in the form of the text, and every secret that is named and not said.
    pub fn of_text(manager: &str, text: &str, format: Format) -> Result<Self, Faults> {
        let (documents, misreadings) = Document::read(text, format);
        let mut faults = Faults::default();
        for misreading in misreadings {
            faults.add(Fault::of_misreading(None, misreading));
        }
        if documents.is_empty() {
            faults.unreadable();
        }
        Self::of_documents(manager, documents, faults)
    }

    /// A configuration in values; its objects are marked with `manager`.
    ///
    /// # Errors
    /// Every secret that is named and not said.
    pub fn of_values(manager: &str, fields: Map<String, Value>) -> Result<Self, Faults> {
        Self::of_documents(manager, vec![Document::of_values(fields)], Faults::default())
    }

    fn of_documents(manager: &str, documents: Vec<Document>, mut faults: Faults) -> Result<Self, Faults> {
        let manager: Arc<str> = manager.into();
        let mut parts = Vec::with_capacity(documents.len());
        for mut document in documents {
            let mut named = Vec::new();
            secrets::each(document.fields_mut(), &mut |found| {
                named.push((found.pointer, secrets::describe(&found.source)));
            });
            let part = Arc::new(Part::new(Arc::clone(&manager), document));
            for (pointer, source) in named {
                let entry = Entry::new(&part, pointer, Map::new());
                let detail = format!(
                    "{source} is not read for a request; send the secret itself, as vilicusctl apply does"
                );
                faults.value(&entry, "", detail);
            }
            parts.push(part);
        }
        faults.or(Self { parts })
    }

    /// All of it as one object of lists, secrets included, as `POST /api/v1/apply/` takes it.
    #[must_use]
    pub fn to_values(&self) -> Map<String, Value> {
        let mut whole = Map::new();
        for part in &self.parts {
            for (name, value) in part.document.fields() {
                match (whole.get_mut(name), value) {
                    (Some(Value::Array(all)), Value::Array(more)) => all.extend(more.iter().cloned()),
                    _ => drop(whole.insert(name.clone(), value.clone())),
                }
            }
        }
        whole
    }
}
