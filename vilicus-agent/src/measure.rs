//! The measuring half of an agent: starts what is due, and hands every result on.
//!
//! Who calls it: [`Agent::run`](crate::Agent::run), beside the [reporting](crate::report) half; the two know each
//! other only by the orders that come in here and the buffer that results go to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinError, JoinSet};
use vilicus_core::{AgentId, CheckId, CheckResult, KindRegistry, Millis, Status, Timestamp};

use crate::clock::{ServerClock, stamp};
use crate::due::{Due, Moment, Seed, seed_of};
use crate::outlet::Outlet;
use crate::own::OwnCheck;
use crate::run::{EndedBy, Job, panicked};
use crate::transport::CheckSpec;

/// Which check: one that the program brought, or one that the server configured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// By name: it has no id before the server knows it.
    Own(Arc<str>),
    /// By id: a name may change.
    Configured(CheckId),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(name) => f.write_str(name),
            Self::Configured(id) => write!(f, "check {id}"),
        }
    }
}

/// What the server wants, in terms of this agent.
#[derive(Debug)]
pub(crate) enum Order {
    /// These are all checks, from now on.
    Checks(Wanted),
    /// Run this one within that time.
    Run(Key, Millis),
}

/// What a server wants of an agent.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Who the server takes us for.
    pub(crate) agent: AgentId,
    pub(crate) checks: Vec<CheckSpec>,
    /// How often those run that have no interval of their own.
    pub(crate) interval: Millis,
}

/// The measuring half.
#[derive(Debug)]
pub(crate) struct Measurer {
    own: Vec<OwnCheck>,
    kinds: KindRegistry,
    denied: BTreeSet<String>,
    clock: ServerClock,
    outlet: Outlet,
    permits: Arc<Semaphore>,
    due: Due<Key>,
    jobs: BTreeMap<Key, Planned>,
    running: JoinSet<CheckResult>,
    keys: HashMap<Id, Key>,
    last: BTreeMap<Key, Timestamp>,
}

/// A job, and what it was made of: it is made anew only when that changes, so that a check keeps its memory.
#[derive(Debug)]
struct Planned {
    job: Job,
    kind: String,
    params: Value,
}

impl Measurer {
    pub(crate) fn new(
        own: Vec<OwnCheck>,
        kinds: KindRegistry,
        denied: BTreeSet<String>,
        concurrency: usize,
        clock: ServerClock,
        outlet: Outlet,
    ) -> Self {
        let mut measurer = Self {
            own,
            kinds,
            denied,
            clock,
            outlet,
            permits: Arc::new(Semaphore::new(concurrency.max(1))),
            due: Due::default(),
            jobs: BTreeMap::new(),
            running: JoinSet::new(),
            keys: HashMap::new(),
            last: BTreeMap::new(),
        };
        measurer.plan_own();
        measurer
    }

    /// Measures until it is dropped, which ends every run that is under way without a result.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>) -> Infallible {
        loop {
            self.start_due();
            tokio::select! {
                Some(ended) = self.running.join_next_with_id() => self.ended(ended),
                Some(order) = orders.recv() => self.obey(order),
                () = sleep_until(self.due.wake(), self.clock.elapsed()) => {}
            }
        }
    }

    fn moment(&self) -> Moment {
        Moment { wall: self.clock.wall(), elapsed: self.clock.elapsed() }
    }

    fn start_due(&mut self) {
        for key in self.due.take(self.moment()) {
            let Some(planned) = self.jobs.get(&key) else { continue };
            let (job, permits, clock) = (planned.job.clone(), self.permits.clone(), self.clock.clone());
            let task = self.running.spawn(async move { job.run(&permits, &clock).await });
            self.keys.insert(task.id(), key);
        }
    }

    fn ended(&mut self, ended: Result<(Id, CheckResult), JoinError>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), panicked_outside(error, self.clock.now())),
        };
        let Some(key) = self.keys.remove(&id) else { return };
        let now = self.moment();
        self.due.finished(&key, now);
        // A check that was taken away during its run has nobody to report to.
        if self.jobs.contains_key(&key) {
            let result = self.stamped(&key, result);
            if let Some(retry) = self.outlet.take(&key, result) {
                self.due.order(&key, retry, now);
            }
        }
    }

    fn stamped(&mut self, key: &Key, mut result: CheckResult) -> CheckResult {
        let wanted = result.timestamp.unwrap_or_else(|| self.clock.now());
        let timestamp = stamp(wanted, self.last.get(key).copied());
        self.last.insert(key.clone(), timestamp);
        result.timestamp = Some(timestamp);
        result
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Run(key, delay) => self.due.order(&key, delay, self.moment()),
            Order::Checks(wanted) => self.replace_checks(wanted),
        }
    }

    fn replace_checks(&mut self, Wanted { agent, checks, interval }: Wanted) {
        // What the program brought runs on when the server does not know it: the health view and the notifiers do.
        let mut kept: BTreeSet<Key> = self.own.iter().map(|own| Key::Own(own.name.clone())).collect();
        for spec in checks {
            if spec.enabled {
                kept.extend(self.plan_spec(agent, spec, interval));
            } else if spec.own {
                self.outlet.health.forget(&spec.name);
                kept.remove(&Key::Own(spec.name.into()));
            }
        }
        self.jobs.retain(|key, _| kept.contains(key));
        self.last.retain(|key, _| kept.contains(key));
        self.due.retain(|key| kept.contains(key));
    }

    /// Plans what the server configured; `None` for a check that an earlier run of this program announced, which
    /// the next announcement retires.
    fn plan_spec(&mut self, agent: AgentId, spec: CheckSpec, interval: Millis) -> Option<Key> {
        let own = self.own.iter().find(|own| spec.own && *own.name == spec.name);
        let (key, check) = match own {
            Some(own) => (Key::Own(own.name.clone()), Ok(own.check.clone())),
            None if spec.own => return None,
            None => (Key::Configured(spec.id), Err(String::new())),
        };
        let made = self.jobs.get(&key).filter(|old| old.kind == spec.kind && old.params == spec.params);
        let check = match (check, made) {
            (Ok(check), _) => Ok(check),
            (Err(_), Some(made)) => made.job.check.clone(),
            (Err(_), None) => self.make(&spec),
        };
        let ended_by = EndedBy::of(&spec.kind);
        let job = Job {
            name: spec.name.into(),
            check,
            timeout: spec.timeout,
            timeout_status: spec.timeout_status,
            ended_by,
        };
        self.jobs.insert(key.clone(), Planned { job, kind: spec.kind, params: spec.params });
        let seed = Seed { agent, check: spec.id };
        self.due.plan(key.clone(), seed, spec.interval.unwrap_or(interval), self.moment());
        Some(key)
    }

    /// Makes a check of a kind, or says why not.
    fn make(&self, spec: &CheckSpec) -> Result<Arc<dyn vilicus_core::Check>, String> {
        if self.denied.contains(&spec.kind) {
            return Err(format!("the kind '{}' is denied by the agent's own file ([kinds] deny)", spec.kind));
        }
        self.kinds.build(&spec.kind, &spec.params).map_err(|error| error.to_string())
    }

    /// Plans the program's own checks as they were given, before any server has spoken.
    fn plan_own(&mut self) {
        let now = self.moment();
        for own in &self.own {
            let key = Key::Own(own.name.clone());
            let job = Job {
                name: own.name.clone(),
                check: Ok(own.check.clone()),
                timeout: own.policy.timeout,
                timeout_status: own.policy.timeout_status,
                ended_by: EndedBy::Agent,
            };
            self.due.plan(key.clone(), seed_of(&own.name), own.policy.interval, now);
            self.jobs.insert(key, Planned { job, kind: own.kind.clone(), params: Value::Null });
        }
    }
}

/// The result of a run that ended outside the net for panics, as in a destructor.
fn panicked_outside(error: JoinError, now: Timestamp) -> CheckResult {
    let result = match error.try_into_panic() {
        Ok(panic) => panicked(panic.as_ref()),
        Err(_) => CheckResult::new(Status::Unknown, "the run was ended from outside"),
    };
    result.at(now)
}

/// Sleeps until a moment on the clock that only grows; for ever when there is none.
async fn sleep_until(wake: Option<Millis>, elapsed: Millis) {
    match wake {
        None => std::future::pending().await,
        Some(wake) => {
            let span = Millis::new(wake.get().saturating_sub(elapsed.get()));
            tokio::time::sleep(span.into()).await;
        }
    }
}
