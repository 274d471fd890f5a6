//! A small REST client: what `curl` with a token would do.

use std::sync::Once;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::Value;

static TLS: Once = Once::new();

/// Speaks to one server with one token, or with none.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    http: reqwest::Client,
    base: String,
    authorization: Option<String>,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The request, to name it when the answer is not as expected.
    pub(crate) request: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Rest {
    /// A client without a token for the server at `base`, as `http://127.0.0.1:8080`.
    pub(crate) fn new(base: &str) -> Self {
        TLS.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        Self { http, base: base.to_owned(), authorization: None }
    }

    /// The same client with `Authorization: Bearer TOKEN`.
    pub(crate) fn bearer(&self, token: &str) -> Self {
        self.authorization(&format!("Bearer {token}"))
    }

    /// The same client with this `Authorization` header.
    pub(crate) fn authorization(&self, value: &str) -> Self {
        Self { authorization: Some(value.to_owned()), ..self.clone() }
    }

    /// Sends a request and returns the answer, or the fault of the connection.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await?.to_vec();
        Ok(Answer { request: format!("{method} {path}"), status, headers, body })
    }

    /// Sends JSON, or nothing, and returns whatever is answered.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = format!("{method} {path}");
        let bytes = body.map(|value| serde_json::to_vec(value).unwrap());
        let headers: &[(&str, &str)] =
            if bytes.is_some() { &[("content-type", "application/json")] } else { &[] };
        self.try_send(method, path, headers, bytes)
            .await
            .unwrap_or_else(|error| panic!("{request}: {error:?}"))
    }

    /// `GET`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// `GET` with an `Accept` header.
    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        let sent = self.try_send(Method::GET, path, &[("accept", accept)], None).await;
        sent.unwrap_or_else(|error| panic!("GET {path}: {error:?}"))
    }

    /// `POST` of JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// `PUT` of JSON.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// `PATCH` of JSON.
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// `DELETE`.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// Creates an object with `POST` and returns it as answered.
    pub(crate) async fn create(&self, path: &str, body: Value) -> Value {
        self.post(path, &body).await.expect(201)
    }

    /// The objects of a list.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let list = self.get(path).await.expect(200);
        list["objects"]
            .as_array()
            .unwrap_or_else(|| panic!("GET {path} has no list of objects: {list}"))
            .clone()
    }
}

impl Answer {
    /// The body as JSON, when the status is the expected one.
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{} answered {}", self.request, self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} answered no JSON, {error}: {}", self.request, self.text()))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text, empty when it is missing.
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default()
    }
}

/// The number in `id`.
pub(crate) fn id(object: &Value) -> u64 {
    object["id"].as_u64().unwrap_or_else(|| panic!("no id in {object}"))
}

/// The text in `field`.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_else(|| panic!("no text '{field}' in {object}"))
}
