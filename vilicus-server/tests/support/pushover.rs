//! A stand-in that answers as Pushover's documented API does.
//!
//! *Source:* <https://pushover.net/api>, <https://pushover.net/api/receipts>.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::http_recorder::{Answer, HttpRecorder, Recorded};

/// The token and the user that the stand-in knows.
pub const TOKEN: &str = "azGDORePK8gMaC0QOYAMyEEuzJnyUi";
pub const USER: &str = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG";

/// The receipt of every emergency.
pub const RECEIPT: &str = "rLqVuqTRh62UzxtmqiaLzQmVcPgiCy";

/// The server; give its `url` as `api_url`.
pub struct PushoverStandIn {
    pub http: HttpRecorder,
    faults: Arc<Mutex<VecDeque<Answer>>>,
    emergency: Arc<Mutex<Emergency>>,
}

/// Where the emergency stands.
#[derive(Debug, Clone, Copy, Default)]
enum Emergency {
    #[default]
    Rings,
    AcknowledgedOn(&'static str),
    Expired,
}

impl PushoverStandIn {
    pub async fn start() -> Self {
        let faults = Arc::new(Mutex::new(VecDeque::new()));
        let next = Arc::clone(&faults);
        let emergency = Arc::new(Mutex::new(Emergency::default()));
        let standing = Arc::clone(&emergency);
        let http = HttpRecorder::start(move |request| {
            let fault: Option<Answer> = next.lock().unwrap().pop_front();
            fault.unwrap_or_else(|| answer(request, *standing.lock().unwrap()))
        })
        .await;
        Self { http, faults, emergency }
    }

    /// Someone acknowledges the emergency on the device of this name.
    pub fn acknowledge_on(&self, device: &'static str) {
        *self.emergency.lock().unwrap() = Emergency::AcknowledgedOn(device);
    }

    /// Nobody has acknowledged the emergency in time.
    pub fn expire(&self) {
        *self.emergency.lock().unwrap() = Emergency::Expired;
    }

    /// The next request gets this answer instead of the right one.
    pub fn fail_next(&self, answer: Answer) {
        self.faults.lock().unwrap().push_back(answer);
    }

    pub fn url(&self) -> String {
        self.http.url()
    }

    /// The paths that were asked for so far.
    pub fn paths(&self) -> Vec<String> {
        self.http.requests().into_iter().map(|request| request.path).collect()
    }
}

/// The answer that says so many seconds since 1970 until the monthly limit ends.
pub fn limit_reached(reset: i64) -> Answer {
    let body = json!({"user": "valid", "errors": ["application has exceeded its monthly message limit"], "status": 0, "request": "r"});
    Answer::json(429, &body)
        .header("X-Limit-App-Limit", "10000")
        .header("X-Limit-App-Remaining", "0")
        .header("X-Limit-App-Reset", &reset.to_string())
}

fn answer(request: &Recorded, emergency: Emergency) -> Answer {
    if request.method == http::Method::GET {
        return answer_receipt(&request.path, emergency);
    }
    let form: BTreeMap<String, String> = request.form().into_iter().collect();
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    if field("token") != TOKEN {
        return refused("token", "application token is invalid, see https://pushover.net/api");
    }
    if request.path == format!("/1/receipts/{RECEIPT}/cancel.json") {
        return Answer::json(200, &json!({"status": 1, "request": "c0ffee"}));
    }
    match request.path.as_str() {
        "/1/messages.json" => answer_message(&field),
        _ => refused("receipt", "receipt not found; may be invalid or expired"),
    }
}

fn answer_receipt(path: &str, emergency: Emergency) -> Answer {
    let Some(receipt) = path.strip_suffix(&format!(".json?token={TOKEN}")) else {
        return refused("token", "application token is invalid, see https://pushover.net/api");
    };
    if receipt != format!("/1/receipts/{RECEIPT}") {
        return refused("receipt", "receipt not found; may be invalid or expired");
    }
    let (by, device) = match emergency {
        Emergency::AcknowledgedOn(device) => (USER, device),
        Emergency::Rings | Emergency::Expired => ("", ""),
    };
    let expired = matches!(emergency, Emergency::Expired);
    Answer::json(
        200,
        &json!({
            "status": 1,
            "acknowledged": u8::from(!by.is_empty()),
            "acknowledged_at": if by.is_empty() { 0 } else { 1_360_019_238 },
            "acknowledged_by": by,
            "acknowledged_by_device": device,
            "last_delivered_at": 1_360_001_238,
            "expired": u8::from(expired),
            "expires_at": 1_360_019_290,
            "called_back": 0,
            "called_back_at": 0,
            "request": "c0ffee",
        }),
    )
}

fn answer_message<'a>(field: &dyn Fn(&str) -> &'a str) -> Answer {
    let number = |name: &str| field(name).parse::<u64>().unwrap_or(0);
    if field("user") != USER {
        return refused("user", "user identifier is not a valid user, group, or subscribed user key");
    }
    if field("message").is_empty() {
        return refused("message", "message cannot be blank");
    }
    if field("message").chars().count() > 1024 || field("title").chars().count() > 250 {
        return refused("message", "message or title is too long");
    }
    if field("priority") != "2" {
        return Answer::json(200, &json!({"status": 1, "request": "647d2300-702c-4b38-8b2f-d56326ae460b"}));
    }
    if number("retry") < 30 || !(1..=10_800).contains(&number("expire")) {
        return refused("retry", "retry must be at least 30 and expire at most 10800");
    }
    Answer::json(200, &json!({"status": 1, "request": "e-1", "receipt": RECEIPT}))
}

fn refused(field: &str, error: &str) -> Answer {
    Answer::json(400, &json!({field: "invalid", "errors": [error], "status": 0, "request": "r-400"}))
}
