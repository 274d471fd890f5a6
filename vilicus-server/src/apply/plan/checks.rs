//! Checks: known by their agents and names; those that are declared, and those that templates make.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;
use vilicus_core::params::{escape_pointer, nearest};
use vilicus_core::{AgentId, CheckId};
use vilicus_store::inventory::{AGENT_KIND, Check, Origin, Template};

use super::agents::Agents;
use super::object::Object as _;
use super::snapshot::Snapshot;
use super::{Declared, Planner, read_all};
use crate::api::AppState;
use crate::api::channel_body::{hidden_in, put_back};
use crate::api::check_input::{CheckInput, Dependencies, new_check};
use crate::api::reference::{Reference, Target};
use crate::api::{kinds, ping};
use crate::apply::Entry;
use crate::http::Problem;
use crate::templates::{self, Outcome};

/// A check that is declared, and the one that it was.
struct Wanted<'d> {
    entry: &'d Entry,
    input: Option<&'d CheckInput>,
    check: Check,
    old: Option<Arc<Check>>,
}

/// The checks that there will be.
#[derive(Default)]
struct Picture {
    ids: HashMap<(AgentId, String), CheckId>,
    /// What each depends on.
    edges: HashMap<CheckId, Vec<CheckId>>,
}

impl Planner<'_> {
    /// # Errors
    /// The system gives no randomness for the address of a heartbeat.
    pub(super) fn checks(
        &mut self,
        declared: &[Declared<CheckInput>],
        old: &Snapshot,
        agents: &Agents,
        templates: Vec<Arc<Template>>,
    ) -> Result<(), Problem> {
        let mut by_agent = old.checks_by_agent();
        by_agent.retain(|agent, _| agents.all.contains_key(agent));
        for (agent, checks) in &by_agent {
            let agent = &agents.all[agent].name;
            checks.iter().for_each(|check| self.names.add(&**check, format!("{agent}/{}", check.name)));
        }
        let wanted = self.wanted(declared, &by_agent, agents);
        let kept: BTreeSet<u64> = wanted.iter().map(|wanted| wanted.check.number()).collect();
        let named = |check: &Check| format!("{}/{}", agents.all[&check.agent].name, check.name);
        let mut present: Vec<Arc<Check>> = by_agent.values().flatten().cloned().collect();
        present.sort_by_key(|check| check.id);
        let gone = self.gone(&present, &kept, named);
        let gone: BTreeSet<CheckId> = gone.into_iter().map(|check| check.id).collect();
        for wanted in &wanted {
            let checks = by_agent.entry(wanted.check.agent).or_default();
            checks.retain(|check| check.id != wanted.check.id);
            checks.push(Arc::new(wanted.check.clone()));
        }
        by_agent.values_mut().for_each(|checks| checks.retain(|check| !gone.contains(&check.id)));
        let outcomes = self.template_checks(agents, &by_agent, templates)?;
        let picture = Picture::of(&by_agent, &outcomes);
        let wanted = self.resolved(wanted, picture, agents);
        self.settle_checks(wanted, outcomes, agents);
        Ok(())
    }

    /// The declared checks with their ids, their dependencies still open.
    fn wanted<'d>(
        &mut self,
        declared: &'d [Declared<CheckInput>],
        by_agent: &HashMap<AgentId, Vec<Arc<Check>>>,
        agents: &Agents,
    ) -> Vec<Wanted<'d>> {
        let mut first: HashMap<(AgentId, &str), &Entry> = HashMap::new();
        let mut all = Vec::with_capacity(declared.len());
        for Declared { entry, input } in declared {
            let Some(agent) = self.agent_of(entry, input.as_ref(), agents) else {
                // Its other mistakes are worth knowing all the same.
                if let Some(input) = input {
                    self.judge(entry, input, true);
                }
                continue;
            };
            if let Some(first) = first.insert((agent, entry.name()), entry) {
                let detail = super::twice("check", entry.name(), first);
                self.faults.value(entry, "/name", detail);
                continue;
            }
            let has = by_agent.get(&agent).map_or(&[][..], Vec::as_slice);
            let old = has.iter().find(|check| check.name == entry.name()).cloned();
            let mut check = match &old {
                Some(old) => (**old).clone(),
                None => {
                    let name = entry.name().to_owned();
                    Check { id: self.ids.next(), name, ..new_check(agent, Origin::Server) }
                }
            };
            check.manage(&entry.part.manager);
            all.push(Wanted { entry, input: input.as_ref(), check, old });
        }
        all
    }

    fn agent_of(&mut self, entry: &Entry, input: Option<&CheckInput>, agents: &Agents) -> Option<AgentId> {
        let reference = &input?.agent;
        let found = match reference.among("agent") {
            Some(Target::Name(name)) => agents.ids.get(name).copied(),
            Some(Target::Id(id)) => agents.all.keys().copied().find(|agent| agent.get() == *id),
            None => None,
        };
        if found.is_none() {
            let text = reference.to_string();
            let known = agents.ids.keys().map(String::as_str);
            let mend = match nearest(text.trim_matches('"'), known) {
                Some(near) => format!("did you mean '{near}'?"),
                None => "declare it in [[agent]], or enrol it first".to_owned(),
            };
            self.faults.value(entry, "/agent", format!("there is no agent {text}; {mend}"));
        }
        found
    }

    /// What templates make for every agent.
    fn template_checks(
        &mut self,
        agents: &Agents,
        by_agent: &HashMap<AgentId, Vec<Arc<Check>>>,
        templates: Vec<Arc<Template>>,
    ) -> Result<BTreeMap<AgentId, Outcome>, Problem> {
        let templates = read_all(templates);
        let mut outcomes = BTreeMap::new();
        for (id, agent) in &agents.all {
            let has = by_agent.get(id).map_or(&[][..], Vec::as_slice);
            let outcome = templates::for_agent(agent, has, &templates, &mut self.ids, self.state.random())?;
            for kept in &outcome.kept {
                let by = kept
                    .managed_by
                    .as_ref()
                    .map_or("made by hand".to_owned(), |by| format!("managed by {by}"));
                self.notes.push(format!(
                    "the check '{}/{}' of the template '{}' is not made: one of its name is there, {by}",
                    agent.name, kept.check, kept.template
                ));
            }
            outcomes.insert(*id, outcome);
        }
        Ok(outcomes)
    }

    /// The declared checks, complete.
    fn resolved<'d>(
        &mut self,
        wanted: Vec<Wanted<'d>>,
        mut picture: Picture,
        agents: &Agents,
    ) -> Vec<Wanted<'d>> {
        let mut all = Vec::with_capacity(wanted.len());
        for mut wanted in wanted {
            let Some(input) = wanted.input else { continue };
            let depends = self.depends(&wanted, input, &picture, agents);
            let edges = depends.all.iter().chain(depends.any.iter().flatten()).copied().collect();
            picture.edges.insert(wanted.check.id, edges);
            match self.complete(&wanted, input, depends) {
                Ok(check) => {
                    wanted.check = check;
                    all.push(wanted);
                }
                Err(problem) => self.faults.problem(wanted.entry, &problem),
            }
        }
        for Wanted { entry, check, .. } in &all {
            let parents = picture.edges.get(&check.id).into_iter().flatten();
            if parents.copied().any(|parent| templates::leads_to(&picture.edges, parent, check.id)) {
                let place = if entry.says("depends_on") { "/depends_on" } else { "/depends_on_any" };
                self.faults.value(entry, place, "leads back to this check: a circle");
            }
        }
        all
    }

    fn depends(
        &mut self,
        wanted: &Wanted<'_>,
        input: &CheckInput,
        picture: &Picture,
        agents: &Agents,
    ) -> Dependencies {
        let own = wanted.check.agent;
        let mut find = |(pointer, reference): (String, &Reference)| {
            let found = picture.find(reference, own, agents);
            if found.is_none() {
                let detail = format!("there is no check {reference}; name it as agent/check");
                self.faults.value(wanted.entry, &pointer, detail);
            }
            found
        };
        let mut found = input.references().map(&mut find);
        let all = found.by_ref().take(input.depends_on.len()).flatten().collect();
        let groups = input.depends_on_any.iter();
        let any = groups.map(|group| found.by_ref().take(group.len()).flatten().collect()).collect();
        Dependencies { all, any }
    }

    /// Names what no check can be.
    fn judge(&mut self, entry: &Entry, input: &CheckInput, is_new_kind: bool) {
        if let Err(problem) = input.validate() {
            self.faults.problem(entry, &problem);
        }
        if is_new_kind
            && let Err(problem) =
                kinds::validate(self.state, &input.kind, &Value::Object(input.params.clone()))
        {
            self.faults.problem(entry, &problem);
        }
    }

    /// The check that was declared, on top of the one that it was.
    fn complete(
        &mut self,
        wanted: &Wanted<'_>,
        input: &CheckInput,
        depends: Dependencies,
    ) -> Result<Check, Problem> {
        let mut input = input.clone();
        let old = wanted.old.as_deref();
        keep_secrets(self.state, &mut input, old)?;
        let own = |old: &&Check| old.origin == Origin::Agent || old.kind == AGENT_KIND;
        let is_own = old.is_some_and(|old| own(&old));
        if let Some(old) = old.filter(own) {
            keep_own(&mut input, old)?;
        }
        let params = Value::Object(input.params.clone());
        let is_new_kind = old.is_none_or(|old| old.kind != input.kind || old.params.0 != params);
        self.judge(wanted.entry, &input, is_new_kind && !is_own);
        let key = old.and_then(|old| old.ping_key.clone());
        let mut check = input.into_check(wanted.check.clone(), None, depends);
        check.ping_key = ping::key_for(&check.kind, key, self.state.random())?;
        Ok(check)
    }

    fn settle_checks(
        &mut self,
        wanted: Vec<Wanted<'_>>,
        outcomes: BTreeMap<AgentId, Outcome>,
        agents: &Agents,
    ) {
        let name = |check: &Check| {
            format!("{}/{}", agents.all.get(&check.agent).map_or("", |agent| &agent.name), check.name)
        };
        let (mut new, mut old) = (Vec::new(), Vec::new());
        for wanted in wanted {
            match wanted.old {
                None => new.push(wanted.check),
                Some(before) => old.push((before, wanted.check)),
            }
        }
        for outcome in outcomes.into_values() {
            new.extend(outcome.made);
            old.extend(outcome.wanted);
            for check in outcome.gone {
                self.remove(&*check, name(&check));
            }
        }
        for check in templates::in_order(new) {
            self.step(name(&check), &check, None);
        }
        for (before, check) in old {
            self.step(name(&check), &check, Some(&*before));
        }
    }
}

impl Picture {
    fn of(by_agent: &HashMap<AgentId, Vec<Arc<Check>>>, outcomes: &BTreeMap<AgentId, Outcome>) -> Self {
        let mut picture = Self::default();
        by_agent.values().flatten().for_each(|check| picture.put(check));
        for outcome in outcomes.values() {
            for check in &outcome.gone {
                picture.ids.remove(&(check.agent, check.name.clone()));
                picture.edges.remove(&check.id);
            }
            let checks = outcome.made.iter().chain(outcome.wanted.iter().map(|(_, check)| check));
            checks.for_each(|check| picture.put(check));
        }
        picture
    }

    fn put(&mut self, check: &Check) {
        let parents = check.depends_on.iter().chain(check.depends_on_any.iter().flatten());
        self.ids.insert((check.agent, check.name.clone()), check.id);
        self.edges.insert(check.id, parents.copied().collect());
    }

    /// A check by its name (`agent/check`, or the name alone on the same agent) or its id.
    fn find(&self, reference: &Reference, own: AgentId, agents: &Agents) -> Option<CheckId> {
        match reference.among("check")? {
            Target::Id(id) => self.edges.keys().copied().find(|check| check.get() == *id),
            Target::Name(name) => {
                let (agent, name) = match name.split_once('/') {
                    Some((agent, name)) => (*agents.ids.get(agent)?, name),
                    None => (own, name.as_str()),
                };
                self.ids.get(&(agent, name.to_owned())).copied()
            }
        }
    }
}

/// What an agent says of a check of its own stays as it says.
fn keep_own(input: &mut CheckInput, old: &Check) -> Result<(), Problem> {
    if input.kind != old.kind {
        return Err(Problem::invalid("/kind", "the agent brings this check itself, as another kind"));
    }
    if !input.params.is_empty() && Value::Object(input.params.clone()) != old.params.0 {
        let detail = "the agent brings this check itself, and says them; leave them out";
        return Err(Problem::invalid("/params", detail));
    }
    input.params = old.params.0.as_object().cloned().unwrap_or_default();
    Ok(())
}

/// Puts back the secrets that are said to be kept.
fn keep_secrets(state: &AppState, input: &mut CheckInput, old: Option<&Check>) -> Result<(), Problem> {
    let old = old.filter(|old| old.kind == input.kind);
    for name in state.kinds().secret_params(&input.kind) {
        let Some(value) = input.params.get_mut(&name) else { continue };
        put_back(value, old.and_then(|old| old.params.0.get(&name)));
        if let Some(place) = hidden_in(value) {
            let place = format!("/params/{}{place}", escape_pointer(&name));
            return Err(Problem::invalid(place, "nothing is stored that *** could keep; say it"));
        }
    }
    Ok(())
}
