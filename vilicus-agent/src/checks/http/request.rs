//! What is asked for, checked when the check is configured, so that it can be sent as it is.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;
use vilicus_core::ParamsError;

/// Credentials: a user with a password, or a bearer token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Auth {
    /// The user's name.
    user: Option<String>,
    /// The user's password.
    password: Option<String>,
    /// A bearer token.
    token: Option<String>,
}

impl Auth {
    /// The value of the header `Authorization`.
    fn to_header(&self) -> Result<HeaderValue, ParamsError> {
        let text = match (&self.user, &self.password, &self.token) {
            (Some(user), password, None) if !user.contains(':') => {
                let pair = format!("{user}:{}", password.as_deref().unwrap_or_default());
                format!("Basic {}", STANDARD.encode(pair))
            }
            (Some(_), _, None) => return Err(ParamsError::new("auth", "auth: a user's name has no ':'")),
            (None, None, Some(token)) => format!("Bearer {token}"),
            _ => return Err(ParamsError::new("auth", "auth: give user and password, or a token")),
        };
        let value = HeaderValue::from_str(&text);
        let mut value =
            value.map_err(|_| ParamsError::new("auth", "auth: the token has control characters"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// One request.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) url: Url,
    pub(super) method: Method,
    /// What was configured, credentials included.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl fmt::Debug for Request {
    /// Query, headers and body may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = super::redirect::without_query(&self.url);
        f.debug_struct("Request").field("method", &self.method).field("url", &place).finish_non_exhaustive()
    }
}

impl Request {
    /// A request, if it can be sent.
    pub(super) fn new(
        url: &str,
        method: &str,
        headers: &BTreeMap<String, String>,
        body: Option<String>,
        auth: Option<Auth>,
    ) -> Result<Self, ParamsError> {
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).map_err(|_| {
            ParamsError::new("method", format!("method: '{method}' is not one, as GET or POST is"))
        })?;
        let mut headers = header_map(headers)?;
        if let Some(auth) = auth {
            headers.insert(AUTHORIZATION, auth.to_header()?);
        }
        let body = Bytes::from(body.unwrap_or_default());
        Ok(Self { url: parse_url(url)?, method, headers, body })
    }

    /// The host to connect to.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The port to connect to.
    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(80)
    }

    /// All headers to send: what was configured, and what every request needs.
    pub(super) fn all_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        if let Ok(host) = HeaderValue::from_str(&format!("{}{port}", self.host())) {
            headers.entry(HOST).or_insert(host);
        }
        let agent = HeaderValue::from_static(concat!("vilicus-agent/", env!("CARGO_PKG_VERSION")));
        headers.entry(USER_AGENT).or_insert(agent);
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        headers
    }

    /// Path and query, as the request's first line has them.
    pub(super) fn target(&self) -> String {
        let query = self.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", self.url.path())
    }
}

fn parse_url(text: &str) -> Result<Url, ParamsError> {
    let problem = |reason: String| ParamsError::new("url", format!("url: {reason}"));
    let url =
        Url::parse(text).map_err(|error| problem(format!("{error} (expected is http://… or https://…)")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(problem("must begin with http:// or https://".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(problem("put user and password into auth, not into the address".to_owned()));
    }
    if url.port() == Some(0) {
        return Err(problem("the port must be 1 to 65535".to_owned()));
    }
    Ok(url)
}

fn header_map(headers: &BTreeMap<String, String>) -> Result<HeaderMap, ParamsError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let problem =
            |what: &str| ParamsError::new("headers", format!("headers: {what} of '{name}' cannot be sent"));
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| problem("the name"))?;
        let value = HeaderValue::from_str(value).map_err(|_| problem("the value"))?;
        // These belong to the connection; a wrong one would make the request another one.
        if matches!(parsed.as_str(), "content-length" | "transfer-encoding" | "connection" | "upgrade") {
            return Err(ParamsError::new("headers", format!("headers: '{name}' is set by the agent itself")));
        }
        map.insert(parsed, value);
    }
    Ok(map)
}
