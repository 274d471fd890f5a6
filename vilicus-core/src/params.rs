//! Typed parameters with a JSON Schema, for check kinds and notifier kinds alike.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Parameters that do not fit; names the place and the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ParamsError {
    /// The place, as a JSON pointer relative to the parameters (`/port`; empty for the whole).
    pub pointer: String,
    /// What is wrong there, and what would be right.
    pub detail: String,
}

impl ParamsError {
    /// Something is wrong with the parameter of this name; an empty name means all of them.
    #[must_use]
    pub fn new(name: &str, detail: impl Into<String>) -> Self {
        let pointer = if name.is_empty() { String::new() } else { format!("/{}", escape_pointer(name)) };
        Self { pointer, detail: detail.into() }
    }
}

/// A name as a part of a JSON pointer (RFC 6901): `~` is `~0`, `/` is `~1`.
#[must_use]
pub fn escape_pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The known name nearest to a misspelled one, if one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(name.len()) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The JSON Schema of a parameter type.
#[must_use]
pub fn schema_of<P: JsonSchema>() -> Value {
    schemars::schema_for!(P).to_value()
}

/// Reads parameters of type `P`; `null` means none given.
///
/// # Errors
/// An unknown name (with the nearest known one), a missing one, or a value of the wrong type.
pub fn parse<P: DeserializeOwned + JsonSchema>(params: &Value) -> Result<P, ParamsError> {
    let empty = Value::Object(serde_json::Map::new());
    let params = if params.is_null() { &empty } else { params };
    let Some(fields) = params.as_object() else {
        return Err(ParamsError::new("", "params must be an object"));
    };
    let schema = schema_of::<P>();
    check_names(fields, &schema)?;
    serde_path_to_error::deserialize(params).map_err(|error| {
        let pointer = error.path().iter().map(pointer_part).collect();
        describe(pointer, &error.into_inner().to_string())
    })
}

fn check_names(fields: &serde_json::Map<String, Value>, schema: &Value) -> Result<(), ParamsError> {
    // A type without fields has no properties at all; one that takes any name says so.
    let none = serde_json::Map::new();
    let known = match schema.get("properties").and_then(Value::as_object) {
        Some(known) => known,
        None if schema.get("additionalProperties").is_none_or(|any| any == false) => &none,
        None => return Ok(()),
    };
    match fields.keys().find(|name| !known.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(ParamsError::new(name, unknown_name(name, known.keys().map(String::as_str)))),
    }
}

/// 'unknown parameter …', with the nearest known name or the list of all.
fn unknown_name<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(near) => format!("unknown parameter '{name}'; did you mean '{near}'?"),
        None if known.clone().next().is_none() => format!("unknown parameter '{name}'; this kind has none"),
        None => format!("unknown parameter '{name}'; known are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

fn pointer_part(segment: &serde_path_to_error::Segment) -> String {
    use serde_path_to_error::Segment;
    match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escape_pointer(key)),
        // The name of a variant is the value itself, not a place below it.
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    }
}

/// The error in words that need no knowledge of Rust, beginning with the name of the parameter.
fn describe(pointer: String, message: &str) -> ParamsError {
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    if let Some(name) = missing {
        let pointer = format!("{pointer}/{}", escape_pointer(name));
        return ParamsError { pointer, detail: format!("the parameter '{name}' is missing") };
    }
    let name = pointer.split('/').nth(1).unwrap_or("params").replace("~1", "/").replace("~0", "~");
    let mut message = message.to_owned();
    for (rust, words) in NUMBERS {
        if let Some(head) = message.strip_suffix(&format!("expected {rust}")) {
            message = format!("{head}expected {words}");
            break;
        }
    }
    ParamsError { pointer, detail: format!("{name}: {message}") }
}

/// What Rust's number types are called in messages.
const NUMBERS: [(&str, &str); 7] = [
    ("u8", "a whole number from 0 to 255"),
    ("u16", "a whole number from 0 to 65535"),
    ("u32", "a whole number from 0 to 4294967295"),
    ("u64", "a whole number, 0 or more"),
    ("usize", "a whole number, 0 or more"),
    ("i64", "a whole number"),
    ("f64", "a number"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize, JsonSchema)]
    struct Params {
        host: String,
        #[serde(default)]
        port: u16,
        #[serde(default)]
        family: Family,
    }

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Family {
        #[default]
        Any,
        Inet,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    struct Nothing {}

    #[test]
    fn mistakes_name_the_place_and_the_mend() {
        for (params, pointer, words) in [
            (json!({"host": "a", "prot": 1}), "/prot", "did you mean 'port'"),
            (json!({"port": 1}), "/host", "missing"),
            (json!({"host": "a", "port": "x"}), "/port", "port: invalid type"),
            (json!({"host": "a", "port": 99999}), "/port", "expected a whole number from 0 to 65535"),
            (json!({"host": "a", "family": "x"}), "/family", "family: unknown variant"),
            (json!([]), "", "must be an object"),
            (json!({"host": "a", "a/b": 1}), "/a~1b", "unknown parameter"),
        ] {
            let error = parse::<Params>(&params).unwrap_err();
            assert_eq!(error.pointer, pointer, "{params}");
            assert!(error.detail.contains(words), "{}", error.detail);
        }
        assert!(parse::<Nothing>(&json!({"host": "a"})).unwrap_err().detail.contains("has none"));
        let params: Params = parse(&json!({"host": "a"})).unwrap();
        assert_eq!((params.host.as_str(), params.port), ("a", 0));
        assert!(matches!(params.family, Family::Any));
        let params: Params = parse(&json!({"host": "a", "family": "inet"})).unwrap();
        assert!(matches!(params.family, Family::Inet));
    }
}
