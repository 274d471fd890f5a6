//! Alertmanager: an alert that is posted to it becomes a message at once. It keeps nothing durable before it answers.

use std::fs;
use std::process::Command;

use http::Method;
use serde_json::{Value, json};
use vilicus_benches::Failure;
use vilicus_benches::alarm::{one_by_one, storm};
use vilicus_benches::connection::{Api, Server};
use vilicus_benches::spawn::{Program, free_port};
use vilicus_benches::webhook::Webhooks;

use crate::table::{Figures, Work};
use crate::{STORM, Setting};

const NAME: &str = "alertmanager";

pub(crate) fn measure(setting: &Setting, figures: &mut Figures) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Each alert is a group of its own: a message each.
        let mut peer = Peer::start(setting, "group_by: ['...']").await?;
        let Peer { api, webhooks, .. } = &mut peer;
        let latency =
            one_by_one(webhooks, setting.alerts, async |number| post(api, "one", number..number + 1).await)
                .await?;
        figures.put(NAME, Work::AlertP50, latency.p50_ms);
        figures.put(NAME, Work::AlertP99, latency.p99_ms);
        let each = storm(webhooks, STORM, post(api, "storm", 0..STORM)).await?;
        figures.put(NAME, Work::Storm, each.took.as_secs_f64() * 1000.0);
        drop(peer);

        let mut peer = Peer::start(setting, "group_by: [job]").await?;
        let grouped = grouped(&mut peer).await?;
        figures.put(NAME, Work::GroupedStorm, grouped);
        Ok(())
    })
}

/// With `group_wait: 0s` the first message of the group may hold a part of the storm; the time is that of the first.
async fn grouped(peer: &mut Peer) -> Result<f64, Failure> {
    let sent = vilicus_benches::clock::now();
    post(&mut peer.api, "storm", 0..STORM).await?;
    let arrival = peer.webhooks.next().await?;
    Ok((arrival.at - sent).as_secs_f64() * 1000.0)
}

struct Peer {
    api: Api,
    webhooks: Webhooks,
    _program: Program,
}

impl Peer {
    async fn start(setting: &Setting, grouping: &str) -> Result<Self, Failure> {
        let webhooks = Webhooks::listen().await?;
        let port = free_port()?;
        let folder = tempfile::tempdir_in(&setting.under)?;
        let config = folder.path().join("alertmanager.yml");
        let text = format!(
            "route: {{ receiver: hook, {grouping}, group_wait: 0s, group_interval: 1s, repeat_interval: 4h }}
receivers: [ {{ name: hook, webhook_configs: [ {{ url: '{}', send_resolved: false }} ] }} ]
",
            webhooks.url()
        );
        fs::write(&config, text)?;
        let mut command = Command::new("prometheus-alertmanager");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--cluster.listen-address=", "--log.level=warn"]);
        let mut program = Program::start(command, folder)?;
        program.wait_for_port(port)?;
        let server = Server::new(&format!("http://127.0.0.1:{port}"), None)?;
        // It asks for no token, and ignores ours.
        let api = Api::connect(&server, "nobody").await?;
        Ok(Self { api, webhooks, _program: program })
    }
}

async fn post(api: &mut Api, job: &str, numbers: std::ops::Range<usize>) -> Result<(), Failure> {
    let alert = |number: usize| {
        json!({
            "labels": {"alertname": format!("{job}-{number}"), "job": job, "severity": "critical"},
            "annotations": {"summary": "as it is"},
        })
    };
    let alerts: Vec<Value> = numbers.map(alert).collect();
    api.ask(Method::POST, "/api/v2/alerts", Some(&alerts.into())).await.map(drop)
}
