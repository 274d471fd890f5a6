//! The results of one check, looked back at: from memory and from disk, one by one or as points.

use std::collections::BTreeMap;

use vilicus_core::{Millis, Timestamp};

use crate::embedded::chunk::{BadChunk, FromSample};
use crate::embedded::history::{self, Span};
use crate::embedded::rollup::{Measured, Points};
use crate::embedded::samples::Samples;
use crate::embedded::shared::Shared;
use crate::engine::{Engine, EngineError};
use crate::query::{HistoryQuery, HistoryRow, Order, Rollup, RollupQuery};

/// Spans up to this length are put together from the results themselves; longer ones from the rollups of chunks.
const EXACT_SPAN: Millis = Millis::from_hours(8 * 24);
/// Points shorter than this are always put together from the results themselves: a chunk may be as long.
const EXACT_STEP: Millis = Millis::from_hours(1);

/// Results of one check.
pub(crate) fn history(
    shared: &Shared,
    engine: &dyn Engine,
    query: &HistoryQuery,
) -> Result<Vec<HistoryRow>, EngineError> {
    let mut rows = gather(shared, engine, query)?;
    let newest_first = query.order == Order::NewestFirst;
    let next = std::iter::from_fn(|| if newest_first { rows.pop_last() } else { rows.pop_first() });
    Ok(next.map(|(_, row)| row).take(query.limit).collect())
}

/// Samples of one check by time: those that are asked for, and perhaps some that lie beyond the limit.
fn gather<R: FromSample>(
    shared: &Shared,
    engine: &dyn Engine,
    query: &HistoryQuery,
) -> Result<BTreeMap<Timestamp, R>, EngineError> {
    let span = Span {
        check: query.check,
        since: query.since.unwrap_or(Timestamp::from_millis(i64::MIN)),
        until: query.until.unwrap_or(Timestamp::MAX),
    };
    // Memory first: what is written down in between is then found twice, and not missed.
    let (in_memory, enough_since) = {
        let truth = shared.read();
        let rows = truth.checks.get(&query.check).map(|entry| newest(&entry.samples, span, query));
        rows.transpose().map_err(damaged)?.unwrap_or_default()
    };
    // What is written down came first, so that it stands where both have a moment.
    let mut rows = match enough_since {
        Some(since) => history::load_belated(shared.disk(engine), Span { since, ..span })?,
        None => history::load(shared.disk(engine), span, query.order, query.limit)?,
    };
    for (timestamp, row) in in_memory {
        rows.entry(timestamp).or_insert(row);
    }
    Ok(rows)
}

/// The samples in memory. When the newest are asked for and the open chunk has enough, only so many; then also the moment
/// of the first: from there on nothing is written down but what came late.
fn newest<R: FromSample>(
    samples: &Samples,
    span: Span,
    query: &HistoryQuery,
) -> Result<(BTreeMap<Timestamp, R>, Option<Timestamp>), BadChunk> {
    let enough_since = match query.order {
        Order::NewestFirst => samples.nth_newest(query.limit, span.until)?,
        Order::OldestFirst => None,
    };
    let enough_since = enough_since.filter(|since| *since >= span.since);
    Ok((samples.rows(enough_since.unwrap_or(span.since), span.until)?, enough_since))
}

fn damaged(error: BadChunk) -> EngineError {
    EngineError::new(crate::EngineErrorKind::Corrupt, "results in memory cannot be read").source(error)
}

/// Rolled-up results of one check.
pub(crate) fn rollups(
    shared: &Shared,
    engine: &dyn Engine,
    query: &RollupQuery,
) -> Result<Vec<Rollup>, EngineError> {
    let is_short = query.until.since(query.since) <= EXACT_SPAN || query.step < EXACT_STEP;
    let first_result = history::oldest(engine)?;
    let exact_from = match first_result {
        // Older results are gone; their rollups are not.
        Some(first) if is_short => query.since.max(first),
        _ if is_short => query.since,
        _ => query.until,
    };
    let mut points = Points::new(query.step);
    if query.since < exact_from {
        let span = Span { check: query.check, since: query.since, until: exact_from };
        history::load_rollups(shared.disk(engine), span)?.into_iter().for_each(|rollup| points.add(rollup));
    }
    let samples: BTreeMap<Timestamp, Measured> = if is_short {
        let query = HistoryQuery {
            check: query.check,
            since: Some(exact_from),
            until: Some(query.until),
            order: Order::OldestFirst,
            limit: usize::MAX,
        };
        gather(shared, engine, &query)?
    } else {
        let truth = shared.read();
        let rows = truth.checks.get(&query.check).map(|entry| entry.samples.rows(query.since, query.until));
        rows.transpose().map_err(damaged)?.unwrap_or_default()
    };
    for (at, sample) in &samples {
        points.add_sample(*at, sample).map_err(damaged)?;
    }
    Ok(points.into_rollups())
}
