//! One kept-alive connection to a server, HTTP or HTTPS, as cheap as hyper's own.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Failure;

/// Where a server is, and whom to trust there.
#[derive(Clone)]
pub struct Server {
    host: String,
    port: u16,
    header: HeaderValue,
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Server {
    /// The server at `url`; HTTPS trusts the certificates in `ca_file` alone.
    ///
    /// # Errors
    /// An address that is not one of a server, or a file without certificates.
    pub fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, Failure> {
        let uri: Uri = url.parse().map_err(|_| format!("'{url}' is not the address of a server"))?;
        let authority = uri.authority().ok_or_else(|| format!("'{url}' names no host"))?;
        let tls = match (uri.scheme_str(), ca_file) {
            (Some("http"), _) => None,
            (Some("https"), Some(file)) => Some(connector(file)?),
            (Some("https"), None) => return Err("https needs --ca-file: whom to trust".into()),
            _ => return Err(format!("'{url}' must begin with http:// or https://").into()),
        };
        let default_port = if tls.is_some() { 443 } else { 80 };
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
            header: HeaderValue::from_str(authority.as_str())?,
            tls,
        })
    }

    /// Opens a connection; its tasks live in the current runtime.
    ///
    /// # Errors
    /// Nobody listens there, or it is not whom we trust.
    pub async fn connect(&self) -> Result<Connection, Failure> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        match &self.tls {
            None => Connection::over(tcp).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone())?;
                Connection::over(tls.connect(name, tcp).await?).await
            }
        }
    }

    /// A request to this server; `credentials` is a whole `Authorization` header.
    ///
    /// # Errors
    /// A path that is none.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        credentials: Option<&HeaderValue>,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.header);
        if let Some(credentials) = credentials {
            request = request.header(AUTHORIZATION, credentials);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(request.body(Full::new(body))?)
    }
}

fn connector(ca_file: &Path) -> Result<TlsConnector, Failure> {
    let mut roots = RootCertStore::empty();
    let shown = ca_file.display();
    let certificates = CertificateDer::pem_file_iter(ca_file).map_err(|error| format!("{shown}: {error}"))?;
    for certificate in certificates {
        roots.add(certificate?)?;
    }
    if roots.is_empty() {
        return Err(format!("{shown} holds no certificate").into());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

/// A kept-alive connection: one request at a time.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    async fn over<S>(stream: S) -> Result<Self, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends by itself when the sender is dropped; what goes wrong on it, the sender hears.
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// The connection broke: whether the server saw the request is not known.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Failure> {
        self.sender.ready().await?;
        let (parts, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    }
}

/// Speaks JSON with a server in somebody's name: what sets a bench up, and looks afterwards.
#[derive(Debug)]
pub struct Api {
    server: Server,
    credentials: HeaderValue,
    connection: Connection,
}

impl Api {
    /// Connects in the name of this token.
    ///
    /// # Errors
    /// Nobody listens there, or the token can't stand in a header.
    pub async fn connect(server: &Server, token: &str) -> Result<Self, Failure> {
        let connection = server.connect().await?;
        Ok(Self { server: server.clone(), credentials: bearer(token)?, connection })
    }

    /// Goes on in the name of another token.
    ///
    /// # Errors
    /// The token can't stand in a header.
    pub fn become_holder(&mut self, token: &str) -> Result<(), Failure> {
        self.credentials = bearer(token)?;
        Ok(())
    }

    /// Sends a document, and gives the one that is answered; any status but 2xx is an error with the answer's text.
    ///
    /// # Errors
    /// The server refused, or broke off.
    pub async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let bytes = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let answer = self.send(method, path, bytes.into()).await?;
        if answer.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&answer)?) }
    }

    /// Reads as much of a document as is wanted.
    ///
    /// # Errors
    /// The server refused, or broke off; or the document is another.
    pub async fn read<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        Ok(serde_json::from_slice(&self.send(Method::GET, path, Bytes::new()).await?)?)
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let request = self.server.request(method, path, Some(&self.credentials), body)?;
        let answer = self.connection.send(request).await?;
        if !answer.status().is_success() {
            return Err(format!("{path} answered {}", shown(answer.status(), answer.body())).into());
        }
        Ok(answer.into_body())
    }
}

/// The header of a token.
///
/// # Errors
/// The token holds what no header can.
pub fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    let mut header = HeaderValue::try_from(format!("Bearer {token}"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// An answer in a sentence about what went wrong.
#[must_use]
pub fn shown(status: StatusCode, body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(300).collect();
    format!("{status}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_maybe_a_port() {
        let server = Server::new("http://127.0.0.1:8080", None).unwrap();
        assert_eq!((server.host.as_str(), server.port), ("127.0.0.1", 8080));
        assert_eq!(Server::new("http://[::1]", None).unwrap().host, "::1");
        for wrong in ["127.0.0.1:8080", "ftp://x", "https://x", "http://"] {
            assert!(Server::new(wrong, None).is_err(), "{wrong}");
        }
    }
}
