//! Reading: views of the truth, and what happened, from memory and disk together.

use std::sync::Arc;

use vilicus_core::judge::telling::{self, Look, Watched};
use vilicus_core::{
    AgentId, ChannelId, CheckId, CheckResult, Event, Millis, NotificationId, StateType, Timestamp, schedule,
};

use crate::embedded::shared::Shared;
use crate::embedded::surroundings::World;
use crate::embedded::trail::{self, Entry, Range, Trail};
use crate::embedded::truth::{AgentEntry, CheckEntry, Truth};
use crate::embedded::words::{no_contact, no_ping, no_result};
use crate::engine::{Engine, EngineError};
use crate::outbox::OutboxRow;
use crate::query::{
    AgentFilter, AgentState, AgentView, CheckFilter, CheckView, EventQuery, NotificationQuery, Order, Page,
    Paged,
};
use crate::store::Run;

impl Truth {
    /// An agent as it is now.
    pub(crate) fn agent_view(&self, id: AgentId) -> Option<AgentView> {
        self.agents.get(&id).map(view_agent)
    }

    /// Agents as they are now.
    pub(crate) fn agent_views(&self, filter: &AgentFilter, page: Page) -> Paged<AgentView> {
        let wanted = self.agents.iter().filter(|(id, entry)| {
            let agent = &entry.agent;
            one_of(&filter.ids, id)
                && one_of(&filter.names, &agent.name)
                && one_of(&filter.hostnames, &agent.hostname)
                && filter.guid.as_ref().is_none_or(|guid| agent.guid.as_ref() == Some(guid))
                && filter.but_guid.as_ref().is_none_or(|guid| agent.guid.as_ref() != Some(guid))
                && (filter.states.is_empty() || filter.states.contains(&agent_state(entry)))
                && filter.tags.iter().all(|tag| agent.tags.contains(tag))
        });
        page_of(wanted, page, |(_, entry)| Some(view_agent(entry)))
    }

    /// A check as it is now.
    pub(crate) fn check_view(&self, id: CheckId) -> Option<CheckView> {
        self.view_check(self.checks.get(&id)?)
    }

    fn view_check(&self, entry: &CheckEntry) -> Option<CheckView> {
        let agent = self.agents.get(&entry.check.agent)?;
        Some(CheckView {
            check: Arc::clone(&entry.check),
            agent: Arc::clone(&agent.agent),
            policy: Arc::clone(&entry.policy),
            state: entry.state.clone(),
            last: self.shown_result(entry),
            next_due: next_due(entry),
            unreachable: self.reach(entry).is_down(),
            downtime_until: self.downtime_until(entry),
        })
    }

    /// The last result as people get to read it, or that none came.
    pub(crate) fn shown_result(&self, entry: &CheckEntry) -> Option<Arc<CheckResult>> {
        let agent = self.agents.get(&entry.check.agent)?;
        let family = self.families.get(&entry.check.agent);
        let is_own = family.and_then(|family| family.own) == Some(entry.check.id);
        let missed = entry.state.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.missed);
        if entry.state.stale {
            Some(Arc::new(no_result(&entry.state)))
        } else if missed {
            Some(Arc::new(no_ping(&entry.state)))
        } else if agent.silent && is_own {
            Some(Arc::new(no_contact(&agent.contact)))
        } else {
            entry.last_result()
        }
    }

    /// When the downtime ends that a check is in, the last of several.
    fn downtime_until(&self, entry: &CheckEntry) -> Option<Timestamp> {
        let of_check = self.downtimes_of(entry, entry.state.hard_status);
        let open = of_check.filter(|it| self.rules.open.contains(&it.id) && it.flexible.is_none());
        let windows = open.filter_map(|downtime| Some(downtime.window_at(self.now)?.end));
        let begun = entry.state.begun.iter().map(|begun| begun.until).filter(|until| *until > self.now);
        windows.chain(begun).max()
    }

    /// What the gates say of a check at this moment.
    pub(crate) fn explain(&self, id: CheckId, now: Timestamp) -> Option<Look> {
        let entry = self.checks.get(&id)?;
        let watched =
            if self.agents.get(&entry.check.agent)?.silent { entry.check.watched() } else { Watched::Check };
        let world = World { hard_status: entry.state.hard_status, begun: &entry.state.begun, watched, now };
        self.surrounded(id, world, |around| telling::explain(around, &entry.state))
    }

    /// The newest message that told a channel of each problem that is open and that it knows of.
    pub(crate) fn told(&self, channel: ChannelId) -> Vec<(CheckId, NotificationId)> {
        let open = self.problems.open.iter().filter_map(|id| self.checks.get(id));
        let newest = |entry: &CheckEntry| {
            let told = entry.state.told(channel).filter(|_| entry.state.has_hard_problem())?;
            Some((entry.check.id, *told.messages.last()?))
        };
        open.filter_map(newest).collect()
    }

    /// Checks as they are now.
    pub(crate) fn check_views(&self, filter: &CheckFilter, page: Page) -> Paged<CheckView> {
        let wants = |entry: &CheckEntry| {
            let check = &entry.check;
            one_of(&filter.ids, &check.id)
                && one_of(&filter.agents, &check.agent)
                && one_of(&filter.names, &check.name)
                && one_of(&filter.kinds, &check.kind)
                && one_of(&filter.statuses, &entry.state.status)
                && filter.enabled.is_none_or(|enabled| check.enabled == enabled)
                && filter.tags.iter().all(|tag| check.tags.contains(tag))
        };
        // An agent asks for its own checks all the time: these are found without looking at all others.
        if filter.agents.is_empty() {
            let wanted = self.checks.values().filter(|entry| wants(entry));
            return page_of(wanted, page, |entry| self.view_check(entry));
        }
        let families = filter.agents.iter().filter_map(|agent| self.families.get(agent));
        let mut ids: Vec<CheckId> = families.flat_map(|family| family.checks.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        let entries = ids.iter().filter_map(|id| self.checks.get(id));
        page_of(entries.filter(|entry| wants(entry)), page, |entry| self.view_check(entry))
    }

    /// The checks of an agent that shall run sooner than their interval says.
    pub(crate) fn runs(&self, agent: AgentId, now: Timestamp) -> Vec<Run> {
        let checks = self.families.get(&agent).into_iter().flat_map(|family| &family.restless);
        let entries = checks.filter_map(|id| self.checks.get(id));
        let wanted = entries.filter(|entry| entry.check.enabled && entry.check.runs_on_agent());
        wanted
            .filter_map(|entry| Some(Run { check: entry.check.id, after: runs_after(entry, now)? }))
            .collect()
    }
}

fn view_agent(entry: &AgentEntry) -> AgentView {
    AgentView {
        agent: Arc::clone(&entry.agent),
        state: agent_state(entry),
        contact: entry.contact,
        config_version: entry.config_version,
    }
}

fn agent_state(entry: &AgentEntry) -> AgentState {
    if entry.silent {
        AgentState::Down
    } else if entry.contact.last.is_some() {
        AgentState::Up
    } else {
        AgentState::Pending
    }
}

fn runs_after(entry: &CheckEntry, now: Timestamp) -> Option<Millis> {
    if entry.run_now.is_some() {
        return Some(Millis::ZERO);
    }
    let retries = entry.state.status.is_some() && entry.state.state_type == StateType::Soft;
    let last = entry.state.last_received_at.filter(|_| retries)?;
    Some(last.after(entry.policy.retry_interval).since(now))
}

/// When the next result, or the next sign of life of a job, is expected.
pub(crate) fn next_due(entry: &CheckEntry) -> Option<Timestamp> {
    if let Some(promise) = entry.promise.as_ref().filter(|_| entry.check.enabled) {
        let last = entry.state.heartbeat.as_ref()?.last_success?;
        return promise.expectation.next_after(last);
    }
    if !entry.check.enabled || !entry.check.runs_on_agent() {
        return None;
    }
    let last = entry.state.last_result_at?;
    if entry.state.state_type == StateType::Soft {
        return Some(last.after(entry.policy.retry_interval));
    }
    let interval = entry.policy.interval;
    Some(schedule::next_run(last, interval, schedule::phase(entry.check.agent, entry.check.id, interval)))
}

fn one_of<T: PartialEq>(wanted: &[T], value: &T) -> bool {
    wanted.is_empty() || wanted.contains(value)
}

fn page_of<I, T>(wanted: I, page: Page, view: impl Fn(I::Item) -> Option<T>) -> Paged<T>
where
    I: Iterator,
{
    let mut objects = Vec::new();
    let mut total = 0;
    for item in wanted {
        if total >= page.offset && objects.len() < page.limit {
            objects.extend(view(item));
        }
        total += 1;
    }
    Paged { objects, total }
}

/// Events.
pub(crate) fn events(
    shared: &Shared,
    engine: &dyn Engine,
    query: &EventQuery,
) -> Result<Vec<Arc<Event>>, EngineError> {
    let range = Range {
        after: query.after.map_or(0, |id| id.get()),
        before: query.before.map(|id| id.get()),
        order: query.order,
        checks: query.checks.clone(),
        agents: query.agents.clone(),
    };
    let wanted = |event: &Event| {
        query.since.is_none_or(|since| event.at >= since) && query.until.is_none_or(|until| event.at < until)
    };
    entries(shared, engine, &range, query.limit, shared.durable(), &wanted, |truth| &truth.events)
}

/// Messages, those that wait and those that are done.
pub(crate) fn notifications(
    shared: &Shared,
    engine: &dyn Engine,
    query: &NotificationQuery,
) -> Result<Vec<Arc<OutboxRow>>, EngineError> {
    let range = Range {
        after: query.after.map_or(0, |id| id.get()),
        before: query.before.map(|id| id.get()),
        order: query.order,
        checks: query.checks.clone(),
        agents: Vec::new(),
    };
    let wanted = |row: &OutboxRow| {
        one_of(&query.channels, &row.channel)
            && (query.states.is_empty() || query.states.iter().any(|state| state == row.state.as_str()))
    };
    let pending: Vec<Arc<OutboxRow>> = {
        let truth = shared.read();
        let in_range = |row: &&Arc<OutboxRow>| {
            let id = row.id.get();
            id > range.after && range.before.is_none_or(|before| id < before)
        };
        let about = |row: &&Arc<OutboxRow>| {
            query.checks.is_empty() || row.checks.iter().any(|check| query.checks.contains(check))
        };
        truth.queue.rows().filter(in_range).filter(about).filter(|row| wanted(row)).cloned().collect()
    };
    let mut rows = if query.states.iter().any(|state| state != "pending") || query.states.is_empty() {
        // Also those whose end is not durable yet: they wait no longer, and must not be out of sight meanwhile.
        entries(shared, engine, &range, query.limit, u64::MAX, &wanted, |truth| &truth.finished)?
    } else {
        Vec::new()
    };
    rows.extend(pending);
    // A message that was finished in between is found twice: the later word counts, and sorting is stable.
    rows.sort_by_key(|row| row.id);
    rows.dedup_by_key(|row| row.id);
    if query.order == Order::NewestFirst {
        rows.reverse();
    }
    rows.truncate(query.limit);
    Ok(rows)
}

/// One message.
pub(crate) fn notification(
    shared: &Shared,
    engine: &dyn Engine,
    id: NotificationId,
) -> Result<Option<Arc<OutboxRow>>, EngineError> {
    let in_memory = {
        let truth = shared.read();
        let waiting = truth.queue.get(id).map(|queued| Arc::clone(&queued.row));
        waiting.or_else(|| truth.finished.get(id.get()))
    };
    match in_memory {
        Some(row) => Ok(Some(row)),
        None => Ok(trail::find(shared.disk(engine), id.get())?.map(Arc::new)),
    }
}

/// The entries of a trail up to the record `durable`, from memory and disk together.
fn entries<T: Entry>(
    shared: &Shared,
    engine: &dyn Engine,
    range: &Range,
    limit: usize,
    durable: u64,
    wanted: &dyn Fn(&T) -> bool,
    trail: impl Fn(&Truth) -> &Trail<T>,
) -> Result<Vec<Arc<T>>, EngineError> {
    let (in_memory, is_all) = trail(&shared.read()).read(range, durable);
    let mut found: Vec<Arc<T>> = in_memory.into_iter().filter(|entry| wanted(entry)).collect();
    let is_enough = is_all || range.order == Order::NewestFirst && T::IN_ORDER && found.len() >= limit;
    if !is_enough {
        found.extend(trail::load(shared.disk(engine), range, limit, wanted)?);
        found.sort_by_key(|entry| entry.id());
        found.dedup_by_key(|entry| entry.id());
        if range.order == Order::NewestFirst {
            found.reverse();
        }
    }
    found.truncate(limit);
    Ok(found)
}
