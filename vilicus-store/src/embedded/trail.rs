//! Things that are written down once and never change: events, and messages that are done.
//!
//! The newest are kept in memory; all are written to monthly partitions, with an index by check and by agent. Ids
//! grow with the order of recording, so an id says where to go on reading.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vilicus_core::{AgentId, CheckId, Event, Timestamp};

use crate::embedded::period;
use crate::embedded::record::{self, Packing};
use crate::embedded::shared::Disk;
use crate::engine::{Durability, Engine, EngineError, Scan, Write};
use crate::outbox::{OutboxRow, OutboxState};
use crate::query::Order;

/// The newest entries that stay in memory after they were written down.
const KEPT_IN_MEMORY: usize = 4096;
/// Entries are read from a partition so many at a time.
const BATCH: usize = 256;
/// The keys: entries by id, and the indexes.
const BY_ID: u8 = b'i';
const BY_CHECK: u8 = b'c';
const BY_AGENT: u8 = b'a';

/// Something that a trail holds.
pub(crate) trait Entry: Clone + Serialize + DeserializeOwned {
    /// The first part of the names of its partitions.
    const PREFIX: &'static str;
    /// Whether entries are recorded in the order of their ids.
    const IN_ORDER: bool;
    /// Its id.
    fn id(&self) -> u64;
    /// When it was written down: decides its partition.
    fn recorded_at(&self) -> Timestamp;
    /// The checks that it is about.
    fn checks(&self) -> &[CheckId];
    /// The agent that it is about.
    fn agent(&self) -> Option<AgentId>;
}

impl Entry for Event {
    const PREFIX: &'static str = "event";
    const IN_ORDER: bool = true;

    fn id(&self) -> u64 {
        self.id.get()
    }

    fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    fn checks(&self) -> &[CheckId] {
        self.check.as_slice()
    }

    fn agent(&self) -> Option<AgentId> {
        self.agent
    }
}

impl Entry for OutboxRow {
    const PREFIX: &'static str = "notification";
    const IN_ORDER: bool = false;

    fn id(&self) -> u64 {
        self.id.get()
    }

    fn recorded_at(&self) -> Timestamp {
        match &self.state {
            OutboxState::Pending => self.created_at,
            OutboxState::Sent { at }
            | OutboxState::Failed { at, .. }
            | OutboxState::Superseded { at, .. }
            | OutboxState::Suppressed { at, .. } => *at,
        }
    }

    fn checks(&self) -> &[CheckId] {
        &self.checks
    }

    fn agent(&self) -> Option<AgentId> {
        self.agent
    }
}

/// The newest entries, and which of them are not written down yet.
#[derive(Debug)]
pub(crate) struct Trail<T> {
    entries: BTreeMap<u64, (u64, Arc<T>)>,
    unsaved: BTreeSet<u64>,
    /// Whether everything that was ever recorded is in memory.
    complete: bool,
}

/// Which entries: with ids in `(after, before)`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Range {
    pub(crate) after: u64,
    pub(crate) before: Option<u64>,
    pub(crate) order: Order,
    pub(crate) checks: Vec<CheckId>,
    pub(crate) agents: Vec<AgentId>,
}

impl<T: Entry> Trail<T> {
    /// The trail of a store whose disk may hold more.
    pub(crate) fn new(complete: bool) -> Self {
        Self { entries: BTreeMap::new(), unsaved: BTreeSet::new(), complete }
    }

    /// Records an entry; `sequence` is the record that holds it.
    pub(crate) fn push(&mut self, entry: Arc<T>, sequence: u64) {
        let id = entry.id();
        self.entries.insert(id, (sequence, entry));
        self.unsaved.insert(id);
    }

    /// Takes back an entry that was just recorded.
    pub(crate) fn take_back(&mut self, id: u64) {
        self.entries.remove(&id);
        self.unsaved.remove(&id);
    }

    /// How many entries are not written down yet.
    pub(crate) fn unsaved(&self) -> usize {
        self.unsaved.len()
    }

    /// The oldest entries that are not written down yet.
    pub(crate) fn next_unsaved(&self, limit: usize) -> Vec<Arc<T>> {
        let ids = self.unsaved.iter().take(limit);
        ids.filter_map(|id| self.entries.get(id)).map(|(_, entry)| Arc::clone(entry)).collect()
    }

    /// Notes that entries are written down, and lets the oldest go.
    pub(crate) fn note_saved(&mut self, entries: &[Arc<T>]) {
        for entry in entries {
            self.unsaved.remove(&entry.id());
        }
        while self.entries.len() > KEPT_IN_MEMORY {
            match self.entries.first_key_value() {
                Some((id, _)) if !self.unsaved.contains(id) => {
                    self.entries.pop_first();
                    self.complete = false;
                }
                _ => break,
            }
        }
    }

    /// The entry of this id, if it is in memory.
    pub(crate) fn get(&self, id: u64) -> Option<Arc<T>> {
        self.entries.get(&id).map(|(_, entry)| Arc::clone(entry))
    }

    /// The entries of a range that are in memory and durable, in order, and whether those are all there are.
    pub(crate) fn read(&self, range: &Range, durable: u64) -> (Vec<Arc<T>>, bool) {
        let first_id = self.entries.first_key_value().map(|(id, _)| *id);
        let all = self.complete
            || T::IN_ORDER && first_id.is_some_and(|first| range.after.saturating_add(1) >= first);
        let from = range.after.saturating_add(1);
        let until = range.before.unwrap_or(u64::MAX);
        if from >= until {
            return (Vec::new(), true);
        }
        let wanted = self
            .entries
            .range(from..until)
            .filter(|(_, (sequence, entry))| *sequence <= durable && range.wants(entry.as_ref()))
            .map(|(_, (_, entry))| Arc::clone(entry));
        let entries = match range.order {
            Order::OldestFirst => wanted.collect(),
            Order::NewestFirst => wanted.rev().collect(),
        };
        (entries, all)
    }
}

impl Range {
    /// Whether an entry is about what is asked for; its id is not looked at.
    fn wants<T: Entry>(&self, entry: &T) -> bool {
        let check = entry.checks().iter().any(|check| self.checks.contains(check));
        let agent = entry.agent().is_some_and(|agent| self.agents.contains(&agent));
        (self.checks.is_empty() || check) && (self.agents.is_empty() || agent)
    }
}

/// Writes entries down.
pub(crate) fn save<T: Entry>(
    engine: &dyn Engine,
    entries: &[Arc<T>],
    durability: Durability,
) -> Result<(), EngineError> {
    let mut writes: BTreeMap<String, Vec<Write>> = BTreeMap::new();
    for entry in entries {
        let partition = period::month_partition(T::PREFIX, entry.recorded_at());
        let writes = writes.entry(partition).or_default();
        // A message is as long as its items; parts keep each value within what the engine takes.
        let payload = postcard::to_allocvec(entry.as_ref()).map_err(|error| {
            EngineError::new(crate::EngineErrorKind::Corrupt, "an entry cannot be encoded").source(error)
        })?;
        let parts = record::frame(entry.id(), &payload, Packing::Quick, engine.max_value());
        for (part, value) in parts.into_iter().enumerate() {
            writes.push((id_key(entry.id(), part), Some(value)));
        }
        for check in entry.checks() {
            writes.push((index_key(BY_CHECK, check.get(), entry.id()), Some(Vec::new())));
        }
        if let Some(agent) = entry.agent() {
            writes.push((index_key(BY_AGENT, agent.get(), entry.id()), Some(Vec::new())));
        }
    }
    for (partition, writes) in writes {
        engine.write(&partition, writes, durability)?;
    }
    Ok(())
}

/// Up to `limit` entries of a range that `wanted` accepts and that are written down, in order.
pub(crate) fn load<T: Entry>(
    disk: Disk<'_>,
    range: &Range,
    limit: usize,
    wanted: &dyn Fn(&T) -> bool,
) -> Result<Vec<Arc<T>>, EngineError> {
    let mut found: BTreeMap<u64, Arc<T>> = BTreeMap::new();
    for partition in disk.engine.partitions()?.iter().filter(|name| is_partition_of::<T>(name)) {
        let mut taken = 0;
        for (kind, owner) in range.indexes() {
            let mut cursor = Cursor::new(kind, owner, range);
            while taken < limit {
                let ids = cursor.next_ids(disk.engine, partition)?;
                if ids.is_empty() {
                    break;
                }
                for id in ids {
                    let entry = fetch::<T>(disk, partition, id)?;
                    let entry = entry.filter(|entry| range.wants(entry) && wanted(entry));
                    if let Some(entry) = entry.filter(|_| taken < limit) {
                        taken += 1;
                        found.insert(id, Arc::new(entry));
                    }
                }
            }
            taken = 0;
        }
    }
    Ok(match range.order {
        Order::OldestFirst => found.into_values().take(limit).collect(),
        Order::NewestFirst => found.into_values().rev().take(limit).collect(),
    })
}

/// One entry that is written down.
pub(crate) fn find<T: Entry>(disk: Disk<'_>, id: u64) -> Result<Option<T>, EngineError> {
    for partition in disk.engine.partitions()?.iter().rev().filter(|name| is_partition_of::<T>(name)) {
        if let Some(entry) = fetch(disk, partition, id)? {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

fn is_partition_of<T: Entry>(partition: &str) -> bool {
    partition.strip_prefix(T::PREFIX).is_some_and(|rest| rest.starts_with('-'))
}

fn fetch<T: Entry>(disk: Disk<'_>, partition: &str, id: u64) -> Result<Option<T>, EngineError> {
    let mut parts = record::Parts::default();
    for part in 0.. {
        let Some(value) = disk.engine.get(partition, &id_key(id, part))? else {
            return Ok(None);
        };
        match parts.push(&value) {
            Ok(true) => break,
            Ok(false) => {}
            Err(_) => {
                disk.damaged.note(partition, &id_key(id, part));
                return Ok(None);
            }
        }
    }
    let entry = parts.finish().ok().and_then(|(_, payload)| postcard::from_bytes(&payload).ok());
    if entry.is_none() {
        disk.damaged.note(partition, &id_key(id, 0));
    }
    Ok(entry)
}

impl Range {
    /// The indexes that lead to all entries of the range.
    fn indexes(&self) -> Vec<(u8, Option<u64>)> {
        if !self.checks.is_empty() {
            self.checks.iter().map(|check| (BY_CHECK, Some(check.get()))).collect()
        } else if !self.agents.is_empty() {
            self.agents.iter().map(|agent| (BY_AGENT, Some(agent.get()))).collect()
        } else {
            vec![(BY_ID, None)]
        }
    }
}

/// Where reading an index goes on.
struct Cursor {
    kind: u8,
    owner: Option<u64>,
    order: Order,
    after: u64,
    before: u64,
}

impl Cursor {
    fn new(kind: u8, owner: Option<u64>, range: &Range) -> Self {
        Self { kind, owner, order: range.order, after: range.after, before: range.before.unwrap_or(u64::MAX) }
    }

    fn key(&self, id: u64) -> Vec<u8> {
        match self.owner {
            Some(owner) => index_key(self.kind, owner, id),
            None => id_key(id, 0),
        }
    }

    /// The next ids, in order; none at the end.
    fn next_ids(&mut self, engine: &dyn Engine, partition: &str) -> Result<Vec<u64>, EngineError> {
        let from = self.after.saturating_add(1);
        if from >= self.before {
            return Ok(Vec::new());
        }
        let reverse = self.order == Order::NewestFirst;
        let scan = Scan { start: self.key(from), end: Some(self.key(self.before)), reverse, limit: BATCH };
        let mut ids: Vec<u64> =
            engine.scan(partition, &scan)?.iter().filter_map(|(key, _)| self.id_of(key)).collect();
        // An entry in several parts shows up once a part.
        ids.dedup();
        if let Some(&last) = ids.last() {
            if reverse { self.before = last } else { self.after = last }
        }
        Ok(ids)
    }

    fn id_of(&self, key: &[u8]) -> Option<u64> {
        let at = if self.owner.is_some() { 9 } else { 1 };
        key.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes)
    }
}

fn id_key(id: u64, part: usize) -> Vec<u8> {
    let mut key = vec![BY_ID];
    key.extend_from_slice(&id.to_be_bytes());
    key.extend_from_slice(&u16::try_from(part).unwrap_or(u16::MAX).to_be_bytes());
    key
}

fn index_key(kind: u8, owner: u64, id: u64) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&owner.to_be_bytes());
    key.extend_from_slice(&id.to_be_bytes());
    key
}
