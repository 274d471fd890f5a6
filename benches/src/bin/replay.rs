//! What a month of one-minute results costs when it is judged again. The limit: well under a second, so under 1 µs a
//! result.
//!
//! `cargo run --release -p vilicus-benches --bin replay`

use std::hint::black_box;
use std::num::NonZeroU64;

use vilicus_benches::measure;
use vilicus_core::replay::{Setting, replay};
use vilicus_core::{ChannelId, CheckId, CheckResult, Metric, Millis, Policy, Threshold, Timestamp};

/// 30 days of one-minute results.
const RESULTS: u64 = 43_200;
const MONTHS: u64 = 20;

fn main() {
    let rows: Vec<(Timestamp, CheckResult)> = (0..RESULTS).map(row).collect();
    let until = Timestamp::EPOCH.after(Millis::from_minutes(RESULTS));
    let channels: Vec<ChannelId> = ChannelId::new(1).into_iter().collect();
    let plain = Threshold { critical: "90".parse().ok(), ..Threshold::default() };
    let sustained = Threshold { for_time: Some(Millis::from_minutes(5)), ..plain.clone() };
    for (name, threshold) in
        [("a month, plain threshold", plain), ("a month, sustained threshold", sustained)]
    {
        let policy = Policy::default().thresholds([("usage".to_owned(), threshold)].into());
        measure(name, MONTHS, |_| {
            let setting = Setting::alone(CheckId::from(NonZeroU64::MIN), &policy, &channels);
            let results = rows.iter().map(|(timestamp, result)| (*timestamp, result));
            black_box(replay(setting, results, until));
        });
    }
}

/// Ten minutes of trouble every six hours.
fn row(minute: u64) -> (Timestamp, CheckResult) {
    let value = if minute % 360 < 10 { 95.0 } else { 40.0 };
    let result = CheckResult::measured("disk").metric(Metric::percent("usage", value));
    (Timestamp::EPOCH.after(Millis::from_minutes(minute)), result)
}
