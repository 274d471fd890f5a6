//! A test as it is written, in TOML or YAML; every mistake with its place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use vilicus_core::heartbeat::Signal;
use vilicus_core::{CheckResult, Metric, Millis, NotificationEvent, Status, Timestamp};

use crate::apply::document::{Document, Format};
use crate::apply::{Fault, Faults};
use crate::http::Problem;
use crate::http::json::{Sent, fields_of, from_fields, known_fields};

/// The largest file, in bytes.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// The longest test.
const LONGEST: Millis = Millis::from_hours(400 * 24);
/// When a test begins that does not say: noon of a Monday.
const START: Timestamp = Timestamp::from_millis(1_767_614_400_000);

/// Tests that were read.
#[derive(Debug, Clone, Default)]
pub struct Tests(Vec<Test>);

/// One test.
#[derive(Debug, Clone)]
pub(super) struct Test {
    /// Where it stands.
    pub(super) place: String,
    pub(super) name: String,
    /// The check that steps and expectations are about unless they say otherwise.
    pub(super) check: String,
    pub(super) start: Timestamp,
    /// How long it lasts; `None` until everything has happened.
    pub(super) lasts: Option<Millis>,
    pub(super) steps: Vec<Step>,
    pub(super) expectations: Vec<Expectation>,
    /// Whether a message that no expectation speaks of fails it.
    pub(super) exact: bool,
    /// What stands beside the tests in their file: more of a configuration.
    pub(super) more: Arc<Map<String, Value>>,
}

/// Something that happens.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) at: Millis,
    pub(super) check: String,
    pub(super) action: Action,
}

/// What happens.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// Results come: so many, or up to the next step of the check, so often or at its interval.
    Results { result: CheckResult, every: Option<Millis>, count: Option<u32> },
    /// The check reports no longer, though its agent is in contact.
    Silence,
    /// The agent of the check is no longer in contact; what its checks report waits.
    AgentDown,
    /// It is back, and delivers what waited.
    AgentUp,
    /// A job says something of a run.
    Ping { signal: Signal, rid: Option<String>, body: String },
    /// Someone is on it.
    Acknowledge { by: String, comment: String, sticky: bool, expires_after: Option<Millis>, tell: bool },
    /// Nobody is on it any longer.
    Unacknowledge,
    /// A downtime of the check begins.
    Downtime { lasts: Millis, flexible: Option<Millis>, comment: String },
}

/// A message that is to go out.
#[derive(Debug, Clone)]
pub(super) struct Expectation {
    /// Not before …
    pub(super) from: Millis,
    /// … and not after.
    pub(super) to: Millis,
    pub(super) channel: Option<String>,
    pub(super) event: Option<NotificationEvent>,
    pub(super) status: Option<Status>,
    /// The check that it tells of.
    pub(super) check: Option<String>,
    /// What its title or text holds.
    pub(super) text: Option<String>,
}

/// A test as it is written.
#[derive(Debug, Deserialize, ToSchema)]
struct TestInput {
    /// What it shows, as a sentence.
    name: String,
    /// The check that it is about, as `agent/check`.
    check: String,
    /// When it begins; a Monday at noon, UTC.
    #[schema(value_type = Option<String>)]
    start: Option<Timestamp>,
    /// How long it lasts; until everything in it has happened.
    #[schema(value_type = Option<String>)]
    lasts: Option<Millis>,
    /// What happens.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    input: Vec<Value>,
    /// The messages that go out.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    expect: Vec<Value>,
    /// That none goes out.
    #[serde(default)]
    expect_none: bool,
    /// Whether a message that is not expected fails the test; yes.
    #[serde(default = "yes")]
    exact: bool,
}

/// A step as it is written: when, and one thing that happens.
#[derive(Debug, Deserialize, ToSchema)]
struct StepInput {
    /// How long after the beginning.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    at: Millis,
    /// Another check than that of the test, as `agent/check`.
    check: Option<String>,
    /// A result: its status; without one the thresholds judge it.
    #[schema(value_type = Option<String>)]
    status: Option<Status>,
    /// A result, or a ping: what it says.
    output: Option<String>,
    /// A result: what was measured, by name.
    #[serde(default)]
    #[schema(value_type = Object)]
    metrics: std::collections::BTreeMap<String, f64>,
    /// Results come so often; at the interval of the check.
    #[schema(value_type = Option<String>)]
    every: Option<Millis>,
    /// So many results come; 1, or with `every` as many as there is time for.
    count: Option<u32>,
    /// No results come from now on.
    #[serde(default)]
    silence: bool,
    /// `down`, or `up` again.
    #[schema(value_type = Option<String>)]
    agent: Option<AgentWord>,
    /// `start`, `success`, `fail`, `log`, or an exit status.
    #[schema(value_type = Option<String>)]
    ping: Option<PingWord>,
    /// What tells the pings of a run from those of others.
    rid: Option<String>,
    /// Someone is on it.
    #[schema(value_type = Option<Object>)]
    acknowledge: Option<Map<String, Value>>,
    /// Nobody is any longer.
    #[serde(default)]
    unacknowledge: bool,
    /// A downtime of the check begins.
    #[schema(value_type = Option<Object>)]
    downtime: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AgentWord {
    Down,
    Up,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected start, success, fail, log, or an exit status from 0 to 255")]
enum PingWord {
    Exit(u8),
    Word(Signal),
}

#[derive(Debug, Deserialize, ToSchema)]
struct AcknowledgeInput {
    #[serde(default = "someone")]
    by: String,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    sticky: bool,
    #[schema(value_type = Option<String>)]
    expires_after: Option<Millis>,
    /// Whether those who know of the problem are told.
    #[serde(default = "yes")]
    notify: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
struct DowntimeInput {
    #[schema(value_type = String)]
    lasts: Millis,
    /// It begins with the first problem within that time, and lasts so long from then on.
    #[schema(value_type = Option<String>)]
    flexible: Option<Millis>,
    #[serde(default)]
    comment: String,
}

/// An expectation as it is written.
#[derive(Debug, Deserialize, ToSchema)]
struct ExpectInput {
    /// When; with `within` not before.
    #[schema(value_type = Option<String>)]
    at: Option<Millis>,
    /// So much later at the latest.
    #[schema(value_type = Option<String>)]
    within: Option<Millis>,
    /// The name of the channel.
    channel: Option<String>,
    #[schema(value_type = Option<String>)]
    event: Option<NotificationEvent>,
    #[schema(value_type = Option<String>)]
    status: Option<Status>,
    /// The check that it tells of, as `agent/check`.
    check: Option<String>,
    /// What its title or its text holds.
    text: Option<String>,
}

fn yes() -> bool {
    true
}

fn someone() -> String {
    "someone".to_owned()
}

macro_rules! written {
    ($($name:ident)*) => {$(
        impl Sent for $name {
            const READ_ONLY: &'static [&'static str] = &[];
        }
    )*};
}

written! { TestInput StepInput AcknowledgeInput DowntimeInput ExpectInput }

impl Tests {
    /// The tests of a text; `file` says in messages where it is from.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn of_text(file: &str, text: &str, format: Format) -> Result<Self, Faults> {
        let file: Arc<str> = file.into();
        let (documents, misreadings) = Document::read(text, format);
        let mut faults = Faults::default();
        for misreading in misreadings {
            faults.add(Fault::of_misreading(Some(&file), misreading));
        }
        let mut tests = Vec::new();
        for document in &documents {
            read(&file, document, &mut tests, &mut faults);
        }
        if faults.is_empty() && tests.is_empty() {
            faults.add(Fault::of_file(&file, "holds no [[test]]"));
        }
        faults.or(Self(tests))
    }

    /// The tests of these files.
    ///
    /// # Errors
    /// Every file that can't be read, and every mistake, with its place.
    pub fn read(files: &[PathBuf]) -> Result<Self, Faults> {
        let (mut tests, mut faults) = (Vec::new(), Faults::default());
        for file in files {
            let name: Arc<str> = file.display().to_string().into();
            match text_of(file) {
                Ok((text, format)) => match Self::of_text(&name, &text, format) {
                    Ok(more) => tests.extend(more.0),
                    Err(more) => more.iter().for_each(|fault| faults.add(fault.clone())),
                },
                Err(detail) => faults.add(Fault::of_file(&name, detail)),
            }
        }
        faults.or(Self(tests))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Test> {
        self.0.iter()
    }
}

fn text_of(file: &Path) -> Result<(String, Format), String> {
    let format = Format::of_path(file).ok_or("its name must end with .toml, .yaml or .yml")?;
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    if std::fs::metadata(file).map_err(unreadable)?.len() > MAX_FILE {
        return Err("is larger than 4 MiB; write several files".to_owned());
    }
    Ok((std::fs::read_to_string(file).map_err(unreadable)?, format))
}

fn read(file: &Arc<str>, document: &Document, tests: &mut Vec<Test>, faults: &mut Faults) {
    let mut more = document.fields().clone();
    let Some(written) = more.remove("test") else { return };
    let more = Arc::new(more);
    let Value::Array(written) = written else {
        return faults.add(fault_at(file, document, "/test", "expected a list of tests, as [[test]]"));
    };
    for (index, value) in written.into_iter().enumerate() {
        let pointer = format!("/test/{index}");
        match test(value, &more) {
            Ok(mut test) => {
                let place = document.place_of(&pointer);
                test.place = place.map_or_else(|| file.to_string(), |place| format!("{file}:{place}"));
                tests.push(test);
            }
            Err(problem) => {
                for mistake in problem.below(&pointer).errors() {
                    faults.add(fault_at(file, document, &mistake.pointer, &mistake.detail));
                }
            }
        }
    }
}

fn fault_at(file: &Arc<str>, document: &Document, pointer: &str, detail: &str) -> Fault {
    let place = document.place_of_name(pointer).or_else(|| document.place_of(pointer));
    let field = pointer.rsplit('/').next().filter(|name| name.parse::<usize>().is_err());
    let detail = field.map_or_else(|| detail.to_owned(), |field| format!("{field}: {detail}"));
    Fault::of_misreading(Some(file), crate::apply::document::Misreading { place, detail })
}

/// Reads the object of a value, strictly.
fn typed<T: Sent>(value: Value) -> Result<T, Problem> {
    from_fields(known_fields::<T>(fields_of(value)?)?)
}

fn test(value: Value, more: &Arc<Map<String, Value>>) -> Result<Test, Problem> {
    let input: TestInput = typed(value)?;
    let mut steps = Vec::with_capacity(input.input.len());
    for (index, value) in input.input.into_iter().enumerate() {
        steps.push(step(value, &input.check).map_err(|problem| problem.below(&format!("/input/{index}")))?);
    }
    let mut expectations = Vec::with_capacity(input.expect.len());
    for (index, value) in input.expect.into_iter().enumerate() {
        expectations.push(expectation(value).map_err(|problem| problem.below(&format!("/expect/{index}")))?);
    }
    if input.expect_none != expectations.is_empty() {
        let detail = "say which messages are to go out, as [[test.expect]], or expect_none = true";
        return Err(Problem::invalid("/expect_none", detail));
    }
    if input.lasts.is_some_and(|lasts| lasts > LONGEST) {
        return Err(Problem::invalid("/lasts", format!("is longer than {LONGEST}")));
    }
    Ok(Test {
        place: String::new(),
        name: input.name,
        check: input.check,
        start: input.start.unwrap_or(START),
        lasts: input.lasts,
        steps,
        expectations,
        exact: input.exact,
        more: Arc::clone(more),
    })
}

fn step(value: Value, check: &str) -> Result<Step, Problem> {
    let input: StepInput = typed(value)?;
    if input.at > LONGEST {
        return Err(Problem::invalid("/at", format!("is later than {LONGEST}")));
    }
    let (at, check) = (input.at, input.check.clone().unwrap_or_else(|| check.to_owned()));
    let action = action(input)?;
    Ok(Step { at, check, action })
}

/// The one thing that happens in a step.
fn action(input: StepInput) -> Result<Action, Problem> {
    let one = "say one thing: a result (status, metrics, output), silence, agent, ping, acknowledge, unacknowledge or downtime";
    let is_result =
        input.status.is_some() || !input.metrics.is_empty() || input.ping.is_none() && input.output.is_some();
    let said = [
        is_result,
        input.silence,
        input.agent.is_some(),
        input.ping.is_some(),
        input.acknowledge.is_some(),
        input.unacknowledge,
        input.downtime.is_some(),
    ];
    if said.into_iter().filter(|said| *said).count() != 1 {
        return Err(Problem::invalid("", one));
    }
    if !is_result && (input.every.is_some() || input.count.is_some()) {
        return Err(Problem::invalid("/every", "only results come again"));
    }
    if is_result {
        return results(input);
    }
    Ok(match input {
        StepInput { silence: true, .. } => Action::Silence,
        StepInput { agent: Some(AgentWord::Down), .. } => Action::AgentDown,
        StepInput { agent: Some(AgentWord::Up), .. } => Action::AgentUp,
        StepInput { ping: Some(word), rid, output, .. } => {
            let signal = match word {
                PingWord::Exit(status) => Signal::Exit(status),
                PingWord::Word(signal) => signal,
            };
            Action::Ping { signal, rid, body: output.unwrap_or_default() }
        }
        StepInput { acknowledge: Some(fields), .. } => {
            let said: AcknowledgeInput = inner(fields, "/acknowledge")?;
            let AcknowledgeInput { by, comment, sticky, expires_after, notify: tell } = said;
            Action::Acknowledge { by, comment, sticky, expires_after, tell }
        }
        StepInput { downtime: Some(fields), .. } => {
            let DowntimeInput { lasts, flexible, comment } = inner(fields, "/downtime")?;
            Action::Downtime { lasts, flexible, comment }
        }
        _ => Action::Unacknowledge,
    })
}

fn inner<T: Sent>(fields: Map<String, Value>, place: &str) -> Result<T, Problem> {
    typed(Value::Object(fields)).map_err(|problem| problem.below(place))
}

fn results(input: StepInput) -> Result<Action, Problem> {
    if input.every.is_some_and(|every| every < Millis::from_secs(1)) {
        return Err(Problem::invalid("/every", "is shorter than 1 s"));
    }
    let metrics = input.metrics.into_iter().map(|(name, value)| Metric::new(name, value)).collect();
    let result = CheckResult {
        status: input.status,
        output: input.output.unwrap_or_default(),
        metrics,
        ..CheckResult::default()
    };
    let count = input.count.or(if input.every.is_none() { Some(1) } else { None });
    Ok(Action::Results { result, every: input.every, count })
}

fn expectation(value: Value) -> Result<Expectation, Problem> {
    let ExpectInput { at, within, channel, event, status, check, text } = typed(value)?;
    let (from, to) = match (at, within) {
        (Some(at), within) => (at, at.plus(within.unwrap_or(Millis::ZERO))),
        (None, Some(within)) => (Millis::ZERO, within),
        (None, None) => return Err(Problem::invalid("/at", "say when: at, within, or both")),
    };
    if to > LONGEST {
        return Err(Problem::invalid("/at", format!("is later than {LONGEST}")));
    }
    Ok(Expectation { from, to, channel, event, status, check, text })
}
