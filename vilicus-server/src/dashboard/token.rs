//! Tokens: who may do what, a new one, and the end of one.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use vilicus_core::{Millis, Timestamp};

use super::form::{self, Fields, after, field};
use super::inside::{Inside, Refused};
use super::visitor::Visitor;
use super::wire::{List, Token};
use super::words::visible;
use super::{Dashboard, render};

/// The roles that are offered, and what each may.
const ROLES: [(&str, &str); 4] = [
    ("viewer", "looks at everything"),
    ("operator", "acknowledges, sets downtimes, runs checks, too"),
    ("admin", "everything"),
    ("enroll", "lets new agents in"),
];

struct Line {
    id: u64,
    name: String,
    role: String,
    words: String,
}

impl Line {
    fn new(token: &Token) -> Self {
        let mut words = vec![format!("made {}", token.created_at)];
        words.extend(token.uses.map(|uses| format!("{uses} uses left")));
        words.extend(token.expires_at.map(|end| format!("ends {end}")));
        words.extend(token.needs_approval.then(|| match token.agent {
            Some(_) => "its agent waits to be let in".to_owned(),
            None => "its agents wait to be let in".to_owned(),
        }));
        Self { id: token.id, name: visible(&token.name), role: visible(&token.role), words: words.join(", ") }
    }
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    visitor: Visitor,
    lines: Vec<Line>,
    made: Option<String>,
    problem: Option<String>,
}

/// `GET /token`
pub(super) async fn page(visitor: Visitor, inside: Inside) -> Response {
    show(visitor, &inside, None, None).await
}

async fn show(visitor: Visitor, inside: &Inside, made: Option<String>, refused: Option<Refused>) -> Response {
    let tokens = match inside.get::<List<Token>>("/api/v1/token/?limit=1000").await {
        Ok(tokens) => tokens.objects,
        Err(refused) => return form::refuse(&refused, "/"),
    };
    let lines = tokens.iter().map(Line::new).collect();
    let problem = refused.as_ref().map(|refused| visible(&refused.words));
    let status = refused.map_or(StatusCode::OK, |refused| refused.status);
    render(status, &TokensPage { visitor, lines, made, problem })
}

/// `POST /token`: makes one, and shows it this once.
pub(super) async fn create(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    inside: Inside,
    fields: Fields,
) -> Response {
    let made = match body(&fields, dashboard.api.clock().now()) {
        Ok(body) => inside.send(Method::POST, "/api/v1/token/", Some(&body)).await,
        Err(refused) => Err(refused),
    };
    match made {
        Ok(made) => {
            let secret = made["token"].as_str().unwrap_or_default().to_owned();
            show(visitor, &inside, Some(secret), None).await
        }
        Err(refused) => show(visitor, &inside, None, Some(refused)).await,
    }
}

fn body(fields: &Fields, now: Timestamp) -> Result<Value, Refused> {
    let mut body = json!({"name": field(fields, "name"), "role": field(fields, "role")});
    if let Some(uses) = field(fields, "uses") {
        body["uses"] = uses.parse::<u32>().map_or_else(|_| uses.into(), Value::from);
    }
    if let Some(life) = field(fields, "life") {
        let life: Millis = life.parse().map_err(|_| Refused {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            words: format!("'{life}' is not a time: write it as 12h or 90d"),
        })?;
        body["expires_at"] = json!(now.after(life));
    }
    if let Some(tags) = field(fields, "tags") {
        body["tags"] = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect();
    }
    Ok(body)
}

/// `POST /token/{id}/remove`
pub(super) async fn remove(inside: Inside, Path(id): Path<u64>) -> Response {
    let done = inside.send(Method::DELETE, &format!("/api/v1/token/{id}/"), None).await;
    after(done, "/token", "removed", id)
}
