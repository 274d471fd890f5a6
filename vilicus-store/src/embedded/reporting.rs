//! The results of a request, on the short way: what leaves a check as it was is judged, packed and written in one go.
//!
//! Whatever is news, late or out of the ordinary takes the long way through `judging.rs`, with the same outcome.

use vilicus_core::judge::{self, Input, telling};
use vilicus_core::{AgentId, CheckResult, StateType, Timestamp};

use crate::embedded::effect::{self, Outline};
use crate::embedded::truth::{CheckEntry, Last};
use crate::embedded::unit::Unit;
use crate::report::{Report, Reports};
use crate::store::{AgentNews, Outcome, ReportsDone};

impl Unit<'_> {
    /// Keeps the results of one request in their order, and judges those that are news.
    pub(crate) fn reports(&mut self, reports: Reports) -> ReportsDone {
        if let Some(agent) = reports.by {
            self.contact(agent);
        }
        let outcomes: Vec<Outcome> = reports.iter().map(|report| self.report(reports.by, &report)).collect();
        let kept = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Accepted { .. }));
        let agent = reports.by.and_then(|agent| self.news_for(agent, kept));
        ReportsDone { reports, outcomes, agent }
    }

    /// Notes that results of an agent are written down, if they are, and says what it has to know.
    fn news_for(&mut self, id: AgentId, kept: bool) -> Option<AgentNews> {
        let now = self.now;
        let agent = self.truth.agents.get_mut(&id)?;
        if kept {
            agent.note_contact(now);
        }
        Some(AgentNews { config_version: agent.config_version, runs: self.truth.runs(id, now) })
    }

    fn report(&mut self, by: Option<AgentId>, report: &Report<'_>) -> Outcome {
        let check = report.head.check;
        match self.truth.checks.get(&check).map(|entry| entry.hot) {
            Some(hot) if by.is_none_or(|by| hot.agent == by) => {
                if !hot.on_agent {
                    return Outcome::TakesNoResults;
                }
                if by.is_none() {
                    self.heard_of(hot.agent);
                }
                self.routine_report(report).unwrap_or_else(|| self.result(check, report.result()))
            }
            _ => Outcome::UnknownCheck,
        }
    }

    /// Takes a result that leaves its check as it was; `None` when this one does not.
    fn routine_report(&mut self, report: &Report<'_>) -> Option<Outcome> {
        let (check, now) = (report.head.check, self.now);
        let timestamp = report.head.timestamp.unwrap_or(now);
        if timestamp < self.oldest || self.truth.may_be_taken_back() {
            return None;
        }
        let entry = self.truth.checks.get_mut(&check)?;
        let routine = routine(entry, report, timestamp, now)?;
        let (payload, status) = (&mut *self.payload, routine.status);
        let delay = now.as_millis().saturating_sub(timestamp.as_millis());
        let write = |bytes: &[u8]| effect::write_sample(payload, check, delay, bytes);
        let sealed = entry.samples.push_on(timestamp, status, report, write);
        entry.follow(&routine.result, status, timestamp, now);
        entry.last = Last::Newest;
        let wanted = entry.run_now.is_some();
        entry.note_run(timestamp);
        let retries = entry.state.state_type == StateType::Soft;
        let retry_in = retries.then_some(entry.policy.retry_interval);
        let watched = entry.queued.is_some();
        self.truth.unsaved.extend(sealed);
        if !watched {
            self.truth.arm_check(check);
        }
        if wanted {
            self.truth.index_run(check);
        }
        Some(Outcome::Accepted { timestamp, status, retry_in })
    }
}

/// What is known of a result that leaves its check as it was.
struct Routine {
    status: vilicus_core::Status,
    /// What the thresholds look at.
    result: CheckResult,
}

/// Judges a result that may leave its check as it was; `None` when this one does not.
fn routine(entry: &CheckEntry, report: &Report<'_>, timestamp: Timestamp, now: Timestamp) -> Option<Routine> {
    if !entry.hot.enabled || !entry.samples.goes_on(timestamp) {
        return None;
    }
    let (policy, mut state) = (&entry.policy, entry.state.clone());
    // Without thresholds nothing of a result is looked at but its status.
    let plain = policy.thresholds.is_empty() && state.memory.is_empty();
    let result = if plain {
        CheckResult { status: report.head.status, ..CheckResult::default() }
    } else {
        report.result()
    };
    let mut expected = Outline::of(&state);
    let verdict = judge::judge(policy, &mut state, Input::Result { result: &result, timestamp }, now);
    expected.routine(verdict.status);
    let is_routine = verdict.judged
        && verdict.reason.is_none()
        && Outline::of(&state) == expected
        && telling::is_settled(policy, &state, now);
    is_routine.then_some(Routine { status: verdict.status, result })
}
