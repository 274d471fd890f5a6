//! One look at a part of the server.
//!
//! Every look measures and leaves judging to the check's thresholds, which operators may change; only what no number
//! says has a status of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vilicus_core::result::error_chain;
use vilicus_core::{Check, CheckContext, CheckResult, Metric, Millis, async_trait};
use vilicus_store::StoreError;
use vilicus_store::inventory::Channel;
use vilicus_store::query::{AgentFilter, AgentState, Page};

use super::watch::Watch;
use super::{Instruments, outbound};

/// Tries that fail for so long make a channel one that fails.
const FAILING_AFTER: Millis = Millis::from_secs(15);
/// The fact by which an agent says how far its clock is ahead of the server's.
const SKEW_FACT: &str = "clock_skew_seconds";

/// A check of the kind `self`.
#[derive(Debug)]
pub(super) struct Look {
    instruments: Arc<Instruments>,
    watch: Watch,
}

#[async_trait]
impl Check for Look {
    async fn run(&self, _cx: &CheckContext) -> CheckResult {
        let looked = match self.watch {
            Watch::Judge => Ok(self.judge()),
            Watch::Dispatcher => self.dispatcher().await,
            Watch::Store => Ok(self.store().await),
            Watch::Disk => Ok(self.disk().await),
            Watch::Ingest => Ok(self.ingest().await),
            Watch::Channels => self.channels().await,
            Watch::Clocks => self.clocks().await,
            Watch::Certificate => Ok(self.certificate()),
            Watch::Blindness => self.blindness().await,
            Watch::Heartbeat => outbound::probe(&self.instruments).await,
        };
        looked.unwrap_or_else(|error| {
            CheckResult::unknown(format!("the store cannot be read: {}", error_chain(&error)))
        })
    }
}

impl Look {
    /// Looks at this part through these instruments.
    pub(super) fn new(instruments: Arc<Instruments>, watch: Watch) -> Self {
        Self { instruments, watch }
    }

    fn judge(&self) -> CheckResult {
        let vitals = &self.instruments.vitals;
        let (lag, silence) = (vitals.outlook.lag(), vitals.judge.age());
        let output = format!(
            "deadlines are judged up to {:.1} s late, and were looked at {:.1} s ago",
            lag.as_secs_f64(),
            silence.as_secs_f64()
        );
        CheckResult::measured(output)
            .metric(seconds("lag_seconds", lag))
            .metric(seconds("silence_seconds", silence))
    }

    async fn dispatcher(&self) -> Result<CheckResult, StoreError> {
        let silence = self.instruments.vitals.dispatcher.age();
        let queue = Queue::look(&self.instruments).await?;
        let output = match queue.waiting {
            0 => "no message waits".to_owned(),
            1 => format!("1 message waits; it is {} old", queue.age()),
            count => format!("{count} messages wait; the oldest that is due is {} old", queue.age()),
        };
        Ok(CheckResult::measured(output)
            .metric(seconds("silence_seconds", silence))
            .metric(Metric::seconds("overdue_seconds", queue.overdue.as_secs_f64()))
            .metric(Metric::seconds("oldest_seconds", queue.oldest.as_secs_f64()))
            .metric(count("waiting", queue.waiting)))
    }

    async fn store(&self) -> CheckResult {
        let health = self.instruments.store.health().await;
        let took = self.instruments.commits.last();
        let output = format!("the last commit took {:.3} s", took.as_secs_f64());
        let result = match &health.fault {
            Some(fault) if !health.writable => {
                CheckResult::critical(format!("the store cannot write: {fault}"))
            }
            _ => CheckResult::measured(output),
        };
        result
            .metric(seconds("commit_seconds", took))
            .metric(Metric::bytes("bytes", health.bytes as f64))
            .metric(Metric::new("quarantined", health.quarantined as f64))
    }

    async fn disk(&self) -> CheckResult {
        let Some(dir) = self.instruments.data_dir.clone() else {
            return CheckResult::unknown("the store has no directory; delete this check");
        };
        match space_at(dir).await {
            Ok(space) => {
                let free = space.free / (1024.0 * 1024.0);
                CheckResult::measured(format!("{free:.0} MiB are free, {:.0} % are used", space.used_percent))
                    .metric(Metric::bytes("free_bytes", space.free))
                    .metric(Metric::percent("used_percent", space.used_percent))
            }
            Err(error) => CheckResult::unknown(format!("the room for the store cannot be seen: {error}")),
        }
    }

    async fn ingest(&self) -> CheckResult {
        let queued = self.instruments.store.health().await.queued;
        CheckResult::measured(format!("{queued} results wait to become durable"))
            .metric(count("queued", queued))
    }

    async fn channels(&self) -> Result<CheckResult, StoreError> {
        let channels = self.instruments.store.channels().await?;
        let on: Vec<_> = channels.iter().filter(|channel| channel.enabled).collect();
        let now = self.instruments.clock.now();
        let mut faults = Vec::new();
        let (mut paused, mut failing, mut longest) = (0, 0, Millis::ZERO);
        for channel in &on {
            if let Some(pause) = &channel.paused {
                paused += 1;
                faults.push(format!("'{}' is paused since {}: {}", channel.name, pause.since, pause.fault));
            } else if let Some(fails) = self.instruments.standing.failing(channel.id)
                && now.since(fails.since) >= FAILING_AFTER
            {
                failing += 1;
                longest = longest.max(now.since(fails.since));
                faults.push(format!("'{}' fails since {}: {}", channel.name, fails.since, fails.fault));
            }
        }
        let output = match faults.as_slice() {
            [] => "every channel works".to_owned(),
            faults => format!("channel {}", faults.join("; channel ")),
        };
        Ok(CheckResult::measured(output)
            .metric(count("channels", on.len()))
            .metric(count("paused", paused))
            .metric(count("failing", failing))
            .metric(Metric::seconds("failing_seconds", longest.as_secs_f64())))
    }

    async fn clocks(&self) -> Result<CheckResult, StoreError> {
        let up = AgentFilter { states: vec![AgentState::Up], ..AgentFilter::default() };
        let agents = self.instruments.store.agents(&up, Page::ALL).await?.objects;
        let skews = agents.iter().filter_map(|view| {
            let skew = view.agent.facts.0.get(SKEW_FACT)?.as_f64()?;
            Some((skew, view.agent.name.as_str()))
        });
        let worst = skews.max_by(|(one, _), (other, _)| one.abs().total_cmp(&other.abs()));
        let output = match worst {
            None => "no agent in contact says how its clock is".to_owned(),
            Some((skew, name)) => format!("the worst clock is that of {name}: {skew:+.1} s"),
        };
        let skew = worst.map_or(0.0, |(skew, _)| skew.abs());
        Ok(CheckResult::measured(output)
            .metric(Metric::seconds("worst_skew_seconds", skew))
            .metric(count("agents", agents.len())))
    }

    fn certificate(&self) -> CheckResult {
        let Some(tls) = &self.instruments.tls else {
            return CheckResult::unknown("the server has no certificate; delete this check");
        };
        match tls.ends_at() {
            None => CheckResult::unknown("the end of the certificate cannot be read"),
            Some(end) => {
                let left = end.as_millis().saturating_sub(self.instruments.clock.now().as_millis());
                let days = left as f64 / 86_400_000.0;
                CheckResult::measured(format!("the certificate ends at {end}, in {days:.0} days"))
                    .metric(Metric::new("days_left", days))
            }
        }
    }

    async fn blindness(&self) -> Result<CheckResult, StoreError> {
        let up = AgentFilter { states: vec![AgentState::Up], ..AgentFilter::default() };
        let others = self.instruments.store.agents(&up, Page::ALL).await?.objects;
        let agents = others.iter().filter(|view| Some(view.agent.id) != self.instruments.own).count();
        let blind = self.instruments.vitals.outlook.blind();
        let result = match &blind {
            None => CheckResult::ok("agents are heard of"),
            Some(blind) => {
                let held = if blind.held { "; nothing is said of them one by one for now" } else { "" };
                let (silent, of, since) = (blind.silent, blind.of, blind.since);
                CheckResult::critical(format!(
                    "I may be blind: {silent} of {of} agents fell silent at once, noticed {since}{held}"
                ))
            }
        };
        let silent = blind.map_or(0, |blind| blind.silent);
        Ok(result.metric(count("silent", silent)).metric(count("agents", agents)))
    }
}

/// The messages that wait on channels that are expected to work.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: usize,
    oldest: Millis,
    /// For how long a message could have been tried, on a channel that nothing keeps from it.
    pub(super) overdue: Millis,
}

impl Queue {
    pub(super) async fn look(instruments: &Instruments) -> Result<Self, StoreError> {
        let now = instruments.clock.now();
        let mut queue = Self::default();
        let channels = instruments.store.channels().await?;
        for channel in channels.iter().filter(|channel| channel.enabled && channel.paused.is_none()) {
            let waiting = instruments.store.waiting(channel.id).await?;
            queue.waiting += waiting.count;
            let Some(next) = waiting.next.filter(|next| *next <= now) else { continue };
            queue.oldest = queue.oldest.max(now.since(waiting.oldest.unwrap_or(next)));
            if is_free(instruments, channel) {
                queue.overdue = queue.overdue.max(now.since(next));
            }
        }
        Ok(queue)
    }

    fn age(&self) -> Millis {
        Millis::from_secs(self.oldest.get() / 1000)
    }
}

/// Whether nothing holds this channel's messages back: no failure and no rate limit.
fn is_free(instruments: &Instruments, channel: &Channel) -> bool {
    channel.rate_limit.is_none() && instruments.standing.failing(channel.id).is_none()
}

struct Space {
    free: f64,
    used_percent: f64,
}

/// The room at a path; a file system that hangs keeps only a thread of its own.
async fn space_at(path: PathBuf) -> Result<Space, std::io::Error> {
    let looked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&path)).await;
    let found = looked.map_err(std::io::Error::other)??;
    let block = found.f_frsize as f64;
    let (free, taken) = (found.f_bavail as f64, found.f_blocks.saturating_sub(found.f_bfree) as f64);
    let used_percent = if free + taken > 0.0 { taken * 100.0 / (free + taken) } else { 0.0 };
    Ok(Space { free: free * block, used_percent })
}

fn seconds(name: &str, span: Duration) -> Metric {
    Metric::seconds(name, span.as_secs_f64())
}

fn count(name: &str, count: usize) -> Metric {
    Metric::new(name, count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_room_at_a_path_is_that_of_its_file_system() {
        let space = space_at("/".into()).await.unwrap();
        assert!(space.free >= 0.0 && (0.0..=100.0).contains(&space.used_percent));
        assert!(space_at("/nowhere".into()).await.is_err());
    }
}
