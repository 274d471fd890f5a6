//! `key=value` on the command line, as the JSON that a kind's parameters are. Pure.
//!
//! The kind's own schema decides what a value is: a number, `true`, a list separated by commas, JSON, or text.
//! What does not fit is passed on as text, so that the kind says itself what it expected.

use serde_json::{Map, Value};

/// The parameters that these arguments mean, by a kind's schema.
pub(crate) fn read(schema: &Value, arguments: &[String]) -> Result<Value, String> {
    let mut params = Map::new();
    for argument in arguments {
        let Some((key, text)) = argument.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(format!("'{argument}' is not KEY=VALUE"));
        };
        let property = schema.get("properties").and_then(|properties| properties.get(key));
        let value = property.map_or_else(|| text.into(), |property| value(schema, property, text));
        if params.insert(key.to_owned(), value).is_some() {
            return Err(format!("'{key}' is given twice"));
        }
    }
    Ok(Value::Object(params))
}

/// What a text means where `property` is expected; `root` holds what it refers to.
fn value(root: &Value, property: &Value, text: &str) -> Value {
    let wanted = shapes(root, property);
    let typed = wanted.iter().find_map(|shape| match shape.get("type")?.as_str()? {
        "boolean" => text.parse::<bool>().ok().map(Value::from),
        "integer" => text.parse::<i64>().ok().map(Value::from),
        "number" => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        "object" => json(text, '{'),
        "array" => json(text, '[').or_else(|| Some(list(root, shape, text))),
        _ => None,
    });
    typed.unwrap_or_else(|| text.into())
}

fn json(text: &str, first: char) -> Option<Value> {
    text.starts_with(first).then(|| serde_json::from_str(text).ok()).flatten()
}

fn list(root: &Value, shape: &Value, text: &str) -> Value {
    if text.is_empty() {
        return Value::Array(Vec::new());
    }
    let item = shape.get("items").unwrap_or(&Value::Null);
    text.split(',').map(|part| value(root, item, part.trim())).collect()
}

/// Every shape that a value may have: references followed, alternatives and lists of types taken apart.
fn shapes(root: &Value, property: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    collect(root, property, 0, &mut found);
    found
}

/// The deepest nesting of references that is followed; no kind of ours comes near.
const MAX_DEPTH: usize = 8;

fn collect(root: &Value, property: &Value, depth: usize, found: &mut Vec<Value>) {
    if depth > MAX_DEPTH {
        return;
    }
    if let Some(target) = property.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'))
    {
        return collect(root, root.pointer(target).unwrap_or(&Value::Null), depth + 1, found);
    }
    for alternative in
        ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| property.get(key)?.as_array()).flatten()
    {
        collect(root, alternative, depth + 1, found);
    }
    match property.get("type") {
        Some(Value::Array(names)) => found.extend(names.iter().map(|name| with_type(property, name))),
        Some(name) => found.push(with_type(property, name)),
        None => {}
    }
}

fn with_type(property: &Value, name: &Value) -> Value {
    let mut shape = property.clone();
    shape["type"] = name.clone();
    shape
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "properties": {
                "path": {"type": ["string", "null"]},
                "port": {"type": "integer"},
                "per_core": {"type": "boolean"},
                "args": {"type": "array", "items": {"type": "string"}},
                "sizes": {"type": "array", "items": {"type": "integer"}},
                "env": {"type": "object"},
                "max": {"anyOf": [{"$ref": "#/$defs/Count"}, {"type": "null"}]},
                "loop": {"$ref": "#/properties/loop"},
            },
            "$defs": {"Count": {"type": "integer"}},
        })
    }

    #[test]
    fn values_have_the_type_that_the_schema_says() {
        for (argument, expected) in [
            ("path=/a=b", json!({"path": "/a=b"})),
            ("path=80", json!({"path": "80"})),
            ("port=80", json!({"port": 80})),
            ("port=eighty", json!({"port": "eighty"})),
            ("per_core=true", json!({"per_core": true})),
            ("args=-w,5", json!({"args": ["-w", "5"]})),
            ("args=[\"a,b\"]", json!({"args": ["a,b"]})),
            ("args=", json!({"args": []})),
            ("sizes=1, 2", json!({"sizes": [1, 2]})),
            ("env={\"A\": \"1\"}", json!({"env": {"A": "1"}})),
            ("max=3", json!({"max": 3})),
            ("loop=x", json!({"loop": "x"})),
            ("nonsense=x", json!({"nonsense": "x"})),
        ] {
            assert_eq!(read(&schema(), &[argument.to_owned()]).unwrap(), expected, "{argument}");
        }
    }

    #[test]
    fn arguments_that_mean_nothing_are_refused() {
        for arguments in [vec!["path"], vec!["=x"], vec!["port=1", "port=2"]] {
            let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
            assert!(read(&schema(), &arguments).is_err(), "{arguments:?}");
        }
    }
}
