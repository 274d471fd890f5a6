//! The same configuration by page, by file, over the API and by vilicusctl: exported it is the same.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::process::clean_command;
use crate::harness::server::ADMIN_TOKEN;
use crate::harness::{Rest, Server};

/// The configuration as a file says it.
const FILE: &str = r#"
[[agent]]
name = "web-1"

[[channel]]
name = "hook"
kind = "webhook"
params = { url = "http://127.0.0.1:9/" }

[[check]]
agent = "web-1"
name = "shop"
kind = "http"
interval = "30s"
max_attempts = 2
tags = ["prod", "shop"]
params = { url = "https://shop.example.org/", expect_status = "200" }
thresholds = { response_seconds = { warning = "1", critical = "5" } }

[[route]]
name = "ops"
position = 10
match = ["tag=prod"]
channels = ["hook"]
repeat_interval = "2h"
"#;

/// What a server says that it is configured as, without who manages it.
async fn exported(server: &Server) -> Value {
    server.admin().get("/api/v1/apply/").await.expect(200)
}

#[tokio::test]
async fn four_ways_lead_to_the_same() {
    let by_file = by_file().await;
    assert_eq!(by_file["check"][0]["name"], "shop");
    assert_eq!(by_api().await, by_file, "over the API");
    assert_eq!(by_command().await, by_file, "by vilicusctl");
    assert_eq!(by_page().await, by_file, "by page");
}

async fn by_file() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    std::fs::write(&file, FILE).unwrap();
    let server = Server::new().arg("--apply").arg(&file.display().to_string()).start().await;
    exported(&server).await
}

async fn by_command() -> Value {
    let server = Server::new().start().await;
    let file = server.folder().join("site.toml");
    std::fs::write(&file, FILE).unwrap();
    let mut command = clean_command(Path::new(env!("CARGO_BIN_EXE_vilicusctl")), server.folder());
    command.args(["apply", "-f", &file.display().to_string()]);
    command.env("VILICUS_URL", server.url()).env("VILICUS_TOKEN", ADMIN_TOKEN);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    exported(&server).await
}

async fn by_api() -> Value {
    let server = Server::new().start().await;
    let admin = server.admin();
    admin.create("/api/v1/agent/", json!({"name": "web-1"})).await;
    let hook = json!({"name": "hook", "kind": "webhook", "params": {"url": "http://127.0.0.1:9/"}});
    admin.create("/api/v1/channel/", hook).await;
    let check = json!({"agent": "web-1", "name": "shop", "kind": "http", "interval": "30s", "max_attempts": 2,
        "tags": ["prod", "shop"], "params": {"url": "https://shop.example.org/", "expect_status": "200"},
        "thresholds": {"response_seconds": {"warning": "1", "critical": "5"}}});
    admin.create("/api/v1/check/", check).await;
    let route = json!({"name": "ops", "position": 10, "match": ["tag=prod"], "channels": ["hook"], "repeat_interval": "2h"});
    admin.create("/api/v1/route/", route).await;
    exported(&server).await
}

/// Someone who is logged in, and fills in forms.
struct Visitor {
    rest: Rest,
    cookie: String,
}

impl Visitor {
    async fn log_in(server: &Server) -> Self {
        let rest = server.rest();
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = format!("token={ADMIN_TOKEN}").into_bytes();
        let answer = rest.try_send(Method::POST, "/login", &form, Some(body)).await.unwrap();
        assert_eq!(answer.status, 303, "{}", answer.text());
        let cookie = answer.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        Self { rest, cookie }
    }

    async fn sends(&self, path: &str, fields: &[(&str, &str)]) {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("cookie", self.cookie.as_str()),
            ("sec-fetch-site", "same-origin"),
        ];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let answer = self.rest.try_send(Method::POST, path, &headers, Some(body.into_bytes())).await.unwrap();
        assert_eq!(answer.status, 303, "{path}: {}", answer.text());
    }
}

async fn by_page() -> Value {
    let server = Server::new().start().await;
    // Agents enrol, and are not made on a page.
    let agent = server.admin().create("/api/v1/agent/", json!({"name": "web-1"})).await;
    let visitor = Visitor::log_in(&server).await;
    let hook = [("kind", "webhook"), ("name", "hook"), ("enabled", "1"), ("p.url", "http://127.0.0.1:9/")];
    visitor.sends("/channel", &hook).await;
    let agent = agent["id"].to_string();
    visitor
        .sends(
            "/check/new",
            &[
                ("agent", &agent),
                ("kind", "http"),
                ("name", "shop"),
                ("p.url", "https://shop.example.org/"),
                ("p.expect_status", "200"),
                ("metric-0", "response_seconds"),
                ("warning-0", "1"),
                ("critical-0", "5"),
                ("for-0", ""),
                ("interval", "30s"),
                ("max_attempts", "2"),
                ("tags", "prod, shop"),
                ("description", ""),
                ("runbook_url", ""),
            ],
        )
        .await;
    let channels = server.admin().list("/api/v1/channel/").await;
    let channel = channels[0]["id"].to_string();
    let route = [
        ("name", "ops"),
        ("position", "10"),
        ("matchers", "tag=prod"),
        ("channel", &channel),
        ("repeat_interval", "2h"),
    ];
    visitor.sends("/route", &route).await;
    exported(&server).await
}
