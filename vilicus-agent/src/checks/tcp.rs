//! The `tcp` kind: whether a port answers, and with what.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use vilicus_core::kind::MetricDescription;
use vilicus_core::{Check, CheckContext, CheckKind, CheckResult, Metric, ParamsError, async_trait};

use super::connection::{Connected, Deadline, Fault, connect, seconds_since};
use super::reach::Reach;
use super::tls::{Trust, handshake};
use super::{describe, quantity};

/// How much of an answer is searched for the expected text, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// What a `tcp` check connects to.
#[derive(Deserialize, JsonSchema)]
pub struct TcpParams {
    /// The host: a name or an address.
    host: String,
    /// The port, 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    port: u16,
    /// A text to send after connecting, as it is.
    send: Option<String>,
    /// A text that must come back.
    expect: Option<String>,
    /// Speak TLS; the certificate must be good.
    #[serde(default)]
    tls: bool,
    /// A PEM file with authorities to trust beside the public ones.
    ca_file: Option<String>,
    /// Accept any certificate.
    #[serde(default)]
    insecure: bool,
}

impl fmt::Debug for TcpParams {
    /// What is sent may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpParams")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// The `tcp` kind.
#[derive(Debug, Clone, Default)]
pub struct TcpKind {
    reach: Reach,
}

impl TcpKind {
    /// The kind, whose checks connect to addresses in this reach only.
    #[must_use]
    pub fn new(reach: Reach) -> Self {
        Self { reach }
    }
}

impl CheckKind for TcpKind {
    type Params = TcpParams;

    fn name(&self) -> &'static str {
        "tcp"
    }

    fn description(&self) -> &'static str {
        "whether a TCP port answers, and with what"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        const {
            &[
                describe("connect_seconds", "s", "until the connection stood, without looking up the name"),
                describe(
                    "response_seconds",
                    "s",
                    "in all: looking up, connecting, TLS, and the expected answer",
                ),
            ]
        }
    }

    fn build(&self, params: TcpParams) -> Result<Arc<dyn Check>, ParamsError> {
        if params.host.is_empty() || params.host.contains(char::is_control) {
            return Err(ParamsError::new("host", "the host is empty or has control characters"));
        }
        if params.port == 0 {
            return Err(ParamsError::new("port", "the port must be 1 to 65535"));
        }
        if params.expect.as_deref() == Some("") {
            return Err(ParamsError::new(
                "expect",
                "the expected text is empty; leave it out to expect nothing",
            ));
        }
        let trust =
            Trust { ca_file: params.ca_file.clone(), dangerous_accept_any_certificate: params.insecure };
        Ok(Arc::new(Tcp { params, trust, reach: self.reach.clone() }))
    }
}

#[derive(Debug)]
struct Tcp {
    params: TcpParams,
    trust: Trust,
    reach: Reach,
}

#[async_trait]
impl Check for Tcp {
    async fn run(&self, cx: &CheckContext) -> CheckResult {
        let deadline = Deadline::after(cx.timeout);
        self.talk(&deadline).await.unwrap_or_else(Fault::into_result)
    }
}

impl Tcp {
    async fn talk(&self, deadline: &Deadline) -> Result<CheckResult, Fault> {
        let begin = Instant::now();
        let Connected { mut stream, peer, connect_seconds, .. } =
            connect(&self.params.host, self.params.port, &self.reach, deadline).await?;
        if self.params.tls {
            let shaking = handshake(stream, &self.params.host, &self.trust);
            let mut stream = deadline.within(format!("in the TLS handshake with {peer}"), shaking).await??;
            self.converse(&mut stream, deadline).await?;
        } else {
            self.converse(&mut stream, deadline).await?;
        }
        let response_seconds = seconds_since(begin);
        let answered = if self.params.expect.is_some() { "answered as expected" } else { "answered" };
        let line = format!("{peer} {answered} in {}", quantity::seconds(response_seconds));
        Ok(CheckResult::ok(line)
            .metric(Metric::seconds("connect_seconds", connect_seconds))
            .metric(Metric::seconds("response_seconds", response_seconds)))
    }

    async fn converse<S>(&self, stream: &mut S, deadline: &Deadline) -> Result<(), Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        if let Some(text) = &self.params.send {
            let sending = async {
                stream.write_all(text.as_bytes()).await?;
                stream.flush().await
            };
            let sent = deadline.within("sending", sending).await?;
            sent.map_err(|error| Fault::critical(format!("the connection broke while sending: {error}")))?;
        }
        match &self.params.expect {
            Some(expected) => {
                let waiting = format!("waiting for '{}'", expected.escape_debug());
                deadline.within(waiting, find(stream, expected)).await?
            }
            None => Ok(()),
        }
    }
}

/// Reads until the expected text has come.
async fn find(stream: &mut (impl AsyncRead + Unpin), expected: &str) -> Result<(), Fault> {
    let mut answer = Vec::new();
    while answer.len() < ANSWER_LIMIT {
        // Only what is new can complete the text, however slowly it drips in.
        let searched = answer.len().saturating_sub(expected.len());
        match stream.read_buf(&mut answer).await {
            Ok(0) => break,
            Ok(_) if contains(&answer[searched..], expected.as_bytes()) => {
                return Ok(());
            }
            Ok(_) => {}
            Err(error) => return Err(Fault::critical(format!("the connection broke: {error}"))),
        }
    }
    let line: String =
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().chars().take(80).collect();
    let expected = expected.escape_debug();
    Err(Fault::critical(if answer.is_empty() {
        format!("closed without an answer, expected '{expected}'")
    } else {
        format!("answered '{}', expected '{expected}'", line.escape_debug())
    }))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::context;
    use crate::checks::tls::tests::TlsServer;
    use serde_json::{Value, json};
    use tokio::net::TcpListener;
    use vilicus_core::Status;

    async fn run(params: Value, seconds: u64) -> CheckResult {
        let check = TcpKind::default().build(vilicus_core::params::parse(&params).unwrap()).unwrap();
        check.run(&context(seconds)).await
    }

    /// A server that answers what it reads with the same in capitals, after a greeting.
    async fn shouting() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    stream.write_all(b"220 hello\r\n").await.unwrap();
                    let mut buffer = [0; 100];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        buffer.make_ascii_uppercase();
                        stream.write_all(&buffer[..count]).await.unwrap();
                    }
                });
            }
        });
        port
    }

    #[tokio::test]
    async fn a_port_that_answers_as_expected_is_ok() {
        let port = shouting().await;
        for params in [
            json!({"host": "127.0.0.1", "port": port}),
            json!({"host": "localhost", "port": port, "expect": "220 "}),
            json!({"host": "127.0.0.1", "port": port, "send": "quit\r\n", "expect": "QUIT"}),
        ] {
            let result = run(params, 10).await;
            assert_eq!(result.status, Some(Status::Ok), "{}", result.output);
            let names: Vec<_> = result.metrics.iter().map(|metric| metric.name.as_str()).collect();
            assert_eq!(names, ["connect_seconds", "response_seconds"]);
            assert!(result.metrics[0].value <= result.metrics[1].value);
        }
    }

    #[tokio::test]
    async fn refused_late_and_wrong_answers_are_critical() {
        let port = shouting().await;
        let closing = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closing_port = closing.local_addr().unwrap().port();
        tokio::spawn(async move { while closing.accept().await.is_ok() {} });
        for (params, text) in [
            (json!({"host": "127.0.0.1", "port": 1}), "connection refused by 127.0.0.1:1".to_owned()),
            (
                json!({"host": "127.0.0.1", "port": port, "expect": "nothing like it"}),
                "timed out after 1s waiting for 'nothing like it'".to_owned(),
            ),
            (
                json!({"host": "127.0.0.1", "port": closing_port, "expect": "220"}),
                "closed without an answer, expected '220'".to_owned(),
            ),
            (
                json!({"host": "127.0.0.1", "port": port, "tls": true}),
                "no TLS with 127.0.0.1: received corrupt message of type InvalidContentType".to_owned(),
            ),
        ] {
            let result = run(params, 1).await;
            assert_eq!((result.status, result.output), (Some(Status::Critical), text));
        }
    }

    #[tokio::test]
    async fn tls_is_spoken_when_asked_for() {
        let server = TlsServer::start().await;
        let (port, ca_file) = (server.port(), server.ca_path());
        let serve = async {
            loop {
                let (stream, _) = server.listener.accept().await.unwrap();
                if let Ok(mut stream) = server.acceptor.accept(stream).await {
                    stream.write_all(b"secret hello\n").await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
        };
        let looks = async {
            let params = json!({"host": "localhost", "port": port, "tls": true, "ca_file": ca_file, "expect": "hello"});
            let good = run(params, 10).await;
            assert_eq!(good.status, Some(Status::Ok), "{}", good.output);
            let bad = run(json!({"host": "localhost", "port": port, "tls": true}), 10).await;
            assert_eq!(bad.status, Some(Status::Critical), "{}", bad.output);
            let insecure = json!({"host": "127.0.0.1", "port": port, "tls": true, "insecure": true});
            assert_eq!(run(insecure, 10).await.status, Some(Status::Ok));
        };
        tokio::select! {
            () = looks => {}
            () = serve => {}
        }
    }
}
