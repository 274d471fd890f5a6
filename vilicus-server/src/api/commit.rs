//! Changes of the configuration on their way into the store.

use serde::Serialize;
use serde_json::{Map, Value};
use vilicus_store::{Change, Input, Outcome};

use super::AppState;
use crate::http::Problem;
use crate::templates;

/// Carries out one change.
pub(super) async fn change(state: &AppState, change: Change, by: String) -> Result<(), Problem> {
    changes(state, vec![change], by).await.map(|_| ())
}

/// Makes one object, and returns its id.
pub(super) async fn made(state: &AppState, change: Change, by: String) -> Result<u64, Problem> {
    let ids = changes(state, vec![change], by).await?;
    ids.into_iter().next().flatten().ok_or_else(Problem::internal)
}

/// Carries out several changes and what templates make of them, all or none; the ids of the objects. Whoever changes
/// agents, checks or templates holds [`AppState::edit`] while it does.
pub(super) async fn changes(
    state: &AppState,
    changes: Vec<Change>,
    by: String,
) -> Result<Vec<Option<u64>>, Problem> {
    let changes = templates::following(state.store().as_ref(), state.random(), changes).await?;
    let inputs = changes.into_iter().map(|change| Input::Change { change, by: by.clone() }).collect();
    let outcomes = state.store().commit(state.clock().now(), inputs).await?;
    Ok(outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Outcome::Id(id) => Some(id),
            _ => None,
        })
        .collect())
}

/// An object as JSON, for a `PATCH` to be laid on top.
pub(super) fn fields<T: Serialize>(input: &T) -> Result<Map<String, Value>, Problem> {
    match serde_json::to_value(input) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Problem::internal()),
    }
}
