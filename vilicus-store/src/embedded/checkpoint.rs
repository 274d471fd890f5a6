//! Checkpoints: all that is known, written down in slices between groups, so that the next start need not read the
//! whole journal.
//!
//! The slices of one checkpoint are of different moments: each carries the sequence of the record that it follows,
//! and recovery applies to a check only the records after its slice. A checkpoint counts when its last mark is there,
//! which is written after all sealed history, events and finished messages are.

mod slice;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vilicus_core::{CheckId, CheckState, Timestamp};

use self::slice::KnownSpecs;
use crate::embedded::effect::{self, Effect};
use crate::embedded::record::{self, BadRecord, Packing, Parts};
use crate::embedded::samples::SavedSamples;
use crate::embedded::truth::{CheckEntry, Ids, Last, Truth};
use crate::engine::{Durability, Engine, EngineError, EngineErrorKind, Scan, Write};
use crate::inventory::Check;

/// The first part of the names of checkpoint partitions.
pub(crate) const PREFIX: &str = "checkpoint-";
/// The keys: who this store is, what is configured and what waits, checks, and the mark of completeness.
const HEAD: u8 = b'a';
const EFFECTS: u8 = b'b';
const CHECKS: u8 = b'c';
const COMPLETE: u8 = b'z';
/// Checks a slice: few enough that a group of commits does not wait long.
const SLICE: usize = 256;
/// Effects are cut into slices of about so many bytes.
const SLICE_BYTES: usize = 256 * 1024;
/// Slices are read so many values at a time.
const BATCH: usize = 64;
/// At a start, so many threads read slices at most …
const READERS: usize = 4;
/// … and each is so many ahead of who puts the checks in.
const AHEAD: usize = 2;

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    instance: String,
    ids: Ids,
}

/// A check as it is written down. It is read by [`slice::read`], which follows the order of the fields.
#[derive(Debug, Serialize)]
struct SavedCheck {
    check: Arc<Check>,
    state: CheckState,
    last: Last,
    samples: SavedSamples,
    run_now: Option<Timestamp>,
}

/// How many slices a complete checkpoint has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Complete {
    effects: u32,
    checks: u32,
}

/// A checkpoint in the making.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    partition: String,
    /// The record that it follows.
    begin: u64,
    /// The last check that is in a slice.
    cursor: Option<CheckId>,
    slices: Complete,
}

impl Checkpoint {
    /// Begins one that follows the record `begin`: writes down everything but the checks.
    pub(crate) fn begin(
        engine: &dyn Engine,
        truth: &Truth,
        begin: u64,
        durability: Durability,
    ) -> Result<Self, EngineError> {
        let partition = partition_of(begin);
        // Left over by a checkpoint that did not come to its end.
        engine.drop_partition(&partition)?;
        let head = Head { instance: truth.instance.clone(), ids: truth.ids };
        let mut slices = vec![(HEAD, 0, encode(&head)?)];
        let mut effects = 0;
        for payload in effect_slices(truth)? {
            slices.push((EFFECTS, effects, payload));
            effects += 1;
        }
        for (kind, index, payload) in slices {
            write_slice(engine, &partition, (kind, index), begin, &payload, durability)?;
        }
        Ok(Self { partition, begin, cursor: None, slices: Complete { effects, checks: 0 } })
    }

    /// Writes the next slice of checks, as they are after the record `sequence`. Says whether it was the last.
    pub(crate) fn step(
        &mut self,
        engine: &dyn Engine,
        truth: &Truth,
        sequence: u64,
        durability: Durability,
    ) -> Result<bool, EngineError> {
        let checks: Vec<SavedCheck> = truth.checks.after(self.cursor).take(SLICE).map(saved).collect();
        let Some(last) = checks.last() else {
            return Ok(true);
        };
        let is_last = checks.len() < SLICE;
        self.cursor = Some(last.check.id);
        let slice = (CHECKS, self.slices.checks);
        write_slice(engine, &self.partition, slice, sequence, &encode(&checks)?, durability)?;
        self.slices.checks += 1;
        Ok(is_last)
    }

    /// Marks it as complete. Returns the record that it follows.
    pub(crate) fn finish(self, engine: &dyn Engine, durability: Durability) -> Result<u64, EngineError> {
        let payload = encode(&self.slices)?;
        write_slice(engine, &self.partition, (COMPLETE, 0), self.begin, &payload, durability)?;
        engine.close(&self.partition);
        Ok(self.begin)
    }
}

/// Drops the checkpoints before this one, but not one that is held.
pub(crate) fn drop_before(engine: &dyn Engine, begin: u64, held: Option<u64>) -> Result<(), EngineError> {
    let is_old = |(of, _): &(u64, String)| *of < begin && Some(*of) != held;
    partitions(engine)?
        .iter()
        .filter(|found| is_old(found))
        .try_for_each(|(_, name)| engine.drop_partition(name))
}

/// The record that the newest complete checkpoint follows; `None` when there is none.
pub(crate) fn newest(engine: &dyn Engine) -> Result<Option<u64>, EngineError> {
    for (begin, partition) in partitions(engine)?.into_iter().rev() {
        if read_slice::<Complete>(engine, &partition, (COMPLETE, 0))?.is_some() {
            return Ok(Some(begin));
        }
    }
    Ok(None)
}

/// Writes a whole checkpoint of a truth that nobody changes meanwhile.
pub(crate) fn write_all(
    engine: &dyn Engine,
    truth: &Truth,
    sequence: u64,
    durability: Durability,
) -> Result<(), EngineError> {
    let mut checkpoint = Checkpoint::begin(engine, truth, sequence, durability)?;
    while !checkpoint.step(engine, truth, sequence, durability)? {}
    checkpoint.finish(engine, durability).map(|_| ())
}

/// What a checkpoint says.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) truth: Truth,
    /// The record that it follows.
    pub(crate) begin: u64,
    pub(crate) covered: Covered,
}

/// The record that the slice of each check follows: the last check of each slice, and that record.
#[derive(Debug, Default)]
pub(crate) struct Covered(Vec<(CheckId, u64)>);

impl Covered {
    /// Whether the slice of this check knows what this record says of it. Slices are in the order of ids: a check that
    /// is in none of them came later than all of these.
    pub(crate) fn contains(&self, check: CheckId, sequence: u64) -> bool {
        let slice = self.0.partition_point(|(last, _)| *last < check);
        self.0.get(slice).is_some_and(|(_, covered)| sequence <= *covered)
    }
}

/// Reads the newest complete checkpoint; `None` when there is none. Those that are not complete are dropped.
pub(crate) fn load(engine: &dyn Engine, now: Timestamp) -> Result<Option<Loaded>, EngineError> {
    for (begin, partition) in partitions(engine)?.into_iter().rev() {
        match read_slice::<Complete>(engine, &partition, (COMPLETE, 0))? {
            Some((_, complete)) => return load_from(engine, &partition, begin, complete, now).map(Some),
            None => engine.drop_partition(&partition)?,
        }
    }
    Ok(None)
}

fn load_from(
    engine: &dyn Engine,
    partition: &str,
    begin: u64,
    complete: Complete,
    now: Timestamp,
) -> Result<Loaded, EngineError> {
    let (_, head) = read_slice::<Head>(engine, partition, (HEAD, 0))?.ok_or_else(|| damaged(partition))?;
    let mut truth = Truth::new(head.instance, now, false);
    for index in 0..complete.effects {
        let (_, payload) =
            read_payload(engine, partition, (EFFECTS, index))?.ok_or_else(|| damaged(partition))?;
        for effect in effect::read(&payload).ok_or_else(|| damaged(partition))? {
            truth.apply(begin, effect);
        }
    }
    let mut covered = Covered::default();
    read_checks(engine, partition, complete.checks, |(sequence, checks)| {
        covered.0.extend(checks.last().map(|last| (last.check.id, sequence)));
        for check in checks {
            truth.insert_check(check);
        }
    })?;
    engine.close(partition);
    truth.ids = truth.ids.max(head.ids);
    Ok(Loaded { truth, begin, covered })
}

/// The checks of a slice, and the record that they follow.
type Slice = (u64, Vec<Box<CheckEntry>>);

/// Reads the checks of all slices, in order. Unpacking is most of the work: each processor does its share of it.
fn read_checks(
    engine: &dyn Engine,
    partition: &str,
    slices: u32,
    mut each: impl FnMut(Slice),
) -> Result<(), EngineError> {
    let readers = thread::available_parallelism().map_or(1, usize::from).min(READERS);
    thread::scope(|scope| {
        let start = |first| {
            let (sender, receiver) = sync_channel(AHEAD);
            let indexes = (first..slices).step_by(readers);
            thread::Builder::new()
                .name("vilicus-start".to_owned())
                .spawn_scoped(scope, move || send_slices(engine, partition, indexes, &sender))
                .map_err(|error| {
                    EngineError::new(EngineErrorKind::Io, "no thread can be started").source(error)
                })?;
            Ok(receiver)
        };
        let receivers: Vec<Receiver<_>> = (0..slices).take(readers).map(start).collect::<Result<_, _>>()?;
        for receiver in receivers.iter().cycle().take(slices as usize) {
            each(receiver.recv().map_err(|_| damaged(partition))??);
        }
        Ok(())
    })
}

/// Sends these slices until one cannot be read, or nobody wants them any more.
fn send_slices(
    engine: &dyn Engine,
    partition: &str,
    indexes: impl Iterator<Item = u32>,
    sender: &SyncSender<Result<Slice, EngineError>>,
) {
    let mut specs = KnownSpecs::default();
    for index in indexes {
        let slice = read_checks_of(engine, partition, index, &mut specs);
        let is_last = slice.is_err();
        if sender.send(slice).is_err() || is_last {
            return;
        }
    }
}

fn read_checks_of(
    engine: &dyn Engine,
    partition: &str,
    index: u32,
    specs: &mut KnownSpecs,
) -> Result<Slice, EngineError> {
    let payload = read_payload(engine, partition, (CHECKS, index))?;
    let (sequence, payload) = payload.ok_or_else(|| damaged(partition))?;
    let checks = slice::read(&payload, specs).map_err(|error| damaged(partition).source(error))?;
    Ok((sequence, checks))
}

fn saved(entry: &CheckEntry) -> SavedCheck {
    SavedCheck {
        check: Arc::clone(&entry.check),
        state: entry.state.clone(),
        last: entry.last.clone(),
        samples: entry.samples.saved(),
        run_now: entry.run_now,
    }
}

/// Everything but the checks, as the effects that make it.
fn effect_slices(truth: &Truth) -> Result<Vec<Vec<u8>>, EngineError> {
    let agents = truth.agents.iter().flat_map(|(id, entry)| {
        let agent = Effect::Agent { agent: Arc::clone(&entry.agent), config_version: entry.config_version };
        let contact = Effect::Contact { agent: *id, contact: entry.contact };
        [agent, contact, Effect::Silence { agent: *id, silent: entry.silent }]
    });
    let channels = truth.channels.values().cloned().map(Effect::Channel);
    let tokens = truth.tokens.values().cloned().map(Effect::Token);
    let messages = truth.queue.rows().cloned().map(Effect::Message);
    let clocks = truth.problems.clocks();
    let clocks =
        clocks.map(|(channel, group, last)| Effect::GroupClock { channel, group: group.to_owned(), last });
    let mut slices = vec![Vec::new()];
    for effect in agents.chain(channels).chain(tokens).chain(rules(truth)).chain(messages).chain(clocks) {
        if slices.last().is_some_and(|slice: &Vec<u8>| slice.len() >= SLICE_BYTES) {
            slices.push(Vec::new());
        }
        if let Some(slice) = slices.last_mut() {
            effect::write(slice, &effect).map_err(not_encodable)?;
        }
    }
    Ok(slices)
}

/// What is configured of telling.
fn rules(truth: &Truth) -> impl Iterator<Item = Effect> {
    let rules = &truth.rules;
    let routes = rules.routes().unwrap_or_default().iter().cloned().map(Arc::new).map(Effect::Route);
    let downtimes = rules.downtimes.values().cloned().map(Effect::Downtime);
    let turns = rules.open.iter().map(|id| Effect::DowntimeTurn { downtime: *id, open: true });
    let inhibitions = rules.inhibitions.values().cloned().map(Effect::Inhibition);
    let templates = rules.templates.values().cloned().map(Effect::Template);
    routes.chain(downtimes).chain(turns).chain(inhibitions).chain(templates)
}

/// The checkpoint partitions with the records that they follow, in order.
fn partitions(engine: &dyn Engine) -> Result<Vec<(u64, String)>, EngineError> {
    let names = engine.partitions()?.into_iter();
    let mut found: Vec<(u64, String)> =
        names.filter_map(|name| Some((name.strip_prefix(PREFIX)?.parse().ok()?, name))).collect();
    found.sort();
    Ok(found)
}

/// The partition of the checkpoint that follows this record.
pub(crate) fn partition_of(begin: u64) -> String {
    format!("{PREFIX}{begin:020}")
}

fn key((kind, index): (u8, u32), part: u16) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&index.to_be_bytes());
    key.extend_from_slice(&part.to_be_bytes());
    key
}

fn write_slice(
    engine: &dyn Engine,
    partition: &str,
    slice: (u8, u32),
    sequence: u64,
    payload: &[u8],
    durability: Durability,
) -> Result<(), EngineError> {
    let parts = record::frame(sequence, payload, Packing::Tight, engine.max_value());
    let writes: Vec<Write> =
        (0..=u16::MAX).zip(parts).map(|(part, value)| (key(slice, part), Some(value))).collect();
    engine.write(partition, writes, durability)
}

fn read_slice<T: DeserializeOwned>(
    engine: &dyn Engine,
    partition: &str,
    slice: (u8, u32),
) -> Result<Option<(u64, T)>, EngineError> {
    let Some((sequence, payload)) = read_payload(engine, partition, slice)? else {
        return Ok(None);
    };
    let value = postcard::from_bytes(&payload).map_err(|error| damaged(partition).source(error))?;
    Ok(Some((sequence, value)))
}

fn read_payload(
    engine: &dyn Engine,
    partition: &str,
    slice: (u8, u32),
) -> Result<Option<(u64, Vec<u8>)>, EngineError> {
    let mut parts = Parts::default();
    let mut start = key(slice, 0);
    let mut any = false;
    loop {
        let scan = Scan { start, end: Some(key(slice, u16::MAX)), reverse: false, limit: BATCH };
        let entries = engine.scan(partition, &scan)?;
        let Some((last_key, _)) = entries.last() else { break };
        any = true;
        start = last_key.clone();
        start.push(0);
        for (_, value) in &entries {
            parts.push(value).map_err(|error| unreadable(partition, error))?;
        }
    }
    if !any {
        return Ok(None);
    }
    parts.finish().map(Some).map_err(|error| unreadable(partition, error))
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, EngineError> {
    postcard::to_allocvec(value).map_err(not_encodable)
}

fn not_encodable(error: postcard::Error) -> EngineError {
    EngineError::new(EngineErrorKind::Io, "a part of a checkpoint cannot be encoded").source(error)
}

fn damaged(partition: &str) -> EngineError {
    EngineError::new(EngineErrorKind::Corrupt, format!("the checkpoint {partition} is damaged"))
}

fn unreadable(partition: &str, error: BadRecord) -> EngineError {
    damaged(partition).source(error)
}
