//! Policy tests as their writers see them: what passes, what fails and what it says then.
#![expect(clippy::unwrap_used, reason = "a test may")]

use vilicus_server::apply::{Configuration, Format};
use vilicus_server::policy_test::{self, Report, Tests};

const CONFIGURATION: &str = r#"
[[agent]]
name = "web-1"
tags = ["prod"]
[[check]]
agent = "web-1"
name = "disk"
kind = "disk"
params = { path = "/" }
thresholds = { used_percent = { warning = "85", critical = "95" } }
[[check]]
agent = "web-1"
name = "shop"
kind = "load"
max_attempts = 1
depends_on = ["web-1/disk"]
[[check]]
agent = "web-1"
name = "backup"
kind = "heartbeat"
params = { period = "1h", grace = "5m" }
[[channel]]
name = "phone"
kind = "webhook"
params = { url = "https://phone.example.org/" }
[[channel]]
name = "mail"
kind = "webhook"
params = { url = "https://mail.example.org/" }
[[route]]
name = "critical"
match = ["status=critical"]
channels = ["phone"]
group_by = ["agent"]
repeat_interval = "1h"
escalate = [{ after = "30m", channels = ["mail"] }]
[[route]]
name = "rest"
channels = ["mail"]
group_wait = "0s"
schedule = "Mon-Fri 08:00-18:00 UTC"
"#;

async fn run(tests: &str) -> Report {
    let configuration = Configuration::of_text("vilicus.toml", CONFIGURATION, Format::Toml).unwrap();
    let tests = Tests::of_text("a.test.yaml", tests, Format::Yaml).unwrap();
    policy_test::run(&configuration, &tests).await.unwrap()
}

#[tokio::test]
async fn what_the_rules_of_the_server_tell_is_what_is_expected() {
    let report = run(r#"
test:
- name: a full disk wakes the phone after three results and the group's wait; recovery after its interval
  check: web-1/disk
  input:
  - {at: 0m, every: 60s, count: 5, metrics: {used_percent: 97}}
  - {at: 5m, every: 60s, metrics: {used_percent: 40}}
  expect:
  - {at: 2m10s, channel: phone, event: problem, status: CRITICAL, text: used_percent 97}
  - {at: 7m10s, channel: phone, event: recovery, check: web-1/disk}
  lasts: 3h
- name: a problem that stays is told again, and escalates
  check: web-1/disk
  lasts: 1h30m
  input:
  - {at: 0m, every: 60s, metrics: {used_percent: 97}}
  expect:
  - {at: 2m10s, channel: phone}
  - {at: 32m, channel: mail, event: problem}
  - {at: 1h2m, within: 1m, channel: phone, event: problem}
- name: an acknowledgement is told and keeps the problem quiet, and the recovery is told
  check: web-1/disk
  input:
  - {at: 0m, every: 60s, metrics: {used_percent: 97}}
  - {at: 10m, acknowledge: {by: ann, comment: on it}}
  - {at: 2h, metrics: {used_percent: 7}}
  expect:
  - {at: 2m10s, channel: phone, event: problem}
  - {at: 10m, within: 10s, channel: phone, event: acknowledgement, text: ann}
  - {at: 2h, within: 1m, channel: phone, event: recovery}
- name: nothing is told in a downtime, and what is still so is told when it ends
  check: web-1/disk
  input:
  - {at: 0m, downtime: {lasts: 1h}}
  - {at: 1m, every: 60s, metrics: {used_percent: 97}}
  expect:
  - {at: 1h, within: 70s, channel: phone, event: problem}
  - {at: 1h, within: 70s, channel: mail, event: problem}
- name: warnings wait for the office hours
  check: web-1/disk
  start: 2026-01-05T06:00:00Z
  lasts: 3h
  input:
  - {at: 0m, every: 60s, metrics: {used_percent: 90}}
  expect:
  - {at: 2h, channel: mail, status: WARNING}
- name: what depends on a broken disk is not told
  check: web-1/shop
  input:
  - {check: web-1/disk, at: 0m, every: 60s, metrics: {used_percent: 97}}
  - {at: 10m, every: 60s, count: 5, status: CRITICAL}
  expect:
  - {at: 2m10s, channel: phone, check: web-1/disk}
"#)
    .await;
    assert!(report.passed(), "{report}");
}

#[tokio::test]
async fn silence_of_checks_jobs_and_agents_is_simulated() {
    let report = run(r#"
test:
- name: results that stay out are told when the agent is heard of without them
  check: web-1/shop
  input:
  - {at: 0m, every: 60s, count: 3, status: OK}
  - {at: 3m, silence: true}
  - {at: 20m, every: 60s, status: OK}
  expect:
  - {at: 4m40s, within: 1m, channel: mail, event: problem, status: UNKNOWN, text: no result since}
  - {at: 20m, channel: mail, event: recovery}
- name: an agent that is silent is told once, and what it measured meanwhile by its outcome
  check: web-1/shop
  input:
  - {at: 0m, every: 60s, count: 15, status: OK}
  - {at: 5m, agent: down}
  - {at: 15m, every: 60s, status: CRITICAL, output: broken}
  - {at: 20m, agent: up}
  expect:
  - {at: 6m, within: 3m, channel: phone, event: agent_down}
  - {at: 20m, within: 6m, channel: phone, event: agent_up}
  - {at: 20m, within: 6m, channel: phone, event: problem, check: web-1/shop, text: broken}
- name: a job that stays out is missed
  check: web-1/backup
  lasts: 3h
  input:
  - {at: 0m, ping: success}
  - {at: 1h, ping: start}
  - {at: 1h2m, ping: 0, output: done}
  expect:
  - {at: 2h7m10s, channel: phone, event: problem, check: web-1/backup}
  - {at: 2h37m, channel: mail}
- name: a job that fails says why
  check: web-1/backup
  input:
  - {ping: 3, output: no space left}
  expect:
  - {at: 10s, channel: phone, text: no space left}
"#)
    .await;
    assert!(report.passed(), "{report}");
}

#[tokio::test]
async fn a_failure_says_what_was_told_and_which_gate_held_the_rest() {
    let report = run(r#"
test:
- name: too early
  check: web-1/disk
  input: [{every: 60s, count: 2, status: CRITICAL, output: full}]
  expect: [{at: 1m, channel: phone, event: problem}]
- name: not expected
  check: web-1/disk
  input: [{every: 60s, count: 3, status: CRITICAL, output: full}]
  expect_none: true
- name: of no interest
  check: web-1/disk
  input: [{every: 60s, count: 3, status: CRITICAL, output: full}]
  expect: [{within: 1m, channel: mail}]
  exact: false
"#)
    .await;
    assert!(!report.passed());
    let text = report.to_string();
    for words in [
        "FAILED  too early (a.test.yaml:3:3)",
        "expected and not told: 1m phone problem\n      web-1/disk at 1m: attempt 2 of 3",
        "nothing was told",
        "not expected: 2m10s phone problem CRITICAL: [CRITICAL] web-1 / disk: full",
        "0 passed, 3 failed",
    ] {
        assert!(text.contains(words), "{words}\n---\n{text}");
    }
    assert_eq!(report.verdicts[1].failures.len(), 1, "{text}");
    assert_eq!(report.verdicts[2].failures.len(), 1, "{text}");
}

#[tokio::test]
async fn a_file_may_bring_what_its_tests_need() {
    let report = run(r#"
agent:
- {name: db-1}
check:
- {agent: db-1, name: load, kind: load, max_attempts: 1}
test:
- name: the check beside it is told
  check: db-1/load
  input: [{status: CRITICAL}]
  expect: [{at: 10s, channel: phone, check: db-1/load}]
"#)
    .await;
    assert!(report.passed(), "{report}");
}

#[tokio::test]
async fn agents_that_enrol_by_themselves_are_there() {
    let text = CONFIGURATION.replacen("[[agent]]\nname = \"web-1\"\ntags = [\"prod\"]\n", "", 1);
    let configuration = Configuration::of_text("vilicus.toml", &text, Format::Toml).unwrap();
    for beside in ["", "agent:\n- {name: web-1, tags: [test]}\n"] {
        let text = format!(
            "{beside}test:\n- {{name: a, check: web-1/shop, input: [{{status: CRITICAL}}], expect: [{{at: 10s, channel: phone}}]}}"
        );
        let tests = Tests::of_text("a.test.yaml", &text, Format::Yaml).unwrap();
        let report = policy_test::run(&configuration, &tests).await.unwrap();
        assert!(report.passed(), "{report}");
    }
}

#[test]
fn every_mistake_is_named_with_its_place() {
    for (text, words) in [
        ("test: []", "holds no [[test]]"),
        ("test: 7", "a.test.yaml:1:1: test: expected a list"),
        ("test:\n- {name: a}", "a.test.yaml:2:3: check: is missing"),
        ("test:\n- {name: a, check: c, expect_none: true, chek: d}", "did you mean 'check'?"),
        ("test:\n- {name: a, check: c}", "say which messages"),
        ("test:\n- {name: a, check: c, expect_none: true, expect: [{at: 1m}]}", "say which messages"),
        (
            "test:\n- name: a\n  check: c\n  expect_none: true\n  input:\n  - {at: 1m, stauts: OK}",
            "a.test.yaml:6:14: stauts: unknown field",
        ),
        ("test:\n- {name: a, check: c, expect_none: true, input: [{at: 1m}]}", "say one thing"),
        (
            "test:\n- {name: a, check: c, expect_none: true, input: [{status: OK, silence: true}]}",
            "say one thing",
        ),
        (
            "test:\n- {name: a, check: c, expect_none: true, input: [{silence: true, every: 1m}]}",
            "only results",
        ),
        (
            "test:\n- {name: a, check: c, expect_none: true, input: [{status: OK, every: 1ms}]}",
            "shorter than 1 s",
        ),
        ("test:\n- {name: a, check: c, expect_none: true, input: [{ping: maybe}]}", "exit status"),
        ("test:\n- {name: a, check: c, expect_none: true, input: [{at: 9000w, status: OK}]}", "later than"),
        ("test:\n- {name: a, check: c, expect: [{channel: x}]}", "say when"),
        ("test:\n- {name: a, check: c, expect: [{at: 5}]}", "at:"),
    ] {
        let faults = Tests::of_text("a.test.yaml", text, Format::Yaml).unwrap_err().to_string();
        assert!(faults.contains(words), "{text}\n---\n{faults}");
    }
}

#[tokio::test]
async fn what_the_configuration_does_not_have_is_named() {
    let configuration = Configuration::of_text("vilicus.toml", CONFIGURATION, Format::Toml).unwrap();
    for (test, words) in [
        ("{name: a, check: web-2/disk, expect_none: true}", "the check 'web-2/disk'"),
        ("{name: a, check: web-1/disk, expect: [{at: 1m, channel: fax}]}", "the channel 'fax'"),
        ("{name: a, check: web-1/disk, expect_none: true, input: [{acknowledge: {}}]}", "what is refused"),
        (
            "{name: a, check: web-1/disk, expect_none: true, lasts: 350d, input: [{status: OK, every: 1s}]}",
            "200000 results",
        ),
    ] {
        let tests = Tests::of_text("a.test.yaml", &format!("test:\n- {test}"), Format::Yaml).unwrap();
        let error = policy_test::run(&configuration, &tests).await.unwrap_err().to_string();
        assert!(
            error.contains(words) && error.starts_with("a.test.yaml:2:3: the test 'a' "),
            "{test}: {error}"
        );
    }
}
