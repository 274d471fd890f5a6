//! Connections that speak no proper HTTP, or speak it too slowly.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::harness::Server;
use crate::harness::raw::exchange;
use crate::harness::server::ADMIN_TOKEN;
use crate::harness::until::stays;

/// How long the server may take to end a connection that is plainly broken.
const SOON: Duration = Duration::from_secs(15);

/// Requests that are no HTTP: each is answered with a 4xx, or the connection just ends.
pub(super) async fn broken(server: &Server) {
    let many_headers: String = (0..2_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let large_header = format!("x-large: {}\r\n", "y".repeat(1_000_000));
    let auth = format!("authorization: Bearer {ADMIN_TOKEN}\r\nconnection: close\r\n");
    let post = format!("POST /api/v1/agent/ HTTP/1.1\r\nhost: a\r\n{auth}content-type: application/json\r\n");
    let get = "GET /healthz HTTP/1.1\r\nconnection: close\r\n";
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("noise", vec![0xff; 4096]),
        ("a greeting of another protocol", b"EHLO mail.example.com\r\n\r\n".to_vec()),
        ("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec()),
        ("a version of the future", b"GET / HTTP/9.9\r\nhost: a\r\n\r\n".to_vec()),
        ("no version", b"GET /healthz\r\n\r\n".to_vec()),
        ("no host", format!("{get}\r\n").into_bytes()),
        ("two hosts", format!("{get}host: a\r\nhost: b\r\n\r\n").into_bytes()),
        ("a NUL in a header", format!("{get}host: a\r\nx: \0\r\n\r\n").into_bytes()),
        ("a header without a name", format!("{get}host: a\r\n: b\r\n\r\n").into_bytes()),
        ("a space before the colon", format!("{get}host: a\r\nx : b\r\n\r\n").into_bytes()),
        ("too many headers", format!("{get}host: a\r\n{many_headers}\r\n").into_bytes()),
        ("a header that is too large", format!("{get}host: a\r\n{large_header}\r\n").into_bytes()),
        ("a length below zero", format!("{post}content-length: -1\r\n\r\n{{}}").into_bytes()),
        ("a length in letters", format!("{post}content-length: two\r\n\r\n{{}}").into_bytes()),
        ("two lengths", format!("{post}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}").into_bytes()),
        ("a coding that is unknown", format!("{post}transfer-encoding: nonsense\r\n\r\n{{}}").into_bytes()),
        (
            "a chunk without a size",
            format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n").into_bytes(),
        ),
        (
            "a chunk that is too large",
            format!("{post}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n").into_bytes(),
        ),
        ("a length beyond all limits", format!("{post}content-length: 99999999999\r\n\r\n{{}}").into_bytes()),
    ];
    for (what, bytes) in table {
        let answer = exchange(server.address(), &bytes, SOON).await;
        assert!(answer.status.is_none_or(|status| (400..500).contains(&status)), "{what}: {answer:?}");
    }
}

/// Connections that say nothing.
pub(super) async fn hold_open(server: &Server, count: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        socket.write_all(b"GET /heal").await.unwrap();
        held.push(socket);
    }
    held
}

/// A header that never ends is cut off after its ten seconds.
pub(super) async fn slow_header(server: &Server, limit: Duration) {
    let begin = Instant::now();
    let answer = exchange(server.address(), b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow: ", limit).await;
    assert!(matches!(answer.status, None | Some(408)), "{answer:?}");
    assert!(begin.elapsed() >= Duration::from_secs(5), "a slow client has some time: {:?}", begin.elapsed());
}

/// A body that never ends is cut off after its thirty seconds.
pub(super) async fn slow_body(server: &Server, limit: Duration) {
    let head = format!(
        "POST /api/v1/agent/ HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"name\": "
    );
    let answer = exchange(server.address(), head.as_bytes(), limit).await;
    assert!(matches!(answer.status, None | Some(408)), "{answer:?}");
}

/// While all this goes on, other clients get their answers at once.
pub(super) async fn others_are_served(server: &Server, span: Duration) {
    let admin = server.admin();
    stays("others are served", span, async || {
        let begin = Instant::now();
        admin.get("/api/v1/agent/").await.status == 200 && begin.elapsed() < Duration::from_secs(2)
    })
    .await;
}
