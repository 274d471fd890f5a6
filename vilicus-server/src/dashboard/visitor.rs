//! Who looks at a page: what its frame shows, and what its forms may offer.

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode};
use vilicus_store::inventory::Role;

use super::notice::Done;
use super::{Dashboard, login};
use crate::http::auth::authenticate;

/// Someone who may look.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    /// As they are called.
    pub(super) name: String,
    role: Role,
    /// What they just did.
    pub(super) done: Option<Done>,
    /// The path of the page, for the menu.
    pub(super) path: String,
}

impl Visitor {
    /// An administrator at the overview.
    #[cfg(test)]
    pub(super) fn example() -> Self {
        Self { name: "admin".to_owned(), role: Role::Admin, done: None, path: "/".to_owned() }
    }

    /// Whether forms for daily work are offered.
    pub(super) fn operates(&self) -> bool {
        self.role >= Role::Operator
    }

    /// Whether forms for settings are offered.
    pub(super) fn administers(&self) -> bool {
        self.role == Role::Admin
    }

    /// What the menu says of an entry: whether this page is under it.
    pub(super) fn current(&self, entry: &str) -> &'static str {
        let here = if entry == "/" { self.path == "/" } else { self.path.starts_with(entry) };
        if here { "page" } else { "false" }
    }
}

impl FromRequestParts<Dashboard> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Self::Rejection> {
        // After a form was sent the page itself is asked for; what a form said is not said twice.
        let wanted = parts.uri.path_and_query().filter(|_| parts.method == Method::GET);
        let wanted = wanted.map_or("/", |wanted| wanted.as_str());
        let Ok(caller) = authenticate(parts, &dashboard.api).await else {
            return Err(login::ask(StatusCode::UNAUTHORIZED, None, wanted));
        };
        if caller.role() < Role::Viewer {
            let words = "This token may not look at the dashboard.";
            return Err(login::ask(StatusCode::FORBIDDEN, Some(words), wanted));
        }
        Ok(Self {
            name: caller.name(),
            role: caller.role(),
            done: Done::of(parts.uri.query()),
            path: parts.uri.path().to_owned(),
        })
    }
}
