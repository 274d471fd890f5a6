//! The tables of a configuration as typed input, by the same types as the API's: one model with three doors.
//!
//! What is read here is the form of each object alone; what it may be is judged where it is planned. An object with a
//! mistake is read on as far as it can be, so that its other mistakes are named too.

use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, Schema};
use vilicus_core::Millis;
use vilicus_core::params::nearest;

use super::document::shown;
use super::fault::Faults;
use super::{Configuration, Entry, TABLES};
use crate::api::agent_body::AgentInput;
use crate::api::channel_body::ChannelInput;
use crate::api::check_input::CheckInput;
use crate::api::downtime_body::DowntimeInput;
use crate::api::inhibition::InhibitionInput;
use crate::api::route_body::RouteInput;
use crate::api::template_body::TemplateInput;
use crate::http::json::{Sent, from_fields};

/// An object as it is written, and typed as far as its form allows.
#[derive(Debug)]
pub(super) struct Declared<T> {
    pub(super) entry: Entry,
    /// `None` when something that it can't do without is missing or wrong.
    pub(super) input: Option<T>,
}

/// Everything that a configuration says.
#[derive(Default)]
pub(super) struct Model {
    pub(super) templates: Vec<Declared<TemplateInput>>,
    pub(super) agents: Vec<Declared<AgentInput>>,
    pub(super) channels: Vec<Declared<ChannelInput>>,
    pub(super) routes: Vec<Declared<RouteInput>>,
    pub(super) inhibitions: Vec<Declared<InhibitionInput>>,
    pub(super) downtimes: Vec<Declared<DowntimeInput>>,
    pub(super) checks: Vec<Declared<CheckInput>>,
}

impl Model {
    /// Reads all tables.
    pub(super) fn read(configuration: &Configuration, faults: &mut Faults) -> Self {
        let mut model = Self::default();
        for part in &configuration.parts {
            let whole = |pointer: String| Entry::new(part, pointer, Map::new());
            for (table, value) in part.document.fields() {
                let pointer = format!("/{}", vilicus_core::params::escape_pointer(table));
                if !TABLES.contains(&table.as_str()) {
                    faults.name(&whole(pointer), "", unknown(table, TABLES.into_iter()));
                    continue;
                }
                match value {
                    Value::Array(objects) => {
                        for (index, object) in objects.iter().enumerate() {
                            let entry = whole(format!("{pointer}/{index}"));
                            match object {
                                Value::Object(fields) => {
                                    model.take(table, Entry { fields: fields.clone(), ..entry }, faults)
                                }
                                _ => faults.value(
                                    &entry,
                                    "",
                                    format!("expected a table, as one [[{table}]] begins"),
                                ),
                            }
                        }
                    }
                    // In YAML a table may be named and left empty.
                    Value::Null => {}
                    _ => faults.name(
                        &whole(pointer),
                        "",
                        format!("'{table}' is a list: write [[{table}]], or '- ' below '{table}:' in YAML"),
                    ),
                }
            }
        }
        model
    }

    fn take(&mut self, table: &str, entry: Entry, faults: &mut Faults) {
        match table {
            "template" => self.templates.push(Declared::read(entry, faults)),
            "agent" => self.agents.push(Declared::read(with_check_interval(entry, faults), faults)),
            "channel" => self.channels.push(Declared::read(entry, faults)),
            "route" => self.routes.push(Declared::read(as_route(entry), faults)),
            "inhibition" => self.inhibitions.push(Declared::read(entry, faults)),
            "downtime" => self.downtimes.push(Declared::read(with_a_start(entry, faults), faults)),
            _ => self.checks.push(Declared::read(entry, faults)),
        }
    }
}

/// The longer name that a configuration has for the interval of an agent, and the API's.
pub(super) const CHECK_INTERVAL: (&str, &str) = ("check_interval", "check_interval_ms");

/// An agent's `check_interval`, as the API has it: in milliseconds.
fn with_check_interval(mut entry: Entry, faults: &mut Faults) -> Entry {
    let (written, sent) = CHECK_INTERVAL;
    let Some(value) = entry.fields.remove(written) else { return entry };
    match serde_json::from_value::<Millis>(value) {
        Ok(span) => drop(entry.fields.insert(sent.to_owned(), span.get().into())),
        Err(error) => {
            faults.value(&entry, &format!("/{written}"), error.to_string());
            entry.broken.push(sent.to_owned());
        }
    }
    entry
}

/// Stands for the name of a route that has none, until it is known which route it is.
pub(super) const UNNAMED: &str = "unnamed";

/// How a configuration says that a route repeats nothing, which the API says with `null`: TOML has none.
pub(super) const NEVER: &str = "never";
/// The field that may say so.
pub(super) const REPEAT: &str = "repeat_interval";

/// A route as the API has it.
fn as_route(mut entry: Entry) -> Entry {
    if let Some(repeat) = entry.fields.get_mut(REPEAT).filter(|repeat| *repeat == NEVER) {
        *repeat = Value::Null;
    }
    if !entry.fields.contains_key("name") {
        entry.unnamed = true;
        entry.fields.insert("name".to_owned(), UNNAMED.into());
    }
    entry
}

/// In a request a downtime without a start begins at once; in a configuration it would begin anew each time.
fn with_a_start(entry: Entry, faults: &mut Faults) -> Entry {
    if entry.fields.contains_key("end") && !entry.fields.contains_key("start") {
        faults.value(
            &entry,
            "/start",
            "is missing: a configuration says when, or it would begin anew each time",
        );
    }
    entry
}

impl<T: Sent> Declared<T> {
    fn read(mut entry: Entry, faults: &mut Faults) -> Self {
        let shape = Shape::of::<T>();
        let mut fields = std::mem::take(&mut entry.fields);
        fields.retain(|name, _| !T::READ_ONLY.contains(&name.as_str()));
        fields.retain(|name, _| {
            let known = shape.names.contains(name);
            if !known {
                let pointer = format!("/{}", vilicus_core::params::escape_pointer(name));
                faults.name(&entry, &pointer, unknown(name, shape.known()));
            }
            known
        });
        for name in shape.required.iter().filter(|name| !fields.contains_key(*name)) {
            faults.value(&entry, &format!("/{name}"), "is missing");
            entry.broken.push(name.clone());
        }
        let input = read_on(&mut entry, &fields, faults);
        Self { entry: Entry { fields, ..entry }, input }
    }
}

/// Reads what can be read: each field that can't is named, left out, and the rest read again.
fn read_on<T: Sent>(entry: &mut Entry, fields: &Map<String, Value>, faults: &mut Faults) -> Option<T> {
    let mut fields = fields.clone();
    loop {
        let problem = match from_fields(fields.clone()) {
            Ok(input) => return Some(input),
            Err(problem) => problem,
        };
        let place = problem.errors().first().map(|mistake| mistake.pointer.clone()).unwrap_or_default();
        let name = super::top(&place);
        if !entry.broken.contains(&name) {
            faults.problem(entry, &problem);
            entry.broken.push(name.clone());
        }
        // What is missing can't be left out.
        fields.remove(&name)?;
    }
}

/// The fields that an object may have.
struct Shape {
    names: Vec<String>,
    required: Vec<String>,
}

impl Shape {
    fn of<T: Sent>() -> Self {
        match T::schema() {
            RefOr::T(Schema::Object(object)) => {
                Self { names: object.properties.keys().cloned().collect(), required: object.required }
            }
            _ => Self { names: Vec::new(), required: Vec::new() },
        }
    }

    /// The names as a configuration has them.
    fn known(&self) -> impl Iterator<Item = &str> + Clone {
        let (written, sent) = CHECK_INTERVAL;
        self.names.iter().map(move |name| if name == sent { written } else { name })
    }
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let name = shown(name);
    match nearest(&name, known.clone()) {
        Some(near) => format!("unknown key '{name}'; did you mean '{near}'?"),
        None => format!("unknown key '{name}'; known are {}", known.collect::<Vec<_>>().join(", ")),
    }
}
