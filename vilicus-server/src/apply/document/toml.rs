//! Reads TOML: every mistake that the parser finds, with its place.

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use vilicus_core::params::escape_pointer;

use super::{Document, Misreading, Reading, Spot, place_at};

/// Reads a text. What the parser can't understand leaves no document at all: half of one would be another.
pub(super) fn read(text: &str) -> Reading {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let mut misreadings: Vec<Misreading> = errors.iter().map(|error| misreading(text, error)).collect();
        misreadings.sort_by_key(|misreading| misreading.place);
        return (Vec::new(), misreadings);
    }
    let mut reader =
        Reader { document: Document { text: text.to_owned(), ..Document::default() }, wrong: Vec::new() };
    reader.document.fields = reader.table(table.get_ref(), "");
    (vec![reader.document], reader.wrong)
}

/// The names at the top of a text, and whether each is a list of tables; as far as the text can be read.
pub(in crate::apply) fn top(text: &str) -> Vec<(String, bool)> {
    let (table, _) = DeTable::parse_recoverable(text);
    let is_list = |value: &DeValue<'_>| {
        value.as_array().is_some_and(|values| values.iter().any(|value| value.get_ref().is_table()))
    };
    table
        .get_ref()
        .iter()
        .map(|(name, value)| (name.get_ref().to_string(), is_list(value.get_ref())))
        .collect()
}

fn misreading(text: &str, error: &toml::de::Error) -> Misreading {
    let place = error.span().map(|span| place_at(text, span.start));
    Misreading { place, detail: error.message().lines().collect::<Vec<_>>().join("; ") }
}

struct Reader {
    document: Document,
    wrong: Vec<Misreading>,
}

impl Reader {
    // The parser refuses deep nesting, so this goes no deeper than that.
    fn table(&mut self, table: &DeTable<'_>, pointer: &str) -> Map<String, Value> {
        let mut fields = Map::new();
        for (name, value) in table {
            let pointer = format!("{pointer}/{}", escape_pointer(name.get_ref()));
            self.document.names.insert(pointer.clone(), Spot::Offset(name.span().start));
            let value = self.value(value, pointer);
            fields.insert(name.get_ref().to_string(), value);
        }
        fields
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, pointer: String) -> Value {
        let start = value.span().start;
        let read = match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(truth) => Value::Bool(*truth),
            // A moment is written without quotes in TOML, and as a text everywhere else.
            DeValue::Datetime(moment) => Value::String(moment.to_string()),
            DeValue::Integer(number) => self.integer(number, start),
            DeValue::Float(number) => self.float(number.as_str(), start),
            DeValue::Array(values) => {
                let values = values.iter().enumerate();
                Value::Array(
                    values.map(|(index, value)| self.value(value, format!("{pointer}/{index}"))).collect(),
                )
            }
            DeValue::Table(table) => Value::Object(self.table(table, &pointer)),
        };
        self.document.values.insert(pointer, Spot::Offset(start));
        read
    }

    fn integer(&mut self, number: &toml::de::DeInteger<'_>, start: usize) -> Value {
        match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => number.into(),
            Err(_) => self.refuse(start, "a number that is too large"),
        }
    }

    fn float(&mut self, text: &str, start: usize) -> Value {
        match text.parse().ok().and_then(Number::from_f64) {
            Some(number) => Value::Number(number),
            None => self.refuse(start, "expected a finite number"),
        }
    }

    fn refuse(&mut self, start: usize, detail: &str) -> Value {
        let place = Some(place_at(&self.document.text, start));
        self.wrong.push(Misreading { place, detail: detail.to_owned() });
        Value::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_has_its_place() {
        for (text, expected) in [
            ("a = \nb = 1\nc", vec!["1:5", "3:2"]),
            ("a = 1\na = 2", vec!["2:1"]),
            ("a = nan", vec!["1:5"]),
            ("a = 99999999999999999999", vec!["1:5"]),
            ("a = \"\0\"", vec!["1:6"]),
        ] {
            let (_, wrong) = read(text);
            let places: Vec<String> =
                wrong.iter().filter_map(|wrong| Some(wrong.place?.to_string())).collect();
            assert_eq!(places, expected, "{text}: {wrong:?}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_does_no_harm() {
        for text in ["a = ".to_owned() + &"[".repeat(100_000), "a.".repeat(50_000) + "a = 1"] {
            assert!(!read(&text).1.is_empty());
        }
    }

    #[test]
    fn a_moment_is_a_text() {
        let (documents, _) = read("start = 2026-11-22T07:00:00Z");
        assert_eq!(documents[0].fields()["start"], "2026-11-22T07:00:00Z");
    }
}
