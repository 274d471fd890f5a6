//! Silence becomes news by itself, and a clock that was set does not make any.

use std::sync::Arc;
use std::time::Duration;

use vilicus_core::{AgentId, Millis, Timestamp};
use vilicus_server::clock::{Clock as _, ManualClock};
use vilicus_server::freshness::{AFTER_JUMP, Freshness};
use vilicus_server::health::Pulse;
use vilicus_store::query::AgentState;
use vilicus_store::{Change, EngineStore, Input, MemoryEngine, Options, Outcome, Store};

use crate::pages::agent;

/// A judge of deadlines over a store with one agent that was heard of once.
struct Watch {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    agent: AgentId,
    // While a blocking task runs, tokio does not move its clock by itself; the store answers from another thread.
    _hold: std::sync::mpsc::Sender<()>,
}

impl Watch {
    async fn new() -> Self {
        let (hold, held) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || held.recv().is_ok());
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_790_000_000_000)));
        let options = Options::new(clock.now().before(Millis::from_hours(1)), [7; 16]);
        let store: Arc<dyn Store> = Arc::new(EngineStore::open(MemoryEngine::new(), options).unwrap());
        let change = Change::CreateAgent(agent("web-1", clock.now()));
        let made =
            store.commit(clock.now(), vec![Input::Change { change, by: "test".to_owned() }]).await.unwrap();
        let Outcome::Id(id) = made[0] else { panic!("{made:?}") };
        let agent = AgentId::new(id).unwrap();
        store.commit(clock.now(), vec![Input::Contact { agent }]).await.unwrap();
        let freshness = Freshness::new(store.clone(), clock.clone(), Pulse::new(clock.clone()));
        tokio::spawn(freshness.run(std::future::pending()));
        Self { store, clock, agent, _hold: hold }
    }

    /// Time passes, in steps of a second.
    async fn pass(&self, span: Duration) {
        for _ in 0..span.as_secs() {
            self.clock.advance(Millis::from_secs(1));
            tokio::time::advance(Duration::from_secs(1)).await;
            for _ in 0..4 {
                tokio::task::yield_now().await;
                tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_micros(200))).await.unwrap();
            }
        }
    }

    async fn state(&self) -> AgentState {
        self.store.agent(self.agent).await.unwrap().unwrap().state
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_falls_silent_is_down_when_its_deadline_passes() {
    let watch = Watch::new().await;
    watch.pass(Duration::from_secs(148)).await;
    assert_eq!(watch.state().await, AgentState::Up);
    watch.pass(Duration::from_secs(10)).await;
    assert_eq!(watch.state().await, AgentState::Down, "two intervals of a minute and 30 s of grace are over");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_forward_makes_no_silence() {
    let watch = Watch::new().await;
    watch.pass(Duration::from_secs(10)).await;
    watch.clock.set(watch.clock.now().after(Millis::from_hours(24)));
    watch.pass(Duration::from_secs(60)).await;
    assert_eq!(watch.state().await, AgentState::Up);
    watch.store.commit(watch.clock.now(), vec![Input::Contact { agent: watch.agent }]).await.unwrap();
    watch.pass(AFTER_JUMP - Duration::from_secs(70)).await;
    assert_eq!(watch.state().await, AgentState::Up, "it was heard of by the new time");
    watch.pass(Duration::from_secs(30)).await;
    assert_eq!(watch.state().await, AgentState::Down, "and has been silent for too long since");
}
