//! `/inhibition/`: while a source is a confirmed problem, its targets are not told.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::{Inhibition, InhibitionId, Matcher, async_trait};
use vilicus_store::Change;

use super::AppState;
use super::names::Mistakes;
use super::reference::uri;
use super::resource::{self, Edit, Resource};
use crate::http::Problem;
use crate::http::auth::{Admin, Caller, Viewer};
use crate::http::json::{JsonBody, Sent};
use crate::http::page::List;
use crate::http::path::PathParts;
use crate::http::query::Query;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one, replace, modify, remove))
}

/// While a source is a confirmed problem, its targets are not told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InhibitionBody {
    id: u64,
    resource_uri: String,
    /// Unique in the server.
    name: String,
    /// What a source is like.
    #[schema(value_type = Vec<String>)]
    source: Vec<Matcher>,
    /// What a target is like.
    #[schema(value_type = Vec<String>)]
    target: Vec<Matcher>,
    /// The labels that source and target must have in common; one that neither has is equal.
    equal: Vec<String>,
    /// The file that manages it.
    managed_by: Option<String>,
}

impl From<&Inhibition> for InhibitionBody {
    fn from(inhibition: &Inhibition) -> Self {
        let InhibitionInput { name, source, target, equal } = inhibition.into();
        Self {
            id: inhibition.id.get(),
            resource_uri: uri("inhibition", inhibition.id),
            name,
            source,
            target,
            equal,
            managed_by: inhibition.managed_by.clone(),
        }
    }
}

/// An inhibition as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct InhibitionInput {
    /// Unique in the server.
    pub(crate) name: String,
    /// What a source is like, as `["check=ping", "status=critical"]`.
    #[schema(value_type = Vec<String>)]
    source: Vec<Matcher>,
    /// What a target is like.
    #[schema(value_type = Vec<String>)]
    target: Vec<Matcher>,
    /// The labels that source and target must have in common; one that neither has is equal.
    #[serde(default)]
    equal: Vec<String>,
}

impl Sent for InhibitionInput {
    const READ_ONLY: &'static [&'static str] = &["id", "resource_uri", "managed_by"];
}

impl From<&Inhibition> for InhibitionInput {
    fn from(inhibition: &Inhibition) -> Self {
        Self {
            name: inhibition.name.clone(),
            source: inhibition.source.clone(),
            target: inhibition.target.clone(),
            equal: inhibition.equal.clone(),
        }
    }
}

impl InhibitionInput {
    /// The inhibition that this makes of `base`.
    ///
    /// # Errors
    /// 422: what no inhibition can be, with every place.
    pub(crate) fn into_inhibition(self, base: Inhibition) -> Result<Inhibition, Problem> {
        let mut mistakes = Mistakes::default();
        mistakes.name("/name", &self.name);
        for (pointer, matchers) in [("/source", &self.source), ("/target", &self.target)] {
            let few = "is empty, which would be every check; say which, as [\"agent=~.+\"]";
            mistakes.require(!matchers.is_empty(), pointer, few);
            mistakes.conditions(pointer, matchers);
        }
        mistakes.labels("/equal", &self.equal);
        mistakes.into_result()?;
        let Self { name, source, target, equal } = self;
        Ok(Inhibition { name, source, target, equal, ..base })
    }
}

/// An inhibition that is about to be made: the store gives the id.
pub(crate) fn new_inhibition() -> Inhibition {
    Inhibition {
        id: InhibitionId::from(std::num::NonZeroU64::MIN),
        name: String::new(),
        source: Vec::new(),
        target: Vec::new(),
        equal: Vec::new(),
        managed_by: None,
    }
}

#[async_trait]
impl Resource for Inhibition {
    type Input = InhibitionInput;
    type Body = InhibitionBody;

    const NAME: &'static str = "inhibition";

    fn id(&self) -> u64 {
        self.id.get()
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn managed_by(&self) -> Option<&str> {
        self.managed_by.as_deref()
    }

    fn to_input(&self) -> InhibitionInput {
        self.into()
    }

    fn to_body(&self, _: &AppState) -> InhibitionBody {
        self.into()
    }

    async fn all(state: &AppState) -> Result<Vec<Arc<Self>>, Problem> {
        Ok(state.store().inhibitions().await?)
    }

    async fn build(_: &AppState, _: &Caller, input: InhibitionInput, base: Self) -> Result<Self, Problem> {
        input.into_inhibition(base)
    }

    fn creation(self) -> Change {
        Change::CreateInhibition(Box::new(self))
    }

    fn update(self) -> Change {
        Change::UpdateInhibition(Box::new(self))
    }

    fn deletion(&self) -> Change {
        Change::DeleteInhibition(self.id)
    }
}

/// The inhibitions.
#[utoipa::path(get, path = "/api/v1/inhibition/", tag = "inhibition", params(
    ("name" = Option<String>, Query), ("limit" = Option<usize>, Query), ("offset" = Option<usize>, Query)),
    responses((status = 200, body = List<InhibitionBody>), (status = 304)))]
async fn list(
    State(state): State<AppState>,
    _caller: Viewer,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = query.bounds()?.page(false);
    let names = query.any("name");
    query.finish()?;
    let mut found = Inhibition::all(&state).await?;
    found.retain(|inhibition| names.as_ref().is_none_or(|names| names.contains(&inhibition.name)));
    Ok(resource::list(&state, &query, page, &headers, &found))
}

/// Makes an inhibition.
#[utoipa::path(post, path = "/api/v1/inhibition/", tag = "inhibition", request_body = InhibitionInput,
    responses((status = 201, body = InhibitionBody)))]
async fn create(
    State(state): State<AppState>,
    Admin(caller): Admin,
    body: JsonBody,
) -> Result<Response, Problem> {
    resource::create(&state, &caller, &body, new_inhibition()).await
}

/// One inhibition.
#[utoipa::path(get, path = "/api/v1/inhibition/{id}/", tag = "inhibition", params(("id" = String, Path)),
    responses((status = 200, body = InhibitionBody), (status = 304)))]
async fn one(
    State(state): State<AppState>,
    _caller: Viewer,
    path: PathParts,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    resource::one::<Inhibition>(&state, &path, &headers).await
}

/// Replaces an inhibition.
#[utoipa::path(put, path = "/api/v1/inhibition/{id}/", tag = "inhibition", params(("id" = String, Path)),
    request_body = InhibitionInput, responses((status = 200, body = InhibitionBody)))]
async fn replace(
    State(state): State<AppState>,
    Admin(caller): Admin,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.replace::<Inhibition>(&state, &caller).await
}

/// Changes some fields of an inhibition.
#[utoipa::path(patch, path = "/api/v1/inhibition/{id}/", tag = "inhibition", params(("id" = String, Path)),
    request_body = Object, responses((status = 200, body = InhibitionBody)))]
async fn modify(
    State(state): State<AppState>,
    Admin(caller): Admin,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.modify::<Inhibition>(&state, &caller).await
}

/// Removes an inhibition. What it held is told, if it is still so.
#[utoipa::path(delete, path = "/api/v1/inhibition/{id}/", tag = "inhibition", params(("id" = String, Path)),
    responses((status = 204)))]
async fn remove(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    resource::remove::<Inhibition>(&state, &caller, &path, &headers).await
}
