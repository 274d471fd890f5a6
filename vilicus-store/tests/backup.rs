//! Backups: whole, of one moment, while the store works on, and a store again.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::collections::BTreeMap;
use std::sync::Arc;

use vilicus_core::{CheckId, CheckResult, Metric, Millis, Status, Timestamp};
use vilicus_store::backup::{self, Backup, BackupError};
use vilicus_store::conformance::{Fixture, NOON};
use vilicus_store::engine::{Durability, Engine};
use vilicus_store::query::{
    AgentFilter, CheckFilter, EventQuery, HistoryQuery, HistoryRow, NotificationQuery, Order, Page,
    RollupQuery,
};
use vilicus_store::{
    Change, EngineStore, Input, MemoryEngine, Options, Outcome, SledEngine, Store, StoreError, url,
};

const CHECKS: u64 = 40;

fn options(now: Timestamp) -> Options {
    Options::new(now, [7; 16]).durability(Durability::Process)
}

fn open<E: Engine>(engine: E, now: Timestamp) -> Arc<dyn Store> {
    Arc::new(EngineStore::open(engine, options(now)).unwrap())
}

/// A store that is reported to.
struct World {
    fixture: Fixture,
    checks: Vec<CheckId>,
    rounds: u64,
}

impl World {
    async fn new(store: Arc<dyn Store>) -> Self {
        let fixture = Fixture::new(store).await;
        let template = fixture.store.check(fixture.check).await.unwrap().unwrap().check;
        let mut checks = Vec::new();
        for number in 0..CHECKS {
            let mut check = (*template).clone();
            check.name = format!("check-{number}");
            let change = Change::CreateCheck(Box::new(check));
            match fixture.commit(0, Input::Change { change, by: "trial".to_owned() }).await {
                Outcome::Id(id) => checks.push(CheckId::new(id).unwrap()),
                other => panic!("{other:?}"),
            }
        }
        Self { fixture, checks, rounds: 0 }
    }

    /// A round comes every hour: some hundred of them are some weeks.
    fn now(&self) -> Timestamp {
        NOON.after(Millis::from_hours(self.rounds))
    }

    /// One result of every check; some of them change their status, so events and messages come, too.
    async fn report(&mut self) {
        self.rounds += 1;
        let at = self.now();
        let inputs = self.checks.iter().map(|check| {
            let value = (check.get() * 7 + self.rounds * 13) % 1000;
            let status = if value.is_multiple_of(31) { Status::Critical } else { Status::Ok };
            let result = CheckResult::new(status, format!("round {}", self.rounds))
                .metric(Metric::percent("usage_percent", value as f64 / 10.0))
                .at(at);
            Input::Result { check: *check, result }
        });
        self.fixture.store.commit(at, inputs.collect()).await.unwrap();
        self.fixture.deliver(3600 * self.rounds as i64).await;
    }

    async fn maintain(&self) {
        self.fixture.store.maintain(self.now()).await.unwrap();
    }

    /// Reads a backup to its end, with rounds and checkpoints between its pieces. Returns how many rounds were
    /// answered before its end was read, too.
    async fn read_while_working(&mut self, mut backup: Backup) -> (Vec<u8>, u64) {
        let mut bytes = Vec::new();
        let mut pieces = 0;
        while let Some(piece) = backup.next().await {
            bytes.extend(piece.unwrap());
            for _ in 0..7 {
                self.report().await;
            }
            pieces += 1;
            if pieces % 3 == 0 {
                self.maintain().await;
            }
        }
        assert!(pieces > 5, "{pieces} pieces are too few to see anything between them");
        (bytes, self.rounds)
    }
}

async fn history(store: &Arc<dyn Store>, check: CheckId) -> Vec<HistoryRow> {
    let query =
        HistoryQuery { check, since: None, until: None, order: Order::OldestFirst, limit: usize::MAX };
    store.history(&query).await.unwrap()
}

/// All that a store says, to be compared.
async fn everything(store: &Arc<dyn Store>) -> BTreeMap<String, String> {
    let mut said = BTreeMap::new();
    let mut say = |what: &str, text: String| assert!(said.insert(what.to_owned(), text).is_none());
    say("agents", format!("{:#?}", store.agents(&AgentFilter::default(), Page::ALL).await.unwrap().objects));
    let checks = store.checks(&CheckFilter::default(), Page::ALL).await.unwrap().objects;
    for view in &checks {
        let check = view.check.id;
        say(&format!("state of {check}"), format!("{view:#?}"));
        say(&format!("history of {check}"), format!("{:#?}", history(store, check).await));
        let query = RollupQuery {
            check,
            since: NOON,
            until: NOON.after(Millis::from_hours(9000)),
            step: Millis::from_hours(24),
        };
        say(&format!("rollups of {check}"), format!("{:#?}", store.rollups(&query).await.unwrap()));
    }
    say("channels", format!("{:#?}", store.channels().await.unwrap()));
    say("tokens", format!("{:#?}", store.tokens().await.unwrap()));
    let events = EventQuery { limit: usize::MAX, ..EventQuery::default() };
    say("events", format!("{:#?}", store.events(&events).await.unwrap()));
    let messages = NotificationQuery { limit: usize::MAX, ..NotificationQuery::default() };
    say("messages", format!("{:#?}", store.notifications(&messages).await.unwrap()));
    said
}

/// Fails with the first lines that are not the same.
fn assert_same(was: &BTreeMap<String, String>, is: &BTreeMap<String, String>) {
    for (what, was) in was {
        let (was, is) = (was.lines(), is[what].lines());
        for (number, (was, is)) in was.clone().zip(is.clone()).enumerate() {
            assert_eq!(is, was, "line {number} of {what}");
        }
        assert_eq!(is.count(), was.count(), "lines of {what}");
    }
}

async fn restored(bytes: Vec<u8>, now: Timestamp) -> Arc<dyn Store> {
    let engine = MemoryEngine::new();
    backup::restore(&engine, bytes.as_slice()).unwrap();
    let store = open(engine, now);
    assert_eq!(store.health().await.quarantined, 0);
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_store_comes_back_as_it_was() {
    let engine = Arc::new(MemoryEngine::new());
    let mut world = World::new(open(Arc::clone(&engine), NOON)).await;
    for round in 0..300 {
        world.report().await;
        if round == 170 {
            world.maintain().await;
        }
    }
    let mut backup = world.fixture.store.backup(world.now()).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = backup.next().await {
        bytes.extend(piece.unwrap());
    }
    let summary = backup::verify(bytes.as_slice()).unwrap();
    assert_eq!((summary.begun, summary.bytes), (world.now(), bytes.len() as u64));
    let now = world.now();
    drop(world);
    let (was, is) = (open(engine, now), restored(bytes, now).await);
    assert_same(&everything(&was).await, &everything(&is).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_works_on_is_kept_as_it_was_at_one_moment() {
    let place = tempfile::tempdir().unwrap();
    let mut world = World::new(open(SledEngine::open(place.path()).unwrap(), NOON)).await;
    for round in 0..400 {
        world.report().await;
        if round == 350 {
            world.maintain().await;
        }
    }
    let before = world.rounds;
    let backup = world.fixture.store.backup(world.now()).await.unwrap();
    let (bytes, after) = world.read_while_working(backup).await;
    let again = restored(bytes.clone(), world.now()).await;
    let mut kept = None;
    for check in &world.checks {
        let (whole, part) = (history(&world.fixture.store, *check).await, history(&again, *check).await);
        let rounds = *kept.get_or_insert(part.len());
        assert_eq!(part.len(), rounds, "all checks are of one moment");
        assert_eq!(part, whole[..rounds], "nothing is missing before it, nothing comes after it");
    }
    let kept = kept.unwrap() as u64;
    assert!((before..=after).contains(&kept), "{before} <= {kept} <= {after}");

    // It goes on: what was judged since is judged again, to the same words, under the same numbers.
    let again = restored(bytes, NOON.after(Millis::from_hours(kept))).await;
    let mut twin = World {
        fixture: Fixture { store: again, ..world.fixture.clone() },
        checks: world.checks.clone(),
        rounds: kept,
    };
    while twin.rounds < world.rounds {
        twin.report().await;
    }
    twin.maintain().await;
    let (was, is) = (everything(&world.fixture.store).await, everything(&twin.fixture.store).await);
    assert_same(&was, &is);
    assert_eq!(twin.fixture.store.health().await.quarantined, 0);
}

#[tokio::test]
async fn one_at_a_time_and_the_next_when_its_reader_has_gone() {
    let world = World::new(open(MemoryEngine::new(), NOON)).await;
    let store = &world.fixture.store;
    let first = store.backup(NOON).await.unwrap();
    assert!(matches!(store.backup(NOON).await, Err(StoreError::Busy { .. })));
    drop(first);
    // The thread of the first notices at its next piece.
    while matches!(store.backup(NOON).await, Err(StoreError::Busy { .. })) {
        tokio::task::yield_now().await;
    }
    store.close().await.unwrap();
    assert!(matches!(store.backup(NOON).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn a_restore_that_is_cut_off_leaves_no_store() {
    let mut world = World::new(open(MemoryEngine::new(), NOON)).await;
    world.report().await;
    let mut backup = world.fixture.store.backup(NOON).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = backup.next().await {
        bytes.extend(piece.unwrap());
    }
    let place = tempfile::tempdir().unwrap();
    let address = format!("sled:{}", place.path().display());
    for cut in [3, 20, bytes.len() / 2, bytes.len() - 1] {
        let place = tempfile::tempdir().unwrap();
        let address = format!("sled:{}", place.path().display());
        url::restore(&address, &bytes[..cut]).unwrap_err();
        let error = url::open(&address, options(NOON)).unwrap_err();
        assert!(format!("{error:?}").contains("restore it again"), "{error:?}");
    }
    url::restore(&address, bytes.as_slice()).unwrap();
    let error = url::restore(&address, bytes.as_slice()).unwrap_err();
    assert!(matches!(error, url::RestoreError::Backup { source: BackupError::NotEmpty, .. }), "{error:?}");
    let store = url::open(&address, options(NOON)).unwrap();
    assert_eq!(history(&store, world.checks[0]).await.len(), 1);
    assert!(url::restore("memory:", bytes.as_slice()).is_err(), "it would be gone at once");
}
