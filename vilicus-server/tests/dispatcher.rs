//! The dispatcher against the real store and a notifier that does what it is told, on a clock of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod bench;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vilicus_core::notifier::Progress;
use vilicus_core::route::EscalationStep;
use vilicus_core::{
    ChannelId, CheckId, CheckResult, Millis, NotificationEvent, NotifierRegistry, Route, RouteId, Status,
};
use vilicus_server::Clock as _;
use vilicus_server::api::ChannelTester as _;
use vilicus_server::dispatcher::{ASK_EVERY, Dispatcher, PROBE_EVERY, Parts, Standing, Tester};
use vilicus_server::health::Pulse;
use vilicus_store::inventory::{Channel, ChannelWords};
use vilicus_store::outbox::{OutboxRow, OutboxState};
use vilicus_store::query::{NotificationQuery, Order};
use vilicus_store::{Change, EngineStore, Input, Json, MemoryEngine, Options, Outcome};

use bench::{Does, Hand, Remote, RemoteKind, TestClock, Time, agent, check, item, ms, secs};

/// A dispatcher at work.
struct Bench {
    remote: Remote,
    parts: Parts,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    time: Time,
}

impl Bench {
    async fn new() -> Self {
        let time = Time::hold();
        let start = Instant::now();
        let clock = Arc::new(TestClock(start));
        let remote = Remote::default();
        let store = EngineStore::open(MemoryEngine::new(), Options::new(clock.now(), [7; 16])).unwrap();
        let parts = Parts {
            store: Arc::new(store),
            notifiers: NotifierRegistry::new().with(RemoteKind(remote.clone(), start)),
            clock,
            public_url: Some("https://vilicus.example.org/".to_owned()),
            standing: Standing::default(),
        };
        let (stop, stopped) = oneshot::channel();
        let dispatcher = Dispatcher::new(parts.clone(), Pulse::new(parts.clock.clone()));
        let task = tokio::spawn(dispatcher.run(async { drop(stopped.await) }));
        Self { remote, parts, stop: Some(stop), task, time }
    }

    fn hand(&self) -> Hand {
        Hand { store: self.parts.store.clone(), clock: self.parts.clock.clone() }
    }

    async fn commit(&self, input: Input) -> Outcome {
        self.hand().commit(input).await
    }

    async fn channel(&self, name: &str, edit: impl FnOnce(&mut Channel)) -> ChannelId {
        let mut channel = bench::channel(name);
        edit(&mut channel);
        self.hand().channel(channel).await
    }

    /// A check that is sure at once, and its agent.
    async fn check(&self, name: &str) -> CheckId {
        let agent = self.hand().agent(agent(&format!("host-of-{name}"))).await;
        self.hand().check(check(agent, name, "test")).await
    }

    async fn result(&self, check: CheckId, status: Status) {
        self.hand().result(check, CheckResult::new(status, format!("it is {status}"))).await;
    }

    /// The routes are these alone.
    async fn route(&self, name: &str, channels: &[ChannelId], edit: impl FnOnce(&mut Route)) {
        let mut route = Route::new(RouteId::new(1).unwrap(), name);
        route.channels = channels.to_vec();
        route.group_wait = Millis::ZERO;
        edit(&mut route);
        self.hand().change(Change::CreateRoute(Box::new(route))).await;
    }

    async fn edit(&self, id: ChannelId, edit: impl FnOnce(&mut Channel)) {
        let mut channel = self.find(id).await;
        edit(&mut channel);
        let change = Change::UpdateChannel(Box::new(channel));
        self.commit(Input::Change { change, by: "test".to_owned() }).await;
    }

    async fn find(&self, id: ChannelId) -> Channel {
        let channels = self.parts.store.channels().await.unwrap();
        Channel::clone(channels.iter().find(|channel| channel.id == id).unwrap())
    }

    async fn tell(&self, channel: ChannelId, group: &str, output: &str) {
        let mut item = Box::new(item(output, self.parts.clock.now()));
        item.subject = format!("subject-of-{group}");
        self.commit(Input::Tell { channel, item, group: group.to_owned() }).await;
    }

    async fn rows(&self, channel: ChannelId) -> Vec<Arc<OutboxRow>> {
        let query = NotificationQuery {
            channels: vec![channel],
            order: Order::OldestFirst,
            limit: 1000,
            ..NotificationQuery::default()
        };
        self.parts.store.notifications(&query).await.unwrap()
    }

    async fn states(&self, channel: ChannelId) -> Vec<&'static str> {
        self.rows(channel).await.iter().map(|row| row.state.as_str()).collect()
    }

    async fn settle(&self) {
        self.time.settle().await;
    }

    /// Moves the time in such steps until it is so, for `limit` at most.
    async fn until(&self, what: &str, step: Duration, limit: Duration, so: impl AsyncFnMut() -> bool) {
        let was = self.time.until(step, limit, so).await;
        assert!(was, "{what}: not within {limit:?}; tries: {:#?}", self.remote.got);
    }

    async fn pass(&self, step: Duration, span: Duration) {
        self.time.pass(step, span).await;
    }

    async fn until_passed(&self, channel: &str, count: usize) {
        let what = format!("{count} messages pass on {channel}");
        let so = async || self.remote.passed(channel).len() >= count;
        self.until(&what, ms(100), secs(60), so).await;
        self.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_delivered_once() {
    let bench = Bench::new().await;
    let mail = bench.channel("mail", |_| {}).await;
    bench.tell(mail, "a", "down").await;
    bench.until_passed("mail", 1).await;
    bench.pass(secs(30), secs(600)).await;
    assert_eq!(bench.remote.tries("mail").len(), 1);
    let row = bench.rows(mail).await.remove(0);
    assert!(matches!(row.state, OutboxState::Sent { .. }), "{row:?}");
    let got = &bench.remote.passed("mail")[0].notification;
    assert_eq!((&got.key, got.more, got.items.len()), (&row.key, 0, 1));
    assert_eq!(got.url.as_deref(), Some("https://vilicus.example.org/"));
    assert!(got.reason.contains("'mail'"), "{}", got.reason);
}

#[tokio::test(start_paused = true)]
async fn a_passing_fault_is_tried_again_with_the_same_key() {
    let bench = Bench::new().await;
    bench.remote.will("mail", [Does::Busy, Does::Panics, Does::Busy]);
    let mail = bench.channel("mail", |_| {}).await;
    bench.tell(mail, "a", "down").await;
    bench.until_passed("mail", 1).await;
    let tries = bench.remote.tries("mail");
    assert_eq!(tries.len(), 4);
    assert!(tries.iter().all(|got| got.notification.key == tries[0].notification.key));
    let row = bench.rows(mail).await.remove(0);
    assert_eq!(row.try_count, 4);
    assert!(row.tries[1].detail.contains("a bug in the notifier"), "{:?}", row.tries);
}

#[tokio::test(start_paused = true)]
async fn the_remotes_wish_to_be_left_alone_is_obeyed_by_the_whole_channel() {
    let bench = Bench::new().await;
    bench.remote.will("mail", [Does::BusyFor(Millis::from_minutes(7))]);
    let mail = bench.channel("mail", |_| {}).await;
    bench.tell(mail, "a", "first").await;
    bench.until("the first try", ms(10), secs(1), async || bench.remote.tries("mail").len() == 1).await;
    bench.tell(mail, "b", "second").await;
    bench.pass(secs(10), secs(7 * 60 - 20)).await;
    assert_eq!(bench.remote.tries("mail").len(), 1, "nothing is sent meanwhile");
    bench.until_passed("mail", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_is_given_up_and_told_to_the_fallback() {
    let bench = Bench::new().await;
    bench.remote.will("mail", [Does::RefusesTheMessage]);
    let phone = bench.channel("phone", |_| {}).await;
    let mail = bench.channel("mail", |channel| channel.fallback = Some(phone)).await;
    bench.tell(mail, "a", "down").await;
    bench.tell(mail, "b", "also down").await;
    bench.until_passed("phone", 1).await;
    bench.until_passed("mail", 1).await;
    assert_eq!(bench.states(mail).await, ["failed", "sent"]);
    let told = &bench.remote.outputs("phone")[0];
    assert!(told.contains("down") && told.contains("no such mailbox"), "{told}");
    assert!(bench.find(mail).await.paused.is_none(), "others pass");
}

#[tokio::test(start_paused = true)]
async fn channels_that_are_each_others_fallback_throw_no_ball() {
    let bench = Bench::new().await;
    let one = bench.channel("one", |_| {}).await;
    let two = bench.channel("two", |channel| channel.fallback = Some(one)).await;
    bench.edit(one, |channel| channel.fallback = Some(two)).await;
    bench.remote.will("one", vec![Does::RefusesTheMessage; 50]);
    bench.remote.will("two", vec![Does::RefusesTheMessage; 50]);
    bench.tell(two, "a", "down").await;
    bench.pass(secs(1), secs(60)).await;
    assert_eq!((bench.remote.tries("two").len(), bench.remote.tries("one").len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_is_gone_keeps_nothing_from_being_written_down() {
    let bench = Bench::new().await;
    bench.remote.will("mail", [Does::RefusesTheMessage, Does::RefusesTheChannel]);
    let gone = ChannelId::new(77).unwrap();
    let mail = bench.channel("mail", |channel| channel.fallback = Some(gone)).await;
    bench.tell(mail, "a", "down").await;
    bench.until("the end", ms(100), secs(5), async || bench.states(mail).await == ["failed"]).await;
    bench.tell(mail, "b", "down").await;
    bench.until("the pause", ms(100), secs(5), async || bench.find(mail).await.paused.is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_channel_is_paused_probed_and_released() {
    let bench = Bench::new().await;
    bench.remote.will("mail", [Does::RefusesTheChannel, Does::RefusesTheChannel]);
    let phone = bench.channel("phone", |_| {}).await;
    let mail = bench.channel("mail", |channel| channel.fallback = Some(phone)).await;
    bench.tell(mail, "a", "first").await;
    bench.until_passed("phone", 1).await;
    assert_eq!(bench.find(mail).await.paused.unwrap().fault, "wrong password");
    assert!(bench.remote.outputs("phone")[0].contains("wrong password"));
    for number in 0..6 {
        bench.tell(mail, &format!("g{number}"), &format!("later {number}")).await;
    }
    bench.pass(secs(10), PROBE_EVERY - secs(20)).await;
    assert_eq!(bench.remote.tries("mail").len(), 1, "messages wait");
    bench.until("the first probe", secs(5), secs(60), async || bench.remote.tries("mail").len() == 2).await;
    bench
        .until("the second probe", secs(5), PROBE_EVERY + secs(60), async || {
            bench.remote.passed("mail").len() == 7
        })
        .await;
    bench.until_passed("phone", 2).await;
    assert_eq!(bench.remote.outputs("mail")[0], "first", "the oldest is what is probed with");
    assert!(bench.find(mail).await.paused.is_none());
    let back = bench.remote.passed("phone").remove(1).notification;
    assert_eq!(back.items[0].event, NotificationEvent::Recovery);
    assert_eq!(bench.remote.passed("phone").len(), 2, "told once each");
}

#[tokio::test(start_paused = true)]
async fn an_edit_releases_a_channel_at_once() {
    let bench = Bench::new().await;
    let mail = bench.channel("mail", |channel| channel.params = Json(json!({"name": "wrong"}))).await;
    bench.tell(mail, "a", "down").await;
    bench.until("the pause", ms(10), secs(5), async || bench.find(mail).await.paused.is_some()).await;
    assert!(bench.find(mail).await.paused.unwrap().fault.contains("no such remote"));
    bench.edit(mail, |channel| channel.params = Json(json!({"name": "mail"}))).await;
    let before = Instant::now();
    bench.until_passed("mail", 1).await;
    assert!(before.elapsed() < secs(5), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_test_that_passes_releases_a_channel_and_one_that_fails_does_not() {
    let bench = Bench::new().await;
    bench.remote.will("mail", [Does::RefusesTheChannel, Does::RefusesTheChannel]);
    let mail = bench.channel("mail", |_| {}).await;
    bench.tell(mail, "a", "down").await;
    bench.until("the pause", ms(10), secs(5), async || bench.find(mail).await.paused.is_some()).await;
    let tester = Tester::new(bench.parts.clone());
    let failed = tester.test(mail).await;
    assert!(!failed.delivered && failed.detail.contains("wrong password"), "{failed:?}");
    assert!(bench.find(mail).await.paused.is_some());
    let before = Instant::now();
    assert!(tester.test(mail).await.delivered);
    bench.until_passed("mail", 2).await;
    assert!(before.elapsed() < secs(5));
    assert_eq!(bench.remote.passed("mail")[0].notification.items[0].event, NotificationEvent::Test);
    assert!(!tester.test(ChannelId::new(99).unwrap()).await.delivered);
}

#[tokio::test(start_paused = true)]
async fn a_slow_channel_delays_no_other() {
    let bench = Bench::new().await;
    bench.remote.will("slow", vec![Does::TakesItAfter(secs(40)); 20]);
    let slow = bench.channel("slow", |_| {}).await;
    let fast = bench.channel("fast", |_| {}).await;
    for number in 0..20 {
        bench.tell(slow, &format!("g{number}"), "x").await;
        bench.tell(fast, &format!("g{number}"), "x").await;
    }
    bench.until_passed("fast", 20).await;
    assert!(bench.remote.passed("slow").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_never_answers_is_given_up_on_for_now() {
    let bench = Bench::new().await;
    bench.remote.will("mail", [Does::TakesItAfter(secs(3600))]);
    let mail = bench.channel("mail", |_| {}).await;
    bench.tell(mail, "a", "down").await;
    bench.until("the second try", secs(1), secs(60), async || bench.remote.passed("mail").len() == 1).await;
    bench.settle().await;
    let row = bench.rows(mail).await.remove(0);
    assert!(row.tries[0].detail.contains("no answer within 45 s"), "{:?}", row.tries);
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_group_keep_their_order() {
    let bench = Bench::new().await;
    bench.remote.will("mail", [Does::Busy, Does::Busy, Does::Busy]);
    let mail = bench.channel("mail", |_| {}).await;
    bench.tell(mail, "a", "problem").await;
    bench.until("the first try", ms(10), secs(1), async || !bench.remote.tries("mail").is_empty()).await;
    bench.tell(mail, "a", "recovery").await;
    bench.until_passed("mail", 2).await;
    assert_eq!(bench.remote.outputs("mail"), ["problem", "recovery"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_day_in_vain_a_message_is_given_up() {
    let bench = Bench::new().await;
    bench.remote.will("mail", vec![Does::Busy; 5000]);
    let phone = bench.channel("phone", |_| {}).await;
    let mail = bench.channel("mail", |channel| channel.fallback = Some(phone)).await;
    bench.tell(mail, "a", "down").await;
    bench.pass(secs(60), secs(23 * 3600)).await;
    assert_eq!(bench.states(mail).await, ["pending"]);
    bench.until("the end", secs(60), secs(2 * 3600), async || bench.states(mail).await == ["failed"]).await;
    bench.until_passed("phone", 1).await;
    assert!(bench.remote.outputs("phone")[0].contains("within a day"));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_lets_no_more_pass() {
    let bench = Bench::new().await;
    let mail = bench.channel("mail", |channel| channel.rate_limit = Some("2/1m".to_owned())).await;
    for number in 0..5 {
        bench.tell(mail, &format!("g{number}"), "x").await;
    }
    bench.pass(secs(1), secs(25)).await;
    assert_eq!(bench.remote.passed("mail").len(), 2);
    bench.until("the rest", secs(1), secs(120), async || bench.remote.passed("mail").len() == 5).await;
    let last = bench.remote.passed("mail").pop().unwrap().at;
    assert!(last >= secs(80), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_switched_off_keeps_its_messages() {
    let bench = Bench::new().await;
    let mail = bench.channel("mail", |channel| channel.enabled = false).await;
    bench.tell(mail, "a", "down").await;
    bench.pass(secs(60), secs(600)).await;
    assert!(bench.remote.tries("mail").is_empty());
    bench.edit(mail, |channel| channel.enabled = true).await;
    bench.until_passed("mail", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_tries_under_way_finish_and_report() {
    let mut bench = Bench::new().await;
    bench.remote.will("mail", [Does::TakesItAfter(secs(10))]);
    let mail = bench.channel("mail", |_| {}).await;
    bench.tell(mail, "a", "down").await;
    let claimed = async || {
        let waiting = bench.parts.store.waiting(mail).await.unwrap();
        waiting.count == 1 && waiting.next.is_none()
    };
    bench.until("the try begins", ms(10), secs(5), claimed).await;
    bench.stop.take().unwrap().send(()).unwrap();
    let ended = async || bench.task.is_finished();
    bench.until("the dispatcher ends", secs(1), secs(60), ended).await;
    assert_eq!(bench.states(mail).await, ["sent"]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_channel_may_say_when_to_try_again() {
    let bench = Bench::new().await;
    bench.remote.will("mail", [Does::RefusesTheChannelFor(Millis::from_minutes(1))]);
    let mail = bench.channel("mail", |_| {}).await;
    bench.tell(mail, "a", "down").await;
    bench.until("the pause", ms(100), secs(5), async || bench.find(mail).await.paused.is_some()).await;
    bench.pass(secs(1), secs(50)).await;
    assert_eq!(bench.remote.tries("mail").len(), 1);
    bench.until_passed("mail", 1).await;
    bench.until("the release", ms(100), secs(5), async || bench.find(mail).await.paused.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_hangs_delays_no_other() {
    let bench = Bench::new().await;
    bench.remote.will("dead", vec![Does::TakesItAfter(secs(100_000)); 100]);
    let dead = bench.channel("dead", |_| {}).await;
    let mail = bench.channel("mail", |_| {}).await;
    for number in 0..20 {
        bench.tell(dead, &format!("g{number}"), "x").await;
    }
    bench
        .until("the dead one is at work", ms(10), secs(5), async || {
            bench.parts.store.waiting(dead).await.unwrap().next.is_some()
        })
        .await;
    let before = bench.parts.clock.monotonic();
    bench.tell(mail, "a", "down").await;
    bench.until_passed("mail", 1).await;
    assert!(bench.remote.passed("mail")[0].at - before < secs(1));
}

#[tokio::test(start_paused = true)]
async fn who_acknowledges_on_the_phone_is_on_it_and_the_others_hear_so() {
    let bench = Bench::new().await;
    bench.remote.says("phone", Progress::Open);
    bench.channel("phone", |_| {}).await;
    bench.channel("mail", |_| {}).await;
    let shop = bench.check("shop").await;
    bench.result(shop, Status::Critical).await;
    bench.until_passed("phone", 1).await;
    bench.until_passed("mail", 1).await;
    bench.pass(ms(500), secs(21)).await;
    let asked = bench.remote.asked.lock().unwrap().clone();
    assert!((3..=5).contains(&asked.len()), "asked every {ASK_EVERY:?}: {asked:?}");
    assert!(asked.windows(2).all(|two| two[1].1 - two[0].1 >= ASK_EVERY), "{asked:?}");
    assert_eq!(asked[0].0, bench.remote.passed("phone")[0].notification.key);
    assert!(bench.hand().view(shop).await.state.acknowledgement.is_none());

    bench.remote.says("phone", Progress::Acknowledged { by: "ann\r\nBcc: x".to_owned() });
    bench.until_passed("mail", 2).await;
    let acknowledgement = bench.hand().view(shop).await.state.acknowledgement.unwrap();
    assert_eq!((acknowledgement.by.as_str(), acknowledgement.sticky), ("ann  Bcc: x", false));
    assert_eq!(acknowledgement.comment, "acknowledged in remote");
    assert!(bench.remote.titles("mail")[1].starts_with("[ACK]"), "{:?}", bench.remote.titles("mail"));

    bench.pass(secs(1), secs(60)).await;
    let asked = bench.remote.asked.lock().unwrap().len();
    bench.result(shop, Status::Ok).await;
    bench.until_passed("mail", 3).await;
    bench.pass(secs(1), secs(60)).await;
    assert_eq!(bench.remote.asked.lock().unwrap().len(), asked, "nothing is asked any longer");
    assert_eq!(bench.remote.passed("phone").len(), 3, "the problem, the acknowledgement, the end");
}

#[tokio::test(start_paused = true)]
async fn a_recovery_ends_the_asking() {
    let bench = Bench::new().await;
    bench.remote.says("phone", Progress::Open);
    bench.channel("phone", |_| {}).await;
    let shop = bench.check("shop").await;
    bench.result(shop, Status::Critical).await;
    bench.until_passed("phone", 1).await;
    bench.pass(secs(1), secs(12)).await;
    bench.result(shop, Status::Ok).await;
    bench.until_passed("phone", 2).await;
    bench.pass(secs(1), secs(6)).await;
    let asked = bench.remote.asked.lock().unwrap().len();
    assert!(asked > 0);
    bench.pass(secs(1), secs(60)).await;
    assert_eq!(bench.remote.asked.lock().unwrap().len(), asked);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_group_is_all_of_its_checks_that_have_a_problem() {
    let bench = Bench::new().await;
    bench.remote.says("phone", Progress::Open);
    let phone = bench.channel("phone", |_| {}).await;
    bench.route("ops", &[phone], |route| route.group_wait = Millis::from_secs(5)).await;
    let (one, two) = (bench.check("one").await, bench.check("two").await);
    bench.result(one, Status::Critical).await;
    bench.result(two, Status::Critical).await;
    bench.until_passed("phone", 1).await;
    assert_eq!(bench.remote.passed("phone")[0].notification.items.len(), 2);
    assert_eq!(bench.remote.passed("phone")[0].notification.reason, "route 'ops' matches");
    bench.result(two, Status::Ok).await;
    bench.remote.says("phone", Progress::Acknowledged { by: "ann".to_owned() });
    let acknowledged = async || bench.hand().view(one).await.state.acknowledgement.is_some();
    bench.until("the acknowledgement", ms(500), secs(20), acknowledged).await;
    assert!(bench.hand().view(two).await.state.acknowledgement.is_none(), "it is well");
}

#[tokio::test(start_paused = true)]
async fn a_template_that_fails_costs_no_message() {
    let bench = Bench::new().await;
    let words = ChannelWords { title: Some("{{ items[7].check }}".to_owned()), text: None };
    let mail = bench.channel("mail", |channel| channel.words = words).await;
    bench.tell(mail, "a", "down").await;
    bench.until_passed("mail", 1).await;
    assert_eq!(bench.remote.titles("mail"), ["[CRITICAL] web-1 / shop: down"]);
    let row = bench.rows(mail).await.remove(0);
    assert!(row.tries[0].detail.contains("in the usual words"), "{:?}", row.tries);
}

#[tokio::test(start_paused = true)]
async fn the_standing_of_a_channel_follows_its_tries() {
    let bench = Bench::new().await;
    bench.remote.will("mail", [Does::Busy, Does::Busy]);
    let mail = bench.channel("mail", |_| {}).await;
    bench.tell(mail, "a", "down").await;
    let fails = async || bench.parts.standing.failing(mail).is_some();
    bench.until("it fails", ms(10), secs(5), fails).await;
    bench.until_passed("mail", 1).await;
    assert_eq!(bench.parts.standing.failing(mail), None);
    let stand = bench.parts.standing.all()[&mail].clone();
    assert_eq!((stand.sent, stand.retried, stand.failed), (1, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn every_try_of_a_group_is_in_its_row() {
    let bench = Bench::new().await;
    bench.remote.will("mail", [Does::Busy, Does::Busy]);
    let mail = bench.channel("mail", |_| {}).await;
    bench.route("ops", &[mail], |route| route.group_wait = Millis::from_secs(5)).await;
    let (one, two) = (bench.check("one").await, bench.check("two").await);
    bench.result(one, Status::Critical).await;
    bench.result(two, Status::Warning).await;
    bench.until_passed("mail", 1).await;
    let rows = bench.rows(mail).await;
    assert_eq!(rows.len(), 1, "{rows:#?}");
    let row = &rows[0];
    assert_eq!((row.checks.len(), row.items.len(), row.try_count), (2, 2, 3));
    let details: Vec<&str> = row.tries.iter().map(|attempt| attempt.detail.as_str()).collect();
    assert_eq!(details, ["busy", "busy", "taken"]);
    assert!(row.tries.windows(2).all(|two| two[0].at <= two[1].at));
    assert!(matches!(row.state, OutboxState::Sent { .. }));
}

#[tokio::test(start_paused = true)]
async fn what_exceeds_a_rate_waits_and_becomes_one_message() {
    let bench = Bench::new().await;
    let mail = bench.channel("mail", |channel| channel.rate_limit = Some("1/1m".to_owned())).await;
    bench.route("ops", &[mail], |route| route.group_interval = Millis::ZERO).await;
    let mut checks = Vec::new();
    for name in ["one", "two", "three", "four"] {
        checks.push(bench.check(name).await);
    }
    bench.result(checks[0], Status::Critical).await;
    bench.until_passed("mail", 1).await;
    for check in &checks[1..] {
        bench.result(*check, Status::Critical).await;
        bench.pass(secs(1), secs(5)).await;
    }
    assert_eq!(bench.remote.passed("mail").len(), 1);
    bench.until_passed("mail", 2).await;
    bench.pass(secs(1), secs(180)).await;
    let passed = bench.remote.passed("mail");
    assert_eq!(passed.iter().map(|got| got.notification.items.len()).collect::<Vec<_>>(), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_step_of_an_escalation_says_which_it_is() {
    let bench = Bench::new().await;
    let mail = bench.channel("mail", |_| {}).await;
    let boss = bench.channel("boss", |_| {}).await;
    let steps = vec![EscalationStep { after: Millis::from_minutes(30), channels: vec![boss] }];
    bench
        .route("ops", &[mail], |route| {
            route.escalate = steps;
            route.group_interval = Millis::ZERO;
        })
        .await;
    let shop = bench.check("shop").await;
    bench.result(shop, Status::Critical).await;
    bench.until_passed("mail", 1).await;
    let agent = bench.hand().view(shop).await.agent.id;
    for _ in 0..31 {
        bench.pass(secs(60), secs(60)).await;
        // Nothing here reports, nor judges deadlines, but the test.
        bench.commit(Input::Contact { agent }).await;
        bench.result(shop, Status::Critical).await;
        bench.commit(Input::Deadlines).await;
    }
    bench.until_passed("boss", 1).await;
    let reason = &bench.remote.passed("boss")[0].notification.reason;
    assert_eq!(reason, "nobody acknowledged it for 30m: step 1 of route 'ops'");
    bench.result(shop, Status::Ok).await;
    bench.until_passed("boss", 2).await;
    assert_eq!(
        bench.remote.passed("boss")[1].notification.reason,
        "you were told of the problem by route 'ops'"
    );
}
