//! The dispatcher tells: it takes messages out of the durable outbox and hands them to notifiers.
//!
//! One task a channel, so a slow channel never delays another. [`retry`] says when a message is tried again,
//! `pause` when a whole channel rests, [`rate`] how many may go, `message` what a notifier gets. What a try came to
//! goes back to the store, which keeps the order within a group and does all merging. Beside each channel `receipts`
//! asks its service whether someone acknowledged a problem there. [`Standing`] tells others how the channels do.
//!
//! Delivery is at least once: a crash between a try and its report repeats the try with the same key. Deliberately
//! absent: any memory of messages. What is not in the outbox is not sent.

mod channel;
mod message;
mod pause;
pub mod rate;
mod receipts;
pub mod retry;
mod standing;
mod tester;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use vilicus_core::{ChannelId, Notification, NotifierRegistry, NotifyError, Receipt};
use vilicus_store::inventory::Channel;
use vilicus_store::{Sequence, Store};

use crate::clock::Clock;
use crate::health::{BEAT_EVERY, Pulse};

pub use message::LISTED;
pub(crate) use message::{notification, put_words};
pub use pause::PROBE_EVERY;
pub use receipts::ASK_EVERY;
pub use standing::{Failing, Stand, Standing};
pub use tester::Tester;

/// One try to deliver a message takes no longer than this.
pub const TRY_TIMEOUT: Duration = Duration::from_secs(45);
/// So many messages of one channel are tried at a time.
pub const CONCURRENT_TRIES: usize = 4;
/// Of a burst of commits that have to do with no message, the first makes a look at the channels at once, the others one
/// together.
const LOOK_GAP: Duration = Duration::from_millis(20);

/// One try of a message that is in no outbox. Only for what cannot wait there: see
/// [`self_check::Direct`](crate::self_check::Direct).
pub(crate) async fn deliver_directly(
    notifiers: &NotifierRegistry,
    channel: &Channel,
    message: &Notification,
) -> Result<Receipt, NotifyError> {
    let notifier = channel::build(notifiers, channel)?;
    channel::notify(notifier.as_ref(), message).await
}

/// What the dispatcher works with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Holds the outbox and the channels.
    pub store: Arc<dyn Store>,
    /// The kinds of notifier there are.
    pub notifiers: NotifierRegistry,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The address that people use, for links.
    pub public_url: Option<String>,
    /// How the channels stand: written by the dispatcher.
    pub standing: Standing,
}

/// Sends what waits in the outbox.
#[derive(Debug)]
pub struct Dispatcher {
    parts: Arc<Parts>,
    pulse: Pulse,
    workers: HashMap<ChannelId, watch::Sender<()>>,
    tasks: JoinSet<()>,
}

impl Dispatcher {
    /// A dispatcher over these parts, which gives signs of life by this pulse.
    #[must_use]
    pub fn new(parts: Parts, pulse: Pulse) -> Self {
        Self { parts: Arc::new(parts), pulse, workers: HashMap::new(), tasks: JoinSet::new() }
    }

    /// Works until `shutdown` ends, then lets current tries finish and reports them.
    ///
    /// # Cancel safety
    /// Dropping it cuts current tries off; their messages are tried again after the next start.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let (mut seen, mut seen_outbox) = (Sequence::START, Sequence::START);
        loop {
            self.pulse.beat();
            let looked = Instant::now();
            self.look().await;
            tokio::select! {
                () = &mut shutdown => break,
                () = tokio::time::sleep(BEAT_EVERY) => {}
                now = self.parts.store.outbox_changed(seen_outbox) => seen_outbox = now,
                now = self.changed(seen, looked) => seen = now,
            }
        }
        self.workers.clear();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Waits until anything has changed, and for the gap after the last look.
    async fn changed(&self, seen: Sequence, looked: Instant) -> Sequence {
        let now = self.parts.store.changed(seen).await;
        tokio::time::sleep_until(looked + LOOK_GAP).await;
        now
    }

    /// Wakes the task of every channel: there may be something to send, or the channel may be another one now.
    async fn look(&mut self) {
        let channels = match self.parts.store.channels().await {
            Ok(channels) => channels,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot read the channels");
                return;
            }
        };
        let there = |id| channels.iter().any(|channel| channel.id == id);
        self.workers.retain(|id, _| there(*id));
        self.parts.standing.retain(there);
        for channel in channels {
            self.wake(channel);
        }
        // Ended tasks are those of channels that are gone.
        while self.tasks.try_join_next().is_some() {}
    }

    /// Wakes the tasks of this channel, or starts them.
    fn wake(&mut self, channel: Arc<Channel>) {
        let id = channel.id;
        if let Some(worker) = self.workers.get(&id)
            && worker.send(()).is_ok()
        {
            return;
        }
        let (sender, receiver) = watch::channel(());
        self.tasks.spawn(receipts::Asker::new(self.parts.clone(), id, receiver.clone()).run());
        self.tasks.spawn(channel::Worker::new(self.parts.clone(), channel, receiver).run());
        self.workers.insert(id, sender);
    }
}
