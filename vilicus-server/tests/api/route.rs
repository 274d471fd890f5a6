//! Who is told of what: routes and inhibitions, made, changed, refused, and taken by a real problem.

use serde_json::{Value, json};
use vilicus_store::inventory::Role;

use crate::support::{Api, at};

async fn hook(api: &Api, name: &str) -> u64 {
    let hook = json!({"name": name, "kind": "webhook", "params": {"url": "https://example.org/"}});
    api.post("/api/v1/channel/", hook).await.json()["id"].as_u64().unwrap()
}

#[tokio::test]
async fn a_route_is_made_read_changed_and_removed() {
    let api = Api::new().await;
    let (ops, boss) = (hook(&api, "ops").await, hook(&api, "boss").await);
    let made = api
        .post(
            "/api/v1/route/",
            json!({"name": "night", "match": ["status=~critical|unknown", "team!=\"a b\""], "channels": ["ops"],
                "escalate": [{"after": "30m", "channels": [boss]}], "schedule": "18:00-08:00 Europe/Berlin"}),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    let route = made.json();
    let path = made.header("location").to_owned();
    assert_eq!(route["resource_uri"], path);
    let ops = format!("/api/v1/channel/{ops}/");
    for (name, value) in [
        ("position", json!(1000)),
        ("match", json!(["status=~critical|unknown", "team!=a b"])),
        ("channels", json!([ops])),
        ("continue", json!(false)),
        ("group_by", json!([])),
        ("group_wait", json!("10s")),
        ("group_interval", json!("5m")),
        ("repeat_interval", json!("4h")),
        ("schedule", json!("18:00-08:00 Europe/Berlin")),
        ("only_worse", json!(false)),
        ("send_recovery", json!(true)),
        ("escalate", json!([{"after": "30m", "channels": [format!("/api/v1/channel/{boss}/")]}])),
        ("first_delay", Value::Null),
        ("managed_by", Value::Null),
    ] {
        assert_eq!(route[name], value, "{name}");
    }
    let read = api.get("/api/v1/route/night/").await;
    assert_eq!(read.json(), route);
    let known = api.ask("GET", &path).bearer(&api.admin).header("if-none-match", read.header("etag"));
    assert_eq!(known.send().await.status, 304);
    let put = api.put(&path, route.clone()).await;
    assert_eq!((put.status.as_u16(), put.json()), (200, route), "what was read can be written back");
    let patched = api.patch(&path, json!({"repeat_interval": null, "position": 1, "continue": true})).await;
    assert_eq!(patched.json()["repeat_interval"], Value::Null, "{}", patched.text());
    let stale = api.ask("PATCH", &path).bearer(&api.admin).header("if-match", read.header("etag"));
    assert_eq!(stale.json(&json!({"position": 2})).send().await.status, 412);
    assert_eq!(api.post("/api/v1/route/", json!({"name": "night"})).await.status, 409, "the name is taken");
    assert_eq!(api.delete(&path).await.status, 204);
    assert_eq!(api.get(&path).await.status, 404);
}

#[tokio::test]
async fn what_no_route_can_be_is_refused_with_its_place() {
    let api = Api::new().await;
    hook(&api, "ops").await;
    for (fields, pointer, words) in [
        (json!({}), "/name", "missing"),
        (json!({"name": "r", "chanels": ["ops"]}), "/chanels", "did you mean 'channels'?"),
        (json!({"name": "r", "channels": ["opps"]}), "/channels/0", "there is no channel"),
        (json!({"name": "r", "channels": ["/api/v1/check/1/"]}), "/channels/0", "there is no channel"),
        (json!({"name": "r", "match": ["agent=~(((("]}), "/match/0", "regular expression"),
        (json!({"name": "r", "match": ["agent=~(a{1000}){1000}"]}), "/match/0", "too large"),
        (json!({"name": "r", "match": "agent=a"}), "/match", "sequence"),
        (json!({"name": "r", "match": [7]}), "/match/0", "string"),
        (json!({"name": "r", "group_by": ["a=b"]}), "/group_by/0", "label"),
        (
            json!({"name": "r", "escalate": [{"after": "5m", "channels": []}]}),
            "/escalate/0/channels",
            "empty",
        ),
        (
            json!({"name": "r", "escalate": [{"after": "2h", "channels": ["ops"]}, {"after": "1h", "channels": ["ops"]}]}),
            "/escalate/1/after",
            "not later",
        ),
        (json!({"name": "r", "schedule": "Mon-Fri 08:00-08:00"}), "/schedule", ""),
        (json!({"name": "r", "schedule": "Mon 08:00-09:00 Mars/Olympus"}), "/schedule", "time zone"),
        (json!({"name": "r", "repeat_interval": "-1h"}), "/repeat_interval", "not a duration"),
        (json!({"name": "r", "group_wait": null}), "/group_wait", "null"),
        (json!({"name": "r", "position": -1}), "/position", ""),
        (json!({"name": "r", "position": 4_294_967_296_u64}), "/position", ""),
        (json!({"name": "7"}), "/name", "all digits"),
    ] {
        let reply = api.post("/api/v1/route/", fields.clone()).await;
        assert_eq!(reply.status, 422, "{fields}: {}", reply.text());
        assert_eq!(reply.pointers(), [pointer], "{fields}: {}", reply.text());
        assert!(reply.text().contains(words), "{fields}: {}", reply.text());
    }
    assert_eq!(api.get("/api/v1/route/").await.json()["meta"]["total_count"], 0, "nothing was made");
}

#[tokio::test]
async fn the_routes_that_a_check_takes_are_named_in_their_order() {
    let api = Api::new().await;
    let (id, _) = api.agent("web-1").await;
    api.check(id, "disk").await;
    for route in [
        json!({"name": "all"}),
        json!({"name": "bad", "match": ["status=critical"], "position": 2, "continue": true}),
        json!({"name": "db", "match": ["agent=~db.*"], "position": 1}),
    ] {
        assert_eq!(api.post("/api/v1/route/", route).await.status, 201);
    }
    let names = async |query: &str| {
        let list = api.get(&format!("/api/v1/route/?{query}")).await.json();
        let names = list["objects"].as_array().unwrap().iter().map(|route| route["name"].clone());
        names.map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["db", "bad", "all"]);
    assert_eq!(names("check=web-1/disk").await, ["bad", "all"]);
    assert_eq!(names("check=web-1/disk&status=warning").await, ["all"]);
    assert_eq!(names("check=web-1/none").await, [""; 0]);
    assert_eq!(names("name=db").await, ["db"]);
    for query in ["status=critical", "check=web-1/disk&status=bad", "nmae=x"] {
        assert_eq!(api.get(&format!("/api/v1/route/?{query}")).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn a_problem_goes_where_its_route_leads() {
    let api = Api::new().await;
    let (id, token) = api.agent("web-1").await;
    let (ops, _) = (hook(&api, "ops").await, hook(&api, "others").await);
    let route = json!({"name": "r", "channels": ["ops"], "group_wait": "0s", "group_by": ["agent"]});
    let route = api.post("/api/v1/route/", route).await.json();
    let check = json!({"agent": id, "name": "disk", "kind": "load", "max_attempts": 1});
    let check = api.post("/api/v1/check/", check).await.json();
    let result = json!({"check": check["id"], "timestamp": at(0), "status": 2, "output": "97 % full"});
    assert_eq!(
        api.ask("POST", "/api/v1/check_history/").bearer(&token).json(&result).send().await.status,
        201
    );
    let list = api.get("/api/v1/notification/").await.json();
    let messages = list["objects"].as_array().unwrap();
    assert_eq!(messages.len(), 1, "{list}");
    let message = &messages[0];
    assert_eq!(message["channel"], format!("/api/v1/channel/{ops}/"));
    assert_eq!(
        (&message["route"], &message["checks"]),
        (&route["resource_uri"], &json!([check["resource_uri"]]))
    );
    assert_eq!(message["title"], "[CRITICAL] web-1 / disk: 97 % full");
    assert_eq!(message["items"][0]["title"], message["title"]);
    assert!(message["group"].as_str().unwrap().ends_with("agent=web-1"), "{message}");
    let one = api.get(message["resource_uri"].as_str().unwrap()).await.json();
    assert_eq!(&one, message);
}

#[tokio::test]
async fn an_inhibition_is_made_refused_and_removed() {
    let api = Api::new().await;
    let body = json!({"name": "host first", "source": ["kind=agent"], "target": ["kind!=agent"], "equal": ["agent"]});
    let made = api.post("/api/v1/inhibition/", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let path = made.header("location").to_owned();
    assert_eq!(api.put(&path, made.json()).await.json(), made.json());
    assert_eq!(api.patch(&path, json!({"equal": ["team"]})).await.json()["equal"], json!(["team"]));
    for (fields, pointer) in [
        (json!({"name": "x", "source": [], "target": ["agent=a"]}), "/source"),
        (json!({"name": "x", "source": ["agent=a"], "target": []}), "/target"),
        (json!({"name": "x", "source": ["agent=a"]}), "/target"),
        (json!({"name": "x", "source": ["agent=a"], "target": ["agent~a"]}), "/target/0"),
        (json!({"name": "x", "source": ["agent=a"], "target": ["agent=b"], "equal": [""]}), "/equal/0"),
        (json!({"name": "x", "source": ["agent=a"], "target": ["agent=b"], "equals": []}), "/equals"),
    ] {
        let reply = api.post("/api/v1/inhibition/", fields.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.pointers()), (422, vec![pointer.to_owned()]), "{fields}");
    }
    let viewer = api.token(Role::Viewer).await;
    assert_eq!(api.ask("GET", &path).bearer(&viewer).send().await.status, 200);
    assert_eq!(api.ask("DELETE", &path).bearer(&viewer).send().await.status, 403);
    assert_eq!(api.delete(&path).await.status, 204);
}
