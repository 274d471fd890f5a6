//! Text that is cut to a service's limit, and foreign text made fit to be shown.

use vilicus_core::Notification;
use vilicus_core::notification::one_line;

/// The longest that a remote's words get in an error, in characters.
const FOREIGN_CHARS: usize = 200;

/// The title and the text of a message, for services that show a title and a text.
pub(super) struct Shown {
    /// One line without control characters; never empty.
    pub(super) title: String,
    /// The text that stands below the title and does not repeat it, without control characters but line breaks
    /// and tabs; never empty.
    pub(super) text: String,
}

impl Shown {
    /// What is shown of this message.
    pub(super) fn of(notification: &Notification) -> Self {
        let title = notification.title();
        let text = notification.text();
        let below = printable(text.strip_prefix(&title).unwrap_or(&text));
        let title = match printable(&one_line(&title)).trim() {
            "" => notification.status().to_string(),
            title => title.to_owned(),
        };
        let text = match below.trim() {
            "" => title.clone(),
            text => text.to_owned(),
        };
        Self { title, text }
    }
}

/// The text in at most so many characters; a longer one is cut between two characters and ends in `…`.
pub(super) fn cut(text: &str, chars: usize) -> String {
    cut_to(text, chars, |_| 1)
}

/// The text in at most so much room, of which each character takes as much as `room` says; a longer one is cut
/// between two characters and ends in `…`.
pub(super) fn cut_to(text: &str, limit: usize, room: impl Fn(char) -> usize) -> String {
    let mark = room('…');
    let (mut taken, mut end) = (0, 0);
    for (at, c) in text.char_indices() {
        taken += room(c);
        if taken > limit {
            return format!("{}{}", &text[..end], if mark <= limit { "…" } else { "" });
        }
        if taken + mark <= limit {
            end = at + c.len_utf8();
        }
    }
    text.to_owned()
}

/// The bytes that a character takes inside a JSON text.
pub(super) fn json_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\t' => 2,
        c => c.len_utf8(),
    }
}

/// The text as it stands in HTML, also inside a quoted attribute.
pub(super) fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match html_entity(c) {
            Some(entity) => escaped.push_str(entity),
            None => escaped.push(c),
        }
    }
    escaped
}

/// What stands for this character in HTML.
pub(super) const fn html_entity(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        _ => None,
    }
}

/// What a remote said: on one line, bounded, without control characters.
pub(super) fn foreign(text: &str) -> String {
    cut(printable(&one_line(text)).trim(), FOREIGN_CHARS)
}

/// The text with its lines, and without any other character that controls how the rest is shown.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !(c.is_control() || turns(*c))).collect()
}

/// Whether the character changes the direction of what follows, so that a text reads as another.
///
/// *Source:* Unicode Standard Annex #9, section 2.
const fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
    fn text_is_cut_to_what_each_character_takes() {
        assert_eq!(cut_to("a\"b\"", 6, json_bytes), "a\"b\"");
        assert_eq!(cut_to("a\"b\"", 5, json_bytes), "a…");
        assert_eq!(cut_to("😀😀", 8, char::len_utf8), "😀😀");
        assert_eq!(cut_to("😀😀", 7, char::len_utf8), "😀…");
        assert_eq!(cut_to("😀😀", 2, char::len_utf8), "");
    }

    #[test]
    fn the_text_does_not_repeat_the_title() {
        let shown = Shown::of(&Notification::test("k", vilicus_core::Timestamp::EPOCH));
        assert_eq!(shown.title, "[TEST] This is a test: the channel works.");
        assert!(shown.text.starts_with("OK since 1970"), "{}", shown.text);
    }

    #[test]
    fn foreign_words_are_one_bounded_line() {
        assert_eq!(foreign("550 no\r\nsuch\u{1b}[31m user\0 "), "550 no  such [31m user");
        assert_eq!(foreign(&"é".repeat(5000)).chars().count(), FOREIGN_CHARS);
        assert_eq!(printable("a\r\n\tb\u{7}\u{1b}c\u{202e}d\u{2066}"), "a\n\tbcd");
        assert_eq!(escape_html("<a href=\"x\">&</a>"), "&lt;a href=&quot;x&quot;&gt;&amp;&lt;/a&gt;");
    }
}
