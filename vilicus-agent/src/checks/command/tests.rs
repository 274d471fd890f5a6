//! Runs real programs: Debian's plugins, and scripts that behave as badly as programs can.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use vilicus_core::{CheckResult, Status};

use super::*;
use crate::checks::tests::context;

const PLUGINS: &str = "/usr/lib/nagios/plugins";

fn check(policy: CommandPolicy, params: &Value) -> Arc<dyn Check> {
    CommandKind::new(policy).build(vilicus_core::params::parse(params).unwrap()).unwrap()
}

fn allowing(command: &str) -> CommandPolicy {
    CommandPolicy::new(&[command.to_owned()], None, &["COMMUNITY".to_owned()]).unwrap()
}

async fn run(params: Value, seconds: u64) -> CheckResult {
    let command = params["command"].as_str().unwrap().to_owned();
    check(allowing(&command), &params).run(&context(seconds)).await
}

/// A script in a folder of its own.
struct Script {
    folder: TempDir,
    path: String,
}

impl Script {
    fn new(body: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("check_script");
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{body}\n", folder.path().display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let path = path.to_str().unwrap().to_owned();
        Self { folder, path }
    }

    async fn run(&self, seconds: u64) -> CheckResult {
        run(json!({"command": self.path}), seconds).await
    }

    /// The process id that the script wrote into this file.
    async fn pid(&self, file: &str) -> PathBuf {
        let path = self.folder.path().join(file);
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if text.ends_with('\n') {
                return Path::new("/proc").join(text.trim());
            }
            assert!(Instant::now() < deadline, "the script never wrote {file}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn is_gone(process: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while process.exists() {
        assert!(Instant::now() < deadline, "{} lives on", process.display());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn nothing_runs_that_is_not_allowed() {
    let params = json!({"command": "/bin/true"});
    for policy in [CommandPolicy::default(), allowing("/bin/false"), allowing("/usr/**")] {
        let result = check(policy, &params).run(&context(10)).await;
        assert_eq!(result.status, Some(Status::Unknown));
        assert_eq!(result.output, "not allowed by the agent's [command] allow list: /bin/true");
    }
    let shell = json!({"command": "/bin/sh"});
    let result = check(allowing("/bin/*"), &shell).run(&context(10)).await;
    assert!(result.output.ends_with("/bin/sh (it runs other programs: no pattern allows it, list its path)"));
    let env = json!({"command": "/bin/true", "env": {"OTHER": "x"}});
    let result = check(allowing("/bin/true"), &env).run(&context(10)).await;
    assert_eq!(result.output, "not allowed by the agent's [command] env list: OTHER");
}

#[tokio::test]
async fn a_program_that_everybody_can_write_does_not_run() {
    let script = Script::new("echo OK");
    fs::set_permissions(&script.path, fs::Permissions::from_mode(0o777)).unwrap();
    let result = script.run(10).await;
    assert_eq!(result.status, Some(Status::Unknown));
    assert!(result.output.starts_with("not run: everybody can write "), "{}", result.output);
}

#[tokio::test]
async fn every_way_to_end_has_its_status_and_text() {
    for (body, status, output) in [
        ("echo 'fine | a=1'; exit 0", Status::Ok, "fine"),
        ("echo so so; exit 1", Status::Warning, "so so"),
        ("exit 2", Status::Critical, "(no output)"),
        ("exit 3", Status::Unknown, "(no output)"),
        ("exit 4", Status::Unknown, "exit code 4 (a plugin's is 0 to 3)"),
        ("echo x; kill -9 $$", Status::Unknown, "killed by signal 9 (SIGKILL): x"),
    ] {
        let result = Script::new(body).run(10).await;
        assert_eq!((result.status, result.output.as_str()), (Some(status), output), "{body}");
    }
}

#[tokio::test]
async fn what_cannot_be_executed_is_unknown() {
    let script = Script::new("");
    fs::set_permissions(&script.path, fs::Permissions::from_mode(0o644)).unwrap();
    let denied = script.run(10).await;
    assert_eq!(denied.output, format!("not executable: {}: permission denied", script.path));
    fs::write(&script.path, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script.path, fs::Permissions::from_mode(0o755)).unwrap();
    let interpreter = script.run(10).await;
    assert!(
        interpreter.output.ends_with("the interpreter in its first line is missing"),
        "{}",
        interpreter.output
    );
    let missing = run(json!({"command": "/opt/no/such/check"}), 10).await;
    assert_eq!(missing.output, "not executable: /opt/no/such/check: there is no such file");
    let folder = run(json!({"command": "/bin/true", "dir": "/no/such/folder"}), 10).await;
    assert_eq!(folder.output, "not executable: /bin/true: the folder /no/such/folder is missing");
    for result in [denied, interpreter, missing, folder] {
        assert_eq!((result.status, result.exit_code), (Some(Status::Unknown), None));
    }
}

#[tokio::test]
async fn arguments_input_folder_and_environment_arrive_and_nothing_else() {
    let script = Script::new(
        r#"for a in "$0" "$@"; do echo "$a"; done; cat; echo "$COMMUNITY $PATH $LC_ALL"; env | wc -l"#,
    );
    let params = json!({
        "command": script.path, "args": ["a b", "$HOME;`id`", "", "*"], "stdin": "from stdin\n",
        "env": {"COMMUNITY": "x"},
    });
    let result = run(params, 10).await;
    assert_eq!(result.output, script.path);
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    // The shell itself adds PWD and OLDPWD.
    let expected = format!("a b\n$HOME;`id`\n\n*\nfrom stdin\nx {path} C.UTF-8\n6");
    assert_eq!(result.long_output, expected);
    let folder = run(json!({"command": "/bin/pwd", "dir": "/usr"}), 10).await;
    assert_eq!(folder.output, "/usr");
}

#[tokio::test]
async fn input_that_nobody_reads_holds_nothing_up() {
    let result = run(json!({"command": "/bin/true", "stdin": "x".repeat(1_000_000)}), 10).await;
    assert_eq!(result.status, Some(Status::Ok));
}

#[tokio::test]
async fn the_timeout_ends_the_whole_group() {
    let script = Script::new("sleep 600 & echo $! > child\necho begun\necho $$ > self\nwait");
    let begin = Instant::now();
    let result = script.run(1).await;
    assert_eq!((result.status, result.output.as_str()), (Some(Status::Critical), "timed out after 1s"));
    assert_eq!(result.long_output, "so far: begun");
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    for file in ["self", "child"] {
        is_gone(&script.pid(file).await).await;
    }
}

#[tokio::test]
async fn what_ignores_sigterm_is_killed() {
    let script = Script::new("trap '' TERM\necho $$ > self\nwhile :; do sleep 1; done");
    let begin = Instant::now();
    let result = script.run(1).await;
    assert_eq!(result.output, "timed out after 1s");
    assert_eq!(result.long_output, "it ignored SIGTERM and was killed");
    let took = begin.elapsed();
    assert!(Duration::from_secs(6) <= took && took < Duration::from_secs(9), "{took:?}");
    is_gone(&script.pid("self").await).await;
}

#[tokio::test]
async fn a_gigabyte_of_output_is_cut_and_flows_by() {
    let script = Script::new("echo 'OK | a=1'; head -c 1000000000 /dev/zero; exit 1");
    let result = script.run(120).await;
    assert_eq!((result.status, result.output.as_str()), (Some(Status::Warning), "OK"));
    assert!(result.truncated && result.metrics.len() == 1);
    assert!(result.long_output.len() < 66_000);
}

#[tokio::test]
async fn the_run_is_over_when_the_program_exits_though_its_output_is_held_open() {
    let script = Script::new("sleep 600 & echo $! > child\necho 'OK - begun'");
    let begin = Instant::now();
    let result = script.run(60).await;
    assert_eq!((result.status, result.output.as_str()), (Some(Status::Ok), "OK - begun"));
    assert_eq!(result.long_output, "it left a process running in its group, which was ended");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    is_gone(&script.pid("child").await).await;
}

#[tokio::test]
async fn a_daemon_that_escapes_is_reported_and_not_chased() {
    let script = Script::new(
        "setsid sh -c 'echo $$ > daemon; exec sleep 600' &\nwhile [ ! -s daemon ]; do :; done\necho OK",
    );
    let begin = Instant::now();
    let result = script.run(60).await;
    assert_eq!((result.status, result.output.as_str()), (Some(Status::Ok), "OK"));
    assert!(
        result.long_output.starts_with("it left a process running outside of its group"),
        "{}",
        result.long_output
    );
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let daemon = script.pid("daemon").await;
    let pid = daemon.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(std::process::Command::new("kill").arg(pid).status().unwrap().success());
    is_gone(&daemon).await;
}

#[tokio::test]
async fn dropping_the_run_kills_the_group() {
    let script = Script::new("trap '' TERM\nsleep 600 & echo $! > child\necho $$ > self\nwait");
    tokio::select! {
        result = script.run(60) => panic!("it ended by itself: {}", result.output),
        _ = async { (script.pid("child").await, script.pid("self").await) } => {}
    }
    for file in ["self", "child"] {
        is_gone(&script.pid(file).await).await;
    }
}

#[tokio::test]
async fn text_in_other_encodings_and_errors_are_shown() {
    let result = Script::new(r"printf 'caf\351 ok'").run(10).await;
    assert_eq!(result.output, "caf\u{fffd} ok");
    let result = Script::new("echo 'no such option' >&2; exit 3").run(10).await;
    assert_eq!(
        (result.output.as_str(), result.long_output.as_str()),
        ("(no output)", "standard error: no such option")
    );
}

#[tokio::test]
async fn programs_run_as_the_configured_user_or_not_at_all() {
    let policy = CommandPolicy::new(&["/usr/bin/id".to_owned()], Some("daemon"), &[]).unwrap();
    let result = check(policy, &json!({"command": "/usr/bin/id"})).run(&context(10)).await;
    if rustix::process::geteuid().is_root() {
        assert_eq!(result.output, "uid=1(daemon) gid=1(daemon) groups=1(daemon)");
    } else {
        assert_eq!(result.output, "not executable: /usr/bin/id: permission denied (as user 1)");
    }
}

#[test]
fn parameters_that_cannot_work_are_refused_and_secrets_are_not_shown() {
    for (params, pointer) in [
        (json!({}), "/command"),
        (json!({"command": "check_load"}), "/command"),
        (json!({"command": "/opt/../bin/sh"}), "/command"),
        (json!({"command": "/opt/x", "args": ["a\0b"]}), "/args"),
        (json!({"command": "/opt/x", "args": "-w 1"}), "/args"),
        (json!({"command": "/opt/x", "env": {"LD_PRELOAD": "/tmp/x.so"}}), "/env"),
        (json!({"command": "/opt/x", "env": {"A": "\0"}}), "/env"),
        (json!({"command": "/opt/x", "dir": "tmp"}), "/dir"),
    ] {
        let kind = CommandKind::new(CommandPolicy::default());
        let built = vilicus_core::params::parse(&params).and_then(|params| kind.build(params));
        assert_eq!(built.map(|_| ()).unwrap_err().pointer, pointer, "{params}");
    }
    let params = json!({"command": "/opt/x", "args": ["canary"], "stdin": "canary", "env": {"A": "canary"}});
    let shown = format!("{:?}", check(CommandPolicy::default(), &params));
    assert!(!shown.contains("canary"), "{shown}");
}

/// The figures of two runs differ; everything else must not.
fn without_figures(text: &str) -> String {
    let mut masked = text.replace(|c: char| c.is_ascii_digit() || c == '.', "#");
    while masked.contains("##") {
        masked = masked.replace("##", "#");
    }
    masked
}

#[tokio::test]
async fn real_plugins_say_the_same_as_by_hand() {
    let web = wait_for_requests();
    let port = web.to_string();
    for (plugin, args) in [
        ("check_load", vec!["-w", "500,400,300", "-c", "1000,800,600"]),
        ("check_load", vec!["-w", "0,0,0", "-c", "0,0,0"]),
        ("check_disk", vec!["-w", "1%", "-c", "0%", "-p", "/"]),
        ("check_disk", vec!["-w", "100%", "-c", "0%", "-p", "/"]),
        ("check_procs", vec!["-w", "1:100000"]),
        ("check_tcp", vec!["-H", "127.0.0.1", "-p", &port]),
        ("check_tcp", vec!["-H", "127.0.0.1", "-p", "1"]),
        ("check_http", vec!["-H", "127.0.0.1", "-p", &port, "-s", "hello"]),
        ("check_http", vec!["-H", "127.0.0.1", "-p", &port, "-s", "absent"]),
        ("check_dummy", vec!["3", "said so"]),
    ] {
        let command = format!("{PLUGINS}/{plugin}");
        let by_hand = std::process::Command::new(&command).args(&args).env("LC_ALL", "C.UTF-8").output();
        let by_hand =
            by_hand.unwrap_or_else(|error| panic!("{command}: {error}; install monitoring-plugins-basic"));
        let params = json!({"command": command, "args": args});
        let policy = CommandPolicy::new(&[format!("{PLUGINS}/*")], None, &[]).unwrap();
        let result = check(policy, &params).run(&context(30)).await;
        let expected = PluginOutput::parse(&String::from_utf8(by_hand.stdout).unwrap());
        assert_eq!(result.exit_code, by_hand.status.code(), "{plugin}: {}", result.output);
        assert_eq!(result.status.unwrap().code(), u8::try_from(by_hand.status.code().unwrap()).unwrap());
        assert_eq!(without_figures(&result.output), without_figures(&expected.output), "{plugin}");
        let shape = |metrics: &[vilicus_core::Metric]| -> Vec<_> {
            let of =
                |m: &vilicus_core::Metric| (m.name.clone(), m.unit.clone(), m.warning, m.critical, m.min);
            metrics.iter().map(of).collect()
        };
        assert_eq!(shape(&result.metrics), shape(&expected.metrics), "{plugin}");
        assert_eq!(expected.problems, vec![], "{plugin}");
    }
}

/// A web server that answers each request with 'hello'; returns its port.
fn wait_for_requests() -> u16 {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    port
}
