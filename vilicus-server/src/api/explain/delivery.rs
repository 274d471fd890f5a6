//! Where a message stands that the gates let pass: it may have left, wait still, or be lost.

use std::sync::Arc;

use vilicus_core::{ChannelId, CheckId, NotificationId, NotificationItem, Timestamp};
use vilicus_store::inventory::Channel;
use vilicus_store::outbox::{OutboxRow, OutboxState};
use vilicus_store::query::NotificationQuery;

use crate::api::AppState;
use crate::http::Problem;

/// So many messages of a check that wait are looked at.
const WAITING: usize = 20;
/// So many messages that say what another one would have said are followed.
const FOLLOWED: usize = 8;

/// The names of an agent and of a check of it.
pub(super) type Names<'a> = (&'a str, &'a str);

/// Where one message stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Delivery {
    pub(super) notification: NotificationId,
    pub(super) channel: ChannelId,
    pub(super) standing: Standing,
    /// Whether it tells of a problem that was not over then.
    pub(super) is_problem: bool,
}

/// What became of it so far.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Standing {
    /// It is to be sent, not before this moment.
    Waits {
        /// When it may be tried.
        not_before: Timestamp,
        /// How often it was tried, and what the last try came to.
        tried: Option<(u32, String)>,
        /// Since when its channel is paused, and why.
        paused: Option<(Timestamp, String)>,
    },
    /// The service took it.
    Sent {
        /// When.
        at: Timestamp,
    },
    /// It did not reach anybody, and will not.
    Lost {
        /// When that was clear.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

impl Delivery {
    /// The word on the wire, as for messages themselves.
    pub(super) fn as_str(&self) -> &'static str {
        match self.standing {
            Standing::Waits { .. } => "pending",
            Standing::Sent { .. } => "sent",
            Standing::Lost { .. } => "failed",
        }
    }

    /// Where a message about a check stands, which is called so.
    fn of(row: &OutboxRow, channels: &[Arc<Channel>], (agent, check): Names<'_>) -> Self {
        let standing = match &row.state {
            OutboxState::Pending => Standing::Waits {
                not_before: row.not_before,
                tried: row.tries.last().map(|last| (row.try_count, last.detail.clone())),
                paused: paused(row.channel, channels),
            },
            OutboxState::Sent { at } => Standing::Sent { at: *at },
            OutboxState::Failed { at, reason } | OutboxState::Suppressed { at, reason } => {
                Standing::Lost { at: *at, reason: reason.clone() }
            }
            OutboxState::Superseded { at, by } => {
                Standing::Lost { at: *at, reason: format!("message {by} tells it instead") }
            }
        };
        let about = |item: &&NotificationItem| item.agent == agent && item.check == check;
        let is_problem = row.items.iter().rfind(about).is_some_and(|item| !item.event.is_end());
        Self { notification: row.id, channel: row.channel, standing, is_problem }
    }
}

fn paused(id: ChannelId, channels: &[Arc<Channel>]) -> Option<(Timestamp, String)> {
    let channel = channels.iter().find(|channel| channel.id == id)?;
    channel.paused.as_ref().map(|pause| (pause.since, pause.fault.clone()))
}

/// Where a message stands, or the one that tells what it would have told; `None` when it is no longer kept.
pub(super) async fn delivery_of(
    state: &AppState,
    id: NotificationId,
    names: Names<'_>,
) -> Result<Option<Delivery>, Problem> {
    let channels = state.store().channels().await?;
    let mut next = Some(id);
    let mut found = None;
    for _ in 0..FOLLOWED {
        let Some(id) = next.take() else { break };
        let Some(row) = state.store().notification(id).await? else { break };
        if let OutboxState::Superseded { by, .. } = &row.state {
            next = Some(*by);
        }
        found = Some(Delivery::of(&row, &channels, names));
    }
    Ok(found)
}

/// The messages about a check that wait, oldest first.
pub(super) async fn waiting_of(
    state: &AppState,
    check: CheckId,
    names: Names<'_>,
) -> Result<Vec<Delivery>, Problem> {
    let query = NotificationQuery {
        checks: vec![check],
        states: vec!["pending".to_owned()],
        limit: WAITING,
        ..NotificationQuery::default()
    };
    let mut rows = state.store().notifications(&query).await?;
    rows.sort_by_key(|row| row.id);
    let channels = state.store().channels().await?;
    Ok(rows.iter().map(|row| Delivery::of(row, &channels, names)).collect())
}
