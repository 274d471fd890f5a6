//! Checks and results for a store without a server around it.

use std::sync::Arc;

use vilicus_core::{AgentId, CheckId, CheckResult, Metric, Millis, Timestamp};
use vilicus_store::inventory::{Agent, Check, CheckSpec};
use vilicus_store::{Change, Input, Json, Outcome, Store};

use crate::Failure;

/// Checks an agent, and results a commit.
pub const BATCH: usize = 100;
/// The moment at which these checks are made.
pub const START: Timestamp = Timestamp::from_millis(1_795_348_800_000);

/// A result as agents send them: a line that changes, and two metrics.
#[must_use]
pub fn result(check: CheckId, round: u64, at: Timestamp) -> CheckResult {
    let value = ((check.get() * 31 + round * 17) % 1000) as f64 / 10.0;
    CheckResult::ok(format!("usage is {value}%"))
        .metric(Metric::percent("usage_percent", value))
        .metric(Metric::new("load1", value / 10.0))
        .duration(Millis::new(check.get() % 50))
        .at(at)
}

/// Makes agents with [`BATCH`] checks each.
///
/// # Errors
/// The store cannot write.
pub async fn configure(store: &Arc<dyn Store>, agents: usize) -> Result<Vec<Vec<CheckId>>, Failure> {
    let mut families = Vec::with_capacity(agents);
    for number in 0..agents {
        let made = commit(store, vec![Change::CreateAgent(Box::new(agent(number)))]).await?;
        let id = AgentId::new(made[0]).ok_or("no id")?;
        let checks = (0..BATCH).map(|number| Change::CreateCheck(Box::new(check(id, number)))).collect();
        families.push(commit(store, checks).await?.into_iter().filter_map(CheckId::new).collect());
    }
    Ok(families)
}

async fn commit(store: &Arc<dyn Store>, changes: Vec<Change>) -> Result<Vec<u64>, Failure> {
    let inputs = changes.into_iter().map(|change| Input::Change { change, by: "bench".to_owned() });
    let outcomes = store.commit(START, inputs.collect()).await?;
    Ok(outcomes
        .into_iter()
        .filter_map(|outcome| if let Outcome::Id(id) = outcome { Some(id) } else { None })
        .collect())
}

fn agent(number: usize) -> Agent {
    Agent {
        id: AgentId::from(std::num::NonZeroU64::MIN),
        name: format!("host-{number}"),
        hostname: format!("host-{number}.example"),
        guid: None,
        version: None,
        check_interval: Millis::from_secs(60),
        tags: Vec::new(),
        facts: Json::default(),
        ephemeral: false,
        expire_after: None,
        templates: Vec::new(),
        managed_by: None,
        created_at: START,
        last_checkin: None,
    }
}

fn check(agent: AgentId, number: usize) -> Check {
    Check::new(agent, format!("check-{number}"), CheckSpec::new("cpu", Json::default()))
}
