//! Thresholds that remember: `for` (the breach must last) and `recover` (the way back is narrower).
//!
//! Works on the results' own timestamps, so it survives restarts, late delivery and changed intervals.

use serde::{Deserialize, Serialize};

use crate::metric::Metric;
use crate::policy::Policy;
use crate::status::Status;
use crate::threshold::{Range, SustainedMode, Threshold};
use crate::time::Timestamp;

/// The most samples that one window holds; older ones go first.
const MAX_SAMPLES: usize = 10_000;

/// What is remembered of one metric.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MetricMemory {
    /// The name of the metric.
    pub metric: String,
    /// The samples of the window, oldest first.
    samples: Vec<(Timestamp, f64)>,
    /// What the window last said of each range, for when too few samples are there to say more.
    warning: bool,
    critical: bool,
    /// The mildest level that was breached since the last recovery.
    mildest: Option<Status>,
    /// Since when the value has been inside `recover`.
    recovering_since: Option<Timestamp>,
}

/// Whether this threshold needs a memory.
#[must_use]
pub fn remembers(threshold: &Threshold) -> bool {
    threshold.for_time.is_some() || threshold.recover.is_some()
}

/// The status of one sample, moving the memory of its metric.
pub fn step(
    policy: &Policy,
    threshold: &Threshold,
    memory: &mut Vec<MetricMemory>,
    metric: &Metric,
    at: Timestamp,
) -> Status {
    let index = memory.iter().position(|entry| entry.metric == metric.name).unwrap_or_else(|| {
        memory.push(MetricMemory { metric: metric.name.clone(), ..MetricMemory::default() });
        memory.len() - 1
    });
    let entry = &mut memory[index];
    let status = entry.sustain(policy, threshold, metric.value, at);
    entry.recover(threshold, status, metric.value, at)
}

impl MetricMemory {
    /// The status by the ranges, held against the whole window when the threshold has `for`.
    fn sustain(&mut self, policy: &Policy, threshold: &Threshold, value: f64, at: Timestamp) -> Status {
        let Some(span) = threshold.for_time else {
            return threshold.status_of(value);
        };
        self.samples.push((at, value));
        let start = at.before(span);
        self.samples.retain(|(moment, _)| *moment > start && *moment <= at);
        let excess = self.samples.len().saturating_sub(MAX_SAMPLES);
        self.samples.drain(..excess);
        let expected = (span.get() / policy.interval.get().max(1)).clamp(1, MAX_SAMPLES as u64);
        if self.samples.len() as f64 >= threshold.min_coverage * expected as f64 {
            self.critical = threshold.critical.is_some_and(|range| self.breaches(range, threshold.mode));
            self.warning = threshold.warning.is_some_and(|range| self.breaches(range, threshold.mode));
        }
        match (self.critical, self.warning) {
            (true, _) => Status::Critical,
            (false, true) => Status::Warning,
            (false, false) => Status::Ok,
        }
    }

    fn breaches(&self, range: Range, mode: SustainedMode) -> bool {
        let count = self.samples.len() as f64;
        let breaching = || self.samples.iter().filter(|(_, value)| range.alerts(*value)).count() as f64;
        match mode {
            SustainedMode::All => breaching() >= count,
            SustainedMode::AtLeast(share) => breaching() >= (share * count).max(1.0),
            SustainedMode::Mean => {
                range.alerts(self.samples.iter().map(|(_, value)| value).sum::<f64>() / count)
            }
        }
    }

    /// Holds the status at the mildest level that was breached until the value has been inside `recover`.
    fn recover(&mut self, threshold: &Threshold, status: Status, value: f64, at: Timestamp) -> Status {
        let Some(range) = threshold.recover else {
            return status;
        };
        if let Some(breached) = mildest_breached(threshold, status) {
            self.mildest = Some(self.mildest.map_or(breached, |mildest| mildest.min(breached)));
            self.recovering_since = None;
            return status;
        }
        let Some(mildest) = self.mildest else {
            return status;
        };
        if range.alerts(value) {
            self.recovering_since = None;
            return mildest;
        }
        let since = *self.recovering_since.get_or_insert(at);
        if at.since(since) < threshold.recover_for.unwrap_or_default() {
            return mildest;
        }
        (self.mildest, self.recovering_since) = (None, None);
        status
    }
}

/// The mildest level that a status of this threshold has breached: a critical value breached the warning too.
fn mildest_breached(threshold: &Threshold, status: Status) -> Option<Status> {
    match status {
        Status::Ok => None,
        _ if threshold.warning.is_some() => Some(Status::Warning),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Millis;

    fn statuses(threshold: &Threshold, samples: &[(i64, f64)]) -> Vec<Status> {
        let (policy, mut memory) = (Policy::default(), Vec::new());
        let sample = |(minute, value): &(i64, f64)| {
            let at = Timestamp::from_millis(minute * 60_000);
            step(&policy, threshold, &mut memory, &Metric::new("usage", *value), at)
        };
        samples.iter().map(sample).collect()
    }

    #[test]
    fn recovery_needs_the_narrower_range() {
        use Status::{Critical, Ok, Warning};
        let threshold = Threshold {
            warning: "85".parse().ok(),
            critical: "95".parse().ok(),
            recover: "80".parse().ok(),
            ..Threshold::default()
        };
        let samples = [(0, 82.0), (1, 97.0), (2, 90.0), (3, 82.0), (4, 79.0), (5, 82.0)];
        assert_eq!(statuses(&threshold, &samples), [Ok, Critical, Warning, Warning, Ok, Ok]);
    }

    #[test]
    fn recovery_may_have_to_last() {
        use Status::{Ok, Warning};
        let threshold = Threshold {
            warning: "85".parse().ok(),
            recover: "80".parse().ok(),
            recover_for: Some(Millis::from_minutes(2)),
            ..Threshold::default()
        };
        let samples = [(0, 90.0), (1, 70.0), (2, 70.0), (3, 70.0), (4, 70.0)];
        assert_eq!(statuses(&threshold, &samples), [Warning, Warning, Warning, Ok, Ok]);
    }

    #[test]
    fn a_sustained_breach_needs_the_whole_window() {
        use Status::{Critical, Ok};
        let mut threshold = Threshold {
            critical: "90".parse().ok(),
            for_time: Some(Millis::from_minutes(5)),
            ..Threshold::default()
        };
        let high: Vec<_> = (0..6).map(|minute| (minute, 95.0)).collect();
        assert_eq!(statuses(&threshold, &high), [Ok, Ok, Ok, Critical, Critical, Critical]);
        let dip = [(0, 95.0), (1, 95.0), (2, 10.0), (3, 95.0), (4, 95.0), (5, 95.0), (6, 95.0), (7, 95.0)];
        assert_eq!(statuses(&threshold, &dip), [Ok, Ok, Ok, Ok, Ok, Ok, Ok, Critical]);
        threshold.mode = SustainedMode::AtLeast(0.8);
        assert_eq!(statuses(&threshold, &dip)[4..], [Critical; 4]);
    }

    #[test]
    fn a_gap_keeps_the_previous_condition() {
        use Status::Critical;
        let threshold = Threshold {
            critical: "90".parse().ok(),
            for_time: Some(Millis::from_minutes(5)),
            ..Threshold::default()
        };
        let mut samples: Vec<_> = (0..5).map(|minute| (minute, 95.0)).collect();
        samples.push((60, 10.0));
        assert_eq!(statuses(&threshold, &samples).last(), Some(&Critical));
    }
}
