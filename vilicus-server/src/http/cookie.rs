//! The session cookie of the dashboard, and the proof that a write comes from its own pages.

use http::header::{COOKIE, HOST, HeaderValue, ORIGIN};
use http::{HeaderMap, Uri};
use secrecy::{ExposeSecret as _, SecretString};

/// The name of the cookie that holds a session's token.
pub const SESSION_COOKIE: &str = "vilicus_session";

/// The token in the session cookie.
pub(super) fn session(headers: &HeaderMap) -> Option<SecretString> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == SESSION_COOKIE).map(|(_, value)| value.into())
}

/// The `Set-Cookie` that begins a session: not readable by scripts, not sent with other sites' requests.
#[must_use]
pub fn begin_session(token: &SecretString, secure: bool) -> Option<HeaderValue> {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{SESSION_COOKIE}={}; Path=/; HttpOnly; SameSite=Lax{secure}", token.expose_secret());
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The `Set-Cookie` that ends a session.
#[must_use]
pub fn end_session() -> HeaderValue {
    HeaderValue::from_static("vilicus_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// Whether a browser says that this request comes from one of our own pages.
///
/// Every browser sends `Sec-Fetch-Site` or, if older, `Origin` with a write, and no page can forge either. What
/// says neither is not a browser, and has no business with a browser's cookie.
#[must_use]
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site.as_bytes() == b"same-origin";
    }
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    let origin = origin.and_then(|origin| origin.parse::<Uri>().ok());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    match (origin.as_ref().and_then(Uri::authority), host) {
        (Some(origin), Some(host)) => origin.as_str().eq_ignore_ascii_case(host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_our_own_pages_may_write() {
        for (pairs, expected) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://v:1"), ("host", "v:1")], false),
            (&[("origin", "http://v:1"), ("host", "v:1")], true),
            (&[("origin", "http://v:1"), ("host", "v:2")], false),
            (&[("origin", "null"), ("host", "v:1")], false),
            (&[("host", "v:1")], false),
        ] {
            assert_eq!(is_same_origin(&headers(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others_and_never_shown() {
        let found = session(&headers(&[("cookie", "a=b; vilicus_session=abc; c=d")])).unwrap();
        assert_eq!(found.expose_secret(), "abc");
        let begun = begin_session(&found, true).unwrap();
        assert!(begun.to_str().unwrap().ends_with("SameSite=Lax; Secure"));
        assert!(!format!("{begun:?}").contains("abc"));
    }
}
