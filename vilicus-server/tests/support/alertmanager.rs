//! A real Alertmanager from Debian, in a directory of its own, on a free port, without a cluster.
//!
//! Needs the package `prometheus-alertmanager`; a test that starts it fails without it.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = "/usr/bin/prometheus-alertmanager";

/// The server; ends when it is dropped.
pub struct Alertmanager {
    home: TempDir,
    process: Child,
    port: u16,
    client: reqwest::Client,
}

impl Alertmanager {
    /// A server that passes every alert, open and resolved, on to a webhook at this URL.
    pub async fn start(receiver: &str) -> Self {
        let home = tempfile::Builder::new().prefix("vilicus-alertmanager-").tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = home.path().join("alertmanager.yml");
        fs::write(&config, configuration(receiver)).unwrap();
        let log = fs::File::create(home.path().join("log")).unwrap();
        let process = Command::new(PROGRAM)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", home.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the package prometheus-alertmanager is missing");
        let client = vilicus_server::outbound::OutboundPolicy::default().http_client().unwrap();
        let alertmanager = Self { home, process, port, client };
        alertmanager.wait_until_ready().await;
        alertmanager
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The alerts that are open now.
    pub async fn alerts(&self) -> Vec<Value> {
        let answer = self.client.get(format!("{}/api/v2/alerts", self.url())).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    async fn wait_until_ready(&self) {
        for _ in 0..500 {
            let ready = self.client.get(format!("{}/-/ready", self.url())).send().await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let log = fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        panic!("the Alertmanager does not answer:\n{log}");
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(receiver: &str) -> String {
    format!(
        "route:\n  receiver: test\n  group_by: ['...']\n  group_wait: 10ms\n  group_interval: 50ms\n\
         receivers:\n- name: test\n  webhook_configs:\n  - url: {receiver}\n    send_resolved: true\n"
    )
}
