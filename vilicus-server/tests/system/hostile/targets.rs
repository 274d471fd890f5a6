//! Where hostile requests go: everything that takes a body, and queries, paths, methods and tokens that make no sense.

use reqwest::Method;
use serde_json::json;

use super::Hostile;
use crate::harness::agent::enroll_by_hand;
use crate::harness::server::ENROLL_TOKEN;
use crate::harness::{Rest, Server, rest};

/// What becomes of fields that the server does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    UnknownFieldsAreRefused,
    UnknownFieldsAreIgnored,
}

/// Something that takes a body.
pub(super) struct Target {
    pub(super) rest: Rest,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) strictness: Strictness,
}

/// Everything that takes a body, with objects to change.
pub(super) async fn prepare(server: &Server) -> Vec<Target> {
    use Strictness::{UnknownFieldsAreIgnored as Ignored, UnknownFieldsAreRefused as Refused};
    let admin = server.admin();
    let enroll = server.rest().bearer(ENROLL_TOKEN);
    let (id, agent) = enroll_by_hand(server, "victim").await;
    let check =
        rest::id(&admin.create("/api/v1/check/", json!({"agent": id, "name": "load", "kind": "load"})).await);
    let channel = json!({"name": "hook", "kind": "webhook", "params": {"url": "http://127.0.0.1:9/"}});
    let channel = rest::id(&admin.create("/api/v1/channel/", channel).await);
    let target = |rest: &Rest, method: Method, path: String, strictness| Target {
        rest: rest.clone(),
        method,
        path: format!("/api/v1/{path}"),
        strictness,
    };
    vec![
        target(&admin, Method::POST, "agent/".to_owned(), Refused),
        target(&admin, Method::POST, "check/".to_owned(), Refused),
        target(&admin, Method::POST, "channel/".to_owned(), Refused),
        target(&admin, Method::POST, "token/".to_owned(), Refused),
        target(&admin, Method::PUT, format!("agent/{id}/"), Refused),
        target(&admin, Method::PATCH, format!("agent/{id}/"), Refused),
        target(&admin, Method::PUT, format!("check/{check}/"), Refused),
        target(&admin, Method::PATCH, format!("check/{check}/"), Refused),
        target(&admin, Method::PUT, format!("channel/{channel}/"), Refused),
        target(&admin, Method::PATCH, format!("channel/{channel}/"), Refused),
        target(&agent, Method::POST, "check_history/".to_owned(), Ignored),
        target(&agent, Method::PUT, format!("agent/{id}/"), Ignored),
        target(&agent, Method::PUT, format!("agent/{id}/checks/"), Ignored),
        target(&enroll, Method::POST, "agent/enroll/".to_owned(), Refused),
    ]
}

/// Queries that make no sense, for every list.
pub(super) fn queries(admin: &Rest) -> Vec<Hostile> {
    let lists =
        ["agent", "check", "process_check", "channel", "token", "event", "notification", "check_history"];
    let bad = [
        "nonsense=1",
        "limit=-1",
        "limit=ten",
        "limit=1.5",
        "limit=99999999999999999999999",
        "limit=",
        "limit=%zz",
        "limit=%ff",
        "__in=1",
        "id__nonsense=1",
        "%00=1",
    ];
    let mut requests = Vec::new();
    for list in lists {
        for query in bad {
            requests.push(get(admin, &format!("/api/v1/{list}/?{query}"), "a bad query", &[400]));
        }
    }
    for (list, query) in [
        ("agent", "state=PURPLE"),
        ("agent", "offset=-5"),
        ("check", "status=PURPLE"),
        ("check", "enabled=perhaps"),
        ("check_history", "check=1&since=yesterday"),
        ("check_history", "check=1&since=2026-11-22T07:00:00"),
        ("check_history", "check=1&resolution=coarse"),
        ("check_history", "check=1&before=%F0%9F%92%A9"),
        ("event", "after=xyz"),
        ("event", "before=-1"),
        ("notification", "state=purple"),
    ] {
        requests.push(get(admin, &format!("/api/v1/{list}/?{query}"), "a bad value", &[400]));
    }
    requests
}

/// Paths to nowhere.
pub(super) fn paths(rest: &Rest) -> Vec<Hostile> {
    let nowhere = [
        "/api/v1/nonsense/",
        "/api/v1/agent/0/",
        "/api/v1/agent/-1/",
        "/api/v1/agent/18446744073709551616/",
        "/api/v1/agent/there-is-none/",
        "/api/v1/agent/%00/",
        "/api/v1/agent/%2e%2e%2f%2e%2e%2fetc%2fpasswd/",
        "/api/v1/agent/..%2f..%2f/",
        "/api/v1/agent/%ff/",
        "/api/v1/agent/1/nonsense/",
        "/api/v1/check/999999/",
        "/api/v1/check/a%2Fb%2Fc/",
        "/api/v1/check_history/999999/1/",
        "/api/v1/check_history/1/99999999999999999999999/",
        "/api/v1/nonsense_check/",
        "/api/v2/agent/",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
        "/.env",
        "/.git/config",
        "/wp-login.php",
        "//api//v1//agent//",
        "/api/v1/agent/1/%0d%0aSet-Cookie:%20a=b/",
        "/api/v1/agent/'%20OR%201=1--/",
        "/api/v1/agent/%E2%80%AE/",
    ];
    let mut requests: Vec<Hostile> =
        nowhere.iter().map(|path| get(rest, path, "a path to nowhere", &[400, 403, 404])).collect();
    let long = format!("/api/v1/agent/{}/", "a".repeat(8_000));
    requests.push(get(rest, &long, "a long path", &[400, 404, 414, 431]));
    requests
}

/// Methods that a path does not have.
pub(super) fn methods(admin: &Rest) -> Vec<Hostile> {
    let mut requests = Vec::new();
    for path in
        ["/api/v1/agent/", "/api/v1/check/", "/api/v1/check_history/", "/healthz", "/readyz", "/metrics"]
    {
        for method in ["DELETE", "PATCH", "TRACE", "PROPFIND", "BREW", "get"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            requests.push(Hostile { method, ..get(admin, path, "a method that it does not have", &[405]) });
        }
    }
    requests
}

/// Tokens that are none.
pub(super) fn tokens(anyone: &Rest) -> Vec<Hostile> {
    let long = format!("Bearer {}", "x".repeat(6_000));
    let bad = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer short",
        "Basic",
        "Basic !!!!",
        "Basic Og==",
        "ApiKey web-1",
        "ApiKey :",
        "ApiKey web-1:short",
        "Digest username=\"admin\"",
        "Bearer \u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
        &long,
    ];
    bad.iter()
        .map(|value| get(&anyone.authorization(value), "/api/v1/agent/", "a bad token", &[400, 401, 429]))
        .collect()
}

fn get(rest: &Rest, path: &str, what: &str, right: &'static [u16]) -> Hostile {
    Hostile {
        what: what.to_owned(),
        rest: rest.clone(),
        method: Method::GET,
        path: path.to_owned(),
        headers: Vec::new(),
        body: None,
        right,
    }
}
