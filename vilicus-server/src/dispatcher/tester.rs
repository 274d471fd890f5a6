//! Tries a channel because someone asks for it: the real notifier, the real service, a message that says 'test'.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use vilicus_core::result::error_chain;
use vilicus_core::{ChannelId, Millis, Notification, NotifyError, Receipt};
use vilicus_store::StoreError;
use vilicus_store::inventory::Channel;

use super::{Parts, channel, message};
use crate::api::{ChannelTester, TestOutcome};

/// Tries channels, whether they are switched on or not. A test that passes ends the channel's pause.
#[derive(Debug, Clone)]
pub struct Tester {
    parts: Arc<Parts>,
}

impl Tester {
    /// Tries channels with these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    async fn channel(&self, id: ChannelId) -> Result<Arc<Channel>, NotifyError> {
        let unreadable = |error: StoreError| NotifyError::retry("the channel cannot be read").source(error);
        let channels = self.parts.store.channels().await.map_err(unreadable)?;
        let found = channels.into_iter().find(|channel| channel.id == id);
        found.ok_or_else(|| NotifyError::channel(format!("there is no channel {id}")))
    }

    async fn send(&self, channel: &Channel) -> Result<Receipt, NotifyError> {
        let notifier = channel::build(&self.parts.notifiers, channel)?;
        let now = self.parts.clock.now();
        let mut test = Notification::test(format!("test-{}-{}", channel.id, now.as_millis()), now);
        let template_fault = message::put_words(channel, &mut test).err();
        let mut receipt = channel::notify(notifier.as_ref(), &test).await?;
        if let Some(fault) = template_fault {
            receipt.detail = channel::in_usual_words(&receipt.detail, &fault);
        }
        Ok(receipt)
    }

    /// Ends the pause; a store that can't write now leaves that to the next probe.
    async fn release(&self, channel: &Channel) {
        let now = self.parts.clock.now();
        let (end, tells) = channel::release(channel, now);
        for inputs in [vec![end], tells] {
            if let Err(error) = self.parts.store.commit(now, inputs).await {
                tracing::warn!(
                    channel = channel.name,
                    error = error_chain(&error),
                    "the pause cannot be ended"
                );
            }
        }
    }
}

#[async_trait]
impl ChannelTester for Tester {
    async fn test(&self, id: ChannelId) -> TestOutcome {
        let channel = match self.channel(id).await {
            Ok(channel) => channel,
            Err(error) => return outcome(Err(error), Duration::ZERO),
        };
        let began = self.parts.clock.monotonic();
        let answer = self.send(&channel).await;
        let took = self.parts.clock.monotonic().saturating_sub(began);
        if answer.is_ok() && channel.paused.is_some() {
            self.release(&channel).await;
        }
        outcome(answer, took)
    }
}

fn outcome(answer: Result<Receipt, NotifyError>, took: Duration) -> TestOutcome {
    let took = Millis::from(took);
    match answer {
        Ok(receipt) => {
            TestOutcome { delivered: true, detail: receipt.detail, took, receipt: receipt.reference }
        }
        Err(error) => TestOutcome { delivered: false, detail: error_chain(&error), took, receipt: None },
    }
}
