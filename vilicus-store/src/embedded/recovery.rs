//! The start: the newest complete checkpoint, and the journal after it.

use vilicus_core::{CheckId, Timestamp};

use crate::backup::RESTORING;
use crate::embedded::checkpoint::{self, Loaded};
use crate::embedded::effect::{Effect, ResultEffect};
use crate::embedded::truth::Truth;
use crate::embedded::{history, journal};
use crate::engine::{Durability, Engine, EngineError, EngineErrorKind};

/// What was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) truth: Truth,
    /// The last record of the journal.
    pub(crate) last: u64,
    /// How many records came after the checkpoint.
    pub(crate) tail: u64,
    /// Records that could not be read and were set aside.
    pub(crate) quarantined: u64,
}

/// Makes a store where there is none: its first checkpoint, which says who it is.
pub(crate) fn create(
    engine: &dyn Engine,
    instance: [u8; 16],
    durability: Durability,
) -> Result<(), EngineError> {
    let instance: String = instance.iter().map(|byte| format!("{byte:02x}")).collect();
    checkpoint::write_all(engine, &Truth::new(instance, Timestamp::EPOCH, true), 0, durability)
}

/// Reads what is kept; `None` when there is no store yet.
pub(crate) fn recover(engine: &dyn Engine, now: Timestamp) -> Result<Option<Recovered>, EngineError> {
    if engine.partitions()?.iter().any(|name| name == RESTORING) {
        return Err(cut_off());
    }
    let Some(Loaded { mut truth, begin, covered }) = checkpoint::load(engine, now)? else {
        return if is_empty(engine)? { Ok(None) } else { Err(no_checkpoint()) };
    };
    let replayed = journal::replay(engine, begin, &mut |sequence, effects| {
        for effect in effects {
            if !check_of(&effect).is_some_and(|check| covered.contains(check, sequence)) {
                truth.apply(sequence, effect);
            }
        }
    })?;
    truth.queue.freeze();
    truth.problems.forget_empty_groups();
    truth.arm_all();
    Ok(Some(Recovered {
        truth,
        last: replayed.last,
        tail: replayed.last - begin,
        quarantined: replayed.quarantined,
    }))
}

/// The check whose slice of a checkpoint already holds this effect, if it is old enough.
fn check_of(effect: &Effect) -> Option<CheckId> {
    match effect {
        Effect::Result(ResultEffect { check, .. })
        | Effect::Sample { check, .. }
        | Effect::State { check, .. }
        | Effect::RunNow { check, .. }
        | Effect::CheckGone(check) => Some(*check),
        Effect::Check(check) => Some(check.id),
        _ => None,
    }
}

/// Whether nothing was ever written: partitions may be left of a first start that was cut off.
fn is_empty(engine: &dyn Engine) -> Result<bool, EngineError> {
    let names = engine.partitions()?;
    Ok(!names.iter().any(|name| name.starts_with(journal::PREFIX) || name.starts_with(history::PREFIX)))
}

fn cut_off() -> EngineError {
    let what =
        "a backup was being restored here, and not to its end; remove what is here, and restore it again";
    EngineError::new(EngineErrorKind::Corrupt, what)
}

fn no_checkpoint() -> EngineError {
    let what = "there is a journal and no complete checkpoint before it";
    EngineError::new(EngineErrorKind::Corrupt, what)
}
