//! Runs the checks that the server runs by itself, and hands in their results like those of any agent.
//!
//! Stateless but for the moments at which each check runs next: a check that was never run is run at once, one that is
//! not sure is run again as soon as its judge wants it.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use vilicus_core::result::error_chain;
use vilicus_core::{CheckContext, CheckId, CheckResult, KindRegistry, Millis};
use vilicus_store::inventory::{AGGREGATE_KIND, SELF_KIND};
use vilicus_store::query::{CheckFilter, CheckView, Page};
use vilicus_store::{Input, Outcome, StoreError};

use super::Instruments;

/// How often it is looked for checks that are new or due.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often the agent of the self-checks is heard of.
const CONTACT_EVERY: Duration = Duration::from_secs(15);

/// Runs them.
#[derive(Debug)]
pub struct Runner {
    instruments: Instruments,
    kinds: KindRegistry,
    /// When each check runs next, by the monotonic clock.
    next: HashMap<CheckId, Duration>,
    contact_at: Duration,
}

impl Runner {
    /// Runs checks of the kinds `self` and `aggregate`, made by this registry.
    #[must_use]
    pub fn new(instruments: Instruments, kinds: KindRegistry) -> Self {
        Self { instruments, kinds, next: HashMap::new(), contact_at: Duration::ZERO }
    }

    /// Works until `shutdown` ends.
    ///
    /// # Cancel safety
    /// What a round found and did not hand in yet is lost with it.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            if let Err(error) = self.round().await {
                tracing::warn!(
                    error = error_chain(&error),
                    "what the server found of itself cannot be stored"
                );
            }
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Runs what is due, and hands it in.
    async fn round(&mut self) -> Result<(), StoreError> {
        let now = self.instruments.clock.monotonic();
        let filter = CheckFilter {
            kinds: vec![SELF_KIND.to_owned(), AGGREGATE_KIND.to_owned()],
            enabled: Some(true),
            ..CheckFilter::default()
        };
        let mut views = self.instruments.store.checks(&filter, Page::ALL).await?.objects;
        self.next.retain(|check, _| views.iter().any(|view| view.check.id == *check));
        views.retain(|view| self.next.get(&view.check.id).is_none_or(|next| *next <= now));
        for view in &views {
            // Also when the store takes no result: then the next round is not sooner than any other.
            self.next.insert(view.check.id, now + Duration::from(view.policy.interval));
        }
        let results = join_all(views.iter().map(|view| self.run_one(view))).await;
        let checks: Vec<CheckId> = views.iter().map(|view| view.check.id).collect();
        let mut inputs = self.contact(now);
        let contacts = inputs.len();
        let results = checks.iter().zip(results);
        inputs.extend(results.map(|(check, result)| Input::Result { check: *check, result }));
        if inputs.is_empty() {
            return Ok(());
        }
        let clock = self.instruments.clock.as_ref();
        let commit = self.instruments.store.commit(clock.now(), inputs);
        let outcomes = self.instruments.commits.measure(clock, commit).await?;
        for (check, outcome) in checks.into_iter().zip(outcomes.into_iter().skip(contacts)) {
            if let Outcome::Accepted { retry_in: Some(retry), .. } = outcome {
                self.next.insert(check, now + Duration::from(retry));
            }
        }
        Ok(())
    }

    /// That the agent of the self-checks is there, when it is time to say so.
    fn contact(&mut self, now: Duration) -> Vec<Input> {
        let Some(agent) = self.instruments.own.filter(|_| now >= self.contact_at) else {
            return Vec::new();
        };
        self.contact_at = now + CONTACT_EVERY;
        vec![Input::Contact { agent }]
    }

    async fn run_one(&self, view: &CheckView) -> CheckResult {
        let name = format!("{}/{}", view.agent.name, view.check.name);
        let check = match self.kinds.build(&view.check.kind, &view.check.params.0) {
            Ok(check) => check,
            Err(error) => return CheckResult::unknown(format!("its parameters do not fit: {error}")),
        };
        let timeout = view.policy.timeout;
        let context = CheckContext::new(name, timeout, self.instruments.clock.now());
        let began = self.instruments.clock.monotonic();
        let result = match tokio::time::timeout(timeout.into(), check.run(&context)).await {
            Ok(result) => result,
            Err(_) => CheckResult::new(view.policy.timeout_status, format!("timed out after {timeout}")),
        };
        let took = self.instruments.clock.monotonic().saturating_sub(began);
        result.duration(Millis::from(took))
    }
}
