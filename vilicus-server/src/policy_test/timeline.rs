//! What happens when: the steps of a test as single moments, in order.

use vilicus_core::{CheckResult, Millis};

use super::format::{Action, Step, Test};

/// The most results of a test.
const MOST_RESULTS: usize = 200_000;
/// After the last thing that happens or is expected, a test goes on for so long: what is told then is not expected.
const AFTERMATH: Millis = Millis::from_minutes(1);

/// Something that happens at one moment.
#[derive(Debug, Clone)]
pub(super) struct Moment<'a> {
    pub(super) at: Millis,
    pub(super) check: &'a str,
    pub(super) happens: Happens<'a>,
}

/// What happens.
#[derive(Debug, Clone)]
pub(super) enum Happens<'a> {
    /// A result comes.
    Result(&'a CheckResult),
    /// Anything else.
    Action(&'a Action),
}

/// When a test is over.
pub(super) fn end(test: &Test) -> Millis {
    let steps = test.steps.iter().map(|step| match &step.action {
        Action::Results { every: Some(every), count: Some(count), .. } => {
            step.at.plus(every.times(u64::from(count.saturating_sub(1))))
        }
        _ => step.at,
    });
    let expected = test.expectations.iter().map(|expectation| expectation.to);
    let last = steps.chain(expected).max().unwrap_or(Millis::ZERO);
    test.lasts.unwrap_or_else(|| last.plus(AFTERMATH))
}

/// Everything that happens up to `end`, in order; `interval` is that of a check.
///
/// # Errors
/// There would be too many results.
pub(super) fn moments<'a>(
    test: &'a Test,
    end: Millis,
    interval: impl Fn(&str) -> Millis,
) -> Result<Vec<Moment<'a>>, String> {
    let mut moments = Vec::new();
    for step in &test.steps {
        let check = step.check.as_str();
        match &step.action {
            Action::Results { result, every, count } => {
                let every = every.unwrap_or_else(|| interval(check));
                for at in times(test, step, every, *count, end) {
                    moments.push(Moment { at, check, happens: Happens::Result(result) });
                    if moments.len() > MOST_RESULTS {
                        return Err(format!("holds more than {MOST_RESULTS} results; let it last shorter"));
                    }
                }
            }
            action => moments.push(Moment { at: step.at, check, happens: Happens::Action(action) }),
        }
    }
    // Stable: what is written first happens first.
    moments.sort_by_key(|moment| moment.at);
    Ok(moments)
}

/// When the results of a step come: so many, or before the next step of the check.
fn times(
    test: &Test,
    step: &Step,
    every: Millis,
    count: Option<u32>,
    end: Millis,
) -> impl Iterator<Item = Millis> {
    let before = if count.is_none() { next_of(test, step) } else { None };
    let most = count.map_or(usize::MAX, |count| count as usize);
    let times = std::iter::successors(Some(step.at), move |at| Some(at.plus(every)));
    times.take(most).take_while(move |at| *at <= end && before.is_none_or(|before| *at < before))
}

/// When the next step says something else of what the same check reports.
fn next_of(test: &Test, step: &Step) -> Option<Millis> {
    let reports = |other: &&Step| matches!(other.action, Action::Results { .. } | Action::Silence);
    let later = test.steps.iter().filter(|other| other.check == step.check && other.at > step.at);
    later.filter(reports).map(|other| other.at).min()
}
