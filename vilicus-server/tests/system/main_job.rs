//! The main job: a process dies on a host, and the admins know; it comes back, and they know that too.

use std::time::Duration;

use serde_json::json;

use crate::harness::agent::state_of;
use crate::harness::watched::Watched;
use crate::harness::{Agent, Rest, Server, until};
use crate::support::postfix::Postfix;
use crate::support::pushover::{PushoverStandIn, RECEIPT, TOKEN, USER};

/// Interval × attempts + 2 s is the promise; the rest is for a machine that runs other tests at the same time.
const TOLD_WITHIN: Duration = Duration::from_secs(3 + 2 + 3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_dies_and_the_admins_know() {
    let (postfix, pushover) = (Postfix::start().await, PushoverStandIn::start().await);
    let server = Server::new().start().await;
    let admin = server.admin();
    channels(&admin, &postfix, &pushover).await;
    let mut watched = Watched::start(server.folder());
    let mut agent = Agent::enroll(&server, "web-1").await;
    let params = json!({"params": {"name": watched.name}, "interval": "1s", "max_attempts": 3});
    let check = agent.check(&admin, "shop", "process", params).await;
    agent.start();
    state_of(&admin, check, "OK", "hard", Duration::from_secs(20)).await;

    watched.kill();
    until("the problem is told by mail and by Pushover", TOLD_WITHIN, async || {
        (postfix.mails("ops").len() == 1 && pushover.paths().len() == 1).then_some(())
    })
    .await;
    let problem = postfix.mails("ops").remove(0);
    assert!(header(&problem, "Subject").starts_with("[CRITICAL] web-1 / shop: "), "{problem}");
    let push = pushover.http.requests().remove(0).form();
    let field = |name: &str| push.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value);
    assert_eq!(field("priority"), "2", "critical is an emergency: {push:?}");
    assert!(field("title").starts_with("[CRITICAL] web-1 / shop"), "{push:?}");

    watched.start_again();
    let cancel = format!("/1/receipts/{RECEIPT}/cancel.json");
    until("the recovery is told, and the emergency cancelled", TOLD_WITHIN, async || {
        let paths = pushover.paths();
        (postfix.mails("ops").len() == 2 && paths.len() >= 3 && paths.contains(&cancel)).then_some(())
    })
    .await;
    let recovery = postfix.mails("ops").into_iter().find(|mail| *mail != problem).unwrap();
    assert!(header(&recovery, "Subject").starts_with("[OK] web-1 / shop: "), "{recovery}");
    for name in ["In-Reply-To", "References"] {
        assert!(header(&recovery, name).contains(header(&problem, "Message-ID")), "{name}: {recovery}");
    }
    nothing_more_comes(&admin, &postfix, &pushover).await;
}

async fn channels(admin: &Rest, postfix: &Postfix, pushover: &PushoverStandIn) {
    let smtp = format!("smtp://127.0.0.1:{}", postfix.plain_port);
    let params = json!({"smtp": smtp, "from": "vilicus@example.com", "to": ["ops@example.com"]});
    admin.create("/api/v1/channel/", json!({"name": "mail", "kind": "email", "params": params})).await;
    let params = json!({"token": TOKEN, "user": USER, "emergency_on": "critical", "api_url": pushover.url()});
    admin.create("/api/v1/channel/", json!({"name": "phone", "kind": "pushover", "params": params})).await;
}

/// The outbox is empty and has sent four messages; what came is what was sent: two mails, two messages, one cancel.
async fn nothing_more_comes(admin: &Rest, postfix: &Postfix, pushover: &PushoverStandIn) {
    let rows = until("the outbox has come to rest", Duration::from_secs(10), async || {
        let rows = admin.list("/api/v1/notification/").await;
        rows.iter().all(|row| row["state"] == "sent").then_some(rows)
    })
    .await;
    assert_eq!(rows.len(), 4, "two messages by two channels: {rows:?}");
    assert_eq!(postfix.mails("ops").len(), 2);
    let paths = pushover.paths();
    let messages = paths.iter().filter(|path| *path == "/1/messages.json").count();
    let cancels = paths.iter().filter(|path| path.ends_with("/cancel.json")).count();
    assert_eq!((messages, cancels), (2, 1), "{paths:?}");
}

/// The value of a header of a mail, empty when it has none.
fn header<'a>(mail: &'a str, name: &str) -> &'a str {
    let (head, _) = mail.split_once("\n\n").unwrap_or((mail, ""));
    head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or_default()
}
