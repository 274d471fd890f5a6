//! How pages say things: a state, an age, a text that came from elsewhere.

use vilicus_core::{Millis, Status, Timestamp};
use vilicus_store::query::AgentState;

/// A state as colour (a class), shape (a symbol) and word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) class: &'static str,
    pub(super) symbol: &'static str,
    pub(super) word: &'static str,
}

impl Mark {
    pub(super) const PENDING: Self = Self { class: "pending", symbol: "…", word: "PENDING" };

    pub(super) fn of(status: Option<Status>) -> Self {
        match status {
            None => Self::PENDING,
            Some(Status::Ok) => Self { class: "ok", symbol: "✔", word: "OK" },
            Some(Status::Warning) => Self { class: "warning", symbol: "▲", word: "WARNING" },
            Some(Status::Unknown) => Self { class: "unknown", symbol: "?", word: "UNKNOWN" },
            Some(Status::Critical) => Self { class: "critical", symbol: "✖", word: "CRITICAL" },
        }
    }

    pub(super) fn of_agent(state: AgentState) -> Self {
        match state {
            AgentState::Pending => Self::PENDING,
            AgentState::Up => Self { class: "ok", symbol: "✔", word: "UP" },
            AgentState::Down => Self { class: "critical", symbol: "✖", word: "DOWN" },
        }
    }
}

/// A moment, and how long ago it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Age {
    pub(super) at: Timestamp,
    pub(super) age: String,
}

impl Age {
    /// How long ago this was.
    pub(super) fn since(at: Timestamp, now: Timestamp) -> Self {
        Self { at, age: age(now.since(at)) }
    }
}

/// A span in its largest unit, cut: `59 s`, `1 min`, `23 h`, `400 d`.
pub(super) fn age(span: Millis) -> String {
    let seconds = span.get() / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The text with every control character but line ends made visible, so that nothing hides or rings; and those that
/// turn the direction of what follows, so that a name cannot rearrange the words around it.
pub(super) fn visible(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if turns(c) || c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (172_799, "47 h"), (172_800, "2 d")]
        {
            assert_eq!(age(Millis::from_secs(seconds)), text);
        }
    }

    #[test]
    fn each_status_has_a_class_a_shape_and_a_word_of_its_own() {
        let marks =
            [None, Some(Status::Ok), Some(Status::Warning), Some(Status::Unknown), Some(Status::Critical)]
                .map(Mark::of);
        for (at, mark) in marks.iter().enumerate() {
            for other in &marks[..at] {
                assert!(mark.class != other.class && mark.symbol != other.symbol && mark.word != other.word);
            }
        }
    }

    #[test]
    fn control_characters_are_seen() {
        assert_eq!(visible("a\u{0}b\u{1b}[31m\nc"), "a\u{fffd}b\u{fffd}[31m\nc");
        assert_eq!(visible("שלום \u{202e}gpj.exe"), "שלום \u{fffd}gpj.exe");
    }
}
