//! Channels: known by their names. Secrets compare with what is stored, and `***` keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vilicus_core::ChannelId;
use vilicus_store::inventory::Channel;

use super::object::Object as _;
use super::snapshot::Snapshot;
use super::{Declared, Planner};
use crate::api::channel_body::{ChannelInput, new_channel};
use crate::api::reference::{Reference, Target};
use crate::apply::Entry;

/// The ids of the channels that there will be, by name.
#[derive(Debug, Default)]
pub(super) struct Channels(BTreeMap<String, ChannelId>);

impl Channels {
    pub(super) fn find(&self, reference: &Reference) -> Option<ChannelId> {
        match reference.among("channel")? {
            Target::Name(name) => self.0.get(name).copied(),
            Target::Id(id) => self.0.values().copied().find(|channel| channel.get() == *id),
        }
    }
}

/// A channel that was judged.
struct Judged<'d> {
    entry: &'d Entry,
    wanted: Channel,
    old: Option<Arc<Channel>>,
}

impl Planner<'_> {
    pub(super) fn channels(&mut self, declared: &[Declared<ChannelInput>], old: &Snapshot) -> Channels {
        let known: BTreeMap<&str, &Arc<Channel>> =
            old.channels.iter().map(|channel| (channel.name.as_str(), channel)).collect();
        let (mut channels, mut kept) = (Channels::default(), BTreeSet::new());
        for Declared { entry, .. } in declared {
            let id = known.get(entry.name()).map_or_else(|| self.ids.next(), |channel| channel.id);
            channels.0.entry(entry.name().to_owned()).or_insert(id);
            kept.insert(id.get());
        }
        let gone = self.gone(&old.channels, &kept, |channel| channel.name.clone());
        let gone: BTreeSet<u64> = gone.into_iter().map(|channel| channel.id.get()).collect();
        for channel in old.channels.iter().filter(|channel| !gone.contains(&channel.number())) {
            self.names.add(&**channel, channel.name.clone());
            channels.0.insert(channel.name.clone(), channel.id);
        }
        let mut judged = Vec::new();
        for (entry, input) in self.once(declared, "channel") {
            let old = known.get(entry.name()).copied().cloned();
            if let Some(wanted) = self.channel(entry, input, old.as_ref(), &channels) {
                judged.push(Judged { entry, wanted, old });
            }
        }
        self.settle_in_order(judged);
        channels
    }

    fn channel(
        &mut self,
        entry: &Entry,
        input: &ChannelInput,
        old: Option<&Arc<Channel>>,
        channels: &Channels,
    ) -> Option<Channel> {
        if let Err(problem) = input.validate() {
            self.faults.problem(entry, &problem);
        }
        let id = channels.0.get(entry.name()).copied()?;
        let fallback = input.fallback.as_ref().and_then(|reference| {
            let found = channels.find(reference);
            match found {
                None => self.faults.value(entry, "/fallback", format!("there is no channel {reference}")),
                Some(other) if other == id => {
                    let detail = "a channel that fails cannot tell so itself; name another";
                    self.faults.value(entry, "/fallback", detail);
                }
                Some(_) => {}
            }
            found
        });
        let base = old.map_or_else(new_channel, |old| (**old).clone());
        let wanted = input.clone().into_channel(fallback, Channel { id, ..base });
        let built = wanted.and_then(|wanted| {
            self.state.notifiers().build(&wanted.kind, &wanted.params.0)?;
            Ok(wanted)
        });
        built.map_err(|problem| self.faults.problem(entry, &problem)).ok()
    }

    /// New channels after those that they fall back to. Of new ones that fall back to each other one is made without,
    /// and gets its fallback when the others are there.
    fn settle_in_order(&mut self, mut judged: Vec<Judged<'_>>) {
        let mut open: BTreeSet<ChannelId> =
            judged.iter().filter(|one| one.old.is_none()).map(|one| one.wanted.id).collect();
        while !judged.is_empty() {
            let free = |one: &Judged<'_>| one.wanted.fallback.is_none_or(|other| !open.contains(&other));
            let at = judged.iter().position(free);
            let Judged { entry, wanted, old } = judged.remove(at.unwrap_or_default());
            let name = wanted.name.clone();
            open.remove(&wanted.id);
            if at.is_some() {
                self.settle(entry, &name, wanted, old.as_deref());
            } else {
                self.settle(entry, &name, Channel { fallback: None, ..wanted.clone() }, None);
                let managed_by = Some(entry.part.manager.to_string());
                self.afterwards.push(Channel { managed_by, ..wanted }.update());
            }
        }
    }
}
