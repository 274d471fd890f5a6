//! Configuration: ids, names, tokens, versions, and what goes with what.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use vilicus_core::{AgentId, Millis, Status, Timestamp, TokenId};

use super::Harness;
use super::fixture::{agent, at, change, channel, check, create};
use crate::error::{Refusal, StoreError};
use crate::inventory::{AGENT_KIND, Role, Token, TokenPurpose};
use crate::query::{AgentFilter, AgentState, CheckFilter, Page};
use crate::store::{Change, Input, Outcome, Store};

pub(crate) async fn run<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    names_are_unique(harness).await;
    an_agent_has_a_check_of_its_own(harness).await;
    the_version_changes_with_what_the_agent_must_know(harness).await;
    lists_are_filtered_and_paged(harness).await;
    tokens_are_found_and_used_up(harness).await;
    an_agent_takes_its_checks_and_tokens_along(harness).await;
    a_check_that_is_switched_off_is_pending(harness).await;
    agents_that_are_not_missed_expire(harness).await;
    an_agent_says_only_its_own(harness).await;
}

async fn names_are_unique<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let other =
        AgentId::new(create(&world.store, Change::CreateAgent(Box::new(agent("web-2")))).await).unwrap();
    create(&world.store, Change::CreateCheck(Box::new(check(other, "disk")))).await;
    let mut renamed = agent("web-1");
    renamed.id = other;
    let absent = AgentId::new(99).unwrap();
    for (refused, is_taken) in [
        (Change::CreateAgent(Box::new(agent("web-2"))), true),
        (Change::UpdateAgent(Box::new(renamed)), true),
        (Change::CreateCheck(Box::new(check(world.agent, "disk"))), true),
        (Change::CreateChannel(Box::new(channel("ops"))), true),
        (Change::CreateCheck(Box::new(check(absent, "disk"))), false),
        (Change::DeleteAgent(absent), false),
    ] {
        match world.store.commit(at(1), vec![change(refused.clone())]).await {
            Err(StoreError::Refused { index: 0, refusal: Refusal::Taken { .. } }) if is_taken => {}
            Err(StoreError::Refused { index: 0, refusal: Refusal::NotFound { .. } }) if !is_taken => {}
            answer => panic!("{refused:?} is refused, not {answer:?}"),
        }
    }
    let mut guid = agent("web-3");
    guid.guid = Some("g".to_owned());
    create(&world.store, Change::CreateAgent(Box::new(guid.clone()))).await;
    guid.name = "web-4".to_owned();
    let again = world.store.commit(at(1), vec![change(Change::CreateAgent(Box::new(guid)))]).await;
    assert!(matches!(again, Err(StoreError::Refused { refusal: Refusal::Taken { field: "guid", .. }, .. })));
    let swap =
        vec![change(Change::DeleteAgent(other)), change(Change::CreateAgent(Box::new(agent("web-2"))))];
    world.store.commit(at(2), swap).await.expect("a name is free when its holder is gone");
}

async fn an_agent_has_a_check_of_its_own<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let filter = CheckFilter { kinds: vec![AGENT_KIND.to_owned()], ..CheckFilter::default() };
    let own = world.store.checks(&filter, Page::ALL).await.unwrap();
    assert_eq!(own.total, 1);
    assert_eq!(own.objects[0].state.status, None, "PENDING before the first contact");
    world.commit(1, Input::Contact { agent: world.agent }).await;
    let own = world.store.checks(&filter, Page::ALL).await.unwrap();
    assert_eq!(own.objects[0].state.status, Some(Status::Ok));
    assert!(world.messages().await.is_empty(), "the first contact is no news");
}

async fn the_version_changes_with_what_the_agent_must_know<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let version = async || world.store.agent(world.agent).await.unwrap().unwrap().config_version;
    let first = version().await;
    world.report(1, Status::Critical).await;
    assert_eq!(version().await, first, "states are no configuration");
    let mut changed = check(world.agent, "disk");
    (changed.id, changed.settings.interval) = (world.check, Some(Millis::from_secs(30)));
    world.commit(2, change(Change::UpdateCheck(Box::new(changed)))).await;
    let second = version().await;
    assert_ne!(second, first);
    let view = world.store.check(world.check).await.unwrap().unwrap();
    assert_eq!(view.policy.interval, Millis::from_secs(30));
    world.commit(3, change(Change::DeleteCheck(world.check))).await;
    assert_ne!(version().await, second);
}

async fn lists_are_filtered_and_paged<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    for number in 0..5 {
        let check = check(world.agent, &format!("check-{number}"));
        create(&world.store, Change::CreateCheck(Box::new(check))).await;
    }
    world.report(1, Status::Critical).await;
    let count = async |filter: CheckFilter| world.store.checks(&filter, Page::ALL).await.unwrap().total;
    assert_eq!(count(CheckFilter::default()).await, 7);
    assert_eq!(count(CheckFilter { agents: vec![world.agent], ..CheckFilter::default() }).await, 7);
    assert_eq!(count(CheckFilter { names: vec!["disk".to_owned()], ..CheckFilter::default() }).await, 1);
    assert_eq!(
        count(CheckFilter { statuses: vec![Some(Status::Critical)], ..CheckFilter::default() }).await,
        1
    );
    assert_eq!(count(CheckFilter { enabled: Some(false), ..CheckFilter::default() }).await, 0);
    let page = world.store.checks(&CheckFilter::default(), Page { offset: 2, limit: 3 }).await.unwrap();
    assert_eq!((page.objects.len(), page.total), (3, 7));
    assert!(page.objects.is_sorted_by_key(|view| view.check.id));
    let tagged = AgentFilter { tags: vec!["prod".to_owned()], ..AgentFilter::default() };
    assert_eq!(world.store.agents(&tagged, Page::ALL).await.unwrap().total, 1);
    let down = AgentFilter { states: vec![AgentState::Down], ..AgentFilter::default() };
    assert_eq!(world.store.agents(&down, Page::ALL).await.unwrap().total, 0);
}

fn token(name: &str, uses: Option<u32>) -> Token {
    Token {
        id: TokenId::new(1).unwrap(),
        name: name.to_owned(),
        role: Role::Enroll,
        hash: [name.len() as u8; 32],
        agent: None,
        created_at: at(0),
        expires_at: None,
        uses,
        ephemeral: false,
        reenroll: false,
        tags: Vec::new(),
        templates: Vec::new(),
        needs_approval: false,
        purpose: TokenPurpose::Api,
    }
}

async fn tokens_are_found_and_used_up<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let twice = token("two uses", Some(2));
    let id = TokenId::new(create(&world.store, Change::CreateToken(Box::new(twice.clone()))).await).unwrap();
    let found = async || world.store.token_by_hash(&twice.hash).await.unwrap();
    assert_eq!(found().await.unwrap().id, id);
    assert!(world.store.token_by_hash(&[0; 32]).await.unwrap().is_none());
    world.commit(1, change(Change::UseToken(id))).await;
    assert_eq!(found().await.unwrap().uses, Some(1));
    world.commit(2, change(Change::UseToken(id))).await;
    assert!(found().await.is_none(), "the last use removes it");
    let again = world.store.commit(at(3), vec![change(Change::UseToken(id))]).await;
    assert!(matches!(again, Err(StoreError::Refused { refusal: Refusal::UsedUp, .. })));
}

async fn an_agent_takes_its_checks_and_tokens_along<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let mut own = token("its own", None);
    (own.role, own.agent) = (Role::Agent, Some(world.agent));
    create(&world.store, Change::CreateToken(Box::new(own))).await;
    world.commit(1, change(Change::DeleteAgent(world.agent))).await;
    assert!(world.store.agent(world.agent).await.unwrap().is_none());
    assert_eq!(world.store.checks(&CheckFilter::default(), Page::ALL).await.unwrap().total, 0);
    assert!(world.store.tokens().await.unwrap().is_empty());
    assert_eq!(world.report(2, Status::Ok).await, Outcome::UnknownCheck);
    let next = create(&world.store, Change::CreateAgent(Box::new(agent("web-1")))).await;
    assert!(next > world.agent.get(), "ids are not given out twice");
}

async fn a_check_that_is_switched_off_is_pending<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    world.commit(0, Input::Delivered { checks: vec![world.check] }).await;
    world.report(1, Status::Critical).await;
    let mut off = check(world.agent, "disk");
    (off.id, off.enabled) = (world.check, false);
    world.commit(2, change(Change::UpdateCheck(Box::new(off.clone())))).await;
    let view = world.store.check(world.check).await.unwrap().unwrap();
    assert_eq!((view.state.status, view.next_due, view.check.delivered_at), (None, None, None));
    world.report(3, Status::Critical).await;
    let view = world.store.check(world.check).await.unwrap().unwrap();
    assert_eq!(view.state.status, None, "what comes of it is history only");
    assert_eq!(world.history().await.len(), 2);
    off.enabled = true;
    world.commit(4, change(Change::UpdateCheck(Box::new(off)))).await;
    world.report(5, Status::Critical).await;
    assert_eq!(world.store.check(world.check).await.unwrap().unwrap().state.status, Some(Status::Critical));
}

async fn agents_that_are_not_missed_expire<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let mut fleeting = agent("job-1");
    (fleeting.ephemeral, fleeting.expire_after) = (true, Some(Millis::from_secs(100)));
    let id = AgentId::new(create(&world.store, Change::CreateAgent(Box::new(fleeting))).await).unwrap();
    world.commit(200, Input::Contact { agent: id }).await;
    assert_eq!(world.store.next_due().await.unwrap().map(|due| due <= at(300)), Some(true));
    world.commit(299, Input::Deadlines).await;
    assert!(world.store.agent(id).await.unwrap().is_some());
    world.commit(301, Input::Deadlines).await;
    assert!(world.store.agent(id).await.unwrap().is_none());
    assert!(world.messages().await.is_empty(), "without an alert");
}

async fn an_agent_says_only_its_own<F, Fut>(harness: &Harness<F>)
where
    F: Fn(PathBuf, Timestamp) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let (world, _place) = harness.fixture().await;
    let mut said = agent("another name");
    said.id = world.agent;
    said.version = Some("1.2.3".to_owned());
    said.facts = crate::Json(serde_json::json!({"os": "linux", "buffered": 3}));
    world.commit(7, Input::Checkin { agent: Box::new(said) }).await;
    let view = world.store.agent(world.agent).await.unwrap().unwrap();
    assert_eq!((view.agent.name.as_str(), view.agent.version.as_deref()), ("web-1", Some("1.2.3")));
    assert_eq!((view.agent.last_checkin, view.contact.last), (Some(at(7)), Some(at(7))));
    let filter = CheckFilter { kinds: vec![AGENT_KIND.to_owned()], ..CheckFilter::default() };
    let own = world.store.checks(&filter, Page::ALL).await.unwrap().objects.remove(0);
    let metrics = &own.last.unwrap().metrics;
    assert_eq!(
        metrics.iter().map(|metric| (metric.name.as_str(), metric.value)).collect::<Vec<_>>(),
        [("buffered", 3.0)]
    );
}
