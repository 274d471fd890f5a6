//! One check, once: a permit, a timeout, a net for panics, and a result that is fit to be sent.
//!
//! Whatever a check does, exactly one result comes of it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::Value;
use tokio::sync::Semaphore;
use vilicus_core::kind::BuildError;
use vilicus_core::{Check, CheckContext, CheckResult, KindRegistry, Millis, Status};

use crate::clock::{ServerClock, SystemClock};

/// The most bytes of text that a result keeps.
const MAX_TEXT: usize = 16 * 1024;
/// The most metrics that a result keeps.
const MAX_METRICS: usize = 256;
/// How much longer than its timeout a check may take that ends its own run: to end a program, politely first.
const OWN_TIMEOUT_MARGIN: Duration = Duration::from_secs(6);

/// Runs a check of a kind once and now, with the same guards as in an agent.
///
/// # Errors
/// The kind is unknown, or the parameters do not fit it.
pub async fn run_once(
    kinds: &KindRegistry,
    kind: &str,
    params: &Value,
    timeout: Millis,
) -> Result<CheckResult, BuildError> {
    let job = Job {
        name: kind.into(),
        check: Ok(kinds.build(kind, params)?),
        timeout,
        timeout_status: Status::Critical,
        ended_by: EndedBy::of(kind),
    };
    Ok(job.run(&Semaphore::new(1), &ServerClock::new(Arc::new(SystemClock))).await)
}

/// A check that is ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Its name, for the context and for people.
    pub(crate) name: Arc<str>,
    /// The check, or the reason why there is none.
    pub(crate) check: Result<Arc<dyn Check>, String>,
    /// After this time the run is dropped.
    pub(crate) timeout: Millis,
    /// The status of a run that was dropped.
    pub(crate) timeout_status: Status,
    /// Who ends a run that takes too long.
    pub(crate) ended_by: EndedBy,
}

/// Who ends a run that takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// The agent, by dropping it.
    Agent,
    /// The check itself, which has more to do than be dropped; the agent only when it fails to.
    Check,
}

impl EndedBy {
    /// Who ends checks of this kind: `command` has a program to end, politely first.
    pub(crate) fn of(kind: &str) -> Self {
        if kind == "command" { Self::Check } else { Self::Agent }
    }
}

impl Job {
    /// Runs the check once. Waiting for a permit does not count towards its timeout.
    pub(crate) async fn run(&self, permits: &Semaphore, clock: &ServerClock) -> CheckResult {
        // The semaphore is never closed; without a permit the run goes on all the same.
        let _permit = permits.acquire().await.ok();
        let began = clock.elapsed();
        let now = clock.now();
        let context = CheckContext::new(self.name.as_ref(), self.timeout, now);
        let result = match &self.check {
            Ok(check) => self.guarded(check.as_ref(), &context).await,
            Err(reason) => CheckResult::unknown(reason),
        };
        let mut result = fit(result);
        result.timestamp = result.timestamp.or(Some(now));
        result.duration = result.duration.or_else(|| Some(clock.span_since(began)));
        result
    }

    async fn guarded(&self, check: &dyn Check, context: &CheckContext) -> CheckResult {
        let margin = if self.ended_by == EndedBy::Check { OWN_TIMEOUT_MARGIN } else { Duration::ZERO };
        let limit = Duration::from(self.timeout).saturating_add(margin);
        let run = AssertUnwindSafe(check.run(context)).catch_unwind();
        match tokio::time::timeout(limit, run).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => panicked(panic.as_ref()),
            Err(_) => CheckResult::new(self.timeout_status, format!("timed out after {}", self.timeout)),
        }
    }
}

/// The one result of a check that panicked.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> CheckResult {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    CheckResult::unknown(format!("the check panicked: {}", text.unwrap_or("(no text)")))
}

/// The result as the server takes it: no number that is none, no text or list without end, a status or a metric.
fn fit(mut result: CheckResult) -> CheckResult {
    let before = result.metrics.len();
    result.metrics.retain(|metric| metric.value.is_finite() && !metric.name.is_empty());
    let unfit = before - result.metrics.len();
    if unfit > 0 {
        note(&mut result, &format!("{unfit} metrics without a name or a finite value were left out"));
    }
    if result.metrics.len() > MAX_METRICS {
        let more = result.metrics.len() - MAX_METRICS;
        result.metrics.truncate(MAX_METRICS);
        note(&mut result, &format!("{more} metrics beyond the first {MAX_METRICS} were left out"));
        result.truncated = true;
    }
    if result.status.is_none() && result.metrics.is_empty() {
        result.status = Some(Status::Unknown);
        if result.output.is_empty() {
            result.output = "the check gave neither a status nor a metric".to_owned();
        }
    }
    result.truncate(MAX_TEXT);
    result
}

fn note(result: &mut CheckResult, line: &str) {
    if !result.long_output.is_empty() {
        result.long_output.push('\n');
    }
    result.long_output.push_str(line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::tests::HandClock;
    use vilicus_core::check::from_fn;
    use vilicus_core::{IntoCheckResult, Metric};

    fn job<F, Fut>(run: F) -> Job
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future + Send,
        Fut::Output: IntoCheckResult,
    {
        Job {
            name: "test".into(),
            check: Ok(Arc::new(from_fn(run))),
            timeout: Millis::from_secs(10),
            timeout_status: Status::Critical,
            ended_by: EndedBy::Agent,
        }
    }

    async fn run(job: Job) -> CheckResult {
        let clock = ServerClock::new(HandClock::at(5_000, 0));
        job.run(&Semaphore::new(1), &clock).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_takes_too_long_is_dropped_with_its_status() {
        let hanging = job(std::future::pending::<()>);
        let result = run(hanging.clone()).await;
        assert_eq!((result.status, result.output.as_str()), (Some(Status::Critical), "timed out after 10s"));
        let result = run(Job { timeout_status: Status::Warning, ..hanging }).await;
        assert_eq!(result.status, Some(Status::Warning));
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_ends_its_own_run_has_six_seconds_more() {
        let slow = || async { tokio::time::sleep(Duration::from_secs(15)).await };
        let result = run(Job { ended_by: EndedBy::Check, ..job(slow) }).await;
        assert_eq!(result.status, Some(Status::Ok));
    }

    #[tokio::test]
    async fn a_panic_is_one_unknown_result_with_its_text() {
        let result = run(job(|| async {
            if true {
                panic!("the {} broke", "queue");
            }
        }))
        .await;
        assert_eq!(result.status, Some(Status::Unknown));
        assert_eq!(result.output, "the check panicked: the queue broke");
    }

    #[tokio::test]
    async fn a_check_that_cannot_be_made_is_unknown_with_the_reason() {
        let result = run(Job { check: Err("unknown kind 'x'".to_owned()), ..job(|| async {}) }).await;
        assert_eq!((result.status, result.output.as_str()), (Some(Status::Unknown), "unknown kind 'x'"));
        assert_eq!(result.timestamp.map(|at| at.as_millis()), Some(5_000));
    }

    #[tokio::test]
    async fn what_the_server_would_refuse_is_mended() {
        let result = run(job(|| async {
            vec![Metric::new("a", f64::NAN), Metric::new("", 1.0), Metric::new("b", 2.0)]
        }))
        .await;
        assert_eq!(result.metrics.len(), 1);
        assert_eq!(result.long_output, "2 metrics without a name or a finite value were left out");
        let result = run(job(|| async { vec![Metric::new("m", 1.0); 300] })).await;
        assert!(result.metrics.len() == 256 && result.truncated);
        let result = run(job(|| async { Vec::<Metric>::new() })).await;
        assert_eq!(result.status, Some(Status::Unknown));
        let result = run(job(|| async { CheckResult::ok("x".repeat(100_000)) })).await;
        assert!(result.output.len() <= MAX_TEXT);
    }
}
