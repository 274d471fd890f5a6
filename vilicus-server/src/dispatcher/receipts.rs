//! Asks a channel's service whether someone acknowledged a problem there, as on the phone; then it becomes ours.
//!
//! One task a channel, beside the one that sends, so that a slow answer delays no message. What to ask about comes out
//! of the store, so a restart goes on where it was: the messages that told of problems which are open now, and whose
//! receipt is open too. It ends when the service says so, or with the last of the problems.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::watch;
use vilicus_core::notification::one_line;
use vilicus_core::notifier::Progress;
use vilicus_core::result::error_chain;
use vilicus_core::{
    Acknowledgement, ChannelId, CheckId, Millis, NotificationId, Notifier, NotifyError, Receipt,
};
use vilicus_store::inventory::Channel;
use vilicus_store::outbox::OutboxState;
use vilicus_store::{Input, StoreError};

use super::{CONCURRENT_TRIES, Parts, TRY_TIMEOUT, channel, retry};
use crate::server::dropped;

/// A service is asked about one message no more often. *Source:* <https://pushover.net/api/receipts>, which wants this.
pub const ASK_EVERY: Duration = Duration::from_secs(5);
/// So many messages are looked up in one round; a round comes every [`ASK_EVERY`].
const LOOKED_UP: usize = 500;
/// The longest name of someone that is taken from a service, in characters.
const MAX_NAME: usize = 255;

/// The task of one channel. Ends when the other end of `gone` is dropped.
pub(super) struct Asker {
    parts: Arc<Parts>,
    channel: ChannelId,
    gone: watch::Receiver<()>,
    known: HashMap<NotificationId, Message>,
    notifier: Option<(Arc<Channel>, Arc<dyn Notifier>)>,
}

/// A message that told of a problem which is open.
enum Message {
    /// Nobody can acknowledge it any longer, or ever could.
    Closed,
    /// Someone may.
    Open(Open),
}

struct Open {
    checks: Vec<CheckId>,
    receipt: Receipt,
    /// When to ask next, by the monotonic clock.
    next: Duration,
    failures: u32,
}

impl Asker {
    pub(super) fn new(parts: Arc<Parts>, channel: ChannelId, gone: watch::Receiver<()>) -> Self {
        Self { parts, channel, gone, known: HashMap::new(), notifier: None }
    }

    pub(super) async fn run(mut self) {
        let mut gone = std::pin::pin!(dropped(self.gone.clone()));
        loop {
            if let Err(error) = self.round().await {
                tracing::warn!(error = error_chain(&error), "cannot look for messages that wait for someone");
            }
            tokio::select! {
                () = &mut gone => return,
                () = tokio::time::sleep(ASK_EVERY) => {}
            }
        }
    }

    async fn round(&mut self) -> Result<(), StoreError> {
        let channels = self.parts.store.channels().await?;
        let found = channels.into_iter().find(|channel| channel.id == self.channel && channel.enabled);
        let Some(channel) = found else { return Ok(()) };
        self.look_up().await?;
        let now = self.parts.clock.monotonic();
        let due: Vec<_> = self.known.iter().filter_map(|(id, message)| due(*id, message, now)).collect();
        if due.is_empty() {
            return Ok(());
        }
        let notifier = match self.notifier(&channel) {
            Ok(notifier) => notifier,
            // The task that sends pauses the channel for it, and says so.
            Err(_) => return Ok(()),
        };
        let asked = futures_util::stream::iter(due).map(|(id, receipt)| {
            let notifier = notifier.clone();
            async move { (id, ask(notifier.as_ref(), &receipt).await) }
        });
        let answers: Vec<_> = asked.buffer_unordered(CONCURRENT_TRIES).collect().await;
        for (id, answer) in answers {
            self.answered(&channel, id, answer).await;
        }
        Ok(())
    }

    /// Learns which messages there are to ask about, and forgets those whose problems are over.
    async fn look_up(&mut self) -> Result<(), StoreError> {
        let told = self.parts.store.told(self.channel).await?;
        let (checks, newest): (HashSet<CheckId>, HashSet<NotificationId>) = told.into_iter().unzip();
        self.known.retain(|id, message| match message {
            Message::Closed => newest.contains(id),
            Message::Open(open) => open.checks.iter().any(|check| checks.contains(check)),
        });
        let new: Vec<_> = newest.into_iter().filter(|id| !self.known.contains_key(id)).collect();
        for id in new.into_iter().take(LOOKED_UP) {
            let Some(row) = self.parts.store.notification(id).await? else { continue };
            if row.state.is_pending() {
                continue;
            }
            let taken = matches!(row.state, OutboxState::Sent { .. });
            let message = match row.receipt.clone().filter(|receipt| taken && receipt.open) {
                None => Message::Closed,
                Some(receipt) => {
                    // The service was last asked when it took the message.
                    let next = self.parts.clock.monotonic() + ASK_EVERY;
                    Message::Open(Open { checks: row.checks.clone(), receipt, next, failures: 0 })
                }
            };
            self.known.insert(id, message);
        }
        Ok(())
    }

    /// The channel's notifier, made anew when the channel is another one.
    fn notifier(&mut self, channel: &Arc<Channel>) -> Result<Arc<dyn Notifier>, NotifyError> {
        if let Some((made_for, notifier)) = &self.notifier
            && (&made_for.kind, &made_for.params) == (&channel.kind, &channel.params)
        {
            return Ok(notifier.clone());
        }
        let notifier = channel::build(&self.parts.notifiers, channel)?;
        self.notifier = Some((channel.clone(), notifier.clone()));
        Ok(notifier)
    }

    async fn answered(
        &mut self,
        channel: &Channel,
        id: NotificationId,
        answer: Result<Progress, NotifyError>,
    ) {
        let now = self.parts.clock.monotonic();
        let Some(Message::Open(open)) = self.known.get_mut(&id) else { return };
        match answer {
            Ok(Progress::Open) => (open.failures, open.next) = (0, now + ASK_EVERY),
            Ok(Progress::Settled) => {
                self.known.insert(id, Message::Closed);
            }
            Ok(Progress::Acknowledged { by }) => {
                let checks = open.checks.clone();
                open.next = now + ASK_EVERY;
                if self.acknowledge(channel, &by, checks).await {
                    self.known.insert(id, Message::Closed);
                }
            }
            Err(error) => {
                open.failures = open.failures.saturating_add(1);
                let rest = retry::ceiling(open.failures).max(error.retry_after().unwrap_or(Millis::ZERO));
                open.next = now + Duration::from(rest).max(ASK_EVERY);
                let error = error_chain(&error);
                tracing::warn!(channel = channel.name, error, "cannot ask whether someone is on it");
            }
        }
    }

    /// Someone is on it: notes so of each check that still has a problem. Whether all of it was written down.
    async fn acknowledge(&self, channel: &Channel, by: &str, checks: Vec<CheckId>) -> bool {
        let by: String = one_line(by).chars().take(MAX_NAME).collect();
        for check in checks {
            match self.acknowledge_one(channel, &by, check).await {
                // It recovered meanwhile, or is gone.
                Ok(()) | Err(StoreError::Refused { .. }) => {}
                Err(error) => {
                    tracing::warn!(
                        error = error_chain(&error),
                        "cannot write down who is on it; tried again"
                    );
                    return false;
                }
            }
        }
        true
    }

    async fn acknowledge_one(&self, channel: &Channel, by: &str, check: CheckId) -> Result<(), StoreError> {
        let view = self.parts.store.check(check).await?;
        let told = view.as_ref().is_some_and(|view| {
            view.state.told(channel.id).is_some() && view.state.acknowledgement.is_none()
        });
        if !told {
            return Ok(());
        }
        let now = self.parts.clock.now();
        let acknowledgement = Acknowledgement {
            by: by.to_owned(),
            comment: format!("acknowledged in {}", channel.kind),
            at: now,
            sticky: false,
            expires_at: None,
            public: false,
        };
        let input = Input::Acknowledge { check, acknowledgement, tell: true };
        self.parts.store.commit(now, vec![input]).await.map(|_| ())
    }
}

fn due(id: NotificationId, message: &Message, now: Duration) -> Option<(NotificationId, Receipt)> {
    match message {
        Message::Open(open) if open.next <= now => Some((id, open.receipt.clone())),
        _ => None,
    }
}

/// One question, bounded in time.
async fn ask(notifier: &dyn Notifier, receipt: &Receipt) -> Result<Progress, NotifyError> {
    match tokio::time::timeout(TRY_TIMEOUT, notifier.progress(receipt)).await {
        Ok(answer) => answer,
        Err(_) => Err(NotifyError::retry(format!("no answer within {} s", TRY_TIMEOUT.as_secs()))),
    }
}
