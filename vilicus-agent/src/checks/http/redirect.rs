//! Where a redirect leads, and what may be taken along.

use http::Method;
use http::header::LOCATION;
use url::Url;

use super::exchange::Answer;
use super::request::Request;
use crate::checks::connection::Fault;

/// The request that a redirect asks for; `None` when the answer is no redirect.
pub(super) fn next(request: &Request, answer: &Answer) -> Result<Option<Request>, Fault> {
    let code = answer.status.as_u16();
    let Some(location) = answer.headers.get(LOCATION).filter(|_| matches!(code, 301..=303 | 307 | 308))
    else {
        return Ok(None);
    };
    let place = without_query(&request.url);
    let unusable = || Fault::critical(format!("{place} redirects to an address that cannot be used"));
    let url =
        location.to_str().ok().and_then(|location| request.url.join(location).ok()).ok_or_else(unusable)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(unusable());
    }
    let mut next = request.clone();
    if !is_same_service(&request.url, &url) {
        next.headers.clear();
    }
    // As browsers do: a 303 asks for a page, and so do 301 and 302 after a POST.
    let becomes_get = code == 303 || (matches!(code, 301 | 302) && request.method == Method::POST);
    if becomes_get && request.method != Method::HEAD {
        next.method = Method::GET;
        next.body.clear();
    }
    next.url = url;
    Ok(Some(next))
}

/// Whether credentials for one address are meant for the other too: the same host and port, or that same host
/// made safe, from http to https with their usual ports.
fn is_same_service(from: &Url, to: &Url) -> bool {
    let usual = |url: &Url| url.port().is_none();
    let made_safe = from.scheme() == "http" && to.scheme() == "https" && usual(from) && usual(to);
    from.host_str() == to.host_str() && (from.origin() == to.origin() || made_safe)
}

/// An address as it may be shown: a query can hold secrets.
pub(super) fn without_query(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    shown.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_with_their_service() {
        for (from, to, same) in [
            ("http://a/x", "http://a/y", true),
            ("http://a/", "https://a/", true),
            ("https://a/", "http://a/", false),
            ("http://a/", "http://b/", false),
            ("http://a/", "http://a:81/", false),
            ("http://a:80/", "http://a/", true),
            ("http://a:8080/", "https://a/", false),
            ("http://a/", "https://a:8443/", false),
            ("http://a/", "http://A/", true),
        ] {
            let parse = |text: &str| Url::parse(text).unwrap();
            assert_eq!(is_same_service(&parse(from), &parse(to)), same, "{from} {to}");
        }
    }
}
