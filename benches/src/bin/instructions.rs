//! The work that instruction counts are kept of. Run by `scripts/instructions` under callgrind, twice with different
//! numbers: the difference is what the work takes, without what is made ready for it.
//!
//! `instructions judge|pack|commit TIMES`

use std::hint::black_box;

use vilicus_benches::Failure;
use vilicus_core::judge::{self, Input as Judged};
use vilicus_core::{AgentId, CheckId, CheckResult, CheckState, Metric, Policy, Status, Timestamp};
use vilicus_store::conformance::{NOON, new_agent, new_check};
use vilicus_store::report::Reports;
use vilicus_store::{Change, EngineStore, Input, MemoryEngine, Options, Outcome, Store};

/// Results a batch.
const BATCH: usize = 100;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, times] = arguments.as_slice() else {
        return Err("say what to do, and how often: judge|pack|commit TIMES".into());
    };
    let times: u64 = times.parse()?;
    match work.as_str() {
        "judge" => judge(times),
        "pack" => pack(times)?,
        "commit" => tokio::runtime::Builder::new_current_thread().build()?.block_on(commit(times))?,
        other => return Err(format!("'{other}' is none of judge, pack, commit").into()),
    }
    Ok(())
}

fn result() -> CheckResult {
    CheckResult::ok("usage is fine, on all 8 cores").metric(Metric::percent("usage", 12.5))
}

/// Judges an OK result that changes nothing.
fn judge(times: u64) {
    let (policy, mut state, result) = (Policy::default(), CheckState::default(), result());
    for second in 1..=times {
        let at = Timestamp::from_millis(second as i64 * 1000);
        let input = Judged::Result { result: &result, timestamp: at };
        let verdict = judge::judge(&policy, &mut state, black_box(input), at);
        debug_assert_eq!(verdict.status, Status::Ok);
    }
}

/// Packs a batch.
fn pack(times: u64) -> Result<(), Failure> {
    let (check, result) = (CheckId::new(7).ok_or("no id")?, result());
    for _ in 0..times {
        let mut reports = Reports::default();
        (0..BATCH).for_each(|_| reports.add(check, black_box(&result)));
        black_box(reports);
    }
    Ok(())
}

/// Commits a batch of results that change nothing, one of each of a hundred checks: judged, packed and journalled in
/// memory.
async fn commit(times: u64) -> Result<(), Failure> {
    let store = EngineStore::open(MemoryEngine::new(), Options::new(NOON, [7; 16]))?;
    let agent = create(&store, Change::CreateAgent(Box::new(new_agent("web-1")))).await?;
    let agent = AgentId::new(agent).ok_or("no id")?;
    let mut checks = Vec::with_capacity(BATCH);
    for number in 0..BATCH {
        let check = Change::CreateCheck(Box::new(new_check(agent, &format!("check-{number}"))));
        checks.extend(CheckId::new(create(&store, check).await?));
    }
    for second in 1..=times {
        let at = Timestamp::from_millis(NOON.as_millis() + second as i64 * 10_000);
        let mut reports = Reports::by(Some(agent));
        let result = result().at(at);
        checks.iter().for_each(|check| reports.add(*check, &result));
        store.commit(at, vec![Input::Reports(Box::new(reports))]).await?;
    }
    store.close().await?;
    Ok(())
}

async fn create(store: &dyn Store, change: Change) -> Result<u64, Failure> {
    let outcomes = store.commit(NOON, vec![Input::Change { change, by: "bench".to_owned() }]).await?;
    if let [Outcome::Id(id)] = outcomes[..] { Ok(id) } else { Err("no id".into()) }
}
