//! Speaks with the server, and turns what it refuses into sentences.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;
use vilicus_server::outbound::OutboundPolicy;
use vilicus_server::settings::SecretSource;

use crate::args::ServerArgs;
use crate::exit::Failure;
use crate::login::{self, Login};

/// Where a server is when nobody says so.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:8080";
/// A stream lasts at most so long; then it is begun anew where it was.
const STREAM_TIMEOUT: Duration = Duration::from_secs(3600);
/// An answer that may be long ends within this.
const LONG_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// The most objects of one answer.
const PAGE: usize = 1000;

/// A server, and who asks it.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    token: SecretString,
}

impl Client {
    /// The server that is named, or that was logged in to.
    pub(crate) fn new(server: &ServerArgs) -> Result<Self, Failure> {
        let environment = |name: &str| std::env::var(name).ok();
        let said = SecretSource::from_environment("VILICUS_TOKEN", &environment)
            .map(|source| source.read(&environment))
            .transpose()
            .map_err(|error| Failure::because("cannot read the token", &error))?;
        let kept = login::kept()?;
        // An empty variable says nothing, as everywhere.
        let named = server.url.clone().filter(|url| !url.is_empty());
        let same = |kept: &Login| named.as_ref().is_none_or(|url| same_server(url, &kept.url));
        // A token is shown to the server that it was kept for, and to no other.
        let token = match (said, kept.as_ref().filter(|kept| same(kept))) {
            (Some(said), _) => said.expose().to_owned(),
            (None, Some(kept)) => kept.token.clone(),
            (None, None) => {
                let text = "no token: set VILICUS_TOKEN, or run 'vilicusctl login'";
                return Err(Failure::new(text));
            }
        };
        let url = named.clone().or_else(|| kept.as_ref().map(|kept| kept.url.clone()));
        let ca_file = server.ca_file.clone().or_else(|| kept.and_then(|kept| kept.ca_file));
        Self::with(&Login { url: url.unwrap_or_else(|| DEFAULT_URL.to_owned()), token, ca_file })
    }

    /// This server, with this token.
    pub(crate) fn with(login: &Login) -> Result<Self, Failure> {
        let roots = login.ca_file.as_deref().map_or_else(|| Ok(Vec::new()), certificates)?;
        let http = OutboundPolicy::default().trusting(roots).http_client();
        let http = http.map_err(|error| Failure::because("cannot speak HTTP", &error))?;
        let url = login.url.trim_end_matches('/').to_owned();
        if Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            return Ok(Self { http, url, token: login.token.clone().into() });
        }
        Err(Failure::new(format!("'{url}' is no address of a server; say it as https://vilicus.example.org")))
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Reads.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).await
    }

    /// Asks, and returns what a good answer says.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        request = request.bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|error| self.unreachable(error))?;
        if !status.is_success() {
            return Err(refused(&self.url, path, status, &bytes));
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        let stranger = |error| Failure::because(&format!("{} is no vilicus server", self.url), &error);
        serde_json::from_slice(&bytes).map_err(stranger)
    }

    /// Events as they happen, after this one.
    pub(crate) async fn stream(&self, path: &str, after: u64) -> Result<EventStream, Failure> {
        let request = self.http.get(format!("{}{path}", self.url)).timeout(STREAM_TIMEOUT);
        let request = request.bearer_auth(self.token.expose_secret()).header("last-event-id", after);
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        if !status.is_success() {
            let bytes = answer.bytes().await.map_err(|error| self.unreachable(error))?;
            let failure = refused(&self.url, path, status, &bytes);
            return Err(if status.is_server_error() { failure.passing() } else { failure });
        }
        Ok(EventStream { answer, read: Vec::new() })
    }

    /// An answer that is no JSON, piece by piece.
    pub(crate) async fn bytes(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = reqwest::Result<Bytes>> + use<>, Failure> {
        let request = self.http.get(format!("{}{path}", self.url)).timeout(LONG_TIMEOUT);
        let request = request.bearer_auth(self.token.expose_secret());
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.bytes_stream());
        }
        let bytes = answer.bytes().await.map_err(|error| self.unreachable(error))?;
        Err(refused(&self.url, path, status, &bytes))
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        Failure::because(&format!("{} does not answer", self.url), &error.without_url()).passing()
    }

    /// All objects of a list, page by page, and no more than so many.
    pub(crate) async fn list(&self, path: &str, most: usize) -> Result<Vec<Value>, Failure> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut next = Some(format!("{path}{separator}limit={}", PAGE.min(most.max(1))));
        let mut objects = Vec::new();
        while let Some(path) = next.filter(|_| objects.len() < most) {
            let mut page = self.get(&path).await?;
            next = page["meta"]["next"].as_str().map(str::to_owned);
            if let Value::Array(found) = page["objects"].take() {
                objects.extend(found);
            }
        }
        objects.truncate(most);
        Ok(objects)
    }
}

/// Events that come one by one, as Server-Sent Events.
///
/// *Source of the format:* <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
pub(crate) struct EventStream {
    answer: reqwest::Response,
    /// What came of a line that is not yet whole.
    read: Vec<u8>,
}

impl EventStream {
    /// The data of the next event, which is one line of JSON here; `None` when the stream ends.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                if let Some(data) = line.strip_prefix(b"data:") {
                    return Ok(Some(String::from_utf8_lossy(data).trim().to_owned()));
                }
            }
            let broken = |error: reqwest::Error| Failure::because("the stream broke", &error.without_url());
            match self.answer.chunk().await.map_err(broken)? {
                Some(chunk) => self.read.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// A name as a part of a path.
pub(crate) fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

fn same_server(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let failed = |error| Failure::because(&format!("cannot read certificates of {}", file.display()), &error);
    CertificateDer::pem_file_iter(file).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
}

/// What the server says against it (RFC 9457), mistake by mistake.
fn refused(url: &str, path: &str, status: StatusCode, body: &[u8]) -> Failure {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("no reason is given");
    match (status, named(path)) {
        (StatusCode::UNAUTHORIZED, _) => {
            return Failure::new(format!("{url} does not take the token: {detail}; run 'vilicusctl login'"));
        }
        (StatusCode::NOT_FOUND, Some((resource, name))) => {
            return Failure::new(format!(
                "there is no {resource} '{name}', or the token may not know of it; \
                 'vilicusctl get {resource}s -o name' lists all"
            ));
        }
        _ => {}
    }
    let mistakes = problem["errors"].as_array().into_iter().flatten();
    let lines: Vec<String> = mistakes
        .filter_map(|mistake| {
            Some(format!("{}: {}", mistake["pointer"].as_str()?, mistake["detail"].as_str()?))
        })
        .collect();
    match lines.as_slice() {
        [] => Failure::new(format!("refused ({status}): {detail}")),
        [line] => Failure::new(format!("refused ({status}): {line}")),
        lines => Failure::new(format!("refused ({status}):\n  {}", lines.join("\n  "))),
    }
}

/// Which object a path names, as `("check", "web-1/cpu")`.
fn named(path: &str) -> Option<(&str, String)> {
    let (resource, rest) = path.strip_prefix("/api/v1/")?.split_once('/')?;
    let name = rest.split(['/', '?']).next().filter(|name| !name.is_empty())?;
    Some((resource, percent_decode_str(name).decode_utf8_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(encoded("web-1/disk root?"), "web%2D1%2Fdisk%20root%3F");
    }

    #[test]
    fn a_path_tells_what_it_names() {
        let path = format!("/api/v1/check/{}/acknowledge/", encoded("web-1/disk root"));
        assert_eq!(named(&path), Some(("check", "web-1/disk root".to_owned())));
        assert_eq!(named("/api/v1/check/?limit=1"), None);
    }

    #[test]
    fn mistakes_are_told_once() {
        let refused = |body: &str| {
            let failure = refused("http://a", "/api/v1/check/", StatusCode::BAD_REQUEST, body.as_bytes());
            format!("{failure:?}")
        };
        let one = r#"{"detail": "/a: is empty", "errors": [{"pointer": "/a", "detail": "is empty"}]}"#;
        assert_eq!(refused(one).matches("is empty").count(), 1);
        assert!(refused("<html>").contains("no reason is given"));
    }

    #[test]
    fn an_address_is_the_same_with_and_without_a_slash() {
        assert!(same_server("http://a/", "http://a"));
        assert!(!same_server("http://a", "http://a.evil"));
    }
}
