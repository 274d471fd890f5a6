//! How a command reaches the data: over the API of a server that runs, or in the store itself when none does.
//!
//! The running server leaves its address and a token in the data directory, for its own user alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use reqwest::{Client, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use vilicus_server::Settings;
use vilicus_server::outbound::OutboundPolicy;
use vilicus_store::Store;

use crate::exit::Failure;
use crate::{files, store};

/// The token of the command line.
const TOKEN: &str = "local.token";
/// Where that token can be used; and on a second line, where people find the dashboard.
const URL: &str = "local.url";
/// A backup takes no longer.
const BACKUP_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// The files that let the command line in; they go when the server ends.
#[derive(Debug)]
pub(crate) struct Door {
    data: PathBuf,
}

impl Door {
    /// Writes them down, readable by this user alone.
    pub(crate) fn open(data: &Path, url: &str, dashboard: &str, token: &SecretString) -> io::Result<Self> {
        write(&data.join(TOKEN), token.expose_secret())?;
        write(&data.join(URL), &format!("{url}\n{dashboard}\n"))?;
        Ok(Self { data: data.to_owned() })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        for name in [URL, TOKEN] {
            if let Err(error) = fs::remove_file(self.data.join(name)) {
                tracing::warn!(%error, name, "a file in the data directory cannot be removed");
            }
        }
    }
}

/// Writes a file anew, so that no other mode or owner of an old one stays.
fn write(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// The way to the data.
pub(crate) enum Access {
    /// A server runs.
    Running(Running),
    /// None does: this is its store.
    Alone(Arc<dyn Store>),
}

/// A server that runs.
pub(crate) struct Running {
    client: Client,
    url: String,
    dashboard: String,
    token: SecretString,
}

impl Access {
    /// Finds the way.
    pub(crate) async fn find(settings: &Settings) -> Result<Self, Failure> {
        match Running::find(settings).await? {
            Some(running) => Ok(Self::Running(running)),
            None => Ok(Self::Alone(store::open_existing(settings).await?)),
        }
    }
}

impl Running {
    /// The server that runs on this data directory, if one does.
    pub(crate) async fn find(settings: &Settings) -> Result<Option<Self>, Failure> {
        let Some(data) = files::data_dir(&settings.store) else {
            return Err(Failure::new("a store in memory is gone with its server; name another with --store"));
        };
        let (Ok(urls), Ok(token)) =
            (fs::read_to_string(data.join(URL)), fs::read_to_string(data.join(TOKEN)))
        else {
            return Ok(None);
        };
        let Some((url, dashboard)) = urls.trim().split_once('\n') else {
            return Ok(None);
        };
        let client = OutboundPolicy::default().http_client();
        let client = client.map_err(|error| Failure::because("cannot speak HTTP", &error))?;
        let (url, dashboard) = (url.to_owned(), dashboard.to_owned());
        let running = Self { client, url, dashboard, token: token.into() };
        // What a server left that was killed leads nowhere, or to somebody else.
        let answers = running.client.get(format!("{}/healthz", running.url)).send().await;
        Ok(answers.is_ok_and(|answer| answer.status() == StatusCode::OK).then_some(running))
    }

    /// Where people find the dashboard, without a slash at the end.
    pub(crate) fn dashboard(&self) -> &str {
        &self.dashboard
    }

    /// Asks, and returns what a good answer says.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        request = request.bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable =
            |error: reqwest::Error| Failure::because("the server does not answer", &error.without_url());
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let body: Value = answer.json().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(body);
        }
        Err(refused(status, &body))
    }

    /// A backup, piece by piece.
    pub(crate) async fn backup(&self) -> Result<impl Stream<Item = reqwest::Result<Bytes>> + use<>, Failure> {
        let failed =
            |error: reqwest::Error| Failure::because("the server does not answer", &error.without_url());
        let request = self.client.get(format!("{}/api/v1/backup/", self.url)).timeout(BACKUP_TIMEOUT);
        let answer = request.bearer_auth(self.token.expose_secret()).send().await.map_err(failed)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.bytes_stream());
        }
        let body: Value = answer.json().await.map_err(failed)?;
        Err(refused(status, &body))
    }

    /// The server's `/metrics`.
    pub(crate) async fn metrics(&self, token: Option<&str>) -> Result<String, Failure> {
        let mut request = self.client.get(format!("{}/metrics", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        let failed =
            |error: reqwest::Error| Failure::because("the server does not answer", &error.without_url());
        answer.map_err(failed)?.text().await.map_err(failed)
    }
}

fn refused(status: StatusCode, body: &Value) -> Failure {
    let detail = body.get("detail").and_then(Value::as_str).unwrap_or("no reason is given");
    Failure::new(format!("the server refuses ({status}): {detail}"))
}
