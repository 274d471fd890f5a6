//! The `aggregate` kind: how many of a set of checks are well, as the servers behind one name.
//!
//! It looks at confirmed statuses, so a passing fault of one member does not shake the whole. What cannot be reached
//! counts as UNKNOWN, whatever it said last.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use vilicus_core::kind::MetricDescription;
use vilicus_core::result::error_chain;
use vilicus_core::route::{Labels, Matcher, all_match};
use vilicus_core::{Check, CheckContext, CheckKind, CheckResult, Metric, ParamsError, Status, async_trait};
use vilicus_store::inventory::AGGREGATE_KIND;
use vilicus_store::query::{CheckFilter, CheckView, Page};
use vilicus_store::{Store, StoreError};

/// The most members that are named in a result.
const NAMED: usize = 20;

/// What an `aggregate` check counts.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AggregateParams {
    /// Which checks: conditions that all must hold, as `kind=http` and `tag=shop`.
    checks: Vec<String>,
    /// CRITICAL when fewer are OK: a number, or a percentage as "50%".
    #[serde(default)]
    critical_below: Option<AmountParam>,
    /// WARNING when fewer are OK: a number, or a percentage as "80%".
    #[serde(default)]
    warning_below: Option<AmountParam>,
}

/// An amount as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number, or a percentage as \"80%\"")]
enum AmountParam {
    /// So many checks.
    Count(u32),
    /// So many checks, or a percentage of them.
    Text(String),
}

/// How many checks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Amount {
    Count(u32),
    Percent(f64),
}

impl FromStr for Amount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let amount = match text.strip_suffix('%') {
            None => text.parse().map(Self::Count).ok(),
            Some(percent) => {
                let percent = percent.trim().parse().ok();
                percent.filter(|percent| (0.0..=100.0).contains(percent)).map(Self::Percent)
            }
        };
        amount.ok_or("expected a number, or a percentage as \"80%\"")
    }
}

impl Amount {
    fn parse(name: &str, param: Option<AmountParam>) -> Result<Option<Self>, ParamsError> {
        match param {
            None => Ok(None),
            Some(AmountParam::Count(count)) => Ok(Some(Self::Count(count))),
            Some(AmountParam::Text(text)) => {
                text.parse().map(Some).map_err(|problem| ParamsError::new(name, format!("{name}: {problem}")))
            }
        }
    }

    fn is_missed(self, ok: usize, of: usize) -> bool {
        match self {
            Self::Count(count) => ok < count as usize,
            Self::Percent(percent) => (ok as f64) * 100.0 < percent * (of as f64),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// The `aggregate` kind, over the checks of this store.
#[derive(Debug, Clone)]
pub struct Aggregate {
    store: Arc<dyn Store>,
}

impl Aggregate {
    /// Counts checks of this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

impl CheckKind for Aggregate {
    type Params = AggregateParams;

    fn name(&self) -> &'static str {
        AGGREGATE_KIND
    }

    fn description(&self) -> &'static str {
        "how many of a set of checks are well; judged on the server"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        const fn count(name: &'static str, description: &'static str) -> MetricDescription {
            MetricDescription { name, unit: "", description }
        }
        const {
            &[
                count("ok", "members that are OK"),
                count("warning", "members in WARNING"),
                count("critical", "members that are CRITICAL"),
                count("unknown", "members that are UNKNOWN or cannot be reached"),
            ]
        }
    }

    fn build(&self, params: AggregateParams) -> Result<Arc<dyn Check>, ParamsError> {
        if params.checks.is_empty() {
            return Err(ParamsError::new("checks", "checks: name one condition at least, as \"kind=http\""));
        }
        let mut matchers = Vec::with_capacity(params.checks.len());
        for (index, text) in params.checks.iter().enumerate() {
            let matcher: Matcher = text.parse().map_err(|error| ParamsError {
                pointer: format!("/checks/{index}"),
                detail: format!("checks: {error}"),
            })?;
            matchers.push(matcher);
        }
        Ok(Arc::new(Count {
            store: self.store.clone(),
            matchers,
            critical_below: Amount::parse("critical_below", params.critical_below)?,
            warning_below: Amount::parse("warning_below", params.warning_below)?,
        }))
    }
}

#[derive(Debug)]
struct Count {
    store: Arc<dyn Store>,
    matchers: Vec<Matcher>,
    critical_below: Option<Amount>,
    warning_below: Option<Amount>,
}

#[async_trait]
impl Check for Count {
    async fn run(&self, cx: &CheckContext) -> CheckResult {
        match self.members(&cx.name).await {
            Ok(members) => self.judge(&members),
            Err(error) => CheckResult::unknown(format!("the checks cannot be read: {}", error_chain(&error))),
        }
    }
}

impl Count {
    /// The members; the aggregate itself, known by its full name, never is one.
    async fn members(&self, own: &str) -> Result<Vec<Member>, StoreError> {
        let filter = CheckFilter { enabled: Some(true), ..CheckFilter::default() };
        let checks = self.store.checks(&filter, Page::ALL).await?.objects;
        let members = checks.iter().filter(|view| self.counts(view)).map(Member::of);
        Ok(members.filter(|member| member.name != own).collect())
    }

    fn counts(&self, view: &CheckView) -> bool {
        let labels = Labels {
            agent: &view.agent.name,
            check: &view.check.name,
            kind: &view.check.kind,
            status: view.state.hard_status,
            agent_tags: &view.agent.tags,
            check_tags: &view.check.tags,
        };
        all_match(&self.matchers, &labels)
    }

    fn judge(&self, members: &[Member]) -> CheckResult {
        let count = |status| members.iter().filter(|member| member.status == Some(status)).count();
        let (ok, warning) = (count(Status::Ok), count(Status::Warning));
        let (critical, unknown) = (count(Status::Critical), count(Status::Unknown));
        let of = ok + warning + critical + unknown;
        let pending = members.len() - of;
        let result = if members.is_empty() {
            CheckResult::unknown("no check meets the conditions")
        } else if of == 0 {
            CheckResult::unknown("none of the checks has reported yet")
        } else {
            self.verdict(ok, of, pending)
        };
        let metrics = [("ok", ok), ("warning", warning), ("critical", critical), ("unknown", unknown)];
        metrics
            .into_iter()
            .fold(result, |result, (name, count)| result.metric(Metric::new(name, count as f64)))
            .long_output(not_well(members))
    }

    fn verdict(&self, ok: usize, of: usize, pending: usize) -> CheckResult {
        let missed = |amount: Option<Amount>| amount.filter(|amount| amount.is_missed(ok, of));
        let (status, below) = match (missed(self.critical_below), missed(self.warning_below)) {
            (Some(amount), _) => (Status::Critical, Some(amount)),
            (None, Some(amount)) => (Status::Warning, Some(amount)),
            (None, None) => (Status::Ok, None),
        };
        let mut output = format!("{ok} of {of} OK");
        if let Some(amount) = below {
            output += &format!(", fewer than {amount}");
        }
        if pending > 0 {
            output += &format!("; {pending} not reported yet");
        }
        CheckResult::new(status, output)
    }
}

/// The members that are not OK, one a line.
fn not_well(members: &[Member]) -> String {
    let bad: Vec<&Member> = members.iter().filter(|member| member.status != Some(Status::Ok)).collect();
    let mut lines: Vec<String> = bad.iter().take(NAMED).map(ToString::to_string).collect();
    if bad.len() > NAMED {
        lines.push(format!("… and {} more", bad.len() - NAMED));
    }
    lines.join("\n")
}

/// A check that is counted.
#[derive(Debug)]
struct Member {
    name: String,
    /// `None` before the first confirmed status.
    status: Option<Status>,
}

impl Member {
    fn of(view: &CheckView) -> Self {
        let status = view.state.hard_status.map(|status| match status {
            Status::Ok if view.unreachable => Status::Unknown,
            status => status,
        });
        Self { name: format!("{}/{}", view.agent.name, view.check.name), status }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{status} {}", self.name),
            None => write!(f, "PENDING {}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use vilicus_core::{KindRegistry, Timestamp};
    use vilicus_store::{EngineStore, MemoryEngine, Options};

    fn kinds() -> KindRegistry {
        let options = Options::new(Timestamp::from_millis(1_790_000_000_000), [7; 16]);
        let store = EngineStore::open(MemoryEngine::new(), options).unwrap();
        KindRegistry::new().with(Aggregate::new(Arc::new(store)))
    }

    fn count(critical: &str, warning: &str) -> Count {
        let options = Options::new(Timestamp::from_millis(1_790_000_000_000), [7; 16]);
        Count {
            store: Arc::new(EngineStore::open(MemoryEngine::new(), options).unwrap()),
            matchers: Vec::new(),
            critical_below: critical.parse().ok(),
            warning_below: warning.parse().ok(),
        }
    }

    #[test]
    fn what_can_not_work_is_refused_with_its_place() {
        for (params, pointer, words) in [
            (json!({}), "/checks", "checks"),
            (json!({"checks": []}), "/checks", "one condition"),
            (json!({"checks": ["kind=http", "tag"]}), "/checks/1", "expected name=value"),
            (json!({"checks": ["a=~("]}), "/checks/0", "regular expression"),
            (json!({"checks": ["a=b"], "critical_below": "120%"}), "/critical_below", "80%"),
            (json!({"checks": ["a=b"], "warning_below": "many"}), "/warning_below", "80%"),
            (json!({"checks": ["a=b"], "warning_below": -1}), "/warning_below", "80%"),
            (json!({"checks": ["a=b"], "critical_bellow": 1}), "/critical_bellow", "did you mean"),
        ] {
            let error = kinds().build(AGGREGATE_KIND, &params).unwrap_err();
            let vilicus_core::kind::BuildError::Params(error) = error else { panic!("{error}") };
            let found = error.pointer == pointer || (pointer == "/checks" && error.pointer.is_empty());
            assert!(found && error.detail.contains(words), "{params}: {error:?}");
        }
        kinds().build(AGGREGATE_KIND, &json!({"checks": ["a=b"], "critical_below": 2})).unwrap();
        kinds().build(AGGREGATE_KIND, &json!({"checks": ["a=b"], "critical_below": "2"})).unwrap();
    }

    #[test]
    fn too_few_that_are_ok_are_a_problem() {
        use Status::{Critical, Ok, Unknown, Warning};
        for (statuses, critical, warning, expected) in [
            (&[Some(Ok), Some(Ok), Some(Critical)][..], "2", "3", Warning),
            (&[Some(Ok), Some(Critical), Some(Unknown)], "2", "3", Critical),
            (&[Some(Ok), Some(Ok), Some(Ok)], "2", "3", Ok),
            (&[Some(Ok), Some(Ok), Some(Warning), Some(Ok)], "50%", "80%", Warning),
            (&[Some(Ok), Some(Ok), Some(Warning), Some(Warning)], "50%", "50%", Ok),
            (&[Some(Ok), None, None, None], "50%", "80%", Ok),
            (&[Some(Critical)], "", "", Ok),
            (&[None], "1", "1", Unknown),
            (&[], "1", "1", Unknown),
        ] {
            let members: Vec<_> =
                statuses.iter().map(|status| Member { name: "a/b".to_owned(), status: *status }).collect();
            let result = count(critical, warning).judge(&members);
            assert_eq!(result.status, Some(expected), "{statuses:?}: {}", result.output);
            assert_eq!(result.metrics.len(), 4);
        }
    }

    #[test]
    fn those_that_are_not_well_are_named_up_to_a_number() {
        let member = |status| Member { name: "web-1/http".to_owned(), status };
        let mut members = vec![member(Some(Status::Ok)), member(Some(Status::Critical))];
        assert_eq!(not_well(&members), "CRITICAL web-1/http");
        members.extend((0..NAMED).map(|_| member(None)));
        assert!(not_well(&members).ends_with("PENDING web-1/http\n… and 1 more"));
    }
}
