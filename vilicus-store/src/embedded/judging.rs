//! Results, pings, contacts and silence: the judge is asked, and what it says becomes effects.
//!
//! What people are told of it is in `telling.rs`.

use std::sync::Arc;

use vilicus_core::event::Cause;
use vilicus_core::judge::{self, Input, Verdict, freshness, telling};
use vilicus_core::{
    AgentId, CheckId, CheckResult, CheckState, Metric, Millis, StateType, Timestamp, Unit as MetricUnit,
};

use crate::embedded::deadlines::Watch;
use crate::embedded::effect::{Effect, Kept, Outline, ResultEffect};
use crate::embedded::telling::Judged;
use crate::embedded::truth::CheckEntry;
use crate::embedded::unit::Unit;
use crate::embedded::words::{no_contact, no_ping, no_result, worded};
use crate::error::Refusal;
use crate::inventory::Agent;
use crate::store::Outcome;

/// The numbers that an agent says of itself, which become metrics of its own check, with their units.
const OWN_METRICS: [(&str, MetricUnit); 4] = [
    ("checkin_age_seconds", MetricUnit::Seconds),
    ("clock_skew_seconds", MetricUnit::Seconds),
    ("buffered", MetricUnit::None),
    ("dropped", MetricUnit::Counter),
];

impl Unit<'_> {
    /// Keeps a result, and judges it when it is news.
    pub(crate) fn result(&mut self, id: CheckId, mut result: CheckResult) -> Outcome {
        let Some(entry) = self.truth.checks.get(&id) else {
            return Outcome::UnknownCheck;
        };
        let (agent, enabled) = (entry.check.agent, entry.check.enabled);
        let timestamp = match result.timestamp {
            None => self.free_moment(entry, self.now),
            Some(timestamp) if timestamp < self.oldest => return Outcome::TooOld,
            Some(timestamp) => match self.kept_at(entry, timestamp) {
                Some(known) => return Outcome::Duplicate { timestamp, identical: known == result },
                None => timestamp,
            },
        };
        result.timestamp = Some(timestamp);
        self.heard_of(agent);
        if enabled {
            self.judge_result(id, timestamp, Arc::new(result))
        } else {
            self.keep_result(id, timestamp, Arc::new(result))
        }
    }

    /// The result of this moment, if there is one.
    fn kept_at(&self, entry: &CheckEntry, at: Timestamp) -> Option<CheckResult> {
        if entry.samples.newest().is_none_or(|newest| at > newest) {
            return None;
        }
        let next = Timestamp::from_millis(at.as_millis().saturating_add(1));
        let in_memory = entry.samples.rows(at, next).ok().and_then(|mut rows| rows.remove(&at));
        in_memory.or_else(|| self.archived(entry.check.id, at)).map(|row| row.result)
    }

    /// The first moment from `from` on that has no result yet.
    pub(crate) fn free_moment(&self, entry: &CheckEntry, from: Timestamp) -> Timestamp {
        if entry.samples.newest().is_none_or(|newest| from > newest) {
            return from;
        }
        let rows = entry.samples.rows::<()>(from, Timestamp::MAX).unwrap_or_default();
        let mut free = from;
        while rows.contains_key(&free) || self.archived(entry.check.id, free).is_some() {
            free = Timestamp::from_millis(free.as_millis().saturating_add(1));
        }
        free
    }

    fn judge_result(&mut self, id: CheckId, timestamp: Timestamp, result: Arc<CheckResult>) -> Outcome {
        let Some(entry) = self.truth.checks.get(&id) else {
            return Outcome::UnknownCheck;
        };
        let mut state = entry.state.clone();
        let problem_since = state.problem_since;
        let mut routine_outline = Outline::of(&state);
        let input = Input::Result { result: &result, timestamp };
        let verdict = judge::judge(&entry.policy, &mut state, input, self.now);
        let (status, retry) = (verdict.status, entry.policy.retry_interval);
        if !verdict.judged {
            self.keep(id, timestamp, &verdict, Kept::History, result);
            return Outcome::Accepted { timestamp, status, retry_in: None };
        }
        let words = worded(&result, verdict.reason.as_deref());
        let soft = state.state_type == StateType::Soft;
        routine_outline.routine(status);
        let is_routine =
            Outline::of(&state) == routine_outline && telling::is_settled(&entry.policy, &state, self.now);
        if is_routine {
            self.keep(id, timestamp, &verdict, Kept::Routine, result);
        } else {
            self.keep(id, timestamp, &verdict, Kept::Judged, result);
            self.settle(Judged {
                check: id,
                state,
                verdict,
                cause: Some(Cause::Result),
                words,
                problem_since,
            });
        }
        if self.truth.checks.get(&id).is_some_and(|entry| entry.queued.is_none()) {
            self.truth.arm_check(id);
        }
        Outcome::Accepted { timestamp, status, retry_in: soft.then_some(retry) }
    }

    /// Keeps a result of a check that nobody watches.
    fn keep_result(&mut self, id: CheckId, timestamp: Timestamp, result: Arc<CheckResult>) -> Outcome {
        let Some(entry) = self.truth.checks.get(&id) else {
            return Outcome::UnknownCheck;
        };
        let input = Input::Result { result: &result, timestamp };
        let verdict = judge::judge(&entry.policy, &mut CheckState::default(), input, self.now);
        self.keep(id, timestamp, &verdict, Kept::History, result);
        Outcome::Accepted { timestamp, status: verdict.status, retry_in: None }
    }

    pub(crate) fn keep(
        &mut self,
        check: CheckId,
        timestamp: Timestamp,
        verdict: &Verdict,
        kept: Kept,
        result: Arc<CheckResult>,
    ) {
        self.emit(Effect::Result(ResultEffect {
            check,
            timestamp,
            received: self.now,
            status: verdict.status,
            kept,
            reason: verdict.reason.clone(),
            result,
        }));
    }

    /// Judges silence, or its end.
    fn judge_silence(&mut self, id: CheckId, input: Input<'_>, cause: Cause, words: CheckResult) {
        let Some(entry) = self.truth.checks.get(&id) else {
            return;
        };
        let mut state = entry.state.clone();
        let problem_since = state.problem_since;
        let verdict = judge::judge(&entry.policy, &mut state, input, self.now);
        let words = Arc::new(words);
        self.settle(Judged { check: id, state, verdict, cause: Some(cause), words, problem_since });
    }

    /// An agent was heard of; it is UP when it was not.
    pub(crate) fn contact(&mut self, id: AgentId) {
        self.heard_of(id);
        let Some(entry) = self.truth.agents.get(&id) else {
            return;
        };
        // What is in memory alone is lost by a crash; a restart shall not be too wrong about the last contact.
        let coarse = Millis::new(entry.contact.check_interval.get() / 2);
        if entry.written.is_none_or(|written| self.now.since(written) >= coarse) {
            self.emit(Effect::Contact { agent: id, contact: entry.contact });
        }
    }

    pub(crate) fn heard_of(&mut self, id: AgentId) {
        let Some(entry) = self.truth.agents.get_mut(&id) else {
            return;
        };
        if entry.contact.last == Some(self.now)
            && !entry.silent
            && entry.queued.is_some()
            && entry.parked.is_empty()
        {
            // The results of a batch come at one moment: the first of them said all that there is to say.
            return;
        }
        let own = self.truth.families.get(&id).and_then(|family| family.own);
        entry.contact.note(self.now);
        let pending = own
            .and_then(|own| self.truth.checks.get(&own))
            .is_some_and(|own| own.check.enabled && own.state.status.is_none());
        let parked = std::mem::take(&mut entry.parked);
        if entry.silent || pending || entry.queued.is_none() {
            self.agent_is_up(id, own);
        }
        for check in parked {
            self.look_for_results(check);
        }
    }

    fn agent_is_up(&mut self, id: AgentId, own: Option<CheckId>) {
        let Some(entry) = self.truth.agents.get(&id) else {
            return;
        };
        let (silent, contact) = (entry.silent, entry.contact);
        if silent {
            self.emit(Effect::Silence { agent: id, silent: false });
            self.release_family(id);
        }
        let own = own.and_then(|own| self.truth.checks.get(&own)).filter(|own| own.check.enabled);
        if let Some(own) = own.filter(|own| silent || own.state.status.is_none()) {
            let own = own.check.id;
            self.emit(Effect::Contact { agent: id, contact });
            let words = CheckResult::ok("the agent is in contact");
            self.judge_silence(own, Input::Contact { at: self.now }, Cause::Contact, words);
        }
        self.truth.arm_agent(id);
    }

    /// An agent has finished its checks, and says this of itself.
    pub(crate) fn checkin(&mut self, said: Agent) -> Result<(), Refusal> {
        let Some(entry) = self.truth.agents.get(&said.id) else {
            return Err(Refusal::NotFound { object: "agent", id: said.id.get() });
        };
        let mut agent = Agent::clone(&entry.agent);
        let version = entry.config_version;
        self.check_guid(&said)?;
        let result = own_result(&said);
        // What operators decide may have changed since the agent was read: only what is its own to say is taken.
        (agent.hostname, agent.version, agent.guid, agent.facts) =
            (said.hostname, said.version, said.guid, said.facts);
        if agent != *entry.agent {
            self.emit(Effect::Agent { agent: Arc::new(agent), config_version: version });
        }
        self.heard_of(said.id);
        self.emit(Effect::Checkin { agent: said.id, at: self.now });
        if let Some(own) = self.truth.families.get(&said.id).and_then(|family| family.own) {
            let _ = self.result(own, result);
        }
        Ok(())
    }

    /// Notes the first delivery of checks.
    pub(crate) fn note_delivered(&mut self, checks: Vec<CheckId>) {
        let is_new =
            |id: &CheckId| self.truth.checks.get(id).is_some_and(|entry| entry.check.delivered_at.is_none());
        let new: Vec<CheckId> = checks.into_iter().filter(is_new).collect();
        if new.is_empty() {
            return;
        }
        self.emit(Effect::Delivered { checks: new.clone(), at: self.now });
        new.into_iter().for_each(|id| self.truth.arm_check(id));
    }

    /// Judges every deadline that has passed.
    pub(crate) fn deadlines(&mut self) {
        while let Some((at, watch)) = self.truth.deadlines.pop(self.now) {
            match watch {
                Watch::Look(id) => {
                    let entry = self.truth.checks.get_mut(&id);
                    if let Some(entry) = entry.filter(|entry| entry.look_queued == Some(at)) {
                        entry.look_queued = None;
                        self.look_in_time(id);
                    }
                }
                Watch::Downtime(id) => self.turn_downtime(id),
                Watch::Check(id) => {
                    let entry = self.truth.checks.get_mut(&id);
                    if let Some(entry) = entry.filter(|entry| entry.queued == Some(at)) {
                        entry.queued = None;
                        self.look_for_results(id);
                    }
                }
                Watch::Agent(id) => {
                    let entry = self.truth.agents.get_mut(&id);
                    if let Some(entry) = entry.filter(|entry| entry.queued == Some(at)) {
                        entry.queued = None;
                        self.look_for_agent(id);
                    }
                }
                Watch::Expiry(id) => {
                    let entry = self.truth.agents.get_mut(&id);
                    if let Some(entry) = entry.filter(|entry| entry.expiry_queued == Some(at)) {
                        entry.expiry_queued = None;
                        self.look_for_expiry(id);
                    }
                }
            }
        }
    }

    fn look_for_results(&mut self, id: CheckId) {
        let Some(entry) = self.truth.checks.get(&id) else { return };
        let agent = entry.check.agent;
        let Some(contact) = self.truth.agents.get(&agent).map(|agent| agent.contact) else { return };
        let Some(deadline) = entry.stale_at(&contact, self.truth.start) else { return };
        if deadline > self.now {
            self.truth.arm_check(id);
        } else if entry.promise.is_some() {
            let words = no_ping(&entry.state);
            self.judge_silence(id, Input::Missed { deadline }, Cause::Missed, words);
        } else if freshness::is_stale(deadline, &contact) {
            let words = no_result(&entry.state);
            self.judge_silence(id, Input::Stale { deadline }, Cause::Stale, words);
        } else if let Some(agent) = self.truth.agents.get_mut(&agent) {
            agent.parked.push(id);
        }
    }

    fn look_for_agent(&mut self, id: AgentId) {
        let Some(deadline) = self.truth.down_at(id) else { return };
        if deadline > self.now {
            self.truth.arm_agent(id);
            return;
        }
        let Some(own) = self.truth.families.get(&id).and_then(|family| family.own) else { return };
        let Some(words) = self.truth.agents.get(&id).map(|agent| no_contact(&agent.contact)) else { return };
        self.emit(Effect::Silence { agent: id, silent: true });
        self.run_family_of(own);
        self.judge_silence(own, Input::Silent { deadline }, Cause::Silent, words);
    }

    fn look_for_expiry(&mut self, id: AgentId) {
        match self.truth.expires_at(id) {
            Some(at) if at <= self.now => self.retire(id),
            Some(_) => self.truth.arm_agent(id),
            None => {}
        }
    }
}

/// What an agent says of itself, as a result of its own check.
fn own_result(agent: &Agent) -> CheckResult {
    let number = |name: &str| agent.facts.0.get(name).and_then(serde_json::Value::as_f64);
    let mut result = CheckResult::ok("the agent has finished its checks");
    for (name, unit) in OWN_METRICS {
        if let Some(value) = number(name) {
            result = result.metric(Metric::new(name, value).unit(unit));
        }
    }
    result
}
