//! A server's store through simulated time: what happens is put in, what is due is judged, what is to go out is taken.
//!
//! Time moves from one moment at which something happens, or is due, to the next. At each: what the test says, then
//! contact of the agents, then deadlines, then the messages that may go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use vilicus_agent::checks::{StockOptions, stock_kinds};
use vilicus_core::downtime::When;
use vilicus_core::schedule::Window;
use vilicus_core::{
    Acknowledgement, AgentId, CheckId, CheckResult, Downtime, DowntimeId, Matcher, Millis, Receipt,
    Timestamp, async_trait,
};
use vilicus_store::inventory::Channel;
use vilicus_store::outbox::{Delivery, OutboxRow, Try};
use vilicus_store::query::{AgentFilter, CheckFilter, CheckView, Page};
use vilicus_store::{Change, EngineStore, Input, MemoryEngine, Options, Store, StoreError};

use super::format::{Action, Test};
use super::timeline::{self, Happens, Moment};
use super::verdict::{Gates, Told, Verdict, judge};
use super::{RunError, Runner};
use crate::api::{AppState, ChannelTester, NoRandomness, Parts, Random, TestOutcome};
use crate::apply::{self, Configuration};
use crate::clock::ManualClock;
use crate::dispatcher::rate::Bucket;
use crate::dispatcher::{notification, put_words};
use crate::http::Limits;
use crate::notifiers::{Exec, stock_notifiers};
use crate::outbound::OutboundPolicy;

/// Who it is that the simulated audit trail speaks of.
const BY: &str = "policy test";
/// So often what is due at one moment is looked at; what is due even then waits for the next millisecond.
const ROUNDS: usize = 100;
/// Messages are taken so many at a time.
const CLAIMED: usize = 100;

/// A runner that knows what the stock server knows.
pub(super) fn stock_runner() -> Runner {
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let notifiers = stock_notifiers(OutboundPolicy::default(), clock).with(Exec::allowing([]));
    Runner::new(stock_kinds(StockOptions::default()), notifiers)
}

/// Runs one test in a store of its own.
pub(super) async fn run(
    runner: &Runner,
    configuration: &Configuration,
    test: &Test,
) -> Result<Verdict, RunError> {
    let mut world = World::build(runner, configuration, test).await?;
    let end = timeline::end(test);
    let interval = |check: &str| world.checks.get(check).map_or(Millis::from_minutes(1), |it| it.interval);
    let moments = timeline::moments(test, end, interval).map_err(|detail| wrong(test, detail))?;
    world.go_through(test, &moments, end).await?;
    world.store.close().await?;
    Ok(judge(test, world.told, &world.gates))
}

fn wrong(test: &Test, detail: impl Into<String>) -> RunError {
    RunError::Test { place: test.place.clone(), test: test.name.clone(), detail: detail.into() }
}

/// What a test knows a check by.
#[derive(Debug, Clone, Copy)]
struct Known {
    id: CheckId,
    agent: AgentId,
    interval: Millis,
}

/// How an agent is.
#[derive(Debug, Default)]
struct Contact {
    every: Millis,
    /// When it is heard of next; `None` while it is down.
    next: Option<Timestamp>,
    /// What its checks reported while it was down.
    waiting: Vec<Input>,
}

struct World {
    state: AppState,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    start: Timestamp,
    checks: BTreeMap<String, Known>,
    agents: BTreeMap<AgentId, Contact>,
    channels: Vec<Arc<Channel>>,
    buckets: BTreeMap<vilicus_core::ChannelId, Bucket>,
    told: Vec<Told>,
    gates: Gates,
}

impl World {
    async fn build(runner: &Runner, configuration: &Configuration, test: &Test) -> Result<Self, RunError> {
        let clock = Arc::new(ManualClock::new(test.start));
        let store = EngineStore::open(
            MemoryEngine::new(),
            Options::new(test.start, [0; 16]).share_sync(Duration::ZERO),
        )?;
        let store: Arc<dyn Store> = Arc::new(store);
        let state = AppState::new(Parts {
            store: Arc::clone(&store),
            kinds: runner.kinds.clone(),
            notifiers: runner.notifiers.clone(),
            clock: Arc::clone(&clock) as Arc<dyn crate::Clock>,
            random: Arc::new(Counted::default()),
            tester: Arc::new(NoTester),
            limits: Limits::default(),
            public_url: None,
        });
        let mut world = Self {
            state,
            store,
            clock,
            start: test.start,
            checks: BTreeMap::new(),
            agents: BTreeMap::new(),
            channels: Vec::new(),
            buckets: BTreeMap::new(),
            told: Vec::new(),
            gates: Gates::default(),
        };
        let beside = |values| {
            let more = Configuration::of_values(BY, values);
            more.map_err(|faults| wrong(test, format!("stands beside what cannot work: {faults}")))
        };
        world.configure(&beside(agents_of(configuration, &test.more))?).await?;
        world.configure(configuration).await?;
        world.configure(&beside(Map::clone(&test.more))?).await?;
        world.channels = world.store.channels().await?;
        world.know(test).await?;
        Ok(world)
    }

    async fn configure(&self, configuration: &Configuration) -> Result<(), RunError> {
        let options = apply::Options { dry_run: false, prune: false, by: BY.to_owned() };
        let applied = apply::apply(&self.state, configuration, &options).await;
        applied.map(drop).map_err(RunError::Configuration)
    }

    /// Looks up what the test speaks of; its agents are in contact from now on.
    async fn know(&mut self, test: &Test) -> Result<(), RunError> {
        let mut reporting = BTreeSet::new();
        let steps = test.steps.iter().map(|step| step.check.as_str());
        let expected = test.expectations.iter().filter_map(|expectation| expectation.check.as_deref());
        for name in [test.check.as_str()].into_iter().chain(steps).chain(expected) {
            if !self.checks.contains_key(name) {
                let view = self.find(name).await?.ok_or_else(|| {
                    wrong(
                        test,
                        format!("speaks of the check '{name}', which the configuration does not have"),
                    )
                })?;
                let (id, agent, interval) = (view.check.id, view.agent.id, view.policy.interval);
                self.checks.insert(name.to_owned(), Known { id, agent, interval });
                let contact = Contact {
                    every: view.agent.check_interval,
                    next: Some(self.start),
                    ..Contact::default()
                };
                self.agents.entry(agent).or_insert(contact);
            }
        }
        let known = |name: &Option<String>| {
            name.as_ref().is_none_or(|name| self.channels.iter().any(|it| it.name == *name))
        };
        if let Some(unknown) = test.expectations.iter().find(|expectation| !known(&expectation.channel)) {
            let name = unknown.channel.as_deref().unwrap_or_default();
            let detail = format!("speaks of the channel '{name}', which the configuration does not have");
            return Err(wrong(test, detail));
        }
        for step in &test.steps {
            if matches!(step.action, Action::Results { .. } | Action::Silence) {
                reporting.extend(self.checks.get(&step.check).map(|known| known.id));
            }
        }
        let checks = reporting.into_iter().collect();
        self.store.commit(self.start, vec![Input::Delivered { checks }]).await?;
        Ok(())
    }

    async fn find(&self, name: &str) -> Result<Option<CheckView>, StoreError> {
        let Some((agent, check)) = name.split_once('/') else { return Ok(None) };
        let filter = AgentFilter { names: vec![agent.to_owned()], ..AgentFilter::default() };
        let Some(agent) = self.store.agents(&filter, Page::ALL).await?.objects.into_iter().next() else {
            return Ok(None);
        };
        let (agents, names) = (vec![agent.agent.id], vec![check.to_owned()]);
        let filter = CheckFilter { agents, names, ..CheckFilter::default() };
        Ok(self.store.checks(&filter, Page::ALL).await?.objects.into_iter().next())
    }

    async fn go_through(&mut self, test: &Test, moments: &[Moment<'_>], end: Millis) -> Result<(), RunError> {
        let end = self.start.after(end);
        let mut moments = moments.iter().peekable();
        let mut questions: BTreeSet<Timestamp> =
            test.expectations.iter().map(|expectation| self.start.after(expectation.to)).collect();
        let mut now = self.start;
        loop {
            self.clock.set(now);
            while let Some(moment) = moments.next_if(|moment| self.start.after(moment.at) <= now) {
                self.happen(test, moment, now).await?;
            }
            self.make_contact(now).await?;
            self.settle(now).await?;
            if questions.remove(&now) {
                self.ask(test, now).await?;
            }
            let next_moment = moments.peek().map(|moment| self.start.after(moment.at));
            let next_contact = self.agents.values().filter_map(|contact| contact.next).min();
            let due = self.next_due(now).await?;
            let next =
                [next_moment, next_contact, questions.first().copied(), due].into_iter().flatten().min();
            match next.filter(|next| *next <= end) {
                Some(next) => now = next.max(now.after(Millis::new(1))),
                None => return Ok(()),
            }
        }
    }

    async fn happen(&mut self, test: &Test, moment: &Moment<'_>, now: Timestamp) -> Result<(), RunError> {
        let Some(&Known { id: check, agent, .. }) = self.checks.get(moment.check) else { return Ok(()) };
        let input = match &moment.happens {
            Happens::Result(result) => {
                let result = CheckResult { timestamp: Some(now), ..CheckResult::clone(result) };
                let input = Input::Result { check, result };
                match self.agents.get_mut(&agent).filter(|contact| contact.next.is_none()) {
                    Some(down) => {
                        down.waiting.push(input);
                        return Ok(());
                    }
                    None => input,
                }
            }
            Happens::Action(action) => match self.input_of(action, moment.check, check, agent, now)? {
                Some(input) => input,
                None => return Ok(()),
            },
        };
        match self.store.commit(now, vec![input]).await {
            Ok(_) => Ok(()),
            Err(StoreError::Refused { refusal, .. }) => {
                let detail = format!("asks at {} for what is refused: {refusal}", moment.at);
                Err(wrong(test, detail))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What a step means to the store; `None` when it means nothing to it.
    fn input_of(
        &mut self,
        action: &Action,
        name: &str,
        check: CheckId,
        agent: AgentId,
        now: Timestamp,
    ) -> Result<Option<Input>, RunError> {
        Ok(match action {
            Action::Results { .. } | Action::Silence => None,
            Action::AgentDown => {
                self.agents.entry(agent).and_modify(|contact| contact.next = None);
                None
            }
            Action::AgentUp => {
                self.agents.entry(agent).and_modify(|contact| contact.next = Some(now));
                None
            }
            Action::Ping { signal, rid, body } => {
                Some(Input::Ping { check, signal: *signal, rid: rid.clone(), body: body.clone() })
            }
            Action::Acknowledge { by, comment, sticky, expires_after, tell } => {
                let acknowledgement = Acknowledgement {
                    by: by.clone(),
                    comment: comment.clone(),
                    at: now,
                    sticky: *sticky,
                    expires_at: expires_after.map(|span| now.after(span)),
                    public: false,
                };
                Some(Input::Acknowledge { check, acknowledgement, tell: *tell })
            }
            Action::Unacknowledge => Some(Input::TakeBackAcknowledgement { check, by: BY.to_owned() }),
            Action::Downtime { lasts, flexible, comment } => {
                let downtime = Downtime {
                    id: DowntimeId::from(std::num::NonZeroU64::MIN),
                    matchers: matchers_of(name),
                    when: When::Once(Window { start: now, end: now.after(*lasts) }),
                    flexible: *flexible,
                    comment: comment.clone(),
                    by: BY.to_owned(),
                    created_at: now,
                    managed_by: None,
                };
                let change = Change::CreateDowntime(Box::new(downtime));
                Some(Input::Change { change, by: BY.to_owned() })
            }
        })
    }

    /// Agents whose time it is are heard of; one that was down delivers what waited.
    async fn make_contact(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let mut inputs = Vec::new();
        for (agent, contact) in &mut self.agents {
            if contact.next.is_some_and(|next| next <= now) {
                contact.next = Some(now.after(contact.every));
                inputs.push(Input::Contact { agent: *agent });
                inputs.append(&mut contact.waiting);
            }
        }
        if !inputs.is_empty() {
            self.store.commit(now, inputs).await?;
        }
        Ok(())
    }

    /// Has all that is due judged, and takes the messages that may go, until there is nothing more at this moment.
    async fn settle(&mut self, now: Timestamp) -> Result<(), StoreError> {
        for _ in 0..ROUNDS {
            let due = self.store.next_due().await?.is_some_and(|due| due <= now);
            if due {
                self.store.commit(now, vec![Input::Deadlines]).await?;
            }
            if !self.deliver(now).await? && !due {
                break;
            }
        }
        Ok(())
    }

    /// Takes the messages that may go now; whether there were any.
    async fn deliver(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let mut any = false;
        for channel in self.channels.clone() {
            if !channel.enabled {
                continue;
            }
            let allowed = self.allowed(&channel, now).min(CLAIMED);
            if allowed == 0 {
                continue;
            }
            for row in self.store.claim(channel.id, now, allowed).await? {
                any = true;
                if let Some(bucket) = self.buckets.get_mut(&channel.id) {
                    bucket.take();
                }
                self.take(&channel, &row, now).await?;
            }
        }
        Ok(any)
    }

    /// How many messages the rate limit of a channel lets pass.
    fn allowed(&mut self, channel: &Channel, now: Timestamp) -> usize {
        let Some(limit) = channel.rate_limit.as_deref().and_then(|text| text.parse().ok()) else {
            return usize::MAX;
        };
        let passed = now.since(self.start).into();
        self.buckets.entry(channel.id).or_insert_with(|| Bucket::new(limit, passed)).available(passed)
    }

    /// A message goes out.
    async fn take(&mut self, channel: &Channel, row: &OutboxRow, now: Timestamp) -> Result<(), StoreError> {
        let mut message = notification(self.store.as_ref(), channel, row, None).await?;
        let fault = put_words(channel, &mut message).err();
        self.told.push(Told::new(now.since(self.start), &channel.name, &message, fault));
        let attempt = Try { at: now, took: Millis::ZERO, detail: String::new(), fault: None };
        let delivery = Delivery::Sent { receipt: Receipt::default() };
        self.store.commit(now, vec![Input::Delivery { notification: row.id, attempt, delivery }]).await?;
        Ok(())
    }

    /// When something is due after `now`.
    async fn next_due(&mut self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let mut due = self.store.next_due().await?;
        for channel in self.channels.iter().filter(|channel| channel.enabled) {
            let next = self.store.waiting(channel.id).await?.next;
            let limited = self.buckets.get(&channel.id).map(|bucket| now.after(bucket.wait().into()));
            let next = next.map(|next| next.max(limited.filter(|_| next <= now).unwrap_or(next)));
            due = due.into_iter().chain(next).min();
        }
        Ok(due)
    }

    /// Notes what the gates say now, in case that what is expected by now was not told.
    async fn ask(&mut self, test: &Test, now: Timestamp) -> Result<(), StoreError> {
        let expected = test.expectations.iter().filter(|expectation| self.start.after(expectation.to) == now);
        let names: BTreeSet<&str> =
            expected.map(|expectation| expectation.check.as_deref().unwrap_or(&test.check)).collect();
        for name in names {
            let Some(known) = self.checks.get(name) else { continue };
            let (look, view) = (self.store.explain(known.id, now).await?, self.store.check(known.id).await?);
            if let (Some(look), Some(view)) = (look, view) {
                self.gates.note(now.since(self.start), &view, &look);
            }
        }
        Ok(())
    }
}

/// The agents that come before the configuration: those beside the test, and those that checks name and nobody
/// declares, for they enrol by themselves.
fn agents_of(configuration: &Configuration, more: &Map<String, Value>) -> Map<String, Value> {
    let values = configuration.to_values();
    let declared: BTreeSet<&str> =
        objects(&values, "agent").filter_map(|agent| agent["name"].as_str()).collect();
    let beside = objects(more, "agent").filter_map(|agent| Some((agent["name"].as_str()?, agent.clone())));
    let mut agents: BTreeMap<&str, Value> = beside.collect();
    for check in objects(&values, "check").chain(objects(more, "check")) {
        if let Some(name) = check["agent"].as_str() {
            agents.entry(name).or_insert_with(|| json!({"name": name}));
        }
    }
    agents.retain(|name, _| !declared.contains(name));
    Map::from_iter([("agent".to_owned(), agents.into_values().collect())])
}

/// The objects of a table of a configuration.
fn objects<'a>(values: &'a Map<String, Value>, table: &str) -> impl Iterator<Item = &'a Value> {
    values.get(table).and_then(Value::as_array).into_iter().flatten()
}

/// The conditions that the check of this name alone meets.
fn matchers_of(name: &str) -> Vec<Matcher> {
    let (agent, check) = name.split_once('/').unwrap_or((name, ""));
    let equals = |label: &str, value: &str| format!("{label}={value:?}").parse().ok();
    [equals("agent", agent), equals("check", check)].into_iter().flatten().collect()
}

/// Numbers that stand for randomness, so that a test is the same each time.
#[derive(Debug, Default)]
struct Counted(std::sync::atomic::AtomicU8);

impl Random for Counted {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        let count = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        bytes.fill(count);
        Ok(())
    }
}

/// No channel is tried here.
#[derive(Debug)]
struct NoTester;

#[async_trait]
impl ChannelTester for NoTester {
    async fn test(&self, _: vilicus_core::ChannelId) -> TestOutcome {
        let detail = "nothing is sent in a policy test".to_owned();
        TestOutcome { delivered: false, detail, took: Millis::ZERO, receipt: None }
    }
}
