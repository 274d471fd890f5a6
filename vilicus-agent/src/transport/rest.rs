//! The agent's conversation as requests and answers, over anything that can carry them.
//!
//! Who calls it: [`HttpTransport`](super::HttpTransport) and [`InProcessTransport`](super::InProcessTransport),
//! which differ only in their [`Carrier`]. Absent: connections, TLS, and any retry.

use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, ETAG, HeaderValue, IF_NONE_MATCH, RETRY_AFTER, USER_AGENT,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use vilicus_core::{AgentId, Millis, Timestamp};

use super::wire::{self, Objects, WireAgent, WireCheckedIn, WireOutcome, WireReport};
use super::{
    AgentRecord, Announcement, Answer, CheckIn, CheckList, CheckedIn, Outcome, Report, Transport,
    TransportError,
};
use crate::printable::printable;

/// Carries one request to the server and its answer back.
#[async_trait]
pub trait Carrier: fmt::Debug + Send + Sync + 'static {
    /// Carries the request. Its URI is a path with maybe a query, as `/api/v1/agent/`.
    ///
    /// # Errors
    /// No answer came: see [`CarrierError`].
    async fn carry(&self, request: Request<Bytes>) -> Result<Response<Bytes>, CarrierError>;

    /// Where the server is, for people; never holds a secret.
    fn server(&self) -> &str;
}

/// No answer came, and why.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct CarrierError {
    detail: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl CarrierError {
    /// An error with these words.
    #[must_use]
    pub fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// The most bytes of results in one request: a little under the server's 4 MiB.
const MAX_BODY: usize = 4 * 1024 * 1024 - 64 * 1024;

/// The agent's conversation over a carrier.
#[derive(Debug)]
pub struct RestTransport<C> {
    carrier: C,
    authorization: HeaderValue,
}

/// The token cannot be sent: it holds something that has no place in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token holds a character that no token has; write the token alone into its file")]
pub struct TokenError;

impl<C: Carrier> RestTransport<C> {
    /// Speaks over `carrier` with this token.
    ///
    /// # Errors
    /// The token holds a control character or one outside ASCII.
    pub fn over(carrier: C, token: &SecretString) -> Result<Self, TokenError> {
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| TokenError)?;
        authorization.set_sensitive(true);
        Ok(Self { carrier, authorization })
    }

    /// Asks, and sorts the failures out. What comes back is 2xx or 304.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        etag: Option<&str>,
    ) -> Result<Response<Bytes>, TransportError> {
        let request = self.request(method, path, body, etag)?;
        let response = self.carrier.carry(request).await.map_err(|source| TransportError::Unreachable {
            server: self.carrier.server().to_owned(),
            source,
        })?;
        match failure_of(&response) {
            None => Ok(response),
            Some(failure) => Err(failure),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        etag: Option<&str>,
    ) -> Result<Request<Bytes>, TransportError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("vilicus-agent/", env!("CARGO_PKG_VERSION")));
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let body = body.map(Bytes::from).unwrap_or_default();
        request.body(body).map_err(|error| self.protocol(error.to_string()))
    }

    fn protocol(&self, detail: impl Into<String>) -> TransportError {
        TransportError::Protocol { server: self.carrier.server().to_owned(), detail: detail.into() }
    }

    fn encode<T: Serialize>(&self, body: &T) -> Result<Vec<u8>, TransportError> {
        serde_json::to_vec(body).map_err(|error| self.protocol(error.to_string()))
    }

    fn decode<T: DeserializeOwned>(&self, response: &Response<Bytes>) -> Result<T, TransportError> {
        serde_json::from_slice(response.body()).map_err(|error| self.protocol(error.to_string()))
    }
}

#[async_trait]
impl<C: Carrier> Transport for RestTransport<C> {
    async fn agent(&self) -> Result<Answer<AgentRecord>, TransportError> {
        let response = self.ask(Method::GET, "/api/v1/agent/", None, None).await?;
        let list: Objects<WireAgent> = self.decode(&response)?;
        // An agent's token sees its own agent alone.
        let agents = list.objects.len();
        match list.objects.into_iter().next() {
            Some(agent) if agents == 1 => Ok(answer(&response, agent.into_record())),
            Some(_) => Err(TransportError::NotOfAnAgent { agents }),
            None => Err(self.protocol("it lists no agent")),
        }
    }

    async fn checks(&self, etag: Option<&str>) -> Result<Answer<Option<CheckList>>, TransportError> {
        let response = self.ask(Method::GET, "/api/v1/check/", None, etag).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(answer(&response, None));
        }
        let list: Objects<Value> = self.decode(&response)?;
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        Ok(answer(&response, Some(wire::read_checks(list.objects, etag))))
    }

    async fn report(&self, reports: &[Report]) -> Result<Answer<Outcome>, TransportError> {
        let objects = reports.iter().map(WireReport::from).collect();
        let body = self.encode(&Objects { objects })?;
        if body.len() > MAX_BODY {
            return Err(TransportError::TooLarge);
        }
        let response = self.ask(Method::POST, "/api/v1/check_history/", Some(body), None).await?;
        let outcome: WireOutcome = self.decode(&response)?;
        Ok(answer(&response, outcome.into()))
    }

    async fn check_in(
        &self,
        agent: AgentId,
        check_in: &CheckIn,
    ) -> Result<Answer<CheckedIn>, TransportError> {
        let body = self.encode(&wire::check_in_body(check_in))?;
        let path = format!("/api/v1/agent/{agent}/");
        let response = self.ask(Method::PUT, &path, Some(body), None).await?;
        let checked_in =
            if response.body().is_empty() { WireCheckedIn::default() } else { self.decode(&response)? };
        Ok(answer(&response, checked_in.into()))
    }

    async fn announce(&self, agent: AgentId, checks: &[Announcement]) -> Result<Answer<()>, TransportError> {
        let objects = checks.iter().map(wire::announcement_body).collect::<Vec<_>>();
        let body = self.encode(&Objects { objects })?;
        let path = format!("/api/v1/agent/{agent}/checks/");
        let response = self.ask(Method::PUT, &path, Some(body), None).await?;
        Ok(answer(&response, ()))
    }

    async fn sign_off(&self, agent: AgentId) -> Result<Answer<()>, TransportError> {
        let response = self.ask(Method::DELETE, &format!("/api/v1/agent/{agent}/"), None, None).await?;
        Ok(answer(&response, ()))
    }
}

fn answer<T>(response: &Response<Bytes>, value: T) -> Answer<T> {
    Answer { value, date: date_of(response.headers()) }
}

/// The server's clock, from its `Date` header, in whole seconds.
#[must_use]
pub fn date_of(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    http_date(text)
}

/// A time as HTTP writes it, as `Sun, 22 Nov 2026 07:00:00 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    let moment =
        jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.replace("GMT", "+0000")).ok()?;
    Some(Timestamp::from_millis(moment.as_millisecond()))
}

/// What a status other than 2xx and 304 means.
pub(crate) fn failure_of(response: &Response<Bytes>) -> Option<TransportError> {
    let status = response.status();
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return None;
    }
    let detail = detail_of(response);
    let status = status.as_u16();
    Some(match status {
        403 if retry_after(response).is_some() => {
            TransportError::NotYet { detail, retry_after: retry_after(response) }
        }
        401 | 403 => TransportError::Unauthorized { status, detail },
        408 => TransportError::Busy { status, retry_after: None },
        413 => TransportError::TooLarge,
        429 | 500..=599 => TransportError::Busy { status, retry_after: retry_after(response) },
        _ => TransportError::Refused { status, detail },
    })
}

/// The server's words, safe to print: of a problem document its `detail`, else its `title`.
fn detail_of(response: &Response<Bytes>) -> String {
    if response.status().is_redirection() {
        let target = response.headers().get(http::header::LOCATION).and_then(|target| target.to_str().ok());
        return format!("it sends us to {}; give that address", printable(target.unwrap_or("nowhere")));
    }
    let problem: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let words = problem.get("detail").or_else(|| problem.get("title")).and_then(Value::as_str);
    printable(words.or(response.status().canonical_reason()).unwrap_or("no reason given")).to_string()
}

/// The longest that a server may ask to be left alone; more is a mistake, or malice.
const MAX_RETRY_AFTER: Millis = Millis::from_hours(1);

/// `Retry-After` in seconds, or as a date.
fn retry_after(response: &Response<Bytes>) -> Option<Millis> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    let span = match text.parse::<u64>() {
        Ok(seconds) => Millis::from_secs(seconds),
        Err(_) => http_date(text)?.since(date_of(response.headers())?),
    };
    Some(span.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(
        status: u16,
        headers: &[(&'static str, &'static str)],
        body: &'static str,
    ) -> Response<Bytes> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Bytes::from_static(body.as_bytes())).unwrap()
    }

    #[test]
    fn dates_of_http_are_read() {
        let moment = http_date("Sun, 22 Nov 2026 07:00:00 GMT").unwrap();
        assert_eq!(moment.to_string(), "2026-11-22T07:00:00.000Z");
        assert_eq!(http_date("yesterday"), None);
    }

    #[test]
    fn every_status_says_what_to_do() {
        assert!(failure_of(&response(200, &[], "")).is_none());
        assert!(failure_of(&response(304, &[], "")).is_none());
        for (status, matches) in [
            (401, "refuses this agent's token"),
            (403, "refuses this agent's token"),
            (413, "too large"),
            (429, "busy"),
            (503, "busy"),
            (404, "refuses the request (404: Not Found)"),
            (308, "it sends us to https://other/"),
        ] {
            let failure = failure_of(&response(status, &[("location", "https://other/")], "")).unwrap();
            assert!(failure.to_string().contains(matches), "{status}: {failure}");
        }
    }

    #[test]
    fn the_servers_words_are_shown_safely() {
        let failure = failure_of(&response(422, &[], r#"{"detail": "bad\u001b[31m\nname"}"#)).unwrap();
        assert!(failure.to_string().contains("bad\\u{1b}[31m\\nname"), "{failure}");
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let date = ("date", "Sun, 22 Nov 2026 07:00:00 GMT");
        for (text, seconds) in [("7", 7), ("999999", 3600), ("Sun, 22 Nov 2026 07:00:30 GMT", 30)] {
            let busy = failure_of(&response(503, &[date, ("retry-after", text)], "")).unwrap();
            assert_eq!(busy.retry_after(), Some(Millis::from_secs(seconds)), "{text}");
        }
        assert_eq!(failure_of(&response(503, &[("retry-after", "soon")], "")).unwrap().retry_after(), None);
    }
}
