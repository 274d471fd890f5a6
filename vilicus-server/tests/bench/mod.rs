//! What tests of the dispatcher and of the self-checks need: remotes that do what they are told, and a clock of the
//! test's own. The store is the real one, on an engine in memory.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses what it needs of these")]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use vilicus_core::notifier::Progress;
use vilicus_core::{
    AgentId, ChannelId, CheckId, CheckResult, Millis, Notification, NotificationEvent, NotificationItem,
    Notifier, NotifierKind, NotifyError, ParamsError, Receipt, StateType, Status, Timestamp, async_trait,
};
use vilicus_server::clock::Clock;
use vilicus_store::inventory::{Agent, Channel, ChannelWords, Check, CheckSettings, CheckSpec};
use vilicus_store::query::{AgentFilter, CheckFilter, CheckView, Page};
use vilicus_store::{Change, Input, Json, Outcome, Store};

/// What the remote does with one message.
#[derive(Debug, Clone)]
pub enum Does {
    Busy,
    BusyFor(Millis),
    RefusesTheMessage,
    RefusesTheChannel,
    RefusesTheChannelFor(Millis),
    Panics,
    TakesItAfter(Duration),
}

/// What happens at the remote of each channel; what nothing is said of passes.
#[derive(Debug, Clone, Default)]
pub struct Remote {
    script: Arc<Mutex<HashMap<String, VecDeque<Does>>>>,
    pub got: Arc<Mutex<Vec<Got>>>,
    open: Arc<Mutex<HashMap<String, Progress>>>,
    pub asked: Arc<Mutex<Vec<(String, Duration)>>>,
}

/// One try that reached a remote.
#[derive(Debug, Clone)]
pub struct Got {
    pub channel: String,
    pub at: Duration,
    pub passed: bool,
    pub notification: Notification,
}

impl Remote {
    pub fn will(&self, channel: &str, does: impl IntoIterator<Item = Does>) {
        self.script.lock().unwrap().entry(channel.to_owned()).or_default().extend(does);
    }

    /// From now on nothing of the script is left.
    pub fn is_well(&self, channel: &str) {
        self.script.lock().unwrap().remove(channel);
    }

    /// The receipts of this channel are open, and this is what its service says of them.
    pub fn says(&self, channel: &str, progress: Progress) {
        self.open.lock().unwrap().insert(channel.to_owned(), progress);
    }

    pub fn tries(&self, channel: &str) -> Vec<Got> {
        self.got.lock().unwrap().iter().filter(|got| got.channel == channel).cloned().collect()
    }

    pub fn passed(&self, channel: &str) -> Vec<Got> {
        self.tries(channel).into_iter().filter(|got| got.passed).collect()
    }

    pub fn outputs(&self, channel: &str) -> Vec<String> {
        self.passed(channel).iter().map(|got| got.notification.items[0].output.clone()).collect()
    }

    pub fn titles(&self, channel: &str) -> Vec<String> {
        self.passed(channel).iter().map(|got| got.notification.title()).collect()
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub struct RemoteParams {
    /// The name of the channel.
    name: String,
}

/// The kind of channels to such remotes.
#[derive(Debug)]
pub struct RemoteKind(pub Remote, pub Instant);

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
        let receipt = Receipt::new("taken").reference(notification.key.clone());
        let is_open = self.remote.open.lock().unwrap().contains_key(&self.name);
        match does {
            None | Some(Does::TakesItAfter(_)) if is_open => Ok(receipt.open()),
            None | Some(Does::TakesItAfter(_)) => Ok(receipt),
            Some(Does::Busy) => Err(NotifyError::retry("busy")),
            Some(Does::BusyFor(span)) => Err(NotifyError::retry("busy").after(span)),
            Some(Does::RefusesTheMessage) => Err(NotifyError::message("no such mailbox")),
            Some(Does::RefusesTheChannel) => Err(NotifyError::channel("wrong password")),
            Some(Does::RefusesTheChannelFor(span)) => Err(NotifyError::channel("unknown name").after(span)),
            Some(Does::Panics) => panic!("a bug in the notifier"),
        }
    }

    async fn progress(&self, receipt: &Receipt) -> Result<Progress, NotifyError> {
        let reference = receipt.reference.clone().unwrap();
        self.remote.asked.lock().unwrap().push((reference, self.start.elapsed()));
        Ok(self.remote.open.lock().unwrap()[&self.name].clone())
    }
}

/// Follows tokio's clock, which the test moves.
#[derive(Debug)]
pub struct TestClock(pub Instant);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000).after(self.0.elapsed().into())
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The time, which passes only when the test says so.
#[derive(Debug)]
pub struct Time {
    // While a blocking task runs, tokio does not move its clock by itself; the store answers from another thread.
    _hold: std::sync::mpsc::Sender<()>,
}

impl Time {
    pub fn hold() -> Self {
        let (hold, held) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || held.recv().is_ok());
        Self { _hold: hold }
    }

    /// Lets everybody do what there is to do now: tasks here, and the store's thread.
    pub async fn settle(&self) {
        for _ in 0..8 {
            tokio::task::yield_now().await;
            tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_micros(300))).await.unwrap();
        }
    }

    /// Moves the time in such steps until it is so, for `limit` at most; whether it was.
    pub async fn until(&self, step: Duration, limit: Duration, mut so: impl AsyncFnMut() -> bool) -> bool {
        let end = Instant::now() + limit;
        self.settle().await;
        while !so().await {
            if Instant::now() >= end {
                return false;
            }
            tokio::time::advance(step).await;
            self.settle().await;
        }
        true
    }

    pub async fn pass(&self, step: Duration, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            tokio::time::advance(step).await;
            self.settle().await;
        }
    }
}

/// A channel of the kind `remote`.
pub fn channel(name: &str) -> Channel {
    Channel {
        id: ChannelId::new(1).unwrap(),
        name: name.to_owned(),
        kind: "remote".to_owned(),
        params: Json(json!({ "name": name })),
        enabled: true,
        rate_limit: None,
        fallback: None,
        digest_above: None,
        words: ChannelWords::default(),
        managed_by: None,
        paused: None,
    }
}

/// An agent that reports every minute.
pub fn agent(name: &str) -> Agent {
    Agent {
        id: AgentId::new(1).unwrap(),
        name: name.to_owned(),
        hostname: name.to_owned(),
        guid: None,
        version: None,
        check_interval: Millis::from_minutes(1),
        tags: Vec::new(),
        facts: Json(json!({})),
        ephemeral: false,
        expire_after: None,
        templates: Vec::new(),
        managed_by: None,
        created_at: Timestamp::EPOCH,
        last_checkin: None,
    }
}

/// A check that is sure at once.
pub fn check(agent: AgentId, name: &str, kind: &str) -> Check {
    let settings = CheckSettings { max_attempts: 1, ..CheckSettings::default() };
    Check::new(agent, name, CheckSpec { settings, ..CheckSpec::new(kind, json!({})) })
}

/// Changes a store, and looks into it.
#[derive(Debug, Clone)]
pub struct Hand {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
}

impl Hand {
    pub async fn commit(&self, input: Input) -> Outcome {
        self.store.commit(self.clock.now(), vec![input]).await.unwrap().remove(0)
    }

    pub async fn change(&self, change: Change) -> u64 {
        match self.commit(Input::Change { change, by: "test".to_owned() }).await {
            Outcome::Id(id) => id,
            other => panic!("{other:?}"),
        }
    }

    pub async fn channel(&self, channel: Channel) -> ChannelId {
        ChannelId::new(self.change(Change::CreateChannel(Box::new(channel))).await).unwrap()
    }

    pub async fn agent(&self, agent: Agent) -> AgentId {
        AgentId::new(self.change(Change::CreateAgent(Box::new(agent))).await).unwrap()
    }

    pub async fn check(&self, check: Check) -> CheckId {
        CheckId::new(self.change(Change::CreateCheck(Box::new(check))).await).unwrap()
    }

    pub async fn result(&self, check: CheckId, result: CheckResult) {
        self.commit(Input::Result { check, result }).await;
    }

    pub async fn view(&self, check: CheckId) -> CheckView {
        self.store.check(check).await.unwrap().unwrap()
    }

    /// The check of this name at the agent of this name, once it is there.
    pub async fn find(&self, agent: &str, check: &str) -> Option<CheckView> {
        let filter = AgentFilter { names: vec![agent.to_owned()], ..AgentFilter::default() };
        let agent = self.store.agents(&filter, Page::ALL).await.unwrap().objects.pop()?.agent.id;
        let filter =
            CheckFilter { agents: vec![agent], names: vec![check.to_owned()], ..CheckFilter::default() };
        self.store.checks(&filter, Page::ALL).await.unwrap().objects.pop()
    }
}

pub fn item(output: &str, now: Timestamp) -> NotificationItem {
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

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
