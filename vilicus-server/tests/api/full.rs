//! A store that cannot write: what would be lost is refused with the time to come back, and reads go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use vilicus_server::http::Limits;
use vilicus_store::engine::{Durability, Entry, Scan, Write};
use vilicus_store::{Engine, EngineError, EngineErrorKind, MemoryEngine};

use crate::support::Api;

/// An engine whose disk is full whenever someone says so.
#[derive(Debug)]
struct Disk {
    full: Arc<AtomicBool>,
    engine: MemoryEngine,
}

impl Disk {
    fn room(&self) -> Result<(), EngineError> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(EngineError::new(EngineErrorKind::Full, "no space is left")),
            false => Ok(()),
        }
    }
}

impl Engine for Disk {
    fn write(&self, partition: &str, writes: Vec<Write>, durability: Durability) -> Result<(), EngineError> {
        self.room()?;
        self.engine.write(partition, writes, durability)
    }

    fn get(&self, partition: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.engine.get(partition, key)
    }

    fn scan(&self, partition: &str, scan: &Scan) -> Result<Vec<Entry>, EngineError> {
        self.engine.scan(partition, scan)
    }

    fn partitions(&self) -> Result<Vec<String>, EngineError> {
        self.engine.partitions()
    }

    fn drop_partition(&self, partition: &str) -> Result<(), EngineError> {
        self.engine.drop_partition(partition)
    }

    fn reopen(&self) -> Result<(), EngineError> {
        self.room()
    }

    fn size(&self) -> Result<u64, EngineError> {
        self.engine.size()
    }

    fn max_value(&self) -> usize {
        self.engine.max_value()
    }
}

#[tokio::test]
async fn a_full_store_refuses_writes_and_goes_on_reading() {
    let full = Arc::new(AtomicBool::new(false));
    let disk = Disk { full: Arc::clone(&full), engine: MemoryEngine::new() };
    let api = Api::over(disk, Limits::default()).await;
    let (id, token) = api.agent("web-1").await;
    let check = api.check(id, "load").await;
    full.store(true, Ordering::SeqCst);
    let result = json!({"check": check, "status": 0});
    for (method, path, body) in [
        ("POST", "/api/v1/check_history/".to_owned(), result.clone()),
        ("POST", "/api/v1/check_history/".to_owned(), json!({"objects": [result]})),
        ("PUT", format!("/api/v1/agent/{id}/"), json!({"version": "9"})),
    ] {
        let reply = api.ask(method, &path).bearer(&token).json(&body).send().await;
        assert_eq!(reply.status, 503, "{method} {path}: {}", reply.text());
        assert!(reply.header("retry-after").parse::<u32>().unwrap() >= 1);
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
    assert_eq!(api.post("/api/v1/agent/", json!({"name": "web-2"})).await.status, 503);
    for path in ["/api/v1/agent/", "/api/v1/check/", "/api/v1/load_check/"] {
        assert_eq!(api.ask("GET", path).bearer(&token).send().await.status, 200, "{path}");
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
}
