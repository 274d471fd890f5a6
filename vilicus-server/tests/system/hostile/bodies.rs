//! Bodies that are broken, too large, too deep, or mean nothing.

use async_compression::tokio::write::GzipEncoder;
use tokio::io::AsyncWriteExt;

use super::Hostile;
use super::targets::{Strictness, Target};

const JSON: &str = "application/json";
const MIB: usize = 1024 * 1024;

/// Broken JSON, and what is not JSON at all.
const BROKEN: &[u16] = &[400];
/// JSON that means nothing here.
const MEANINGLESS: &[u16] = &[422];
/// Either is right: it depends on where the reader stops.
const EITHER: &[u16] = &[400, 422];
const WRONG_TYPE: &[u16] = &[415];
const TOO_LARGE: &[u16] = &[413];

/// Every bad body, sent to this target.
pub(super) async fn for_target(target: &Target) -> Vec<Hostile> {
    let mut requests = Vec::new();
    for (what, body, right) in texts() {
        requests.push(request(target, what, &[("content-type", JSON)], body, right));
    }
    if target.strictness == Strictness::UnknownFieldsAreRefused {
        let body = br#"{"nonsense_field": 1}"#.to_vec();
        requests.push(request(target, "unknown field", &[("content-type", JSON)], body, MEANINGLESS));
    }
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", "json"]
    {
        requests.push(request(
            target,
            "another content type",
            &[("content-type", kind)],
            b"{}".to_vec(),
            WRONG_TYPE,
        ));
    }
    requests.push(request(target, "no content type", &[], b"{}".to_vec(), WRONG_TYPE));
    let encodings: [(&str, Vec<u8>, &[u16]); 4] = [
        ("br", b"{}".to_vec(), WRONG_TYPE),
        ("gzip, gzip", b"{}".to_vec(), &[400, 415]),
        ("gzip", b"this is no gzip".to_vec(), BROKEN),
        ("gzip", bomb().await, TOO_LARGE),
    ];
    for (encoding, body, right) in encodings {
        let headers = [("content-type", JSON), ("content-encoding", encoding)];
        requests.push(request(target, "another content encoding", &headers, body, right));
    }
    requests
}

fn request(
    target: &Target,
    what: &str,
    headers: &[(&'static str, &str)],
    body: Vec<u8>,
    right: &'static [u16],
) -> Hostile {
    Hostile {
        what: what.to_owned(),
        rest: target.rest.clone(),
        method: target.method.clone(),
        path: target.path.clone(),
        headers: headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        body: Some(body),
        right,
    }
}

fn texts() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("nothing", Vec::new(), BROKEN),
        ("an open brace", text("{"), BROKEN),
        ("half a string", text(r#"{"name": "a"#), BROKEN),
        ("more after the end", text("{} {}"), BROKEN),
        ("a trailing comma", text(r#"{"name": "a",}"#), BROKEN),
        ("a comment", text("{} // comment"), BROKEN),
        ("single quotes", text("{'name': 'a'}"), BROKEN),
        ("bytes that are no UTF-8", b"{\"name\": \"\xff\xfe\"}".to_vec(), BROKEN),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec(), BROKEN),
        ("a lone surrogate", text(r#"{"name": "\ud800"}"#), BROKEN),
        ("a control character in a string", b"{\"name\": \"a\nb\"}".to_vec(), BROKEN),
        ("binary", (0..=255).collect(), BROKEN),
        ("arrays too deep", "[".repeat(200_000).into_bytes(), EITHER),
        (
            "objects too deep",
            format!("{}1{}", r#"{"a":"#.repeat(50_000), "}".repeat(50_000)).into_bytes(),
            EITHER,
        ),
        ("a number too large", text(r#"{"name": 1e999}"#), EITHER),
        ("NaN", text(r#"{"name": NaN}"#), BROKEN),
        ("duplicate keys", text(r#"{"name": "a", "name": "b"}"#), MEANINGLESS),
        ("an array", text("[]"), MEANINGLESS),
        ("a string", text(r#""name""#), MEANINGLESS),
        ("a number", text("17"), MEANINGLESS),
        ("null", text("null"), MEANINGLESS),
        ("true", text("true"), MEANINGLESS),
        ("more than 4 MiB", format!(r#"{{"name": "{}"}}"#, "x".repeat(5 * MIB)).into_bytes(), TOO_LARGE),
    ]
}

/// A few kilobytes that become 64 MiB.
async fn bomb() -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    for _ in 0..64 {
        encoder.write_all(&vec![b' '; MIB]).await.unwrap();
    }
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}
