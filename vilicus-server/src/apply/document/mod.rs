//! One document of a configuration: what it says, and where in the text it says it.
//!
//! TOML, YAML and JSON become the same thing here: JSON values, and for each value (by its JSON pointer) the line and
//! column at which it stands. Everything that judges a configuration works with values and pointers alone, as the API
//! does, and asks for the place when it has found a mistake.

mod toml;
mod yaml;

pub(super) use self::toml::top as top_of_toml;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

/// The form of a configuration's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// TOML 1.0.
    Toml,
    /// YAML 1.2, one document or several.
    Yaml,
}

impl Format {
    /// The form that the ending of a file's name says; `None` for other endings.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Something that keeps a text from being read, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misreading {
    /// Where.
    pub place: Option<Place>,
    /// What is wrong there, and what would be right.
    pub detail: String,
}

/// Where something stands, as cheap as the reader can say it.
#[derive(Debug, Clone, Copy)]
enum Spot {
    /// So many bytes from the start of the text.
    Offset(usize),
    /// At this place.
    At(Place),
}

/// One document.
#[derive(Debug, Default)]
pub struct Document {
    /// The text, where spots are offsets into it.
    text: String,
    fields: Map<String, Value>,
    /// Where values are, by pointer.
    values: HashMap<String, Spot>,
    /// Where the names of values are, by pointer.
    names: HashMap<String, Spot>,
}

/// The documents of a text, as far as they can be read, and what can't.
pub type Reading = (Vec<Document>, Vec<Misreading>);

impl Document {
    /// Reads a text.
    #[must_use]
    pub fn read(text: &str, format: Format) -> Reading {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match format {
            Format::Toml => toml::read(text),
            Format::Yaml => yaml::read(text),
        }
    }

    /// Values that came without a text of their own.
    #[must_use]
    pub fn of_values(fields: Map<String, Value>) -> Self {
        Self { fields, ..Self::default() }
    }

    /// What it says.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// What it says, to put secrets where they are named.
    pub(super) fn fields_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.fields
    }

    /// Where the value with this pointer stands, or the nearest one around it.
    #[must_use]
    pub fn place_of(&self, pointer: &str) -> Option<Place> {
        around(pointer).find_map(|pointer| self.values.get(pointer)).map(|spot| self.place(*spot))
    }

    /// Where the name of the value with this pointer stands.
    #[must_use]
    pub fn place_of_name(&self, pointer: &str) -> Option<Place> {
        match self.names.get(pointer) {
            Some(spot) => Some(self.place(*spot)),
            None => self.place_of(pointer),
        }
    }

    fn place(&self, spot: Spot) -> Place {
        match spot {
            Spot::At(place) => place,
            Spot::Offset(offset) => place_at(&self.text, offset),
        }
    }
}

/// A pointer, and those of all values around it, the nearest first; last the empty one, of the whole.
pub(super) fn around(pointer: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(pointer), |pointer| pointer.rfind('/').map(|at| &pointer[..at]))
}

fn place_at(text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}

/// A name as people may see it in a message: short, on one line.
pub(crate) fn shown(name: &str) -> String {
    name.chars()
        .take(60)
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn one(text: &str, format: Format) -> Document {
        let (mut documents, misreadings) = Document::read(text, format);
        assert_eq!(misreadings, [], "{text}");
        assert_eq!(documents.len(), 1, "{text}");
        documents.remove(0)
    }

    fn place(line: usize, column: usize) -> Option<Place> {
        Some(Place { line, column })
    }

    #[test]
    fn both_forms_say_the_same_and_where() {
        let toml = "\u{feff}# ä\n[[check]]\nname = \"shop\"\nparams = { url = \"u\", n = 0x10 }\ntags = [\"ä\", 'b']\n";
        let yaml = "# ä\ncheck:\n- name: shop\n  params: {url: u, n: 0x10}\n  tags: [\"ä\", b]\n";
        let expected =
            json!({"check": [{"name": "shop", "params": {"url": "u", "n": 16}, "tags": ["ä", "b"]}]});
        let (toml, yaml) = (one(toml, Format::Toml), one(yaml, Format::Yaml));
        for document in [&toml, &yaml] {
            assert_eq!(Value::Object(document.fields().clone()), expected);
        }
        for (pointer, in_toml, in_yaml) in [
            ("/check/0/name", place(3, 8), place(3, 9)),
            ("/check/0/params/url", place(4, 18), place(4, 17)),
            ("/check/0/params/nothing", place(4, 10), place(4, 11)),
            ("/check/0/tags/1", place(5, 14), place(5, 15)),
            ("/check/0/kind", place(2, 1), place(3, 3)),
        ] {
            assert_eq!(toml.place_of(pointer), in_toml, "{pointer}");
            assert_eq!(yaml.place_of(pointer), in_yaml, "{pointer}");
        }
        assert_eq!(toml.place_of_name("/check/0/params/url"), place(4, 12));
        assert_eq!(yaml.place_of_name("/check/0/params/url"), place(4, 12));
    }

    proptest! {
        #[test]
        fn no_text_does_harm(text in "\\PC{0,80}|[\\[\\]{}&*a:\\-?!|>\"'#%@`,\\n 0]{0,80}") {
            for format in [Format::Toml, Format::Yaml] {
                let (documents, misreadings) = Document::read(&text, format);
                prop_assert!(!documents.is_empty() || !misreadings.is_empty());
            }
        }
    }
}
