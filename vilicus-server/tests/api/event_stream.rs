//! The audit trail as it grows, over real connections: nothing is lost or comes twice, and streams end when they must.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vilicus_core::Millis;
use vilicus_server::http::{HttpSettings, serve};
use vilicus_store::inventory::Role;

use crate::support::{Api, at};

/// Nothing that is waited for takes longer, unless it never comes.
const LONGEST: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

async fn start(api: &Api) -> Running {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let closing = api.state.closing().clone();
    let ended =
        tokio::spawn(serve(vec![listener], api.router.clone(), HttpSettings::default(), async move {
            let _ = stopped.await;
            closing.cancel();
        }));
    Running { address, stop, ended }
}

/// A stream that is open, and what it has said of its beginning.
struct Reader {
    lines: BufReader<TcpStream>,
    head: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: u64,
    name: String,
    data: Value,
}

impl Reader {
    async fn open(address: SocketAddr, token: &str, query: &str, last: Option<u64>) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let last = last.map_or(String::new(), |last| format!("last-event-id: {last}\r\n"));
        let request = format!(
            "GET /api/v1/event/stream/{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{last}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reader = Self { lines: BufReader::new(stream), head: String::new() };
        while let Some(line) = reader.line().await.filter(|line| !line.is_empty()) {
            reader.head.push_str(&line);
            reader.head.push('\n');
        }
        reader
    }

    /// The next line; `None` at the end of the stream, where the last chunk or the connection ends.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(LONGEST, self.lines.read_line(&mut line)).await.expect("the stream says nothing");
        (read.unwrap_or(0) > 0).then(|| line.trim_end().to_owned()).filter(|line| line != "0")
    }

    /// The next event; `None` at the end of the stream.
    async fn event(&mut self) -> Option<Event> {
        let (mut id, mut name) = (None, None);
        loop {
            let line = self.line().await?;
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.parse().unwrap());
            } else if let Some(text) = line.strip_prefix("event: ") {
                name = Some(text.to_owned());
            } else if let Some(text) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(text).unwrap();
                // The order of the fields within an event is free; ours puts the data first.
                while id.is_none() || name.is_none() {
                    let line = self.line().await?;
                    id = line.strip_prefix("id: ").map(|text| text.parse().unwrap()).or(id);
                    name = line.strip_prefix("event: ").map(str::to_owned).or(name);
                }
                return Some(Event { id: id.unwrap(), name: name.unwrap(), data });
            }
        }
    }

    async fn events(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.event().await.expect("the stream ended"));
        }
        events
    }
}

/// Makes things happen: each a new agent.
async fn happen(api: &Api, names: std::ops::Range<u32>) {
    for name in names {
        api.agent(&format!("host-{name}")).await;
    }
}

fn ids(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn what_happens_is_seen_at_once_and_looks_as_in_the_list() {
    let api = Api::new().await;
    happen(&api, 0..1).await;
    let server = start(&api).await;
    let mut reader = Reader::open(server.address, &api.admin, "", None).await;
    assert!(reader.head.starts_with("HTTP/1.1 200"), "{}", reader.head);
    assert!(reader.head.to_lowercase().contains("content-type: text/event-stream"), "{}", reader.head);
    happen(&api, 1..2).await;
    let event = reader.event().await.unwrap();
    assert_eq!(event.name, event.data["type"]);
    assert_eq!(api.get(&format!("/api/v1/event/{}/", event.id)).await.json(), event.data);
    assert!(event.data.to_string().contains("host-1"), "it begins now: {}", event.data);
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice() {
    let api = Api::new().await;
    let server = start(&api).await;
    happen(&api, 0..3).await;
    let mut reader = Reader::open(server.address, &api.admin, "?after=0", None).await;
    let mut seen = reader.events(3).await;
    drop(reader);
    happen(&api, 3..400).await;
    let listed = {
        let page = api.get("/api/v1/event/?limit=0&after=0").await.json();
        let mut ids: Vec<u64> =
            page["objects"].as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect();
        let next = page["meta"]["next"].as_str().map(str::to_owned);
        if let Some(next) = next {
            let page = api.get(&next).await.json();
            ids.extend(page["objects"].as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()));
        }
        ids
    };
    while seen.len() < listed.len() {
        // The header wins over the query: browsers repeat the address that they were given.
        let last = seen.last().map(|event| event.id);
        let mut reader = Reader::open(server.address, &api.admin, "?after=0", last).await;
        let some = (listed.len() - seen.len()).min(250);
        seen.extend(reader.events(some).await);
    }
    assert_eq!(ids(&seen), listed);
}

#[tokio::test]
async fn filters_leave_out_what_is_not_asked_for() {
    let api = Api::new().await;
    let server = start(&api).await;
    let (id, token) = api.agent("web-1").await;
    let check = api.check(id, "load").await;
    let mut reader = Reader::open(server.address, &api.admin, "?check=web-1%2Fload&type=state", None).await;
    api.check(id, "other").await;
    for status in [0, 2] {
        api.clock.advance(Millis::from_secs(60));
        let result = json!({"check": check, "status": status});
        let reply = api.ask("POST", "/api/v1/check_history/").bearer(&token).json(&result).send().await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    let events = reader.events(2).await;
    let statuses: Vec<&Value> = events.iter().map(|event| &event.data["status"]).collect();
    assert_eq!(statuses, ["OK", "CRITICAL"]);
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let api = Api::new().await;
    let server = start(&api).await;
    let reply = api.post("/api/v1/token/", json!({"name": "v", "role": "viewer"})).await.json();
    let token = reply["token"].as_str().unwrap().to_owned();
    let mut reader = Reader::open(server.address, &token, "", None).await;
    happen(&api, 0..1).await;
    assert!(reader.event().await.is_some());
    let path = reply["resource_uri"].as_str().unwrap();
    assert_eq!(api.delete(path).await.status, 204);
    while let Some(event) = reader.event().await {
        assert_ne!(event.data["name"], "late", "what comes after the end of a token is not told");
    }
    let mut expiring = {
        let until = at(3600);
        let token = api.token_like(Role::Viewer, |token| token.expires_at = Some(until)).await;
        Reader::open(server.address, &token, "", None).await
    };
    api.clock.advance(Millis::from_secs(3601));
    while expiring.event().await.is_some() {}
}

#[tokio::test]
async fn the_stop_ends_streams_promptly() {
    let api = Api::new().await;
    let server = start(&api).await;
    let mut readers = Vec::new();
    for _ in 0..5 {
        readers.push(Reader::open(server.address, &api.admin, "", None).await);
    }
    server.stop.send(()).unwrap();
    for reader in &mut readers {
        while reader.event().await.is_some() {}
    }
    // Much less than the time that answers under way have to end.
    timeout(Duration::from_secs(5), server.ended).await.expect("the server must stop").unwrap();
}

#[tokio::test]
async fn what_makes_no_stream_is_refused() {
    let api = Api::new().await;
    let (_, agent) = api.agent("web-1").await;
    let ask = async |token: &str, query: &str, last: &str| {
        let path = format!("/api/v1/event/stream/{query}");
        api.ask("GET", &path).bearer(token).header("last-event-id", last).send().await.status.as_u16()
    };
    assert_eq!(ask("nonsense-nonsense-nonsense-nonsense", "", "").await, 401);
    assert_eq!(ask(&agent, "", "").await, 403);
    assert_eq!(ask(&api.admin, "?after=soon", "").await, 400);
    assert_eq!(ask(&api.admin, "?type=nothing", "").await, 400);
    assert_eq!(ask(&api.admin, "?chekc=1", "").await, 400);
    assert_eq!(ask(&api.admin, "", "yesterday").await, 400);
}
