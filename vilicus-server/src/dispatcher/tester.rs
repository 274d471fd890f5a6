//! Tries a channel because someone asks for it: the real notifier, the real service, a message that says 'test'.

use std::sync::Arc;

use vilicus_core::{ChannelId, Millis, Notification, NotifyError, Receipt};
use vilicus_store::StoreError;

use super::{Parts, channel};

/// Tries channels. A test that passes ends the channel's pause.
#[derive(Debug, Clone)]
pub struct Tester {
    parts: Arc<Parts>,
}

/// A test that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// How long it took.
    pub took: Millis,
    /// What the service said.
    pub receipt: Receipt,
}

/// A test that did not pass.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// There is no such channel.
    #[error("there is no channel {0}")]
    NoChannel(ChannelId),
    /// The configuration of the channel makes no notifier.
    #[error("the channel's configuration is wrong")]
    Configuration(#[from] vilicus_core::kind::BuildError),
    /// The service did not take the message.
    #[error("the test was not delivered")]
    Undelivered {
        /// How long it took to fail.
        took: Millis,
        /// What the notifier said.
        #[source]
        source: NotifyError,
    },
    /// The store could not be read.
    #[error("the channel cannot be read")]
    Store(#[from] StoreError),
}

impl Tester {
    /// Tries channels with these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Sends a test over this channel, whether it is switched on or not.
    ///
    /// # Errors
    /// See [`TestError`].
    pub async fn test(&self, id: ChannelId) -> Result<Tested, TestError> {
        let channels = self.parts.store.channels().await?;
        let channel = channels.into_iter().find(|channel| channel.id == id).ok_or(TestError::NoChannel(id))?;
        let notifier = self.parts.notifiers.build(&channel.kind, &channel.params.0)?;
        let (now, began) = (self.parts.clock.now(), self.parts.clock.monotonic());
        let key = format!("test-{id}-{}", now.as_millis());
        let answer = channel::notify(notifier.as_ref(), &Notification::test(key, now)).await;
        let took = self.parts.clock.monotonic().saturating_sub(began).into();
        let receipt = answer.map_err(|source| TestError::Undelivered { took, source })?;
        if channel.paused.is_some() {
            let now = self.parts.clock.now();
            self.parts.store.commit(now, channel::release(&channel, now).collect()).await?;
        }
        Ok(Tested { took, receipt })
    }
}
