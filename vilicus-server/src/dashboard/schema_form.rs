//! Forms made of a kind's JSON Schema: a field for each parameter, and parameters of what was filled in.
//!
//! What does not fit is passed on as it was written, for the API says better what is wrong with it.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::words::visible;

/// What the names of these fields begin with, so that no parameter meets a field of the form's own.
const PREFIX: &str = "p.";

/// How a parameter is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// A line of text.
    Text,
    /// A whole or broken number.
    Number,
    /// A text that is not shown.
    Secret,
    /// Yes or no.
    Tick,
    /// One of these.
    Choice(Vec<String>),
    /// One entry a line.
    Lines,
    /// `name: value`, one a line.
    Pairs,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// The name in the form.
    pub(super) name: String,
    /// The name of the parameter.
    pub(super) label: String,
    pub(super) description: String,
    pub(super) input: Input,
    pub(super) required: bool,
    pub(super) value: String,
    /// What it is when nothing is filled in.
    pub(super) default: String,
}

/// The fields of a schema with these values in them, those that are required first.
pub(super) fn fields(schema: &Value, values: &Map<String, Value>) -> Vec<Field> {
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let properties = schema["properties"].as_object();
    let field = |(name, property): (&String, &Value)| {
        let property = Property::new(schema, property);
        let default = text(property.default(), &property.input);
        Field {
            name: format!("{PREFIX}{name}"),
            label: name.replace('_', " "),
            description: property.description(),
            required: required(name),
            value: values.get(name).map_or_else(
                || if property.input == Input::Tick { default.clone() } else { String::new() },
                |value| text(value, &property.input),
            ),
            default,
            input: property.input,
        }
    };
    let mut fields: Vec<_> = properties.into_iter().flatten().map(field).collect();
    fields.sort_by_key(|field| !field.required);
    fields
}

/// The parameters that a form says; what was left empty is left out.
pub(super) fn params(schema: &Value, sent: &HashMap<String, String>) -> Map<String, Value> {
    let mut params = Map::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let property = Property::new(schema, property);
        let written = sent.get(&format!("{PREFIX}{name}")).map(|text| text.trim()).unwrap_or_default();
        if let Some(value) = property.read(written) {
            params.insert(name.clone(), value);
        }
    }
    params
}

/// A parameter in the schema, and what its `$ref` leads to.
struct Property<'a> {
    own: &'a Value,
    meant: &'a Value,
    input: Input,
}

impl<'a> Property<'a> {
    fn new(schema: &'a Value, own: &'a Value) -> Self {
        let meant = meaning(schema, own);
        Self { own, meant, input: input(schema, meant) }
    }

    fn default(&self) -> &'a Value {
        &self.own["default"]
    }

    fn description(&self) -> String {
        let own = self.own["description"].as_str().or_else(|| self.meant["description"].as_str());
        visible(&own.unwrap_or_default().replace('`', ""))
    }

    fn read(&self, written: &str) -> Option<Value> {
        match self.input {
            Input::Tick => {
                let value = Value::Bool(!written.is_empty());
                // A box that is as it would be without a word says nothing.
                let default = if self.default().is_null() { &Value::Bool(false) } else { self.default() };
                (value != *default).then_some(value)
            }
            _ if written.is_empty() => None,
            Input::Lines => {
                let lines = written.lines().map(str::trim).filter(|line| !line.is_empty());
                Some(lines.map(|line| number_or_text(line, &self.meant["items"])).collect())
            }
            Input::Pairs => {
                let lines = written.lines().filter(|line| !line.trim().is_empty());
                let pair = |line: &str| {
                    let (name, value) = line.split_once(':').unwrap_or((line, ""));
                    (name.trim().to_owned(), scalar(value.trim(), &self.meant["additionalProperties"]))
                };
                Some(Value::Object(lines.map(pair).collect()))
            }
            _ => Some(number_or_text(written, self.meant)),
        }
    }
}

/// Follows `$ref`, and the one alternative that is not `null`.
fn meaning<'a>(schema: &'a Value, property: &'a Value) -> &'a Value {
    if let Some(name) = property["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return meaning(schema, &schema["$defs"][name]);
    }
    let alternatives = property["anyOf"].as_array().into_iter().flatten();
    let mut real = alternatives.filter(|one| one["type"] != "null");
    match (real.next(), real.next()) {
        (Some(only), None) => meaning(schema, only),
        _ => property,
    }
}

fn input(schema: &Value, property: &Value) -> Input {
    let choices = choices(schema, property);
    if !choices.is_empty() {
        return Input::Choice(choices);
    }
    if property["writeOnly"] == true {
        return Input::Secret;
    }
    let types = types(property);
    match types.as_slice() {
        ["boolean"] => Input::Tick,
        ["array"] => Input::Lines,
        ["object"] => Input::Pairs,
        ["integer" | "number"] => Input::Number,
        _ => Input::Text,
    }
}

fn types(property: &Value) -> Vec<&str> {
    match &property["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => {
            several.iter().filter_map(Value::as_str).filter(|one| *one != "null").collect()
        }
        _ => Vec::new(),
    }
}

fn choices(schema: &Value, property: &Value) -> Vec<String> {
    let listed = property["enum"].as_array().into_iter().flatten();
    let described = property["oneOf"].as_array().into_iter().flatten();
    let described = described.map(|one| meaning(schema, one)).flat_map(|one| {
        let several = one["enum"].as_array().into_iter().flatten();
        several.chain(one.get("const"))
    });
    listed.chain(described).filter_map(Value::as_str).map(str::to_owned).collect()
}

/// An entry of an object: a text where the schema wants one, and otherwise what it looks like.
fn scalar(written: &str, wanted: &Value) -> Value {
    let read = serde_json::from_str::<Value>(written).ok();
    let read = read.filter(|value| value.is_number() || value.is_boolean());
    match read {
        Some(read) if types(wanted).first() != Some(&"string") => read,
        _ => written.into(),
    }
}

/// As the schema wants it first, if it can be read so.
fn number_or_text(written: &str, property: &Value) -> Value {
    let number = matches!(types(property).first(), Some(&("integer" | "number")));
    let read = serde_json::from_str::<Value>(written).ok().filter(Value::is_number);
    match read {
        Some(read) if number => read,
        _ => written.into(),
    }
}

fn text(value: &Value, input: &Input) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(false) if *input == Input::Tick => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(|one| text(one, input)).collect::<Vec<_>>().join("\n"),
        Value::Object(all) => {
            let pairs = all.iter().map(|(name, value)| format!("{name}: {}", text(value, input)));
            pairs.collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "properties": {
                "count": {"type": ["integer", "null"]},
                "url": {"type": "string", "description": "Where."},
                "secret": {"type": "string", "writeOnly": true},
                "follow": {"type": "boolean", "default": true},
                "ports": {"type": "array", "items": {"type": "integer"}},
                "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                "status": {"type": ["string", "integer"]},
                "expect": {"type": "object", "additionalProperties": true},
                "method": {"$ref": "#/$defs/Method", "default": "POST"},
                "within": {"anyOf": [{"$ref": "#/$defs/Span"}, {"type": "null"}]},
            },
            "required": ["url"],
            "$defs": {
                "Method": {"oneOf": [{"const": "POST", "type": "string"}, {"const": "PUT", "type": "string"}]},
                "Span": {"type": ["integer", "string"]},
            },
        })
    }

    fn sent(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| (format!("p.{name}"), (*value).to_owned())).collect()
    }

    #[test]
    fn each_type_has_its_field() {
        let fields = fields(&schema(), &Map::new());
        let input = |label: &str| fields.iter().find(|field| field.label == label).unwrap().input.clone();
        assert!(fields[0].required && fields[0].name == "p.url" && fields[0].description == "Where.");
        assert_eq!(input("count"), Input::Number);
        assert_eq!(input("secret"), Input::Secret);
        assert_eq!(input("follow"), Input::Tick);
        assert_eq!(input("ports"), Input::Lines);
        assert_eq!(input("headers"), Input::Pairs);
        assert_eq!(input("within"), Input::Text);
        assert_eq!(input("method"), Input::Choice(vec!["POST".to_owned(), "PUT".to_owned()]));
    }

    #[test]
    fn what_is_filled_in_is_read_as_the_schema_wants_it() {
        let written = sent(&[
            ("url", " https://a "),
            ("count", "3"),
            ("ports", "80\n\n443"),
            ("headers", "X-A: 1\nX-B: b:c"),
            ("status", "200"),
            ("expect", "nodes.0.up: true\ncount: 3\nname: a"),
            ("within", "5m"),
            ("follow", "1"),
        ]);
        let expected = json!({"url": "https://a", "count": 3, "ports": [80, 443], "headers": {"X-A": "1", "X-B": "b:c"}, "within": "5m",
            "status": "200", "expect": {"nodes.0.up": true, "count": 3, "name": "a"}});
        assert_eq!(Value::Object(params(&schema(), &written)), expected);
        assert_eq!(params(&schema(), &sent(&[("count", "many")]))["count"], "many");
        assert_eq!(params(&schema(), &HashMap::new()), *json!({"follow": false}).as_object().unwrap());
    }

    #[test]
    fn what_was_read_fills_the_form_again() {
        let values = json!({"url": "u", "count": 3, "ports": [80, 443], "headers": {"a": "b"}, "follow": false, "within": 60});
        let fields = fields(&schema(), values.as_object().unwrap());
        let again = fields.into_iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(Value::Object(params(&schema(), &again)), values);
    }
}
