//! What an agent sends is text wherever it is shown: in the page, a mail, the log and a CSV file.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::agent::enroll_by_hand;
use crate::harness::{Server, rest, until};
use crate::support::postfix::Postfix;

/// Markup in a name; a name may hold no `/`.
const MARKUP_NAME: &str = "<img src=x onerror=alert(1)>";
/// A formula in a name.
const FORMULA_NAME: &str = "=cmd|' calc'!A0";
/// Everything at once in an output.
const OUTPUT: &str = "=HYPERLINK(\"http://evil.example\")</td><script>alert(2)</script><svg onload=alert(3)>\
                      \u{1b}[31mred\u{1b}[0m\u{7}\r\nBcc: thief@evil.example\r\nX-Injected: yes\r\n\r\n+second line";

#[tokio::test]
async fn what_an_agent_sends_is_inert_wherever_it_is_shown() {
    let postfix = Postfix::start().await;
    let mut server = Server::new().env("VILICUS_LOG", "debug").start().await;
    let admin = server.admin();
    let smtp = format!("smtp://127.0.0.1:{}", postfix.plain_port);
    let params = json!({"smtp": smtp, "from": "vilicus@example.com", "to": ["ops@example.com"]});
    admin.create("/api/v1/channel/", json!({"name": "mail", "kind": "email", "params": params})).await;
    let (agent, client) = enroll_by_hand(&server, MARKUP_NAME).await;
    let check = json!({"agent": agent, "name": FORMULA_NAME, "kind": "load", "max_attempts": 1});
    let check = rest::id(&admin.create("/api/v1/check/", check).await);
    let own =
        json!({"hostname": "<script>alert(4)</script>", "version": "\u{1b}[2J<b>1</b>", "os": "@SUM(1)"});
    client.put(&format!("/api/v1/agent/{agent}/"), &own).await;
    let metrics = json!([{"name": "<i>m</i>", "value": 1, "unit": "<u>"}]);
    let result = json!({"check": check, "status": "CRITICAL", "output": OUTPUT, "long_output": OUTPUT, "metrics": metrics});
    client.post("/api/v1/check_history/", &result).await.expect(201);
    let bad = json!({"check": "\u{1b}[31m\r\nfake log line", "status": OUTPUT});
    assert!(client.post("/api/v1/check_history/", &bad).await.status < 500);

    page_is_inert(&server).await;
    let mail = until("the mail has come", Duration::from_secs(10), async || postfix.mails("ops").pop()).await;
    mail_is_inert(&mail);
    let csv = admin.get_as(&format!("/api/v1/check_history/?check={check}"), "text/csv").await;
    assert_eq!(csv.status, 200, "{}", csv.text());
    csv_is_inert(&csv.text());
    let json = admin.get(&format!("/api/v1/check/{check}/")).await;
    assert_eq!(json.header("x-content-type-options"), "nosniff");
    log_is_inert(&server.process().log());
}

async fn page_is_inert(server: &Server) {
    let page = server.admin().get_as("/", "text/html").await;
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    assert!(text.contains("&lt;img") || text.contains("&#60;img"), "the agent is shown: {text}");
    for live in ["<img src=x", "<script>alert", "<svg onload", "<b>1</b>", "<i>m</i>", "\u{1b}"] {
        assert!(!text.contains(live), "{live:?} is alive in {text}");
    }
    let policy = page.header("content-security-policy");
    assert!(!policy.is_empty() && !policy.contains("unsafe-inline"), "Content-Security-Policy: {policy:?}");
}

fn mail_is_inert(mail: &str) {
    let (head, body) = mail.split_once("\n\n").unwrap();
    for line in head.lines() {
        assert!(!line.starts_with("Bcc:") && !line.starts_with("X-Injected:"), "{head}");
    }
    assert!(!mail.contains('\u{1b}') && !mail.contains('\u{7}'), "control characters in {mail}");
    let html = body.split("text/html").nth(1).unwrap_or_else(|| panic!("the mail has an HTML part: {mail}"));
    // The body may be quoted-printable: `<` needs no quoting there, so live markup would be seen as it is.
    for live in ["<script>", "<img src", "<svg"] {
        assert!(!html.contains(live), "{live:?} is alive in {html}");
    }
}

/// No cell begins with what a spreadsheet takes for a formula.
fn csv_is_inert(csv: &str) {
    assert!(csv.contains("HYPERLINK"), "the output is there: {csv}");
    assert!(!csv.contains('\u{1b}') && !csv.contains('\u{7}'), "{csv:?}");
    for cell in cells(csv) {
        assert!(!cell.starts_with(['=', '@', '+', '\t', '\r']), "{cell:?} is a formula in {csv}");
    }
}

/// The cells of all rows; a quoted one may hold commas and ends of lines.
fn cells(csv: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for c in csv.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' | '\r' | '\n' if !quoted => cells.push(String::new()),
            c => cells.last_mut().unwrap().push(c),
        }
    }
    cells
}

/// No control character but the end of a line, and no line that an agent wrote.
fn log_is_inert(log: &str) {
    assert!(!log.contains('\u{1b}') && !log.contains('\u{7}') && !log.contains('\r'), "{log:?}");
    assert!(!log.lines().any(|line| line.trim_start().starts_with("fake log line")), "{log}");
}

#[tokio::test]
async fn names_with_control_characters_are_refused() {
    let server = Server::new().start().await;
    let admin = server.admin();
    for name in ["a\nb", "a\u{1b}[31m", "a\u{0}", "a/b", "", "123", &"x".repeat(256)] {
        let answer = admin.post("/api/v1/agent/", &json!({"name": name})).await;
        assert_eq!(answer.status, 422, "{name:?}: {}", answer.text());
        let problem = answer.json();
        assert_eq!(problem["errors"][0]["pointer"], "/name", "{problem}");
    }
    let agents: Vec<Value> = admin.list("/api/v1/agent/").await;
    assert!(agents.is_empty(), "{agents:?}");
}
