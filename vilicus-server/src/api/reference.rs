//! References: an object is named by its id (`1`), its name (`"web-1"`, a check as `"web-1/disk-root"`), or its
//! `resource_uri`. What the caller may not know of is not found.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vilicus_core::{AgentId, CheckId};
use vilicus_store::query::{AgentFilter, AgentView, CheckFilter, CheckView, Page};

use super::AppState;
use crate::http::Problem;
use crate::http::auth::Caller;

/// Where everything of this version stands.
pub(crate) const ROOT: &str = "/api/v1";

/// The `resource_uri` of an object.
pub(crate) fn uri(resource: &str, id: impl fmt::Display) -> String {
    format!("{ROOT}/{resource}/{id}/")
}

/// One object, as the caller names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Reference {
    /// The resource that a `resource_uri` names.
    resource: Option<String>,
    target: Target,
}

/// Which object of its resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// By id.
    Id(u64),
    /// By name.
    Name(String),
}

impl Reference {
    /// The object with this id.
    pub(crate) fn id(id: u64) -> Self {
        Self { resource: None, target: Target::Id(id) }
    }

    /// A reference in a body, a path or a query: an id, a name, or a `resource_uri`.
    pub(crate) fn parse(text: &str) -> Self {
        let local = text.find("/api/v1/").map_or(text, |at| &text[at..]);
        let path = local.strip_prefix("/api/v1/").and_then(|path| path.trim_end_matches('/').split_once('/'));
        match path {
            Some((resource, name)) => Self {
                resource: Some(resource.to_owned()),
                target: Target::parse(&percent_decode_str(name).decode_utf8_lossy()),
            },
            None => Self { resource: None, target: Target::parse(text) },
        }
    }

    /// What it names among agents; `None` when it names something else.
    pub(crate) fn among(&self, resource: &str) -> Option<&Target> {
        // The views by kind, as `disk_check`, show checks.
        let same = |named: &String| named == resource || (resource == "check" && named.ends_with("_check"));
        self.resource.as_ref().is_none_or(same).then_some(&self.target)
    }
}

impl Target {
    fn parse(name: &str) -> Self {
        let digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        match name.parse() {
            Ok(id) if digits => Self::Id(id),
            _ => Self::Name(name.to_owned()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Id(id) => id.fmt(f),
            Target::Name(name) => write!(f, "{:?}", name.chars().take(255).collect::<String>()),
        }
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.target {
            Target::Id(id) => serializer.serialize_u64(*id),
            Target::Name(name) => serializer.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdOrName;

        impl Visitor<'_> for IdOrName {
            type Value = Reference;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id, a name or a resource_uri")
            }

            fn visit_u64<E: Error>(self, id: u64) -> Result<Reference, E> {
                if id == 0 { Err(E::custom("an id is at least 1")) } else { Ok(Reference::id(id)) }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Reference, E> {
                match text.is_empty() {
                    true => Err(E::custom("a reference is empty; give an id, a name or a resource_uri")),
                    false => Ok(Reference::parse(text)),
                }
            }
        }

        deserializer.deserialize_any(IdOrName)
    }
}

/// The agent of this name or id, if there is one that the caller may know of.
pub(crate) async fn find_agent(
    state: &AppState,
    caller: &Caller,
    reference: &Reference,
) -> Result<Option<AgentView>, Problem> {
    let Some(target) = reference.among("agent") else { return Ok(None) };
    let view = match target {
        Target::Id(id) => match AgentId::new(*id) {
            Some(id) if caller.sees(id) => state.store().agent(id).await?,
            _ => None,
        },
        Target::Name(name) => {
            let filter = AgentFilter { names: vec![name.clone()], ..AgentFilter::default() };
            state.store().agents(&filter, Page::ALL).await?.objects.into_iter().next()
        }
    };
    Ok(view.filter(|view| caller.sees(view.agent.id)))
}

/// The agent of this path.
pub(crate) async fn agent_at(state: &AppState, caller: &Caller, path: &str) -> Result<AgentView, Problem> {
    find_agent(state, caller, &Reference::parse(path)).await?.ok_or_else(Problem::not_found)
}

/// The check of this name or id, if there is one that the caller may know of. An agent may leave its own name out.
pub(crate) async fn find_check(
    state: &AppState,
    caller: &Caller,
    reference: &Reference,
) -> Result<Option<CheckView>, Problem> {
    let Some(target) = reference.among("check") else { return Ok(None) };
    let view = match target {
        Target::Id(id) => match CheckId::new(*id) {
            Some(id) => state.store().check(id).await?,
            None => None,
        },
        Target::Name(name) => check_by_name(state, caller, name).await?,
    };
    Ok(view.filter(|view| caller.sees(view.agent.id)))
}

async fn check_by_name(state: &AppState, caller: &Caller, name: &str) -> Result<Option<CheckView>, Problem> {
    let (agent, name) = match (name.split_once('/'), caller.agent()) {
        (Some((agent, name)), _) => {
            let agent = find_agent(state, caller, &Reference::parse(agent)).await?;
            (agent.map(|view| view.agent.id), name)
        }
        (None, own) => (own, name),
    };
    let Some(agent) = agent else { return Ok(None) };
    let filter = CheckFilter { agents: vec![agent], names: vec![name.to_owned()], ..CheckFilter::default() };
    Ok(state.store().checks(&filter, Page::ALL).await?.objects.into_iter().next())
}

/// The check of this path.
pub(crate) async fn check_at(state: &AppState, caller: &Caller, path: &str) -> Result<CheckView, Problem> {
    find_check(state, caller, &Reference::parse(path)).await?.ok_or_else(Problem::not_found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_in_any_of_three_ways() {
        let name = |text: &str| Target::Name(text.to_owned());
        for (text, expected) in [
            ("7", Target::Id(7)),
            ("/api/v1/check/7/", Target::Id(7)),
            ("/api/v1/check/7", Target::Id(7)),
            ("/api/v1/disk_check/7/", Target::Id(7)),
            ("http://127.0.0.1:8080/api/v1/check/7/", Target::Id(7)),
            ("/api/v1/check/web-1%2Fdisk-root/", name("web-1/disk-root")),
            ("web-1/disk-root", name("web-1/disk-root")),
            ("7a", name("7a")),
            ("+7", name("+7")),
            ("99999999999999999999", name("99999999999999999999")),
        ] {
            assert_eq!(Reference::parse(text).among("check"), Some(&expected), "{text}");
        }
        assert_eq!(Reference::parse("/api/v1/agent/7/").among("check"), None, "an agent is no check");
        for json in ["0", "-1", "1.5", "null", "\"\"", "[1]", "true"] {
            assert!(serde_json::from_str::<Reference>(json).is_err(), "{json}");
        }
    }
}
