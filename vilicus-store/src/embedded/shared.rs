//! What the writer and the readers share.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use crate::embedded::checkpoint;
use crate::embedded::truth::Truth;
use crate::engine::{Engine, EngineError, EngineErrorKind};
use crate::inventory::Token;
use crate::store::Sequence;

/// Damaged records are told apart up to so many.
const MAX_DAMAGED: usize = 10_000;

/// What the writer and the readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    truth: RwLock<Truth>,
    /// The tokens by hash, apart: every request asks for one, and shall not wait for the judge.
    tokens: RwLock<HashMap<[u8; 32], Arc<Token>>>,
    /// The last record that is durable: no event and no message leaves before its record is.
    durable: AtomicU64,
    /// The inputs that wait for the writer, and the commits that they are of.
    pub(crate) queued: AtomicUsize,
    pub(crate) jobs: AtomicUsize,
    faults: Mutex<Faults>,
    damaged: Damaged,
    /// The checkpoint that a backup is being made of.
    hold: Mutex<Option<u64>>,
    changed: watch::Sender<Sequence>,
    outbox_changed: watch::Sender<Sequence>,
}

/// A checkpoint that is kept, with the journal after it, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    shared: &'a Shared,
    checkpoint: u64,
}

impl Held<'_> {
    /// The record that the checkpoint follows.
    pub(crate) fn checkpoint(&self) -> u64 {
        self.checkpoint
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.shared.hold() = None;
    }
}

/// What went wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    pub(crate) fault: Option<String>,
    pub(crate) fatal: bool,
    pub(crate) quarantined: u64,
}

/// What is on disk, to read, with a place to note what can't be read there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disk<'a> {
    pub(crate) engine: &'a dyn Engine,
    pub(crate) damaged: &'a Damaged,
}

/// The records of history that could not be read. They are left out, and counted once each.
#[derive(Debug, Default)]
pub(crate) struct Damaged(Mutex<BTreeSet<(String, Vec<u8>)>>);

impl Damaged {
    /// Notes a record that can't be read.
    pub(crate) fn note(&self, partition: &str, key: &[u8]) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < MAX_DAMAGED && seen.insert((partition.to_owned(), key.to_vec())) {
            tracing::error!(partition, ?key, "a record is damaged and is left out");
        }
    }

    fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }
}

fn all_tokens(truth: &mut Truth) -> HashMap<[u8; 32], Arc<Token>> {
    truth.changed_tokens = Vec::new();
    truth.tokens.values().map(|token| (token.hash, Arc::clone(token))).collect()
}

impl Shared {
    pub(crate) fn new(mut truth: Truth, last: u64, quarantined: u64) -> Self {
        // Readers begin at `Sequence::START`, so what is there already counts as one change.
        let first = Sequence(last.saturating_add(1));
        Self {
            tokens: RwLock::new(all_tokens(&mut truth)),
            truth: RwLock::new(truth),
            durable: AtomicU64::new(last),
            queued: AtomicUsize::new(0),
            jobs: AtomicUsize::new(0),
            faults: Mutex::new(Faults { quarantined, ..Faults::default() }),
            damaged: Damaged::default(),
            hold: Mutex::default(),
            changed: watch::Sender::new(first),
            outbox_changed: watch::Sender::new(first),
        }
    }

    /// The truth, to read. A panic of the writer would leave it as it was between two effects.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Truth> {
        self.truth.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The truth, to change.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Truth> {
        self.truth.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token with this hash.
    pub(crate) fn token_by_hash(&self, hash: &[u8; 32]) -> Option<Arc<Token>> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    /// Lets callers be known by the tokens that were changed.
    pub(crate) fn publish_tokens(&self, truth: &mut Truth) {
        if truth.changed_tokens.is_empty() {
            return;
        }
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        for hash in std::mem::take(&mut truth.changed_tokens) {
            match truth.token_by_hash(&hash) {
                Some(token) => tokens.insert(hash, Arc::clone(token)),
                None => tokens.remove(&hash),
            };
        }
    }

    /// Lets callers be known by the tokens of this truth and no others.
    pub(crate) fn publish_all_tokens(&self, truth: &mut Truth) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = all_tokens(truth);
    }

    /// The checkpoint that is held. While this is locked none is dropped, and none begins to be held.
    pub(crate) fn hold(&self) -> MutexGuard<'_, Option<u64>> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the newest complete checkpoint; `None` when one is held already.
    pub(crate) fn hold_newest(&self, engine: &dyn Engine) -> Result<Option<Held<'_>>, EngineError> {
        let mut hold = self.hold();
        if hold.is_some() {
            return Ok(None);
        }
        let none = || EngineError::new(EngineErrorKind::Corrupt, "there is no complete checkpoint");
        let checkpoint = checkpoint::newest(engine)?.ok_or_else(none)?;
        *hold = Some(checkpoint);
        Ok(Some(Held { shared: self, checkpoint }))
    }

    /// The last record that is durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// A record is durable: what it says may leave. `outbox` says whether it has to do with messages.
    pub(crate) fn note_durable(&self, sequence: u64, outbox: bool) {
        self.durable.store(sequence, Ordering::Release);
        announce(&self.changed);
        if outbox {
            announce(&self.outbox_changed);
        }
    }

    /// The truth was built anew from what is on disk.
    pub(crate) fn note_recovered(&self, last: u64, quarantined: u64) {
        self.durable.store(last, Ordering::Release);
        self.faults_mut().quarantined += quarantined;
        announce(&self.changed);
        announce(&self.outbox_changed);
    }

    pub(crate) fn note_fault(&self, fault: &str, fatal: bool) {
        let mut faults = self.faults_mut();
        faults.fault = Some(fault.to_owned());
        faults.fatal = fatal;
    }

    pub(crate) fn note_mended(&self) {
        let mut faults = self.faults_mut();
        (faults.fault, faults.fatal) = (None, false);
    }

    /// What went wrong so far; records of history that can't be read count as set aside.
    pub(crate) fn faults(&self) -> Faults {
        let mut faults = self.faults_mut().clone();
        faults.quarantined += self.damaged.count();
        faults
    }

    /// What is on disk, to read.
    pub(crate) fn disk<'a>(&'a self, engine: &'a dyn Engine) -> Disk<'a> {
        Disk { engine, damaged: &self.damaged }
    }

    fn faults_mut(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who wait for changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Sequence> {
        self.changed.subscribe()
    }

    /// Those who wait for messages.
    pub(crate) fn subscribe_to_outbox(&self) -> watch::Receiver<Sequence> {
        self.outbox_changed.subscribe()
    }
}

/// Tells those who wait that there is something to look at.
fn announce(changed: &watch::Sender<Sequence>) {
    changed.send_modify(|sequence| sequence.0 = sequence.0.saturating_add(1));
}
