//! The task of one channel: claims messages, tries them, reports what came of it.

use std::any::Any;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use vilicus_core::notifier::NotifyFault;
use vilicus_core::result::error_chain;
use vilicus_core::{
    Millis, Notification, NotificationId, Notifier, NotifierRegistry, NotifyError, Receipt, Timestamp,
};
use vilicus_store::inventory::{Channel, Pause};
use vilicus_store::outbox::{Delivery, OutboxRow, Try};
use vilicus_store::{Input, StoreError};

use super::pause::Rest;
use super::rate::Bucket;
use super::{CONCURRENT_TRIES, Parts, TRY_TIMEOUT, message, retry};

/// How long a channel waits when the store can't answer.
const STORE_REST: Duration = Duration::from_secs(5);
/// When nothing is due, the outbox is looked at so often all the same: the wall clock may have been set.
const IDLE: Duration = Duration::from_secs(60);

/// What a notifier made of one message.
type Answer = Result<Receipt, NotifyError>;

/// What came of a try; and what others are told of it.
type Report = (Vec<Input>, Vec<Input>);

/// One try that has ended.
struct Tried {
    row: Arc<OutboxRow>,
    at: Timestamp,
    took: Duration,
    answer: Answer,
    /// Why the channel's own words could not be made; then it was the usual ones.
    template_fault: Option<String>,
}

impl Tried {
    fn attempt(&self, detail: &str, fault: Option<NotifyFault>) -> Try {
        Try { at: self.at, took: self.took.into(), detail: detail.to_owned(), fault }
    }

    fn led_to(&self, attempt: Try, delivery: Delivery) -> Input {
        Input::Delivery { notification: self.row.id, attempt, delivery }
    }
}

/// The task of one channel. Ends when the other end of `wake` is dropped, after its current tries.
pub(super) struct Worker {
    parts: Arc<Parts>,
    wake: watch::Receiver<()>,
    channel: Arc<Channel>,
    notifier: Option<Arc<dyn Notifier>>,
    bucket: Option<Bucket>,
    rest: Rest,
    tries: JoinSet<Tried>,
    /// Messages that were sent, which is to be written down with the next report.
    sent: Vec<(NotificationId, Input)>,
    /// The report that is being written down, if one is.
    reports: JoinSet<()>,
}

impl Worker {
    pub(super) fn new(parts: Arc<Parts>, channel: Arc<Channel>, wake: watch::Receiver<()>) -> Self {
        Self {
            parts,
            wake,
            channel,
            notifier: None,
            bucket: None,
            rest: Rest::default(),
            tries: JoinSet::new(),
            sent: Vec::new(),
            reports: JoinSet::new(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let pause = match self.start_tries().await {
                Ok(pause) => pause,
                Err(error) => {
                    self.warn(&error, "cannot read the channel and its outbox");
                    STORE_REST
                }
            };
            tokio::select! {
                woken = self.wake.changed() => if woken.is_err() {
                    break;
                },
                Some(tried) = self.tries.join_next() => self.finish(tried).await,
                Some(_) = self.reports.join_next() => self.report_sent(),
                () = tokio::time::sleep(pause) => {}
            }
        }
        while let Some(tried) = self.tries.join_next().await {
            self.finish(tried).await;
        }
        while self.reports.join_next().await.is_some() {
            self.report_sent();
        }
    }

    /// The channel may be another one now: what was made for the old one goes. It is read from the store, which
    /// knows of a pause that this task has just reported; whoever woke us may have looked before that.
    async fn look(&mut self) -> Result<(), StoreError> {
        let channels = self.parts.store.channels().await?;
        let Some(channel) = channels.into_iter().find(|channel| channel.id == self.channel.id) else {
            return Ok(());
        };
        let edited = (&channel.kind, &channel.params) != (&self.channel.kind, &self.channel.params);
        let released = self.channel.paused.is_some() && channel.paused.is_none();
        if edited {
            self.notifier = None;
        }
        if edited || released {
            self.rest = Rest::default();
            self.parts.standing.renewed(channel.id);
        }
        self.channel = channel;
        Ok(())
    }

    /// Starts what may be tried now, and says how long nothing else can be, unless something changes.
    async fn start_tries(&mut self) -> Result<Duration, StoreError> {
        self.look().await?;
        let room = self.room();
        if !self.channel.enabled || room == 0 {
            return Ok(IDLE);
        }
        let now = self.parts.clock.monotonic();
        let rest = self.rest.left(now);
        if !rest.is_zero() {
            return Ok(rest);
        }
        let allowed = self.allowed(now);
        if allowed == 0 {
            return Ok(self.bucket.as_ref().map_or(IDLE, Bucket::wait));
        }
        let claimed =
            self.parts.store.claim(self.channel.id, self.parts.clock.now(), room.min(allowed)).await?;
        let full = claimed.len() == room.min(allowed);
        for row in claimed {
            self.start(row).await;
        }
        if full { Ok(IDLE) } else { self.until_next().await }
    }

    /// How many more messages may be tried at a time: one alone while nobody knows whether the channel works.
    fn room(&self) -> usize {
        let doubtful = self.channel.paused.is_some() || self.rest.is_doubtful();
        let most = if doubtful { 1 } else { CONCURRENT_TRIES };
        most.saturating_sub(self.tries.len())
    }

    /// How many messages the rate limit lets pass now.
    fn allowed(&mut self, now: Duration) -> usize {
        let limit = self.channel.rate_limit.as_deref().and_then(|text| text.parse().ok());
        if self.bucket.as_ref().map(Bucket::limit) != limit {
            self.bucket = limit.map(|limit| Bucket::new(limit, now));
        }
        self.bucket.as_mut().map_or(usize::MAX, |bucket| bucket.available(now))
    }

    async fn until_next(&self) -> Result<Duration, StoreError> {
        let now = self.parts.clock.now();
        let next = self.parts.store.waiting(self.channel.id).await?.next;
        // What is due is claimed already, or waits behind one that is: its end wakes us.
        let wait = next.map(|next| next.since(now)).filter(|wait| *wait > Millis::ZERO);
        Ok(wait.map_or(IDLE, Duration::from).min(IDLE))
    }

    /// Starts a try of a claimed message, or gives it up when it waited for too long while the channel was paused.
    async fn start(&mut self, row: Arc<OutboxRow>) {
        let at = self.parts.clock.now();
        if row.try_count > 0 && retry::is_too_old(row.created_at, at) {
            let reason = row.tries.last().map_or_else(String::new, |last| last.detail.clone());
            self.parts.standing.gave_up(self.channel.id);
            let fault = Some(NotifyFault::Message);
            let attempt = Try { at, took: Millis::ZERO, detail: reason.clone(), fault };
            let report = self.give_up(&row, attempt, &too_late(&reason));
            self.write_down(&row, report).await;
            return;
        }
        if let Some(bucket) = &mut self.bucket {
            bucket.take();
        }
        let notifier = self.notifier();
        let (parts, channel) = (self.parts.clone(), self.channel.clone());
        self.tries.spawn(async move {
            let began = parts.clock.monotonic();
            let (answer, template_fault) = match notifier {
                Ok(notifier) => deliver(&parts, &channel, &row, notifier.as_ref()).await,
                Err(error) => (Err(error), None),
            };
            let took = parts.clock.monotonic().saturating_sub(began);
            Tried { row, at, took, answer, template_fault }
        });
    }

    /// The channel's notifier, made when it is needed first.
    fn notifier(&mut self) -> Result<Arc<dyn Notifier>, NotifyError> {
        if let Some(notifier) = &self.notifier {
            return Ok(notifier.clone());
        }
        let notifier = build(&self.parts.notifiers, &self.channel)?;
        self.notifier = Some(notifier.clone());
        Ok(notifier)
    }

    /// A try has ended, and maybe others with it.
    async fn finish(&mut self, tried: Result<Tried, tokio::task::JoinError>) {
        let mut ended = Some(tried);
        while let Some(tried) = ended {
            match tried {
                Ok(tried) => self.finish_try(tried).await,
                // Panics of notifiers are caught inside the task, so only a runtime that ends gets here.
                Err(error) => self.warn(&error, "a try was cut off"),
            }
            ended = self.tries.try_join_next();
        }
        let sent: Vec<_> = self.sent.iter().map(|(id, _)| *id).collect();
        self.parts.store.sent(&sent).await;
        self.report_sent();
    }

    async fn finish_try(&mut self, tried: Tried) {
        let (mut outcome, tells) = match &tried.answer {
            Ok(receipt) => self.passed(&tried, receipt),
            Err(error) => self.failed(&tried, error),
        };
        if tried.answer.is_ok() && outcome.len() == 1 && tells.is_empty() {
            self.sent.extend(outcome.pop().map(|sent| (tried.row.id, sent)));
        } else {
            self.write_down(&tried.row, (outcome, tells)).await;
        }
    }

    /// Writes down what was sent, while the next messages are on their way: all that came to an end during one report
    /// is in the next.
    fn report_sent(&mut self) {
        if self.sent.is_empty() || !self.reports.is_empty() {
            return;
        }
        let (ids, inputs): (Vec<_>, Vec<_>) = std::mem::take(&mut self.sent).into_iter().unzip();
        let (parts, name) = (self.parts.clone(), self.channel.name.clone());
        self.reports.spawn(async move {
            if !report(&parts, &name, inputs).await {
                parts.store.unclaim(&ids).await;
            }
        });
    }

    async fn write_down(&self, row: &OutboxRow, (outcome, tells): Report) {
        if !report(&self.parts, &self.channel.name, outcome).await {
            // Nobody else would ever try it again before a restart.
            self.parts.store.unclaim(&[row.id]).await;
        }
        if !tells.is_empty() {
            // Apart from the outcome: a fallback that is gone must not keep it from being written down.
            report(&self.parts, &self.channel.name, tells).await;
        }
    }

    fn passed(&mut self, tried: &Tried, receipt: &Receipt) -> Report {
        self.rest.passed();
        self.parts.standing.passed(self.channel.id);
        let detail = match &tried.template_fault {
            None => receipt.detail.clone(),
            Some(fault) => in_usual_words(&receipt.detail, fault),
        };
        let sent = tried.led_to(tried.attempt(&detail, None), Delivery::Sent { receipt: receipt.clone() });
        if self.channel.paused.is_none() {
            return (vec![sent], Vec::new());
        }
        let (end, tells) = release(&self.channel, self.parts.clock.now());
        (vec![sent, end], tells)
    }

    fn failed(&mut self, tried: &Tried, error: &NotifyError) -> Report {
        let detail = error_chain(error);
        let fault = error.fault();
        tracing::warn!(
            channel = self.channel.name,
            key = tried.row.key,
            ?fault,
            detail,
            "a message was not delivered"
        );
        match fault {
            NotifyFault::Retry => self.retry(tried, error, &detail),
            NotifyFault::Message => {
                self.parts.standing.refused(self.channel.id);
                self.give_up(&tried.row, tried.attempt(&detail, Some(fault)), &detail)
            }
            NotifyFault::Channel => self.pause(tried, error, &detail),
        }
    }

    fn retry(&mut self, tried: &Tried, error: &NotifyError, detail: &str) -> Report {
        let (asked, random) = (error.retry_after(), random());
        self.rest.failed(asked, random, self.parts.clock.monotonic());
        let wait = retry::wait(tried.row.try_count.saturating_add(1), asked, random);
        let not_before = self.parts.clock.now().after(wait);
        if retry::is_too_old(tried.row.created_at, not_before) {
            self.parts.standing.gave_up(self.channel.id);
            let attempt = tried.attempt(detail, Some(NotifyFault::Retry));
            return self.give_up(&tried.row, attempt, &too_late(detail));
        }
        self.parts.standing.failed(self.channel.id, detail, self.parts.clock.now());
        let attempt = tried.attempt(detail, Some(NotifyFault::Retry));
        (vec![tried.led_to(attempt, Delivery::Again { not_before })], Vec::new())
    }

    fn give_up(&self, row: &OutboxRow, attempt: Try, reason: &str) -> Report {
        let delivery = Delivery::GivenUp { reason: reason.to_owned() };
        let given_up = Input::Delivery { notification: row.id, attempt, delivery };
        (vec![given_up], message::pass_on(&self.channel, row, reason))
    }

    /// The message is due at once, and the pause holds it: so a release lets it pass without delay.
    fn pause(&mut self, tried: &Tried, error: &NotifyError, detail: &str) -> Report {
        self.rest.broken(error.retry_after(), self.parts.clock.monotonic());
        let now = self.parts.clock.now();
        if retry::is_too_old(tried.row.created_at, now) {
            self.parts.standing.gave_up(self.channel.id);
            let attempt = tried.attempt(detail, Some(NotifyFault::Channel));
            return self.give_up(&tried.row, attempt, &too_late(detail));
        }
        self.parts.standing.failed(self.channel.id, detail, now);
        let attempt = tried.attempt(detail, Some(NotifyFault::Channel));
        let again = tried.led_to(attempt, Delivery::Again { not_before: now });
        if self.channel.paused.is_some() {
            return (vec![again], Vec::new());
        }
        let probed_in = self.rest.left(self.parts.clock.monotonic());
        tracing::error!(channel = self.channel.name, detail, ?probed_in, "the channel is paused");
        let pause = Some(Pause { since: now, fault: detail.to_owned() });
        let tells = message::tell_paused(&self.channel, detail, now).into_iter().collect();
        // Seen here at once, not only when the store's word of it comes back.
        self.channel = Arc::new(Channel { paused: pause.clone(), ..Channel::clone(&self.channel) });
        (vec![again, Input::Pause { channel: self.channel.id, pause }], tells)
    }

    fn warn(&self, error: &(dyn Error + 'static), text: &str) {
        warn(&self.channel.name, error, text);
    }
}

/// Writes down what came of tries, and says whether it could be: a message whose end is not written down would be sent
/// again.
async fn report(parts: &Parts, channel: &str, inputs: Vec<Input>) -> bool {
    loop {
        let error = match parts.store.commit(parts.clock.now(), inputs.clone()).await {
            Ok(_) => return true,
            Err(error) => error,
        };
        warn(channel, &error, "cannot write down what came of a message");
        match error.retry_after() {
            Some(wait) => tokio::time::sleep(wait.into()).await,
            None => return false,
        }
    }
}

fn warn(channel: &str, error: &(dyn Error + 'static), text: &str) {
    tracing::warn!(channel, error = error_chain(error), "{text}");
}

/// The notifier of this channel; a configuration that makes none is a fault of the channel.
pub(super) fn build(
    notifiers: &NotifierRegistry,
    channel: &Channel,
) -> Result<Arc<dyn Notifier>, NotifyError> {
    let built = notifiers.build(&channel.kind, &channel.params.0);
    built.map_err(|error| NotifyError::channel(format!("its configuration is wrong: {error}")))
}

/// The end of a pause, and the word of it for the fallback that heard of its beginning.
pub(super) fn release(channel: &Channel, now: Timestamp) -> (Input, Vec<Input>) {
    let end = Input::Pause { channel: channel.id, pause: None };
    (end, message::tell_released(channel, now).into_iter().collect())
}

/// What the service said of a message whose template failed.
pub(super) fn in_usual_words(detail: &str, fault: &str) -> String {
    format!("{detail} (in the usual words, for the template failed: {fault})")
}

fn too_late(detail: &str) -> String {
    format!("not delivered within a day: {detail}")
}

/// One try, and why the channel's own words could not be made, if they could not.
async fn deliver(
    parts: &Parts,
    channel: &Channel,
    row: &OutboxRow,
    notifier: &dyn Notifier,
) -> (Answer, Option<String>) {
    let built = message::notification(parts.store.as_ref(), channel, row, parts.public_url.as_deref()).await;
    let mut notification = match built {
        Ok(notification) => notification,
        Err(error) => {
            let error = NotifyError::retry("what the message refers to cannot be read").source(error);
            return (Err(error), None);
        }
    };
    let template_fault = message::put_words(channel, &mut notification).err();
    (notify(notifier, &notification).await, template_fault)
}

/// One try, bounded in time; a panic is a fault like any other.
pub(super) async fn notify(notifier: &dyn Notifier, notification: &Notification) -> Answer {
    let guarded = AssertUnwindSafe(notifier.notify(notification)).catch_unwind();
    match tokio::time::timeout(TRY_TIMEOUT, guarded).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => {
            Err(NotifyError::retry(format!("the notifier panicked: {}", words_of(panic.as_ref()))))
        }
        Err(_) => Err(NotifyError::retry(format!("no answer within {} s", TRY_TIMEOUT.as_secs()))),
    }
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}

/// Any number; without a source of randomness the longest jitter is as good as another.
fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX - 1)
}
