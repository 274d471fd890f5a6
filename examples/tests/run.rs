//! Every example runs, and answers its question.
#![expect(clippy::unwrap_used, reason = "a test may")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use vilicus_server::{Clock as _, Server, SystemClock, tokens};
use vilicus_store::inventory::Role;
use vilicus_store::{Options, Store, url};

const ADMIN: &str = "an-admin-token-of-the-tests-0123456789";
const PATIENCE: Duration = Duration::from_secs(30);

/// Cargo builds the examples of a package beside its tests.
fn example(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let path: PathBuf = [tests.parent().unwrap(), "../examples".as_ref(), name.as_ref()].iter().collect();
    Command::new(path)
}

/// A child that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(command: &mut Command) -> (Self, BufReader<ChildStdout>) {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        (Self(child), output)
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// Asks until the answer is as expected.
fn wait_for(address: SocketAddr, path: &str, expected: &str) -> String {
    let (pause, mut answer) = (Duration::from_millis(50), String::new());
    for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
        answer = ask(address, "GET", path, "").unwrap_or_default();
        if answer.contains(expected) {
            return answer;
        }
        std::thread::sleep(pause);
    }
    panic!("no '{expected}' from {path}, but: {answer}");
}

/// One request, as an admin where that is asked for.
fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn next_line(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[test]
fn hello_check_answers_healthz() {
    let address = free_address();
    let (_running, _) = Running::start(example("hello_check").arg(address.to_string()));
    let answer = wait_for(address, "/healthz", "\"scratch\":{");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn an_embedded_agent_judges_and_tells_by_itself() {
    let address = free_address();
    let (mut running, mut output) = Running::start(example("embedded_agent").arg(address.to_string()));
    wait_for(address, "/healthz", "HTTP/1.1 200");
    running.type_line("5000");
    assert!(next_line(&mut output).starts_with("[CRITICAL] "));
    wait_for(address, "/healthz", "HTTP/1.1 503");
    running.type_line("3");
    assert!(next_line(&mut output).starts_with("[OK] "));
    wait_for(address, "/healthz", "HTTP/1.1 200");
}

#[test]
fn a_custom_notifier_delivers() {
    let output = example("custom_notifier").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.starts_with("written: first [TEST]"), "{text}");
}

#[test]
fn a_custom_kind_measures_and_refuses() {
    let output = example("custom_kind").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains(" files in "), "{text}");
    assert!(text.contains("did you mean 'path'"), "{text}");
}

#[test]
fn an_embedded_server_watches_its_host_and_ends_with_its_input() {
    let (mut running, mut output) = Running::start(example("embedded_server").arg("127.0.0.1:0"));
    let link = next_line(&mut output);
    let address =
        link.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap().parse().unwrap();
    wait_for(address, "/metrics", "vilicus_agents{state=\"up\"} 1");
    assert!(link.contains("/login"), "{link}");
    drop(running.0.stdin.take());
    assert!(running.0.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_agent_shows_up_on_a_server() {
    let now = SystemClock::new().now();
    let store: Arc<dyn Store> = url::open("memory:", Options::new(now, [7; 16])).unwrap();
    tokens::ensure(store.as_ref(), "tests", Role::Admin, &ADMIN.into(), None, now).await.unwrap();
    let server = Server::builder().listen(([127, 0, 0, 1], 0).into()).store(store).build().await.unwrap();
    let address = server.addresses()[0];
    tokio::spawn(server.run(std::future::pending()));

    tokio::task::spawn_blocking(move || {
        ask(address, "POST", "/api/v1/agent/", r#"{"name": "shop"}"#).unwrap();
        let token = r#"{"name": "shop", "role": "agent", "agent": "shop"}"#;
        let answer = ask(address, "POST", "/api/v1/token/", token).unwrap();
        let token = answer.split("\"token\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let mut app = example("embedded_agent");
        app.arg(free_address().to_string());
        app.env("VILICUS_SERVER", format!("http://{address}")).env("VILICUS_TOKEN", token);
        let (_running, _) = Running::start(&mut app);
        let answer = wait_for(address, "/api/v1/check/?agent=shop&name=jobs", "\"status\":\"OK\"");
        assert!(answer.contains("\"origin\":\"agent\""), "{answer}");
    })
    .await
    .unwrap();
}
