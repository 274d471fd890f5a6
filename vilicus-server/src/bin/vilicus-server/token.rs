//! `token create`: makes a token and prints it, this once.

use std::io::Write as _;

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use vilicus_core::Timestamp;
use vilicus_server::api::{self, SystemRandom};
use vilicus_server::clock::{Clock as _, SystemClock};
use vilicus_server::tokens;
use vilicus_store::inventory::{Role, Token};
use vilicus_store::{Change, Input, Store};

use crate::access::{Access, Running};
use crate::args::TokenArgs;
use crate::exit::Failure;
use crate::{files, store};

/// Makes a token and prints its text.
pub(crate) async fn create(args: TokenArgs) -> Result<(), Failure> {
    if args.uses.is_some() && Role::from(args.role) != Role::Enroll {
        return Err(Failure::usage("only tokens of the role enroll count their uses; leave --uses out"));
    }
    let settings = files::settings(&args.data)?;
    let now = SystemClock::new().now();
    let name = args.name.clone().unwrap_or_else(|| format!("{}-{}", Role::from(args.role), now.as_millis()));
    let text = match Access::find(&settings).await? {
        Access::Running(server) => ask(&server, &args, &name, now).await?,
        Access::Alone(opened) => {
            let made = make(opened.as_ref(), &args, &name, now).await;
            store::close(opened.as_ref()).await?;
            made?
        }
    };
    writeln!(std::io::stdout(), "{}", text.expose_secret())
        .map_err(|error| Failure::because("cannot print the token", &error))
}

async fn ask(
    server: &Running,
    args: &TokenArgs,
    name: &str,
    now: Timestamp,
) -> Result<SecretString, Failure> {
    let mut body = json!({ "name": name, "role": Role::from(args.role), "ephemeral": args.ephemeral });
    if let Some(span) = args.expires {
        body["expires_at"] = json!(now.after(span));
    }
    if let Some(uses) = args.uses {
        body["uses"] = json!(uses);
    }
    let answer = server.ask(Method::POST, "/api/v1/token/", Some(&body)).await?;
    let text = answer.get("token").and_then(Value::as_str);
    text.map(SecretString::from)
        .ok_or_else(|| Failure::new("the server answered without a token; is it of another version?"))
}

async fn make(
    store: &dyn Store,
    args: &TokenArgs,
    name: &str,
    now: Timestamp,
) -> Result<SecretString, Failure> {
    let text =
        tokens::fresh(&SystemRandom).map_err(|error| Failure::because("cannot make a token", &error))?;
    let token = Token {
        expires_at: args.expires.map(|span| now.after(span)),
        uses: args.uses,
        ephemeral: args.ephemeral,
        ..api::new_token(name.to_owned(), args.role.into(), &text, now)
    };
    let change = Change::CreateToken(Box::new(token));
    let input = Input::Change { change, by: tokens::LOCAL_TOKEN.to_owned() };
    store
        .commit(now, vec![input])
        .await
        .map_err(|error| Failure::because("cannot store the token", &error))?;
    Ok(text)
}
