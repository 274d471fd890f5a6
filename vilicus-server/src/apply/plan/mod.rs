//! What has to be made, changed and removed so that everything is as a configuration says. Nothing is touched here.
//!
//! Each resource has its file and its rule for which object is which:
//!
//! | resource | known by |
//! |---|---|
//! | template, agent, channel, inhibition | its name |
//! | check | its agent and its name |
//! | route | its name; without one, or with a new one, its conditions; then its channels |
//! | downtime | its conditions and its times; then one of the two |
//!
//! What exists by that and was made by hand is adopted. What the same configuration made before and no longer says is
//! removed only when pruning is asked for.

mod agents;
mod channels;
mod checks;
pub(crate) mod object;
pub(crate) mod report;
mod rules;
pub(crate) mod snapshot;

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};
use vilicus_core::Timestamp;
use vilicus_store::Change;
use vilicus_store::inventory::Template;

use self::object::Object;
use self::report::{Line, Names, Report, differences, readable};
use self::snapshot::Snapshot;
use super::fault::Faults;
use super::model::{Declared, Model};
use super::{Configuration, Entry, Options, TABLES};
use crate::api::AppState;
use crate::api::template_body::new_template;
use crate::http::Problem;
use crate::templates::{self, Provisional};

/// What is asked for besides the configuration itself.
#[derive(Debug, Clone)]
pub(super) struct Wish<'a> {
    pub(super) options: &'a Options,
    /// Whether checks may name agents that nobody knows: they enrol by themselves.
    pub(super) assume_agents: bool,
    pub(super) now: Timestamp,
}

/// What has to be done, and how it is told.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    pub(super) report: Report,
}

/// Compares a configuration with what there is.
///
/// # Errors
/// Every mistake in it, or the system gives no randomness.
pub(super) fn plan(
    state: &AppState,
    configuration: &Configuration,
    old: Snapshot,
    wish: &Wish<'_>,
) -> Result<Plan, Refused> {
    let mut faults = Faults::default();
    let model = Model::read(configuration, &mut faults);
    let managers = configuration.parts.iter().map(|part| part.manager.to_string()).collect();
    let mut planner = Planner::new(state, wish, managers, faults);
    let made = planner.templates(&model.templates, &old);
    let mut agents = planner.agents(&model.agents, &old, &made);
    if wish.assume_agents {
        planner.assume(&model.checks, &mut agents);
    }
    let channels = planner.channels(&model.channels, &old);
    planner.routes(&model.routes, &old, &channels);
    planner.inhibitions(&model.inhibitions, &old);
    planner.downtimes(&model.downtimes, &old);
    planner.checks(&model.checks, &old, &agents, made)?;
    planner.finish()
}

/// Why there is no plan.
#[derive(Debug)]
pub(super) enum Refused {
    /// Something is wrong with the configuration.
    Faults(Faults),
    /// Something else is wrong.
    Problem(Problem),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// One object of the plan, as it was and as it shall be.
struct Step {
    resource: &'static str,
    name: String,
    /// Who managed it, and who does now.
    managers: (Option<String>, Option<String>),
    before: Option<Map<String, Value>>,
    after: Option<Map<String, Value>>,
    change: Option<Change>,
}

struct Planner<'a> {
    state: &'a AppState,
    wish: &'a Wish<'a>,
    /// What the objects of this configuration are marked with.
    managers: BTreeSet<String>,
    ids: Provisional,
    faults: Faults,
    names: Names,
    /// What is made and changed, in an order in which references lead back only.
    steps: Vec<Step>,
    /// Changes of objects of `steps` that refer forward.
    afterwards: Vec<Change>,
    /// What goes.
    removals: Vec<Step>,
    notes: Vec<String>,
}

impl<'a> Planner<'a> {
    fn new(state: &'a AppState, wish: &'a Wish<'a>, managers: BTreeSet<String>, faults: Faults) -> Self {
        Self {
            state,
            wish,
            managers,
            ids: Provisional::new(),
            faults,
            names: Names::default(),
            steps: Vec::new(),
            afterwards: Vec::new(),
            removals: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The object that a declaration makes: created, changed, or left as it is.
    fn settle<O: Object>(&mut self, entry: &Entry, name: &str, mut wanted: O, old: Option<&O>) -> O {
        wanted.manage(&entry.part.manager);
        self.step(name.to_owned(), &wanted, old);
        wanted
    }

    fn step<O: Object>(&mut self, name: String, wanted: &O, old: Option<&O>) {
        self.names.add(wanted, name.clone());
        let change = match old {
            None => Some(wanted.clone().creation()),
            Some(old) if old == wanted => None,
            Some(_) => Some(wanted.clone().update()),
        };
        self.steps.push(Step {
            resource: O::RESOURCE,
            name,
            managers: (old.and_then(manager_of), manager_of(wanted)),
            before: old.map(Object::written),
            after: Some(wanted.written()),
            change,
        });
    }

    /// What this configuration made before and no longer says. Without pruning nothing goes, and a note says what would.
    fn gone<'o, O: Object>(
        &mut self,
        old: &'o [Arc<O>],
        kept: &BTreeSet<u64>,
        name: impl Fn(&O) -> String,
    ) -> Vec<&'o O> {
        let ours = |object: &&Arc<O>| object.managed_by().is_some_and(|by| self.managers.contains(by));
        let left = old.iter().filter(ours).filter(|object| !kept.contains(&object.number()));
        let left: Vec<&O> = left.map(Arc::as_ref).collect();
        if !self.wish.options.prune {
            for object in left {
                let (resource, name) = (O::RESOURCE, name(object));
                self.notes
                    .push(format!("the {resource} '{name}' is no longer said and stays; prune removes it"));
            }
            return Vec::new();
        }
        for object in &left {
            self.remove(*object, name(object));
        }
        left
    }

    fn remove<O: Object>(&mut self, object: &O, name: String) {
        self.removals.push(Step {
            resource: O::RESOURCE,
            name,
            managers: (manager_of(object), None),
            before: Some(object.written()),
            after: None,
            change: Some(object.deletion()),
        });
    }

    /// The declarations whose key is new, each with its input; of two with the same key, the first.
    fn once<'d, T>(&mut self, declared: &'d [Declared<T>], what: &str) -> Vec<(&'d Entry, &'d T)> {
        let mut first: HashMap<&str, &Entry> = HashMap::new();
        let mut all = Vec::with_capacity(declared.len());
        for Declared { entry, input } in declared {
            match first.get(entry.name()).filter(|_| !entry.name().is_empty() && !entry.unnamed) {
                Some(first) => {
                    let detail = twice(what, entry.name(), first);
                    self.faults.value(entry, "/name", detail);
                }
                None => {
                    first.insert(entry.name(), entry);
                    all.extend(input.as_ref().map(|input| (entry, input)));
                }
            }
        }
        all
    }

    /// The templates as they will be, sorted by name.
    fn templates(
        &mut self,
        declared: &[Declared<crate::api::template_body::TemplateInput>],
        old: &Snapshot,
    ) -> Vec<Arc<Template>> {
        let (mut kept, mut after) = (BTreeSet::new(), Vec::new());
        for (entry, input) in self.once(declared, "template") {
            let found = old.templates.iter().find(|template| template.name == input.name);
            kept.extend(found.map(|template| template.number()));
            let base = match found {
                Some(found) => (**found).clone(),
                None => Template { id: self.ids.next(), ..new_template() },
            };
            match input.clone().into_template(self.state, base) {
                Ok(wanted) => {
                    let name = wanted.name.clone();
                    after.push(Arc::new(self.settle(entry, &name, wanted, found.map(Arc::as_ref))));
                }
                Err(problem) => self.faults.problem(entry, &problem),
            }
        }
        let gone: BTreeSet<u64> = self
            .gone(&old.templates, &kept, |template| template.name.clone())
            .into_iter()
            .map(Object::number)
            .collect();
        let others =
            old.templates.iter().filter(|old| !kept.contains(&old.number()) && !gone.contains(&old.number()));
        after.extend(others.cloned());
        after.sort_by(|one, other| one.name.cmp(&other.name));
        after
    }

    /// The plan, when nothing is wrong.
    fn finish(self) -> Result<Plan, Refused> {
        if !self.faults.is_empty() {
            return Err(Refused::Faults(self.faults.sorted()));
        }
        let mut plan = Plan::default();
        plan.report.notes = self.notes;
        for step in self.steps {
            plan.take(step, &self.names, self.state);
        }
        plan.changes.extend(self.afterwards);
        // Those that refer to others go first.
        let mut removals = self.removals;
        removals.sort_by_key(|step| Reverse(TABLES.iter().position(|table| *table == step.resource)));
        for step in removals {
            plan.take(step, &self.names, self.state);
        }
        Ok(plan)
    }
}

impl Plan {
    fn take(&mut self, step: Step, names: &Names, state: &AppState) {
        let line = step.line(names, state);
        let report = &mut self.report;
        match (&step.change, &step.before, &step.after) {
            (None, ..) => report.unchanged.push(line),
            (_, None, _) => report.create.push(line),
            (_, _, None) => report.delete.push(line),
            _ => report.update.push(line),
        }
        self.changes.extend(step.change);
    }
}

impl Step {
    fn line(&self, names: &Names, state: &AppState) -> Line {
        let (was, is) = &self.managers;
        let changes = match (&self.before, &self.after, &self.change) {
            (Some(before), Some(after), Some(_)) => {
                let shown =
                    |fields: &Map<String, Value>| readable(self.resource, fields.clone(), names, state);
                differences(before, after, (&shown(before), &shown(after)))
            }
            _ => Vec::new(),
        };
        Line {
            resource: self.resource,
            name: self.name.clone(),
            managed_by: is.clone(),
            adopted: self.before.is_some() && self.after.is_some() && was != is,
            changes,
        }
    }
}

fn manager_of<O: Object>(object: &O) -> Option<String> {
    object.managed_by().map(str::to_owned)
}

/// Says that an object stands elsewhere already.
fn twice(what: &str, name: &str, first: &Entry) -> String {
    format!("the {what} '{name}' stands at {} already; say it once", first.whereabouts())
}

/// The templates, with their checks read.
fn read_all(templates: Vec<Arc<Template>>) -> Vec<templates::Read> {
    templates.into_iter().map(templates::Read::new).collect()
}
