//! Ids that are promised within one commit: what is created first can be referred to by what follows.

use std::collections::HashMap;
use std::num::NonZeroU64;

use vilicus_core::{AgentId, ChannelId, CheckId, Route};

use crate::inventory::{Channel, Check, Token};
use crate::store::PROVISIONAL;

/// The ids that a commit gave to what it created, by the numbers under which it was promised.
#[derive(Debug, Default)]
pub(crate) struct Given(HashMap<(&'static str, u64), NonZeroU64>);

impl Given {
    /// Notes the id that was given to a new object of this kind.
    pub(crate) fn note(&mut self, object: &'static str, promised: u64, given: u64) {
        if let (true, Some(given)) = (promised >= PROVISIONAL, NonZeroU64::new(given)) {
            self.0.insert((object, promised), given);
        }
    }

    /// The id in place of a promised one. One that nobody keeps stays, and is then not found.
    fn real<I: From<NonZeroU64>>(&self, object: &'static str, number: u64) -> Option<I> {
        if number < PROVISIONAL {
            return None;
        }
        self.0.get(&(object, number)).copied().map(I::from)
    }

    fn agent(&self, id: &mut AgentId) {
        *id = self.real("agent", id.get()).unwrap_or(*id);
    }

    fn check(&self, id: &mut CheckId) {
        *id = self.real("check", id.get()).unwrap_or(*id);
    }

    fn channel(&self, id: &mut ChannelId) {
        *id = self.real("channel", id.get()).unwrap_or(*id);
    }

    pub(crate) fn in_check(&self, check: &mut Check) {
        self.agent(&mut check.agent);
        check.depends_on.iter_mut().for_each(|id| self.check(id));
        check.depends_on_any.iter_mut().flatten().for_each(|id| self.check(id));
    }

    /// Its own id too: of channels that fall back to each other, the first is made without, and changed when the others
    /// are there.
    pub(crate) fn in_channel(&self, channel: &mut Channel) {
        self.channel(&mut channel.id);
        channel.fallback.iter_mut().for_each(|id| self.channel(id));
    }

    pub(crate) fn in_route(&self, route: &mut Route) {
        route.channels.iter_mut().for_each(|id| self.channel(id));
        route.escalate.iter_mut().flat_map(|step| &mut step.channels).for_each(|id| self.channel(id));
    }

    pub(crate) fn in_token(&self, token: &mut Token) {
        token.agent.iter_mut().for_each(|id| self.agent(id));
    }
}
