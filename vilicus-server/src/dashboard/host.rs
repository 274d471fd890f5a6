//! A new host: an invitation, the one line to paste there, the script that the line runs, the agent's program, and the
//! page that waits until the host is here.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path as UrlPath, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vilicus_core::Millis;

use super::form::{self, Fields, field};
use super::inside::{Inside, Refused};
use super::visitor::Visitor;
use super::wire::{self, List};
use super::words::visible;
use super::{Dashboard, render};
use crate::local_agent::usual_checks;

/// An invitation that nobody takes up ends by itself.
const LIFE: Millis = Millis::from_hours(24);
/// The name of the agent's program, beside the server's own.
const PROGRAM: &str = "vilicus-agent";
/// The tag of hosts that are watched for the usual.
const USUAL: &str = "usual";
/// The template that sees to it.
const USUAL_TEMPLATE: &str = "usual checks";
/// The script, with places for what this server knows.
const SCRIPT: &str = include_str!("assets/install.sh");

#[derive(Template)]
#[template(path = "host.html")]
struct HostPage {
    visitor: Visitor,
    invitation: Option<Invitation>,
    arrivals: Vec<Arrival>,
    /// The templates that can be chosen.
    templates: Vec<String>,
    problem: Option<String>,
}

impl HostPage {
    fn new(visitor: Visitor) -> Self {
        Self { visitor, invitation: None, arrivals: Vec::new(), templates: Vec::new(), problem: None }
    }
}

/// What is pasted on the new host, and from which agent on it is the new one.
struct Invitation {
    url: String,
    token: String,
    after: u64,
    served: bool,
    /// For how long, in words.
    life: String,
    approval: bool,
}

/// A host that has come.
struct Arrival {
    id: u64,
    name: String,
    state: String,
    checks: usize,
    results: usize,
    /// Whether somebody has to let it in.
    waits: bool,
}

/// `GET /host/new`
pub(super) async fn page(visitor: Visitor, inside: Inside) -> Response {
    match templates(&inside).await {
        Ok(templates) => render(StatusCode::OK, &HostPage { templates, ..HostPage::new(visitor) }),
        Err(refused) => form::refuse(&refused, "/"),
    }
}

/// The names of the templates, but the usual one, which has a tick of its own.
async fn templates(inside: &Inside) -> Result<Vec<String>, Refused> {
    let list: List<wire::Named> = inside.get("/api/v1/template/?limit=1000").await?;
    Ok(list.objects.into_iter().map(|template| template.name).filter(|name| name != USUAL_TEMPLATE).collect())
}

/// `POST /host/new`: makes a token, and shows what to paste.
pub(super) async fn invite(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    parts: Parts,
    fields: Fields,
) -> Response {
    let (invitation, problem, status) = match make(&dashboard, &inside, &parts, &fields).await {
        Ok(invitation) => (Some(invitation), None, StatusCode::OK),
        Err(refused) => (None, Some(visible(&refused.words)), refused.status),
    };
    let templates = templates(&inside).await.unwrap_or_default();
    render(status, &HostPage { invitation, problem, templates, ..HostPage::new(visitor) })
}

async fn make(
    dashboard: &Dashboard,
    inside: &Inside,
    parts: &Parts,
    fields: &Fields,
) -> Result<Invitation, Refused> {
    let agents: List<wire::Agent> = inside.get("/api/v1/agent/?limit=1000").await?;
    let after = agents.objects.iter().map(|agent| agent.id).max().unwrap_or_default();
    let now = dashboard.api.clock().now();
    let tags =
        field(fields, "tags").unwrap_or_default().split(',').map(str::trim).filter(|tag| !tag.is_empty());
    let usual = fields.contains_key("usual").then_some(USUAL);
    if usual.is_some() {
        usual_template(inside).await?;
    }
    let uses = field(fields, "uses").unwrap_or("1");
    let life = match field(fields, "life").map(str::parse::<Millis>) {
        None => LIFE,
        Some(Ok(life)) => life,
        Some(Err(error)) => {
            let words = format!("good for: {error}");
            return Err(Refused { status: StatusCode::UNPROCESSABLE_ENTITY, words });
        }
    };
    let approval = fields.contains_key("approval");
    let body = json!({
        "templates": field(fields, "template").into_iter().collect::<Vec<_>>(), "needs_approval": approval,
        "name": format!("new host {now}"), "role": "enroll", "tags": tags.chain(usual).collect::<Vec<_>>(),
        "uses": uses.parse::<u32>().map_or_else(|_| json!(uses), |uses| json!(uses)),
        "expires_at": now.after(life),
    });
    let made = inside.send(Method::POST, "/api/v1/token/", Some(&body)).await?;
    Ok(Invitation {
        url: dashboard.address(parts),
        token: made["token"].as_str().unwrap_or_default().to_owned(),
        after,
        served: program().is_some(),
        life: life.to_string(),
        approval,
    })
}

/// Sees to it that hosts with the tag are watched for the usual; a template that there is already stays as it is.
async fn usual_template(inside: &Inside) -> Result<(), Refused> {
    let template = json!({
        "name": USUAL_TEMPLATE, "match": [format!("tag={USUAL}")], "checks": usual_checks(),
    });
    match inside.send(Method::POST, "/api/v1/template/", Some(&template)).await {
        Err(refused) if refused.status != StatusCode::CONFLICT => Err(refused),
        _ => Ok(()),
    }
}

/// From which agent on.
#[derive(Debug, Deserialize)]
pub(super) struct After {
    after: u64,
}

/// `GET /host/waiting?after=`: who has come since.
pub(super) async fn waiting(visitor: Visitor, inside: Inside, Query(after): Query<After>) -> Response {
    match arrivals(&inside, after.after).await {
        Ok(arrivals) => render(StatusCode::OK, &HostPage { arrivals, ..HostPage::new(visitor) }),
        Err(refused) => form::refuse(&refused, "/"),
    }
}

async fn arrivals(inside: &Inside, after: u64) -> Result<Vec<Arrival>, Refused> {
    let agents: List<wire::Agent> = inside.get("/api/v1/agent/?limit=1000").await?;
    let waiting = waiting_agents(inside).await?;
    let mut arrivals = Vec::new();
    for agent in agents.objects.into_iter().filter(|agent| agent.id > after) {
        let path = format!("/api/v1/check/?agent={}&limit=1000", agent.id);
        let checks = inside.get::<List<wire::Check>>(&path).await?.objects;
        arrivals.push(Arrival {
            id: agent.id,
            name: visible(&agent.name),
            state: visible(&agent.state.to_lowercase()),
            results: checks.iter().filter(|check| check.state.last_result_at.is_some()).count(),
            checks: checks.len(),
            waits: waiting.iter().any(|token| token.agent.as_deref() == Some(agent.resource_uri.as_str())),
        });
    }
    Ok(arrivals)
}

/// The tokens of agents that wait until somebody lets them in; none for who may not do that.
pub(super) async fn waiting_agents(inside: &Inside) -> Result<Vec<wire::Token>, Refused> {
    let tokens = match inside.get::<List<wire::Token>>("/api/v1/token/?limit=1000").await {
        Err(refused) if refused.status == StatusCode::FORBIDDEN => return Ok(Vec::new()),
        tokens => tokens?.objects,
    };
    Ok(tokens.into_iter().filter(|token| token.needs_approval && token.agent.is_some()).collect())
}

/// `POST /agent/{id}/approve`: lets an agent in.
pub(super) async fn approve(inside: Inside, UrlPath(id): UrlPath<u64>, fields: Fields) -> Response {
    let here = format!("/agent/{id}");
    form::after(let_in(&inside, id).await, form::back(&fields, &here), "approved", id)
}

async fn let_in(inside: &Inside, id: u64) -> Result<Value, Refused> {
    let agent: wire::Agent = inside.get(&format!("/api/v1/agent/{id}/")).await?;
    let waiting = waiting_agents(inside).await?;
    let its = waiting.iter().filter(|token| token.agent.as_deref() == Some(agent.resource_uri.as_str()));
    for token in its {
        let path = format!("/api/v1/token/{}/", token.id);
        inside.send(Method::PATCH, &path, Some(&json!({"needs_approval": false}))).await?;
    }
    Ok(Value::Null)
}

/// The agent's program, when it lies beside the server's.
fn program() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.with_file_name(PROGRAM);
    beside.is_file().then_some(beside)
}

/// `GET /install.sh`: readable, for everybody; it holds no secret.
pub(super) async fn script(State(dashboard): State<Dashboard>, parts: Parts) -> Response {
    let server = dashboard.address(&parts);
    if !is_plain(&server) {
        return (StatusCode::BAD_REQUEST, "The server's address is not one that fits into a script.\n")
            .into_response();
    }
    let checksum = match program() {
        Some(program) => match checksum(&program).await {
            Ok(checksum) => checksum,
            Err(error) => {
                tracing::error!(%error, program = %program.display(), "the agent's program cannot be read");
                return (StatusCode::SERVICE_UNAVAILABLE, "The agent's program cannot be read now.\n")
                    .into_response();
            }
        },
        None => String::new(),
    };
    let script = SCRIPT
        .replace("@SERVER@", &server)
        .replace("@SHA256@", &checksum)
        .replace("@ARCHITECTURE@", std::env::consts::ARCH)
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    ([(header::CONTENT_TYPE, "text/x-shellscript; charset=utf-8")], script).into_response()
}

/// Whether an address can stand between the quotes of a script.
fn is_plain(address: &str) -> bool {
    address.chars().all(|c| c.is_ascii_alphanumeric() || "-._~:/[]%".contains(c))
}

/// What was computed last, and of which file.
static COMPUTED: Mutex<Option<(PathBuf, u64, SystemTime, String)>> = Mutex::new(None);

async fn checksum(program: &Path) -> std::io::Result<String> {
    let about = tokio::fs::metadata(program).await?;
    let (length, changed) = (about.len(), about.modified()?);
    let known = || COMPUTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((path, of_length, of_time, checksum)) = known().as_ref()
        && (path.as_path(), *of_length, *of_time) == (program, length, changed)
    {
        return Ok(checksum.clone());
    }
    let path = program.to_owned();
    let hash = tokio::task::spawn_blocking(move || {
        let mut hash = Sha256::new();
        std::io::copy(&mut std::fs::File::open(path)?, &mut hash)?;
        Ok::<_, std::io::Error>(hash.finalize())
    });
    let hash = hash.await.map_err(std::io::Error::other)??;
    let checksum: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    *known() = Some((program.to_owned(), length, changed, checksum.clone()));
    Ok(checksum)
}

/// `GET /install/vilicus-agent`: the agent's program, as it lies beside the server's.
pub(super) async fn binary() -> Response {
    let Some(program) = program() else {
        let words =
            "This server has no agent to give away: vilicus-agent does not lie beside vilicus-server.\n";
        return (StatusCode::NOT_FOUND, words).into_response();
    };
    match tokio::fs::File::open(&program).await {
        Ok(file) => {
            let body = Body::from_stream(tokio_util::io::ReaderStream::new(file));
            ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response()
        }
        Err(error) => {
            tracing::error!(%error, program = %program.display(), "the agent's program cannot be read");
            (StatusCode::SERVICE_UNAVAILABLE, "The agent's program cannot be read now.\n").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_stand_in_the_script() {
        assert!(is_plain("https://vilicus.example.org:8443") && is_plain("http://[::1]:8080/a%20b"));
        for address in ["http://a\"; rm -rf /", "http://$(id)", "http://a`id`", "http://a b", "http://ä"] {
            assert!(!is_plain(address), "{address}");
        }
    }

    #[test]
    fn the_script_has_a_place_for_each_thing() {
        for place in ["@SERVER@", "@SHA256@", "@ARCHITECTURE@", "@VERSION@"] {
            assert!(SCRIPT.contains(place), "{place}");
        }
    }
}
