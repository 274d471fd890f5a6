//! The `self` kind: what there is to watch of the server itself, one look each.
//!
//! Every look measures and leaves judging to the check's thresholds, which operators may change; only what no
//! number says has a status of its own. [`Watch::default_thresholds`] are what `set_up` begins with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vilicus_core::kind::MetricDescription;
use vilicus_core::result::error_chain;
use vilicus_core::{
    Check, CheckContext, CheckKind, CheckResult, Metric, Millis, ParamsError, Unit, async_trait,
};
use vilicus_store::StoreError;
use vilicus_store::inventory::{Channel, SELF_KIND};
use vilicus_store::query::{AgentFilter, AgentState, Page};

use super::{Instruments, outbound};

/// Tries that fail for so long make a channel one that fails.
const FAILING_AFTER: Millis = Millis::from_secs(15);
/// The fact by which an agent says how far its clock is ahead of the server's.
const SKEW_FACT: &str = "clock_skew_seconds";

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Watch {
    /// Whether silence is noticed in time.
    Judge,
    /// Whether messages are sent, and how old the oldest is that waits.
    Dispatcher,
    /// How long the store takes to write.
    Store,
    /// How much room there is for the store.
    Disk,
    /// How many results wait for the store.
    Ingest,
    /// Whether every channel works.
    Channels,
    /// How wrong the clocks of agents are.
    Clocks,
    /// How long the server's own certificate is good.
    Certificate,
    /// Whether most agents are silent.
    Blindness,
    /// The whole way of a problem, before the heartbeat address is called.
    Heartbeat,
}

impl Watch {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Judge,
        Self::Dispatcher,
        Self::Store,
        Self::Disk,
        Self::Ingest,
        Self::Channels,
        Self::Clocks,
        Self::Certificate,
        Self::Blindness,
        Self::Heartbeat,
    ];

    /// The word in the parameters, and the name of the check that is made for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Judge => "judge",
            Self::Dispatcher => "dispatcher",
            Self::Store => "store",
            Self::Disk => "disk",
            Self::Ingest => "ingest",
            Self::Channels => "channels",
            Self::Clocks => "clocks",
            Self::Certificate => "certificate",
            Self::Blindness => "blindness",
            Self::Heartbeat => "heartbeat",
        }
    }

    /// What its check is for.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Judge => "Silence is noticed in time",
            Self::Dispatcher => "Messages are sent",
            Self::Store => "The store writes quickly",
            Self::Disk => "There is room for the store",
            Self::Ingest => "Results do not pile up before the store",
            Self::Channels => "Every channel delivers",
            Self::Clocks => "The clocks of agents are right",
            Self::Certificate => "The server's certificate is good for a while",
            Self::Blindness => "Agents are not silent all at once",
            Self::Heartbeat => "Who waits for this server's heartbeat hears of it",
        }
    }

    /// The thresholds that its check is made with.
    #[must_use]
    pub fn default_thresholds(self) -> Value {
        match self {
            Self::Judge => json!({
                "lag_seconds": {"warning": "5", "critical": "30"},
                "silence_seconds": {"critical": "15"},
            }),
            Self::Dispatcher => json!({
                "silence_seconds": {"critical": "15"},
                "overdue_seconds": {"warning": "20", "critical": "120"},
                "oldest_seconds": {"warning": "600", "critical": "3600"},
            }),
            Self::Store => json!({
                "commit_seconds": {"warning": "2", "critical": "10"},
                "quarantined": {"warning": "0"},
            }),
            Self::Disk => json!({"free_bytes": {"warning": "1073741824:", "critical": "268435456:"}}),
            Self::Ingest => json!({"queued": {"warning": "20000", "critical": "50000"}}),
            Self::Channels => json!({
                "paused": {"critical": "0"},
                "failing": {"warning": "0"},
                "failing_seconds": {"critical": "600"},
            }),
            Self::Clocks => json!({"worst_skew_seconds": {"warning": "60", "critical": "300"}}),
            Self::Certificate => json!({"days_left": {"warning": "21:", "critical": "7:"}}),
            Self::Blindness | Self::Heartbeat => json!({}),
        }
    }
}

/// What a `self` check looks at.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct SelfParams {
    /// The part of the server.
    watch: Watch,
}

/// The `self` kind, of the server with these instruments.
#[derive(Debug, Clone)]
pub struct SelfKind {
    instruments: Arc<Instruments>,
}

impl SelfKind {
    /// Looks through these instruments.
    #[must_use]
    pub fn new(instruments: Instruments) -> Self {
        Self { instruments: Arc::new(instruments) }
    }
}

impl CheckKind for SelfKind {
    type Params = SelfParams;

    fn name(&self) -> &'static str {
        SELF_KIND
    }

    fn description(&self) -> &'static str {
        "a part of the server itself; judged on the server"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        const fn metric(
            name: &'static str,
            unit: &'static str,
            description: &'static str,
        ) -> MetricDescription {
            MetricDescription { name, unit, description }
        }
        const {
            &[
                metric("lag_seconds", "s", "judge: how late a deadline was judged in the last minute, at worst"),
                metric("silence_seconds", "s", "judge, dispatcher: how long ago it gave its last sign of life"),
                metric("overdue_seconds", "s", "dispatcher, heartbeat: for how long a message could have been tried and was not"),
                metric("oldest_seconds", "s", "dispatcher: the age of the oldest message that is due"),
                metric("waiting", "", "dispatcher: messages that wait"),
                metric("commit_seconds", "s", "store: how long the last durable commit took"),
                metric("bytes", "B", "store: what it uses on disk"),
                metric("quarantined", "", "store: records that could not be read and were set aside"),
                metric("free_bytes", "B", "disk: what is free where the store is"),
                metric("used_percent", "%", "disk: how full the file system is where the store is"),
                metric("queued", "", "ingest: results that wait to become durable"),
                metric("channels", "", "channels: those that are switched on"),
                metric("paused", "", "channels: those that are paused because nothing passes"),
                metric("failing", "", "channels: those whose tries have failed for 15 s"),
                metric("failing_seconds", "s", "channels: for how long the worst of them has failed"),
                metric("worst_skew_seconds", "s", "clocks: how far the worst clock of an agent in contact is off"),
                metric("days_left", "", "certificate: days until it ends"),
                metric("silent", "", "blindness: agents that fell silent together"),
                metric("agents", "", "blindness, clocks: agents in contact"),
            ]
        }
    }

    fn build(&self, params: SelfParams) -> Result<Arc<dyn Check>, ParamsError> {
        Ok(Arc::new(Look { instruments: self.instruments.clone(), watch: params.watch }))
    }
}

#[derive(Debug)]
struct Look {
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
    fn judge(&self) -> CheckResult {
        let vitals = &self.instruments.vitals;
        let (lag, silence) = (vitals.outlook.lag(), vitals.judge.age());
        let output = format!(
            "deadlines are judged up to {:.1} s late, and were looked at {:.1} s ago",
            lag.as_secs_f64(),
            silence.as_secs_f64()
        );
        CheckResult::measured(output).metric(seconds("lag_seconds", lag)).metric(seconds("silence_seconds", silence))
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
            Some(fault) if !health.writable => CheckResult::critical(format!("the store cannot write: {fault}")),
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
        CheckResult::measured(format!("{queued} results wait to become durable")).metric(count("queued", queued))
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
    Metric::new(name, count as f64).unit(Unit::None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::Thresholds;

    #[test]
    fn the_word_in_the_parameters_is_the_name() {
        for watch in Watch::ALL {
            assert_eq!(json!(watch), json!(watch.as_str()));
        }
    }

    #[test]
    fn every_default_threshold_is_one() {
        for watch in Watch::ALL {
            let thresholds: Result<Thresholds, _> = serde_json::from_value(watch.default_thresholds());
            assert!(thresholds.is_ok(), "{watch:?}: {thresholds:?}");
        }
    }

    #[tokio::test]
    async fn the_room_at_a_path_is_that_of_its_file_system() {
        let space = space_at("/".into()).await.unwrap();
        assert!(space.free >= 0.0 && (0.0..=100.0).contains(&space.used_percent));
        assert!(space_at("/nowhere".into()).await.is_err());
    }
}
