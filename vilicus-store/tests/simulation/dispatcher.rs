//! The dispatcher, and the services that it tries: they take a message, fail, or take it and lose the answer.

use vilicus_core::notifier::NotifyFault;
use vilicus_core::{Millis, Receipt};
use vilicus_store::Input;
use vilicus_store::outbox::{Delivery, OutboxRow, Try};

use crate::world::World;

/// Tries what may be tried. The process may die between the claim and the answer, or between the answer and its record.
pub(crate) async fn deliver(world: &mut World) {
    for channel in world.store().channels().await.expect("channels can be read") {
        if channel.paused.is_some() || world.storm && world.chance.one_in(4) {
            continue;
        }
        let limit = if world.storm { 1 + world.chance.below(20) as usize } else { usize::MAX };
        let rows = world.store().claim(channel.id, world.now, limit).await.expect("messages can be claimed");
        let mut reports = Vec::new();
        for row in &rows {
            match try_one(world, row).await {
                Some(report) => reports.push(report),
                None => return,
            }
        }
        if !reports.is_empty() && world.commit(reports).await.is_none() {
            // Nobody knows whether it was noted; the real one insists.
            world.store().unclaim(&rows.iter().map(|row| row.id).collect::<Vec<_>>()).await;
        }
    }
}

/// Tries one message. `None` when the process died meanwhile, with all that was not noted yet.
async fn try_one(world: &mut World, row: &OutboxRow) -> Option<Input> {
    let fate = if world.storm { world.chance.below(60) } else { u64::MAX };
    let again = Delivery::Again { not_before: world.now.after(Millis::from_secs(world.chance.below(120))) };
    let delivery = match fate {
        0 => {
            world.die().await;
            return None;
        }
        1 => {
            world.contract.read(row);
            world.die().await;
            return None;
        }
        2..9 => again,
        9..12 => {
            world.contract.read(row);
            again
        }
        12..15 => {
            world.contract.read(row);
            Delivery::GivenUp { reason: "550 no such user".to_owned() }
        }
        _ => {
            world.contract.read(row);
            Delivery::Sent { receipt: Receipt::new("250 ok") }
        }
    };
    let fault = if let Delivery::Sent { .. } = delivery { None } else { Some(NotifyFault::Retry) };
    let attempt = Try { at: world.now, took: Millis::new(5), detail: String::new(), fault };
    Some(Input::Delivery { notification: row.id, attempt, delivery })
}
