//! The form of a check: the kind first, then what the kind's schema asks for; it can be run before it is saved.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use vilicus_core::Millis;
use vilicus_core::heartbeat::HeartbeatParams;
use vilicus_core::kind::KindDescription;
use vilicus_store::inventory::{HEARTBEAT_KIND, SERVER_KINDS};

use super::trial::{self, Trial};
use crate::dashboard::form::{self, Fields, field};
use crate::dashboard::inside::{Inside, Refused};
use crate::dashboard::schema_form::{self, Field, Input};
use crate::dashboard::visitor::Visitor;
use crate::dashboard::wire::{self, List};
use crate::dashboard::words::{Mark, age, visible};
use crate::dashboard::{Dashboard, render};

/// So many thresholds can be filled in at least; what has more shows more.
const THRESHOLDS: usize = 4;
/// How often an agent runs a check that does not say it.
const USUAL_INTERVAL: Millis = Millis::from_secs(60);
/// How often a check fails before it is confirmed, when it does not say it.
const USUAL_ATTEMPTS: u32 = 3;

/// A kind or an agent to choose from.
struct Choice {
    value: String,
    words: String,
}

#[derive(Template)]
#[template(path = "check_kinds.html")]
struct KindsPage {
    visitor: Visitor,
    agents: Vec<Choice>,
    agent: String,
    kinds: Vec<Choice>,
}

/// For which agent, and of which kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::dashboard) struct Wanted {
    agent: String,
    kind: String,
}

/// `GET /check/new`: first the agent and the kind, then the form.
pub(in crate::dashboard) async fn new(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    Query(wanted): Query<Wanted>,
) -> Response {
    if wanted.kind.is_empty() || wanted.agent.is_empty() {
        return choose(&dashboard, visitor, &inside, &wanted).await;
    }
    let filled = Filled {
        agent: wanted.agent.parse().unwrap_or_default(),
        name: wanted.kind.clone(),
        kind: wanted.kind,
        ..Filled::default()
    };
    show(&dashboard, visitor, &inside, None, filled, Outcome::Blank).await
}

async fn choose(dashboard: &Dashboard, visitor: Visitor, inside: &Inside, wanted: &Wanted) -> Response {
    let agents = match inside.get::<List<wire::Agent>>("/api/v1/agent/?limit=1000").await {
        Ok(agents) => agents.objects,
        Err(refused) => return form::refuse(&refused, "/"),
    };
    let names = dashboard.api.kinds().names().chain([HEARTBEAT_KIND]);
    let described = names.filter_map(|name| described(dashboard, name));
    let kinds = described
        .map(|kind| Choice { value: kind.name.to_owned(), words: kind.description.replace('`', "") });
    let agents =
        agents.iter().map(|agent| Choice { value: agent.id.to_string(), words: visible(&agent.name) });
    let (agents, kinds) = (agents.collect(), kinds.collect());
    render(StatusCode::OK, &KindsPage { visitor, agents, agent: wanted.agent.clone(), kinds })
}

/// What is known of a kind; of the heartbeat, too, which no agent runs.
fn described(dashboard: &Dashboard, kind: &str) -> Option<KindDescription> {
    match kind {
        HEARTBEAT_KIND => Some(KindDescription {
            name: HEARTBEAT_KIND,
            description: "whether a job says in time that it ran; say one of `period`, `cron` and `on_calendar`",
            metrics: &[],
            params_schema: vilicus_core::params::schema_of::<HeartbeatParams>(),
        }),
        _ => dashboard.api.kinds().describe(kind),
    }
}

/// A threshold as it is filled in.
#[derive(Debug, Clone, Default)]
struct Threshold {
    metric: String,
    warning: String,
    critical: String,
    span: String,
}

/// What is in the form.
#[derive(Debug, Default)]
struct Filled {
    agent: u64,
    kind: String,
    name: String,
    params: Map<String, Value>,
    thresholds: Vec<Threshold>,
    /// What the form does not show of the thresholds.
    kept: Map<String, Value>,
    interval: String,
    max_attempts: String,
    tags: String,
    description: String,
    runbook_url: String,
    managed_by: Option<String>,
}

impl Filled {
    fn of(check: wire::Check) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let threshold = |(metric, threshold): (&String, &Value)| Threshold {
            metric: metric.clone(),
            warning: text(&threshold["warning"]),
            critical: text(&threshold["critical"]),
            span: text(&threshold["for"]),
        };
        Self {
            agent: wire::id_of(&check.agent),
            thresholds: check.thresholds.iter().map(threshold).collect(),
            kept: check.thresholds,
            kind: check.kind,
            name: check.name,
            params: check.params,
            interval: check.interval.unwrap_or_default(),
            max_attempts: check.max_attempts.to_string(),
            tags: check.tags.join(", "),
            description: check.description.unwrap_or_default(),
            runbook_url: check.runbook_url.unwrap_or_default(),
            managed_by: check.managed_by,
        }
    }

    fn sent(dashboard: &Dashboard, fields: &Fields) -> Self {
        let text = |name: &str| field(fields, name).unwrap_or_default().to_owned();
        let kind = text("kind");
        let schema = described(dashboard, &kind).map(|kind| kind.params_schema).unwrap_or_default();
        let shown = (0..).take_while(|at| fields.contains_key(&format!("metric-{at}"))).count();
        let threshold = |at: usize| Threshold {
            metric: text(&format!("metric-{at}")),
            warning: text(&format!("warning-{at}")),
            critical: text(&format!("critical-{at}")),
            span: text(&format!("for-{at}")),
        };
        Self {
            agent: text("agent").parse().unwrap_or_default(),
            name: text("name"),
            params: schema_form::params(&schema, fields),
            thresholds: (0..shown).map(threshold).filter(Threshold::is_set).collect(),
            kept: Map::new(),
            interval: text("interval"),
            max_attempts: text("max_attempts"),
            tags: text("tags"),
            description: text("description"),
            runbook_url: text("runbook_url"),
            managed_by: None,
            kind,
        }
    }

    /// The check, as the API wants it; what is empty is as it is by default.
    fn body(&self) -> Value {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let tags = self.tags.split(',').map(str::trim).filter(|tag| !tag.is_empty());
        let mut body = json!({
            "agent": format!("/api/v1/agent/{}/", self.agent), "kind": self.kind, "name": self.name,
            "params": self.params, "thresholds": self.thresholds(), "tags": tags.collect::<Vec<_>>(),
            "description": self.description, "runbook_url": some(&self.runbook_url),
            "interval": some(&self.interval),
        });
        match self.max_attempts.parse::<u32>() {
            Ok(attempts) => body["max_attempts"] = attempts.into(),
            Err(_) if self.max_attempts.is_empty() => {}
            // As it was written: the API says what is wrong with it.
            Err(_) => body["max_attempts"] = self.max_attempts.as_str().into(),
        }
        body
    }

    fn thresholds(&self) -> Map<String, Value> {
        let mut thresholds = Map::new();
        for one in &self.thresholds {
            let mut own = self.kept.get(&one.metric).and_then(Value::as_object).cloned().unwrap_or_default();
            for (name, value) in [("warning", &one.warning), ("critical", &one.critical), ("for", &one.span)]
            {
                own.insert(
                    name.to_owned(),
                    Some(value)
                        .filter(|text| !text.is_empty())
                        .map_or(Value::Null, |text| text.as_str().into()),
                );
            }
            thresholds.insert(one.metric.clone(), own.into());
        }
        thresholds
    }

    /// What will happen, as a sentence.
    fn sentence(&self) -> String {
        let interval = self.interval.parse::<Millis>().unwrap_or(USUAL_INTERVAL);
        let attempts = self.max_attempts.parse::<u32>().unwrap_or(USUAL_ATTEMPTS).max(1);
        let span = Millis::new(interval.get().saturating_mul(u64::from(attempts)));
        let failures =
            if attempts == 1 { "1 failure".to_owned() } else { format!("{attempts} failures in a row") };
        format!(
            "It runs every {}; it is a problem after {failures}, and you hear of it within about {}.",
            age(interval),
            age(span)
        )
    }
}

impl Threshold {
    fn is_set(&self) -> bool {
        let bounds = [&self.warning, &self.critical];
        !self.metric.is_empty() && bounds.into_iter().any(|bound| !bound.is_empty())
    }
}

/// What the form has to say beside itself.
enum Outcome {
    Blank,
    Refused(Refused),
    Tried(Trial),
}

#[derive(Template)]
#[template(path = "check_form.html")]
struct FormPage {
    visitor: Visitor,
    id: Option<u64>,
    action: String,
    agent_name: String,
    filled: Filled,
    about: String,
    required: Vec<Field>,
    optional: Vec<Field>,
    metrics: Vec<(String, String)>,
    thresholds: Vec<Threshold>,
    sentence: String,
    problem: Option<String>,
    trial: Option<TrialView>,
    /// Whether an agent runs it, so that it can be tried.
    runs: bool,
}

/// What came of a run before it was saved.
struct TrialView {
    mark: Mark,
    words: String,
    metrics: Vec<String>,
}

async fn show(
    dashboard: &Dashboard,
    visitor: Visitor,
    inside: &Inside,
    id: Option<u64>,
    filled: Filled,
    outcome: Outcome,
) -> Response {
    let Some(kind) = described(dashboard, &filled.kind) else {
        let words = "checks of this kind cannot be changed here".to_owned();
        return form::refuse(&Refused { status: StatusCode::NOT_FOUND, words }, "/check/new");
    };
    let agent = match inside.get::<wire::Agent>(&format!("/api/v1/agent/{}/", filled.agent)).await {
        Ok(agent) => agent,
        Err(refused) => return form::refuse(&refused, "/check/new"),
    };
    let fields = schema_form::fields(&kind.params_schema, &filled.params);
    let (required, optional) = fields.into_iter().partition(|field| field.required);
    let mut thresholds = filled.thresholds.clone();
    thresholds.resize_with(thresholds.len().max(THRESHOLDS.min(kind.metrics.len())), Threshold::default);
    let (problem, trial) = match outcome {
        Outcome::Blank => (None, None),
        Outcome::Refused(refused) => (Some(refused), None),
        Outcome::Tried(trial) => (None, Some(TrialView::new(&trial))),
    };
    let page = FormPage {
        visitor,
        id,
        action: id.map_or("/check/new".to_owned(), |id| format!("/check/{id}/edit")),
        agent_name: visible(&agent.name),
        about: kind.description.replace('`', ""),
        required,
        optional,
        metrics: kind
            .metrics
            .iter()
            .map(|metric| (metric.name.to_owned(), metric.description.replace('`', "")))
            .collect(),
        thresholds,
        sentence: filled.sentence(),
        problem: problem.as_ref().map(|refused| visible(&refused.words)),
        trial,
        runs: !SERVER_KINDS.contains(&filled.kind.as_str()),
        filled,
    };
    render(problem.map_or(StatusCode::OK, |refused| refused.status), &page)
}

/// `POST /check/new`: runs it once, or saves it.
pub(in crate::dashboard) async fn create(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    fields: Fields,
) -> Response {
    let filled = Filled::sent(&dashboard, &fields);
    if fields.contains_key("try") {
        return try_out(&dashboard, visitor, inside, None, filled).await;
    }
    match inside.send(Method::POST, "/api/v1/check/", Some(&filled.body())).await {
        Ok(made) => Redirect::to(&format!("/check/{}?done=created", made["id"])).into_response(),
        Err(refused) => show(&dashboard, visitor, &inside, None, filled, Outcome::Refused(refused)).await,
    }
}

async fn try_out(
    dashboard: &Dashboard,
    visitor: Visitor,
    inside: Inside,
    id: Option<u64>,
    filled: Filled,
) -> Response {
    let (inside, tried) = trial::run(inside, filled.body()).await;
    let outcome = match tried {
        Ok(trial) => Outcome::Tried(trial),
        Err(refused) => Outcome::Refused(refused),
    };
    show(dashboard, visitor, &inside, id, filled, outcome).await
}

/// `GET /check/{id}/edit`
pub(in crate::dashboard) async fn edit(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    Path(id): Path<u64>,
) -> Response {
    match inside.get::<wire::Check>(&format!("/api/v1/check/{id}/")).await {
        Ok(check) => show(&dashboard, visitor, &inside, Some(id), Filled::of(check), Outcome::Blank).await,
        Err(refused) => form::refuse(&refused, &format!("/check/{id}")),
    }
}

/// `POST /check/{id}/edit`
pub(in crate::dashboard) async fn change(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    Path(id): Path<u64>,
    fields: Fields,
) -> Response {
    let path = format!("/api/v1/check/{id}/");
    let stored = match inside.get::<wire::Check>(&path).await {
        Ok(check) => check,
        Err(refused) => return form::refuse(&refused, "/"),
    };
    let mut filled = Filled::sent(&dashboard, &fields);
    (filled.kept, filled.managed_by) = (stored.thresholds, stored.managed_by);
    if fields.contains_key("try") {
        return try_out(&dashboard, visitor, inside, Some(id), filled).await;
    }
    match inside.send(Method::PATCH, &path, Some(&filled.body())).await {
        Ok(_) => Redirect::to(&format!("/check/{id}?done=changed")).into_response(),
        Err(refused) => show(&dashboard, visitor, &inside, Some(id), filled, Outcome::Refused(refused)).await,
    }
}

impl TrialView {
    fn new(trial: &Trial) -> Self {
        match trial {
            Trial::Result { status, output, metrics } => Self {
                mark: Mark::of(*status),
                words: visible(output),
                metrics: metrics.iter().map(|metric| visible(metric)).collect(),
            },
            Trial::Silence => Self {
                mark: Mark::PENDING,
                words: "The agent has not answered within 20 s; it may be down, or run checks more seldom."
                    .to_owned(),
                metrics: Vec::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_says_what_will_happen() {
        let filled = Filled { interval: "30s".to_owned(), max_attempts: "4".to_owned(), ..Filled::default() };
        let sentence = "It runs every 30 s; it is a problem after 4 failures in a row, and you hear of it within about 2 min.";
        assert_eq!(filled.sentence(), sentence);
        assert!(Filled::default().sentence().contains("every 1 min; it is a problem after 3 failures"));
    }

    #[test]
    fn what_the_form_does_not_show_of_a_threshold_is_kept() {
        let kept = json!({"usage": {"warning": "80", "critical": "95", "for": "5m", "mode": "all", "recover": "70"}});
        let filled = Filled {
            kept: kept.as_object().unwrap().clone(),
            thresholds: vec![Threshold {
                metric: "usage".to_owned(),
                critical: "90".to_owned(),
                ..Threshold::default()
            }],
            ..Filled::default()
        };
        let expected =
            json!({"warning": null, "critical": "90", "for": null, "mode": "all", "recover": "70"});
        assert_eq!(filled.body()["thresholds"]["usage"], expected);
        assert!(filled.body().get("max_attempts").is_none());
    }
}
