//! The open trait `Check`: something that can be looked at and judged.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use crate::result::{CheckResult, IntoCheckResult};
use crate::time::{Millis, Timestamp};

/// Something that can be checked. One method; the agent does the rest: schedule, timeout, panics, reporting.
///
/// An error is a result too: return CRITICAL when the thing is broken, UNKNOWN when you can't tell.
///
/// # Cancel safety
/// The future is dropped when the check's timeout passes, so `run` must not leave anything half-done that matters.
///
/// ```
/// use vilicus_core::{async_trait, Check, CheckContext, CheckResult};
///
/// #[derive(Debug)]
/// struct Queue;
///
/// #[async_trait]
/// impl Check for Queue {
///     async fn run(&self, _cx: &CheckContext) -> CheckResult {
///         CheckResult::ok("queue is empty")
///     }
/// }
/// ```
///
/// A closure does as well: see [`from_fn`].
#[async_trait]
pub trait Check: fmt::Debug + Send + Sync + 'static {
    /// Looks once, and says what it found.
    async fn run(&self, cx: &CheckContext) -> CheckResult;
}

#[async_trait]
impl<C: Check + ?Sized> Check for Arc<C> {
    async fn run(&self, cx: &CheckContext) -> CheckResult {
        (**self).run(cx).await
    }
}

#[async_trait]
impl<C: Check + ?Sized> Check for Box<C> {
    async fn run(&self, cx: &CheckContext) -> CheckResult {
        (**self).run(cx).await
    }
}

/// What a check is told when it runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckContext {
    /// The name of the check.
    pub name: String,
    /// After this time the run is dropped and counts as timed out.
    pub timeout: Millis,
    /// The moment at which the run began.
    pub now: Timestamp,
}

impl CheckContext {
    /// The context of a run that begins at `now`.
    #[must_use]
    pub fn new(name: impl Into<String>, timeout: Millis, now: Timestamp) -> Self {
        Self { name: name.into(), timeout, now }
    }
}

/// A check made of an async closure.
///
/// ```
/// # let jobs_waiting = || 3;
/// let check = vilicus_core::check::from_fn(move || async move { jobs_waiting() < 100 });
/// ```
pub fn from_fn<F, Fut>(run: F) -> FnCheck<F>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future + Send,
    Fut::Output: IntoCheckResult,
{
    FnCheck { run }
}

/// A check made of an async closure; see [`from_fn`].
pub struct FnCheck<F> {
    run: F,
}

impl<F> fmt::Debug for FnCheck<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnCheck").finish_non_exhaustive()
    }
}

#[async_trait]
impl<F, Fut> Check for FnCheck<F>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future + Send,
    Fut::Output: IntoCheckResult,
{
    async fn run(&self, _cx: &CheckContext) -> CheckResult {
        (self.run)().await.into_check_result()
    }
}
