//! `events`: what happened, the oldest first; with `-f` also what happens, without loss when the connection breaks.

use std::time::Duration;

use serde_json::Value;

use crate::args::EventsArgs;
use crate::client::{Client, EventStream, encoded};
use crate::exit::Failure;
use crate::print;
use crate::words::text;

/// After a stream ended, as when the server is started again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Shows them, and goes on if asked to.
pub(crate) async fn run(client: &Client, asked: &EventsArgs) -> Result<(), Failure> {
    let filter = filter(asked);
    // The newest is looked at even when none is shown: what comes after it is new.
    let events = client.list(&format!("/api/v1/event/{filter}"), asked.limit.max(1)).await?;
    let mut last = events.first().and_then(|event| event["id"].as_u64()).unwrap_or(0);
    for event in events.iter().take(asked.limit).rev() {
        show(event)?;
    }
    if !asked.follow {
        return Ok(());
    }
    let path = format!("/api/v1/event/stream/{filter}");
    let mut stream = client.stream(&path, last).await?;
    loop {
        if let Err(failure) = follow(&mut stream, &mut last).await {
            failure.report();
        }
        stream = again(client, &path, last).await?;
    }
}

/// Shows events until the stream ends.
async fn follow(stream: &mut EventStream, last: &mut u64) -> Result<(), Failure> {
    while let Some(data) = stream.next().await? {
        let event: Value = serde_json::from_str(&data)
            .map_err(|error| Failure::because("the server sent an event that is none", &error))?;
        *last = event["id"].as_u64().unwrap_or(*last);
        show(&event)?;
    }
    Ok(())
}

/// Comes back to a server that may be away for a while; what it refuses, it refuses for good.
async fn again(client: &Client, path: &str, last: u64) -> Result<EventStream, Failure> {
    loop {
        tokio::time::sleep(AGAIN_AFTER).await;
        match client.stream(path, last).await {
            Err(failure) if failure.is_passing() => failure.report(),
            outcome => return outcome,
        };
    }
}

fn show(event: &Value) -> Result<(), Failure> {
    print::write(&format!(
        "{}  {:<14}  {}\n",
        text(&event["at"]),
        text(&event["type"]),
        text(&event["summary"])
    ))
}

fn filter(asked: &EventsArgs) -> String {
    let given = [("agent", &asked.agent), ("check", &asked.check), ("type", &asked.kind)];
    let given =
        given.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", encoded(value.as_ref()?))));
    let given: Vec<String> = given.collect();
    if given.is_empty() { String::new() } else { format!("?{}", given.join("&")) }
}
