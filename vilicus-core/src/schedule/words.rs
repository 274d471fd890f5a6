//! Words of a text and where they stand, shared by all grammars of this folder.

use super::error::{MAX_LENGTH, ScheduleError};

/// A word and the number of its first character, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) position: usize,
}

impl Word<'_> {
    pub(super) fn wrong(self, problem: impl Into<String>) -> ScheduleError {
        ScheduleError::wrong(self.text, self.position, problem)
    }
}

/// Refuses what no grammar of ours reads: too much text, none, and characters beyond ASCII.
///
/// After this a byte is a character, so offsets are positions.
pub(super) fn readable(text: &str, example: &'static str) -> Result<(), ScheduleError> {
    if text.len() > MAX_LENGTH {
        return Err(ScheduleError::TooLong { length: text.len() });
    }
    if text.trim().is_empty() {
        return Err(ScheduleError::Empty { example });
    }
    let strange = |c: &char| !c.is_ascii_graphic() && !c.is_ascii_whitespace();
    match text.chars().enumerate().find(|(_, c)| strange(c)) {
        Some((before, c)) => Err(ScheduleError::wrong(
            c.encode_utf8(&mut [0; 4]),
            before + 1,
            "only plain ASCII letters, digits and signs are read",
        )),
        None => Ok(()),
    }
}

/// The words between white space; `position` is that of the text's first character.
pub(super) fn words(text: &str, position: usize) -> impl Iterator<Item = Word<'_>> {
    pieces(text, position, |c| c.is_ascii_whitespace()).filter(|word| !word.text.is_empty())
}

/// The pieces between separators of one byte, empty ones too.
pub(super) fn pieces(
    text: &str,
    mut position: usize,
    separates: impl Fn(char) -> bool,
) -> impl Iterator<Item = Word<'_>> {
    text.split(separates).map(move |piece| {
        let word = Word { text: piece, position };
        position += piece.len() + 1;
        word
    })
}

/// The text with one space between its words and none around them: what is shown and stored.
pub(super) fn tidy(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// The days of the week in English, Monday first.
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// The day of the week, Monday as 0: its English name or at least the first three letters of it, in any case.
pub(super) fn weekday(word: &str) -> Option<u8> {
    let word = word.to_ascii_lowercase();
    let found = DAYS.iter().position(|day| word.len() >= 3 && day.starts_with(&word))?;
    u8::try_from(found).ok()
}

/// The days from the first to the last, as bits with Monday as bit 0; a range may run over Sunday.
pub(super) fn weekdays(first: u8, last: u8) -> u8 {
    let count = (last + 7 - first) % 7;
    (0..=count).fold(0, |days, step| days | 1 << ((first + step) % 7))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_know_their_place() {
        let found: Vec<_> = words("  a bc\td", 1).map(|word| (word.text, word.position)).collect();
        assert_eq!(found, [("a", 3), ("bc", 5), ("d", 8)]);
    }

    #[test]
    fn days_are_names_or_beginnings_of_names() {
        for (word, day) in [
            ("mon", Some(0)),
            ("Tues", Some(1)),
            ("THURSDAY", Some(3)),
            ("sun", Some(6)),
            ("mo", None),
            ("mond-", None),
            ("", None),
            ("moo", None),
        ] {
            assert_eq!(weekday(word), day, "{word}");
        }
    }

    #[test]
    fn a_range_of_days_may_run_over_sunday() {
        for (first, last, days) in
            [(0, 4, 0b001_1111), (5, 0, 0b110_0001), (3, 3, 0b000_1000), (1, 0, 0b111_1111)]
        {
            assert_eq!(weekdays(first, last), days, "{first}-{last}");
        }
    }
}
