//! A real browser: headless Chromium, driven by chromedriver over WebDriver and, through it, by the DevTools protocol.
//!
//! *Sources:* <https://www.w3.org/TR/webdriver2/>, <https://chromedevtools.github.io/devtools-protocol/>.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Process, Rest, until};

/// How long a page may take to be as it is expected.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a script of ours may run.
const SCRIPT_MS: u64 = 60_000;

/// A browser at one server, with a profile of its own.
pub(crate) struct Browser {
    driver: Rest,
    session: String,
    base: String,
    // After the session's end.
    _process: Process,
    _folder: TempDir,
}

impl Browser {
    /// Starts one; paths are those of the server at `base`.
    pub(crate) async fn start(base: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("/usr/bin/chromedriver");
        command.arg("--port=0").env("HOME", folder.path()).env("TMPDIR", folder.path());
        let process = Process::start("chromedriver", command, folder.path());
        let port = until("chromedriver says its port", PATIENCE, async || {
            let said = process.output();
            let after = said.split_once("started successfully on port ")?.1;
            after.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u16>().ok()
        })
        .await;
        let driver = Rest::new(&format!("http://127.0.0.1:{port}"));
        let options = json!({
            "binary": "/usr/bin/chromium",
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"],
        });
        let wanted = json!({"browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"}, "timeouts": {"script": SCRIPT_MS}});
        let body = json!({"capabilities": {"alwaysMatch": wanted}});
        let answer = driver
            .try_send(Method::POST, "/session", &[], Some(body.to_string().into_bytes()))
            .await
            .unwrap();
        let made = &answer.json()["value"];
        let session = made["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {made}")).to_owned();
        Self { driver, session, base: base.to_owned(), _process: process, _folder: folder }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let path = format!("/session/{}{path}", self.session);
        let answer = self
            .driver
            .try_send(method, &path, &[], body.map(|body| body.to_string().into_bytes()))
            .await
            .unwrap();
        let value = answer.json()["value"].clone();
        assert_eq!(answer.status, 200, "{path}: {value}");
        value
    }

    /// Opens a page, by its path or its whole address.
    pub(crate) async fn open(&self, path: &str) {
        let url = if path.starts_with('/') { format!("{}{path}", self.base) } else { path.to_owned() };
        self.ask(Method::POST, "/url", Some(&json!({ "url": url }))).await;
    }

    /// The path and query of the page that is shown.
    pub(crate) async fn place(&self) -> String {
        let url = self.ask(Method::GET, "/url", None).await;
        url.as_str().unwrap().trim_start_matches(&self.base).to_owned()
    }

    /// What a script of the page returns, or what its promise does.
    pub(crate) async fn run(&self, script: &str, arguments: &[Value]) -> Value {
        let body = json!({"script": script, "args": arguments});
        self.ask(Method::POST, "/execute/sync", Some(&body)).await
    }

    /// A command of the DevTools protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.ask(Method::POST, "/goog/cdp/execute", Some(&body)).await
    }

    /// Presses a key, with no element in mind: what has the focus gets it.
    pub(crate) async fn press(&self, keys: &[&str]) {
        let downs = keys.iter().map(|key| json!({"type": "keyDown", "value": key}));
        let ups = keys.iter().rev().map(|key| json!({"type": "keyUp", "value": key}));
        let actions: Vec<Value> = downs.chain(ups).collect();
        let body = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.ask(Method::POST, "/actions", Some(&body)).await;
    }

    /// Writes into what has the focus.
    pub(crate) async fn write(&self, text: &str) {
        for letter in text.chars() {
            self.press(&[&letter.to_string()]).await;
        }
    }

    /// Fills in a field.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let script = "const field = document.querySelector(arguments[0]); if (!field) return false; \
                      field.value = arguments[1]; return true;";
        let found = self.run(script, &[selector.into(), text.into()]).await;
        assert_eq!(
            found,
            true,
            "there is no field {selector} at {}: {}",
            self.place().await,
            self.text().await
        );
    }

    /// Clicks on something that leads to another page, and waits until that is there.
    pub(crate) async fn follow(&self, selector: &str) {
        let script = "const found = document.querySelector(arguments[0]); if (!found) return false; \
                      window.old = true; found.click(); return true;";
        let found = self.run(script, &[selector.into()]).await;
        assert_eq!(found, true, "there is no {selector} at {}: {}", self.place().await, self.text().await);
        until(&format!("the page after {selector}"), PATIENCE, async || {
            let new = self.run("return !window.old && document.readyState === 'complete'", &[]).await;
            (new == true).then_some(())
        })
        .await;
    }

    /// What people read on the page.
    pub(crate) async fn text(&self) -> String {
        self.run("return document.body.innerText", &[]).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until people read this.
    pub(crate) async fn reads(&self, words: &str) {
        let seen = tokio::time::timeout(PATIENCE, async {
            while !self.text().await.contains(words) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        if seen.await.is_err() {
            panic!("'{words}' is not read at {}, but:\n{}", self.place().await, self.text().await);
        }
    }

    /// Makes the window so wide, and light or dark.
    pub(crate) async fn look(&self, width: u32, scheme: &str) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Keeps a picture of the whole page.
    pub(crate) async fn picture(&self, file: &Path) {
        use base64::Engine as _;
        let picture = self.devtools("Page.captureScreenshot", json!({"captureBeyondViewport": true})).await;
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap());
        std::fs::write(file, bytes.unwrap()).unwrap();
    }

    /// What the browser had to complain about since it was asked last: errors of scripts, refusals by the policy of
    /// the page, resources that are missing.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.ask(Method::POST, "/se/log", Some(&json!({"type": "browser"}))).await;
        let entries = log.as_array().cloned().unwrap_or_default();
        let bad = entries.iter().filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        bad.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Ends it.
    pub(crate) async fn quit(self) {
        let path = format!("/session/{}", self.session);
        self.driver.try_send(Method::DELETE, &path, &[], None).await.unwrap();
    }
}
