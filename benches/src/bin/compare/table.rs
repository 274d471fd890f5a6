//! The table: ours beside each peer's, the ratio, and the ratio that is aimed at.

use std::collections::HashMap;
use std::fmt;

/// What was measured, of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    /// Results a second in batches.
    Batches,
    /// Processor time of the server for a million results in batches, in seconds.
    BatchCpu,
    /// Bytes written a result in batches.
    BatchBytes,
    /// The 99th percentile of a batch's answer, in milliseconds.
    BatchP99,
    /// Requests a second, of one result.
    Singles,
    /// Processor time of the server for a million single results, in seconds.
    SingleCpu,
    /// From a bad result to its message, the median, in milliseconds.
    AlertP50,
    /// The 99th percentile of that.
    AlertP99,
    /// Until all of 1,000 are told, in milliseconds.
    Storm,
    /// Until all of 1,000 are told in one message, in milliseconds.
    GroupedStorm,
    /// From the start of a program that knows 100,000 checks until it works, in seconds.
    Start,
    /// Its memory then, in MiB.
    StartMemory,
}

/// A row: what, of whom beside ours, and the ratio that is aimed at.
struct Row {
    work: Work,
    title: &'static str,
    digits: usize,
    /// What of the peer stands beside it; `None` with a target in our own unit.
    beside: Option<(&'static str, Work)>,
    target: &'static str,
}

const fn row(
    work: Work,
    title: &'static str,
    digits: usize,
    beside: Option<(&'static str, Work)>,
    target: &'static str,
) -> Row {
    Row { work, title, digits, beside, target }
}

const ROWS: [Row; 19] = [
    row(Work::Batches, "results/s, batches of 100", 0, Some(("prometheus", Work::Batches)), "≥ 1.6"),
    row(Work::Batches, "results/s, batches of 100", 0, Some(("nagios", Work::Batches)), "≥ 4"),
    row(Work::Batches, "results/s, batches of 100", 0, Some(("icinga", Work::Batches)), ""),
    row(Work::Batches, "results/s, batches of 100", 0, Some(("zabbix", Work::Batches)), "≥ 14"),
    row(Work::BatchCpu, "CPU s for 1M results in batches", 2, Some(("prometheus", Work::BatchCpu)), "≤ 0.38"),
    row(Work::BatchCpu, "CPU s for 1M results in batches", 2, Some(("nagios", Work::BatchCpu)), "≤ 0.23"),
    row(Work::BatchCpu, "CPU s for 1M results in batches", 2, Some(("icinga", Work::BatchCpu)), ""),
    row(Work::BatchCpu, "CPU s for 1M results in batches", 2, Some(("zabbix", Work::BatchCpu)), ""),
    row(Work::BatchBytes, "bytes written a result in batches", 1, None, "≤ 25"),
    row(Work::BatchP99, "answer to a batch, p99, ms", 2, Some(("prometheus", Work::BatchP99)), ""),
    row(Work::Singles, "requests/s, one result each", 0, Some(("nginx", Work::Singles)), "≥ 0.65"),
    row(Work::SingleCpu, "CPU s for 1M single results", 2, None, ""),
    row(Work::AlertP50, "bad result → webhook, p50, ms", 2, Some(("alertmanager", Work::AlertP50)), "≤ 1.0"),
    row(Work::AlertP99, "bad result → webhook, p99, ms", 2, Some(("alertmanager", Work::AlertP99)), "≤ 1.5"),
    row(Work::Storm, "1,000 fail at once → all told, ms", 0, Some(("alertmanager", Work::Storm)), "≤ 0.5"),
    row(
        Work::GroupedStorm,
        "1,000 fail at once → one message, ms",
        0,
        Some(("alertmanager", Work::GroupedStorm)),
        "",
    ),
    row(Work::GroupedStorm, "1,000 fail at once → one message, ms", 0, None, "≤ 50"),
    row(Work::Start, "start with 100,000 checks, s", 2, Some(("nagios", Work::Start)), "≤ 0.15"),
    row(Work::StartMemory, "memory then (PSS), MiB", 0, Some(("nagios", Work::StartMemory)), "≤ 80 MiB"),
];

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Figures(HashMap<(&'static str, Work), f64>);

impl Figures {
    pub(crate) fn put(&mut self, system: &'static str, work: Work, figure: f64) {
        self.0.insert((system, work), figure);
    }

    fn of(&self, system: &'static str, work: Work) -> Option<f64> {
        self.0.get(&(system, work)).copied()
    }

    fn line(&self, row: &Row) -> Option<String> {
        let Row { work, title, digits, beside, target } = row;
        let ours = self.of("vilicus", *work);
        let shown =
            |figure: Option<f64>| figure.map_or("–".to_owned(), |figure| format!("{figure:.digits$}"));
        let (peer, ratio) = match *beside {
            None => (String::new(), String::new()),
            Some((name, work)) => {
                let theirs = self.of(name, work)?;
                let ratio = ours.map(|ours| format!("{:.2}", ours / theirs)).unwrap_or_default();
                (format!("{name} {}", shown(Some(theirs))), ratio)
            }
        };
        (ours.is_some() || beside.is_some())
            .then(|| format!("| {title} | {} | {peer} | {ratio} | {target} |", shown(ours)))
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| work | vilicus | beside | ratio | aim |\n|---|---|---|---|---|")?;
        ROWS.iter().filter_map(|row| self.line(row)).try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_needs_its_peer_and_shows_the_ratio() {
        let mut figures = Figures::default();
        figures.put("vilicus", Work::Singles, 30_000.0);
        figures.put("vilicus", Work::AlertP50, 0.5);
        figures.put("nginx", Work::Singles, 60_000.0);
        let table = figures.to_string();
        assert!(
            table.ends_with("| requests/s, one result each | 30000 | nginx 60000 | 0.50 | ≥ 0.65 |\n"),
            "{table}"
        );
    }
}
