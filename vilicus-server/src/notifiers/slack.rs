//! Posts a message to a Slack channel through an incoming webhook.
//!
//! *Sources:* <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks> for the request and the
//! errors; <https://docs.slack.dev/messaging/formatting-message-text#escaping> for the escaping;
//! <https://docs.slack.dev/apis/web-api/rate-limits> for 429.
//!
//! Deliberately absent: threads and updates. A webhook is told no message's identity.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use vilicus_core::{Notification, Notifier, NotifierKind, NotifyError, ParamsError, Receipt, async_trait};

use super::Secret;
use super::answer::Answer;
use super::endpoint::Endpoint;
use super::links::links;
use super::redaction::Redaction;
use super::service::{Caller, Service};
use super::wording::{Shown, cut_to};
use crate::clock::Clock;
use crate::outbound::OutboundPolicy;

/// Characters of a header block's text.
///
/// *Source:* <https://docs.slack.dev/reference/block-kit/blocks/header-block>
const MAX_HEADER: usize = 150;

/// Characters of a section block's text.
///
/// *Source:* <https://docs.slack.dev/reference/block-kit/blocks/section-block>
const MAX_SECTION: usize = 3000;

/// Characters of the text that stands for the blocks in phone notifications.
///
/// *Source:* <https://docs.slack.dev/reference/methods/chat.postMessage#truncating>
const MAX_FALLBACK: usize = 4000;

/// The refusals that every other message would get, too, whatever their status.
const CHANNEL_ERRORS: [&str; 11] = [
    "action_prohibited",
    "channel_is_archived",
    "channel_not_found",
    "invalid_token",
    "no_active_hooks",
    "no_service",
    "no_service_id",
    "no_team",
    "posting_to_general_channel_denied",
    "team_disabled",
    "user_not_found",
];

const SERVICE: Service = Service { name: "Slack", mend: "check the webhook's URL and its channel" };

/// Parameters of Slack.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct SlackParams {
    /// The URL of an incoming webhook, `https://hooks.slack.com/services/…`; it belongs to one channel.
    pub url: Secret,
}

/// The kind of notifier that posts to Slack.
#[derive(Debug, Clone)]
pub struct Slack {
    outbound: OutboundPolicy,
    clock: Arc<dyn Clock>,
}

impl Slack {
    /// Slack under this policy; the clock measures how long it asks to be left alone.
    #[must_use]
    pub fn new(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, clock }
    }
}

impl NotifierKind for Slack {
    type Params = SlackParams;

    fn name(&self) -> &'static str {
        "slack"
    }

    fn description(&self) -> &'static str {
        "Posts to a Slack channel through an incoming webhook."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["url"]
    }

    fn build(&self, params: SlackParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        let webhook = Endpoint::parse("url", params.url.expose())?;
        let redaction = Redaction::default().with_url(webhook.url());
        let slack = Caller::new(SERVICE, &self.outbound, &self.clock, redaction)?;
        Ok(Arc::new(SlackNotifier { slack, webhook }))
    }
}

/// A channel of this kind.
#[derive(Debug)]
struct SlackNotifier {
    slack: Caller,
    webhook: Endpoint,
}

#[async_trait]
impl Notifier for SlackNotifier {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        judge(&self.slack.post(self.webhook.url().clone(), &payload(notification)).await?)
    }
}

/// Slack says why in one word, as plain text.
fn judge(answer: &Answer) -> Result<Receipt, NotifyError> {
    match answer.text() {
        word if CHANNEL_ERRORS.contains(&word) => Err(answer.channel(word)),
        words => answer.judge(words),
    }
}

/// Title and text are `plain_text`, in which no markup works; only the links are `mrkdwn`.
fn payload(notification: &Notification) -> Value {
    let shown = Shown::of(notification);
    let mut blocks = vec![
        json!({"type": "header", "text": plain(&shown.title, MAX_HEADER)}),
        json!({"type": "section", "text": plain(&shown.text, MAX_SECTION)}),
    ];
    let links: Vec<String> = links(notification)
        .into_iter()
        .map(|link| format!("<{}|{}>", escape(&link.url), link.label))
        .collect();
    if !links.is_empty() {
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": links.join("  ")}}));
    }
    json!({"text": fit(&shown.title, MAX_FALLBACK), "mrkdwn": false, "blocks": blocks})
}

fn plain(text: &str, limit: usize) -> Value {
    json!({"type": "plain_text", "text": fit(text, limit), "emoji": false})
}

/// The text escaped, in at most so many characters after that.
fn fit(text: &str, limit: usize) -> String {
    escape(&cut_to(text, limit, |c| entity(c).map_or(c.len_utf16(), str::len)))
}

/// The three characters that Slack's own markup begins with.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match entity(c) {
            Some(entity) => escaped.push_str(entity),
            None => escaped.push(c),
        }
        escaped
    })
}

const fn entity(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifiers::answer::answer;
    use crate::notifiers::samples;
    use vilicus_core::notifier::NotifyFault::{Channel, Message, Retry};

    fn message(title: &str, text: &str, links: &str) -> Value {
        let mut blocks = vec![
            json!({"type": "header", "text": {"type": "plain_text", "text": title, "emoji": false}}),
            json!({"type": "section", "text": {"type": "plain_text", "text": text, "emoji": false}}),
        ];
        if !links.is_empty() {
            blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": links}}));
        }
        json!({"text": title, "mrkdwn": false, "blocks": blocks})
    }

    #[test]
    fn payloads_are_the_documented_ones() {
        let open = "<https://vilicus.example.com/check/7|Open>";
        let both = format!("{open}  <https://wiki.example.com/disk|Runbook>");
        for (notification, title, text, links) in [
            (samples::problem(), samples::PROBLEM_TITLE, samples::PROBLEM_TEXT, both.as_str()),
            (samples::recovery("r"), samples::RECOVERY_TITLE, samples::RECOVERY_TEXT, &both),
            (samples::group(), samples::GROUP_TITLE, samples::GROUP_TEXT, open),
            (samples::hostile(), samples::HOSTILE_TITLE_ESCAPED, samples::HOSTILE_TEXT_ESCAPED, ""),
        ] {
            assert_eq!(payload(&notification), message(title, text, links));
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
        assert!((149..=MAX_HEADER).contains(&length("/blocks/0/text/text")));
        assert!((2999..=MAX_SECTION).contains(&length("/blocks/1/text/text")));
        assert!((3999..=MAX_FALLBACK).contains(&length("/text")));
        assert_eq!(fit(&"<".repeat(100), 10), "&lt;&lt;…");
    }

    #[test]
    fn a_refusal_says_whom_it_concerns() {
        assert_eq!(judge(&answer(SERVICE, 200, "ok")).unwrap(), Receipt::new("Slack answered 200"));
        for (status, word, fault) in [
            (400, "invalid_payload", Message),
            (400, "invalid_blocks", Message),
            (400, "user_not_found", Channel),
            (400, "no_team", Channel),
            (403, "action_prohibited", Channel),
            (403, "invalid_token", Channel),
            (404, "channel_not_found", Channel),
            (404, "no_service", Channel),
            (410, "channel_is_archived", Channel),
            (429, "rate_limited", Retry),
            (500, "rollup_error", Retry),
            (200, "<!DOCTYPE html>", Retry),
        ] {
            let error = judge(&answer(SERVICE, status, word)).unwrap_err();
            assert_eq!(error.fault(), fault, "{status} {word}: {error}");
        }
        let error = judge(&answer(SERVICE, 404, "no_service")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Slack answered 404: no_service; check the webhook's URL and its channel"
        );
    }
}
