//! Checks that an app brings itself, and what is wanted of each.

use std::sync::Arc;

use vilicus_core::{Check, Millis, Policy, Range, Threshold};

use crate::transport::Announcement;

/// A check of the program's own, with its name and what is wanted of it.
///
/// ```
/// use vilicus_agent::OwnCheck;
/// use vilicus_core::{Metric, Millis, check};
///
/// # let jobs_waiting = || 3.0;
/// let queue = OwnCheck::new("queue", check::from_fn(move || async move { Metric::new("waiting", jobs_waiting()) }))
///     .every(Millis::from_secs(10))
///     .warning("waiting", "100".parse()?)
///     .critical("waiting", "1000".parse()?);
/// # Ok::<(), vilicus_core::threshold::ParseRangeError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct OwnCheck {
    pub(crate) name: Arc<str>,
    pub(crate) check: Arc<dyn Check>,
    pub(crate) kind: String,
    pub(crate) description: String,
    pub(crate) policy: Policy,
}

impl OwnCheck {
    /// A check of this name (1 to 255 characters, no `/`, not all digits), run every minute.
    pub fn new(name: impl Into<String>, check: impl Check) -> Self {
        Self {
            name: name.into().into(),
            check: Arc::new(check),
            kind: "app".to_owned(),
            description: String::new(),
            policy: Policy::default(),
        }
    }

    /// How often it runs; at least 1 s. A confirmation is tried at least every 30 s.
    pub fn every(mut self, interval: Millis) -> Self {
        let fresh = Policy::new(interval);
        (self.policy.interval, self.policy.retry_interval) = (fresh.interval, fresh.retry_interval);
        self
    }

    /// After this time a run is dropped and CRITICAL; 10 s by default.
    pub fn timeout(mut self, timeout: Millis) -> Self {
        self.policy.timeout = timeout;
        self
    }

    /// So many bad results in a row confirm a problem; 3 by default.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.policy = self.policy.max_attempts(attempts.max(1));
        self
    }

    /// The range outside which this metric is WARNING.
    pub fn warning(mut self, metric: &str, range: Range) -> Self {
        self.threshold_mut(metric).warning = Some(range);
        self
    }

    /// The range outside which this metric is CRITICAL.
    pub fn critical(mut self, metric: &str, range: Range) -> Self {
        self.threshold_mut(metric).critical = Some(range);
        self
    }

    /// What it checks, in a few words for people.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// The kind under which the server lists it; `app` by default. Any word will do.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = kind.into();
        self
    }

    /// Everything that is wanted of it at once, in place of what was set so far.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// What the server is told of it.
    pub(crate) fn announcement(&self) -> Announcement {
        Announcement {
            name: self.name.to_string(),
            kind: self.kind.clone(),
            description: self.description.clone(),
            policy: self.policy.clone(),
        }
    }

    fn threshold_mut(&mut self, metric: &str) -> &mut Threshold {
        // The derived default has a coverage of 0; what configurations get is 0.8.
        let threshold = || Threshold { min_coverage: 0.8, ..Threshold::default() };
        self.policy.thresholds.entry(metric.to_owned()).or_insert_with(threshold)
    }
}

/// Why a name cannot be a check's, if it cannot.
pub(crate) fn misnamed(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("it is empty"),
        _ if name.chars().count() > 255 => Some("it is longer than 255 characters"),
        _ if name.contains('/') => Some("it holds a '/'"),
        _ if name.chars().any(char::is_control) => Some("it holds a control character"),
        _ if name.chars().all(|character| character.is_ascii_digit()) => Some("it is all digits, as an id"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::check::from_fn;

    #[test]
    fn names_are_those_that_the_server_takes() {
        for (name, fine) in
            [("queue", true), ("7up", true), ("", false), ("a/b", false), ("7", false), ("a\n", false)]
        {
            assert_eq!(misnamed(name).is_none(), fine, "{name:?}");
        }
        assert!(misnamed(&"x".repeat(256)).is_some());
    }

    #[test]
    fn what_is_wanted_is_kept() {
        let own = OwnCheck::new("queue", from_fn(|| async {}))
            .every(Millis::from_secs(5))
            .max_attempts(1)
            .warning("waiting", "10".parse().unwrap())
            .critical("waiting", "20".parse().unwrap());
        let threshold = &own.policy.thresholds["waiting"];
        assert!(threshold.warning.is_some() && threshold.critical.is_some());
        assert_eq!((own.policy.retry_interval.get(), own.policy.within), (5_000, 1));
    }
}
