//! What was told against what was expected; and of what was not told, which gate held it.

use std::collections::BTreeMap;
use std::fmt;

use vilicus_core::judge::telling::Look;
use vilicus_core::{Millis, Notification, NotificationEvent, NotificationItem, Status};
use vilicus_store::query::CheckView;

use super::format::{Expectation, Test};

/// What came of all tests.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// One a test, in their order.
    pub verdicts: Vec<Verdict>,
}

/// What came of one test.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: String,
    /// What is wrong, one thing each; empty when it passed.
    pub failures: Vec<String>,
    /// Every message that went out, in order.
    pub told: Vec<Told>,
}

/// A message that went out.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// When, from the beginning of the test on.
    pub at: Millis,
    /// To which channel.
    pub channel: String,
    /// What it told.
    pub items: Vec<NotificationItem>,
    /// Its title.
    pub title: String,
    /// Its text.
    pub text: String,
    /// Why the channel's own words could not be made; then it had the usual ones.
    pub template_fault: Option<String>,
}

/// What the gates said of checks, at the moments by which something was expected.
#[derive(Debug, Default)]
pub(super) struct Gates(BTreeMap<(Millis, String), Vec<String>>);

impl Gates {
    /// Notes the gates that are closed now, in order.
    pub(super) fn note(&mut self, at: Millis, check: &CheckView, look: &Look) {
        let name = format!("{}/{}", check.agent.name, check.check.name);
        let closed = look.trace.iter().filter(|gate| !gate.passed);
        let mut lines: Vec<String> = closed.map(|gate| format!("{name} at {at}: {}", gate.why)).collect();
        if lines.is_empty() {
            lines.push(format!("{name} at {at}: {}", standing(check, look)));
        }
        self.0.insert((at, name), lines);
    }

    /// What was noted of this check.
    fn of(&self, at: Millis, check: &str) -> &[String] {
        self.0.get(&(at, check.to_owned())).map_or(&[], Vec::as_slice)
    }
}

/// How a check is that no gate holds back.
fn standing(check: &CheckView, look: &Look) -> &'static str {
    match check.state.status {
        _ if !look.trace.is_empty() => "no gate was closed",
        None => "it has not reported yet",
        Some(_) => "it has no problem",
    }
}

impl Told {
    pub(super) fn new(
        at: Millis,
        channel: &str,
        message: &Notification,
        template_fault: Option<String>,
    ) -> Self {
        Self {
            at,
            channel: channel.to_owned(),
            items: message.items.clone(),
            title: message.title(),
            text: message.text(),
            template_fault,
        }
    }

    /// Whether the message meets an expectation by this one of the things that it tells.
    fn meets(&self, expected: &Expectation, item: &NotificationItem) -> bool {
        let in_time = expected.from <= self.at && self.at <= expected.to;
        let to_them = expected.channel.as_ref().is_none_or(|channel| *channel == self.channel);
        let holds = |text: &String| self.title.contains(text) || self.text.contains(text);
        let about = |check: &String| *check == format!("{}/{}", item.agent, item.check);
        in_time
            && to_them
            && expected.text.as_ref().is_none_or(holds)
            && expected.event.is_none_or(|event| event == item.event)
            && expected.status.is_none_or(|status| status == item.status)
            && expected.check.as_ref().is_none_or(about)
    }
}

impl fmt::Display for Told {
    /// `2m10s phone problem CRITICAL: [CRITICAL] web-1 / load: busy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.channel)?;
        for (index, item) in self.items.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {} {}", item.event.as_str(), item.status)?;
        }
        write!(f, ": {}", self.title)
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.from)?;
        if self.to != self.from {
            write!(f, " to {}", self.to)?;
        }
        let event = self.event.map(NotificationEvent::as_str);
        let words = [self.channel.as_deref(), event, self.status.map(Status::as_str), self.check.as_deref()];
        words.into_iter().flatten().try_for_each(|word| write!(f, " {word}"))?;
        match &self.text {
            Some(text) => write!(f, " with {text:?}"),
            None => Ok(()),
        }
    }
}

/// Compares what was told with what a test expects.
pub(super) fn judge(test: &Test, told: Vec<Told>, gates: &Gates) -> Verdict {
    // Of expectations that a message could meet, it meets the one whose time is over first.
    let mut open: Vec<&Expectation> = test.expectations.iter().collect();
    open.sort_by_key(|expected| expected.to);
    let mut failures = Vec::new();
    for message in &told {
        let before = open.len();
        for item in &message.items {
            let met = open.iter().position(|expected| message.meets(expected, item));
            met.map(|met| open.remove(met));
        }
        if test.exact && open.len() == before {
            failures.push(format!("not expected: {message}"));
        }
        if let Some(fault) = &message.template_fault {
            failures
                .push(format!("{} {}: the channel's template failed: {fault}", message.at, message.channel));
        }
    }
    for missed in open {
        let check = missed.check.as_deref().unwrap_or(&test.check);
        let held = gates.of(missed.to, check).iter().map(|line| format!("\n      {line}"));
        failures.push(format!("expected and not told: {missed}{}", held.collect::<String>()));
    }
    Verdict { name: test.name.clone(), place: test.place.clone(), failures, told }
}

impl Verdict {
    /// Whether all was told as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

impl Report {
    /// Whether all tests passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.verdicts.iter().all(Verdict::passed)
    }
}

impl fmt::Display for Verdict {
    /// One line when it passed; else what is wrong, and all that was told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.passed() {
            return write!(f, "ok      {}", self.name);
        }
        write!(f, "FAILED  {} ({})", self.name, self.place)?;
        for failure in &self.failures {
            write!(f, "\n    {failure}")?;
        }
        match self.told.is_empty() {
            true => write!(f, "\n    nothing was told"),
            false => self.told.iter().try_for_each(|told| write!(f, "\n    told: {told}")),
        }
    }
}

impl fmt::Display for Report {
    /// One test a line, or more where one failed; then how many of each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for verdict in &self.verdicts {
            writeln!(f, "{verdict}")?;
        }
        let passed = self.verdicts.iter().filter(|verdict| verdict.passed()).count();
        write!(f, "{passed} passed, {} failed", self.verdicts.len() - passed)
    }
}
