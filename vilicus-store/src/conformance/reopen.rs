//! What was answered is there again, and a restart makes no news.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use vilicus_core::{CheckResult, Metric, NotificationEvent, Status, Timestamp};

use super::Harness;
use super::fixture::{at, change, check, sent};
use crate::query::{CheckFilter, CheckView, EventQuery, NotificationQuery, Order, Page};
use crate::store::{Change, Input, Store};

pub(crate) async fn run<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    for end in [End::Closed, End::Dropped, End::Maintained] {
        everything_is_there_again(harness, end).await;
    }
    claims_do_not_outlive_the_process(harness).await;
    the_servers_downtime_is_nobodys_silence(harness).await;
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Closed,
    Dropped,
    Maintained,
}

async fn everything_is_there_again<F, Fut>(harness: &Harness<F>, end: End)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (mut world, place) = harness.fixture().await;
    for round in 0..4_i64 {
        let from = round * 200;
        for second in from..from + 200 {
            let status = Status::ALL[(second / 50) as usize % 4];
            let result = CheckResult::new(status, format!("at {}", second / 7))
                .metric(Metric::new("m", second as f64 / 8.0))
                .at(at(second));
            world.commit(second, Input::Result { check: world.check, result }).await;
        }
        world.commit(from + 200, Input::RunNow { check: world.check }).await;
        if round == 2 {
            world.commit(from, change(Change::CreateCheck(Box::new(check(world.agent, "later"))))).await;
        }
        let before = everything(&world.store).await;
        let history = world.history().await;
        match end {
            End::Closed => world.store.close().await.unwrap(),
            End::Maintained => world.store.maintain(at(from + 200)).await.unwrap(),
            End::Dropped => {}
        }
        let ids = world.end();
        world = ids.found_in(harness.reopen(&place, at(from + 200)).await);
        assert_eq!(everything(&world.store).await, before, "{end:?}, round {round}");
        assert_eq!(world.history().await, history, "{end:?}, round {round}");
    }
}

/// Views, events and messages as one text: what differs is easily seen.
async fn everything(store: &Arc<dyn Store>) -> Vec<String> {
    let mut texts = Vec::new();
    let checks = store.checks(&CheckFilter::default(), Page::ALL).await.unwrap();
    texts.extend(checks.objects.iter().map(|view: &CheckView| format!("{view:?}")));
    let agents = store.agents(&crate::query::AgentFilter::default(), Page::ALL).await.unwrap();
    // Contact alone need not be durable.
    texts.extend(
        agents
            .objects
            .iter()
            .map(|view| format!("{:?} {:?} {}", view.agent, view.state, view.config_version)),
    );
    let events = EventQuery { limit: 10_000, order: Order::OldestFirst, ..EventQuery::default() };
    texts.extend(store.events(&events).await.unwrap().iter().map(|event| format!("{event:?}")));
    let messages =
        NotificationQuery { limit: 10_000, order: Order::OldestFirst, ..NotificationQuery::default() };
    texts.extend(store.notifications(&messages).await.unwrap().iter().map(|row| format!("{row:?}")));
    texts
}

async fn claims_do_not_outlive_the_process<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, place) = harness.fixture().await;
    world.report(1, Status::Critical).await;
    let claimed = world.store.claim(world.channel, at(1), 10).await.unwrap();
    let ids = world.end();
    let world = ids.found_in(harness.reopen(&place, at(2)).await);
    world.report(3, Status::Ok).await;
    let again = world.store.claim(world.channel, at(3), 10).await.unwrap();
    assert_eq!(again, claimed, "it may have been tried: the same items under the same key");
    world.commit(3, sent(again[0].id, 3)).await;
    let rest = world.deliver(3).await;
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].items[0].event, NotificationEvent::Recovery);
    assert_eq!(rest[0].earlier, [claimed[0].id]);
}

async fn the_servers_downtime_is_nobodys_silence<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, place) = harness.fixture().await;
    world.commit(0, Input::Delivered { checks: vec![world.check] }).await;
    world.report(1, Status::Ok).await;
    let ids = world.end();
    let world = ids.found_in(harness.reopen(&place, at(86_400)).await);
    world.commit(86_401, Input::Deadlines).await;
    assert!(world.messages().await.is_empty());
    let due = world.store.next_due().await.unwrap().expect("the silence of the agent is due");
    assert!(due > at(86_401), "{due}");
    world.commit(86_400 + 400, Input::Deadlines).await;
    assert_eq!(world.messages().await.len(), 1, "and is noticed after all");
}
