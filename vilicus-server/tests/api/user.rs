//! People: who may log in by name, what the API shows of them, and when their sessions end.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use vilicus_server::dashboard::{self, Dashboard};
use vilicus_store::inventory::Role;

use crate::support::Api;

const PASSWORD: &str = "correct horse battery";

/// Logs in by the form; what is answered, and the cookie of the session.
async fn log_in(api: &Api, name: &str, password: &str) -> (StatusCode, Option<String>) {
    let pages = dashboard::router(Dashboard::new(api.state.clone(), None));
    let body = format!("name={}&password={}", name, password.replace(' ', "+"));
    let request = Request::post("/login").header("content-type", "application/x-www-form-urlencoded");
    let response = pages.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let cookie = response.headers().get("set-cookie").map(|cookie| cookie.to_str().unwrap());
    (response.status(), cookie.map(|cookie| cookie.split(';').next().unwrap().to_owned()))
}

/// Whether a session still lets in.
async fn is_in(api: &Api, cookie: &str) -> bool {
    api.ask("GET", "/api/v1/check/").header("cookie", cookie).send().await.status == 200
}

async fn user(api: &Api, name: &str, role: &str) -> Value {
    let reply = api.post("/api/v1/user/", json!({"name": name, "role": role, "password": PASSWORD})).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()
}

#[tokio::test]
async fn who_has_a_password_logs_in_and_nobody_sees_it() {
    let api = Api::new().await;
    let made = user(&api, "anna", "operator").await;
    assert_eq!((&made["name"], &made["role"]), (&json!("anna"), &json!("operator")));
    assert!(made.get("password").is_none() && !made.to_string().contains("hash"));
    let listed = api.get("/api/v1/user/").await;
    assert_eq!(listed.json()["meta"]["total_count"], 1);
    assert!(!listed.text().contains("correct"));
    let tokens = api.get("/api/v1/token/").await;
    assert!(!tokens.text().contains("anna"), "people are no tokens of the API: {}", tokens.text());

    let (status, cookie) = log_in(&api, "anna", PASSWORD).await;
    assert_eq!(status, 303);
    assert!(is_in(&api, &cookie.unwrap()).await);
    for (name, password) in [("anna", "wrong password"), ("bert", PASSWORD), ("anna", "")] {
        assert_eq!(log_in(&api, name, password).await.0, 401, "{name} {password}");
    }
}

#[tokio::test]
async fn a_new_role_or_password_and_the_end_of_a_user_end_their_sessions() {
    let api = Api::new().await;
    let made = user(&api, "anna", "admin").await;
    let path = made["resource_uri"].as_str().unwrap().to_owned();
    let (_, first) = log_in(&api, "anna", PASSWORD).await;
    assert_eq!(api.patch(&path, json!({"password": "another password"})).await.status, 200);
    assert!(!is_in(&api, &first.unwrap()).await);
    assert_eq!(log_in(&api, "anna", PASSWORD).await.0, 401);
    let (_, second) = log_in(&api, "anna", "another password").await;
    assert_eq!(api.patch(&path, json!({"role": "viewer"})).await.status, 200);
    assert!(!is_in(&api, &second.unwrap()).await);
    let (_, third) = log_in(&api, "anna", "another password").await;
    assert_eq!(api.delete(&path).await.status, 204);
    assert!(!is_in(&api, &third.unwrap()).await);
    assert_eq!(log_in(&api, "anna", "another password").await.0, 401);
}

#[tokio::test]
async fn what_no_user_can_be_is_refused_with_its_place() {
    let api = Api::new().await;
    for (body, pointer) in [
        (json!({"name": "a", "role": "agent", "password": PASSWORD}), "/role"),
        (json!({"name": "a", "role": "admin", "password": "short"}), "/password"),
        (json!({"name": "a", "role": "admin"}), "/password"),
        (json!({"name": "", "role": "admin", "password": PASSWORD}), "/name"),
    ] {
        let reply = api.post("/api/v1/user/", body.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.pointers()), (422, vec![pointer.to_owned()]), "{body}");
    }
    let made = user(&api, "anna", "viewer").await;
    let again =
        api.post("/api/v1/user/", json!({"name": "anna", "role": "viewer", "password": PASSWORD})).await;
    assert_eq!(again.status, 409, "{}", again.text());
    let renamed = api.patch(made["resource_uri"].as_str().unwrap(), json!({"name": "berta"})).await;
    assert_eq!(renamed.pointers(), ["/password"], "{}", renamed.text());
    let operator = api.token(Role::Operator).await;
    let refused = api.ask("GET", "/api/v1/user/").bearer(&operator).send().await;
    assert_eq!(refused.status, 403, "only admins see who there is");
}

#[tokio::test]
async fn tries_to_log_in_are_limited() {
    let api = Api::new().await;
    user(&api, "anna", "viewer").await;
    let mut last = StatusCode::OK;
    for _ in 0..40 {
        last = log_in(&api, "anna", "wrong password").await.0;
        if last == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(last, 429);
}
