//! Messages: made in the step that caused them, merged until they are tried, delivered in order, ended once.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use vilicus_core::notifier::NotifyFault;
use vilicus_core::{ChannelId, Millis, NotificationEvent, Status, Timestamp};

use super::Harness;
use super::fixture::{Fixture, at, change, channel, create};
use crate::inventory::CheckSettings;
use crate::outbox::{Delivery, OutboxState, Try};
use crate::query::NotificationQuery;
use crate::store::{Change, Input, Store};

pub(crate) async fn run<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    a_problem_and_its_recovery_are_told_once(harness).await;
    what_was_not_tried_yet_merges(harness).await;
    what_may_have_been_tried_is_frozen(harness).await;
    a_failed_try_waits_and_keeps_the_order(harness).await;
    too_many_messages_become_one(harness).await;
    a_channel_that_is_off_keeps_its_messages(harness).await;
    a_removed_channel_hears_nothing(harness).await;
    what_is_no_longer_watched_is_closed(harness).await;
    a_backlog_is_told_as_its_outcome(harness).await;
}

async fn a_problem_and_its_recovery_are_told_once<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    world.report(1, Status::Ok).await;
    world.report(2, Status::Critical).await;
    world.report(3, Status::Critical).await;
    let problems = world.deliver(3).await;
    assert_eq!(events(&problems), [[NotificationEvent::Problem]]);
    assert_eq!(problems[0].items[0].output, "CRITICAL at 2");
    world.report(4, Status::Ok).await;
    world.report(5, Status::Ok).await;
    let recoveries = world.deliver(5).await;
    assert_eq!(events(&recoveries), [[NotificationEvent::Recovery]]);
    assert_eq!(recoveries[0].earlier, [problems[0].id], "it knows what it ends");
    assert_eq!(recoveries[0].items[0].problem_since, Some(at(2)));
    assert_ne!(recoveries[0].key, problems[0].key);
    let all = world.messages().await;
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|row| matches!(row.state, OutboxState::Sent { .. }) && row.receipt.is_some()));
    assert_eq!(world.store.notification(problems[0].id).await.unwrap().unwrap(), all[0]);
}

async fn what_was_not_tried_yet_merges<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    for (second, status) in [(1, Status::Warning), (2, Status::Critical), (3, Status::Ok)] {
        world.report(second, status).await;
    }
    let rows = world.deliver(3).await;
    assert_eq!(events(&rows), [[NotificationEvent::Recovery]], "one truthful message");
    assert_eq!(rows[0].items[0].problem_since, Some(at(1)));
    assert_eq!(rows[0].items[0].previous_status, Some(Status::Critical));
}

async fn what_may_have_been_tried_is_frozen<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    world.report(1, Status::Critical).await;
    let claimed = world.store.claim(world.channel, at(1), 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert!(world.store.claim(world.channel, at(1), 10).await.unwrap().is_empty(), "claimed is claimed");
    world.report(2, Status::Ok).await;
    assert!(world.store.claim(world.channel, at(2), 10).await.unwrap().is_empty(), "order is kept");
    assert_eq!(world.store.waiting(world.channel).await.unwrap().next, None, "nothing can be done now");
    world.store.unclaim(&[claimed[0].id]).await;
    let again = world.store.claim(world.channel, at(2), 10).await.unwrap();
    assert_eq!(again, claimed, "the same message, the same key");
    world.store.unclaim(&[again[0].id]).await;
    assert_eq!(
        events(&world.deliver(3).await),
        [[NotificationEvent::Problem], [NotificationEvent::Recovery]]
    );
}

async fn a_failed_try_waits_and_keeps_the_order<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    world.report(1, Status::Critical).await;
    let row = world.store.claim(world.channel, at(1), 1).await.unwrap().remove(0);
    let failed = |second| Try {
        at: at(second),
        took: Millis::from_secs(1),
        detail: "421 later".to_owned(),
        fault: Some(NotifyFault::Retry),
    };
    let again = Delivery::Again { not_before: at(30) };
    world.commit(2, Input::Delivery { notification: row.id, attempt: failed(1), delivery: again }).await;
    world.report(3, Status::Ok).await;
    assert!(world.store.claim(world.channel, at(29), 10).await.unwrap().is_empty());
    let waiting = world.store.waiting(world.channel).await.unwrap();
    assert_eq!((waiting.count, waiting.next, waiting.oldest), (2, Some(at(30)), Some(at(1))));
    let retried = world.store.claim(world.channel, at(30), 10).await.unwrap().remove(0);
    assert_eq!((retried.id, retried.try_count, retried.tries.len()), (row.id, 1, 1));
    let given_up = Delivery::GivenUp { reason: "550 no such user".to_owned() };
    world.commit(31, Input::Delivery { notification: row.id, attempt: failed(30), delivery: given_up }).await;
    let failed_rows =
        NotificationQuery { states: vec!["failed".to_owned()], limit: 10, ..NotificationQuery::default() };
    assert_eq!(world.store.notifications(&failed_rows).await.unwrap().len(), 1, "a dead letter is visible");
    assert_eq!(events(&world.deliver(31).await), [[NotificationEvent::Recovery]]);
    assert_eq!(world.store.waiting(world.channel).await.unwrap().count, 0);
}

async fn too_many_messages_become_one<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let mut quiet = channel("ops");
    (quiet.id, quiet.digest_above) = (world.channel, Some(2));
    world.commit(0, change(Change::UpdateChannel(Box::new(quiet)))).await;
    let mut worlds = Vec::new();
    for number in 0..6 {
        let mut check = super::fixture::check(world.agent, &format!("check-{number}"));
        check.settings = CheckSettings { max_attempts: 1, ..CheckSettings::default() };
        let id = create(&world.store, Change::CreateCheck(Box::new(check))).await;
        let check = vilicus_core::CheckId::new(id).unwrap();
        worlds.push(Fixture { check, ..world.clone() });
    }
    for one in &worlds {
        one.report(1, Status::Critical).await;
    }
    worlds[5].report(2, Status::Ok).await;
    assert_eq!(world.store.waiting(world.channel).await.unwrap().count, 3);
    let rows = world.deliver(2).await;
    let problem = NotificationEvent::Problem;
    let digest = vec![problem, problem, problem, NotificationEvent::Recovery];
    assert_eq!(events(&rows), [vec![problem], vec![problem], digest]);
}

async fn a_channel_that_is_off_keeps_its_messages<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    world.report(1, Status::Critical).await;
    let mut off = channel("ops");
    (off.id, off.enabled) = (world.channel, false);
    world.commit(2, change(Change::UpdateChannel(Box::new(off.clone())))).await;
    assert!(world.deliver(3).await.is_empty());
    assert_eq!(world.store.waiting(world.channel).await.unwrap().count, 1);
    off.enabled = true;
    world.commit(4, change(Change::UpdateChannel(Box::new(off)))).await;
    assert_eq!(world.deliver(4).await.len(), 1);
}

async fn a_removed_channel_hears_nothing<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    world.report(1, Status::Critical).await;
    world.commit(2, change(Change::DeleteChannel(world.channel))).await;
    world.report(3, Status::Ok).await;
    let rows = world.messages().await;
    assert_eq!(rows.len(), 1);
    assert!(matches!(rows[0].state, OutboxState::Suppressed { .. }), "visible, with the reason");
    assert!(world.store.claim(world.channel, at(3), 10).await.unwrap().is_empty());
}

async fn what_is_no_longer_watched_is_closed<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let second =
        ChannelId::new(create(&world.store, Change::CreateChannel(Box::new(channel("late")))).await).unwrap();
    let mut off = channel("late");
    (off.id, off.enabled) = (second, false);
    world.commit(0, change(Change::UpdateChannel(Box::new(off)))).await;
    world.report(1, Status::Critical).await;
    world.deliver(1).await;
    world.commit(2, change(Change::DeleteCheck(world.check))).await;
    let rows = world.deliver(2).await;
    assert_eq!(events(&rows), [[NotificationEvent::Closed]]);
    assert_eq!((rows[0].channel, rows[0].items[0].check.as_str()), (world.channel, "disk"));
}

async fn a_backlog_is_told_as_its_outcome<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let mut inputs = vec![world.result(0, Status::Ok)];
    inputs.extend((1..50).map(|second| world.result(second, Status::Critical)));
    world.store.commit(at(3600), inputs).await.unwrap();
    assert!(world.store.claim(world.channel, at(3600), 10).await.unwrap().is_empty(), "more may come");
    let rest = (50..60).map(|second| world.result(second, Status::Ok)).collect();
    world.store.commit(at(3601), rest).await.unwrap();
    let rows = world.deliver(3603).await;
    assert_eq!(events(&rows), [[NotificationEvent::Recovery]]);
    let item = &rows[0].items[0];
    assert_eq!((item.problem_since, item.at, item.late), (Some(at(1)), at(50), true), "with the true times");
}

/// The events that each message tells.
fn events(rows: &[Arc<crate::outbox::OutboxRow>]) -> Vec<Vec<NotificationEvent>> {
    rows.iter().map(|row| row.items.iter().map(|item| item.event).collect()).collect()
}
