//! Every page, on a phone and on a desk, light and dark, with names that nobody would choose: nothing overflows, nothing
//! is hard to use for people who see or move otherwise, and nothing is refused by the pages' own policy.
//!
//! With `VILICUS_SCREENSHOTS=DIRECTORY` a picture of each is kept there.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::browser::Browser;
use crate::harness::server::ADMIN_TOKEN;
use crate::harness::{Agent, Server, rest};

/// Markup, quotes, emoji, text from right to left, no place to break, and an override of the direction.
const HOSTILE: &str = "<b onload=alert(1)>\"'& 🦀🔥 שלום עולם \u{202e}evil aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// What checks pages: <https://github.com/dequelabs/axe-core>, fetched by `scripts/axe`.
fn axe() -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/axe-core/axe.min.js");
    std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; run scripts/axe first", file.display()))
}

/// Fills a server with an agent, checks in every state, a channel, a route, a downtime and a user; returns the pages.
async fn furnish(server: &Server) -> Vec<(&'static str, String)> {
    let admin = server.admin();
    // It does not run: its checks are as this test says.
    let agent = Agent::enroll(server, "web-1").await;
    let name = |at: usize| if at == 0 { HOSTILE.to_owned() } else { format!("check {at}") };
    let mut ids = Vec::new();
    for (at, status) in ["CRITICAL", "WARNING", "UNKNOWN", "OK"].into_iter().enumerate() {
        let check = json!({"agent": agent.path(), "name": name(at), "kind": "disk", "max_attempts": 1, "interval": "1h",
            "thresholds": {"used_percent:*": {"warning": "80", "critical": "95"}}, "tags": [HOSTILE, "status=shop/Payments"],
            "description": HOSTILE, "runbook_url": "https://example.org/runbook"});
        let id = rest::id(&admin.create("/api/v1/check/", check).await);
        let result = json!({"status": status, "output": HOSTILE, "long_output": format!("{HOSTILE}\n{HOSTILE}"),
            "metrics": [{"name": "used_percent:/", "value": 91.5, "unit": "%"}]});
        admin.create(&format!("/api/v1/check/{id}/result/"), result).await;
        ids.push(id);
    }
    let hook = json!({"name": HOSTILE, "kind": "webhook", "params": {"url": "http://127.0.0.1:9/"}});
    let channel = rest::id(&admin.create("/api/v1/channel/", hook).await);
    let route = json!({"name": HOSTILE, "channels": [channel.to_string()], "match": ["agent=~.*"]});
    let route = rest::id(&admin.create("/api/v1/route/", route).await);
    let downtime =
        json!({"match": ["agent=web-9"], "schedule": "Sun 02:00-04:00 Europe/Berlin", "comment": HOSTILE});
    admin.create("/api/v1/downtime/", downtime).await;
    let user = json!({"name": HOSTILE, "role": "viewer", "password": "correct horse battery"});
    admin.create("/api/v1/user/", user).await;
    let template = json!({"name": HOSTILE, "match": [format!("tag={}", "nobody")], "checks": []});
    admin.create("/api/v1/template/", template).await;
    let invitation = json!({"name": "invited", "role": "enroll", "needs_approval": true});
    let invitation = admin.create("/api/v1/token/", invitation).await;
    let host = json!({"name": format!("{HOSTILE} waits")});
    let guest = server.rest().bearer(rest::text(&invitation, "token"));
    let waits = rest::id(&guest.create("/api/v1/agent/enroll/", host).await["agent"]);
    let [critical, ..] = ids[..] else { unreachable!("four were made") };
    vec![
        ("overview", "/".to_owned()),
        ("filtered", "/?status=problem&q=check&sort=name".to_owned()),
        ("grid", "/?view=grid".to_owned()),
        ("filtered-grid", "/?view=grid&q=check".to_owned()),
        ("agent-that-waits", format!("/agent/{waits}")),
        ("hosts-that-came", format!("/host/waiting?after={}", agent.id)),
        ("nothing-found", "/?q=nothing+is+called+so".to_owned()),
        ("agent", format!("/agent/{}", agent.id)),
        ("check", format!("/check/{critical}")),
        ("replay", format!("/check/{critical}/replay?metric=used_percent:*&warning=50&since=1d")),
        ("check-kinds", "/check/new".to_owned()),
        ("check-form", format!("/check/new?agent={}&kind=http", agent.id)),
        ("check-edit", format!("/check/{critical}/edit")),
        ("host", "/host/new".to_owned()),
        ("events", "/event".to_owned()),
        ("events-of-a-type", "/event?type=acknowledgement_ended".to_owned()),
        ("notifications", "/notification".to_owned()),
        ("notifications-of-a-state", "/notification?state=suppressed".to_owned()),
        ("downtimes", "/downtime?preview=1&schedule=Sun+02:00-04:00+Europe/Berlin".to_owned()),
        ("channels", "/channel".to_owned()),
        ("channel-form", "/channel/new?kind=email".to_owned()),
        ("channel-edit", format!("/channel/{channel}")),
        ("routes", "/route?check=web-1/check+1".to_owned()),
        ("route-edit", format!("/route/{route}")),
        ("tokens", "/token".to_owned()),
        ("users", "/user".to_owned()),
        ("settings", "/settings".to_owned()),
        ("status-page", "/status/shop/".to_owned()),
        ("refused", "/check/999999".to_owned()),
    ]
}

#[tokio::test]
async fn every_page_is_good_for_everybody() {
    let server = Server::new().start().await;
    let pages = furnish(&server).await;
    let browser = Browser::start(&server.url()).await;
    let pictures = std::env::var_os("VILICUS_SCREENSHOTS").map(PathBuf::from);
    let axe = axe();
    let mut faults = Vec::new();
    browser.open("/").await;
    look(&browser, "login", &axe, pictures.as_ref(), &mut faults).await;
    browser.fill("#token", ADMIN_TOKEN).await;
    browser.follow("details form button").await;
    browser.complaints().await;
    for (name, path) in pages {
        browser.open(&path).await;
        look(&browser, name, &axe, pictures.as_ref(), &mut faults).await;
        let complaints = browser.complaints().await;
        let expected = |complaint: &String| name == "refused" && complaint.contains("404");
        faults.extend(complaints.iter().filter(|one| !expected(one)).map(|one| format!("{name}: {one}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    browser.quit().await;
}

/// Looks at the page that is open in every way.
async fn look(
    browser: &Browser,
    name: &str,
    axe: &str,
    pictures: Option<&PathBuf>,
    faults: &mut Vec<String>,
) {
    let details = "for (const one of document.querySelectorAll('details')) one.open = true";
    for (width, scheme) in [(360, "light"), (360, "dark"), (1440, "light"), (1440, "dark")] {
        browser.look(width, scheme).await;
        if let Some(folder) = pictures {
            browser.picture(&folder.join(format!("{name}-{width}-{scheme}.png"))).await;
        }
        let wide = browser.run("return document.documentElement.scrollWidth", &[]).await;
        if wide.as_u64() > Some(u64::from(width)) {
            faults.push(format!("{name} is {wide} wide where {width} is"));
        }
    }
    browser.run(details, &[]).await;
    for scheme in ["light", "dark"] {
        browser.look(1440, scheme).await;
        faults.extend(
            violations(browser, axe).await.into_iter().map(|what| format!("{name}, {scheme}: {what}")),
        );
    }
}

/// What axe finds that is serious.
async fn violations(browser: &Browser, axe: &str) -> Vec<String> {
    browser.run(axe, &[]).await;
    let found = browser.run("return axe.run().then((found) => found.violations)", &[]).await;
    let found = found.as_array().cloned().unwrap_or_default();
    let serious = found.iter().filter(|one| matches!(one["impact"].as_str(), Some("serious" | "critical")));
    let told = |one: &Value| {
        let nodes = one["nodes"].as_array().into_iter().flatten();
        let nodes: Vec<&str> = nodes.take(3).filter_map(|node| node["html"].as_str()).collect();
        format!("{}: {}: {}", one["id"], one["help"], nodes.join(" | "))
    };
    serious.map(told).collect()
}
