//! People: who may log in, and the page of the first minute that makes the first of them.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::form::{self, Fields, after, field};
use super::inside::{Inside, Refused};
use super::visitor::Visitor;
use super::wire::List;
use super::words::visible;
use super::{Dashboard, render};
use crate::users::{self, LONGEST_PASSWORD, SHORTEST_PASSWORD};

/// The roles of people, and what each may.
const ROLES: [(&str, &str); 3] = [
    ("viewer", "looks at everything"),
    ("operator", "acknowledges, sets downtimes, runs checks, too"),
    ("admin", "everything"),
];

/// A person, as the API tells it.
#[derive(Debug, Deserialize)]
struct User {
    id: u64,
    name: String,
    role: String,
}

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    visitor: Visitor,
    users: Vec<User>,
    problem: Option<String>,
}

/// `GET /user`
pub(super) async fn page(visitor: Visitor, inside: Inside) -> Response {
    show(visitor, &inside, None).await
}

async fn show(visitor: Visitor, inside: &Inside, refused: Option<Refused>) -> Response {
    let mut users = match inside.get::<List<User>>("/api/v1/user/?limit=1000").await {
        Ok(users) => users.objects,
        Err(refused) => return form::refuse(&refused, "/"),
    };
    users.iter_mut().for_each(|user| user.name = visible(&user.name));
    let problem = refused.as_ref().map(|refused| visible(&refused.words));
    render(refused.map_or(StatusCode::OK, |refused| refused.status), &UsersPage { visitor, users, problem })
}

fn body(fields: &Fields) -> Value {
    // A password may begin with a space: it is taken as it is.
    json!({"name": field(fields, "name"), "role": field(fields, "role"), "password": fields.get("password")})
}

/// `POST /user`
pub(super) async fn create(visitor: Visitor, inside: Inside, fields: Fields) -> Response {
    match inside.send(Method::POST, "/api/v1/user/", Some(&body(&fields))).await {
        Ok(_) => Redirect::to("/user?done=created").into_response(),
        Err(refused) => show(visitor, &inside, Some(refused)).await,
    }
}

/// `POST /user/{id}`: another role, or another password.
pub(super) async fn change(
    visitor: Visitor,
    inside: Inside,
    Path(id): Path<u64>,
    fields: Fields,
) -> Response {
    let mut body = json!({"role": field(&fields, "role")});
    if let Some(password) = fields.get("password").filter(|password| !password.is_empty()) {
        body["password"] = password.as_str().into();
    }
    match inside.send(Method::PATCH, &format!("/api/v1/user/{id}/"), Some(&body)).await {
        Ok(_) => Redirect::to("/user?done=changed").into_response(),
        Err(refused) => show(visitor, &inside, Some(refused)).await,
    }
}

/// `POST /user/{id}/remove`
pub(super) async fn remove(inside: Inside, Path(id): Path<u64>) -> Response {
    after(inside.send(Method::DELETE, &format!("/api/v1/user/{id}/"), None).await, "/user", "removed", id)
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage {
    name: String,
    problem: Option<String>,
}

/// `GET /welcome`: the first minute.
pub(super) async fn welcome(State(dashboard): State<Dashboard>, visitor: Visitor) -> Response {
    let settled = users::are_there_any(dashboard.api.store().as_ref()).await.unwrap_or(true);
    if settled || !visitor.administers() {
        return Redirect::to("/").into_response();
    }
    render(StatusCode::OK, &WelcomePage { name: "admin".to_owned(), problem: None })
}

/// `POST /welcome`: the first administrator who has a password.
pub(super) async fn first(_visitor: Visitor, inside: Inside, fields: Fields) -> Response {
    let mut body = body(&fields);
    body["role"] = "admin".into();
    match inside.send(Method::POST, "/api/v1/user/", Some(&body)).await {
        Ok(_) => Redirect::to("/").into_response(),
        Err(refused) => {
            let name = field(&fields, "name").unwrap_or_default().to_owned();
            render(refused.status, &WelcomePage { name, problem: Some(visible(&refused.words)) })
        }
    }
}
