//! `login-link`: a way in for an admin who is locked out. Whoever may read the data directory may do this.

use std::io::Write as _;

use reqwest::Method;
use vilicus_server::api::SystemRandom;
use vilicus_server::clock::{Clock as _, SystemClock};
use vilicus_server::settings::Settings;
use vilicus_server::tokens;

use crate::access::Access;
use crate::args::DataArgs;
use crate::exit::Failure;
use crate::{files, store};

/// Prints the link.
pub(crate) async fn run(data: &DataArgs) -> Result<(), Failure> {
    let settings = files::settings(data)?;
    let link = match Access::find(&settings).await? {
        Access::Running(server) => {
            let answer = server.ask(Method::POST, "/login/link", None).await?;
            let path = answer.get("path").and_then(|path| path.as_str());
            let path = path.ok_or_else(|| {
                Failure::new("the server answered without a link; is it of another version?")
            })?;
            format!("{}{path}", server.dashboard())
        }
        Access::Alone(opened) => {
            let now = SystemClock::new().now();
            let path = tokens::login_link(opened.as_ref(), &SystemRandom, tokens::LOCAL_TOKEN, now).await;
            store::close(opened.as_ref()).await?;
            let path = path.map_err(|error| Failure::because("cannot make a login link", &error))?;
            eprintln!("No server runs on this data directory; start it, then open the link.");
            format!("{}{path}", address(&settings))
        }
    };
    writeln!(std::io::stdout(), "{link}").map_err(|error| Failure::because("cannot print the link", &error))
}

/// The address that the server will have, as far as the settings tell.
fn address(settings: &Settings) -> String {
    if let Some(url) = &settings.public_url {
        return url.as_str().trim_end_matches('/').to_owned();
    }
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    settings.listen.first().map_or_else(String::new, |address| format!("{scheme}://{address}"))
}
