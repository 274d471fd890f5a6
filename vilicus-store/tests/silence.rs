//! Silence is news of its own: a host that falls silent is one DOWN, a check that stays out is stale.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::sync::Arc;

use vilicus_core::{NotificationEvent, Status, Timestamp};
use vilicus_store::conformance::{Fixture, NOON};
use vilicus_store::query::{AgentState, CheckFilter, CheckView, Page};
use vilicus_store::{EngineStore, Input, MemoryEngine, Options};

async fn fixture() -> Fixture {
    // Long before the trial, so that no deadline is held because of the start.
    let start = Timestamp::from_millis(NOON.as_millis() - 86_400_000);
    Fixture::new(Arc::new(EngineStore::open(MemoryEngine::new(), Options::new(start, [7; 16])).unwrap()))
        .await
}

async fn check_named(fixture: &Fixture, name: &str) -> CheckView {
    let filter = CheckFilter { names: vec![name.to_owned()], ..CheckFilter::default() };
    fixture.store.checks(&filter, Page::ALL).await.unwrap().objects.remove(0)
}

fn output(view: &CheckView) -> String {
    view.last.as_ref().map(|last| last.output.clone()).unwrap_or_default()
}

async fn told(fixture: &Fixture) -> Vec<NotificationEvent> {
    fixture.messages().await.iter().flat_map(|row| row.items.iter().map(|item| item.event)).collect()
}

#[tokio::test]
async fn a_silent_host_is_one_down_and_its_checks_are_unreachable() {
    let fixture = fixture().await;
    fixture.commit(0, Input::Delivered { checks: vec![fixture.check] }).await;
    fixture.report(0, Status::Ok).await;
    fixture.commit(149, Input::Deadlines).await;
    assert_eq!(fixture.store.agent(fixture.agent).await.unwrap().unwrap().state, AgentState::Up);

    fixture.commit(600, Input::Deadlines).await;
    let own = check_named(&fixture, "agent").await;
    assert_eq!(
        (own.state.status, output(&own).as_str()),
        (Some(Status::Critical), "no contact since 2026-11-22T12:00:00.000Z")
    );
    assert_eq!(
        own.state.since,
        Some(Timestamp::from_millis(NOON.as_millis() + 150_000)),
        "the exact deadline"
    );
    let check = check_named(&fixture, "disk").await;
    assert_eq!((check.state.status, check.unreachable), (Some(Status::Ok), true));
    assert_eq!(told(&fixture).await, [NotificationEvent::AgentDown]);

    fixture.commit(700, Input::Contact { agent: fixture.agent }).await;
    assert_eq!(check_named(&fixture, "agent").await.state.status, Some(Status::Ok));
    assert_eq!(told(&fixture).await, [NotificationEvent::AgentUp], "one truthful message with both times");
}

#[tokio::test]
async fn a_check_that_stays_out_while_its_agent_is_in_contact_is_stale() {
    let fixture = fixture().await;
    fixture.report(0, Status::Ok).await;
    for second in (60..=240).step_by(60) {
        fixture.commit(second, Input::Contact { agent: fixture.agent }).await;
        fixture.commit(second, Input::Deadlines).await;
    }
    let check = check_named(&fixture, "disk").await;
    assert_eq!((check.state.status, check.state.stale), (Some(Status::Unknown), true));
    assert_eq!(output(&check), "no result since 2026-11-22T12:00:00.000Z");
    assert_eq!(told(&fixture).await, [NotificationEvent::Problem]);
    fixture.report(250, Status::Ok).await;
    assert_eq!(output(&check_named(&fixture, "disk").await), "OK at 250");
}
