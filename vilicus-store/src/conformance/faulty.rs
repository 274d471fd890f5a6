//! An engine that fails when it is told to: the disk that a store has to survive.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::{Durability, Engine, EngineError, EngineErrorKind, Entry, Scan, Write};

/// How writes fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `EIO`: nothing was written.
    Io,
    /// `EIO` after everything was written: the answer was lost.
    IoAfterwards,
    /// `ENOSPC`: nothing was written.
    Full,
}

/// Which writes fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// This one, counted from 1.
    Once(u64),
    /// This one, counted from 1, and all after it.
    From(u64),
}

/// An [`Engine`] that fails when it is told to.
#[derive(Debug)]
pub struct FaultyEngine<E> {
    inner: E,
    plan: Mutex<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    fault: Option<(Fault, When)>,
    writes: u64,
    failures: u64,
}

impl<E: Engine> FaultyEngine<E> {
    /// An engine that works, until it is told otherwise.
    pub fn new(inner: E) -> Self {
        Self { inner, plan: Mutex::default() }
    }

    /// Lets writes fail, counted from now on.
    pub fn fail(&self, fault: Fault, when: When) {
        *self.plan() = Plan { fault: Some((fault, when)), ..Plan::default() };
    }

    /// Works again. Returns how many writes failed since they were told to.
    pub fn mend(&self) -> u64 {
        let mut plan = self.plan();
        plan.fault = None;
        plan.failures
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a write; says how it fails.
    fn next_fault(&self) -> Option<Fault> {
        let mut plan = self.plan();
        plan.writes += 1;
        let (fault, when) = plan.fault?;
        let fails = match when {
            When::Once(number) => plan.writes == number,
            When::From(number) => plan.writes >= number,
        };
        plan.failures += u64::from(fails);
        fails.then_some(fault)
    }

    fn guarded(&self, write: impl FnOnce() -> Result<(), EngineError>) -> Result<(), EngineError> {
        match self.next_fault() {
            None => write(),
            Some(Fault::Io) => Err(EngineError::new(EngineErrorKind::Io, "input/output error (injected)")),
            Some(Fault::Full) => Err(EngineError::new(EngineErrorKind::Full, "no space left (injected)")),
            Some(Fault::IoAfterwards) => {
                write()?;
                Err(EngineError::new(EngineErrorKind::Io, "input/output error afterwards (injected)"))
            }
        }
    }
}

impl<E: Engine> Engine for FaultyEngine<E> {
    fn write(&self, partition: &str, writes: Vec<Write>, durability: Durability) -> Result<(), EngineError> {
        self.guarded(|| self.inner.write(partition, writes, durability))
    }

    fn get(&self, partition: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.inner.get(partition, key)
    }

    fn scan(&self, partition: &str, scan: &Scan) -> Result<Vec<Entry>, EngineError> {
        self.inner.scan(partition, scan)
    }

    fn partitions(&self) -> Result<Vec<String>, EngineError> {
        self.inner.partitions()
    }

    fn drop_partition(&self, partition: &str) -> Result<(), EngineError> {
        self.guarded(|| self.inner.drop_partition(partition))
    }

    fn close(&self, partition: &str) {
        self.inner.close(partition);
    }

    fn reopen(&self) -> Result<(), EngineError> {
        self.inner.reopen()
    }

    fn size(&self) -> Result<u64, EngineError> {
        self.inner.size()
    }

    fn max_value(&self) -> usize {
        self.inner.max_value()
    }
}
