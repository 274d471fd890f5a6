//! Where a service is, and the header by which it knows us. Both may hold a token, so neither shows it.

use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;
use vilicus_core::ParamsError;

/// A URL that is shown to nobody: many services put a token into it.
#[derive(Clone)]
pub(super) struct Endpoint(Url);

impl Endpoint {
    /// The URL that the parameter `name` gives, as the service wrote it.
    ///
    /// # Errors
    /// It is no URL of the web, or one with a login or a fragment. The text is not repeated.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, ParamsError> {
        let wrong = |detail: &str| Err(ParamsError::new(name, format!("{name}: {detail}")));
        let Ok(url) = Url::parse(text) else {
            return wrong("not a URL; it begins with https://");
        };
        if !matches!(url.scheme(), "http" | "https") {
            return wrong("must begin with http:// or https://");
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return wrong("must be without a login and without '#'");
        }
        Ok(Self(url))
    }

    /// The address of a server, below which the paths of its API are.
    ///
    /// # Errors
    /// As [`Endpoint::parse`]; or it has a query.
    pub(super) fn server(name: &str, text: &str) -> Result<Self, ParamsError> {
        let server = Self::parse(name, text)?;
        if server.0.query().is_some() {
            return Err(ParamsError::new(name, format!("{name}: must be without '?'")));
        }
        Ok(server)
    }

    /// The URL itself; for the one place that sends.
    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// The URL with more parts of a path; what would end a part is escaped.
    pub(super) fn join(&self, parts: &[&str]) -> Url {
        let mut url = self.0.clone();
        // URLs of the web always have a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The headers with this one secret; `param` is the parameter that it comes from.
///
/// # Errors
/// No header can carry it.
pub(super) fn secret_header(param: &str, name: HeaderName, value: &str) -> Result<HeaderMap, ParamsError> {
    let wrong = || ParamsError::new(param, format!("{param}: has a character that no header can carry"));
    if value.chars().any(char::is_control) {
        return Err(wrong());
    }
    let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(name, value)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::AUTHORIZATION;

    #[test]
    fn what_cannot_be_sent_to_is_refused_without_being_repeated() {
        for text in ["", "canary", "ftp://canary", "https://u:canary@x/", "https://u@x/", "https://x/#canary"]
        {
            let error = Endpoint::parse("url", text).unwrap_err();
            assert!(error.pointer == "/url" && !error.detail.contains("canary"), "{text}: {error}");
        }
        assert!(Endpoint::parse("url", "https://x/?canary=1").is_ok());
        assert!(Endpoint::server("server", "https://x/?canary=1").is_err());
    }

    #[test]
    fn paths_are_joined_and_escaped() {
        for (server, parts, url) in [
            ("https://x", &["a", "b"][..], "https://x/a/b"),
            ("https://x/base/", &["a"], "https://x/base/a"),
            ("https://x/base", &["a/../b?c#d%e"], "https://x/base/a%2F..%2Fb%3Fc%23d%25e"),
        ] {
            assert_eq!(Endpoint::server("server", server).unwrap().join(parts).as_str(), url);
        }
    }

    #[test]
    fn nobody_sees_the_secret() {
        let endpoint = Endpoint::parse("url", "https://x/canary").unwrap();
        let headers = secret_header("token", AUTHORIZATION, "Bearer canary").unwrap();
        assert!(!format!("{endpoint:?} {headers:?}").contains("canary"));
        for token in ["a\nb", "a\0b", "a\tb"] {
            assert!(secret_header("token", AUTHORIZATION, token).is_err(), "{token:?}");
        }
    }
}
