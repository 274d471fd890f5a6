//! Posts a message to a Discord channel through a webhook, as one embed.
//!
//! *Sources:* <https://discord.com/developers/docs/resources/webhook#execute-webhook> for the request;
//! <https://discord.com/developers/docs/topics/rate-limits> for 429;
//! <https://discord.com/developers/docs/topics/opcodes-and-status-codes#json> for the codes of errors.
//!
//! Deliberately absent: replies, which webhooks can't make, and mentions, which are all switched off.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use vilicus_core::{Notification, Notifier, NotifierKind, NotifyError, ParamsError, Receipt, async_trait};

use super::Secret;
use super::answer::Answer;
use super::endpoint::Endpoint;
use super::links::links;
use super::redaction::Redaction;
use super::retry_after::in_seconds;
use super::service::{Caller, Service};
use super::tone::Tone;
use super::wording::{Shown, cut_to};
use crate::clock::Clock;
use crate::outbound::OutboundPolicy;

/// Characters of an embed's title and description. With two links they stay below the 6,000 of all together.
///
/// *Source:* <https://discord.com/developers/docs/resources/message#embed-object-embed-limits>
const MAX_TITLE: usize = 256;
const MAX_DESCRIPTION: usize = 4096;

/// The refusals with 400 that every other message would get, too: the thread is archived; the channel is a forum,
/// in which a thread has to be named.
const CHANNEL_ERRORS: [u64; 2] = [50_083, 220_001];

const SERVICE: Service = Service { name: "Discord", mend: "check the webhook's URL" };

/// Parameters of Discord.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct DiscordParams {
    /// The URL of a webhook, `https://discord.com/api/webhooks/…`; with `?thread_id=…` it posts to a thread.
    pub url: Secret,
}

/// The kind of notifier that posts to Discord.
#[derive(Debug, Clone)]
pub struct Discord {
    outbound: OutboundPolicy,
    clock: Arc<dyn Clock>,
}

impl Discord {
    /// Discord under this policy; the clock measures how long it asks to be left alone.
    #[must_use]
    pub fn new(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, clock }
    }
}

impl NotifierKind for Discord {
    type Params = DiscordParams;

    fn name(&self) -> &'static str {
        "discord"
    }

    fn description(&self) -> &'static str {
        "Posts to a Discord channel through a webhook."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["url"]
    }

    fn build(&self, params: DiscordParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        let webhook = Endpoint::parse("url", params.url.expose())?;
        let redaction = Redaction::default().with_url(webhook.url());
        let discord = Caller::new(SERVICE, &self.outbound, &self.clock, redaction)?;
        Ok(Arc::new(DiscordNotifier { discord, webhook }))
    }
}

/// A channel of this kind.
#[derive(Debug)]
struct DiscordNotifier {
    discord: Caller,
    webhook: Endpoint,
}

#[async_trait]
impl Notifier for DiscordNotifier {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        judge(self.discord.post(waiting(self.webhook.url()), &payload(notification)).await?)
    }
}

/// Without `wait` Discord answers before it has looked at the message, and loses it without a word.
fn waiting(webhook: &Url) -> Url {
    let mut url = webhook.clone();
    let others: Vec<(String, String)> =
        webhook.query_pairs().into_owned().filter(|(name, _)| name != "wait").collect();
    url.query_pairs_mut().clear().extend_pairs(others).append_pair("wait", "true");
    url
}

fn judge(answer: Answer) -> Result<Receipt, NotifyError> {
    let wait = in_seconds(answer.at("/retry_after").and_then(Value::as_f64));
    let answer = answer.waiting(wait);
    let words = answer.text_at("/message");
    match answer.at("/code").and_then(Value::as_u64) {
        Some(code) if CHANNEL_ERRORS.contains(&code) => Err(answer.channel(words)),
        _ => answer.judge(words),
    }
}

fn payload(notification: &Notification) -> Value {
    let shown = Shown::of(notification);
    let mut embed = json!({
        "title": fit(&shown.title, MAX_TITLE),
        "description": fit(&shown.text, MAX_DESCRIPTION),
        "color": Tone::of(notification).colour(),
    });
    if let Some(item) = notification.items.first() {
        embed["timestamp"] = json!(item.at);
    }
    for link in links(notification) {
        match link.label {
            "Open" => embed["url"] = json!(link.url),
            label => embed["fields"] = json!([{"name": label, "value": link.url}]),
        }
    }
    json!({"embeds": [embed], "allowed_mentions": {"parse": []}})
}

/// The text escaped, in at most so many characters after that.
fn fit(text: &str, limit: usize) -> String {
    let cut = cut_to(text, limit, |c| c.len_utf16() + usize::from(is_markup(c)));
    let mut escaped = String::with_capacity(cut.len());
    for c in cut.chars() {
        if is_markup(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Whether a backslash before it keeps it from being markup: emphasis, code, spoilers, quotes, lists, headings,
/// links, mentions, emoji.
const fn is_markup(c: char) -> bool {
    matches!(
        c,
        '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '#' | '-' | '+' | '[' | ']' | '(' | ')' | '@' | ':'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifiers::answer::answer;
    use crate::notifiers::samples;
    use vilicus_core::Millis;
    use vilicus_core::notifier::NotifyFault::{Channel, Message, Retry};

    fn message(title: &str, text: &str, colour: u32) -> Value {
        let embed = json!({
            "title": title,
            "description": text,
            "color": colour,
            "timestamp": "2026-11-22T07:02:00.000Z",
            "url": "https://vilicus.example.com/check/7",
            "fields": [{"name": "Runbook", "value": "https://wiki.example.com/disk"}],
        });
        json!({"embeds": [embed], "allowed_mentions": {"parse": []}})
    }

    #[test]
    fn payloads_are_the_documented_ones() {
        let ends = "Runbook\\: https\\://wiki.example.com/disk\n\nhttps\\://vilicus.example.com/check/7\n\
                    You get this because your route 'ops' matches.";
        let problem = message(
            "\\[CRITICAL\\] web\\-1 / disk\\-root\\: 97% used",
            &format!(
                "CRITICAL since 2026\\-11\\-22T07\\:00\\:00.000Z \\(attempt 3 of 3\\)\nBefore\\: OK\n\n\
                 97% used\n/ 97%\n{ends}"
            ),
            0xdc_2626,
        );
        let recovery = message(
            "\\[OK\\] web\\-1 / disk\\-root\\: 40% used",
            &format!(
                "The problem lasted from 2026\\-11\\-22T07\\:00\\:00.000Z to 2026\\-11\\-22T07\\:02\\:00.000Z, \
                 delivered late.\nBefore\\: CRITICAL\n\n40% used\n{ends}"
            ),
            0x16_a34a,
        );
        let mut group = message(&fit(samples::GROUP_TITLE, 256), &fit(samples::GROUP_TEXT, 4096), 0xdc_2626);
        let mut hostile = message(
            "\\[CRITICAL\\] \\<!channel\\> / a  b\\: \\@everyone \\</pre\\>\\<b\\>&amp;\\</b\\> \
             \\[x\\]\\(https\\://evil.example\\) \\`\\`\\` \\[31m",
            "CRITICAL since 2026\\-11\\-22T07\\:00\\:00.000Z \\(attempt 3 of 3\\)\n\n\
             \\@everyone \\</pre\\>\\<b\\>&amp;\\</b\\> \\[x\\]\\(https\\://evil.example\\) \
             \\`\\`\\`\\[31m\n\\*\\_\\~\\|\\# \\<\\@U1\\>\nRunbook\\: javascript\\:alert\\(1\\)\n\n\
             You get this because your route 'ops' matches.",
            0xdc_2626,
        );
        for payload in [&mut group, &mut hostile] {
            payload["embeds"][0].as_object_mut().unwrap().remove("fields");
        }
        hostile["embeds"][0].as_object_mut().unwrap().remove("url");
        for (notification, expected) in [
            (samples::problem(), problem),
            (samples::recovery("r"), recovery),
            (samples::group(), group),
            (samples::hostile(), hostile),
        ] {
            assert_eq!(payload(&notification), expected);
        }
    }

    #[test]
    fn a_long_message_is_cut_to_the_limits() {
        let payload = payload(&samples::long());
        let length = |pointer: &str| {
            let text = payload.pointer(pointer).and_then(Value::as_str).unwrap();
            assert!(text.ends_with('…'), "{pointer}");
            text.encode_utf16().count()
        };
        assert!((MAX_TITLE - 1..=MAX_TITLE).contains(&length("/embeds/0/title")));
        assert!((MAX_DESCRIPTION - 1..=MAX_DESCRIPTION).contains(&length("/embeds/0/description")));
        assert_eq!(fit("****", 6), "\\*\\*…");
    }

    #[test]
    fn the_answer_is_waited_for_and_a_thread_is_kept() {
        for (webhook, url) in [
            ("https://x/api/webhooks/1/t", "https://x/api/webhooks/1/t?wait=true"),
            ("https://x/w?thread_id=7&wait=false", "https://x/w?thread_id=7&wait=true"),
        ] {
            assert_eq!(waiting(&Url::parse(webhook).unwrap()).as_str(), url);
        }
    }

    #[test]
    fn an_answer_says_whom_it_concerns() {
        for status in [200, 204] {
            assert!(judge(answer(SERVICE, status, "")).is_ok());
        }
        for (status, body, fault, wait) in [
            (400, json!({"code": 50_035, "message": "Invalid Form Body"}), Message, None),
            (400, json!({"code": 50_006, "message": "Cannot send an empty message"}), Message, None),
            (
                400,
                json!({"code": 220_001, "message": "Webhooks posted to forum channels must have…"}),
                Channel,
                None,
            ),
            (400, json!({"code": 50_083, "message": "Thread is archived"}), Channel, None),
            (401, json!({"code": 50_027, "message": "Invalid Webhook Token"}), Channel, None),
            (404, json!({"code": 10_015, "message": "Unknown Webhook"}), Channel, None),
            (429, json!({"message": "You are being rate limited.", "retry_after": 0.6435}), Retry, Some(644)),
            (429, json!({"code": 0, "retry_after": 64.57, "global": true}), Retry, Some(64_570)),
            (502, json!(null), Retry, None),
        ] {
            let error = judge(answer(SERVICE, status, &body.to_string())).unwrap_err();
            assert_eq!(
                (error.fault(), error.retry_after().map(Millis::get)),
                (fault, wait),
                "{body}: {error}"
            );
        }
    }
}
