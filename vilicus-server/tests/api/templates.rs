//! Templates: their checks are on every agent that they apply to, now and later, whoever changes what.

use serde_json::{Value, json};
use vilicus_store::inventory::Role;

use crate::apply::lines;
use crate::support::Api;

impl Api {
    async fn template(&self, body: Value) -> u64 {
        let reply = self.post("/api/v1/template/", body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["id"].as_u64().unwrap()
    }

    /// `name by` of the checks of an agent but its own, sorted.
    async fn checks_of(&self, agent: &str) -> Vec<String> {
        let reply = self.get(&format!("/api/v1/check/?agent={agent}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let objects = reply.json()["objects"].as_array().unwrap().clone();
        let others = objects.iter().filter(|check| check["kind"] != "agent");
        let mut names: Vec<String> = others
            .map(|check| {
                let by = check["managed_by"].as_str().unwrap_or(check["origin"].as_str().unwrap());
                format!("{} {by}", check["name"].as_str().unwrap())
            })
            .collect();
        names.sort();
        names
    }
}

fn linux() -> Value {
    json!({"name": "linux", "match": ["tag=linux"], "checks": [
        {"name": "cpu", "kind": "cpu"}, {"name": "load", "kind": "load", "depends_on": ["cpu"]}]})
}

const BOTH: [&str; 2] = ["cpu template:linux", "load template:linux"];

#[tokio::test]
async fn agents_get_the_checks_whenever_they_come_and_whatever_changes() {
    let api = Api::new().await;
    let agent = json!({"name": "early", "tags": ["linux"]});
    assert_eq!(api.post("/api/v1/agent/", agent).await.status, 201);
    let id = api.template(linux()).await;
    assert_eq!(api.checks_of("early").await, BOTH);

    api.agent("late").await;
    assert_eq!(api.checks_of("late").await, Vec::<String>::new());
    assert_eq!(api.patch("/api/v1/agent/late/", json!({"tags": ["linux"]})).await.status, 200);
    assert_eq!(api.checks_of("late").await, BOTH);

    let enroll = api.token_like(Role::Enroll, |token| token.tags = vec!["linux".to_owned()]).await;
    let body = json!({"name": "enrolled", "hostname": "h"});
    let reply = api.ask("POST", "/api/v1/agent/enroll/").bearer(&enroll).json(&body).send().await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(api.checks_of("enrolled").await, BOTH);
    let load = api.get("/api/v1/check/enrolled%2Fload/").await.json();
    let cpu = api.get("/api/v1/check/enrolled%2Fcpu/").await.json();
    assert_eq!(load["depends_on"], json!([cpu["resource_uri"]]));

    let path = format!("/api/v1/template/{id}/");
    let checks = json!([{"name": "cpu", "kind": "cpu", "interval": "5m"}, {"name": "disks", "kind": "disk"}]);
    assert_eq!(api.patch(&path, json!({"checks": checks})).await.status, 200);
    for agent in ["early", "late", "enrolled"] {
        assert_eq!(api.checks_of(agent).await, ["cpu template:linux", "disks template:linux"], "{agent}");
    }
    let after = api.get("/api/v1/check/enrolled%2Fcpu/").await.json();
    assert_eq!(
        (&after["id"], &after["interval"]),
        (&cpu["id"], &json!("5m")),
        "it is the same check, changed"
    );

    assert_eq!(api.patch("/api/v1/agent/late/", json!({"tags": []})).await.status, 200);
    assert_eq!(api.checks_of("late").await, Vec::<String>::new());
    assert_eq!(api.delete(&path).await.status, 204);
    assert_eq!(api.checks_of("early").await, Vec::<String>::new());
}

#[tokio::test]
async fn an_agent_can_name_templates_that_are_there() {
    let api = Api::new().await;
    api.template(json!({"name": "plain", "checks": [{"name": "load", "kind": "load"}]})).await;
    api.agent("web-1").await;
    assert_eq!(
        api.checks_of("web-1").await,
        Vec::<String>::new(),
        "one without conditions is for those who name it"
    );
    let reply = api.patch("/api/v1/agent/web-1/", json!({"templates": ["plian"]})).await;
    assert_eq!((reply.status.as_u16(), reply.pointers()), (422, vec!["/templates/0".to_owned()]));
    assert!(reply.text().contains("did you mean 'plain'"), "{}", reply.text());
    assert_eq!(api.patch("/api/v1/agent/web-1/", json!({"templates": ["plain"]})).await.status, 200);
    assert_eq!(api.checks_of("web-1").await, ["load template:plain"]);
    for reply in [
        api.delete("/api/v1/template/plain/").await,
        api.patch("/api/v1/template/plain/", json!({"name": "other"})).await,
    ] {
        assert_eq!(reply.status, 409, "{}", reply.text());
        assert!(reply.text().contains("web-1"), "{}", reply.text());
    }
}

#[tokio::test]
async fn a_check_made_by_hand_or_brought_by_the_agent_stands_before_a_templates() {
    let api = Api::new().await;
    let (id, token) = api.agent("web-1").await;
    let by_hand = api.check(id, "load").await;
    assert_eq!(api.patch("/api/v1/agent/web-1/", json!({"tags": ["linux"]})).await.status, 200);
    api.template(linux()).await;
    assert_eq!(api.checks_of("web-1").await, ["cpu template:linux", "load server"]);
    let managed = api.patch("/api/v1/check/web-1%2Fcpu/", json!({"max_attempts": 5})).await;
    assert_eq!(managed.status, 409, "{}", managed.text());

    let announce = async |objects: Value| {
        let ask = api.ask("PUT", &format!("/api/v1/agent/{id}/checks/")).bearer(&token);
        let reply = ask.json(&json!({"objects": objects})).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    announce(json!([{"name": "cpu", "kind": "own"}])).await;
    assert_eq!(api.checks_of("web-1").await, ["cpu agent", "load server"]);
    announce(json!([])).await;
    assert_eq!(api.checks_of("web-1").await, ["cpu template:linux", "load server"], "the template's is back");
    assert_eq!(api.delete(&format!("/api/v1/check/{by_hand}/")).await.status, 204);
    assert_eq!(api.checks_of("web-1").await, BOTH);
    let plan = api.applied("dry_run=true", "[[check]]\nagent = 'web-1'\nname = 'cpu'\nkind = 'cpu'\n").await;
    assert_eq!(lines(&plan, "update"), ["check web-1/cpu"], "a file may take one over");
}

#[tokio::test]
async fn what_no_template_can_be_is_refused_at_its_place() {
    let api = Api::new().await;
    let cpu = || json!({"name": "cpu", "kind": "cpu"});
    for (body, pointer) in [
        (json!({"name": "x", "match": ["status=critical"]}), "/match/0"),
        (json!({"name": "x", "checks": [cpu(), cpu()]}), "/checks/1/name"),
        (json!({"name": "x", "checks": [{"name": "a", "kind": "cup"}]}), "/checks/0/kind"),
        (json!({"name": "x", "checks": [{"name": "a", "kind": "agent"}]}), "/checks/0/kind"),
        (json!({"name": "x", "checks": [{"name": "a", "kind": "cpu", "agent": "b"}]}), "/checks/0/agent"),
        (
            json!({"name": "x", "checks": [{"name": "a", "kind": "cpu", "params": {"x": 1}}]}),
            "/checks/0/params/x",
        ),
        (
            json!({"name": "x", "checks": [{"name": "a", "kind": "cpu", "depends_on": ["b/c"]}]}),
            "/checks/0/depends_on/0",
        ),
        (
            json!({"name": "x", "checks": [{"name": "a", "kind": "cpu", "depends_on": ["a"]}]}),
            "/checks/0/depends_on",
        ),
        (json!({"name": "x", "chekcs": []}), "/chekcs"),
        (json!({"name": "x", "checks": [7]}), "/checks/0"),
    ] {
        let reply = api.post("/api/v1/template/", body.clone()).await;
        assert_eq!(
            (reply.status.as_u16(), reply.pointers()),
            (422, vec![pointer.to_owned()]),
            "{body}: {}",
            reply.text()
        );
    }
}

#[tokio::test]
async fn a_template_shows_no_secret_and_keeps_what_is_sent_back_hidden() {
    let api = Api::new().await;
    let check = json!({"name": "site", "kind": "http",
        "params": {"url": "http://127.0.0.1/", "auth": {"user": "u", "password": "canary"}}});
    let id = api.template(json!({"name": "x", "match": ["tag=x"], "checks": [check]})).await;
    let path = format!("/api/v1/template/{id}/");
    let shown = api.get(&path).await;
    assert!(!shown.text().contains("canary"), "{}", shown.text());
    assert_eq!(api.put(&path, shown.json()).await.status, 200);
    let (agent, token) = api.agent("web-1").await;
    assert_eq!(api.patch(&format!("/api/v1/agent/{agent}/"), json!({"tags": ["x"]})).await.status, 200);
    let delivered = api.ask("GET", "/api/v1/check/").bearer(&token).send().await;
    assert!(delivered.text().contains("canary"), "its agent needs it: {}", delivered.text());
}
