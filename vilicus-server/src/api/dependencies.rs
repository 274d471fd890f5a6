//! What a check depends on: found by name, and never in a circle.

use std::collections::HashSet;

use vilicus_core::CheckId;

use super::AppState;
use super::check_input::{CheckInput, Dependencies};
use super::reference::{Reference, find_check};
use crate::http::Problem;
use crate::http::auth::Caller;

/// The most references of one check.
const MAX_REFERENCES: usize = 256;

/// Finds what `input` depends on; `own` is the check itself when it exists already.
pub(super) async fn find(
    state: &AppState,
    caller: &Caller,
    input: &CheckInput,
    own: Option<CheckId>,
) -> Result<Dependencies, Problem> {
    let count =
        input.depends_on.len() + input.depends_on_any.iter().map(|group| group.len().max(1)).sum::<usize>();
    if count > MAX_REFERENCES {
        return Err(Problem::invalid("/depends_on", format!("names more than {MAX_REFERENCES} checks")));
    }
    let mut depends = Dependencies::default();
    for (index, reference) in input.depends_on.iter().enumerate() {
        depends.all.push(resolve(state, caller, reference, own, &format!("/depends_on/{index}")).await?);
    }
    for (group, references) in input.depends_on_any.iter().enumerate() {
        let mut ids = Vec::with_capacity(references.len());
        for (index, reference) in references.iter().enumerate() {
            ids.push(
                resolve(state, caller, reference, own, &format!("/depends_on_any/{group}/{index}")).await?,
            );
        }
        depends.any.push(ids);
    }
    Ok(depends)
}

async fn resolve(
    state: &AppState,
    caller: &Caller,
    reference: &Reference,
    own: Option<CheckId>,
    pointer: &str,
) -> Result<CheckId, Problem> {
    let found = find_check(state, caller, reference).await?;
    let found = found.ok_or_else(|| Problem::invalid(pointer, format!("there is no check {reference}")))?;
    match own {
        Some(own) if leads_to(state, found.check.id, own).await? => {
            Err(Problem::invalid(pointer, format!("the check {reference} depends on this one: a circle")))
        }
        _ => Ok(found.check.id),
    }
}

/// Whether `from` is `to`, or depends on it over others.
async fn leads_to(state: &AppState, from: CheckId, to: CheckId) -> Result<bool, Problem> {
    let (mut seen, mut open) = (HashSet::from([from]), vec![from]);
    while let Some(id) = open.pop() {
        if id == to {
            return Ok(true);
        }
        let Some(view) = state.store().check(id).await? else { continue };
        let parents = view.check.depends_on.iter().chain(view.check.depends_on_any.iter().flatten());
        open.extend(parents.filter(|parent| seen.insert(**parent)));
    }
    Ok(false)
}
