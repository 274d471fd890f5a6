//! Paths: the slash at the end is optional, and a part of a path may name an object in any of three ways.

use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use http::{Request, Uri};

use super::problem::Problem;

/// The one path that has no slash at the end.
pub const OPENAPI: &str = "/api/v1/openapi.json";

/// Adds the slash that may be left out, so that routes are written once. No redirect: a redirected POST would lose
/// its body.
pub fn normalise(mut request: Request<Body>) -> Request<Body> {
    let uri = request.uri();
    let path = uri.path();
    let wanted = match path {
        OPENAPI => return request,
        _ if path.strip_suffix('/') == Some(OPENAPI) => OPENAPI.to_owned(),
        _ if path.ends_with('/') => return request,
        _ => format!("{path}/"),
    };
    let wanted = match uri.query() {
        Some(query) => format!("{wanted}?{query}"),
        None => wanted,
    };
    let mut parts = uri.clone().into_parts();
    // A path that was valid is valid with a slash; if ever not, the request goes on as it was.
    if let Ok(path_and_query) = wanted.parse() {
        parts.path_and_query = Some(path_and_query);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// The variable parts of a path, decoded: `%2F` is a slash that separates nothing.
#[derive(Debug, Clone)]
pub struct PathParts(Vec<(String, String)>);

impl PathParts {
    /// The part of this name; empty when the route has none.
    #[must_use]
    pub fn part(&self, name: &str) -> &str {
        self.0.iter().rev().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The part called `id`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.part("id")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathParts {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Only bytes that are not UTF-8 fail: nothing can have such a name.
        let params =
            RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found())?;
        Ok(Self(params.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slash_at_the_end_is_optional() {
        for (path, expected) in [
            ("/api/v1/agent", "/api/v1/agent/"),
            ("/api/v1/agent/", "/api/v1/agent/"),
            ("/api/v1/agent?limit=1", "/api/v1/agent/?limit=1"),
            ("/api/v1/agent/web.example.org", "/api/v1/agent/web.example.org/"),
            ("/api/v1/check/web%2Fdisk", "/api/v1/check/web%2Fdisk/"),
            (OPENAPI, OPENAPI),
            ("/api/v1/openapi.json/", OPENAPI),
            ("/", "/"),
        ] {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            assert_eq!(normalise(request).uri().to_string(), expected);
        }
    }
}
