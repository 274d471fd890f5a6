//! The first minute of a newcomer: one command, the printed link, and this very host is already watched.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Rest, Server, until};

/// How long a newcomer waits.
const FIRST_PAGE_WITHIN: Duration = Duration::from_secs(60);

/// Someone who came in through the link.
struct Browser {
    rest: Rest,
    cookie: String,
}

#[tokio::test]
async fn the_first_page_shows_this_host_within_a_minute() {
    let mut server = Server::new().bare().arg("--local-agent").start().await;
    let process = server.process();
    let link = login_link(&format!("{}\n{}", process.output(), process.log()));
    let path =
        link.strip_prefix(&server.url()).unwrap_or_else(|| panic!("{link} leads elsewhere")).to_owned();
    let browser = Browser::enter(server.rest(), &path).await;
    until("the page shows the checks of this host", FIRST_PAGE_WITHIN, async || {
        let page = browser.see("/", "text/html").await;
        ["cpu", "memory", "load", "disk"].iter().all(|name| page.contains(name)).then_some(())
    })
    .await;
    until("all of them are OK", FIRST_PAGE_WITHIN, async || {
        let checks: Value =
            serde_json::from_str(&browser.see("/api/v1/check/", "application/json").await).unwrap();
        let checks = checks["objects"].as_array().unwrap();
        let well = |check: &Value| check["state"]["status"] == "OK";
        (checks.len() >= 5 && checks.iter().all(well)).then_some(())
    })
    .await;
    let page = browser.see("/", "text/html").await;
    assert!(!page.contains("PENDING") && !page.contains("CRITICAL"), "{page}");
    used_link_is_refused(&server.rest(), &path).await;
}

/// The one-time link among the lines that the server printed.
fn login_link(printed: &str) -> String {
    let is_link = |word: &&str| word.starts_with("http://") && word.contains("login");
    let link = printed.split_whitespace().rfind(is_link);
    link.unwrap_or_else(|| panic!("no login link in:\n{printed}")).to_owned()
}

impl Browser {
    /// Follows the link, and keeps the cookie.
    async fn enter(rest: Rest, link: &str) -> Self {
        let answer = rest.get(link).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        let cookie = answer.header("set-cookie");
        let lower = cookie.to_lowercase();
        assert!(lower.contains("httponly") && lower.contains("samesite=lax"), "{cookie}");
        Self { rest, cookie: cookie.split(';').next().unwrap().to_owned() }
    }

    async fn see(&self, path: &str, accept: &str) -> String {
        let headers = [("cookie", self.cookie.as_str()), ("accept", accept)];
        let answer = self.rest.try_send(Method::GET, path, &headers, None).await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }
}

async fn used_link_is_refused(rest: &Rest, link: &str) {
    let answer = rest.get(link).await;
    assert!(answer.header("set-cookie").is_empty(), "a link works once: {}", answer.text());
    let page = rest.get("/").await;
    assert!(page.status != 200 || !page.text().contains("cpu"), "the page needs a login: {}", page.text());
}
