//! The command line of operators, as they use it: against a real server, by what it prints and how it exits.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::harness::process::clean_command;
use crate::harness::{Agent, Process, Rest, Server, until};

const TOKEN: &str = "a-token-for-the-command-line-of-operators";

/// A shell on the operator's machine.
struct Shell {
    url: String,
    home: std::path::PathBuf,
}

impl Shell {
    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, &[("VILICUS_URL", &self.url), ("VILICUS_TOKEN", TOKEN)], "")
    }

    fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Output {
        let mut command = clean_command(Path::new(env!("CARGO_BIN_EXE_vilicusctl")), &self.home);
        command.args(arguments).envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What a command prints that must go well.
    fn well(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", errors(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", errors(&output));
        errors(&output)
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn server() -> (Server, Shell) {
    let server = Server::new().env("VILICUS_ADMIN_TOKEN", TOKEN).start().await;
    let home = server.folder().join("operator");
    std::fs::create_dir(&home).unwrap();
    let shell = Shell { url: server.url(), home };
    (server, shell)
}

/// A file that declares one agent with one check, and a channel whose secret only the operator has.
fn configuration(shell: &Shell) -> String {
    let file = shell.home.join("site.toml");
    std::fs::write(shell.home.join("secret"), "not-to-be-shown").unwrap();
    let text = r#"
        [[agent]]
        name = "web-1"
        tags = ["web"]
        [[check]]
        agent = "web-1"
        name = "disk root"
        kind = "cpu"
        interval = "1h"
        max_attempts = 1
        [[channel]]
        name = "hook"
        kind = "webhook"
        enabled = false
        params = { url = "http://127.0.0.1:9/", secret = { file = "secret" } }
    "#;
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

async fn report(rest: &Rest, status: &str) {
    let body = serde_json::json!({"status": status, "output": "by hand"});
    rest.bearer(TOKEN).post("/api/v1/check/web-1%2Fdisk%20root/result/", &body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_problem_is_seen_acknowledged_and_over() {
    let (server, shell) = server().await;
    let file = configuration(&shell);
    assert!(shell.well(&["diff", "-f", &file]).contains("would be created 3"), "nothing is there yet");
    assert!(shell.well(&["apply", "-f", &file]).contains("created 3, changed 0"));
    assert!(shell.well(&["apply", "-f", &file]).contains("unchanged 3"), "again is the same");
    let other = shell.home.join("other.toml");
    std::fs::write(&other, std::fs::read_to_string(&file).unwrap().replace("\"1h\"", "\"2h\"")).unwrap();
    let diff = shell.well(&["diff", "-f", &other.display().to_string()]);
    assert!(diff.contains("~ check web-1/disk root") && diff.contains(r#"interval: "1h" → "2h""#), "{diff}");

    report(&server.rest(), "OK").await;
    report(&server.rest(), "CRITICAL").await;
    let status = shell.run(&["status"]);
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert_eq!(status.status.code(), Some(2), "{text}{}", errors(&status));
    assert!(
        text.contains("1 CRITICAL") && text.contains("web-1/disk root") && text.contains("by hand"),
        "{text}"
    );

    assert!(shell.fails(&["ack", "web-1/disk root"], 2).contains("--comment"));
    assert!(shell.well(&["ack", "web-1/disk root", "-c", "cleaning up"]).contains("--remove"));
    let listed = shell.well(&["get", "checks", "--agent", "web-1", "--status", "critical"]);
    assert!(listed.contains("acknowledged"), "{listed}");
    let described = shell.well(&["describe", "check", "web-1/disk root"]);
    assert!(
        described.contains("cleaning up") && described.contains("web-1 / disk root is CRITICAL"),
        "{described}"
    );
    assert!(shell.well(&["explain", "web-1/disk root"]).contains("CRITICAL"));
    shell.well(&["ack", "web-1/disk root", "--remove"]);

    report(&server.rest(), "OK").await;
    let history = shell.well(&["history", "web-1/disk root", "-o", "csv"]);
    assert_eq!(history.lines().next(), Some("time,status,metrics,output"));
    assert_eq!(history.lines().count(), 4, "{history}");
    assert!(shell.well(&["availability", "web-1/disk root"]).contains("critical"));
    let replayed = shell.well(&["replay", "web-1/disk root", "--since", "1h", "--max-attempts", "5"]);
    assert!(
        replayed.contains("3 results judged again") && replayed.contains("would be sent: 0"),
        "{replayed}"
    );
    assert!(shell.fails(&["replay", "web-1/disk root", "-w", "x=1:2:3"], 1).contains("refused"));
    assert!(shell.fails(&["history", "web-1/disk root", "--plot"], 1).contains("nothing was measured"));
    let measured =
        serde_json::json!({"status": "OK", "metrics": [{"name": "usage", "value": 41.5, "unit": "%"}]});
    let path = "/api/v1/check/web-1%2Fdisk%20root/result/";
    server.rest().bearer(TOKEN).post(path, &measured).await.expect(201);
    assert!(shell.well(&["history", "web-1/disk root", "--plot"]).contains("usage in %"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downtime_lasts_as_long_as_its_command() {
    let (_server, shell) = server().await;
    shell.well(&["apply", "-f", &configuration(&shell)]);
    let ctl = env!("CARGO_BIN_EXE_vilicusctl");
    let seen = format!("{ctl} get downtimes -o json; exit 7");
    let output = shell.run(&["downtime", "run", "-m", "tag=web", "--", "sh", "-c", &seen]);
    assert_eq!(output.status.code(), Some(7), "it exits as the command does: {}", errors(&output));
    let during: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(during[0]["active"], true);
    assert_eq!(shell.well(&["get", "downtimes", "-o", "name"]), "", "it is over");

    let mut command = clean_command(Path::new(ctl), &shell.home);
    command.args(["downtime", "run", "-m", "tag=web", "--", "sh", "-c", "echo begun; exec sleep 600"]);
    command.env("VILICUS_URL", &shell.url).env("VILICUS_TOKEN", TOKEN);
    let mut stopped = Process::start("deployment", command, &shell.home);
    see(&stopped, "begun").await;
    assert_eq!(stopped.terminate().await.code(), Some(128 + 15), "the command was ended, too");
    assert_eq!(shell.well(&["get", "downtimes", "-o", "name"]), "", "it ends with a command that is stopped");

    let said = shell.well(&["downtime", "add", "-m", "agent=web-1", "--for", "2h", "-c", "new disk"]);
    assert!(shell.well(&["downtime", "list"]).contains("new disk"));
    let undo: Vec<&str> = said.trim().rsplit_once("vilicusctl ").unwrap().1.split(' ').collect();
    shell.well(&undo);
    assert_eq!(shell.well(&["get", "downtimes", "-o", "name"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_printed_for_people_and_for_scripts() {
    let (_server, shell) = server().await;
    shell.well(&["apply", "-f", &configuration(&shell)]);
    assert_eq!(shell.well(&["get", "agents", "-o", "name"]), "web-1\n");
    let names = shell.well(&["get", "checks", "-o", "name"]);
    assert!(names.lines().any(|name| name == "web-1/disk root"), "{names}");
    assert!(names.lines().all(|name| !name.starts_with('/')), "each agent has its name: {names}");
    let json: serde_json::Value =
        serde_json::from_str(&shell.well(&["get", "channels", "-o", "json"])).unwrap();
    assert_eq!(json[0]["params"]["secret"], "***");
    assert!(shell.well(&["get", "agent", "web-1", "-o", "yaml"]).contains("name: web-1"));
    for list in ["events", "routes", "notifications", "templates", "tokens"] {
        shell.well(&["get", list]);
    }
    assert!(shell.fails(&["get", "agents", "web-9"], 1).contains("no agent 'web-9'"));
    assert!(shell.fails(&["get", "chekcs"], 2).contains("checks"), "typos are answered");
    assert!(shell.fails(&["test-channel", "hook"], 1).contains("did not deliver"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_kept_for_its_server_alone() {
    let (server, shell) = server().await;
    let url = server.url();
    let login = |token: &str| shell.run_with(&["login", "--url", &url], &[], token);
    let refused = login("mistyped\n");
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors(&refused).contains("does not take the token"), "{}", errors(&refused));
    assert!(login(&format!("{TOKEN}\n")).status.success());
    let kept = std::fs::metadata(shell.home.join(".config/vilicus/ctl.toml")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&kept.permissions()) & 0o777, 0o600);

    assert!(shell.run_with(&["get", "agents"], &[], "").status.success());
    let elsewhere = shell.run_with(&["get", "agents"], &[("VILICUS_URL", "http://127.0.0.1:9")], "");
    assert!(errors(&elsewhere).contains("no token"), "{}", errors(&elsewhere));
    let nowhere = shell.run_with(&["get", "agents", "--url", "web"], &[("VILICUS_TOKEN", TOKEN)], "");
    assert!(errors(&nowhere).contains("no address"), "{}", errors(&nowhere));
    let nobody = shell.run_with(&["status", "--url", "http://127.0.0.1:9"], &[("VILICUS_TOKEN", TOKEN)], "");
    assert_eq!(nobody.status.code(), Some(3), "a plugin that cannot know says UNKNOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_and_taken_back() {
    let (_server, shell) = server().await;
    let token = shell.well(&["token", "create", "screen", "--role", "viewer", "--expires", "30d"]);
    let as_viewer = |arguments: &[&str]| {
        shell.run_with(arguments, &[("VILICUS_URL", &shell.url), ("VILICUS_TOKEN", token.trim())], "")
    };
    assert!(as_viewer(&["status"]).status.success());
    let refused = as_viewer(&["token", "create", "more", "--role", "admin"]);
    assert_eq!(refused.status.code(), Some(1), "a viewer makes no tokens");
    assert!(shell.well(&["get", "tokens"]).contains("screen"));
    shell.well(&["token", "revoke", "screen"]);
    assert_eq!(as_viewer(&["status"]).status.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_over_a_restart() {
    let (mut server, shell) = server().await;
    shell.well(&["apply", "-f", &configuration(&shell)]);
    let events = shell.well(&["events", "-n", "100"]);
    assert!(events.contains("created check 'disk root'"), "{events}");

    let mut command = clean_command(Path::new(env!("CARGO_BIN_EXE_vilicusctl")), &shell.home);
    command.args(["events", "-f", "-n", "0", "--type", "state"]);
    command.env("VILICUS_URL", &shell.url).env("VILICUS_TOKEN", TOKEN);
    let mut follower = Process::start("follower", command, &shell.home);
    report(&server.rest(), "OK").await;
    see(&follower, "disk root is OK").await;
    server.kill();
    server.start_again().await;
    report(&server.rest(), "CRITICAL").await;
    see(&follower, "disk root is CRITICAL").await;
    assert_eq!(follower.output().matches("disk root is OK").count(), 1, "{}", follower.output());
    follower.kill();
}

async fn see(follower: &Process, text: &str) {
    until(text, Duration::from_secs(60), async || follower.output().contains(text).then_some(())).await;
}

/// A small configuration as people have it: templates, groups, macros, NRPE, a passive service, and what needs a shell.
const NAGIOS: &str = r#"
define timeperiod {
    timeperiod_name work
    monday          09:00-17:00
    friday          09:00-15:00
    december 25     00:00-00:00
}
define contactgroup {
    contactgroup_name ops
    members           anna
}
define contact {
    contact_name anna
    email        anna@example.org
}
define command {
    command_name check_web
    command_line $USER1$/check_http -I $HOSTADDRESS$ -p $ARG1$ -u '$_SERVICEURL$'
}
define command {
    command_name check_pipe
    command_line /bin/cat /proc/loadavg | /usr/bin/wc
}
define host {
    name     base
    register 0
    check_interval 5
}
define host {
    use        base
    host_name  web-1
    address    192.0.2.1
    hostgroups web
}
define host {
    use        base
    host_name  web-2
    hostgroups web
}
define service {
    name                  base-service
    register              0
    contact_groups        ops
    notification_period   work
    notification_interval 60
    max_check_attempts    4
    check_interval        5
    retry_interval        1
}
define service {
    use                 base-service
    hostgroup_name      web
    service_description Shop / front
    check_command       check_web!8080
    _url                /a b
}
define service {
    use                 base-service
    host_name           web-1
    service_description load
    check_command       check_nrpe!check_load
}
define service {
    use                 base-service
    host_name           web-1
    service_description pipe
    check_command       check_pipe
}
define service {
    use                    base-service
    host_name              web-1
    service_description    passive
    check_command          check_web!1
    active_checks_enabled  0
}
define hostescalation {
    host_name web-1
}
"#;

#[tokio::test]
async fn a_configuration_of_nagios_is_taken_over_and_what_is_not_is_told() {
    let (_server, shell) = server().await;
    let folder = shell.home.join("nagios/objects");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("all.cfg"), NAGIOS).unwrap();
    let nrpe = "command[check_load]=/usr/lib/nagios/plugins/check_load -w 5 -c 10\n";
    std::fs::write(folder.parent().unwrap().join("nrpe.cfg"), nrpe).unwrap();

    let made = shell.run(&["import", "nagios", folder.parent().unwrap().to_str().unwrap()]);
    assert!(made.status.success(), "{}", errors(&made));
    let report = errors(&made);
    for line in [
        "'pipe' of web-1: it needs a shell for '|'",
        "'passive' of web-1: it is passive",
        "a hostescalation is not taken over",
        "december 25",
        "2 hosts, 3 services, 1 contacts, 1 routes taken over; 4 things were not",
    ] {
        assert!(report.contains(line), "{line} is missing in:\n{report}");
    }
    let file = shell.home.join("nagios.toml");
    std::fs::write(&file, &made.stdout).unwrap();
    shell.well(&["apply", "-f", file.to_str().unwrap()]);

    let checks: serde_json::Value =
        serde_json::from_str(&shell.well(&["get", "checks", "web-1/Shop - front", "-o", "json"])).unwrap();
    let check = &checks[0];
    assert_eq!(check["params"]["command"], "/usr/lib/nagios/plugins/check_http");
    assert_eq!(check["params"]["args"], serde_json::json!(["-I", "192.0.2.1", "-p", "8080", "-u", "/a b"]));
    assert_eq!(check["interval"], "5m");
    assert_eq!((&check["retry_interval"], &check["max_attempts"]), (&"1m".into(), &4.into()));
    let routes: serde_json::Value =
        serde_json::from_str(&shell.well(&["get", "routes", "-o", "json"])).unwrap();
    assert_eq!(routes[0]["schedule"], "Mon 09:00-17:00; Fri 09:00-15:00");
    assert_eq!(routes[0]["repeat_interval"], "1h");
    shell.fails(&["import", "nagios", "/nonexistent"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_waits_until_it_is_let_in() {
    let (server, shell) = server().await;
    let template = serde_json::json!({"name": "of newcomers", "checks": [{"name": "busy", "kind": "cpu"}]});
    server.rest().bearer(TOKEN).post("/api/v1/template/", &template).await.expect(201);
    let make = ["token", "create", "newcomers", "--role", "enroll", "--needs-approval", "--tag", "web"];
    let token = shell.well(&[&make[..], &["--template", "of newcomers"]].concat());
    let admin = server.rest().bearer(TOKEN);
    let mut agent = Agent::enroll_with(&server, &admin, "web-7", token.trim()).await;
    agent.start();
    until("the agent says that it waits", Duration::from_secs(10), async || {
        agent.process().log().contains("does not let this agent in yet").then_some(())
    })
    .await;
    let state = || shell.well(&["get", "agents", "web-7", "-o", "json"]);
    assert!(state().contains("PENDING"), "{}", state());
    assert!(shell.well(&["approve", "web-7"]).contains("is let in"));
    assert!(shell.fails(&["approve", "web-7"], 1).contains("does not wait"));
    until("the agent runs its checks", Duration::from_secs(30), async || {
        state().contains("\"UP\"").then_some(())
    })
    .await;
    let agents: serde_json::Value = serde_json::from_str(&state()).unwrap();
    assert_eq!(
        (&agents[0]["tags"], &agents[0]["templates"]),
        (&serde_json::json!(["web"]), &serde_json::json!(["of newcomers"]))
    );
    assert!(shell.well(&["get", "checks", "-o", "name"]).contains("web-7/busy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_told_to_everybody_when_somebody_says_so() {
    let (server, shell) = server().await;
    let admin = server.rest().bearer(TOKEN);
    admin.create("/api/v1/agent/", serde_json::json!({"name": "secret-host"})).await;
    for (name, tags) in [("Payments", vec!["status=shop"]), ("internal", vec![])] {
        let check = serde_json::json!({"agent": "secret-host", "name": name, "kind": "cpu", "max_attempts": 1, "tags": tags});
        admin.create("/api/v1/check/", check).await;
        let path = format!("/api/v1/check/secret-host%2F{name}/result/");
        let result = |status| serde_json::json!({"status": status, "output": "secret output"});
        admin.post(&path, &result("OK")).await.expect(201);
        admin.post(&path, &result("CRITICAL")).await.expect(201);
    }
    shell.well(&["ack", "secret-host/internal", "-c", "internal words", "--public"]);
    shell.well(&["ack", "secret-host/Payments", "-c", "not for everybody"]);
    let page = async |path: &str| server.rest().get(path).await.text();
    let feed = page("/status/shop/feed.xml").await;
    assert!(feed.contains("Payments: Down") && !feed.contains("not for everybody"), "{feed}");
    shell.well(&["ack", "secret-host/Payments", "-c", "Cards <b>fail</b>; we are on it.", "--public"]);
    let shown = page("/status/shop/").await;
    let said = "Cards &#60;b&#62;fail&#60;/b&#62;; we are on it.";
    assert!(shown.contains(said) && !shown.contains("Lately"), "{shown}");
    assert!(page("/status/shop/feed.xml").await.contains("we are on it"));
    let result = serde_json::json!({"status": "OK", "output": "secret output"});
    admin.post("/api/v1/check/secret-host%2FPayments/result/", &result).await.expect(201);
    let later = until("the page says that it is over", Duration::from_secs(30), async || {
        let shown = page("/status/shop/").await;
        shown.contains("Lately").then_some(shown)
    })
    .await;
    assert!(later.contains(said), "{later}");
    for secret in ["secret", "internal", "not for everybody"] {
        assert!(!later.contains(secret), "{secret} is told to everybody: {later}");
    }
}
