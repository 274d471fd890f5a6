//! Pings of jobs, and objects that are made together: ids that are promised, and commits that are kept whole or not.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use vilicus_core::heartbeat::Signal;
use vilicus_core::{AgentId, ChannelId, CheckId, Route, RouteId, Status, TemplateId, Timestamp};

use super::Harness;
use super::fixture::{Fixture, agent, at, change, channel, check, create};
use crate::inventory::{Check, HEARTBEAT_KIND, Template};
use crate::json::Json;
use crate::query::{AgentFilter, CheckFilter, Page};
use crate::store::{Change, Input, Outcome, PROVISIONAL, Store};

pub(crate) async fn run<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    a_job_says_how_it_does(harness).await;
    a_job_that_stays_out_is_missed_once(harness).await;
    what_is_made_together_knows_itself(harness).await;
    templates_are_kept(harness).await;
}

fn backup(agent: AgentId) -> Check {
    let mut check = check(agent, "backup");
    check.kind = HEARTBEAT_KIND.to_owned();
    check.params = Json(serde_json::json!({"period": "1h", "grace": "10m"}));
    check.ping_key = Some("a-key".to_owned());
    check
}

async fn with_backup(world: Fixture) -> Fixture {
    let id = create(&world.store, Change::CreateCheck(Box::new(backup(world.agent)))).await;
    Fixture { check: CheckId::new(id).unwrap(), ..world }
}

async fn ping(world: &Fixture, second: i64, signal: Signal) -> Outcome {
    let (check, rid, body) = (world.check, Some("run-1".to_owned()), String::new());
    world.commit(second, Input::Ping { check, signal, rid, body }).await
}

async fn status(world: &Fixture) -> Option<Status> {
    world.store.check(world.check).await.unwrap().unwrap().state.status
}

async fn a_job_says_how_it_does<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    assert_eq!(ping(&world, 0, Signal::Success).await, Outcome::UnknownCheck, "a disk has no pings");
    let world = with_backup(world).await;
    assert_eq!(world.store.check_by_ping_key("a-key").await.unwrap(), Some(world.check));
    assert_eq!(world.store.check_by_ping_key("another").await.unwrap(), None);
    ping(&world, 1, Signal::Start).await;
    assert_eq!(status(&world).await, None, "a beginning says nothing yet");
    ping(&world, 31, Signal::Success).await;
    assert_eq!(status(&world).await, Some(Status::Ok));
    let rows = world.history().await;
    let took: Vec<f64> = rows[0].result.metrics.iter().map(|metric| metric.value).collect();
    assert_eq!(took, [30.0], "how long the run took");
    ping(&world, 40, Signal::Exit(3)).await;
    assert_eq!(status(&world).await, Some(Status::Critical));
    ping(&world, 41, Signal::Log).await;
    assert_eq!(status(&world).await, Some(Status::Critical), "a note changes nothing");
    assert_eq!(world.history().await.len(), 2);
}

async fn a_job_that_stays_out_is_missed_once<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, place) = harness.fixture().await;
    let world = with_backup(world).await;
    ping(&world, 1, Signal::Success).await;
    let world = world.end().found_in(harness.reopen(&place, at(60)).await);
    assert!(world.store.next_due().await.unwrap().is_some_and(|due| due <= at(4201)));
    for second in [4200, 4201, 4300, 9000] {
        world.commit(second, Input::Deadlines).await;
        let expected = if second > 4200 { Status::Critical } else { Status::Ok };
        assert_eq!(status(&world).await, Some(expected), "{second}");
    }
    let view = world.store.check(world.check).await.unwrap().unwrap();
    assert_eq!(view.state.since, Some(at(4201)), "the exact deadline is its time");
    assert_eq!(world.messages().await.len(), 1);
}

async fn what_is_made_together_knows_itself<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let promised = |number: u64| PROVISIONAL + number;
    let mut new = agent("new");
    new.id = AgentId::new(promised(1)).unwrap();
    let (mut parent, mut child) = (check(new.id, "router"), check(new.id, "shop"));
    (parent.id, child.id) = (CheckId::new(promised(1)).unwrap(), CheckId::new(promised(2)).unwrap());
    child.depends_on = vec![parent.id];
    let mut phone = channel("phone");
    phone.id = ChannelId::new(promised(1)).unwrap();
    let mut route = Route::new(RouteId::new(1).unwrap(), "to the phone");
    route.channels = vec![phone.id];
    let changes = [
        Change::CreateAgent(Box::new(new)),
        Change::CreateCheck(Box::new(parent)),
        Change::CreateCheck(Box::new(child)),
        Change::CreateChannel(Box::new(phone)),
        Change::CreateRoute(Box::new(route)),
    ];
    let inputs = || changes.iter().cloned().map(change).collect::<Vec<_>>();
    let mut refused = inputs();
    refused.push(change(Change::CreateChannel(Box::new(channel("ops")))));
    assert!(world.store.commit(at(1), refused).await.is_err());
    let agents = world.store.agents(&AgentFilter::default(), Page::ALL).await.unwrap();
    assert_eq!((agents.total, world.store.channels().await.unwrap().len()), (1, 1), "nothing of it is kept");
    assert!(world.store.routes().await.unwrap().is_empty());
    let outcomes = world.store.commit(at(1), inputs()).await.unwrap();
    let ids: Vec<u64> = outcomes.iter().map(|it| if let Outcome::Id(id) = it { *id } else { 0 }).collect();
    assert!(ids.iter().all(|id| (1..PROVISIONAL).contains(id)), "{ids:?}");
    let child = world.store.check(CheckId::new(ids[2]).unwrap()).await.unwrap().unwrap().check;
    assert_eq!((child.agent.get(), child.depends_on[0].get()), (ids[0], ids[1]));
    assert_eq!(world.store.routes().await.unwrap()[0].channels[0].get(), ids[3]);
    let all = world.store.checks(&CheckFilter::default(), Page::ALL).await.unwrap().total;
    assert_eq!(all, 5, "two agents with checks of their own, and three others");
}

async fn templates_are_kept<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, place) = harness.fixture().await;
    let mut template = Template {
        id: TemplateId::new(1).unwrap(),
        name: "linux".to_owned(),
        matchers: vec!["tag=linux".parse().unwrap()],
        checks: vec![Json(serde_json::json!({"name": "disk", "kind": "disk"}))],
        managed_by: None,
    };
    let id = create(&world.store, Change::CreateTemplate(Box::new(template.clone()))).await;
    let again =
        world.store.commit(at(0), vec![change(Change::CreateTemplate(Box::new(template.clone())))]).await;
    assert!(again.is_err(), "the name of a template is its own");
    (template.id, template.name) = (TemplateId::new(id).unwrap(), "unix".to_owned());
    world.commit(1, change(Change::UpdateTemplate(Box::new(template.clone())))).await;
    let world = world.end().found_in(harness.reopen(&place, at(2)).await);
    assert_eq!(*world.store.templates().await.unwrap()[0], template);
    world.commit(3, change(Change::DeleteTemplate(template.id))).await;
    assert!(world.store.templates().await.unwrap().is_empty());
}
