//! Who is told, and when: routes in their order, downtimes, inhibitions, acknowledgements, and what is asked about them.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use vilicus_core::downtime::When;
use vilicus_core::event::Happening;
use vilicus_core::judge::gates::Hold;
use vilicus_core::schedule::Window;
use vilicus_core::{
    Acknowledgement, ChannelId, CheckId, Downtime, DowntimeId, Inhibition, InhibitionId, Millis,
    NotificationEvent, Route, RouteId, Status, Timestamp,
};

use super::Harness;
use super::fixture::{Fixture, at, change, channel, check, create};
use crate::error::{Refusal, StoreError};
use crate::outbox::OutboxRow;
use crate::query::EventQuery;
use crate::store::{Change, Input, Store};

pub(crate) async fn run<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    routes_are_tried_in_their_order(harness).await;
    a_route_that_changes_loses_and_doubles_nothing(harness).await;
    a_group_shares_its_messages(harness).await;
    a_downtime_delays_the_problem(harness).await;
    a_greater_problem_holds_a_lesser_one(harness).await;
    someone_is_on_it(harness).await;
    an_acknowledgement_expires(harness).await;
    asking_tells_nothing(harness).await;
    what_was_told_is_known(harness).await;
}

fn route(name: &str, channels: &[ChannelId]) -> Route {
    let mut route = Route::new(RouteId::new(1).unwrap(), name);
    (route.channels, route.group_wait) = (channels.to_vec(), Millis::ZERO);
    route
}

async fn put(world: &Fixture, second: i64, what: Change) {
    world.commit(second, change(what)).await;
}

async fn another_channel(world: &Fixture) -> ChannelId {
    let id = create(&world.store, Change::CreateChannel(Box::new(channel("phone")))).await;
    ChannelId::new(id).unwrap()
}

async fn another_check(world: &Fixture, name: &str) -> Fixture {
    let id = create(&world.store, Change::CreateCheck(Box::new(check(world.agent, name)))).await;
    Fixture { check: CheckId::new(id).unwrap(), ..world.clone() }
}

fn told(rows: &[Arc<OutboxRow>]) -> Vec<(ChannelId, NotificationEvent)> {
    rows.iter().flat_map(|row| row.items.iter().map(|item| (row.channel, item.event))).collect()
}

async fn routes_are_tried_in_their_order<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, place) = harness.fixture().await;
    let phone = another_channel(&world).await;
    let absent = ChannelId::new(999).unwrap();
    let lost = world
        .store
        .commit(at(0), vec![change(Change::CreateRoute(Box::new(route("lost", &[absent]))))])
        .await;
    let is_lost = matches!(
        lost,
        Err(StoreError::Refused { refusal: Refusal::NotFound { object: "channel", id: 999 }, .. })
    );
    assert!(is_lost, "a route leads to channels that exist");
    let mut first = route("first", &[phone]);
    (first.position, first.matchers) = (5, vec!["status=critical".parse().unwrap()]);
    let rest = create(&world.store, Change::CreateRoute(Box::new(route("rest", &[world.channel])))).await;
    let first = create(&world.store, Change::CreateRoute(Box::new(first))).await;
    let taken =
        world.store.commit(at(0), vec![change(Change::CreateRoute(Box::new(route("rest", &[]))))]).await;
    let is_taken = matches!(taken, Err(StoreError::Refused { refusal: Refusal::Taken { object: "route", id, .. }, .. }) if id == rest);
    assert!(is_taken, "the name of a route is its own");
    let ids = world.store.routes().await.unwrap().iter().map(|route| route.id.get()).collect::<Vec<_>>();
    assert_eq!(ids, [first, rest], "the lower position is tried first");
    world.report(1, Status::Warning).await;
    world.report(2, Status::Critical).await;
    world.report(3, Status::Ok).await;
    let ends = [(world.channel, NotificationEvent::Recovery), (phone, NotificationEvent::Recovery)];
    assert_eq!(told(&world.messages().await), ends, "who was told is told of the end");
    let ids = world.end();
    let world = ids.found_in(harness.reopen(&place, at(4)).await);
    assert_eq!(world.store.routes().await.unwrap().len(), 2, "routes are there again");
}

async fn a_route_that_changes_loses_and_doubles_nothing<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let phone = another_channel(&world).await;
    let id = create(&world.store, Change::CreateRoute(Box::new(route("all", &[world.channel])))).await;
    world.report(1, Status::Critical).await;
    assert_eq!(told(&world.deliver(1).await), [(world.channel, NotificationEvent::Problem)]);
    let mut moved = route("all", &[phone]);
    moved.id = RouteId::new(id).unwrap();
    put(&world, 2, Change::UpdateRoute(Box::new(moved))).await;
    assert!(world.deliver(3).await.is_empty(), "who knows is not told twice");
    let on_phone = Fixture { channel: phone, ..world.clone() };
    assert_eq!(
        told(&on_phone.deliver(3).await),
        [(phone, NotificationEvent::Problem)],
        "the problem is open still"
    );
    put(&world, 4, Change::DeleteRoute(RouteId::new(id).unwrap())).await;
    assert!(world.deliver(4).await.is_empty() && on_phone.deliver(4).await.is_empty());
    world.report(5, Status::Ok).await;
    assert_eq!(told(&world.deliver(5).await), [(world.channel, NotificationEvent::Recovery)]);
    assert_eq!(told(&on_phone.deliver(5).await), [(phone, NotificationEvent::Recovery)]);
}

async fn a_group_shares_its_messages<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let other = another_check(&world, "load").await;
    let mut by_agent = route("by agent", &[world.channel]);
    (by_agent.group_by, by_agent.group_wait) = (vec!["agent".to_owned()], Millis::from_secs(10));
    put(&world, 0, Change::CreateRoute(Box::new(by_agent))).await;
    world.report(1, Status::Critical).await;
    other.report(5, Status::Critical).await;
    assert!(world.deliver(10).await.is_empty(), "the group waits for more");
    let rows = world.deliver(11).await;
    assert_eq!((rows.len(), rows[0].items.len()), (1, 2), "one message");
    world.report(20, Status::Ok).await;
    assert!(world.deliver(310).await.is_empty(), "the group keeps its distance");
    assert_eq!(told(&world.deliver(311).await), [(world.channel, NotificationEvent::Recovery)]);
}

fn downtime(from: i64, to: i64) -> Downtime {
    Downtime {
        id: DowntimeId::new(1).unwrap(),
        matchers: vec!["check=disk".parse().unwrap()],
        when: When::Once(Window { start: at(from), end: at(to) }),
        flexible: None,
        comment: "kernel".to_owned(),
        by: "ann".to_owned(),
        created_at: at(0),
        managed_by: None,
    }
}

async fn a_downtime_delays_the_problem<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, place) = harness.fixture().await;
    put(&world, 0, Change::CreateDowntime(Box::new(downtime(10, 300)))).await;
    assert!(
        world.store.next_due().await.unwrap().is_some_and(|due| due <= at(10)),
        "its beginning is a deadline"
    );
    world.commit(10, Input::Deadlines).await;
    world.report(20, Status::Critical).await;
    assert!(world.messages().await.is_empty());
    assert_eq!(world.store.check(world.check).await.unwrap().unwrap().state.held, Some(Hold::Downtime));
    let world = world.end().found_in(harness.reopen(&place, at(30)).await);
    assert_eq!(world.store.downtimes().await.unwrap().len(), 1);
    world.report(290, Status::Critical).await;
    world.commit(300, Input::Deadlines).await;
    // A fresh result is waited for, unless it stays out.
    world.report(301, Status::Critical).await;
    assert_eq!(told(&world.messages().await), [(world.channel, NotificationEvent::Problem)]);
    let events = world.store.events(&EventQuery { limit: 100, ..EventQuery::default() }).await.unwrap();
    let turns = events.iter().filter(|event| matches!(event.what, Happening::Downtime { .. })).count();
    assert_eq!(turns, 2, "it began and ended");
}

async fn a_greater_problem_holds_a_lesser_one<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let lesser = another_check(&world, "load").await;
    let inhibition = Inhibition {
        id: InhibitionId::new(1).unwrap(),
        name: "worse first".to_owned(),
        source: vec!["status=critical".parse().unwrap()],
        target: vec!["status=warning".parse().unwrap()],
        equal: vec!["agent".to_owned()],
        managed_by: None,
    };
    let id = create(&world.store, Change::CreateInhibition(Box::new(inhibition))).await;
    world.report(1, Status::Critical).await;
    lesser.report(2, Status::Warning).await;
    assert_eq!(told(&world.deliver(3).await).len(), 1, "one is told");
    assert_eq!(world.store.check(lesser.check).await.unwrap().unwrap().state.held, Some(Hold::Inhibited));
    put(&world, 4, Change::DeleteInhibition(InhibitionId::new(id).unwrap())).await;
    assert!(world.store.inhibitions().await.unwrap().is_empty());
    lesser.report(5, Status::Warning).await;
    assert_eq!(told(&world.deliver(5).await), [(world.channel, NotificationEvent::Problem)]);
}

fn acknowledge(world: &Fixture, expires: Option<i64>) -> Input {
    let acknowledgement = Acknowledgement {
        by: "ann".to_owned(),
        comment: "on my way".to_owned(),
        at: at(0),
        sticky: false,
        expires_at: expires.map(at),
        public: false,
    };
    Input::Acknowledge { check: world.check, acknowledgement, tell: true }
}

async fn someone_is_on_it<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    world.report(1, Status::Ok).await;
    let refused =
        world.store.commit(at(1), vec![world.result(2, Status::Ok), acknowledge(&world, None)]).await;
    assert!(
        matches!(refused, Err(StoreError::Refused { index: 1, refusal: Refusal::NoProblem { .. } })),
        "there is nothing to be on: {refused:?}"
    );
    assert_eq!(world.history().await.len(), 1, "nothing of a refused commit is kept");
    world.report(3, Status::Warning).await;
    let _ = world.deliver(3).await;
    world.commit(4, acknowledge(&world, None)).await;
    let rows = world.deliver(4).await;
    assert_eq!(told(&rows), [(world.channel, NotificationEvent::Acknowledgement)]);
    let view = world.store.check(world.check).await.unwrap().unwrap();
    assert_eq!(view.state.acknowledgement.map(|it| (it.by, it.at)), Some(("ann".to_owned(), at(4))));
    world.report(5, Status::Warning).await;
    assert!(world.deliver(5).await.is_empty(), "someone is on it");
    world.report(6, Status::Critical).await;
    assert_eq!(
        told(&world.deliver(6).await),
        [(world.channel, NotificationEvent::Problem)],
        "it ends with a change"
    );
    world.commit(7, acknowledge(&world, None)).await;
    let _ = world.deliver(7).await;
    let take_back = || Input::TakeBackAcknowledgement { check: world.check, by: "ann".to_owned() };
    world.commit(8, take_back()).await;
    world.commit(8, take_back()).await;
    assert_eq!(world.store.check(world.check).await.unwrap().unwrap().state.acknowledgement, None);
    world.report(9, Status::Ok).await;
    assert_eq!(told(&world.deliver(9).await), [(world.channel, NotificationEvent::Recovery)]);
}

async fn an_acknowledgement_expires<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, place) = harness.fixture().await;
    world.report(1, Status::Critical).await;
    world.commit(2, acknowledge(&world, Some(50))).await;
    let world = world.end().found_in(harness.reopen(&place, at(10)).await);
    assert!(world.store.next_due().await.unwrap().is_some_and(|due| due <= at(50)), "its end is a deadline");
    world.commit(49, Input::Deadlines).await;
    let acknowledged =
        async || world.store.check(world.check).await.unwrap().unwrap().state.acknowledgement.is_some();
    assert!(acknowledged().await);
    world.commit(50, Input::Deadlines).await;
    assert!(!acknowledged().await);
}

async fn asking_tells_nothing<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    put(&world, 0, Change::CreateDowntime(Box::new(downtime(0, 300)))).await;
    world.report(1, Status::Critical).await;
    let before = world.store.check(world.check).await.unwrap();
    let look = world.store.explain(world.check, at(2)).await.unwrap().unwrap();
    assert_eq!((look.hold, look.next.map(|next| next.at)), (Some(Hold::Downtime), Some(at(300))));
    assert!(look.trace.iter().any(|gate| !gate.passed && gate.why.contains("kernel")), "{:?}", look.trace);
    let later = world.store.explain(world.check, at(400)).await.unwrap().unwrap();
    assert!(!later.tells.is_empty(), "it would be told then: {later:?}");
    assert_eq!(world.store.check(world.check).await.unwrap(), before);
    assert!(world.messages().await.is_empty());
    assert_eq!(world.store.explain(CheckId::new(999).unwrap(), at(2)).await.unwrap(), None);
}

async fn what_was_told_is_known<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let told = async || world.store.told(world.channel).await.unwrap();
    assert!(told().await.is_empty());
    world.report(1, Status::Warning).await;
    let first = world.deliver(1).await.remove(0);
    assert_eq!(told().await, [(world.check, first.id)]);
    world.report(2, Status::Critical).await;
    let second = world.deliver(2).await.remove(0);
    assert_eq!(told().await, [(world.check, second.id)], "the newest of each problem");
    world.report(3, Status::Ok).await;
    assert!(told().await.is_empty(), "the problem is over");
}
