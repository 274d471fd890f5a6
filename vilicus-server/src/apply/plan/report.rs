//! A plan as people read it: which objects, which fields, from what to what, with names for ids and without secrets.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::object::Object;
use crate::api::AppState;
use crate::api::channel_body::hide;
use crate::templates;

/// What a configuration makes of the one that is there, or would make.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Report {
    /// Whether nothing was carried out.
    pub dry_run: bool,
    /// Objects that are new.
    pub create: Vec<Line>,
    /// Objects that change.
    pub update: Vec<Line>,
    /// Objects that go.
    pub delete: Vec<Line>,
    /// Objects that are as they shall be.
    pub unchanged: Vec<Line>,
    /// What else there is to know, for people.
    pub notes: Vec<String>,
}

/// One object of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Line {
    /// What it is: `agent`, `check`, `channel`, `route` …
    pub resource: &'static str,
    /// Its name; of a check `agent/check`.
    pub name: String,
    /// Who manages it from now on: a file, a template, or the name that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// Whether it was made by hand, or managed by someone else, and is taken over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// The fields that change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
}

/// One field that changes.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FieldChange {
    /// Its name; below `params` with that before it, as `params.url`.
    pub field: String,
    /// What it was; `null` when it was not there. Secrets are `"***"`.
    pub from: Value,
    /// What it becomes; `null` when it goes.
    pub to: Value,
}

impl Report {
    /// Whether nothing has to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.update.is_empty() && self.delete.is_empty()
    }
}

/// The names of objects, by what they are and their ids.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<(&'static str, u64), String>);

impl Names {
    pub(crate) fn add<O: Object>(&mut self, object: &O, name: String) {
        self.0.insert((O::RESOURCE, object.number()), name);
    }

    pub(crate) fn of(&self, resource: &'static str, id: u64) -> String {
        self.0.get(&(resource, id)).cloned().unwrap_or_else(|| id.to_string())
    }

    /// Puts names in the place of ids in the field of an object.
    fn put(&self, resource: &'static str, value: &mut Value) {
        match value {
            Value::Number(id) => *value = self.of(resource, id.as_u64().unwrap_or_default()).into(),
            Value::Array(values) => values.iter_mut().for_each(|value| self.put(resource, value)),
            _ => {}
        }
    }
}

/// An object as people may read it: names for ids, `***` for secrets.
pub(crate) fn readable(
    resource: &'static str,
    mut fields: Map<String, Value>,
    names: &Names,
    state: &AppState,
) -> Map<String, Value> {
    for (field, target) in [
        ("agent", "agent"),
        ("depends_on", "check"),
        ("depends_on_any", "check"),
        ("channels", "channel"),
        ("fallback", "channel"),
    ] {
        if let Some(value) = fields.get_mut(field) {
            names.put(target, value);
        }
    }
    if let Some(Value::Array(steps)) = fields.get_mut("escalate") {
        for channels in steps.iter_mut().filter_map(|step| step.get_mut("channels")) {
            names.put("channel", channels);
        }
    }
    hide_secrets(resource, &mut fields, state);
    fields
}

fn hide_secrets(resource: &'static str, fields: &mut Map<String, Value>, state: &AppState) {
    let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default();
    let secrets = match resource {
        "check" => state.kinds().secret_params(kind),
        "channel" => channel_secrets(kind, fields, state),
        _ => Vec::new(),
    };
    if let Some(Value::Object(params)) = fields.get_mut("params") {
        for (_, value) in params.iter_mut().filter(|(name, _)| secrets.contains(name)) {
            hide(value);
        }
    }
    if let Some(Value::Array(checks)) = fields.get_mut("checks").filter(|_| resource == "template") {
        let secrets_of = |kind: &str| state.kinds().secret_params(kind);
        for check in checks.iter_mut().filter_map(Value::as_object_mut) {
            templates::each_secret(std::slice::from_mut(check), secrets_of, |_, _, _, value| hide(value));
        }
    }
}

/// The secret parameters of a channel; all of them when nobody knows its kind any longer.
fn channel_secrets(kind: &str, fields: &Map<String, Value>, state: &AppState) -> Vec<String> {
    match state.notifiers().describe(kind) {
        Some(kind) => kind.secrets.iter().map(|name| (*name).to_owned()).collect(),
        None => {
            fields.get("params").and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned().collect()
        }
    }
}

/// The fields in which two objects differ, shown as in `shown`.
pub(super) fn differences(
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    shown: (&Map<String, Value>, &Map<String, Value>),
) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    for name in names.filter(|name| old.get(*name) != new.get(*name)) {
        match (old.get(name), new.get(name)) {
            (Some(Value::Object(old)), Some(Value::Object(new))) if name == "params" => {
                let params = |fields: &Map<String, Value>| match fields.get(name) {
                    Some(Value::Object(params)) => params.clone(),
                    _ => Map::new(),
                };
                let below = differences(old, new, (&params(shown.0), &params(shown.1)));
                changes.extend(
                    below
                        .into_iter()
                        .map(|change| FieldChange { field: format!("params.{}", change.field), ..change }),
                );
            }
            _ => changes.push(FieldChange {
                field: name.clone(),
                from: shown.0.get(name).cloned().unwrap_or_default(),
                to: shown.1.get(name).cloned().unwrap_or_default(),
            }),
        }
    }
    changes
}
