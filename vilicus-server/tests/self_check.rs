//! The server watches itself: each fault turns its self-check within a minute and is told over another channel, all on
//! a clock of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod bench;
#[path = "support/mod.rs"]
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vilicus_core::{AgentId, CheckResult, KindRegistry, Millis, NotifierRegistry, Status};
use vilicus_server::clock::Clock;
use vilicus_server::dispatcher::{Parts, Standing};
use vilicus_server::self_check::{Aggregate, Direct, Instruments, SelfKind, Watch};
use vilicus_server::settings::{ServerSecret, Settings};
use vilicus_server::{Server, clock};
use vilicus_store::engine::{Durability, Engine, EngineError, EngineErrorKind, Entry, Scan, Write};
use vilicus_store::inventory::Channel;
use vilicus_store::query::{AgentFilter, AgentState, Page};
use vilicus_store::{EngineStore, Input, Json, MemoryEngine, Options, Store};

use bench::{Does, Hand, Remote, RemoteKind, TestClock, Time, agent, channel, check, ms, secs};
use support::http_recorder::{Answer, HttpRecorder};

/// A fault turns its self-check, and is told, within this time.
const TURNS_WITHIN: Duration = Duration::from_secs(60);

/// A disk that is full, or slow, when it is told so.
#[derive(Debug, Default)]
struct Disk {
    inner: MemoryEngine,
    full: AtomicBool,
    /// How many writes may pass; any number unless said.
    permits: Mutex<Option<u64>>,
    moves: Condvar,
    /// Whether one waits for its turn.
    waits: AtomicBool,
}

impl Disk {
    /// Lets so many writes pass from now on.
    fn permit(&self, writes: Option<u64>) {
        *self.permits.lock().unwrap() = writes;
        self.moves.notify_all();
    }

    /// Waits for its turn: what is committed goes through the journal.
    fn take_a_permit(&self) {
        let permits = self.permits.lock().unwrap();
        self.waits.store(*permits == Some(0), Ordering::SeqCst);
        let mut permits = self.moves.wait_while(permits, |left| *left == Some(0)).unwrap();
        self.waits.store(false, Ordering::SeqCst);
        *permits = permits.map(|left| left - 1);
    }

    fn ready(&self) -> Result<(), EngineError> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(EngineError::new(EngineErrorKind::Full, "no space left on device")),
            false => Ok(()),
        }
    }
}

impl Engine for Disk {
    fn write(&self, partition: &str, writes: Vec<Write>, durability: Durability) -> Result<(), EngineError> {
        if partition.starts_with("journal") {
            self.take_a_permit();
        }
        self.ready()?;
        self.inner.write(partition, writes, durability)
    }

    fn get(&self, partition: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.inner.get(partition, key)
    }

    fn scan(&self, partition: &str, scan: &Scan) -> Result<Vec<Entry>, EngineError> {
        self.inner.scan(partition, scan)
    }

    fn partitions(&self) -> Result<Vec<String>, EngineError> {
        self.inner.partitions()
    }

    fn drop_partition(&self, partition: &str) -> Result<(), EngineError> {
        self.ready()?;
        self.inner.drop_partition(partition)
    }

    fn reopen(&self) -> Result<(), EngineError> {
        self.ready()
    }

    fn size(&self) -> Result<u64, EngineError> {
        self.inner.size()
    }

    fn max_value(&self) -> usize {
        self.inner.max_value()
    }
}

/// A whole server at work.
struct Bench {
    remote: Remote,
    hand: Hand,
    disk: Arc<Disk>,
    router: axum::Router,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    time: Time,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let time = Time::hold();
        let start = Instant::now();
        let clock: Arc<dyn Clock> = Arc::new(TestClock(start));
        let (remote, disk) = (Remote::default(), Arc::new(Disk::default()));
        let store: Arc<dyn Store> =
            Arc::new(EngineStore::open(disk.clone(), Options::new(clock.now(), [7; 16])).unwrap());
        let server = Server::builder()
            .listen(([127, 0, 0, 1], 0).into())
            .store(store.clone())
            .clock(clock.clone())
            .notifiers(NotifierRegistry::new().with(RemoteKind(remote.clone(), start)))
            .settings(settings)
            .build()
            .await
            .unwrap();
        let router = server.router();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move { server.run(async { drop(stopped.await) }).await.unwrap() });
        let hand = Hand { store, clock };
        Self { remote, hand, disk, router, stop: Some(stop), task, time }
    }

    async fn status(&self, check: &str) -> Option<Status> {
        self.hand.find("vilicus", check).await?.state.hard_status
    }

    /// Waits until this self-check says so for sure.
    async fn turns(&self, check: &str, status: Status) {
        let so = async || self.status(check).await == Some(status);
        let turned = self.time.until(ms(500), TURNS_WITHIN, so).await;
        assert!(turned, "{check} is {:?}", self.hand.find("vilicus", check).await.map(|view| view.last));
    }

    /// Waits until a message of this beginning and with these words came to this channel.
    async fn hears(&self, channel: &str, title: &str) {
        let so = async || self.remote.titles(channel).iter().any(|heard| heard.starts_with(title));
        let heard = self.time.until(ms(500), TURNS_WITHIN, so).await;
        assert!(heard, "'{title}' did not come: {:?}", self.remote.titles(channel));
    }

    async fn agents(&self, count: usize) -> Vec<AgentId> {
        let mut agents = Vec::new();
        for number in 0..count {
            agents.push(self.hand.agent(agent(&format!("web-{number}"))).await);
        }
        agents
    }

    /// Time passes while these agents report every minute, each at a moment of its own.
    async fn report(&self, agents: &[AgentId], minutes: u64) {
        for second in 0..minutes * 60 {
            let at = |index: usize| index as u64 * 60 / agents.len() as u64 == second % 60;
            let due = agents.iter().enumerate().filter(|(index, _)| at(*index));
            let inputs: Vec<_> = due.map(|(_, agent)| Input::Contact { agent: *agent }).collect();
            if !inputs.is_empty() {
                self.hand.store.commit(self.hand.clock.now(), inputs).await.unwrap();
            }
            self.time.pass(secs(1), secs(1)).await;
        }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        use tower::ServiceExt as _;
        let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn end(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        let ended = self.time.until(ms(100), secs(60), async || self.task.is_finished()).await;
        assert!(ended, "the server did not end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_well_says_so_and_rings_nobody() {
    let bench = Bench::new().await;
    bench.hand.channel(channel("mail")).await;
    let agents = bench.agents(6).await;
    bench.time.pass(ms(500), secs(5)).await;
    for watch in Watch::ALL {
        let there = !matches!(watch, Watch::Disk | Watch::Certificate | Watch::Heartbeat);
        let expected = there.then_some(Status::Ok);
        assert_eq!(bench.status(watch.as_str()).await, expected, "{watch:?} within seconds of the start");
    }
    bench.report(&agents, 10).await;
    assert!(bench.remote.tries("mail").is_empty(), "{:?}", bench.remote.titles("mail"));
    assert_eq!(bench.get("/readyz").await.0, 200);
    let metrics = bench.get("/metrics").await.1;
    for line in
        ["vilicus_blind 0", "vilicus_results_accepted_total 0", "vilicus_http_requests_total{code=\"200\"} 1"]
    {
        assert!(metrics.lines().any(|known| known == line), "'{line}' is missing:\n{metrics}");
    }
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_channel_is_told_over_another() {
    for does in [Does::RefusesTheChannel, Does::Busy] {
        let bench = Bench::new().await;
        bench.remote.will("mail", vec![does; 1000]);
        let mail = bench.hand.channel(channel("mail")).await;
        bench.hand.channel(channel("phone")).await;
        bench.time.pass(secs(1), secs(5)).await;
        let item = Box::new(bench::item("down", bench.hand.clock.now()));
        bench.hand.commit(Input::Tell { channel: mail, item, group: "a".to_owned() }).await;
        let turned = async || bench.status("channels").await.is_some_and(Status::is_problem);
        assert!(bench.time.until(ms(500), TURNS_WITHIN, turned).await);
        let view = bench.hand.find("vilicus", "channels").await.unwrap();
        assert!(view.last.unwrap().output.contains("'mail'"));
        let told =
            async || bench.remote.titles("phone").iter().any(|title| title.contains("vilicus / channels"));
        assert!(bench.time.until(ms(500), secs(10), told).await, "{:?}", bench.remote.titles("phone"));
        bench.remote.is_well("mail");
        // A paused channel is tried every five minutes.
        let well = async || {
            bench.remote.titles("phone").iter().any(|title| title.contains("[OK] vilicus / channels"))
        };
        assert!(bench.time.until(secs(1), secs(600), well).await, "{:?}", bench.remote.titles("phone"));
        bench.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_is_told() {
    let bench = Bench::new().await;
    bench.hand.channel(channel("mail")).await;
    let mut wrong = agent("web-1");
    wrong.facts = Json(json!({"clock_skew_seconds": -86_400.5}));
    let id = bench.hand.agent(wrong).await;
    bench.hand.commit(Input::Contact { agent: id }).await;
    bench.turns("clocks", Status::Critical).await;
    bench.hears("mail", "[CRITICAL] vilicus / clocks: the worst clock is that of web-1: -86400.5 s").await;
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_disk_is_told() {
    let bench = Bench::new().await;
    bench.hand.channel(channel("mail")).await;
    bench.time.pass(secs(1), secs(5)).await;
    let began = bench.hand.clock.monotonic();
    let told = async || {
        // Every write takes six seconds of the test's time.
        bench.disk.permit(Some(0));
        let waits = async || bench.disk.waits.load(Ordering::SeqCst);
        assert!(bench.time.until(ms(500), secs(60), waits).await, "nothing is written");
        bench.time.pass(secs(1), secs(6)).await;
        bench.disk.permit(Some(1));
        bench.time.settle().await;
        bench.remote.titles("mail").iter().any(|title| title.starts_with("[CRITICAL] vilicus / store"))
    };
    let told = bench.time.until(ms(10), secs(180), told).await;
    bench.disk.permit(None);
    assert!(told, "{:?}", bench.remote.titles("mail"));
    let took = bench.hand.clock.monotonic() - began;
    // How many writes share the way of the telling differs from run to run.
    assert!(took <= TURNS_WITHIN + secs(60), "what tells it is written as slowly: {took:?}");
    bench.end().await;
}

/// The parts of a server whose dispatcher gives no sign of life.
fn without_a_dispatcher(disk: &Arc<Disk>, remote: &Remote, start: Instant) -> (Parts, Instruments) {
    let clock: Arc<dyn Clock> = Arc::new(TestClock(start));
    let store: Arc<dyn Store> =
        Arc::new(EngineStore::open(disk.clone(), Options::new(clock.now(), [7; 16])).unwrap());
    let parts = Parts {
        store: store.clone(),
        notifiers: NotifierRegistry::new().with(RemoteKind(remote.clone(), start)),
        clock: clock.clone(),
        public_url: None,
        standing: Standing::default(),
    };
    (parts, Instruments::new(store, clock))
}

#[tokio::test(start_paused = true)]
async fn a_stuck_dispatcher_is_told_around_the_outbox() {
    let (time, remote) = (Time::hold(), Remote::default());
    let (parts, instruments) = without_a_dispatcher(&Arc::default(), &remote, Instant::now());
    let hand = Hand { store: parts.store.clone(), clock: parts.clock.clone() };
    hand.channel(channel("mail")).await;
    hand.channel(Channel { enabled: false, ..channel("off") }).await;
    let dispatcher = instruments.vitals.dispatcher.clone();
    remote.will("mail", [Does::Busy]);
    let task = tokio::spawn(Direct::new(parts, instruments).run(std::future::pending()));
    let told = async || remote.passed("mail").len() == 1;
    assert!(time.until(ms(500), TURNS_WITHIN, told).await);
    assert!(remote.titles("mail")[0].starts_with("[CRITICAL] vilicus / dispatcher: messages are not sent"));
    time.pass(secs(1), secs(120)).await;
    assert_eq!(remote.passed("mail").len(), 1, "once an episode");
    dispatcher.beat();
    let over = async || {
        dispatcher.beat();
        remote.passed("mail").len() == 2
    };
    assert!(time.until(ms(500), secs(10), over).await);
    let end = remote.passed("mail").pop().unwrap().notification;
    assert_eq!(end.title(), "[OK] vilicus / dispatcher: messages are sent again");
    assert_eq!(end.earlier[0].key, remote.passed("mail")[0].notification.key);
    assert!(remote.tries("off").is_empty());
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_from_memory_and_so_is_its_end() {
    let (time, remote, disk) = (Time::hold(), Remote::default(), Arc::<Disk>::default());
    let (parts, instruments) = without_a_dispatcher(&disk, &remote, Instant::now());
    let hand = Hand { store: parts.store.clone(), clock: parts.clock.clone() };
    hand.channel(channel("mail")).await;
    hand.channel(channel("phone")).await;
    let shop = hand.agent(agent("web-1")).await;
    let shop = hand.check(check(shop, "shop", "test")).await;
    let dispatcher = instruments.vitals.dispatcher.clone();
    let task = tokio::spawn(Direct::new(parts, instruments).run(std::future::pending()));
    time.pass(secs(1), secs(3)).await;
    remote.will("phone", vec![Does::Busy; 3]);
    disk.full.store(true, Ordering::SeqCst);
    let result = Input::Result { check: shop, result: CheckResult::ok("x") };
    hand.store.commit(hand.clock.now(), vec![result]).await.unwrap_err();
    let told = async || {
        dispatcher.beat();
        remote.passed("mail").len() == 1 && remote.passed("phone").len() == 1
    };
    assert!(time.until(ms(500), TURNS_WITHIN, told).await, "{:#?}", remote.got);
    assert!(remote.titles("phone")[0].starts_with("[CRITICAL] vilicus / store: the store cannot write"));
    disk.full.store(false, Ordering::SeqCst);
    // The store looks every few seconds of real time whether it can write again.
    let deadline = std::time::Duration::from_secs(30);
    let mended = async {
        while !hand.store.health().await.writable {
            time.settle().await;
        }
    };
    let began = clock::SystemClock::new();
    tokio::pin!(mended);
    while futures_util::poll!(mended.as_mut()).is_pending() {
        assert!(began.monotonic() < deadline, "the store does not write again");
        time.settle().await;
    }
    let over = async || {
        dispatcher.beat();
        remote.passed("mail").len() == 2 && remote.passed("phone").len() == 2
    };
    assert!(time.until(ms(500), secs(20), over).await, "{:#?}", remote.got);
    assert_eq!(remote.titles("phone")[1], "[OK] vilicus / store: the store can write again");
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn most_agents_silent_at_once_are_one_message_and_later_the_truth() {
    let bench = Bench::new().await;
    bench.hand.channel(channel("mail")).await;
    let agents = bench.agents(10).await;
    bench.report(&agents, 4).await;
    let (silent, others) = agents.split_at(8);
    bench.report(others, 4).await;
    assert_eq!(bench.remote.outputs("mail").len(), 1, "{:?}", bench.remote.titles("mail"));
    assert!(
        bench.remote.titles("mail")[0].starts_with(
            "[CRITICAL] vilicus / blindness: I may be blind: 8 of 10 agents fell silent at once"
        ),
        "{:?}",
        bench.remote.titles("mail")
    );
    let (status, ready) = bench.get("/readyz").await;
    assert!(status == 200 && ready.contains("\"blind\":true"), "{status} {ready}");
    assert!(bench.get("/metrics").await.1.contains("vilicus_blind 1"));
    // Two come back; the others are told when the hold is over.
    let back: Vec<AgentId> = silent[..2].iter().chain(others).copied().collect();
    bench.report(&back, 5).await;
    let down = AgentFilter { states: vec![AgentState::Down], ..AgentFilter::default() };
    assert_eq!(bench.hand.store.agents(&down, Page::ALL).await.unwrap().total, 6);
    let titles = bench.remote.titles("mail");
    assert_eq!(titles.iter().filter(|title| title.starts_with("[DOWN]")).count(), 6, "{titles:?}");
    bench.report(&agents, 2).await;
    bench.hears("mail", "[OK] vilicus / blindness").await;
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn agents_that_come_back_in_time_are_not_told_of() {
    let bench = Bench::new().await;
    bench.hand.channel(channel("mail")).await;
    let agents = bench.agents(6).await;
    bench.report(&agents, 3).await;
    bench.time.pass(secs(1), secs(200)).await;
    bench.hears("mail", "[CRITICAL] vilicus / blindness").await;
    bench.report(&agents, 6).await;
    let titles = bench.remote.titles("mail");
    assert_eq!(titles.len(), 2, "{titles:?}");
    assert!(titles[1].starts_with("[OK] vilicus / blindness"), "{titles:?}");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_address_is_called_while_all_is_well_and_no_longer() {
    let other = HttpRecorder::answering(Answer::status(200)).await;
    let mut settings = Settings::default();
    settings.heartbeat_url = Some(ServerSecret::new(format!("{}/ping/secret", other.url())));
    settings.heartbeat_interval = Millis::from_secs(30);
    let bench = Bench::with(settings).await;
    let mail = bench.hand.channel(channel("mail")).await;
    let called = async || other.requests().len() >= 2;
    assert!(bench.time.until(ms(500), secs(120), called).await);
    let request = other.requests().remove(0);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/ping/secret"));

    bench.remote.will("mail", vec![Does::RefusesTheChannel; 1000]);
    let item = Box::new(bench::item("down", bench.hand.clock.now()));
    bench.hand.commit(Input::Tell { channel: mail, item, group: "a".to_owned() }).await;
    bench.turns("heartbeat", Status::Critical).await;
    let output = bench.hand.find("vilicus", "heartbeat").await.unwrap().last.unwrap().output.clone();
    assert_eq!(output, "the heartbeat address is not called: no channel delivers");
    bench.time.pass(secs(1), secs(5)).await;
    let calls = other.requests().len();
    bench.time.pass(secs(1), secs(300)).await;
    assert_eq!(other.requests().len(), calls, "no call while nobody can be told");
    bench.remote.is_well("mail");
    let again = async || other.requests().len() > calls;
    assert!(bench.time.until(secs(1), secs(600), again).await);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn without_self_checks_there_is_no_agent_of_them() {
    let mut settings = Settings::default();
    settings.self_checks = false;
    let bench = Bench::with(settings).await;
    bench.time.pass(secs(1), secs(5)).await;
    assert_eq!(bench.hand.store.agents(&AgentFilter::default(), Page::ALL).await.unwrap().total, 0);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_follows_its_members() {
    let bench = Bench::new().await;
    bench.hand.channel(channel("mail")).await;
    let web = bench.hand.agent(agent("web")).await;
    let mut members = Vec::new();
    for name in ["one", "two", "three"] {
        members.push(bench.hand.check(check(web, name, "test")).await);
    }
    let mut shop = check(web, "shop", "aggregate");
    shop.settings.interval = Some(Millis::from_secs(5));
    shop.params = Json(json!({"checks": ["kind=test"], "critical_below": 2, "warning_below": "100%"}));
    let shop = bench.hand.check(shop).await;
    let says = async |status: Status| {
        let so = async || bench.hand.view(shop).await.state.hard_status == Some(status);
        let said = bench.time.until(ms(500), secs(20), so).await;
        assert!(said, "{status}: {:?}", bench.hand.view(shop).await.last);
    };
    for member in &members {
        bench.hand.result(*member, CheckResult::ok("fine")).await;
    }
    says(Status::Ok).await;
    bench.hand.result(members[0], CheckResult::critical("gone")).await;
    says(Status::Warning).await;
    let last = bench.hand.view(shop).await.last.unwrap();
    assert_eq!(last.output, "2 of 3 OK, fewer than 100%");
    assert_eq!(last.long_output, "CRITICAL web/one");
    bench.hand.result(members[1], CheckResult::critical("gone")).await;
    says(Status::Critical).await;
    bench.hears("mail", "[CRITICAL] web / shop: 1 of 3 OK, fewer than 2").await;
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_the_server_has_a_page_that_names_each_parameter_and_metric() {
    let _time = Time::hold();
    let (parts, instruments) = without_a_dispatcher(&Arc::default(), &Remote::default(), Instant::now());
    let kinds = KindRegistry::new().with(Aggregate::new(parts.store)).with(SelfKind::new(instruments));
    for name in kinds.names() {
        let path = format!("{}/../docs/checks/{name}.md", env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let kind = kinds.describe(name).unwrap();
        let parameters = kind.params_schema["properties"].as_object().cloned().unwrap_or_default();
        let metrics = kind.metrics.iter().map(|metric| metric.name.to_owned());
        for word in parameters.into_iter().map(|(parameter, _)| parameter).chain(metrics) {
            assert!(page.contains(&format!("`{word}`")), "{path} does not name {word}");
        }
    }
    for watch in Watch::ALL {
        let page = std::fs::read_to_string(format!("{}/../docs/checks/self.md", env!("CARGO_MANIFEST_DIR")))
            .unwrap();
        assert!(page.contains(&format!("`{}`", watch.as_str())), "{watch:?}");
    }
}
