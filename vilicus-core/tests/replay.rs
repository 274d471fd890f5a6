//! Stored history through the judge: what it would have told, beside one that lives through every second of it.
#![expect(clippy::unwrap_used, reason = "a test may")]

use std::sync::LazyLock;

use proptest::prelude::*;
use vilicus_core::acknowledgement::Acknowledgement;
use vilicus_core::availability::Durations;
use vilicus_core::downtime::When;
use vilicus_core::judge::telling::{self, Occasion, Surroundings, Watched};
use vilicus_core::judge::{self, Input, freshness};
use vilicus_core::replay::{Act, Away, Replayed, Setting, Sign, replay};
use vilicus_core::route::EscalationStep;
use vilicus_core::schedule::{Expectation, Window};
use vilicus_core::{
    ChannelId, CheckId, CheckResult, CheckState, Downtime, DowntimeId, Metric, Millis, NotificationEvent,
    Policy, Route, RouteId, Status, Threshold, Timestamp,
};

/// A Monday.
const START: i64 = 1_767_571_200_000;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_millis(START + minute * 60_000)
}

fn check() -> CheckId {
    CheckId::new(7).unwrap()
}

fn channel(id: u64) -> ChannelId {
    ChannelId::new(id).unwrap()
}

/// The one channel of most tests.
fn phone() -> &'static [ChannelId] {
    static PHONE: LazyLock<[ChannelId; 1]> = LazyLock::new(|| [channel(1)]);
    &*PHONE
}

fn span(start: i64, end: i64) -> Window {
    Window { start: at(start), end: at(end) }
}

/// Results from these minutes on, one a minute, as letters.
fn rows(first: i64, letters: &str) -> Vec<(Timestamp, CheckResult)> {
    let result = |letter| match letter {
        'O' => CheckResult::ok("fine"),
        'W' => CheckResult::warning("warm"),
        'U' => CheckResult::unknown("what?"),
        _ => CheckResult::critical("hot"),
    };
    (first..).map(at).zip(letters.chars().map(result)).collect()
}

fn run(setting: Setting<'_>, rows: &[(Timestamp, CheckResult)], until: i64) -> Replayed {
    replay(setting, rows.iter().map(|(timestamp, result)| (*timestamp, result)), at(until))
}

/// What was told, as `minute event status`.
fn told(replayed: &Replayed) -> Vec<String> {
    let one = |telling: &vilicus_core::replay::Telling| {
        let minute = (telling.at.as_millis() - START) as f64 / 60_000.0;
        format!("{minute} {} {}", telling.event.as_str(), telling.status)
    };
    replayed.tellings.iter().map(one).collect()
}

fn two() -> Policy {
    Policy::default().max_attempts(2)
}

#[test]
fn a_milder_policy_tells_less() {
    let rows = rows(0, "OCOOCCCOOWWOOO");
    for (attempts, expected) in [
        (
            1,
            &[
                "1 problem CRITICAL",
                "2 recovery OK",
                "4 problem CRITICAL",
                "7 recovery OK",
                "9 problem WARNING",
                "11 recovery OK",
            ][..],
        ),
        (2, &["5 problem CRITICAL", "7 recovery OK", "10 problem WARNING", "11 recovery OK"]),
        (3, &["6 problem CRITICAL", "7 recovery OK"]),
        (4, &[]),
    ] {
        let mut policy = Policy::default().max_attempts(attempts);
        policy.flap_detection = false;
        let replayed = run(Setting::alone(check(), &policy, phone()), &rows, 14);
        assert_eq!(told(&replayed), expected, "{attempts}");
        assert_eq!(replayed.results, 14);
    }
}

#[test]
fn thresholds_are_asked_again_and_say_why() {
    let threshold = Threshold { critical: "90".parse().ok(), ..Threshold::default() };
    let policy = two().thresholds([("usage".to_owned(), threshold)].into());
    let rows: Vec<_> = (0..)
        .map(at)
        .zip(
            [50.0, 95.0, 96.0, 96.0]
                .map(|value| CheckResult::measured("disk\nmore").metric(Metric::percent("usage", value))),
        )
        .collect();
    let replayed = run(Setting::alone(check(), &policy, phone()), &rows, 4);
    assert_eq!(told(&replayed), ["2 problem CRITICAL"]);
    let output = &replayed.tellings[0].output;
    assert!(output.starts_with("disk (usage 96") && !output.contains("more"), "{output}");
}

#[test]
fn what_was_before_the_span_is_known_and_not_told_again() {
    let policy = two();
    let setting = Setting { since: at(3), ..Setting::alone(check(), &policy, phone()) };
    let replayed = run(setting, &rows(0, "CCCCCO"), 6);
    assert_eq!(told(&replayed), ["5 recovery OK"]);
    assert_eq!(replayed.tellings[0].previous, Some(Status::Critical));
    assert_eq!(replayed.results, 3);
    let durations = replayed.course.durations(span(3, 6), &[]).outside;
    assert_eq!((durations.critical, durations.ok), (Millis::from_minutes(2), Millis::from_minutes(1)));
}

#[test]
fn results_that_stay_out_are_news_at_the_exact_moment() {
    let policy = Policy::default();
    let mut rows = rows(0, "OO");
    rows.extend(self::rows(30, "OO"));
    let replayed = run(Setting::alone(check(), &policy, phone()), &rows, 60);
    let gap = freshness::allowed_gap(&policy);
    assert_eq!(replayed.tellings[0].at, at(1).after(gap));
    assert_eq!(replayed.tellings[0].output, format!("no result since {}", at(1)));
    assert_eq!(replayed.tellings[1].at, at(30));
    assert_eq!(replayed.tellings[2].at, at(31).after(gap), "and again at the end");
    let durations = replayed.course.durations(span(0, 30), &[]).outside;
    assert_eq!(durations.undetermined, at(30).since(at(1).after(gap)));
    assert_eq!(durations.unknown, Millis::ZERO);
}

#[test]
fn silence_of_the_agent_is_not_that_of_its_checks() {
    let policy = Policy::default();
    let away = [Away { heard: at(1), down: at(3), until: at(30) }];
    let setting = Setting { away: &away, ..Setting::alone(check(), &policy, phone()) };
    let mut known = rows(0, "OO");
    known.extend(rows(30, "OO"));
    assert_eq!(told(&run(setting, &known, 32)), [""; 0]);

    known.truncate(2);
    let replayed = run(setting, &known, 60);
    assert_eq!(replayed.tellings[0].at, at(30).after(freshness::allowed_gap(&policy)), "it is back alone");

    let late = rows(0, "OOCCCCCCC");
    assert_eq!(
        told(&run(setting, &late, 32)),
        ["30 problem CRITICAL"],
        "the outcome is told when it is back"
    );
}

#[test]
fn an_agent_is_down_and_up() {
    let policy = Policy::default();
    let away = [Away { heard: at(8), down: at(10), until: at(20) }];
    let alone = Setting::alone(check(), &policy, &[]);
    let setting = Setting {
        watched: Watched::Agent,
        sign: Sign::Nothing,
        away: &away,
        channels: phone(),
        since: at(0),
        ..alone
    };
    let replayed = run(setting, &[], 30);
    assert_eq!(told(&replayed), ["10 agent_down CRITICAL", "20 agent_up OK"]);
    let durations = replayed.course.durations(span(0, 30), &[]).outside;
    let minutes = Millis::from_minutes;
    assert_eq!(durations, Durations { ok: minutes(20), critical: minutes(10), ..Durations::default() });
}

#[test]
fn a_job_that_stays_out_is_missed_and_one_that_fails_is_told_at_once() {
    let policy = Policy::default();
    let expected = Expectation::Period(Millis::from_hours(1));
    let sign = Sign::Pings { expected: &expected, grace: Millis::from_minutes(5) };
    let setting = Setting { sign, ..Setting::alone(check(), &policy, phone()) };
    let rows: Vec<_> = [(0, 'O'), (60, 'O'), (200, 'O'), (260, 'C'), (270, 'O')]
        .into_iter()
        .flat_map(|(minute, letter)| rows(minute, &letter.to_string()))
        .collect();
    assert_eq!(
        told(&run(setting, &rows, 300)),
        ["125 problem CRITICAL", "200 recovery OK", "260 problem CRITICAL", "270 recovery OK"]
    );
}

fn route(change: impl FnOnce(&mut Route)) -> Vec<Route> {
    let mut route = Route::new(RouteId::new(1).unwrap(), "ops");
    route.channels = vec![channel(1)];
    route.repeat_interval = None;
    change(&mut route);
    vec![route]
}

#[test]
fn time_alone_makes_repeats_escalations_and_schedules_due() {
    let policy = two();
    let channels = [channel(1), channel(2)];
    let hour = Millis::from_hours(1);
    let rows = rows(0, &"C".repeat(150));
    for (routes, expected) in [
        (
            route(|route| route.repeat_interval = Some(hour)),
            &["1 problem CRITICAL", "61 problem CRITICAL", "121 problem CRITICAL"][..],
        ),
        (
            route(|route| {
                let after = Millis::from_minutes(30);
                route.escalate = vec![EscalationStep { after, channels: vec![channel(2)] }];
            }),
            &["1 problem CRITICAL", "31 problem CRITICAL"],
        ),
        (route(|route| route.schedule = "Mon-Fri 01:30-18:00".parse().ok()), &["90 problem CRITICAL"]),
        (route(|route| route.first_delay = Some(hour)), &["61 problem CRITICAL"]),
        (route(|route| route.matchers = vec!["status=warning".parse().unwrap()]), &[]),
    ] {
        let setting = Setting { routes: Some(&routes), ..Setting::alone(check(), &policy, &channels) };
        assert_eq!(told(&run(setting, &rows, 150)), expected, "{routes:?}");
    }
}

#[test]
fn what_people_did_stands() {
    let policy = two();
    let routes = route(|route| route.repeat_interval = Some(Millis::from_minutes(10)));
    let sticky = |expires: Option<i64>| Acknowledgement {
        by: "ann".to_owned(),
        comment: String::new(),
        at: at(5),
        sticky: true,
        expires_at: expires.map(at),
        public: false,
    };
    let rows = rows(0, "CCCCCCCCCCCCCCCCCCCCCCCCCCCCCO");
    for (acts, expected) in [
        (vec![], &["1 problem CRITICAL", "11 problem CRITICAL", "21 problem CRITICAL", "29 recovery OK"][..]),
        (vec![(5, Some(sticky(None)))], &["1 problem CRITICAL", "29 recovery OK"]),
        (
            vec![(5, Some(sticky(Some(15))))],
            &["1 problem CRITICAL", "15 problem CRITICAL", "25 problem CRITICAL", "29 recovery OK"],
        ),
        (
            vec![(5, Some(sticky(None))), (25, None)],
            &["1 problem CRITICAL", "26 problem CRITICAL", "29 recovery OK"],
        ),
    ] {
        let acts: Vec<Act> = acts
            .into_iter()
            .map(|(minute, acknowledgement)| Act { at: at(minute), acknowledgement })
            .collect();
        let setting =
            Setting { routes: Some(&routes), acts: &acts, ..Setting::alone(check(), &policy, phone()) };
        assert_eq!(told(&run(setting, &rows, 30)), expected, "{acts:?}");
    }
}

#[test]
fn downtimes_hold_the_problem_and_never_the_recovery() {
    let policy = two();
    let downtime = |start, end, flexible: Option<i64>| Downtime {
        id: DowntimeId::new(1).unwrap(),
        matchers: Vec::new(),
        when: When::Once(span(start, end)),
        flexible: flexible.map(|minutes| Millis::from_minutes(minutes.unsigned_abs())),
        comment: String::new(),
        by: String::new(),
        created_at: at(0),
        managed_by: None,
    };
    let problem = rows(0, "OOCCCCCCCCCCOOOO");
    for (planned, expected) in [
        (downtime(0, 16, None), &[][..]),
        (downtime(0, 6, None), &["6 problem CRITICAL", "12 recovery OK"]),
        (downtime(4, 16, None), &["3 problem CRITICAL", "12 recovery OK"]),
        (downtime(0, 4, Some(6)), &["8 problem CRITICAL", "12 recovery OK"]),
        (downtime(0, 2, Some(60)), &["3 problem CRITICAL", "12 recovery OK"]),
    ] {
        let downtimes = [planned];
        let setting = Setting { downtimes: &downtimes, ..Setting::alone(check(), &policy, phone()) };
        assert_eq!(told(&run(setting, &problem, 16)), expected, "{downtimes:?}");
    }
}

/// What was told and when, by one that looks at every second and at every result.
fn lived_through(
    policy: &Policy,
    routes: &[Route],
    rows: &[(Timestamp, CheckResult)],
    until: Timestamp,
) -> Vec<(Timestamp, ChannelId, NotificationEvent, Option<Status>)> {
    let channels = [channel(1), channel(2)];
    let mut state = CheckState::default();
    let mut told = Vec::new();
    let mut rows = rows.iter().peekable();
    for second in 0.. {
        let now = at(0).after(Millis::from_secs(second));
        if now >= until {
            return told;
        }
        let mut occasion = Occasion::default();
        if let Some((timestamp, result)) = rows.next_if(|(timestamp, _)| *timestamp == now) {
            let input = Input::Result { result, timestamp: *timestamp };
            let verdict = judge::judge(policy, &mut state, input, now);
            occasion = Occasion { fresh: true, again: verdict.status.is_problem(), traced: true };
        } else if let Some(last) = state.last_received_at
            && !state.stale
            && last.after(freshness::allowed_gap(policy)) == now
        {
            let _ = judge::judge(policy, &mut state, Input::Stale { deadline: now }, now);
        }
        let fresh_by = state.last_result_at.map(|last| last.after(policy.interval));
        let around = Surroundings {
            routes: Some(routes),
            fresh_by,
            ..Surroundings::alone(check(), policy, &channels, now)
        };
        let look = telling::look(&around, &mut state, occasion);
        told.extend(look.tells.into_iter().map(|tell| (now, tell.channel, tell.event, tell.previous)));
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_replay_tells_what_was_told(
        letters in "[OOOOCCCWU]{1,60}",
        gaps in proptest::collection::vec(prop_oneof![4 => Just(60_u64), 1 => 61..400_u64], 60),
        (attempts, recover_attempts, volatile) in (1..4_u32, 1..3_u32, any::<bool>()),
        (repeat, escalation, delay) in
            (proptest::option::of(120..900_u64), 0..900_u64, proptest::option::of(1..300_u64)),
        (only_worse, open) in (any::<bool>(), 0..30_u64),
    ) {
        let mut policy = Policy::default().max_attempts(attempts);
        (policy.recover_attempts, policy.volatile) = (recover_attempts, volatile);
        let routes = route(|route| {
            route.repeat_interval = repeat.map(Millis::from_secs);
            let after = Millis::from_secs(escalation);
            route.escalate = vec![EscalationStep { after, channels: vec![channel(2)] }];
            route.first_delay = delay.map(Millis::from_secs);
            route.only_worse = only_worse;
            route.schedule = format!("00:{open:02}-23:00").parse().ok();
        });
        let mut moment = at(0);
        let rows: Vec<(Timestamp, CheckResult)> = rows(0, &letters)
            .into_iter()
            .zip(gaps)
            .map(|((_, result), gap)| {
                moment = moment.after(Millis::from_secs(gap));
                (moment, result)
            })
            .collect();
        let until = moment.after(Millis::from_minutes(30));
        let channels = [channel(1), channel(2)];
        let setting = Setting { routes: Some(&routes), ..Setting::alone(check(), &policy, &channels) };
        let replayed = replay(setting, rows.iter().map(|(timestamp, result)| (*timestamp, result)), until);
        let again: Vec<_> = replayed
            .tellings
            .iter()
            .map(|telling| (telling.at, telling.channel, telling.event, telling.previous))
            .collect();
        prop_assert_eq!(again, lived_through(&policy, &routes, &rows, until));
    }
}
