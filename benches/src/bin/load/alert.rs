//! From a bad result to the message about it, on a running server: one at a time, and a storm.
#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::time::Duration;

use serde_json::json;
use vilicus_benches::Failure;
use vilicus_benches::alarm::{Setup, Tokens};
use vilicus_benches::connection::Server;

use crate::args::{AlertArgs, LatencyArgs, StormArgs};

pub(crate) fn latency(args: &LatencyArgs) -> Result<(), Failure> {
    let summary = runtime()?.block_on(async {
        let mut setup = setup(&args.alert, 1).await?;
        let summary = setup.one_by_one(args.count).await?;
        setup.remove().await?;
        Ok::<_, Failure>(summary)
    })?;
    if args.alert.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        println!("result sent → message received, {} times: {summary}", summary.count);
    }
    Ok(())
}

pub(crate) fn storm(args: &StormArgs) -> Result<(), Failure> {
    let (each, grouped) = runtime()?.block_on(async {
        let mut setup = setup(&args.alert, args.checks).await?;
        let each = setup.storm().await?;
        let grouped = setup.grouped_storm().await?;
        setup.remove().await?;
        Ok::<_, Failure>((each, grouped))
    })?;
    let ms = |took: Duration| took.as_secs_f64() * 1000.0;
    if args.alert.json {
        let told = json!({"checks": args.checks, "each_ms": ms(each.took), "grouped_ms": ms(grouped.took),
            "each_messages": each.messages, "grouped_messages": grouped.messages});
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        println!("{} checks fail at once, all told:", args.checks);
        println!("without a route  {:>8.1} ms in {} messages", ms(each.took), each.messages);
        println!("grouped to one   {:>8.1} ms in {} messages", ms(grouped.took), grouped.messages);
    }
    Ok(())
}

async fn setup(args: &AlertArgs, checks: usize) -> Result<Setup, Failure> {
    let server = Server::new(&args.server.url, args.server.ca_file.as_deref())?;
    let tokens = Tokens { admin: &args.admin_token, enroll: &args.enroll_token };
    Setup::new(&server, tokens, checks).await
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
