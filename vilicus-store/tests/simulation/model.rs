//! I2: the state of every check is the fold of what was kept, in the order in which it was carried out, and nothing
//! else. I3, first half: every change that the fold makes is one event, and there are no others. I6: silence is no OK.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vilicus_core::event::{Cause, Happening};
use vilicus_core::heartbeat::{Heartbeat, Signal};
use vilicus_core::judge::{self, Change, Input as JudgeInput, Verdict};
use vilicus_core::{CheckId, CheckResult, CheckState, Event, Policy, StateType, Status, Timestamp};
use vilicus_store::Input;
use vilicus_store::query::CheckView;

#[derive(Debug, Default)]
struct Judged {
    policy: Arc<Policy>,
    enabled: bool,
    state: CheckState,
    kept: BTreeSet<Timestamp>,
}

/// What the store must know, computed from what it was given.
#[derive(Debug, Default)]
pub(crate) struct Model {
    checks: BTreeMap<CheckId, Judged>,
}

type Changes = BTreeMap<CheckId, Vec<Change>>;

impl Model {
    /// Takes over what is configured. A check that is switched off is PENDING; one that is gone is forgotten.
    pub(crate) fn configure(&mut self, views: &[CheckView]) {
        self.checks.retain(|id, _| views.iter().any(|view| view.check.id == *id));
        for view in views {
            let known = self.checks.entry(view.check.id).or_default();
            if known.enabled && !view.check.enabled {
                let last_result_at = known.state.last_result_at;
                known.state = CheckState { last_result_at, ..CheckState::default() };
            }
            (known.policy, known.enabled) = (Arc::clone(&view.policy), view.check.enabled);
        }
    }

    /// Follows a commit that was carried out, given the events that it left.
    pub(crate) fn follow(&mut self, now: Timestamp, inputs: &[Input], events: &[Arc<Event>]) {
        let mut expected = Changes::new();
        // Silence is noticed at the contact, before what came with it is judged.
        for event in events {
            if let (Some(check), Some(input)) = (event.check, silence(event)) {
                self.judge(check, input, now, &mut expected);
            }
        }
        for input in inputs {
            match input {
                Input::Result { check, result } => self.follow_result(*check, result, now, &mut expected),
                // A note changes nothing.
                Input::Ping { signal: Signal::Log, .. } => {}
                Input::Ping { check, signal, rid, .. } => {
                    let status = if signal.end() == Some(false) { Status::Critical } else { Status::Ok };
                    let (rid, result) = (rid.as_deref(), &CheckResult::new(status, ""));
                    self.judge(
                        *check,
                        JudgeInput::Ping { signal: *signal, rid, result, at: now },
                        now,
                        &mut expected,
                    );
                    self.note_kept(*check, now, signal.end().is_some());
                }
                _ => {}
            }
        }
        assert_eq!(changes(events), expected, "I3: one change is one event");
    }

    fn follow_result(
        &mut self,
        check: CheckId,
        result: &CheckResult,
        now: Timestamp,
        expected: &mut Changes,
    ) {
        let timestamp = result.timestamp.expect("agents say when");
        if self.note_kept(check, timestamp, true) {
            self.judge(check, JudgeInput::Result { result, timestamp }, now, expected);
        }
    }

    fn note_kept(&mut self, check: CheckId, at: Timestamp, kept: bool) -> bool {
        self.checks.get_mut(&check).is_some_and(|known| kept && known.kept.insert(at))
    }

    fn judge(&mut self, check: CheckId, input: JudgeInput<'_>, now: Timestamp, expected: &mut Changes) {
        let Some(known) = self.checks.get_mut(&check).filter(|known| known.enabled) else { return };
        let Verdict { change, .. } = judge::judge(&known.policy, &mut known.state, input, now);
        if let Some(change) = change {
            expected.entry(check).or_default().push(change);
        }
    }

    /// Compares with the store.
    pub(crate) fn compare(&self, views: &[CheckView]) {
        assert_eq!(views.len(), self.checks.len());
        for view in views {
            let known = &self.checks[&view.check.id];
            assert_eq!(untold(&view.state), untold(&known.state), "I2: check {}", view.check.id);
        }
    }

    /// When results of a check were kept.
    pub(crate) fn kept(&self, check: CheckId) -> &BTreeSet<Timestamp> {
        &self.checks[&check].kept
    }
}

/// What the judge is asked by an event that no input says.
fn silence(event: &Event) -> Option<JudgeInput<'static>> {
    let Happening::State { change, cause, .. } = &event.what else { return None };
    let input = match cause {
        Cause::Stale => JudgeInput::Stale { deadline: change.at },
        Cause::Missed => JudgeInput::Missed { deadline: change.at },
        Cause::Silent => JudgeInput::Silent { deadline: change.at },
        Cause::Contact => return Some(JudgeInput::Contact { at: change.at }),
        _ => return None,
    };
    assert_ne!(change.to, Status::Ok, "I6: silence is no OK");
    Some(input)
}

fn changes(events: &[Arc<Event>]) -> Changes {
    let mut changes = Changes::new();
    for event in events {
        if let (Some(check), Happening::State { change, .. }) = (event.check, &event.what) {
            changes.entry(check).or_default().push(*change);
        }
    }
    changes
}

/// A state without what was told, which is for the contract to say, and without what silence moves when it is no news.
fn untold(state: &CheckState) -> CheckState {
    let last_success = state.heartbeat.as_ref().map(|heartbeat| heartbeat.last_success);
    CheckState {
        heartbeat: last_success
            .map(|last_success| Box::new(Heartbeat { last_success, ..Heartbeat::default() })),
        stale: false,
        attempt: if state.state_type == StateType::Soft { state.attempt } else { 0 },
        told: Vec::new(),
        held: None,
        flapping_told: false,
        settle_until: None,
        parent_wait: None,
        look_at: None,
        acknowledgement: None,
        begun: Vec::new(),
        ..state.clone()
    }
}
