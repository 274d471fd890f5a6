//! How does an app watch itself? It brings a check of its own, judges it here, tells a notifier, and answers
//! `/healthz`. With a server's address and an agent's token it shows up there beside every other host.
//!
//! `cargo run -p vilicus-examples --example embedded_agent`, then type how many jobs wait: `5000`, and later `3`.
//! `VILICUS_SERVER=http://127.0.0.1:8080 VILICUS_TOKEN=vil_… cargo run -p vilicus-examples --example embedded_agent`
//! reports as well. The address of `/healthz` can be given as the first argument.
#![expect(clippy::print_stdout, reason = "this app tells people by printing")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use vilicus_agent::{Agent, HttpOptions, HttpTransport, OwnCheck};
use vilicus_core::{Metric, Millis, Notification, Notifier, NotifyError, Receipt, async_trait, check};

/// Tells people by printing.
#[derive(Debug)]
struct Console;

#[async_trait]
impl Notifier for Console {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        println!("{}", notification.title());
        Ok(Receipt::new("printed"))
    }
}

/// The app itself: a queue of jobs, here as long as the last number that was typed.
#[derive(Debug, Default)]
struct Queue {
    waiting: AtomicU32,
}

impl Queue {
    async fn work(&self) -> std::io::Result<()> {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            if let Ok(waiting) = line.trim().parse() {
                self.waiting.store(waiting, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9090".to_owned()).parse()?;
    let queue = Arc::new(Queue::default());

    let watched = Arc::clone(&queue);
    let waiting = move || {
        let waiting = f64::from(watched.waiting.load(Ordering::Relaxed));
        async move { Metric::new("waiting", waiting) }
    };
    let jobs = OwnCheck::new("jobs", check::from_fn(waiting))
        .every(Millis::from_secs(1))
        .max_attempts(2)
        .critical("waiting", "1000".parse()?);

    let mut agent = Agent::builder().own_check(jobs).notifier(Console).healthz(address);
    if let (Ok(server), Ok(token)) = (std::env::var("VILICUS_SERVER"), std::env::var("VILICUS_TOKEN")) {
        agent = agent.transport(HttpTransport::new(&server, &token.into(), HttpOptions::default())?);
    }
    agent.build()?.run(async { queue.work().await.unwrap_or_default() }).await?;
    Ok(())
}
