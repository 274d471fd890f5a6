//! What is done to one check or channel: acknowledge, run now, explain, test.

use reqwest::Method;
use serde_json::json;
use vilicus_server::clock::{Clock as _, SystemClock};

use crate::args::{AckArgs, Resource};
use crate::client::Client;
use crate::exit::Failure;
use crate::get::path_of;
use crate::print;
use crate::words::text;

/// Acknowledges a problem, or takes that back; and says how to undo it.
pub(crate) async fn acknowledge(client: &Client, asked: &AckArgs) -> Result<(), Failure> {
    let check = &asked.check;
    let path = format!("{}acknowledge/", path_of(Resource::Checks, check));
    if asked.remove {
        client.ask(Method::DELETE, &path, None).await?;
        return print::write(&format!("{check} is not acknowledged any more\n"));
    }
    let mut body = json!({"comment": asked.comment, "sticky": asked.sticky, "public": asked.public});
    if let Some(span) = asked.span {
        body["expires_at"] = SystemClock::new().now().after(span).to_string().into();
    }
    client.ask(Method::POST, &path, Some(&body)).await?;
    print::write(&format!("{check} is acknowledged; undo: vilicusctl ack --remove {check}\n"))
}

/// Asks for a run now.
pub(crate) async fn run_now(client: &Client, check: &str) -> Result<(), Failure> {
    let path = format!("{}run/", path_of(Resource::Checks, check));
    client.ask(Method::POST, &path, Some(&json!({}))).await?;
    print::write(&format!("{check} will run at its agent's next contact\n"))
}

/// Says why people were told, or not.
pub(crate) async fn explain(client: &Client, check: &str) -> Result<(), Failure> {
    let told = client.get(&format!("{}explain/", path_of(Resource::Checks, check))).await?;
    let mut out = format!("{}\n", text(&told["verdict"]));
    for gate in told["gates"].as_array().into_iter().flatten() {
        let mark = if gate["passed"] == true { "passed" } else { "held" };
        out += &format!("  {mark:<6}  {:<20}  {}\n", text(&gate["gate"]), text(&gate["why"]));
    }
    let next = &told["next"];
    if !next.is_null() {
        out += &format!("next: {} at {}\n", text(&next["reason"]), text(&next["at"]));
    }
    print::write(&out)
}

/// Sends a test through a channel; one that is not delivered is a failure.
pub(crate) async fn test_channel(client: &Client, channel: &str) -> Result<(), Failure> {
    let path = format!("{}test/", path_of(Resource::Channels, channel));
    let answer = client.ask(Method::POST, &path, Some(&json!({}))).await?;
    let (detail, took) = (text(&answer["detail"]), text(&answer["latency_ms"]));
    if answer["delivered"] != true {
        return Err(Failure::new(format!("{channel} did not deliver, after {took} ms: {detail}")));
    }
    print::write(&format!("{channel} delivered in {took} ms: {detail}\n"))
}
