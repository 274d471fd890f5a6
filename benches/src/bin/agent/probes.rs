//! Probes of tcp and http, beside Prometheus' blackbox exporter. The limit: the kernel, which makes and ends a
//! connection for each.

use std::fs;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use vilicus_benches::connection::{Server, shown};
use vilicus_benches::drive::{Answered, Lane, Plan, Until, drive};
use vilicus_benches::process::cpu_seconds;
use vilicus_benches::spawn::{Program, free_port};
use vilicus_benches::{Failure, nginx};

use crate::Work;
use crate::laps::{Laps, check, runs};

const AT_A_TIME: usize = 16;
const TARGET: &str = "8 × a second, 0.15 × CPU";

pub(crate) fn tcp(span: Duration) -> Result<Work, Failure> {
    let port = free_port()?;
    let _nginx = nginx::start(port)?;
    let theirs = exporter(span, "tcp_connect", &format!("127.0.0.1:{port}"))?;
    probe(span, "a tcp probe", "tcp", &json!({"host": "127.0.0.1", "port": port}), theirs)
}

pub(crate) fn http(span: Duration) -> Result<Work, Failure> {
    let port = free_port()?;
    let _nginx = nginx::start(port)?;
    let url = format!("http://127.0.0.1:{port}{}", nginx::FILE);
    let theirs = exporter(span, "http_2xx", &url)?;
    probe(span, "an http probe", "http", &json!({"url": url}), theirs)
}

fn probe(
    span: Duration,
    title: &'static str,
    kind: &str,
    params: &Value,
    theirs: Laps,
) -> Result<Work, Failure> {
    let ours = runs(&check(kind, params)?, AT_A_TIME, span)?;
    Ok(Work { title, target: TARGET, ours, others: vec![("blackbox-exporter", theirs)] })
}

/// What the exporter does, asked for as many probes at a time. Its processor time alone counts.
fn exporter(span: Duration, module: &str, target: &str) -> Result<Laps, Failure> {
    let port = free_port()?;
    let exporter = start(port)?;
    let server = Server::new(&format!("http://127.0.0.1:{port}"), None)?;
    let path = format!("/probe?module={module}&target={target}");
    let lanes = (0..AT_A_TIME).map(|_| Prober(server.clone(), path.clone())).collect();
    let plan = Plan { threads: 1, rate: None, warm_up: Duration::from_millis(300), until: Until::For(span) };
    let mut readings = Vec::with_capacity(2);
    let measured = drive(&server, lanes, plan, || {
        readings.push(cpu_seconds(exporter.pid())?);
        Ok(())
    })?;
    measured.untroubled()?;
    let [before, after] = readings[..] else { return Err("the run was not marked twice".into()) };
    Ok(Laps { count: measured.results, took: measured.took, cpu_seconds: after - before })
}

fn start(port: u16) -> Result<Program, Failure> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("blackbox.yml");
    let modules =
        "modules:\n  tcp_connect: {prober: tcp, timeout: 5s}\n  http_2xx: {prober: http, timeout: 5s}\n";
    fs::write(&config, modules)?;
    let mut command = Command::new("/usr/bin/prometheus-blackbox-exporter");
    command.arg("--config.file").arg(config).args(["--log.level", "error"]);
    command.arg("--web.listen-address").arg(format!("127.0.0.1:{port}"));
    let mut exporter = Program::start(command, folder)?;
    exporter.wait_for_port(port)?;
    Ok(exporter)
}

struct Prober(Server, String);

impl Lane for Prober {
    fn next(&mut self) -> Result<Request<Full<Bytes>>, Failure> {
        self.0.request(Method::GET, &self.1, None, Bytes::new())
    }

    fn answered(&mut self, answer: &Response<Bytes>) -> Result<Answered, Failure> {
        let passed = String::from_utf8_lossy(answer.body()).contains("\nprobe_success 1");
        Ok(match answer.status() {
            StatusCode::OK if passed => Answered::Taken(1),
            status => Answered::Refused(shown(status, answer.body())),
        })
    }
}
