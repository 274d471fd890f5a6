//! Operators' templates for the words of a message and for the body of a webhook.
//!
//! A template is checked when it is saved, against a sample of every event, so that one that is saved renders. It is
//! Jinja without files (no include, import or macro), with strict names and bounded work. What agents wrote is data
//! in it and never a part of the template.
//!
//! Who calls: the channel API and `apply` check, the dispatcher renders before it calls the notifier, the webhook
//! renders its body. `docs/notifiers.md` lists the placeholders.

mod fault;
mod placeholders;
mod sample;

use std::thread;

use minijinja::value::Serde;
use minijinja::{Environment, State, UndefinedBehavior, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vilicus_core::notification::Words;
use vilicus_core::{Notification, ParamsError};

use super::wording::cut;
use placeholders::Placeholders;

/// The longest template, in bytes.
const MAX_SOURCE: usize = 16 * 1024;

/// The longest title and text that a template makes, in characters; more is cut.
const MAX_TITLE: usize = 1000;
const MAX_TEXT: usize = 64 * 1024;

/// The longest body that a template makes, in bytes; more is an error, for half a body is none.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// The stack on which templates are read and rendered. The engine descends as deep as an expression is long, and
/// bounds only a part of that; `no_nesting_is_too_deep_to_be_answered` has the worst that fits into a template, and the
/// worst of it takes less than half of this.
const STACK: usize = 64 * 1024 * 1024;

/// The work that every template may do beside one unit for each byte of the message: a unit is one step, or 64 bytes
/// written.
const BASE_FUEL: u64 = 100_000;

/// A channel's own words. What is not given stays as it is.
///
/// ```
/// use vilicus_core::{Notification, Timestamp};
/// use vilicus_server::notifiers::MessageTemplate;
///
/// let template = MessageTemplate { title: Some("{{ status }} {{ agent }}".to_owned()), text: None };
/// template.check()?;
/// let mut message = Notification::test("key", Timestamp::EPOCH);
/// message.words = Some(template.render(&message)?);
/// assert_eq!(message.title(), "OK vilicus");
///
/// let typo = MessageTemplate { title: Some("{{ agnet }}".to_owned()), text: None };
/// let error = typo.check().unwrap_err();
/// assert_eq!(error.detail, "title, line 1: there is no placeholder 'agnet'; did you mean 'agent'?");
/// # Ok::<(), vilicus_core::ParamsError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageTemplate {
    /// The title, as `{{ status }} {{ agent }} {{ check }}`; shown on one line.
    pub title: Option<String>,
    /// The text below it.
    pub text: Option<String>,
}

impl MessageTemplate {
    /// Checks both against a sample of every event.
    ///
    /// # Errors
    /// The part (as a pointer relative to the template), the line, what is wrong there and what would be right.
    pub fn check(&self) -> Result<(), ParamsError> {
        for (name, source) in [("title", &self.title), ("text", &self.text)] {
            if let Some(source) = source {
                Template::parse(name, source, Format::Text)?;
            }
        }
        Ok(())
    }

    /// The words for this message.
    ///
    /// # Errors
    /// The template was never checked, or this message is more than any sample. The message is then worth sending in
    /// the usual words.
    pub fn render(&self, notification: &Notification) -> Result<Words, ParamsError> {
        let render = |name, source: &Option<String>, chars| {
            let Some(source) = source else { return Ok(None) };
            let template = Template { name, source: source.clone(), format: Format::Text };
            template.render(notification).map(|text| Some(cut(text.trim(), chars)))
        };
        Ok(Words {
            title: render("title", &self.title, MAX_TITLE)?,
            text: render("text", &self.text, MAX_TEXT)?,
        })
    }
}

/// What a template makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Any text; values stand in it as they are, and what is not known as nothing.
    Text,
    /// JSON: every value is written as JSON, so that nothing in it can end a string.
    Json,
}

/// A template that renders.
#[derive(Debug, Clone)]
pub(super) struct Template {
    /// The parameter that it is.
    name: &'static str,
    source: String,
    format: Format,
}

impl Template {
    /// Checks a template against a sample of every event.
    pub(super) fn parse(name: &'static str, source: &str, format: Format) -> Result<Self, ParamsError> {
        let template = Self { name, source: source.to_owned(), format };
        template.on_deep_stack(|| template.check())?;
        Ok(template)
    }

    /// What it makes of this message.
    pub(super) fn render(&self, notification: &Notification) -> Result<String, ParamsError> {
        self.on_deep_stack(|| self.fill(notification))
    }

    /// Does the work on a thread of its own and waits for it; a source that is too long for its stack gets none.
    fn on_deep_stack<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, ParamsError> + Send,
    ) -> Result<T, ParamsError> {
        if self.source.len() > MAX_SOURCE {
            return Err(self.fault(format!("a template has at most {MAX_SOURCE} bytes")));
        }
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("template".to_owned()).stack_size(STACK);
            let done = thread.spawn_scoped(scope, work).map(thread::ScopedJoinHandle::join);
            match done {
                Ok(Ok(result)) => result,
                _ => Err(self.fault("can't be worked on now; look for memory and threads".to_owned())),
            }
        })
    }

    fn check(&self) -> Result<(), ParamsError> {
        self.check_names()?;
        for sample in sample::samples() {
            let made = self.fill(&sample)?;
            self.check_json(&made, sample.items[0].event.as_str())?;
        }
        Ok(())
    }

    fn fill(&self, notification: &Notification) -> Result<String, ParamsError> {
        let context = Value::from(Serde(&Placeholders::of(notification)));
        let mut environment = self.environment();
        environment.set_fuel(Some(BASE_FUEL + placeholders::size(notification)));
        let rendered =
            environment.template_from_str(&self.source).and_then(|template| template.render(context));
        let text = rendered.map_err(|error| fault::explain(self.name, &self.source, &error))?;
        if text.len() > MAX_BODY {
            return Err(self.fault(format!("makes more than {MAX_BODY} bytes of one message")));
        }
        Ok(text)
    }

    /// Names that stand in a branch which no sample takes are found without rendering.
    fn check_names(&self) -> Result<(), ParamsError> {
        let environment = self.environment();
        let template = environment
            .template_from_str(&self.source)
            .map_err(|error| fault::explain(self.name, &self.source, &error))?;
        let globals: Vec<&str> = environment.globals().map(|(name, _)| name).collect();
        let known = |name: &str| placeholders::MESSAGE.contains(&name) || globals.contains(&name);
        let mut unknown: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        unknown.retain(|name| !known(name));
        unknown.sort();
        match unknown.first() {
            None => Ok(()),
            Some(name) => Err(fault::unknown_placeholder(self.name, &self.source, name)),
        }
    }

    fn check_json(&self, made: &str, event: &str) -> Result<(), ParamsError> {
        if self.format == Format::Text {
            return Ok(());
        }
        match serde_json::from_str::<serde::de::IgnoredAny>(made) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.fault(format!(
                "what it makes of the event '{event}' is no JSON ({error}); placeholders bring their own quotes: \
                 {{\"text\": {{{{ title }}}}}}"
            ))),
        }
    }

    fn environment(&self) -> Environment<'static> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_debug(true);
        environment.remove_global("debug");
        match self.format {
            Format::Text => {
                environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
                environment.set_formatter(print_text);
            }
            Format::Json => environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Json),
        }
        environment
    }

    fn fault(&self, detail: String) -> ParamsError {
        ParamsError::new(self.name, format!("{}: {detail}", self.name))
    }
}

/// Prints a value; what is not known is nothing, where Jinja would write `none`.
fn print_text(
    output: &mut minijinja::Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    if value.is_none() { Ok(()) } else { minijinja::escape_formatter(output, state, value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::{NotificationEvent, Status, Timestamp};

    fn text(source: &str) -> Result<Template, ParamsError> {
        Template::parse("text", source, Format::Text)
    }

    fn rendered(source: &str, format: Format, notification: &Notification) -> String {
        Template::parse("body", source, format).unwrap().render(notification).unwrap()
    }

    fn problem() -> Notification {
        let mut notification = Notification::test("k", Timestamp::EPOCH);
        let item = &mut notification.items[0];
        (item.event, item.status) = (NotificationEvent::Problem, Status::Critical);
        (item.agent, item.check) = ("web-1".to_owned(), "disk".to_owned());
        item.output = "97% \"used\"\n{{ key }}".to_owned();
        item.tags = vec!["prod".to_owned()];
        notification
    }

    #[test]
    fn placeholders_are_filled() {
        for (source, expected) in [
            ("{{ status }} {{ agent }}/{{ check }}", "CRITICAL web-1/disk"),
            ("{{ event }} {{ previous_status }}|{{ runbook_url }}|{{ url }}|", "problem |||"),
            ("{{ output }}", "97% \"used\"\n{{ key }}"),
            ("{% if 'prod' in tags %}!{% endif %}{{ tags | join(',') }}", "!prod"),
            (
                "{% for i in items %}{{ i.check | upper }} {{ i.since }}{% endfor %}",
                "DISK 1970-01-01T00:00:00.000Z",
            ),
            ("{% set n = items | length + more %}{{ n }}", "1"),
            ("{{ title }}", "[CRITICAL] web-1 / disk: 97% \"used\""),
            (
                "{{ state_type }} {{ attempt }}/{{ max_attempts }} {{ key }} {{ reason }}",
                "hard 0/1 k someone pressed 'send test'",
            ),
            ("{{ output[:3] }} {{ output | length }}", "97% 20"),
        ] {
            assert_eq!(rendered(source, Format::Text, &problem()), expected, "{source}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_line_and_mend() {
        for (source, words) in [
            ("a\n{{ agnet }}", "text, line 2: there is no placeholder 'agnet'; did you mean 'agent'?"),
            (
                "{% if event == 'nothing' %}\n\n{{ outptu }}{% endif %}",
                "line 3: there is no placeholder 'outptu'; did you mean 'output'",
            ),
            (
                "{% for i in items %}\n{{ i.chek }}{% endfor %}",
                "line 2: there is no 'chek'; did you mean 'check'?",
            ),
            ("{{ metrics[0].valeu }}", "line 1: "),
            ("{{ zebra }}", "line 1: there is no placeholder 'zebra'; known are agent, "),
            ("\n{{ agent", "text, line 2: "),
            ("{% endfor %}", "line 1: "),
            ("{{ agent | shout }}", "line 1: "),
            ("{% include 'a' %}", "line 1: "),
            ("{% include 'a' ignore missing %}", "line 1: "),
            ("{% import 'a' as b %}", "line 1: "),
            ("{{ debug() }}", "line 1: "),
        ] {
            let error = text(source).unwrap_err();
            assert!(error.pointer == "/text" && error.detail.contains(words), "{source}: {error}");
            assert!(!error.detail.contains('\n'), "{error:?}");
        }
    }

    #[test]
    fn work_is_bounded() {
        for source in [
            "{% for i in range(100000000) %}x{% endfor %}",
            "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}",
            "{{ 'x' * 1000000000 }}",
            "{% set n = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
            "{{ agent | replace('', 'x' * 1000) | replace('', 'x' * 100000) }}",
            "{{ range(1000000) | list | length }}",
            "{{ '%1000000000d' | format(1) }}",
            &format!("{{{{ {}1{} }}}}", "(".repeat(4000), ")".repeat(4000)),
        ] {
            let made = text(source).map(|template| template.render(&problem()).map(|text| text.len()));
            assert!(made.is_err(), "{source:.60}: {made:?}");
        }
        assert!(text(&"x".repeat(MAX_SOURCE + 1)).unwrap_err().detail.contains("at most"));
    }

    #[test]
    fn no_nesting_is_too_deep_to_be_answered() {
        let full = |part: &str, around: usize| part.repeat((MAX_SOURCE - around) / part.len());
        for source in [
            full("{% if 1 %}", 0),
            full("{% for a in b %}", 0),
            format!("{{{{ {}1 }}}}", full("-", 8)),
            format!("{{{{ {}1 }}}}", full("not ", 8)),
            format!("{{{{ 1{} }}}}", full("+1", 8)),
            format!("{{{{ 1{} }}}}", full("**1", 8)),
            format!("{{{{ 1{} }}}}", full("==1", 8)),
            format!("{{{{ 1{} }}}}", full(" and 1", 8)),
            format!("{{{{ ''{} }}}}", full("~''", 9)),
            format!("{{{{ key{} }}}}", full(".b", 10)),
            format!("{{{{ key{} }}}}", full("[0]", 10)),
            format!("{{{{ key{} }}}}", full("()", 10)),
            format!("{{{{ key{} }}}}", full("|upper", 10)),
            format!("{{{{ {} }}}}", full("[", 6)),
            format!("{{{{ {} }}}}", full("{1:", 6)),
            format!("{{{{ {}1 }}}}", full("1 if 1 else ", 8)),
            format!("{{{{ {}1 }}}}", full("key[", 8)),
            format!("{{{{ {}1 }}}}", full("range(", 8)),
        ] {
            // Some of these are templates, in principle; what counts is that there is an answer.
            let answer = text(&source);
            assert!(
                answer.is_ok() || answer.is_err_and(|error| error.detail.chars().count() < 400),
                "{source:.40}"
            );
        }
    }

    #[test]
    fn a_message_of_the_largest_size_renders() {
        let mut notification = problem();
        notification.items[0].output = "\"<\n".repeat(20_000);
        notification.items = vec![notification.items[0].clone(); 20];
        let body = rendered("{\"all\": {{ items }}, \"one\": {{ text }}}", Format::Json, &notification);
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["all"][19]["output"], notification.items[0].output);
        let words =
            MessageTemplate { title: Some("{{ output }}".to_owned()), text: Some("{{ text }}".to_owned()) };
        let words = words.render(&notification).unwrap();
        assert_eq!(words.title.unwrap().chars().count(), MAX_TITLE);
        assert_eq!(words.text.unwrap().chars().count(), MAX_TEXT);
    }

    #[test]
    fn nothing_that_an_agent_writes_ends_a_string_of_json() {
        let mut notification = problem();
        for hostile in [
            "\", \"admin\": true, \"x\": \"",
            "\\",
            "\n\r\u{0}\u{1b}\u{2028}",
            "{{ key }}",
            "</script>",
            "😀\u{202e}",
        ] {
            notification.items[0].output = hostile.to_owned();
            for source in [
                "{\"text\": {{ output }}}",
                "{\"text\": {{ output | tojson }}}",
                "{\"text\": {{ '' ~ output }}}",
            ] {
                let body = rendered(source, Format::Json, &notification);
                let json: serde_json::Value = serde_json::from_str(&body).unwrap();
                assert_eq!(json, serde_json::json!({"text": hostile}), "{body}");
            }
        }
    }

    #[test]
    fn json_that_an_agent_could_break_is_refused() {
        for source in [
            "{\"text\": \"{{ output }}\"}",
            "{\"text\": \"{{ agent | safe }}\"}",
            "{\"text\": {{ title }}",
            "{{ title }} {{ title }}",
        ] {
            let error = Template::parse("body", source, Format::Json).unwrap_err();
            assert!(error.pointer == "/body" && error.detail.contains("no JSON"), "{source}: {error}");
        }
    }

    #[test]
    fn each_part_of_the_words_is_checked_by_itself() {
        let template = |title: Option<&str>, text: Option<&str>| MessageTemplate {
            title: title.map(str::to_owned),
            text: text.map(str::to_owned),
        };
        assert_eq!(template(Some("{{ x"), None).check().unwrap_err().pointer, "/title");
        assert_eq!(template(Some("x"), Some("{{ x }}")).check().unwrap_err().pointer, "/text");
        assert_eq!(template(None, None).check(), Ok(()));
        assert_eq!(template(None, None).render(&problem()).unwrap(), Words::default());
        let words = template(Some(" {{ check }}\n"), None).render(&problem()).unwrap();
        assert_eq!(words, Words { title: Some("disk".to_owned()), text: None });
    }
}
