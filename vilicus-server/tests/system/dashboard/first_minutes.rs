//! A newcomer's first minutes, in a real browser: from the link in the log to an alert that was acknowledged.

use std::path::PathBuf;
use std::time::Duration;

use super::browser::Browser;
use crate::harness::process::clean_command;
use crate::harness::{Process, Server, until};

const PATIENCE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "correct horse battery staple";

/// The program of the agent, beside that of the server.
fn agent_program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_vilicus-server")).with_file_name("vilicus-agent")
}

async fn login_link(server: &mut Server) -> String {
    until("the log shows a login link", PATIENCE, async || {
        let log = server.process().log();
        let from = log.find("/login?code=")?;
        Some(log[from..].split_whitespace().next()?.to_owned())
    })
    .await
}

#[tokio::test]
async fn from_the_first_link_to_an_acknowledged_alert() {
    let mut server = Server::new().bare().arg("--local-agent").start().await;
    let link = login_link(&mut server).await;
    let browser = Browser::start(&server.url()).await;

    // A password is set, and this host is green.
    browser.open(&link).await;
    assert_eq!(browser.place().await, "/welcome");
    browser.fill("#password", PASSWORD).await;
    browser.follow("form button").await;
    browser.reads("No problems").await;
    browser.reads("UP").await;
    browser.reads("local-memory").await;

    // Out, and in again by name.
    browser.follow("header form button").await;
    browser.open("/event").await;
    browser.fill("#name", "admin").await;
    browser.fill("#password", PASSWORD).await;
    browser.follow("form button").await;
    assert_eq!(browser.place().await, "/event", "people land where they wanted to go");
    assert_eq!(browser.complaints().await.len(), 1, "only the answer 401 of the page that was asked for");

    add_a_host(&server, &browser).await;
    add_a_check_and_break_it(&browser).await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.quit().await;
}

/// The page makes the token, a real agent enrols with it, and the page says so by itself.
async fn add_a_host(server: &Server, browser: &Browser) {
    browser.open("/host/new").await;
    browser.follow("form.tall button").await;
    browser.reads("Listening for the new host").await;
    let text = browser.text().await;
    let token = text.split_once("--token ").unwrap().1.split_whitespace().next().unwrap().to_owned();
    let folder = server.folder().join("new-host");
    std::fs::create_dir(&folder).unwrap();
    let config = folder.join("agent.toml").display().to_string();
    let mut enrol = clean_command(&agent_program(), &folder);
    enrol.args(["--config", &config, "enroll", "--server", &server.url(), "--name", "web-1"]);
    let done = enrol.env("VILICUS_ENROLL_TOKEN", token).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut run = clean_command(&agent_program(), &folder);
    run.args(["--config", &config, "run"]);
    let agent = Process::start("agent", run, &folder);
    browser.reads("web-1 connected, 7 checks").await;
    browser.follow("#arrivals a").await;
    browser.reads("used_percent").await;
    browser.reads("web-1").await;
    drop(agent);
}

async fn add_a_check_and_break_it(browser: &Browser) {
    // What is watched is a port of this test.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    browser.open("/check/new").await;
    browser.run("document.querySelector('#agent').selectedIndex = 0", &[]).await;
    browser.follow("button[value=tcp]").await;
    browser.fill("#name", "door").await;
    browser.fill("[name='p.host']", "127.0.0.1").await;
    browser.fill("[name='p.port']", &port).await;
    browser.fill("#max_attempts", "1").await;
    browser.fill("#interval", "1s").await;

    // It is run before it is saved, on the agent.
    browser.follow("button[name=try]").await;
    browser.reads("Nothing is saved yet").await;
    assert!(browser.text().await.contains("OK"), "{}", browser.text().await);
    assert_eq!(browser.run("return document.querySelector('#name').value", &[]).await, "door");
    browser.follow("form.tall button:not([name])").await;
    browser.reads("Created.").await;
    browser.reads("hard: confirmed").await;

    // It breaks, and the page turns by itself.
    drop(listener);
    browser.reads("CRITICAL").await;
    browser.open("/").await;
    browser.reads("1 problem").await;

    // By the keyboard alone: the check is found, opened and acknowledged.
    browser.press(&["j"]).await;
    browser.press(&["\u{e007}"]).await;
    browser.reads("Why it is told").await;
    browser.press(&["a"]).await;
    browser.write("on it").await;
    browser.press(&["\u{e007}"]).await;
    browser.reads("Acknowledged: nobody is reminded").await;
    browser.reads("admin: on it").await;

    // And back, and into a downtime, and out of it.
    browser.follow(".notice.good button").await;
    browser.reads("The acknowledgement was taken back").await;
    browser.fill("#down-for", "2h").await;
    browser.follow("form[action$='/downtime'] button").await;
    browser.reads("in downtime until").await;
    browser.follow(".notice.good button").await;
    browser.reads("The downtime was removed").await;

    // What would other attempts have sent?
    let place = browser.place().await;
    browser.open(place.split('?').next().unwrap()).await;
    browser.fill("#replay-attempts", "5").await;
    browser.follow("form[action$='/replay'] button").await;
    browser.reads("Would have been sent").await;

    // The palette, the search and the help.
    browser.press(&["\u{e009}", "k"]).await;
    browser.write("door").await;
    let found = "return document.querySelector('dialog li a')?.textContent ?? ''";
    until("the palette finds the check", PATIENCE, async || {
        browser.run(found, &[]).await.as_str().unwrap().contains("door").then_some(())
    })
    .await;
    escape(browser).await;
    browser.press(&["?"]).await;
    browser.reads("acknowledge").await;
    escape(browser).await;
    browser.open("/").await;
    browser.press(&["/"]).await;
    browser.write("door").await;
    browser.press(&["\u{e007}"]).await;
    until("the search is in the address", PATIENCE, async || {
        browser.place().await.contains("q=door").then_some(())
    })
    .await;
}

/// Leaves a dialog, which takes a moment: until then what is typed goes to it.
async fn escape(browser: &Browser) {
    browser.press(&["\u{e00c}"]).await;
    until("the dialog is closed", PATIENCE, async || {
        let open = browser.run("return document.querySelector('dialog[open]') !== null", &[]).await;
        (open == false).then_some(())
    })
    .await;
}
