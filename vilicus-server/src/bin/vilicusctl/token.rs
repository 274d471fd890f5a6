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
        TokenCommand::Create { name, role, expires, uses } => {
            let mut body = json!({"name": name, "role": role});
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
