//! What was measured reads back as it was sent, in order, and put together.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use vilicus_core::{CheckResult, Metric, Millis, Status, Timestamp};

use super::Harness;
use super::fixture::at;
use crate::query::{HistoryQuery, Order, RollupQuery};
use crate::store::{Input, Store};

pub(crate) async fn run<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    results_read_back_as_sent(harness).await;
    ranges_and_limits_hold(harness).await;
    rollups_put_results_together(harness).await;
}

async fn results_read_back_as_sent<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let full = CheckResult::measured("disk is fine")
        .long_output("a\nb")
        .metric(Metric::percent("used_percent:/", 81.25))
        .metric(Metric::bytes("free", 1e12 / 3.0))
        .duration(Millis::new(12))
        .exit_code(3)
        .at(at(1));
    let plain = CheckResult::critical("gone").at(at(2));
    for result in [&full, &plain] {
        world.commit(2, Input::Result { check: world.check, result: result.clone() }).await;
    }
    let rows = world.history().await;
    assert_eq!((&rows[0].result, rows[0].status), (&full, Status::Ok), "judged OK, and no status of its own");
    assert_eq!((&rows[1].result, rows[1].status), (&plain, Status::Critical));
}

async fn ranges_and_limits_hold<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    // Three weeks, an hour apart, and some that came late.
    let hours: Vec<i64> = (0..500).map(|hour| hour * 3600).collect();
    let (late, in_time): (Vec<i64>, Vec<i64>) = hours.iter().partition(|second| *second % 18_000 == 0);
    let inputs = in_time.iter().chain(&late).map(|second| world.result(*second, Status::Ok)).collect();
    world.store.commit(at(500 * 3600), inputs).await.unwrap();
    for written_down in [false, true] {
        if written_down {
            world.store.maintain(at(500 * 3600)).await.unwrap();
        }
        for (order, since, until, limit) in [
            (Order::OldestFirst, None, None, usize::MAX),
            (Order::NewestFirst, None, None, 10),
            (Order::NewestFirst, None, Some(at(700_000)), 300),
            (Order::OldestFirst, Some(at(360_000)), Some(at(720_000)), 50),
            (Order::OldestFirst, Some(at(360_000)), Some(at(363_600)), 50),
            (Order::OldestFirst, Some(at(1)), Some(at(2)), 50),
        ] {
            let query = HistoryQuery { check: world.check, since, until, order, limit };
            let rows = world.store.history(&query).await.unwrap();
            let mut expected: Vec<Timestamp> = hours.iter().map(|second| at(*second)).collect();
            expected.retain(|moment| {
                since.is_none_or(|since| *moment >= since) && until.is_none_or(|until| *moment < until)
            });
            if order == Order::NewestFirst {
                expected.reverse();
            }
            expected.truncate(limit);
            assert_eq!(rows.iter().map(|row| row.timestamp).collect::<Vec<_>>(), expected, "{query:?}");
        }
    }
}

async fn rollups_put_results_together<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let inputs = (0..1000_i64).map(|minute| {
        let status = if minute == 70 { Status::Critical } else { Status::Ok };
        let result =
            CheckResult::new(status, "").metric(Metric::new("value", minute as f64)).at(at(minute * 60));
        Input::Result { check: world.check, result }
    });
    world.store.commit(at(1000 * 60), inputs.collect()).await.unwrap();
    let query =
        RollupQuery { check: world.check, since: at(0), until: at(7200), step: Millis::from_hours(1) };
    for written_down in [false, true] {
        if written_down {
            world.store.maintain(at(1000 * 60)).await.unwrap();
        }
        let points = world.store.rollups(&query).await.unwrap();
        assert_eq!(points.iter().map(|point| point.count).collect::<Vec<_>>(), [60, 60]);
        assert_eq!((points[0].worst, points[1].worst), (Status::Ok, Status::Critical));
        let metric = &points[1].metrics[0];
        assert_eq!((metric.min, metric.max), (60.0, 119.0));
        assert!((metric.avg - 89.5).abs() < 1e-9);
        let long = RollupQuery { until: at(30 * 86_400), step: Millis::from_hours(24), ..query };
        let counted: u64 = world.store.rollups(&long).await.unwrap().iter().map(|point| point.count).sum();
        assert_eq!(counted, 1000, "nothing counts twice, and nothing is missing");
    }
}
