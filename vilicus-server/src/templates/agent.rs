//! What all templates together make of the checks of one agent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use vilicus_core::CheckId;
use vilicus_store::Change;
use vilicus_store::inventory::{Agent, Check, Origin};

use super::{Provisional, Read, is_made, mark};
use crate::api::check_input::{CheckInput, Dependencies, new_check};
use crate::api::reference::{Reference, Target};
use crate::api::{Random, ping};
use crate::http::Problem;

/// A check that a template does not make, because one of its name is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The template.
    pub(crate) template: String,
    /// The name of the check.
    pub(crate) check: String,
    /// Who manages the one that is there; `None` for a check made by hand or brought by the agent.
    pub(crate) managed_by: Option<String>,
}

/// What templates make of the checks of one agent.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// New checks, each with a provisional id, those that others depend on first.
    pub(crate) made: Vec<Check>,
    /// Checks that they made before, as they shall be.
    pub(crate) wanted: Vec<(Arc<Check>, Check)>,
    /// Checks that no template makes any longer.
    pub(crate) gone: Vec<Arc<Check>>,
    /// Checks that they don't make.
    pub(crate) kept: Vec<Kept>,
}

impl Outcome {
    pub(super) fn changes(self) -> impl Iterator<Item = Change> {
        let made = self.made.into_iter().map(|check| Change::CreateCheck(Box::new(check)));
        let changed = self.wanted.into_iter().filter(|(old, new)| **old != *new);
        let changed = changed.map(|(_, new)| Change::UpdateCheck(Box::new(new)));
        made.chain(changed).chain(self.gone.into_iter().map(|check| Change::DeleteCheck(check.id)))
    }
}

/// What the templates make of the checks of this agent, which has `has`. The templates are sorted by name.
///
/// # Errors
/// The system gives no randomness for the address of a heartbeat.
pub(crate) fn for_agent(
    agent: &Agent,
    has: &[Arc<Check>],
    templates: &[Read],
    ids: &mut Provisional,
    random: &dyn Random,
) -> Result<Outcome, Problem> {
    let mut outcome = Outcome::default();
    let mut old: BTreeMap<&str, &Arc<Check>> = BTreeMap::new();
    let mut before: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for check in has {
        match is_made(check) {
            true => drop(old.insert(&check.name, check)),
            false => drop(before.insert(&check.name, check.managed_by.clone())),
        }
    }
    let mut found = Vec::new();
    for read in templates.iter().filter(|read| read.applies_to(agent)) {
        for input in &read.checks {
            if let Some(managed_by) = before.get(input.name.as_str()).cloned() {
                let kept = Kept { template: read.name().to_owned(), check: input.name.clone(), managed_by };
                outcome.kept.push(kept);
                continue;
            }
            before.insert(&input.name, Some(mark(read.name())));
            let old = old.remove(input.name.as_str()).cloned();
            let mut base = match &old {
                Some(old) => (**old).clone(),
                None => Check { id: ids.next(), ..new_check(agent.id, Origin::Server) },
            };
            base.managed_by = Some(mark(read.name()));
            found.push((input, old, base));
        }
    }
    outcome.gone = old.into_values().cloned().collect();
    let ids_by_name = names_of(has, &outcome.gone, &found);
    for (input, old, base) in found {
        let key = base.ping_key.clone();
        let mut check = input.clone().into_check(base, None, dependencies(input, &ids_by_name));
        check.ping_key = ping::key_for(&check.kind, key, random)?;
        match old {
            Some(old) => outcome.wanted.push((old, check)),
            None => outcome.made.push(check),
        }
    }
    break_circles(has, &mut outcome);
    outcome.made = in_order(std::mem::take(&mut outcome.made));
    Ok(outcome)
}

type Found<'a> = (&'a CheckInput, Option<Arc<Check>>, Check);

/// The ids of the checks that the agent will have, by name.
fn names_of(has: &[Arc<Check>], gone: &[Arc<Check>], found: &[Found<'_>]) -> HashMap<String, CheckId> {
    let stays = |check: &&Arc<Check>| gone.iter().all(|gone| gone.id != check.id);
    let old = has.iter().filter(stays).map(|check| (check.name.clone(), check.id));
    old.chain(found.iter().map(|(input, _, base)| (input.name.clone(), base.id))).collect()
}

/// What a check depends on, of what is there: an agent may lack what another template makes.
fn dependencies(input: &CheckInput, ids: &HashMap<String, CheckId>) -> Dependencies {
    let find = |references: &[Reference]| -> Vec<CheckId> {
        let names = references.iter().filter_map(|reference| match reference.among("check") {
            Some(Target::Name(name)) => ids.get(name).copied(),
            _ => None,
        });
        names.collect()
    };
    let any = input.depends_on_any.iter().map(|group| find(group)).filter(|group| !group.is_empty());
    Dependencies { all: find(&input.depends_on), any: any.collect() }
}

/// Takes back what closes a circle: each template is free of them, and two together may not be.
fn break_circles(has: &[Arc<Check>], outcome: &mut Outcome) {
    let of = |check: &Check| {
        check.depends_on.iter().chain(check.depends_on_any.iter().flatten()).copied().collect()
    };
    let mut edges: HashMap<CheckId, Vec<CheckId>> = has.iter().map(|check| (check.id, of(check))).collect();
    let all = outcome.made.iter().chain(outcome.wanted.iter().map(|(_, check)| check));
    edges.extend(all.map(|check| (check.id, of(check))));
    for check in outcome.made.iter_mut().chain(outcome.wanted.iter_mut().map(|(_, check)| check)) {
        let (id, circle) = (check.id, |from: &CheckId| leads_to(&edges, *from, check.id));
        let (all, any) =
            (check.depends_on.iter().any(circle), check.depends_on_any.iter().flatten().any(circle));
        if all || any {
            tracing::warn!(
                check = check.name,
                "what it depends on closes a circle between templates and is left out"
            );
            check.depends_on.clear();
            check.depends_on_any.clear();
            edges.remove(&id);
        }
    }
}

/// Whether `from` is `to`, or depends on it over others.
pub(crate) fn leads_to(edges: &HashMap<CheckId, Vec<CheckId>>, from: CheckId, to: CheckId) -> bool {
    let (mut seen, mut open) = (HashSet::from([from]), vec![from]);
    while let Some(id) = open.pop() {
        if id == to {
            return true;
        }
        open.extend(edges.get(&id).into_iter().flatten().filter(|next| seen.insert(**next)));
    }
    false
}

/// New checks, those that others depend on first. They depend on each other in no circle.
pub(crate) fn in_order(checks: Vec<Check>) -> Vec<Check> {
    let mut left: BTreeMap<CheckId, Check> = checks.into_iter().map(|check| (check.id, check)).collect();
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(first) = left.keys().next().copied() {
        let mut open = vec![first];
        while let Some(id) = open.last().copied() {
            let parents = left.get(&id).map(|check| {
                let parents = check.depends_on.iter().chain(check.depends_on_any.iter().flatten());
                parents.copied().find(|parent| left.contains_key(parent) && !open.contains(parent))
            });
            match parents {
                Some(Some(parent)) => open.push(parent),
                _ => {
                    ordered.extend(left.remove(&id));
                    open.pop();
                }
            }
        }
    }
    ordered
}
