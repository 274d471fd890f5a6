//! Order, duplicates, delay, and where a batch is cut: the state is that of the results in order.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::sync::Arc;

use proptest::prelude::*;
use vilicus_core::judge::{self, Input as JudgeInput};
use vilicus_core::{CheckResult, CheckState, Millis, Policy, Status, Timestamp};
use vilicus_store::conformance::{Fixture, NOON};
use vilicus_store::inventory::CheckSettings;
use vilicus_store::{Change, EngineStore, Input, MemoryEngine, Options, Store};

fn at(second: i64) -> Timestamp {
    NOON.after(Millis::from_secs(second as u64))
}

async fn world(attempts: u32) -> Fixture {
    let store: Arc<dyn Store> =
        Arc::new(EngineStore::open(MemoryEngine::new(), Options::new(NOON, [7; 16])).unwrap());
    let world = Fixture::new(store).await;
    let view = world.store.check(world.check).await.unwrap().unwrap();
    let mut check = (*view.check).clone();
    check.settings = CheckSettings { max_attempts: attempts, ..CheckSettings::default() };
    let change = Input::Change { change: Change::UpdateCheck(Box::new(check)), by: "trial".to_owned() };
    world.commit(0, change).await;
    world
}

/// What the judge says of those results that are newer than all before them, told what was told.
fn model(attempts: u32, arrived: &[(i64, Status)]) -> CheckState {
    let policy = Policy::default().max_attempts(attempts);
    let mut state = CheckState::default();
    for (second, status) in arrived {
        let result = CheckResult::new(*status, "");
        let input = JudgeInput::Result { result: &result, timestamp: at(*second) };
        let _ = judge::judge(&policy, &mut state, input, at(1000));
    }
    state
}

async fn state(world: &Fixture) -> CheckState {
    let mut state = world.store.check(world.check).await.unwrap().unwrap().state;
    // What people were told is not what is compared here.
    state.told.clear();
    (state.held, state.flapping_told) = (None, false);
    state
}

fn status(code: u8) -> Status {
    Status::ALL[usize::from(code)]
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

/// All orders of so many things.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(count - 1);
    let insert = |order: &Vec<usize>, at: usize| {
        let mut longer = order.clone();
        longer.insert(at, count - 1);
        longer
    };
    shorter.iter().flat_map(|order| (0..=order.len()).map(move |at| insert(order, at))).collect()
}

#[test]
fn all_orders_of_five_results_keep_all_and_turn_nothing_back() {
    const CODES: [u8; 5] = [0, 3, 3, 1, 0];
    block_on(async {
        for order in permutations(5) {
            for doubled in [None, Some(order[0]), Some(order[4])] {
                let world = world(2).await;
                let mut arrived: Vec<(i64, Status)> = Vec::new();
                for index in order.iter().copied().chain(doubled) {
                    let sample = (index as i64 + 1, status(CODES[index]));
                    world.commit(1000, world.result(sample.0, sample.1)).await;
                    if !arrived.contains(&sample) {
                        arrived.push(sample);
                    }
                }
                assert_eq!(state(&world).await, model(2, &arrived), "{order:?} {doubled:?}");
                let rows = world.history().await;
                let kept: Vec<_> = rows.iter().map(|row| (row.timestamp, row.status)).collect();
                let expected: Vec<_> =
                    (0..5).map(|index| (at(index + 1), status(CODES[index as usize]))).collect();
                assert_eq!(kept, expected, "{order:?} {doubled:?}");
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_batch_cut_anywhere_ends_in_the_same_states(codes in proptest::collection::vec(0..4_u8, 1..60), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4), attempts in 1..4_u32) {
        block_on(async {
            let whole = world(attempts).await;
            let inputs = |world: &Fixture| -> Vec<Input> {
                codes.iter().enumerate().map(|(second, code)| world.result(second as i64, status(*code))).collect()
            };
            whole.store.commit(at(1000), inputs(&whole)).await.unwrap();
            let pieces = world(attempts).await;
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(codes.len())).collect();
            cuts.extend([0, codes.len()]);
            cuts.sort_unstable();
            let all = inputs(&pieces);
            for cut in cuts.windows(2) {
                pieces.store.commit(at(1000), all[cut[0]..cut[1]].to_vec()).await.unwrap();
            }
            assert_eq!(state(&pieces).await, state(&whole).await);
            assert_eq!(pieces.history().await, whole.history().await);
            let arrived: Vec<_> = codes.iter().enumerate().map(|(second, code)| (second as i64, status(*code))).collect();
            assert_eq!(state(&whole).await, model(attempts, &arrived));
        });
    }
}
