//! `downtime`: planned maintenance, also for as long as a command runs.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use vilicus_core::Millis;
use vilicus_server::clock::{Clock as _, SystemClock};

use crate::args::{DowntimeCommand, GetArgs, Output, Resource};
use crate::client::Client;
use crate::exit::Failure;
use crate::{get, print};

/// Does what is asked.
pub(crate) async fn run(client: &Client, command: DowntimeCommand) -> Result<ExitCode, Failure> {
    match command {
        DowntimeCommand::Add { matchers, span, comment } => {
            let id = begin(client, &matchers, span, &comment).await?;
            print::write(&format!("downtime {id} for {span}; undo: vilicusctl downtime remove {id}\n"))?;
        }
        DowntimeCommand::List => {
            let asked = GetArgs {
                resource: Resource::Downtimes,
                name: None,
                output: Output::Table,
                agent: None,
                status: None,
                tag: None,
                limit: usize::MAX,
            };
            get::run(client, &asked).await?;
        }
        DowntimeCommand::Remove { id } => {
            end(client, id).await?;
            print::write(&format!("downtime {id} is over\n"))?;
        }
        DowntimeCommand::Run { matchers, at_most, command } => {
            return during(client, &matchers, at_most, &command).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn begin(client: &Client, matchers: &[String], span: Millis, comment: &str) -> Result<u64, Failure> {
    // Without a start it begins now, by the server's clock.
    let end = SystemClock::new().now().after(span).to_string();
    let body = json!({"match": matchers, "end": end, "comment": comment});
    let made = client.ask(Method::POST, "/api/v1/downtime/", Some(&body)).await?;
    made["id"].as_u64().ok_or_else(|| Failure::new("the server made a downtime without an id"))
}

async fn end(client: &Client, id: u64) -> Result<(), Failure> {
    client.ask(Method::DELETE, &get::path_of(Resource::Downtimes, &id.to_string()), None).await.map(drop)
}

/// Runs a command in a downtime of its own; the downtime ends whether the command went well or not.
async fn during(
    client: &Client,
    matchers: &[String],
    at_most: Millis,
    command: &[String],
) -> Result<ExitCode, Failure> {
    let [program, arguments @ ..] = command else {
        return Err(Failure::new("say the command after --, as in: -- ./deploy.sh"));
    };
    let id = begin(client, matchers, at_most, &command.join(" ")).await?;
    let status = outcome(tokio::process::Command::new(program).args(arguments)).await;
    // The command's own outcome is told even when the downtime can't be ended.
    if let Err(failure) = end(client, id).await {
        eprintln!("downtime {id} is not ended; it ends by itself after {at_most}");
        failure.report();
    }
    let status = status.map_err(|error| Failure::because(&format!("cannot run {program}"), &error))?;
    // As shells say it: 128 and the signal.
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Runs a command to its end. An interrupt reaches the command from the terminal, and a request to end is passed on;
/// neither ends this program, for the downtime would outlive it.
async fn outcome(command: &mut tokio::process::Command) -> io::Result<ExitStatus> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut child = command.spawn()?;
    loop {
        tokio::select! {
            status = child.wait() => return status,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {
                let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
                id.map_or(Ok(()), |id| kill_process(id, Signal::TERM))?;
            }
        }
    }
}
