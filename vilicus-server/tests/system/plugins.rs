//! Real monitoring plugins say the same through an agent as by hand, and `vilicus-agent check` is a plugin itself.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::agent::agent_binary;
use crate::harness::webhook::Recorder;
use crate::harness::{Agent, Server, rest, until};

/// Where Debian's monitoring-plugins-basic puts its programs.
const PLUGINS: &str = "/usr/lib/nagios/plugins";

/// What a plugin said by hand: its status, and the values by name with their units.
#[derive(Debug)]
struct ByHand {
    status: &'static str,
    metrics: BTreeMap<String, (f64, String)>,
}

fn by_hand(plugin: &str, args: &[String]) -> ByHand {
    let program = format!("{PLUGINS}/{plugin}");
    assert!(
        Path::new(&program).exists(),
        "{program} is missing: install the package monitoring-plugins-basic"
    );
    let done = Command::new(&program).args(args).env_clear().env("LC_ALL", "C.UTF-8").output().unwrap();
    let status = ["OK", "WARNING", "CRITICAL", "UNKNOWN"][done.status.code().unwrap() as usize];
    let output = String::from_utf8_lossy(&done.stdout).into_owned();
    let perfdata = output.lines().next().unwrap().split_once('|').map_or("", |(_, perfdata)| perfdata);
    ByHand { status, metrics: perfdata.split_whitespace().map(metric).collect() }
}

/// `label=value[unit];…` as these plugins write it: no spaces in labels.
fn metric(item: &str) -> (String, (f64, String)) {
    let (label, rest) = item.split_once('=').unwrap();
    let number = rest.split(';').next().unwrap();
    let end = number.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c))).unwrap_or(number.len());
    let (factor, unit) = match &number[end..] {
        "" => (1.0, ""),
        "s" => (1.0, "s"),
        "ms" => (0.001, "s"),
        "B" => (1.0, "B"),
        "MiB" => (1_048_576.0, "B"),
        "MB" => (1e6, "B"),
        unit => (1.0, unit),
    };
    (label.trim_matches('\'').to_owned(), (number[..end].parse::<f64>().unwrap() * factor, unit.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_plugins_say_the_same_through_the_agent() {
    let server = Server::new().start().await;
    let admin = server.admin();
    let recorder = Recorder::start().await;
    let port = recorder.port().to_string();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port().to_string()
    };
    let mut agent = Agent::enroll(&server, "web-1").await;
    let mut file = OpenOptions::new().append(true).open(agent.config()).unwrap();
    writeln!(file, "\n[command]\nallow = [\"{PLUGINS}/*\"]").unwrap();
    let table: &[(&str, &str, &[&str])] = &[
        ("load that is low enough", "check_load", &["-w", "900,900,900", "-c", "999,999,999"]),
        ("load that warns", "check_load", &["-w", "0,0,0", "-c", "999,999,999"]),
        ("disk with room", "check_disk", &["-w", "0%", "-c", "0%", "-p", "/"]),
        ("disk with too little room", "check_disk", &["-w", "100%", "-c", "100%", "-p", "/"]),
        ("processes", "check_procs", &["-w", "1:90000", "-c", "1:99999"]),
        ("too many processes", "check_procs", &["-w", "0:0", "-c", "0:0"]),
        ("open port", "check_tcp", &["-H", "127.0.0.1", "-p", &port]),
        ("closed port", "check_tcp", &["-H", "127.0.0.1", "-p", &closed]),
        ("web server", "check_http", &["-I", "127.0.0.1", "-p", &port, "-u", "/"]),
        (
            "web server with another answer",
            "check_http",
            &["-I", "127.0.0.1", "-p", &port, "-u", "/", "-e", "200"],
        ),
        ("wrong usage", "check_tcp", &["--no-such-option"]),
    ];
    let mut checks = Vec::new();
    for (name, plugin, args) in table {
        let params = json!({"command": format!("{PLUGINS}/{plugin}"), "args": args});
        checks.push(agent.check(&admin, name, "command", json!({"params": params, "max_attempts": 1})).await);
    }
    let forbidden = json!({"params": {"command": "/bin/true"}, "max_attempts": 1});
    let forbidden = agent.check(&admin, "not on the list", "command", forbidden).await;
    agent.start();

    for ((name, plugin, args), check) in table.iter().zip(checks) {
        let through_agent = first_result(&admin, check).await;
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        same(name, &by_hand(plugin, &args), &through_agent);
    }
    let refused = first_result(&admin, forbidden).await;
    assert_eq!(refused["status"], "UNKNOWN");
    let output = rest::text(&refused, "output");
    assert!(output.contains("not allowed by the agent's [command] allow list: /bin/true"), "{output}");
}

async fn first_result(admin: &crate::harness::Rest, check: u64) -> Value {
    let path = format!("/api/v1/check_history/?check={check}");
    until(&format!("check {check} has a result"), Duration::from_secs(30), async || {
        admin.list(&path).await.first().cloned()
    })
    .await
}

fn same(name: &str, by_hand: &ByHand, result: &Value) {
    assert_eq!(result["status"], by_hand.status, "{name}: {result}");
    let empty = Vec::new();
    let metrics = result["metrics"].as_array().unwrap_or(&empty);
    let names: Vec<&str> = metrics.iter().map(|metric| rest::text(metric, "name")).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, by_hand.metrics.keys().collect::<Vec<_>>(), "{name}: {result}");
    for metric in metrics {
        let (value, unit) = &by_hand.metrics[rest::text(metric, "name")];
        assert_eq!(metric["unit"].as_str().unwrap_or(""), unit, "{name}: {metric}");
        // The two runs are seconds apart: what they measure moved a little.
        let seen = metric["value"].as_f64().unwrap();
        let near = (seen - value).abs() <= 0.25 * value.abs().max(seen.abs()) + 8.0 + tolerance(unit);
        assert!(near, "{name}: {seen} is not near {value} in {metric}");
    }
}

/// What may change between two runs, beyond a quarter: disks are written by other tests.
fn tolerance(unit: &str) -> f64 {
    if unit == "B" { 2e9 } else { 0.0 }
}

#[test]
fn a_check_by_hand_is_a_plugin() {
    let negate = format!("{PLUGINS}/negate");
    assert!(Path::new(&negate).exists(), "{negate} is missing: install the package monitoring-plugins-basic");
    let home = tempfile::tempdir().unwrap();
    let run = |program: &Path, args: &[&str]| {
        let done = Command::new(program).args(args).env_clear().current_dir(home.path()).output().unwrap();
        (done.status.code().unwrap(), String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let agent = agent_binary();
    let (status, output) = run(&agent, &["check", "uptime"]);
    assert_eq!(status, 0, "{output}");
    assert!(output.contains("| ") && output.contains("uptime_seconds="), "{output}");
    let table: &[(&str, &[&str], i32)] = &[
        ("a threshold that is breached is critical", &["check", "uptime", "--critical", "0:1"], 2),
        ("a threshold of a metric by name warns", &["check", "load", "--warning", "load1=@0:100000"], 1),
        (
            "a process that is not there is critical",
            &["check", "process", "name=there-is-no-such-process"],
            2,
        ),
        ("an unknown kind is wrong usage", &["check", "there-is-no-such-kind"], 3),
        ("an unknown parameter is wrong usage", &["check", "uptime", "nonsense=1"], 3),
        ("a range that is none is wrong usage", &["check", "uptime", "--warning", "10:5"], 3),
    ];
    for (what, args, expected) in table {
        let (status, output) = run(&agent, args);
        assert_eq!(status, *expected, "{what}: {output}");
    }
    let (status, output) = run(Path::new(&negate), &[agent.to_str().unwrap(), "check", "uptime"]);
    assert_eq!(status, 2, "negate understands it and turns OK into CRITICAL: {output}");
}
