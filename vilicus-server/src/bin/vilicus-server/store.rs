//! Opens the store, and the `store` commands.

use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use vilicus_core::result::error_chain;
use vilicus_server::Settings;
use vilicus_server::api::{Random as _, SystemRandom};
use vilicus_server::clock::{Clock as _, SystemClock};
use vilicus_server::metrics::Metrics;
use vilicus_server::progress::Progress;
use vilicus_server::settings::{ServerSecret, StoreUrl};
use vilicus_store::query::{CheckFilter, HistoryQuery, Order, Page};
use vilicus_store::{Options, Store, StoreError};

use crate::access::Running;
use crate::args::DataArgs;
use crate::exit::Failure;
use crate::files;

/// Opens the store; makes the data directory, for this user alone, when it is not there.
pub(crate) async fn open(settings: &Settings) -> Result<Arc<dyn Store>, Failure> {
    if let StoreUrl::Sled(dir) = &settings.store {
        make_dir(dir)?;
    }
    let mut instance = [0; 16];
    SystemRandom.fill(&mut instance).map_err(|error| Failure::because("cannot name the store", &error))?;
    let mut options = Options::new(SystemClock::new().now(), instance).durability(settings.durability.into());
    if let Some(span) = settings.keep_results {
        options = options.keep_results(span);
    }
    if let Some(span) = settings.keep_rollups {
        options = options.keep_rollups(span);
    }
    let address = settings.store.to_string();
    // Reading the journal back takes a while, and blocks.
    let opened = tokio::task::spawn_blocking(move || vilicus_store::url::open(&address, options)).await;
    let opened =
        opened.map_err(|error| Failure::because("the store panicked while it was opened", &error))?;
    opened.map_err(|error| Failure::store(error_chain(&error)))
}

/// Opens a store that is there already.
pub(crate) async fn open_existing(settings: &Settings) -> Result<Arc<dyn Store>, Failure> {
    match files::data_dir(&settings.store) {
        Some(dir) if !dir.is_dir() => {
            let dir = dir.display();
            Err(Failure::store(format!(
                "there is no data directory {dir}; name another with --store sled:DIR"
            )))
        }
        _ => open(settings).await,
    }
}

/// Closes the store, and says when that does not end well.
pub(crate) async fn close(store: &dyn Store) -> Result<(), Failure> {
    store.close().await.map_err(|error| Failure::store(error_chain(&error)))
}

/// Makes the data directory, for this user alone.
pub(crate) fn make_dir(dir: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| Failure::store(format!("cannot make the data directory {}: {error}", dir.display())))
}

/// `store info`: how much there is of everything.
pub(crate) async fn info(data: &DataArgs) -> Result<(), Failure> {
    let settings = files::settings(data)?;
    let text = match Running::find(&settings).await? {
        Some(server) => {
            let token = settings.metrics_token.as_ref();
            server.metrics(token.map(ServerSecret::expose)).await?
        }
        None => {
            let store = open_existing(&settings).await?;
            let clock = Arc::new(SystemClock::new());
            let metrics = Metrics { store: store.clone(), clock, token: None, live: None };
            let text = metrics.text().await;
            close(store.as_ref()).await?;
            text.map_err(|error| Failure::store(error_chain(&error)))?
        }
    };
    let known = ["vilicus_agents", "vilicus_checks", "vilicus_outbox_waiting", "vilicus_store"];
    let mut out = std::io::stdout();
    for line in text.lines().filter(|line| known.iter().any(|name| line.starts_with(name))) {
        // A closed pipe is the reader's choice.
        let _ = writeln!(out, "{}", line.trim_start_matches("vilicus_"));
    }
    Ok(())
}

/// `store verify`: reads everything back.
pub(crate) async fn verify(data: &DataArgs) -> Result<(), Failure> {
    let settings = files::settings(data)?;
    if Running::find(&settings).await?.is_some() {
        return Err(Failure::new("a server runs on this store; stop it first, or look at its /metrics"));
    }
    let store = open_existing(&settings).await?;
    let read = read_everything(store.as_ref()).await;
    let quarantined = store.health().await.quarantined;
    close(store.as_ref()).await?;
    let (checks, results) = read.map_err(|error| Failure::store(error_chain(&error)))?;
    if quarantined > 0 {
        return Err(Failure::store(format!(
            "{quarantined} records cannot be read and were set aside; what is left works; a backup may hold them"
        )));
    }
    let _ = writeln!(std::io::stdout(), "{checks} checks and {results} results were read; nothing is broken");
    Ok(())
}

/// Reads every check and every result, page by page, and says how many there are.
async fn read_everything(store: &dyn Store) -> Result<(usize, usize), StoreError> {
    let checks = store.checks(&CheckFilter::default(), Page::ALL).await?.objects;
    let mut results = 0;
    let progress = Progress::steps("verify", checks.len());
    for view in &checks {
        progress.add(1);
        let mut query = HistoryQuery {
            check: view.check.id,
            since: None,
            until: None,
            order: Order::NewestFirst,
            limit: 10_000,
        };
        loop {
            let rows = store.history(&query).await?;
            results += rows.len();
            match rows.last() {
                Some(oldest) if rows.len() == query.limit => query.until = Some(oldest.timestamp),
                _ => break,
            }
        }
    }
    Ok((checks.len(), results))
}
