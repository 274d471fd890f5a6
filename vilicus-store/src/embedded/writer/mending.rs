//! A disk that fails: what is said meanwhile, and the way back.
//!
//! After a failed commit memory is ahead of the disk, so it is built anew from what is there. A full disk is waited
//! for, for ever; another fault that does not mend is reported as one for the service manager.

use std::time::Duration;

use vilicus_core::Millis;

use super::Writer;
use crate::embedded::clock::Deadline;
use crate::embedded::journal::Journal;
use crate::embedded::recovery::{self, Recovered};
use crate::engine::{Engine, EngineError, EngineErrorKind};
use crate::error::StoreError;

/// How long to wait before the engine is tried again, longer each time.
pub(super) const RETRIES: [Millis; 3] = [Millis::from_secs(1), Millis::from_secs(2), Millis::from_secs(5)];
/// So many failures to mend anything but a full disk are for the service manager.
const FATAL_AFTER: u32 = 3;
/// Where a write is tried before the store counts as mended.
const PROBE: &str = "probe";

/// Why nothing can be written.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: EngineErrorKind,
    detail: String,
    failures: u32,
    /// Whether memory is ahead of the disk.
    ahead: bool,
    /// When the engine is tried again, however many ask meanwhile.
    pub(super) next_try: Deadline,
}

impl<E: Engine> Writer<E> {
    pub(super) fn fail(&mut self, error: &EngineError, ahead: bool) {
        let detail = chain(error);
        tracing::error!(error = %detail, "the store cannot write");
        self.checkpoint = None;
        let next_try = Deadline::after(Duration::ZERO);
        self.fault = Some(Fault { kind: error.kind(), detail, failures: 0, ahead, next_try });
        self.answer_waiting();
        // Most faults pass at once; the first try costs no waiting.
        self.mend();
    }

    fn answer_waiting(&mut self) {
        if let Some(fault) = &self.fault {
            self.shared.note_fault(&fault.detail, fault.is_fatal());
            for reply in self.waiting.drain(..) {
                let _ = reply.send(Err(unwritable(fault)));
            }
        }
    }

    pub(super) fn unwritable_now(&self, error: &EngineError) -> StoreError {
        match &self.fault {
            Some(fault) => unwritable(fault),
            // It was mended at once: the same commit may pass now.
            None => StoreError::Unwritable {
                retry_after: RETRIES[0],
                source: EngineError::new(error.kind(), chain(error)),
            },
        }
    }

    pub(super) fn mend(&mut self) {
        let Some(mut fault) = self.fault.take() else {
            return;
        };
        match self.try_to_mend(&mut fault) {
            Ok(()) => {
                tracing::info!("the store can write again");
                self.shared.note_mended();
            }
            Err(error) => {
                fault.failures = fault.failures.saturating_add(1);
                (fault.kind, fault.detail) = (error.kind(), chain(&error));
                fault.next_try = Deadline::after(retry_after(&fault).into());
                self.shared.note_fault(&fault.detail, fault.is_fatal());
                self.fault = Some(fault);
            }
        }
    }

    fn try_to_mend(&mut self, fault: &mut Fault) -> Result<(), EngineError> {
        self.engine.reopen()?;
        if fault.ahead {
            let recovered = recovery::recover(self.engine.as_ref(), self.now)?;
            let recovered = recovered.ok_or_else(|| {
                EngineError::new(EngineErrorKind::Corrupt, "what was kept is gone from the disk")
            })?;
            self.go_on_from(recovered);
            fault.ahead = false;
        }
        let probe = (b"probe".to_vec(), Some(self.journal.last().to_be_bytes().to_vec()));
        self.engine.write(PROBE, vec![probe], self.options.durability)
    }

    /// Goes on from what is on disk, with what only memory knows and no commit has made.
    fn go_on_from(&mut self, recovered: Recovered) {
        let mut truth = recovered.truth;
        let mut now = self.shared.write();
        truth.queue.reclaim(&now.queue.claimed());
        for (id, entry) in &mut truth.agents {
            if let Some(known) = now.agents.get(id).filter(|known| known.contact.last > entry.contact.last) {
                entry.contact = known.contact;
            }
        }
        // Ids that someone may have seen are not given out again.
        truth.ids = truth.ids.max(now.ids);
        truth.arm_all();
        self.shared.publish_all_tokens(&mut truth);
        *now = truth;
        drop(now);
        self.journal = Journal::after(recovered.last);
        self.since_checkpoint = self.since_checkpoint.max(1);
        self.shared.note_recovered(recovered.last, recovered.quarantined);
    }
}

impl Fault {
    fn is_fatal(&self) -> bool {
        self.kind != EngineErrorKind::Full && self.failures >= FATAL_AFTER
    }
}

fn retry_after(fault: &Fault) -> Millis {
    let longest = RETRIES[RETRIES.len() - 1];
    match fault.kind {
        EngineErrorKind::Full => longest,
        _ => RETRIES.get(fault.failures.saturating_sub(1) as usize).copied().unwrap_or(longest),
    }
}

pub(super) fn unwritable(fault: &Fault) -> StoreError {
    let source = EngineError::new(fault.kind, fault.detail.clone());
    StoreError::Unwritable { retry_after: retry_after(fault), source }
}

/// An error with its causes, as one text.
fn chain(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
