//! A service that takes messages as JSON over HTTP: one bounded exchange under the outbound policy.
//!
//! Every kind that speaks HTTP with JSON sends through this; what the answer means is said in `answer.rs`.

use std::sync::Arc;

use http::Method;
use http::header::HeaderMap;
use serde_json::Value;
use url::Url;
use vilicus_core::{NotifyError, ParamsError};

use super::answer::Answer;
use super::redaction::Redaction;
use crate::clock::Clock;
use crate::outbound::{OutboundPolicy, unanswered};

/// The most of an answer that is read, in bytes. Telegram repeats the whole message in its own, with six bytes for
/// most letters.
const MAX_ANSWER: usize = 128 * 1024;

/// How errors speak of a service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    /// Its name, as `Slack`.
    pub(super) name: &'static str,
    /// What an operator can do when it takes nothing from us, as `check the token`.
    pub(super) mend: &'static str,
}

/// A service, and what is needed to speak with it.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    service: Service,
    client: reqwest::Client,
    outbound: OutboundPolicy,
    clock: Arc<dyn Clock>,
    headers: HeaderMap,
    redaction: Redaction,
}

impl Caller {
    /// A service under this policy. The redaction holds what no error may repeat of its answers.
    ///
    /// # Errors
    /// No client can be made under this policy.
    pub(super) fn new(
        service: Service,
        outbound: &OutboundPolicy,
        clock: &Arc<dyn Clock>,
        redaction: Redaction,
    ) -> Result<Self, ParamsError> {
        Ok(Self {
            service,
            client: outbound.http_client().map_err(|error| ParamsError::new("", error.to_string()))?,
            outbound: outbound.clone(),
            clock: Arc::clone(clock),
            headers: HeaderMap::new(),
            redaction,
        })
    }

    /// The same service; every request has these headers.
    pub(super) fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// Posts this JSON.
    ///
    /// # Errors
    /// See [`Caller::send`].
    pub(super) async fn post(&self, url: Url, body: &Value) -> Result<Answer, NotifyError> {
        self.send(Method::POST, url, body).await
    }

    /// Sends this JSON and reads the answer, whatever its status.
    ///
    /// # Errors
    /// The address is refused, or no answer came.
    pub(super) async fn send(&self, method: Method, url: Url, body: &Value) -> Result<Answer, NotifyError> {
        self.exchange(url, |url| self.client.request(method, url).json(body)).await
    }

    /// Posts the fields of a form.
    ///
    /// # Errors
    /// See [`Caller::send`].
    pub(super) async fn post_form(&self, url: Url, fields: &[(&str, &str)]) -> Result<Answer, NotifyError> {
        self.exchange(url, |url| self.client.post(url).form(fields)).await
    }

    async fn exchange(
        &self,
        url: Url,
        request: impl FnOnce(Url) -> reqwest::RequestBuilder,
    ) -> Result<Answer, NotifyError> {
        self.outbound.judge_url(&url).map_err(|refusal| NotifyError::channel(refusal.to_string()))?;
        let request = request(url).headers(self.headers.clone());
        let mut response = request.send().await.map_err(|error| unanswered(self.service.name, &error))?;
        let mut body = Vec::new();
        // The status has said already whether the message was taken; a body that breaks off or has no end
        // changes nothing about it.
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER - body.len())]);
            if body.len() == MAX_ANSWER {
                break;
            }
        }
        let now = self.clock.now();
        let answer = Answer::new(self.service, response.status(), response.headers(), &body, now);
        Ok(answer.redacted_by(self.redaction.clone()))
    }
}
