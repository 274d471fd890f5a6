//! The words of a channel's messages: checked when they are saved, and seen before anyone gets them.

use serde_json::{Value, json};

use crate::support::{Api, at};

async fn channel(api: &Api, message: Value) -> crate::support::Reply {
    let channel = json!({"name": "hook", "kind": "webhook", "params": {"url": "https://example.org/"}, "message": message});
    api.post("/api/v1/channel/", channel).await
}

#[tokio::test]
async fn words_are_checked_when_they_are_saved() {
    let api = Api::new().await;
    for (message, pointer, words) in [
        (json!({"title": "{{ agnet }}"}), "/message/title", "did you mean 'agent'?"),
        (json!({"text": "{{ status"}), "/message/text", "line 1"),
        (json!({"titel": "x"}), "/message", "titel"),
        (json!({"title": 7}), "/message/title", "string"),
        (json!("x"), "/message", ""),
    ] {
        let reply = channel(&api, message.clone()).await;
        assert_eq!(reply.status, 422, "{message}: {}", reply.text());
        assert!(reply.pointers()[0].starts_with(pointer), "{message}: {}", reply.text());
        assert!(reply.text().contains(words), "{message}: {}", reply.text());
    }
    let made = channel(&api, json!({"title": "{{ status }}: {{ agent }}"})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let shown = made.json();
    assert_eq!(shown["message"], json!({"title": "{{ status }}: {{ agent }}", "text": null}));
    assert_eq!(api.put(made.header("location"), shown.clone()).await.json(), shown);
    assert_eq!(
        api.patch(made.header("location"), json!({"message": null})).await.json()["message"],
        Value::Null
    );
}

#[tokio::test]
async fn a_preview_is_made_of_a_message_that_was_really_made() {
    let api = Api::new().await;
    let made = channel(&api, json!({"title": "{{ status }} {{ agent }}"})).await;
    let preview = format!("{}preview/", made.header("location"));
    let sample = api.post(&preview, json!({})).await;
    assert_eq!(sample.status, 200, "{}", sample.text());
    assert_eq!(
        (&sample.json()["title"], &sample.json()["notification"]),
        (&json!("CRITICAL web-1"), &Value::Null)
    );
    let (id, token) = api.agent("db-1").await;
    let check = json!({"agent": id, "name": "disk", "kind": "load", "max_attempts": 1});
    assert_eq!(api.post("/api/v1/check/", check).await.status, 201);
    let result = json!({"check": "db-1/disk", "timestamp": at(0), "status": 1, "output": "{{ agent }} full"});
    assert_eq!(
        api.ask("POST", "/api/v1/check_history/").bearer(&token).json(&result).send().await.status,
        201
    );
    let shown = api.post(&preview, json!({})).await.json();
    assert_eq!(shown["title"], "WARNING db-1");
    let message = json!({"title": "{{ check }}", "text": "{{ output }}"});
    let shown =
        api.post(&preview, json!({"message": message, "notification": shown["notification"]})).await.json();
    assert_eq!(
        (&shown["title"], &shown["text"]),
        (&json!("disk"), &json!("{{ agent }} full")),
        "data stays data"
    );
    for body in [
        json!({"message": {"title": "{{ nothing }}"}}),
        json!({"notification": 4711}),
        json!({"notification": "/api/v1/check/1/"}),
        json!({"mesage": {}}),
    ] {
        assert_eq!(api.post(&preview, body.clone()).await.status, 422, "{body}");
    }
    assert_eq!(
        api.get("/api/v1/notification/").await.json()["objects"].as_array().unwrap().len(),
        1,
        "none was sent"
    );
}
