//! `describe`: all about one object, field by field; of a check also what happened last.

use serde_json::{Map, Value};

use crate::args::{DescribeArgs, Resource};
use crate::client::Client;
use crate::exit::Failure;
use crate::get::path_of;
use crate::print;
use crate::words::text;

/// How many events are shown.
const EVENTS: usize = 10;

/// Shows it.
pub(crate) async fn run(client: &Client, asked: &DescribeArgs) -> Result<(), Failure> {
    let object = client.get(&path_of(asked.resource, &asked.name)).await?;
    let mut out = String::new();
    if let Value::Object(fields) = &object {
        fields_of(fields, 0, &mut out);
    }
    if matches!(asked.resource, Resource::Checks | Resource::Agents) {
        let filter = if asked.resource == Resource::Checks { "check" } else { "agent" };
        let path = format!("/api/v1/event/?{filter}={}", object["id"]);
        out += "events:\n";
        for event in client.list(&path, EVENTS).await? {
            out += &format!("  {}  {}\n", text(&event["at"]), text(&event["summary"]));
        }
    }
    print::write(&out)
}

fn fields_of(fields: &Map<String, Value>, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::Object(inner) if inner.is_empty() => {}
            Value::Array(all) if all.is_empty() => {}
            Value::Object(inner) => {
                *out += &format!("{indent}{name}:\n");
                fields_of(inner, depth + 1, out);
            }
            Value::Array(all) if all.iter().all(Value::is_object) => {
                *out += &format!("{indent}{name}:\n");
                for inner in all.iter().filter_map(Value::as_object) {
                    *out += &format!("{indent}  -\n");
                    fields_of(inner, depth + 2, out);
                }
            }
            Value::String(lines) if lines.contains('\n') => {
                *out += &format!("{indent}{name}:\n");
                for line in lines.lines() {
                    *out += &format!("{indent}  {}\n", text(&line.into()));
                }
            }
            other => *out += &format!("{indent}{name}: {}\n", text(other)),
        }
    }
}
