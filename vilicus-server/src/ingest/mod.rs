//! The path of results: read item by item, checked, handed to the store in one commit, and answered one by one.
//!
//! The API reads a body as `item::Sent` and calls `submit`. One bad item never costs a good one; what the store
//! cannot write is refused whole (503), so that the agent keeps it. Deliberately absent: a queue of our own. The store
//! gathers what waits into one durable step, and says when it has more than it may hold.

pub(crate) mod item;
mod validate;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use http::StatusCode;
use vilicus_core::{CheckId, CheckResult, Status, Timestamp};
use vilicus_store::{Input, Outcome};

use self::item::Item;
use crate::api::AppState;
use crate::api::reference::{Reference, find_check};
use crate::http::Problem;
use crate::http::auth::Caller;

/// What became of one item.
#[derive(Debug)]
pub(crate) enum Done {
    /// It was judged, or kept as history because it came late.
    Accepted { check: CheckId, timestamp: Timestamp, status: Status },
    /// A result of that moment was there already, and stands.
    Duplicate { check: CheckId, timestamp: Timestamp, identical: bool },
}

/// One item, or why it cannot be taken.
pub(crate) type Judged<T> = Result<T, Problem>;

/// Submits items for this caller: in order, one answer an item.
///
/// # Errors
/// The store can't take any of them now; nothing was kept.
pub(crate) async fn submit(
    state: &AppState,
    caller: &Caller,
    items: Vec<Judged<Item>>,
) -> Result<Vec<Judged<Done>>, Problem> {
    let now = state.clock().now();
    let mut known = Known::default();
    let mut inputs: Vec<Input> = caller.agent().map(|agent| Input::Contact { agent }).into_iter().collect();
    let contacts = inputs.len();
    let mut places = Vec::with_capacity(items.len());
    for item in items {
        let ready = match item {
            Ok(item) => prepare(state, caller, &mut known, item, now).await?,
            Err(problem) => Err(problem),
        };
        places.push(ready.map(|(check, result)| {
            inputs.push(Input::Result { check, result });
            check
        }));
    }
    let outcomes = if inputs.is_empty() { Vec::new() } else { state.store().commit(now, inputs).await? };
    let accepted = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Accepted { .. })).count();
    state.counters().accepted(accepted as u64);
    let mut outcomes = outcomes.into_iter().skip(contacts);
    Ok(places.into_iter().map(|place| done(place?, outcomes.next())).collect())
}

/// Finds the item's check and judges its content. The outer error is the store's, the inner one the item's.
async fn prepare(
    state: &AppState,
    caller: &Caller,
    known: &mut Known,
    item: Item,
    now: Timestamp,
) -> Result<Judged<(CheckId, CheckResult)>, Problem> {
    let found = known.check(state, caller, &item.check).await?;
    Ok(found.and_then(|check| Ok((check, validate::validate(item.result, state.limits(), now)?))))
}

fn done(check: CheckId, outcome: Option<Outcome>) -> Judged<Done> {
    match outcome {
        Some(Outcome::Accepted { timestamp, status, .. }) => Ok(Done::Accepted { check, timestamp, status }),
        Some(Outcome::Duplicate { timestamp, identical }) => {
            Ok(Done::Duplicate { check, timestamp, identical })
        }
        Some(Outcome::TooOld) => Err(Problem::invalid("/timestamp", "is older than results are kept")),
        Some(Outcome::UnknownCheck) => Err(unknown(&Reference::id(check.get()))),
        _ => Err(Problem::internal()),
    }
}

fn unknown(reference: &Reference) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is no check {reference}, or the token may not know of it"),
    )
}

/// The checks of one batch, each looked up once.
#[derive(Debug, Default)]
struct Known(HashMap<Reference, Judged<CheckId>>);

impl Known {
    async fn check(
        &mut self,
        state: &AppState,
        caller: &Caller,
        reference: &Reference,
    ) -> Result<Judged<CheckId>, Problem> {
        match self.0.entry(reference.clone()) {
            Entry::Occupied(entry) => Ok(entry.get().clone()),
            Entry::Vacant(entry) => {
                let judged = match find_check(state, caller, reference).await? {
                    None => Err(unknown(reference)),
                    Some(view) if !view.check.runs_on_agent() => Err(Problem::invalid(
                        "/check",
                        "the server judges this check by itself and takes no results",
                    )),
                    Some(view) => Ok(view.check.id),
                };
                Ok(entry.insert(judged).clone())
            }
        }
    }
}
