//! The judge over stored history: what would have been told under another policy.
//!
//! [`Replay`] is fed the results of one check, oldest first, and passes them through the same [`judge`]
//! and the same [`look`](telling::look) that judged them when they came, with a state of its own. What time alone makes
//! due between two results happens in between: repeats, escalations, schedules that open, ends of downtimes and
//! acknowledgements, results that stay out. [`Setting`] says what else was so at the time.
//!
//! **The moment of a [`Telling`] is that of the decision.** Whether it then waited for others of its group
//! (`group_wait`, `group_interval`), merged with them or kept to a rate limit hangs on what else happened, which is no
//! part of a replay. Nor are dependencies and inhibitions, which hang on other checks. Messages that people cause,
//! acknowledgements, are none of the policy's doing and are left out.
//!
//! Deliberately absent: stores and pages of history. Whoever has the results feeds them in, in as many parts as they
//! like; an unchanged result costs no allocation.
//!
//! ```
//! use vilicus_core::replay::{Setting, replay};
//! use vilicus_core::{ChannelId, CheckId, CheckResult, Policy, Timestamp};
//!
//! let minute = |minute: i64| Timestamp::from_millis(minute * 60_000);
//! let results = [CheckResult::ok("fine"), CheckResult::critical("full"), CheckResult::critical("full")];
//! let rows = || (0..).map(minute).zip(&results);
//! let channels: Vec<ChannelId> = ChannelId::new(1).into_iter().collect();
//! let check: CheckId = "7".parse()?;
//!
//! let told = |attempts| {
//!     let policy = Policy::default().max_attempts(attempts);
//!     let setting = Setting::alone(check, &policy, &channels);
//!     replay(setting, rows(), minute(3)).tellings.first().map(|telling| telling.at)
//! };
//! assert_eq!((told(1), told(2), told(3)), (Some(minute(1)), Some(minute(2)), None));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod setting;

use crate::acknowledgement::Acknowledgement;
use crate::availability::Course;
use crate::downtime;
use crate::heartbeat::Signal;
use crate::id::{ChannelId, RouteId};
use crate::judge::gates::Reach;
use crate::judge::telling::{self, Occasion, Surroundings, Watched};
use crate::judge::{self, Input, Verdict, freshness};
use crate::notification::NotificationEvent;
use crate::result::CheckResult;
use crate::schedule::Window;
use crate::state::CheckState;
use crate::status::{StateType, Status};
use crate::time::Timestamp;

pub use setting::{Act, Away, Setting, Sign};

/// What one channel would have been told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// When it was decided.
    pub at: Timestamp,
    /// Whom.
    pub channel: ChannelId,
    /// By which route; `None` when there are none.
    pub route: Option<RouteId>,
    /// By which step of its escalation; 0 for the route's own channels.
    pub step: u32,
    /// What.
    pub event: NotificationEvent,
    /// The confirmed status.
    pub status: Status,
    /// What the channel was told before; `None` when this is the first it hears of the problem.
    pub previous: Option<Status>,
    /// The first line of the last output, with the threshold that was breached.
    pub output: String,
}

/// What a replay came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Replayed {
    /// The results from `since` on.
    pub results: u64,
    /// What would have been told from `since` on, in order.
    pub tellings: Vec<Telling>,
    /// What the check was when.
    pub course: Course,
}

/// The results of one check, judged again. See the module.
#[derive(Debug)]
pub struct Replay<'a> {
    setting: Setting<'a>,
    state: CheckState,
    words: Words,
    /// How many of the acts have been done.
    acts_done: usize,
    /// How many of the absences are over.
    aways_done: usize,
    /// Whether the absence that is next has begun.
    is_away: bool,
    replayed: Replayed,
}

/// What time alone makes due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// Its agent is DOWN.
    Down,
    /// Its agent is back.
    Back,
    /// Someone acknowledged the problem, or took that back.
    Act,
    /// No sign of life came.
    Silence,
    /// There may be something to tell.
    Look,
}

/// Replays all of these results, oldest first, and the time that follows, up to `until`.
pub fn replay<'r>(
    setting: Setting<'_>,
    results: impl IntoIterator<Item = (Timestamp, &'r CheckResult)>,
    until: Timestamp,
) -> Replayed {
    let mut replay = Replay::new(setting);
    for (timestamp, result) in results {
        replay.feed(timestamp, result);
    }
    replay.finish(until)
}

impl<'a> Replay<'a> {
    /// A replay that has seen nothing yet.
    #[must_use]
    pub fn new(setting: Setting<'a>) -> Self {
        let mut replay = Self {
            setting,
            state: CheckState::default(),
            words: Words::default(),
            acts_done: 0,
            aways_done: 0,
            is_away: false,
            replayed: Replayed::default(),
        };
        if setting.watched == Watched::Agent {
            replay.judge(Input::Contact { at: setting.since }, setting.since, None);
        } else {
            let windows = setting.away.iter().map(|away| Window { start: away.down, end: away.until });
            windows.for_each(|window| replay.replayed.course.blind(window));
        }
        replay
    }

    /// The next result. One that is not newer than the last is history only, as it was when it came.
    pub fn feed(&mut self, timestamp: Timestamp, result: &CheckResult) {
        self.pass_time(timestamp);
        self.replayed.results += u64::from(timestamp >= self.setting.since);
        let input = match self.setting.sign {
            Sign::Pings { .. } => {
                Input::Ping { signal: end_of_run(result), rid: None, result, at: timestamp }
            }
            Sign::Results | Sign::Nothing => Input::Result { result, timestamp },
        };
        self.judge(input, timestamp, Some(result));
    }

    /// Lets time pass up to `until`, and answers what came of it all.
    #[must_use]
    pub fn finish(mut self, until: Timestamp) -> Replayed {
        self.pass_time(until);
        self.replayed
    }

    /// Does all that time alone makes due before this moment, in its order.
    fn pass_time(&mut self, until: Timestamp) {
        while let Some((at, due)) = self.next_due().filter(|(at, _)| *at < until) {
            self.meet(at, due);
        }
    }

    fn next_due(&self) -> Option<(Timestamp, Due)> {
        let away = self.setting.away.get(self.aways_done).map(|away| match self.is_away {
            false => (away.down, Due::Down),
            true => (away.until, Due::Back),
        });
        let act = self.setting.acts.get(self.acts_done).map(|act| (act.at, Due::Act));
        let look = self.state.look_at.map(|at| (at, Due::Look));
        let silence = self.silent_at().map(|at| (at, Due::Silence));
        [away, act, look, silence].into_iter().flatten().min()
    }

    /// When silence of the check itself becomes news.
    fn silent_at(&self) -> Option<Timestamp> {
        let ready = freshness::Start(Timestamp::from_millis(i64::MIN));
        match self.setting.sign {
            Sign::Nothing => None,
            Sign::Pings { expected, grace } => {
                self.state.heartbeat.as_ref()?.missed_at(expected, grace, ready)
            }
            Sign::Results if self.state.stale => None,
            Sign::Results => {
                let back = self.aways_done.checked_sub(1).map(|last| self.setting.away[last].until);
                let from = self.state.last_received_at?.max(back.unwrap_or(Timestamp::from_millis(i64::MIN)));
                let deadline = from.after(freshness::allowed_gap(self.setting.policy));
                // Silence of the whole agent is not that of its checks.
                let next = self.setting.away.get(self.aways_done);
                next.is_none_or(|away| deadline < away.heard).then_some(deadline)
            }
        }
    }

    fn meet(&mut self, at: Timestamp, due: Due) {
        match due {
            Due::Down => {
                self.is_away = true;
                if self.setting.watched == Watched::Agent {
                    self.judge(Input::Silent { deadline: at }, at, None);
                }
            }
            Due::Back => {
                (self.is_away, self.aways_done) = (false, self.aways_done + 1);
                match self.setting.watched {
                    Watched::Agent => self.judge(Input::Contact { at }, at, None),
                    Watched::Check => self.look(at, Occasion::default()),
                }
            }
            Due::Act => {
                let act = self.setting.acts[self.acts_done].clone();
                self.acts_done += 1;
                self.acknowledge(act.acknowledgement);
                self.look(at, Occasion::default());
            }
            Due::Silence => {
                let input = match self.setting.sign {
                    Sign::Pings { .. } => Input::Missed { deadline: at },
                    _ => Input::Stale { deadline: at },
                };
                self.judge(input, at, None);
            }
            Due::Look => self.look(at, Occasion::default()),
        }
    }

    /// Under another policy there may be nothing that could be acknowledged.
    fn acknowledge(&mut self, acknowledgement: Option<Acknowledgement>) {
        let has_problem = self.state.status.is_some_and(Status::is_problem);
        self.state.acknowledgement = acknowledgement.filter(|_| has_problem).map(Box::new);
    }

    fn judge(&mut self, input: Input<'_>, at: Timestamp, result: Option<&CheckResult>) {
        let silence = match input {
            Input::Stale { .. } | Input::Missed { .. } => Some(self.state.last_result_at),
            Input::Silent { .. } => Some(None),
            _ => None,
        };
        let verdict = judge::judge(self.setting.policy, &mut self.state, input, at);
        if !verdict.judged {
            return;
        }
        match (silence, result) {
            (Some(last), _) => self.words.note_silence(last),
            (None, Some(result)) => self.words.note(result, &verdict),
            (None, None) => self.words = Words::default(),
        }
        if let Some(change) = verdict.change.filter(judge::Change::is_hard) {
            self.replayed.course.turn(change.at, Some(change.to).filter(|_| !self.state.stale));
        }
        self.begin_flexible(at);
        let moved =
            verdict.change.is_some() || verdict.flapping.is_some() || verdict.acknowledgement_ended.is_some();
        if moved || !telling::is_settled(self.setting.policy, &self.state, at) {
            let fresh = result.is_some();
            let again = fresh && verdict.status.is_problem();
            self.look(at, Occasion { fresh, again, traced: false });
        }
    }

    fn begin_flexible(&mut self, at: Timestamp) {
        if !self.setting.downtimes.is_empty() {
            let _ = downtime::begin_flexible(self.setting.downtimes.iter(), &mut self.state, at);
        }
    }

    fn look(&mut self, at: Timestamp, occasion: Occasion) {
        self.begin_flexible(at);
        self.state.acknowledgement.take_if(|acknowledgement| acknowledgement.is_expired(at));
        let Setting { check, watched, policy, labels, routes, channels, downtimes, .. } = self.setting;
        let reach = match self.is_away && watched == Watched::Check {
            true => Reach::AgentDown,
            false => Reach::Reachable,
        };
        let around = Surroundings {
            check,
            watched,
            policy,
            labels,
            reach,
            downtime: downtime::planned(downtimes.iter(), &self.state.begun, at),
            inhibited_by: None,
            routes,
            channels,
            last_message: &|_, _| None,
            fresh_by: self.fresh_by(),
            now: at,
        };
        let look = telling::look(&around, &mut self.state, occasion);
        if at >= self.setting.since {
            self.note(at, look.tells);
        }
    }

    /// When the next result was to be expected.
    fn fresh_by(&self) -> Option<Timestamp> {
        let policy = self.setting.policy;
        let soft = self.state.state_type == StateType::Soft;
        let interval = if soft { policy.retry_interval } else { policy.interval };
        self.state.last_result_at.map(|last| last.after(interval))
    }

    fn note(&mut self, at: Timestamp, tells: Vec<telling::Tell>) {
        let status = self.state.hard_status.unwrap_or(Status::Unknown);
        let tellings = tells.into_iter().map(|tell| Telling {
            at,
            channel: tell.channel,
            route: tell.route,
            step: tell.step,
            event: tell.event,
            status,
            previous: tell.previous,
            output: self.words.first_line(),
        });
        self.replayed.tellings.extend(tellings);
    }
}

/// What a kept result of a heartbeat says of the run that ended with it.
fn end_of_run(result: &CheckResult) -> Signal {
    match result.status {
        Some(status) if status.is_problem() => Signal::Fail,
        _ => Signal::Success,
    }
}

/// What there is to read of the state; the text is used again and again.
#[derive(Debug, Default)]
struct Words {
    output: String,
    reason: Option<String>,
}

impl Words {
    /// The text of a result that was the same as the one before is not kept, so the one before stands for it.
    fn note(&mut self, result: &CheckResult, verdict: &Verdict) {
        if !result.output.is_empty() || verdict.change.is_some() {
            self.output.clear();
            self.output.push_str(result.output.lines().next().unwrap_or_default());
        }
        self.reason.clone_from(&verdict.reason);
    }

    fn note_silence(&mut self, last: Option<Timestamp>) {
        self.output = last.map_or_else(|| "no contact".to_owned(), |last| format!("no result since {last}"));
        self.reason = None;
    }

    fn first_line(&self) -> String {
        match &self.reason {
            None => self.output.clone(),
            Some(reason) if self.output.is_empty() => reason.clone(),
            Some(reason) => format!("{} ({reason})", self.output),
        }
    }
}
