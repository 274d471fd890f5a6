//! As much of a browser as the pages need: it keeps the session's cookie, and says where a write comes from.

use http::header::{COOKIE, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, Response};
use rustls_pki_types::CertificateDer;
use vilicus_server::outbound::OutboundPolicy;

/// A browser that follows no redirects by itself.
#[derive(Debug)]
pub(crate) struct Browser {
    client: Client,
    base: String,
    cookie: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) cookie: Option<String>,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Browser {
    pub(crate) fn new(base: &str) -> Self {
        Self::trusting(base, Vec::new())
    }

    pub(crate) fn trusting(base: &str, roots: Vec<CertificateDer<'static>>) -> Self {
        let client = OutboundPolicy::default().trusting(roots).http_client().unwrap();
        Self { client, base: base.to_owned(), cookie: None }
    }

    /// The session that it is in.
    pub(crate) fn cookie(&self) -> Option<String> {
        self.cookie.clone()
    }

    /// Goes on with the session of another one.
    pub(crate) fn take_cookie(&mut self, set_cookie: &str) {
        self.cookie = set_cookie.split(';').next().map(str::to_owned);
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let request = self.client.request(method, url);
        match &self.cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        let response = self.request(Method::GET, path).send().await.unwrap();
        self.keep(response).await
    }

    pub(crate) async fn head(&mut self, path: &str) -> Page {
        let response = self.request(Method::HEAD, path).send().await.unwrap();
        self.keep(response).await
    }

    /// Sends a form of our own page.
    pub(crate) async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.submit_from("same-origin", path, fields).await
    }

    /// Sends a form of a page that stands in such a relation to the server.
    pub(crate) async fn submit_from(&mut self, site: &str, path: &str, fields: &[(&str, &str)]) -> Page {
        let request = self.request(Method::POST, path).header("sec-fetch-site", site).form(fields);
        let response = request.send().await.unwrap();
        self.keep(response).await
    }

    async fn keep(&mut self, response: Response) -> Page {
        let headers = response.headers().clone();
        let header = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let set = header(SET_COOKIE);
        if let Some(cookie) = &set {
            let pair = cookie.split(';').next().unwrap().to_owned();
            self.cookie = (!pair.ends_with('=')).then_some(pair);
        }
        let (status, location) = (response.status().as_u16(), header(http::header::LOCATION));
        Page { status, location, cookie: set, headers, text: response.text().await.unwrap() }
    }
}
