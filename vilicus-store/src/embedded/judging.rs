//! Results, contacts and silence: the judge is asked, and what it says becomes effects.

use std::sync::Arc;

use vilicus_core::event::{Cause, Happening};
use vilicus_core::judge::telling::{self, Hold, Subject, Tell, Watched};
use vilicus_core::judge::{self, Change, Input, Verdict, freshness};
use vilicus_core::{
    AgentId, ChannelId, CheckId, CheckResult, CheckState, Metric, Millis, StateType, Status, Timestamp,
    Unit as MetricUnit,
};

use crate::embedded::deadlines::Watch;
use crate::embedded::effect::{Effect, Kept, ResultEffect, outline, routine};
use crate::embedded::messages::About;
use crate::embedded::truth::CheckEntry;
use crate::embedded::unit::Unit;
use crate::embedded::words::{no_contact, no_result, worded};
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

/// A state that was judged, and what is to be said of it.
struct Judged<'a> {
    check: CheckId,
    state: CheckState,
    verdict: &'a Verdict,
    cause: Cause,
    /// The words that people get to read.
    words: Arc<CheckResult>,
    problem_since: Option<Timestamp>,
}

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
    fn free_moment(&self, entry: &CheckEntry, from: Timestamp) -> Timestamp {
        if entry.samples.newest().is_none_or(|newest| from > newest) {
            return from;
        }
        let rows = entry.samples.rows(from, Timestamp::MAX).unwrap_or_default();
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
        let before = outline(&state);
        let input = Input::Result { result: &result, timestamp };
        let verdict = judge::judge(&entry.policy, &mut state, input, self.now);
        let (status, retry) = (verdict.status, entry.policy.retry_interval);
        if !verdict.judged {
            self.keep(id, timestamp, &verdict, Kept::History, result);
            return Outcome::Accepted { timestamp, status, retry_in: None };
        }
        let words = worded(&result, verdict.reason.as_deref());
        let soft = state.state_type == StateType::Soft;
        let judged =
            Judged { check: id, state, verdict: &verdict, cause: Cause::Result, words, problem_since };
        let mut routine_state = before;
        routine(&mut routine_state, status, timestamp, self.now);
        if outline(&judged.state) == routine_state && !self.has_to_tell(&judged) {
            self.keep(id, timestamp, &verdict, Kept::Routine, result);
        } else {
            self.keep(id, timestamp, &verdict, Kept::Judged, result);
            self.settle(judged);
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

    fn keep(
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

    /// Whether anyone may have to be told something: the quick way out for what happens most.
    fn has_to_tell(&self, judged: &Judged<'_>) -> bool {
        match judged.state.hard_status {
            Some(Status::Ok) => !judged.state.told.is_empty(),
            Some(_) => self.hold(judged).is_none() && !self.all_know(judged),
            None => false,
        }
    }

    /// Whether all channels were told of the problem as it is now.
    fn all_know(&self, judged: &Judged<'_>) -> bool {
        let Some(entry) = self.truth.checks.get(&judged.check) else {
            return true;
        };
        let told = |id: &ChannelId| judged.state.told(*id).map(|told| told.status);
        let again = entry.policy.volatile && judged.verdict.status.is_problem();
        let mut channels = self.truth.channels.values().filter(|channel| channel.enabled);
        channels.all(|channel| told(&channel.id) == judged.state.hard_status && !again)
    }

    fn hold(&self, judged: &Judged<'_>) -> Option<Hold> {
        let entry = self.truth.checks.get(&judged.check)?;
        let family = self.truth.families.get(&entry.check.agent);
        let is_own = family.and_then(|family| family.own) == Some(judged.check);
        let silent = self.truth.agents.get(&entry.check.agent).is_some_and(|agent| agent.silent);
        telling::hold(&entry.policy, &judged.state, silent && !is_own)
    }

    /// Tells who has to be told, records the event, and lets the state stand.
    fn settle(&mut self, mut judged: Judged<'_>) {
        let Some(entry) = self.truth.checks.get(&judged.check) else {
            return;
        };
        let held = self.hold(&judged);
        let watched = match judged.cause {
            Cause::Silent | Cause::Contact => Watched::Agent,
            Cause::Result | Cause::Stale => Watched::Check,
        };
        let channels: Vec<ChannelId> = self
            .truth
            .channels
            .values()
            .filter(|channel| channel.enabled)
            .map(|channel| channel.id)
            .collect();
        let told = judged.state.told.clone();
        let policy = Arc::clone(&entry.policy);
        let agent = entry.check.agent;
        let tells = telling::tell(&policy, &mut judged.state, watched, &channels, held, judged.verdict);
        let at = judged
            .verdict
            .change
            .map_or_else(|| judged.state.last_result_at.unwrap_or(self.now), |change| change.at);
        for tell in &tells {
            let earlier = told.iter().find(|told| told.channel == tell.channel);
            let earlier = earlier.map_or_else(Vec::new, |told| told.messages.clone());
            let item = self.item(tell, &judged, at);
            let about = About { check: Some(judged.check), agent: Some(agent) };
            let message = self.tell(tell, about, item, earlier);
            judged.state.note_message(tell.channel, message);
        }
        let held = held.filter(|_| judged.state.status.is_some_and(Status::is_problem));
        if let Some(change) = judged.verdict.change {
            self.record_change(&judged, agent, change, held);
        }
        self.emit(Effect::State { check: judged.check, state: Box::new(judged.state) });
    }

    fn item(&self, tell: &Tell, judged: &Judged<'_>, at: Timestamp) -> vilicus_core::NotificationItem {
        let entry = self.truth.checks.get(&judged.check);
        let agent = entry.and_then(|entry| self.truth.agents.get(&entry.check.agent));
        let identity = format!("{}-check-{}", self.truth.instance, judged.check);
        let of_agent = agent.iter().flat_map(|agent| &agent.agent.tags);
        let tags: Vec<String> =
            of_agent.chain(entry.iter().flat_map(|entry| &entry.check.tags)).cloned().collect();
        let subject = Subject {
            agent: agent.map_or("", |agent| &agent.agent.name),
            check: entry.map_or("", |entry| &entry.check.name),
            subject: &identity,
            kind: entry.map_or("", |entry| &entry.check.kind),
            tags: &tags,
            runbook_url: entry.and_then(|entry| entry.check.runbook_url.as_deref()),
            result: Some(&judged.words),
            problem_since: judged.problem_since,
        };
        let policy = entry.map(|entry| Arc::clone(&entry.policy)).unwrap_or_default();
        telling::item(tell, subject, &policy, &judged.state, at, self.now)
    }

    fn record_change(&mut self, judged: &Judged<'_>, agent: AgentId, change: Change, held: Option<Hold>) {
        let what = Happening::State {
            change,
            cause: judged.cause,
            attempt: judged.state.attempt,
            output: judged.words.output.clone(),
            held,
        };
        self.record(change.at, Some(agent), Some(judged.check), what);
    }

    /// Judges silence, or its end.
    fn judge_silence(&mut self, id: CheckId, input: Input<'_>, cause: Cause, words: CheckResult) {
        let Some(entry) = self.truth.checks.get(&id) else {
            return;
        };
        let mut state = entry.state.clone();
        let problem_since = state.problem_since;
        let verdict = judge::judge(&entry.policy, &mut state, input, self.now);
        self.settle(Judged {
            check: id,
            state,
            verdict: &verdict,
            cause,
            words: Arc::new(words),
            problem_since,
        });
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

    fn heard_of(&mut self, id: AgentId) {
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
        self.judge_silence(own, Input::Silent { deadline }, Cause::Silent, words);
    }

    fn look_for_expiry(&mut self, id: AgentId) {
        match self.truth.expires_at(id) {
            Some(at) if at <= self.now => self.retire(id),
            Some(_) => self.truth.arm_agent(id),
            None => {}
        }
    }

    /// Closes what was told of a check that nobody watches any longer, and makes it PENDING.
    pub(crate) fn close(&mut self, id: CheckId) {
        let Some(entry) = self.truth.checks.get(&id) else {
            return;
        };
        let mut state = entry.state.clone();
        let agent = entry.check.agent;
        let told = state.told.clone();
        let tells = telling::close(&mut state);
        let verdict = Verdict {
            status: state.status.unwrap_or(Status::Unknown),
            reason: None,
            judged: false,
            change: None,
        };
        let problem_since = state.problem_since;
        let words = Arc::new(CheckResult::unknown("no longer watched"));
        let judged =
            Judged { check: id, state, verdict: &verdict, cause: Cause::Result, words, problem_since };
        for tell in &tells {
            let earlier = told.iter().find(|told| told.channel == tell.channel);
            let earlier = earlier.map_or_else(Vec::new, |told| told.messages.clone());
            let item = self.item(tell, &judged, self.now);
            self.tell(tell, About { check: Some(id), agent: Some(agent) }, item, earlier);
        }
        // Older results stay history: the moment of the last one that was judged is kept.
        let state = CheckState { last_result_at: judged.state.last_result_at, ..CheckState::default() };
        self.emit(Effect::State { check: id, state: Box::new(state) });
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
