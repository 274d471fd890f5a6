//! What a storm costs: ten thousand checks of a hundred hosts fail in one commit, and are routed and grouped by host.
//! The limit: 50 ms. The same results when nothing is wrong, and without routes, tell where the time goes.
//!
//! `cargo run --release -p vilicus-benches --bin storm`

use std::sync::Arc;

use tokio::time::Instant;
use vilicus_core::{AgentId, ChannelId, CheckId, CheckResult, Millis, Route, RouteId, Status, Timestamp};
use vilicus_store::conformance::{NOON, new_agent, new_channel, new_check};
use vilicus_store::{Change, EngineStore, Input, MemoryEngine, Options, Outcome, Store};

/// That of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const HOSTS: usize = 100;
const CHECKS: usize = 100;
const ROUNDS: u64 = 10;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    for routed in [true, false] {
        let store: Arc<dyn Store> =
            Arc::new(EngineStore::open(MemoryEngine::new(), Options::new(NOON, [7; 16]))?);
        let checks = furnish(&store, routed).await?;
        eprintln!(
            "{} checks of {HOSTS} hosts, {}",
            checks.len(),
            if routed { "one route by host" } else { "no route" }
        );
        for round in 0..ROUNDS {
            let now = NOON.after(Millis::from_minutes(2 * round + 1));
            let fail = report(&store, &checks, Status::Critical, now).await?;
            let calm = report(&store, &checks, Status::Critical, now.after(Millis::from_secs(20))).await?;
            let waiting = deliver(&store, now.after(Millis::from_secs(40))).await?;
            let recover = report(&store, &checks, Status::Ok, now.after(Millis::from_secs(60))).await?;
            deliver(&store, now.after(Millis::from_hours(1))).await?;
            eprintln!(
                "fail {fail:>6.1} ms, unchanged {calm:>6.1} ms, recover {recover:>6.1} ms, {waiting} messages"
            );
        }
    }
    Ok(())
}

async fn furnish(store: &Arc<dyn Store>, routed: bool) -> Result<Vec<CheckId>, Failure> {
    let channel = create(store, Change::CreateChannel(Box::new(new_channel("ops")))).await?;
    if routed {
        let mut route = Route::new(RouteId::from(std::num::NonZeroU64::MIN), "by host");
        route.channels.extend(ChannelId::new(channel));
        route.group_by.push("agent".to_owned());
        create(store, Change::CreateRoute(Box::new(route))).await?;
    }
    let mut checks = Vec::new();
    for host in 0..HOSTS {
        let agent = create(store, Change::CreateAgent(Box::new(new_agent(&format!("web-{host}"))))).await?;
        let agent = AgentId::new(agent).ok_or("no id")?;
        for number in 0..CHECKS {
            let mut check = new_check(agent, &format!("check-{number}"));
            check.settings.flap_detection = false;
            checks.extend(CheckId::new(create(store, Change::CreateCheck(Box::new(check))).await?));
        }
    }
    Ok(checks)
}

async fn create(store: &Arc<dyn Store>, change: Change) -> Result<u64, Failure> {
    let outcomes = store.commit(NOON, vec![Input::Change { change, by: "bench".to_owned() }]).await?;
    if let [Outcome::Id(id)] = outcomes[..] { Ok(id) } else { Err("no id".into()) }
}

/// Reports the same of every check in one commit; how long that took, in milliseconds.
async fn report(
    store: &Arc<dyn Store>,
    checks: &[CheckId],
    status: Status,
    now: Timestamp,
) -> Result<f64, Failure> {
    let result = CheckResult::new(status, "as it is").at(now);
    let inputs = checks.iter().map(|check| Input::Result { check: *check, result: result.clone() }).collect();
    let began = Instant::now();
    store.commit(now, inputs).await?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

/// Takes what waits off the queue; how many messages there were.
async fn deliver(store: &Arc<dyn Store>, now: Timestamp) -> Result<usize, Failure> {
    let mut count = 0;
    for channel in store.channels().await? {
        loop {
            let rows = store.claim(channel.id, now, 1000).await?;
            if rows.is_empty() {
                break;
            }
            count += rows.len();
            let attempt = || vilicus_store::outbox::Try {
                at: now,
                took: Millis::ZERO,
                detail: String::new(),
                fault: None,
            };
            let sent = || vilicus_store::outbox::Delivery::Sent { receipt: vilicus_core::Receipt::new("ok") };
            let delivered = rows.iter().map(|row| Input::Delivery {
                notification: row.id,
                attempt: attempt(),
                delivery: sent(),
            });
            store.commit(now, delivered.collect()).await?;
        }
    }
    Ok(count)
}
