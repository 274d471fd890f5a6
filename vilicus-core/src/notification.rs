//! What people get to read.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::metric::Metric;
use crate::notifier::Receipt;
use crate::status::{StateType, Status};
use crate::time::Timestamp;

/// Why a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotificationEvent {
    /// A check has a confirmed problem, or another one than before.
    Problem,
    /// What was told as a problem is well again.
    Recovery,
    /// Someone is on it.
    Acknowledgement,
    /// The state changes too often to be told each time.
    Flapping,
    /// A planned silence began or ended.
    Downtime,
    /// An agent is silent.
    AgentDown,
    /// A silent agent is back.
    AgentUp,
    /// What was told as a problem is no longer watched.
    Closed,
    /// Someone tries the channel.
    Test,
}

impl NotificationEvent {
    /// The word on the wire, as `agent_down`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Recovery => "recovery",
            Self::Acknowledgement => "acknowledgement",
            Self::Flapping => "flapping",
            Self::Downtime => "downtime",
            Self::AgentDown => "agent_down",
            Self::AgentUp => "agent_up",
            Self::Closed => "closed",
            Self::Test => "test",
        }
    }

    /// Whether this is the end of what was told before.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Recovery | Self::AgentUp | Self::Closed)
    }
}

/// One thing that a message tells: one check, in one state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotificationItem {
    /// Why it is told.
    pub event: NotificationEvent,
    /// The name of the agent.
    pub agent: String,
    /// The name of the check.
    pub check: String,
    /// What it is about: the same in every message about the same check of the same server, whatever its name;
    /// what services call a deduplication key. At most 64 characters, letters, digits and `-`.
    pub subject: String,
    /// The kind of the check.
    pub kind: String,
    /// The tags of the agent and of the check: words, or `key=value`.
    pub tags: Vec<String>,
    /// The status now.
    pub status: Status,
    /// The status that was told before, or that it had before.
    pub previous_status: Option<Status>,
    /// Soft or hard; what is told by itself is hard.
    pub state_type: StateType,
    /// Since when it has this status.
    pub since: Timestamp,
    /// When the event happened.
    pub at: Timestamp,
    /// The results that were not OK so far, and how many make it hard.
    pub attempt: u32,
    /// See `attempt`.
    pub max_attempts: u32,
    /// The last output.
    pub output: String,
    /// Further lines of the last output.
    pub long_output: String,
    /// What was measured last.
    pub metrics: Vec<Metric>,
    /// Where the check is described to those who mend it.
    pub runbook_url: Option<String>,
    /// When the problem began that this message ends; with `at` the span of the whole problem.
    pub problem_since: Option<Timestamp>,
    /// Whether this was delivered so late that the times matter.
    pub late: bool,
}

/// One message to one channel. What a notifier gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The idempotency key: the same at every try, another for every other message.
    pub key: String,
    /// What it tells; never empty, most important first.
    pub items: Vec<NotificationItem>,
    /// How many more things it would tell, had they fitted.
    pub more: u64,
    /// Where to look: a link to the check or the list of problems.
    pub url: Option<String>,
    /// Why the reader gets this, in one sentence.
    pub reason: String,
    /// The messages about the same problem that were delivered before on this channel, oldest first.
    pub earlier: Vec<EarlierMessage>,
    /// The words of the channel's own template; `None` leaves all of them to [`Notification::title`] and
    /// [`Notification::text`].
    pub words: Option<Words>,
}

/// Words that stand in the place of the usual ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// The title; shown on one line.
    pub title: Option<String>,
    /// The text below it.
    pub text: Option<String>,
}

/// A message that was delivered before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlierMessage {
    /// Its idempotency key.
    pub key: String,
    /// What the channel's service said of it.
    pub receipt: Receipt,
}

impl Notification {
    /// The message that tries a channel.
    #[must_use]
    pub fn test(key: impl Into<String>, now: Timestamp) -> Self {
        let item = NotificationItem {
            event: NotificationEvent::Test,
            agent: "vilicus".to_owned(),
            check: "test".to_owned(),
            subject: "test".to_owned(),
            kind: "test".to_owned(),
            tags: Vec::new(),
            status: Status::Ok,
            previous_status: None,
            state_type: StateType::Hard,
            since: now,
            at: now,
            attempt: 0,
            max_attempts: 1,
            output: "This is a test: the channel works.".to_owned(),
            long_output: String::new(),
            metrics: Vec::new(),
            runbook_url: None,
            problem_since: None,
            late: false,
        };
        Self::about(key, item, "someone pressed 'send test'")
    }

    /// A message about one thing.
    #[must_use]
    pub fn about(key: impl Into<String>, item: NotificationItem, reason: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            items: vec![item],
            more: 0,
            url: None,
            reason: reason.into(),
            earlier: Vec::new(),
            words: None,
        }
    }

    /// The worst status among what it tells, OK when it tells nothing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.items.iter().map(|item| item.status).max().unwrap_or(Status::Ok)
    }

    /// The subject or title, on one line: the channel's own words, else `[CRITICAL] agent / check: first line of
    /// output`.
    #[must_use]
    pub fn title(&self) -> String {
        match self.words.as_ref().and_then(|words| words.title.as_deref()) {
            Some(own) => one_line(own),
            None => self.usual_title(),
        }
    }

    fn usual_title(&self) -> String {
        match self.items.as_slice() {
            [] => "[OK] nothing to tell".to_owned(),
            [item] if self.more == 0 => item.title(),
            items => {
                let count = items.len() as u64 + self.more;
                let problems = items.iter().filter(|item| item.status.is_problem()).count();
                format!("[{}] {count} checks, {problems} with problems: {}", self.status(), items[0].place())
            }
        }
    }

    /// The body as plain text: the channel's own words, else what, since when, how often tried, last output, link,
    /// runbook, and why the reader gets it.
    #[must_use]
    pub fn text(&self) -> String {
        match self.words.as_ref().and_then(|words| words.text.as_ref()) {
            Some(own) => own.clone(),
            None => self.usual_text(),
        }
    }

    fn usual_text(&self) -> String {
        let mut text = String::new();
        for item in &self.items {
            item.write_text(&mut text);
            text.push('\n');
        }
        if self.more > 0 {
            let _ = writeln!(text, "… and {} more.\n", self.more);
        }
        if let Some(url) = &self.url {
            let _ = writeln!(text, "{url}");
        }
        let _ = writeln!(text, "You get this because {}.", self.reason);
        text
    }
}

impl NotificationItem {
    /// The title of this thing alone.
    #[must_use]
    pub fn title(&self) -> String {
        let first_line = one_line(self.output.lines().next().unwrap_or(""));
        let place = one_line(&self.place());
        match self.event {
            NotificationEvent::Acknowledgement => format!("[ACK] {place}: {first_line}"),
            NotificationEvent::Flapping => format!("[FLAPPING] {place}: {first_line}"),
            NotificationEvent::Downtime => format!("[DOWNTIME] {place}: {first_line}"),
            NotificationEvent::AgentDown => format!("[DOWN] {}: {first_line}", one_line(&self.agent)),
            NotificationEvent::AgentUp => format!("[UP] {}: {first_line}", one_line(&self.agent)),
            NotificationEvent::Closed => format!("[CLOSED] {place}: no longer watched"),
            NotificationEvent::Test => format!("[TEST] {first_line}"),
            NotificationEvent::Problem | NotificationEvent::Recovery => {
                format!("[{}] {place}: {first_line}", self.status)
            }
        }
    }

    /// `agent / check`, or the agent alone when the message is about it.
    #[must_use]
    pub fn place(&self) -> String {
        match self.event {
            NotificationEvent::AgentDown | NotificationEvent::AgentUp => self.agent.clone(),
            _ => format!("{} / {}", self.agent, self.check),
        }
    }

    fn write_text(&self, text: &mut String) {
        let _ = writeln!(text, "{}", self.title());
        if let (true, Some(since)) = (self.event.is_end(), self.problem_since) {
            let late = if self.late { ", delivered late" } else { "" };
            let _ = writeln!(text, "The problem lasted from {since} to {}{late}.", self.at);
        } else {
            let _ = writeln!(text, "{} since {}{}", self.status, self.since, self.attempts());
        }
        if let Some(previous) = self.previous_status {
            let _ = writeln!(text, "Before: {previous}");
        }
        let _ = writeln!(text, "\n{}", self.output);
        if !self.long_output.is_empty() {
            let _ = writeln!(text, "{}", self.long_output);
        }
        if let Some(runbook) = &self.runbook_url {
            let _ = writeln!(text, "Runbook: {runbook}");
        }
    }

    fn attempts(&self) -> String {
        if self.status.is_problem() && self.attempt > 0 {
            format!(" (attempt {} of {})", self.attempt, self.max_attempts)
        } else {
            String::new()
        }
    }
}

/// The text without control characters, so that no sender can add a header or a line.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_hold_no_control_characters() {
        let mut notification = Notification::test("k", Timestamp::EPOCH);
        notification.items[0].event = NotificationEvent::Problem;
        notification.items[0].status = Status::Critical;
        notification.items[0].agent = "web\r\nBcc: x".to_owned();
        notification.items[0].output = "down\u{7}\nsecond".to_owned();
        assert_eq!(notification.title(), "[CRITICAL] web  Bcc: x / test: down ");
        assert!(notification.text().contains("second"));
    }

    #[test]
    fn a_channels_own_words_stand_in_place_of_the_usual_ones() {
        let mut notification = Notification::test("k", Timestamp::EPOCH);
        let usual = (notification.title(), notification.text());
        notification.words = Some(Words::default());
        assert_eq!((notification.title(), notification.text()), usual);
        notification.words = Some(Words { title: Some("a\r\nb".to_owned()), text: Some("c\nd".to_owned()) });
        assert_eq!((notification.title().as_str(), notification.text().as_str()), ("a  b", "c\nd"));
    }
}
