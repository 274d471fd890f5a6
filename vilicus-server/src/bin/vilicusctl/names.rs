//! The names of agents, which checks point to.

use std::collections::HashMap;

use serde_json::Value;

use crate::client::Client;
use crate::exit::Failure;
use crate::words::text;

/// Names of agents, by their `resource_uri`.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<String, String>);

impl Names {
    /// The names of these agents.
    pub(crate) fn new(agents: &[Value]) -> Self {
        let pair = |agent: &Value| Some((agent["resource_uri"].as_str()?.to_owned(), text(&agent["name"])));
        Self(agents.iter().filter_map(pair).collect())
    }

    /// Asks for those that the list of agents leaves out: the server's own, which holds the checks of itself.
    pub(crate) async fn complete(&mut self, client: &Client, checks: &[Value]) -> Result<(), Failure> {
        for uri in checks.iter().filter_map(|check| check["agent"].as_str()) {
            if !self.0.contains_key(uri) {
                let agent = client.get(uri).await?;
                self.0.insert(uri.to_owned(), text(&agent["name"]));
            }
        }
        Ok(())
    }

    /// The name of a check's agent.
    pub(crate) fn of<'a>(&'a self, check: &'a Value) -> &'a str {
        let uri = check["agent"].as_str().unwrap_or_default();
        self.0.get(uri).map_or(uri, String::as_str)
    }
}
