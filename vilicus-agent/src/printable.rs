//! Text from elsewhere, made safe to print: no control character reaches a terminal or a log line.

use std::fmt;

/// A text that shows itself with every control character escaped.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a> {
    text: &'a str,
    limit: usize,
}

/// The text, safe to print in one line; cut after 300 characters.
#[must_use]
pub fn printable(text: &str) -> Printable<'_> {
    Printable { text, limit: 300 }
}

/// The whole text, safe to print in one line.
#[must_use]
pub fn escaped(text: &str) -> Printable<'_> {
    Printable { text, limit: usize::MAX }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, character) in self.text.chars().enumerate() {
            if count == self.limit {
                return f.write_str("…");
            }
            if is_unsafe(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

/// Control characters, and those that turn the direction of a line around.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_long_texts_cut() {
        assert_eq!(printable("a\r\nb\u{1b}[31m ü").to_string(), "a\\r\\nb\\u{1b}[31m ü");
        assert_eq!(printable(&"x".repeat(400)).to_string().chars().count(), 301);
        assert_eq!(escaped(&"x".repeat(400)).to_string().len(), 400);
    }
}
