//! Which checks templates make: for every agent that a template applies to, now and later.
//!
//! A template applies to an agent that names it, and to every agent whose labels meet its conditions; one without
//! conditions applies to those alone that name it. Its checks are then checks of the agent like any other, marked with
//! `template:NAME`. A check of the same name that someone made by hand, that a file manages, or that the agent brings
//! itself stands before a template's; of two templates, the one whose name comes first.
//!
//! [`following`] is asked before every change of agents, checks and templates is written, and its changes are written in
//! the same step: no agent is ever without the checks that are its own.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};
use vilicus_core::params::escape_pointer;
use vilicus_core::route::{Labels, all_match};
use vilicus_core::{AgentId, CheckId};
use vilicus_store::inventory::{AGENT_KIND, Agent, Check, Origin, Template};
use vilicus_store::query::{AgentFilter, CheckFilter, Page};
use vilicus_store::store::PROVISIONAL;
use vilicus_store::{Change, Store, StoreError};

use crate::api::check_input::{CheckInput, Dependencies, new_check};
use crate::api::names::Mistakes;
use crate::api::reference::Target;
use crate::api::{Random, ping};
use crate::http::Problem;
use crate::http::json::{fields_of, from_fields, known_fields};

/// What the checks of templates are marked with, before the name of the template.
const MARK: &str = "template:";
/// The most checks of a template.
pub(crate) const MAX_CHECKS: usize = 1_000;

/// What the checks of this template are marked with.
pub(crate) fn mark(template: &str) -> String {
    format!("{MARK}{template}")
}

/// Whether a template made this check.
pub(crate) fn is_made(check: &Check) -> bool {
    check.managed_by.as_ref().is_some_and(|by| by.starts_with(MARK))
}

/// Gives out numbers for objects that are made in one commit and refer to each other.
#[derive(Debug)]
pub(crate) struct Provisional(u64);

impl Provisional {
    /// The first number.
    pub(crate) fn new() -> Self {
        Self(PROVISIONAL)
    }

    /// The next number as an id.
    pub(crate) fn next<T: From<std::num::NonZeroU64>>(&mut self) -> T {
        self.0 += 1;
        T::from(std::num::NonZeroU64::new(self.0).unwrap_or(std::num::NonZeroU64::MAX))
    }
}

/// Reads a check as it stands in a template: as anywhere, but without an agent.
///
/// # Errors
/// What no check can be, with every place.
pub(crate) fn read_check(written: Value) -> Result<CheckInput, Problem> {
    let mut fields = fields_of(written)?;
    if fields.contains_key("agent") {
        return Err(Problem::invalid("/agent", "a template says which agents; leave this out"));
    }
    fields.insert("agent".to_owned(), 1.into());
    let input: CheckInput = from_fields(known_fields::<CheckInput>(fields)?)?;
    input.validate()?;
    let mut mistakes = Mistakes::default();
    let own_kind = input.kind != AGENT_KIND;
    mistakes.require(own_kind, "/kind", "every agent has its check of this kind already, made by itself");
    for (pointer, reference) in input.references() {
        let fine = matches!(reference.among("check"), Some(Target::Name(name)) if !name.contains('/'));
        mistakes.require(fine, &pointer, "in a template, name another check of the same agent, as disk-root");
    }
    mistakes.into_result()?;
    Ok(input)
}

/// Refuses checks that depend on each other in a circle.
///
/// # Errors
/// 422, with the place of a check in it.
pub(crate) fn refuse_circles(checks: &[CheckInput]) -> Result<(), Problem> {
    let names: HashMap<&str, usize> =
        checks.iter().enumerate().map(|(index, check)| (check.name.as_str(), index)).collect();
    for (start, check) in checks.iter().enumerate() {
        let (mut seen, mut open) = (HashSet::new(), vec![start]);
        while let Some(index) = open.pop() {
            let parents = depended_on(&checks[index]);
            let parents: Vec<usize> = parents.filter_map(|name| names.get(name).copied()).collect();
            if parents.contains(&start) {
                let detail =
                    format!("the check '{}' depends on itself, maybe over others: a circle", check.name);
                return Err(Problem::invalid(format!("/checks/{start}/depends_on"), detail));
            }
            open.extend(parents.into_iter().filter(|parent| seen.insert(*parent)));
        }
    }
    Ok(())
}

/// The names of the checks that one in a template depends on.
fn depended_on(input: &CheckInput) -> impl Iterator<Item = &str> {
    input.depends_on.iter().chain(input.depends_on_any.iter().flatten()).filter_map(|reference| {
        match reference.among("check") {
            Some(Target::Name(name)) => Some(name.as_str()),
            _ => None,
        }
    })
}

/// A template whose checks were read.
#[derive(Debug)]
pub(crate) struct Read {
    template: Arc<Template>,
    checks: Vec<CheckInput>,
}

impl Read {
    /// Reads the checks of a template; one that can't be read any longer is left out, and the log says so.
    pub(crate) fn new(template: Arc<Template>) -> Self {
        let read = |written: &vilicus_store::Json| match read_check(written.0.clone()) {
            Ok(input) => Some(input),
            Err(problem) => {
                tracing::error!(template = template.name, "a check is left out: {}", problem.detail());
                None
            }
        };
        let checks = template.checks.iter().filter_map(read).collect();
        Self { template, checks }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.template.name
    }

    fn applies_to(&self, agent: &Agent) -> bool {
        let template = &self.template;
        let labels = Labels {
            agent: &agent.name,
            check: "",
            kind: "",
            status: None,
            agent_tags: &agent.tags,
            check_tags: &[],
        };
        agent.templates.contains(&template.name)
            || (!template.matchers.is_empty() && all_match(&template.matchers, &labels))
    }
}

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
    fn changes(self) -> impl Iterator<Item = Change> {
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
            let base = match &old {
                Some(old) => (**old).clone(),
                None => Check { id: ids.next(), ..new_check(agent.id, Origin::Server) },
            };
            let base = Check { managed_by: Some(mark(read.name())), ..base };
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
    let find = |references: &[crate::api::reference::Reference]| -> Vec<CheckId> {
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

/// These changes, and all that templates make of them. The caller holds the door of edits.
///
/// # Errors
/// The store can't read, or the system gives no randomness.
pub(crate) async fn following(
    store: &dyn Store,
    random: &dyn Random,
    mut changes: Vec<Change>,
) -> Result<Vec<Change>, Problem> {
    if !changes.iter().any(concerns) {
        return Ok(changes);
    }
    let stored = store.templates().await?;
    let all_agents = changes.iter().any(is_of_template);
    if stored.is_empty() && !all_agents {
        return Ok(changes);
    }
    let mut ids = Provisional::new();
    number(&mut changes, &mut ids);
    let templates = read_all(&stored, &changes);
    let mut picture = Picture::read(store, &changes, all_agents).await?;
    for change in &changes {
        picture.follow(change);
    }
    for (agent, checks) in picture.agents.into_values() {
        let outcome = for_agent(&agent, &checks, &templates, &mut ids, random)?;
        changes.extend(outcome.changes());
    }
    Ok(changes)
}

fn concerns(change: &Change) -> bool {
    is_of_template(change)
        || matches!(
            change,
            Change::CreateAgent(_)
                | Change::UpdateAgent(_)
                | Change::CreateCheck(_)
                | Change::UpdateCheck(_)
                | Change::DeleteCheck(_)
        )
}

fn is_of_template(change: &Change) -> bool {
    matches!(change, Change::CreateTemplate(_) | Change::UpdateTemplate(_) | Change::DeleteTemplate(_))
}

/// Gives new agents and checks numbers by which others can refer to them, where they have none yet.
fn number(changes: &mut [Change], ids: &mut Provisional) {
    let given = changes.iter().filter_map(|change| match change {
        Change::CreateAgent(agent) => Some(agent.id.get()),
        Change::CreateCheck(check) => Some(check.id.get()),
        _ => None,
    });
    ids.0 = given.chain([ids.0]).max().unwrap_or(ids.0);
    for change in changes {
        match change {
            Change::CreateAgent(agent) if agent.id.get() < PROVISIONAL => agent.id = ids.next(),
            Change::CreateCheck(check) if check.id.get() < PROVISIONAL => check.id = ids.next(),
            _ => {}
        }
    }
}

/// The templates as they will be, sorted by name.
fn read_all(stored: &[Arc<Template>], changes: &[Change]) -> Vec<Read> {
    let mut templates: BTreeMap<_, Arc<Template>> =
        stored.iter().map(|template| (template.id, Arc::clone(template))).collect();
    let mut new = Vec::new();
    for change in changes {
        match change {
            Change::CreateTemplate(template) => new.push(Arc::new((**template).clone())),
            Change::UpdateTemplate(template) => {
                drop(templates.insert(template.id, Arc::new((**template).clone())))
            }
            Change::DeleteTemplate(id) => drop(templates.remove(id)),
            _ => {}
        }
    }
    let mut all: Vec<Arc<Template>> = templates.into_values().chain(new).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all.into_iter().map(Read::new).collect()
}

/// The agents that changes are about, with their checks.
#[derive(Debug, Default)]
struct Picture {
    agents: BTreeMap<AgentId, (Arc<Agent>, Vec<Arc<Check>>)>,
}

impl Picture {
    async fn read(store: &dyn Store, changes: &[Change], all: bool) -> Result<Self, StoreError> {
        let mut ids = BTreeSet::new();
        for change in changes {
            match change {
                Change::UpdateAgent(agent) => drop(ids.insert(agent.id)),
                Change::CreateCheck(check) | Change::UpdateCheck(check) => drop(ids.insert(check.agent)),
                Change::DeleteCheck(id) => ids.extend(store.check(*id).await?.map(|view| view.check.agent)),
                _ => {}
            }
        }
        let ids: Vec<AgentId> = ids.into_iter().filter(|id| id.get() < PROVISIONAL).collect();
        if ids.is_empty() && !all {
            return Ok(Self::default());
        }
        // No ids are all of them.
        let ids = if all { Vec::new() } else { ids };
        let agents = AgentFilter { ids: ids.clone(), ..AgentFilter::default() };
        let checks = CheckFilter { agents: ids, ..CheckFilter::default() };
        let agents = store.agents(&agents, Page::ALL).await?.objects;
        let mut picture = Self {
            agents: agents.into_iter().map(|view| (view.agent.id, (view.agent, Vec::new()))).collect(),
        };
        for view in store.checks(&checks, Page::ALL).await?.objects {
            if let Some((_, checks)) = picture.agents.get_mut(&view.check.agent) {
                checks.push(view.check);
            }
        }
        Ok(picture)
    }

    fn follow(&mut self, change: &Change) {
        match change {
            Change::CreateAgent(agent) => {
                self.agents.insert(agent.id, (Arc::new((**agent).clone()), Vec::new()));
            }
            Change::UpdateAgent(agent) => {
                if let Some((old, _)) = self.agents.get_mut(&agent.id) {
                    *old = Arc::new((**agent).clone());
                }
            }
            Change::DeleteAgent(id) => drop(self.agents.remove(id)),
            Change::CreateCheck(check) | Change::UpdateCheck(check) => {
                if let Some((_, checks)) = self.agents.get_mut(&check.agent) {
                    checks.retain(|old| old.id != check.id);
                    checks.push(Arc::new((**check).clone()));
                }
            }
            Change::DeleteCheck(id) => {
                for (_, checks) in self.agents.values_mut() {
                    checks.retain(|check| check.id != *id);
                }
            }
            _ => {}
        }
    }
}

/// The checks of a template with their secrets hidden, or with those put back that are stored.
pub(crate) fn each_secret(
    checks: &mut [Map<String, Value>],
    secrets_of: impl Fn(&str) -> Vec<String>,
    mut each: impl FnMut(usize, &str, &str, &mut Value),
) {
    for (index, check) in checks.iter_mut().enumerate() {
        let kind = check.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = check.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(Value::Object(params)) = check.get_mut("params") else { continue };
        for secret in secrets_of(&kind) {
            if let Some(value) = params.get_mut(&secret) {
                each(index, &name, &escape_pointer(&secret), value);
            }
        }
    }
}
