//! Two people change the same object at the same moment: neither undoes the other, and `If-Match` lets one pass.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::agent::enroll_by_hand;
use crate::harness::{Rest, Server, rest};

/// Changes that go to the same check, one field each.
const CHANGES: [(&str, &str); 6] = [
    ("description", "what it is for"),
    ("runbook_url", "https://wiki.example.org/"),
    ("interval", "77s"),
    ("timeout", "7s"),
    ("grace", "17s"),
    ("timeout_status", "UNKNOWN"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_the_same_time_do_not_undo_each_other() {
    let server = Server::new().start().await;
    let admin = server.admin();
    let (agent, _) = enroll_by_hand(&server, "web-1").await;
    let check = admin.create("/api/v1/check/", json!({"agent": agent, "name": "load", "kind": "load"})).await;
    let path = rest::text(&check, "resource_uri").to_owned();

    let bodies = CHANGES.map(|(field, value)| json!({field: value}));
    assert_eq!(all_at_once(&admin, &path, &bodies, None).await, [200; CHANGES.len()]);
    let seen = admin.get(&path).await.expect(200);
    for (field, value) in CHANGES {
        let same = seen[field] == value || (field == "interval" && seen[field] == "1m17s");
        assert!(same, "the change of {field} was undone: {seen}");
    }

    let tag = admin.get(&path).await.header("etag");
    // None is what it has now: that would change nothing, and pass.
    let bodies = [2, 4, 5, 6, 7, 8].map(|attempts| json!({"max_attempts": attempts}));
    let statuses = all_at_once(&admin, &path, &bodies, Some(&tag)).await;
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412], "one of them saw what it changed");
}

/// Sends all changes at once; their statuses, sorted.
async fn all_at_once(admin: &Rest, path: &str, bodies: &[Value], if_match: Option<&str>) -> Vec<u16> {
    let mut sent = JoinSet::new();
    for body in bodies {
        let (admin, path, body) = (admin.clone(), path.to_owned(), body.to_string().into_bytes());
        let tag = if_match.map(str::to_owned);
        sent.spawn(async move {
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(tag.as_deref().map(|tag| ("if-match", tag)));
            admin.try_send(Method::PATCH, &path, &headers, Some(body)).await.unwrap().status
        });
    }
    let mut statuses = sent.join_all().await;
    statuses.sort_unstable();
    statuses
}
