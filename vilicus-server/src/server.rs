//! Puts the parts together, runs them, and stops them in order.
//!
//! Everything comes from the caller: listeners or addresses, the store, the registries, the clock, the settings and
//! the moment to stop. Deliberately absent: arguments, environment and signals, which are the binary's.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tower_http::catch_panic::CatchPanicLayer;
use vilicus_agent::Agent;
use vilicus_agent::checks::{Reach, StockOptions, stock_kinds};
use vilicus_core::result::error_chain;
use vilicus_core::{KindRegistry, NotifierRegistry};
use vilicus_store::Store;
use vilicus_store::inventory::Role;

use crate::api::{self, AppState, SystemRandom};
use crate::clock::{Clock, SystemClock};
use crate::dashboard::{self, Dashboard};
use crate::dispatcher::{self, Dispatcher, Standing, Tester};
use crate::error::ServerError;
use crate::express::Express;
use crate::freshness::{Freshness, Outlook};
use crate::health::{self, Pulse, Vitals};
use crate::http::problem::{no_such_path, of_panic};
use crate::http::{self, HttpSettings, Tls};
use crate::local_agent;
use crate::metrics::{self, Live, Metrics};
use crate::notifiers::{Exec, stock_notifiers};
use crate::outbound::OutboundPolicy;
use crate::self_check::{Instruments, SelfChecks, with_server_kinds};
use crate::settings::{Outbound, Settings};
use crate::tokens;

/// How often the store does its housekeeping, which writes down every check: oftener would cost more than all results of
/// a quiet server, more rarely would make a start slow that follows a crash.
const MAINTAIN_EVERY: Duration = Duration::from_mins(15);
/// How often it is looked whether the store is lost for good.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long tries that are under way at the stop may take; what is cut off is tried again after the next start.
const LAST_TRIES: Duration = Duration::from_secs(15);

/// What a server is made of.
#[derive(Debug, Default)]
#[must_use]
pub struct Builder {
    listeners: Vec<TcpListener>,
    plain: Vec<TcpListener>,
    listen: Vec<SocketAddr>,
    store: Option<Arc<dyn Store>>,
    kinds: Option<KindRegistry>,
    notifiers: Option<NotifierRegistry>,
    clock: Option<Arc<dyn Clock>>,
    settings: Settings,
    data_dir: Option<PathBuf>,
    local_agent: bool,
}

/// A server that is ready to run.
///
/// ```no_run
/// # async fn example(store: std::sync::Arc<dyn vilicus_store::Store>) -> Result<(), vilicus_server::error::ServerError> {
/// use vilicus_server::server::Server;
///
/// let server = Server::builder().listen(([127, 0, 0, 1], 0).into()).store(store).build().await?;
/// println!("http://{}", server.addresses()[0]);
/// server.run(std::future::pending()).await
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    doors: Doors,
    router: Router,
    api: AppState,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    dispatcher: Dispatcher,
    freshness: Freshness,
    self_checks: SelfChecks,
    agent: Option<Agent>,
}

impl Server {
    /// Begins a server; it needs a store at least.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The addresses that it listens on, with their real ports.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.doors.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// The certificate in use, to be read again on request; `None` without HTTPS.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<Tls>> {
        self.doors.http.tls.clone()
    }

    /// Its routes, to be asked without a socket.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// What its API works with: to carry out configurations while it runs.
    #[must_use]
    pub fn api(&self) -> AppState {
        self.api.clone()
    }

    /// Works until `shutdown` ends, then stops in order: no new connections, requests under way are answered,
    /// messages under way are sent, everything is written down.
    ///
    /// # Errors
    /// The store is lost for good, or can't be closed properly.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        self.log_addresses();
        let Self { doors, router, api, store, clock, dispatcher, freshness, self_checks, agent } = self;
        let background = Background::start(&store, clock, dispatcher, freshness, self_checks);
        let agent = agent.map(local_agent::Running::start);
        let end = async {
            let fault = tokio::select! {
                () = shutdown => None,
                fault = lost(store.as_ref()) => Some(fault),
            };
            tracing::info!("stopping");
            // Ends the answers that go on for ever.
            api.closing().cancel();
            // Before the doors close: it delivers its last results through them.
            if let Some(agent) = agent {
                agent.stop().await;
            }
            fault
        };
        let fault = doors.serve(Express::new(api.clone(), router), end).await;
        background.stop().await;
        match fault {
            Some(fault) => Err(ServerError::StoreLost { fault }),
            None => Ok(store.close().await?),
        }
    }

    fn log_addresses(&self) {
        let scheme = if self.doors.http.tls.is_some() { "https" } else { "http" };
        for address in self.addresses() {
            tracing::info!("listening on {scheme}://{address}");
        }
    }
}

/// Ends with the reason when the store is lost for good.
async fn lost(store: &dyn Store) -> String {
    loop {
        let health = store.health().await;
        if health.fatal {
            return health.fault.unwrap_or_else(|| "it gives no reason".to_owned());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Where connections come in.
#[derive(Debug)]
struct Doors {
    listeners: Vec<TcpListener>,
    plain: Vec<TcpListener>,
    http: HttpSettings,
}

impl Doors {
    /// Serves until `end` ends and everything under way is answered; returns what `end` ended with.
    async fn serve<T>(self, routes: Express, end: impl Future<Output = T>) -> T {
        let (stop, stopped) = watch::channel(());
        let without_tls = HttpSettings { tls: None, ..self.http.clone() };
        let end = async {
            let outcome = end.await;
            drop(stop);
            outcome
        };
        let (outcome, (), ()) = tokio::join!(
            end,
            http::serve(self.listeners, routes.clone(), self.http, dropped(stopped.clone())),
            http::serve(self.plain, routes, without_tls, dropped(stopped)),
        );
        outcome
    }
}

/// Ends when the other end is dropped.
pub(crate) async fn dropped(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

/// What works beside the requests.
#[derive(Debug)]
struct Background {
    stop: watch::Sender<()>,
    dispatcher: JoinHandle<()>,
    others: JoinSet<()>,
}

impl Background {
    fn start(
        store: &Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        dispatcher: Dispatcher,
        freshness: Freshness,
        self_checks: SelfChecks,
    ) -> Self {
        let (stop, stopped) = watch::channel(());
        let mut others = JoinSet::new();
        others.spawn(freshness.run(dropped(stopped.clone())));
        self_checks.start(&mut others, &stopped);
        others.spawn(maintain(store.clone(), clock, stopped.clone()));
        Self { stop, dispatcher: tokio::spawn(dispatcher.run(dropped(stopped))), others }
    }

    /// Ends everything; tries of messages may finish for a while.
    async fn stop(mut self) {
        drop(self.stop);
        while self.others.join_next().await.is_some() {}
        if tokio::time::timeout(LAST_TRIES, &mut self.dispatcher).await.is_err() {
            tracing::warn!("messages under way are cut off; they are sent again after the next start");
            self.dispatcher.abort();
        }
    }
}

/// The store's housekeeping, and the end of sessions and links.
async fn maintain(store: Arc<dyn Store>, clock: Arc<dyn Clock>, stopped: watch::Receiver<()>) {
    let mut end = std::pin::pin!(dropped(stopped));
    if let Err(error) = dashboard::clear_away(store.as_ref(), clock.now()).await {
        tracing::warn!(error = error_chain(&error), "trial checks that were left behind cannot be removed");
    }
    loop {
        let now = clock.now();
        if let Err(error) = store.maintain(now).await {
            tracing::warn!(error = error_chain(&error), "the store's housekeeping failed; it is tried again");
        }
        if let Err(error) = tokens::remove_expired(store.as_ref(), now).await {
            tracing::warn!(
                error = error_chain(&error),
                "ended sessions cannot be removed; it is tried again"
            );
        }
        tokio::select! {
            () = &mut end => return,
            () = tokio::time::sleep(MAINTAIN_EVERY) => {}
        }
    }
}

impl Builder {
    /// Serves on this listener too.
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Serves plain HTTP on this listener, also when there is a certificate: for callers on the same host.
    pub fn plain_listener(mut self, listener: TcpListener) -> Self {
        self.plain.push(listener);
        self
    }

    /// Listens on this address too; port 0 picks a free one. Without any listener or address, those of the settings
    /// are used.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen.push(address);
        self
    }

    /// What remembers everything.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// The kinds of check whose parameters the server can judge, and that its embedded agent runs; by default the
    /// stock ones, whose checks go no further than the settings let the server's own requests go.
    pub fn kinds(mut self, kinds: KindRegistry) -> Self {
        self.kinds = Some(kinds);
        self
    }

    /// The kinds of notifier; the stock ones by default.
    pub fn notifiers(mut self, notifiers: NotifierRegistry) -> Self {
        self.notifiers = Some(notifiers);
        self
    }

    /// What tells the time; the machine's clock by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// What the server is told. Its store and its `local_agent` are for who builds the server, and not looked at.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Where the store's files are, so that a self-check watches how much room there is.
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(dir.into());
        self
    }

    /// Whether an agent in this process watches this host.
    pub fn local_agent(mut self, wanted: bool) -> Self {
        self.local_agent = wanted;
        self
    }

    /// Binds the addresses, makes the tokens that the settings name, and puts everything together.
    ///
    /// # Errors
    /// No store, an address in use, a certificate that can't be used, or a store that can't write.
    pub async fn build(self) -> Result<Server, ServerError> {
        let store = self.store.clone().ok_or(ServerError::NoStore)?;
        let clock = self.clock.clone().unwrap_or_else(|| Arc::new(SystemClock::new()));
        ensure_tokens(store.as_ref(), &self.settings, clock.as_ref()).await?;
        let parts = self.parts(store.clone(), clock.clone());
        let vitals = Vitals {
            store: store.clone(),
            judge: Pulse::new(clock.clone()),
            dispatcher: Pulse::new(clock.clone()),
            outlook: Outlook::default(),
        };
        let tls = self.settings.tls.clone().map(|files| Tls::from_files(files.cert, files.key));
        let tls = tls.transpose()?.map(Arc::new);
        let mut self_checks = SelfChecks::set_up(
            parts.clone(),
            vitals.clone(),
            &self.settings,
            &outbound_of(&self.settings),
            tls.clone(),
            self.data_dir.clone(),
        )
        .await?;
        let kinds = self.kinds.clone().unwrap_or_else(|| kinds_within(outbound_of(&self.settings)));
        let (router, api) = self.router(&parts, self_checks.with_server_kinds(kinds.clone()), &vitals);
        let agent = match self.local_agent {
            true => Some(local_agent_of(&parts, router.clone(), kinds, vitals.clone()).await?),
            false => None,
        };
        let freshness = self_checks.freshness(vitals.judge);
        let dispatcher = Dispatcher::new(parts, vitals.dispatcher);
        let doors = self.doors(tls).await?;
        Ok(Server { doors, router, api, store, clock, dispatcher, freshness, self_checks, agent })
    }

    /// What the API works with when no server runs: to judge a configuration as a server with these settings would.
    ///
    /// # Errors
    /// There is no store.
    pub fn api(&self) -> Result<AppState, ServerError> {
        let store = self.store.clone().ok_or(ServerError::NoStore)?;
        let clock = self.clock.clone().unwrap_or_else(|| Arc::new(SystemClock::new()));
        let kinds = self.kinds.clone().unwrap_or_else(|| kinds_within(outbound_of(&self.settings)));
        let kinds = with_server_kinds(kinds, Instruments::new(store.clone(), clock.clone()));
        Ok(self.state(&self.parts(store, clock), kinds))
    }

    fn parts(&self, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> dispatcher::Parts {
        dispatcher::Parts {
            store,
            notifiers: self.notifiers.clone().unwrap_or_else(|| notifiers_of(&self.settings, &clock)),
            clock,
            public_url: self.settings.public_url.as_ref().map(ToString::to_string),
            standing: Standing::default(),
        }
    }

    fn state(&self, parts: &dispatcher::Parts, kinds: KindRegistry) -> AppState {
        AppState::new(api::Parts {
            store: parts.store.clone(),
            kinds,
            notifiers: parts.notifiers.clone(),
            clock: parts.clock.clone(),
            random: Arc::new(SystemRandom),
            tester: Arc::new(Tester::new(parts.clone())),
            limits: self.settings.limits.clone(),
            public_url: parts.public_url.clone(),
        })
    }

    /// The routes, and what they work with.
    fn router(&self, parts: &dispatcher::Parts, kinds: KindRegistry, vitals: &Vitals) -> (Router, AppState) {
        let state = self.state(parts, kinds);
        let metrics = Metrics {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            token: self.settings.metrics_token.clone(),
            live: Some(Live {
                counters: state.counters().clone(),
                standing: parts.standing.clone(),
                outlook: vitals.outlook.clone(),
            }),
        };
        let counters = state.counters().clone();
        let dashboard = Dashboard::new(state.clone(), parts.public_url.clone());
        let pages = dashboard::router(dashboard)
            .merge(health::router(vitals.clone()))
            .merge(metrics::router(metrics))
            .layer(CatchPanicLayer::custom(of_panic));
        let routes = api::router(state.clone()).merge(pages).fallback(no_such_path);
        let counted = axum::middleware::map_response(move |response: Response| {
            counters.answered(response.status());
            std::future::ready(response)
        });
        (routes.layer(counted), state)
    }

    async fn doors(self, tls: Option<Arc<Tls>>) -> Result<Doors, ServerError> {
        let mut listeners = self.listeners;
        let addresses =
            if self.listen.is_empty() && listeners.is_empty() { self.settings.listen } else { self.listen };
        for address in addresses {
            let bound = TcpListener::bind(address).await;
            listeners.push(bound.map_err(|source| ServerError::Listen { address, source })?);
        }
        let http = HttpSettings {
            limits: self.settings.limits,
            trusted_proxies: self.settings.trusted_proxies,
            tls,
            ..HttpSettings::default()
        };
        Ok(Doors { listeners, plain: self.plain, http })
    }
}

/// The stock notifiers; programs run only as the settings allow.
fn notifiers_of(settings: &Settings, clock: &Arc<dyn Clock>) -> NotifierRegistry {
    let exec = Exec::allowing(settings.exec_allow.iter().cloned());
    stock_notifiers(outbound_of(settings), Arc::clone(clock)).with(exec)
}

/// Where requests of the server itself may go: its notifiers', and its embedded agent's.
fn outbound_of(settings: &Settings) -> OutboundPolicy {
    match settings.outbound {
        Outbound::Private => OutboundPolicy::default(),
        Outbound::Public => OutboundPolicy::public_only(),
    }
}

/// The stock kinds, whose checks go no further than the policy allows.
fn kinds_within(outbound: OutboundPolicy) -> KindRegistry {
    let reach = Reach::limited(move |address| outbound.judge(address).map_err(|refusal| refusal.to_string()));
    stock_kinds(StockOptions { reach, ..StockOptions::default() })
}

/// The tokens that the settings name are there, with the texts that they name.
async fn ensure_tokens(store: &dyn Store, settings: &Settings, clock: &dyn Clock) -> Result<(), ServerError> {
    let named = [
        ("env-admin", Role::Admin, &settings.admin_token),
        ("env-enroll", Role::Enroll, &settings.enroll_token),
    ];
    for (name, role, secret) in named {
        if let Some(secret) = secret {
            tokens::ensure(store, name, role, &secret.expose().into(), None, clock.now()).await?;
        }
    }
    Ok(())
}

async fn local_agent_of(
    parts: &dispatcher::Parts,
    router: Router,
    kinds: KindRegistry,
    vitals: Vitals,
) -> Result<Agent, ServerError> {
    let token = tokens::fresh(&SystemRandom).map_err(tokens::TokenError::from)?;
    let now = parts.clock.now();
    Ok(local_agent::set_up(parts.store.as_ref(), router, kinds, vitals, &token, now).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::{CheckContext, Millis, Status, Timestamp};

    #[tokio::test]
    async fn checks_of_the_server_go_no_further_than_its_own_requests() {
        let kinds = kinds_within(OutboundPolicy::default());
        for (kind, params) in [
            ("http", serde_json::json!({"url": "http://169.254.169.254/latest/meta-data/"})),
            ("tcp", serde_json::json!({"host": "::ffff:169.254.169.254", "port": 80})),
        ] {
            let check = kinds.build(kind, &params).unwrap();
            let context = CheckContext::new(kind, Millis::from_secs(5), Timestamp::EPOCH);
            let result = check.run(&context).await;
            assert_eq!(result.status, Some(Status::Unknown), "{}", result.output);
            assert!(result.output.contains("169.254.169.254"), "{}", result.output);
        }
    }
}
