//! The deadlines of everything: each is set when what it depends on changes.

use vilicus_core::{AgentId, CheckId, DowntimeId, Timestamp};

use super::Truth;
use crate::embedded::deadlines::Watch;

impl Truth {
    /// Sets the deadlines of everything.
    pub(crate) fn arm_all(&mut self) {
        self.deadlines.clear();
        for entry in self.agents.values_mut() {
            (entry.queued, entry.expiry_queued) = (None, None);
            entry.parked.clear();
        }
        for id in self.agents.keys().copied().collect::<Vec<_>>() {
            self.arm_agent(id);
        }
        for entry in self.checks.values_mut() {
            (entry.queued, entry.look_queued) = (None, None);
        }
        let checks: Vec<CheckId> = self.checks.values().map(|entry| entry.check.id).collect();
        self.deadlines.reserve(checks.len());
        for id in checks {
            self.arm_check(id);
            self.arm_look(id);
        }
        for id in self.rules.downtimes.keys().copied().collect::<Vec<_>>() {
            self.deadlines.push(self.start.0, Watch::Downtime(id));
        }
    }

    /// Sets the moment at which a check is looked at again, unless an earlier one is set already.
    pub(crate) fn arm_look(&mut self, id: CheckId) {
        let Some(entry) = self.checks.get_mut(&id) else { return };
        if let Some(at) = entry.state.look_at
            && entry.look_queued.is_none_or(|queued| at < queued)
        {
            entry.look_queued = Some(at);
            self.deadlines.push(at, Watch::Look(id));
        }
    }

    /// Sets the moment at which a window of a downtime opens or closes next.
    pub(crate) fn arm_downtime(&mut self, id: DowntimeId, now: Timestamp) {
        if let Some(at) = self.rules.downtimes.get(&id).and_then(|downtime| downtime.next_turn(now)) {
            self.deadlines.push(at, Watch::Downtime(id));
        }
    }

    /// Sets the deadline of a check, unless an earlier one is set already.
    pub(crate) fn arm_check(&mut self, id: CheckId) {
        let Some(entry) = self.checks.get_mut(&id) else { return };
        let Some(agent) = self.agents.get(&entry.check.agent) else { return };
        if let Some(at) = entry.stale_at(&agent.contact, self.start)
            && entry.queued.is_none_or(|queued| at < queued)
        {
            entry.queued = Some(at);
            self.deadlines.push(at, Watch::Check(id));
        }
    }

    /// Sets the deadlines of an agent, unless earlier ones are set already.
    pub(crate) fn arm_agent(&mut self, id: AgentId) {
        let down_at = self.down_at(id);
        let expires_at = self.expires_at(id);
        let Some(entry) = self.agents.get_mut(&id) else { return };
        if let Some(at) = down_at.filter(|at| entry.queued.is_none_or(|queued| *at < queued)) {
            entry.queued = Some(at);
            self.deadlines.push(at, Watch::Agent(id));
        }
        if let Some(at) = expires_at.filter(|at| entry.expiry_queued.is_none_or(|queued| *at < queued)) {
            entry.expiry_queued = Some(at);
            self.deadlines.push(at, Watch::Expiry(id));
        }
    }

    /// When the silence of an agent becomes news; `None` when it is none, or was told.
    pub(crate) fn down_at(&self, id: AgentId) -> Option<Timestamp> {
        let entry = self.agents.get(&id).filter(|entry| !entry.silent)?;
        let own = self.families.get(&id)?.own?;
        self.checks.get(&own).filter(|own| own.check.enabled)?;
        entry.contact.down_at(self.start)
    }

    /// When an agent is retired if it is not heard of.
    pub(crate) fn expires_at(&self, id: AgentId) -> Option<Timestamp> {
        let entry = self.agents.get(&id)?;
        let allowed = entry.agent.expire_after?;
        let last = entry.contact.last.unwrap_or(entry.agent.created_at);
        Some(self.start.hold(last.after(allowed), allowed))
    }
}
