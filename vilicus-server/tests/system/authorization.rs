//! Who may do what, over real sockets: nobody without a token, an agent only with its own, a viewer only looks.

use reqwest::Method;
use serde_json::json;

use crate::harness::agent::enroll_by_hand;
use crate::harness::server::ENROLL_TOKEN;
use crate::harness::{Rest, Server, rest};

/// A caller, and the client with its token.
struct Caller {
    name: &'static str,
    rest: Rest,
}

/// A request, its body, and the statuses that each caller of [`callers`] may get, in their order.
type Row = (Method, String, Option<serde_json::Value>, [&'static [u16]; 7]);

const NO_TOKEN: &[u16] = &[401];
const MAY_NOT: &[u16] = &[403, 404];
const WORKS: &[u16] = &[200, 201, 204];

async fn callers(server: &Server, own: Rest, other: Rest) -> Vec<Caller> {
    let admin = server.admin();
    let mut callers = vec![
        Caller { name: "nobody", rest: server.rest() },
        Caller { name: "a wrong token", rest: server.rest().bearer(&"w".repeat(40)) },
        Caller { name: "its own agent", rest: own },
        Caller { name: "another agent", rest: other },
        Caller { name: "an enrolment token", rest: server.rest().bearer(ENROLL_TOKEN) },
    ];
    for role in ["viewer", "operator"] {
        let token = admin.create("/api/v1/token/", json!({"name": role, "role": role})).await;
        callers.push(Caller { name: role, rest: server.rest().bearer(rest::text(&token, "token")) });
    }
    callers
}

#[tokio::test]
async fn every_caller_gets_what_its_role_allows() {
    // The wrong tokens of this very test are no attack.
    let server = Server::new().arg("--failed-logins-burst").arg("10000").start().await;
    let admin = server.admin();
    let (id, own) = enroll_by_hand(&server, "web-1").await;
    let (_, other) = enroll_by_hand(&server, "web-2").await;
    let check = json!({"agent": id, "name": "load", "kind": "load"});
    let check = rest::id(&admin.create("/api/v1/check/", check).await);
    let channel = json!({"name": "hook", "kind": "webhook", "params": {"url": "http://127.0.0.1:9/"}});
    let channel = rest::id(&admin.create("/api/v1/channel/", channel).await);
    let callers = callers(&server, own, other).await;
    for (method, path, body, expected) in rows(id, check, channel) {
        for (caller, expected) in callers.iter().zip(expected) {
            let answer = caller.rest.send(method.clone(), &path, body.as_ref()).await;
            let who = caller.name;
            assert!(
                expected.contains(&answer.status),
                "{who}: {method} {path} answered {} {}",
                answer.status,
                answer.text()
            );
            if answer.status >= 400 {
                assert_eq!(
                    answer.header("content-type"),
                    "application/problem+json",
                    "{who}: {method} {path}"
                );
            }
            if answer.status == 401 {
                assert!(!answer.header("www-authenticate").is_empty(), "{who}: {method} {path}");
            }
        }
    }
    let agents = admin.list("/api/v1/agent/").await;
    assert_eq!(agents.len(), 2, "nobody made or removed one: {agents:?}");
}

/// In the order: nobody, a wrong token, its own agent, another agent, an enrolment token, viewer, operator.
fn rows(agent: u64, check: u64, channel: u64) -> Vec<Row> {
    let looking: [&[u16]; 7] = [NO_TOKEN, NO_TOKEN, WORKS, MAY_NOT, MAY_NOT, WORKS, WORKS];
    let people: [&[u16]; 7] = [NO_TOKEN, NO_TOKEN, MAY_NOT, MAY_NOT, MAY_NOT, WORKS, WORKS];
    let admins: [&[u16]; 7] = [NO_TOKEN, NO_TOKEN, MAY_NOT, MAY_NOT, MAY_NOT, MAY_NOT, MAY_NOT];
    let agents: [&[u16]; 7] = [NO_TOKEN, NO_TOKEN, WORKS, MAY_NOT, MAY_NOT, MAY_NOT, MAY_NOT];
    let reporters: [&[u16]; 7] = [NO_TOKEN, NO_TOKEN, WORKS, MAY_NOT, MAY_NOT, MAY_NOT, WORKS];
    let operators: [&[u16]; 7] =
        [NO_TOKEN, NO_TOKEN, MAY_NOT, MAY_NOT, MAY_NOT, MAY_NOT, &[200, 201, 202, 204]];
    let hidden_or_found: [&[u16]; 7] = [NO_TOKEN, NO_TOKEN, WORKS, WORKS, MAY_NOT, WORKS, WORKS];
    let (agent, one) = (format!("/api/v1/agent/{agent}/"), format!("/api/v1/check/{check}/"));
    let channel = format!("/api/v1/channel/{channel}/");
    let result = json!({"check": check, "status": "OK", "output": "well"});
    let replay = json!({"check": check, "since": "2026-01-01T00:00:00Z"});
    let new_check = json!({"agent": "web-1", "name": "more", "kind": "load"});
    let new_channel = json!({"name": "more", "kind": "webhook", "params": {"url": "http://127.0.0.1:9/"}});
    let downtime = json!({"match": [], "schedule": "Sun 02:00-04:00"});
    let inhibition = json!({"name": "more", "source": ["kind=agent"], "target": ["kind!=agent"]});
    let get = |path: &str, expected| (Method::GET, path.to_owned(), None, expected);
    vec![
        get("/api/v1/agent/", hidden_or_found),
        get("/api/v1/check/", hidden_or_found),
        get("/api/v1/load_check/", hidden_or_found),
        get(&agent, looking),
        get(&one, looking),
        get("/api/v1/channel/", people),
        get(&channel, people),
        get("/api/v1/event/", people),
        get("/api/v1/notification/", people),
        get("/api/v1/route/", people),
        get("/api/v1/inhibition/", people),
        get("/api/v1/downtime/", people),
        get(&format!("{one}explain/"), people),
        get(&format!("/api/v1/availability/?check={check}"), looking),
        (Method::POST, "/api/v1/replay/".to_owned(), Some(replay), people),
        get("/api/v1/template/", people),
        get("/api/v1/apply/", people),
        get("/api/v1/backup/", admins),
        get("/api/v1/token/", admins),
        get("/api/v1/user/", admins),
        (
            Method::PUT,
            agent.clone(),
            Some(json!({"hostname": "x.example.org"})),
            [NO_TOKEN, NO_TOKEN, WORKS, MAY_NOT, MAY_NOT, MAY_NOT, MAY_NOT],
        ),
        (Method::PUT, format!("{agent}checks/"), Some(json!({"objects": []})), agents),
        (Method::POST, "/api/v1/check_history/".to_owned(), Some(result), reporters),
        (Method::POST, format!("{one}run/"), Some(json!({})), operators),
        (Method::POST, "/api/v1/downtime/".to_owned(), Some(downtime), operators),
        (Method::POST, "/api/v1/route/".to_owned(), Some(json!({"name": "more"})), admins),
        (Method::POST, "/api/v1/inhibition/".to_owned(), Some(inhibition), admins),
        (Method::POST, "/api/v1/template/".to_owned(), Some(json!({"name": "more"})), admins),
        (Method::POST, "/api/v1/apply/?dry_run=true".to_owned(), Some(json!({"agent": []})), admins),
        (
            Method::POST,
            format!("{one}acknowledge/"),
            Some(json!({"comment": "there is nothing yet"})),
            [NO_TOKEN, NO_TOKEN, MAY_NOT, MAY_NOT, MAY_NOT, MAY_NOT, &[409]],
        ),
        (Method::DELETE, format!("{one}acknowledge/"), None, operators),
        (Method::POST, "/api/v1/check/".to_owned(), Some(new_check), admins),
        (Method::PATCH, one.clone(), Some(json!({"max_attempts": 9})), admins),
        (Method::DELETE, one, None, admins),
        (Method::POST, "/api/v1/channel/".to_owned(), Some(new_channel), admins),
        (Method::PATCH, channel.clone(), Some(json!({"enabled": false})), admins),
        (
            Method::POST,
            format!("{channel}test/"),
            Some(json!({})),
            [NO_TOKEN, NO_TOKEN, MAY_NOT, MAY_NOT, MAY_NOT, MAY_NOT, &[200, 403, 404]],
        ),
        (Method::DELETE, channel, None, admins),
        (Method::POST, "/api/v1/token/".to_owned(), Some(json!({"name": "mine", "role": "admin"})), admins),
        (Method::POST, "/api/v1/agent/".to_owned(), Some(json!({"name": "more"})), admins),
        (Method::PATCH, agent.clone(), Some(json!({"check_interval_ms": 1000})), admins),
    ]
}

#[tokio::test]
async fn a_result_of_another_agent_is_refused_item_by_item() {
    let server = Server::new().start().await;
    let admin = server.admin();
    let (mine, client) = enroll_by_hand(&server, "web-1").await;
    let (theirs, _) = enroll_by_hand(&server, "web-2").await;
    let mut checks = Vec::new();
    for agent in [mine, theirs] {
        let check = json!({"agent": agent, "name": "load", "kind": "load"});
        checks.push(rest::id(&admin.create("/api/v1/check/", check).await));
    }
    let batch = json!({"objects": [
        {"check": checks[0], "status": "OK", "output": "mine"},
        {"check": checks[1], "status": "CRITICAL", "output": "not mine"},
        {"check": 999_999, "status": "OK", "output": "nobody's"},
    ]});
    let answer = client.post("/api/v1/check_history/", &batch).await.expect(200);
    assert_eq!(answer["accepted"], 1, "{answer}");
    let rejected = answer["rejected"].as_array().unwrap();
    let seen: Vec<(u64, u64)> =
        rejected.iter().map(|one| (number(one, "index"), number(one, "status"))).collect();
    assert!(matches!(seen[..], [(1, 403 | 404), (2, 403 | 404)]), "{answer}");
    assert_eq!(
        rejected[0]["status"], rejected[1]["status"],
        "what is another's looks as what is not there: {answer}"
    );
    let untouched = admin.get(&format!("/api/v1/check/{}/", checks[1])).await.expect(200);
    assert_eq!(untouched["state"]["status"], "PENDING");
}

fn number(object: &serde_json::Value, field: &str) -> u64 {
    object[field].as_u64().unwrap_or_else(|| panic!("no number '{field}' in {object}"))
}
