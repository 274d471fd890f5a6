//! Real sockets: slow clients are left, many are counted, and the stop waits for what is being answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vilicus_server::http::{HttpSettings, Limits, Tls, serve};

use crate::support::Api;

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

async fn start(router: Router, settings: HttpSettings) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(serve(vec![listener], router, settings, async {
        let _ = stopped.await;
    }));
    Running { address, stop, ended }
}

fn quick() -> HttpSettings {
    let mut limits = Limits::default();
    limits.header_read = Duration::from_millis(300);
    limits.body_read = Duration::from_millis(300);
    limits.idle = Duration::from_millis(900);
    let mut settings = HttpSettings::default();
    settings.limits = limits;
    settings.drain = Duration::from_secs(5);
    settings
}

/// Everything that the other end says until it ends, and when that was.
async fn rest(stream: &mut TcpStream) -> (String, Duration) {
    let began = Instant::now();
    let mut text = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut text)).await;
    let _ = read.expect("the server must end the connection");
    (String::from_utf8_lossy(&text).into_owned(), began.elapsed())
}

#[tokio::test]
async fn a_slow_header_is_left() {
    let server = start(Api::new().await.router, quick()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let (mut read, mut write) = stream.split();
    let drip = async {
        for byte in b"GET /api/v1/agent/ HTTP/1.1\r\nhost: x\r\nx-slow: ".iter().cycle() {
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let began = Instant::now();
    let mut buffer = Vec::new();
    tokio::select! {
        () = drip => {}
        _ = read.read_to_end(&mut buffer) => {}
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_slow_body_is_answered_with_408() {
    let mut limits = Limits::default();
    limits.body_read = Duration::from_millis(300);
    let api = Api::with(limits).await;
    let server = start(api.router.clone(), quick()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/v1/agent/ HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{",
        api.admin
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (text, _) = rest(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
}

#[tokio::test]
async fn a_connection_may_rest_longer_than_a_header_takes_and_not_for_ever() {
    let server = start(Api::new().await.router, quick()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /api/v1/ HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let (text, rested) = rest(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.to_ascii_lowercase().contains("\r\ndate: "), "agents read their clock skew from it");
    assert!(rested >= Duration::from_millis(700), "{rested:?}");
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let server = start(Api::new().await.router, quick()).await;
    let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200));
    for request in
        ["\u{0}\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", long.as_str(), many.as_str()]
    {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let (text, _) = rest(&mut stream).await;
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    }
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /api/v1/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.0.starts_with("HTTP/1.1 200"), "and the server lives on");
}

#[tokio::test]
async fn the_stop_waits_for_what_is_being_answered() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (asked_in, go_in) = (Arc::clone(&asked), Arc::clone(&go));
    let handler = get(move || async move {
        asked_in.notify_one();
        go_in.notified().await;
        "done"
    });
    let server = start(Router::new().route("/", handler), quick()).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    asked.notified().await;
    server.stop.send(()).unwrap();
    assert_eq!(rest(&mut idle).await.0, "", "an idle connection is closed");
    assert!(!server.ended.is_finished());
    go.notify_one();
    let (text, _) = rest(&mut busy).await;
    assert!(text.ends_with("done"), "{text}");
    tokio::time::timeout(Duration::from_secs(5), server.ended).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "no new connection is taken");
}

#[tokio::test]
async fn the_stop_does_not_wait_for_ever() {
    let handler = get(std::future::pending::<&'static str>);
    let mut settings = quick();
    settings.limits.idle = Duration::from_secs(60);
    settings.drain = Duration::from_millis(200);
    let server = start(Router::new().route("/", handler), settings).await;
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.ended).await.unwrap().unwrap();
    assert_eq!(rest(&mut busy).await.0, "");
}

#[tokio::test]
async fn https_is_served_and_a_stuck_handshake_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut settings = quick();
    settings.limits.tls_handshake = Duration::from_millis(300);
    settings.tls = Some(Arc::new(Tls::from_files(certificate, key).unwrap()));
    let server = start(Api::new().await.router, settings).await;

    let mut stuck = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(rest(&mut stuck).await.0, "");

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    stream.write_all(b"GET /api/v1/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}
