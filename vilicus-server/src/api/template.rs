//! `/template/`: checks that every agent gets whose labels match, also those that enrol later.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::async_trait;
use vilicus_core::params::nearest;
use vilicus_store::Change;
use vilicus_store::inventory::Template;
use vilicus_store::query::{AgentFilter, Page};

use super::AppState;
use super::names::{Mistakes, refuse_managed};
use super::resource::{self, Edit, Resource};
use super::template_body::{TemplateBody, TemplateInput, new_template};
use crate::http::Problem;
use crate::http::auth::{Admin, Caller, Viewer};
use crate::http::json::JsonBody;
use crate::http::page::List;
use crate::http::path::PathParts;
use crate::http::query::Query;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one, replace, modify, remove))
}

#[async_trait]
impl Resource for Template {
    type Input = TemplateInput;
    type Body = TemplateBody;

    const NAME: &'static str = "template";

    fn id(&self) -> u64 {
        self.id.get()
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn managed_by(&self) -> Option<&str> {
        self.managed_by.as_deref()
    }

    fn to_input(&self) -> TemplateInput {
        self.into()
    }

    fn to_body(&self, state: &AppState) -> TemplateBody {
        TemplateBody::new(self, state)
    }

    async fn all(state: &AppState) -> Result<Vec<Arc<Self>>, Problem> {
        Ok(state.store().templates().await?)
    }

    async fn build(state: &AppState, _: &Caller, input: TemplateInput, base: Self) -> Result<Self, Problem> {
        if !base.name.is_empty() && base.name != input.name {
            refuse_named(state, &base.name).await?;
        }
        input.into_template(state, base)
    }

    fn creation(self) -> Change {
        Change::CreateTemplate(Box::new(self))
    }

    fn update(self) -> Change {
        Change::UpdateTemplate(Box::new(self))
    }

    fn deletion(&self) -> Change {
        Change::DeleteTemplate(self.id)
    }
}

/// Refuses to take away a name by which agents name the template.
async fn refuse_named(state: &AppState, name: &str) -> Result<(), Problem> {
    let agents = state.store().agents(&AgentFilter::default(), Page::ALL).await?.objects;
    let named = agents.iter().find(|view| view.agent.templates.iter().any(|template| template == name));
    match named {
        None => Ok(()),
        Some(view) => Err(Problem::conflict(format!(
            "the agent '{}' names the template '{name}'; take it out of its templates first",
            view.agent.name
        ))),
    }
}

/// Refuses names of templates that there are not.
pub(super) async fn refuse_unknown(state: &AppState, names: &[String]) -> Result<(), Problem> {
    if names.is_empty() {
        return Ok(());
    }
    let templates = state.store().templates().await?;
    let mut mistakes = Mistakes::default();
    for (index, name) in names.iter().enumerate() {
        if let Some(detail) = unknown(name, templates.iter().map(|template| template.name.as_str())) {
            mistakes.add(format!("/templates/{index}"), detail);
        }
    }
    mistakes.into_result()
}

/// What to say of the name of a template when it is none of those known.
pub(crate) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    if known.clone().any(|template| template == name) {
        return None;
    }
    let shown: String = name.chars().take(60).collect();
    Some(match nearest(&shown, known) {
        Some(near) => format!("there is no template {shown:?}; did you mean '{near}'?"),
        None => format!("there is no template {shown:?}"),
    })
}

/// The templates.
#[utoipa::path(get, path = "/api/v1/template/", tag = "template", params(
    ("name" = Option<String>, Query), ("limit" = Option<usize>, Query), ("offset" = Option<usize>, Query)),
    responses((status = 200, body = List<TemplateBody>), (status = 304)))]
async fn list(
    State(state): State<AppState>,
    _caller: Viewer,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = query.bounds()?.page(false);
    let names = query.any("name");
    query.finish()?;
    let mut found = Template::all(&state).await?;
    found.retain(|template| names.as_ref().is_none_or(|names| names.contains(&template.name)));
    Ok(resource::list(&state, &query, page, &headers, &found))
}

/// Makes a template, and its checks on every agent that it applies to.
#[utoipa::path(post, path = "/api/v1/template/", tag = "template", request_body = TemplateInput,
    responses((status = 201, body = TemplateBody)))]
async fn create(
    State(state): State<AppState>,
    Admin(caller): Admin,
    body: JsonBody,
) -> Result<Response, Problem> {
    resource::create(&state, &caller, &body, new_template()).await
}

/// One template.
#[utoipa::path(get, path = "/api/v1/template/{id}/", tag = "template", params(("id" = String, Path)),
    responses((status = 200, body = TemplateBody), (status = 304)))]
async fn one(
    State(state): State<AppState>,
    _caller: Viewer,
    path: PathParts,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    resource::one::<Template>(&state, &path, &headers).await
}

/// Replaces a template. Its checks follow on every agent, and keep their history.
#[utoipa::path(put, path = "/api/v1/template/{id}/", tag = "template", params(("id" = String, Path)),
    request_body = TemplateInput, responses((status = 200, body = TemplateBody)))]
async fn replace(
    State(state): State<AppState>,
    Admin(caller): Admin,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.replace::<Template>(&state, &caller).await
}

/// Changes some fields of a template. Its checks follow on every agent.
#[utoipa::path(patch, path = "/api/v1/template/{id}/", tag = "template", params(("id" = String, Path)),
    request_body = Object, responses((status = 200, body = TemplateBody)))]
async fn modify(
    State(state): State<AppState>,
    Admin(caller): Admin,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.modify::<Template>(&state, &caller).await
}

/// Removes a template, and its checks from every agent.
#[utoipa::path(delete, path = "/api/v1/template/{id}/", tag = "template", params(("id" = String, Path)),
    responses((status = 204)))]
async fn remove(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let template = resource::at::<Template>(&state, &path).await?;
    refuse_managed(template.managed_by.as_deref())?;
    refuse_named(&state, &template.name).await?;
    resource::remove::<Template>(&state, &caller, &path, &headers).await
}
