//! What was sent holds nothing back, though that is written down a little later.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::sync::Arc;
use std::time::Duration;

use vilicus_core::{Millis, NotificationEvent, Receipt, Status, Timestamp};
use vilicus_store::conformance::{Fixture, NOON};
use vilicus_store::outbox::{Delivery, OutboxRow, Try};
use vilicus_store::{EngineStore, Input, MemoryEngine, Options, Sequence, Store};

fn at(second: u64) -> Timestamp {
    NOON.after(Millis::from_secs(second))
}

async fn world(share_sync: Duration) -> Fixture {
    let options = Options::new(NOON, [7; 16]).share_sync(share_sync);
    let store: Arc<dyn Store> = Arc::new(EngineStore::open(MemoryEngine::new(), options).unwrap());
    Fixture::new(store).await
}

async fn claim(world: &Fixture) -> Vec<Arc<OutboxRow>> {
    world.store.claim(world.channel, at(9), 10).await.unwrap()
}

fn sent(row: &OutboxRow) -> Input {
    let attempt = Try { at: at(3), took: Millis::ZERO, detail: "200 OK".to_owned(), fault: None };
    let delivery = Delivery::Sent { receipt: Receipt::new("200 OK") };
    Input::Delivery { notification: row.id, attempt, delivery }
}

#[tokio::test]
async fn the_next_message_need_not_wait_until_it_is_written_down_that_the_last_was_sent() {
    let world = world(Duration::ZERO).await;
    world.report(1, Status::Critical).await;
    let problem = claim(&world).await.remove(0);
    world.report(2, Status::Ok).await;
    assert!(claim(&world).await.is_empty(), "in order");
    world.store.sent(&[problem.id]).await;
    let recovery = claim(&world).await.remove(0);
    assert_eq!(recovery.items[0].event, NotificationEvent::Recovery);
    assert!(claim(&world).await.is_empty(), "nothing is handed out twice");
    world.commit(3, sent(&problem)).await;
    world.commit(3, sent(&recovery)).await;
    assert_eq!(world.store.waiting(world.channel).await.unwrap().count, 0);
}

#[tokio::test]
async fn what_is_given_back_holds_the_next_back_again() {
    let world = world(Duration::ZERO).await;
    world.report(1, Status::Critical).await;
    let problem = claim(&world).await.remove(0);
    world.report(2, Status::Ok).await;
    world.store.sent(&[problem.id]).await;
    world.store.unclaim(&[problem.id]).await;
    assert_eq!(claim(&world).await, [problem], "it is tried again first");
}

#[tokio::test]
async fn a_record_of_what_was_sent_shares_the_sync_of_the_next_result() {
    // So long that the test would not end if it waited for it.
    let world = world(Duration::from_secs(86_400)).await;
    world.report(1, Status::Critical).await;
    let problem = claim(&world).await.remove(0);
    let record = world.store.commit(at(3), vec![sent(&problem)]);
    let result = world.report(4, Status::Ok);
    let (record, _) = tokio::join!(record, result);
    assert_eq!(record.unwrap().len(), 1);
    assert_eq!(claim(&world).await.len(), 1, "the recovery");
}

#[tokio::test]
async fn only_what_has_to_do_with_messages_is_a_change_of_the_outbox() {
    let world = world(Duration::ZERO).await;
    let seen = world.store.outbox_changed(Sequence::START).await;
    world.report(1, Status::Ok).await;
    tokio::select! {
        biased;
        _ = world.store.outbox_changed(seen) => panic!("nobody is told of a result that is fine"),
        () = std::future::ready(()) => {}
    }
    world.report(2, Status::Critical).await;
    assert!(world.store.outbox_changed(seen).await > seen);
}
