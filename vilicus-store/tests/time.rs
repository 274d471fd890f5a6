//! Time itself: clocks that jump, agents whose clocks are wrong, and the hours that summer time takes and gives.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::sync::Arc;

use vilicus_core::downtime::When;
use vilicus_core::event::Happening;
use vilicus_core::schedule::Recurrence;
use vilicus_core::{
    CheckResult, Downtime, DowntimeId, Millis, NotificationEvent, Route, RouteId, Status, Timestamp,
};
use vilicus_store::conformance::{Fixture, NOON};
use vilicus_store::query::{CheckFilter, EventQuery, Order, Page};
use vilicus_store::{Change, EngineStore, Input, MemoryEngine, Options, Store};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(NOON.as_millis() + second * 1000)
}

fn open(engine: &Arc<MemoryEngine>, now: Timestamp) -> Arc<dyn Store> {
    Arc::new(EngineStore::open(Arc::clone(engine), Options::new(now, [7; 16])).unwrap())
}

async fn change(world: &Fixture, second: i64, change: Change) {
    world.commit(second, Input::Change { change, by: "trial".to_owned() }).await;
}

/// The statuses of all checks, and how many messages there ever were.
async fn seen(world: &Fixture) -> (Vec<Option<Status>>, usize) {
    let views = world.store.checks(&CheckFilter::default(), Page::ALL).await.unwrap().objects;
    (views.iter().map(|view| view.state.status).collect(), world.messages().await.len())
}

#[tokio::test]
async fn a_jump_of_the_clock_changes_nothing_by_itself() {
    for status in [Status::Ok, Status::Critical] {
        for jump in [-10 * 365 * DAY, -DAY, -HOUR, -1, 1, HOUR, DAY, 10 * 365 * DAY] {
            let engine = Arc::new(MemoryEngine::new());
            let world = Fixture::new(open(&engine, at(0))).await;
            world.commit(1, Input::Delivered { checks: vec![world.check] }).await;
            world.report(60, status).await;
            let before = seen(&world).await;
            // A server whose clock jumps takes it for a start.
            let ids = world.end();
            let world = ids.found_in(open(&engine, at(60 + jump)));
            world.commit(60 + jump, Input::Deadlines).await;
            assert_eq!(seen(&world).await, before, "{jump}");
            // The agent's clock is right again a minute later, and so is ours: its news counts.
            world.commit(61 + jump, Input::Contact { agent: world.agent }).await;
            assert_eq!(seen(&world).await, before, "{jump}");
            world.report(120, Status::Warning).await;
            let (statuses, _) = seen(&world).await;
            assert!(statuses.contains(&Some(Status::Warning)), "{jump}");
        }
    }
}

#[tokio::test]
async fn an_agent_may_be_a_day_off_and_is_heard_all_the_same() {
    for skew in [-DAY, DAY] {
        let world = Fixture::new(open(&Arc::new(MemoryEngine::new()), at(0))).await;
        let mut route = Route::new(RouteId::new(1).unwrap(), "all");
        route.channels = vec![world.channel];
        change(&world, 0, Change::CreateRoute(Box::new(route))).await;
        let report = async |second: i64, status| {
            let result = CheckResult::new(status, "").at(at(second + skew));
            world.commit(second, Input::Result { check: world.check, result }).await;
        };
        for second in (60..=600).step_by(60) {
            report(second, Status::Ok).await;
            world.commit(second + 1, Input::Deadlines).await;
        }
        let (statuses, messages) = seen(&world).await;
        assert_eq!((statuses, messages), (vec![Some(Status::Ok); 2], 0), "it is neither silent nor stale");
        for (second, status, event) in [
            (660, Status::Critical, NotificationEvent::Problem),
            (1020, Status::Ok, NotificationEvent::Recovery),
        ] {
            report(second, status).await;
            let told = world.deliver(second + 12).await;
            let told: Vec<_> = told.iter().flat_map(|row| row.items.iter().map(|item| item.event)).collect();
            assert_eq!(told, [event], "{skew}: told when it came, not when its clock says");
        }
        // The clock is repaired: what it says from now on counts.
        world.report(1080, Status::Critical).await;
        assert!(seen(&world).await.0.contains(&Some(Status::Critical)), "{skew}");
    }
}

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// When downtimes began and ended up to a moment, if every deadline is judged when it is due.
async fn turns(world: &Fixture, until: Timestamp) -> Vec<(bool, Timestamp)> {
    while let Some(due) = world.store.next_due().await.unwrap().filter(|due| *due < until) {
        world.store.commit(due, vec![Input::Deadlines]).await.unwrap();
    }
    let query = EventQuery { order: Order::OldestFirst, limit: 1000, ..EventQuery::default() };
    let events = world.store.events(&query).await.unwrap();
    let turn =
        |what: &Happening| if let Happening::Downtime { began, .. } = what { Some(*began) } else { None };
    events.iter().filter_map(|event| Some((turn(&event.what)?, event.at))).collect()
}

#[tokio::test]
async fn a_recurring_downtime_follows_the_clocks_of_its_zone() {
    for (text, duration, from, expected) in [
        (
            "Sun 02:00-04:00 Europe/Berlin",
            None,
            "2027-03-27T00:00:00Z",
            ["2027-03-28T01:00:00Z", "2027-03-28T02:00:00Z"],
        ),
        (
            "Sun 02:00-04:00 Europe/Berlin",
            None,
            "2027-10-30T12:00:00Z",
            ["2027-10-31T00:00:00Z", "2027-10-31T03:00:00Z"],
        ),
        (
            "Sun 02:00-04:00 Europe/Berlin",
            None,
            "2027-11-06T00:00:00Z",
            ["2027-11-07T01:00:00Z", "2027-11-07T03:00:00Z"],
        ),
        ("30 2 28 3 *", Some(2), "2027-03-27T00:00:00Z", ["2027-03-28T02:30:00Z", "2027-03-28T04:30:00Z"]),
    ] {
        let from = moment(from);
        let world = Fixture::new(open(&Arc::new(MemoryEngine::new()), from)).await;
        let downtime = Downtime {
            id: DowntimeId::new(1).unwrap(),
            matchers: Vec::new(),
            when: When::Recurring(Recurrence::parse(text, duration.map(Millis::from_hours), None).unwrap()),
            flexible: None,
            comment: String::new(),
            by: "ann".to_owned(),
            created_at: from,
            managed_by: None,
        };
        let create =
            Input::Change { change: Change::CreateDowntime(Box::new(downtime)), by: "ann".to_owned() };
        world.store.commit(from, vec![create]).await.unwrap();
        let [began, ended] = expected.map(moment);
        let seen = turns(&world, from.after(Millis::from_hours(60))).await;
        assert_eq!(seen, [(true, began), (false, ended)], "{text} from {from}");
    }
}

#[tokio::test]
async fn a_route_opens_by_the_clocks_of_its_zone() {
    for (from, opens) in
        [("2027-03-27T20:00:00Z", "2027-03-28T06:00:00Z"), ("2027-10-30T20:00:00Z", "2027-10-31T07:00:00Z")]
    {
        let (from, opens) = (moment(from), moment(opens));
        let world = Fixture::new(open(&Arc::new(MemoryEngine::new()), from)).await;
        let mut route = Route::new(RouteId::new(1).unwrap(), "by day");
        (route.channels, route.group_wait) = (vec![world.channel], Millis::ZERO);
        route.schedule = Some("08:00-18:00 Europe/Berlin".parse().unwrap());
        let create = Input::Change { change: Change::CreateRoute(Box::new(route)), by: "ann".to_owned() };
        world.store.commit(from, vec![create]).await.unwrap();
        let result = CheckResult::critical("down").at(from);
        world.store.commit(from, vec![Input::Result { check: world.check, result }]).await.unwrap();
        let _ = turns(&world, opens).await;
        assert!(world.messages().await.is_empty(), "it is night");
        let _ = turns(&world, opens.after(Millis::new(1))).await;
        // The agent that was not heard of since is down by then: that is told instead.
        let rows = world.messages().await;
        assert_eq!(rows[0].created_at, opens);
    }
}
