//! Asks real servers on this host, some of them badly behaved.

use std::sync::{Arc as Shared, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use vilicus_core::Status;

use super::*;
use crate::checks::tests::context;
use crate::checks::tls::tests::TlsServer;

async fn run(params: &Value, seconds: u64) -> CheckResult {
    let check = HttpKind::default().build(vilicus_core::params::parse(params).unwrap()).unwrap();
    check.run(&context(seconds)).await
}

/// A server that answers each request with what a function makes of it, and keeps what it was sent.
struct Site {
    port: u16,
    requests: Shared<Mutex<Vec<String>>>,
}

impl Site {
    async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Shared::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Shared::clone(&requests), Shared::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (Shared::clone(&seen), Shared::clone(&answer));
                tokio::spawn(async move { serve(stream, &seen, answer.as_ref()).await });
            }
        });
        Self { port, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Mutex<Vec<String>>,
    answer: &(impl Fn(&str) -> String + ?Sized),
) {
    let request = read_request(&mut stream).await;
    let answer = answer(&request);
    seen.lock().unwrap().push(request);
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Reads a head, and as much body as it announces.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let announced = |head: &str| {
            let lower = head.to_lowercase();
            let length =
                lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            length.unwrap_or(0usize)
        };
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if body.len() >= announced(head) => return text,
            _ => assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "half a request"),
        }
    }
}

fn page(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn redirect(status: &str, to: &str) -> String {
    format!("HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn a_good_answer_is_measured() {
    let site = Site::start(|_| page("200 OK", r#"{"status": {"db": "up"}, "nodes": 3}"#)).await;
    let url = site.url("/health?key=canary");
    let params = json!({
        "url": url, "expect_status": 200, "expect_body": "\"up\"", "expect_body_regex": "nodes.: [0-9]",
        "expect_json": {"status.db": "up", "/nodes": 3.0},
    });
    let result = run(&params, 10).await;
    assert_eq!(result.status, Some(Status::Ok), "{}", result.output);
    assert!(
        result.output.starts_with(&format!("{} answered 200 OK in ", site.url("/health"))),
        "{}",
        result.output
    );
    let value =
        |name: &str| result.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value);
    assert_eq!((value("status_code"), value("body_bytes")), (Some(200.0), Some(36.0)));
    assert_eq!((value("tls_seconds"), value("certificate_days")), (None, None));
    for name in ["dns_seconds", "connect_seconds", "first_byte_seconds"] {
        assert!(value(name) >= Some(0.0) && value(name) < value("response_seconds"), "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_as_expected_is_critical_and_says_how() {
    let site = Site::start(|request| match request.split(' ').nth(1) {
        Some("/missing") => page("404 Not Found", ""),
        _ => page("200 OK", r#"{"a": [1, {"b": false}]}"#),
    });
    let site = site.await;
    for (path, expectation, words) in [
        ("/missing", json!({}), "answered 404 Not Found, expected 200-399"),
        ("/", json!({"expect_status": "201,300-302"}), "answered 200 OK, expected 201,300-302"),
        ("/", json!({"expect_body": "absent"}), "answered without 'absent'"),
        ("/", json!({"expect_body_regex": "^x"}), "answered nothing like '^x'"),
        ("/", json!({"expect_json": {"a.1.b": true}}), "answered a.1.b = false, expected true"),
        ("/", json!({"expect_json": {"/a/2": 1}}), "answered without /a/2, expected 1"),
        ("/missing", json!({"expect_status": "404", "expect_json": {"a": 1}}), "answered no JSON"),
    ] {
        let mut params = expectation;
        params["url"] = json!(site.url(path));
        let result = run(&params, 10).await;
        assert_eq!(result.status, Some(Status::Critical), "{params}");
        assert!(result.output.starts_with(&format!("{} {words}", site.url(path))), "{}", result.output);
        assert!(!result.metrics.is_empty());
    }
}

#[tokio::test]
async fn the_request_is_what_was_configured() {
    let site = Site::start(|_| page("200 OK", "")).await;
    let params = json!({
        "url": site.url("/a%20b?q=1"), "method": "post", "headers": {"X-Key": "k", "Host": "shop.example"},
        "body": "hello", "auth": {"user": "u", "password": "p:w"},
    });
    assert_eq!(run(&params, 10).await.status, Some(Status::Ok));
    let bearer = json!({"url": site.url("/"), "auth": {"token": "t0ken"}});
    assert_eq!(run(&bearer, 10).await.status, Some(Status::Ok));
    let requests = site.requests();
    assert!(
        requests[0].starts_with("POST /a%20b?q=1 HTTP/1.1\r\n") && requests[0].ends_with("\r\n\r\nhello")
    );
    for line in ["x-key: k", "host: shop.example", "authorization: Basic dTpwOnc=", "content-length: 5"] {
        assert!(requests[0].contains(&format!("{line}\r\n")), "{line}: {}", requests[0]);
    }
    assert!(requests[1].contains("authorization: Bearer t0ken\r\n"), "{}", requests[1]);
    assert!(requests[1].contains(&format!("host: 127.0.0.1:{}\r\n", site.port)), "{}", requests[1]);
}

#[tokio::test]
async fn redirects_are_followed_and_credentials_stay_at_home() {
    let other = Site::start(|_| page("200 OK", "other")).await;
    let away = other.url("/there");
    let site = Site::start(move |request| match request.split(' ').nth(1) {
        Some("/start") => redirect("302 Found", "next?x=1"),
        Some("/next?x=1") => redirect("303 See Other", "/home"),
        Some("/away") => redirect("307 Temporary Redirect", &away),
        Some("/loop") => redirect("301 Moved Permanently", "/loop"),
        Some("/odd") => redirect("301 Moved Permanently", "file:///etc/passwd"),
        _ => page("200 OK", "home"),
    });
    let site = site.await;
    let params = |path: &str| json!({"url": site.url(path), "auth": {"token": "canary"}, "headers": {"X-Key": "canary"}});
    let home = run(&params("/start"), 10).await;
    assert!(home.output.starts_with(&format!("{} answered 200", site.url("/home"))), "{}", home.output);
    assert!(site.requests().iter().all(|request| request.contains("Bearer canary")), "the same service");
    let away = run(&params("/away"), 10).await;
    assert_eq!(away.status, Some(Status::Ok), "{}", away.output);
    assert!(!other.requests()[0].contains("canary"), "{}", other.requests()[0]);
    for (path, words) in
        [("/loop", "redirects more than 5 times"), ("/odd", "an address that cannot be used")]
    {
        let result = run(&params(path), 10).await;
        assert_eq!(result.status, Some(Status::Critical));
        assert!(result.output.contains(words), "{}", result.output);
    }
    let mut stay = params("/start");
    stay["follow_redirects"] = json!(0);
    assert!(run(&stay, 10).await.output.contains("answered 302 Found"));
}

#[tokio::test]
async fn what_the_network_does_is_critical() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = Site::start(|_| "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_owned()).await;
    let odd = Site::start(|_| "220 smtp.example\r\n".to_owned()).await;
    for (url, words) in [
        ("http://127.0.0.1:1/".to_owned(), "connection refused by 127.0.0.1:1"),
        ("http://no-such-host.invalid/".to_owned(), "no address for host 'no-such-host.invalid'"),
        (
            format!("http://{}/x", silent.local_addr().unwrap()),
            "timed out after 1s waiting for an answer of http://",
        ),
        (slow.url("/"), "no proper answer of http://"),
        (odd.url("/"), "no proper answer of http://"),
    ] {
        let result = run(&json!({"url": url}), 1).await;
        assert_eq!(result.status, Some(Status::Critical), "{url}");
        assert!(result.output.starts_with(words), "{}", result.output);
    }
}

#[tokio::test]
async fn an_endless_body_is_read_up_to_the_limit() {
    let site = Site::start(|_| page("200 OK", &"x".repeat(3_000_000))).await;
    let result = run(&json!({"url": site.url("/")}), 10).await;
    let size = result.metrics.iter().find(|metric| metric.name == "body_bytes").unwrap();
    assert_eq!((result.status, size.value), (Some(Status::Ok), 1_048_576.0));
}

#[tokio::test]
async fn https_is_measured_and_the_certificate_dated() {
    let server = TlsServer::start().await;
    let (url, ca_file) = (format!("https://localhost:{}/", server.port()), server.ca_path());
    let seen = Mutex::new(Vec::new());
    let serving = async {
        loop {
            let (stream, _) = server.listener.accept().await.unwrap();
            if let Ok(stream) = server.acceptor.accept(stream).await {
                serve(stream, &seen, &|_: &str| page("200 OK", "safe")).await;
            }
        }
    };
    let looks = async {
        let good = run(&json!({"url": url, "ca_file": ca_file, "expect_body": "safe"}), 10).await;
        assert_eq!(good.status, Some(Status::Ok), "{}", good.output);
        let names: Vec<_> = good.metrics.iter().map(|metric| metric.name.as_str()).collect();
        let known: Vec<_> = HttpKind::default().metrics().iter().map(|metric| metric.name).collect();
        assert_eq!(names, known);
        assert!(good.metrics[7].value > 4000.0, "the certificate is good until 2040");
        let bad = run(&json!({"url": url}), 10).await;
        assert_eq!(bad.status, Some(Status::Critical));
        assert!(bad.output.starts_with("the certificate of localhost is not signed by"), "{}", bad.output);
        let insecure = run(&json!({"url": url, "insecure": true}), 10).await;
        assert_eq!(insecure.status, Some(Status::Ok), "{}", insecure.output);
    };
    tokio::select! {
        () = looks => {}
        () = serving => {}
    }
}

#[test]
fn parameters_that_cannot_work_are_refused_and_secrets_are_not_shown() {
    for (params, pointer) in [
        (json!({"url": "shop.example"}), "/url"),
        (json!({"url": "ftp://shop.example/"}), "/url"),
        (json!({"url": "http://u:p@shop.example/"}), "/url"),
        (json!({"url": "http://shop.example:0/"}), "/url"),
        (json!({"url": "http://a/", "method": "GE T"}), "/method"),
        (json!({"url": "http://a/", "headers": {"X": "a\r\nY: b"}}), "/headers"),
        (json!({"url": "http://a/", "headers": {"X Y": "a"}}), "/headers"),
        (json!({"url": "http://a/", "headers": {"Content-Length": "5"}}), "/headers"),
        (json!({"url": "http://a/", "auth": {"user": "u", "token": "t"}}), "/auth"),
        (json!({"url": "http://a/", "auth": {}}), "/auth"),
        (json!({"url": "http://a/", "expect_body_regex": "("}), "/expect_body_regex"),
    ] {
        let built = vilicus_core::params::parse(&params).and_then(|params| HttpKind::default().build(params));
        assert_eq!(built.map(|_| ()).unwrap_err().pointer, pointer, "{params}");
    }
    let params = json!({
        "url": "http://a/?key=canary", "headers": {"X": "canary"}, "body": "canary", "auth": {"token": "canary"},
    });
    let check = HttpKind::default().build(vilicus_core::params::parse(&params).unwrap()).unwrap();
    assert!(!format!("{check:?}").contains("canary"), "{check:?}");
}
