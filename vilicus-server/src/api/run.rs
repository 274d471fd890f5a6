//! What an answer to an agent carries besides: the version of its configuration, and what shall run soon.

use serde::Serialize;
use utoipa::ToSchema;
use vilicus_core::AgentId;
use vilicus_store::store::Run;

use super::AppState;
use super::agent_body::config_etag;
use crate::http::Problem;

/// A check that shall run sooner than its interval says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Orders {
    /// The id of the check.
    check: u64,
    /// How soon, in milliseconds.
    in_ms: u64,
}

impl Orders {
    pub(super) fn of(run: &Run) -> Self {
        Self { check: run.check.get(), in_ms: run.after.get() }
    }
}

/// What this agent shall run soon.
pub(super) async fn orders(state: &AppState, agent: AgentId) -> Result<Vec<Orders>, Problem> {
    let runs = state.store().runs(agent, state.clock().now()).await?;
    Ok(runs.iter().map(Orders::of).collect())
}

/// The version of what this agent must know; `None` when it is gone.
pub(super) async fn config_of(state: &AppState, agent: AgentId) -> Result<Option<String>, Problem> {
    let view = state.store().agent(agent).await?;
    Ok(view.as_ref().map(|view| config_etag(view.agent.id, view.config_version).as_str().to_owned()))
}
