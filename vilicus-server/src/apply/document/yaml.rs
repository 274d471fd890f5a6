//! Reads YAML 1.2 by its core schema, one document or several.
//!
//! Anchors and aliases work as far as what they repeat stays small: ten lines of aliases can say more than any memory
//! holds. Refused: tags other than those of the core schema, keys that stand twice, and control characters, at which
//! parsers differ.
//!
//! *Source of the rules for plain scalars:* <https://yaml.org/spec/1.2.2/#1032-tag-resolution>.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use serde_json::{Map, Number, Value};
use vilicus_core::params::escape_pointer;

use super::{Document, Misreading, Place, Reading, Spot, place_at, shown};

/// How deep lists and maps may be nested.
const MAX_DEPTH: usize = 64;
/// How much may be repeated by aliases in one text: about so many bytes.
const MAX_REPEATED: usize = 4 * 1024 * 1024;

/// Reads a text. What the parser can't understand ends it there.
pub(super) fn read(text: &str) -> Reading {
    if let Some(at) = text.find(|c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}')) {
        let detail = "a control character; YAML has none".to_owned();
        return (Vec::new(), vec![Misreading { place: Some(place_at(text, at)), detail }]);
    }
    let mut reader = Reader::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let outcome = match event {
            Ok((event, span)) => reader.event(event, place_of(span.start)),
            Err(error) => Err(wrong(place_of(*error.marker()), error.info())),
        };
        if let Err(misreading) = outcome {
            reader.wrong.push(misreading);
            return (Vec::new(), reader.wrong);
        }
    }
    if reader.done.is_empty() {
        reader.done.push(Document::default());
    }
    (reader.done, reader.wrong)
}

fn place_of(marker: Marker) -> Place {
    Place { line: marker.line().max(1), column: marker.col() + 1 }
}

fn wrong(place: Place, detail: impl Into<String>) -> Misreading {
    Misreading { place: Some(place), detail: detail.into() }
}

/// A list or a map that is not complete yet.
struct Open {
    collection: Collection,
    /// The number by which aliases name it; 0 for none.
    anchor: usize,
    place: Place,
}

enum Collection {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

/// What an alias stands for, and about how many bytes it takes.
struct Anchored {
    value: Value,
    weight: usize,
}

#[derive(Default)]
struct Reader {
    done: Vec<Document>,
    wrong: Vec<Misreading>,
    document: Document,
    open: Vec<Open>,
    /// The pointer of what comes next, but for its last part.
    pointer: String,
    anchors: HashMap<usize, Anchored>,
    repeated: usize,
}

impl Reader {
    fn event(&mut self, event: Event<'_>, place: Place) -> Result<(), Misreading> {
        match event {
            Event::DocumentStart(_) => self.document = Document::default(),
            Event::DocumentEnd => {
                let document = std::mem::take(&mut self.document);
                self.done.push(document);
                self.anchors.clear();
            }
            Event::Scalar(text, style, anchor, tag) => return self.scalar(text, style, anchor, tag, place),
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), "seq", place)?;
                return self.begin(Collection::List(Vec::new()), anchor, place);
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), "map", place)?;
                return self.begin(Collection::Map(Map::new(), None), anchor, place);
            }
            Event::SequenceEnd | Event::MappingEnd => return self.end(),
            Event::Alias(anchor) => return self.alias(anchor, place),
            Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        place: Place,
    ) -> Result<(), Misreading> {
        if let Some(Open { collection: Collection::Map(fields, name @ None), .. }) = self.open.last_mut() {
            if fields.contains_key(text.as_ref()) {
                self.wrong
                    .push(wrong(place, format!("the key '{}' stands twice; say it once", shown(&text))));
            }
            let pointer = format!("{}/{}", self.pointer, escape_pointer(&text));
            self.document.names.insert(pointer, Spot::At(place));
            *name = Some(text.into_owned());
            return Ok(());
        }
        let value = match tag.as_deref() {
            Some(tag) if is_core(tag, "str") => Value::String(text.into_owned()),
            tag => {
                refuse_tag(tag, &tag.map(|tag| tag.suffix.clone()).unwrap_or_default(), place)?;
                if style == ScalarStyle::Plain { plain(&text) } else { Value::String(text.into_owned()) }
            }
        };
        self.remember(anchor, &value, place)?;
        self.put(value, place)
    }

    fn begin(&mut self, collection: Collection, anchor: usize, place: Place) -> Result<(), Misreading> {
        if self.open.len() >= MAX_DEPTH {
            return Err(wrong(place, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        if !self.open.is_empty() {
            let part = self.next_part(place)?;
            self.pointer.push_str(&part);
        }
        self.open.push(Open { collection, anchor, place });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Misreading> {
        let Some(Open { collection, anchor, place }) = self.open.pop() else { return Ok(()) };
        let value = match collection {
            Collection::List(values) => Value::Array(values),
            Collection::Map(fields, _) => Value::Object(fields),
        };
        if !self.open.is_empty() {
            self.pointer.truncate(self.pointer.rfind('/').unwrap_or(0));
        }
        self.remember(anchor, &value, place)?;
        self.put(value, place)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Misreading> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(wrong(place, "an alias inside of what it stands for"));
        };
        let (value, weight) = (anchored.value.clone(), anchored.weight);
        self.charge(weight, place)?;
        self.put(value, place)
    }

    /// The last part of the pointer of what comes next.
    fn next_part(&self, place: Place) -> Result<String, Misreading> {
        match self.open.last().map(|open| &open.collection) {
            Some(Collection::List(values)) => Ok(format!("/{}", values.len())),
            Some(Collection::Map(_, Some(name))) => Ok(format!("/{}", escape_pointer(name))),
            Some(Collection::Map(_, None)) => Err(wrong(place, "a key must be a word, not a list or a map")),
            None => Ok(String::new()),
        }
    }

    fn put(&mut self, value: Value, place: Place) -> Result<(), Misreading> {
        let pointer = format!("{}{}", self.pointer, self.next_part(place)?);
        self.document.values.insert(pointer, Spot::At(place));
        match self.open.last_mut().map(|open| &mut open.collection) {
            Some(Collection::List(values)) => values.push(value),
            Some(Collection::Map(fields, name)) => {
                fields.insert(name.take().unwrap_or_default(), value);
            }
            None => match value {
                Value::Object(fields) => self.document.fields = fields,
                Value::Null => {}
                _ => return Err(wrong(place, "expected a map, as 'check:' with a list below it")),
            },
        }
        Ok(())
    }

    fn remember(&mut self, anchor: usize, value: &Value, place: Place) -> Result<(), Misreading> {
        if anchor > 0 {
            let weight = weight(value);
            self.charge(weight, place)?;
            self.anchors.insert(anchor, Anchored { value: value.clone(), weight });
        }
        Ok(())
    }

    fn charge(&mut self, weight: usize, place: Place) -> Result<(), Misreading> {
        self.repeated = self.repeated.saturating_add(weight);
        match self.repeated > MAX_REPEATED {
            true => Err(wrong(place, "aliases repeat more than 4 MiB; write less, or several files")),
            false => Ok(()),
        }
    }
}

/// About how many bytes a value takes.
fn weight(value: &Value) -> usize {
    const EACH: usize = 64;
    EACH + match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(weight).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + weight(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn is_core(tag: &Tag, suffix: &str) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == suffix
}

/// Refuses a tag that is not of the core schema, or not this one.
fn refuse_tag(tag: Option<&Tag>, suffix: &str, place: Place) -> Result<(), Misreading> {
    match tag {
        Some(tag) if !is_core(tag, suffix) => {
            Err(wrong(place, format!("the tag '{}' is not taken; leave it out", shown(&tag.to_string()))))
        }
        _ => Ok(()),
    }
}

/// A plain scalar by the core schema.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    integer(text).or_else(|| float(text)).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn integer(text: &str) -> Option<Value> {
    let radix = |digits: &str, radix| i64::from_str_radix(digits, radix).ok();
    let number = match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(digits), _) if !digits.starts_with(['+', '-']) => radix(digits, 16),
        (_, Some(digits)) if !digits.starts_with(['+', '-']) => radix(digits, 8),
        _ => text.parse().ok(),
    };
    number.map(Value::from)
}

/// A number with a point or an exponent: `inf` and `nan` are words here, for no setting can be either.
fn float(text: &str) -> Option<Value> {
    let starts = text.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let fits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if !starts || !fits {
        return None;
    }
    text.parse().ok().and_then(Number::from_f64).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_follow_the_core_schema_and_nothing_else() {
        let text =
            "[~, true, no, 80, 0o17, 0x1f, 1.5, -2e3, 10s, '80', !!str 80, 1.2.3, '', 08:00, .inf, 1e999]";
        let (documents, wrong) = read(&format!("a: {text}"));
        assert!(wrong.is_empty(), "{wrong:?}");
        let expected = json!([
            null, true, "no", 80, 15, 31, 1.5, -2000.0, "10s", "80", "80", "1.2.3", "", "08:00", ".inf",
            "1e999"
        ]);
        assert_eq!(documents[0].fields()["a"], expected);
    }

    #[test]
    fn every_mistake_has_its_place() {
        for (text, place, words) in [
            ("a: 1\na: 2", "2:1", "stands twice"),
            ("a: [1", "2:1", "expected"),
            ("a: \"\u{1}\"", "1:5", "control"),
            ("a: b\0c", "1:5", "control"),
            ("- 1", "1:1", "expected a map"),
            ("a: !secret x", "1:4", "'!secret' is not taken"),
            ("a: &x [*x]", "1:8", "inside"),
            ("[a]: 1", "1:1", "a key must be a word"),
            ("a: *x", "1:4", ""),
        ] {
            let (_, wrong) = read(text);
            let first = wrong.first().unwrap_or_else(|| panic!("{text} is fine"));
            let seen = first.place.unwrap().to_string();
            assert!(
                seen.starts_with(place) && first.detail.contains(words),
                "{text}: {seen} {}",
                first.detail
            );
        }
    }

    #[test]
    fn several_documents_are_read_one_by_one_and_aliases_work() {
        let (documents, wrong) = read("a: &x {b: 1}\nc: *x\n---\n# nothing\n---\nd: 1\n");
        assert!(wrong.is_empty(), "{wrong:?}");
        let seen: Vec<_> =
            documents.iter().map(|document| Value::Object(document.fields().clone())).collect();
        assert_eq!(seen, [json!({"a": {"b": 1}, "c": {"b": 1}}), json!({}), json!({"d": 1})]);
    }

    #[test]
    fn bombs_and_towers_are_refused_and_do_no_harm() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = level - 1;
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", "));
        }
        let long = format!("a: &a {}\nb: [{}]", "x".repeat(100_000), vec!["*a"; 1_000].join(", "));
        let towers = ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(10_000), "? ".repeat(10_000)];
        for text in [bomb, long].iter().chain(&towers) {
            assert!(!read(text).1.is_empty(), "{}", &text[..20]);
        }
    }
}
