//! The path of results: read item by item, checked, handed to the store in one commit, and answered one by one.
//!
//! A body that is in order throughout is packed by `quick` and goes to the store as one input. Every other is read as
//! `item::Sent` and goes there item by item, with `submit`. One bad item never costs a good one; what the store
//! cannot write is refused whole (503), so that the agent keeps it. Deliberately absent: a queue of our own. The store
//! gathers what waits into one durable step, and says when it has more than it may hold.

pub(crate) mod item;
mod quick;
mod validate;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use http::StatusCode;
use vilicus_core::{AgentId, CheckId, CheckResult, Status, Timestamp};
use vilicus_store::store::{AgentNews, ReportsDone};
use vilicus_store::{Input, Outcome};

use self::item::Item;
use self::quick::Named;
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

/// What became of a body that went the short way.
#[derive(Debug)]
pub(crate) struct Answered {
    done: ReportsDone,
    /// Whether it held a batch, of whatever size, or one result by itself.
    pub(crate) is_batch: bool,
}

impl Answered {
    /// What became of each result, in their order.
    pub(crate) fn done(&self) -> impl Iterator<Item = Judged<Done>> {
        let outcomes = self.done.reports.iter().zip(&self.done.outcomes);
        outcomes.map(|(report, outcome)| done(report.head.check, Some(outcome)))
    }

    /// The first result.
    pub(crate) fn first(&self) -> Option<CheckResult> {
        self.done.reports.iter().next().map(|report| report.result())
    }

    /// The agent that sent it, if one did.
    pub(crate) fn agent(&self) -> Option<AgentId> {
        self.done.reports.by
    }

    /// What the agent has to know that sent it.
    pub(crate) fn news(&self) -> Option<&AgentNews> {
        self.done.agent.as_ref()
    }
}

/// Submits a body for this caller the short way, when it is in order throughout; `None` when it is not.
///
/// # Errors
/// The store can't take any of it now; nothing was kept.
pub(crate) async fn submit_quickly(
    state: &AppState,
    caller: &Caller,
    body: &[u8],
) -> Result<Option<Answered>, Problem> {
    let limits = state.limits();
    let Some(read) = quick::read(body, limits.batch_results) else { return Ok(None) };
    let Some(checks) = find_all(state, caller, &read).await? else { return Ok(None) };
    let (now, is_batch) = (state.clock().now(), read.is_batch);
    let Some(reports) = read.pack(caller.agent(), checks.into_iter(), limits, now) else { return Ok(None) };
    drop(read);
    let done = match state.store().commit(now, vec![Input::Reports(Box::new(reports))]).await?.pop() {
        Some(Outcome::Reports(done)) => *done,
        _ => return Err(Problem::internal()),
    };
    note_accepted(state, &done.outcomes);
    Ok(Some(Answered { done, is_batch }))
}

/// The checks that a body names, in its order; `None` when one takes the long way.
async fn find_all(
    state: &AppState,
    caller: &Caller,
    read: &quick::Read<'_>,
) -> Result<Option<Vec<Option<CheckId>>>, Problem> {
    let Some(named) = read.named() else { return Ok(None) };
    let mut checks: Vec<Option<CheckId>> =
        named.iter().map(|named| if let Named::Id(id) = named { Some(*id) } else { None }).collect();
    if checks.iter().all(Option::is_some) {
        return Ok(Some(checks));
    }
    // Whoever is no agent may name those of any.
    let Some(agent) = caller.agent() else { return Ok(None) };
    let Some(view) = state.store().agent(agent).await? else { return Ok(None) };
    let names: Vec<&str> =
        named.iter().map(|named| named.own(&view.agent.name).unwrap_or_default()).collect();
    let found = state.store().check_ids(agent, &names).await?;
    for (check, found) in checks.iter_mut().zip(found) {
        *check = check.or(found);
    }
    Ok(Some(checks))
}

fn note_accepted(state: &AppState, outcomes: &[Outcome]) {
    let accepted = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Accepted { .. })).count();
    state.counters().accepted(accepted as u64);
}

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
    note_accepted(state, &outcomes);
    let mut outcomes = outcomes.into_iter().skip(contacts);
    Ok(places.into_iter().map(|place| done(place?, outcomes.next().as_ref())).collect())
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

fn done(check: CheckId, outcome: Option<&Outcome>) -> Judged<Done> {
    match outcome.cloned() {
        Some(Outcome::Accepted { timestamp, status, .. }) => Ok(Done::Accepted { check, timestamp, status }),
        Some(Outcome::Duplicate { timestamp, identical }) => {
            Ok(Done::Duplicate { check, timestamp, identical })
        }
        Some(Outcome::TooOld) => Err(Problem::invalid("/timestamp", "is older than results are kept")),
        Some(Outcome::TakesNoResults) => Err(takes_no_results()),
        Some(Outcome::UnknownCheck) => Err(unknown(&Reference::id(check.get()))),
        _ => Err(Problem::internal()),
    }
}

fn takes_no_results() -> Problem {
    Problem::invalid("/check", "the server judges this check by itself and takes no results")
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
                    Some(view) if !view.check.runs_on_agent() => Err(takes_no_results()),
                    Some(view) => Ok(view.check.id),
                };
                Ok(entry.insert(judged).clone())
            }
        }
    }
}
