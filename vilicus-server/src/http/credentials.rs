//! What a caller shows of itself: three forms of `Authorization`, or the session cookie of a browser.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::SecretString;

use super::cookie;

/// A token as shown, and how.
#[derive(Debug)]
pub(super) struct Credentials {
    /// The text of the token.
    pub(super) token: SecretString,
    /// Whether a browser sent it by itself.
    pub(super) by_cookie: bool,
}

/// The header is there and says nothing that can be understood.
#[derive(Debug)]
pub(super) struct Unreadable;

impl Credentials {
    /// What the headers show; `None` when they show nothing.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, Unreadable> {
        let mut lines = headers.get_all(AUTHORIZATION).iter();
        let Some(line) = lines.next() else {
            let token = cookie::session(headers);
            return Ok(token.map(|token| Self { token, by_cookie: true }));
        };
        // Two of them could be understood in two ways by two readers.
        if lines.next().is_some() {
            return Err(Unreadable);
        }
        let line = line.to_str().map_err(|_| Unreadable)?;
        let (scheme, rest) = line.trim().split_once(' ').ok_or(Unreadable)?;
        Self::from_scheme(scheme, rest.trim()).ok_or(Unreadable).map(Some)
    }

    fn from_scheme(scheme: &str, rest: &str) -> Option<Self> {
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self { token: rest.into(), by_cookie: false });
        }
        let pair = if scheme.eq_ignore_ascii_case("apikey") {
            rest.to_owned()
        } else if scheme.eq_ignore_ascii_case("basic") {
            String::from_utf8(STANDARD.decode(rest).ok()?).ok()?
        } else {
            return None;
        };
        // The name adds nothing to 256 random bits, and older clients send now the agent's, now the token's, now a user's.
        let (_name, token) = pair.split_once(':')?;
        Some(Self { token: token.into(), by_cookie: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn read(line: &str) -> Result<Option<Credentials>, Unreadable> {
        Credentials::from_headers(&HeaderMap::from_iter([(AUTHORIZATION, line.parse().unwrap())]))
    }

    #[test]
    fn three_forms_mean_the_same() {
        let basic = format!("Basic {}", STANDARD.encode("web-1:secret:x"));
        for line in ["Bearer secret:x", "bearer   secret:x ", "ApiKey web-1:secret:x", &basic] {
            let credentials = read(line).unwrap().unwrap();
            assert_eq!(credentials.token.expose_secret(), "secret:x", "{line}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_not_guessed_at() {
        for line in ["Bearer", "Digest x", "Basic !!!", "Basic /w==", "ApiKey justone", "x"] {
            assert!(read(line).is_err(), "{line}");
        }
        assert!(Credentials::from_headers(&HeaderMap::new()).unwrap().is_none());
    }
}
