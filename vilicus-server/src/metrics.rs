//! `/metrics`: what the server itself can be watched by, in the text format of Prometheus.
//!
//! Every look reads the store anew, so next to nothing has to be counted along the way and nothing can drift. What
//! happened since the start, no store tells: [`Counters`] do, and the dispatcher's [`Standing`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use subtle::ConstantTimeEq as _;
use vilicus_core::Timestamp;
use vilicus_core::judge::gates::Hold;
use vilicus_core::result::error_chain;
use vilicus_store::query::{AgentFilter, AgentState, CheckFilter, CheckView, Page};
use vilicus_store::{Store, StoreError};

use crate::clock::Clock;
use crate::dispatcher::Standing;
use crate::freshness::Outlook;
use crate::self_check::GUID;
use crate::settings::ServerSecret;

/// What `/metrics` reads, and whom it answers.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Remembers everything.
    pub store: Arc<dyn Store>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// When set, only requests with this bearer token are answered.
    pub token: Option<ServerSecret>,
    /// What a running server knows; `None` for a look at the store alone.
    pub live: Option<Live>,
}

/// What is known while a server runs.
#[derive(Debug, Clone)]
pub struct Live {
    /// What was counted.
    pub counters: Counters,
    /// How the channels stand.
    pub standing: Standing,
    /// Whether most agents are silent.
    pub outlook: Outlook,
}

/// What is counted along the way, from the start of the server on. Clones are the same ones.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    requests: Family<ByCode, Counter>,
    results: Counter,
}

impl Counters {
    /// So many results were accepted.
    pub fn accepted(&self, results: u64) {
        self.results.inc_by(results);
    }

    /// A request was answered with this status.
    pub fn answered(&self, status: StatusCode) {
        self.requests.get_or_create(&ByCode { code: status.as_u16() }).inc();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByGate {
    gate: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    channel: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
    commit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByChannel {
    channel: String,
}

/// The route `/metrics`.
pub fn router(metrics: Metrics) -> axum::Router {
    axum::Router::new().route("/metrics", get(answer)).with_state(metrics)
}

async fn answer(State(metrics): State<Metrics>, headers: HeaderMap) -> Response {
    if !metrics.admits(&headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge, "send the metrics token as a bearer token\n")
            .into_response();
    }
    match metrics.text().await {
        Ok(text) => {
            // Every scraper takes this format; OpenMetrics is not understood by all.
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            tracing::error!(error = error_chain(&error), "cannot read the store for /metrics");
            (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read\n").into_response()
        }
    }
}

impl Metrics {
    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let sent = headers.get(header::AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
        let sent = sent.strip_prefix(b"Bearer ").unwrap_or_default();
        sent.ct_eq(token.expose().as_bytes()).into()
    }

    /// Everything, as text.
    ///
    /// # Errors
    /// The store can't read.
    pub async fn text(&self) -> Result<String, StoreError> {
        let mut registry = Registry::with_prefix("vilicus");
        build(&mut registry);
        self.agents(&mut registry).await?;
        self.checks(&mut registry).await?;
        self.channels(&mut registry).await?;
        self.store(&mut registry).await;
        if let Some(live) = &self.live {
            self.live(live, &mut registry).await?;
        }
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &registry);
        Ok(classic(&text))
    }

    async fn agents(&self, registry: &mut Registry) -> Result<(), StoreError> {
        let family = Family::<ByState, Gauge>::default();
        for (state, word) in
            [(AgentState::Pending, "pending"), (AgentState::Up, "up"), (AgentState::Down, "down")]
        {
            let filter = AgentFilter {
                states: vec![state],
                but_guid: Some(GUID.to_owned()),
                ..AgentFilter::default()
            };
            let count = self.store.agents(&filter, Page { offset: 0, limit: 0 }).await?.total;
            family.get_or_create(&ByState { state: word }).set(number(count));
        }
        registry.register("agents", "The agents by state", family);
        Ok(())
    }

    async fn checks(&self, registry: &mut Registry) -> Result<(), StoreError> {
        let checks = self.store.checks(&CheckFilter::default(), Page::ALL).await?.objects;
        let mut counts =
            BTreeMap::from(["pending", "ok", "warning", "critical", "unknown"].map(|word| (word, 0)));
        for check in &checks {
            *counts.entry(word(check)).or_insert(0) += 1;
        }
        let family = Family::<ByStatus, Gauge>::default();
        for (status, count) in counts {
            family.get_or_create(&ByStatus { status }).set(count);
        }
        registry.register("checks", "The checks by their last status", family);
        let held = Family::<ByGate, Gauge>::default();
        for hold in checks.iter().filter_map(|view| view.state.held) {
            held.get_or_create(&ByGate { gate: gate_word(hold) }).inc();
        }
        registry.register(
            "problems_held",
            "The problems that nobody is told of, by the gate that is closed",
            held,
        );
        Ok(())
    }

    async fn channels(&self, registry: &mut Registry) -> Result<(), StoreError> {
        let (waiting, age) =
            (Family::<ByChannel, Gauge>::default(), Family::<ByChannel, Gauge<f64, AtomicU64>>::default());
        let paused = Family::<ByChannel, Gauge>::default();
        let now = self.clock.now();
        for channel in self.store.channels().await? {
            let label = ByChannel { channel: channel.name.clone() };
            let outbox = self.store.waiting(channel.id).await?;
            waiting.get_or_create(&label).set(number(outbox.count));
            age.get_or_create(&label).set(age_of(outbox.oldest, now));
            paused.get_or_create(&label).set(channel.paused.is_some().into());
        }
        registry.register("outbox_waiting", "The messages that wait to be delivered", waiting);
        let help = "The age of the oldest message that waits";
        registry.register_with_unit("outbox_oldest_age", help, Unit::Seconds, age);
        registry.register("channel_paused", "Whether the channel is paused because of a fault", paused);
        Ok(())
    }

    async fn live(&self, live: &Live, registry: &mut Registry) -> Result<(), StoreError> {
        let outcomes = Family::<ByOutcome, Counter>::default();
        let stands = live.standing.all();
        for channel in self.store.channels().await? {
            let stand = stands.get(&channel.id).cloned().unwrap_or_default();
            for (outcome, count) in
                [("sent", stand.sent), ("retried", stand.retried), ("failed", stand.failed)]
            {
                let label = ByOutcome { channel: channel.name.clone(), outcome };
                outcomes.get_or_create(&label).inc_by(count);
            }
        }
        registry.register(
            "notifications",
            "The tries of messages since the start, by what came of them",
            outcomes,
        );
        let help = "The results that were accepted since the start";
        registry.register("results_accepted", help, live.counters.results.clone());
        let help = "The HTTP requests that were answered since the start";
        registry.register("http_requests", help, live.counters.requests.clone());
        let help = "Whether most agents fell silent at once";
        gauge(registry, "blind", help, None, live.outlook.blind().is_some().into());
        Ok(())
    }

    async fn store(&self, registry: &mut Registry) {
        let health = self.store.health().await;
        let quarantined = i64::try_from(health.quarantined).unwrap_or(i64::MAX);
        let bytes = i64::try_from(health.bytes).unwrap_or(i64::MAX);
        gauge(registry, "store_writable", "Whether the store can write", None, health.writable.into());
        gauge(registry, "store", "What the store uses on disk", Some(Unit::Bytes), bytes);
        let help = "The records that could not be read and were set aside";
        gauge(registry, "store_quarantined_records", help, None, quarantined);
        let help = "The results that wait to become durable";
        gauge(registry, "store_queued_results", help, None, number(health.queued));
    }
}

/// OpenMetrics describes a counter by its name without `_total`; the classic format by the name of its samples.
fn classic(text: &str) -> String {
    let is_counter = |name: &str| {
        let line = format!("# TYPE {name} counter");
        text.lines().any(|known| known == line)
    };
    let mut classic = String::with_capacity(text.len());
    for line in text.lines() {
        let described = ["# HELP ", "# TYPE "].into_iter().find_map(|word| {
            let (name, rest) = line.strip_prefix(word)?.split_once(' ')?;
            is_counter(name).then(|| format!("{word}{name}_total {rest}"))
        });
        classic.push_str(described.as_deref().unwrap_or(line));
        classic.push('\n');
    }
    classic
}

fn build(registry: &mut Registry) {
    let build = Family::<Build, Gauge>::default();
    let label = Build { version: env!("CARGO_PKG_VERSION"), commit: env!("VILICUS_COMMIT") };
    build.get_or_create(&label).set(1);
    registry.register("build_info", "The version of the server; always 1", build);
}

fn gauge(registry: &mut Registry, name: &str, help: &str, unit: Option<Unit>, value: i64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(value);
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, gauge),
        None => registry.register(name, help, gauge),
    }
}

/// The gate as it is called everywhere, as `not_in_downtime`.
fn gate_word(hold: Hold) -> String {
    let word = serde_json::to_value(hold.gate()).ok();
    word.as_ref().and_then(serde_json::Value::as_str).unwrap_or("unknown").to_owned()
}

fn word(check: &CheckView) -> &'static str {
    use vilicus_core::Status;
    match check.state.status {
        None => "pending",
        Some(Status::Ok) => "ok",
        Some(Status::Warning) => "warning",
        Some(Status::Critical) => "critical",
        Some(Status::Unknown) => "unknown",
    }
}

fn age_of(oldest: Option<Timestamp>, now: Timestamp) -> f64 {
    oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64())
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_described_by_the_name_of_their_samples() {
        let mut registry = Registry::with_prefix("vilicus");
        let counters = Counters::default();
        counters.accepted(3);
        counters.answered(StatusCode::OK);
        registry.register("results_accepted", "Results", counters.results.clone());
        registry.register("http_requests", "Requests", counters.requests.clone());
        gauge(&mut registry, "blind", "Blind", None, 1);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let text = classic(&text);
        for line in [
            "# TYPE vilicus_results_accepted_total counter",
            "vilicus_results_accepted_total 3",
            "# HELP vilicus_http_requests_total Requests.",
            "vilicus_http_requests_total{code=\"200\"} 1",
            "# TYPE vilicus_blind gauge",
        ] {
            assert!(text.lines().any(|known| known == line), "'{line}' is missing:\n{text}");
        }
    }

    #[test]
    fn gates_are_called_as_everywhere() {
        assert_eq!(gate_word(Hold::Downtime), "not_in_downtime");
    }
}
