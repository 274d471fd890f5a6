//! The contract: each problem that was told has exactly one end, whatever came in between, restarts too.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use vilicus_core::{Millis, NotificationEvent, Status, Timestamp};
use vilicus_store::conformance::{Fixture, NOON};
use vilicus_store::inventory::Channel;
use vilicus_store::{Change, EngineStore, Input, MemoryEngine, Options, Store};

#[derive(Debug, Clone, Copy)]
enum Step {
    Result(u8),
    LateResult(u8),
    Deliver,
    ClaimAndDie,
    Reopen,
    Deadlines,
    Contact,
    SwitchNotifications,
    SwitchChannel,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..4_u8).prop_map(Step::Result),
        1 => (0..4_u8).prop_map(Step::LateResult),
        3 => Just(Step::Deliver),
        1 => Just(Step::ClaimAndDie),
        1 => Just(Step::Reopen),
        1 => Just(Step::Deadlines),
        1 => Just(Step::Contact),
        1 => Just(Step::SwitchNotifications),
        1 => Just(Step::SwitchChannel),
    ];
    proptest::collection::vec(step, 1..60)
}

fn open(engine: &Arc<MemoryEngine>, now: Timestamp) -> Arc<dyn Store> {
    Arc::new(EngineStore::open(Arc::clone(engine), Options::new(now, [7; 16])).unwrap())
}

/// What one reader of the channel knows of each thing: whether a problem is open.
#[derive(Debug, Default)]
struct Reader {
    open: HashMap<String, Status>,
    keys: HashMap<String, String>,
}

impl Reader {
    /// Reads a message; a problem told twice in the same words, or an end without a problem, is against the contract.
    fn read(&mut self, row: &vilicus_store::outbox::OutboxRow) {
        let text = format!("{:?}", row.items);
        if let Some(known) = self.keys.insert(row.key.clone(), text.clone()) {
            assert_eq!(known, text, "the same key always says the same");
            return;
        }
        for item in &row.items {
            let place = format!("{} / {}", item.agent, item.check);
            match item.event {
                NotificationEvent::Problem | NotificationEvent::AgentDown => {
                    let before = self.open.insert(place, item.status);
                    assert_eq!(before, item.previous_status, "a problem says what was told before it");
                }
                NotificationEvent::Flapping => {}
                _ => {
                    let was_told = self.open.remove(&place).is_some();
                    // An end that merged with its problem before anyone was told carries the problem itself.
                    assert!(was_told || item.problem_since.is_some(), "an end of nothing: {item:?}");
                }
            }
        }
    }
}

async fn deliver(world: &Fixture, second: i64, reader: &mut Reader) {
    for row in world.deliver(second).await {
        reader.read(&row);
    }
}

async fn play(steps: Vec<Step>) {
    let engine = Arc::new(MemoryEngine::new());
    let mut world = Fixture::new(open(&engine, NOON)).await;
    let mut reader = Reader::default();
    let mut second = 0;
    let (mut notifications, mut enabled) = (true, true);
    for step in steps {
        second += 20;
        match step {
            Step::Result(code) => {
                world.report(second, Status::ALL[usize::from(code)]).await;
            }
            Step::LateResult(code) => {
                let late = world.result(second - 25, Status::ALL[usize::from(code)]);
                world.commit(second, late).await;
            }
            Step::Deliver => deliver(&world, second, &mut reader).await,
            Step::ClaimAndDie => {
                for row in world.store.claim(world.channel, at(second), 10).await.unwrap() {
                    reader.read(&row);
                }
                world = reopen(world, &engine, second).await;
            }
            Step::Reopen => world = reopen(world, &engine, second).await,
            Step::Deadlines => {
                second += 300;
                world.commit(second, Input::Deadlines).await;
            }
            Step::Contact => {
                world.commit(second, Input::Contact { agent: world.agent }).await;
            }
            Step::SwitchNotifications => {
                notifications = !notifications;
                let view = world.store.check(world.check).await.unwrap().unwrap();
                let mut check = (*view.check).clone();
                check.settings.notifications = notifications;
                change(&world, second, Change::UpdateCheck(Box::new(check))).await;
            }
            Step::SwitchChannel => {
                enabled = !enabled;
                switch_channel(&world, second, enabled).await;
            }
        }
    }
    // In the end all is well, and everything is delivered.
    second += 20;
    switch_channel(&world, second, true).await;
    world.commit(second, Input::Contact { agent: world.agent }).await;
    // However it flapped, it has settled by then.
    for _ in 0..25 {
        second += 20;
        world.report(second, Status::Ok).await;
    }
    deliver(&world, second + 10, &mut reader).await;
    assert_eq!(reader.open, HashMap::new(), "whoever was told of a problem was told of its end");
}

fn at(second: i64) -> Timestamp {
    NOON.after(Millis::from_secs(second as u64))
}

async fn reopen(world: Fixture, engine: &Arc<MemoryEngine>, second: i64) -> Fixture {
    let ids = world.end();
    ids.found_in(open(engine, at(second)))
}

async fn change(world: &Fixture, second: i64, change: Change) {
    world.commit(second, Input::Change { change, by: "trial".to_owned() }).await;
}

async fn switch_channel(world: &Fixture, second: i64, enabled: bool) {
    let channels = world.store.channels().await.unwrap();
    let channel = Channel { enabled, ..(*channels[0]).clone() };
    change(world, second, Change::UpdateChannel(Box::new(channel))).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn whoever_was_told_of_a_problem_is_told_of_its_end(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps));
    }
}
