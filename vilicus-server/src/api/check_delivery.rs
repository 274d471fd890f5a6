//! What an agent has to run: its checks without their state, under the version of its configuration.
//!
//! Handing a check out for the first time begins the time within which its first result is due. With `?wait=` the
//! answer is held until the agent's configuration is another one than it knows.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use vilicus_core::{AgentId, CheckId, Millis};
use vilicus_store::query::{CheckFilter, CheckView, Page};
use vilicus_store::{Input, Sequence, StoreError};

use super::AppState;
use super::agent_body::config_etag;
use super::check_body::CheckBody;
use crate::http::Problem;
use crate::http::etag::Etag;
use crate::http::json::Answer;
use crate::http::page::{List, Meta};
use crate::http::query::Query;

/// However much is committed, an agent that waits is looked at no more often than this.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Answers an agent that asks for its checks.
pub(super) async fn deliver(
    state: &AppState,
    agent: AgentId,
    filter: &CheckFilter,
    query: &Query,
    page: Page,
    wait: Option<Millis>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let tag = match wait {
        Some(wait) => wait_for_news(state, agent, wait, headers).await?,
        None => current(state, agent).await?,
    };
    if tag.is_known(headers) {
        return Ok(tag.answer(headers, ()));
    }
    let found = state.store().checks(filter, page).await?;
    let mine: Vec<&CheckView> = found.objects.iter().filter(|view| view.check.runs_on_agent()).collect();
    let noted = note_delivery(state, &mine).await;
    let hidden = found.objects.len() - mine.len();
    let objects = mine.iter().map(|view| CheckBody::configured(view)).collect();
    let meta = Meta::of_page(query, page, found.total.saturating_sub(hidden));
    let list = Answer(List { meta, objects });
    match noted {
        Ok(()) => Ok(tag.answer(headers, list)),
        Err(error) => {
            // Reads go on when nothing can be written. Without a tag the agent asks again, and is noted then.
            let error = vilicus_core::result::error_chain(&error);
            tracing::warn!(%agent, %error, "cannot note that checks were delivered");
            Ok(list.into_response())
        }
    }
}

async fn current(state: &AppState, agent: AgentId) -> Result<Etag, Problem> {
    let view = state.store().agent(agent).await?.ok_or_else(Problem::not_found)?;
    Ok(config_etag(view.agent.id, view.config_version))
}

/// The version of the agent's configuration, as soon as it is not the one that the agent knows, or time is up.
async fn wait_for_news(
    state: &AppState,
    agent: AgentId,
    wait: Millis,
    headers: &HeaderMap,
) -> Result<Etag, Problem> {
    let wait = wait.min(state.limits().longest_wait);
    let news = async {
        let mut seen = Sequence::START;
        loop {
            // Up to where is asked before the look: what comes between the two is seen by the next turn.
            seen = state.store().changed(seen).await;
            let tag = current(state, agent).await?;
            if !tag.is_known(headers) {
                return Ok(tag);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    };
    match tokio::time::timeout(wait.into(), news).await {
        Ok(tag) => tag,
        Err(_) => current(state, agent).await,
    }
}

async fn note_delivery(state: &AppState, views: &[&CheckView]) -> Result<(), StoreError> {
    let undelivered = views.iter().filter(|view| view.check.delivered_at.is_none());
    let checks: Vec<CheckId> = undelivered.map(|view| view.check.id).collect();
    if !checks.is_empty() {
        state.store().commit(state.clock().now(), vec![Input::Delivered { checks }]).await?;
    }
    Ok(())
}
