//! The operators: they change everything that can be changed, at any time, and are refused at times.

use vilicus_core::downtime::When;
use vilicus_core::route::EscalationStep;
use vilicus_core::schedule::{Recurrence, Window};
use vilicus_core::{
    Acknowledgement, ChannelId, CheckId, Downtime, DowntimeId, Inhibition, InhibitionId, Matcher, Millis,
    Route, RouteId,
};
use vilicus_store::inventory::{Channel, Check, CheckSettings, Pause};
use vilicus_store::{Change, Input};

use crate::world::World;

/// Does one thing, chosen by chance.
pub(crate) async fn act(world: &mut World) {
    match world.chance.below(16) {
        0 | 1 => plan_downtime(world).await,
        2 => end_downtime(world).await,
        3 | 4 => put_route(world).await,
        5 => remove_route(world).await,
        6 => put_inhibition(world).await,
        7 => remove_inhibitions(world).await,
        8 | 9 => acknowledge(world).await,
        10 => take_back(world).await,
        11 | 12 => change_settings(world).await,
        13 => change_check(world).await,
        14 => change_channel(world).await,
        _ => world.settle_down().await,
    }
}

/// Takes everything back that keeps people from being told.
pub(crate) async fn make_peace(world: &mut World) {
    let mut changes = Vec::new();
    let mut inputs = Vec::new();
    for downtime in world.store().downtimes().await.expect("it can be read") {
        changes.push(Change::DeleteDowntime(downtime.id));
    }
    for view in world.views().await {
        let mut check = Check::clone(&view.check);
        (check.enabled, check.settings.notifications) = (true, true);
        (check.depends_on, check.depends_on_any) = (Vec::new(), Vec::new());
        changes.push(Change::UpdateCheck(Box::new(check)));
        inputs.push(Input::TakeBackAcknowledgement { check: view.check.id, by: "operator".to_owned() });
    }
    for channel in world.store().channels().await.expect("it can be read") {
        let channel = Channel { enabled: true, ..Channel::clone(&channel) };
        changes.push(Change::UpdateChannel(Box::new(channel)));
    }
    let by = || "operator".to_owned();
    inputs.extend(changes.into_iter().map(|change| Input::Change { change, by: by() }));
    world.commit(inputs).await;
    remove_inhibitions(world).await;
}

/// Takes all routes away, so that everyone is told of everything.
pub(crate) async fn remove_routes(world: &mut World) {
    for route in world.store().routes().await.expect("it can be read") {
        world.change(&[Change::DeleteRoute(route.id)]).await;
    }
}

fn some_matcher(world: &mut World) -> Matcher {
    let texts = [
        "agent=web-1",
        "agent=~web-1.*",
        "check=disk",
        "check!=load",
        "kind=agent",
        "status=critical",
        "tag=prod",
    ];
    world.chance.pick(&texts).and_then(|text| text.parse().ok()).expect("a matcher")
}

fn some_time(world: &mut World, below: u64) -> Millis {
    Millis::from_secs(world.chance.below(below))
}

async fn plan_downtime(world: &mut World) {
    let start = world.now.after(some_time(world, 300));
    let window = Window { start, end: start.after(some_time(world, 900)).after(Millis::new(1)) };
    let recurring = [("*/7 * * * *", Some(Millis::from_minutes(3))), ("12:10-12:20, 12:40-13:05", None)];
    let (text, duration) = *world.chance.pick(&recurring).expect("there are two");
    let when = match world.chance.one_in(3) {
        true => When::Recurring(Recurrence::parse(text, duration, None).expect("a recurrence")),
        false => When::Once(window),
    };
    let flexible = world.chance.one_in(3).then(|| Millis::from_minutes(5));
    let downtime = Downtime {
        id: DowntimeId::new(1).expect("an id"),
        matchers: vec![some_matcher(world)],
        when,
        flexible,
        comment: "planned".to_owned(),
        by: "operator".to_owned(),
        created_at: world.now,
        managed_by: None,
    };
    world.change(&[Change::CreateDowntime(Box::new(downtime))]).await;
}

async fn end_downtime(world: &mut World) {
    let downtimes = world.store().downtimes().await.expect("it can be read");
    if let Some(downtime) = world.chance.pick(&downtimes) {
        world.change(&[Change::DeleteDowntime(downtime.id)]).await;
    }
}

async fn put_route(world: &mut World) {
    let number = world.chance.below(4);
    let routes = world.store().routes().await.expect("it can be read");
    let name = format!("route-{number}");
    let known = routes.iter().find(|route| route.name == name);
    let id = known.map_or(RouteId::new(1).expect("an id"), |route| route.id);
    let route = a_route(world, id, name).await;
    let change = match known {
        Some(_) => Change::UpdateRoute(Box::new(route)),
        None => Change::CreateRoute(Box::new(route)),
    };
    world.change(&[change]).await;
}

async fn a_route(world: &mut World, id: RouteId, name: String) -> Route {
    let channels: Vec<ChannelId> =
        world.store().channels().await.expect("it can be read").iter().map(|channel| channel.id).collect();
    let some =
        |world: &mut World| channels.iter().copied().filter(|_| world.chance.one_in(2)).collect::<Vec<_>>();
    let groups: [&[&str]; 4] = [&[], &["agent"], &["check", "status"], &["..."]];
    let group_by = world.chance.pick(&groups).copied().unwrap_or_default();
    let schedule = world.chance.one_in(4).then(|| "12:05-12:30, 12:45-13:30".parse().expect("a schedule"));
    let later = some(world);
    Route {
        position: world.chance.below(3) as u32,
        matchers: if world.chance.one_in(2) { vec![some_matcher(world)] } else { Vec::new() },
        channels: some(world),
        proceed: world.chance.one_in(2),
        group_by: group_by.iter().map(|name| (*name).to_owned()).collect(),
        group_wait: some_time(world, 20),
        group_interval: some_time(world, 120),
        repeat_interval: world.chance.one_in(2).then(|| Millis::from_minutes(7)),
        schedule,
        only_worse: world.chance.one_in(4),
        escalate: if later.is_empty() {
            Vec::new()
        } else {
            vec![EscalationStep { after: some_time(world, 600), channels: later }]
        },
        first_delay: world.chance.one_in(4).then(|| Millis::from_minutes(2)),
        ..Route::new(id, name)
    }
}

async fn remove_route(world: &mut World) {
    let routes = world.store().routes().await.expect("it can be read");
    if let Some(route) = world.chance.pick(&routes) {
        world.change(&[Change::DeleteRoute(route.id)]).await;
    }
}

async fn put_inhibition(world: &mut World) {
    let inhibition = Inhibition {
        id: InhibitionId::new(1).expect("an id"),
        name: "inhibition".to_owned(),
        source: vec!["status=critical".parse().expect("a matcher"), some_matcher(world)],
        target: vec!["status=~warning|unknown|critical".parse().expect("a matcher"), some_matcher(world)],
        equal: vec!["agent".to_owned()],
        managed_by: None,
    };
    world.change(&[Change::CreateInhibition(Box::new(inhibition))]).await;
}

async fn remove_inhibitions(world: &mut World) {
    for inhibition in world.store().inhibitions().await.expect("it can be read") {
        world.change(&[Change::DeleteInhibition(inhibition.id)]).await;
    }
}

async fn some_check(world: &mut World) -> CheckId {
    let views = world.views().await;
    world.chance.pick(&views).map(|view| view.check.id).expect("there are checks")
}

async fn acknowledge(world: &mut World) {
    let views = world.views().await;
    let ill: Vec<CheckId> =
        views.iter().filter(|view| view.state.has_hard_problem()).map(|view| view.check.id).collect();
    let Some(check) = world.chance.pick(&ill).copied() else { return };
    let expires_at = world.chance.one_in(2).then(|| world.now.after(Millis::from_minutes(4)));
    let acknowledgement = Acknowledgement {
        by: "ann".to_owned(),
        comment: String::new(),
        at: world.now,
        sticky: world.chance.one_in(2),
        expires_at,
        public: false,
    };
    let tell = world.chance.one_in(2);
    world.commit(vec![Input::Acknowledge { check, acknowledgement, tell }]).await;
}

async fn take_back(world: &mut World) {
    let check = some_check(world).await;
    world.commit(vec![Input::TakeBackAcknowledgement { check, by: "ann".to_owned() }]).await;
}

async fn change_settings(world: &mut World) {
    let check = some_check(world).await;
    let Some(view) = world.store().check(check).await.expect("it can be read") else { return };
    let mut check = Check::clone(&view.check);
    check.settings = CheckSettings {
        max_attempts: 1 + world.chance.below(3) as u32,
        within: world.chance.one_in(2).then_some(4),
        recover_attempts: 1 + world.chance.below(2) as u32,
        volatile: world.chance.one_in(5),
        notifications: !world.chance.one_in(4),
        flap_detection: !world.chance.one_in(4),
        ..CheckSettings::default()
    };
    world.change(&[Change::UpdateCheck(Box::new(check))]).await;
}

/// Renames a check, switches it on or off, or makes it depend on others; never on one with a higher id.
async fn change_check(world: &mut World) {
    let id = some_check(world).await;
    let Some(view) = world.store().check(id).await.expect("it can be read") else { return };
    let mut check = Check::clone(&view.check);
    match world.chance.below(4) {
        0 => check.name = format!("renamed-{}", world.chance.below(1000)),
        1 => check.enabled = !check.enabled || check.kind == "agent",
        _ => {
            let before = |world: &mut World| {
                CheckId::new(1 + world.chance.below(id.get().max(2) - 1)).filter(|it| *it < id)
            };
            check.depends_on = before(world).into_iter().collect();
            check.depends_on_any = vec![before(world).into_iter().chain(before(world)).collect()];
        }
    }
    world.change(&[Change::UpdateCheck(Box::new(check))]).await;
}

async fn change_channel(world: &mut World) {
    let channels = world.store().channels().await.expect("it can be read");
    let Some(channel) = world.chance.pick(&channels) else { return };
    if world.chance.one_in(2) {
        let since = world.now;
        let pause = channel.paused.is_none().then(|| Pause { since, fault: "401".to_owned() });
        world.commit(vec![Input::Pause { channel: channel.id, pause }]).await;
    } else {
        let channel = Channel { enabled: !channel.enabled, ..Channel::clone(channel) };
        world.change(&[Change::UpdateChannel(Box::new(channel))]).await;
    }
}
