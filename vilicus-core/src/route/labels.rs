//! What matchers look at: the names, the kind, the status and the tags of a check, borrowed from where they are kept.

use std::iter;

use crate::status::Status;

/// The labels of a check.
///
/// `agent`, `check`, `kind` and `status` (in lower case; `pending` before the first result) have one value each; `tag` has
/// every tag of the agent and of the check as a value. Any other name is the key of a `key=value` tag.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// The name of the agent.
    pub agent: &'a str,
    /// The name of the check.
    pub check: &'a str,
    /// The kind of the check.
    pub kind: &'a str,
    /// The status that is looked at; `None` for PENDING.
    pub status: Option<Status>,
    /// The tags of the agent.
    pub agent_tags: &'a [String],
    /// The tags of the check.
    pub check_tags: &'a [String],
}

impl<'a> Labels<'a> {
    /// The values of a label; none when the check does not have it.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let one = match name {
            "agent" => Some(self.agent),
            "check" => Some(self.check),
            "kind" => Some(self.kind),
            "status" => Some(status_label(self.status)),
            _ => None,
        };
        let known = one.is_some() || name == "tag";
        let tags = self.tags().filter(move |_| name == "tag");
        let keyed = self.tags().filter(move |_| !known).filter_map(move |tag| tag_value(tag, name));
        one.into_iter().chain(tags).chain(keyed)
    }

    /// The first value of a label, or the empty text.
    #[must_use]
    pub fn first(&self, name: &str) -> &'a str {
        self.values(name).next().unwrap_or("")
    }

    /// Whether both have a value of this label in common; one that is not there has the empty value.
    #[must_use]
    pub fn shares(&self, other: &Labels<'_>, name: &str) -> bool {
        let missing = |labels: &Labels<'_>| labels.values(name).next().is_none();
        let has = |value: &str| other.values(name).any(|theirs| theirs == value);
        self.values(name).any(|value| has(value) || value.is_empty() && missing(other))
            || missing(self) && (missing(other) || has(""))
    }

    /// Every tag of the agent and of the check.
    pub fn tags(&self) -> impl Iterator<Item = &'a str> {
        iter::chain(self.agent_tags, self.check_tags).map(String::as_str)
    }

    /// The same labels with this status.
    #[must_use]
    pub fn with_status(self, status: Option<Status>) -> Self {
        Self { status, ..self }
    }
}

/// The status as a label.
#[must_use]
pub const fn status_label(status: Option<Status>) -> &'static str {
    match status {
        None => "pending",
        Some(Status::Ok) => "ok",
        Some(Status::Warning) => "warning",
        Some(Status::Unknown) => "unknown",
        Some(Status::Critical) => "critical",
    }
}

/// The value of a `key=value` tag with this key.
fn tag_value<'a>(tag: &'a str, key: &str) -> Option<&'a str> {
    tag.split_once('=').filter(|(name, _)| *name == key).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_has_its_values() {
        let (agent_tags, check_tags) = (["prod".to_owned(), "team=web".to_owned()], ["team=db".to_owned()]);
        let labels = Labels {
            agent: "web-1",
            check: "disk",
            kind: "disk",
            status: Some(Status::Critical),
            agent_tags: &agent_tags,
            check_tags: &check_tags,
        };
        for (name, values) in [
            ("agent", &["web-1"][..]),
            ("status", &["critical"]),
            ("tag", &["prod", "team=web", "team=db"]),
            ("team", &["web", "db"]),
            ("prod", &[]),
        ] {
            assert_eq!(labels.values(name).collect::<Vec<_>>(), values, "{name}");
        }
    }

    #[test]
    fn one_value_in_common_is_enough() {
        let tags = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        fn labels(agent_tags: &[String]) -> Labels<'_> {
            Labels { agent: "web-1", check: "disk", kind: "disk", status: None, agent_tags, check_tags: &[] }
        }
        for (one, other, name, shared) in [
            (&["x", "prod"][..], &["prod", "y"][..], "tag", true),
            (&["x"], &["y"], "tag", false),
            (&[], &[], "tag", true),
            (&["x"], &[], "tag", false),
            (&["site=a"], &["site=a"], "site", true),
            (&["site=a"], &[], "site", false),
            (&["site="], &[], "site", true),
            (&[], &["site="], "site", true),
        ] {
            let (one, other) = (tags(one), tags(other));
            assert_eq!(labels(&one).shares(&labels(&other), name), shared, "{one:?} {other:?} {name}");
        }
    }
}
