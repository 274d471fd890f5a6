//! Text that is cut to a service's limit, and foreign text made fit to be shown.

use vilicus_core::notification::one_line;

/// The longest that a remote's words get in an error, in characters.
const FOREIGN_CHARS: usize = 200;

/// The text in at most so many characters; a longer one is cut between two characters and ends in `…`.
pub(super) fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// What a remote said: on one line, bounded, without control characters.
pub(super) fn foreign(text: &str) -> String {
    cut(one_line(text).trim(), FOREIGN_CHARS)
}

/// The text with its lines, and without any other control character.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("grün", 4), "grün");
        assert_eq!(cut("grüne", 4), "grü…");
        assert_eq!(cut("😀😀😀", 2), "😀…");
        assert_eq!(cut("", 0), "");
        assert_eq!(cut("x".repeat(9).as_str(), 3).chars().count(), 3);
    }

    #[test]
    fn foreign_words_are_one_bounded_line() {
        assert_eq!(foreign("550 no\r\nsuch\u{1b}[31m user\0 "), "550 no  such [31m user");
        assert_eq!(foreign(&"é".repeat(5000)).chars().count(), FOREIGN_CHARS);
        assert_eq!(printable("a\r\n\tb\u{7}\u{1b}c"), "a\n\tbc");
    }
}
