//! The stock notifiers keep the contract that `vilicus-core` publishes for every notifier.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod support;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use support::chat::{self, ChatService};
use support::http_recorder::{Answer, HttpRecorder};
use support::on_call;
use support::pushover::{PushoverStandIn, TOKEN, USER};
use support::scripted_smtp::{Do, Script, ScriptedSmtp};
use vilicus_core::conformance::notifier::{Breakage, NotifierHarness, check_notifier};
use vilicus_core::{Notifier, NotifierRegistry, Timestamp, async_trait};
use vilicus_server::clock::ManualClock;
use vilicus_server::notifiers::{Exec, stock_notifiers};
use vilicus_server::outbound::OutboundPolicy;

const CANARY: &str = "canary-9d0c";

/// Nobody listens there: the port belongs to a service of the seventies.
const AWAY: &str = "127.0.0.1:1";

fn build(kind: &str, params: &Value) -> Arc<dyn Notifier> {
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    stock_notifiers(OutboundPolicy::default(), clock).build(kind, params).unwrap()
}

/// Remotes end when they are dropped; these live as long as the suite runs.
type Kept<R> = Mutex<Vec<R>>;

#[derive(Default)]
struct Webhook(Kept<HttpRecorder>);

impl Webhook {
    async fn to(&self, answer: Answer) -> Arc<dyn Notifier> {
        let server = HttpRecorder::answering(answer).await;
        let url = server.url();
        self.0.lock().unwrap().push(server);
        Self::at(&url)
    }

    fn at(url: &str) -> Arc<dyn Notifier> {
        build("webhook", &json!({"url": url, "secret": CANARY, "headers": {"Authorization": CANARY}}))
    }
}

#[async_trait]
impl NotifierHarness for Webhook {
    async fn working(&self) -> Arc<dyn Notifier> {
        self.to(Answer::status(200)).await
    }

    async fn broken(&self, breakage: Breakage) -> Option<Arc<dyn Notifier>> {
        let answer = match breakage {
            Breakage::Away => return Some(Self::at(&format!("http://{AWAY}"))),
            Breakage::Cut => Answer::Cut,
            Breakage::Busy => Answer::status(429),
            Breakage::LoginRefused => Answer::status(401),
            Breakage::MessageRefused => Answer::status(422),
            _ => return None,
        };
        Some(self.to(answer).await)
    }

    fn secrets(&self) -> Vec<String> {
        vec![CANARY.to_owned()]
    }
}

#[derive(Default)]
struct Pushover(Kept<PushoverStandIn>);

impl Pushover {
    async fn to(&self, fault: Option<Answer>, token: &str) -> Arc<dyn Notifier> {
        let stand_in = PushoverStandIn::start().await;
        if let Some(fault) = fault {
            stand_in.fail_next(fault);
        }
        let notifier = Self::at(&stand_in.url(), token);
        self.0.lock().unwrap().push(stand_in);
        notifier
    }

    fn at(url: &str, token: &str) -> Arc<dyn Notifier> {
        build("pushover", &json!({"token": token, "user": USER, "api_url": url, "emergency_on": "warning"}))
    }
}

#[async_trait]
impl NotifierHarness for Pushover {
    async fn working(&self) -> Arc<dyn Notifier> {
        self.to(None, TOKEN).await
    }

    async fn broken(&self, breakage: Breakage) -> Option<Arc<dyn Notifier>> {
        let refused =
            json!({"message": "cannot be blank", "errors": ["message cannot be blank"], "status": 0});
        let fault = match breakage {
            Breakage::Away => return Some(Self::at(&format!("http://{AWAY}"), TOKEN)),
            Breakage::Cut => Answer::Cut,
            Breakage::Busy => Answer::status(503),
            Breakage::LoginRefused => return Some(self.to(None, CANARY).await),
            Breakage::MessageRefused => Answer::json(400, &refused),
            _ => return None,
        };
        Some(self.to(Some(fault), TOKEN).await)
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned(), USER.to_owned(), CANARY.to_owned()]
    }
}

#[derive(Default)]
struct Email(Kept<ScriptedSmtp>);

impl Email {
    async fn to(&self, script: Script) -> Arc<dyn Notifier> {
        let peer = ScriptedSmtp::start(script.offering("AUTH PLAIN")).await;
        let address = peer.address().to_string();
        self.0.lock().unwrap().push(peer);
        Self::at(&address)
    }

    fn at(address: &str) -> Arc<dyn Notifier> {
        let smtp = format!("smtp://u@{address}");
        build(
            "email",
            &json!({"smtp": smtp, "password": CANARY, "from": "v@example.com", "to": ["o@example.com"]}),
        )
    }
}

#[async_trait]
impl NotifierHarness for Email {
    async fn working(&self) -> Arc<dyn Notifier> {
        self.to(Script::default()).await
    }

    async fn broken(&self, breakage: Breakage) -> Option<Arc<dyn Notifier>> {
        let (command, act) = match breakage {
            Breakage::Away => return Some(Self::at(AWAY)),
            Breakage::Cut => (".", Do::Close),
            Breakage::Busy => ("MAIL", Do::Say("421 4.3.2 too busy")),
            Breakage::LoginRefused => ("AUTH", Do::Say("535 5.7.8 canary-9d0c is wrong")),
            Breakage::MessageRefused => (".", Do::Say("554 5.7.1 no")),
            _ => return None,
        };
        Some(self.to(Script::default().on(command, act)).await)
    }

    fn secrets(&self) -> Vec<String> {
        vec![CANARY.to_owned()]
    }
}

/// A service of `support::chat` or `support::on_call`, with the servers that stand in its place.
struct Chat<'a>(&'a ChatService, Kept<HttpRecorder>);

impl Chat<'_> {
    async fn to(&self, answer: Answer) -> Arc<dyn Notifier> {
        let server = HttpRecorder::answering(answer).await;
        let url = server.url();
        self.1.lock().unwrap().push(server);
        self.at(&url)
    }

    fn at(&self, url: &str) -> Arc<dyn Notifier> {
        build(self.0.kind, &(self.0.params)(url))
    }
}

#[async_trait]
impl NotifierHarness for Chat<'_> {
    async fn working(&self) -> Arc<dyn Notifier> {
        self.to(self.0.taken()).await
    }

    async fn broken(&self, breakage: Breakage) -> Option<Arc<dyn Notifier>> {
        let answer = match breakage {
            Breakage::Away => return Some(self.at(&format!("http://{AWAY}"))),
            Breakage::Cut => Answer::Cut,
            Breakage::Busy => Answer::status(429),
            Breakage::LoginRefused => Answer::json(401, &json!({"error": chat::CANARY})),
            Breakage::MessageRefused => Answer::json(400, &json!({"description": chat::CANARY})),
            _ => return None,
        };
        Some(self.to(answer).await)
    }

    fn secrets(&self) -> Vec<String> {
        [chat::CANARY, chat::CANARY_LOGIN, on_call::ROUTING_KEY].map(str::to_owned).to_vec()
    }
}

/// A program, as a shell would run it.
struct Program;

impl Program {
    fn script(text: &str) -> Arc<dyn Notifier> {
        let kinds = NotifierRegistry::new().with(Exec::allowing(["/bin/sh".into()]));
        kinds.build("exec", &json!({"program": "/bin/sh", "args": ["-c", text]})).unwrap()
    }
}

#[async_trait]
impl NotifierHarness for Program {
    async fn working(&self) -> Arc<dyn Notifier> {
        Self::script("cat > /dev/null")
    }

    async fn broken(&self, breakage: Breakage) -> Option<Arc<dyn Notifier>> {
        Some(Self::script(match breakage {
            Breakage::Away => "exit 69",
            Breakage::Cut => "kill -9 $$",
            Breakage::Busy => "exit 75",
            Breakage::LoginRefused => "exit 77",
            Breakage::MessageRefused => "exit 65",
            _ => return None,
        }))
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test]
async fn on_call_services_keep_the_contract() {
    for service in &on_call::ALL {
        check_notifier(&Chat(service, Kept::default())).await;
    }
}

#[tokio::test]
async fn programs_keep_the_contract() {
    check_notifier(&Program).await;
}

#[tokio::test]
async fn chat_and_push_services_keep_the_contract() {
    for service in &chat::ALL {
        check_notifier(&Chat(service, Kept::default())).await;
    }
}

#[tokio::test]
async fn the_webhook_keeps_the_contract() {
    check_notifier(&Webhook::default()).await;
}

#[tokio::test]
async fn pushover_keeps_the_contract() {
    check_notifier(&Pushover::default()).await;
}

#[tokio::test]
async fn email_keeps_the_contract() {
    check_notifier(&Email::default()).await;
}
