//! `vilicus-agent kinds`: what can be checked, and with which parameters.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::Value;
use vilicus_agent::checks::{StockOptions, stock_kinds};
use vilicus_core::kind::{BuildError, KindDescription};
use vilicus_core::{KindRegistry, params};

use crate::Failure;
use crate::args::KindsOptions;
use crate::terminal::say;

pub(crate) fn run(options: &KindsOptions) -> Result<ExitCode, Failure> {
    let kinds = stock_kinds(StockOptions::default());
    match &options.kind {
        None => say(&list(&kinds)),
        Some(name) => say(&describe(&known(&kinds, name)?)),
    }
    Ok(ExitCode::SUCCESS)
}

fn known(kinds: &KindRegistry, name: &str) -> Result<KindDescription, Failure> {
    kinds.describe(name).ok_or_else(|| {
        let near = params::nearest(name, kinds.names()).map(str::to_owned);
        let unknown = BuildError::UnknownKind { name: name.to_owned(), near };
        Failure::Usage(format!("{unknown}; `vilicus-agent kinds` lists all"))
    })
}

fn list(kinds: &KindRegistry) -> String {
    let width = kinds.names().map(str::len).max().unwrap_or(0);
    kinds.names().filter_map(|name| kinds.describe(name)).fold(String::new(), |mut text, kind| {
        let _ = writeln!(text, "{:width$}  {}", kind.name, kind.description);
        text
    })
}

fn describe(kind: &KindDescription) -> String {
    let mut text = format!("{}: {}\n", kind.name, kind.description);
    let properties = kind.params_schema.get("properties").and_then(Value::as_object);
    text.push_str("\nparameters\n");
    if properties.is_none_or(serde_json::Map::is_empty) {
        text.push_str("  none\n");
    }
    for (name, property) in properties.into_iter().flatten() {
        let _ =
            writeln!(text, "  {name} ({})  {}", nature(&kind.params_schema, name, property), words(property));
    }
    text.push_str("\nmetrics\n");
    if kind.metrics.is_empty() {
        text.push_str("  what the program prints as perfdata\n");
    }
    for metric in kind.metrics {
        let unit = if metric.unit.is_empty() { String::new() } else { format!(" ({})", metric.unit) };
        let _ = writeln!(text, "  {}{unit}  {}", metric.name, metric.description);
    }
    text
}

/// `integer, default 443`, or `text, required`.
fn nature(schema: &Value, name: &str, property: &Value) -> String {
    let required =
        schema.get("required").and_then(Value::as_array).is_some_and(|names| names.iter().any(|n| n == name));
    let standard = match property.get("default") {
        _ if required => ", required".to_owned(),
        None | Some(Value::Null) => ", optional".to_owned(),
        Some(value) => format!(", default {value}"),
    };
    format!("{}{standard}", type_name(schema, property))
}

fn type_name(schema: &Value, property: &Value) -> String {
    let name = |name: &str| if name == "string" { "text".to_owned() } else { name.to_owned() };
    if let Some(target) = property.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'))
    {
        return match target.rsplit('/').next() {
            Some("Duration") => "duration".to_owned(),
            _ => {
                schema.pointer(target).map_or_else(|| "value".to_owned(), |target| type_name(schema, target))
            }
        };
    }
    match property.get("type") {
        Some(Value::String(one)) => name(one),
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.map(name).collect::<Vec<_>>().join(" or ")
        }
        _ => alternatives(schema, property),
    }
}

fn alternatives(schema: &Value, property: &Value) -> String {
    let choices = ["anyOf", "oneOf"].iter().filter_map(|key| property.get(key)?.as_array()).flatten();
    let mut names: Vec<String> = choices
        .filter(|choice| choice.get("type").and_then(Value::as_str) != Some("null"))
        .map(|choice| type_name(schema, choice))
        .collect();
    names.dedup();
    if names.is_empty() { "value".to_owned() } else { names.join(" or ") }
}

fn words(property: &Value) -> String {
    let text = property.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_parameter_says_what_it_takes() {
        let schema = json!({
            "required": ["host"],
            "$defs": {"Duration": {"type": "string"}, "Family": {"type": "string", "enum": ["4", "6"]}},
        });
        for (name, property, words) in [
            ("host", json!({"type": "string"}), "text, required"),
            ("port", json!({"type": "integer", "default": 443}), "integer, default 443"),
            ("path", json!({"type": ["string", "null"], "default": null}), "text, optional"),
            ("age", json!({"anyOf": [{"$ref": "#/$defs/Duration"}, {"type": "null"}]}), "duration, optional"),
            ("family", json!({"$ref": "#/$defs/Family"}), "text, optional"),
        ] {
            assert_eq!(nature(&schema, name, &property), words, "{name}");
        }
    }
}
