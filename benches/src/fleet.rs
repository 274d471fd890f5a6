//! Agents with checks, enrolled over the API as real ones are: each gets its own token, and announces what it checks.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::connection::{Api, Server};
use crate::{Failure, clock};

/// Agents that may report.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Fleet {
    /// All of them.
    pub agents: Vec<Member>,
}

/// One agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub agent: u64,
    /// Its token.
    pub token: String,
    /// Its checks, in the order of their names.
    pub checks: Vec<u64>,
}

/// What fleet is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// How many agents.
    pub agents: usize,
    /// How many checks each has.
    pub checks: usize,
    /// What is said of each check beside its name, as the API takes it.
    pub settings: Value,
}

/// The most checks that an agent may announce at a time.
pub const MOST_CHECKS: usize = 1_000;

/// Connections that enrol at the same time.
const ENROLLERS: usize = 16;

impl Wanted {
    /// So many checks, spread over so many agents; their results may come as often as they like, and only a long
    /// silence is news.
    #[must_use]
    pub fn new(agents: usize, checks: usize) -> Self {
        Self { agents, checks, settings: json!({"kind": "cpu", "interval": "5m"}) }
    }

    /// Enrols the agents, and announces their checks.
    ///
    /// # Errors
    /// The server refuses, as when the token may not enrol.
    pub async fn enrol(&self, server: &Server, token: &str) -> Result<Fleet, Failure> {
        let run = clock::unix_ms();
        let (server, token, wanted) =
            (Arc::new(server.clone()), Arc::<str>::from(token), Arc::new(self.clone()));
        let mut enrollers = Vec::new();
        for first in 0..ENROLLERS.min(self.agents) {
            let (server, token, wanted) = (Arc::clone(&server), Arc::clone(&token), Arc::clone(&wanted));
            enrollers.push(tokio::spawn(async move {
                let mut members = Vec::new();
                for index in (first..wanted.agents).step_by(ENROLLERS) {
                    members
                        .push((index, wanted.member(&server, &token, &format!("load-{run}-{index}")).await?));
                }
                Ok::<_, Failure>(members)
            }));
        }
        let mut members = Vec::with_capacity(self.agents);
        for enroller in enrollers {
            members.extend(enroller.await??);
        }
        members.sort_by_key(|(index, _)| *index);
        Ok(Fleet { agents: members.into_iter().map(|(_, member)| member).collect() })
    }

    async fn member(&self, server: &Server, enroll_token: &str, name: &str) -> Result<Member, Failure> {
        let mut api = Api::connect(server, enroll_token).await?;
        let wish = json!({"name": name, "check_interval_ms": 3_600_000});
        let enrolled = api.ask(Method::POST, "/api/v1/agent/enroll/", Some(&wish)).await?;
        let agent = enrolled["agent"]["id"].as_u64().ok_or("an enrolled agent has no id")?;
        let token = enrolled["token"].as_str().ok_or("an enrolled agent has no token")?.to_owned();
        api.become_holder(&token)?;
        let path = format!("/api/v1/agent/{agent}/checks/");
        let announced = api.ask(Method::PUT, &path, Some(&self.announcement())).await?;
        Ok(Member { agent, token, checks: ids_by_name(&announced)? })
    }

    fn announcement(&self) -> Value {
        let check = |number: usize| {
            let mut check = self.settings.clone();
            check["name"] = format!("check-{number:04}").into();
            check
        };
        json!({"objects": (0..self.checks).map(check).collect::<Vec<_>>()})
    }
}

fn ids_by_name(announced: &Value) -> Result<Vec<u64>, Failure> {
    let objects = announced["objects"].as_array().ok_or("no checks were announced")?;
    let mut named: Vec<(&str, u64)> =
        objects.iter().filter_map(|check| Some((check["name"].as_str()?, check["id"].as_u64()?))).collect();
    named.sort_unstable();
    Ok(named.into_iter().map(|(_, id)| id).collect())
}

impl Fleet {
    /// Reads a fleet that an earlier run enrolled.
    ///
    /// # Errors
    /// There is no such file, or it is something else.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Keeps a fleet for later runs; the file holds its tokens, so it is its owner's alone.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(serde_json::to_writer(file, self)?)
    }

    /// The number of its checks.
    #[must_use]
    pub fn checks(&self) -> usize {
        self.agents.iter().map(|member| member.checks.len()).sum()
    }
}
