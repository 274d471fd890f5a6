//! Several hundred requests that nobody should send: each gets the right 4xx, none a 5xx, and the server lives on.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Api, at};

/// Where objects can be written, and how.
const WRITES: &[(&str, &str)] = &[
    ("POST", "/api/v1/agent/"),
    ("PUT", "/api/v1/agent/1/"),
    ("PATCH", "/api/v1/agent/1/"),
    ("POST", "/api/v1/agent/enroll/"),
    ("PUT", "/api/v1/agent/1/checks/"),
    ("POST", "/api/v1/check/"),
    ("PUT", "/api/v1/check/2/"),
    ("PATCH", "/api/v1/check/2/"),
    ("POST", "/api/v1/check/2/result/"),
    ("POST", "/api/v1/check_history/"),
    ("POST", "/api/v1/channel/"),
    ("PUT", "/api/v1/channel/1/"),
    ("PATCH", "/api/v1/channel/1/"),
    ("POST", "/api/v1/token/"),
    ("PUT", "/api/v1/token/1/"),
    ("PATCH", "/api/v1/token/1/"),
];

/// A server with an agent 1, its check 2 (1 is its own), a channel 1 and a token 1.
async fn scene() -> Api {
    let api = Api::new().await;
    let (id, _) = api.agent("web-1").await;
    let check = api.check(id, "load").await;
    assert_eq!((id, check), (1, 2));
    let hook = json!({"name": "hook", "kind": "webhook", "params": {"url": "https://example.org/"}});
    assert_eq!(api.post("/api/v1/channel/", hook).await.json()["id"], 1);
    api
}

#[tokio::test]
async fn bodies_that_are_no_objects_are_refused_everywhere() {
    let api = scene().await;
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let wide = format!("{{{}\"z\":0}}", (0..5_000).map(|n| format!("\"k{n}\":{n},")).collect::<String>());
    let bodies: [(&[u8], &[u16]); 27] = [
        (b"{", &[400]),
        (b"}", &[400]),
        (b"nonsense", &[400]),
        (b"{\"name\": }", &[400]),
        (b"{'name': 'x'}", &[400]),
        (b"{\"name\": \"x\",}", &[400]),
        (b"{} trailing", &[400]),
        (b"\x00", &[400]),
        (b"\xff\xfe{}", &[400]),
        (b"\xef\xbb\xbf{}", &[400]),
        (b"{\"name\": \"\xc3\x28\"}", &[400]),
        (b"{\"name\": \"\xed\xa0\x80\"}", &[400]),
        (br#"{"name": "\ud800"}"#, &[400]),
        (br#"{"name": "\udc00\ud800"}"#, &[400]),
        (b"{\"name\": \"a\nb\"}", &[400]),
        (b"{\"name\": 1e999}", &[400]),
        (b"{\"name\": NaN}", &[400]),
        (b"{\"name\": -Infinity}", &[400]),
        (b"{\"name\": 01}", &[400]),
        (deep.as_bytes(), &[400, 422]),
        (wide.as_bytes(), &[422]),
        (b"[]", &[422]),
        (b"null", &[422]),
        (b"\"x\"", &[422]),
        (b"17", &[422]),
        (b"true", &[422]),
        (br#"{"name": "a", "name": "b"}"#, &[422]),
    ];
    for (method, path) in WRITES {
        for (body, expected) in &bodies {
            let ask = api.ask(method, path).bearer(&api.admin).header("content-type", "application/json");
            let reply = ask.body(body.to_vec()).send().await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert!(expected.contains(&reply.status.as_u16()), "{method} {path} {shown}: {}", reply.text());
            assert_eq!(reply.header("content-type"), "application/problem+json", "{method} {path} {shown}");
        }
    }
}

#[tokio::test]
async fn values_of_the_wrong_type_are_refused_with_their_place() {
    let api = scene().await;
    let wrong: [Value; 8] = [
        json!(null),
        json!(-1),
        json!(1.5),
        json!(""),
        json!([[]]),
        json!({"x": {}}),
        json!("\u{0}"),
        json!(1e300),
    ];
    let fields = [
        ("/api/v1/agent/", json!({"name": "n"}), &["name", "check_interval_ms", "tags", "ephemeral"][..]),
        (
            "/api/v1/check/",
            json!({"agent": 1, "name": "n", "kind": "load"}),
            &[
                "agent",
                "name",
                "kind",
                "params",
                "timeout",
                "max_attempts",
                "recover_attempts",
                "grace",
                "timeout_status",
                "thresholds",
                "depends_on",
                "depends_on_any",
                "tags",
                "enabled",
                "notifications",
                "volatile",
                "flap_detection",
                "flap_low",
                "flap_high",
            ],
        ),
        (
            "/api/v1/channel/",
            json!({"name": "n", "kind": "webhook", "params": {"url": "https://e.org/"}}),
            &["name", "kind", "params", "enabled"],
        ),
        ("/api/v1/token/", json!({"name": "n", "role": "viewer"}), &["name", "role", "ephemeral", "tags"]),
        (
            "/api/v1/check_history/",
            json!({"check": 2, "timestamp": at(1), "status": 0}),
            &["check", "timestamp", "status", "output", "long_output", "metrics", "duration_ms"],
        ),
    ];
    let mut refused = 0;
    for (path, good, names) in &fields {
        for name in *names {
            for value in &wrong {
                let mut body = good.clone();
                body[*name] = value.clone();
                let reply = api.post(path, body.clone()).await;
                // What happens to fit (an empty text as output, flap_low 1.5 …) makes an object; that goes again.
                if reply.status.is_success() {
                    let uri = reply.json()["resource_uri"].as_str().unwrap().to_owned();
                    if !uri.contains("check_history") {
                        assert_eq!(api.delete(&uri).await.status, 204);
                    }
                    continue;
                }
                refused += 1;
                let status = reply.status.as_u16();
                assert!(
                    status == 422 || (status == 404 && *name == "check"),
                    "{path} {body}: {}",
                    reply.text()
                );
                let places = reply.pointers();
                assert!(
                    status == 404 || places.iter().any(|place| place.starts_with(&format!("/{name}"))),
                    "{path} {body}: {}",
                    reply.text()
                );
            }
            let mut body = good.clone();
            body[*name] = Value::Null;
            assert_eq!(
                api.post(path, body).await.status,
                422,
                "{path} {name}: null where a value is expected"
            );
        }
    }
    assert!(refused > 200, "{refused}");
}

#[tokio::test]
async fn forms_that_are_not_taken_are_named() {
    let api = scene().await;
    let body = json!({"name": "x"}).to_string();
    for (name, value, status) in [
        ("content-type", "", 415),
        ("content-type", "text/plain", 415),
        ("content-type", "application/x-www-form-urlencoded", 415),
        ("content-type", "application/json; charset=latin1", 415),
        ("content-type", "application/jsonx", 415),
        ("content-encoding", "br", 415),
        ("content-encoding", "gzip, gzip", 415),
        ("content-encoding", "gzip", 400),
        ("content-encoding", "zstd", 400),
    ] {
        for (method, path) in WRITES {
            let mut ask = api.ask(method, path).bearer(&api.admin).header(name, value);
            if name != "content-type" {
                ask = ask.header("content-type", "application/json");
            }
            let reply = ask.body(body.clone()).send().await;
            assert_eq!(reply.status, status, "{method} {path} {name}: {value}");
        }
    }
    let ask = api.ask("POST", "/api/v1/agent/").bearer(&api.admin).body(body.clone());
    assert_eq!(ask.send().await.status, 415, "a body without a Content-Type");
    for (n, kind) in
        ["application/json", "Application/JSON; charset=utf-8", "application/json;charset=\"UTF-8\""]
            .into_iter()
            .enumerate()
    {
        let ask = api.ask("POST", "/api/v1/agent/").bearer(&api.admin).header("content-type", kind);
        assert_eq!(
            ask.body(json!({"name": format!("ok-{n}")}).to_string()).send().await.status,
            201,
            "{kind}"
        );
    }
}

#[tokio::test]
async fn too_much_is_refused_before_and_after_unpacking() {
    use tokio::io::AsyncReadExt as _;
    let api = scene().await;
    let huge = vec![b' '; 4 * 1024 * 1024 + 1];
    let mut gzip = Vec::new();
    async_compression::tokio::bufread::GzipEncoder::new(&huge[..]).read_to_end(&mut gzip).await.unwrap();
    let mut zstd = Vec::new();
    async_compression::tokio::bufread::ZstdEncoder::new(&huge[..]).read_to_end(&mut zstd).await.unwrap();
    for (encoding, body) in [("identity", &huge), ("gzip", &gzip), ("zstd", &zstd)] {
        let ask = api.ask("POST", "/api/v1/check_history/").bearer(&api.admin);
        let ask = ask.header("content-type", "application/json").header("content-encoding", encoding);
        assert_eq!(ask.body(body.clone()).send().await.status, 413, "{encoding}");
    }
    let item = json!({"check": 2, "status": 0});
    let batch = json!({"objects": vec![item.clone(); 10_001]});
    assert_eq!(api.post("/api/v1/check_history/", batch).await.status, 422);
    let mut packed = Vec::new();
    let batch = json!({"objects": [item]}).to_string();
    async_compression::tokio::bufread::ZstdEncoder::new(batch.as_bytes())
        .read_to_end(&mut packed)
        .await
        .unwrap();
    let ask = api.ask("POST", "/api/v1/check_history/").bearer(&api.admin).header("content-encoding", "zstd");
    let reply = ask.header("content-type", "application/json").body(packed).send().await;
    assert_eq!((reply.status.as_u16(), reply.json()["accepted"].as_u64()), (200, Some(1)));
}

#[tokio::test]
async fn paths_and_methods_that_lead_nowhere_say_so() {
    let api = scene().await;
    for path in [
        "/api",
        "/api/",
        "/api/v2/agent/",
        "/api/v1/agents/",
        "/api/v1/agent/1/2/",
        "/api/v1/agent//",
        "/api/v1//agent/",
        "/api/v1/nosuch_check/",
        "/api/v1/_check/",
        "/api/v1/check/nosuch/",
        "/api/v1/check/99999999999999999999/",
        "/api/v1/check/-1/",
        "/api/v1/check/0/",
        "/api/v1/check/%FF/",
        "/api/v1/check/%00/",
        "/api/v1/check/..%2f..%2fetc/",
        "/api/v1/agent/web-2/",
        "/api/v1/channel/7/",
        "/api/v1/token/7777/",
        "/api/v1/event/x/",
        "/api/v1/notification/0/",
        "/api/v1/check_history/2/x/",
        "/api/v1/check_history/2/1/",
        "/api/v1/check_history/7/1/",
        "/api/v1/openapi.yaml/",
    ] {
        let reply = api.get(path).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
        assert_eq!(reply.header("content-type"), "application/problem+json", "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
    }
    for (method, path, allow) in [
        ("DELETE", "/api/v1/agent/", "GET,HEAD,POST"),
        ("PATCH", "/api/v1/check_history/", "GET,HEAD,POST"),
        ("POST", "/api/v1/event/", "GET,HEAD"),
        ("GET", "/api/v1/agent/enroll/", "POST"),
        ("TRACE", "/api/v1/agent/", "GET,HEAD,POST"),
        ("PUT", "/api/v1/openapi.json", "GET,HEAD"),
    ] {
        let reply = api.ask(method, path).bearer(&api.admin).send().await;
        // `enroll` is also what an agent could be called: a GET then asks for that one.
        if (method, path) == ("GET", "/api/v1/agent/enroll/") {
            assert!([404, 405].contains(&reply.status.as_u16()));
            continue;
        }
        assert_eq!(reply.status, 405, "{method} {path}");
        assert_eq!(reply.header("allow"), allow, "{method} {path}");
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn tokens_that_are_none_are_refused() {
    let api = scene().await;
    let long = "x".repeat(30_000);
    let lines = [
        "",
        "Bearer",
        "Bearer ",
        "bearer x",
        "Basic",
        "Basic Og==",
        "Basic ====",
        "ApiKey",
        "ApiKey :",
        "ApiKey a:b:c",
        "Negotiate abc",
        "Bearer \u{e9}",
        "\t",
        long.as_str(),
    ];
    for line in lines {
        let reply = api.ask("GET", "/api/v1/agent/").header("authorization", line).send().await;
        assert_eq!(reply.status, 401, "{line:?}");
    }
    let twice = api.ask("GET", "/api/v1/agent/").bearer(&api.admin).bearer(&api.admin);
    assert_eq!(twice.send().await.status, 401, "two tokens can be understood in two ways");
    assert_eq!(api.get("/api/v1/agent/").await.status, 200);
}

/// JSON of any shape, its keys often those that mean something here.
fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        Just("objects"),
        Just("check"),
        Just("agent"),
        Just("name"),
        Just("kind"),
        Just("params"),
        Just("status"),
        Just("metrics"),
        Just("value"),
        Just("timestamp"),
        Just("thresholds"),
        Just("tags"),
        Just("depends_on"),
        Just("depends_on_any"),
        Just("role"),
        Just("interval"),
        Just("facts"),
        Just("checks"),
        Just("warning"),
        Just("for"),
        Just("guid"),
        Just("url"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        prop_oneof![
            Just("load"),
            Just("web-1"),
            Just("webhook"),
            Just("viewer"),
            Just("1h"),
            Just("~:5"),
            Just("2026-11-22T12:00:00Z"),
            Just("/api/v1/check/2/"),
            Just("***")
        ]
        .prop_map(Value::from),
        prop_oneof![Just(1), Just(2)].prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(key.clone(), inner, 0..8)
                .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

#[test]
fn no_json_whatever_makes_the_server_fail() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let api = runtime.block_on(scene());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(150));
    let strategy = (0..WRITES.len(), any_json());
    runner
        .run(&strategy, |(index, body)| {
            let (method, path) = WRITES[index];
            let reply = runtime.block_on(api.ask(method, path).bearer(&api.admin).json(&body).send());
            prop_assert!(!reply.status.is_server_error(), "{method} {path} {body}: {}", reply.text());
            Ok(())
        })
        .unwrap();
    assert_eq!(runtime.block_on(api.get("/api/v1/agent/")).status, 200);
}
