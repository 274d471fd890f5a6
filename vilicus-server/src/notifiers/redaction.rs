//! Takes a channel's secrets out of what a service says: whoever answers may repeat what it was sent.

use std::cmp::Reverse;

use url::Url;

use super::Secret;
use super::wording::foreign;

/// The shortest part of a URL that is taken for a token, in characters.
const MIN_PART: usize = 6;

/// The texts that nobody may see, the longest first: one may be a part of another. `Debug` shows none of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Redaction(Vec<Secret>);

impl Redaction {
    /// The same redaction; this text is secret, too.
    pub(super) fn with(mut self, secret: &str) -> Self {
        if !secret.is_empty() {
            self.0.push(secret.into());
            self.0.sort_by_key(|secret| Reverse(secret.expose().len()));
        }
        self
    }

    /// The same redaction; this URL is secret, too, and so is every part of its path and query that is long
    /// enough to be a token, as it stands there and without its escapes.
    pub(super) fn with_url(self, url: &Url) -> Self {
        let whole = self.with(url.as_str());
        let query = url.query().unwrap_or("").split('&').filter_map(|pair| Some(pair.split_once('=')?.1));
        let parts = url.path().split('/').chain(query).map(str::to_owned);
        let plain = url.query_pairs().map(|(_, value)| value.into_owned());
        parts
            .chain(plain)
            .filter(|part| part.chars().count() >= MIN_PART)
            .fold(whole, |redaction, part| redaction.with(&part))
    }

    /// What a service said, fit to be shown: on one bounded line, without a secret.
    pub(super) fn shown(&self, words: &str) -> String {
        // The secrets go first: a cut could leave one half of them.
        let open = self.0.iter().fold(words.to_owned(), |text, secret| text.replace(secret.expose(), "***"));
        foreign(&open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_the_parts_of_a_url_are_taken_out() {
        let url =
            Url::parse("https://hooks.example.com/services/T0/B0/longtoken7?sig=signature9&v=1").unwrap();
        let redaction = Redaction::default().with("").with("key-1").with_url(&url);
        for (said, shown) in [
            ("no such key: key-1", "no such key: ***"),
            ("https://hooks.example.com/services/T0/B0/longtoken7?sig=signature9&v=1 is gone", "*** is gone"),
            ("longtoken7 and signature9\r\n", "*** and ***"),
            ("T0 is no team", "T0 is no team"),
        ] {
            assert_eq!(redaction.shown(said), shown);
        }
        assert!(!format!("{redaction:?}").contains("longtoken7"));
    }

    #[test]
    fn a_secret_with_escapes_is_taken_out_in_both_forms() {
        let redaction = Redaction::default().with_url(&Url::parse("https://x/hooks?sig=can%2Fary").unwrap());
        assert_eq!(
            redaction.shown("GET /hooks?sig=can%2Fary: can/ary is wrong"),
            "GET /hooks?sig=***: *** is wrong"
        );
    }

    #[test]
    fn a_secret_that_is_a_part_of_another_does_not_leave_the_rest() {
        let redaction = Redaction::default().with("key").with("longer-key-than-that");
        assert_eq!(redaction.shown("longer-key-than-that, key"), "***, ***");
    }

    #[test]
    fn a_secret_at_the_end_of_the_line_is_not_halved() {
        let said = format!("{}secretsecret", "x".repeat(195));
        assert!(!Redaction::default().with("secretsecret").shown(&said).contains("sec"));
    }
}
