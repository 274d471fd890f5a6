//! The open trait `Notifier`: a way to tell people; and the registry of notifier kinds.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::BuildError;
use crate::notification::Notification;
use crate::params::{self, ParamsError};
use crate::time::Millis;

/// A way to tell people. One method: deliver this message, or say what to do about it.
///
/// The dispatcher does the rest: order, retries, backoff, giving up. It tries again with the same
/// [`Notification::key`] until it hears of success, so a notifier passes that key on wherever its service can
/// make use of it.
///
/// # Cancel safety
/// The future may be dropped at any await; the dispatcher then tries again with the same key.
///
/// ```
/// use vilicus_core::{async_trait, Notification, Notifier, NotifyError, Receipt};
///
/// #[derive(Debug)]
/// struct Console;
///
/// #[async_trait]
/// impl Notifier for Console {
///     async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
///         eprintln!("{}", notification.title());
///         Ok(Receipt::new("printed"))
///     }
/// }
/// ```
#[async_trait]
pub trait Notifier: fmt::Debug + Send + Sync + 'static {
    /// Delivers the message once.
    ///
    /// # Errors
    /// Says whether to try again, to give this message up, or to pause the whole channel; see [`NotifyError`].
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError>;

    /// What the service says now of a message that it took with this receipt. The dispatcher asks while
    /// [`Receipt::open`] was set and the problem is open, at most every five seconds.
    ///
    /// # Errors
    /// The service could not be asked; it is asked again later.
    async fn progress(&self, _receipt: &Receipt) -> Result<Progress, NotifyError> {
        Ok(Progress::Settled)
    }
}

#[async_trait]
impl<N: Notifier + ?Sized> Notifier for Arc<N> {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        (**self).notify(notification).await
    }

    async fn progress(&self, receipt: &Receipt) -> Result<Progress, NotifyError> {
        (**self).progress(receipt).await
    }
}

#[async_trait]
impl<N: Notifier + ?Sized> Notifier for Box<N> {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        (**self).notify(notification).await
    }

    async fn progress(&self, receipt: &Receipt) -> Result<Progress, NotifyError> {
        (**self).progress(receipt).await
    }
}

/// What a service said of a message that it took.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Receipt {
    /// What it answered, in a few words for people; never a secret.
    pub detail: String,
    /// What the notifier needs to take the message back or to ask about it, as Pushover's receipt.
    pub reference: Option<String>,
    /// Whether someone may still acknowledge it on their side: the service can be asked about it.
    pub open: bool,
}

/// What a service says of a message that it took before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nothing happened yet; ask again.
    Open,
    /// Nothing more will happen.
    Settled,
    /// Someone is on it.
    Acknowledged {
        /// Who, as the service knows them.
        by: String,
    },
}

impl Receipt {
    /// The message was taken.
    #[must_use]
    pub fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), reference: None, open: false }
    }

    /// The same receipt; someone may still acknowledge the message.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.open = true;
        self
    }

    /// The same receipt with a reference.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }
}

/// What to do next about a message that was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyFault {
    /// Try this message again: the service is busy, or could not be reached for a moment.
    Retry,
    /// Give this message up: the service will never take it. Others may pass.
    Message,
    /// Pause the channel: no message will pass before someone mends it (login, certificate, address).
    Channel,
}

/// A message that was not delivered: what to do next, and why, in words that hold no secret.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct NotifyError {
    fault: NotifyFault,
    detail: String,
    retry_after: Option<Millis>,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl NotifyError {
    fn new(fault: NotifyFault, detail: impl Into<String>) -> Self {
        Self { fault, detail: detail.into(), retry_after: None, source: None }
    }

    /// A passing fault: try again.
    #[must_use]
    pub fn retry(detail: impl Into<String>) -> Self {
        Self::new(NotifyFault::Retry, detail)
    }

    /// A fault of this message: it will never pass.
    #[must_use]
    pub fn message(detail: impl Into<String>) -> Self {
        Self::new(NotifyFault::Message, detail)
    }

    /// A fault of the channel: nothing will pass before someone mends it.
    #[must_use]
    pub fn channel(detail: impl Into<String>) -> Self {
        Self::new(NotifyFault::Channel, detail)
    }

    /// The same error; the service asked to be left alone for so long.
    #[must_use]
    pub fn after(mut self, span: Millis) -> Self {
        self.retry_after = Some(span);
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What to do next.
    #[must_use]
    pub fn fault(&self) -> NotifyFault {
        self.fault
    }

    /// How long the service asked to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Millis> {
        self.retry_after
    }
}

/// A kind of notifier, as `email`: a name, typed parameters with a JSON Schema, and a constructor.
pub trait NotifierKind: fmt::Debug + Send + Sync + 'static {
    /// The parameters. Doc comments on the fields become descriptions in the schema.
    type Params: DeserializeOwned + JsonSchema;

    /// The name: lower case letters, digits and `_`.
    fn name(&self) -> &'static str;

    /// What it does, in a few words.
    fn description(&self) -> &'static str;

    /// The names of the parameters that are secret: written, never read back.
    fn secrets(&self) -> &'static [&'static str];

    /// Makes a notifier.
    ///
    /// # Errors
    /// Parameters that can't work, each named with its mend.
    fn build(&self, params: Self::Params) -> Result<Arc<dyn Notifier>, ParamsError>;
}

trait ErasedKind: fmt::Debug + Send + Sync {
    fn describe(&self) -> NotifierDescription;
    fn build(&self, params: &Value) -> Result<Arc<dyn Notifier>, ParamsError>;
}

impl<K: NotifierKind> ErasedKind for K {
    fn describe(&self) -> NotifierDescription {
        NotifierDescription {
            name: self.name(),
            description: self.description(),
            secrets: self.secrets(),
            params_schema: params::schema_of::<K::Params>(),
        }
    }

    fn build(&self, params: &Value) -> Result<Arc<dyn Notifier>, ParamsError> {
        NotifierKind::build(self, params::parse(params)?)
    }
}

/// What is known of a kind of notifier.
#[derive(Debug, Clone, Serialize)]
pub struct NotifierDescription {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// The names of its secret parameters.
    pub secrets: &'static [&'static str],
    /// The JSON Schema of its parameters.
    pub params_schema: Value,
}

/// The kinds of notifier that a server knows.
#[derive(Debug, Clone, Default)]
pub struct NotifierRegistry {
    kinds: BTreeMap<&'static str, Arc<dyn ErasedKind>>,
}

impl NotifierRegistry {
    /// A registry of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same registry with one more kind; a kind of the same name is replaced.
    #[must_use]
    pub fn with<K: NotifierKind>(mut self, kind: K) -> Self {
        self.kinds.insert(kind.name(), Arc::new(kind));
        self
    }

    /// The names of all kinds, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.kinds.keys().copied()
    }

    /// What is known of the kind of this name.
    #[must_use]
    pub fn describe(&self, name: &str) -> Option<NotifierDescription> {
        self.kinds.get(name).map(|kind| kind.describe())
    }

    /// Makes a notifier.
    ///
    /// # Errors
    /// An unknown kind, or parameters that do not fit it.
    pub fn build(&self, name: &str, params: &Value) -> Result<Arc<dyn Notifier>, BuildError> {
        let Some(kind) = self.kinds.get(name) else {
            let near = params::nearest(name, self.names()).map(str::to_owned);
            return Err(BuildError::UnknownKind { name: name.chars().take(255).collect(), near });
        };
        Ok(kind.build(params)?)
    }
}
