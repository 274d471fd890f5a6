//! The dispatcher against the real store and a notifier that does what it is told, on a clock of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vilicus_core::{
    ChannelId, Millis, Notification, NotificationEvent, NotificationItem, Notifier, NotifierKind,
    NotifierRegistry, NotifyError, ParamsError, Receipt, StateType, Status, Timestamp, async_trait,
};
use vilicus_server::api::ChannelTester as _;
use vilicus_server::clock::Clock;
use vilicus_server::dispatcher::{Dispatcher, PROBE_EVERY, Parts, Tester};
use vilicus_server::health::Pulse;
use vilicus_store::inventory::Channel;
use vilicus_store::outbox::{OutboxRow, OutboxState};
use vilicus_store::query::{NotificationQuery, Order};
use vilicus_store::{Change, EngineStore, Input, Json, MemoryEngine, Options, Outcome};

/// What the remote does with one message.
#[derive(Debug, Clone)]
enum Does {
    Busy,
    BusyFor(Millis),
    RefusesTheMessage,
    RefusesTheChannel,
    Panics,
    TakesItAfter(Duration),
}

/// What happens at the remote of each channel; what nothing is said of passes.
#[derive(Debug, Clone, Default)]
struct Remote {
    script: Arc<Mutex<HashMap<String, VecDeque<Does>>>>,
    got: Arc<Mutex<Vec<Got>>>,
}

/// One try that reached a remote.
#[derive(Debug, Clone)]
struct Got {
    channel: String,
    at: Duration,
    passed: bool,
    notification: Notification,
}

impl Remote {
    fn will(&self, channel: &str, does: impl IntoIterator<Item = Does>) {
        self.script.lock().unwrap().entry(channel.to_owned()).or_default().extend(does);
    }

    fn tries(&self, channel: &str) -> Vec<Got> {
        self.got.lock().unwrap().iter().filter(|got| got.channel == channel).cloned().collect()
    }

    fn passed(&self, channel: &str) -> Vec<Got> {
        self.tries(channel).into_iter().filter(|got| got.passed).collect()
    }

    fn outputs(&self, channel: &str) -> Vec<String> {
        self.passed(channel).iter().map(|got| got.notification.items[0].output.clone()).collect()
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct RemoteParams {
    /// The name of the channel.
    name: String,
}

#[derive(Debug)]
struct RemoteKind(Remote, Instant);

impl NotifierKind for RemoteKind {
    type Params = RemoteParams;

    fn name(&self) -> &'static str {
        "remote"
    }

    fn description(&self) -> &'static str {
        "does what the test says"
    }

    fn secrets(&self) -> &'static [&'static str] {
        &[]
    }

    fn build(&self, params: RemoteParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        if params.name == "wrong" {
            return Err(ParamsError::new("name", "no such remote"));
        }
        Ok(Arc::new(RemoteNotifier { name: params.name, remote: self.0.clone(), start: self.1 }))
    }
}

#[derive(Debug)]
struct RemoteNotifier {
    name: String,
    remote: Remote,
    start: Instant,
}

#[async_trait]
impl Notifier for RemoteNotifier {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let does = self.remote.script.lock().unwrap().get_mut(&self.name).and_then(VecDeque::pop_front);
        let at = self.start.elapsed();
        if let Some(Does::TakesItAfter(span)) = does {
            tokio::time::sleep(span).await;
        }
        let passed = matches!(does, None | Some(Does::TakesItAfter(_)));
        let got = Got { channel: self.name.clone(), at, passed, notification: notification.clone() };
        self.remote.got.lock().unwrap().push(got);
        match does {
            None | Some(Does::TakesItAfter(_)) => Ok(Receipt::new("taken")),
            Some(Does::Busy) => Err(NotifyError::retry("busy")),
            Some(Does::BusyFor(span)) => Err(NotifyError::retry("busy").after(span)),
            Some(Does::RefusesTheMessage) => Err(NotifyError::message("no such mailbox")),
            Some(Does::RefusesTheChannel) => Err(NotifyError::channel("wrong password")),
            Some(Does::Panics) => panic!("a bug in the notifier"),
        }
    }
}

/// Follows tokio's clock, which the test moves.
#[derive(Debug)]
struct TestClock(Instant);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000).after(self.0.elapsed().into())
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A dispatcher at work.
struct Bench {
    remote: Remote,
    parts: Parts,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    // While a blocking task runs, tokio does not move its clock by itself; the store answers from another thread.
    _hold: std::sync::mpsc::Sender<()>,
}

impl Bench {
    async fn new() -> Self {
        let (hold, held) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || held.recv().is_ok());
        let start = Instant::now();
        let clock = Arc::new(TestClock(start));
        let remote = Remote::default();
        let store = EngineStore::open(MemoryEngine::new(), Options::new(clock.now(), [7; 16])).unwrap();
        let parts = Parts {
            store: Arc::new(store),
            notifiers: NotifierRegistry::new().with(RemoteKind(remote.clone(), start)),
            clock,
            public_url: Some("https://vilicus.example.org/".to_owned()),
        };
        let (stop, stopped) = oneshot::channel();
        let dispatcher = Dispatcher::new(parts.clone(), Pulse::new(parts.clock.clone()));
        let task = tokio::spawn(dispatcher.run(async { drop(stopped.await) }));
        Self { remote, parts, stop: Some(stop), task, _hold: hold }
    }

    async fn commit(&self, input: Input) -> Outcome {
        self.parts.store.commit(self.parts.clock.now(), vec![input]).await.unwrap().remove(0)
    }

    async fn channel(&self, name: &str, edit: impl FnOnce(&mut Channel)) -> ChannelId {
        let mut channel = Channel {
            id: ChannelId::new(1).unwrap(),
            name: name.to_owned(),
            kind: "remote".to_owned(),
            params: Json(json!({ "name": name })),
            enabled: true,
            rate_limit: None,
            fallback: None,
            digest_above: None,
            managed_by: None,
            paused: None,
        };
        edit(&mut channel);
        let change = Change::CreateChannel(Box::new(channel));
        match self.commit(Input::Change { change, by: "test".to_owned() }).await {
            Outcome::Id(id) => ChannelId::new(id).unwrap(),
            other => panic!("{other:?}"),
        }
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
        let item = Box::new(item(output, self.parts.clock.now()));
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

    /// Lets everybody do what there is to do now: tasks here, and the store's thread.
    async fn settle(&self) {
        for _ in 0..8 {
            tokio::task::yield_now().await;
            tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_micros(300))).await.unwrap();
        }
    }

    /// Moves the time in such steps until it is so, for `limit` at most.
    async fn until(&self, what: &str, step: Duration, limit: Duration, mut so: impl AsyncFnMut() -> bool) {
        let end = Instant::now() + limit;
        self.settle().await;
        while !so().await {
            assert!(Instant::now() < end, "{what}: not within {limit:?}; tries: {:#?}", self.remote.got);
            tokio::time::advance(step).await;
            self.settle().await;
        }
    }

    async fn pass(&self, step: Duration, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            tokio::time::advance(step).await;
            self.settle().await;
        }
    }

    async fn until_passed(&self, channel: &str, count: usize) {
        let what = format!("{count} messages pass on {channel}");
        let so = async || self.remote.passed(channel).len() >= count;
        self.until(&what, ms(100), secs(60), so).await;
        self.settle().await;
    }
}

fn item(output: &str, now: Timestamp) -> NotificationItem {
    NotificationItem {
        event: NotificationEvent::Problem,
        agent: "web-1".to_owned(),
        check: "shop".to_owned(),
        subject: "check-1".to_owned(),
        kind: "http".to_owned(),
        tags: Vec::new(),
        status: Status::Critical,
        previous_status: None,
        state_type: StateType::Hard,
        since: now,
        at: now,
        attempt: 3,
        max_attempts: 3,
        output: output.to_owned(),
        long_output: String::new(),
        metrics: Vec::new(),
        runbook_url: None,
        problem_since: None,
        late: false,
    }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
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
