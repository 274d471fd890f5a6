//! The one exception to the outbox: when the store cannot write, or the dispatcher is stuck, no message can be made
//! durable or would be sent. Then this tells it over every channel itself, from memory, at least once an episode, and
//! when it is over tells that too to those who heard of it.
//!
//! The channels are remembered from when the store could last be read. A try that fails is repeated as the dispatcher
//! would. What was told is forgotten with the process; a restart in the middle of an episode tells it again.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use vilicus_core::notification::EarlierMessage;
use vilicus_core::result::error_chain;
use vilicus_core::{
    ChannelId, Millis, Notification, NotificationEvent, NotificationItem, NotifyError, Receipt, StateType,
    Status, Timestamp,
};
use vilicus_store::inventory::Channel;

use super::Instruments;
use crate::dispatcher::{self, retry};
use crate::health::LONGEST_SILENCE;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A fault must last so long: a hiccup of the disk rings nobody.
const PATIENCE: Duration = Duration::from_secs(5);
/// A commit that is under way for so long does not end.
const STUCK_COMMIT: Duration = Duration::from_secs(30);

/// What is told directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Store,
    Dispatcher,
}

/// Tells what cannot be told by way of the store.
#[derive(Debug)]
pub struct Direct {
    parts: dispatcher::Parts,
    instruments: Instruments,
    channels: Vec<Arc<Channel>>,
    episodes: BTreeMap<Subject, Episode>,
}

/// A fault, from when it is noticed until everybody who heard of it knows of its end.
#[derive(Debug)]
struct Episode {
    since: Timestamp,
    noticed: Duration,
    /// When it ended.
    over: Option<Timestamp>,
    output: String,
    told: BTreeMap<ChannelId, Telling>,
}

/// What became of telling one channel.
#[derive(Debug, Default)]
struct Telling {
    /// The problem was delivered.
    problem: Option<EarlierMessage>,
    /// Its end was.
    end: bool,
    failures: u32,
    next: Duration,
}

impl Direct {
    /// Tells with these parts what these instruments show.
    #[must_use]
    pub fn new(parts: dispatcher::Parts, instruments: Instruments) -> Self {
        Self { parts, instruments, channels: Vec::new(), episodes: BTreeMap::new() }
    }

    /// Works until `shutdown` ends.
    ///
    /// # Cancel safety
    /// A try that is cut off may be repeated after the next start, with another key.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                () = self.round() => {}
            }
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn round(&mut self) {
        for (subject, fault) in self.examine().await {
            self.note(subject, fault);
        }
        if !self.episodes.is_empty() {
            self.tell().await;
        }
    }

    /// What fails now, and what does not.
    async fn examine(&mut self) -> [(Subject, Option<String>); 2] {
        let health = self.parts.store.health().await;
        if health.writable
            && let Ok(channels) = self.parts.store.channels().await
        {
            self.channels = channels;
        }
        let stuck = self.instruments.commits.under_way(self.parts.clock.as_ref());
        let store = if !health.writable {
            let fault = health.fault.unwrap_or_else(|| "it gives no reason".to_owned());
            Some(format!(
                "the store cannot write: {fault}; results are refused and no other problem can be told"
            ))
        } else if stuck >= STUCK_COMMIT {
            Some(format!("the store has been writing for {} s and does not end", stuck.as_secs()))
        } else {
            None
        };
        let silence = self.instruments.vitals.dispatcher.age();
        let dispatcher = (silence > LONGEST_SILENCE).then(|| {
            format!("messages are not sent: the dispatcher gave no sign of life for {} s", silence.as_secs())
        });
        [(Subject::Store, store), (Subject::Dispatcher, dispatcher)]
    }

    /// An episode begins, goes on, or is over.
    fn note(&mut self, subject: Subject, fault: Option<String>) {
        let (now, monotonic) = (self.parts.clock.now(), self.parts.clock.monotonic());
        match (fault, self.episodes.get_mut(&subject)) {
            // One that comes back before all knew of its end goes on: nobody is told twice.
            (Some(output), Some(episode)) => (episode.over, episode.output) = (None, output),
            (Some(output), None) => {
                tracing::error!(?subject, output, "told directly if it lasts");
                let told = BTreeMap::new();
                let episode = Episode { since: now, noticed: monotonic, over: None, output, told };
                self.episodes.insert(subject, episode);
            }
            (None, Some(episode)) => {
                episode.over = episode.over.or(Some(now));
                let heard = |telling: &Telling| telling.problem.is_some() && !telling.end;
                if !episode.told.values().any(heard) || retry::is_too_old(episode.since, now) {
                    self.episodes.remove(&subject);
                }
            }
            (None, None) => {}
        }
    }

    /// Tries every channel that is to hear of something now, all at a time.
    async fn tell(&mut self) {
        let (now, monotonic) = (self.parts.clock.now(), self.parts.clock.monotonic());
        let mut messages = Vec::new();
        for (subject, episode) in &self.episodes {
            for channel in self.channels.iter().filter(|channel| channel.enabled && channel.paused.is_none())
            {
                if let Some(message) = episode.message(*subject, channel, now, monotonic) {
                    messages.push((*subject, channel.clone(), message));
                }
            }
        }
        let notifiers = &self.parts.notifiers;
        let tries = messages.into_iter().map(async |(subject, channel, message)| {
            let answer = dispatcher::deliver_directly(notifiers, &channel, &message).await;
            (subject, channel, message.key, answer)
        });
        for (subject, channel, key, answer) in join_all(tries).await {
            let monotonic = self.parts.clock.monotonic();
            if let Some(episode) = self.episodes.get_mut(&subject) {
                episode.answered(&channel, key, answer, monotonic);
            }
        }
    }
}

impl Episode {
    /// What this channel is to be told now, if anything.
    fn message(
        &self,
        subject: Subject,
        channel: &Channel,
        now: Timestamp,
        monotonic: Duration,
    ) -> Option<Notification> {
        let nothing = Telling::default();
        let telling = self.told.get(&channel.id).unwrap_or(&nothing);
        let wanted = match self.over {
            None => telling.problem.is_none() && monotonic.saturating_sub(self.noticed) >= PATIENCE,
            Some(_) => telling.problem.is_some() && !telling.end,
        };
        if !wanted || monotonic < telling.next {
            return None;
        }
        let end = if self.over.is_some() { "end" } else { "problem" };
        let key = format!("direct-{}-{}-{}-{end}", subject.name(), self.since.as_millis(), channel.id);
        let reason =
            format!("channel '{}' is told at once, for this cannot wait in the outbox", channel.name);
        let mut message = Notification::about(key, self.item(subject, now), reason);
        message.earlier = telling.problem.iter().cloned().collect();
        Some(message)
    }

    fn item(&self, subject: Subject, now: Timestamp) -> NotificationItem {
        let (event, status, output) = match self.over {
            None => (NotificationEvent::Problem, Status::Critical, self.output.clone()),
            Some(_) => (NotificationEvent::Recovery, Status::Ok, subject.well().to_owned()),
        };
        let is_over = self.over.is_some();
        NotificationItem {
            event,
            agent: super::set_up::NAME.to_owned(),
            check: subject.name().to_owned(),
            subject: format!("direct-{}", subject.name()),
            kind: vilicus_store::inventory::SELF_KIND.to_owned(),
            tags: Vec::new(),
            status,
            previous_status: is_over.then_some(Status::Critical),
            state_type: StateType::Hard,
            since: self.over.unwrap_or(self.since),
            at: self.over.unwrap_or(now),
            attempt: u32::from(!is_over),
            max_attempts: 1,
            output,
            long_output: String::new(),
            metrics: Vec::new(),
            runbook_url: None,
            problem_since: is_over.then_some(self.since),
            late: false,
        }
    }

    fn answered(
        &mut self,
        channel: &Channel,
        key: String,
        answer: Result<Receipt, NotifyError>,
        monotonic: Duration,
    ) {
        let is_over = self.over.is_some();
        let telling = self.told.entry(channel.id).or_default();
        match answer {
            Ok(_) if is_over => telling.end = true,
            Ok(receipt) => {
                let problem = Some(EarlierMessage { key, receipt });
                *telling = Telling { problem, ..Telling::default() };
            }
            Err(error) => {
                telling.failures = telling.failures.saturating_add(1);
                let asked = error.retry_after().unwrap_or(Millis::ZERO);
                telling.next = monotonic + Duration::from(retry::ceiling(telling.failures).max(asked));
                let error = error_chain(&error);
                tracing::warn!(
                    channel = channel.name,
                    error,
                    "what cannot wait was not delivered; tried again"
                );
            }
        }
    }
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Dispatcher => "dispatcher",
        }
    }

    fn well(self) -> &'static str {
        match self {
            Self::Store => "the store can write again",
            Self::Dispatcher => "messages are sent again",
        }
    }
}
