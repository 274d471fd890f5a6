//! The API asked from within: what a page shows of one object and what its forms do goes through the contract, so that
//! roles, validation, refusals and the proof of origin are in one place.

use axum::Router;
use axum::body::Body;
use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt as _;

use super::Dashboard;
use super::overview::Shared;
use crate::http::Peer;

/// What of a page's request says who asks, and from where.
const CARRIED: [http::HeaderName; 5] = [
    header::COOKIE,
    header::AUTHORIZATION,
    header::HOST,
    header::ORIGIN,
    http::HeaderName::from_static("sec-fetch-site"),
];

/// The API as the caller of this page may use it.
#[derive(Clone)]
pub(super) struct Inside {
    api: Router,
    headers: HeaderMap,
    peer: Option<Peer>,
    seen: Shared,
}

/// What the API refused, in its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) words: String,
}

impl Inside {
    /// One object, or a page of them.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refused> {
        let value = self.send(Method::GET, path, None).await?;
        serde_json::from_value(value).map_err(|error| Refused::internal(path, &error))
    }

    /// Asks for something; an answer that is no JSON is `null`.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Refused> {
        let reads = method == Method::GET;
        let request = self.request(method, path, body).map_err(|error| Refused::internal(path, &error))?;
        // The router has no error of its own.
        let Ok(response) = self.api.clone().oneshot(request).await;
        let status = response.status();
        let kind = response.headers().get(header::CONTENT_TYPE);
        let is_json = kind.is_some_and(|kind| kind.as_bytes().ends_with(b"json"));
        let content = match response.into_body().collect().await {
            Ok(content) => content.to_bytes(),
            Err(error) => return Err(Refused::internal(path, &error)),
        };
        let content: Value = match is_json {
            false => Value::Null,
            true => serde_json::from_slice(&content).map_err(|error| Refused::internal(path, &error))?,
        };
        if !reads {
            self.seen.changed();
        }
        if status.is_success() { Ok(content) } else { Err(Refused::said(status, &content)) }
    }

    /// For what is asked with a body and yet changes nothing: a link from elsewhere may lead to it.
    pub(super) fn only_asking(mut self) -> Self {
        self.headers.insert("sec-fetch-site", http::HeaderValue::from_static("same-origin"));
        self
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Body>, http::Error> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(peer) = self.peer {
            request = request.extension(peer);
        }
        match body {
            Some(body) => {
                request.header(header::CONTENT_TYPE, "application/json").body(body.to_string().into())
            }
            None => request.body(Body::empty()),
        }
    }
}

impl Refused {
    fn said(status: StatusCode, problem: &Value) -> Self {
        let mut words = problem["detail"].as_str().unwrap_or("the server could not do this").to_owned();
        for mistake in problem["errors"].as_array().into_iter().flatten() {
            let [place, detail] = ["pointer", "detail"].map(|field| mistake[field].as_str().unwrap_or(""));
            words += &format!("; {}: {detail}", place.trim_start_matches('/').replace('/', " / "));
        }
        Self { status, words }
    }

    fn internal(path: &str, error: &dyn std::error::Error) -> Self {
        tracing::error!(path, %error, "a page could not ask the API");
        let words = "the server could not do this; its log says why".to_owned();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, words }
    }
}

impl FromRequestParts<Dashboard> for Inside {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Self::Rejection> {
        let mut headers = HeaderMap::new();
        for name in CARRIED {
            for value in parts.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        let (api, seen) = (dashboard.inside.clone(), dashboard.seen.clone());
        Ok(Self { api, headers, peer: parts.extensions.get().copied(), seen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_refusal_names_the_places() {
        let problem = json!({"detail": "the check cannot be", "errors": [{"pointer": "/params/url", "detail": "is missing"}]});
        let refused = Refused::said(StatusCode::UNPROCESSABLE_ENTITY, &problem);
        assert_eq!(refused.words, "the check cannot be; params / url: is missing");
        assert_eq!(Refused::said(StatusCode::CONFLICT, &Value::Null).words, "the server could not do this");
    }
}
