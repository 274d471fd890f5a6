//! Zabbix 6 with PostgreSQL, fed as `zabbix_sender` does. It answers once a value is in its memory; what counts here is
//! what reached the database, which is what its own restart keeps.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use vilicus_benches::drive::Until;
use vilicus_benches::process::family_cpu_seconds;
use vilicus_benches::spawn::{Program, low_free_port};
use vilicus_benches::{Failure, clock};

use crate::postgres::{OWNER, Postgres, run};
use crate::table::{Figures, Work};
use crate::{CHECKS, Setting};

const NAME: &str = "zabbix";
const DATABASE: &str = "zabbix";
/// Of each [`CHECKS`] items.
const HOSTS: usize = 100;
/// It takes a connection a request, and so many at a time.
const SENDERS: usize = 5;
/// The number of the batch that shows that it has begun.
const FIRST_BATCH: u32 = 0;
/// Ids of our own begin here: above those that come with it.
const FIRST_ID: usize = 1_000_000;

pub(crate) fn measure(setting: &Setting, figures: &mut Figures) -> Result<(), Failure> {
    let postgres = Postgres::start(&setting.under)?;
    fill(&postgres)?;
    let port = low_free_port()?;
    let mut zabbix = start(&postgres, port)?;
    let cpu = |zabbix: &Program| {
        Ok::<_, Failure>(family_cpu_seconds(zabbix.pid())? + family_cpu_seconds(postgres.pid())?)
    };
    let (begin, before) = (clock::now(), cpu(&zabbix)?);
    let span = if let Until::For(span) = setting.plan.until { span } else { Duration::from_secs(5) };
    let sent = send(port, begin + span)?;
    zabbix.wait_for(|_| {
        let kept = postgres.run(DATABASE, b"select count(*) from history").ok()?;
        (kept.trim() == sent.to_string()).then_some(())
    })?;
    let took = begin.elapsed();
    figures.put(NAME, Work::Batches, sent as f64 / took.as_secs_f64());
    figures.put(NAME, Work::BatchCpu, (cpu(&zabbix)? - before) * 1e6 / sent as f64);
    zabbix.end()?;
    postgres.end()
}

/// Sends batches until then; how many values.
fn send(port: u16, until: Instant) -> Result<usize, Failure> {
    let batches = AtomicU32::new(FIRST_BATCH + 1);
    thread::scope(|scope| {
        let senders: Vec<_> =
            (0..SENDERS).map(|_| scope.spawn(|| send_batches(port, until, &batches))).collect();
        senders.into_iter().try_for_each(|sender| sender.join().map_err(|_| "a sender panicked")?)
    })
    .map_err(|error: String| error)?;
    Ok(batches.into_inner() as usize * CHECKS)
}

fn send_batches(port: u16, until: Instant, batches: &AtomicU32) -> Result<(), String> {
    while clock::now() < until {
        let number = batches.fetch_add(1, Ordering::Relaxed);
        send_batch(port, number).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// All items of one host. *Source:* <https://www.zabbix.com/documentation/6.0/en/manual/appendix/items/trapper>.
fn send_batch(port: u16, number: u32) -> Result<(), Failure> {
    let (host, seconds) = (format!("host-{}", number as usize % HOSTS), clock::unix_ms() / 1000);
    let values = (0..CHECKS).map(|check| {
        let value = ((check * 17 + number as usize) % 1000) as f64 / 10.0;
        // The number in place of nanoseconds: no two values of an item may be of one moment.
        json!({"host": host, "key": format!("check-{check}"), "value": value.to_string(), "clock": seconds, "ns": number})
    });
    let body = json!({"request": "sender data", "data": values.collect::<Vec<_>>()}).to_string();
    let mut message = b"ZBXD\x01".to_vec();
    message.extend_from_slice(&(body.len() as u64).to_le_bytes());
    message.extend_from_slice(body.as_bytes());
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(&message)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    if answer.contains(&format!("processed: {CHECKS};")) { Ok(()) } else { Err(answer.into()) }
}

/// Its own tables, and our hosts with their items; those that come with it are switched off.
fn fill(postgres: &Postgres) -> Result<(), Failure> {
    postgres.run("postgres", format!("create database {DATABASE}").as_bytes())?;
    for part in ["schema", "images", "data"] {
        let file = format!("/usr/share/zabbix-server-pgsql/{part}.sql.gz");
        postgres.run(DATABASE, run(Command::new("zcat").arg(file))?.as_bytes())?;
    }
    let sql = format!(
        "update hosts set status = 1 where status = 0;
insert into hosts (hostid, host, name)
    select {FIRST_ID} + h, 'host-' || h, 'host-' || h from generate_series(0, {HOSTS} - 1) h;
insert into items (itemid, type, hostid, name, key_, value_type, trends)
    select {FIRST_ID} + h * {CHECKS} + c, 2, {FIRST_ID} + h, 'check-' || c, 'check-' || c, 0, '0'
    from generate_series(0, {HOSTS} - 1) h, generate_series(0, {CHECKS} - 1) c;
insert into item_rtdata (itemid) select itemid from items where itemid >= {FIRST_ID};
"
    );
    postgres.run(DATABASE, sql.as_bytes()).map(drop)
}

fn start(postgres: &Postgres, port: u16) -> Result<Program, Failure> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("zabbix_server.conf");
    std::fs::write(&config, settings(postgres.folder(), folder.path(), port))?;
    let mut command = Command::new("zabbix_server");
    command.arg("--foreground").arg("--config").arg(config);
    let mut zabbix = Program::start(command, folder)?;
    zabbix.wait_for_port(port)?;
    // It listens before it knows the items. What it takes then is counted with the others.
    zabbix.wait_for(|_| send_batch(port, FIRST_BATCH).ok())?;
    Ok(zabbix)
}

fn settings(socket: &Path, folder: &Path, port: u16) -> String {
    let (socket, folder) = (socket.display(), folder.display());
    format!(
        "DBHost={socket}
DBName={DATABASE}
DBUser={OWNER}
AllowRoot=1
LogType=console
PidFile={folder}/zabbix.pid
SocketDir={folder}
ListenIP=127.0.0.1
ListenPort={port}
StartTrappers={SENDERS}
StartPollers=0
StartPingers=0
StartHTTPPollers=0
StartDiscoverers=0
CacheSize=64M
HistoryCacheSize=16M
ValueCacheSize=64M
"
    )
}
