//! What the caller knows already: strong entity tags over configuration, never over state.

use axum::response::{IntoResponse, Response};
use http::header::{ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::problem::Problem;

/// A strong entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etag(String);

impl Etag {
    /// The tag of something that has a version of its own. `text` must be visible ASCII without quotes.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The tag of this configuration: the same for the same content, on every server.
    #[must_use]
    pub fn of<T: Serialize + ?Sized>(configuration: &T) -> Self {
        // What we serialise for people can't fail; were it to, a tag that matches nothing is the safe one.
        let bytes = serde_json::to_vec(configuration).unwrap_or_default();
        let hash = Sha256::digest(&bytes);
        Self(hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The tag without quotes, as `config_etag` in JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_named_by(&self, headers: &HeaderMap, name: HeaderName) -> bool {
        let lines = headers.get_all(name);
        lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).any(|tag| {
            let tag = tag.trim();
            // Weak comparison, and without quotes too: what `config_etag` says in JSON may be sent back as it is.
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"') == self.0
        })
    }

    /// Whether the caller has this already (`If-None-Match`).
    #[must_use]
    pub fn is_known(&self, headers: &HeaderMap) -> bool {
        self.is_named_by(headers, IF_NONE_MATCH)
    }

    /// The answer to a read: the body, or 304 when the caller has it already.
    pub fn answer(&self, headers: &HeaderMap, body: impl IntoResponse) -> Response {
        let mut response = match self.is_known(headers) {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => body.into_response(),
        };
        self.mark(&mut response);
        response
    }

    /// Puts the tag on an answer.
    pub fn mark(&self, response: &mut Response) {
        if let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", self.0)) {
            response.headers_mut().insert(ETAG, value);
        }
    }

    /// Passes when the caller changes what it read, or did not say what it read.
    ///
    /// # Errors
    /// 412: `If-Match` names another tag.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        match headers.contains_key(IF_MATCH) && !self.is_named_by(headers, IF_MATCH) {
            true => Err(Problem::stale()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn a_known_tag_is_answered_with_304() {
        let tag = Etag::of(&[1, 2]);
        for text in
            ["*".to_owned(), format!("\"{}\"", tag.as_str()), format!("\"x\", W/\"{}\"", tag.as_str())]
        {
            assert_eq!(tag.answer(&headers(IF_NONE_MATCH, &text), "body").status(), 304, "{text}");
        }
        let fresh = tag.answer(&headers(IF_NONE_MATCH, "\"x\""), "body");
        assert_eq!((fresh.status().as_u16(), fresh.headers().contains_key(ETAG)), (200, true));
    }

    #[test]
    fn a_stale_change_is_412() {
        let tag = Etag::new("7");
        assert!(tag.check(&HeaderMap::new()).is_ok());
        assert!(tag.check(&headers(IF_MATCH, "\"7\"")).is_ok());
        assert_eq!(tag.check(&headers(IF_MATCH, "\"8\"")).unwrap_err().status(), 412);
    }
}
