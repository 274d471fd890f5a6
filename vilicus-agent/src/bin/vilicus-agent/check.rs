//! `vilicus-agent check`: runs one check now and speaks as a monitoring plugin does.
//!
//! *Source:* <https://www.monitoring-plugins.org/doc/guidelines.html#PLUGOUTPUT>.

use std::process::ExitCode;

use vilicus_agent::config::Config;
use vilicus_agent::printable::escaped;
use vilicus_agent::run_once;
use vilicus_core::judge::status;
use vilicus_core::kind::KindDescription;
use vilicus_core::plugin::NO_OUTPUT;
use vilicus_core::result::error_chain;
use vilicus_core::threshold::{ParseRangeError, name_matches};
use vilicus_core::{CheckResult, KindRegistry, Policy, Range, Status, Threshold, Timestamp, perfdata};

use crate::args::{CheckOptions, Shared};
use crate::terminal::say;
use crate::{check_params, settings};

/// A range, and the metric that it is for, if one is named.
type Limit = (Option<String>, Range);

pub(crate) fn run(shared: &Shared, options: &CheckOptions) -> ExitCode {
    let (status, text) = match outcome(shared, options) {
        Ok((status, result)) => (status, print(status, &result)),
        Err(problem) => (Status::Unknown, format!("{}: {}\n", Status::Unknown, escaped(&problem))),
    };
    say(&text);
    ExitCode::from(status.code())
}

fn outcome(shared: &Shared, options: &CheckOptions) -> Result<(Status, CheckResult), String> {
    let config = Config::find(shared.config.as_deref()).map_err(|error| error_chain(&error))?;
    let kinds = settings::kinds(&config).map_err(|error| error_chain(&error))?;
    let warning = limits(&options.warning, "--warning")?;
    let critical = limits(&options.critical, "--critical")?;
    let description = describe(&kinds, &options.kind)?;
    let params = check_params::read(&description.params_schema, &options.params)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot run anything: {error}"))?;
    let run = run_once(&kinds, &options.kind, &params, options.timeout);
    let result = runtime.block_on(run).map_err(|error| format!("bad parameters: {}", error_chain(&error)))?;
    // What hangs in a system call must not keep the plugin from ending.
    runtime.shutdown_background();
    Ok(judge(result, &description, warning, critical))
}

fn describe(kinds: &KindRegistry, kind: &str) -> Result<KindDescription, String> {
    kinds.describe(kind).ok_or_else(|| {
        let known: Vec<&str> = kinds.names().collect();
        match vilicus_core::params::nearest(kind, known.iter().copied()) {
            Some(near) => format!("unknown kind '{kind}'; did you mean '{near}'?"),
            None => format!("unknown kind '{kind}'; known are {}", known.join(", ")),
        }
    })
}

fn limits(texts: &[String], flag: &str) -> Result<Vec<Limit>, String> {
    texts.iter().map(|text| limit(text).map_err(|error| format!("{flag}: {error}"))).collect()
}

/// `[METRIC=]RANGE`
fn limit(text: &str) -> Result<Limit, String> {
    let (metric, range) = match text.rsplit_once('=') {
        Some(("", _)) => return Err("the name of the metric before '=' is empty".to_owned()),
        Some((metric, range)) => (Some(metric.to_owned()), range),
        None => (None, text),
    };
    Ok((metric, range.parse().map_err(|error: ParseRangeError| error.to_string())?))
}

/// The worst of the check's own status and of the ranges, and the result with the ranges beside its metrics.
fn judge(
    mut result: CheckResult,
    kind: &KindDescription,
    warning: Vec<Limit>,
    critical: Vec<Limit>,
) -> (Status, CheckResult) {
    let mut policy = Policy::default();
    for (limits, is_critical) in [(warning, false), (critical, true)] {
        for (metric, range) in limits {
            let threshold: &mut Threshold =
                policy.thresholds.entry(name_of(metric, kind, &result)).or_default();
            let place = if is_critical { &mut threshold.critical } else { &mut threshold.warning };
            *place = Some(range);
        }
    }
    let evaluated = status::evaluate(&policy, &mut Vec::new(), &result, Timestamp::EPOCH);
    for metric in &mut result.metrics {
        for (_, threshold) in policy.thresholds.iter().filter(|(name, _)| name_matches(name, &metric.name)) {
            metric.warning = threshold.warning.or(metric.warning);
            metric.critical = threshold.critical.or(metric.critical);
        }
    }
    if let Some(reason) = evaluated.reason {
        let gap = if result.output.is_empty() { "" } else { "; " };
        result.output = format!("{}{gap}{reason}", result.output);
    }
    (evaluated.status, result)
}

/// The metric that a range is for: the named one, else the kind's first, else the result's first. Where metrics carry
/// the thing that they belong to (`used_percent:/var`), the bare name means all of them.
fn name_of(named: Option<String>, kind: &KindDescription, result: &CheckResult) -> String {
    let first = kind.metrics.first().map(|metric| metric.name.to_owned());
    let first = first.or_else(|| result.metrics.first().map(|metric| metric.name.clone()));
    let name = named.or(first).unwrap_or_default();
    let is_there = |pattern: &str| result.metrics.iter().any(|metric| name_matches(pattern, &metric.name));
    let all = format!("{name}:*");
    if !is_there(&name) && is_there(&all) { all } else { name }
}

/// `text | perfdata`, then the long text. A `|` within a text would begin perfdata.
fn print(status: Status, result: &CheckResult) -> String {
    let line = |text: &str| escaped(text).to_string().replace('|', "¦");
    let output = line(if result.output.is_empty() { NO_OUTPUT } else { &result.output });
    let mut text = if says(status, &output) { output } else { format!("{status}: {output}") };
    if !result.metrics.is_empty() {
        text.push_str(" | ");
        text.push_str(&escaped(&perfdata::print(&result.metrics)).to_string());
    }
    text.push('\n');
    for long in result.long_output.lines() {
        text.push_str(&line(long));
        text.push('\n');
    }
    text
}

/// Whether the text begins with this status already, as `DISK OK - …` of a plugin does, and with no other.
fn says(status: Status, text: &str) -> bool {
    let words = text.split([' ', ':', '-', ';', ',']).filter(|word| !word.is_empty());
    let named = words.take(3).find_map(|word| Status::ALL.into_iter().find(|status| status.as_str() == word));
    named == Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::Metric;
    use vilicus_core::kind::MetricDescription;

    fn kind(metrics: &'static [MetricDescription]) -> KindDescription {
        KindDescription { name: "k", description: "", metrics, params_schema: serde_json::json!({}) }
    }

    const USED: &[MetricDescription] = &[MetricDescription { name: "used", unit: "%", description: "" }];

    fn judged(result: CheckResult, warning: &str, critical: &str) -> (Status, String) {
        let limits = |text: &str| if text.is_empty() { vec![] } else { vec![limit(text).unwrap()] };
        let (status, result) = judge(result, &kind(USED), limits(warning), limits(critical));
        (status, print(status, &result))
    }

    #[test]
    fn the_first_line_is_that_of_a_plugin() {
        let used = |value| CheckResult::measured("used").metric(Metric::percent("used", value));
        for (value, status, text) in [
            (10.0, Status::Ok, "OK: used | used=10%;80;90;0;100\n"),
            (85.0, Status::Warning, "WARNING: used; used 85% breaches warning 80 | used=85%;80;90;0;100\n"),
            (
                95.0,
                Status::Critical,
                "CRITICAL: used; used 95% breaches critical 90 | used=95%;80;90;0;100\n",
            ),
        ] {
            assert_eq!(judged(used(value), "80", "used=90"), (status, text.to_owned()));
        }
    }

    #[test]
    fn a_bare_name_means_every_thing_that_has_it() {
        let result = CheckResult::measured("disks")
            .metric(Metric::percent("used:/", 10.0))
            .metric(Metric::percent("used:/var", 95.0));
        assert_eq!(judged(result, "", "90").0, Status::Critical);
        assert_eq!(judged(CheckResult::ok("x"), "nonsense=1", "").0, Status::Unknown);
    }

    #[test]
    fn a_plugins_own_word_is_not_repeated_and_a_wrong_one_corrected() {
        assert_eq!(judged(CheckResult::ok("DISK OK - fine"), "", "").1, "DISK OK - fine\n");
        assert_eq!(judged(CheckResult::critical("DISK OK - fine"), "", "").1, "CRITICAL: DISK OK - fine\n");
        assert_eq!(judged(CheckResult::ok(""), "", "").1, "OK: (no output)\n");
    }

    #[test]
    fn no_text_can_pose_as_perfdata_or_as_another_line() {
        let hostile = CheckResult::ok("a | x=1\nb\u{1b}[2J").long_output("long | y=2\nmore");
        assert_eq!(judged(hostile, "", "").1, "OK: a ¦ x=1\\nb\\u{1b}[2J\nlong ¦ y=2\nmore\n");
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        for text in ["", "x", "=5", "used=", "5:1", "used=NaN"] {
            assert!(limit(text).is_err(), "{text:?}");
        }
        assert_eq!(limit("a=b=~:5").unwrap().0.as_deref(), Some("a=b"));
    }
}
