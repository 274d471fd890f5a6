//! How does a whole server run inside an app? The parts are handed in: listener, store, kinds, notifiers, the moment
//! to stop. This one keeps everything in memory, watches its own host, and has a notifier of its own beside the stock.
//!
//! `cargo run -p vilicus-examples --example embedded_server`, then open the printed link; the end of its input
//! stops it. Another address can be given as the first argument.
#![expect(clippy::print_stdout, reason = "this app tells people by printing")]

use std::sync::Arc;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use vilicus_core::{Notification, Notifier, NotifierKind, NotifyError, ParamsError, Receipt, async_trait};
use vilicus_server::api::{Random as _, SystemRandom};
use vilicus_server::notifiers::stock_notifiers;
use vilicus_server::outbound::OutboundPolicy;
use vilicus_server::{Clock, Server, SystemClock, tokens};
use vilicus_store::{Options, url};

/// Tells people by printing.
#[derive(Debug)]
struct Console;

/// Parameters of the console: it needs none.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct ConsoleParams {}

#[async_trait]
impl Notifier for Console {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        println!("{}", notification.title());
        Ok(Receipt::new("printed"))
    }
}

impl NotifierKind for Console {
    type Params = ConsoleParams;

    fn name(&self) -> &'static str {
        "console"
    }

    fn description(&self) -> &'static str {
        "prints titles"
    }

    fn secrets(&self) -> &'static [&'static str] {
        &[]
    }

    fn build(&self, _: ConsoleParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        Ok(Arc::new(Self))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut instance = [0; 16];
    SystemRandom.fill(&mut instance)?;
    let store = url::open("memory:", Options::new(clock.now(), instance))?;
    let notifiers = stock_notifiers(OutboundPolicy::default(), Arc::clone(&clock)).with(Console);

    let server = Server::builder()
        .listener(TcpListener::bind(address).await?)
        .store(Arc::clone(&store))
        .notifiers(notifiers)
        .clock(Arc::clone(&clock))
        .local_agent(true)
        .build()
        .await?;
    let login = tokens::login_link(store.as_ref(), &SystemRandom, "embedded_server", clock.now()).await?;
    println!("http://{}{login}", server.addresses()[0]);

    let end_of_input = async {
        let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    };
    server.run(end_of_input).await?;
    Ok(())
}
