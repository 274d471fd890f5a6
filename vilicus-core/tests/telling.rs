//! The contract of telling, over anything that can happen to one check: whoever was told of a problem is told of its
//! end, exactly once, whatever was muted in between; and looking when it is due is as good as looking every second.
#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::HashMap;

use proptest::prelude::*;
use vilicus_core::acknowledgement::Acknowledgement;
use vilicus_core::judge::gates::{Hold, Planned, Reach};
use vilicus_core::judge::telling::{self, Occasion, Surroundings, Tell, Watched};
use vilicus_core::judge::{self, Input};
use vilicus_core::route::EscalationStep;
use vilicus_core::state::Told;
use vilicus_core::{
    ChannelId, CheckId, CheckResult, CheckState, Labels, Millis, NotificationEvent, Policy, Route, RouteId,
    Status, Timestamp,
};

/// What happens, one second or more after what happened before.
#[derive(Debug, Clone)]
enum Step {
    Result(Status),
    Pass(u64),
    Acknowledge {
        sticky: bool,
        expires: Option<u64>,
    },
    TakeBack,
    Downtime(u64),
    Reach(u8),
    Inhibit(bool),
    Notifications(bool),
    Volatile(bool),
    Attempts(u32),
    Routes(Option<Vec<Draft>>),
    Channels(u8),
    /// Another check of the group had a message.
    OtherNews,
}

/// A route in short.
#[derive(Debug, Clone)]
struct Draft {
    matcher: u8,
    channels: u8,
    escalate: Vec<(u64, u8)>,
    flags: u8,
    repeat: Option<u64>,
    delay: Option<u64>,
}

const CHANNELS: u8 = 3;
const STATUSES: [&str; 4] = ["status=critical", "status!=warning", "agent=web", "agent=db"];
/// Open in the first 20 minutes of an hour, with which every trial begins.
const SCHEDULE: &str = "00:00-00:20, 00:40-01:00, 01:30-24:00";
const SHORTEST_REPEAT: Millis = Millis::from_secs(60);
const PROCEED: u8 = 1;
const ONLY_WORSE: u8 = 2;
const NO_RECOVERY: u8 = 4;
const SCHEDULED: u8 = 8;

impl Draft {
    fn route(&self, number: u64) -> Route {
        let has = |flag| self.flags & flag != 0;
        let mut route = Route::new(RouteId::new(number).unwrap(), format!("route-{number}"));
        route.matchers =
            STATUSES.get(usize::from(self.matcher)).map(|text| text.parse().unwrap()).into_iter().collect();
        route.channels = channels(self.channels);
        let step = |(after, bits): &(u64, u8)| EscalationStep {
            after: Millis::from_secs(*after),
            channels: channels(*bits),
        };
        route.escalate = self.escalate.iter().map(step).collect();
        route.repeat_interval = self.repeat.map(Millis::from_secs);
        route.first_delay = self.delay.map(Millis::from_secs);
        (route.proceed, route.only_worse, route.send_recovery) =
            (has(PROCEED), has(ONLY_WORSE), !has(NO_RECOVERY));
        route.schedule = has(SCHEDULED).then(|| SCHEDULE.parse().unwrap());
        route
    }
}

fn channels(bits: u8) -> Vec<ChannelId> {
    let numbers = (0..CHANNELS).filter(|bit| bits >> bit & 1 == 1);
    numbers.map(|bit| ChannelId::new(u64::from(bit) + 1).unwrap()).collect()
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let escalate = proptest::collection::vec((1..600_u64, 1..8_u8), 0..3);
    let repeat = proptest::option::of(60..900_u64);
    let delay = proptest::option::weighted(0.2, 1..300_u64);
    let draft = (0..8_u8, 0..8_u8, escalate, 0..16_u8, repeat, delay);
    let draft = draft.prop_map(|(matcher, channels, escalate, flags, repeat, delay)| Draft {
        matcher,
        channels,
        escalate,
        flags,
        repeat,
        delay,
    });
    proptest::collection::vec(draft, 1..4)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => proptest::sample::select(&Status::ALL[..]).prop_map(Step::Result),
        4 => (1..900_u64).prop_map(Step::Pass),
        2 => (any::<bool>(), proptest::option::of(1..300_u64)).prop_map(|(sticky, expires)| Step::Acknowledge { sticky, expires }),
        1 => Just(Step::TakeBack),
        1 => (1..400_u64).prop_map(Step::Downtime),
        1 => (0..4_u8).prop_map(Step::Reach),
        1 => any::<bool>().prop_map(Step::Inhibit),
        1 => any::<bool>().prop_map(Step::Notifications),
        1 => any::<bool>().prop_map(Step::Volatile),
        1 => (1..4_u32).prop_map(Step::Attempts),
        2 => proptest::option::weighted(0.8, drafts()).prop_map(Step::Routes),
        1 => (0..8_u8).prop_map(Step::Channels),
        1 => Just(Step::OtherNews),
    ];
    proptest::collection::vec(step, 1..60)
}

/// One check and the world around it.
#[derive(Debug, Clone)]
struct World {
    now: Timestamp,
    policy: Policy,
    state: CheckState,
    routes: Option<Vec<Route>>,
    channels: Vec<ChannelId>,
    downtime: Option<Timestamp>,
    reach: u8,
    soft_until: Timestamp,
    inhibited: bool,
    other_news: Option<Timestamp>,
    fresh_by: Option<Timestamp>,
    was_volatile: bool,
    /// What each channel knows of an open problem.
    known: HashMap<ChannelId, Status>,
    /// What was told, and when.
    told: Vec<(Timestamp, Tell)>,
}

impl World {
    fn new() -> Self {
        let now = Timestamp::from_millis(1_800_000_000_000);
        Self {
            now,
            policy: Policy::default().max_attempts(1),
            state: CheckState::default(),
            routes: None,
            channels: channels(7),
            downtime: None,
            reach: 0,
            soft_until: now,
            inhibited: false,
            other_news: None,
            fresh_by: None,
            was_volatile: false,
            known: HashMap::new(),
            told: Vec::new(),
        }
    }

    fn ask<R>(&self, ask: impl FnOnce(&Surroundings<'_>) -> R) -> R {
        let downtime = self.downtime.filter(|until| self.now < *until);
        let reach = match self.reach {
            1 => Reach::AgentDown,
            2 => Reach::ParentDown("web/router"),
            3 => Reach::ParentSoft { parent: "web/router", until: self.soft_until },
            _ => Reach::Reachable,
        };
        let (agent_tags, check_tags) = ([], []);
        ask(&Surroundings {
            check: CheckId::new(1).unwrap(),
            watched: Watched::Check,
            policy: &self.policy,
            labels: Labels {
                agent: "web",
                check: "shop",
                kind: "http",
                status: None,
                agent_tags: &agent_tags,
                check_tags: &check_tags,
            },
            reach,
            downtime: downtime.map(|until| Planned { comment: "", until }),
            inhibited_by: self.inhibited.then_some("web/switch"),
            routes: self.routes.as_deref(),
            channels: &self.channels,
            last_message: &|_, _| self.other_news,
            fresh_by: self.fresh_by,
            now: self.now,
        })
    }

    fn look(&mut self, occasion: Occasion) {
        if self.state.acknowledgement.as_deref().is_some_and(|it| it.is_expired(self.now)) {
            self.state.acknowledgement = None;
        }
        let mut state = self.state.clone();
        let look = self.ask(|around| telling::look(around, &mut state, occasion));
        assert!(look.next.is_none_or(|next| next.at > self.now), "the next look is not now: {look:?}");
        let before = std::mem::replace(&mut self.state, state);
        for tell in look.tells {
            assert!(tell.event.is_end() || !self.is_quiet(), "told though it is quiet: {tell:?}");
            self.note(tell);
        }
        self.forget_unwanted_ends(&before);
        let told: HashMap<_, _> = self.state.told.iter().map(|told| (told.channel, told.status)).collect();
        assert_eq!(told, self.known, "what is noted as told is what was told");
    }

    /// Whether a gate of the check is closed, whatever its state.
    fn is_quiet(&self) -> bool {
        !self.policy.notifications
            || self.downtime.is_some_and(|until| self.now < until)
            || self.state.acknowledgement.is_some()
            || matches!(self.reach, 1 | 2)
            || self.inhibited
    }

    /// A channel is told: a problem says what came before it, and only a problem has an end.
    fn note(&mut self, tell: Tell) {
        match tell.event {
            NotificationEvent::Problem => {
                let status = self.state.hard_status.unwrap();
                let before = self.known.insert(tell.channel, status);
                assert_eq!(before, tell.previous, "{tell:?}");
                if before == Some(status) {
                    self.check_repeat(&tell);
                }
            }
            NotificationEvent::Recovery => {
                assert!(self.known.remove(&tell.channel).is_some(), "an end without a problem: {tell:?}");
            }
            NotificationEvent::Flapping | NotificationEvent::Acknowledgement => {}
            other => panic!("{other:?} is not told of a check"),
        }
        self.told.push((self.now, tell));
    }

    /// The same is told again after the shortest interval of all, or by a later step, or when each result is told.
    fn check_repeat(&self, tell: &Tell) {
        let same = |(_, older): &&(Timestamp, Tell)| {
            older.channel == tell.channel && older.event == NotificationEvent::Problem
        };
        let (at, older) = self.told.iter().rfind(same).unwrap();
        let early = self.now.since(*at) < SHORTEST_REPEAT;
        assert!(!early || tell.step > older.step || self.was_volatile, "{tell:?} after {older:?} of {at}");
    }

    /// Ends that no route wants are not told.
    fn forget_unwanted_ends(&mut self, before: &CheckState) {
        let unwanted = |told: &&Told| {
            let mut routes = self.routes.iter().flatten();
            let route = routes.find(|route| Some(route.id) == told.route);
            self.state.told.is_empty() && route.is_some_and(|route| !route.send_recovery)
        };
        for told in before.told.iter().filter(unwanted) {
            self.known.remove(&told.channel);
        }
    }

    /// Lets time pass, looking only when it is due, or every second.
    fn pass(&mut self, seconds: u64, every_second: bool) {
        for _ in 0..seconds {
            self.now = self.now.after(Millis::from_secs(1));
            if every_second || self.state.look_at.is_some_and(|at| at <= self.now) {
                self.look(Occasion::default());
            }
        }
    }

    fn take(&mut self, step: &Step, every_second: bool) {
        self.pass(1, every_second);
        match step {
            Step::Result(status) => return self.report(*status),
            Step::Pass(seconds) => return self.pass(*seconds, every_second),
            Step::Acknowledge { sticky, expires } => self.acknowledge(*sticky, *expires),
            Step::TakeBack => self.state.acknowledgement = None,
            Step::Downtime(seconds) => self.downtime = Some(self.now.after(Millis::from_secs(*seconds))),
            Step::Reach(reach) => {
                self.reach = *reach;
                self.soft_until = self.now.after(Millis::from_secs(35));
            }
            Step::Inhibit(inhibited) => self.inhibited = *inhibited,
            Step::Notifications(on) => self.policy.notifications = *on,
            Step::Volatile(on) => {
                self.policy.volatile = *on;
                self.was_volatile |= *on;
            }
            Step::Attempts(attempts) => self.policy = self.policy.clone().max_attempts(*attempts),
            Step::Routes(drafts) => {
                let routes = |drafts: &Vec<Draft>| {
                    (1..).zip(drafts).map(|(number, draft)| draft.route(number)).collect()
                };
                self.routes = drafts.as_ref().map(routes);
            }
            Step::Channels(bits) => self.channels = channels(*bits),
            Step::OtherNews => self.other_news = Some(self.now),
        }
        self.look(Occasion::default());
    }

    fn report(&mut self, status: Status) {
        let result = CheckResult::new(status, "");
        let input = Input::Result { result: &result, timestamp: self.now };
        let verdict = judge::judge(&self.policy, &mut self.state, input, self.now);
        self.fresh_by = Some(self.now.after(Millis::from_secs(45)));
        let turned =
            verdict.change.is_some() || verdict.flapping.is_some() || verdict.acknowledgement_ended.is_some();
        if turned || !telling::is_settled(&self.policy, &self.state, self.now) {
            self.look(Occasion { fresh: true, again: status.is_problem(), traced: false });
        }
    }

    fn acknowledge(&mut self, sticky: bool, expires: Option<u64>) {
        if !self.state.status.is_some_and(Status::is_problem) {
            return;
        }
        let expires_at = expires.map(|seconds| self.now.after(Millis::from_secs(seconds)));
        let acknowledgement = Acknowledgement {
            by: "ann".to_owned(),
            comment: String::new(),
            at: self.now,
            sticky,
            expires_at,
            public: false,
        };
        self.state.acknowledgement = Some(Box::new(acknowledgement));
        let tells = telling::acknowledged(self.routes.as_deref(), &self.state);
        tells.into_iter().for_each(|tell| self.note(tell));
    }
}

fn played(steps: &[Step], every_second: bool) -> World {
    let mut world = World::new();
    steps.iter().for_each(|step| world.take(step, every_second));
    world
}

/// What was told, without what waits for the next result anyhow.
fn states_told(world: &World) -> Vec<&(Timestamp, Tell)> {
    world.told.iter().filter(|(_, tell)| tell.event != NotificationEvent::Flapping).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whoever_was_told_of_a_problem_is_told_of_its_end(steps in steps()) {
        let mut world = played(&steps, false);
        // However it flapped, it has settled by then.
        for _ in 0..25 {
            world.take(&Step::Result(Status::Ok), false);
        }
        prop_assert_eq!(world.known, HashMap::new());
        prop_assert_eq!(world.state.held, None);
    }

    #[test]
    fn looking_when_it_is_due_is_as_good_as_looking_every_second(steps in steps()) {
        let (due, always) = (played(&steps, false), played(&steps, true));
        prop_assert_eq!(states_told(&due), states_told(&always));
    }
}

#[test]
fn a_route_without_the_step_that_was_reached_repeats_all_the_same() {
    let draft =
        |escalate| Draft { matcher: 9, channels: 1, escalate, flags: 0, repeat: Some(60), delay: None };
    let mut world = World::new();
    world.take(&Step::Routes(Some(vec![draft(vec![(30, 1)])])), false);
    world.take(&Step::Result(Status::Critical), false);
    world.take(&Step::Pass(40), false);
    assert_eq!(world.told.len(), 2, "the problem, and the step");
    world.take(&Step::Routes(Some(vec![draft(Vec::new())])), false);
    world.take(&Step::Pass(60), false);
    assert_eq!(world.told.len(), 3, "told again");
}

#[test]
fn steps_that_are_reached_at_once_are_one_message() {
    let draft = Draft {
        matcher: 9,
        channels: 0,
        escalate: vec![(10, 1), (20, 1)],
        flags: 0,
        repeat: None,
        delay: None,
    };
    let mut world = World::new();
    world.take(&Step::Routes(Some(vec![Draft { channels: 2, ..draft.clone() }])), false);
    world.take(&Step::Result(Status::Critical), false);
    world.take(&Step::Downtime(60), false);
    world.take(&Step::Pass(90), false);
    let phone = channels(1)[0];
    assert_eq!(world.told.iter().filter(|(_, tell)| tell.channel == phone).count(), 1);
}

#[test]
fn a_route_without_a_channel_that_is_on_says_so() {
    let (policy, on) = (Policy::default().max_attempts(1), channels(1));
    let mut route = Route::new(RouteId::new(1).unwrap(), "lab");
    for off in [Vec::new(), channels(2)] {
        route.channels = off;
        let (mut state, now) = (CheckState::default(), Timestamp::EPOCH);
        let result = CheckResult::critical("full");
        let _ = judge::judge(&policy, &mut state, Input::Result { result: &result, timestamp: now }, now);
        let around = Surroundings {
            routes: Some(std::slice::from_ref(&route)),
            ..Surroundings::alone(CheckId::new(1).unwrap(), &policy, &on, now)
        };
        let look = telling::explain(&around, &state);
        assert_eq!((look.hold, look.tells.len()), (Some(Hold::NoRoute), 0));
        assert!(look.trace.last().unwrap().why.contains("switched on"), "{:?}", look.trace);
    }
}

#[test]
fn a_step_that_is_due_once_another_route_has_told_is_told_with_it() {
    let draft = |matcher, channels, escalate: &[(u64, u8)], flags| Draft {
        matcher,
        channels,
        escalate: escalate.to_vec(),
        flags,
        repeat: None,
        delay: None,
    };
    // The second route tells only what is worse; its steps have been reached when the third tells the same channel.
    let routes = vec![
        draft(0, 0, &[(1, 3)], ONLY_WORSE | NO_RECOVERY),
        draft(9, 0, &[(1, 1), (1, 3)], PROCEED | ONLY_WORSE),
        draft(2, 1, &[], NO_RECOVERY),
    ];
    let steps = [
        Step::Routes(Some(routes)),
        Step::Result(Status::Critical),
        Step::Pass(1),
        Step::Result(Status::Warning),
        Step::Routes(None),
    ];
    let (due, always) = (played(&steps, false), played(&steps, true));
    assert_eq!(states_told(&due), states_told(&always));
    let phone = channels(1)[0];
    assert_eq!(due.state.told(phone).map(|told| told.step), Some(2));
}
