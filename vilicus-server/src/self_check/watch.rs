//! The `self` kind: what there is to watch of the server itself. `look` looks; the thresholds that a check is made
//! with stand here.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vilicus_core::kind::MetricDescription;
use vilicus_core::{Check, CheckKind, ParamsError};
use vilicus_store::inventory::SELF_KIND;

use super::Instruments;
use super::look::Look;

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
                "commit_seconds": {"warning": "2", "critical": "5"},
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
                metric(
                    "lag_seconds",
                    "s",
                    "judge: how late a deadline was judged in the last minute, at worst",
                ),
                metric(
                    "silence_seconds",
                    "s",
                    "judge, dispatcher: how long ago it gave its last sign of life",
                ),
                metric(
                    "overdue_seconds",
                    "s",
                    "dispatcher, heartbeat: for how long a message could have been tried and was not",
                ),
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
                metric(
                    "worst_skew_seconds",
                    "s",
                    "clocks: how far the worst clock of an agent in contact is off",
                ),
                metric("days_left", "", "certificate: days until it ends"),
                metric("silent", "", "blindness: agents that fell silent together"),
                metric("agents", "", "blindness, clocks: agents in contact"),
            ]
        }
    }

    fn build(&self, params: SelfParams) -> Result<Arc<dyn Check>, ParamsError> {
        Ok(Arc::new(Look::new(self.instruments.clone(), params.watch)))
    }
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
}
