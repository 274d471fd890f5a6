//! How do I tell people in a way of my own? One trait with one method, one kind with typed parameters, one line to
//! register it: then it is a channel like any other, with retries, order and an outbox that survives a crash.
//!
//! `cargo run -p vilicus-examples --example custom_notifier` makes the server's part by hand and sends one message.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use vilicus_core::{
    Notification, Notifier, NotifierKind, NotifierRegistry, NotifyError, ParamsError, Receipt, Timestamp,
    async_trait,
};

/// Appends one line a message to a file.
#[derive(Debug)]
struct Logbook {
    path: PathBuf,
}

#[async_trait]
impl Notifier for Logbook {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let line = format!("{} {}\n", notification.key, notification.title());
        let write = async {
            let mut file = tokio::fs::OpenOptions::new().create(true).append(true).open(&self.path).await?;
            file.write_all(line.as_bytes()).await?;
            file.sync_data().await
        };
        match write.await {
            Ok(()) => Ok(Receipt::new("written")),
            // Nothing passes before someone mends the path: the channel pauses, its fallback hears of it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(NotifyError::channel("the folder of the logbook does not exist").source(error))
            }
            Err(error) => Err(NotifyError::retry("the logbook cannot be written now").source(error)),
        }
    }
}

/// What operators write to make such a channel.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct LogbookParams {
    /// The file that lines are appended to; an absolute path.
    path: PathBuf,
}

#[derive(Debug)]
struct LogbookKind;

impl NotifierKind for LogbookKind {
    type Params = LogbookParams;

    fn name(&self) -> &'static str {
        "logbook"
    }

    fn description(&self) -> &'static str {
        "appends one line a message to a file"
    }

    fn secrets(&self) -> &'static [&'static str] {
        &[]
    }

    fn build(&self, params: LogbookParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        if !params.path.is_absolute() {
            return Err(ParamsError::new("path", "the path must be absolute, as /var/log/vilicus.log"));
        }
        Ok(Arc::new(Logbook { path: params.path }))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("logbook-{}.txt", std::process::id()));

    // A server takes the registry with `Server::builder().notifiers(…)`; see the example `embedded_server`.
    let notifiers = NotifierRegistry::new().with(LogbookKind);
    let notifier = notifiers.build("logbook", &serde_json::json!({ "path": path }))?;
    let receipt = notifier.notify(&Notification::test("first", Timestamp::EPOCH)).await?;

    println!("{}: {}", receipt.detail, std::fs::read_to_string(&path)?.trim_end());
    std::fs::remove_file(&path)?;
    Ok(())
}
