//! The real binary, as an operator and as a monitoring system see it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end here")]

mod server;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use server::{ENROLL_TOKEN, Server, TOKEN, until};

/// The binary, with nothing of this machine's environment or files.
fn agent(folder: &Path, args: &[&str]) -> Command {
    let config = folder.join("agent.toml");
    if !config.exists() {
        fs::write(&config, "").unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_vilicus-agent"));
    command.env_clear().env("VILICUS_CONFIG", config).args(args);
    command
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = agent(folder.path(), args).output().unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn check_is_a_plugin() {
    for (args, code, begins) in [
        (&["check", "load", "-t", "5"][..], 0, "OK: "),
        (&["check", "disk", "path=/"], 0, "OK: "),
        (&["check", "disk", "path=/", "--critical", "used_percent=@0:100"], 2, "CRITICAL: "),
        (&["check", "memory", "-w", "@0:100"], 1, "WARNING: "),
        (&["check", "cpu", "--warning", "usage=~:100"], 0, "OK: "),
        (&["check", "disk", "path=/no/such/place"], 2, "CRITICAL: "),
        (
            &["check", "command", "command=/bin/true"],
            3,
            "UNKNOWN: not allowed by the agent's [command] allow list",
        ),
    ] {
        let (status, stdout, stderr) = run(args);
        assert_eq!(status, Some(code), "{args:?}: {stdout}{stderr}");
        assert!(stdout.starts_with(begins), "{args:?}: {stdout}");
        if code != 3 && !args.contains(&"path=/no/such/place") {
            let (_, perfdata) = stdout.lines().next().unwrap().split_once(" | ").unwrap();
            let (metrics, problems) = vilicus_core::perfdata::parse(perfdata);
            assert!(!metrics.is_empty() && problems.is_empty(), "{args:?}: {stdout}");
        }
    }
}

#[test]
fn wrong_usage_is_2_and_3_for_check() {
    for (args, code, words) in [
        (&["--nonsense"][..], 2, "--nonsense"),
        (&["run", "--nonsense"], 2, "--nonsense"),
        (&["run"], 2, "no server is given"),
        (&["run", "--server", "http://127.0.0.1:1"], 2, "no token is given"),
        (&["run", "--buffer", "0"], 2, "at least 1"),
        (&["kinds", "dsik"], 2, "did you mean 'disk'"),
        (&["enroll", "--server", "http://127.0.0.1:1"], 2, "no enrolment token"),
        (&["run", "--server", "nonsense", "--token-file", "/dev/null"], 1, "does not hold a token"),
        (&["check", "disk", "--nonsense"], 3, "UNKNOWN"),
        (&["check", "dsik"], 3, "did you mean 'disk'"),
        (&["check", "disk", "paht=/"], 3, "did you mean 'path'"),
        (&["check", "disk", "path"], 3, "is not KEY=VALUE"),
        (&["check", "disk", "--warning", "nonsense"], 3, "not a range"),
        (&["check", "load", "--timeout", "soon"], 3, "not a duration"),
        (&["check"], 3, "not provided: <KIND>"),
        (&["--config", "/no/such/file", "check", "load"], 3, "cannot read /no/such/file"),
    ] {
        let (status, stdout, stderr) = run(args);
        assert_eq!(status, Some(code), "{args:?}: {stdout}{stderr}");
        assert!(format!("{stdout}{stderr}").contains(words), "{args:?}: {stdout}{stderr}");
    }
}

#[test]
fn hostile_arguments_are_refused_without_a_panic_or_a_control_character() {
    let long = "x".repeat(100_000);
    for args in [
        &["check", "\u{1b}[2J"][..],
        &["check", "disk", "\u{1b}[2J=1"],
        &["check", "disk", "path=/\u{7}\n| a=1"],
        &["check", &long],
        &["check", "disk", &long],
        &["check", "load", "-w", &long],
        &["check", "load", "-c", "load1=\u{1b}"],
        &["check", "tcp", "port=99999999999999999999", "host=x"],
    ] {
        let (status, stdout, stderr) = run(args);
        assert!(matches!(status, Some(2 | 3)), "{status:?} {stdout}{stderr}");
        assert!(!stdout.contains('\u{1b}') && !stdout.contains('\u{7}'), "{stdout:?}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn a_mistake_in_the_file_is_found_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("agent.toml"), "[limits]\nbufer = 1\n").unwrap();
    let output = agent(folder.path(), &["run"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("agent.toml:2:1: unknown key 'bufer'; did you mean 'buffer'?"), "{stderr}");
}

#[test]
fn kinds_and_help_tell_what_there_is() {
    let (status, stdout, _) = run(&["kinds"]);
    assert!(status == Some(0) && stdout.lines().any(|line| line.starts_with("disk ")), "{stdout}");
    let (status, stdout, _) = run(&["kinds", "disk"]);
    assert!(
        status == Some(0) && stdout.contains("path (") && stdout.contains("used_percent (%)"),
        "{stdout}"
    );
    let (status, stdout, _) = run(&["run", "--help"]);
    for name in
        ["--server", "VILICUS_SERVER", "file: server", "VILICUS_TOKEN", "--token-file", "limits.buffer"]
    {
        assert!(stdout.contains(name), "{name}: {stdout}");
    }
    assert_eq!(status, Some(0));
    let (status, stdout, _) = run(&["--version"]);
    assert!(status == Some(0) && stdout.contains("commit "), "{stdout}");
    assert!(run(&["completions", "bash"]).1.contains("complete"));
    assert!(run(&["man"]).1.contains(".TH vilicus-agent"));
}

/// Runs the binary in a thread of its own, so that the server of the test can answer.
async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn enroll_writes_two_private_files_and_run_reports_until_it_is_stopped() {
    let server =
        Server::start(vec![json!({"id": 7, "name": "load", "kind": "load", "interval": "1s"})]).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("etc/agent.toml");
    let shown = config.to_str().unwrap();
    let enrol = |name: &str| {
        let mut command =
            agent(folder.path(), &["--config", shown, "enroll", "--name", name, "--tag", "prod"]);
        command.env("VILICUS_SERVER", server.url()).env("VILICUS_ENROLL_TOKEN", ENROLL_TOKEN);
        command
    };
    let enrolled = output(enrol("web-1")).await;
    let words = text(&enrolled.stdout) + &text(&enrolled.stderr);
    assert!(enrolled.status.success() && words.contains("enrolled as web-1"), "{words}");
    assert!(!words.contains(TOKEN) && !words.contains(ENROLL_TOKEN), "{words}");
    assert_eq!(server.state().applications[0]["tags"], json!(["prod"]));
    for file in ["etc/agent.toml", "etc/agent.token"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let again = output(enrol("web-2")).await;
    assert!(again.status.code() == Some(1) && text(&again.stderr).contains("holds a token already"));

    let doctor = output(agent(folder.path(), &["--config", shown, "doctor"])).await;
    let words = text(&doctor.stdout);
    assert!(doctor.status.success() && words.contains("knows this agent as web-1"), "{words}");

    let mut daemon =
        agent(folder.path(), &["--config", shown, "--log", "trace", "--log-format", "json", "run"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    until("two results", || server.state().count(7) >= 2).await;
    let pid = rustix::process::Pid::from_child(&daemon);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let log = BufReader::new(daemon.stderr.take().unwrap());
    let (status, lines) = tokio::task::spawn_blocking(move || {
        let lines: Vec<String> = log.lines().map(Result::unwrap).collect();
        (daemon.wait().unwrap(), lines)
    })
    .await
    .unwrap();
    assert_eq!(status.code(), Some(0), "{lines:?}");
    for line in &lines {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        assert!(!line.contains(TOKEN), "{line}");
    }
}

#[tokio::test]
async fn doctor_names_what_is_wrong_and_its_mend() {
    let server = Server::start(Vec::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("agent.token");
    fs::write(&token, "vil_a_token_that_nobody_knows").unwrap();
    let token = token.to_str().unwrap();
    let wrong =
        output(agent(folder.path(), &["doctor", "--server", &server.url(), "--token-file", token])).await;
    let words = text(&wrong.stdout);
    assert_eq!(wrong.status.code(), Some(1), "{words}");
    assert!(words.contains("chmod 600") && words.contains("BAD  access"), "{words}");
    assert!(!words.contains("vil_a_token"), "{words}");
    let nowhere = output(agent(folder.path(), &["doctor", "--server", "http://127.0.0.1:1"])).await;
    let words = text(&nowhere.stdout);
    assert!(words.contains("BAD  connect") && words.contains("mend: start the server"), "{words}");
}
