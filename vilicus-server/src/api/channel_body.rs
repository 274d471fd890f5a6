//! Channels as they go over the wire, both ways; here secrets are hidden and put back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use vilicus_core::{ChannelId, NotifierRegistry, Timestamp};
use vilicus_store::inventory::{Channel, ChannelWords};

use super::names::Mistakes;
use super::reference::{Reference, uri};
use crate::http::Problem;
use crate::http::etag::Etag;
use crate::http::json::Sent;
use crate::notifiers::MessageTemplate;

/// What stands for a secret.
pub(super) const HIDDEN: &str = "***";

/// A channel, its secrets hidden.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ChannelBody {
    id: u64,
    resource_uri: String,
    /// Unique in the server.
    name: String,
    /// The kind of notifier.
    kind: String,
    /// What the notifier needs to know; secrets are `"***"`.
    #[schema(value_type = Object)]
    params: Map<String, Value>,
    /// Whether it is used; messages of a channel that is switched off wait.
    enabled: bool,
    /// At most so many messages in such a time, as `10/1m`.
    rate_limit: Option<String>,
    /// The path of the channel that hears of it when this one fails.
    fallback: Option<String>,
    /// When more messages than this wait, they become one.
    digest_above: Option<u32>,
    /// Templates of the words of its messages; what is `null` is said in the stock words.
    #[schema(value_type = Option<Object>)]
    message: Option<MessageTemplate>,
    /// The file that manages it.
    managed_by: Option<String>,
    /// Why nothing passes, and since when; released by an edit or a test that passes.
    paused: Option<PauseBody>,
}

/// Why nothing passes.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct PauseBody {
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    fault: String,
}

impl ChannelBody {
    pub(super) fn new(channel: &Channel, notifiers: &NotifierRegistry) -> Self {
        let mut params = channel.params.0.as_object().cloned().unwrap_or_default();
        let kind = notifiers.describe(&channel.kind);
        for (name, value) in &mut params {
            // Of a kind that is not known any longer, nobody can say what is secret: then everything is.
            if kind.as_ref().is_none_or(|kind| kind.secrets.contains(&name.as_str())) {
                hide(value);
            }
        }
        Self {
            id: channel.id.get(),
            resource_uri: uri("channel", channel.id),
            name: channel.name.clone(),
            kind: channel.kind.clone(),
            params,
            enabled: channel.enabled,
            rate_limit: channel.rate_limit.clone(),
            fallback: channel.fallback.map(|fallback| uri("channel", fallback)),
            digest_above: channel.digest_above,
            message: template_of(&channel.words),
            managed_by: channel.managed_by.clone(),
            paused: channel
                .paused
                .as_ref()
                .map(|pause| PauseBody { since: pause.since, fault: pause.fault.clone() }),
        }
    }

    /// The tag of what is configured.
    pub(super) fn etag(&self) -> Etag {
        Etag::of(&Self { paused: None, ..self.clone() })
    }
}

/// Hides a secret; of an object each value, so that its names can still be read.
pub(crate) fn hide(value: &mut Value) {
    match value {
        Value::Null => {}
        Value::Object(fields) => fields.values_mut().for_each(hide),
        other => *other = HIDDEN.into(),
    }
}

/// Puts back what was hidden and is sent back as it was shown.
pub(crate) fn put_back(sent: &mut Value, stored: Option<&Value>) {
    match (sent, stored) {
        (sent, Some(stored)) if sent.as_str() == Some(HIDDEN) => *sent = stored.clone(),
        (Value::Object(sent), Some(Value::Object(stored))) => {
            for (name, value) in sent {
                put_back(value, stored.get(name));
            }
        }
        _ => {}
    }
}

/// A channel as it is written.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChannelInput {
    /// Unique in the server.
    name: String,
    /// The kind of notifier.
    kind: String,
    /// What the notifier needs to know; `"***"` keeps a secret that is stored.
    #[serde(default)]
    #[schema(value_type = Object)]
    params: Map<String, Value>,
    /// Whether it is used; yes.
    #[serde(default = "yes")]
    enabled: bool,
    /// At most so many messages in such a time, as `10/1m`; no limit by default.
    #[serde(default)]
    rate_limit: Option<String>,
    /// The channel that hears of it when this one fails: an id, a name or a path.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(crate) fallback: Option<Reference>,
    /// When more messages than this wait, they become one; 20, and never for a webhook.
    #[serde(default)]
    digest_above: Option<u32>,
    /// Templates of the words of its messages, `{"title": …, "text": …}`; the stock words by default.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    message: Option<MessageTemplate>,
}

fn yes() -> bool {
    true
}

impl Sent for ChannelInput {
    const READ_ONLY: &'static [&'static str] = &["id", "resource_uri", "managed_by", "paused"];
}

impl From<&Channel> for ChannelInput {
    fn from(channel: &Channel) -> Self {
        Self {
            name: channel.name.clone(),
            kind: channel.kind.clone(),
            params: channel.params.0.as_object().cloned().unwrap_or_default(),
            enabled: channel.enabled,
            rate_limit: channel.rate_limit.clone(),
            fallback: channel.fallback.map(|id| Reference::id(id.get())),
            digest_above: channel.digest_above,
            message: template_of(&channel.words),
        }
    }
}

/// The words of a channel as a template; `None` when it has none of its own.
pub(super) fn template_of(words: &ChannelWords) -> Option<MessageTemplate> {
    let ChannelWords { title, text } = words.clone();
    (title.is_some() || text.is_some()).then_some(MessageTemplate { title, text })
}

/// Refuses a template that can't be rendered.
pub(super) fn check_template(template: &MessageTemplate) -> Result<(), Problem> {
    template.check().map_err(|error| Problem::invalid(format!("/message{}", error.pointer), error.detail))
}

impl ChannelInput {
    /// Refuses what no channel can be; its kind and params are judged by the registry.
    pub(crate) fn validate(&self) -> Result<(), Problem> {
        let mut mistakes = Mistakes::default();
        mistakes.name("/name", &self.name);
        if let Some(rate) = &self.rate_limit {
            mistakes.require(
                is_rate(rate),
                "/rate_limit",
                "expected a number of messages and a time, as 10/1m",
            );
        }
        mistakes.require(self.digest_above != Some(0), "/digest_above", "is 0; expected at least 1, or null");
        mistakes.into_result()?;
        self.message.as_ref().map_or(Ok(()), check_template)
    }

    /// The channel that this makes of `base`.
    pub(crate) fn into_channel(self, fallback: Option<ChannelId>, base: Channel) -> Result<Channel, Problem> {
        let mut params = Value::Object(self.params);
        // The secrets of another kind of notifier are nothing that this one should get.
        if self.kind == base.kind {
            put_back(&mut params, Some(&base.params.0));
        }
        if let Some(name) = hidden_in(&params) {
            return Err(Problem::invalid(
                format!("/params{name}"),
                "nothing is stored that *** could keep; say it",
            ));
        }
        let MessageTemplate { title, text } = self.message.unwrap_or_default();
        Ok(Channel {
            words: ChannelWords { title, text },
            digest_above: self.digest_above.or_else(|| digest_of(&self.kind)),
            name: self.name,
            kind: self.kind,
            params: params.into(),
            enabled: self.enabled,
            rate_limit: self.rate_limit,
            fallback,
            ..base
        })
    }
}

/// Above so many waiting messages people want one instead; machines want each.
fn digest_of(kind: &str) -> Option<u32> {
    (kind != "webhook").then_some(20)
}

fn is_rate(text: &str) -> bool {
    let Some((count, span)) = text.split_once('/') else { return false };
    let span: Result<vilicus_core::Millis, _> = span.parse();
    count.parse::<u32>().is_ok_and(|count| count > 0) && span.is_ok_and(|span| span.get() > 0)
}

/// The place of a value that still says `***`.
pub(crate) fn hidden_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text == HIDDEN => Some(String::new()),
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            hidden_in(value).map(|rest| format!("/{}{rest}", vilicus_core::params::escape_pointer(name)))
        }),
        _ => None,
    }
}

/// A channel that is about to be made: the store gives the id.
pub(crate) fn new_channel() -> Channel {
    Channel {
        id: ChannelId::from(std::num::NonZeroU64::MIN),
        name: String::new(),
        kind: String::new(),
        params: Value::Object(Map::new()).into(),
        enabled: true,
        rate_limit: None,
        fallback: None,
        digest_above: None,
        words: ChannelWords::default(),
        managed_by: None,
        paused: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_hidden_and_is_sent_back_stays() {
        let stored = json!({"password": "s1", "headers": {"Authorization": "s2", "X": "s3"}, "url": "u"});
        let mut shown = stored.clone();
        hide(&mut shown["password"]);
        hide(&mut shown["headers"]);
        assert_eq!(
            shown,
            json!({"password": "***", "headers": {"Authorization": "***", "X": "***"}, "url": "u"})
        );
        put_back(&mut shown, Some(&stored));
        assert_eq!(shown, stored);
        let mut new = json!({"password": "***", "headers": {"New": "***"}});
        put_back(&mut new, Some(&json!({"headers": {}})));
        assert_eq!(hidden_in(&new).as_deref(), Some("/headers/New"));
    }

    #[test]
    fn rates_are_a_number_and_a_time() {
        for (text, fine) in [
            ("10/1m", true),
            ("1/1s", true),
            ("0/1m", false),
            ("10/0s", false),
            ("10", false),
            ("a/1m", false),
        ] {
            assert_eq!(is_rate(text), fine, "{text}");
        }
    }
}
