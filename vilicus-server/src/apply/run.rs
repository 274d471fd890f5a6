//! Carries a configuration out: whole, in one step of the store, or not at all.

use vilicus_store::{Input, StoreError};

use super::fault::Faults;
use super::plan::report::Report;
use super::plan::snapshot::Snapshot;
use super::plan::{Plan, Refused, Wish, plan};
use super::{Configuration, Options};
use crate::api::AppState;
use crate::http::Problem;

/// A configuration was not carried out, and nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It can't work; every mistake is named.
    #[error("{0}")]
    Wrong(Faults),
    /// The store can't read or write.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// Something else is in the way.
    #[error("{}", .0.detail())]
    Refused(Problem),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Faults(faults) => Self::Wrong(faults),
            Refused::Problem(problem) => Self::Refused(problem),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Wrong(faults) => faults.into(),
            Failure::Store(error) => error.into(),
            Failure::Refused(problem) => problem,
        }
    }
}

/// Makes everything as the configuration says, and reports what that took. Applied again, it changes nothing.
///
/// # Errors
/// Every mistake in the configuration, or the store failed. Nothing was changed then.
pub async fn apply(
    state: &AppState,
    configuration: &Configuration,
    options: &Options,
) -> Result<Report, Failure> {
    let _edit = state.edit().await;
    let mut plan = planned(state, configuration, options, false).await?;
    plan.report.dry_run = options.dry_run;
    if options.dry_run || plan.changes.is_empty() {
        return Ok(plan.report);
    }
    let by = &options.by;
    let inputs = plan.changes.into_iter().map(|change| Input::Change { change, by: by.clone() });
    state.store().commit(state.clock().now(), inputs.collect()).await?;
    Ok(plan.report)
}

/// Judges a configuration and carries nothing out. Agents that it names and does not declare are taken to be there.
///
/// # Errors
/// As [`apply`].
pub async fn judge(state: &AppState, configuration: &Configuration) -> Result<Report, Failure> {
    let options = Options { dry_run: true, ..Options::default() };
    Ok(planned(state, configuration, &options, true).await?.report)
}

async fn planned(
    state: &AppState,
    configuration: &Configuration,
    options: &Options,
    assume_agents: bool,
) -> Result<Plan, Failure> {
    let old = Snapshot::read(state.store().as_ref()).await?;
    let wish = Wish { options, assume_agents, now: state.clock().now() };
    Ok(plan(state, configuration, old, &wish)?)
}
