//! To a server elsewhere: one kept-alive connection, HTTP or HTTPS, opened again when it broke.
//!
//! Absent on purpose: redirects (a token must not follow them), proxies, cookies, and retries of requests that
//! the server may have seen.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::rest::{Carrier, CarrierError, RestTransport, TokenError};
use super::tls::{self, TlsError};

/// How to reach a server; the defaults suit most.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpOptions {
    /// A PEM file of further certificate authorities to trust; none by default.
    pub ca_file: Option<PathBuf>,
    /// How long name lookup, connecting and the TLS handshake may take together; 10 s by default.
    pub connect_timeout: Duration,
    /// How long a whole request may take; 30 s by default.
    pub request_timeout: Duration,
    /// The largest answer that is read, in bytes; 16 MiB by default.
    pub max_answer: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            ca_file: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_answer: 16 * 1024 * 1024,
        }
    }
}

/// An HTTP transport cannot be made of what was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The address is not one of a server.
    #[error("'{given}' is not the address of a server: {problem}")]
    Url {
        /// What was given, without anything that may be a secret.
        given: String,
        /// What is wrong with it, and what would be right.
        problem: &'static str,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// The agent's conversation over HTTP or HTTPS.
pub type HttpTransport = RestTransport<HttpCarrier>;

impl HttpTransport {
    /// Speaks with the server at `url` (`https://vilicus.example.org`, maybe with a path) with this token.
    ///
    /// # Errors
    /// An address or token that cannot work, or a CA file that cannot be read. Nothing is sent yet.
    pub fn new(url: &str, token: &SecretString, options: HttpOptions) -> Result<Self, HttpError> {
        Ok(Self::over(HttpCarrier::new(url, options)?, token)?)
    }
}

/// Carries requests over one kept-alive connection.
pub struct HttpCarrier {
    server: Server,
    options: HttpOptions,
    tls: Option<TlsConnector>,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl std::fmt::Debug for HttpCarrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpCarrier").field("server", &self.server.shown).finish_non_exhaustive()
    }
}

impl HttpCarrier {
    /// A carrier to the server at `url`.
    ///
    /// # Errors
    /// An address that cannot work, or a CA file that cannot be read.
    pub fn new(url: &str, options: HttpOptions) -> Result<Self, HttpError> {
        let server = Server::parse(url)?;
        let tls = if server.is_https {
            Some(TlsConnector::from(tls::client_config(options.ca_file.as_deref())?))
        } else {
            None
        };
        Ok(Self { server, options, tls, connection: Mutex::new(None) })
    }

    /// Whether the token travels unencrypted to another machine.
    #[must_use]
    pub fn exposes_token(&self) -> bool {
        !self.server.is_https && !self.server.is_loopback
    }

    /// The same request as this server wants it: the whole path, and a `Host`.
    fn addressed(&self, request: Request<Bytes>) -> Result<Request<Full<Bytes>>, CarrierError> {
        let (mut parts, body) = request.into_parts();
        let path = format!("{}{}", self.server.prefix, parts.uri);
        let path = PathAndQuery::try_from(path)
            .map_err(|error| CarrierError::new("the path is not one of a URL").source(error))?;
        parts.uri = Uri::from(path);
        parts.headers.insert(HOST, self.server.host_header.clone());
        Ok(Request::from_parts(parts, Full::new(body)))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CarrierError> {
        let mut slot = self.connection.lock().await;
        let mut sender = match usable(slot.take()).await {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut failed) => match failed.take_message() {
                // The connection broke before the server saw a byte of it, so a second one is no repetition.
                Some(request) => {
                    sender = self.connect().await?;
                    let lost = |error| CarrierError::new("the connection broke").source(error);
                    sender.send_request(request).await.map_err(lost)?
                }
                None => return Err(CarrierError::new("the connection broke").source(failed.into_error())),
            },
        };
        let keep = response.headers().get(CONNECTION).is_none_or(|value| value != "close");
        let response = self.read(response).await?;
        if keep {
            *slot = Some(sender);
        }
        Ok(response)
    }

    async fn read(&self, response: Response<hyper::body::Incoming>) -> Result<Response<Bytes>, CarrierError> {
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, self.options.max_answer)
            .collect()
            .await
            .map_err(|error| CarrierError::new("the answer broke off, or is too large").source(error))?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, CarrierError> {
        let timeout = self.options.connect_timeout;
        tokio::time::timeout(timeout, self.open()).await.unwrap_or_else(|_| {
            Err(CarrierError::new(format!("no connection within {} s", timeout.as_secs_f64())))
        })
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, CarrierError> {
        let tcp = TcpStream::connect((self.server.host.as_str(), self.server.port))
            .await
            .map_err(|error| CarrierError::new("cannot connect").source(error))?;
        // Requests are small and each waits for its answer.
        tcp.set_nodelay(true).map_err(|error| CarrierError::new("the socket failed").source(error))?;
        let Some(tls) = &self.tls else {
            return handshake(tcp).await;
        };
        let name = ServerName::try_from(self.server.host.clone())
            .map_err(|error| CarrierError::new("the host is not a name for TLS").source(error))?;
        let stream = tls
            .connect(name, tcp)
            .await
            .map_err(|error| CarrierError::new("the TLS handshake failed").source(error))?;
        handshake(stream).await
    }
}

/// The connection, unless the server has closed it since.
async fn usable(kept: Option<SendRequest<Full<Bytes>>>) -> Option<SendRequest<Full<Bytes>>> {
    let mut sender = kept?;
    sender.ready().await.ok()?;
    Some(sender)
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, CarrierError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| CarrierError::new("the connection cannot be used").source(error))?;
    // Ends by itself when the sender is dropped; what goes wrong on it, the sender hears.
    tokio::spawn(connection);
    Ok(sender)
}

#[async_trait]
impl Carrier for HttpCarrier {
    async fn carry(&self, request: Request<Bytes>) -> Result<Response<Bytes>, CarrierError> {
        let request = self.addressed(request)?;
        let timeout = self.options.request_timeout;
        tokio::time::timeout(timeout, self.exchange(request)).await.unwrap_or_else(|_| {
            Err(CarrierError::new(format!("no answer within {} s", timeout.as_secs_f64())))
        })
    }

    fn server(&self) -> &str {
        &self.server.shown
    }
}

/// Where a server is.
struct Server {
    is_https: bool,
    is_loopback: bool,
    /// The name or address, without brackets.
    host: String,
    port: u16,
    host_header: HeaderValue,
    /// The path before `/api`; empty, or starts with `/` and does not end with it.
    prefix: String,
    shown: String,
}

impl Server {
    fn parse(given: &str) -> Result<Self, HttpError> {
        let wrong = |problem| HttpError::Url { given: without_secrets(given), problem };
        let url = Url::parse(given.trim())
            .map_err(|_| wrong("expected something like https://vilicus.example.org"))?;
        let is_https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("it must begin with https:// or http://")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("leave out the user and password; the token has a file of its own"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("leave out what follows the path"));
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(wrong("the host is missing"));
        };
        let authority = url.authority().parse::<Authority>().map_err(|_| wrong("the host is not valid"))?;
        let host_header =
            HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("the host is not valid"))?;
        let prefix = url.path().trim_end_matches('/').to_owned();
        let shown = format!("{}://{authority}{prefix}", url.scheme());
        Ok(Self {
            is_https,
            is_loopback: is_loopback(&host),
            host: bare(&host),
            port,
            host_header,
            prefix,
            shown,
        })
    }
}

fn bare(host: &Host<&str>) -> String {
    match host {
        Host::Domain(name) => (*name).to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// An address as it may be shown: what stands before an `@` or after a `?` may be a secret.
fn without_secrets(given: &str) -> String {
    let shown = given.split(['?', '#']).next().unwrap_or("");
    let shown = match (shown.find("://"), shown.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://…{}", &shown[..scheme], &shown[at..]),
        (None, Some(at)) => format!("…{}", &shown[at..]),
        _ => shown.to_owned(),
    };
    crate::printable::printable(&shown).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (url, host, port, prefix, header) in [
            ("https://vilicus.example.org", "vilicus.example.org", 443, "", "vilicus.example.org"),
            ("http://127.0.0.1:8080/", "127.0.0.1", 8080, "", "127.0.0.1:8080"),
            ("https://[::1]:1/a/b/", "::1", 1, "/a/b", "[::1]:1"),
        ] {
            let server = Server::parse(url).unwrap();
            assert_eq!(
                (server.host.as_str(), server.port, server.prefix.as_str()),
                (host, port, prefix),
                "{url}"
            );
            assert_eq!(server.host_header, header, "{url}");
        }
    }

    #[test]
    fn addresses_that_cannot_work_say_why_and_show_no_secret() {
        for url in ["", "vilicus", "ftp://x", "https://user:secret@x/", "https://x/?token=secret", "http://"]
        {
            let error = HttpCarrier::new(url, HttpOptions::default()).err().unwrap().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_token_in_the_clear_is_noticed() {
        let exposes = |url| HttpCarrier::new(url, HttpOptions::default()).unwrap().exposes_token();
        assert!(exposes("http://vilicus.example.org"));
        assert!(!exposes("http://localhost:1") && !exposes("http://[::1]") && !exposes("https://x"));
    }
}
