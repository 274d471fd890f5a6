//! The world: a store over a disk that may fail, in a process that may die at any point, and the clock.

use std::sync::Arc;
use std::time::Duration;

use vilicus_core::{CheckId, Event, EventId, Millis, NotificationEvent, Status, Timestamp};
use vilicus_store::conformance::{Fault, FaultyEngine, NOON, When};
use vilicus_store::query::{CheckFilter, CheckView, EventQuery, NotificationQuery, Order, Page};
use vilicus_store::{Change, EngineStore, Input, MemoryEngine, Options, Outcome, Store, StoreError};

use crate::chance::Chance;
use crate::contract::Contract;
use crate::model::Model;

type Engine = Arc<FaultyEngine<Arc<MemoryEngine>>>;

pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) now: Timestamp,
    /// Whether anything may fail.
    pub(crate) storm: bool,
    /// What every check is while nothing fails.
    pub(crate) weather: Status,
    pub(crate) model: Model,
    pub(crate) contract: Contract,
    /// `None` between two lives.
    store: Option<Arc<dyn Store>>,
    engine: Engine,
    last_event: Option<EventId>,
    /// How often the process died: what was on its way to it is lost.
    pub(crate) lives: u32,
}

fn open(engine: &Engine, now: Timestamp) -> Arc<dyn Store> {
    Arc::new(
        EngineStore::open(Arc::clone(engine), Options::new(now, [7; 16]).share_sync(Duration::ZERO))
            .expect("the store opens"),
    )
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let engine: Engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
        Self {
            chance: Chance::new(seed),
            now: NOON,
            storm: false,
            weather: Status::Ok,
            model: Model::default(),
            contract: Contract::default(),
            store: Some(open(&engine, NOON)),
            engine,
            last_event: None,
            lives: 0,
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.store.as_deref().expect("it is open")
    }

    /// Carries out inputs. `None` when they were refused, or when nobody heard the answer.
    pub(crate) async fn commit(&mut self, inputs: Vec<Input>) -> Option<Vec<Outcome>> {
        self.now = self.now.after(Millis::new(1));
        let fault = if self.storm && self.chance.one_in(60) { self.a_fault() } else { None };
        let answer = self.store().commit(self.now, inputs.clone()).await;
        self.engine.mend();
        let (kept, outcomes) = match answer {
            Ok(outcomes) => (true, Some(outcomes)),
            Err(StoreError::Refused { .. }) => (false, None),
            Err(StoreError::Unwritable { .. }) => (fault == Some(Fault::IoAfterwards), None),
            Err(other) => panic!("{other:?}"),
        };
        let events = self.new_events().await;
        assert!(kept || events.is_empty(), "what was refused leaves no trace");
        if kept {
            self.model.follow(self.now, &inputs, &events);
        }
        if inputs.iter().any(|input| matches!(input, Input::Change { .. })) {
            self.model.configure(&self.views().await);
        }
        outcomes
    }

    fn a_fault(&mut self) -> Option<Fault> {
        let fault = self.chance.pick(&[Fault::Io, Fault::IoAfterwards, Fault::Full]).copied()?;
        self.engine.fail(fault, When::Once(1));
        Some(fault)
    }

    /// Changes the configuration; the ids of the objects when nothing was refused.
    pub(crate) async fn change(&mut self, changes: &[Change]) -> Option<Vec<u64>> {
        let input = |change: &Change| Input::Change { change: change.clone(), by: "operator".to_owned() };
        let outcomes = self.commit(changes.iter().map(input).collect()).await?;
        let id = |outcome: Outcome| if let Outcome::Id(id) = outcome { Some(id) } else { None };
        outcomes.into_iter().map(id).collect()
    }

    /// The process dies and comes back. What it knew is what it had answered.
    pub(crate) async fn die(&mut self) {
        self.store = None;
        self.store = Some(open(&self.engine, self.now));
        self.lives += 1;
        self.settle_down().await;
        self.model.compare(&self.views().await);
    }

    /// Writes down what waits, so that no fault meets anything but the commit that it is meant for.
    pub(crate) async fn settle_down(&mut self) {
        self.store().maintain(self.now).await.expect("nothing fails now");
    }

    /// Judges the deadlines that have passed, however often the disk fails. Afterwards none is left.
    pub(crate) async fn look_at_deadlines(&mut self) {
        while self.is_due().await {
            if self.commit(vec![Input::Deadlines]).await.is_some() {
                assert!(!self.is_due().await, "a deadline was judged, and stays");
            }
        }
    }

    async fn is_due(&self) -> bool {
        let due = self.store().next_due().await.expect("it can be read");
        due.is_some_and(|due| due <= self.now)
    }

    pub(crate) async fn views(&self) -> Vec<CheckView> {
        self.store().checks(&CheckFilter::default(), Page::ALL).await.expect("checks can be read").objects
    }

    async fn new_events(&mut self) -> Vec<Arc<Event>> {
        let query = EventQuery {
            after: self.last_event,
            order: Order::OldestFirst,
            limit: 100_000,
            ..EventQuery::default()
        };
        let events = self.store().events(&query).await.expect("events can be read");
        self.last_event = events.last().map(|event| event.id).or(self.last_event);
        events
    }

    /// Checks all invariants that hold at every moment.
    pub(crate) async fn check_invariants(&mut self) {
        let views = self.views().await;
        self.model.compare(&views);
        let query =
            NotificationQuery { order: Order::OldestFirst, limit: 100_000, ..NotificationQuery::default() };
        let rows = self.store().notifications(&query).await.expect("messages can be read");
        self.contract.compare(&rows, &views);
        for view in views.iter().filter(|view| view.state.has_hard_problem() || !view.state.told.is_empty()) {
            self.check_nothing_is_forgotten(view.check.id).await;
        }
    }

    /// What a look would tell now was told: everything that could make it so has led to a look.
    async fn check_nothing_is_forgotten(&self, check: CheckId) {
        let look = self.store().explain(check, self.now).await.expect("it can be read").expect("it is there");
        let forgotten = look.tells.iter().find(|tell| tell.event != NotificationEvent::Flapping);
        assert_eq!(
            forgotten, None,
            "check {check} has something to tell, and nobody looked: {:#?}",
            look.trace
        );
    }
}
