//! How long it takes from a bad result to the message about it: one at a time, and a thousand at once.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::connection::{Api, Server};
use crate::fleet::Wanted;
use crate::latency::{Latencies, Summary};
use crate::webhook::Webhooks;
use crate::{Failure, clock};

/// Sends alerts one at a time; how long each took to be told.
///
/// # Errors
/// One was not sent, or not told.
pub async fn one_by_one(
    webhooks: &mut Webhooks,
    count: usize,
    mut send: impl AsyncFnMut(usize) -> Result<(), Failure>,
) -> Result<Summary, Failure> {
    let mut latencies = Latencies::new()?;
    let warming = count / 10;
    for number in 0..warming + count {
        let sent = clock::now();
        send(number).await?;
        let arrival = webhooks.next().await?;
        if number >= warming {
            latencies.record(arrival.at - sent);
        }
    }
    Ok(latencies.summary())
}

/// What a storm came to.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Told {
    /// How long it took until all was told.
    pub took: Duration,
    /// In how many messages.
    pub messages: usize,
}

/// Sends many alerts at once; how long until all of them were told.
///
/// # Errors
/// They were not sent, or not all told.
pub async fn storm(
    webhooks: &mut Webhooks,
    alerts: usize,
    send: impl Future<Output = Result<(), Failure>>,
) -> Result<Told, Failure> {
    webhooks.clear();
    let sent = clock::now();
    send.await?;
    let (mut told, mut messages, mut last) = (0, 0, sent);
    while told < alerts {
        let arrival =
            webhooks.next().await.map_err(|error| format!("{told} of {alerts} were told, then {error}"))?;
        told += arrival.alerts()?;
        messages += 1;
        last = last.max(arrival.at);
    }
    Ok(Told { took: last - sent, messages })
}

/// An agent of a vilicus server whose checks are sure at once, and a channel to a webhook of ours.
#[derive(Debug)]
pub struct Setup {
    admin: Api,
    agent: Api,
    checks: Vec<u64>,
    channel: u64,
    webhooks: Webhooks,
}

impl Setup {
    /// Enrols an agent with so many checks, and makes the channel.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn new(server: &Server, tokens: Tokens<'_>, checks: usize) -> Result<Self, Failure> {
        let settings = json!({"kind": "cpu", "interval": "5m", "max_attempts": 1, "flap_detection": false});
        let wanted = Wanted { agents: 1, checks, settings };
        let member =
            wanted.enrol(server, tokens.enroll).await?.agents.pop().ok_or("no agent was enrolled")?;
        let webhooks = Webhooks::listen().await?;
        let mut admin = Api::connect(server, tokens.admin).await?;
        let name = format!("load-{}", member.agent);
        let channel = json!({"name": name, "kind": "webhook", "params": {"url": webhooks.url()}});
        let channel = made(&mut admin, "/api/v1/channel/", &channel).await?;
        let agent = Api::connect(server, &member.token).await?;
        let mut setup = Self { admin, agent, checks: member.checks, channel, webhooks };
        report(&mut setup.agent, &setup.checks, "OK").await?;
        Ok(setup)
    }

    /// CRITICAL and OK in turn, one at a time.
    ///
    /// # Errors
    /// A message is missing.
    pub async fn one_by_one(&mut self, count: usize) -> Result<Summary, Failure> {
        let Self { agent, checks, webhooks, .. } = self;
        let check = *checks.first().ok_or("there is no check")?;
        one_by_one(webhooks, count, async |number| {
            let status = if number % 2 == 0 { "CRITICAL" } else { "OK" };
            let result = json!({"check": check, "status": status, "output": "as it is"});
            agent.ask(Method::POST, RESULTS, Some(&result)).await.map(drop)
        })
        .await
    }

    /// All checks fail at once, without a route: a message each.
    ///
    /// # Errors
    /// A message is missing.
    pub async fn storm(&mut self) -> Result<Told, Failure> {
        let told =
            storm(&mut self.webhooks, self.checks.len(), report(&mut self.agent, &self.checks, "CRITICAL"));
        let told = told.await?;
        self.calm().await?;
        Ok(told)
    }

    /// All checks fail at once, and a route makes one message of them.
    ///
    /// # Errors
    /// The message is missing.
    pub async fn grouped_storm(&mut self) -> Result<Told, Failure> {
        let route = json!({
            "name": format!("load-{}", self.channel), "channels": [self.channel],
            "group_by": [], "group_wait": "0s",
        });
        let route = made(&mut self.admin, "/api/v1/route/", &route).await?;
        let told =
            storm(&mut self.webhooks, self.checks.len(), report(&mut self.agent, &self.checks, "CRITICAL"))
                .await;
        self.admin.ask(Method::DELETE, &format!("/api/v1/route/{route}/"), None).await?;
        told
    }

    /// All checks are well again, and that is told.
    async fn calm(&mut self) -> Result<(), Failure> {
        storm(&mut self.webhooks, self.checks.len(), report(&mut self.agent, &self.checks, "OK"))
            .await
            .map(drop)
    }

    /// Takes the channel away again.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn remove(mut self) -> Result<(), Failure> {
        let path = format!("/api/v1/channel/{}/", self.channel);
        self.admin.ask(Method::DELETE, &path, None).await.map(drop)
    }
}

/// The tokens that a bench needs.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Tokens<'a> {
    pub admin: &'a str,
    pub enroll: &'a str,
}

const RESULTS: &str = "/api/v1/check_history/";

async fn report(agent: &mut Api, checks: &[u64], status: &str) -> Result<(), Failure> {
    let result = |check| json!({"check": check, "status": status, "output": "as it is"});
    let objects: Vec<Value> = checks.iter().map(result).collect();
    agent.ask(Method::POST, RESULTS, Some(&json!({"objects": objects}))).await.map(drop)
}

async fn made(admin: &mut Api, path: &str, object: &Value) -> Result<u64, Failure> {
    let made = admin.ask(Method::POST, path, Some(object)).await?;
    made["id"].as_u64().ok_or_else(|| format!("what {path} made has no id").into())
}
