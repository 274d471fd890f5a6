//! Several hundred requests that nobody should send: each gets the right refusal, and the server stays as it was.

mod bodies;
mod connections;
mod targets;

use std::time::Duration;

use reqwest::Method;

use crate::harness::agent::enroll_by_hand;
use crate::harness::rest::Answer;
use crate::harness::{Rest, Server};
use targets::Target;

/// How much more memory the server may hold after a pass than after the one before, each time.
const GROWTH_KIB: u64 = 8 * 1024;

/// A request and the statuses that are right for it.
struct Hostile {
    what: String,
    rest: Rest,
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    right: &'static [u16],
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_hostile_requests_get_the_right_refusal() {
    let mut server = Server::new().start().await;
    let targets = targets::prepare(&server).await;
    let requests = requests(&server, &targets).await;
    assert!(requests.len() >= 400, "{} requests", requests.len());
    let mut wrong = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..3 {
        for request in &requests {
            wrong.extend(send(request).await);
        }
        memory.push(resident_kib(server.process().id()));
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
    // A leak grows with every pass; an allocator that takes a segment more does so once.
    let growth = memory.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).min().unwrap_or(0);
    assert!(growth <= GROWTH_KIB, "memory grows: {memory:?} KiB after each pass");
    still_well(&mut server).await;
}

async fn requests(server: &Server, targets: &[Target]) -> Vec<Hostile> {
    let mut requests = Vec::new();
    for target in targets {
        requests.extend(bodies::for_target(target).await);
    }
    let (_, agent) = enroll_by_hand(server, "curious").await;
    requests.extend(targets::queries(&server.admin()));
    requests.extend(targets::paths(&server.admin()));
    requests.extend(targets::paths(&agent));
    requests.extend(targets::methods(&server.admin()));
    requests.extend(targets::tokens(&server.rest()));
    requests
}

/// Sends it, and says what is wrong with the answer, if anything.
async fn send(request: &Hostile) -> Option<String> {
    let headers: Vec<(&str, &str)> =
        request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let sent =
        request.rest.try_send(request.method.clone(), &request.path, &headers, request.body.clone()).await;
    let fault = match sent {
        Ok(answer) => wrong(&answer, request.right)?,
        // A body that is refused before it is read may end the connection while it is still being sent.
        Err(_) if request.right.contains(&413) => return None,
        Err(error) => format!("no answer: {error:?}"),
    };
    let mut path = request.path.clone();
    path.truncate(80);
    Some(format!("{} {path}: {}: {fault}", request.method, request.what))
}

fn wrong(answer: &Answer, right: &[u16]) -> Option<String> {
    let mut text = answer.text();
    text.truncate(text.floor_char_boundary(300));
    if !right.contains(&answer.status) {
        return Some(format!("answered {} and not {right:?}: {text}", answer.status));
    }
    if answer.status >= 400
        && !answer.body.is_empty()
        && answer.header("content-type") != "application/problem+json"
    {
        return Some(format!("answered {} as {}: {text}", answer.status, answer.header("content-type")));
    }
    if answer.status == 405 && answer.header("allow").is_empty() {
        return Some("answered 405 without Allow".to_owned());
    }
    None
}

/// The memory of a process that is really there, in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

async fn still_well(server: &mut Server) {
    assert_eq!(server.rest().get("/readyz").await.status, 200);
    assert_eq!(server.admin().get("/api/v1/agent/").await.status, 200);
    let log = server.process().log();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_and_slow_connections_are_ended_and_disturb_nobody() {
    let mut server = Server::new().start().await;
    connections::broken(&server).await;
    let held = connections::hold_open(&server, 300).await;
    let (header, body, others) = tokio::join!(
        connections::slow_header(&server, Duration::from_secs(20)),
        connections::slow_body(&server, Duration::from_secs(45)),
        connections::others_are_served(&server, Duration::from_secs(10)),
    );
    drop((header, body, others, held));
    still_well(&mut server).await;
}
