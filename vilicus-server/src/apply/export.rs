//! What there is, as a configuration: the same tables, names for ids, secrets as `***`. Applied to the server that it came
//! from, it changes nothing.
//!
//! Left out: what exists by itself or by others (an agent's own check, checks that agents bring or templates make, the
//! server's own agent), and fields that say no more than their default.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use vilicus_core::{AgentId, Millis, Timestamp};
use vilicus_store::StoreError;
use vilicus_store::inventory::{AGENT_KIND, Check, Origin};

use super::TABLES;
use super::model::{CHECK_INTERVAL, NEVER, REPEAT};
use super::plan::object::Object;
use super::plan::report::{Names, readable};
use super::plan::snapshot::Snapshot;
use crate::api::AppState;
use crate::api::agent_body::new_agent;
use crate::api::channel_body::new_channel;
use crate::api::check_input::new_check;
use crate::api::downtime_body::new_downtime;
use crate::api::inhibition::new_inhibition;
use crate::api::route_body::new_route;
use crate::api::template_body::new_template;
use crate::self_check;
use crate::templates;

/// Fields that say which object it is, and are written also when they say no more than a default.
const ALWAYS: [&str; 6] = ["name", "agent", "kind", "match", "source", "target"];
/// Fields that agents say of themselves: a configuration that repeated them would hold them fast.
const OF_AGENTS: [&str; 4] = ["hostname", "version", "guid", "facts"];

/// All that is configured, as tables.
///
/// # Errors
/// The store can't read.
pub(crate) async fn export(state: &AppState) -> Result<Map<String, Value>, StoreError> {
    let mut snapshot = Snapshot::read(state.store().as_ref()).await?;
    let names = names(&snapshot);
    let writer = Writer { state, names };
    let own = snapshot.agents.iter().find(|agent| agent.guid.as_deref() == Some(self_check::GUID));
    let own = own.map(|agent| agent.id);
    snapshot.agents.retain(|agent| Some(agent.id) != own);
    snapshot.checks.retain(|check| is_declarable(check) && Some(check.agent) != own);
    let anyone = AgentId::from(std::num::NonZeroU64::MIN);
    let mut tables = Map::new();
    for (table, objects) in TABLES.into_iter().zip([
        writer.all(&snapshot.templates, &new_template()),
        writer.all(&snapshot.agents, &new_agent(Timestamp::EPOCH)),
        writer.all(&snapshot.channels, &new_channel()),
        writer.all(&snapshot.routes, &new_route()),
        writer.all(&snapshot.inhibitions, &new_inhibition()),
        writer.all(&snapshot.downtimes, &new_downtime(String::new(), Timestamp::EPOCH)),
        writer.all(&snapshot.checks, &new_check(anyone, Origin::Server)),
    ]) {
        if !objects.is_empty() {
            tables.insert(table.to_owned(), Value::Array(objects));
        }
    }
    Ok(tables)
}

/// Whether someone made a check, and not an agent, a template or the server itself.
fn is_declarable(check: &Check) -> bool {
    check.kind != AGENT_KIND && check.origin == Origin::Server && !templates::is_made(check)
}

fn names(snapshot: &Snapshot) -> Names {
    let mut names = Names::default();
    let agents: HashMap<AgentId, &str> =
        snapshot.agents.iter().map(|agent| (agent.id, agent.name.as_str())).collect();
    snapshot.agents.iter().for_each(|agent| names.add(&**agent, agent.name.clone()));
    snapshot.channels.iter().for_each(|channel| names.add(&**channel, channel.name.clone()));
    for check in &snapshot.checks {
        let agent = agents.get(&check.agent).copied().unwrap_or_default();
        names.add(&**check, format!("{agent}/{}", check.name));
    }
    names
}

struct Writer<'a> {
    state: &'a AppState,
    names: Names,
}

impl Writer<'_> {
    fn all<O: Object>(&self, objects: &[Arc<O>], default: &O) -> Vec<Value> {
        let default = default.written();
        objects.iter().map(|object| Value::Object(self.one(&**object, &default))).collect()
    }

    fn one<O: Object>(&self, object: &O, default: &Map<String, Value>) -> Map<String, Value> {
        let mut fields = object.written();
        fields.retain(|name, value| {
            let own = O::RESOURCE == "agent" && OF_AGENTS.contains(&name.as_str());
            ALWAYS.contains(&name.as_str()) || (!own && default.get(name) != Some(value))
        });
        for (name, value) in &mut fields {
            if value.is_null() && name == REPEAT {
                *value = NEVER.into();
            }
        }
        if let Some(millis) = fields.remove(CHECK_INTERVAL.1).and_then(|value| value.as_u64()) {
            fields.insert(CHECK_INTERVAL.0.to_owned(), Millis::new(millis).to_string().into());
        }
        readable(O::RESOURCE, fields, &self.names, self.state)
    }
}

/// The tables as TOML.
///
/// # Errors
/// A number that TOML can't hold.
pub(crate) fn to_toml(tables: &Map<String, Value>) -> Result<String, toml::ser::Error> {
    let mut tables = Value::Object(tables.clone());
    without_null(&mut tables);
    toml::to_string(&tables)
}

/// TOML has no `null`: what is not there is left out.
fn without_null(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_null);
        }
        Value::Array(values) => values.iter_mut().for_each(without_null),
        _ => {}
    }
}
