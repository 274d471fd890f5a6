//! The reporting half of an agent: the conversation with the server, one request at a time.
//!
//! In this order, whatever is due first: learn who we are, announce the program's own checks, fetch the checks that
//! are wanted, deliver results (oldest first), check in. After a failure it waits with full jitter; results are
//! kept meanwhile. Absent: how a request travels ([`crate::transport`]) and what is measured ([`crate::measure`]).

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{error, info, warn};
use vilicus_core::result::error_chain;
use vilicus_core::{AgentId, CheckId, Millis, Timestamp};

use crate::backoff::{self, Backoff};
use crate::buffer::{Batch, SharedBuffer};
use crate::clock::ServerClock;
use crate::health::HealthView;
use crate::host::Host;
use crate::measure::{Key, Order, Wanted};
use crate::printable::printable;
use crate::transport::{
    AgentRecord, Announcement, Answer, CheckList, Orders, Rejected, Report, Transport, TransportError,
};

/// The most results in one request.
const MAX_BATCH: usize = 1_000;
/// About how many bytes of results are put into one request; as JSON it may be somewhat more.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// How long results gather before they are sent: those of one moment travel together.
const GATHER: Duration = Duration::from_millis(200);
/// An agent that has nothing to say asks this often whether its checks changed: so soon is a new one run.
const POLL: Millis = Millis::from_secs(5);
/// How long an agent that ends tries to deliver what it has.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// An announcement that the server did not take is tried again after this long.
const ANNOUNCE_AGAIN: Millis = Millis::from_secs(60);
/// So many rejected results of one batch are logged one by one.
const LOGGED_REJECTIONS: usize = 10;

/// The reporting half.
#[derive(Debug)]
pub(crate) struct Reporter {
    transport: Arc<dyn Transport>,
    buffer: Arc<SharedBuffer<Key>>,
    orders: mpsc::Sender<Order>,
    clock: ServerClock,
    health: HealthView,
    host: Host,
    announcements: Vec<Announcement>,
    /// Who the server takes us for; `None` until it has said so, and again after it refused us.
    agent: Option<AgentRecord>,
    wants_agent: bool,
    /// The version of the configuration that the last answer named.
    config_etag: Option<String>,
    /// The version of the checks that we have.
    checks_etag: Option<String>,
    wants_checks: bool,
    /// When the own checks are to be announced; `None` when the server knows them.
    announce_at: Option<Millis>,
    /// The ids of the own checks that the server knows.
    ids: BTreeMap<Arc<str>, CheckId>,
    check_in_at: Millis,
    last_answer: Millis,
    most: usize,
    backoff: Backoff,
    failing_since: Option<Millis>,
    dropped_before: u64,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A request was made: look again at once.
    Made,
    /// Nothing is due within that time, but for new results.
    Idle(Millis),
}

impl Reporter {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        buffer: Arc<SharedBuffer<Key>>,
        orders: mpsc::Sender<Order>,
        clock: ServerClock,
        health: HealthView,
        host: Host,
        announcements: Vec<Announcement>,
    ) -> Self {
        let announce_at = (!announcements.is_empty()).then_some(Millis::ZERO);
        Self {
            transport,
            buffer,
            orders,
            clock,
            health,
            host,
            announcements,
            agent: None,
            wants_agent: true,
            config_etag: None,
            checks_etag: None,
            wants_checks: true,
            announce_at,
            ids: BTreeMap::new(),
            check_in_at: Millis::ZERO,
            last_answer: Millis::ZERO,
            most: MAX_BATCH,
            backoff: Backoff::default(),
            failing_since: None,
            dropped_before: 0,
        }
    }

    /// Converses until it is dropped.
    ///
    /// # Cancel safety
    /// Results leave the buffer only after the server has them, so nothing is lost; some may be sent twice, which
    /// changes nothing.
    pub(crate) async fn run(&mut self) -> Infallible {
        loop {
            match self.step().await {
                Ok(Step::Made) => {}
                Ok(Step::Idle(span)) => self.idle(span).await,
                Err(error) => {
                    let wait = self.failed(&error);
                    tokio::time::sleep(wait.into()).await;
                }
            }
        }
    }

    /// Delivers what is left, for at most five seconds; then signs off if that is wanted.
    pub(crate) async fn finish(&mut self, sign_off: bool) {
        let last_words = async {
            while self.buffer.lock().len() > 0 {
                match self.step().await {
                    Ok(Step::Made) => {}
                    Ok(Step::Idle(_)) => break,
                    Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
                }
            }
            if let (true, Some(agent)) = (sign_off, &self.agent) {
                let _ = self.transport.sign_off(agent.id).await.inspect_err(|error| {
                    warn!(error = %printable(&error_chain(error)), "could not sign off");
                });
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
        let left = self.buffer.lock().len();
        if left > 0 {
            warn!(results = left, "ends without having delivered everything");
        }
    }

    /// Does what is due first.
    async fn step(&mut self) -> Result<Step, TransportError> {
        let now = self.clock.elapsed();
        let known = self.agent.as_ref().filter(|_| !self.wants_agent);
        let Some((agent, check_interval)) = known.map(|agent| (agent.id, agent.check_interval)) else {
            self.meet().await?;
            return Ok(Step::Made);
        };
        if self.announce_at.is_some_and(|at| at <= now) {
            self.announce(agent).await?;
        } else if self.wants_checks {
            self.fetch_checks(agent, check_interval).await?;
        } else if self.deliver().await? {
        } else if self.check_in_at <= now {
            self.check_in(agent).await?;
        } else {
            return Ok(self.idle_until(now, check_interval));
        }
        Ok(Step::Made)
    }

    fn idle_until(&mut self, now: Millis, check_interval: Millis) -> Step {
        let poll_at = self.last_answer.plus(POLL.min(check_interval));
        if poll_at <= now {
            self.wants_checks = true;
            return Step::Idle(Millis::ZERO);
        }
        let next = [Some(poll_at), Some(self.check_in_at), self.announce_at].into_iter().flatten().min();
        Step::Idle(Millis::new(next.unwrap_or(poll_at).get().saturating_sub(now.get())))
    }

    /// Waits, and gathers results when some come.
    async fn idle(&self, span: Millis) {
        tokio::select! {
            () = self.buffer.filled() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(span.into()) => {}
        }
    }

    async fn meet(&mut self) -> Result<(), TransportError> {
        let sent = self.clock.elapsed();
        let answer = self.transport.agent().await?;
        let agent = self.answered(answer, sent);
        if self.agent.is_none() {
            let (name, interval) = (printable(&agent.name), agent.check_interval);
            info!(agent = %name, id = %agent.id, %interval, "the server knows this agent");
        }
        self.config_etag.clone_from(&agent.config_etag);
        (self.wants_agent, self.wants_checks) = (false, true);
        self.agent = Some(agent);
        Ok(())
    }

    async fn announce(&mut self, agent: AgentId) -> Result<(), TransportError> {
        let sent = self.clock.elapsed();
        match self.transport.announce(agent, &self.announcements).await {
            Ok(answer) => {
                self.answered(answer, sent);
                self.announce_at = None;
            }
            // What the server does not take must not stop everything else.
            Err(error @ TransportError::Refused { .. }) => {
                error!(error = %printable(&error_chain(&error)), "the server does not take this program's own checks");
                self.announce_at = Some(sent.plus(ANNOUNCE_AGAIN));
            }
            Err(error) => return Err(error),
        }
        self.wants_checks = true;
        Ok(())
    }

    async fn fetch_checks(&mut self, agent: AgentId, check_interval: Millis) -> Result<(), TransportError> {
        let sent = self.clock.elapsed();
        let answer = self.transport.checks(self.checks_etag.as_deref()).await?;
        let list = self.answered(answer, sent);
        self.wants_checks = false;
        if let Some(list) = list {
            self.take_checks(agent, list, check_interval, sent).await;
        }
        Ok(())
    }

    async fn take_checks(&mut self, agent: AgentId, list: CheckList, interval: Millis, now: Millis) {
        for misfit in &list.misfits {
            warn!(reason = %printable(misfit), "a check of the server's is not understood");
        }
        info!(checks = list.checks.len(), "got the checks");
        let own = list.checks.iter().filter(|check| check.own);
        self.ids = own.map(|check| (Arc::from(check.name.as_str()), check.id)).collect();
        let wanted: BTreeSet<&str> = self.announcements.iter().map(|own| own.name.as_str()).collect();
        let known: BTreeSet<&str> = self.ids.keys().map(AsRef::as_ref).collect();
        if wanted != known && self.announce_at.is_none() {
            self.announce_at = Some(now.plus(ANNOUNCE_AGAIN));
        }
        self.checks_etag = list.etag;
        // The other half ends only together with this one.
        let _ = self.orders.send(Order::Checks(Wanted { agent, checks: list.checks, interval })).await;
    }

    /// Delivers a batch of results; returns whether there was one.
    async fn deliver(&mut self) -> Result<bool, TransportError> {
        let is_ready = |key: &Key| self.id_of(key).is_some();
        let mut batch = self.buffer.lock().batch(self.most, BATCH_BYTES, is_ready);
        let results = std::mem::take(&mut batch.results).into_iter();
        let reports: Vec<Report> =
            results.filter_map(|(key, result)| Some(Report { check: self.id_of(&key)?, result })).collect();
        if reports.is_empty() {
            return Ok(false);
        }
        let sent = self.clock.elapsed();
        match self.transport.report(&reports).await {
            Ok(answer) => self.delivered(answer.value, &batch, &reports, answer.date, sent).await,
            Err(error) if error.blames_content() => self.shrink(&error, &batch, &reports),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    async fn delivered(
        &mut self,
        outcome: crate::transport::Outcome,
        batch: &Batch<Key>,
        reports: &[Report],
        date: Option<Timestamp>,
        sent: Millis,
    ) {
        self.buffer.lock().settle(batch);
        self.most = (self.most * 2).min(MAX_BATCH);
        self.answered(Answer { value: (), date }, sent);
        log_rejected(&outcome.rejected, reports);
        self.obey(outcome.orders).await;
    }

    /// Half of it may pass; a single result that does not pass never will.
    fn shrink(&mut self, refusal: &TransportError, batch: &Batch<Key>, reports: &[Report]) {
        if let [report] = reports {
            error!(check = %report.check, error = %printable(&error_chain(refusal)), "a result is given up");
            self.buffer.lock().settle(batch);
        }
        self.most = (reports.len() / 2).max(1);
    }

    async fn check_in(&mut self, agent: AgentId) -> Result<(), TransportError> {
        let sent = self.clock.elapsed();
        let (buffered, dropped) = self.waiting();
        let check_in = self.host.check_in(self.clock.skew_seconds(), buffered, dropped);
        let answer = self.transport.check_in(agent, &check_in).await?;
        let checked_in = self.answered(answer, sent);
        let interval = checked_in.check_interval.or(self.agent.as_ref().map(|agent| agent.check_interval));
        if let (Some(known), Some(interval)) = (&mut self.agent, interval) {
            known.check_interval = interval;
            self.check_in_at = sent.plus(interval.max(Millis::from_secs(1)));
        }
        self.obey(checked_in.orders).await;
        Ok(())
    }

    async fn obey(&mut self, orders: Orders) {
        if orders.config_etag.is_some() && orders.config_etag != self.config_etag {
            self.config_etag = orders.config_etag;
            // The agent's own settings may have changed as well as its checks: ask for both.
            self.wants_agent = true;
        }
        for (check, delay) in orders.run {
            let own = self.ids.iter().find(|(_, id)| **id == check);
            let key = own.map_or(Key::Configured(check), |(name, _)| Key::Own(name.clone()));
            // An order from before the server knew the result that waits here is met already.
            let is_met = self.buffer.lock().holds(&key);
            if !is_met {
                let _ = self.orders.send(Order::Run(key, delay)).await;
            }
        }
    }

    fn id_of(&self, key: &Key) -> Option<CheckId> {
        match key {
            Key::Own(name) => self.ids.get(name).copied(),
            Key::Configured(id) => Some(*id),
        }
    }

    fn waiting(&self) -> (u64, u64) {
        let buffer = self.buffer.lock();
        (buffer.len() as u64, buffer.dropped())
    }

    /// Notes that the server answered, and what time it has.
    fn answered<T>(&mut self, answer: Answer<T>, sent: Millis) -> T {
        if let Some(date) = answer.date {
            self.clock.observe(date, sent);
        }
        self.last_answer = self.clock.elapsed();
        self.backoff.reset();
        let (buffered, dropped) = self.waiting();
        self.health.note_contact(Some(self.clock.now()), buffered, dropped);
        if let Some(since) = self.failing_since.take() {
            let away = self.clock.span_since(since);
            let lost = dropped - self.dropped_before.min(dropped);
            info!(%away, buffered, lost, "in contact with the server again");
            self.dropped_before = dropped;
        }
        answer.value
    }

    /// Notes a failure, and says how long to wait.
    fn failed(&mut self, error: &TransportError) -> Millis {
        let random = getrandom::u64().unwrap_or(u64::MAX);
        let check_interval =
            self.agent.as_ref().map_or(Millis::from_minutes(1), |agent| agent.check_interval);
        let longest = backoff::longest(check_interval);
        let wait = match error.retry_after() {
            Some(span) => backoff::asked_for(span, random),
            None if error.needs_mending() => backoff::slow(longest, random),
            None => self.backoff.next(longest, random),
        };
        if error.needs_mending() {
            self.agent = None;
        }
        self.failing_since.get_or_insert(self.clock.elapsed());
        let (buffered, dropped) = self.waiting();
        self.health.note_contact(None, buffered, dropped);
        let error = error_chain(error);
        warn!(error = %printable(&error), again_in = %wait, buffered, "the server could not be told; results are kept");
        wait
    }
}

/// Says which results the server will never take, and why. They are not sent again.
fn log_rejected(rejected: &[Rejected], reports: &[Report]) {
    for item in rejected.iter().take(LOGGED_REJECTIONS) {
        let Some(report) = reports.get(item.index) else { continue };
        let (check, status) = (report.check, item.status);
        warn!(%check, status, reason = %printable(&item.detail), "the server rejects a result");
    }
    if rejected.len() > LOGGED_REJECTIONS {
        warn!(more = rejected.len() - LOGGED_REJECTIONS, "and rejects more of the same batch");
    }
}
