//! Every secret is a canary, and everything is logged: no canary is ever seen again.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::harness::agent::enroll_by_hand;
use crate::harness::server::{ADMIN_TOKEN, ENROLL_TOKEN};
use crate::harness::{Agent, Rest, Server, rest, until};
use crate::support::http_recorder::{Answer, HttpRecorder};
use crate::support::scripted_smtp::{Do, Script, ScriptedSmtp};

const SMTP_PASSWORD: &str = "canary-of-the-smtp-password-3f1";
const PUSHOVER_TOKEN: &str = "canaryofthepushovertoken123456";
const WEBHOOK_SECRET: &str = "whsec_Y2FuYXJ5LW9mLXRoZS13ZWJob29rLXNlY3JldA==";
const HEADER_VALUE: &str = "Bearer canary-of-a-webhook-header-77";
const URL_PASSWORD: &str = "canary-of-the-password-in-a-url-5";
const CHECK_PASSWORD: &str = "canary-of-a-password-of-a-check-9";
const WRONG_TOKEN: &str = "canary-of-a-token-that-is-not-valid-1";

/// What a curious reader looks at.
const READS: &[&str] = &[
    "/",
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/v1/openapi.json",
    "/api/v1/agent/",
    "/api/v1/channel/",
    "/api/v1/token/",
    "/api/v1/event/",
    "/api/v1/notification/",
    "/api/v1/nonsense/",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_ever_shown() {
    let remote = HttpRecorder::start(|request| refuse(&request.path)).await;
    let mut server = Server::new().env("VILICUS_LOG", "trace").start().await;
    let admin = server.admin();
    let refusing =
        Script::default().offering("AUTH PLAIN LOGIN").on("AUTH", Do::Say("535 5.7.8 not that one"));
    let mail_server = ScriptedSmtp::start(refusing).await;
    channels(&admin, &remote, &mail_server).await;
    let mut agent = Agent::enroll(&server, "web-1").await.env("VILICUS_LOG", "trace");
    let agent_token = token_of(&agent);
    let auth = json!({"params": {"url": format!("{}/", remote.url()), "headers": {"X-Key": CHECK_PASSWORD}}});
    agent.check(&admin, "shop", "http", auth).await;
    let (id, client) = enroll_by_hand(&server, "by-hand").await;
    let check = json!({"agent": id, "name": "load", "kind": "load", "max_attempts": 1});
    let check = rest::id(&admin.create("/api/v1/check/", check).await);
    let made = admin.create("/api/v1/token/", json!({"name": "eyes", "role": "viewer"})).await;
    let viewer_token = rest::text(&made, "token").to_owned();
    agent.start();

    client
        .post("/api/v1/check_history/", &json!({"check": check, "status": "CRITICAL", "output": "x"}))
        .await
        .expect(201);
    until("every channel was tried", Duration::from_secs(20), async || {
        let rows = admin.list("/api/v1/notification/").await;
        let tried = rows.iter().filter(|row| row["state"] != "pending" || row["tries"] != json!([])).count();
        (rows.len() >= 3 && tried == rows.len()).then_some(())
    })
    .await;
    until("the agent has asked the shop", Duration::from_secs(20), async || {
        remote.requests().iter().any(|request| request.method == Method::GET).then_some(())
    })
    .await;

    let mut seen = errors(&server).await;
    for rest in [&admin, &server.rest().bearer(&viewer_token), &server.rest()] {
        seen.extend(read_everything(rest).await);
    }
    seen.push(("the server's log".to_owned(), server.process().log()));
    seen.push(("the server's output".to_owned(), server.process().output()));
    seen.push(("the agent's log".to_owned(), agent.process().log()));
    let (server_log, agent_log) = (server.process().log(), agent.process().log());
    assert!(server_log.contains("DEBUG") && agent_log.contains("DEBUG"), "everything is logged");
    for secret in [
        ADMIN_TOKEN,
        ENROLL_TOKEN,
        SMTP_PASSWORD,
        PUSHOVER_TOKEN,
        WEBHOOK_SECRET,
        HEADER_VALUE,
        URL_PASSWORD,
        WRONG_TOKEN,
        &agent_token,
        &viewer_token,
    ] {
        for (place, text) in &seen {
            assert!(!text.contains(secret), "{secret:?} is shown by {place}: {}", around(text, secret));
        }
    }
    let shown = server.rest().bearer(&viewer_token).get("/api/v1/check/").await.text();
    assert!(shown.contains("\"shop\"") && !shown.contains(CHECK_PASSWORD), "a viewer sees {shown}");
    // A check's parameters are for those who configure it, and for nobody's log.
    for (place, text) in seen.iter().filter(|(place, _)| place.contains("log")) {
        assert!(!text.contains(CHECK_PASSWORD), "{place}: {}", around(text, CHECK_PASSWORD));
    }
}

/// A remote that repeats what it got, as remotes do in their errors.
fn refuse(path: &str) -> Answer {
    match path {
        "/" => Answer::status(200),
        "/1/messages.json" => {
            let error = format!("application token {PUSHOVER_TOKEN} is invalid");
            Answer::json(400, &json!({"errors": [error], "status": 0, "request": "r"}))
        }
        _ => Answer::Respond {
            status: 400,
            headers: Vec::new(),
            body: format!("{HEADER_VALUE} {WEBHOOK_SECRET}"),
        },
    }
}

async fn channels(admin: &Rest, remote: &HttpRecorder, mail_server: &ScriptedSmtp) {
    let webhook = format!("{}/hook", remote.url());
    let smtp = format!("smtp://user@{}", mail_server.address());
    let channels = [
        (
            "mail",
            "email",
            json!({"smtp": smtp, "password": SMTP_PASSWORD, "from": "a@example.com", "to": ["b@example.com"]}),
        ),
        ("phone", "pushover", json!({"token": PUSHOVER_TOKEN, "user": "u1", "api_url": remote.url()})),
        (
            "hook",
            "webhook",
            json!({"url": webhook, "secret": WEBHOOK_SECRET, "headers": {"Authorization": HEADER_VALUE}}),
        ),
    ];
    for (name, kind, params) in channels {
        let made =
            admin.create("/api/v1/channel/", json!({"name": name, "kind": kind, "params": params})).await;
        let id = rest::id(&made);
        let mut echoed = made.clone();
        echoed["enabled"] = json!(true);
        admin.put(&format!("/api/v1/channel/{id}/"), &echoed).await.expect(200);
        let tested = admin.post(&format!("/api/v1/channel/{id}/test/"), &json!({})).await;
        for secret in [SMTP_PASSWORD, PUSHOVER_TOKEN, WEBHOOK_SECRET, HEADER_VALUE, URL_PASSWORD] {
            assert!(!made.to_string().contains(secret), "the answer shows a secret: {made}");
            assert!(!tested.text().contains(secret), "the test shows a secret: {}", tested.text());
        }
    }
}

/// The token that `enroll` kept for the agent.
fn token_of(agent: &Agent) -> String {
    let folder = agent.config().parent().unwrap().to_owned();
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()));
    let texts: Vec<String> = files.filter_map(Result::ok).collect();
    let token =
        texts.iter().find_map(|text| text.split(['"', '\n', ' ']).find(|word| word.starts_with("vil_")));
    token.unwrap_or_else(|| panic!("no token in {texts:?}")).to_owned()
}

/// Answers to requests that hold secrets and are refused.
async fn errors(server: &Server) -> Vec<(String, String)> {
    let admin = server.admin();
    let bad_channels = [
        json!({"name": "x", "kind": "email", "params": {"smtp": "nonsense", "password": SMTP_PASSWORD, "from": "a", "to": []}}),
        json!({"name": "x", "kind": "pushover", "params": {"token": [PUSHOVER_TOKEN], "user": "u"}}),
        json!({"name": "x", "kind": "webhook", "params": {"url": format!("http://u:{URL_PASSWORD}@127.0.0.1/"), "secret": WEBHOOK_SECRET}}),
    ];
    let mut seen = Vec::new();
    for channel in bad_channels {
        let answer = admin.post("/api/v1/channel/", &channel).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        seen.push(("a refused channel".to_owned(), answer.text()));
    }
    let answer = server.rest().bearer(WRONG_TOKEN).get("/api/v1/agent/").await;
    seen.push(("a refused token".to_owned(), answer.text()));
    seen
}

async fn read_everything(rest: &Rest) -> Vec<(String, String)> {
    let mut seen = Vec::new();
    for path in READS {
        let answer = rest.get(path).await;
        seen.push((format!("GET {path}"), format!("{:?}\n{}", answer.headers, answer.text())));
    }
    seen
}

/// The text around the first place of a secret.
fn around<'a>(text: &'a str, secret: &str) -> &'a str {
    let at = text.find(secret).unwrap_or(0);
    let (begin, end) = (at.saturating_sub(200), (at + secret.len() + 100).min(text.len()));
    text.get(text.floor_char_boundary(begin)..text.floor_char_boundary(end)).unwrap_or_default()
}
