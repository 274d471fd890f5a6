//! What can be done with a check: each form asks the API, and leads back to the page with a way to undo.

use axum::extract::Path;
use axum::response::Response;
use http::Method;
use serde_json::json;

use crate::dashboard::form::{self, Fields, after, back, field};
use crate::dashboard::inside::Inside;
use crate::dashboard::wire;

fn home(id: u64) -> String {
    format!("/check/{id}")
}

/// `POST /check/{id}/run`
pub(in crate::dashboard) async fn run(inside: Inside, Path(id): Path<u64>, fields: Fields) -> Response {
    let done = inside.send(Method::POST, &format!("/api/v1/check/{id}/run/"), None).await;
    after(done, back(&fields, &home(id)), "run", id)
}

/// `POST /check/{id}/acknowledge`
pub(in crate::dashboard) async fn acknowledge(
    inside: Inside,
    Path(id): Path<u64>,
    fields: Fields,
) -> Response {
    let body = json!({
        "comment": field(&fields, "comment").unwrap_or("seen"),
        "sticky": fields.contains_key("sticky"), "public": fields.contains_key("public"),
    });
    let path = format!("/api/v1/check/{id}/acknowledge/");
    let done = inside.send(Method::POST, &path, Some(&body)).await;
    after(done, back(&fields, &home(id)), "acknowledged", id)
}

/// `POST /check/{id}/unacknowledge`
pub(in crate::dashboard) async fn unacknowledge(
    inside: Inside,
    Path(id): Path<u64>,
    fields: Fields,
) -> Response {
    let done = inside.send(Method::DELETE, &format!("/api/v1/check/{id}/acknowledge/"), None).await;
    after(done, back(&fields, &home(id)), "unacknowledged", id)
}

/// `POST /check/{id}/on` and `…/off`
pub(in crate::dashboard) async fn switch(
    inside: Inside,
    Path((id, to)): Path<(u64, String)>,
    fields: Fields,
) -> Response {
    let on = to == "on";
    let path = format!("/api/v1/check/{id}/");
    let done = inside.send(Method::PATCH, &path, Some(&json!({ "enabled": on }))).await;
    after(done, back(&fields, &home(id)), if on { "on" } else { "off" }, id)
}

/// `POST /check/{id}/remove`
pub(in crate::dashboard) async fn remove(inside: Inside, Path(id): Path<u64>) -> Response {
    let done = inside.send(Method::DELETE, &format!("/api/v1/check/{id}/"), None).await;
    match done {
        Ok(done) => after(Ok(done), "/", "removed", id),
        Err(refused) => form::refuse(&refused, &home(id)),
    }
}

/// `POST /check/{id}/result`: what somebody saw, as if the check had.
pub(in crate::dashboard) async fn report(inside: Inside, Path(id): Path<u64>, fields: Fields) -> Response {
    let body = json!({
        "status": field(&fields, "status"),
        "output": field(&fields, "output").unwrap_or("reported by hand"),
    });
    let done = inside.send(Method::POST, &format!("/api/v1/check/{id}/result/"), Some(&body)).await;
    after(done, back(&fields, &home(id)), "reported", id)
}

/// `POST /check/{id}/publish`: puts it on a status page, in a group there; or with no page takes it off.
pub(in crate::dashboard) async fn publish(inside: Inside, Path(id): Path<u64>, fields: Fields) -> Response {
    let path = format!("/api/v1/check/{id}/");
    let check: wire::Check = match inside.get(&path).await {
        Ok(check) => check,
        Err(refused) => return form::refuse(&refused, &home(id)),
    };
    let page = field(&fields, "page").map(|page| match field(&fields, "group") {
        Some(group) => format!("status={}/{group}", page.replace('/', "-")),
        None => format!("status={}", page.replace('/', "-")),
    });
    let word = if page.is_some() { "published" } else { "unpublished" };
    let tags: Vec<String> =
        check.tags.into_iter().filter(|tag| !tag.starts_with("status=")).chain(page).collect();
    let done = inside.send(Method::PATCH, &path, Some(&json!({ "tags": tags }))).await;
    after(done, &home(id), word, id)
}
