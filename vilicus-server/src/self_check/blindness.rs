//! When most agents fall silent at once, it is rather the server that sees nothing than all hosts that died.
//!
//! Agents fall silent by their own deadlines, spread over an interval. So when the first of them is about to be DOWN, it
//! is looked how many others have missed a contact already. Are these most, nothing is said of any of them for a
//! while: one self-check says 'I may be blind' instead. Those that are silent after that while are told as they are.
//!
//! Pure: the agents and the time come in as arguments. `freshness` asks, before it has deadlines judged.

use std::collections::BTreeSet;
use std::time::Duration;

use vilicus_core::judge::freshness::Start;
use vilicus_core::{AgentId, Millis, Timestamp};
use vilicus_store::query::{AgentState, AgentView};

/// When most agents are silent, and how long nothing is said of them then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At least this percentage of the agents that were heard of, 1 to 100.
    pub percent: u8,
    /// And at least so many.
    pub agents: usize,
    /// How long their silence is held back.
    pub hold: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Self { percent: 50, agents: 5, hold: Millis::from_minutes(5) }
    }
}

/// An agent that will be DOWN so soon counts as DOWN: the store's start and ours are not the same moment.
const SOON: Millis = Millis::from_secs(10);
/// A contact is missed when it is later than expected by a quarter of the interval, and by this much at least.
const SLACK: Millis = Millis::from_secs(5);

/// What is known of a blindness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blind {
    /// Since when.
    pub since: Timestamp,
    /// How many agents fell silent, and have not been heard of since.
    pub silent: usize,
    /// Of how many that were in contact before.
    pub of: usize,
    /// Whether nothing is said of them by themselves for now.
    pub held: bool,
}

/// Watches for blindness.
#[derive(Debug)]
pub(crate) struct Blindness {
    limits: Limits,
    start: Start,
    /// The agent of the self-checks, which is never silent.
    own: Option<AgentId>,
    episode: Option<Episode>,
}

#[derive(Debug)]
struct Episode {
    agents: BTreeSet<AgentId>,
    of: usize,
    since: Timestamp,
    /// When the hold ends, by the monotonic clock.
    until: Duration,
    /// Whether most are heard of again; the others have the time of one contact to follow.
    is_over: bool,
}

impl Blindness {
    /// Watches from the start of the server on.
    pub(crate) fn new(limits: Limits, own: Option<AgentId>, start: Timestamp) -> Self {
        Self { limits, start: Start(start), own, episode: None }
    }

    /// Looks at all agents, and says for how much longer no deadline shall be judged; zero for not at all.
    pub(crate) fn look(&mut self, agents: &[AgentView], now: Timestamp, monotonic: Duration) -> Duration {
        let others = || agents.iter().filter(|view| Some(view.agent.id) != self.own);
        let up = others().filter(|view| view.state == AgentState::Up);
        let (of, late): (usize, BTreeSet<AgentId>) = up.fold((0, BTreeSet::new()), |(of, mut late), view| {
            if has_missed_a_contact(view, now) {
                late.insert(view.agent.id);
            }
            (of + 1, late)
        });
        let silent: BTreeSet<AgentId> = others()
            .filter(|view| view.state == AgentState::Down || late.contains(&view.agent.id))
            .map(|view| view.agent.id)
            .collect();
        if let Some(episode) = &mut self.episode {
            episode.agents.retain(|agent| silent.contains(agent));
            if !episode.is_over && !is_most(&self.limits, episode.agents.len(), episode.of) {
                let missing = others().filter(|view| episode.agents.contains(&view.agent.id));
                let patience = missing.map(longest_gap).max().unwrap_or(Millis::ZERO);
                episode.is_over = true;
                episode.until = episode.until.min(monotonic + Duration::from(patience));
            }
            if episode.is_over && episode.until <= monotonic {
                self.episode = None;
            }
        } else if is_most(&self.limits, late.len(), of) && others().any(|view| self.is_down(view, now)) {
            let until = monotonic + Duration::from(self.limits.hold);
            self.episode = Some(Episode { agents: late, of, since: now, until, is_over: false });
        }
        self.hold(monotonic)
    }

    /// What is known of the blindness, while there is one.
    pub(crate) fn blind(&self, monotonic: Duration) -> Option<Blind> {
        let held = !self.hold(monotonic).is_zero();
        let episode = self.episode.as_ref().filter(|episode| !episode.is_over)?;
        Some(Blind { since: episode.since, silent: episode.agents.len(), of: episode.of, held })
    }

    /// For how much longer no deadline shall be judged.
    pub(crate) fn hold(&self, monotonic: Duration) -> Duration {
        self.episode.as_ref().map_or(Duration::ZERO, |episode| episode.until.saturating_sub(monotonic))
    }

    fn is_down(&self, view: &AgentView, now: Timestamp) -> bool {
        let down_at = view.contact.down_at(self.start);
        view.state == AgentState::Up && down_at.is_some_and(|at| at <= now.after(SOON))
    }
}

fn is_most(limits: &Limits, silent: usize, of: usize) -> bool {
    silent >= limits.agents.max(1) && silent * 100 >= of * usize::from(limits.percent)
}

fn has_missed_a_contact(view: &AgentView, now: Timestamp) -> bool {
    view.contact.last.is_some_and(|last| now.since(last) > longest_gap(view))
}

/// The longest time between two contacts of an agent that is well.
fn longest_gap(view: &AgentView) -> Millis {
    let interval = view.contact.check_interval;
    interval.plus(Millis::new(interval.get() / 4).max(SLACK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use vilicus_core::judge::freshness::Contact;
    use vilicus_store::Json;
    use vilicus_store::inventory::Agent;

    const MINUTE: Millis = Millis::from_minutes(1);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.after(Millis::from_secs(seconds))
    }

    fn agent(id: u64, last: u64) -> AgentView {
        let agent = Agent {
            id: AgentId::new(id).unwrap(),
            name: format!("a{id}"),
            hostname: String::new(),
            guid: None,
            version: None,
            check_interval: MINUTE,
            tags: Vec::new(),
            facts: Json::default(),
            ephemeral: false,
            expire_after: None,
            templates: Vec::new(),
            managed_by: None,
            created_at: Timestamp::EPOCH,
            last_checkin: None,
        };
        let contact = Contact { last: Some(at(last)), since: Some(at(0)), ..Contact::new(MINUTE) };
        AgentView { agent: Arc::new(agent), state: AgentState::Up, contact, config_version: 1 }
    }

    /// Agents of which `silent` were last heard of during the minute before 10,000 s, and the others just now.
    fn fleet(silent: u64, of: u64, now: u64) -> Vec<AgentView> {
        (1..=of).map(|id| agent(id, if id <= silent { 10_000 - (id * 7) % 60 } else { now })).collect()
    }

    fn blindness() -> Blindness {
        Blindness::new(Limits::default(), None, at(0))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn most_agents_silent_at_once_are_held_and_one_alone_is_not() {
        for (silent, of, held) in [
            (40, 50, true),
            (25, 50, true),
            (24, 50, false),
            (5, 5, true),
            (4, 4, false),
            (1, 50, false),
            (0, 50, false),
        ] {
            let mut blindness = blindness();
            let mut first = None;
            for now in 10_000..10_160 {
                if !blindness.look(&fleet(silent, of, now), at(now), seconds(now)).is_zero() {
                    first = first.or(Some(now));
                }
            }
            assert_eq!(first.is_some(), held, "{silent} of {of}");
            if let Some(first) = first {
                let oldest = (1..=silent).map(|id| 10_000 - (id * 7) % 60).min().unwrap();
                assert!(first <= oldest + 150, "held before the first is DOWN: {first}");
                let blind = blindness.blind(seconds(10_160)).unwrap();
                assert_eq!((blind.silent as u64, blind.of as u64, blind.held), (silent, of, true));
            }
        }
    }

    #[test]
    fn a_short_gap_in_which_nobody_would_be_down_is_no_blindness() {
        let mut blindness = blindness();
        for now in 10_000..10_075 {
            assert!(blindness.look(&fleet(50, 50, now), at(now), seconds(now)).is_zero());
        }
        assert!(blindness.look(&fleet(0, 50, 10_080), at(10_080), seconds(10_080)).is_zero());
    }

    #[test]
    fn the_hold_ends_and_the_blindness_does_not_before_most_are_back() {
        let mut blindness = blindness();
        blindness.look(&fleet(40, 50, 10_090), at(10_090), seconds(10_090));
        assert_eq!(blindness.hold(seconds(10_390)), Duration::ZERO);
        let mut down = fleet(40, 50, 10_400);
        down.iter_mut().take(40).for_each(|view| view.state = AgentState::Down);
        assert!(blindness.look(&down, at(10_400), seconds(10_400)).is_zero());
        assert!(!blindness.blind(seconds(10_400)).unwrap().held);
        assert!(blindness.look(&fleet(24, 50, 10_500), at(10_500), seconds(10_500)).is_zero());
        assert_eq!(blindness.blind(seconds(10_500)), None);
    }

    #[test]
    fn when_most_are_back_the_others_have_the_time_of_one_contact() {
        let mut blindness = blindness();
        assert!(!blindness.look(&fleet(40, 50, 10_090), at(10_090), seconds(10_090)).is_zero());
        assert_eq!(blindness.look(&fleet(3, 50, 10_120), at(10_120), seconds(10_120)), seconds(75));
        assert_eq!(blindness.blind(seconds(10_120)), None);
        assert!(blindness.look(&fleet(3, 50, 10_196), at(10_196), seconds(10_196)).is_zero());
    }

    #[test]
    fn when_all_are_back_nothing_is_held() {
        let mut blindness = blindness();
        assert!(!blindness.look(&fleet(40, 50, 10_090), at(10_090), seconds(10_090)).is_zero());
        assert!(blindness.look(&fleet(0, 50, 10_120), at(10_120), seconds(10_120)).is_zero());
    }

    #[test]
    fn agents_that_were_down_before_do_not_count() {
        let mut agents = fleet(40, 50, 10_400);
        agents.iter_mut().take(39).for_each(|view| view.state = AgentState::Down);
        assert!(blindness().look(&agents, at(10_400), seconds(10_400)).is_zero());
    }

    #[test]
    fn the_servers_own_downtime_makes_nobody_silent() {
        let mut blindness = Blindness::new(Limits::default(), None, at(20_000));
        for now in (20_000..20_139).step_by(3) {
            assert!(blindness.look(&fleet(50, 50, now), at(now), seconds(now)).is_zero(), "{now}");
        }
        assert!(!blindness.look(&fleet(50, 50, 20_141), at(20_141), seconds(20_141)).is_zero());
    }
}
