//! kill -9 of the server at random moments under load: nothing acknowledged is lost, nothing is told falsely or twice.
//!
//! Several clients post results as fast as they are taken and write down what was acknowledged. In between one check
//! turns from OK to CRITICAL and back, and whoever listens on the webhook must hear of each turn. The moments come from
//! a seed that is printed; `VILICUS_CRASH_SEED` and `VILICUS_CRASH_ROUNDS` repeat a run or make it longer.

mod backup;
mod ledger;
mod load;
mod turns;

use std::time::Duration;

use tokio::time::sleep;

use crate::harness::Server;
use crate::harness::server::READY_WITHIN;
use crate::harness::webhook::Recorder;
use load::Load;
use turns::Turns;

/// How many agents post at the same time, and how many checks each has.
const AGENTS: usize = 6;
const CHECKS: usize = 5;
/// The server is killed so many milliseconds after it is ready.
const LIFE_MS: std::ops::Range<u64> = 20..3_000;
/// One start in so many is killed before it is ready.
const KILLED_IN_RECOVERY: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_told_twice_or_made_up_by_crashes() {
    let seed = setting("VILICUS_CRASH_SEED").unwrap_or(0x5eed_0001);
    let rounds = setting("VILICUS_CRASH_ROUNDS").unwrap_or(20);
    println!("crash: seed {seed}, {rounds} rounds");
    let mut random = Random(seed);
    let mut server = Server::new().start().await;
    let recorder = Recorder::start().await;
    recorder.channel(&server.admin()).await;
    let mut turns = Turns::prepare(&server).await;
    let load = Load::start(&server, "load", AGENTS, CHECKS).await;

    for round in 0..rounds {
        turns.previous_is_told(&recorder).await;
        sleep(Duration::from_millis(random.within(LIFE_MS))).await;
        turns.turn().await;
        server.kill();
        if random.within(0..KILLED_IN_RECOVERY) == 0 {
            server.launch();
            sleep(Duration::from_millis(random.within(0..300))).await;
            server.kill();
        }
        let took = server.start_again().await;
        assert!(took <= READY_WITHIN, "round {round}: ready only after {took:?}");
    }

    turns.previous_is_told(&recorder).await;
    let ledgers = load.stop().await;
    let admin = server.admin();
    for ledger in ledgers {
        ledger.agrees_with(&admin).await;
    }
    turns.were_told_and_nothing_else(&admin, &recorder).await;
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// Numbers that look random and can be repeated (xorshift64*).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        range.start + (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % (range.end - range.start)
    }
}
