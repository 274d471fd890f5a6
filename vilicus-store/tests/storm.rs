//! A storm: everything fails at once. There is one message a group, and each is true.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::collections::BTreeMap;
use std::sync::Arc;

use vilicus_core::{
    AgentId, CheckId, CheckResult, Millis, NotificationEvent, Route, RouteId, Status, Timestamp,
};
use vilicus_store::conformance::{Fixture, NOON, new_agent, new_check};
use vilicus_store::{Change, EngineStore, Input, MemoryEngine, Options, Outcome, Store};

const HOSTS: usize = 50;
const CHECKS: usize = 40;

fn at(second: u64) -> Timestamp {
    NOON.after(Millis::from_secs(second))
}

async fn create(world: &Fixture, changes: Vec<Change>) -> Vec<u64> {
    let input = |change| Input::Change { change, by: "trial".to_owned() };
    let outcomes = world.store.commit(NOON, changes.into_iter().map(input).collect()).await.unwrap();
    outcomes
        .iter()
        .map(|outcome| if let Outcome::Id(id) = outcome { *id } else { panic!("{outcome:?}") })
        .collect()
}

/// Many checks of many hosts, and a route that groups them by host.
async fn furnish(world: &Fixture) -> Vec<CheckId> {
    let mut route = Route::new(RouteId::new(1).unwrap(), "by host");
    (route.channels, route.group_by) = (vec![world.channel], vec!["agent".to_owned()]);
    create(world, vec![Change::CreateRoute(Box::new(route))]).await;
    let hosts = (0..HOSTS).map(|host| Change::CreateAgent(Box::new(new_agent(&format!("host-{host}")))));
    let mut checks = Vec::new();
    for agent in create(world, hosts.collect()).await {
        let agent = AgentId::new(agent).unwrap();
        let new = (0..CHECKS)
            .map(|number| Change::CreateCheck(Box::new(new_check(agent, &format!("check-{number}")))));
        checks.extend(create(world, new.collect()).await.into_iter().map(|id| CheckId::new(id).unwrap()));
    }
    checks
}

async fn report(world: &Fixture, checks: &[CheckId], status: Status, second: u64) {
    let result = CheckResult::new(status, "as it is").at(at(second));
    let inputs = checks.iter().map(|check| Input::Result { check: *check, result: result.clone() });
    world.store.commit(at(second), inputs.collect()).await.unwrap();
}

/// What was delivered by then, by group: how many items, all of this kind.
async fn delivered(
    world: &Fixture,
    second: i64,
    event: NotificationEvent,
    status: Status,
) -> BTreeMap<String, usize> {
    let mut groups = BTreeMap::new();
    for row in world.deliver(second).await {
        assert!(row.items.iter().all(|item| item.event == event && item.status == status), "{row:?}");
        let hosts = row.items.iter().map(|item| item.agent.as_str());
        assert!(hosts.clone().all(|host| row.group.ends_with(&format!("agent={host}"))), "{row:?}");
        let before = groups.insert(row.group.clone(), row.items.len());
        assert_eq!(before, None, "one message a group");
    }
    groups
}

#[tokio::test]
async fn there_is_one_message_a_group() {
    let store: Arc<dyn Store> =
        Arc::new(EngineStore::open(MemoryEngine::new(), Options::new(NOON, [7; 16])).unwrap());
    let world = Fixture::new(store).await;
    let checks = furnish(&world).await;
    // A part of it comes a little later, and belongs to the same messages all the same.
    let (first, second) = checks.split_at(checks.len() / 3);
    report(&world, first, Status::Critical, 1).await;
    report(&world, second, Status::Critical, 5).await;
    let groups = delivered(&world, 20, NotificationEvent::Problem, Status::Critical).await;
    assert_eq!(groups.len(), HOSTS);
    assert!(groups.values().all(|items| *items == CHECKS), "{groups:?}");
    report(&world, &checks, Status::Ok, 60).await;
    let groups = delivered(&world, 1000, NotificationEvent::Recovery, Status::Ok).await;
    assert_eq!((groups.len(), groups.values().sum::<usize>()), (HOSTS, HOSTS * CHECKS));
    assert_eq!(world.store.waiting(world.channel).await.unwrap().count, 0);
}
