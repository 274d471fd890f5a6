//! Results by the packed batch come to the very same as one by one, over a reopening too.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use vilicus_core::{CheckId, CheckResult, Metric, Millis, Status, Threshold, Timestamp, Unit};

use super::Harness;
use super::fixture::{Fixture, agent, at, change, check, create};
use crate::inventory::AGENT_KIND;
use crate::query::{CheckFilter, Page};
use crate::report::Reports;
use crate::store::{Change, Input, Outcome, ReportsDone, Run, Store};

pub(crate) async fn run<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    for policy in [Trial::Plain, Trial::Soft, Trial::Threshold, Trial::Sustained] {
        both_ways_come_to_the_same(harness, policy).await;
    }
    an_agent_speaks_of_its_own_checks_alone(harness).await;
    an_agent_hears_what_it_has_to_know(harness).await;
}

/// How the check of a trial is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trial {
    Plain,
    Soft,
    Threshold,
    Sustained,
}

impl Trial {
    async fn set(self, world: &Fixture) {
        let view = world.store.check(world.check).await.unwrap().unwrap();
        let mut check = (*view.check).clone();
        let sustained = self == Trial::Sustained;
        match self {
            Self::Plain => {}
            Self::Soft => check.settings.max_attempts = 4,
            Self::Threshold | Self::Sustained => {
                let threshold = Threshold {
                    critical: "90".parse().ok(),
                    for_time: sustained.then_some(Millis::from_secs(20)),
                    min_coverage: 0.1,
                    ..Threshold::default()
                };
                check.settings.thresholds.insert("used".to_owned(), threshold);
            }
        }
        world.commit(0, change(Change::UpdateCheck(Box::new(check)))).await;
    }
}

/// Numbers that look like chance, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// A result of about this second: mostly like the one before, now and then in any way another one.
    fn result(&mut self, second: i64) -> CheckResult {
        let status = if self.below(12) == 0 { Status::ALL[self.below(4) as usize] } else { Status::Ok };
        let text = if self.below(5) == 0 { format!("text {}", self.below(9)) } else { "as it is".to_owned() };
        let mut result = CheckResult::new(status, text);
        let used =
            Metric::new("used", if self.below(10) == 0 { 95.0 } else { self.below(800) as f64 / 10.0 });
        result = result.metric(used);
        match self.below(15) {
            0 => result.metrics.clear(),
            1 => result = result.metric(Metric::bytes("more", 1e9).unit(Unit::Other("x".to_owned()))),
            2 => result.status = None,
            3 => result.long_output = "and\nmore".to_owned(),
            4 => (result.duration, result.exit_code) = (Some(Millis::new(7)), Some(2)),
            5 => result.truncated = true,
            _ => {}
        }
        match self.below(20) {
            0 => result,
            1 => result.at(at(second - 30)),
            2 => result.at(at(second - 1)),
            _ => result.at(at(second)),
        }
    }
}

async fn both_ways_come_to_the_same<F, Fut>(harness: &Harness<F>, trial: Trial)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let ((single, _place), (mut packed, place)) = (harness.fixture().await, harness.fixture().await);
    trial.set(&single).await;
    trial.set(&packed).await;
    let mut dice = Dice(trial as u64);
    let mut second = 0;
    for batch in 0..60 {
        // Over the end of a week, once.
        second += if batch == 40 { 8 * 86_400 } else { 10 };
        let results: Vec<CheckResult> =
            (0..=dice.below(6)).map(|nth| dice.result(second + nth as i64)).collect();
        let one_by_one = results.iter().cloned().map(|result| Input::Result { check: single.check, result });
        let inputs = [Input::Contact { agent: single.agent }].into_iter().chain(one_by_one).collect();
        let mut outcomes = single.store.commit(at(second + 6), inputs).await.unwrap();
        outcomes.remove(0);
        let done = report(&packed, second + 6, &results).await;
        assert_eq!(done.outcomes, outcomes, "{trial:?}, batch {batch}: {results:?}");
        if batch % 17 == 16 {
            let ids = packed.end();
            packed = ids.found_in(harness.reopen(&place, at(second + 6)).await);
        }
        let views = (view(&single).await, view(&packed).await);
        assert_eq!(views.0, views.1, "{trial:?}, batch {batch}: {results:?}");
    }
    assert_eq!(packed.history().await, single.history().await, "{trial:?}");
}

/// What is known of the check, but in which messages it was told: after a restart nothing merges into those that wait.
async fn view(world: &Fixture) -> String {
    let view = world.store.check(world.check).await.unwrap().unwrap();
    let mut state = view.state;
    state.told.iter_mut().for_each(|told| told.messages.clear());
    format!("{state:?} {:?} {:?}", view.last, view.next_due)
}

async fn report(world: &Fixture, second: i64, results: &[CheckResult]) -> ReportsDone {
    let mut reports = Reports::by(Some(world.agent));
    results.iter().for_each(|result| reports.add(world.check, result));
    submit(world, second, reports).await
}

async fn submit(world: &Fixture, second: i64, reports: Reports) -> ReportsDone {
    match world.commit(second, Input::Reports(Box::new(reports))).await {
        Outcome::Reports(done) => *done,
        other => panic!("reports have their own outcome, not {other:?}"),
    }
}

async fn an_agent_speaks_of_its_own_checks_alone<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let other = create(&world.store, Change::CreateAgent(Box::new(agent("web-2")))).await;
    let other = vilicus_core::AgentId::new(other).unwrap();
    let foreign = create(&world.store, Change::CreateCheck(Box::new(check(other, "disk")))).await;
    let foreign = CheckId::new(foreign).unwrap();
    let filter = CheckFilter { agents: vec![world.agent], ..CheckFilter::default() };
    let all = world.store.checks(&filter, Page::ALL).await.unwrap().objects;
    let own = all.iter().find(|view| view.check.kind == AGENT_KIND).unwrap().check.id;
    let result = CheckResult::ok("fine").at(at(1));
    let reports = |by| {
        let mut reports = Reports::by(by);
        for check in [world.check, foreign, own, CheckId::new(4711).unwrap()] {
            reports.add(check, &result);
        }
        reports
    };
    let accepted = Outcome::Accepted { timestamp: at(1), status: Status::Ok, retry_in: None };
    let same = Outcome::Duplicate { timestamp: at(1), identical: true };
    let done = submit(&world, 1, reports(Some(world.agent))).await;
    assert_eq!(
        done.outcomes,
        [accepted.clone(), Outcome::UnknownCheck, Outcome::TakesNoResults, Outcome::UnknownCheck]
    );
    let done = submit(&world, 2, reports(None)).await;
    assert_eq!(done.outcomes, [same, accepted, Outcome::TakesNoResults, Outcome::UnknownCheck]);
    assert_eq!(done.agent, None);
    let names = ["disk", "none", ""];
    assert_eq!(world.store.check_ids(world.agent, &names).await.unwrap(), [Some(world.check), None, None]);
}

async fn an_agent_hears_what_it_has_to_know<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let news = report(&world, 1, &[]).await.agent.unwrap();
    let view = world.store.agent(world.agent).await.unwrap().unwrap();
    assert_eq!((news.config_version, news.runs), (view.config_version, vec![]));
    assert_eq!(view.contact.last, Some(at(1)), "it is contact, also without a result");
    world.commit(2, Input::RunNow { check: world.check }).await;
    let wanted = [Run { check: world.check, after: Millis::ZERO }];
    assert_eq!(report(&world, 3, &[]).await.agent.unwrap().runs, wanted);
    let done = report(&world, 4, &[CheckResult::ok("fine").at(at(4))]).await;
    assert_eq!(done.agent.unwrap().runs, [], "it ran");
}
