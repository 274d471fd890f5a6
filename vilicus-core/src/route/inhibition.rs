//! Inhibition: while a source is a confirmed problem, its targets are not told.
//!
//! A check that matches both sides is never held by one that does too, so nothing inhibits itself.
//!
//! *Source of the rule:* <https://prometheus.io/docs/alerting/latest/configuration/#inhibition-related-settings>.

use serde::{Deserialize, Serialize};

use super::labels::Labels;
use super::matcher::{Matcher, all_match};
use crate::id::InhibitionId;

/// While a source is a confirmed problem, its targets are not told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inhibition {
    /// Its id.
    pub id: InhibitionId,
    /// Its name, unique in the server.
    pub name: String,
    /// What a source is like.
    pub source: Vec<Matcher>,
    /// What a target is like.
    pub target: Vec<Matcher>,
    /// The labels that source and target must have in common; one that neither has is equal. Of a label with several
    /// values (`tag`) one in common is enough.
    pub equal: Vec<String>,
    /// The file that manages it.
    pub managed_by: Option<String>,
}

impl Inhibition {
    /// Whether a check with these labels can hold others.
    #[must_use]
    pub fn is_source(&self, labels: &Labels<'_>) -> bool {
        all_match(&self.source, labels)
    }

    /// Whether a check with these labels can be held.
    #[must_use]
    pub fn is_target(&self, labels: &Labels<'_>) -> bool {
        all_match(&self.target, labels)
    }

    /// Whether the confirmed problem of `source` holds `target`. That the source is one is for the caller to say.
    #[must_use]
    pub fn holds(&self, source: &Labels<'_>, target: &Labels<'_>) -> bool {
        let both_sides = |labels| self.is_source(labels) && self.is_target(labels);
        self.is_source(source)
            && self.is_target(target)
            && !(both_sides(source) && both_sides(target))
            && self.equal.iter().all(|name| source.shares(target, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    fn labels<'a>(agent: &'a str, check: &'a str, status: Status, tags: &'a [String]) -> Labels<'a> {
        Labels { agent, check, kind: "x", status: Some(status), agent_tags: tags, check_tags: &[] }
    }

    #[test]
    fn a_source_holds_its_targets_and_never_itself() {
        let inhibition = Inhibition {
            id: InhibitionId::new(1).unwrap(),
            name: "worse first".to_owned(),
            source: vec!["status=critical".parse().unwrap()],
            target: vec!["status=~warning|critical".parse().unwrap()],
            equal: vec!["agent".to_owned(), "team".to_owned()],
            managed_by: None,
        };
        let (web, none) = (["team=web".to_owned()], []);
        let source = labels("a", "one", Status::Critical, &web);
        for (target, holds) in [
            (labels("a", "two", Status::Warning, &web), true),
            (labels("b", "two", Status::Warning, &web), false),
            (labels("a", "two", Status::Warning, &none), false),
            (labels("a", "two", Status::Unknown, &web), false),
            (labels("a", "two", Status::Critical, &web), false),
            (source, false),
        ] {
            assert_eq!(inhibition.holds(&source, &target), holds, "{target:?}");
        }
    }
}
