//! Prometheus as a receiver of remote writes: it judges nothing, and answers before anything is synced.
//!
//! *Source:* <https://prometheus.io/docs/concepts/remote_write_spec/>: protobuf, in Snappy's block format.

use std::fs;
use std::process::Command;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::Full;
use prost::Message;
use vilicus_benches::connection::{Server, shown};
use vilicus_benches::drive::{Answered, Lane, drive};
use vilicus_benches::spawn::{Program, free_port};
use vilicus_benches::usage::watched;
use vilicus_benches::{Failure, clock};

use crate::table::{Figures, Work};
use crate::{CHECKS, CONNECTIONS, Setting};

const NAME: &str = "prometheus";

pub(crate) fn measure(setting: &Setting, figures: &mut Figures) -> Result<(), Failure> {
    let port = free_port()?;
    let prometheus = start(setting, port)?;
    let server = Server::new(&format!("http://127.0.0.1:{port}"), None)?;
    let lanes = (0..CONNECTIONS).map(|lane| RemoteWriter::new(&server, setting.agents, lane)).collect();
    let cost = watched(prometheus.pid(), |mark| drive(&server, lanes, setting.plan, mark))?;
    figures.put(NAME, Work::Batches, cost.per_second);
    figures.put(NAME, Work::BatchCpu, cost.cpu_s_per_million);
    figures.put(NAME, Work::BatchP99, cost.p99_ms);
    Ok(())
}

fn start(setting: &Setting, port: u16) -> Result<Program, Failure> {
    let folder = tempfile::tempdir_in(&setting.under)?;
    let config = folder.path().join("prometheus.yml");
    fs::write(&config, "global: {}\n")?;
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .args(["--web.enable-remote-write-receiver", "--log.level=warn"]);
    let mut prometheus = Program::start(command, folder)?;
    prometheus.wait_for_port(port)?;
    prometheus.wait_for(|_| ready(port))?;
    Ok(prometheus)
}

/// It takes connections before it is ready.
fn ready(port: u16) -> Option<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let server = Server::new(&format!("http://127.0.0.1:{port}"), None).ok()?;
        let request = server.request(Method::GET, "/-/ready", None, Bytes::new()).ok()?;
        let answer = server.connect().await.ok()?.send(request).await.ok()?;
        answer.status().is_success().then_some(())
    })
}

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// Writes the samples of some agents, turn by turn.
struct RemoteWriter {
    server: Server,
    turns: Vec<Turn>,
    next: usize,
    snappy: snap::raw::Encoder,
}

struct Turn {
    request: WriteRequest,
    last_ms: i64,
}

impl RemoteWriter {
    fn new(server: &Server, agents: usize, lane: usize) -> Self {
        let turn = |agent| {
            let timeseries = (0..CHECKS).map(|check| series(agent, check)).collect();
            Turn { request: WriteRequest { timeseries }, last_ms: 0 }
        };
        let turns = (lane..agents).step_by(CONNECTIONS).map(turn).collect();
        Self { server: server.clone(), turns, next: 0, snappy: snap::raw::Encoder::new() }
    }
}

fn series(agent: usize, check: usize) -> TimeSeries {
    let label = |name: &str, value: String| Label { name: name.to_owned(), value };
    TimeSeries {
        // Sorted by name, as the protocol asks.
        labels: vec![
            label("__name__", "usage".to_owned()),
            label("agent", format!("load-{agent}")),
            label("check", format!("check-{check:04}")),
        ],
        samples: vec![Sample { value: 0.0, timestamp: 0 }],
    }
}

impl Turn {
    /// The next sample of each series.
    fn advance(&mut self) -> &WriteRequest {
        self.last_ms = clock::unix_ms().max(self.last_ms + 1);
        for (number, series) in self.request.timeseries.iter_mut().enumerate() {
            for sample in &mut series.samples {
                sample.timestamp = self.last_ms;
                sample.value = ((number as i64 * 31 + self.last_ms) % 64) as f64 / 10.0 + number as f64;
            }
        }
        &self.request
    }
}

impl Lane for RemoteWriter {
    fn next(&mut self) -> Result<Request<Full<Bytes>>, Failure> {
        let count = self.turns.len();
        let request = self.turns[self.next].advance().encode_to_vec();
        self.next = (self.next + 1) % count;
        let body = self.snappy.compress_vec(&request)?;
        let mut request = self.server.request(Method::POST, "/api/v1/write", None, body.into())?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        let version = HeaderName::from_static("x-prometheus-remote-write-version");
        headers.insert(version, HeaderValue::from_static("0.1.0"));
        Ok(request)
    }

    fn answered(&mut self, answer: &Response<Bytes>) -> Result<Answered, Failure> {
        Ok(match answer.status() {
            status if status.is_success() => Answered::Taken(CHECKS as u64),
            status => Answered::Refused(shown(status, answer.body())),
        })
    }
}
