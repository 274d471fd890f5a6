//! Posts a message to a Microsoft Teams channel or chat through a workflow's webhook, as an adaptive card.
//!
//! *Sources:* <https://learn.microsoft.com/en-us/connectors/teams/#microsoft-teams-webhook> for the request;
//! <https://adaptivecards.io/explorer/RichTextBlock.html> for the card;
//! <https://learn.microsoft.com/en-us/azure/logic-apps/logic-apps-workflow-actions-triggers> for the answers.
//!
//! A workflow answers before it posts: what fails in it afterwards shows in its run history only.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use vilicus_core::{Notification, Notifier, NotifierKind, NotifyError, ParamsError, Receipt, async_trait};

use super::Secret;
use super::answer::Answer;
use super::endpoint::Endpoint;
use super::links::{Link, links};
use super::redaction::Redaction;
use super::service::{Caller, Service};
use super::tone::Tone;
use super::wording::{Shown, cut_to, json_bytes};
use crate::clock::Clock;
use crate::outbound::OutboundPolicy;

/// Bytes of a whole message.
///
/// *Source:* <https://learn.microsoft.com/en-us/microsoftteams/limits-specifications-teams#chat>
const MAX_MESSAGE: usize = 28 * 1024;

/// Bytes of the title and of the lines in the card.
const MAX_TITLE: usize = 1024;
const MAX_LINES: usize = 16 * 1024;

/// Bytes of everything else in the card, the links above all.
const MAX_REST: usize = 4096;

// Teams counts a message as it stores it, which is more than what is sent: a quarter stays free.
const _: () = assert!(MAX_TITLE + MAX_LINES + MAX_REST <= MAX_MESSAGE / 4 * 3);

/// Bytes that one more line takes in the card, beside its text.
const LINE_BYTES: usize = 96;

/// The refusal with 400 that every other message would get, too.
const SWITCHED_OFF: &str = "WorkflowTriggerIsNotEnabled";

const SERVICE: Service = Service { name: "Teams", mend: "check the webhook's URL and its workflow" };

/// Parameters of Microsoft Teams.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct TeamsParams {
    /// The URL of a workflow that begins 'when a Teams webhook request is received'.
    pub url: Secret,
}

/// The kind of notifier that posts to Microsoft Teams.
#[derive(Debug, Clone)]
pub struct Teams {
    outbound: OutboundPolicy,
    clock: Arc<dyn Clock>,
}

impl Teams {
    /// Teams under this policy; the clock measures how long it asks to be left alone.
    #[must_use]
    pub fn new(outbound: OutboundPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, clock }
    }
}

impl NotifierKind for Teams {
    type Params = TeamsParams;

    fn name(&self) -> &'static str {
        "teams"
    }

    fn description(&self) -> &'static str {
        "Posts to Microsoft Teams through a workflow's webhook."
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["url"]
    }

    fn build(&self, params: TeamsParams) -> Result<Arc<dyn Notifier>, ParamsError> {
        let webhook = Endpoint::parse("url", params.url.expose())?;
        let redaction = Redaction::default().with_url(webhook.url());
        let teams = Caller::new(SERVICE, &self.outbound, &self.clock, redaction)?;
        Ok(Arc::new(TeamsNotifier { teams, webhook }))
    }
}

/// A channel of this kind.
#[derive(Debug)]
struct TeamsNotifier {
    teams: Caller,
    webhook: Endpoint,
}

#[async_trait]
impl Notifier for TeamsNotifier {
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        judge(&self.teams.post(self.webhook.url().clone(), &payload(notification)).await?)
    }
}

fn judge(answer: &Answer) -> Result<Receipt, NotifyError> {
    let words = answer.text_at("/error/message");
    match answer.text_at("/error/code") {
        SWITCHED_OFF => Err(answer.channel(words)),
        _ => answer.judge(words),
    }
}

fn payload(notification: &Notification) -> Value {
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "msteams": {"width": "Full"},
        "body": body(notification),
        "actions": links(notification).iter().map(action).collect::<Vec<_>>(),
    });
    let attachment = json!({
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": null,
        "content": card,
    });
    json!({"type": "message", "attachments": [attachment]})
}

/// Text runs show every character as it is; the plainer `TextBlock` would read them as Markdown, links and all.
fn body(notification: &Notification) -> Vec<Value> {
    let shown = Shown::of(notification);
    let title = json!({
        "type": "TextRun",
        "text": cut_to(&shown.title, MAX_TITLE, json_bytes),
        "weight": "Bolder",
        "size": "Medium",
        "color": colour(Tone::of(notification)),
    });
    let mut body = vec![json!({"type": "RichTextBlock", "inlines": [title]})];
    let text = cut_to(&shown.text, MAX_LINES, |c| if c == '\n' { LINE_BYTES } else { json_bytes(c) });
    let mut spacing = "Default";
    for line in text.lines() {
        // A run without text is no valid one; the gap stands for the empty line.
        if line.trim().is_empty() {
            spacing = "Default";
            continue;
        }
        let run = json!({"type": "TextRun", "text": line});
        body.push(json!({"type": "RichTextBlock", "spacing": spacing, "inlines": [run]}));
        spacing = "None";
    }
    body
}

fn action(link: &Link) -> Value {
    json!({"type": "Action.OpenUrl", "title": link.label, "url": link.url})
}

const fn colour(tone: Tone) -> &'static str {
    match tone {
        Tone::Quiet => "Default",
        Tone::Good => "Good",
        Tone::Warning => "Warning",
        Tone::Critical => "Attention",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifiers::answer::answer;
    use crate::notifiers::samples;
    use vilicus_core::notifier::NotifyFault::{Channel, Message, Retry};

    /// The message of this title and these lines, of which those after an empty one begin with `+`.
    fn message(title: &str, colour: &str, lines: &[&str], actions: &Value) -> Value {
        let run =
            json!({"type": "TextRun", "text": title, "weight": "Bolder", "size": "Medium", "color": colour});
        let mut body = vec![json!({"type": "RichTextBlock", "inlines": [run]})];
        for line in lines {
            let (spacing, text) = line.strip_prefix('+').map_or(("None", *line), |text| ("Default", text));
            let run = json!({"type": "TextRun", "text": text});
            body.push(json!({"type": "RichTextBlock", "spacing": spacing, "inlines": [run]}));
        }
        json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.2",
                    "msteams": {"width": "Full"},
                    "body": body,
                    "actions": actions,
                },
            }],
        })
    }

    #[test]
    fn payloads_are_the_documented_ones() {
        let open =
            json!({"type": "Action.OpenUrl", "title": "Open", "url": "https://vilicus.example.com/check/7"});
        let runbook =
            json!({"type": "Action.OpenUrl", "title": "Runbook", "url": "https://wiki.example.com/disk"});
        let since = "CRITICAL since 2026-11-22T07:00:00.000Z (attempt 3 of 3)";
        let (link, why) =
            ("+https://vilicus.example.com/check/7", "You get this because your route 'ops' matches.");
        let wiki = "Runbook: https://wiki.example.com/disk";
        let problem = [&format!("+{since}"), "Before: OK", "+97% used", "/ 97%", wiki, link, why];
        let recovery = [
            "+The problem lasted from 2026-11-22T07:00:00.000Z to 2026-11-22T07:02:00.000Z, delivered late.",
            "Before: CRITICAL",
            "+40% used",
            wiki,
            link,
            why,
        ];
        let group = [
            "+[CRITICAL] web-1 / disk-root: 97% used",
            since,
            "Before: OK",
            "+97% used",
            "/ 97%",
            wiki,
            "+[ACK] web-1 / load: load 9",
            "WARNING since 2026-11-22T07:00:00.000Z (attempt 3 of 3)",
            "+load 9",
            "+… and 7 more.",
            link,
            why,
        ];
        let hostile = [
            &format!("+{since}"),
            "+@everyone </pre><b>&amp;</b> [x](https://evil.example) ```[31m",
            "*_~|# <@U1>",
            "Runbook: javascript:alert(1)",
            &format!("+{why}"),
        ];
        let both = json!([open, runbook]);
        for (notification, expected) in [
            (samples::problem(), message(samples::PROBLEM_TITLE, "Attention", &problem, &both)),
            (samples::recovery("r"), message(samples::RECOVERY_TITLE, "Good", &recovery, &both)),
            (samples::group(), message(samples::GROUP_TITLE, "Attention", &group, &json!([open]))),
            (samples::hostile(), message(samples::HOSTILE_TITLE, "Attention", &hostile, &json!([]))),
        ] {
            assert_eq!(payload(&notification), expected);
        }
    }

    #[test]
    fn a_long_message_stays_below_the_limit() {
        let mut lines = samples::long();
        lines.items[0].output = "x".to_owned();
        for notification in [samples::long(), lines] {
            let payload = payload(&notification);
            let bytes = payload.to_string().len();
            assert!((MAX_LINES * 3 / 4..MAX_MESSAGE * 3 / 4).contains(&bytes), "{bytes}");
            let last = payload["attachments"][0]["content"]["body"].as_array().unwrap().last().unwrap();
            assert!(last["inlines"][0]["text"].as_str().unwrap().ends_with('…'), "{last}");
        }
    }

    #[test]
    fn an_answer_says_whom_it_concerns() {
        assert!(judge(&answer(SERVICE, 202, "")).is_ok());
        for (status, code, fault) in [
            (400, "TriggerInputSchemaMismatch", Message),
            (400, "WorkflowTriggerIsNotEnabled", Channel),
            (401, "DirectApiAuthorizationRequired", Channel),
            (404, "WorkflowNotFound", Channel),
            (413, "RequestEntityTooLarge", Message),
            (429, "ResourceThrottled", Retry),
            (502, "NoResponse", Retry),
        ] {
            let body = json!({"error": {"code": code, "message": "why"}});
            let error = judge(&answer(SERVICE, status, &body.to_string())).unwrap_err();
            assert_eq!(error.fault(), fault, "{code}: {error}");
            assert!(error.to_string().starts_with(&format!("Teams answered {status}: why")), "{error}");
        }
    }
}
