//! The one thread that changes anything: it judges, writes, and only then answers.
//!
//! All commits that wait become one record and one sync. Between groups it writes history down and makes
//! checkpoints, a slice at a time. When a write fails, memory is ahead of the disk: it is built anew from the disk,
//! and until something can be written again commits are refused and reads go on from memory.

mod mending;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use vilicus_core::Timestamp;

use crate::embedded::checkpoint::{self, Checkpoint};
use crate::embedded::journal::{self, Journal};
use crate::embedded::shared::{Disk, Shared};
use crate::embedded::truth::Truth;
use crate::embedded::unit::Unit;
use crate::embedded::writer::mending::{Fault, RETRIES, unwritable};
use crate::embedded::{Options, history, retention, trail};
use crate::engine::{Engine, EngineError, EngineErrorKind};
use crate::error::{Refusal, StoreError};
use crate::outbox::Delivery;
use crate::store::{Input, Outcome};

/// A group takes no further commit when it has so many inputs.
const GROUP: usize = 8192;
/// How long a group waits for commits that are to be expected, in so many parts.
const GATHER: Duration = Duration::from_micros(60);
const GATHER_PARTS: u32 = 3;
/// A checkpoint is made when the journal has grown by so many bytes since the last.
const CHECKPOINT_AT: u64 = 64 * 1024 * 1024;
/// Sealed chunks, events and messages are written down when there are so many, and so many at a time.
const SAVE_AT: usize = 1024;
const SAVE_SLICE: usize = 512;
/// So little journal, in bytes, is read again sooner than all checks are written: housekeeping leaves it at that.
const WORTH_WRITING: u64 = 4096;

/// What the thread is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Carry out inputs.
    Commit(CommitJob),
    /// Drop what is too old, and make a checkpoint when there is enough for one.
    Maintain { now: Timestamp, reply: oneshot::Sender<Result<(), StoreError>> },
    /// Make a checkpoint, and end.
    Close { reply: oneshot::Sender<Result<(), StoreError>> },
}

/// One commit.
#[derive(Debug)]
pub(crate) struct CommitJob {
    pub(crate) now: Timestamp,
    pub(crate) inputs: Vec<Input>,
    pub(crate) reply: oneshot::Sender<Result<Vec<Outcome>, StoreError>>,
}

impl CommitJob {
    fn weight(&self) -> usize {
        self.inputs.iter().map(Input::weight).sum()
    }

    /// Whether nobody waits for it: it says only that messages were sent.
    fn is_patient(&self) -> bool {
        let is_sent =
            |input: &Input| matches!(input, Input::Delivery { delivery: Delivery::Sent { .. }, .. });
        !self.inputs.is_empty() && self.inputs.iter().all(is_sent)
    }
}

type Answer = Result<Vec<Outcome>, (usize, Refusal)>;

/// The thread's own things.
#[derive(Debug)]
pub(crate) struct Writer<E> {
    engine: Arc<E>,
    shared: Arc<Shared>,
    options: Options,
    jobs: Receiver<Job>,
    /// A job that was taken while a group was gathered.
    next: VecDeque<Job>,
    journal: Journal,
    /// The bytes that were written to the journal since the last checkpoint began.
    since_checkpoint: u64,
    checkpoint: Option<Making>,
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
    fault: Option<Fault>,
    payload: Vec<u8>,
    saver: history::Saver,
    /// How many commits came within the last round: those that ask again when they are answered, and those that came
    /// meanwhile.
    expected: usize,
    /// The latest moment that any job named.
    now: Timestamp,
    closing: bool,
}

#[derive(Debug)]
struct Making {
    checkpoint: Checkpoint,
    /// Whether all checks are in slices: history is still to be written down.
    sliced: bool,
}

impl<E: Engine> Writer<E> {
    pub(crate) fn new(
        engine: Arc<E>,
        shared: Arc<Shared>,
        options: Options,
        jobs: Receiver<Job>,
        last: u64,
        tail: u64,
    ) -> Self {
        let now = options.now;
        Self {
            engine,
            shared,
            options,
            jobs,
            next: VecDeque::new(),
            journal: Journal::after(last),
            // A long tail makes the next start slow, and each start adds a partition: so a checkpoint is due soon.
            since_checkpoint: if tail > 0 { CHECKPOINT_AT } else { 0 },
            checkpoint: None,
            waiting: Vec::new(),
            fault: None,
            payload: Vec::new(),
            saver: history::Saver::default(),
            expected: 0,
            now,
            closing: false,
        }
    }

    /// Works until it is told to end, or nobody can ask anything any longer.
    pub(crate) fn run(mut self) {
        loop {
            match self.next_job() {
                Ok(Some(job)) => self.take(job),
                Ok(None) => {}
                Err(()) => return,
            }
            if self.fault.is_none() {
                self.work_a_slice();
            }
            if self.closing && self.waiting.is_empty() {
                return;
            }
        }
    }

    /// The next job; `None` when there is none and other work waits.
    fn next_job(&mut self) -> Result<Option<Job>, ()> {
        if let Some(job) = self.next.pop_front() {
            return Ok(Some(job));
        }
        if let Some(fault) = &self.fault {
            let wait = fault.next_try.remaining();
            let job =
                if wait.is_zero() { Err(RecvTimeoutError::Timeout) } else { self.jobs.recv_timeout(wait) };
            return match job {
                Ok(job) => Ok(Some(job)),
                Err(RecvTimeoutError::Timeout) => {
                    self.mend();
                    Ok(None)
                }
                Err(RecvTimeoutError::Disconnected) => Err(()),
            };
        }
        if self.has_work() {
            return match self.jobs.try_recv() {
                Ok(job) => Ok(Some(job)),
                Err(TryRecvError::Empty) => Ok(None),
                Err(TryRecvError::Disconnected) => Err(()),
            };
        }
        self.jobs.recv().map(Some).map_err(|_| ())
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Commit(commit) => self.take_group(commit),
            Job::Maintain { now, reply } => {
                self.now = self.now.max(now);
                if let Err(error) = self.drop_old(now) {
                    let _ =
                        reply.send(Err(StoreError::Unwritable { retry_after: RETRIES[0], source: error }));
                } else if self.fault.is_none() && self.since_checkpoint < WORTH_WRITING {
                    let _ = reply.send(Ok(()));
                } else {
                    self.ask_for_checkpoint(reply);
                }
            }
            Job::Close { reply } => {
                self.closing = true;
                self.ask_for_checkpoint(reply);
            }
        }
    }

    /// Drops what is too old. What a backup is being made of stays until the next time.
    fn drop_old(&self, now: Timestamp) -> Result<(), EngineError> {
        let hold = self.shared.hold();
        if hold.is_none() { retention::drop_old(self.engine.as_ref(), &self.options, now) } else { Ok(()) }
    }

    fn ask_for_checkpoint(&mut self, reply: oneshot::Sender<Result<(), StoreError>>) {
        if let Some(fault) = &self.fault {
            let _ = reply.send(Err(unwritable(fault)));
        } else if self.since_checkpoint == 0 && self.checkpoint.is_none() {
            let _ = reply.send(Ok(()));
        } else {
            self.waiting.push(reply);
        }
    }
}

/// Groups of commits.
impl<E: Engine> Writer<E> {
    fn take_group(&mut self, first: CommitJob) {
        if let Some(fault) = &self.fault {
            self.shared.queued.fetch_sub(first.weight(), Ordering::Relaxed);
            self.shared.jobs.fetch_sub(1, Ordering::Relaxed);
            let _ = first.reply.send(Err(unwritable(fault)));
            return;
        }
        let (group, inputs) = self.gather(first);
        let count = group.len();
        let waited_for = group.iter().filter(|commit| !commit.is_patient()).count();
        self.shared.queued.fetch_sub(inputs, Ordering::Relaxed);
        self.shared.jobs.fetch_sub(count, Ordering::Relaxed);
        self.commit(group);
        self.expected = waited_for + self.shared.jobs.load(Ordering::Relaxed);
    }

    /// The commits that wait, and those that are to be expected at once: a sync for all costs as much as one for each.
    /// A caller who is alone waits for nobody; what nobody waits for waits for company. Returns how many inputs they
    /// have, too.
    fn gather(&mut self, first: CommitJob) -> (Vec<CommitJob>, usize) {
        let (mut inputs, mut hurry) = (first.weight(), !first.is_patient());
        let mut group = vec![first];
        let mut patience = if self.expected > 1 { GATHER_PARTS } else { 0 };
        while inputs < GROUP {
            match self.another_job(hurry) {
                Some(Job::Commit(commit)) => {
                    inputs += commit.weight();
                    hurry |= !commit.is_patient();
                    group.push(commit);
                }
                Some(other) => {
                    self.next.push_back(other);
                    break;
                }
                None if hurry && patience > 0 && group.len() < self.expected => {
                    patience -= 1;
                    // Not in `recv`: each commit that comes would wake this thread, which is dearer than it is.
                    thread::sleep(GATHER);
                }
                None => break,
            }
        }
        (group, inputs)
    }

    /// The next job, if one is there; or comes soon, when nobody waits for those before it.
    fn another_job(&self, hurry: bool) -> Option<Job> {
        if hurry { self.jobs.try_recv().ok() } else { self.jobs.recv_timeout(self.options.share_sync).ok() }
    }

    /// Judges all commits, writes one record, and answers.
    fn commit(&mut self, group: Vec<CommitJob>) {
        let sequence = self.journal.last().saturating_add(1);
        self.payload.clear();
        let mut answers = Vec::with_capacity(group.len());
        let (mut broken, mut outbox) = (false, false);
        for job in group {
            self.now = self.now.max(job.now);
            let disk = self.shared.disk(self.engine.as_ref());
            // Locked anew for each, so that readers wait for one commit and not for a group of them.
            let mut truth = self.shared.write();
            let (answer, is_broken) =
                judge(&mut truth, disk, &self.options, &mut self.payload, sequence, job.now, job.inputs);
            self.shared.publish_tokens(&mut truth);
            broken |= is_broken;
            outbox |= truth.queue.take_changed();
            answers.push((job.reply, answer));
        }
        let written = if broken {
            let what = "the group could not be judged or encoded";
            Err(EngineError::new(EngineErrorKind::Io, what))
        } else {
            self.write(sequence, outbox)
        };
        match written {
            Ok(()) => answers.into_iter().for_each(|(reply, answer)| {
                let _ = reply.send(answer.map_err(|(index, refusal)| StoreError::Refused { index, refusal }));
            }),
            Err(error) => {
                self.fail(&error, true);
                for (reply, _) in answers {
                    let _ = reply.send(Err(self.unwritable_now(&error)));
                }
            }
        }
    }

    fn write(&mut self, sequence: u64, outbox: bool) -> Result<(), EngineError> {
        if self.payload.is_empty() {
            return Ok(());
        }
        let before = self.journal.bytes();
        self.journal.append(self.engine.as_ref(), &self.payload, self.options.durability)?;
        let after = self.journal.bytes();
        self.since_checkpoint += if after > before { after - before } else { after };
        self.shared.note_durable(sequence, outbox);
        Ok(())
    }
}

fn judge(
    truth: &mut Truth,
    disk: Disk<'_>,
    options: &Options,
    payload: &mut Vec<u8>,
    sequence: u64,
    now: Timestamp,
    inputs: Vec<Input>,
) -> (Answer, bool) {
    let archive = |check, at| history::find(disk, check, at);
    let mut unit = Unit::new(truth, now, sequence, payload, &archive, now.before(options.keep_results));
    let answer = unit.carry_out(inputs);
    (answer, unit.is_broken())
}

/// What is written down between groups.
impl<E: Engine> Writer<E> {
    fn has_work(&self) -> bool {
        self.checkpoint.is_some() || self.wants_checkpoint() || self.unsaved() >= SAVE_AT
    }

    fn wants_checkpoint(&self) -> bool {
        self.since_checkpoint >= CHECKPOINT_AT || !self.waiting.is_empty()
    }

    fn unsaved(&self) -> usize {
        let truth = self.shared.read();
        truth.unsaved.len() + truth.events.unsaved() + truth.finished.unsaved()
    }

    fn work_a_slice(&mut self) {
        let worked = if self.checkpoint.is_some() {
            self.go_on_with_checkpoint()
        } else if self.wants_checkpoint() {
            self.begin_checkpoint()
        } else if self.unsaved() >= SAVE_AT {
            self.save_a_slice()
        } else {
            return;
        };
        if let Err(error) = worked {
            // What failed is written again after the reopening: nothing in memory is ahead of the journal.
            self.checkpoint = None;
            self.fail(&error, false);
        }
    }

    fn begin_checkpoint(&mut self) -> Result<(), EngineError> {
        let truth = self.shared.read();
        let (engine, durability) = (self.engine.as_ref(), self.options.durability);
        let checkpoint = Checkpoint::begin(engine, &truth, self.journal.last(), durability)?;
        drop(truth);
        self.journal.rotate();
        self.since_checkpoint = 0;
        self.checkpoint = Some(Making { checkpoint, sliced: false });
        Ok(())
    }

    fn go_on_with_checkpoint(&mut self) -> Result<(), EngineError> {
        let Some(mut making) = self.checkpoint.take() else {
            return Ok(());
        };
        if making.sliced {
            self.save_a_slice()?;
            if self.unsaved() == 0 {
                return self.finish_checkpoint(making.checkpoint);
            }
        } else {
            let truth = self.shared.read();
            let (engine, durability) = (self.engine.as_ref(), self.options.durability);
            making.sliced = making.checkpoint.step(engine, &truth, self.journal.last(), durability)?;
        }
        self.checkpoint = Some(making);
        Ok(())
    }

    fn finish_checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), EngineError> {
        let engine = self.engine.as_ref();
        let covered = checkpoint.finish(engine, self.options.durability)?;
        let hold = self.shared.hold();
        checkpoint::drop_before(engine, covered, *hold)?;
        journal::drop_covered(engine, hold.map_or(covered, |held| held.min(covered)))?;
        drop(hold);
        for reply in self.waiting.drain(..) {
            let _ = reply.send(Ok(()));
        }
        Ok(())
    }

    /// Writes down the oldest sealed chunks, events and finished messages.
    fn save_a_slice(&mut self) -> Result<(), EngineError> {
        let (engine, durability) = (Arc::clone(&self.engine), self.options.durability);
        let engine = engine.as_ref();
        let (chunks, events, finished) = {
            let truth = self.shared.read();
            let chunks: Vec<_> = truth.unsaved.iter().take(SAVE_SLICE).cloned().collect();
            (chunks, truth.events.next_unsaved(SAVE_SLICE), truth.finished.next_unsaved(SAVE_SLICE))
        };
        self.saver.save(engine, &chunks, durability)?;
        trail::save(engine, &events, durability)?;
        trail::save(engine, &finished, durability)?;
        let mut truth = self.shared.write();
        truth.unsaved.drain(..chunks.len());
        for chunk in &chunks {
            if let Some(entry) = truth.checks.get_mut(&chunk.check) {
                entry.samples.note_saved(chunk);
            }
        }
        truth.events.note_saved(&events);
        truth.finished.note_saved(&finished);
        Ok(())
    }
}
