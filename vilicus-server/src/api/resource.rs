//! What the resources have in common that the store keeps whole: channels, routes, downtimes, inhibitions, tokens.
//!
//! A [`Resource`] says what is its own: how it is written, shown, checked and stored. Reading, `If-Match`, `PATCH` on top
//! of what is there, the refusal of what a file manages, and the answers are here, once for all. Each resource keeps
//! its own handlers all the same, so that who may call them and what the contract says of them is read in its file.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use vilicus_core::async_trait;
use vilicus_store::Change;
use vilicus_store::query::Page;

use super::AppState;
use super::commit::{change, fields, made};
use super::names::refuse_managed;
use super::reference::{Reference, Target, uri};
use crate::http::Problem;
use crate::http::auth::Caller;
use crate::http::etag::Etag;
use crate::http::json::{Answer, JsonBody, Sent, created};
use crate::http::page::{List, Meta, slice};
use crate::http::path::PathParts;
use crate::http::query::Query;

/// A kind of object of the configuration that the store keeps whole.
#[async_trait]
pub(crate) trait Resource: Clone + Send + Sync + 'static {
    /// As it is written.
    type Input: Sent + Serialize + Send;
    /// As it is shown.
    type Body: Serialize + Send;

    /// Its name in paths, as `route`.
    const NAME: &'static str;

    /// Its id.
    fn id(&self) -> u64;

    /// The name that it may be called by; `None` when it has none.
    fn name(&self) -> Option<&str>;

    /// The file that manages it.
    fn managed_by(&self) -> Option<&str>;

    /// As it would be written: what a `PATCH` is laid on.
    fn to_input(&self) -> Self::Input;

    /// As it is shown.
    fn to_body(&self, state: &AppState) -> Self::Body;

    /// The tag of what is configured, without what changes by itself.
    fn etag(body: &Self::Body) -> Etag {
        Etag::of(body)
    }

    /// All there are, in their order.
    ///
    /// # Errors
    /// The store can't read.
    async fn all(state: &AppState) -> Result<Vec<Arc<Self>>, Problem>;

    /// What `input` makes of `base`.
    ///
    /// # Errors
    /// 422: what no such object can be, with every place.
    async fn build(
        state: &AppState,
        caller: &Caller,
        input: Self::Input,
        base: Self,
    ) -> Result<Self, Problem>;

    /// The change that makes it.
    fn creation(self) -> Change;

    /// The change that puts it in the place of the one with its id.
    fn update(self) -> Change;

    /// The change that removes it.
    fn deletion(&self) -> Change;
}

/// The object of this name or id.
pub(crate) async fn find<R: Resource>(
    state: &AppState,
    reference: &Reference,
) -> Result<Option<Arc<R>>, Problem> {
    Ok(find_among(&R::all(state).await?, reference).cloned())
}

/// The object of this name or id among these.
pub(crate) fn find_among<'a, R: Resource>(
    objects: &'a [Arc<R>],
    reference: &Reference,
) -> Option<&'a Arc<R>> {
    let target = reference.among(R::NAME)?;
    objects.iter().find(|object| match target {
        Target::Id(id) => object.id() == *id,
        Target::Name(name) => object.name() == Some(name),
    })
}

/// The object of this path.
pub(super) async fn at<R: Resource>(state: &AppState, path: &PathParts) -> Result<Arc<R>, Problem> {
    find(state, &Reference::parse(path.id())).await?.ok_or_else(Problem::not_found)
}

/// Answers a list: the page of these objects.
pub(super) fn list<R: Resource>(
    state: &AppState,
    query: &Query,
    page: Page,
    headers: &HeaderMap,
    objects: &[Arc<R>],
) -> Response {
    let meta = Meta::of_page(query, page, objects.len());
    let objects: Vec<R::Body> =
        slice(objects.iter().collect(), page).into_iter().map(|object| object.to_body(state)).collect();
    let tags: Vec<String> = objects.iter().map(|body| R::etag(body).as_str().to_owned()).collect();
    Etag::of(&(tags, meta.total_count)).answer(headers, Answer(List { meta, objects }))
}

/// Answers one object.
pub(super) async fn one<R: Resource>(
    state: &AppState,
    path: &PathParts,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let body = at::<R>(state, path).await?.to_body(state);
    Ok(R::etag(&body).answer(headers, Answer(body)))
}

/// Makes an object of what was sent, on top of `base`; answers it.
pub(super) async fn create<R: Resource>(
    state: &AppState,
    caller: &Caller,
    body: &JsonBody,
    base: R,
) -> Result<Response, Problem> {
    let input = body.read()?;
    let _edit = state.edit().await;
    let object = R::build(state, caller, input, base).await?;
    let id = made(state, object.creation(), caller.name()).await?;
    Ok(created(&uri(R::NAME, id), answer::<R>(state, id).await?))
}

/// A change of an object on its way in: which one, what the caller has read of it, and what was sent.
#[derive(Debug)]
pub(super) struct Edit {
    path: PathParts,
    headers: HeaderMap,
    body: JsonBody,
}

impl FromRequest<AppState> for Edit {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let path = PathParts::from_request_parts(&mut parts, state).await?;
        let headers = parts.headers.clone();
        let body = JsonBody::from_request(Request::from_parts(parts, body), state).await?;
        Ok(Self { path, headers, body })
    }
}

impl Edit {
    /// Replaces the object: what is not said is as in a new one.
    pub(super) async fn replace<R: Resource>(
        &self,
        state: &AppState,
        caller: &Caller,
    ) -> Result<Response, Problem> {
        let _edit = state.edit().await;
        let base = at::<R>(state, &self.path).await?;
        self.update(state, caller, &*base, self.body.read()?).await
    }

    /// Changes some fields of the object: what is not said stays.
    pub(super) async fn modify<R: Resource>(
        &self,
        state: &AppState,
        caller: &Caller,
    ) -> Result<Response, Problem> {
        let _edit = state.edit().await;
        let base = at::<R>(state, &self.path).await?;
        let input = self.body.read_onto(fields(&base.to_input())?)?;
        self.update(state, caller, &*base, input).await
    }

    async fn update<R: Resource>(
        &self,
        state: &AppState,
        caller: &Caller,
        base: &R,
        input: R::Input,
    ) -> Result<Response, Problem> {
        refuse_managed(base.managed_by())?;
        R::etag(&base.to_body(state)).check(&self.headers)?;
        let changed = R::build(state, caller, input, base.clone()).await?;
        change(state, changed.update(), caller.name()).await?;
        answer::<R>(state, base.id()).await
    }
}

/// Removes an object.
pub(super) async fn remove<R: Resource>(
    state: &AppState,
    caller: &Caller,
    path: &PathParts,
    headers: &HeaderMap,
) -> Result<StatusCode, Problem> {
    let _edit = state.edit().await;
    let object = at::<R>(state, path).await?;
    refuse_managed(object.managed_by())?;
    R::etag(&object.to_body(state)).check(headers)?;
    change(state, object.deletion(), caller.name()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The object as it now is, with its tag.
async fn answer<R: Resource>(state: &AppState, id: u64) -> Result<Response, Problem> {
    let object = find::<R>(state, &Reference::id(id)).await?.ok_or_else(Problem::not_found)?;
    let body = object.to_body(state);
    let tag = R::etag(&body);
    let mut response = Answer(body).into_response();
    tag.mark(&mut response);
    Ok(response)
}
