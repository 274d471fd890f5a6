//! Why a text is no schedule: what is wrong, where, and how to mend it.
//!
//! All grammars of this folder answer with this one error, so that the API, the files and the dashboard show
//! the same text whichever of them the user wrote.

/// The longest text that is read as a schedule, in bytes.
pub const MAX_LENGTH: usize = 1000;

/// A text is not a schedule, or it is one that never happens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// There is nothing but white space.
    #[error("the schedule is empty (expected one as '{example}')")]
    Empty {
        /// A text that would be right.
        example: &'static str,
    },
    /// The text is longer than [`MAX_LENGTH`].
    #[error("the schedule is too long: {length} bytes (at most {MAX_LENGTH} are read)")]
    TooLong {
        /// The bytes there are.
        length: usize,
    },
    /// One word is wrong, or missing.
    #[error("{} at character {position}: {problem}", quoted(.word))]
    Wrong {
        /// The word as written; empty when the text ends too early.
        word: String,
        /// Where the word begins: the number of the character, counted from 1.
        position: usize,
        /// What is wrong, and what to write.
        problem: String,
    },
    /// Nobody knows a time zone of this name.
    #[error("unknown time zone '{zone}' at character {position} ({})", hint(.nearest.as_deref()))]
    UnknownZone {
        /// The name as written.
        zone: String,
        /// Where the name begins, counted from 1; 1 when it was given apart from the text.
        position: usize,
        /// The known name that is written most like it.
        nearest: Option<String>,
    },
    /// The text is right, and no day will ever match it.
    #[error("'{text}' never happens: no date matches it (mend the day, the month or the weekday)")]
    Never {
        /// The text as written.
        text: String,
    },
    /// A cron line says when something begins, and nothing says how long it lasts.
    #[error("a cron line needs a duration beside it, longer than 0 (as 2h)")]
    NoDuration,
    /// A weekly schedule has its own ends.
    #[error("a weekly schedule has its own ends: leave the duration out, or write a cron line")]
    NeedlessDuration,
}

impl ScheduleError {
    pub(super) fn wrong(word: &str, position: usize, problem: impl Into<String>) -> Self {
        Self::Wrong { word: shown(word), position, problem: problem.into() }
    }

    /// Where the mistake is, where it is in one place: the number of the character, counted from 1.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        match self {
            Self::Wrong { position, .. } | Self::UnknownZone { position, .. } => Some(*position),
            _ => None,
        }
    }
}

/// A word fit for an error text: short, and without control characters.
pub(super) fn shown(word: &str) -> String {
    word.chars().take(60).flat_map(char::escape_debug).collect()
}

fn quoted(word: &str) -> String {
    if word.is_empty() { "the end".to_owned() } else { format!("'{word}'") }
}

fn hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("did you mean '{name}'?"),
        None => "expected an IANA name, as Europe/Berlin or UTC".to_owned(),
    }
}
