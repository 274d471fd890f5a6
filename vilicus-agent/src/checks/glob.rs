//! Patterns for paths and names: `*` and `?` within one part of a path, `**` across parts.

use regex::Regex;

/// A pattern that must match the whole text.
#[derive(Debug, Clone)]
pub(super) struct Glob(Regex);

impl Glob {
    pub(super) fn new(pattern: &str) -> Result<Self, regex::Error> {
        let mut expression = String::from("(?s)^");
        let mut rest = pattern.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '*' if rest.next_if_eq(&'*').is_some() => expression.push_str(".*"),
                '*' => expression.push_str("[^/]*"),
                '?' => expression.push_str("[^/]"),
                other => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
            }
        }
        expression.push('$');
        Regex::new(&expression).map(Self)
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// Whether a text has anything that makes it a pattern.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_one_part_of_the_path() {
        for (pattern, text, expected) in [
            ("/opt/*", "/opt/check", true),
            ("/opt/*", "/opt/sub/check", false),
            ("/opt/**", "/opt/sub/check", true),
            ("/opt/check_?", "/opt/check_a", true),
            ("/opt/check_?", "/opt/check_/", false),
            ("/opt/a.b", "/opt/axb", false),
            ("/opt/[a](b)+", "/opt/[a](b)+", true),
            ("/opt/*", "/opt/two\nlines", true),
            ("veth*", "veth12", true),
            ("veth*", "xveth12", false),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(text), expected, "{pattern} {text}");
        }
    }
}
