//! The agent itself: what it is made of, and how its halves run together.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tracing::info;
use vilicus_core::{Check, IntoCheckResult, KindRegistry, Notifier, check};

use crate::buffer::SharedBuffer;
use crate::clock::{Clock, ServerClock, SystemClock};
use crate::error::AgentError;
use crate::health::HealthView;
use crate::healthz::Healthz;
use crate::host::Host;
use crate::local::{self, Teller};
use crate::measure::{Key, Measurer, Order};
use crate::outlet::Outlet;
use crate::own::{OwnCheck, misnamed};
use crate::printable::printable;
use crate::report::Reporter;
use crate::transport::Transport;

/// Results that are kept while the server is away, if nothing else is said.
pub const DEFAULT_BUFFER: usize = 10_000;
/// Checks that run at the same time, if nothing else is said.
pub const DEFAULT_CONCURRENCY: usize = 8;

/// Orders that may wait between the halves.
const MAX_ORDERS: usize = 64;

/// An agent, ready to run. See the [crate's documentation](crate) for examples.
#[derive(Debug)]
#[must_use = "an agent does nothing until it is run"]
pub struct Agent {
    measurer: Measurer,
    orders: mpsc::Receiver<Order>,
    reporter: Option<Reporter>,
    tellers: Vec<Teller>,
    health: HealthView,
    healthz: Option<SocketAddr>,
    sign_off: bool,
}

impl Agent {
    /// Begins with an agent that has nothing to do.
    pub fn builder() -> AgentBuilder {
        AgentBuilder::default()
    }

    /// The last results of the program's own checks, for an endpoint of the program's own.
    #[must_use]
    pub fn health(&self) -> HealthView {
        self.health.clone()
    }

    /// Measures and reports until `shutdown` is ready, then delivers what is left, for at most five seconds.
    ///
    /// Needs a tokio runtime with time and I/O, of any kind. A check that blocks its thread blocks a current-thread
    /// runtime: use `tokio::task::spawn_blocking` within it.
    ///
    /// # Errors
    /// The address for `/healthz` cannot be listened on. A server that is away is no error: results are kept.
    ///
    /// # Cancel safety
    /// When the future is dropped, everything stops, and results that are not delivered yet are lost.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
        let Self { measurer, orders, mut reporter, tellers, health, healthz, sign_off } = self;
        let healthz = match healthz {
            Some(address) => Some(Healthz::bind(address, health).await?),
            None => None,
        };
        let answer_health = async {
            match healthz {
                Some(healthz) => healthz.run().await,
                None => std::future::pending().await,
            }
        };
        let converse = async {
            match &mut reporter {
                Some(reporter) => reporter.run().await,
                None => std::future::pending().await,
            }
        };
        let tell = async {
            join_all(tellers.into_iter().map(Teller::run)).await;
            std::future::pending::<()>().await
        };
        tokio::select! {
            never = measurer.run(orders) => match never {},
            never = converse => match never {},
            never = answer_health => match never {},
            () = tell => {}
            () = shutdown => {}
        }
        info!("stops");
        if let Some(reporter) = &mut reporter {
            reporter.finish(sign_off).await;
        }
        Ok(())
    }
}

/// Puts an agent together. Nothing but checks or a transport is required.
#[derive(Debug)]
#[must_use]
pub struct AgentBuilder {
    name: Option<String>,
    own: Vec<OwnCheck>,
    kinds: KindRegistry,
    denied: BTreeSet<String>,
    notifiers: Vec<Arc<dyn Notifier>>,
    transport: Option<Arc<dyn Transport>>,
    clock: Arc<dyn Clock>,
    buffer: usize,
    concurrency: usize,
    healthz: Option<SocketAddr>,
    sign_off: bool,
}

impl Default for AgentBuilder {
    fn default() -> Self {
        Self {
            name: None,
            own: Vec::new(),
            kinds: KindRegistry::new(),
            denied: BTreeSet::new(),
            notifiers: Vec::new(),
            transport: None,
            clock: Arc::new(SystemClock),
            buffer: DEFAULT_BUFFER,
            concurrency: DEFAULT_CONCURRENCY,
            healthz: None,
            sign_off: false,
        }
    }
}

impl AgentBuilder {
    /// A check of the program's own, run every minute. For more say, see [`own_check`](Self::own_check).
    pub fn check(self, name: impl Into<String>, check: impl Check) -> Self {
        self.own_check(OwnCheck::new(name, check))
    }

    /// A check made of an async closure, run every minute.
    pub fn check_fn<F, Fut>(self, name: impl Into<String>, run: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future + Send,
        Fut::Output: IntoCheckResult,
    {
        self.check(name, check::from_fn(run))
    }

    /// A check of the program's own, with all that is wanted of it.
    pub fn own_check(mut self, check: OwnCheck) -> Self {
        self.own.push(check);
        self
    }

    /// The kinds that the server may configure checks of; none by default.
    pub fn kinds(mut self, kinds: KindRegistry) -> Self {
        self.kinds = kinds;
        self
    }

    /// A kind that this host refuses, whatever the server says. Its checks are UNKNOWN, and say why.
    pub fn deny_kind(mut self, kind: impl Into<String>) -> Self {
        self.denied.insert(kind.into());
        self
    }

    /// The server to report to. Without one, only the health view and the notifiers learn of results.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Somebody to tell when one of the program's own checks has a confirmed problem, and when it is over: judged
    /// in this process, whether or not there is a server.
    pub fn notifier(mut self, notifier: impl Notifier) -> Self {
        self.notifiers.push(Arc::new(notifier));
        self
    }

    /// The agent's name in what its notifiers tell; the name of the machine by default. A server has its own.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Another clock than the machine's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How many results are kept while the server is away; [`DEFAULT_BUFFER`] by default, at least 1.
    pub fn buffer(mut self, results: usize) -> Self {
        self.buffer = results;
        self
    }

    /// How many checks run at the same time; [`DEFAULT_CONCURRENCY`] by default, at least 1.
    pub fn concurrency(mut self, checks: usize) -> Self {
        self.concurrency = checks;
        self
    }

    /// Answers `GET /healthz` at this address; without it the agent listens nowhere.
    pub fn healthz(mut self, address: SocketAddr) -> Self {
        self.healthz = Some(address);
        self
    }

    /// Signs the agent off when it ends, so that its silence is nobody's problem: for containers and short-lived
    /// programs, which enrol anew each time.
    pub fn sign_off_at_end(mut self) -> Self {
        self.sign_off = true;
        self
    }

    /// The agent.
    ///
    /// # Errors
    /// A check has a name that no check can have, or that another has too; or there is nothing to do.
    pub fn build(self) -> Result<Agent, AgentError> {
        check_names(&self.own)?;
        if self.own.is_empty() && self.transport.is_none() {
            return Err(AgentError::Idle);
        }
        let host = Host::read();
        let clock = ServerClock::new(self.clock);
        let health = HealthView::new(&self.own, self.transport.is_some());
        let name = self.name.as_deref().or(host.hostname()).unwrap_or("this program").to_owned();
        let has_notifiers = !self.notifiers.is_empty();
        let (judge, tellers) = local::judge_and_tellers(&name, &self.own, self.notifiers, &clock);
        let buffer = self.transport.is_some().then(|| Arc::new(SharedBuffer::<Key>::new(self.buffer)));
        let outlet =
            Outlet { health: health.clone(), local: has_notifiers.then_some(judge), buffer: buffer.clone() };
        let (sender, orders) = mpsc::channel(MAX_ORDERS);
        let announcements = self.own.iter().map(OwnCheck::announcement).collect();
        let reporter = self.transport.zip(buffer).map(|(transport, buffer)| {
            Reporter::new(transport, buffer, sender, clock.clone(), health.clone(), host, announcements)
        });
        let measurer = Measurer::new(self.own, self.kinds, self.denied, self.concurrency, clock, outlet);
        let (healthz, sign_off) = (self.healthz, self.sign_off);
        Ok(Agent { measurer, orders, reporter, tellers, health, healthz, sign_off })
    }
}

fn check_names(own: &[OwnCheck]) -> Result<(), AgentError> {
    let mut names = BTreeSet::new();
    for check in own {
        let name = || printable(&check.name).to_string();
        if let Some(problem) = misnamed(&check.name) {
            return Err(AgentError::Name { name: name(), problem });
        }
        if !names.insert(&check.name) {
            return Err(AgentError::Duplicate { name: name() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_cannot_work_is_not_made() {
        let error = |builder: AgentBuilder| builder.build().unwrap_err().to_string();
        assert!(error(Agent::builder()).contains("neither checks of its own nor a server"));
        assert!(error(Agent::builder().check_fn("a/b", || async {})).contains("'a/b'"));
        let twice = Agent::builder().check_fn("a", || async {}).check_fn("a", || async {});
        assert!(error(twice).contains("two checks are named 'a'"));
    }

    #[test]
    fn an_agent_can_be_sent_to_another_thread() {
        fn is_send<T: Send>(_: &T) {}
        let agent = Agent::builder().check_fn("a", || async {}).build().unwrap();
        is_send(&agent);
        is_send(&agent.run(std::future::ready(())));
    }

    #[tokio::test(start_paused = true)]
    async fn own_checks_run_at_once_and_show_in_the_health_view() {
        let agent = Agent::builder().check_fn("queue", || async { false }).build().unwrap();
        let health = agent.health();
        let seen = async {
            while health.status().is_none() {
                tokio::task::yield_now().await;
            }
        };
        agent.run(seen).await.unwrap();
        assert!(!health.is_healthy());
        assert_eq!(health.check("queue").unwrap().output, "failed");
    }
}
