//! Routes, inhibitions and downtimes: who is told, and when not.
//!
//! In a configuration routes and downtimes need no name, so each is known by what it says: one that says the same is the
//! same, wherever it stands; one that says half of the same was edited. One that says something else altogether is new.

use std::collections::BTreeSet;
use std::sync::Arc;

use vilicus_core::downtime::When;
use vilicus_core::{Downtime, Inhibition, Matcher, Route, Timestamp};

use super::channels::Channels;
use super::object::Object as _;
use super::snapshot::Snapshot;
use super::{Declared, Planner};
use crate::api::downtime_body::{DowntimeInput, new_downtime};
use crate::api::inhibition::{InhibitionInput, new_inhibition};
use crate::api::reference::Reference;
use crate::api::route_body::{RouteInput, new_route};
use crate::apply::Entry;

/// The longest name that is made of conditions, in characters.
const MAX_NAME: usize = 200;

impl Planner<'_> {
    pub(super) fn routes(&mut self, declared: &[Declared<RouteInput>], old: &Snapshot, channels: &Channels) {
        let mut wanted = Vec::new();
        let find = |reference: &Reference| channels.find(reference);
        for (index, (entry, input)) in self.once(declared, "route").into_iter().enumerate() {
            match input.clone().into_route(&find, new_route()) {
                Ok(mut route) => {
                    // The order in the files is the order in which they are tried.
                    if !entry.says("position") {
                        route.position = u32::try_from(index + 1).unwrap_or(u32::MAX);
                    }
                    wanted.push((entry, route));
                }
                Err(problem) => self.faults.problem(entry, &problem),
            }
        }
        let pairs = self.pair_routes(&wanted, &old.routes);
        let kept = kept(&pairs);
        let mut taken: BTreeSet<String> = old
            .routes
            .iter()
            .filter(|route| !kept.contains(&route.number()))
            .map(|route| route.name.clone())
            .chain(wanted.iter().filter(|(entry, _)| !entry.unnamed).map(|(_, route)| route.name.clone()))
            .collect();
        for ((entry, mut route), old) in wanted.into_iter().zip(pairs) {
            if entry.unnamed {
                route.name = name_of(&route, old.as_deref(), &taken);
                taken.insert(route.name.clone());
            }
            route.id = old.as_ref().map_or_else(|| self.ids.next(), |old| old.id);
            let name = route.name.clone();
            self.settle(entry, &name, route, old.as_deref());
        }
        self.gone(&old.routes, &kept, |route| route.name.clone());
    }

    /// For each route the one that it was.
    fn pair_routes(&self, wanted: &[(&Entry, Route)], old: &[Arc<Route>]) -> Vec<Option<Arc<Route>>> {
        let ours = |route: &Route| self.is_ours(route.managed_by.as_deref());
        let named = |entry: &Entry, new: &Route, old: &Route| !entry.unnamed && new.name == old.name;
        let whole = |_: &Entry, new: &Route, old: &Route| {
            ours(old) && new.matchers == old.matchers && new.channels == old.channels
        };
        let conditions = |_: &Entry, new: &Route, old: &Route| ours(old) && new.matchers == old.matchers;
        let told = |entry: &Entry, new: &Route, old: &Route| {
            entry.unnamed && ours(old) && new.channels == old.channels
        };
        pair(wanted, old, &[&named, &whole, &conditions, &told])
    }

    fn is_ours(&self, managed_by: Option<&str>) -> bool {
        managed_by.is_some_and(|by| self.managers.contains(by))
    }

    pub(super) fn inhibitions(&mut self, declared: &[Declared<InhibitionInput>], old: &Snapshot) {
        let mut kept = BTreeSet::new();
        for (entry, input) in self.once(declared, "inhibition") {
            let found = old.inhibitions.iter().find(|inhibition| inhibition.name == input.name);
            kept.extend(found.map(|inhibition| inhibition.number()));
            let base = match found {
                Some(found) => (**found).clone(),
                None => Inhibition { id: self.ids.next(), ..new_inhibition() },
            };
            match input.clone().into_inhibition(base) {
                Ok(wanted) => drop(self.settle(entry, &input.name, wanted, found.map(Arc::as_ref))),
                Err(problem) => self.faults.problem(entry, &problem),
            }
        }
        self.gone(&old.inhibitions, &kept, |inhibition| inhibition.name.clone());
    }

    pub(super) fn downtimes(&mut self, declared: &[Declared<DowntimeInput>], old: &Snapshot) {
        let mut wanted = Vec::new();
        for Declared { entry, input } in declared {
            let Some(input) = input else { continue };
            // Judged as of long ago: a file may still hold a downtime that is over, and must not fail for it.
            let base = new_downtime(self.wish.options.by.clone(), self.wish.now);
            match input.clone().into_downtime(Timestamp::EPOCH, base) {
                Ok(downtime) => wanted.push((entry, downtime)),
                Err(problem) => self.faults.problem(entry, &problem),
            }
        }
        let pairs = self.pair_downtimes(&wanted, &old.downtimes);
        let kept = kept(&pairs);
        for ((entry, downtime), old) in wanted.into_iter().zip(pairs) {
            let name = downtime_name(&downtime);
            if old.is_none() && downtime.is_over(self.wish.now) {
                self.notes.push(format!("the downtime '{name}' is over and is left out"));
                continue;
            }
            let downtime = match &old {
                Some(old) => {
                    Downtime { id: old.id, by: old.by.clone(), created_at: old.created_at, ..downtime }
                }
                None => Downtime { id: self.ids.next(), ..downtime },
            };
            self.settle(entry, &name, downtime, old.as_deref());
        }
        self.gone(&old.downtimes, &kept, downtime_name);
    }

    /// For each downtime the one that it was.
    fn pair_downtimes(
        &self,
        wanted: &[(&Entry, Downtime)],
        old: &[Arc<Downtime>],
    ) -> Vec<Option<Arc<Downtime>>> {
        let ours = |downtime: &Downtime| self.is_ours(downtime.managed_by.as_deref());
        let whole = |_: &Entry, new: &Downtime, old: &Downtime| {
            ours(old) && new.matchers == old.matchers && new.when == old.when
        };
        let conditions =
            |_: &Entry, new: &Downtime, old: &Downtime| ours(old) && new.matchers == old.matchers;
        let times = |_: &Entry, new: &Downtime, old: &Downtime| ours(old) && new.when == old.when;
        pair(wanted, old, &[&whole, &conditions, &times])
    }
}

type Rule<'r, O> = &'r dyn Fn(&Entry, &O, &O) -> bool;

/// For each wanted object the one that it was, by the strongest of these rules that finds one; no object twice.
fn pair<O>(wanted: &[(&Entry, O)], old: &[Arc<O>], rules: &[Rule<'_, O>]) -> Vec<Option<Arc<O>>> {
    let mut pairs: Vec<Option<Arc<O>>> = vec![None; wanted.len()];
    let mut free: Vec<&Arc<O>> = old.iter().collect();
    for rule in rules {
        for (pair, (entry, new)) in pairs.iter_mut().zip(wanted).filter(|(pair, _)| pair.is_none()) {
            if let Some(at) = free.iter().position(|old| rule(entry, new, old)) {
                *pair = Some(Arc::clone(free.remove(at)));
            }
        }
    }
    pairs
}

fn kept<O: super::Object>(pairs: &[Option<Arc<O>>]) -> BTreeSet<u64> {
    pairs.iter().flatten().map(|object| object.number()).collect()
}

/// The name of a route that has none: its conditions, numbered where several have the same.
fn name_of(route: &Route, old: Option<&Route>, taken: &BTreeSet<String>) -> String {
    let base = conditions(&route.matchers);
    if let Some(old) = old.filter(|old| is_made_of(&old.name, &base) && !taken.contains(&old.name)) {
        return old.name.clone();
    }
    let numbered = (2_u32..).map(|number| format!("{base} ({number})"));
    let mut names = std::iter::once(base.clone()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or(base)
}

/// Whether a name is this one, maybe with a number.
fn is_made_of(name: &str, base: &str) -> bool {
    let rest = name.strip_prefix(base);
    rest.is_some_and(|rest| rest.is_empty() || (rest.starts_with(" (") && rest.ends_with(')')))
}

/// Conditions as a name: on one line, without what no name may hold.
fn conditions(matchers: &[Matcher]) -> String {
    if matchers.is_empty() {
        return "everything".to_owned();
    }
    let text = matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let fits = |c: char| if c == '/' || c.is_control() { '|' } else { c };
    text.chars().map(fits).take(MAX_NAME).collect()
}

/// A downtime has no name; people know it by what it is about and when it is.
fn downtime_name(downtime: &Downtime) -> String {
    let when = match &downtime.when {
        When::Once(window) => format!("{} to {}", window.start, window.end),
        When::Recurring(recurrence) => recurrence.to_string(),
    };
    format!("{}: {when}", conditions(&downtime.matchers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::RouteId;

    #[test]
    fn a_route_without_a_name_is_called_by_its_conditions() {
        let route = |matchers: &[&str]| Route {
            matchers: matchers.iter().map(|text| text.parse().unwrap()).collect(),
            ..Route::new(RouteId::new(1).unwrap(), "x")
        };
        let taken = ["everything".to_owned(), "agent=a".to_owned()].into();
        for (matchers, name) in [
            (&[][..], "everything (2)"),
            (&["tag=prod", "status=~critical|unknown"], "tag=prod, status=~critical|unknown"),
            (&["agent=a"], "agent=a (2)"),
            (&["check=~/var/.*"], "check=~|var|.*"),
        ] {
            assert_eq!(name_of(&route(matchers), None, &taken), name);
        }
        let old = Route { name: "agent=b (3)".to_owned(), ..route(&["agent=b"]) };
        assert_eq!(name_of(&route(&["agent=b"]), Some(&old), &taken), "agent=b (3)", "it keeps its name");
    }
}
