//! What was judged, and what time brings, becomes messages: the look of the core's telling, in the world as it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use vilicus_core::acknowledgement::AcknowledgementEnd;
use vilicus_core::downtime;
use vilicus_core::event::{Cause, Happening};
use vilicus_core::judge::Verdict;
use vilicus_core::judge::gates::Hold;
use vilicus_core::judge::telling::{self, Look, Occasion, Tell, Watched};
use vilicus_core::judge::words::{self, Subject};
use vilicus_core::state::Told;
use vilicus_core::{
    Acknowledgement, AgentId, CheckId, CheckResult, CheckState, DowntimeId, NotificationItem, StateType,
    Status, Timestamp,
};

use crate::embedded::effect::Effect;
use crate::embedded::messages::About;
use crate::embedded::problems::parents;
use crate::embedded::surroundings::World;
use crate::embedded::truth::CheckEntry;
use crate::embedded::unit::Unit;
use crate::error::Refusal;

/// A state that was judged, and what is to be said of it.
pub(crate) struct Judged {
    pub(crate) check: CheckId,
    pub(crate) state: CheckState,
    pub(crate) verdict: Verdict,
    /// What moved it; `None` when it is only looked at again.
    pub(crate) cause: Option<Cause>,
    /// The words that people get to read.
    pub(crate) words: Arc<CheckResult>,
    pub(crate) problem_since: Option<Timestamp>,
}

impl Judged {
    /// When what is told happened.
    fn at(&self, now: Timestamp) -> Timestamp {
        match (self.verdict.change, self.cause) {
            (Some(change), _) => change.at,
            (None, Some(_)) => self.state.last_result_at.unwrap_or(now),
            (None, None) => now,
        }
    }

    fn occasion(&self) -> Occasion {
        let fresh = matches!(self.cause, Some(Cause::Result | Cause::Ping));
        Occasion { fresh, again: fresh && self.verdict.status.is_problem(), traced: true }
    }
}

impl Unit<'_> {
    /// Tells who has to be told, records what happened, and lets the state stand.
    pub(crate) fn settle(&mut self, mut judged: Judged) {
        let Some(entry) = self.truth.checks.get(&judged.check) else {
            return;
        };
        let (agent, before) = (entry.check.agent, Standing::of(&entry.state));
        let held_before = entry.state.held;
        let told_before = judged.state.told.clone();
        self.begin_flexible(&mut judged, agent);
        let occasion = judged.occasion();
        let mut state = std::mem::take(&mut judged.state);
        let watched = self.watched(&judged);
        let begun = state.begun.clone();
        let world = World { hard_status: state.hard_status, begun: &begun, watched, now: self.now };
        let look =
            self.truth.surrounded(judged.check, world, |around| telling::look(around, &mut state, occasion));
        judged.state = state;
        let look = look.unwrap_or_default();
        self.send(&mut judged, &look.tells, &told_before, agent);
        self.withdraw(&look.unsaid, judged.check);
        self.record_judged(&judged, agent, look, held_before);
        let (check, after) = (judged.check, Standing::of(&judged.state));
        self.emit(Effect::State { check, state: Box::new(judged.state) });
        self.truth.arm_look(check);
        self.follow(check, before, after);
    }

    /// Makes a message of each thing that is told.
    fn send(&mut self, judged: &mut Judged, tells: &[Tell], told_before: &[Told], agent: AgentId) {
        let at = judged.at(self.now);
        // A problem that was held back is not new: its group waits for it no longer.
        let began = judged.state.hard_since.map_or(at, |since| since.min(at));
        for tell in tells {
            let earlier = told_before.iter().find(|told| told.channel == tell.channel);
            let earlier = earlier.map_or_else(Vec::new, |told| told.messages.clone());
            let item = self.item(tell, judged, at);
            let about = About { check: Some(judged.check), agent: Some(agent) };
            let message = self.tell(tell, began, about, item, earlier);
            judged.state.note_message(tell.channel, message);
        }
    }

    fn watched(&self, judged: &Judged) -> Watched {
        let entry = self.truth.checks.get(&judged.check);
        let agent = entry.and_then(|entry| self.truth.agents.get(&entry.check.agent));
        let silent = agent.is_some_and(|agent| agent.silent);
        let is_own = entry.is_some_and(|entry| entry.check.watched() == Watched::Agent);
        match judged.cause {
            Some(Cause::Silent | Cause::Contact) => Watched::Agent,
            None if is_own && silent => Watched::Agent,
            _ => Watched::Check,
        }
    }

    fn item(&self, tell: &Tell, judged: &Judged, at: Timestamp) -> NotificationItem {
        let entry = self.truth.checks.get(&judged.check);
        let agent = entry.and_then(|entry| self.truth.agents.get(&entry.check.agent));
        let identity = self.truth.subject(judged.check);
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
        words::item(tell, subject, &policy, &judged.state, at, self.now)
    }

    fn record_judged(&mut self, judged: &Judged, agent: AgentId, look: Look, held_before: Option<Hold>) {
        let (agent, check) = (Some(agent), Some(judged.check));
        let told = u32::try_from(look.tells.len()).unwrap_or(u32::MAX);
        let held = look.hold.filter(|_| judged.state.status.is_some_and(Status::is_problem));
        if let Some(change) = judged.verdict.change {
            let what = Happening::State {
                change,
                cause: judged.cause.unwrap_or(Cause::Result),
                attempt: judged.state.attempt,
                output: judged.words.output.clone(),
                held,
                trace: look.trace,
            };
            self.record(change.at, agent, check, what);
        } else if told > 0 || held != held_before && judged.state.has_hard_problem() {
            self.record(self.now, agent, check, Happening::Telling { told, held, trace: look.trace });
        }
        if let Some(turn) = judged.verdict.flapping {
            self.record(judged.at(self.now), agent, check, Happening::Flapping(turn));
        }
        if let Some(why) = judged.verdict.acknowledgement_ended {
            self.record(self.now, agent, check, Happening::AcknowledgementEnded { why, by: None });
        }
    }

    /// Begins the flexible downtimes that a problem of the check begins.
    fn begin_flexible(&mut self, judged: &mut Judged, agent: AgentId) {
        let began = {
            let Some(entry) = self.truth.checks.get(&judged.check) else { return };
            let downtimes = self.truth.downtimes_of(entry, judged.state.hard_status);
            downtime::begin_flexible(downtimes, &mut judged.state, self.now)
        };
        for begun in began {
            let comment = self.truth.rules.downtimes.get(&begun.downtime).map(|it| it.comment.clone());
            let what = Happening::Downtime {
                downtime: begun.downtime,
                began: true,
                comment: comment.unwrap_or_default(),
                until: Some(begun.until),
            };
            self.record(self.now, Some(agent), Some(judged.check), what);
        }
    }

    /// Looks again whether there is anything to tell of a check, though nothing came from it.
    pub(crate) fn look_again(&mut self, id: CheckId) {
        let Some(entry) = self.truth.checks.get(&id).filter(|entry| entry.check.enabled) else { return };
        let state = entry.state.clone();
        let words = self.truth.last_words(entry);
        let (verdict, problem_since) = (Verdict::unmoved(&state), state.problem_since);
        self.settle(Judged { check: id, state, verdict, cause: None, words, problem_since });
    }

    /// Time has come to look again.
    pub(crate) fn look_in_time(&mut self, id: CheckId) {
        let Some(entry) = self.truth.checks.get(&id) else { return };
        if entry.state.look_at.is_none_or(|at| at > self.now) {
            self.truth.arm_look(id);
            return;
        }
        if entry.state.acknowledgement.as_deref().is_some_and(|it| it.is_expired(self.now)) {
            self.end_acknowledgement(id, AcknowledgementEnd::Expired, None);
        }
        self.look_again(id);
    }

    /// Looks again at every problem that is open: something changed that may concern any of them.
    pub(crate) fn look_at_all(&mut self) {
        for id in self.truth.problems.open.clone() {
            self.look_again(id);
        }
    }

    /// Looks again at the problems that this held back.
    fn look_at_held(&mut self, hold: Hold) {
        let held = |id: &&CheckId| self.truth.checks.get(id).is_some_and(|it| it.state.held == Some(hold));
        let held: Vec<CheckId> = self.truth.problems.open.iter().filter(held).copied().collect();
        held.into_iter().for_each(|id| self.look_again(id));
    }

    /// A window of a downtime opened or closed, or may have.
    pub(crate) fn turn_downtime(&mut self, id: DowntimeId) {
        let Some(downtime) = self.truth.rules.downtimes.get(&id).map(Arc::clone) else { return };
        let window = downtime.window_at(self.now);
        let open = window.is_some();
        if open != self.truth.rules.open.contains(&id) {
            self.emit(Effect::DowntimeTurn { downtime: id, open });
            let (until, comment) = (window.map(|window| window.end), downtime.comment.clone());
            self.record(
                self.now,
                None,
                None,
                Happening::Downtime { downtime: id, began: open, comment, until },
            );
            if open && downtime.flexible.is_some() {
                self.look_at_all();
            } else if !open {
                self.look_at_held(Hold::Downtime);
            }
        }
        self.truth.arm_downtime(id, self.now);
    }

    /// Someone is on it.
    pub(crate) fn acknowledge(
        &mut self,
        id: CheckId,
        mut acknowledgement: Acknowledgement,
        tell: bool,
    ) -> Result<(), Refusal> {
        let entry = self.truth.checks.get(&id).ok_or(Refusal::NotFound { object: "check", id: id.get() })?;
        if !entry.state.status.is_some_and(Status::is_problem) {
            return Err(Refusal::NoProblem { check: id.get() });
        }
        let (agent, mut state) = (entry.check.agent, entry.state.clone());
        acknowledgement.at = self.now;
        let said = match acknowledgement.comment.as_str() {
            "" => format!("{} is on it", acknowledgement.by),
            comment => format!("{} is on it: {comment}", acknowledgement.by),
        };
        let what = Happening::Acknowledged {
            by: acknowledgement.by.clone(),
            comment: acknowledgement.comment.clone(),
            sticky: acknowledgement.sticky,
            expires_at: acknowledgement.expires_at,
            public: acknowledgement.public,
        };
        state.acknowledgement = Some(Box::new(acknowledgement));
        let (verdict, problem_since, told) =
            (Verdict::unmoved(&state), state.problem_since, state.told.clone());
        let words = Arc::new(CheckResult::new(verdict.status, said));
        let mut judged = Judged { check: id, state, verdict, cause: None, words, problem_since };
        if tell {
            let tells = telling::acknowledged(self.truth.rules.routes(), &judged.state);
            self.send(&mut judged, &tells, &told, agent);
        }
        self.record(self.now, Some(agent), Some(id), what);
        self.emit(Effect::State { check: id, state: Box::new(judged.state) });
        self.look_again(id);
        Ok(())
    }

    /// Nobody is on it any longer.
    pub(crate) fn take_back_acknowledgement(&mut self, id: CheckId, by: String) -> Result<(), Refusal> {
        if !self.truth.checks.contains_key(&id) {
            return Err(Refusal::NotFound { object: "check", id: id.get() });
        }
        self.end_acknowledgement(id, AcknowledgementEnd::TakenBack, Some(by));
        self.look_again(id);
        Ok(())
    }

    fn end_acknowledgement(&mut self, id: CheckId, why: AcknowledgementEnd, by: Option<String>) {
        let Some(entry) = self.truth.checks.get(&id).filter(|it| it.state.acknowledgement.is_some()) else {
            return;
        };
        let (agent, mut state) = (entry.check.agent, entry.state.clone());
        state.acknowledgement = None;
        self.emit(Effect::State { check: id, state: Box::new(state) });
        self.record(self.now, Some(agent), Some(id), Happening::AcknowledgementEnded { why, by });
    }

    /// Closes what was told of a check that nobody watches any longer, and makes it PENDING.
    pub(crate) fn close(&mut self, id: CheckId) {
        let Some(entry) = self.truth.checks.get(&id) else {
            return;
        };
        let (agent, mut state) = (entry.check.agent, entry.state.clone());
        let before = Standing::of(&state);
        let told = state.told.clone();
        let tells = telling::close(self.truth.rules.routes(), &mut state);
        let (verdict, problem_since) = (Verdict::unmoved(&state), state.problem_since);
        let words = Arc::new(CheckResult::unknown("no longer watched"));
        let mut judged = Judged { check: id, state, verdict, cause: None, words, problem_since };
        self.send(&mut judged, &tells, &told, agent);
        // Older results stay history: the moment of the last one that was judged is kept.
        let state = CheckState { last_result_at: judged.state.last_result_at, ..CheckState::default() };
        let after = Standing::of(&state);
        self.emit(Effect::State { check: id, state: Box::new(state) });
        self.follow(id, before, after);
    }
}

/// How a check stands towards those that depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    hard: Option<Status>,
    soft_problem: bool,
}

impl Standing {
    fn of(state: &CheckState) -> Self {
        let soft = state.state_type == StateType::Soft;
        Self { hard: state.hard_status, soft_problem: soft && state.status.is_some_and(Status::is_problem) }
    }

    fn is_problem(self) -> bool {
        self.hard.is_some_and(Status::is_problem)
    }
}

/// What hangs together.
impl Unit<'_> {
    /// A check stands otherwise than before: what depends on it, and what it holds, is looked at again.
    fn follow(&mut self, id: CheckId, before: Standing, after: Standing) {
        if before == after {
            return;
        }
        if before.is_problem() && !self.truth.rules.inhibitions.is_empty() {
            self.look_at_held(Hold::Inhibited);
        }
        let children = self.truth.problems.children(id);
        for child in &children {
            self.look_again(*child);
        }
        if before.hard != after.hard && (before.is_problem() || after.is_problem()) {
            self.run_family_of(id);
        }
    }

    /// The children and the parents of a check are run soon.
    pub(crate) fn run_family_of(&mut self, id: CheckId) {
        let mut wanted: BTreeSet<CheckId> = self.truth.problems.children(id).into_iter().collect();
        wanted.extend(self.truth.checks.get(&id).into_iter().flat_map(|entry| parents(&entry.check)));
        for check in wanted {
            let runs = |it: &CheckEntry| it.check.enabled && it.check.runs_on_agent() && it.run_now.is_none();
            if self.truth.checks.get(&check).is_some_and(runs) {
                self.emit(Effect::RunNow { check, at: self.now });
            }
        }
    }

    /// An agent is back: what was not told because it was away is looked at again.
    pub(crate) fn release_family(&mut self, agent: AgentId) {
        let checks = self.truth.families.get(&agent).map(|family| family.checks.clone()).unwrap_or_default();
        for id in checks {
            let entry = self.truth.checks.get(&id);
            if entry.is_some_and(|entry| entry.state.held == Some(Hold::Unreachable)) {
                self.look_again(id);
            }
            for child in self.truth.problems.children(id) {
                self.look_again(child);
            }
        }
    }
}
