//! `/apply/`: a whole declarative configuration, planned and carried out in one step; and what there is, as one.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::agent_body::AgentInput;
use super::channel_body::ChannelInput;
use super::check_input::CheckInput;
use super::downtime_body::DowntimeInput;
use super::inhibition::InhibitionInput;
use super::names::Mistakes;
use super::route_body::RouteInput;
use super::template_body::TemplateInput;
use crate::apply::export::{export, to_toml};
use crate::apply::{self, Configuration, Format, Options, Report};
use crate::http::Problem;
use crate::http::auth::{Admin, Viewer};
use crate::http::json::{Answer, RawBody, fields_of, parse};
use crate::http::query::Query;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(carry_out, show))
}

/// What objects are marked with that no name was given for.
const DEFAULT_NAME: &str = "apply";

/// A configuration: what shall be.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the document describes by it what is read table by table")]
struct ConfigurationInput {
    template: Vec<TemplateInput>,
    agent: Vec<AgentInput>,
    channel: Vec<ChannelInput>,
    route: Vec<RouteInput>,
    inhibition: Vec<InhibitionInput>,
    downtime: Vec<DowntimeInput>,
    check: Vec<CheckInput>,
}

/// Makes everything as a configuration says (JSON, TOML or YAML), whole or not at all, and answers the plan. With
/// `dry_run` nothing is carried out. With `prune` what a configuration of the same `name` made before, and this one does
/// not say, is removed.
#[utoipa::path(post, path = "/api/v1/apply/", tag = "apply", params(
    ("dry_run" = Option<bool>, Query), ("prune" = Option<bool>, Query), ("name" = Option<String>, Query)),
    request_body(content(
        (ConfigurationInput = "application/json"), (String = "application/toml"), (String = "application/yaml"))),
    responses((status = 200, body = Report), (status = 422)))]
async fn carry_out(
    State(state): State<AppState>,
    Admin(caller): Admin,
    mut query: Query,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Response, Problem> {
    let options = Options {
        dry_run: query.parsed("dry_run")?.unwrap_or(false),
        prune: query.parsed("prune")?.unwrap_or(false),
        by: caller.name(),
    };
    let name = query.one("name").unwrap_or_else(|| DEFAULT_NAME.to_owned());
    query.finish()?;
    let mut mistakes = Mistakes::default();
    mistakes.line("", &name);
    mistakes.require(
        !name.is_empty() && !name.starts_with("template:"),
        "",
        "name is none that a configuration can have",
    );
    mistakes.into_result()?;
    let configuration = read(&name, form(&headers)?, &body)?;
    Ok(Answer(apply::apply(&state, &configuration, &options).await?).into_response())
}

/// What is configured, as a configuration: as JSON, or as TOML or YAML when `Accept` asks for it. Secrets are `"***"`,
/// which keeps them where it is applied again.
#[utoipa::path(get, path = "/api/v1/apply/", tag = "apply", responses((status = 200, content(
    (ConfigurationInput = "application/json"), (String = "application/toml"), (String = "application/yaml")))))]
async fn show(
    State(state): State<AppState>,
    _caller: Viewer,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    query.finish()?;
    let tables = export(&state).await?;
    let wanted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wanted = wanted.split(',').find_map(|one| named(one.split(';').next().unwrap_or_default().trim()));
    match wanted {
        Some(Form::Text(Format::Toml)) => {
            let text = to_toml(&tables).map_err(|error| {
                Problem::conflict(format!("something that is configured can't be said in TOML: {error}"))
            })?;
            Ok(([(CONTENT_TYPE, "application/toml")], text).into_response())
        }
        // Every JSON document is a YAML document, too.
        Some(Form::Text(Format::Yaml)) => {
            let text = serde_json::to_string_pretty(&tables).map_err(|_| Problem::internal())?;
            Ok(([(CONTENT_TYPE, "application/yaml")], text).into_response())
        }
        _ => Ok(Answer(tables).into_response()),
    }
}

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Text(Format),
}

/// What the body says it is. TOML and YAML have had several names.
fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let utf8 = parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    named(&essence).filter(|_| utf8).ok_or_else(|| {
        Problem::unsupported(
            "this Content-Type is not taken; send application/json, application/toml or application/yaml in UTF-8",
        )
    })
}

fn named(essence: &str) -> Option<Form> {
    match essence.split_once('/')? {
        ("application", "json") => Some(Form::Json),
        ("application" | "text", "toml" | "x-toml") => Some(Form::Text(Format::Toml)),
        ("application" | "text", "yaml" | "x-yaml" | "vnd.yaml") => Some(Form::Text(Format::Yaml)),
        _ => None,
    }
}

fn read(name: &str, form: Form, body: &[u8]) -> Result<Configuration, Problem> {
    match form {
        Form::Json => Ok(Configuration::of_values(name, fields_of(parse(body)?)?)?),
        Form::Text(format) => {
            let text = std::str::from_utf8(body);
            let text = text.map_err(|_| Problem::bad_request("the body is not UTF-8"))?;
            Ok(Configuration::of_text(name, text, format)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_form_is_known() {
        let form = |value: &str| form(&HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())])).ok();
        for (value, expected) in [
            ("application/json", Some(Form::Json)),
            ("Application/TOML; charset=UTF-8", Some(Form::Text(Format::Toml))),
            ("text/x-yaml", Some(Form::Text(Format::Yaml))),
            ("application/yaml; charset=latin1", None),
            ("text/plain", None),
            ("", None),
        ] {
            assert_eq!(form(value), expected, "{value}");
        }
    }
}
