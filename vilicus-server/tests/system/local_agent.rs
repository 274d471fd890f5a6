//! The first minute of a newcomer: one command, the printed link, and this very host is already watched.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Rest, Server, until};

/// How long a newcomer waits.
const FIRST_PAGE_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_first_page_shows_this_host_within_a_minute() {
    let mut server = Server::new().arg("--local-agent").start().await;
    let process = server.process();
    let link = login_link(&format!("{}\n{}", process.output(), process.log()));
    let session = enter(&server.rest(), &server.url(), &link).await;
    let browser = session.clone();
    until("the page shows the checks of this host", FIRST_PAGE_WITHIN, async || {
        let page = page(&server.rest(), &browser).await;
        ["cpu", "memory", "load", "disk"].iter().all(|name| page.contains(name)).then_some(())
    })
    .await;
    until("all of them are OK", FIRST_PAGE_WITHIN, async || {
        let checks = server.admin().list("/api/v1/check/?limit=0").await;
        let well = |check: &Value| check["state"]["status"] == "OK";
        (checks.len() >= 5 && checks.iter().all(well)).then_some(())
    })
    .await;
    let page = page(&server.rest(), &browser).await;
    assert!(!page.contains("PENDING") && !page.contains("CRITICAL"), "{page}");
    used_link_is_refused(&server.rest(), &server.url(), &link).await;
}

/// The one-time link among the lines that the server printed.
fn login_link(printed: &str) -> String {
    let is_link = |word: &&str| word.starts_with("http://") && word.contains("login");
    let link = printed.split_whitespace().rfind(is_link);
    link.unwrap_or_else(|| panic!("no login link in:\n{printed}")).to_owned()
}

/// Follows the link as a browser does, and returns the cookie.
async fn enter(rest: &Rest, url: &str, link: &str) -> String {
    let path = link.strip_prefix(url).unwrap_or_else(|| panic!("{link} leads elsewhere than {url}"));
    let answer = rest.get(path).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let cookie = answer.header("set-cookie");
    let lower = cookie.to_lowercase();
    assert!(lower.contains("httponly") && lower.contains("samesite=lax"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

async fn page(rest: &Rest, cookie: &str) -> String {
    let answer =
        rest.try_send(Method::GET, "/", &[("cookie", cookie), ("accept", "text/html")], None).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

async fn used_link_is_refused(rest: &Rest, url: &str, link: &str) {
    let answer = rest.get(link.strip_prefix(url).unwrap()).await;
    assert!(answer.header("set-cookie").is_empty(), "a link works once: {}", answer.text());
    let page = rest.get("/").await;
    assert!(page.status != 200 || !page.text().contains("cpu"), "the page needs a login: {}", page.text());
}
