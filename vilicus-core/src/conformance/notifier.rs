//! For authors of notifiers: a suite for their own, and a double for those who call notifiers.
//!
//! Deliberately absent: order, retries and backoff. They belong to the dispatcher, and no notifier has them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::notification::{EarlierMessage, Notification, NotificationEvent, NotificationItem};
use crate::notifier::{Notifier, NotifyError, NotifyFault, Receipt};
use crate::status::Status;
use crate::time::Timestamp;

/// A notifier that tells nobody: it keeps what it got, and answers as it is told.
#[derive(Debug, Default)]
pub struct RecordingNotifier {
    got: Mutex<Vec<Notification>>,
    answers: Mutex<VecDeque<Result<Receipt, NotifyError>>>,
}

impl RecordingNotifier {
    /// A notifier that takes everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next message that has no answer yet gets this one.
    pub fn answer_next(&self, answer: Result<Receipt, NotifyError>) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push_back(answer);
    }

    /// Every message so far, in order; a try that failed counts.
    #[must_use]
    pub fn notifications(&self) -> Vec<Notification> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Notifier for RecordingNotifier {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).push(notification.clone());
        let answer = self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        answer.unwrap_or_else(|| Ok(Receipt::new("recorded")))
    }
}

/// A way in which a service can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Breakage {
    /// Nobody listens there.
    Away,
    /// It closes the connection in the middle.
    Cut,
    /// It says that it has too much to do.
    Busy,
    /// It does not accept the login.
    LoginRefused,
    /// It accepts the login and not this message.
    MessageRefused,
}

impl Breakage {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Away, Self::Cut, Self::Busy, Self::LoginRefused, Self::MessageRefused];

    /// What a notifier has to make of it.
    #[must_use]
    pub const fn fault(self) -> NotifyFault {
        match self {
            Self::Away | Self::Cut | Self::Busy => NotifyFault::Retry,
            Self::LoginRefused => NotifyFault::Channel,
            Self::MessageRefused => NotifyFault::Message,
        }
    }
}

/// What the suite needs to know of a notifier.
#[async_trait]
pub trait NotifierHarness: Send + Sync {
    /// A notifier whose service works.
    async fn working(&self) -> Arc<dyn Notifier>;

    /// A notifier whose service fails in this way; `None` when the service has no such failure.
    async fn broken(&self, breakage: Breakage) -> Option<Arc<dyn Notifier>>;

    /// Texts that nobody may see, as the password in the notifier's parameters.
    fn secrets(&self) -> Vec<String>;
}

/// The longest error, in characters; it stands in one line of the outbox.
const MAX_ERROR_CHARS: usize = 1000;

/// Runs the whole suite.
///
/// # Panics
/// The notifier does not keep the contract; the text says where.
pub async fn check_notifier(harness: &dyn NotifierHarness) {
    takes_every_message(harness).await;
    names_each_fault_and_no_secret(harness).await;
}

async fn takes_every_message(harness: &dyn NotifierHarness) {
    let notifier = harness.working().await;
    assert_no_secret(&format!("{notifier:?}"), harness, "Debug");
    for notification in messages() {
        let key = &notification.key;
        match notifier.notify(&notification).await {
            Ok(receipt) => assert_no_secret(&format!("{receipt:?}"), harness, key),
            Err(error) => panic!("the message '{key}' has to pass, but: {error}"),
        }
    }
}

async fn names_each_fault_and_no_secret(harness: &dyn NotifierHarness) {
    for breakage in Breakage::ALL {
        let Some(notifier) = harness.broken(breakage).await else { continue };
        let notification = Notification::test(format!("{breakage:?}"), Timestamp::EPOCH);
        let Err(error) = notifier.notify(&notification).await else {
            panic!("{breakage:?} has to be an error");
        };
        assert_eq!(error.fault(), breakage.fault(), "the fault of {breakage:?}: {error}");
        let text = crate::result::error_chain(&error);
        assert_no_secret(&format!("{text} {error:?}"), harness, "an error");
        let shown = !text.is_empty() && text.chars().count() <= MAX_ERROR_CHARS;
        assert!(shown && !text.contains(char::is_control), "{breakage:?}: not one short line: {text:?}");
    }
}

fn assert_no_secret(text: &str, harness: &dyn NotifierHarness, place: &str) {
    for secret in harness.secrets() {
        assert!(!text.contains(&secret), "a secret shows in {place}");
    }
}

/// Every kind of message, and the worst that an agent can write.
fn messages() -> Vec<Notification> {
    let about = |key: &str, change: &dyn Fn(&mut NotificationItem)| {
        let mut notification = Notification::test(key, Timestamp::EPOCH);
        change(&mut notification.items[0]);
        notification
    };
    let mut messages = vec![
        about("problem", &|item| (item.event, item.status) = (NotificationEvent::Problem, Status::Critical)),
        about("silent agent", &|item| item.event = NotificationEvent::AgentDown),
        about("no output", &|item| item.output.clear()),
        about("line breaks", &|item| item.agent = "a\r\nBcc: b\r\n\r\n.\r\n".to_owned()),
        about("control characters", &|item| item.output = "\0\u{1b}[31m\u{7}\u{2028}\u{202e}".to_owned()),
        about("markup", &|item| item.output = "<script>alert('&')</script> {{ x }} %s ${x}".to_owned()),
        about("long line", &|item| item.output = "😀".repeat(4096)),
        about("long text", &|item| item.long_output = "line\n".repeat(4096)),
        about("no link", &|item| item.runbook_url = Some("javascript:alert(1)".to_owned())),
    ];
    messages.push(group());
    messages.push(recovery());
    messages
}

fn group() -> Notification {
    let mut group = Notification::test("group", Timestamp::EPOCH);
    group.items = vec![group.items[0].clone(); 20];
    group.more = u64::MAX - 20;
    group
}

fn recovery() -> Notification {
    let mut recovery = Notification::test("recovery", Timestamp::EPOCH);
    recovery.items[0].event = NotificationEvent::Recovery;
    recovery.items[0].problem_since = Some(Timestamp::EPOCH);
    let receipt = Receipt::new("taken").reference("r");
    recovery.earlier = vec![EarlierMessage { key: "problem".to_owned(), receipt }];
    recovery
}
