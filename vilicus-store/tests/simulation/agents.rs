//! Twenty agents and the network: they measure by clocks of their own, keep what was not acknowledged, and post it again
//! and again; posts are delayed, lost, doubled, and so are the answers.

use std::collections::{BTreeSet, VecDeque};

use vilicus_core::heartbeat::Signal;
use vilicus_core::{AgentId, CheckId, CheckResult, Millis, Status, Timestamp};
use vilicus_store::{Input, Outcome};

use crate::chance::Chance;
use crate::world::World;

const INTERVAL: Millis = Millis::from_secs(60);
/// An answer that stays out for so long is waited for no longer.
const PATIENCE: Millis = Millis::from_secs(30);
/// The most results in one post.
const BATCH: usize = 20;

/// One agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    probes: Vec<Probe>,
    /// A job on the host, whose heartbeat is watched.
    job: CheckId,
    /// How far its clock is ahead, in milliseconds.
    ahead: i64,
    buffer: VecDeque<(CheckId, CheckResult)>,
    /// Dead, or cut off, until then.
    dead_until: Timestamp,
    cut_until: Timestamp,
    next_post: Timestamp,
}

/// A check that it runs.
#[derive(Debug)]
struct Probe {
    check: CheckId,
    next: Timestamp,
    status: Status,
    /// Once in so many runs the status is another.
    steadiness: u64,
}

/// A post on its way.
#[derive(Debug, Clone)]
struct Post {
    from: AgentId,
    batch: Vec<(CheckId, CheckResult)>,
    arrives: Timestamp,
    answered: bool,
}

/// All agents, and what is on its way.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    agents: Vec<Agent>,
    posts: Vec<Post>,
    lives: u32,
    /// What was ever measured, and what the server said it has.
    sent: BTreeSet<(CheckId, Timestamp)>,
    acknowledged: BTreeSet<(CheckId, Timestamp)>,
}

impl Agent {
    pub(crate) fn new(id: AgentId, checks: &[CheckId], job: CheckId, now: Timestamp) -> Self {
        let probe = |(number, check): (u64, &CheckId)| Probe {
            check: *check,
            next: now.after(Millis::from_secs(number * 7)),
            status: Status::Ok,
            steadiness: if number == 2 { 2 } else { 12 },
        };
        Self {
            id,
            probes: (0..).zip(checks).map(probe).collect(),
            job,
            ahead: 0,
            buffer: VecDeque::new(),
            dead_until: now,
            cut_until: now,
            next_post: now,
        }
    }

    /// Runs what is due. In a storm things break.
    fn run(&mut self, world: &mut World, sent: &mut BTreeSet<(CheckId, Timestamp)>) {
        let now = world.now;
        for probe in self.probes.iter_mut().filter(|probe| probe.next <= now) {
            probe.next = now.after(INTERVAL);
            if !world.storm {
                probe.status = world.weather;
            } else if world.chance.one_in(probe.steadiness) {
                probe.status = *world.chance.pick(&Status::ALL).unwrap_or(&Status::Ok);
            }
            let at = Timestamp::from_millis(now.as_millis().saturating_add(self.ahead));
            let result = CheckResult::new(probe.status, format!("{} at {at}", probe.status)).at(at);
            sent.insert((probe.check, at));
            self.buffer.push_back((probe.check, result));
        }
    }

    /// Trouble of its own: a crash that costs the buffer or not, a cut line, a clock that jumps.
    fn suffer(&mut self, chance: &mut Chance, now: Timestamp) {
        let later = now.after(Millis::from_secs(chance.below(600)));
        match chance.below(200) {
            0 => self.dead_until = later,
            1 => {
                self.dead_until = later;
                self.buffer.clear();
            }
            2..5 => self.cut_until = later,
            5 => {
                self.ahead = chance
                    .pick(&[-86_400_000, -3_600_000, -1000, 0, 1000, 3_600_000, 86_400_000])
                    .copied()
                    .unwrap_or(0)
            }
            _ => {}
        }
    }

    fn post(&mut self, chance: &mut Chance, storm: bool, now: Timestamp) -> Option<Post> {
        if now < self.next_post || now < self.cut_until {
            return None;
        }
        self.next_post = now.after(PATIENCE);
        let batch = self.buffer.iter().take(BATCH).cloned().collect();
        let delay = if storm { chance.below(90) } else { 0 };
        let arrives = now.after(Millis::from_secs(delay));
        Some(Post { from: self.id, batch, arrives, answered: !storm || !chance.one_in(8) })
    }
}

impl Fleet {
    pub(crate) fn new(agents: Vec<Agent>) -> Self {
        Self { agents, ..Self::default() }
    }

    /// One step of all agents and of the network.
    pub(crate) async fn step(&mut self, world: &mut World) {
        for agent in &mut self.agents {
            if world.storm {
                agent.suffer(&mut world.chance, world.now);
            } else {
                (agent.ahead, agent.dead_until, agent.cut_until) = (0, world.now, world.now);
            }
            if world.now < agent.dead_until {
                continue;
            }
            agent.run(world, &mut self.sent);
            if let Some(post) = agent.post(&mut world.chance, world.storm, world.now) {
                if world.storm && world.chance.one_in(10) {
                    let delay = Millis::from_secs(world.chance.below(300));
                    self.posts.push(Post { arrives: post.arrives.after(delay), ..post.clone() });
                }
                self.posts.push(post);
            }
        }
        self.ping(world).await;
        self.receive(world).await;
    }

    /// The jobs say how they do.
    async fn ping(&mut self, world: &mut World) {
        let mut pings = Vec::new();
        for check in self.agents.iter().map(|agent| agent.job) {
            if !world.storm || world.chance.one_in(12) {
                let signal = if world.storm { a_signal(&mut world.chance) } else { Signal::Success };
                let rid = world.chance.one_in(3).then(|| "run-1".to_owned());
                pings.push(Input::Ping { check, signal, rid, body: String::new() });
            }
        }
        if !pings.is_empty() {
            world.commit(pings).await;
        }
    }

    /// The server carries out what arrived, often several posts in one commit, and answers.
    async fn receive(&mut self, world: &mut World) {
        if world.lives != self.lives {
            // Whatever was on its way went with the process that it was for.
            (self.lives, self.posts) = (world.lives, Vec::new());
        }
        let (arrived, rest): (Vec<Post>, Vec<Post>) =
            self.posts.drain(..).partition(|post| post.arrives <= world.now);
        self.posts = rest;
        let parts = if world.chance.one_in(2) { 1 } else { arrived.len().max(1) };
        for posts in arrived.chunks(arrived.len().div_ceil(parts).max(1)) {
            let Some(outcomes) = world.commit(posts.iter().flat_map(inputs).collect()).await else {
                continue;
            };
            if world.storm && world.chance.one_in(100) {
                // Between the commit and the answer.
                world.die().await;
                return;
            }
            let mut outcomes = outcomes.into_iter();
            for post in posts {
                let outcomes: Vec<Outcome> = outcomes.by_ref().take(post.batch.len() + 1).skip(1).collect();
                self.answer(world.now, post, &outcomes);
            }
        }
    }

    fn answer(&mut self, now: Timestamp, post: &Post, outcomes: &[Outcome]) {
        if !post.answered {
            return;
        }
        for ((check, result), outcome) in post.batch.iter().zip(outcomes) {
            let Some(at) = result.timestamp else { continue };
            match outcome {
                Outcome::Accepted { .. } | Outcome::Duplicate { .. } => {
                    self.acknowledged.insert((*check, at));
                }
                Outcome::UnknownCheck => {}
                other => panic!("{check} at {at}: {other:?}"),
            }
        }
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == post.from) {
            agent.buffer.retain(|kept| !post.batch.contains(kept));
            agent.next_post = if agent.buffer.is_empty() { now.after(Millis::from_secs(20)) } else { now };
        }
    }

    /// I1: what was acknowledged is stored, and what is stored was sent.
    pub(crate) fn compare(&self, check: CheckId, stored: &BTreeSet<Timestamp>) {
        let of = |set: &BTreeSet<(CheckId, Timestamp)>| -> BTreeSet<Timestamp> {
            set.iter().filter(|(id, _)| *id == check).map(|(_, at)| *at).collect()
        };
        assert!(of(&self.acknowledged).is_subset(stored), "I1: what was acknowledged is stored: {check}");
        assert!(stored.is_subset(&of(&self.sent)), "I1: what is stored was sent: {check}");
    }

    /// Whether agents run this check.
    pub(crate) fn runs(&self, check: CheckId) -> bool {
        self.agents.iter().any(|agent| agent.probes.iter().any(|probe| probe.check == check))
    }
}

fn inputs(post: &Post) -> Vec<Input> {
    let results = post.batch.iter();
    let results = results.map(|(check, result)| Input::Result { check: *check, result: result.clone() });
    std::iter::once(Input::Contact { agent: post.from }).chain(results).collect()
}

fn a_signal(chance: &mut Chance) -> Signal {
    let signals =
        [Signal::Start, Signal::Success, Signal::Success, Signal::Fail, Signal::Log, Signal::Exit(3)];
    *chance.pick(&signals).unwrap_or(&Signal::Success)
}
