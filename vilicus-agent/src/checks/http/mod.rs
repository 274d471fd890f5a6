//! The `http` kind: asks for a page and compares the answer with what is expected.
//!
//! Speaks HTTP/1.1 over connections of its own, a new one each time, so that every part of the way is measured.
//! Credentials and headers stay with the service they were given for, whatever a redirect says. No cookies.

mod exchange;
mod expect;
mod redirect;
mod request;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use vilicus_core::kind::MetricDescription;
use vilicus_core::{Check, CheckContext, CheckKind, CheckResult, Metric, ParamsError, async_trait};

use super::connection::{Deadline, Fault, seconds_since};
use super::describe;
use super::quantity;
use super::reach::Reach;
use super::tls::Trust;
use exchange::Answer;
use expect::{Expectations, StatusRanges};
use request::{Auth, Request};

/// What an `http` check asks for, and what it expects.
#[derive(Deserialize, JsonSchema)]
pub struct HttpParams {
    /// The address, with `http://` or `https://`.
    url: String,
    /// The method.
    #[serde(default = "get")]
    method: String,
    /// Headers to send.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    headers: BTreeMap<String, String>,
    /// A text to send as the body.
    body: Option<String>,
    /// Good status codes: numbers and ranges, as `200-399,401`.
    #[serde(default)]
    expect_status: StatusRanges,
    /// A text that the body must have in it.
    expect_body: Option<String>,
    /// A regular expression that must match somewhere in the body.
    expect_body_regex: Option<String>,
    /// Values that the body must have, as JSON: from a path (`status.db`, `nodes.0.up`, or a JSON pointer
    /// `/status/db`) to the value.
    #[serde(default)]
    expect_json: BTreeMap<String, Value>,
    /// How many redirects to follow; 0 takes a redirect for the answer.
    #[serde(default = "five")]
    follow_redirects: u32,
    /// A PEM file with authorities to trust beside the public ones.
    ca_file: Option<String>,
    /// Accept any certificate.
    #[serde(default)]
    insecure: bool,
    /// Credentials: `user` and `password`, or a bearer `token`.
    #[schemars(extend("writeOnly" = true))]
    auth: Option<Auth>,
}

fn get() -> String {
    "GET".to_owned()
}

fn five() -> u32 {
    5
}

impl fmt::Debug for HttpParams {
    /// Address, headers and body may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpParams").field("method", &self.method).finish_non_exhaustive()
    }
}

/// The `http` kind.
#[derive(Debug, Clone, Default)]
pub struct HttpKind {
    reach: Reach,
}

impl HttpKind {
    /// The kind, whose checks connect to addresses in this reach only.
    #[must_use]
    pub fn new(reach: Reach) -> Self {
        Self { reach }
    }
}

impl CheckKind for HttpKind {
    type Params = HttpParams;

    fn name(&self) -> &'static str {
        "http"
    }

    fn description(&self) -> &'static str {
        "whether a web address answers as expected"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        const {
            &[
                describe("response_seconds", "s", "in all, redirects and the body included"),
                describe("dns_seconds", "s", "looking up the name of the last address"),
                describe("connect_seconds", "s", "connecting to it"),
                describe("tls_seconds", "s", "the TLS handshake; only with https"),
                describe("first_byte_seconds", "s", "from sending the request to the first of the answer"),
                describe("status_code", "", "the status code of the last answer"),
                describe("body_bytes", "B", "how much of the body was read, at most 1 MiB"),
                describe("certificate_days", "", "days until the certificate expires; only with https"),
            ]
        }
    }

    fn build(&self, params: HttpParams) -> Result<Arc<dyn Check>, ParamsError> {
        let HttpParams { url, method, headers, body, auth, follow_redirects, ca_file, insecure, .. } = params;
        let request = Request::new(&url, &method, &headers, body, auth)?;
        let expectations = Expectations::new(
            params.expect_status,
            params.expect_body,
            params.expect_body_regex.as_deref(),
            params.expect_json,
        )?;
        let trust = Trust { ca_file, dangerous_accept_any_certificate: insecure };
        let reach = self.reach.clone();
        Ok(Arc::new(Http { request, expectations, follow_redirects, trust, reach }))
    }
}

#[derive(Debug)]
struct Http {
    request: Request,
    expectations: Expectations,
    follow_redirects: u32,
    trust: Trust,
    reach: Reach,
}

#[async_trait]
impl Check for Http {
    async fn run(&self, cx: &CheckContext) -> CheckResult {
        let begin = Instant::now();
        let answer = match self.ask(cx).await {
            Ok(answer) => answer,
            Err(fault) => return fault.into_result(),
        };
        let response_seconds = seconds_since(begin);
        let place = redirect::without_query(&answer.url);
        let status = answer.status;
        let mut result = match self.expectations.judge(&answer) {
            Ok(()) => {
                let (time, size) =
                    (quantity::seconds(response_seconds), quantity::bytes(answer.body.len() as f64));
                CheckResult::ok(format!("{place} answered {status} in {time}, {size}"))
            }
            Err(mismatch) => CheckResult::critical(format!("{place} {mismatch}")),
        };
        result.metrics = metrics(&answer, response_seconds);
        result
    }
}

impl Http {
    /// Asks, and follows redirects to the last answer.
    async fn ask(&self, cx: &CheckContext) -> Result<Answer, Fault> {
        let deadline = Deadline::after(cx.timeout);
        let mut request = self.request.clone();
        for _ in 0..=self.follow_redirects {
            let answer = exchange::exchange(&request, &self.trust, &self.reach, &deadline, cx.now).await?;
            match redirect::next(&request, &answer)? {
                Some(next) if self.follow_redirects > 0 => request = next,
                _ => return Ok(answer),
            }
        }
        let place = redirect::without_query(&self.request.url);
        Err(Fault::critical(format!("{place} redirects more than {} times", self.follow_redirects)))
    }
}

fn metrics(answer: &Answer, response_seconds: f64) -> Vec<Metric> {
    let times = &answer.times;
    let mut metrics = vec![
        Metric::seconds("response_seconds", response_seconds),
        Metric::seconds("dns_seconds", times.dns_seconds),
        Metric::seconds("connect_seconds", times.connect_seconds),
    ];
    metrics.extend(times.tls_seconds.map(|seconds| Metric::seconds("tls_seconds", seconds)));
    metrics.extend([
        Metric::seconds("first_byte_seconds", times.first_byte_seconds),
        Metric::new("status_code", f64::from(answer.status.as_u16())),
        Metric::bytes("body_bytes", answer.body.len() as f64),
    ]);
    metrics.extend(
        answer.certificate_days.map(|days| Metric::new("certificate_days", quantity::rounded(days, 2))),
    );
    metrics
}

#[cfg(test)]
mod tests;
