//! What may be called how: the rules for names, tags, and texts that people write.
//!
//! Each rule pushes what is wrong, with its place, so that a caller hears of every mistake at once.

use std::collections::HashSet;

use vilicus_core::route::Operator;
use vilicus_core::route::grouping::ALL_LABELS;
use vilicus_core::{Matcher, Millis};
use vilicus_store::inventory::Check;

use crate::http::{Mistake, Problem};

/// The most characters of a name or a tag.
const MAX_NAME: usize = 255;
/// The most tags of an object.
const MAX_TAGS: usize = 100;
/// The most conditions of an object, and names of labels.
const MAX_CONDITIONS: usize = 100;
/// The most characters of a description.
const MAX_TEXT: usize = 4_096;
/// The longest interval, timeout or grace: a year and a day.
pub(crate) const LONGEST: Millis = Millis::from_hours(24 * 366);

/// Collects what is wrong with an input.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Something is wrong at this place.
    pub(crate) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Mistake::new(pointer, detail));
    }

    /// Everything that another rule found wrong.
    pub(crate) fn take(&mut self, problem: Problem) {
        match problem.errors() {
            [] => self.add("", problem.detail()),
            errors => self.0.extend(errors.iter().cloned()),
        }
    }

    /// Something is wrong at this place unless `fine`.
    pub(crate) fn require(&mut self, fine: bool, pointer: &str, detail: &str) {
        if !fine {
            self.add(pointer, detail);
        }
    }

    /// A name: 1–255 characters, no control characters, no `/`, not all digits.
    pub(crate) fn name(&mut self, pointer: &str, name: &str) {
        if let Err(detail) = check_name(name) {
            self.add(pointer, detail);
        }
    }

    /// A text on one line; may be empty.
    pub(crate) fn line(&mut self, pointer: &str, text: &str) {
        self.require(text.chars().count() <= MAX_NAME, pointer, "is longer than 255 characters");
        self.require(!has_control(text), pointer, "holds a control character");
    }

    /// A text on many lines; may be empty.
    pub(crate) fn text(&mut self, pointer: &str, text: &str) {
        let control = text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r'));
        self.require(text.chars().count() <= MAX_TEXT, pointer, "is longer than 4,096 characters");
        self.require(!control, pointer, "holds a control character");
    }

    /// Tags: words, or `key=value`.
    pub(crate) fn tags(&mut self, pointer: &str, tags: &[String]) {
        self.require(tags.len() <= MAX_TAGS, pointer, "holds more than 100 tags");
        for (index, tag) in tags.iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            self.require(!tag.trim().is_empty(), &pointer, "is empty; a tag is a word, or key=value");
            self.require(!tag.starts_with('='), &pointer, "has no key before the =");
            self.line(&pointer, tag);
        }
    }

    /// Conditions; that each can be one was seen when it was read.
    pub(crate) fn conditions(&mut self, pointer: &str, matchers: &[Matcher]) {
        self.require(matchers.len() <= MAX_CONDITIONS, pointer, "holds more than 100 conditions");
    }

    /// Names of labels, each once.
    pub(crate) fn labels(&mut self, pointer: &str, names: &[String]) {
        self.require(names.len() <= MAX_CONDITIONS, pointer, "holds more than 100 labels");
        let mut seen = HashSet::new();
        for (index, name) in names.iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            // What may be the name of a label is for matchers to say.
            if name != ALL_LABELS
                && let Err(error) = Matcher::new(name, Operator::Equal, "")
            {
                self.add(&pointer, error.to_string());
            }
            self.require(seen.insert(name), &pointer, "stands here twice");
        }
    }

    /// A link that people may follow: `http` or `https`, and nothing that a browser would run.
    pub(crate) fn link(&mut self, pointer: &str, link: &str) {
        let fine = url::Url::parse(link).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        self.require(
            fine && link.len() <= 2_048,
            pointer,
            "expected a URL that begins with https:// or http://",
        );
    }

    /// A span from `least` to a year.
    pub(crate) fn span(&mut self, pointer: &str, span: Millis, least: Millis) {
        if span < least {
            self.add(pointer, format!("{span} is too short; at least {least}"));
        }
        if span > LONGEST {
            self.add(pointer, format!("{span} is too long; at most {LONGEST}"));
        }
    }

    /// A number from `least` to `most`.
    pub(crate) fn count(&mut self, pointer: &str, count: u32, least: u32, most: u32) {
        if !(least..=most).contains(&count) {
            self.add(pointer, format!("{count} is not from {least} to {most}"));
        }
    }

    /// Nothing is wrong, or everything that is.
    pub(crate) fn into_result(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::mistakes(self.0)) }
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.trim().is_empty() {
        Err("is empty; give a name of 1 to 255 characters")
    } else if name.chars().count() > MAX_NAME {
        Err("is longer than 255 characters")
    } else if has_control(name) {
        Err("holds a control character")
    } else if name.contains('/') {
        Err("holds a '/', which separates an agent from its check")
    } else if name.chars().all(|c| c.is_ascii_digit()) {
        Err("is all digits, and would be taken for an id; add a letter")
    } else {
        Ok(())
    }
}

/// Refuses to change what a file manages.
pub(crate) fn refuse_managed(managed_by: Option<&str>) -> Result<(), Problem> {
    match managed_by {
        None => Ok(()),
        Some(file) => {
            Err(Problem::conflict(format!("the file {file} manages this; change it there and apply it")))
        }
    }
}

/// Refuses to remove what exists by itself.
pub(crate) fn refuse_own(check: &Check) -> Result<(), Problem> {
    match check.kind == vilicus_store::inventory::AGENT_KIND {
        false => Ok(()),
        true => {
            Err(Problem::conflict("an agent's own check comes and goes with its agent; delete the agent"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_obey_the_contract() {
        let (most, more) = ("ä".repeat(255), "ä".repeat(256));
        for good in
            ["web-1", "a", "7a", "Büro Nord", "web.example.org", most.as_str(), "x:/".trim_end_matches('/')]
        {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", " ", "a/b", "7", "123", "a\nb", "a\u{0}", "\u{85}", more.as_str()] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_link_is_nothing_that_a_browser_would_run() {
        for (link, fine) in [
            ("https://wiki.example.org/disk?x=1", true),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("//example.org", false),
            ("", false),
        ] {
            let mut mistakes = Mistakes::default();
            mistakes.link("/runbook_url", link);
            assert_eq!(mistakes.into_result().is_ok(), fine, "{link}");
        }
    }
}
