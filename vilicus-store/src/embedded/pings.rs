//! What jobs say of their runs: pings of heartbeat checks.

use std::sync::Arc;

use vilicus_core::event::{Cause, Happening};
use vilicus_core::heartbeat::Signal;
use vilicus_core::judge::{self, Input};
use vilicus_core::{CheckId, CheckResult, Metric, Status, Unit as MetricUnit};

use crate::embedded::effect::{Effect, Kept};
use crate::embedded::telling::Judged;
use crate::embedded::unit::Unit;
use crate::embedded::words::worded;
use crate::store::Outcome;

impl Unit<'_> {
    /// Keeps a ping, and judges it when a run ended with it.
    pub(crate) fn ping(&mut self, id: CheckId, signal: Signal, rid: Option<&str>, body: String) -> Outcome {
        let Some(entry) = self.truth.checks.get(&id).filter(|entry| entry.promise.is_some()) else {
            return Outcome::UnknownCheck;
        };
        match signal.end() {
            Some(well) => self.run_ended(id, signal, rid, body, well),
            None => {
                let agent = entry.check.agent;
                if signal == Signal::Start && entry.check.enabled {
                    let mut state = entry.state.clone();
                    state.heartbeat.get_or_insert_default().begin(self.now, rid);
                    self.emit(Effect::State { check: id, state: Box::new(state) });
                    self.truth.arm_check(id);
                }
                self.record(self.now, Some(agent), Some(id), Happening::Ping { signal, body });
            }
        }
        Outcome::Done
    }

    fn run_ended(&mut self, id: CheckId, signal: Signal, rid: Option<&str>, body: String, well: bool) {
        let Some(entry) = self.truth.checks.get(&id) else { return };
        let timestamp = self.free_moment(entry, self.now);
        let mut state = entry.state.clone();
        let took = state.heartbeat.clone().unwrap_or_default().end(timestamp, rid, well);
        let status = if well { Status::Ok } else { Status::Critical };
        let mut result = CheckResult::new(status, said(signal, body));
        if let Some(took) = took {
            result =
                result.metric(Metric::new("duration_seconds", took.as_secs_f64()).unit(MetricUnit::Seconds));
        }
        result.timestamp = Some(timestamp);
        let problem_since = state.problem_since;
        let enabled = entry.check.enabled;
        let input = Input::Ping { signal, rid, result: &result, at: timestamp };
        let verdict = judge::judge(&entry.policy, &mut state, input, self.now);
        let result = Arc::new(result);
        let kept = if enabled { Kept::Judged } else { Kept::History };
        let words = worded(&result, verdict.reason.as_deref());
        self.keep(id, timestamp, &verdict, kept, result);
        if enabled {
            self.settle(Judged { check: id, state, verdict, cause: Some(Cause::Ping), words, problem_since });
            self.truth.arm_check(id);
        }
    }
}

/// What a job wrote, or what its ping says by itself.
fn said(signal: Signal, body: String) -> String {
    match (body.is_empty(), signal) {
        (false, _) => body,
        (true, Signal::Exit(status)) => format!("exit status {status}"),
        (true, Signal::Fail) => "the job failed".to_owned(),
        (true, _) => "the job succeeded".to_owned(),
    }
}
