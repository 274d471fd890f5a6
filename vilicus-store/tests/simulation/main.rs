//! Everything at once: twenty agents, their network, the services and the operators, around a store whose disk fails and
//! whose process dies, on a clock of its own. After a storm comes calm; then everyone knows the truth.
//!
//! `VILICUS_SIMULATION_SEED=7` plays one seed again, exactly; `VILICUS_SIMULATION_SEEDS=10000` plays more of them.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A test fails by panicking.

mod agents;
mod chance;
mod contract;
mod dispatcher;
mod model;
mod operator;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use vilicus_core::{AgentId, CheckId, Millis, Status};
use vilicus_store::conformance::{new_agent, new_channel, new_check};
use vilicus_store::inventory::{Check, CheckSettings, HEARTBEAT_KIND};
use vilicus_store::{Change, Input, Json};

use crate::agents::{Agent, Fleet};
use crate::contract::Known;
use crate::world::World;

const AGENTS: u64 = 20;
const CHANNELS: u64 = 3;
/// A storm lasts so many steps of some seconds.
const STORM: u32 = 40;
const STEP: u64 = 40;
/// Whatever flapped has settled after so many minutes of calm.
const CALM: u32 = 26;
/// All results are in, and what they say is delivered, after so many.
const SPELL: u32 = 6;

/// Makes the agents, their checks and the channels.
async fn furnish(world: &mut World) -> Fleet {
    let channel = |number: u64| {
        let mut channel = new_channel(&format!("channel-{number}"));
        channel.digest_above = (number == 0).then_some(8);
        Change::CreateChannel(Box::new(channel))
    };
    world.change(&(0..CHANNELS).map(channel).collect::<Vec<_>>()).await;
    let agent = |number| Change::CreateAgent(Box::new(new_agent(&format!("web-{number}"))));
    let agents: Vec<AgentId> = ids(world.change(&(0..AGENTS).map(agent).collect::<Vec<_>>()).await);
    let checks: Vec<Change> = agents.iter().flat_map(|agent| checks(*agent)).collect();
    let checks: Vec<CheckId> = ids(world.change(&checks).await);
    world.commit(vec![Input::Delivered { checks: checks.clone() }]).await;
    let agent =
        |(agent, checks): (&AgentId, &[CheckId])| Agent::new(*agent, &checks[1..], checks[0], world.now);
    let agents = agents.iter().zip(checks.chunks(4)).map(agent).collect();
    Fleet::new(agents)
}

fn ids<I: From<std::num::NonZeroU64>>(numbers: Option<Vec<u64>>) -> Vec<I> {
    numbers.unwrap().into_iter().map(|number| std::num::NonZeroU64::new(number).unwrap().into()).collect()
}

/// The heartbeat of a job, and three checks that the agent runs.
fn checks(agent: AgentId) -> Vec<Change> {
    let probes = [("disk", 1), ("load", 3), ("shop", 1)].map(|(name, max_attempts)| {
        let mut check = new_check(agent, name);
        check.settings = CheckSettings { max_attempts, ..CheckSettings::default() };
        check
    });
    std::iter::once(heartbeat(agent))
        .chain(probes)
        .map(|check| Change::CreateCheck(Box::new(check)))
        .collect()
}

fn heartbeat(agent: AgentId) -> Check {
    let mut check = new_check(agent, "backup");
    check.kind = HEARTBEAT_KIND.to_owned();
    check.params = Json(serde_json::json!({"period": "5m", "grace": "1m"}));
    check
}

async fn step(world: &mut World, fleet: &mut Fleet) {
    let seconds = if world.storm { 1 + world.chance.below(STEP) } else { 60 };
    world.now = world.now.after(Millis::from_secs(seconds));
    world.look_at_deadlines().await;
    fleet.step(world).await;
    if world.storm && world.chance.one_in(3) {
        operator::act(world).await;
    }
    if world.storm && world.chance.one_in(60) {
        world.die().await;
    }
    dispatcher::deliver(world).await;
    if world.chance.one_in(12) {
        world.settle_down().await;
        world.look_at_deadlines().await;
        world.check_invariants().await;
    }
}

async fn play(seed: u64) {
    let mut world = World::new(seed);
    let mut fleet = furnish(&mut world).await;
    world.storm = true;
    for _ in 0..STORM {
        step(&mut world, &mut fleet).await;
    }
    world.storm = false;
    operator::make_peace(&mut world).await;
    for _ in 0..CALM {
        step(&mut world, &mut fleet).await;
    }
    world.check_invariants().await;
    all_is_well(&world, &fleet).await;
    operator::remove_routes(&mut world).await;
    the_next_problem_reaches_everyone(&mut world, &mut fleet).await;
}

/// Nothing is left of the storm.
async fn all_is_well(world: &World, fleet: &Fleet) {
    for view in world.views().await {
        let (id, state) = (view.check.id, &view.state);
        assert!(state.status.is_none_or(|status| status == Status::Ok), "{id}: {state:?}");
        assert!(
            state.told.is_empty() && state.held.is_none() && !state.flapping.is_flapping(),
            "{id}: {state:?}"
        );
        if fleet.runs(id) {
            fleet.compare(id, world.model.kept(id));
        }
    }
    for channel in world.store().channels().await.unwrap() {
        let waiting = world.store().waiting(channel.id).await.unwrap();
        assert_eq!(waiting.count, 0, "everything is delivered: {waiting:?}");
    }
    assert_eq!(
        world.contract.believed(),
        &Known::new(),
        "I5: whoever was told of a problem knows of its end"
    );
}

/// No queue, group or hold is left that keeps the next problem, or its end, from anyone.
async fn the_next_problem_reaches_everyone(world: &mut World, fleet: &mut Fleet) {
    world.weather = Status::Critical;
    for _ in 0..SPELL {
        step(world, fleet).await;
    }
    let channels = world.store().channels().await.unwrap();
    let views = world.views().await;
    let run = views.iter().map(|view| view.check.id).filter(|check| fleet.runs(*check));
    let ill =
        run.flat_map(|check| channels.iter().map(move |channel| ((channel.id, check), Status::Critical)));
    assert_eq!(world.contract.believed(), &ill.collect::<Known>());
    world.weather = Status::Ok;
    for _ in 0..SPELL {
        step(world, fleet).await;
    }
    assert_eq!(world.contract.believed(), &Known::new());
}

/// Plays seeds until there are none left or one fails; says which.
fn play_from(next: &AtomicU64, end: u64) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        let played = catch_unwind(AssertUnwindSafe(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(play(seed));
        }));
        if played.is_err() {
            next.store(end, Ordering::Relaxed);
            panic!(
                "play it again: VILICUS_SIMULATION_SEED={seed} cargo test -p vilicus-store --all-features --test simulation"
            );
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn after_every_storm_everyone_knows_the_truth() {
    let (first, seeds) = match number("VILICUS_SIMULATION_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("VILICUS_SIMULATION_SEEDS").unwrap_or(200)),
    };
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| play_from(&next, first + seeds));
        }
    });
}
