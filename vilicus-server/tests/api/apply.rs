//! The declarative configuration over the API: planned, carried out whole or not at all, and the same twice.

use serde_json::{Value, json};
use vilicus_server::Clock as _;
use vilicus_store::inventory::Role;

use crate::support::{Api, Reply};

/// The example of the handbook, with its secrets said.
const EXAMPLE: &str = r#"
[[template]]
name = "linux"
match = ["tag=linux"]           # also for agents that enrol later; an agent can name templates too
checks = [
  { name = "cpu",       kind = "cpu",     thresholds = { usage = { warning = "80", critical = "95", for = "5m" } } },
  { name = "disk-root", kind = "disk",    params = { path = "/" }, thresholds = { used_percent = { warning = "85", critical = "95", recover = "80" } } },
  { name = "sshd",      kind = "process", params = { name = "sshd" }, interval = "30s" },
]
[[agent]]
name = "web-1"
tags = ["prod", "web"]
templates = ["linux"]
check_interval = "60s"
[[check]]
agent = "web-1"
name = "shop"
kind = "http"
params = { url = "https://shop.example.org/health", expect_status = "200", expect_body = "ok" }
[[channel]]
name = "ops-mail"
kind = "email"
params = { smtp = "smtps://user@mail.example.org", password = "canary-1", from = "vilicus@example.org", to = ["ops@example.org"] }
[[channel]]
name = "phone"
kind = "pushover"
params = { token = "azGDORePK8gMaC0QOYAMyEEuzJnyUi", user = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG", emergency_on = "critical" }
[[route]]
match = ["tag=prod", "status=~critical|unknown"]
channels = ["phone"]
group_by = ["agent"]
group_wait = "10s"
repeat_interval = "4h"
escalate = [ { after = "30m", channels = ["ops-mail"] } ]
[[downtime]]
match = ["agent=web-1"]
schedule = "Sun 02:00-04:00 Europe/Berlin"
comment = "backups"
"#;

impl Api {
    pub(crate) async fn apply(&self, query: &str, toml: &str) -> Reply {
        let ask = self.ask("POST", &format!("/api/v1/apply/?{query}")).bearer(&self.admin);
        ask.header("content-type", "application/toml").body(toml.to_owned()).send().await
    }

    /// Applies what can't be wrong.
    pub(crate) async fn applied(&self, query: &str, toml: &str) -> Value {
        let reply = self.apply(query, toml).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    pub(crate) async fn objects(&self, resource: &str) -> Vec<Value> {
        let reply = self.get(&format!("/api/v1/{resource}/?limit=0")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["objects"].as_array().unwrap().clone()
    }
}

/// `resource name` of each line of a part of a plan.
pub(crate) fn lines(plan: &Value, part: &str) -> Vec<String> {
    let lines = plan[part].as_array().unwrap_or_else(|| panic!("no {part} in {plan}"));
    let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    lines.iter().map(|line| format!("{} {}", text(line, "resource"), text(line, "name"))).collect()
}

/// The names of the fields that change, of all updates.
fn changed(plan: &Value) -> Vec<String> {
    let updates = plan["update"].as_array().unwrap().iter();
    let changes = updates.flat_map(|line| line["changes"].as_array().cloned().unwrap_or_default());
    changes.map(|change| change["field"].as_str().unwrap().to_owned()).collect()
}

fn nothing_to_do(plan: &Value) {
    for part in ["create", "update", "delete"] {
        assert_eq!(lines(plan, part), Vec::<String>::new(), "{part}: {plan:#}");
    }
}

#[tokio::test]
async fn the_example_of_the_handbook_works_and_works_twice() {
    let api = Api::new().await;
    let planned = api.applied("dry_run=true", EXAMPLE).await;
    assert_eq!(planned["dry_run"], true);
    assert_eq!(api.objects("agent").await, Vec::<Value>::new(), "a dry run touches nothing");
    let done = api.applied("", EXAMPLE).await;
    assert_eq!(lines(&planned, "create"), lines(&done, "create"));
    assert_eq!(
        lines(&done, "create"),
        [
            "template linux",
            "agent web-1",
            "channel ops-mail",
            "channel phone",
            "route tag=prod, status=~critical|unknown",
            "downtime agent=web-1: Sun 02:00-04:00 Europe/Berlin",
            "check web-1/shop",
            "check web-1/cpu",
            "check web-1/disk-root",
            "check web-1/sshd",
        ]
    );
    let again = api.applied("", EXAMPLE).await;
    nothing_to_do(&again);
    assert_eq!(again["unchanged"].as_array().unwrap().len(), 10, "{again:#}");

    let agent = api.get("/api/v1/agent/web-1/").await.json();
    assert_eq!((&agent["state"], &agent["check_interval_ms"]), (&json!("PENDING"), &json!(60_000)));
    assert_eq!((&agent["templates"], &agent["managed_by"]), (&json!(["linux"]), &json!("apply")));
    let check = api.get("/api/v1/check/web-1%2Fsshd/").await.json();
    assert_eq!((&check["managed_by"], &check["interval"]), (&json!("template:linux"), &json!("30s")));
    let route = &api.objects("route").await[0];
    assert_eq!(route["escalate"][0]["after"], "30m");
    assert_eq!(route["repeat_interval"], "4h");
    assert!(!again.to_string().contains("canary-1"), "secrets are not shown");
}

#[tokio::test]
async fn all_three_forms_say_the_same() {
    let api = Api::new().await;
    let toml = "[[agent]]\nname = 'web-1'\n[[check]]\nagent = 'web-1'\nname = 'load'\nkind = 'load'\ninterval = '30s'\n";
    let yaml =
        "agent:\n- name: web-1\n---\ncheck:\n- {agent: web-1, name: load, kind: load, interval: 30s}\n";
    let json = json!({"agent": [{"name": "web-1"}],
        "check": [{"agent": "web-1", "name": "load", "kind": "load", "interval": "30s"}]});
    assert_eq!(api.applied("", toml).await["create"].as_array().unwrap().len(), 2);
    for (form, body) in
        [("text/x-yaml", yaml.to_owned()), ("application/json; charset=utf-8", json.to_string())]
    {
        let ask = api.ask("POST", "/api/v1/apply").bearer(&api.admin).header("content-type", form);
        let reply = ask.body(body).send().await;
        assert_eq!(reply.status, 200, "{form}: {}", reply.text());
        nothing_to_do(&reply.json());
    }
}

#[tokio::test]
async fn changes_are_named_field_by_field_without_secrets() {
    let api = Api::new().await;
    api.applied("", EXAMPLE).await;
    let edited = EXAMPLE
        .replace("canary-1", "canary-2")
        .replace("interval = \"30s\"", "interval = \"15s\"")
        .replace("group_wait = \"10s\"", "group_wait = \"20s\"")
        .replace("expect_body = \"ok\"", "expect_body = \"fine\"");
    let plan = api.applied("", &edited).await;
    assert_eq!(
        lines(&plan, "update"),
        [
            "template linux",
            "channel ops-mail",
            "route tag=prod, status=~critical|unknown",
            "check web-1/shop",
            "check web-1/sshd"
        ]
    );
    assert_eq!(changed(&plan), ["checks", "params.password", "group_wait", "params.expect_body", "interval"]);
    let password = &plan["update"][1]["changes"][0];
    assert_eq!((&password["from"], &password["to"]), (&json!("***"), &json!("***")));
    let interval = &plan["update"][4]["changes"][0];
    assert_eq!((&interval["from"], &interval["to"]), (&json!("30s"), &json!("15s")));
    assert!(!plan.to_string().contains("canary"), "{plan}");
    nothing_to_do(&api.applied("", &edited).await);
}

#[tokio::test]
async fn one_mistake_keeps_everything_from_being_carried_out() {
    let api = Api::new().await;
    let bad = format!("{EXAMPLE}\n[[check]]\nagent = \"web-1\"\nname = \"x\"\nkind = \"dsik\"\n");
    let reply = api.apply("", &bad).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert_eq!(reply.pointers(), ["/check/1/kind"]);
    let detail = reply.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("line 43, column 8") && detail.contains("did you mean 'disk'"), "{detail}");
    for resource in ["agent", "check", "channel", "route", "downtime", "template"] {
        assert_eq!(api.objects(resource).await, Vec::<Value>::new(), "{resource}");
    }
}

#[tokio::test]
async fn every_mistake_is_named_at_once_with_its_place_and_mend() {
    let api = Api::new().await;
    let toml = r#"
chekc = []
[agent]
name = "not a list"
[[check]]
agnet = "web-1"
agent = "web-9"
name = "7"
kind = "disk"
params = { pth = "/" }
interval = "5 parsecs"
max_attempts = 0
tags = [1]
[[check]]
agent = "web-9"
[[channel]]
name = "hook"
kind = "webhook"
params = { url = "nonsense" }
fallback = "nobody"
[[channel]]
name = "hook"
kind = "webhook"
params = { url = "http://127.0.0.1:9/" }
[[route]]
match = ["tag=~(", "agent"]
channels = ["hook"]
[[route]]
channels = ["pager"]
[[downtime]]
match = ["agent=a"]
end = "2027-01-01T00:00:00Z"
[[inhibition]]
source = ["status=critical"]
"#;
    let reply = api.apply("", toml).await;
    assert_eq!(reply.status, 422);
    let errors: Vec<String> = reply.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| format!("{} {}", error["pointer"].as_str().unwrap(), error["detail"].as_str().unwrap()))
        .collect();
    for (pointer, words) in [
        ("/chekc ", "line 2, column 1: unknown key 'chekc'; did you mean 'check'?"),
        ("/agent ", "line 3, column 2: 'agent' is a list: write [[agent]]"),
        ("/check/0/agnet ", "line 6, column 1: unknown key 'agnet'; did you mean 'agent'?"),
        ("/check/0/agent ", "there is no agent \"web-9\""),
        ("/check/0/name ", "all digits"),
        ("/check/0/params/pth ", "did you mean 'path'?"),
        ("/check/0/interval ", "line 11, column 12"),
        ("/check/0/max_attempts ", "0 is not from 1 to 64"),
        ("/check/0/tags/0 ", "line 13, column 9"),
        ("/check/1/name ", "is missing"),
        ("/check/1/kind ", "is missing"),
        ("/channel/0/params/url ", ""),
        ("/channel/0/fallback ", "there is no channel \"nobody\""),
        ("/channel/1/name ", "the channel 'hook' stands at line 16 already"),
        ("/route/0/match/0 ", "regular expression"),
        ("/route/1/channels/0 ", "there is no channel \"pager\""),
        ("/downtime/0/start ", "is missing"),
        ("/inhibition/0/name ", "is missing"),
        ("/inhibition/0/target ", "is missing"),
    ] {
        let found = errors.iter().any(|error| error.starts_with(pointer) && error.contains(words));
        assert!(found, "{pointer}{words} is not among\n{}", errors.join("\n"));
    }
}

#[tokio::test]
async fn what_is_left_out_stays_until_it_is_pruned() {
    let api = Api::new().await;
    api.applied("", EXAMPLE).await;
    let (other, _) = api.agent("by-hand").await;
    api.check(other, "load").await;
    let less = "[[agent]]\nname = 'web-1'\ntags = ['prod']\n";
    let kept = api.applied("", less).await;
    assert_eq!(
        lines(&kept, "delete"),
        ["check web-1/cpu", "check web-1/disk-root", "check web-1/sshd"],
        "the template is not named any longer"
    );
    assert!(kept["notes"].to_string().contains("the channel 'phone' is no longer said and stays"), "{kept}");
    let planned = api.applied("prune=true&dry_run=true", less).await;
    assert_eq!(
        lines(&planned, "delete"),
        [
            "check web-1/shop",
            "downtime agent=web-1: Sun 02:00-04:00 Europe/Berlin",
            "route tag=prod, status=~critical|unknown",
            "channel ops-mail",
            "channel phone",
            "template linux",
        ]
        .map(str::to_owned)
        .into_iter()
        .collect::<Vec<_>>()
    );
    nothing_to_do(&api.applied("prune=true&name=another", "").await);
    let pruned = api.applied("prune=true", less).await;
    assert_eq!(lines(&pruned, "delete"), lines(&planned, "delete"));
    let names: Vec<Value> = api.objects("agent").await.iter().map(|agent| agent["name"].clone()).collect();
    assert_eq!(names, ["web-1", "by-hand"], "what others made stays");
    assert_eq!(api.objects("check").await.len(), 3, "the agents' own, and the one made by hand");
    for resource in ["channel", "route", "downtime", "template"] {
        assert_eq!(api.objects(resource).await, Vec::<Value>::new(), "{resource}");
    }
}

#[tokio::test]
async fn what_was_made_by_hand_is_adopted_and_keeps_what_is_its_own() {
    let api = Api::new().await;
    let agent = json!({"name": "web-1", "tags": ["linux"], "hostname": "web-1.example.org"});
    let id = api.post("/api/v1/agent/", agent).await.json()["id"].as_u64().unwrap();
    let check = api.check(id, "load").await;
    let toml = "[[agent]]\nname = 'web-1'\n[[check]]\nagent = 'web-1'\nname = 'load'\nkind = 'load'\ninterval = '30s'\n";
    let plan = api.applied("name=site", toml).await;
    assert_eq!(lines(&plan, "update"), ["agent web-1", "check web-1/load"]);
    assert!(plan["update"].as_array().unwrap().iter().all(|line| line["adopted"] == true), "{plan}");
    let after = api.get(&format!("/api/v1/check/{check}/")).await.json();
    assert_eq!((&after["managed_by"], &after["interval"]), (&json!("site"), &json!("30s")));
    let agent = api.get("/api/v1/agent/web-1/").await.json();
    assert_eq!((&agent["tags"], &agent["hostname"]), (&json!(["linux"]), &json!("web-1.example.org")));
    let refused = api.patch(&format!("/api/v1/check/{check}/"), json!({"max_attempts": 5})).await;
    assert_eq!(refused.status, 409, "what a configuration manages is read-only elsewhere");
    assert!(refused.text().contains("site"), "{}", refused.text());
}

#[tokio::test]
async fn routes_without_names_are_known_by_what_they_say() {
    let api = Api::new().await;
    let head = "[[channel]]\nname = 'a'\nkind = 'webhook'\nparams = {url = 'http://127.0.0.1:9/'}\n\
        [[channel]]\nname = 'b'\nkind = 'webhook'\nparams = {url = 'http://127.0.0.1:9/'}\n";
    let prod = "[[route]]\nmatch = ['tag=prod']\nchannels = ['a']\n";
    let rest = "[[route]]\nchannels = ['b']\n";
    api.applied("", &format!("{head}{prod}{rest}")).await;
    let ids = |routes: &[Value]| routes.iter().map(|route| route["id"].as_u64().unwrap()).collect::<Vec<_>>();
    let before = ids(&api.objects("route").await);
    nothing_to_do(&api.applied("", &format!("{head}{prod}{rest}")).await);
    let turned = api.applied("", &format!("{head}{rest}{prod}")).await;
    assert_eq!(changed(&turned), ["position", "position"], "{turned:#}");
    assert_eq!(ids(&api.objects("route").await), [before[1], before[0]]);
    let edited = prod.replace("tag=prod", "tag=test");
    let plan = api.applied("", &format!("{head}{rest}{edited}")).await;
    assert_eq!(
        (lines(&plan, "create").len(), changed(&plan)),
        (0, vec!["match".to_owned(), "name".to_owned()])
    );
    assert_eq!(ids(&api.objects("route").await), [before[1], before[0]], "an edited one is the same");
}

#[tokio::test]
async fn forward_references_and_circles_are_sorted_out() {
    let api = Api::new().await;
    let hook = |name: &str, fallback: &str| {
        format!(
            "[[channel]]\nname = '{name}'\nkind = 'webhook'\nparams = {{url = 'http://127.0.0.1:9/'}}\nfallback = '{fallback}'\n"
        )
    };
    let check = |name: &str, on: &str| {
        format!("[[check]]\nagent = 'web-1'\nname = '{name}'\nkind = 'load'\ndepends_on = ['{on}']\n")
    };
    let agent = "[[agent]]\nname = 'web-1'\n[[check]]\nagent = 'web-1'\nname = 'c'\nkind = 'load'\n";
    let good =
        format!("{}{}{}{}{agent}", hook("x", "y"), hook("y", "x"), check("a", "web-1/b"), check("b", "c"));
    api.applied("", &good).await;
    let checks = api.objects("check").await;
    let of = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    assert_eq!(of("a")["depends_on"], json!([of("b")["resource_uri"]]));
    assert_eq!(of("b")["depends_on"], json!([of("c")["resource_uri"]]));
    let channels = api.objects("channel").await;
    assert_eq!(
        (&channels[0]["fallback"], &channels[1]["fallback"]),
        (&channels[1]["resource_uri"], &channels[0]["resource_uri"])
    );
    nothing_to_do(&api.applied("", &good).await);
    let circle = good.replace("'c'\nkind = 'load'", "'c'\nkind = 'load'\ndepends_on = ['a']");
    let reply = api.apply("", &circle).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert!(reply.text().contains("a circle"), "{}", reply.text());
}

#[tokio::test]
async fn a_downtime_that_is_over_does_no_harm() {
    let api = Api::new().await;
    let toml = "[[downtime]]\nmatch = ['agent=a']\nstart = 2026-11-22T12:10:00Z\nend = 2026-11-22T13:00:00Z\n\
        [[downtime]]\nmatch = ['agent=b']\nstart = 2020-01-01T00:00:00Z\nend = 2020-01-02T00:00:00Z\n";
    let plan = api.applied("", toml).await;
    assert_eq!(lines(&plan, "create").len(), 1);
    assert!(plan["notes"][0].as_str().unwrap().contains("is over"), "{plan}");
    api.clock.set(api.clock.now().after(vilicus_core::Millis::from_hours(3)));
    nothing_to_do(&api.applied("", toml).await);
}

#[tokio::test]
async fn a_declared_agent_enrols_when_its_program_is_there_and_only_once() {
    let api = Api::new().await;
    api.applied("", EXAMPLE).await;
    let enroll = api.token(Role::Enroll).await;
    let body = json!({"name": "web-1", "hostname": "web-1.example.org", "guid": "g-1"});
    let enrol = async || api.ask("POST", "/api/v1/agent/enroll/").bearer(&enroll).json(&body).send().await;
    let reply = enrol().await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let agent = &reply.json()["agent"];
    assert_eq!((&agent["tags"], &agent["guid"]), (&json!(["prod", "web"]), &json!("g-1")));
    assert_eq!(enrol().await.status, 409, "nobody takes over a living agent");
    nothing_to_do(&api.applied("", EXAMPLE).await);
}

#[tokio::test]
async fn a_body_names_no_files_and_no_variables_of_the_server() {
    let api = Api::new().await;
    for source in ["env = 'PATH'", "file = '/etc/passwd'"] {
        let toml = format!(
            "[[channel]]\nname = 'x'\nkind = 'webhook'\nparams = {{url = 'http://127.0.0.1:9/', secret = {{{source}}}}}\n"
        );
        let reply = api.apply("dry_run=true", &toml).await;
        assert_eq!(
            (reply.status.as_u16(), reply.pointers()),
            (422, vec!["/channel/0/params/secret".to_owned()])
        );
        assert!(reply.text().contains("is not read for a request"), "{}", reply.text());
    }
}

#[tokio::test]
async fn hostile_bodies_are_refused_and_do_no_harm() {
    let api = Api::new().await;
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", "));
    }
    let table: [(&str, Vec<u8>, u16); 14] = [
        ("application/toml", "[".repeat(1_000_000).into(), 400),
        ("application/toml", b"a = \"\xff\"".to_vec(), 400),
        ("application/toml", b"a = \"\0\"".to_vec(), 400),
        ("application/toml", b"name = ".to_vec(), 400),
        ("application/yaml", bomb.into(), 400),
        ("application/yaml", "[".repeat(1_000_000).into(), 400),
        ("application/yaml", "- ".repeat(100_000).into(), 400),
        ("application/yaml", b"check: [a, b".to_vec(), 400),
        ("application/yaml", b"check: 1\ncheck: 2".to_vec(), 422),
        ("application/json", b"[]".to_vec(), 422),
        ("application/json", b"{\"check\": [null]}".to_vec(), 422),
        ("application/json", b"{".to_vec(), 400),
        ("application/xml", b"<a/>".to_vec(), 415),
        ("application/toml", vec![b'#'; 5 * 1024 * 1024], 413),
    ];
    for (form, body, status) in table {
        let shown = String::from_utf8_lossy(&body[..body.len().min(30)]).into_owned();
        let ask = api.ask("POST", "/api/v1/apply/").bearer(&api.admin).header("content-type", form);
        let reply = ask.body(body).send().await;
        assert_eq!(reply.status, status, "{form} {shown}: {}", reply.text());
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
    let reply = api.ask("POST", "/api/v1/apply/?prun=true").bearer(&api.admin).send().await;
    assert_eq!(reply.status, 400, "an unknown option is not ignored");
    let viewer = api.token(Role::Operator).await;
    let reply = api.ask("POST", "/api/v1/apply/").bearer(&viewer).body("").send().await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn what_there_is_can_be_exported_and_applied_again() {
    let api = Api::new().await;
    let more = "[[check]]\nagent = 'web-1'\nname = 'auth'\nkind = 'http'\ndepends_on = ['web-1/shop']\n\
        params = {url = 'http://127.0.0.1/', auth = {user = 'u', password = 'canary-3'}}\n\
        [[route]]\nname = 'all'\nchannels = ['ops-mail']\nrepeat_interval = 'never'\n";
    api.applied("", &format!("{EXAMPLE}{more}")).await;
    for form in ["application/json", "application/toml", "application/yaml"] {
        let exported =
            api.ask("GET", "/api/v1/apply/").bearer(&api.admin).header("accept", form).send().await;
        assert_eq!((exported.status.as_u16(), exported.header("content-type")), (200, form));
        assert!(!exported.text().contains("canary"), "{}", exported.text());
        let ask =
            api.ask("POST", "/api/v1/apply/?prune=true").bearer(&api.admin).header("content-type", form);
        let plan = ask.body(exported.text()).send().await;
        assert_eq!(plan.status, 200, "{}\n{}", plan.text(), exported.text());
        nothing_to_do(&plan.json());
        assert_eq!(plan.json()["unchanged"].as_array().unwrap().len(), 12, "{}", plan.text());
    }
}
