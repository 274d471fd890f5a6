//! `token`: makes tokens, and takes them back.

use reqwest::Method;
use serde_json::json;
use vilicus_server::clock::{Clock as _, SystemClock};

use crate::args::{Resource, TokenCommand};
use crate::client::Client;
use crate::exit::Failure;
use crate::get::path_of;
use crate::print;

/// Does what is asked. Of a new token only the text goes to standard output, so that it can be kept in a file.
pub(crate) async fn run(client: &Client, command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create { name, role, expires, uses, tag, template, needs_approval } => {
            let mut body = json!({"name": name, "role": role, "tags": tag, "templates": template, "needs_approval": needs_approval});
            if let Some(span) = expires {
                body["expires_at"] = SystemClock::new().now().after(span).to_string().into();
            }
            if let Some(uses) = uses {
                body["uses"] = uses.into();
            }
            let made = client.ask(Method::POST, "/api/v1/token/", Some(&body)).await?;
            let token = made["token"].as_str();
            let token = token.ok_or_else(|| Failure::new("the server made a token without a text"))?;
            eprintln!("this is shown once; undo: vilicusctl token revoke {name}");
            print::write(&format!("{token}\n"))
        }
        TokenCommand::Revoke { name } => {
            client.ask(Method::DELETE, &path_of(Resource::Tokens, &name), None).await?;
            print::write(&format!("{name} is revoked\n"))
        }
    }
}

/// Lets an agent in: its token waits no longer.
pub(crate) async fn approve(client: &Client, agent: &str) -> Result<(), Failure> {
    let known = client.get(&path_of(Resource::Agents, agent)).await?;
    let uri = &known["resource_uri"];
    let tokens = client.list("/api/v1/token/", usize::MAX).await?;
    let waiting: Vec<&str> = tokens
        .iter()
        .filter(|token| token["agent"] == *uri && token["needs_approval"] == true)
        .filter_map(|token| token["resource_uri"].as_str())
        .collect();
    if waiting.is_empty() {
        return Err(Failure::new(format!("{agent} does not wait to be let in")));
    }
    for token in waiting {
        client.ask(Method::PATCH, token, Some(&json!({"needs_approval": false}))).await?;
    }
    print::write(&format!("{agent} is let in; undo: vilicusctl get tokens, vilicusctl token revoke NAME\n"))
}
