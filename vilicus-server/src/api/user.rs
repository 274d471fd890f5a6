//! `/user/`: people who log in with a name and a password, and what each may do. Passwords are never shown.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vilicus_core::{Timestamp, async_trait};
use vilicus_store::Change;
use vilicus_store::inventory::{Role, Token, TokenPurpose};

use super::AppState;
use super::names::Mistakes;
use super::reference::{Reference, uri};
use super::resource::{self, Edit, Resource};
use super::token::new_token;
use crate::http::Problem;
use crate::http::auth::{Admin, Caller};
use crate::http::json::{JsonBody, Sent};
use crate::http::page::List;
use crate::http::path::PathParts;
use crate::http::query::Query;
use crate::users::{self, LONGEST_PASSWORD, SHORTEST_PASSWORD};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one, replace, modify, remove))
}

/// A person who may log in.
#[derive(Debug, Clone)]
struct User(Token);

/// A person, as shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct UserBody {
    id: u64,
    resource_uri: String,
    /// By which they log in; unique among users and tokens.
    name: String,
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    role: Role,
    /// When the password was set.
    #[schema(value_type = String, format = DateTime)]
    password_set_at: Timestamp,
}

/// A person, as written.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
struct UserInput {
    /// By which they log in.
    name: String,
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    role: Role,
    /// At least 10 characters; without one it stays as it is.
    #[serde(default)]
    #[schema(write_only)]
    password: Option<String>,
}

impl fmt::Debug for UserInput {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserInput")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Sent for UserInput {
    const READ_ONLY: &'static [&'static str] = &["id", "resource_uri", "password_set_at"];
}

impl UserInput {
    fn validate(&self, base: &User) -> Result<(), Problem> {
        let mut mistakes = Mistakes::default();
        mistakes.name("/name", &self.name);
        mistakes.require(
            self.role >= Role::Viewer,
            "/role",
            "is not for people; expected viewer, operator or admin",
        );
        match &self.password {
            Some(password) => {
                let length = password.chars().count();
                let fits = (SHORTEST_PASSWORD..=LONGEST_PASSWORD).contains(&length);
                let words = format!("must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters");
                mistakes.require(fits, "/password", &words);
            }
            None if base.0.name.is_empty() => mistakes.add("/password", "is missing"),
            None => {
                let same = self.name == base.0.name;
                mistakes.require(same, "/password", "is missing; a new name needs the password again");
            }
        }
        mistakes.into_result()
    }
}

#[async_trait]
impl Resource for User {
    type Input = UserInput;
    type Body = UserBody;

    const NAME: &'static str = "user";

    fn id(&self) -> u64 {
        self.0.id.get()
    }

    fn name(&self) -> Option<&str> {
        Some(&self.0.name)
    }

    fn managed_by(&self) -> Option<&str> {
        None
    }

    fn to_input(&self) -> UserInput {
        UserInput { name: self.0.name.clone(), role: self.0.role, password: None }
    }

    fn to_body(&self, _: &AppState) -> UserBody {
        UserBody {
            id: self.0.id.get(),
            resource_uri: uri(Self::NAME, self.0.id),
            name: self.0.name.clone(),
            role: self.0.role,
            password_set_at: self.0.created_at,
        }
    }

    async fn all(state: &AppState) -> Result<Vec<Arc<Self>>, Problem> {
        let tokens = state.store().tokens().await?;
        let users = tokens.iter().filter(|token| token.purpose == TokenPurpose::Password);
        Ok(users.map(|token| Arc::new(Self(Token::clone(token)))).collect())
    }

    async fn build(state: &AppState, _: &Caller, input: UserInput, base: Self) -> Result<Self, Problem> {
        input.validate(&base)?;
        let mut token = Token { name: input.name, role: input.role, ..base.0 };
        if let Some(password) = input.password {
            token.created_at = state.clock().now();
            token.hash = users::hash_of(&token.name, token.created_at, &password.into()).await?;
        }
        Ok(Self(token))
    }

    fn creation(self) -> Change {
        Change::CreateToken(Box::new(self.0))
    }

    fn update(self) -> Change {
        Change::UpdateToken(Box::new(self.0))
    }

    fn deletion(&self) -> Change {
        Change::DeleteToken(self.0.id)
    }
}

/// The people who may log in.
#[utoipa::path(get, path = "/api/v1/user/", tag = "user", params(
    ("name" = Option<String>, Query), ("role" = Option<String>, Query),
    ("limit" = Option<usize>, Query), ("offset" = Option<usize>, Query)),
    responses((status = 200, body = List<UserBody>)))]
async fn list(
    State(state): State<AppState>,
    _caller: Admin,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = query.bounds()?.page(false);
    let (names, roles) = (query.any("name"), query.any("role"));
    query.finish()?;
    let mut users = User::all(&state).await?;
    users.retain(|user| {
        names.as_ref().is_none_or(|names| names.contains(&user.0.name))
            && roles.as_ref().is_none_or(|roles| roles.contains(&user.0.role.to_string()))
    });
    Ok(resource::list(&state, &query, page, &headers, &users))
}

/// Lets somebody log in.
#[utoipa::path(post, path = "/api/v1/user/", tag = "user", request_body = UserInput,
    responses((status = 201, body = UserBody)))]
async fn create(
    State(state): State<AppState>,
    Admin(caller): Admin,
    body: JsonBody,
) -> Result<Response, Problem> {
    let nothing = SecretString::default();
    let base = new_token(String::new(), Role::Viewer, &nothing, state.clock().now());
    let base = User(Token { purpose: TokenPurpose::Password, ..base });
    resource::create(&state, &caller, &body, base).await
}

/// One person.
#[utoipa::path(get, path = "/api/v1/user/{id}/", tag = "user", params(("id" = String, Path)),
    responses((status = 200, body = UserBody)))]
async fn one(
    State(state): State<AppState>,
    _caller: Admin,
    path: PathParts,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    resource::one::<User>(&state, &path, &headers).await
}

/// Replaces what a person may do, and with a password that, too. Ends their other sessions.
#[utoipa::path(put, path = "/api/v1/user/{id}/", tag = "user", params(("id" = String, Path)),
    request_body = UserInput, responses((status = 200, body = UserBody)))]
async fn replace(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
    edit: Edit,
) -> Result<Response, Problem> {
    let user = resource::at::<User>(&state, &path).await?;
    let answer = edit.replace::<User>(&state, &caller).await?;
    end_other_sessions(&state, &caller, &user).await?;
    Ok(answer)
}

/// Changes what a person may do, or the password. Ends their other sessions.
#[utoipa::path(patch, path = "/api/v1/user/{id}/", tag = "user", params(("id" = String, Path)),
    request_body = Object, responses((status = 200, body = UserBody)))]
async fn modify(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
    edit: Edit,
) -> Result<Response, Problem> {
    let user = resource::at::<User>(&state, &path).await?;
    let answer = edit.modify::<User>(&state, &caller).await?;
    end_other_sessions(&state, &caller, &user).await?;
    Ok(answer)
}

/// The session in which it was changed stays, unless it could do more than its user now can.
async fn end_other_sessions(state: &AppState, caller: &Caller, was: &User) -> Result<(), Problem> {
    let is = resource::find::<User>(state, &Reference::id(was.id())).await?;
    let same_role = is.is_some_and(|is| is.0.role == was.0.role);
    let kept = same_role.then_some(caller.token().id);
    Ok(users::end_sessions(state, &was.0.name, kept, &caller.name()).await?)
}

/// Lets somebody in no more; their sessions end at once.
#[utoipa::path(delete, path = "/api/v1/user/{id}/", tag = "user", params(("id" = String, Path)),
    responses((status = 204)))]
async fn remove(
    State(state): State<AppState>,
    Admin(caller): Admin,
    path: PathParts,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let user = resource::at::<User>(&state, &path).await?;
    let answer = resource::remove::<User>(&state, &caller, &path, &headers).await?;
    users::end_sessions(&state, &user.0.name, None, &caller.name()).await?;
    Ok(answer)
}
