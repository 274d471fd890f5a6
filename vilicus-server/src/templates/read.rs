//! The checks as they stand in a template: as anywhere, but without an agent.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};
use vilicus_core::params::escape_pointer;
use vilicus_core::route::{Labels, all_match};
use vilicus_store::Json;
use vilicus_store::inventory::{Agent, Template};

use crate::api::check_input::CheckInput;
use crate::api::names::Mistakes;
use crate::api::reference::Target;
use crate::http::Problem;
use crate::http::json::{fields_of, from_fields, known_fields};
use crate::self_check;

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
    pub(super) checks: Vec<CheckInput>,
}

impl Read {
    /// Reads the checks of a template; one that can't be read any longer is left out, and the log says so.
    pub(crate) fn new(template: Arc<Template>) -> Self {
        let read = |written: &Json| match read_check(written.0.clone()) {
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

    pub(super) fn applies_to(&self, agent: &Agent) -> bool {
        // No program reports for the server's own agent, whatever its labels are.
        if agent.guid.as_deref() == Some(self_check::GUID) {
            return false;
        }
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
