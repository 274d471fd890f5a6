//! The original agent's conversation, spoken by hand over a socket: the clients of the original system keep working.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::agent::enroll_by_hand;
use crate::harness::raw::{RawAnswer, exchange};
use crate::harness::server::ENROLL_TOKEN;
use crate::harness::{Server, rest};

/// How long one request may take here.
const PATIENCE: Duration = Duration::from_secs(10);

/// One request as the original agents write it, on a connection of its own.
async fn say(server: &Server, token: &str, method: &str, path: &str, body: Option<&Value>) -> RawAnswer {
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: ApiKey web-1:{token}\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        server.address(),
        body.len()
    );
    exchange(server.address(), request.as_bytes(), PATIENCE).await
}

fn json_of(answer: &RawAnswer, status: u16) -> Value {
    assert_eq!(answer.status, Some(status), "{}\n\n{}", answer.head, answer.body);
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body))
}

#[tokio::test]
async fn the_original_conversation_works_word_by_word() {
    let server = Server::new().start().await;
    let admin = server.admin();
    let enrolment = json!({"name": "web-1", "hostname": "web-1.example.org"});
    let enrolled = server.rest().bearer(ENROLL_TOKEN).post("/api/v1/agent/enroll/", &enrolment).await.json();
    let token = rest::text(&enrolled, "token");
    for name in ["sshd", "cron"] {
        let check = json!({"agent": "web-1", "name": name, "kind": "process", "params": {"name": name}});
        admin.create("/api/v1/check/", check).await;
    }
    let disk = json!({"agent": "web-1", "name": "disk-root", "kind": "disk", "params": {"path": "/"}});
    admin.create("/api/v1/check/", disk).await;
    enroll_by_hand(&server, "another").await;

    let list = json_of(&say(&server, token, "GET", "/api/v1/agent/", None).await, 200);
    assert_eq!(list["meta"]["total_count"], 1, "an agent sees itself alone: {list}");
    let mut agent = list["objects"][0].clone();
    assert_eq!(agent["name"], "web-1");
    assert_eq!(agent["check_interval_ms"], 60_000);

    let list = json_of(&say(&server, token, "GET", "/api/v1/process_check/", None).await, 200);
    let checks = list["objects"].as_array().unwrap();
    let names: Vec<&str> = checks.iter().map(|check| rest::text(check, "name")).collect();
    assert_eq!(names, ["sshd", "cron"], "the process checks of this agent alone");
    assert_eq!(checks[0]["params"]["name"], "sshd");

    for (second, check) in checks.iter().enumerate() {
        let timestamp = format!("{}.{second:03}Z", now().strftime("%Y-%m-%dT%H:%M:%S"));
        let result = json!({
            "check": check["resource_uri"], "timestamp": timestamp, "status": 0, "output": "1 process",
            "metrics": [{"name": "count", "value": 1, "unit": ""}], "duration_ms": 12,
        });
        let answer = say(&server, token, "POST", "/api/v1/check_history/", Some(&result)).await;
        let row = json_of(&answer, 201);
        let location = format!("location: {}", rest::text(&row, "resource_uri")).to_lowercase();
        assert!(answer.head.to_lowercase().contains(&location), "{location} in {}", answer.head);
        assert_eq!(
            (row["status"].as_str(), row["timestamp"].as_str()),
            (Some("OK"), Some(timestamp.as_str()))
        );
        let again = say(&server, token, "POST", "/api/v1/check_history/", Some(&result)).await;
        json_of(&again, 200);
    }

    agent["version"] = json!("0.9");
    let answer = say(&server, token, "PUT", rest::text(&agent, "resource_uri"), Some(&agent)).await;
    let checked_out = json_of(&answer, 200);
    assert_eq!(checked_out["version"], "0.9");
    let seen = admin.get(rest::text(&agent, "resource_uri")).await.expect(200);
    assert_eq!((seen["state"].as_str(), seen["version"].as_str()), (Some("UP"), Some("0.9")));
    let age = now().duration_since(rest::text(&seen, "last_checkin").parse().unwrap());
    assert!(age.as_secs().abs() < 30, "last_checkin is the server's time: {seen}");
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

#[tokio::test]
async fn an_agent_cannot_change_what_is_not_its_own() {
    let server = Server::new().start().await;
    let (id, agent) = enroll_by_hand(&server, "web-1").await;
    let path = format!("/api/v1/agent/{id}/");
    let mut own = agent.get(&path).await.expect(200);
    own["name"] = json!("renamed");
    own["check_interval_ms"] = json!(1);
    own["tags"] = json!(["prod"]);
    own["last_checkin"] = json!("2001-01-01T00:00:00.000Z");
    own["hostname"] = json!("new.example.org");
    own["a_field_of_the_future"] = json!({"of": "another version"});
    agent.put(&path, &own).await.expect(200);
    let seen = server.admin().get(&path).await.expect(200);
    assert_eq!(seen["name"], "web-1");
    assert_eq!(seen["check_interval_ms"], 60_000);
    assert_eq!(seen["tags"], json!([]));
    assert_eq!(seen["hostname"], "new.example.org");
    assert!(rest::text(&seen, "last_checkin") > "2002", "{seen}");
}
