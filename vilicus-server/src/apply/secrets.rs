//! Secrets that stand elsewhere: `{ env = "NAME" }` and `{ file = "PATH" }` in the parameters of checks and channels.
//!
//! They are fetched where the file is read: by the server for `--apply`, by the client for what it sends. A body that
//! still holds one is refused, or whoever may apply could read the server's files.

use std::path::Path;

use serde_json::{Map, Value};
use vilicus_core::params::escape_pointer;
use vilicus_core::result::error_chain;

use crate::settings::{Environment, SecretSource};

/// How deep in parameters a reference is looked for.
const MAX_DEPTH: usize = 8;

/// A reference in a configuration: its place as a JSON pointer, and what it names.
pub(super) struct Found<'a> {
    pub(super) pointer: String,
    pub(super) source: SecretSource,
    pub(super) value: &'a mut Value,
}

/// Hands every reference in a document to `each`.
pub(super) fn each(fields: &mut Map<String, Value>, each: &mut dyn FnMut(Found<'_>)) {
    for table in ["check", "channel", "template"] {
        let Some(Value::Array(objects)) = fields.get_mut(table) else { continue };
        for (index, object) in objects.iter_mut().enumerate() {
            let pointer = format!("/{table}/{index}");
            in_object(object, &pointer, each);
            let Some(Value::Array(checks)) = object.get_mut("checks").filter(|_| table == "template") else {
                continue;
            };
            for (index, check) in checks.iter_mut().enumerate() {
                in_object(check, &format!("{pointer}/checks/{index}"), each);
            }
        }
    }
}

fn in_object(object: &mut Value, pointer: &str, each: &mut dyn FnMut(Found<'_>)) {
    // The parameters themselves are never one: a check of the kind command has a parameter `env`.
    if let Some(Value::Object(params)) = object.get_mut("params") {
        inside(params.iter_mut(), &format!("{pointer}/params"), MAX_DEPTH, each);
    }
}

fn inside<'a>(
    values: impl Iterator<Item = (&'a String, &'a mut Value)>,
    pointer: &str,
    depth: usize,
    each: &mut dyn FnMut(Found<'_>),
) {
    for (name, value) in values {
        let pointer = format!("{pointer}/{}", escape_pointer(name));
        match (reference(value), value) {
            (Some(source), value) => each(Found { pointer, source, value }),
            (None, Value::Object(fields)) if depth > 0 => {
                inside(fields.iter_mut(), &pointer, depth - 1, each)
            }
            _ => {}
        }
    }
}

/// A table with the one key `env` or `file` and a text.
fn reference(value: &Value) -> Option<SecretSource> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    match fields.iter().next()? {
        (name, Value::String(env)) if name == "env" => Some(SecretSource::Env { env: env.clone() }),
        (name, Value::String(path)) if name == "file" => Some(SecretSource::File { file: path.into() }),
        _ => None,
    }
}

/// The secret that a reference names; paths are relative to `folder`.
pub(super) fn fetch(
    source: &SecretSource,
    folder: &Path,
    environment: &Environment<'_>,
) -> Result<String, String> {
    let source = match source {
        SecretSource::File { file } => SecretSource::File { file: folder.join(file) },
        other => other.clone(),
    };
    source.read(environment).map(|secret| secret.expose().to_owned()).map_err(|error| error_chain(&error))
}

/// A reference in words that show no secret.
pub(super) fn describe(source: &SecretSource) -> String {
    match source {
        SecretSource::Env { env } => format!("the environment variable {env}"),
        SecretSource::File { file } => format!("the file {}", file.display()),
        SecretSource::Value(_) => "the secret".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_found_where_secrets_may_stand_and_nowhere_else() {
        let mut document = json!({
            "channel": [{"params": {"password": {"env": "A"}, "headers": {"Authorization": {"file": "b"}}}}],
            "check": [{"params": {"env": {"LANG": "C"}}, "tags": {"env": "no"}}, {"params": {"env": "x"}}],
            "template": [{"checks": [{"params": {"auth": {"env": "C"}}}], "params": {"x": {"env": 1}}}],
            "agent": [{"params": {"x": {"env": "no"}}}],
            "route": "nonsense",
        });
        let mut seen = Vec::new();
        each(document.as_object_mut().unwrap(), &mut |found| {
            seen.push(format!("{} {}", found.pointer, describe(&found.source)));
        });
        seen.sort();
        assert_eq!(
            seen,
            [
                "/channel/0/params/headers/Authorization the file b",
                "/channel/0/params/password the environment variable A",
                "/template/0/checks/0/params/auth the environment variable C",
            ]
        );
    }
}
